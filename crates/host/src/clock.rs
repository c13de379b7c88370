//! The system's monotonic clock.

use vatmux_driver::{Clock, Instant};

/// Counts nanoseconds since it was made.
#[derive(Clone, Copy, Debug)]
pub struct MonotonicClock {
    origin: std::time::Instant,
}

impl Default for MonotonicClock {
    fn default() -> Self {
        Self { origin: std::time::Instant::now() }
    }
}

impl Clock for MonotonicClock {
    fn now(&self) -> Instant {
        Instant::ORIGIN + self.origin.elapsed()
    }
}
