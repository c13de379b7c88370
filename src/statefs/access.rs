//! Who may see and change what: prefixes, and what of a store they leave.

use super::error::Error;
use super::key::{Key, Prefix};
use super::store::{Page, Store};

/// What may be done with the keys of a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// They may be seen.
    Read,
    /// They may be seen and changed.
    Write,
}

/// Which keys somebody may see and change: none, unless it is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    rules: Vec<(Prefix, Right)>,
}

impl Access {
    /// Nothing at all.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Everything.
    #[must_use]
    pub fn full() -> Self {
        Self::none().and(Prefix::default(), Right::Write)
    }

    /// Whether there is nothing that may be seen.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.rules.is_empty()
    }

    /// What was said: of each prefix, what may be done with its keys.
    #[must_use]
    pub fn rules(&self) -> &[(Prefix, Right)] {
        &self.rules
    }

    /// This, and the keys of one more prefix.
    #[must_use]
    pub fn and(mut self, prefix: Prefix, right: Right) -> Self {
        self.rules.push((prefix, right));
        self
    }

    /// What of this begins with `prefix`; only to be seen if it is `read_only`.
    #[must_use]
    pub fn narrowed(&self, prefix: &Prefix, read_only: bool) -> Self {
        let rules = self.rules.iter().filter_map(|(rule, right)| {
            let right = if read_only { Right::Read } else { *right };
            Some((rule.and(prefix)?, right))
        });
        Self { rules: rules.collect() }
    }

    /// What may be done with a key.
    #[must_use]
    pub fn of(&self, key: &Key) -> Option<Right> {
        self.rules.iter().filter(|(prefix, _)| prefix.begins(key)).map(|(_, right)| *right).max()
    }

    /// The prefixes of all keys that begin with `asked` and may be seen: in order, and no key begins with two of them.
    fn visible(&self, asked: &Prefix) -> Vec<Prefix> {
        let mut prefixes: Vec<Prefix> = self.rules.iter().filter_map(|(rule, _)| rule.and(asked)).collect();
        prefixes.sort_by(|one, other| one.as_bytes().cmp(other.as_bytes()));
        // A prefix comes right before all that begin with it.
        prefixes.dedup_by(|later, earlier| later.as_bytes().starts_with(earlier.as_bytes()));
        prefixes
    }

    /// One page of [`Store::list`], of what may be seen. It may be empty although there was another before it.
    pub(super) fn list(
        &self,
        store: &Store,
        asked: &Prefix,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Page, Error> {
        if after.is_some_and(|after| !asked.begins(after) || self.of(after).is_none()) {
            return Err(Error::InvalidCursor);
        }
        let mut all = Page::default();
        for prefix in self.visible(asked) {
            let after = match after {
                Some(after) if prefix.begins(after) => Some(after),
                Some(after) if prefix.as_bytes() < after.as_bytes() => continue,
                _ => None,
            };
            if all.entries.len() == limit {
                all.next = all.entries.last().map(|entry| entry.key.clone());
                break;
            }
            let page = store.list(&prefix, after, limit - all.entries.len())?;
            all.entries.extend(page.entries);
            if page.next.is_some() {
                all.next = page.next;
                break;
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    fn key(text: &str) -> Key {
        text.parse().unwrap()
    }

    #[test]
    fn nothing_is_given_that_was_not_said() {
        assert_eq!(Access::none().of(&key("a")), None);
        let access = Access::none().and(prefix("a/"), Right::Read).and(prefix("a/w/"), Right::Write);
        assert_eq!(access.of(&key("a/b")), Some(Right::Read));
        assert_eq!(access.of(&key("a/w/b")), Some(Right::Write));
        for outside in ["a", "ab", "b/a/w/c", "A/b"] {
            assert_eq!(access.of(&key(outside)), None, "{outside}");
        }
    }

    #[test]
    fn test_reject_prefix_escape_narrowing_never_widens() {
        let access = Access::none().and(prefix("a/"), Right::Read).and(prefix("w/"), Right::Write);
        assert_eq!(access.narrowed(&prefix(""), false), access);
        assert_eq!(access.narrowed(&prefix("b/"), false), Access::none());
        let inner = access.narrowed(&prefix("w/x/"), false);
        assert_eq!(inner.of(&key("w/x/1")), Some(Right::Write));
        assert_eq!(inner.of(&key("w/y")), None);
        assert_eq!(inner.narrowed(&prefix("w/"), false), inner);
        assert_eq!(access.narrowed(&prefix("w/"), true).of(&key("w/x")), Some(Right::Read));
        assert_eq!(access.narrowed(&prefix("a/"), false).of(&key("a/x")), Some(Right::Read));
    }

    #[test]
    fn what_may_be_seen_is_disjoint_and_in_order() {
        let access = ["b/", "a/x/", "a/", "b/", "c"]
            .into_iter()
            .fold(Access::none(), |access, rule| access.and(prefix(rule), Right::Read));
        let shown = |asked: &str| -> Vec<String> {
            access.visible(&prefix(asked)).iter().map(ToString::to_string).collect()
        };
        assert_eq!(shown(""), ["a/", "b/", "c"]);
        assert_eq!(shown("a/x/y"), ["a/x/y"]);
        assert_eq!(shown("cc"), ["cc"]);
        assert!(shown("d").is_empty());
    }
}
