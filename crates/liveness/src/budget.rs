//! How often something may happen, as types that cannot be mixed up.

use core::num::NonZeroU32;

/// How many attempts there may be, the first one included. At least 1, at most 4,294,967,295.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptBudget(NonZeroU32);

impl AttemptBudget {
    /// One attempt, and no retry.
    pub const ONE: Self = Self(NonZeroU32::MIN);

    /// A budget of `attempts`; `None` for 0, with which nothing could ever succeed.
    #[must_use]
    pub const fn new(attempts: u32) -> Option<Self> {
        match NonZeroU32::new(attempts) {
            Some(attempts) => Some(Self(attempts)),
            None => None,
        }
    }

    /// How many attempts there may be.
    #[must_use]
    pub const fn get(self) -> NonZeroU32 {
        self.0
    }
}

/// How many replies that answer something else are put up with. One more is a rejection. With 0 the first one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MismatchBudget(u32);

impl MismatchBudget {
    /// Not a single mismatch.
    pub const ZERO: Self = Self(0);

    /// A budget of `mismatches`.
    #[must_use]
    pub const fn new(mismatches: u32) -> Self {
        Self(mismatches)
    }

    /// How many mismatches are put up with.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}
