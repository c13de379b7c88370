//! The calls that the peer has asked of this vat, and the ids under which capnp-rpc knows them.
//!
//! A peer that finishes a call before its answer (it was canceled, or its deadline came) is still owed a Return,
//! and may use the id again once it has that. capnp-rpc cancels the call but sends no Return, and keeps the id
//! occupied: a caller that waits for the Return waits for ever, and one that uses the id again has its
//! connection closed. So the Return is sent by us, and an id that capnp-rpc keeps occupied is **spent**: should
//! the peer use it again, capnp-rpc is given an **alias**. All other calls have the peer's id, and while there is
//! no alias nothing needs translating.
//!
//! The table holds only state; it sends nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::by_id::ById;

/// A call's id as the peer knows it: the peer's question, our answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PeerId(pub(crate) u32);

/// A call's id as capnp-rpc knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct AnswerId(pub(crate) u32);

impl From<PeerId> for u32 {
    fn from(id: PeerId) -> Self {
        id.0
    }
}

impl From<AnswerId> for u32 {
    fn from(id: AnswerId) -> Self {
        id.0
    }
}

/// Where the search for an alias begins. The peer chooses its ids and may choose these as well: it is then
/// given an alias for them.
const FIRST_ALIAS: u32 = 1 << 30;

/// No answer ever has this id: what refers to a call that the peer has not made refers to this.
const NO_ANSWER: AnswerId = AnswerId(u32::MAX);

/// A call of the peer's.
#[derive(Clone, Copy, Debug)]
struct Call {
    answer: AnswerId,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Not returned yet.
    Open,
    /// Returned; the peer's Finish has not come yet.
    Returned,
    /// As `Returned`, but with an error in place of results: the peer does not know what those carried.
    Replaced,
}

/// The peer has a call with this id already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InUse;

/// What to do with a Finish of the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FinishOrder {
    /// capnp-rpc gets it under this id.
    Deliver(AnswerId),
    /// capnp-rpc gets it under this id, and releases what its results carried.
    DeliverReleasing(AnswerId),
    /// capnp-rpc gets it under this id and cancels the call. The peer gets a Return that says so.
    Cancel(AnswerId),
    /// There is no such call any more: its Return said that it needs no Finish.
    Discard,
}

/// What to do with a Return of capnp-rpc's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReturnOrder {
    /// Send it under this id.
    Send(PeerId),
    /// The peer finished the call before, and has been told.
    Drop,
}

/// The table of answers of one vat.
#[derive(Default)]
pub(crate) struct Answers {
    calls: ById<PeerId, Call>,
    /// The peer's ids of the calls that have an alias.
    aliases: BTreeMap<AnswerId, PeerId>,
    /// Ids that capnp-rpc keeps occupied for calls that are over.
    spent: BTreeSet<AnswerId>,
    /// Where the search for the next alias begins.
    next_alias: u32,
}

impl Answers {
    /// True while every call has the peer's id, and messages need no translating.
    pub(crate) fn untranslated(&self) -> bool {
        self.aliases.is_empty()
    }

    /// How many ids capnp-rpc keeps occupied for nothing.
    pub(crate) fn spent(&self) -> usize {
        self.spent.len()
    }

    /// The peer calls.
    pub(crate) fn call(&mut self, peer: PeerId) -> Result<AnswerId, InUse> {
        if self.calls.contains(peer) {
            return Err(InUse);
        }
        let answer = self.vacant(peer);
        if answer.0 != peer.0 {
            self.aliases.insert(answer, peer);
        }
        self.calls.insert(peer, Call { answer, state: State::Open });
        Ok(answer)
    }

    /// True while the peer has a call with this id that is not over.
    pub(crate) fn is_open(&self, peer: PeerId) -> bool {
        self.calls.contains(peer)
    }

    /// The id under which capnp-rpc knows what the peer calls by this one.
    pub(crate) fn answer_id(&self, peer: PeerId) -> AnswerId {
        self.calls.get(peer).map_or(NO_ANSWER, |call| call.answer)
    }

    /// The peer sent a Finish.
    pub(crate) fn finish(&mut self, peer: PeerId) -> FinishOrder {
        let Some(Call { answer, state }) = self.calls.remove(peer) else { return FinishOrder::Discard };
        self.aliases.remove(&answer);
        match state {
            State::Returned => FinishOrder::Deliver(answer),
            State::Replaced => FinishOrder::DeliverReleasing(answer),
            State::Open => {
                self.spent.insert(answer);
                FinishOrder::Cancel(answer)
            }
        }
    }

    /// This side serves a call no longer, and tells capnp-rpc and the peer so: gives the id that the peer knows it by.
    /// None where it has an answer.
    pub(crate) fn give_up(&mut self, answer: AnswerId) -> Option<PeerId> {
        let peer = self.peer_id(answer);
        let call = self.calls.get(peer)?;
        if call.answer != answer || call.state != State::Open {
            return None;
        }
        self.calls.remove(peer);
        self.aliases.remove(&answer);
        self.spent.insert(answer);
        Some(peer)
    }

    /// capnp-rpc wants to send a Return, after which it forgets the call or waits for its Finish.
    pub(crate) fn returned(&mut self, answer: AnswerId, needs_finish: bool, replaced: bool) -> ReturnOrder {
        if self.spent.remove(&answer) {
            return ReturnOrder::Drop;
        }
        let peer = self.peer_id(answer);
        if needs_finish {
            if let Some(call) = self.calls.get_mut(peer) {
                call.state = if replaced { State::Replaced } else { State::Returned };
            }
        } else {
            self.calls.remove(peer);
            self.aliases.remove(&answer);
        }
        ReturnOrder::Send(peer)
    }

    fn peer_id(&self, answer: AnswerId) -> PeerId {
        self.aliases.get(&answer).copied().unwrap_or(PeerId(answer.0))
    }

    /// An id for a call that no other has, that of the peer if possible.
    fn vacant(&mut self, peer: PeerId) -> AnswerId {
        let mut answer = AnswerId(peer.0);
        // Ends: fewer ids are occupied than there are.
        while answer == NO_ANSWER || !self.is_vacant(answer) {
            answer = AnswerId(FIRST_ALIAS | self.next_alias);
            self.next_alias = self.next_alias.wrapping_add(1) % FIRST_ALIAS;
        }
        answer
    }

    fn is_vacant(&self, answer: AnswerId) -> bool {
        let has_own_id = self.calls.get(PeerId(answer.0)).is_some_and(|call| call.answer == answer);
        !has_own_id && !self.aliases.contains_key(&answer) && !self.spent.contains(&answer)
    }
}

#[cfg(test)]
mod tests;
