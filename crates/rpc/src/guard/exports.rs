//! The capabilities of this side's that the peer holds: capnp-rpc's table of exports, as the wire shows it.

use super::limits::MAX_REFERENCES;
use super::{Exceeded, Violation};
use crate::VatEnd;

/// What a promise that the peer holds is known to have become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Nature {
    /// An object of this side's, or whatever a promise became that is none of the peer's.
    #[default]
    Settled,
    /// A promise, with the depth that calls on it wait at.
    Promise { depth: u8 },
    /// A promise that became the result of one of our own calls to the peer.
    OfQuestion,
}

#[derive(Clone, Copy, Debug, Default)]
struct Export {
    references: u32,
    nature: Nature,
}

/// The table. capnp-rpc gives out the lowest id that is free, so that it is as long as it ever was full.
#[derive(Default)]
pub(crate) struct Exports {
    table: Vec<Export>,
    held: usize,
}

impl Exports {
    /// Capabilities that the peer holds.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// One more reference is on its way to the peer. `promise` is the depth of a capability that is sent as a
    /// promise; capnp-rpc says so the first time only.
    pub(crate) fn sent(&mut self, id: u32, promise: Option<u8>) -> Result<(), Exceeded> {
        let index = id as usize;
        if index >= self.table.len() {
            self.table.resize(index + 1, Export::default());
        }
        let Some(export) = self.table.get_mut(index) else { return Ok(()) };
        if export.references == 0 {
            self.held += 1;
            export.nature = Nature::Settled;
        }
        if export.references == MAX_REFERENCES {
            return Err(Exceeded::References);
        }
        export.references += 1;
        if let Some(depth) = promise {
            export.nature = Nature::Promise { depth };
        }
        Ok(())
    }

    /// The peer is told what a promise became.
    pub(crate) fn resolved(&mut self, id: u32, nature: Nature) {
        if let Some(export) = self.table.get_mut(id as usize) {
            export.nature = nature;
        }
    }

    /// What the peer calls by this id; None where it holds no such capability.
    pub(crate) fn get(&self, id: u32) -> Option<Nature> {
        let export = self.table.get(id as usize)?;
        (export.references > 0).then_some(export.nature)
    }

    /// The peer gives references back.
    pub(crate) fn release(&mut self, id: u32, count: u32) -> Result<(), VatEnd> {
        let export = self.table.get_mut(id as usize).filter(|export| export.references > 0);
        let Some(export) = export else { return Err(Violation::UnknownExport(id).into()) };
        let Some(left) = export.references.checked_sub(count) else {
            let held = export.references;
            return Err(Violation::ReleasedTooOften { id, count, held }.into());
        };
        export.references = left;
        if left == 0 {
            self.held -= 1;
        }
        Ok(())
    }
}
