//! The calls that this vat has asked of its peer: their deadlines, and the ids that they have on the wire.
//!
//! capnp-rpc numbers its questions and uses a number again once it has seen the answer and sent the Finish. A
//! call whose deadline came is answered here, by us, so that capnp-rpc lets go of its number while the peer
//! still owes the real answer. Until that arrives the number must not reach the peer with a new meaning: it is
//! **quarantined**, and a new question with that number travels under an **alias**. All other questions travel
//! under their own numbers, and while there is no alias nothing needs translating.
//!
//! The table holds only state; it sends nothing and knows no clock.

mod due;

use std::collections::HashSet;
use std::time::Duration;

use slab::Slab;
use vatmux_driver::Instant;

use self::due::Due;

/// A question's id as capnp-rpc knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct QuestionId(pub(crate) u32);

/// A question's id as the peer knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WireId(pub(crate) u32);

impl QuestionId {
    fn unaliased(self) -> WireId {
        WireId(self.0)
    }
}

/// Where aliases begin: above every id that capnp-rpc reaches, whose ids are the lowest that are free.
const FIRST_ALIAS: u32 = 1 << 30;

/// A wire id that no question ever has: what refers to a call that was never sent refers to this.
const NO_QUESTION: WireId = WireId(u32::MAX);

/// What was asked, for the error that says it was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Bootstrap,
    Call { interface: u64, method: u16 },
}

/// One of capnp-rpc's questions.
#[derive(Clone, Copy, Debug)]
enum Slot {
    Free,
    /// Sent; neither answered nor given up.
    Asked {
        wire: WireId,
        asked: Asked,
        deadline: Instant,
        patience: Duration,
        /// How many bytes the vat had to send before it.
        position: u64,
    },
    /// The caller gave up and the Finish has left; capnp-rpc keeps the id until the answer.
    Canceled {
        wire: WireId,
    },
    /// Answered by us because its deadline came, or the vat's end; the Finish has not left yet.
    Expired {
        wire: WireId,
        answered: bool,
    },
    /// Answered by the peer; the Finish has not left yet, or is not needed.
    Answered {
        wire: WireId,
    },
    /// Answered by us and never sent.
    Refused,
}

impl Slot {
    /// The id under which the peer knows the question, which is `id` here.
    fn wire_id(self, id: QuestionId) -> WireId {
        match self {
            Self::Free => id.unaliased(),
            Self::Refused => NO_QUESTION,
            Self::Asked { wire, .. }
            | Self::Canceled { wire }
            | Self::Expired { wire, .. }
            | Self::Answered { wire } => wire,
        }
    }

    fn is_open(self) -> bool {
        matches!(self, Self::Asked { .. })
    }

    fn is_due_at(self, moment: Instant) -> bool {
        matches!(self, Self::Asked { deadline, .. } if deadline == moment)
    }
}

/// A question whose deadline came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expired {
    pub(crate) id: QuestionId,
    pub(crate) asked: Asked,
    pub(crate) patience: Duration,
}

/// What to do with a Finish of capnp-rpc's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FinishOrder {
    /// Send it under this id as it is.
    Send(WireId),
    /// Send it under this id and have the peer release what its answer carries: capnp-rpc never sees it.
    SendReleasing(WireId),
    /// The peer has never heard of the question.
    Drop,
}

/// What to do with an answer of the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// capnp-rpc waits for it under this id.
    Deliver(QuestionId),
    /// Its caller gave up, and the peer was told to release what the answer carries. capnp-rpc keeps the id until it comes.
    Canceled(QuestionId),
    /// It comes too late: everybody was told that it would not come.
    TooLate,
    /// Nobody asked.
    Unasked,
}

/// The peer owes too many answers to calls whose deadline has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QuarantineFull;

/// The table of questions of one vat.
pub(crate) struct Questions {
    slots: Vec<Slot>,
    due: Due,
    /// Questions that are open: sent, neither answered nor given up.
    open: usize,
    /// Ids that the peer still owes an answer to and that capnp-rpc has forgotten.
    quarantined: HashSet<WireId>,
    max_quarantined: usize,
    /// The question behind each alias. Its entry outlives the question while the alias is quarantined.
    aliases: Slab<QuestionId>,
    /// Questions whose wire id is not their own.
    translated: usize,
}

impl Questions {
    pub(crate) fn new(max_quarantined: usize) -> Self {
        Self {
            slots: Vec::new(),
            due: Due::default(),
            open: 0,
            quarantined: HashSet::new(),
            max_quarantined,
            aliases: Slab::new(),
            translated: 0,
        }
    }

    /// True while every question has its own id on the wire, and messages need no translating.
    pub(crate) fn untranslated(&self) -> bool {
        self.translated == 0
    }

    /// The nearest deadline of an open question.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.due.first().map(|(deadline, _)| deadline)
    }

    /// A question is about to be sent, behind `position` bytes: gives the id that it is sent under.
    pub(crate) fn ask(
        &mut self,
        id: QuestionId,
        asked: Asked,
        now: Instant,
        patience: Duration,
        position: u64,
    ) -> WireId {
        // A question that was answered with "no Finish needed" ends without a sign: its id comes back.
        self.free(id);
        let wire = if self.quarantined.contains(&id.unaliased()) || id.0 >= FIRST_ALIAS {
            WireId(FIRST_ALIAS + self.aliases.insert(id) as u32)
        } else {
            id.unaliased()
        };
        let deadline = now + patience;
        self.set(id, Slot::Asked { wire, asked, deadline, patience, position });
        self.due.add(deadline, id);
        wire
    }

    /// A question is not sent after all, and answered by us.
    pub(crate) fn refuse(&mut self, id: QuestionId) {
        self.free(id);
        self.set(id, Slot::Refused);
    }

    /// The id under which the peer knows the question.
    pub(crate) fn wire_id(&self, id: QuestionId) -> WireId {
        self.slot(id).wire_id(id)
    }

    /// capnp-rpc wants to send a Finish.
    pub(crate) fn finish(&mut self, id: QuestionId) -> Result<FinishOrder, QuarantineFull> {
        match *self.slot(id) {
            Slot::Free => Ok(FinishOrder::Send(id.unaliased())),
            Slot::Asked { wire, .. } => {
                self.set(id, Slot::Canceled { wire });
                Ok(FinishOrder::Send(wire))
            }
            Slot::Canceled { wire } => Ok(FinishOrder::Send(wire)),
            Slot::Answered { wire } => {
                self.free(id);
                Ok(FinishOrder::Send(wire))
            }
            Slot::Expired { wire, answered: true } => {
                self.free(id);
                Ok(FinishOrder::SendReleasing(wire))
            }
            Slot::Expired { wire, answered: false } => {
                if self.quarantined.len() >= self.max_quarantined {
                    return Err(QuarantineFull);
                }
                self.quarantined.insert(wire);
                self.set(id, Slot::Free);
                Ok(FinishOrder::SendReleasing(wire))
            }
            Slot::Refused => {
                self.free(id);
                Ok(FinishOrder::Drop)
            }
        }
    }

    /// True where the open question behind this id asks for the bootstrap capability.
    pub(crate) fn asks_for_bootstrap(&self, wire: WireId) -> bool {
        let slot = self.behind(wire).map(|id| self.slot(id));
        matches!(slot, Some(Slot::Asked { asked: Asked::Bootstrap, .. }))
    }

    /// The peer sent an answer.
    pub(crate) fn answer(&mut self, wire: WireId) -> Answer {
        // To look something up in a set takes as long as all the rest, also where the set is empty.
        if !self.quarantined.is_empty() && self.quarantined.remove(&wire) {
            self.free_alias(wire);
            return Answer::TooLate;
        }
        let Some(id) = self.behind(wire) else { return Answer::Unasked };
        match *self.slot(id) {
            Slot::Asked { .. } => {
                if let Some(slot) = self.slots.get_mut(id.0 as usize) {
                    // What it is on the wire stays as it is.
                    *slot = Slot::Answered { wire };
                }
                self.no_longer_open();
                Answer::Deliver(id)
            }
            Slot::Canceled { .. } => {
                self.free(id);
                Answer::Canceled(id)
            }
            Slot::Expired { answered: false, .. } => {
                self.set(id, Slot::Expired { wire, answered: true });
                Answer::TooLate
            }
            Slot::Expired { answered: true, .. } | Slot::Free | Slot::Answered { .. } | Slot::Refused => {
                Answer::Unasked
            }
        }
    }

    /// Takes one open question whose deadline has come. The caller answers it.
    pub(crate) fn take_expired(&mut self, now: Instant) -> Option<Expired> {
        let (deadline, id) = self.due.first()?;
        if deadline > now {
            return None;
        }
        let Slot::Asked { wire, asked, patience, .. } = *self.slot(id) else { return None };
        self.set(id, Slot::Expired { wire, answered: false });
        Some(Expired { id, asked, patience })
    }

    /// Nothing leaves any more, after so many bytes have: takes the open calls that the peer may have got. The caller
    /// answers them.
    pub(crate) fn take_sent(&mut self, left_bytes: u64) -> Vec<QuestionId> {
        let mut taken = Vec::new();
        for (due, id) in self.due.iter() {
            if let Slot::Asked { asked: Asked::Call { .. }, position, deadline, .. } = *self.slot(id)
                && position < left_bytes
                && deadline == due
            {
                taken.push(id);
            }
        }
        taken.retain(|id| {
            let Slot::Asked { wire, .. } = *self.slot(*id) else { return false };
            self.set(*id, Slot::Expired { wire, answered: false });
            true
        });
        taken
    }

    /// The question that has `wire` for its id now.
    fn behind(&self, wire: WireId) -> Option<QuestionId> {
        let id = match wire.0.checked_sub(FIRST_ALIAS) {
            Some(alias) => *self.aliases.get(alias as usize)?,
            None => QuestionId(wire.0),
        };
        (self.wire_id(id) == wire).then_some(id)
    }

    fn slot(&self, id: QuestionId) -> &Slot {
        self.slots.get(id.0 as usize).unwrap_or(&Slot::Free)
    }

    /// Ends whatever the question was, with its alias.
    fn free(&mut self, id: QuestionId) {
        match *self.slot(id) {
            Slot::Free => return,
            Slot::Asked { wire, .. }
            | Slot::Canceled { wire }
            | Slot::Expired { wire, .. }
            | Slot::Answered { wire } => {
                self.free_alias(wire);
            }
            Slot::Refused => {}
        }
        self.set(id, Slot::Free);
    }

    fn free_alias(&mut self, wire: WireId) {
        if let Some(alias) = wire.0.checked_sub(FIRST_ALIAS) {
            self.aliases.try_remove(alias as usize);
        }
    }

    fn set(&mut self, id: QuestionId, slot: Slot) {
        let index = id.0 as usize;
        if index >= self.slots.len() {
            self.slots.resize(index + 1, Slot::Free);
        }
        let Some(place) = self.slots.get_mut(index) else { return };
        let before = std::mem::replace(place, slot);
        self.translated += usize::from(slot.wire_id(id) != id.unaliased());
        self.translated -= usize::from(before.wire_id(id) != id.unaliased());
        self.open += usize::from(slot.is_open());
        if before.is_open() {
            self.no_longer_open();
        }
    }

    /// A question that was open is not any more.
    fn no_longer_open(&mut self) {
        self.open -= 1;
        let slots = &self.slots;
        self.due.tidy(self.open, |deadline, id| {
            slots.get(id.0 as usize).is_some_and(|slot| slot.is_due_at(deadline))
        });
    }
}

#[cfg(test)]
mod tests;
