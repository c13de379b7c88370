//! Time that passes when a claim lets it pass, on a thread that others may work for.
//!
//! [`vatmux_driver::virtual_time`] jumps to the next deadline as soon as nothing can run. Services have threads of their own, so that
//! "nothing can run here" does not mean "nothing will happen": this clock stands still until somebody says how far it may go.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use vatmux_driver::{Clock, Driver, Instant, Park, Unpark};

/// How long a park waits for other threads. Nothing takes so long: where it does, a claim waits for what never comes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A clock that goes as far as it is allowed to.
#[derive(Clone)]
pub(crate) struct HeldClock(Rc<Hands>);

struct Hands {
    now: Cell<Instant>,
    allowed: Cell<Instant>,
}

impl HeldClock {
    /// Lets so much time pass, deadline by deadline, as soon as nothing else can be done.
    pub(crate) fn allow(&self, time: Duration) {
        self.0.allowed.set(self.0.now.get() + time);
    }
}

impl Clock for HeldClock {
    fn now(&self) -> Instant {
        self.0.now.get()
    }
}

struct HeldPark {
    clock: HeldClock,
    bell: Arc<Bell>,
}

#[derive(Default)]
struct Bell {
    rung: Mutex<bool>,
    ring: Condvar,
}

impl Unpark for Bell {
    fn unpark(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.ring.notify_one();
    }
}

impl Park for HeldPark {
    fn park(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        let hands = &self.clock.0;
        let (now, allowed) = (hands.now.get(), hands.allowed.get());
        let mut rung = self.bell.rung.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut *rung) || deadline.is_some_and(|deadline| deadline <= now) {
            return Ok(());
        }
        if now < allowed {
            hands.now.set(deadline.map_or(allowed, |deadline| deadline.min(allowed)));
            return Ok(());
        }
        let waited = self.bell.ring.wait_timeout_while(rung, PATIENCE, |rung| !*rung);
        let (mut rung, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        *rung = false;
        if waited.timed_out() {
            return Err(io::Error::new(io::ErrorKind::Deadlock, "every task waits, and no thread helps"));
        }
        Ok(())
    }

    fn unpark(&self) -> Arc<dyn Unpark> {
        self.bell.clone()
    }
}

/// A driver under such a clock.
pub(crate) fn driver() -> (Driver, HeldClock) {
    let hands = Hands { now: Cell::new(Instant::ORIGIN), allowed: Cell::new(Instant::ORIGIN) };
    let clock = HeldClock(Rc::new(hands));
    let park = HeldPark { clock: clock.clone(), bell: Arc::default() };
    (Driver::new(clock.clone(), park), clock)
}
