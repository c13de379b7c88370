//! A secure session with one peer: what opens and accepts streams, and why it ended.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::io;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use vatmux_mux::{
    CloseCode, End, Event, ExclusiveNames, Hello, Limits, LimitsError, Priority, ResetCode, Role,
    SessionStatistics, Storage, StreamId, StreamName, StreamStatistics, Ticks, Violation, WriteError,
};
use vatmux_noise::{NodeId, RecordError, Records, Suite};

use crate::draft::Draft;
use crate::engine::Engine;
use crate::pump::Pump;
use crate::stream::Stream;
use crate::takers::Takers;
use crate::{Handle, Instant, Link};

/// What a session may use and how long it waits.
#[derive(Clone, Debug)]
pub struct SessionOptions {
    /// How long the handshake may take from its first byte to its last. Default: five seconds.
    pub handshake_deadline: Duration,
    /// The ciphers that this side asks for when it dials; an acceptor takes what it has.
    pub suite: Suite,
    /// Bounds of the multiplexer; their worst case in bytes is stated with them. Default: [`Limits::HOST`].
    pub limits: Limits,
    /// How long one keepalive tick is, at least a millisecond (less counts as that). With the default limits a peer is pinged after three silent ticks and
    /// given up after nine. Default: one second.
    pub tick: Duration,
    /// How long a session that is over waits for its last frame to leave and for the peer to hang up.
    /// Default: one second.
    pub linger: Duration,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            handshake_deadline: Duration::from_secs(5),
            suite: Suite::default(),
            limits: Limits::HOST,
            tick: Duration::from_secs(1),
            linger: Duration::from_secs(1),
        }
    }
}

/// Why a session is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionEnd {
    /// This side closed it.
    #[error("this side closed the session: {0}")]
    ClosedHere(CloseCode),
    /// The peer closed it and said why.
    #[error("the peer closed the session: {0}")]
    ClosedByPeer(CloseCode),
    /// The peer broke the multiplexer's rules. It was told, and the session ended.
    #[error("the peer broke the protocol: {0}")]
    Violation(Violation),
    /// A record could not be opened: somebody changed bytes on the way, or the peer is broken.
    #[error("a record failed its check: {0}")]
    Record(RecordError),
    /// Nothing arrived for as long as the keepalive allows.
    #[error("the peer was silent for {0:?} and is taken for dead")]
    Silent(Duration),
    /// For so long nothing arrived but parts of a record that never became whole, which anybody on the way can make up
    /// (MUX-9.6).
    #[error("nothing but parts of a record arrived for {0:?}, and the peer is taken for dead")]
    Trickling(Duration),
    /// The link ended without a word; in the middle of a record if `mid_record`.
    #[error("the link was cut{}", if *mid_record { " in the middle of a record" } else { "" })]
    LinkCut {
        /// Bytes of an unfinished record had arrived.
        mid_record: bool,
    },
    /// The link failed.
    #[error("the link failed: {reason}")]
    Link {
        /// What kind of failure the link reported.
        kind: io::ErrorKind,
        /// The link's own words.
        reason: String,
    },
}

/// Why a stream was not opened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The session is over.
    #[error("{0}")]
    Session(SessionEnd),
    /// The session has no room for it.
    #[error("{0}")]
    Engine(#[from] vatmux_mux::OpenError),
}

/// An authenticated session with one peer. Clones share it.
///
/// When the last clone and the last stream are gone, the session closes by itself: once what its streams had
/// finished has left, or after [`SessionOptions::linger`].
#[derive(Clone)]
pub struct Session {
    inner: Rc<Inner>,
    /// Counts the handles that keep the session open; the pump holds only `inner`.
    guard: Rc<OpenGuard>,
}

struct OpenGuard(Weak<Inner>);

impl Drop for OpenGuard {
    fn drop(&mut self) {
        if let Some(inner) = self.0.upgrade() {
            inner.retire();
        }
    }
}

/// What a handshake agreed on, ready to become a session.
pub(crate) struct Agreed {
    pub(crate) link: Box<dyn Link>,
    pub(crate) records: Records,
    pub(crate) peer: NodeId,
    pub(crate) peer_hello: Hello,
    pub(crate) role: Role,
    /// Bytes that arrived behind the last handshake message: records already.
    pub(crate) received: Vec<u8>,
}

impl Session {
    pub(crate) fn start<S: Storage + 'static>(
        handle: &Handle,
        agreed: Agreed,
        storage: S,
        options: SessionOptions,
    ) -> Result<Self, LimitsError> {
        let started = handle.now();
        let engine =
            vatmux_mux::Session::new(agreed.role, options.limits, agreed.peer_hello, storage, Ticks(0))?;
        let inner = Rc::new(Inner {
            engine: RefCell::new(Box::new(engine)),
            draft: RefCell::default(),
            takers: RefCell::default(),
            handle: handle.clone(),
            peer: agreed.peer,
            options,
            started,
            parked: RefCell::default(),
            arrived: RefCell::default(),
            accepting: RefCell::default(),
            pump: RefCell::default(),
            ended: RefCell::default(),
            closed: RefCell::default(),
            end: RefCell::default(),
            link_down: Cell::new(false),
            retiring: Cell::new(None),
            traffic: Traffic::default(),
            arrivals: Cell::default(),
        });
        let session = Self { inner: inner.clone(), guard: Rc::new(OpenGuard(Rc::downgrade(&inner))) };
        handle.spawn(Pump::new(inner, agreed.link, agreed.records, &agreed.received));
        Ok(session)
    }

    /// Who the peer is: the key that the handshake proved, and the only word on it.
    #[must_use]
    pub fn peer(&self) -> NodeId {
        self.inner.peer
    }

    /// Opens a stream. No round trip: bytes may be written at once; a peer that does not want the stream
    /// resets it.
    pub fn open(&self, name: &StreamName, priority: Priority) -> Result<Stream, OpenError> {
        if let Some(end) = self.inner.end() {
            return Err(OpenError::Session(end));
        }
        let opened = self.inner.engine.borrow_mut().open(name, priority);
        self.inner.poke();
        Ok(Stream::new(self.clone(), opened?))
    }

    /// The streams that the peer opens, in order. It does not keep the session open.
    #[must_use]
    pub fn incoming(&self) -> IncomingStreams {
        IncomingStreams { inner: self.inner.clone(), guard: Rc::downgrade(&self.guard) }
    }

    /// Lets one open stream of the peer's at a time carry each of these names. The peer's next stream of such a name is
    /// reset with [`ResetCode::DUPLICATE_NAME`] and is not among the [`incoming`](Self::incoming) ones.
    ///
    /// The set replaces the one before. Streams that came earlier and were not accepted compete as well: the first of
    /// each name stays, unless one was accepted.
    pub fn set_exclusive_names(&self, names: &ExclusiveNames) {
        self.inner.engine.borrow_mut().set_exclusive_names(names);
        self.inner.check_end();
        self.inner.poke();
    }

    /// Ends the session with a reason for the peer. Streams fail at once; the reason still leaves.
    pub fn close(&self, code: CloseCode) {
        self.inner.close(code);
    }

    /// Why the session is over, if it is.
    #[must_use]
    pub fn end(&self) -> Option<SessionEnd> {
        self.inner.end()
    }

    /// Waits until the session is over. Its last bytes may still be on their way; see [`closed`](Self::closed).
    pub async fn ended(&self) -> SessionEnd {
        poll_fn(|cx| {
            if let Some(end) = self.inner.end() {
                return Poll::Ready(end);
            }
            wait(&self.inner.ended, cx);
            Poll::Pending
        })
        .await
    }

    /// Waits until the session is over and its last bytes left, or could not.
    pub async fn closed(&self) -> SessionEnd {
        poll_fn(|cx| {
            if self.inner.link_down.get()
                && let Some(end) = self.inner.end()
            {
                return Poll::Ready(end);
            }
            wait(&self.inner.closed, cx);
            Poll::Pending
        })
        .await
    }

    /// Bytes and records that crossed the link so far.
    #[must_use]
    pub fn traffic(&self) -> TrafficSnapshot {
        self.inner.traffic.snapshot()
    }

    /// What the multiplexer has done since the session began, and what it holds now.
    #[must_use]
    pub fn statistics(&self) -> SessionStatistics {
        self.inner.engine.borrow().statistics()
    }

    /// The bytes, credit and windows of one stream at this moment; None where there is no such stream any more.
    #[must_use]
    pub fn stream_statistics(&self, id: StreamId) -> Option<StreamStatistics> {
        self.inner.engine.borrow().stream_statistics(id)
    }

    /// What it may use and how long it waits.
    #[must_use]
    pub fn options(&self) -> &SessionOptions {
        &self.inner.options
    }

    /// The driver that carries it.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.inner.handle
    }

    pub(crate) fn inner(&self) -> &Rc<Inner> {
        &self.inner
    }
}

/// Counters of one session's link, handshake excluded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrafficSnapshot {
    /// Records sealed and handed to the link.
    pub records_sent: u64,
    /// Bytes of those records, prefixes and tags included.
    pub bytes_sent: u64,
    /// Records that arrived and passed their check.
    pub records_received: u64,
    /// Bytes of those records.
    pub bytes_received: u64,
}

#[derive(Default)]
pub(crate) struct Traffic(Cell<TrafficSnapshot>);

impl Traffic {
    pub(crate) fn sent(&self, bytes: usize) {
        let mut snapshot = self.0.get();
        snapshot.records_sent += 1;
        snapshot.bytes_sent += bytes as u64;
        self.0.set(snapshot);
    }

    pub(crate) fn received(&self, bytes: usize) {
        let mut snapshot = self.0.get();
        snapshot.records_received += 1;
        snapshot.bytes_received += bytes as u64;
        self.0.set(snapshot);
    }

    fn snapshot(&self) -> TrafficSnapshot {
        self.0.get()
    }
}

/// Streams that a peer opened and nobody took yet.
pub struct IncomingStreams {
    inner: Rc<Inner>,
    guard: Weak<OpenGuard>,
}

impl IncomingStreams {
    /// The next one; None when the session is over.
    pub async fn next(&mut self) -> Option<Incoming> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Why there will be no more, once the session is over.
    #[must_use]
    pub fn end(&self) -> Option<SessionEnd> {
        self.inner.end()
    }

    /// As [`next`](Self::next), for hand-written futures.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        if self.inner.end().is_some() {
            return Poll::Ready(None);
        }
        let Some(guard) = self.guard.upgrade() else {
            return Poll::Ready(None);
        };
        let session = Session { inner: self.inner.clone(), guard };
        loop {
            let Some((id, priority)) = self.inner.arrived.borrow_mut().pop_front() else {
                *self.inner.accepting.borrow_mut() = Some(cx.waker().clone());
                return Poll::Pending;
            };
            // The engine may have turned it away while it waited here: then it has no name any more.
            let name = self.inner.engine.borrow().name(id).cloned();
            if let Some(name) = name {
                return Poll::Ready(Some(Incoming { session, id, name, priority, answered: false }));
            }
        }
    }
}

/// A stream that the peer opened: accept it or refuse it. Dropping it refuses it.
pub struct Incoming {
    session: Session,
    id: StreamId,
    name: StreamName,
    priority: Priority,
    answered: bool,
}

impl Incoming {
    /// The name that the peer asked for.
    #[must_use]
    pub fn name(&self) -> &StreamName {
        &self.name
    }

    /// The priority that the peer gave it; frames of both directions are scheduled by it.
    #[must_use]
    pub fn priority(&self) -> Priority {
        self.priority
    }

    /// Takes the stream.
    #[must_use]
    pub fn accept(mut self) -> Stream {
        self.answered = true;
        // A stream that is gone by now shows itself on the first read or write.
        let _ = self.session.inner.engine.borrow_mut().accept(self.id);
        self.session.inner.poke();
        Stream::new(self.session.clone(), self.id)
    }

    /// Declines the stream and says why.
    pub fn refuse(mut self, code: ResetCode) {
        self.decline(code);
    }

    fn decline(&mut self, code: ResetCode) {
        self.answered = true;
        let _ = self.session.inner.engine.borrow_mut().refuse(self.id, code);
        self.session.inner.poke();
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.answered {
            self.decline(ResetCode::CANCELLED);
        }
    }
}

/// Who waits for a stream: at most one reader and one writer.
#[derive(Default)]
pub(crate) struct Parked {
    pub(crate) reader: Option<Waker>,
    pub(crate) writer: Option<Waker>,
}

/// The state that handles, streams and the pump share.
pub(crate) struct Inner {
    pub(crate) engine: RefCell<Box<dyn Engine>>,
    pub(crate) draft: RefCell<Draft>,
    pub(crate) takers: RefCell<Takers>,
    pub(crate) handle: Handle,
    peer: NodeId,
    pub(crate) options: SessionOptions,
    started: Instant,
    pub(crate) parked: RefCell<BTreeMap<StreamId, Parked>>,
    /// Opened by the peer, not yet taken: bounded by the engine's cap on unaccepted streams.
    arrived: RefCell<VecDeque<(StreamId, Priority)>>,
    accepting: RefCell<Option<Waker>>,
    pub(crate) pump: RefCell<Option<Waker>>,
    /// Those who wait for the end, and those who wait for the link to be done with.
    ended: RefCell<Vec<Waker>>,
    closed: RefCell<Vec<Waker>>,
    end: RefCell<Option<SessionEnd>>,
    link_down: Cell<bool>,
    /// When the session closes at the latest, once nobody holds it any more.
    pub(crate) retiring: Cell<Option<Instant>>,
    pub(crate) traffic: Traffic,
    arrivals: Cell<Arrivals>,
}

/// When bytes last arrived, and when they made a record whole.
#[derive(Clone, Copy, Default)]
struct Arrivals {
    last: Ticks,
    proven: Ticks,
}

impl Inner {
    pub(crate) fn end(&self) -> Option<SessionEnd> {
        self.end.borrow().clone()
    }

    pub(crate) fn is_over(&self) -> bool {
        self.end.borrow().is_some()
    }

    fn tick(&self) -> Duration {
        self.options.tick.max(Duration::from_millis(1))
    }

    /// The present in keepalive ticks, as far as the loop knows it: they are counted in its passes.
    pub(crate) fn ticks(&self) -> Ticks {
        let elapsed = self.handle.pass_began().saturating_since(self.started);
        Ticks((elapsed.as_nanos() / self.tick().as_nanos()) as u64)
    }

    /// When a tick begins.
    pub(crate) fn instant_of(&self, ticks: Ticks) -> Instant {
        let tick_nanos = u64::try_from(self.tick().as_nanos()).unwrap_or(u64::MAX);
        self.started + Duration::from_nanos(tick_nanos.saturating_mul(ticks.0))
    }

    /// Writes on a stream as the engine does, past the stream's ring where nothing else waits to be sent.
    pub(crate) fn write(&self, id: StreamId, bytes: &[u8]) -> Result<usize, WriteError> {
        let mut engine = self.engine.borrow_mut();
        self.draft.borrow_mut().write(&mut **engine, self.handle.buffers(), id, bytes)
    }

    /// The next record can be filled: whoever waited for that may go on.
    pub(crate) fn link_is_free(&self) {
        let waiting = self.draft.borrow_mut().link_is_free();
        if let Some(id) = waiting {
            self.wake_stream(id, false, true);
        }
    }

    /// True where the pump could send something.
    pub(crate) fn wants_to_send(&self) -> bool {
        !self.draft.borrow().is_empty() || self.engine.borrow().wants_transmit()
    }

    /// Has the pump look at the engine, where there is something to send.
    pub(crate) fn poke(&self) {
        if self.wants_to_send() {
            self.wake_pump();
        }
    }

    fn wake_pump(&self) {
        if let Some(waker) = self.pump.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    /// Nobody holds the session any more: it closes when nothing is left to send.
    fn retire(&self) {
        self.retiring.set(Some(self.handle.now() + self.options.linger));
        self.wake_pump();
    }

    pub(crate) fn close(&self, code: CloseCode) {
        if self.end().is_none() {
            self.engine.borrow_mut().close(code);
            self.over(SessionEnd::ClosedHere(code));
            self.wake_pump();
        }
    }

    /// Learns from the engine whether the session is over.
    pub(crate) fn check_end(&self) {
        let end = self.engine.borrow().end();
        if let Some(end) = end {
            self.over(match end {
                End::PeerClosed(code) => SessionEnd::ClosedByPeer(code),
                End::Closed(code) => SessionEnd::ClosedHere(code),
                End::Violation(violation) => SessionEnd::Violation(violation),
                End::KeepaliveTimeout => self.silence(),
            });
        }
    }

    /// How the peer was silent when the keepalive gave it up.
    fn silence(&self) -> SessionEnd {
        let length = |ticks: Ticks| self.tick().saturating_mul(u32::try_from(ticks.0).unwrap_or(u32::MAX));
        let (now, dead_after) = (self.ticks(), self.options.limits.dead_after_ticks);
        let arrivals = self.arrivals.get();
        if arrivals.last > arrivals.proven && now.since(arrivals.last) < dead_after {
            SessionEnd::Trickling(length(now.since(arrivals.proven)))
        } else {
            SessionEnd::Silent(length(dead_after))
        }
    }

    /// A whole record has arrived.
    pub(crate) fn record_arrived(&self, now: Ticks) {
        self.arrivals.set(Arrivals { last: now, proven: now });
    }

    /// A part of a record has arrived.
    pub(crate) fn part_arrived(&self, now: Ticks) {
        self.arrivals.set(Arrivals { last: now, ..self.arrivals.get() });
    }

    /// Records why the session is over, once, and wakes everybody who waits for it.
    pub(crate) fn over(&self, end: SessionEnd) {
        if self.end.borrow().is_some() {
            return;
        }
        *self.end.borrow_mut() = Some(end);
        let parked = std::mem::take(&mut *self.parked.borrow_mut());
        for waker in parked.into_values().flat_map(|parked| [parked.reader, parked.writer]).flatten() {
            waker.wake();
        }
        if let Some(waker) = self.accepting.borrow_mut().take() {
            waker.wake();
        }
        for waker in self.ended.borrow_mut().drain(..) {
            waker.wake();
        }
    }

    /// The pump is done with the link.
    pub(crate) fn link_is_down(&self) {
        self.link_down.set(true);
        for waker in self.closed.borrow_mut().drain(..) {
            waker.wake();
        }
    }

    /// Passes the engine's news to whom it concerns.
    pub(crate) fn dispatch(&self) {
        loop {
            let event = self.engine.borrow_mut().poll_event();
            match event {
                None => return,
                Some(Event::Incoming { id, priority }) => {
                    self.arrived.borrow_mut().push_back((id, priority));
                    if let Some(waker) = self.accepting.borrow_mut().take() {
                        waker.wake();
                    }
                }
                Some(Event::Readable(id)) => self.wake_stream(id, true, false),
                Some(Event::Writable(id)) => self.wake_stream(id, false, true),
                Some(Event::Reset(id, _)) => self.wake_stream(id, true, true),
                Some(Event::Ended) => self.check_end(),
                Some(Event::Opened(_)) => {}
            }
        }
    }

    fn wake_stream(&self, id: StreamId, reader: bool, writer: bool) {
        let mut parked = self.parked.borrow_mut();
        if let Some(parked) = parked.get_mut(&id) {
            if reader && let Some(waker) = parked.reader.take() {
                waker.wake();
            }
            if writer && let Some(waker) = parked.writer.take() {
                waker.wake();
            }
        }
    }
}

/// Has whoever polls woken with the others, once.
fn wait(waiting: &RefCell<Vec<Waker>>, cx: &Context<'_>) {
    let mut waiting = waiting.borrow_mut();
    if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
        waiting.push(cx.waker().clone());
    }
}
