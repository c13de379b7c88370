//! A clock and a park for tests: time stands still while anything can run, and jumps to the next deadline when
//! nothing can.
//!
//! Same inputs, same outputs, same order of events: a test under virtual time has no jitter and no sleep.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Clock, Driver, Instant, Park, Unpark};

/// A clock that moves only when a parked driver has nothing to do before its next deadline.
#[derive(Clone)]
pub struct VirtualClock(Rc<Cell<Instant>>);

impl Clock for VirtualClock {
    fn now(&self) -> Instant {
        self.0.get()
    }
}

/// The park that moves a [`VirtualClock`].
struct VirtualPark {
    clock: VirtualClock,
    unparked: Arc<Flag>,
}

#[derive(Default)]
struct Flag(AtomicBool);

impl Unpark for Flag {
    fn unpark(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Park for VirtualPark {
    fn park(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        if self.unparked.0.swap(false, Ordering::SeqCst) {
            return Ok(());
        }
        match deadline {
            Some(deadline) => {
                self.clock.0.set(deadline.max(self.clock.now()));
                Ok(())
            }
            None => Err(io::Error::new(
                io::ErrorKind::Deadlock,
                "every task waits, no deadline is armed and no other thread can help",
            )),
        }
    }

    fn unpark(&self) -> Arc<dyn Unpark> {
        self.unparked.clone()
    }
}

/// A driver under virtual time, and its clock, which starts at the origin.
#[must_use]
pub fn driver() -> (Driver, VirtualClock) {
    let clock = VirtualClock(Rc::new(Cell::new(Instant::ORIGIN)));
    let park = VirtualPark { clock: clock.clone(), unparked: Arc::default() };
    (Driver::new(clock.clone(), park), clock)
}
