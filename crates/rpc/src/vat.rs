//! One vat on one stream: the task that moves its bytes and runs its RPC system.

use std::future::Future;
use std::io;
use std::ops::Deref;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use capnp::capability::{Client, FromClientHook};
use capnp_rpc::RpcSystem;
use futures::io::{AsyncRead, AsyncWrite};
use futures::task::AtomicWaker;
use vatmux_driver::{Handle, Instant, Sleep, Stream};

use crate::bootstrap::Revocable;
use crate::network::{Network, Side};
use crate::outbox::MessageWriter;
use crate::read::Over;
use crate::shared::Shared;
use crate::sight::Sight;
use crate::{Options, VatEnd};

/// Turns of the task, one or two messages each, before it writes and lets others run.
const TURNS_PER_POLL: u32 = 64;

/// How long the task runs before it writes and lets others run, where its turns take long: servers that read files
/// in their methods do. One turn is never cut short.
const TIME_PER_POLL: Duration = Duration::from_micros(100);

/// Bytes read and thrown away while a vat that is over waits for the peer's end of the stream.
const LINGER_BYTES: usize = 1 << 20;

/// A vat that runs on a driver. Clones are the same vat; it lives on when they are gone.
#[derive(Clone)]
pub struct Vat(Rc<Shared>);

impl Vat {
    /// Serves `bootstrap` on any stream of bytes, under a name that is used in errors only.
    ///
    /// The stream must be the peer's alone: whoever sends on it may call the capability.
    pub fn serve<T>(stream: T, service: &str, bootstrap: Client, handle: &Handle, options: &Options) -> Self
    where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let shared = Shared::new(options.clone(), handle.clone(), Sight::alone(service));
        Self::serve_shared(shared, stream, bootstrap)
    }

    /// On a stream of a session, whose bytes are taken where they arrive.
    pub(crate) fn serve_lent(stream: Stream, bootstrap: Client, options: &Options, sight: Sight) -> Self {
        let shared = Shared::new(options.clone(), stream.session().handle().clone(), sight);
        stream.set_taker(shared.clone());
        Self::serve_shared(shared, stream, bootstrap)
    }

    fn serve_shared<T>(shared: Rc<Shared>, stream: T, bootstrap: Client) -> Self
    where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let bootstrap = Revocable::new(bootstrap);
        let network = Box::new(Network::new(shared.clone(), Side::Server));
        let system = RpcSystem::new(network, Some(bootstrap.as_client()));
        let task = VatTask::new(shared.clone(), stream, system, Some(bootstrap));
        shared.handle().spawn(task);
        Self(shared)
    }

    /// Asks the peer at the other end of the stream for its bootstrap capability. No round trip: calls on the
    /// capability leave at once.
    pub fn connect<T, C>(stream: T, service: &str, handle: &Handle, options: &Options) -> Remote<C>
    where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
        C: FromClientHook,
    {
        Self::connect_watched(stream, handle, options, Sight::alone(service))
    }

    pub(crate) fn connect_watched<T, C>(
        stream: T,
        handle: &Handle,
        options: &Options,
        sight: Sight,
    ) -> Remote<C>
    where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
        C: FromClientHook,
    {
        Self::connect_shared(Shared::new(options.clone(), handle.clone(), sight), stream)
    }

    /// As [`connect_watched`](Self::connect_watched), on a stream of a session, whose bytes are taken where they arrive.
    pub(crate) fn connect_lent<C: FromClientHook>(
        stream: Stream,
        options: &Options,
        sight: Sight,
    ) -> Remote<C> {
        let shared = Shared::new(options.clone(), stream.session().handle().clone(), sight);
        stream.set_taker(shared.clone());
        Self::connect_shared(shared, stream)
    }

    fn connect_shared<T, C>(shared: Rc<Shared>, stream: T) -> Remote<C>
    where
        T: AsyncRead + AsyncWrite + Unpin + 'static,
        C: FromClientHook,
    {
        let network = Box::new(Network::new(shared.clone(), Side::Caller));
        let mut system = RpcSystem::new(network, None);
        let client = system.bootstrap(());
        let task = VatTask::new(shared.clone(), stream, system, None);
        shared.handle().spawn(task);
        Remote { client, vat: Self(shared) }
    }

    pub(crate) fn shared(&self) -> &Rc<Shared> {
        &self.0
    }

    /// Ends the vat: everything on it fails, what was sent before still leaves.
    pub fn end(&self) {
        self.0.end(VatEnd::EndedHere);
    }

    /// As [`end`](Self::end), and tells the peer why: what it has under way, and what it tries later, fails as
    /// disconnected with `reason`, of which at most 1,000 bytes are sent.
    pub fn close(&self, reason: &str) {
        self.0.end(VatEnd::closed(reason));
    }

    /// Why it is over, if it is.
    #[must_use]
    pub fn ended(&self) -> Option<VatEnd> {
        self.0.ended()
    }

    /// Waits until it is over.
    pub async fn wait_for_end(&self) -> VatEnd {
        self.0.wait_for_end().await
    }
}

/// The peer's bootstrap capability and the vat that it came through.
///
/// Dropping it ends the vat. Capabilities that were obtained through it then fail as disconnected, and so does
/// every call that is still under way.
pub struct Remote<C> {
    client: C,
    vat: Vat,
}

impl<C> Remote<C> {
    /// The vat itself.
    #[must_use]
    pub fn vat(&self) -> &Vat {
        &self.vat
    }
}

impl<C> Deref for Remote<C> {
    type Target = C;

    fn deref(&self) -> &C {
        &self.client
    }
}

impl<C> Drop for Remote<C> {
    fn drop(&mut self) {
        self.vat.end();
    }
}

struct VatTask<T> {
    shared: Rc<Shared>,
    stream: T,
    writer: MessageWriter,
    /// None once the vat is over and everybody has been told.
    system: Option<System>,
    system_waker: Arc<SystemWaker>,
    /// The stream had nothing when it was read last, and wakes the task: it is not asked again before.
    is_dry: bool,
    timer: Option<Sleep>,
    /// When the last byte left, or the queue was last empty.
    last_progress: Option<Instant>,
    phase: Phase,
}

/// What a run of the task came to.
enum Run {
    /// Everything waits for something.
    Rest,
    /// There is more to do, but others want to run as well.
    Yield,
    /// The stream may be dropped, and the vat with it.
    Done,
}

/// capnp-rpc's part of a vat: dropping it cancels the calls that it serves.
struct System {
    rpc: RpcSystem<()>,
    bootstrap: Option<Revocable>,
}

enum Phase {
    Running,
    /// capnp-rpc has let go. The last bytes leave, then our direction closes, then the peer's ends.
    Closing {
        until: Instant,
        closed: bool,
        discarded_bytes: usize,
    },
    /// Nothing more can be done with the stream.
    Closed,
}

impl<T: AsyncRead + AsyncWrite + Unpin> VatTask<T> {
    fn new(shared: Rc<Shared>, stream: T, rpc: RpcSystem<()>, bootstrap: Option<Revocable>) -> Self {
        Self {
            writer: MessageWriter::default(),
            shared,
            stream,
            system: Some(System { rpc, bootstrap }),
            system_waker: Arc::new(SystemWaker::new()),
            is_dry: false,
            timer: None,
            last_progress: None,
            phase: Phase::Running,
        }
    }

    /// Runs everything that can run, then writes what that came to.
    fn run(&mut self, cx: &mut Context<'_>) -> Run {
        let mut until = None;
        for _ in 0..TURNS_PER_POLL {
            if matches!(self.phase, Phase::Running) {
                self.read(cx);
            }
            let before = self.shared.looked();
            if self.poll_system() {
                // Whoever answers in it has looked at the clock.
                let now = self.shared.look_unless_looked_since(before);
                if now >= *until.get_or_insert(now + TIME_PER_POLL) {
                    break;
                }
                continue;
            }
            self.write(cx);
            if self.shared.is_held_up() && self.shared.replies_have_room() {
                self.shared.go_on();
                continue;
            }
            if !self.shared.is_shut_down() {
                return Run::Rest;
            }
            self.drop_system();
            self.begin_closing();
            return self.poll_close(cx);
        }
        self.write(cx);
        Run::Yield
    }

    /// Polls the RPC system where something in it was woken; true where it was.
    fn poll_system(&mut self) -> bool {
        if !self.system_waker.take() {
            return false;
        }
        let waker = Waker::from(self.system_waker.clone());
        if let Some(System { rpc, .. }) = &mut self.system {
            // It ends only where its network's driver does, and ours never does.
            let _ = Pin::new(rpc).poll(&mut Context::from_waker(&waker));
        }
        true
    }

    /// Takes in what the stream has, where capnp-rpc has taken all that came before.
    fn read(&mut self, cx: &mut Context<'_>) {
        if self.shared.has_ended() || !self.shared.wants_more() {
            return;
        }
        if !self.is_dry {
            self.is_dry = self.shared.inlet().poll_read(&mut self.stream, cx).is_pending();
            self.shared.offer();
        }
        let end = self.shared.inlet().take_end();
        match end {
            None => {}
            Some(Over::Clean) => self.shared.end(VatEnd::EndedByPeer),
            Some(Over::Frame(error)) => self.shared.end(VatEnd::Frame(error)),
            Some(Over::Stream(error)) => self.fail(&error),
        }
    }

    fn write(&mut self, cx: &mut Context<'_>) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        let mut moved = 0;
        let outbox = self.shared.outbox();
        let written = self.writer.poll_write(&mut self.stream, cx, || outbox.borrow_mut().pop(), &mut moved);
        match written {
            Poll::Ready(Ok(())) => self.last_progress = None,
            Poll::Ready(Err(error)) => self.fail(&error),
            Poll::Pending => {
                if moved > 0 || self.last_progress.is_none() {
                    self.last_progress = Some(self.shared.handle().now());
                }
            }
        }
    }

    /// The stream itself is gone.
    fn fail(&mut self, error: &io::Error) {
        self.phase = Phase::Closed;
        self.shared.end(VatEnd::of_stream(error));
    }

    /// Does what is due. It costs a look at the clock; the deadlines themselves are looked at where one has come.
    fn keep_time(&mut self) {
        let now = self.shared.handle().pass_began();
        if self.timer.as_ref().is_none_or(|timer| timer.deadline() > now) {
            return;
        }
        self.timer = None;
        self.shared.expire();
        if !self.shared.is_held_up() && !self.shared.has_ended() {
            self.shared.give_up_overdue();
        }
        if self.stalled_at().is_some_and(|stalled| stalled <= now) {
            self.last_progress = None;
            self.shared.end(VatEnd::SendStalled(self.shared.options.send_stall));
        }
        if let Phase::Closing { until, .. } = self.phase
            && until <= now
        {
            self.phase = Phase::Closed;
        }
    }

    /// Has the task woken at the nearest deadline or before; false where that has come.
    ///
    /// A timer that is armed for an earlier moment stays: to move it with every call would cost more than the
    /// one look at the clock when it fires.
    fn arm(&mut self, cx: &mut Context<'_>) -> bool {
        let closing = match self.phase {
            Phase::Closing { until, .. } => Some(until),
            Phase::Running | Phase::Closed => None,
        };
        let is_waiting = self.shared.is_held_up() || self.shared.has_ended();
        let calls = self.shared.next_deadline().filter(|_| !is_waiting);
        // One that is held back cannot be canceled: whoever holds it up has a deadline of its own.
        let served = self.shared.next_overdue().filter(|_| !is_waiting);
        let nearest = [calls, served, self.stalled_at(), closing].into_iter().flatten().min();
        let Some(nearest) = nearest else { return true };
        if self.timer.as_ref().is_some_and(|timer| timer.deadline() <= nearest) {
            return true;
        }
        let timer = self.timer.insert(self.shared.handle().sleep_until(nearest));
        Pin::new(timer).poll(cx).is_pending()
    }

    fn stalled_at(&self) -> Option<Instant> {
        match self.phase {
            Phase::Running => self.last_progress.map(|since| since + self.shared.options.send_stall),
            // The linger is the shorter wait, and ends by itself.
            Phase::Closing { .. } | Phase::Closed => None,
        }
    }

    /// Everything on the vat has failed by now, and capnp-rpc's tasks have passed that on: they were polled until
    /// none was woken. What it still serves is canceled.
    fn drop_system(&mut self) {
        if let Some(System { rpc, bootstrap }) = self.system.take() {
            if let (Some(bootstrap), Some(end)) = (bootstrap, self.shared.ended()) {
                bootstrap.revoke(end.to_error(self.shared.sight.service()));
            }
            drop(rpc);
            self.shared.forget_calls();
        }
    }

    fn begin_closing(&mut self) {
        if matches!(self.phase, Phase::Running) {
            let until = self.shared.handle().now() + self.shared.options.linger;
            self.phase = Phase::Closing { until, closed: false, discarded_bytes: 0 };
        }
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Run {
        while let Phase::Closing { closed, discarded_bytes, .. } = &mut self.phase {
            if !self.writer.is_idle() || !self.shared.outbox().borrow().is_empty() {
                return Run::Rest;
            }
            if !*closed {
                match Pin::new(&mut self.stream).poll_close(cx) {
                    Poll::Pending => return Run::Rest,
                    Poll::Ready(Ok(())) => *closed = true,
                    Poll::Ready(Err(_)) => {
                        self.phase = Phase::Closed;
                        break;
                    }
                }
            }
            let mut discarded = [0; 1024];
            match Pin::new(&mut self.stream).poll_read(cx, &mut discarded) {
                Poll::Pending => return Run::Rest,
                Poll::Ready(Ok(read)) if read > 0 && *discarded_bytes < LINGER_BYTES => {
                    *discarded_bytes += read;
                }
                Poll::Ready(_) => self.phase = Phase::Closed,
            }
        }
        Run::Done
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Future for VatTask<T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let shared = this.shared.clone();
        // What servers tell while they run is told of this stream.
        let _entered = shared.sight.span().enter();
        this.is_dry = false;
        loop {
            this.shared.task_begins(cx);
            this.system_waker.begin(cx.waker());
            this.keep_time();
            let run = this.run(cx);
            this.shared.task_rests();
            let seen_all = this.system_waker.rest();
            match run {
                Run::Done => return Poll::Ready(()),
                Run::Yield => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Run::Rest if seen_all && this.arm(cx) => return Poll::Pending,
                Run::Rest => {}
            }
        }
    }
}

impl<T> Drop for VatTask<T> {
    fn drop(&mut self) {
        // The driver is gone: nobody will ever move this vat's bytes again.
        self.shared.end(VatEnd::Stream("the driver was dropped".to_owned()));
        self.shared.forget_input();
    }
}

/// Wakes the vat's task, and remembers that it was the RPC system that was woken: to poll that one costs more
/// than to ask.
struct SystemWaker {
    woken: AtomicBool,
    /// The task runs and will look at `woken` before it rests.
    running: AtomicBool,
    task: AtomicWaker,
}

impl SystemWaker {
    fn new() -> Self {
        Self { woken: AtomicBool::new(true), running: AtomicBool::new(false), task: AtomicWaker::new() }
    }

    fn set(&self) {
        self.woken.store(true, Ordering::SeqCst);
    }

    fn take(&self) -> bool {
        self.woken.swap(false, Ordering::SeqCst)
    }

    fn begin(&self, task: &Waker) {
        self.task.register(task);
        self.running.store(true, Ordering::SeqCst);
    }

    /// The task is about to rest. False where something was woken that it has not seen.
    fn rest(&self) -> bool {
        self.running.store(false, Ordering::SeqCst);
        !self.woken.load(Ordering::SeqCst)
    }
}

impl Wake for SystemWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.set();
        if !self.running.load(Ordering::SeqCst) {
            self.task.wake();
        }
    }
}
