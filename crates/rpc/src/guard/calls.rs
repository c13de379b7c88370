//! What the peer's calls hold of this side's memory, and how deep they wait for one another.
//!
//! A call whose parameters or target are results of other calls keeps those alive, also where the peer has given
//! them up: capnp-rpc runs a canceled call for as long as another one waits for its result. Such a call is counted until
//! the last of those is over.

use vatmux_driver::Instant;

use super::account::Account;
use crate::answers::AnswerId;
use crate::by_id::ById;

/// What a call costs beside its message, by measure.
pub(crate) const CALL_BYTES: usize = 2_432;

/// A call, and its place in the table. Ids are used again, places are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    id: AnswerId,
    serial: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Bootstrap,
    Call(Served),
}

impl What {
    /// As how many calls it counts.
    fn calls(self) -> usize {
        match self {
            Self::Bootstrap => 0,
            Self::Call(_) => 1,
        }
    }
}

/// A call of a method, and until when it is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Served {
    pub(crate) interface: u64,
    pub(crate) method: u16,
    pub(crate) until: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Answered; the peer's Finish has not come.
    Returned,
    /// The peer has given it up, and other calls wait for its result.
    Canceled,
}

#[derive(Debug)]
struct Held {
    serial: u64,
    what: What,
    state: State,
    bytes: usize,
    depth: u8,
    /// Calls that wait for its result.
    dependents: u32,
    /// The calls whose results it waits for.
    waits_for: Vec<Reference>,
    /// Capabilities that its results gave to the peer, a reference each.
    exports: Vec<u32>,
    /// Its results are this side's own objects, and no promises.
    settled: bool,
}

/// The calls that are not over, by the ids that capnp-rpc knows them by.
#[derive(Default)]
pub(crate) struct Calls {
    held: ById<AnswerId, Held>,
    held_bytes: usize,
    bootstraps: usize,
    serial: u64,
    /// No call's deadline is before this. It may be that of a call that is over: to know better would cost every call
    /// more than looking through all of them costs now and then.
    nothing_due_before: Option<Instant>,
    /// Has the same sums for all vats of the peer.
    account: Account,
}

impl Calls {
    /// Has an account of several vats count what this one holds, now and later.
    pub(crate) fn join(&mut self, account: &Account) {
        self.leave();
        self.account = account.clone();
        self.account.add(self.count(), self.held_bytes);
    }

    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    /// The vat is over, and capnp-rpc has let go of everything.
    pub(crate) fn clear(&mut self) {
        self.leave();
        self.held.clear();
        self.held_bytes = 0;
        self.bootstraps = 0;
    }

    fn leave(&self) {
        self.account.subtract(self.count(), self.held_bytes);
    }

    /// Calls, requests for the bootstrap capability not among them.
    pub(crate) fn count(&self) -> usize {
        self.held.len() - self.bootstraps
    }

    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    pub(crate) fn bootstraps(&self) -> usize {
        self.bootstraps
    }

    /// How deep the call is whose result is spoken of; 0 where there is no such call.
    pub(crate) fn depth(&self, id: AnswerId) -> u8 {
        self.held.get(id).map_or(0, |call| call.depth)
    }

    /// The deepest of all.
    pub(crate) fn max_depth(&self) -> u8 {
        self.held.values().map(|call| call.depth).max().unwrap_or(0)
    }

    /// True where the results are known to hold nothing but objects of this side's.
    pub(crate) fn is_settled(&self, id: AnswerId) -> bool {
        self.held.get(id).is_none_or(|call| call.state == State::Returned && call.settled)
    }

    /// The peer calls. `on` are the calls whose results it refers to.
    pub(crate) fn begin(&mut self, id: AnswerId, what: What, bytes: usize, depth: u8, on: &[AnswerId]) {
        let mut waits_for = Vec::new();
        for id in on {
            if let Some(call) = self.held.get_mut(*id)
                && call.state == State::Open
            {
                call.dependents += 1;
                waits_for.push(Reference { id: *id, serial: call.serial });
            }
        }
        self.serial += 1;
        let bytes = bytes + CALL_BYTES;
        self.held_bytes += bytes;
        self.bootstraps += usize::from(what == What::Bootstrap);
        self.account.add(what.calls(), bytes);
        if let What::Call(served) = what {
            let earliest = self.nothing_due_before.map_or(served.until, |before| before.min(served.until));
            self.nothing_due_before = Some(earliest);
        }
        let call = Held {
            serial: self.serial,
            what,
            state: State::Open,
            bytes,
            depth,
            dependents: 0,
            waits_for,
            exports: Vec::new(),
            settled: false,
        };
        self.held.insert(id, call);
    }

    /// The nearest moment at which a call may be overdue.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.nothing_due_before
    }

    /// The calls that have no answer though their deadline has come. They stay what they are.
    pub(crate) fn overdue(&mut self, now: Instant) -> Vec<(AnswerId, Served)> {
        let mut overdue = Vec::new();
        if self.nothing_due_before.is_none_or(|before| before > now) {
            return overdue;
        }
        self.nothing_due_before = None;
        for (id, call) in self.held.iter() {
            let What::Call(served) = call.what else { continue };
            if call.state != State::Open {
                continue;
            }
            if served.until <= now {
                overdue.push((AnswerId(id), served));
            } else if self.nothing_due_before.is_none_or(|before| served.until < before) {
                self.nothing_due_before = Some(served.until);
            }
        }
        overdue
    }

    /// capnp-rpc answers. What it goes on holding until the Finish is `bytes` of results; None where it holds nothing.
    pub(crate) fn returned(&mut self, id: AnswerId, bytes: Option<usize>, exports: Vec<u32>, settled: bool) {
        let Some(call) = self.held.get_mut(id) else { return };
        let waited_for = std::mem::take(&mut call.waits_for);
        match (bytes, call.state) {
            (Some(bytes), State::Open | State::Returned) => {
                let bytes = bytes + CALL_BYTES;
                self.held_bytes = self.held_bytes - call.bytes + bytes;
                self.account.subtract(0, call.bytes);
                self.account.add(0, bytes);
                call.bytes = bytes;
                call.state = State::Returned;
                call.exports = exports;
                call.settled = settled;
            }
            (None, _) | (_, State::Canceled) => {
                self.remove(id);
            }
        }
        self.let_go(waited_for);
    }

    /// The peer has finished a call. Gives the capabilities that its results gave to the peer.
    pub(crate) fn finished(&mut self, id: AnswerId) -> Vec<u32> {
        let Some(call) = self.held.get_mut(id) else { return Vec::new() };
        if call.state == State::Open && call.dependents > 0 {
            call.state = State::Canceled;
            return Vec::new();
        }
        let Some(call) = self.remove(id) else { return Vec::new() };
        self.let_go(call.waits_for);
        call.exports
    }

    /// Nobody waits on behalf of one call any more for those that it waited for.
    fn let_go(&mut self, mut waited_for: Vec<Reference>) {
        while let Some(Reference { id, serial }) = waited_for.pop() {
            let Some(call) = self.held.get_mut(id).filter(|call| call.serial == serial) else { continue };
            call.dependents = call.dependents.saturating_sub(1);
            if call.dependents == 0
                && call.state == State::Canceled
                && let Some(call) = self.remove(id)
            {
                waited_for.extend(call.waits_for);
            }
        }
    }

    fn remove(&mut self, id: AnswerId) -> Option<Held> {
        let call = self.held.remove(id)?;
        self.held_bytes -= call.bytes;
        self.bootstraps -= usize::from(call.what == What::Bootstrap);
        self.account.subtract(call.what.calls(), call.bytes);
        Some(call)
    }
}

impl Drop for Calls {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests;
