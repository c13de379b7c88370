//! Whether the peer is there, in ticks.
//!
//! Any received byte is life. After `ping_after` ticks without one a PING goes out, and after `dead_after` ticks the
//! session is dead; but never before `dead_after - ping_after` ticks have passed since that PING was due, so that a
//! machine that was asleep asks before it gives up. An end that has sent nothing for `ping_after` ticks sends a PING as
//! well: the peer may be waiting for any byte behind a long queue of its own, and a busy link must not look dead.
//!
//! Where the link carries sealed records, a slow one may take longer than `dead_after` for one of them. Bytes that no
//! record has proved yet are then the only sign of life. They count, but not for ever: anybody on the way can make
//! such bytes.

use crate::id::Ticks;
use crate::limits::{Limits, UNPROVEN_PATIENCE};

/// What the clock asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    Ping,
    Dead,
}

pub(crate) struct Keepalive {
    ping_after: Ticks,
    dead_after: Ticks,
    last_received: Ticks,
    /// When bytes of frames last came in: the peer's own, as the link has proved.
    last_proven: Ticks,
    last_sent: Ticks,
    /// When this silence of the peer's was answered with a PING.
    asked: Option<Ticks>,
    /// The nonce of the PING that awaits its PONG.
    awaited: Option<u64>,
    /// A PING that waits to be sent.
    queued: bool,
    nonce: u64,
}

impl Keepalive {
    pub(crate) const fn new(limits: &Limits, now: Ticks) -> Self {
        Self {
            ping_after: limits.ping_after_ticks,
            dead_after: limits.dead_after_ticks,
            last_received: now,
            last_proven: now,
            last_sent: now,
            asked: None,
            awaited: None,
            queued: false,
            nonce: 0,
        }
    }

    pub(crate) const fn received(&mut self, now: Ticks) {
        self.last_proven = now;
        self.last_received = now;
        self.asked = None;
    }

    /// The link moved bytes that nothing has proved to be the peer's so far.
    pub(crate) fn heard(&mut self, now: Ticks) {
        let patience = Ticks(self.dead_after.0.saturating_mul(UNPROVEN_PATIENCE));
        if now < self.last_proven.after(patience) {
            self.last_received = now;
            self.asked = None;
        }
    }

    pub(crate) const fn sent(&mut self, now: Ticks) {
        self.last_sent = now;
    }

    /// Queues a PING with a new nonce.
    pub(crate) const fn ping(&mut self) {
        self.nonce += 1;
        self.awaited = Some(self.nonce);
        self.queued = true;
    }

    /// Whether a PONG is still owed to us.
    pub(crate) const fn is_waiting(&self) -> bool {
        self.awaited.is_some()
    }

    /// The nonce of the PING that is to be sent now.
    pub(crate) const fn queued(&self) -> Option<u64> {
        if self.queued { Some(self.nonce) } else { None }
    }

    pub(crate) const fn ping_sent(&mut self) {
        self.queued = false;
    }

    /// Whether a PONG with this nonce answers our newest PING.
    pub(crate) fn pong(&mut self, nonce: u64) -> bool {
        let answers = self.awaited == Some(nonce) && !self.queued;
        if answers {
            self.awaited = None;
        }
        answers
    }

    /// `idle`: nothing is waiting to be sent, so that nothing but a PING would break our own silence.
    pub(crate) fn due(&self, now: Ticks, idle: bool) -> Due {
        match self.asked {
            Some(asked) if now >= self.death(asked) => Due::Dead,
            None if now >= self.last_received.after(self.ping_after) => Due::Ping,
            _ if idle && now >= self.last_sent.after(self.ping_after) => Due::Ping,
            _ => Due::Nothing,
        }
    }

    /// The peer has been silent for long enough to ask.
    pub(crate) fn ask_if_silent(&mut self, now: Ticks) {
        if self.asked.is_none() && now >= self.last_received.after(self.ping_after) {
            self.asked = Some(now);
        }
    }

    pub(crate) fn deadline(&self, idle: bool) -> Ticks {
        let theirs = match self.asked {
            Some(asked) => self.death(asked),
            None => self.last_received.after(self.ping_after),
        };
        if idle { theirs.min(self.last_sent.after(self.ping_after)) } else { theirs }
    }

    fn death(&self, asked: Ticks) -> Ticks {
        let patience = self.dead_after.since(self.ping_after);
        self.last_received.after(self.dead_after).max(asked.after(patience))
    }
}
