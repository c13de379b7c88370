//! What the driver needs of the machine: its time, and a way to sleep until something happens.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use vatmux_driver::{Clock, Instant, Park, Unpark};

use crate::machine::{heap, interrupts, timer};
use crate::network::Networks;
use crate::shortage::Shortage;

/// The time since the machine was switched on.
pub(crate) struct MachineClock;

impl Clock for MachineClock {
    fn now(&self) -> Instant {
        timer::now()
    }
}

/// Sleeps in `wfi`: until the card has something, the network's own timers want a turn, or the driver's next deadline.
///
/// It also is what moves frames. The driver parks when nothing is flagged, and every few dozen microseconds while something
/// is: whatever was written by then leaves here.
pub(crate) struct MachinePark {
    networks: Networks,
    shortage: Shortage,
    unparked: Arc<Unparked>,
    sleeps: Sleeps,
}

/// How often the machine was woken from its sleep, and how long it slept. Clones count the same.
#[derive(Clone, Default)]
pub(crate) struct Sleeps(Rc<Cell<(u64, Duration)>>);

impl Sleeps {
    pub(crate) fn count(&self) -> u64 {
        self.0.get().0
    }

    /// How long all of them lasted.
    pub(crate) fn time(&self) -> Duration {
        self.0.get().1
    }
}

/// Set by wakers: nothing else runs while the machine sleeps, so that it is only ever set on the way there.
#[derive(Default)]
struct Unparked(AtomicBool);

impl Unpark for Unparked {
    fn unpark(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl MachinePark {
    /// Moves the frames of `networks`, and lets `shortage` know how much of the heap is free.
    pub(crate) fn new(networks: Networks, shortage: Shortage) -> Self {
        Self { networks, shortage, unparked: Arc::default(), sleeps: Sleeps::default() }
    }

    pub(crate) fn sleeps(&self) -> Sleeps {
        self.sleeps.clone()
    }
}

impl Park for MachinePark {
    fn park(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        loop {
            for network in self.networks.iter() {
                network.turn(timer::now());
            }
            self.shortage.look(heap::free_bytes());
            let woken = self.unparked.0.swap(false, Ordering::Relaxed);
            let now = timer::now();
            if woken || deadline.is_some_and(|deadline| deadline <= now) {
                return Ok(());
            }
            let turns = self.networks.iter().filter_map(|network| network.next_turn(now));
            let until = turns.chain(deadline).min();
            if until.is_some_and(|until| until <= now) {
                continue;
            }
            timer::set(until);
            // What happened since the turn is pending, and ends the sleep before it begins.
            interrupts::wait();
            let (count, time) = self.sleeps.0.get();
            self.sleeps.0.set((count + 1, time + (timer::now() - now)));
            timer::set(None);
            while let Some(place) = interrupts::claim() {
                for network in self.networks.iter() {
                    network.acknowledge(place);
                }
                interrupts::done(place);
            }
        }
    }

    fn unpark(&self) -> Arc<dyn Unpark> {
        self.unparked.clone()
    }
}
