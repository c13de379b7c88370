//! Time: keepalive, budgets per tick, and memory that is idle.

use super::{End, Session};
use crate::code::CloseCode;
use crate::id::Ticks;
use crate::keepalive::Due;
use crate::ring::Ring;
use crate::storage::Storage;

impl<S: Storage> Session<S> {
    /// When [`handle_timeout`](Self::handle_timeout) should be called next; `None` once the session has ended.
    ///
    /// It changes with whatever else is called, so ask again after each round of the loop.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Ticks> {
        if self.end.is_some() {
            return None;
        }
        let deadline = self.keepalive.deadline(!self.wants_transmit());
        Some(self.swept.map_or(deadline, |swept| deadline.min(swept.after(Ticks(1)))))
    }

    /// Tells the time. Sends a PING into silence, ends the session when the silence lasts
    /// ([`End::KeepaliveTimeout`]), and gives back idle memory.
    pub fn handle_timeout(&mut self, now: Ticks) {
        self.advance(now);
        if self.end.is_some() {
            return;
        }
        match self.keepalive.due(self.now, !self.wants_transmit()) {
            Due::Nothing => {}
            Due::Ping => {
                self.keepalive.ask_if_silent(self.now);
                self.keepalive.ping();
            }
            Due::Dead => self.end_with(End::KeepaliveTimeout, Some(CloseCode::KEEPALIVE_TIMEOUT)),
        }
    }

    /// Notes that the link moved bytes of a record that is not whole yet, and so of nobody knows whom. They are life all
    /// the same: over a slow link a record takes longer than a peer may be silent.
    ///
    /// For no longer, though, than eight times [`Limits::dead_after_ticks`](crate::Limits::dead_after_ticks) after the
    /// last bytes that [`receive`](Self::receive) was given: whoever sits on the way can make up such bytes.
    pub fn heard(&mut self, now: Ticks) {
        self.advance(now);
        self.keepalive.heard(self.now);
    }

    /// Notes the time, which does not run backwards.
    pub(super) fn advance(&mut self, now: Ticks) {
        if now <= self.now {
            return;
        }
        self.now = now;
        self.budgets.refill();
        if self.swept.is_some_and(|swept| now > swept) {
            self.sweep();
        }
    }

    /// Notes that a ring or a slot may hold memory that should be given back when it is idle.
    pub(super) fn holds_memory(&mut self) {
        if S::Ring::RELEASES && self.swept.is_none() {
            self.swept = Some(self.now);
        }
    }

    /// Gives back the rings through which nothing has moved for a tick, and slots beyond the last stream.
    fn sweep(&mut self) {
        let now = self.now.0 as u32;
        let slots = self.storage.slots_mut();
        let mut held = false;
        let mut used = 0;
        for (position, stream) in slots.iter_mut().enumerate() {
            if stream.id != 0 {
                used = position + 1;
            }
            for ring in [&mut stream.send, &mut stream.receive] {
                if ring.is_empty() && stream.active_at != now {
                    ring.release();
                }
                held |= ring.holds_memory();
            }
        }
        if used <= slots.len() / 2 {
            for slot in used..slots.len() {
                self.vacant.remove(slots, slot as u16);
            }
            self.storage.truncate_slots(used);
        }
        self.swept = held.then_some(self.now);
    }
}
