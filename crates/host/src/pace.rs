//! What retries need of an operating system.

use vatmux_driver::{Handle, Instant};
use vatmux_liveness::{Jitter, Pace};

/// The driver's time and timers, and the system's random numbers.
pub(crate) struct SystemPace(pub(crate) Handle);

impl Pace for SystemPace {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn jitter(&mut self) -> Jitter {
        system_jitter()
    }

    fn until(&self, instant: Instant) -> impl Future<Output = ()> {
        self.0.sleep_until(instant)
    }
}

/// A random number of the system's, for a pause.
pub(crate) fn system_jitter() -> Jitter {
    // Where the system has no random numbers, the longest pause is the one that does no harm.
    getrandom::u32().map_or(Jitter::MOST, Jitter::new)
}
