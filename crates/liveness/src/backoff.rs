//! How long to pause between attempts.

use core::time::Duration;

/// The pauses between attempts: the first, then each twice as long as the one before, up to the longest.
///
/// What is doubled is the upper end. A [`Jitter`] puts each pause somewhere between half of it and all of it, so that a
/// thousand peers that lost the same node do not come back in the same instant, and yet nobody comes back at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    first_nanos: u64,
    longest_nanos: u64,
}

/// Pauses that could not bound anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidBackoff;

impl core::fmt::Display for InvalidBackoff {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("the first pause must be longer than zero and no longer than the longest pause")
    }
}

impl core::error::Error for InvalidBackoff {}

impl Backoff {
    /// No pause at all: for a bounded number of attempts that each go somewhere else, like the addresses of one name.
    pub const NONE: Self = Self { first_nanos: 0, longest_nanos: 0 };

    /// Pauses from `first` up to `longest`. Both beyond 584 years count as 584 years.
    ///
    /// Fails unless `0 < first <= longest`: repeated attempts at the same thing without a pause are a busy loop.
    pub const fn new(first: Duration, longest: Duration) -> Result<Self, InvalidBackoff> {
        let backoff = Self { first_nanos: nanos(first), longest_nanos: nanos(longest) };
        if backoff.first_nanos == 0 || backoff.first_nanos > backoff.longest_nanos {
            return Err(InvalidBackoff);
        }
        Ok(backoff)
    }

    /// The pause after this many failures in a row; none before the first. Never longer than the longest pause, and
    /// never shorter than half of the first.
    #[must_use]
    pub const fn pause(self, failures: u32, jitter: Jitter) -> Duration {
        let Some(doublings) = failures.checked_sub(1) else { return Duration::ZERO };
        let doubled = match 1_u64.checked_shl(doublings) {
            Some(factor) => self.first_nanos.saturating_mul(factor),
            None => self.longest_nanos,
        };
        let most = if doubled < self.longest_nanos { doubled } else { self.longest_nanos };
        let least = most.div_ceil(2);
        // 64 bits by 32 bits, less 32 bits: it fits 64 again.
        let extra = ((most - least) as u128 * jitter.0 as u128) >> 32;
        Duration::from_nanos(least + extra as u64)
    }
}

const fn nanos(duration: Duration) -> u64 {
    let nanos = duration.as_nanos();
    if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 }
}

/// Where in its range a pause lies, in parts of 2³²: a random number that the caller brings, one for each pause.
///
/// It spreads callers over time and keeps nothing secret, so it need not come from a cryptographic source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Jitter(u32);

impl Jitter {
    /// The shortest pause of the range.
    pub const LEAST: Self = Self(0);
    /// The longest pause of the range, or a nanosecond or so less.
    pub const MOST: Self = Self(u32::MAX);

    /// The place that a random number stands for.
    #[must_use]
    pub const fn new(random: u32) -> Self {
        Self(random)
    }
}
