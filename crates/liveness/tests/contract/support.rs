//! A clock that moves when somebody waits for it, and numbers that depend on a seed.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use vatmux_liveness::{AttemptBudget, Backoff, Instant, Jitter, MismatchBudget, Pace, RetryLimits};

pub(crate) const fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// The instant this many milliseconds after the origin.
pub(crate) fn at(count: u64) -> Instant {
    Instant::ORIGIN + milliseconds(count)
}

pub(crate) fn backoff(first: u64, longest: u64) -> Backoff {
    Backoff::new(milliseconds(first), milliseconds(longest)).unwrap()
}

/// One second, four attempts, one mismatch, pauses from 100 to 400 ms.
pub(crate) fn limits() -> RetryLimits {
    RetryLimits {
        within: milliseconds(1000),
        attempts: AttemptBudget::new(4).unwrap(),
        mismatches: MismatchBudget::new(1),
        backoff: backoff(100, 400),
    }
}

/// Time passes when it is waited for, and only then. Its jitter is always the same.
#[derive(Clone)]
pub(crate) struct VirtualPace {
    pub(crate) now: Rc<Cell<Instant>>,
    pub(crate) jitter: Jitter,
}

impl VirtualPace {
    pub(crate) fn new() -> Self {
        Self { now: Rc::new(Cell::new(Instant::ORIGIN)), jitter: Jitter::MOST }
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.now.set(self.now.get() + time);
    }
}

impl Pace for VirtualPace {
    fn now(&self) -> Instant {
        self.now.get()
    }

    fn jitter(&mut self) -> Jitter {
        self.jitter
    }

    async fn until(&self, instant: Instant) {
        self.now.set(self.now.get().max(instant));
    }
}

/// Runs a future whose every wait is a virtual one.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("it waits for something that never comes"),
    }
}

/// Numbers that depend on nothing but the seed (`SplitMix64`).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(crate) fn jitter(&mut self) -> Jitter {
        Jitter::new(self.next() as u32)
    }
}
