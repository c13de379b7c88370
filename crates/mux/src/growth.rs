//! How receive windows grow: by what one round trip carries, counted in bytes.
//!
//! A stream moves at most one window per round trip. To see whether the window is what holds it back, the receiver
//! counts the bytes that arrive in one round trip: it sends a PING, sends another when the PONG comes, and counts from
//! that PONG to the next. (From a PING to its own PONG it would miss what a sender that had run dry sends on getting
//! new credit: that comes right behind the PONG.) A stream that received at least half a window in that round, and
//! whose reader leaves at most a quarter of a window unread, doubles its window, within its own maximum and the
//! session's budget. No clock is involved, and a peer that delays its PONG gains nothing but the window that it would
//! have been given on a slow link. Rounds that change nothing make the next one rarer.

use crate::limits::Limits;

/// A round that changed nothing doubles the number of window updates until the next, up to this many.
const MAX_PAUSE: u32 = 64;

/// What one stream received in one round.
#[derive(Clone, Copy)]
pub(crate) struct Round {
    number: u32,
    bytes: u32,
}

/// Where in a round trip we are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Not asking.
    Idle,
    /// The first PONG has not come.
    Approaching,
    /// The first PONG has come, the second has not.
    Measuring,
}

impl Round {
    pub(crate) const NONE: Self = Self { number: 0, bytes: 0 };
}

pub(crate) struct Growth {
    max_window_bytes: u32,
    budget_bytes: u32,
    /// The newest round, counted from 1.
    round: u32,
    phase: Phase,
    /// Window updates until the next round may begin.
    countdown: u32,
    pause: u32,
}

impl Growth {
    pub(crate) const fn new(limits: &Limits) -> Self {
        Self {
            max_window_bytes: limits.max_window_bytes,
            budget_bytes: limits.session_window_budget_bytes,
            round: 0,
            phase: Phase::Idle,
            countdown: 1,
            pause: 1,
        }
    }

    /// `bytes` of a stream have arrived.
    pub(crate) fn received(&self, round: &mut Round, bytes: u32) {
        if self.phase == Phase::Measuring {
            if round.number != self.round {
                *round = Round { number: self.round, bytes: 0 };
            }
            round.bytes = round.bytes.saturating_add(bytes);
        }
    }

    /// A stream with this window is about to be granted more: the bytes that it shall be granted on top.
    pub(crate) fn grow(&mut self, round: &mut Round, window: u32, unread: u32) -> u32 {
        let increase = self.increase(window);
        if increase == 0
            || self.phase == Phase::Measuring
            || round.number != self.round
            || round.bytes < window.div_ceil(2)
            || unread > window / 4
        {
            return 0;
        }
        round.bytes = 0;
        self.budget_bytes -= increase;
        (self.countdown, self.pause) = (1, 1);
        increase
    }

    /// Whether to send a first PING, now that a stream with this window was granted more.
    pub(crate) fn wants_round(&mut self, window: u32) -> bool {
        if self.phase != Phase::Idle || self.increase(window) == 0 {
            return false;
        }
        self.countdown -= 1;
        if self.countdown > 0 {
            return false;
        }
        self.pause = (self.pause * 2).min(MAX_PAUSE);
        self.countdown = self.pause;
        self.phase = Phase::Approaching;
        true
    }

    /// A PONG has come; whether to send another PING.
    pub(crate) fn pong(&mut self) -> bool {
        self.phase = match self.phase {
            Phase::Idle | Phase::Measuring => Phase::Idle,
            Phase::Approaching => {
                self.round = self.round.wrapping_add(1);
                Phase::Measuring
            }
        };
        self.phase == Phase::Measuring
    }

    /// A grown window is gone.
    pub(crate) fn give_back(&mut self, bytes: u32) {
        self.budget_bytes = self.budget_bytes.saturating_add(bytes);
    }

    pub(crate) const fn budget_bytes(&self) -> u32 {
        self.budget_bytes
    }

    fn increase(&self, window: u32) -> u32 {
        let increase = window.saturating_mul(2).min(self.max_window_bytes).saturating_sub(window);
        if increase <= self.budget_bytes { increase } else { 0 }
    }
}
