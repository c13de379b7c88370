//! Parking on the operating system's poller (epoll, kqueue, IOCP), and the sockets that are watched by it.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use polling::{AsSource, Event, Events, PollMode, Poller};
use slab::Slab;
use vatmux_driver::{Clock, Instant, Park, Unpark};

use crate::MonotonicClock;

/// The poller of one thread. Clones share it: one goes to the driver as its park, others make sockets.
#[derive(Clone)]
pub struct Reactor {
    poller: Arc<Poller>,
    watched: Rc<RefCell<Slab<Watched>>>,
    clock: MonotonicClock,
}

/// A direction of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Read,
    Write,
}

/// What the reactor knows of one direction.
#[derive(Default)]
struct Side {
    /// False once the system said "would block", until it says "ready".
    blocked: bool,
    /// The poller reports this direction.
    armed: bool,
    parked: Option<Waker>,
}

#[derive(Default)]
struct Watched {
    read: Side,
    write: Side,
}

impl Watched {
    fn side(&mut self, direction: Direction) -> &mut Side {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
        }
    }

    fn interest(&self, key: usize) -> Event {
        Event::new(key, self.read.armed, self.write.armed)
    }
}

impl Reactor {
    /// A poller of its own, telling the time by `clock`.
    pub fn new(clock: MonotonicClock) -> io::Result<Self> {
        Ok(Self { poller: Arc::new(Poller::new()?), watched: Rc::default(), clock })
    }

    /// Takes `source`, which must be non-blocking, under watch.
    pub(crate) fn watch<S: AsSource>(&self, source: S) -> io::Result<Socket<S>> {
        let key = self.watched.borrow_mut().insert(Watched::default());
        // SAFETY: the poller wants a source deleted before it is closed. `Socket` owns the source and deletes
        // it in its destructor, before the source's own destructor closes it.
        #[allow(unsafe_code)]
        let added =
            unsafe { self.poller.add_with_mode(&source.source(), Event::none(key), PollMode::Oneshot) };
        if let Err(error) = added {
            self.watched.borrow_mut().remove(key);
            return Err(error);
        }
        Ok(Socket { reactor: self.clone(), key, source })
    }
}

/// A socket under the reactor's watch.
pub(crate) struct Socket<S: AsSource> {
    reactor: Reactor,
    key: usize,
    source: S,
}

impl<S: AsSource> Socket<S> {
    pub(crate) fn get(&self) -> &S {
        &self.source
    }

    /// Tries `operation`; where it would block, parks the waker until the system says that `direction` is
    /// ready. No system call is made while the system's last word was "would block".
    pub(crate) fn poll<T>(
        &self,
        direction: Direction,
        cx: &mut Context<'_>,
        mut operation: impl FnMut(&S) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        if self.reactor.watched.borrow_mut()[self.key].side(direction).blocked {
            return self.park(direction, cx);
        }
        loop {
            match operation(&self.source) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return self.park(direction, cx),
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    /// Waits for readiness without an operation of its own: a connecting socket becomes writable.
    pub(crate) fn park<T>(&self, direction: Direction, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let mut watched = self.reactor.watched.borrow_mut();
        let entry = &mut watched[self.key];
        let side = entry.side(direction);
        side.blocked = true;
        if !side.parked.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            side.parked = Some(cx.waker().clone());
        }
        if !side.armed {
            side.armed = true;
            let interest = entry.interest(self.key);
            if let Err(error) =
                self.reactor.poller.modify_with_mode(&self.source, interest, PollMode::Oneshot)
            {
                return Poll::Ready(Err(error));
            }
        }
        Poll::Pending
    }

    /// Forgets the last "would block", so that the next poll asks the system.
    pub(crate) fn recheck(&self) {
        let mut watched = self.reactor.watched.borrow_mut();
        let entry = &mut watched[self.key];
        entry.read.blocked = false;
        entry.write.blocked = false;
    }
}

impl<S: AsSource> Drop for Socket<S> {
    fn drop(&mut self) {
        // Where the system refuses, the descriptor is gone from the poller with its close.
        let _ = self.reactor.poller.delete(&self.source);
        self.reactor.watched.borrow_mut().remove(self.key);
    }
}

/// A [`Reactor`] as a driver's [`Park`]; see [`Reactor::into_park`].
pub struct ReactorPark {
    reactor: Reactor,
    events: Events,
}

impl Reactor {
    /// What a driver parks on, so that sockets which other clones of this reactor watch wake it.
    #[must_use]
    pub fn into_park(self) -> ReactorPark {
        ReactorPark { reactor: self, events: Events::new() }
    }
}

impl ReactorPark {
    /// Whether a look would find nothing.
    ///
    /// A wait of the poller's is five system calls, for its timer and its notifier want to be armed again. The poller's
    /// own descriptor is readable while it has events, and to ask for that is one. A busy thread looks once for every
    /// record that it sends or takes in, and mostly finds nothing.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn is_quiet(&self) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut [PollFd::new(&*self.reactor.poller, PollFlags::IN)], Some(&at_once)) == Ok(0)
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn is_quiet(&self) -> bool {
        false
    }
}

impl Park for ReactorPark {
    fn park(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        if deadline == Some(Instant::ORIGIN) && self.is_quiet() {
            return Ok(());
        }
        let timeout = deadline.map(|deadline| {
            if deadline == Instant::ORIGIN {
                Duration::ZERO
            } else {
                deadline.saturating_since(self.reactor.clock.now())
            }
        });
        self.events.clear();
        match self.reactor.poller.wait(&mut self.events, timeout) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        let mut watched = self.reactor.watched.borrow_mut();
        for event in self.events.iter() {
            // A socket that was dropped while its event was on the way has no entry any more.
            let Some(entry) = watched.get_mut(event.key) else { continue };
            // One event disarms both directions; the one that stays parked arms itself again below.
            for (side, ready) in [(&mut entry.read, event.readable), (&mut entry.write, event.writable)] {
                side.armed = false;
                if ready {
                    side.blocked = false;
                    if let Some(waker) = side.parked.take() {
                        waker.wake();
                    }
                } else if let Some(waker) = &side.parked {
                    waker.wake_by_ref();
                }
            }
        }
        Ok(())
    }

    fn unpark(&self) -> Arc<dyn Unpark> {
        Arc::new(Notifier(self.reactor.poller.clone()))
    }
}

struct Notifier(Arc<Poller>);

impl Unpark for Notifier {
    fn unpark(&self) {
        // It fails only when the poller is closed, and then nobody is parked on it.
        let _ = self.0.notify();
    }
}
