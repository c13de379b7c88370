//! A node that others dial: an accepting thread, worker threads, and the bounds between them.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::ops;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;

use futures::channel::{mpsc, oneshot};
use futures::future::{Either, Map, Shared, join_all, select};
use futures::{FutureExt, StreamExt};
use vatmux_driver::{Driver, Handle, HandshakeFailure, PipeEnd, Session, SessionEnd, SessionOptions, pipe};
use vatmux_mux::{CloseCode, HeapStorage, Priority};
use vatmux_noise::{AllowList, Entropy, NodeId, SecretKey};
use vatmux_rpc::service::{ServedBy, Service};
use vatmux_rpc::{Options, Peer, ServeError, Services, SessionSnapshot};

use crate::listen::{Accepted, WatchedListener};
use crate::memory::keep_freed_buffers;
use crate::observe::{self, Board, NodeCounters, Observer, Question, Report, WorkerPlace};
use crate::{Endpoint, ListenError, Listener, MonotonicClock, Reactor};

/// Bytes that an in-process link holds in each direction.
const PIPE_BYTES: usize = 128 * 1024;

/// What is kept of what a task that panicked said.
const MAX_PANIC_BYTES: usize = 1_000;

/// Puts one thread's services into its registry.
type Setup = Arc<dyn Fn(&mut Services, &Surroundings) -> Result<(), ServeError> + Send + Sync>;

/// What a service may use of the thread that it is on.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) handle: Handle,
    pub(crate) reactor: Reactor,
    pub(crate) on_event: Arc<dyn Fn(NodeEvent) + Send + Sync>,
}

/// What a node tells its owner, as it happens; see [`NodeBuilder::on_event`].
#[derive(Debug)]
pub enum NodeEvent {
    /// A peer proved its key and is allowed.
    Connected(NodeId),
    /// Its session is over.
    Ended(NodeId, SessionEnd),
    /// A link did not become a session.
    Refused(HandshakeFailure),
    /// A link was dropped unread, because of a bound of the node.
    Dropped(Bound),
    /// The system refused to accept a link; the node tries again shortly.
    AcceptFailed(io::Error),
    /// A worker thread is gone, with its sessions.
    WorkerDied,
    /// A plain server whose service is offered here could not be reached for a peer, or could no longer be.
    ImportFailed {
        /// The service's name.
        service: String,
        /// What went wrong, and where.
        reason: String,
    },
    /// A task of a service panicked, and ended alone: a defect of the service. This is what it said, or the beginning of it.
    TaskPanicked(String),
}

/// A bound that made a node drop a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// [`NodeBuilder::max_unauthenticated`].
    Unauthenticated,
    /// [`NodeBuilder::max_sessions`].
    Sessions,
}

impl fmt::Display for NodeEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected(peer) => write!(f, "{peer} connected"),
            Self::Ended(peer, end) => write!(f, "{peer} left: {end}"),
            Self::Refused(failure) => write!(f, "refused a link: {failure}"),
            Self::Dropped(Bound::Unauthenticated) => f.write_str("dropped a link: too many unknown callers"),
            Self::Dropped(Bound::Sessions) => f.write_str("dropped a link: too many sessions"),
            Self::WorkerDied => f.write_str("a worker thread died"),
            Self::AcceptFailed(error) => write!(f, "cannot accept a link: {error}"),
            Self::ImportFailed { service, reason } => write!(f, "imported service {service}: {reason}"),
            Self::TaskPanicked(message) => write!(f, "a task of a service panicked: {message}"),
        }
    }
}

/// A node that accepts peers and serves them from worker threads, until it is dropped.
pub struct Node {
    node_id: NodeId,
    local: Vec<Endpoint>,
    shared: Arc<NodeState>,
    pipes: mpsc::UnboundedSender<Accepted>,
    stop: Option<oneshot::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

/// What is set up before a [`Node`] starts.
#[must_use]
pub struct NodeBuilder {
    key: SecretKey,
    allow: AllowList,
    setups: Vec<Setup>,
    listeners: Vec<Listener>,
    workers: usize,
    max_unauthenticated: usize,
    max_sessions: usize,
    session_options: SessionOptions,
    vat_options: Options,
    on_event: Arc<dyn Fn(NodeEvent) + Send + Sync>,
    observer: Observer,
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A service cannot be offered.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The system refused a thread or a poller.
    #[error("the system refused what a node needs: {0}")]
    System(#[from] io::Error),
}

/// State of a node that its threads share.
struct NodeState {
    key: SecretKey,
    allow: AllowList,
    setups: Vec<Setup>,
    max_unauthenticated: usize,
    max_sessions: usize,
    session_options: SessionOptions,
    vat_options: Options,
    on_event: Arc<dyn Fn(NodeEvent) + Send + Sync>,
    observer: Observer,
}

impl NodeState {
    /// Counts what happened, and tells the owner and whoever subscribes to `tracing`.
    fn tell(&self, event: NodeEvent) {
        self.observer.board().count(&event);
        observe::trace(&event);
        (self.on_event)(event);
    }
}

/// One place among a bounded number, given back when dropped.
struct Place {
    shared: Arc<NodeState>,
    count: fn(&Board) -> &AtomicUsize,
}

impl Place {
    fn take(shared: &Arc<NodeState>, count: fn(&Board) -> &AtomicUsize, most: usize) -> Option<Self> {
        let taken = count(shared.observer.board())
            .try_update(Ordering::SeqCst, Ordering::SeqCst, |taken| (taken < most).then_some(taken + 1));
        taken.ok().map(|_| Self { shared: shared.clone(), count })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        (self.count)(self.shared.observer.board()).fetch_sub(1, Ordering::SeqCst);
    }
}

impl Node {
    /// A node that is known by `key`, offers nothing yet and allows nobody.
    pub fn builder(key: SecretKey) -> NodeBuilder {
        NodeBuilder {
            key,
            allow: AllowList::Only(BTreeSet::new()),
            setups: Vec::new(),
            listeners: Vec::new(),
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            max_unauthenticated: 64,
            max_sessions: 1024,
            session_options: SessionOptions::default(),
            vat_options: Options::default(),
            on_event: Arc::new(|_| {}),
            observer: Observer::default(),
        }
    }

    /// Who this node is.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.node_id
    }

    /// Where it listens, in the order in which it was told to; port 0 has become a number.
    #[must_use]
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.local
    }

    /// A link to this node within the process. Dial over it with [`Dialer::dial_over`](crate::Dialer::dial_over).
    #[must_use]
    pub fn pipe(&self) -> PipeEnd {
        let (ours, theirs) = pipe(PIPE_BYTES);
        // The accepting thread ends only with the node.
        let _ = self.pipes.unbounded_send(Accepted::Pipe(theirs));
        ours
    }

    /// What it is doing.
    #[must_use]
    pub fn counters(&self) -> NodeCounters {
        self.shared.observer.counters()
    }

    /// What looks at it from anywhere in the process.
    #[must_use]
    pub fn observer(&self) -> Observer {
        self.shared.observer.clone()
    }
}

impl Drop for Node {
    /// Closes every session with a reason, waits for the reasons to leave (a second or so at most), and ends
    /// the threads.
    fn drop(&mut self) {
        drop(self.stop.take());
        for thread in self.threads.drain(..) {
            // A thread that panicked said so on standard error.
            let _ = thread.join();
        }
    }
}

impl NodeBuilder {
    /// Who the node will be.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.key.node_id()
    }

    /// Who may dial. The default is nobody.
    pub fn allow(mut self, allow: AllowList) -> Self {
        self.allow = allow;
        self
    }

    /// Offers a service: peers that open a stream called `name` get what `factory` makes for them, on one of
    /// the worker threads. `factory` sees who the peer is.
    pub fn serve_named<F>(self, name: &'static str, priority: Priority, factory: F) -> Self
    where
        F: Fn(&Peer) -> capnp::capability::Client + Clone + Send + Sync + 'static,
    {
        self.services(move |services| services.serve_named(name, priority, factory.clone()))
    }

    /// Offers a service as its schema has it: each stream that a peer opens is served by what `factory` makes for it, on one
    /// of the worker threads. `factory` sees who the peer is.
    pub fn serve<S, T>(self, factory: impl Fn(&Peer) -> T + Clone + Send + Sync + 'static) -> Self
    where
        S: Service + ServedBy<T>,
    {
        self.services(move |services| services.serve::<S, T>(factory.clone()))
    }

    /// Offers the services of this node only to those peers for which `permits` says so; to all others there is no such
    /// service. See [`Services::permit`].
    pub fn permit(self, permits: impl Fn(&NodeId, &str) -> bool + Clone + Send + Sync + 'static) -> Self {
        self.services(move |services| {
            services.permit(permits.clone());
            Ok(())
        })
    }

    /// Offers services that have state on each worker thread: `setup` runs once on each.
    pub fn services<F>(self, setup: F) -> Self
    where
        F: Fn(&mut Services) -> Result<(), ServeError> + Send + Sync + 'static,
    {
        self.services_on(move |services, _| setup(services))
    }

    /// As [`services`](Self::services), for services that use the thread's sockets.
    pub(crate) fn services_on<F>(mut self, setup: F) -> Self
    where
        F: Fn(&mut Services, &Surroundings) -> Result<(), ServeError> + Send + Sync + 'static,
    {
        self.setups.push(Arc::new(setup));
        self
    }

    /// Accepts links from `listener`.
    pub fn listener(mut self, listener: Listener) -> Self {
        self.listeners.push(listener);
        self
    }

    /// Binds `endpoint` and accepts links from it.
    pub fn listen(self, endpoint: &Endpoint) -> Result<Self, ListenError> {
        Listener::bind(endpoint).map(|listener| self.listener(listener))
    }

    /// How many threads serve peers; at least one. Default: one for each processor.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// How many links may be in their handshake. Default: 64, at about 5 KiB each. More are dropped unread.
    pub fn max_unauthenticated(mut self, most: usize) -> Self {
        self.max_unauthenticated = most;
        self
    }

    /// How many sessions may be up. Default: 1,024; the memory of one is bounded by its options. The links
    /// of more are dropped unread.
    pub fn max_sessions(mut self, most: usize) -> Self {
        self.max_sessions = most;
        self
    }

    /// Bounds and times of its sessions.
    pub fn session_options(mut self, options: SessionOptions) -> Self {
        self.session_options = options;
        self
    }

    /// Bounds and times of its vats.
    pub fn vat_options(mut self, options: Options) -> Self {
        self.vat_options = options;
        self
    }

    /// Hears of peers that come, go and are refused. It is called on the node's threads and must not block.
    pub fn on_event(mut self, listener: impl Fn(NodeEvent) + Send + Sync + 'static) -> Self {
        self.on_event = Arc::new(listener);
        self
    }

    /// What will look at the node once it has started: for services that tell of it.
    #[must_use]
    pub fn observer(&self) -> Observer {
        self.observer.clone()
    }

    /// Starts the node's threads.
    pub fn start(self) -> Result<Node, StartError> {
        let node_id = self.key.node_id();
        let local = self.listeners.iter().map(|listener| listener.local().clone()).collect();
        let shared = Arc::new(NodeState {
            key: self.key,
            allow: self.allow,
            setups: self.setups,
            max_unauthenticated: self.max_unauthenticated,
            max_sessions: self.max_sessions,
            session_options: self.session_options,
            vat_options: self.vat_options,
            on_event: self.on_event,
            observer: self.observer,
        });
        // A name that cannot be served shows here and not on a thread that nobody watches.
        let (driver, reactor) = thread_driver(&shared)?;
        let mut trial = Services::default();
        let surroundings = surroundings(&shared, driver.handle(), reactor);
        for setup in &shared.setups {
            setup(&mut trial, &surroundings)?;
        }
        drop((trial, surroundings, driver));
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped: Stopped = stopped.map(drop as fn(_)).shared();
        let (pipes, piped) = mpsc::unbounded();
        let mut node =
            Node { node_id, local, shared: shared.clone(), pipes, stop: Some(stop), threads: Vec::new() };
        let mut workers = Vec::new();
        for number in 0..self.workers {
            let (mailbox, arrivals) = mpsc::unbounded();
            workers.push(WorkerPort { mailbox, load: Arc::default() });
            let (shared, stopped) = (shared.clone(), stopped.clone());
            let place = WorkerPlace { number, of: self.workers };
            let questions = shared.observer.board().add_worker();
            node.spawn(format!("vatmux-worker-{number}"), move || {
                run_worker(shared, place, arrivals, questions, stopped)
            })?;
        }
        let listeners = self.listeners;
        node.spawn("vatmux-accept".into(), move || {
            run_acceptor(&shared, listeners, workers, piped, stopped)
        })?;
        Ok(node)
    }
}

impl Node {
    /// Starts a thread and waits until it has what it needs of the system.
    fn spawn<F>(
        &mut self,
        name: String,
        run: impl FnOnce() -> io::Result<F> + Send + 'static,
    ) -> io::Result<()>
    where
        F: FnOnce(),
    {
        let (ready, readied) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            // Nobody listens any more where the node was given up.
            match run() {
                Ok(run) => {
                    let _ = ready.send(Ok(()));
                    run();
                }
                Err(error) => drop(ready.send(Err(error))),
            }
        })?;
        self.threads.push(thread);
        readied.recv().unwrap_or_else(|_| Err(io::Error::other("a thread of the node died at its start")))
    }
}

/// Resolves when the node is dropped, on every thread.
type Stopped = Shared<Map<oneshot::Receiver<()>, fn(Result<(), oneshot::Canceled>)>>;

/// A link with its place among the unauthenticated ones.
struct Arrival {
    accepted: Accepted,
    unauthenticated: Place,
    load: Load,
}

/// The accepting thread's side of a worker.
struct WorkerPort {
    mailbox: mpsc::UnboundedSender<Arrival>,
    load: Arc<AtomicUsize>,
}

/// One link on a worker, counted for as long as it lives.
struct Load(Arc<AtomicUsize>);

impl Load {
    fn add(to: &Arc<AtomicUsize>) -> Self {
        to.fetch_add(1, Ordering::Relaxed);
        Self(to.clone())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What one thread of a node runs on.
fn thread_driver(state: &Arc<NodeState>) -> io::Result<(Driver, Reactor)> {
    keep_freed_buffers();
    let clock = MonotonicClock::default();
    let reactor = Reactor::new(clock)?;
    let told = state.clone();
    let driver = Driver::new(clock, reactor.clone().into_park()).contain_panics().on_panic(move |message| {
        let kept = message.floor_char_boundary(MAX_PANIC_BYTES);
        told.tell(NodeEvent::TaskPanicked(message.get(..kept).unwrap_or_default().to_owned()));
    });
    Ok((driver, reactor))
}

/// What services that reach out of the node use on this thread.
fn surroundings(state: &Arc<NodeState>, handle: Handle, reactor: Reactor) -> Surroundings {
    let told = state.clone();
    Surroundings { handle, reactor, on_event: Arc::new(move |event| told.tell(event)) }
}

/// Prepares the accepting thread; what it returns runs until the node stops.
fn run_acceptor(
    state: &Arc<NodeState>,
    listeners: Vec<Listener>,
    workers: Vec<WorkerPort>,
    piped: mpsc::UnboundedReceiver<Accepted>,
    stopped: Stopped,
) -> io::Result<impl FnOnce() + use<>> {
    let (mut driver, reactor) = thread_driver(state)?;
    let handle = driver.handle();
    let door = Rc::new(Door { state: state.clone(), workers: RefCell::new(workers) });
    for listener in listeners {
        let listener = WatchedListener::new(&reactor, listener)?;
        handle.spawn(accept_links(listener, door.clone(), handle.clone()));
    }
    handle.spawn(piped.for_each(move |accepted| {
        door.admit(accepted);
        futures::future::ready(())
    }));
    let state = state.clone();
    Ok(move || {
        if let Err(error) = driver.drive_until(stopped) {
            state.tell(NodeEvent::AcceptFailed(error));
        }
    })
}

/// Where links come in.
struct Door {
    state: Arc<NodeState>,
    workers: RefCell<Vec<WorkerPort>>,
}

impl Door {
    /// Hands a link to the worker with the fewest, or drops it where there is no place for it.
    fn admit(&self, accepted: Accepted) {
        let most = self.state.max_unauthenticated;
        let Some(unauthenticated) = Place::take(&self.state, |board| &board.unauthenticated, most) else {
            self.state.tell(NodeEvent::Dropped(Bound::Unauthenticated));
            return;
        };
        let mut workers = self.workers.borrow_mut();
        let (mut accepted, mut unauthenticated) = (accepted, unauthenticated);
        while let Some((number, worker)) =
            workers.iter().enumerate().min_by_key(|(_, worker)| worker.load.load(Ordering::Relaxed))
        {
            let load = Load::add(&worker.load);
            match worker.mailbox.unbounded_send(Arrival { accepted, unauthenticated, load }) {
                Ok(()) => return,
                Err(refused) => {
                    Arrival { accepted, unauthenticated, .. } = refused.into_inner();
                    workers.swap_remove(number);
                    self.state.tell(NodeEvent::WorkerDied);
                }
            }
        }
    }
}

async fn accept_links(listener: WatchedListener, door: Rc<Door>, handle: Handle) {
    let failed = |error| door.state.tell(NodeEvent::AcceptFailed(error));
    match listener.accept_all(&handle, |accepted| door.admit(accepted), failed).await {}
}

/// Prepares a worker thread; what it returns runs until the node stops and its sessions are closed.
fn run_worker(
    state: Arc<NodeState>,
    place: WorkerPlace,
    mut arrivals: mpsc::UnboundedReceiver<Arrival>,
    questions: mpsc::UnboundedReceiver<Question>,
    mut stopped: Stopped,
) -> io::Result<impl FnOnce()> {
    let (mut driver, reactor) = thread_driver(&state)?;
    let mut services = Services::default();
    let surroundings = surroundings(&state, driver.handle(), reactor.clone());
    for setup in &state.setups {
        setup(&mut services, &surroundings).map_err(io::Error::other)?;
    }
    let worker = Rc::new(Worker {
        handle: driver.handle(),
        reactor,
        services: Rc::new(services),
        peers: RefCell::default(),
        next_peer: Cell::new(place.first_session()),
        place,
        stopping: Cell::new(false),
        state: state.clone(),
    });
    let asked = worker.clone();
    worker.handle.spawn(questions.for_each(move |question| {
        asked.answer(question);
        futures::future::ready(())
    }));
    Ok(move || {
        let served = driver.drive_until(async {
            while let Either::Left((Some(arrival), _)) = select(arrivals.next(), &mut stopped).await {
                worker.handle.spawn(worker.clone().serve(arrival));
            }
            worker.close_all().await;
        });
        if let Err(error) = served {
            state.tell(NodeEvent::AcceptFailed(error));
        }
    })
}

/// The state of one worker thread.
struct Worker {
    state: Arc<NodeState>,
    handle: Handle,
    reactor: Reactor,
    services: Rc<Services>,
    peers: RefCell<BTreeMap<u64, Peer>>,
    next_peer: Cell<u64>,
    place: WorkerPlace,
    /// The node stops: whoever comes now is turned away.
    stopping: Cell<bool>,
}

impl Worker {
    /// Carries one link from its first byte to its end.
    async fn serve(self: Rc<Self>, arrival: Arrival) {
        let Arrival { accepted, unauthenticated, load: _load } = arrival;
        let state = &self.state;
        let session = match self.shake_hands(accepted).await {
            Ok(session) => session,
            Err(failure) => {
                // Whoever hears of it finds the place free.
                drop(unauthenticated);
                state.tell(NodeEvent::Refused(failure));
                return;
            }
        };
        let Some(place) = Place::take(state, |board| &board.sessions, state.max_sessions) else {
            session.close(CloseCode::OVERLOADED);
            // Until it is gone it keeps its place among the strangers.
            session.closed().await;
            state.tell(NodeEvent::Dropped(Bound::Sessions));
            return;
        };
        drop(unauthenticated);
        if self.stopping.get() {
            session.close(CloseCode::GOING_AWAY);
            session.closed().await;
            return;
        }
        let peer = Peer::new(session, self.services.clone(), state.vat_options.clone());
        state.tell(NodeEvent::Connected(peer.node_id()));
        let number = self.next_peer.get();
        self.next_peer.set(self.place.session_after(number));
        self.peers.borrow_mut().insert(number, peer.clone());
        let end = peer.closed().await;
        self.peers.borrow_mut().remove(&number);
        drop(place);
        state.tell(NodeEvent::Ended(peer.node_id(), end));
    }

    async fn shake_hands(&self, accepted: Accepted) -> Result<Session, HandshakeFailure> {
        let link = accepted.into_link(&self.reactor)?;
        let entropy = Entropy::from_system().map_err(io::Error::other)?;
        let state = &self.state;
        vatmux_driver::accept(
            &self.handle,
            link,
            &state.key,
            &state.allow,
            entropy,
            HeapStorage::default(),
            state.session_options.clone(),
        )
        .await
    }

    /// Says what this thread has counted, and what some of its sessions are like.
    fn answer(&self, question: Question) {
        let Question { after, limit, answer } = question;
        let peers = self.peers.borrow();
        let wanted = (after.map_or(ops::Bound::Unbounded, ops::Bound::Excluded), ops::Bound::Unbounded);
        let sessions = peers
            .range(wanted)
            .take(limit)
            .map(|(id, peer)| SessionSnapshot { id: *id, statistics: peer.statistics() })
            .collect();
        // Nobody waits where the call was canceled.
        let _ = answer.send(Report {
            services: self.services.statistics(),
            sessions,
            rescues: self.handle.rescues(),
        });
    }

    async fn close_all(&self) {
        self.stopping.set(true);
        let peers = std::mem::take(&mut *self.peers.borrow_mut());
        join_all(peers.into_values().map(|peer| async move {
            peer.close(CloseCode::GOING_AWAY);
            peer.closed().await
        }))
        .await;
    }
}
