//! What one node may do.

use super::pattern::NamePattern;
use crate::bundle::{self, Right};
use crate::{bundlemgr, health, packagefs, samgr, statefs};

/// What a node is granted: nothing but [`crate::health`] of its own session, unless it is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// What people call the node.
    pub name: Option<String>,
    /// Whether it sees all of the node that serves by [`crate::health`], and not its own session alone.
    pub operator: bool,
    /// Whether it may read the directory that is served.
    pub files: bool,
    /// Which keys it may see and change.
    pub state: statefs::Access,
    /// What it may do with which bundles.
    pub bundles: bundle::Rights,
    /// Which names of the registry it may see, and which register.
    pub registry: Vec<(NamePattern, samgr::Right)>,
    /// Which services it may use besides those for which there are rights of their own.
    pub services: Vec<NamePattern>,
}

/// What is behind packagefs on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Files {
    /// A directory, which is granted as a whole.
    Directory,
    /// Bundles, which are granted one by one.
    Bundles,
}

/// The services that are granted by rights of their own, and how.
pub(super) const WITH_RIGHTS: [(&str, &str); 5] = [
    (health::SERVICE_NAME, "every node that may connect has it; `operator = true` shows it all of the node"),
    (
        packagefs::SERVICE_NAME,
        "write `files = true` for a directory, or `may = [\"read\"]` in [[node.bundles]]",
    ),
    (statefs::SERVICE_NAME, "say which keys in [node.state]"),
    (bundlemgr::SERVICE_NAME, "say which bundles in [[node.bundles]]"),
    (samgr::SERVICE_NAME, "say which names in [node.samgr]"),
];

impl Grant {
    /// Nothing but to see its own session.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// To read all files and bundles, to see and change all keys, and to find and use all services; but not to change bundles, to
    /// register services, or to see the whole node.
    #[must_use]
    pub fn guest() -> Self {
        Self {
            name: None,
            operator: false,
            files: true,
            state: statefs::Access::full(),
            bundles: bundle::Rights::looking(),
            registry: vec![(NamePattern::all(), samgr::Right::See)],
            services: vec![NamePattern::all()],
        }
    }

    /// What it may do with the names of a registry. A pattern that no name can have gives nothing.
    #[must_use]
    pub fn registry_access(&self) -> samgr::Access {
        self.registry.iter().fold(samgr::Access::none(), |access, (pattern, right)| match pattern {
            NamePattern::Exactly(name) => match name.parse() {
                Ok(name) => access.and_only(name, *right),
                Err(_) => access,
            },
            NamePattern::Begins(begin) => match begin.parse() {
                Ok(prefix) => access.and(prefix, *right),
                Err(_) => access,
            },
        })
    }

    /// Whether the node is offered the service of this name at all.
    #[must_use]
    pub fn offers(&self, service: &str, files: Files) -> bool {
        match service {
            health::SERVICE_NAME => true,
            packagefs::SERVICE_NAME => match files {
                Files::Directory => self.files,
                Files::Bundles => self.bundles.give(Right::Read),
            },
            statefs::SERVICE_NAME => !self.state.is_none(),
            bundlemgr::SERVICE_NAME => self.bundles.give(Right::See),
            samgr::SERVICE_NAME => !self.registry.is_empty(),
            other => self.services.iter().any(|pattern| pattern.matches(other)),
        }
    }
}
