//! Who may do what with which bundles.

use std::sync::Arc;

use super::manifest::Manifest;
use super::name::{BundleName, Version};
use super::publisher::PublisherId;
use super::store::{Installed, Listed, Store};
use crate::access::NamePattern;

/// What may be done with a bundle. Whoever may do anything with it may see that it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// See that it is there: query it, have it in lists, and get its manifest.
    See,
    /// Read its files.
    Read,
    /// Install versions of it.
    Install,
    /// Say which version its name means.
    Activate,
    /// Remove versions of it.
    Remove,
}

impl Right {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::See, Self::Read, Self::Install, Self::Activate, Self::Remove];

    /// As it is written in policies.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::See => "see",
            Self::Read => "read",
            Self::Install => "install",
            Self::Activate => "activate",
            Self::Remove => "remove",
        }
    }
}

/// What may be done with the bundles that have one of these names and one of these publishers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What they are called.
    pub names: Vec<NamePattern>,
    /// Whose they are; anybody's where it is not said.
    pub publishers: Option<Vec<PublisherId>>,
    /// What may be done.
    pub may: Vec<Right>,
}

impl Rule {
    fn gives(&self, right: Right) -> bool {
        match right {
            Right::See => !self.may.is_empty(),
            Right::Read | Right::Install | Right::Activate | Right::Remove => self.may.contains(&right),
        }
    }

    fn is_about(&self, name: &BundleName) -> bool {
        self.names.iter().any(|pattern| pattern.matches(name.as_str()))
    }

    fn includes(&self, publisher: &PublisherId) -> bool {
        self.publishers.as_ref().is_none_or(|publishers| publishers.contains(publisher))
    }
}

/// What somebody may do with the bundles of a store: nothing, unless it is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    rules: Vec<Rule>,
}

impl Rights {
    /// None at all.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Everything, with every bundle.
    #[must_use]
    pub fn all() -> Self {
        Self::none().and(Rule { names: vec![NamePattern::all()], publishers: None, may: Right::ALL.into() })
    }

    /// To see and read every bundle.
    #[must_use]
    pub fn looking() -> Self {
        let may = vec![Right::See, Right::Read];
        Self::none().and(Rule { names: vec![NamePattern::all()], publishers: None, may })
    }

    /// These, and those of one more rule.
    #[must_use]
    pub fn and(mut self, rule: Rule) -> Self {
        self.rules.push(rule);
        self
    }

    /// What was said.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether there is a bundle at all with which it may be done.
    #[must_use]
    pub fn give(&self, right: Right) -> bool {
        self.rules.iter().any(|rule| rule.gives(right) && !rule.names.is_empty())
    }

    /// Whether it may be done with every bundle, whatever it is called and whoever published it.
    #[must_use]
    pub fn give_everywhere(&self, right: Right) -> bool {
        let everywhere =
            |rule: &Rule| rule.publishers.is_none() && rule.names.iter().any(NamePattern::is_all);
        self.rules.iter().any(|rule| rule.gives(right) && everywhere(rule))
    }

    /// Whether it may be done with the bundle of this name and publisher.
    #[must_use]
    pub fn permit(&self, right: Right, name: &BundleName, publisher: &PublisherId) -> bool {
        self.rules.iter().any(|rule| rule.gives(right) && rule.is_about(name) && rule.includes(publisher))
    }

    /// Whether it may be done with bundles of this name: of some publisher's at least.
    #[must_use]
    pub fn permit_some(&self, right: Right, name: &BundleName) -> bool {
        self.rules.iter().any(|rule| rule.gives(right) && rule.is_about(name))
    }

    /// Whether it may be done with bundles of this name, whoever published them.
    #[must_use]
    pub fn permit_any(&self, right: Right, name: &BundleName) -> bool {
        let rules = self.rules.iter().filter(|rule| rule.publishers.is_none());
        rules.into_iter().any(|rule| rule.gives(right) && rule.is_about(name))
    }
}

/// What somebody sees of a store: the bundles for which a right is given, as if there were no others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    store: &'a Store,
    rights: &'a Rights,
    right: Right,
}

impl<'a> View<'a> {
    pub(crate) fn new(store: &'a Store, rights: &'a Rights, right: Right) -> Self {
        Self { store, rights, right }
    }

    pub(crate) fn store(&self) -> &'a Store {
        self.store
    }

    fn shows(&self, manifest: &Manifest) -> bool {
        self.rights.permit(self.right, manifest.name(), &manifest.publisher())
    }

    /// As [`Store::find`].
    pub(crate) fn find(&self, name: &BundleName, version: Option<Version>) -> Option<Arc<Installed>> {
        self.store.find(name, version).filter(|installed| self.shows(installed.manifest()))
    }

    /// As [`Store::versions`].
    pub(crate) fn versions(&self, name: &BundleName) -> Vec<Listed> {
        let mut versions = self.store.versions(name);
        versions.retain(|listed| self.shows(listed.bundle.manifest()));
        versions
    }

    /// As [`Store::list`].
    pub(crate) fn list(&self, after: Option<&(BundleName, Version)>, limit: usize) -> Vec<Listed> {
        self.store.list_where(after, limit, |manifest| self.shows(manifest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::samples::key;

    fn name(text: &str) -> BundleName {
        text.parse().unwrap()
    }

    fn rule(names: &[&str], publishers: Option<&[u8]>, may: &[Right]) -> Rule {
        Rule {
            names: names.iter().map(|name| name.parse().unwrap()).collect(),
            publishers: publishers.map(|keys| keys.iter().map(|number| key(*number).id()).collect()),
            may: may.into(),
        }
    }

    #[test]
    fn nothing_is_given_that_was_not_said() {
        let (own, other) = (key(1).id(), key(2).id());
        let rights = Rights::none().and(rule(&["org.a.*"], None, &[Right::Read])).and(rule(
            &["org.b", "org.c.*"],
            Some(&[1]),
            &[Right::Install, Right::Remove],
        ));
        for (right, bundle, publisher, permitted) in [
            (Right::Read, "org.a.x", other, true),
            (Right::See, "org.a.x", other, true),
            (Right::Read, "org.a", other, false),
            (Right::Install, "org.a.x", own, false),
            (Right::Install, "org.b", own, true),
            (Right::See, "org.b", own, true),
            (Right::Read, "org.b", own, false),
            (Right::Activate, "org.b", own, false),
            (Right::Install, "org.b", other, false),
            (Right::See, "org.b", other, false),
            (Right::Remove, "org.c.d", own, true),
            (Right::Remove, "org.cd", own, false),
        ] {
            assert_eq!(rights.permit(right, &name(bundle), &publisher), permitted, "{right:?} {bundle}");
        }
        assert!(rights.permit_some(Right::Remove, &name("org.b")));
        assert!(!rights.permit_any(Right::Remove, &name("org.b")));
        assert!(rights.permit_any(Right::Read, &name("org.a.x")));
        assert!(!rights.give(Right::Activate) && rights.give(Right::Install));
        assert!(!rights.give_everywhere(Right::See) && Rights::looking().give_everywhere(Right::See));
        for right in Right::ALL {
            assert!(!Rights::none().give(right) && Rights::all().give_everywhere(right));
        }
        assert!(!Rights::none().and(rule(&["*"], None, &[])).give(Right::See));
        assert!(!Rights::none().and(rule(&["*"], Some(&[1]), &[Right::Read])).give_everywhere(Right::Read));
    }
}
