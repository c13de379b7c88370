//! When the next attempt is due, and when there is none any more.

use core::fmt;
use core::num::NonZeroU32;
use core::time::Duration;

use crate::{AttemptBudget, Backoff, Deadline, Instant, Jitter, MismatchBudget};

/// What bounds a retry: time, attempts and mismatches, all three, always.
///
/// At worst it takes `within`, and costs as many attempts as there are in `attempts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryLimits {
    /// How long all attempts and pauses may take together.
    pub within: Duration,
    /// How many attempts there may be.
    pub attempts: AttemptBudget,
    /// How many attempts may bring the reply to something else. Each is an attempt as well.
    pub mismatches: MismatchBudget,
    /// How long to pause between attempts.
    pub backoff: Backoff,
}

/// A bounded retry without a loop, a clock or I/O of its own: it says when the next attempt is due.
///
/// Ask [`next`](Self::next) before each attempt, wait until then, try. Nothing is told about attempts that failed: asking
/// again says that. When it has given up it stays so. [`retry`](crate::retry()) is the loop around it.
#[derive(Clone, Debug)]
pub struct Retry {
    limits: RetryLimits,
    deadline: Deadline,
    latest: Instant,
    attempts: u32,
    /// Failures before the first attempt, which make it wait as well.
    earlier_failures: u32,
    mismatches: u32,
    given_up: Option<Exhausted>,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a retry that is not followed either spins or stalls"]
pub enum Next {
    /// Try, but not before the attempt is due.
    At(Attempt),
    /// Never try again, and say why.
    GiveUp(Exhausted),
}

/// One attempt that is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When it may start; always before the deadline.
    pub due: Instant,
    /// Which attempt it is; the first is 1.
    pub number: u32,
    /// How many attempts the budget had left, this one included.
    pub left: NonZeroU32,
    /// When it must end, with all the others.
    pub deadline: Deadline,
}

/// Which bound of a retry ran out, and what it had spent by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a retry that gave up has failed, and somebody waits to hear it"]
pub enum Exhausted {
    /// The time is over, or the next attempt would not have been due before it is.
    Deadline {
        /// How many attempts were granted.
        attempts: u32,
        /// How long they were given.
        within: Duration,
    },
    /// All attempts were used.
    Attempts {
        /// How many there were.
        attempts: u32,
    },
    /// More replies to something else arrived than are put up with.
    Mismatches {
        /// How many attempts were granted.
        attempts: u32,
        /// How many of them brought the reply to something else.
        mismatches: u32,
    },
}

impl Retry {
    /// A retry that starts at `now` and has made no attempt yet.
    #[must_use]
    pub fn new(limits: RetryLimits, now: Instant) -> Self {
        Self {
            deadline: Deadline::after(now, limits.within),
            limits,
            latest: now,
            attempts: 0,
            earlier_failures: 0,
            mismatches: 0,
            given_up: None,
        }
    }

    /// A retry that starts at `now` with something that has just failed, and so with a pause.
    #[must_use]
    pub fn after_failure(limits: RetryLimits, now: Instant) -> Self {
        Self { earlier_failures: 1, ..Self::new(limits, now) }
    }

    /// When it is over, whatever happens.
    #[must_use]
    pub const fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// How many attempts were granted so far.
    #[must_use]
    pub const fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Grants the next attempt, or gives up: where the budget is spent, where the deadline has come, and where the pause
    /// would outlast the deadline, because waiting for an attempt that cannot be made helps nobody.
    ///
    /// The first attempt of a [`new`](Self::new) retry is due at once, every other one after a pause. A `now` before one that was seen counts as that
    /// one.
    pub fn next(&mut self, now: Instant, jitter: Jitter) -> Next {
        if let Some(exhausted) = self.given_up {
            return Next::GiveUp(exhausted);
        }
        self.latest = self.latest.max(now);
        let failures = self.attempts.saturating_add(self.earlier_failures);
        let due = self.latest + self.limits.backoff.pause(failures, jitter);
        let Some(left) = NonZeroU32::new(self.limits.attempts.get().get().saturating_sub(self.attempts))
        else {
            return self.give_up(Exhausted::Attempts { attempts: self.attempts });
        };
        if self.deadline.has_come(due) {
            return self.give_up(self.timed_out());
        }
        self.attempts += 1;
        Next::At(Attempt { due, number: self.attempts, left, deadline: self.deadline })
    }

    /// Counts a reply that answers something else. Past the budget, [`next`](Self::next) gives up.
    pub fn mismatch(&mut self) {
        self.mismatches = self.mismatches.saturating_add(1);
        if self.given_up.is_none() && self.mismatches > self.limits.mismatches.get() {
            let (attempts, mismatches) = (self.attempts, self.mismatches);
            self.given_up = Some(Exhausted::Mismatches { attempts, mismatches });
        }
    }

    /// Why there will be no further attempt; `None` while there may be one.
    #[must_use]
    pub const fn given_up(&self) -> Option<Exhausted> {
        self.given_up
    }

    /// What it gives up with when the deadline comes while an attempt is under way.
    pub(crate) fn timed_out(&self) -> Exhausted {
        Exhausted::Deadline { attempts: self.attempts, within: self.limits.within }
    }

    fn give_up(&mut self, exhausted: Exhausted) -> Next {
        self.given_up = Some(exhausted);
        Next::GiveUp(exhausted)
    }
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deadline { attempts, within } => {
                write!(f, "gave up: no success within {within:?} (attempts: {attempts})")
            }
            Self::Attempts { attempts } => write!(f, "gave up: all attempts failed (attempts: {attempts})"),
            Self::Mismatches { attempts, mismatches } => write!(
                f,
                "gave up: too many replies to something else (mismatches: {mismatches}, attempts: {attempts})"
            ),
        }
    }
}

impl core::error::Error for Exhausted {}
