//! The task that moves a session's bytes: link ↔ records ↔ engine.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker, ready};

use futures::io::{AsyncRead, AsyncWrite};
use vatmux_mux::{CloseCode, Ticks};
use vatmux_noise::{MAX_PLAINTEXT, PREFIX_LEN, RecordError, Records};

use crate::buffers::BUFFER_BYTES;
use crate::session::{Inner, SessionEnd};
use crate::{Link, Sleep};

/// Bytes read and thrown away while a session that is over waits for the peer to hang up.
const LINGER_BYTES: usize = 1 << 20;

pub(crate) struct Pump {
    inner: Rc<Inner>,
    link: Box<dyn Link>,
    records: Records,
    incoming: Option<Window>,
    outgoing: Option<Window>,
    tick: Sleep,
    /// What `tick` was last set to.
    next_deadline: Option<Ticks>,
    retiring: Option<Sleep>,
    arrival: Option<Arc<Arrival>>,
    /// The last read found nothing: the link owes a wake-up.
    awaiting: bool,
    /// How often the loop had looked at its links when a tick was due and the link owed a wake-up.
    suspected_at: Option<u64>,
    state: State,
}

/// What the link wakes when there is something to read: it remembers that it was woken.
struct Arrival {
    announced: AtomicBool,
    pump: Waker,
}

impl Wake for Arrival {
    fn wake(self: Arc<Self>) {
        self.announced.store(true, Ordering::Release);
        self.pump.wake_by_ref();
    }
}

enum State {
    /// Both directions work.
    Running,
    /// The session is over: the last frames leave, then the sending direction closes, then the peer hangs up.
    Lingering { until: Sleep, closed: bool, discarded_bytes: usize },
}

/// A pooled buffer with the part of it that is in use.
struct Window {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

/// What one attempt came to.
#[derive(PartialEq, Eq)]
enum Step {
    /// Bytes moved: another attempt may move more.
    Moved,
    /// Nothing to do, or the link parked the waker.
    Idle,
}

/// What one read came to.
enum Read {
    /// Bytes, as many as there was room for.
    Full,
    /// Fewer bytes than there was room for.
    Part,
    /// The link parked the waker.
    Nothing,
}

impl Pump {
    pub(crate) fn new(inner: Rc<Inner>, link: Box<dyn Link>, records: Records, received: &[u8]) -> Self {
        let mut incoming = None;
        if !received.is_empty() {
            let mut window = Window::empty(inner.handle.buffers().take());
            window.buffer[..received.len()].copy_from_slice(received);
            window.end = received.len();
            incoming = Some(window);
        }
        let tick = inner.handle.sleep_until(inner.handle.now());
        let mut pump = Self {
            inner,
            link,
            records,
            incoming,
            outgoing: None,
            tick,
            next_deadline: None,
            retiring: None,
            arrival: None,
            awaiting: false,
            suspected_at: None,
            state: State::Running,
        };
        // Records that came along with the handshake's last message.
        if let Err(end) = pump.open_records() {
            pump.inner.over(end);
        }
        pump
    }

    /// One write and one read at most, so that other tasks run in between: what was read wants to be consumed, and
    /// what is sent next should be chosen as late as possible.
    fn run(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.keep_time(cx);
        self.retire(cx);
        self.inner.dispatch();
        let sent = self.send(cx);
        let received = if self.inner.is_over() { Ok(Step::Idle) } else { self.receive(cx) };
        self.inner.dispatch();
        let more = match (sent, received) {
            // What arrived may have to be answered, and what left or arrived moves the next tick, and may have been the
            // last. A link that is full wakes when it is not.
            (Ok(_), Ok(received)) => {
                received == Step::Moved
                    || (self.outgoing.is_none() && self.inner.wants_to_send())
                    || self.inner.engine.borrow().next_deadline() != self.next_deadline
                    || (self.inner.retiring.get().is_some() && self.inner.engine.borrow().is_idle())
            }
            (Err(end), Ok(_)) => {
                // A peer that stopped reading may well have said why.
                self.read_last_words(cx);
                self.inner.over(end);
                return Poll::Ready(());
            }
            (_, Err(end)) => {
                let link_is_gone = matches!(end, SessionEnd::LinkCut { .. } | SessionEnd::Link { .. });
                // What the application still has to say is not for a link that somebody meddles with.
                self.inner.engine.borrow_mut().close(CloseCode::INTERNAL);
                self.inner.over(end);
                if link_is_gone {
                    return Poll::Ready(());
                }
                true
            }
        };
        if self.inner.is_over() {
            return self.linger(cx);
        }
        if more {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Closes a session that nobody holds any more, when its streams have delivered what they had finished.
    fn retire(&mut self, cx: &mut Context<'_>) {
        let Some(latest) = self.inner.retiring.get() else { return };
        let inner = &self.inner;
        let timer = self.retiring.get_or_insert_with(|| inner.handle.sleep_until(latest));
        if inner.engine.borrow().is_idle() || Pin::new(timer).poll(cx).is_ready() {
            inner.close(CloseCode::GOING_AWAY);
        }
    }

    /// Keepalive: tells the engine the time when it asked to be told.
    fn keep_time(&mut self, cx: &mut Context<'_>) {
        loop {
            self.next_deadline = self.inner.engine.borrow().next_deadline();
            let Some(deadline) = self.next_deadline else { return };
            self.tick.reset(self.inner.instant_of(deadline));
            if Pin::new(&mut self.tick).poll(cx).is_pending() {
                return;
            }
            if self.owes_wake_up() {
                // A tick that came while the thread was busy proves nothing: the loop must look at its links first.
                let looks = self.inner.handle.looks();
                if *self.suspected_at.get_or_insert(looks) == looks {
                    cx.waker().wake_by_ref();
                    return;
                }
            }
            self.suspected_at = None;
            self.listen_once_more(cx);
            let now = self.inner.ticks();
            self.inner.engine.borrow_mut().handle_timeout(now);
            self.inner.check_end();
        }
    }

    /// Any byte is life: what has arrived is heard before the silence is judged. Bytes that are there although the link
    /// announced none are a wake-up that was missed.
    fn listen_once_more(&mut self, cx: &Context<'_>) {
        let missed = self.owes_wake_up();
        if missed {
            self.link.recheck();
        }
        if self.read(cx) == Ok(Step::Moved) && missed {
            self.inner.handle.count_rescue();
        }
    }

    /// Takes in what arrived before the link broke, up to a bound: a CLOSE with the reason may be in it.
    fn read_last_words(&mut self, cx: &Context<'_>) {
        for _ in 0..LINGER_BYTES / BUFFER_BYTES {
            let moved = !self.inner.is_over() && self.read(cx) == Ok(Step::Moved);
            self.inner.dispatch();
            if !moved {
                return;
            }
        }
    }

    fn owes_wake_up(&self) -> bool {
        self.awaiting
            && self.arrival.as_ref().is_some_and(|arrival| !arrival.announced.load(Ordering::Acquire))
    }

    /// Writes what waits, or seals the next record and writes that.
    fn send(&mut self, cx: &mut Context<'_>) -> Result<Step, SessionEnd> {
        if self.outgoing.is_none() {
            let Some((buffer, length)) = self.next_plaintext() else { return Ok(Step::Idle) };
            let mut window = Window::empty(buffer);
            window.end = self.records.seal(&mut window.buffer, length).map_err(SessionEnd::Record)?;
            self.inner.traffic.sent(window.end);
            self.inner.draft.borrow_mut().link_is_busy();
            self.outgoing = Some(window);
        }
        let Some(window) = self.outgoing.as_mut() else { return Ok(Step::Idle) };
        loop {
            match Pin::new(&mut self.link).poll_write(cx, window.used()) {
                Poll::Pending => return Ok(Step::Idle),
                Poll::Ready(Ok(0)) => return Err(SessionEnd::LinkCut { mid_record: false }),
                Poll::Ready(Ok(written)) => {
                    window.start += written;
                    if window.start == window.end {
                        break;
                    }
                }
                Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Poll::Ready(Err(error)) => return Err(link_failed(&error)),
            }
        }
        if let Some(window) = self.outgoing.take() {
            self.inner.handle.buffers().give_back(window.buffer);
        }
        self.inner.link_is_free();
        Ok(Step::Moved)
    }

    /// What the next record carries: what writers put there, or what the engine has.
    fn next_plaintext(&self) -> Option<(Box<[u8]>, usize)> {
        let inner = &self.inner;
        let draft = inner.draft.borrow_mut().take();
        if draft.is_some() {
            return draft;
        }
        let mut engine = inner.engine.borrow_mut();
        if !engine.wants_transmit() {
            return None;
        }
        let mut buffer = inner.handle.buffers().take();
        let most = engine.output_bytes().min(MAX_PLAINTEXT);
        let length = engine.transmit(&mut buffer[PREFIX_LEN..][..most]);
        if length == 0 {
            inner.handle.buffers().give_back(buffer);
            return None;
        }
        Some((buffer, length))
    }

    /// Reads once, unless the link has yet to say that there is something, and opens every complete record.
    fn receive(&mut self, cx: &Context<'_>) -> Result<Step, SessionEnd> {
        if self.owes_wake_up() {
            return Ok(Step::Idle);
        }
        match self.read_some(cx)? {
            // A link that gave less than it was asked for has most likely nothing left: it is asked once more, so that it
            // parks the waker, which takes less than to run again.
            Read::Part => self.read(cx),
            Read::Full => Ok(Step::Moved),
            Read::Nothing => Ok(Step::Idle),
        }
    }

    fn read(&mut self, cx: &Context<'_>) -> Result<Step, SessionEnd> {
        Ok(match self.read_some(cx)? {
            Read::Full | Read::Part => Step::Moved,
            Read::Nothing => Step::Idle,
        })
    }

    fn read_some(&mut self, cx: &Context<'_>) -> Result<Read, SessionEnd> {
        let arrival = match &self.arrival {
            Some(arrival) if arrival.pump.will_wake(cx.waker()) => arrival,
            _ => self
                .arrival
                .insert(Arc::new(Arrival { announced: AtomicBool::new(false), pump: cx.waker().clone() })),
        };
        arrival.announced.store(false, Ordering::Release);
        let waker = Waker::from(arrival.clone());
        let inner = &self.inner;
        let window = self.incoming.get_or_insert_with(|| Window::empty(inner.handle.buffers().take()));
        let read = Pin::new(&mut self.link)
            .poll_read(&mut Context::from_waker(&waker), &mut window.buffer[window.end..]);
        self.awaiting = read.is_pending();
        match read {
            Poll::Pending => {
                self.release_if_empty();
                Ok(Read::Nothing)
            }
            Poll::Ready(Ok(0)) => Err(SessionEnd::LinkCut { mid_record: window.start != window.end }),
            Poll::Ready(Ok(read)) => {
                window.end += read;
                let is_full = window.end == window.buffer.len();
                self.open_records()?;
                if self.incoming.is_some() {
                    // A record that takes long to come is no silence.
                    let now = self.inner.ticks();
                    self.inner.part_arrived(now);
                    self.inner.engine.borrow_mut().heard(now);
                }
                Ok(if is_full { Read::Full } else { Read::Part })
            }
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::Interrupted => Ok(Read::Full),
            Poll::Ready(Err(error)) => Err(link_failed(&error)),
        }
    }

    /// Opens the complete records in the window, where they lie, and feeds them to the engine.
    fn open_records(&mut self) -> Result<(), SessionEnd> {
        let Some(window) = self.incoming.as_mut() else { return Ok(()) };
        while let Some(record) = window.next_record().map_err(SessionEnd::Record)? {
            self.inner.traffic.received(PREFIX_LEN + record.len());
            let plaintext = self.records.open(record).map_err(SessionEnd::Record)?;
            let now = self.inner.ticks();
            self.inner.record_arrived(now);
            // A violation shows as the session's end, like a close.
            let mut takers = self.inner.takers.borrow_mut();
            let _ = self.inner.engine.borrow_mut().receive_into(plaintext, now, &mut takers);
            drop(takers);
            self.inner.check_end();
            if self.inner.is_over() {
                break;
            }
        }
        window.make_room();
        self.release_if_empty();
        Ok(())
    }

    fn release_if_empty(&mut self) {
        if let Some(window) = self.incoming.take_if(|window| window.start == window.end) {
            self.inner.handle.buffers().give_back(window.buffer);
        }
    }

    /// The session is over. Its last frames (the reason) leave, the link closes in our direction, and what
    /// still arrives is thrown away until the peer hangs up: closing with unread bytes would make TCP reset
    /// the connection and destroy the reason on its way.
    fn linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if matches!(self.state, State::Running) {
            let until = self.inner.handle.sleep(self.inner.options.linger);
            self.state = State::Lingering { until, closed: false, discarded_bytes: 0 };
        }
        loop {
            match self.send(cx) {
                Ok(Step::Moved) => {}
                Ok(Step::Idle) => break,
                Err(_) => return Poll::Ready(()),
            }
        }
        let State::Lingering { until, closed, discarded_bytes } = &mut self.state else {
            return Poll::Ready(());
        };
        if Pin::new(until).poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if self.outgoing.is_some() {
            return Poll::Pending;
        }
        if !*closed {
            if ready!(Pin::new(&mut self.link).poll_close(cx)).is_err() {
                return Poll::Ready(());
            }
            *closed = true;
        }
        let mut sink = self.inner.handle.buffers().take();
        let drained = loop {
            match Pin::new(&mut self.link).poll_read(cx, &mut sink) {
                Poll::Pending => break Poll::Pending,
                Poll::Ready(Ok(read)) if read > 0 && *discarded_bytes < LINGER_BYTES => {
                    *discarded_bytes += read;
                }
                Poll::Ready(_) => break Poll::Ready(()),
            }
        };
        self.inner.handle.buffers().give_back(sink);
        drained
    }
}

fn link_failed(error: &io::Error) -> SessionEnd {
    SessionEnd::Link { kind: error.kind(), reason: error.to_string() }
}

impl Window {
    fn empty(buffer: Box<[u8]>) -> Self {
        Self { buffer, start: 0, end: 0 }
    }

    fn used(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Takes the first record out of the window, without its prefix, if all of it is here.
    fn next_record(&mut self) -> Result<Option<&mut [u8]>, RecordError> {
        let Some((prefix, rest)) = self.used().split_first_chunk::<PREFIX_LEN>() else { return Ok(None) };
        let length = Records::record_len(*prefix)?;
        if rest.len() < length {
            return Ok(None);
        }
        let start = self.start + PREFIX_LEN;
        self.start = start + length;
        Ok(Some(&mut self.buffer[start..self.start]))
    }

    /// Moves an unfinished record to the front where the rest of it might not fit behind it.
    fn make_room(&mut self) {
        if self.start > 0 && self.start + BUFFER_BYTES / 2 > self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
    }
}

impl Future for Pump {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        {
            let mut pump = self.inner.pump.borrow_mut();
            if !pump.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                *pump = Some(cx.waker().clone());
            }
        }
        let done = match self.state {
            State::Running => self.run(cx),
            State::Lingering { .. } => self.linger(cx),
        };
        if done.is_ready() {
            self.inner.link_is_down();
        }
        done
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        // The driver went away under a live session: nobody will move its bytes again.
        self.inner.over(SessionEnd::LinkCut { mid_record: false });
        self.inner.link_is_down();
    }
}
