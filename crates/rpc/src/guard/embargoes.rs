//! The embargoes that this side has asked the peer to lift.

use std::collections::BTreeMap;

use vatmux_driver::Instant;

/// When each embargo has to be lifted by. They are made in the order of their ids' use, not of their ids.
#[derive(Default)]
pub(crate) struct Embargoes(BTreeMap<u32, Instant>);

impl Embargoes {
    /// Embargoes in force.
    pub(crate) fn in_force(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn impose(&mut self, id: u32, until: Instant) {
        self.0.insert(id, until);
    }

    /// False where no such embargo is in force.
    pub(crate) fn lift(&mut self, id: u32) -> bool {
        self.0.remove(&id).is_some()
    }

    /// When the first has to be lifted by.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.0.values().min().copied()
    }
}
