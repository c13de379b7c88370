//! Staying in touch with a peer that comes and goes.

use core::time::Duration;

use crate::{Instant, Jitter, Next, Retry, RetryLimits};

/// When to dial a peer again, over all the sessions that there will be with it, without a loop, a clock or a link.
///
/// Down, ask [`next`](Self::next) before each dial; tell [`connected`](Self::connected) and [`lost`](Self::lost) as it
/// happens. Each outage has the [`RetryLimits`] anew, but for one thing: a session that was lost before it had lasted
/// [`settled_after`](RedialLimits::settled_after) ends no outage. A peer that accepts and hangs up at once is therefore
/// dialed with growing pauses, and given up in the end, like one that does not answer. But for the very first dial, each
/// waits for a jittered pause: what one node's end does to a thousand peers must not bring them back all at once.
///
/// What is left to its user is to wait and to dial, each dial for no longer than the outage's deadline leaves:
///
/// ```
/// use core::time::Duration;
/// use vatmux_liveness::{Exhausted, Next, Pace, Redial};
///
/// /// Dials until there is a session; `None` while there is one.
/// async fn reach<S>(
///     redial: &mut Redial,
///     pace: &mut impl Pace,
///     dial: impl AsyncFn(Duration) -> Option<S>,
/// ) -> Option<Result<S, Exhausted>> {
///     loop {
///         let (now, jitter) = (pace.now(), pace.jitter());
///         match redial.next(now, jitter)? {
///             Next::GiveUp(exhausted) => return Some(Err(exhausted)),
///             Next::At(attempt) => {
///                 pace.until(attempt.due).await;
///                 if let Some(session) = dial(attempt.deadline.remaining(pace.now())).await {
///                     redial.connected(pace.now());
///                     return Some(Ok(session));
///                 }
///             }
///         }
///     }
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Redial {
    limits: RedialLimits,
    outage: Retry,
    epoch: Epoch,
    state: State,
}

/// What bounds an outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedialLimits {
    /// Time, attempts and pauses of one outage.
    pub outage: RetryLimits,
    /// How long a session must have lasted for the outage before it to be over.
    pub settled_after: Duration,
}

/// Which session with a peer something belongs to: a question, a capability, an answer that comes late.
///
/// What carries an older epoch than [`Redial::epoch`] belongs to a session that is over, and must not touch the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Down,
    Up { since: Instant },
}

impl Epoch {
    /// How many sessions there have been, this one included; 0 before the first.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl Redial {
    /// A peer that there is no session with; its first outage begins at `now`.
    #[must_use]
    pub fn new(limits: RedialLimits, now: Instant) -> Self {
        Self { limits, outage: Retry::new(limits.outage, now), epoch: Epoch(0), state: State::Down }
    }

    /// When to dial, or why never again; `None` while there is a session.
    ///
    /// After it has given up, only [`start_over`](Self::start_over) leads further.
    pub fn next(&mut self, now: Instant, jitter: Jitter) -> Option<Next> {
        match self.state {
            State::Up { .. } => None,
            State::Down => Some(self.outage.next(now, jitter)),
        }
    }

    /// A dial led to a session. Its epoch marks what belongs to it. A session that was up counts as lost.
    pub fn connected(&mut self, now: Instant) -> Epoch {
        self.lost(self.epoch, now);
        self.state = State::Up { since: now };
        self.epoch = Epoch(self.epoch.0.saturating_add(1));
        self.epoch
    }

    /// The session of `epoch` is over. Says whether that was news: of an older session, or twice, it changes nothing.
    pub fn lost(&mut self, epoch: Epoch, now: Instant) -> bool {
        let State::Up { since } = self.state else { return false };
        if epoch != self.epoch {
            return false;
        }
        if now - since >= self.limits.settled_after {
            self.outage = Retry::after_failure(self.limits.outage, now);
        }
        self.state = State::Down;
        true
    }

    /// The newest session's epoch.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether what carries `epoch` may still act: its session is the one that is up.
    #[must_use]
    pub fn is_current(&self, epoch: Epoch) -> bool {
        matches!(self.state, State::Up { .. }) && epoch == self.epoch
    }

    /// After it has given up, begins a new outage with all of its bounds, because somebody asked for the peer again. Says
    /// whether it did: an outage that goes on is not prolonged.
    pub fn start_over(&mut self, now: Instant) -> bool {
        let over = self.state == State::Down && self.outage.given_up().is_some();
        if over {
            self.outage = Retry::after_failure(self.limits.outage, now);
        }
        over
    }
}
