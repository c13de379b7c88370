//! What all the vats of one session hold for their peer, together.

use std::cell::Cell;
use std::rc::Rc;

/// The account of one peer. Clones are the same account: each vat of a session has one.
#[derive(Clone, Default)]
pub(crate) struct Account(Rc<Totals>);

#[derive(Default)]
struct Totals {
    calls: Cell<usize>,
    bytes: Cell<usize>,
}

impl Account {
    /// Calls that are not over, requests for the bootstrap capability not among them.
    pub(crate) fn calls(&self) -> usize {
        self.0.calls.get()
    }

    /// Bytes that are held for calls.
    pub(crate) fn bytes(&self) -> usize {
        self.0.bytes.get()
    }

    pub(super) fn add(&self, calls: usize, bytes: usize) {
        self.0.calls.set(self.calls() + calls);
        self.0.bytes.set(self.bytes() + bytes);
    }

    /// Takes away what was added before.
    pub(super) fn subtract(&self, calls: usize, bytes: usize) {
        self.0.calls.set(self.calls().saturating_sub(calls));
        self.0.bytes.set(self.bytes().saturating_sub(bytes));
    }
}
