//! Time as the driver sees it: instants that only a [`Clock`] can tell.

use vatmux_liveness::Instant;

/// Tells the time. Monotonic: a later call never answers an earlier instant.
pub trait Clock {
    /// The present.
    fn now(&self) -> Instant;
}
