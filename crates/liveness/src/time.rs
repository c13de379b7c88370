//! Points in time, and those at which a wait ends.

use core::fmt;
use core::num::NonZeroU32;
use core::ops::{Add, Sub};
use core::time::Duration;

/// A point in time: nanoseconds since an origin that the clock chose. It never goes back.
///
/// `std::time::Instant` cannot be made up by a test or by a machine without an operating system; this one can.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// The clock's origin.
    pub const ORIGIN: Self = Self(0);

    /// The instant `nanoseconds` after the clock's origin.
    #[must_use]
    pub const fn from_nanos(nanoseconds: u64) -> Self {
        Self(nanoseconds)
    }

    /// Nanoseconds since the clock's origin.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long after `earlier` this is; zero where `earlier` is the later one.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// Saturates: a deadline past the end of the clock (584 years) is the end of the clock.
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl Sub for Instant {
    type Output = Duration;

    fn sub(self, earlier: Self) -> Duration {
        self.saturating_since(earlier)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", Duration::from_nanos(self.0))
    }
}

/// The instant at which a wait ends, whatever it waited for. There is none that never comes.
///
/// It is the first instant that is too late: what happens at the deadline itself happens after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Deadline(Instant);

impl Deadline {
    /// The deadline at `instant`.
    #[must_use]
    pub const fn at(instant: Instant) -> Self {
        Self(instant)
    }

    /// The deadline `patience` after `now`. With no patience it has come already.
    #[must_use]
    pub fn after(now: Instant, patience: Duration) -> Self {
        Self(now + patience)
    }

    /// When it comes.
    #[must_use]
    pub const fn instant(self) -> Instant {
        self.0
    }

    /// Whether it has come by `now`.
    #[must_use]
    pub fn has_come(self, now: Instant) -> bool {
        now >= self.0
    }

    /// How long there is until it comes; zero when it has.
    #[must_use]
    pub const fn remaining(self, now: Instant) -> Duration {
        self.0.saturating_since(now)
    }

    /// The end of one part of the time that remains at `now`, cut into `parts` equal ones, so that the first of several
    /// tries leaves time to the others. One part is the deadline itself.
    #[must_use]
    pub fn share(self, now: Instant, parts: NonZeroU32) -> Self {
        if parts.get() == 1 { self } else { Self(self.0.min(now + self.remaining(now) / parts.get())) }
    }
}
