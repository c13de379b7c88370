//! Parking on the operating system's poller (epoll, kqueue, IOCP), and the sockets that are watched by it.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use mio::event::{Event, Source};
use mio::{Events, Interest, Token};
use slab::Slab;
use vatmux_driver::{Clock, Instant, Park, Unpark};

use crate::MonotonicClock;

/// What the poller says when another thread calls.
const UNPARKED: Token = Token(usize::MAX);

/// Events taken from the poller at a time; the others are there at the next look.
const EVENTS: usize = 256;

/// A read that leaves part of its buffer empty has taken everything, and what comes later is announced: epoll and
/// kqueue promise that. The read that would only be told to wait is left out.
const SHORT_READ_DRAINS: bool = cfg!(any(
    target_os = "linux",
    target_os = "android",
    target_os = "macos",
    target_os = "ios",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd",
));

/// The poller of one thread. Clones share it: one goes to the driver as its park, others make sockets.
///
/// A socket is registered once, for both directions, and the poller tells of each *change* to ready: waiting costs one
/// system call, whatever is awaited. A deadline is met to the millisecond, never early.
#[derive(Clone)]
pub struct Reactor {
    poller: Rc<RefCell<mio::Poll>>,
    waker: Arc<mio::Waker>,
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
    /// Nothing will be announced any more: the peer ended this direction, or the socket failed.
    over: bool,
    parked: Option<Waker>,
}

impl Side {
    fn ready(&mut self, over: bool) {
        self.blocked = false;
        self.over |= over;
        if let Some(waker) = self.parked.take() {
            waker.wake();
        }
    }
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

    fn announce(&mut self, event: &Event) {
        let failed = event.is_error();
        if event.is_readable() || event.is_read_closed() || failed {
            self.read.ready(event.is_read_closed() || failed);
        }
        if event.is_writable() || event.is_write_closed() || failed {
            self.write.ready(event.is_write_closed() || failed);
        }
    }
}

impl Reactor {
    /// A poller of its own, telling the time by `clock`.
    pub fn new(clock: MonotonicClock) -> io::Result<Self> {
        let poller = mio::Poll::new()?;
        let waker = Arc::new(mio::Waker::new(poller.registry(), UNPARKED)?);
        Ok(Self { poller: Rc::new(RefCell::new(poller)), waker, watched: Rc::default(), clock })
    }

    /// Takes `source`, which must be non-blocking, under watch.
    pub(crate) fn watch<S: Source>(&self, mut source: S) -> io::Result<Socket<S>> {
        let key = self.watched.borrow_mut().insert(Watched::default());
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poller.borrow().registry().register(&mut source, Token(key), interest) {
            self.watched.borrow_mut().remove(key);
            return Err(error);
        }
        Ok(Socket { reactor: self.clone(), key, source })
    }
}

/// A socket under the reactor's watch.
pub(crate) struct Socket<S: Source> {
    reactor: Reactor,
    key: usize,
    source: S,
}

impl<S: Source> Socket<S> {
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

    /// As [`poll`](Self::poll), for `operation`s that read a stream into `buf`.
    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
        mut operation: impl FnMut(&S, &mut [u8]) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let outcome = self.poll(Direction::Read, cx, |source| operation(source, buf));
        if SHORT_READ_DRAINS
            && let Poll::Ready(Ok(read)) = outcome
            && (1..buf.len()).contains(&read)
        {
            let mut watched = self.reactor.watched.borrow_mut();
            let side = &mut watched[self.key].read;
            // The end of the stream may have been announced together with its last bytes.
            side.blocked = !side.over;
        }
        outcome
    }

    /// Waits for readiness without an operation of its own: a connecting socket becomes writable.
    pub(crate) fn park<T>(&self, direction: Direction, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let mut watched = self.reactor.watched.borrow_mut();
        let side = watched[self.key].side(direction);
        side.blocked = true;
        if !side.parked.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            side.parked = Some(cx.waker().clone());
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

impl<S: Source> Drop for Socket<S> {
    fn drop(&mut self) {
        // Where the system refuses, the descriptor is gone from the poller with its close.
        let _ = self.reactor.poller.borrow().registry().deregister(&mut self.source);
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
        ReactorPark { reactor: self, events: Events::with_capacity(EVENTS) }
    }
}

impl Park for ReactorPark {
    fn park(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        let timeout = deadline.map(|deadline| {
            if deadline == Instant::ORIGIN {
                Duration::ZERO
            } else {
                deadline.saturating_since(self.reactor.clock.now())
            }
        });
        match self.reactor.poller.borrow_mut().poll(&mut self.events, timeout) {
            Ok(()) => {}
            // What the events are then is not said.
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn wake_ready(&mut self) {
        let mut watched = self.reactor.watched.borrow_mut();
        for event in &self.events {
            // A socket that was dropped while its event was on the way has no entry any more.
            if let Some(entry) = watched.get_mut(event.token().0) {
                entry.announce(event);
            }
        }
    }

    fn unpark(&self) -> Arc<dyn Unpark> {
        Arc::new(Notifier(self.reactor.waker.clone()))
    }
}

struct Notifier(Arc<mio::Waker>);

impl Unpark for Notifier {
    fn unpark(&self) {
        // It fails only when the poller is closed, and then nobody is parked on it.
        let _ = self.0.wake();
    }
}
