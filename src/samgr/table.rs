//! What is registered, and the changes that led there.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use vatmux_noise::NodeId;

use super::name::{Name, Prefix};
use crate::schema::samgr::Descriptor;
use crate::schema::samgr_capnp::{Conflict, Reason};

/// Names, each with who offers it, and the last changes. Revisions and generations begin at 1.
pub(super) struct Table {
    by_name: BTreeMap<Name, Arc<Entry>>,
    /// The last changes, without a gap: each has a revision one larger than that of the one before it.
    log: VecDeque<Arc<Change>>,
    max_changes: usize,
    revision: u64,
    generation: u64,
}

/// A registration.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: Name,
    pub(super) descriptor: Descriptor,
    pub(super) by: By,
}

/// Where what is registered can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// Of the node itself, on each of its threads.
    Node,
    /// Of a peer whose session is on this thread.
    Peer { node: NodeId, replaceable: bool, home: Home },
}

/// A thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Home(pub(super) u64);

/// What happened.
#[derive(Debug)]
pub(super) enum Change {
    Registered(Arc<Entry>),
    Unregistered { revision: u64, entry: Arc<Entry>, reason: Reason },
}

/// The name is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// By the node itself, or another one.
    ByOther,
    /// By a registration of the same node that does not give way, or is not asked to.
    ByOwn,
}

impl Change {
    pub(super) fn revision(&self) -> u64 {
        match self {
            Self::Registered(entry) => entry.descriptor.revision,
            Self::Unregistered { revision, .. } => *revision,
        }
    }

    pub(super) fn name(&self) -> &Name {
        match self {
            Self::Registered(entry) | Self::Unregistered { entry, .. } => &entry.name,
        }
    }
}

impl Table {
    /// Nothing, of whose changes the last `max_changes` will be known.
    pub(super) fn new(max_changes: usize) -> Self {
        Self {
            by_name: BTreeMap::new(),
            log: VecDeque::new(),
            max_changes: max_changes.max(1),
            revision: 0,
            generation: 0,
        }
    }

    /// Registers what `descriptor` says. Its generation and revision are the table's to say.
    pub(super) fn register(
        &mut self,
        name: Name,
        mut descriptor: Descriptor,
        by: By,
        conflict: Conflict,
    ) -> Result<Arc<Entry>, Taken> {
        if let Some(there) = self.by_name.get(&name) {
            match (there.by, by) {
                (By::Peer { node: its, replaceable, .. }, By::Peer { node, .. }) if its == node => {
                    if !replaceable || conflict != Conflict::Replace {
                        return Err(Taken::ByOwn);
                    }
                }
                (By::Node | By::Peer { .. }, By::Node | By::Peer { .. }) => return Err(Taken::ByOther),
            }
            let generation = there.descriptor.generation;
            self.unregister(&name, generation, Reason::Replaced);
        }
        self.generation += 1;
        descriptor.generation = self.generation;
        descriptor.revision = self.next_revision();
        let entry = Arc::new(Entry { name: name.clone(), descriptor, by });
        self.by_name.insert(name, entry.clone());
        self.note(Change::Registered(entry.clone()));
        Ok(entry)
    }

    /// False where the name has been registered anew, or is not registered.
    pub(super) fn unregister(&mut self, name: &Name, generation: u64, reason: Reason) -> bool {
        let Some(entry) = self.by_name.get(name).filter(|entry| entry.descriptor.generation == generation)
        else {
            return false;
        };
        let entry = entry.clone();
        self.by_name.remove(name);
        let revision = self.next_revision();
        self.note(Change::Unregistered { revision, entry, reason });
        true
    }

    fn next_revision(&mut self) -> u64 {
        self.revision += 1;
        self.revision
    }

    fn note(&mut self, change: Change) {
        if self.log.len() == self.max_changes {
            self.log.pop_front();
        }
        self.log.push_back(Arc::new(change));
    }

    /// Of the last change; 0 where there was none.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(super) fn find(&self, name: &Name) -> Option<&Arc<Entry>> {
        self.by_name.get(name)
    }

    /// What begins with `prefix`, from the one that follows `after` on, ordered by name.
    pub(super) fn range<'a>(
        &'a self,
        prefix: &'a Prefix,
        after: Option<&Name>,
    ) -> impl Iterator<Item = &'a Arc<Entry>> {
        let from = match after {
            Some(after) if after.as_str() >= prefix.as_str() => Bound::Excluded(after.as_str()),
            Some(_) | None => Bound::Included(prefix.as_str()),
        };
        self.by_name
            .range::<str, _>((from, Bound::Unbounded))
            .map(|(_, entry)| entry)
            .take_while(|entry| prefix.begins(&entry.name))
    }

    /// The first `most` of the changes after a revision for which `see` holds, and the revision up to which nothing else is to
    /// be seen. None where they are not all known any more.
    pub(super) fn changes(
        &self,
        after: u64,
        most: usize,
        see: impl Fn(&Change) -> bool,
    ) -> Option<(Vec<Arc<Change>>, u64)> {
        let missed = self.revision.checked_sub(after)?;
        let skipped = (self.log.len() as u64).checked_sub(missed)?;
        let mut seen = Vec::new();
        let mut upto = after;
        for change in self.log.iter().skip(skipped as usize) {
            if see(change) {
                if seen.len() == most {
                    return Some((seen, upto));
                }
                seen.push(change.clone());
            }
            upto = change.revision();
        }
        Some((seen, upto))
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn register(table: &mut Table, name: &str) {
        let descriptor = Descriptor {
            name: name.to_owned(),
            interface_id: 0,
            schema_digest: Vec::new(),
            version: String::new(),
            node: String::new(),
            generation: 0,
            revision: 0,
            priority: 0,
            local: true,
        };
        table.register(name.parse().unwrap(), descriptor, By::Node, Conflict::Refuse).unwrap();
    }

    #[test]
    fn as_many_changes_are_given_as_are_asked_for_and_what_is_not_seen_makes_nobody_late() {
        let mut table = Table::new(10);
        for name in ["a", "b", "c", "d"] {
            register(&mut table, name);
        }
        let given = |after, most| {
            let (changes, upto) = table.changes(after, most, |change| change.name().as_str() != "b").unwrap();
            (changes.iter().map(|change| change.name().to_string()).collect::<String>(), upto)
        };
        assert_eq!(given(0, 1), ("a".to_owned(), 2));
        assert_eq!(given(0, 2), ("ac".to_owned(), 3));
        assert_eq!(given(2, 2), ("cd".to_owned(), 4));
        assert_eq!(given(1, 9), ("cd".to_owned(), 4));
    }

    #[test]
    fn as_many_changes_are_known_as_were_asked_for_and_not_one_more() {
        let mut table = Table::new(3);
        for name in ["a", "b", "c", "d"] {
            register(&mut table, name);
        }
        let known = |after| {
            let (changes, upto) = table.changes(after, usize::MAX, |_| true)?;
            Some((changes.iter().map(|change| change.name().to_string()).collect::<String>(), upto))
        };
        assert_eq!(known(0), None);
        assert_eq!(known(1), Some(("bcd".to_owned(), 4)));
        assert_eq!(known(4), Some((String::new(), 4)));
        assert_eq!(known(5), None, "of another registry");
        assert_eq!(table.log.len(), 3);
    }
}
