//! The capabilities of the peer's that this side holds: capnp-rpc's table of imports, as the wire shows it.

use std::collections::BTreeMap;

use super::Exceeded;
use super::limits::MAX_REFERENCES;

/// References by capability. The peer chooses the ids.
#[derive(Default)]
pub(crate) struct Imports(BTreeMap<u32, u32>);

impl Imports {
    /// Capabilities held.
    pub(crate) fn held(&self) -> usize {
        self.0.len()
    }

    /// How many of `ids` are new.
    pub(crate) fn count_new(&self, ids: &[u32]) -> usize {
        ids.iter().filter(|id| !self.0.contains_key(id)).count()
    }

    /// capnp-rpc gets these from a message, a reference each.
    pub(crate) fn received(&mut self, ids: &[u32]) -> Result<(), Exceeded> {
        for id in ids {
            let references = self.0.entry(*id).or_default();
            if *references == MAX_REFERENCES {
                return Err(Exceeded::References);
            }
            *references += 1;
        }
        Ok(())
    }

    /// capnp-rpc gives references back.
    pub(crate) fn released(&mut self, id: u32, count: u32) {
        if let Some(references) = self.0.get_mut(&id) {
            *references = references.saturating_sub(count);
            if *references == 0 {
                self.0.remove(&id);
            }
        }
    }
}
