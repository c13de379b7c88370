//! The flags behind every waker, and the way to a parked thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Wake, Waker};

/// Ends a [`Park`](crate::Park) from wherever it is called: another thread, a signal, an interrupt handler.
pub trait Unpark: Send + Sync {
    /// Makes the present park, or the next one, return. Spurious calls are harmless.
    fn unpark(&self);
}

/// The main future wants to be polled.
pub(crate) const MAIN: u8 = 1;
/// Some task wants to be polled.
pub(crate) const TASKS: u8 = 2;

/// The driver's wake-up state, shared with every waker.
///
/// Setting a flag is all that a wake-up does; only when the thread is about to block, or blocks, is it unparked.
/// Both sides use sequentially consistent order, so that either the parking thread sees the flag or the waking
/// one sees that the thread is parked.
pub(crate) struct Wakeups {
    flags: AtomicU8,
    parked: AtomicBool,
    unpark: Arc<dyn Unpark>,
}

impl Wakeups {
    pub(crate) fn new(unpark: Arc<dyn Unpark>) -> Arc<Self> {
        Arc::new(Self { flags: AtomicU8::new(0), parked: AtomicBool::new(false), unpark })
    }

    pub(crate) fn set(&self, flag: u8) {
        self.flags.fetch_or(flag, Ordering::SeqCst);
        if self.parked.load(Ordering::SeqCst) {
            self.unpark.unpark();
        }
    }

    /// Clears and returns the flags.
    pub(crate) fn take(&self) -> u8 {
        self.flags.swap(0, Ordering::SeqCst)
    }

    pub(crate) fn any(&self) -> bool {
        self.flags.load(Ordering::SeqCst) != 0
    }

    /// Announces that the thread is about to block. False where a flag came first: then it must not.
    pub(crate) fn prepare_to_park(&self) -> bool {
        self.parked.store(true, Ordering::SeqCst);
        if self.any() {
            self.parked.store(false, Ordering::SeqCst);
            return false;
        }
        true
    }

    pub(crate) fn parked_no_more(&self) {
        self.parked.store(false, Ordering::SeqCst);
    }

    /// A waker that sets `flag`.
    pub(crate) fn waker(self: &Arc<Self>, flag: u8) -> Waker {
        Waker::from(Arc::new(FlagWaker { wakeups: self.clone(), flag }))
    }
}

struct FlagWaker {
    wakeups: Arc<Wakeups>,
    flag: u8,
}

impl Wake for FlagWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wakeups.set(self.flag);
    }
}
