//! The one loop that tries again.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

use crate::{Attempt, Deadline, Exhausted, Instant, Jitter, Next, Retry, RetryLimits};

/// What a retry needs of the world: the time, a random number, and a way to wait.
pub trait Pace {
    /// The present.
    fn now(&self) -> Instant;

    /// A random number for the next pause.
    fn jitter(&mut self) -> Jitter;

    /// Waits until `instant`.
    fn until(&self, instant: Instant) -> impl Future<Output = ()>;
}

/// What one attempt came to, and so what happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempted<T, E> {
    /// It is done.
    Success(T),
    /// It failed in a way that may pass: try again.
    Failed(E),
    /// A reply came, to something else: try again, at the expense of the mismatch budget.
    Mismatched(E),
    /// It failed in a way that no repetition mends.
    Rejected(E),
}

/// How a retry ended. The failure that an attempt reported last comes along, where an attempt reported one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a retry may have failed, and only its outcome says so"]
pub enum Outcome<T, E> {
    /// An attempt succeeded.
    Success(T),
    /// The time was over.
    Deadline {
        /// How many attempts there were; the last may have been cut short.
        attempts: u32,
        /// The last failure.
        last: Option<E>,
    },
    /// All attempts failed.
    Attempts {
        /// How many there were.
        attempts: u32,
        /// The last failure.
        last: Option<E>,
    },
    /// More replies to something else came than are put up with.
    Mismatches {
        /// How many attempts there were.
        attempts: u32,
        /// How many of them brought the reply to something else.
        mismatches: u32,
        /// The last failure.
        last: Option<E>,
    },
    /// An attempt failed for good.
    Rejected {
        /// How many attempts there were.
        attempts: u32,
        /// Why no more were made.
        reason: E,
    },
}

impl<T, E> Outcome<T, E> {
    fn exhausted(exhausted: Exhausted, last: Option<E>) -> Self {
        match exhausted {
            Exhausted::Deadline { attempts, .. } => Self::Deadline { attempts, last },
            Exhausted::Attempts { attempts } => Self::Attempts { attempts, last },
            Exhausted::Mismatches { attempts, mismatches } => Self::Mismatches { attempts, mismatches, last },
        }
    }
}

/// Tries until it succeeds, is rejected, or a bound of `limits` runs out. Dropping the future ends it at any time.
///
/// An attempt that is still under way when the deadline comes is dropped: the retry ends in time even if its attempts
/// would not. What succeeds in the very poll in which the deadline comes has succeeded.
///
/// ```
/// use core::time::Duration;
/// use vatmux_liveness::{AttemptBudget, Attempted, Backoff, MismatchBudget, Outcome, Pace, RetryLimits, retry};
///
/// async fn fetch(pace: &mut impl Pace) -> Result<u32, &'static str> {
///     let limits = RetryLimits {
///         within: Duration::from_secs(30),
///         attempts: AttemptBudget::new(8).ok_or("no attempts")?,
///         mismatches: MismatchBudget::ZERO,
///         backoff: Backoff::new(Duration::from_millis(50), Duration::from_secs(5)).map_err(|_| "no pause")?,
///     };
///     let outcome = retry(limits, pace, async |attempt| match attempt.number {
///         1 => Attempted::Failed("busy"),
///         _ => Attempted::Success(7),
///     });
///     match outcome.await {
///         Outcome::Success(value) => Ok(value),
///         Outcome::Rejected { reason, .. } => Err(reason),
///         Outcome::Deadline { last, .. } | Outcome::Attempts { last, .. } | Outcome::Mismatches { last, .. } => {
///             Err(last.unwrap_or("no answer"))
///         }
///     }
/// }
/// ```
pub async fn retry<T, E, P: Pace>(
    limits: RetryLimits,
    pace: &mut P,
    mut attempt: impl AsyncFnMut(Attempt) -> Attempted<T, E>,
) -> Outcome<T, E> {
    let mut state = Retry::new(limits, pace.now());
    let mut last = None;
    loop {
        let jitter = pace.jitter();
        let granted = match state.next(pace.now(), jitter) {
            Next::At(granted) => granted,
            Next::GiveUp(exhausted) => return Outcome::exhausted(exhausted, last),
        };
        if granted.due > pace.now() {
            pace.until(granted.due).await;
        }
        let Some(attempted) = before(granted.deadline, pace, attempt(granted)).await else {
            return Outcome::exhausted(state.timed_out(), last);
        };
        match attempted {
            Attempted::Success(value) => return Outcome::Success(value),
            Attempted::Failed(failure) => last = Some(failure),
            Attempted::Mismatched(failure) => {
                state.mismatch();
                last = Some(failure);
            }
            Attempted::Rejected(reason) => return Outcome::Rejected { attempts: granted.number, reason },
        }
    }
}

/// What `work` gives, unless `deadline` comes first.
async fn before<T>(deadline: Deadline, pace: &impl Pace, work: impl Future<Output = T>) -> Option<T> {
    if deadline.has_come(pace.now()) {
        return None;
    }
    let mut work = pin!(work);
    let mut too_late = pin!(pace.until(deadline.instant()));
    poll_fn(|cx| {
        if let Poll::Ready(value) = work.as_mut().poll(cx) {
            return Poll::Ready(Some(value));
        }
        too_late.as_mut().poll(cx).map(|()| None)
    })
    .await
}
