//! The engine of vatmux without Noise, on the driver over its pipe: the application calls the engine itself. In transfers
//! it lends what it sends and takes what arrives where it lies, in the pipe; elsewhere it borrows from the rings.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use vatmux_driver::{PipeEnd, virtual_time};
use vatmux_mux::{
    Event, HeapStorage, Limits, Priority, ReadError, Role, Session, Sink, Source, StreamId, StreamName,
    Ticks, WriteError,
};

use super::bytes::{Rate, Times, block};
use super::meter::{Lane, Meter};
use super::{ECHO, PIPE_BYTES, WRITE, Work, not_done};
use crate::HEAP;
use crate::payload::RECORD_PLAINTEXT;

type Engine = Session<HeapStorage>;

/// How the applications of a transfer pass bytes to and from their engines.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passing {
    /// Lent, and taken where they arrived.
    Lent,
    /// Through the rings of the streams.
    Rings,
}

pub(crate) fn measure(work: Work, limits: Limits, passing: Passing) -> Result<f64> {
    if let Some(meter) = work.meter()?.map(Arc::new) {
        run(limits, Receiver::new(&meter, passing), Sender::new(&meter, passing)?)?;
        return meter.measured();
    }
    match work {
        Work::Echo { rounds } => run(limits, Pinger::new(rounds)?, Answerer)?.times.median(),
        Work::OpenClose { streams } => Ok(run(limits, Opener::new(streams)?, Closer)?.rate.measured()),
        Work::IdleStreams { streams } => idle_streams(limits, streams),
        Work::IdleSessions { sessions } => idle_sessions(limits, sessions),
        _ => not_done(work),
    }
}

/// What an application does whenever its session may have news.
trait Application {
    /// Takes all events. True once everything is done.
    fn react(&mut self, engine: &mut Engine) -> Result<bool>;

    /// The bytes that the stream sends, as a [`Source`] lends them.
    fn lend(&mut self, _: StreamId) -> (&[u8], &[u8]) {
        (&[], &[])
    }

    /// They were sent; whether there are more.
    fn sent(&mut self, _: StreamId, _: usize) -> bool {
        false
    }

    /// Bytes have arrived; how many were taken, as of a [`Sink`].
    fn take(&mut self, _: StreamId, _: &[u8]) -> usize {
        0
    }
}

struct Lent<'a, A>(&'a mut A);

impl<A: Application> Source for Lent<'_, A> {
    fn lend(&mut self, id: StreamId) -> (&[u8], &[u8]) {
        self.0.lend(id)
    }

    fn sent(&mut self, id: StreamId, bytes: usize) -> bool {
        self.0.sent(id, bytes)
    }
}

impl<A: Application> Sink for Lent<'_, A> {
    fn take(&mut self, id: StreamId, payload: &[u8]) -> usize {
        self.0.take(id, payload)
    }
}

/// Runs `measured` at one end until it is done, and `other` as a task at the other.
fn run<A: Application>(limits: Limits, mut measured: A, mut other: impl Application + 'static) -> Result<A> {
    let (mut driver, _) = virtual_time::driver();
    let (near, far) = vatmux_driver::pipe(PIPE_BYTES);
    let (mut near, mut far) = (End::new(Role::Dialer, limits, near)?, End::new(Role::Acceptor, limits, far)?);
    driver.handle().spawn(async move {
        // An end that fails hangs up, which the other one reports.
        drop(poll_fn(|cx| far.poll(cx, &mut other)).await);
    });
    driver.drive_until(poll_fn(|cx| near.poll(cx, &mut measured)))??;
    Ok(measured)
}

/// One end: an engine and its link.
struct End {
    engine: Engine,
    link: PipeEnd,
}

impl End {
    fn new(role: Role, limits: Limits, link: PipeEnd) -> Result<Self> {
        Ok(Self { engine: engine(role, limits)?, link })
    }

    fn poll(&mut self, cx: &mut Context<'_>, application: &mut impl Application) -> Poll<Result<()>> {
        loop {
            match application.react(&mut self.engine) {
                Ok(true) => return Poll::Ready(Ok(())),
                Ok(false) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            match self.advance(cx, application) {
                Ok(true) => {}
                Ok(false) => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Moves what can be moved at once, each way; false when the link has parked the waker both ways.
    fn advance(&mut self, cx: &mut Context<'_>, application: &mut impl Application) -> Result<bool> {
        let mut moved = false;
        if self.engine.wants_transmit() {
            let engine = &mut self.engine;
            let put = self.link.poll_put(cx, |room| {
                engine.transmit_to(room, &mut Lent(application));
            });
            if let Poll::Ready(put) = put {
                put?;
                moved = true;
            }
        }
        let engine = &mut self.engine;
        let mut received = Ok(());
        let mut hung_up = false;
        let taken = self.link.poll_take(cx, |bytes| {
            hung_up = bytes.is_empty();
            received = engine.receive_into(bytes, Ticks(0), &mut Lent(application));
            bytes.len()
        });
        ensure!(!hung_up, "the other end hung up");
        received?;
        moved |= taken.is_ready();
        Ok(moved)
    }
}

fn engine(role: Role, limits: Limits) -> Result<Engine> {
    Ok(Session::new(role, limits, limits.hello(), HeapStorage::new(), Ticks(0))?)
}

fn name() -> Result<StreamName> {
    Ok(StreamName::new("bench")?)
}

/// Which stream of its opener's it is.
fn nth(id: StreamId) -> usize {
    (id.get() as usize - 1) / 2
}

/// Sends blocks on all its streams.
struct Sender {
    passing: Passing,
    name: StreamName,
    block: Vec<u8>,
    streams: usize,
    bytes: usize,
    /// The bytes written on each stream, in the order of their ids.
    written: Vec<usize>,
}

impl Sender {
    fn new(meter: &Meter, passing: Passing) -> Result<Self> {
        let (streams, bytes) = (meter.streams, meter.blocks * WRITE);
        Ok(Self { passing, name: name()?, block: block(), streams, bytes, written: Vec::new() })
    }

    /// Writes on the stream until it must wait.
    fn write(&mut self, engine: &mut Engine, id: StreamId) -> Result<()> {
        loop {
            let (bytes, _) = self.lend(id);
            if bytes.is_empty() {
                return Ok(engine.finish(id)?);
            }
            match engine.write(id, bytes) {
                Ok(count) => _ = self.sent(id, count),
                Err(WriteError::Blocked) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Application for Sender {
    fn react(&mut self, engine: &mut Engine) -> Result<bool> {
        while self.written.len() < self.streams {
            let id = engine.open(&self.name, Priority::default())?;
            self.written.push(0);
            match self.passing {
                Passing::Lent => {
                    engine.supply(id)?;
                    engine.finish(id)?;
                }
                Passing::Rings => self.write(engine, id)?,
            }
        }
        while let Some(event) = engine.poll_event() {
            if let Event::Writable(id) = event {
                self.write(engine, id)?;
            }
        }
        Ok(false)
    }

    fn lend(&mut self, id: StreamId) -> (&[u8], &[u8]) {
        let written = self.written.get(nth(id)).copied().unwrap_or(self.bytes);
        let blocks = (self.bytes - written).div_ceil(WRITE);
        let front = if blocks > 0 { &self.block[written % WRITE..] } else { &[] };
        let back = if blocks > 1 { &self.block[..] } else { &[] };
        (front, back)
    }

    fn sent(&mut self, id: StreamId, bytes: usize) -> bool {
        let Some(written) = self.written.get_mut(nth(id)) else { return false };
        *written += bytes;
        *written < self.bytes
    }
}

/// Reads all streams to their ends.
struct Receiver {
    passing: Passing,
    meter: Arc<Meter>,
    /// In the order of the ids of the streams.
    lanes: Vec<Lane>,
    ended: usize,
}

impl Receiver {
    fn new(meter: &Arc<Meter>, passing: Passing) -> Self {
        Self { passing, meter: meter.clone(), lanes: Vec::new(), ended: 0 }
    }
}

impl Application for Receiver {
    fn react(&mut self, engine: &mut Engine) -> Result<bool> {
        while let Some(event) = engine.poll_event() {
            match event {
                Event::Incoming { id, .. } => {
                    engine.accept(id)?;
                    ensure!(nth(id) == self.lanes.len(), "streams arrive in order");
                    self.lanes.push(Lane::new(&self.meter));
                }
                Event::Readable(id) => {
                    let lane = self.lanes.get_mut(nth(id)).context("the stream was accepted")?;
                    if read(engine, id, |bytes| lane.take(bytes))? {
                        close(engine, id)?;
                        lane.end()?;
                        self.ended += 1;
                    }
                }
                _ => {}
            }
        }
        Ok(self.ended == self.meter.streams)
    }

    fn take(&mut self, id: StreamId, payload: &[u8]) -> usize {
        match self.lanes.get_mut(nth(id)) {
            Some(lane) if self.passing == Passing::Lent => {
                lane.take(payload);
                payload.len()
            }
            _ => 0,
        }
    }
}

/// Consumes what is there. True at the end of the stream.
fn read(engine: &mut Engine, id: StreamId, mut take: impl FnMut(&[u8])) -> Result<bool> {
    loop {
        match engine.readable(id) {
            Ok((first, second)) => {
                take(first);
                take(second);
                let bytes = first.len() + second.len();
                engine.consume(id, bytes)?;
            }
            Err(ReadError::Finished) => return Ok(true),
            Err(ReadError::Blocked) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Finishes our direction of a stream that the peer has finished.
fn close(engine: &mut Engine, id: StreamId) -> Result<()> {
    engine.finish(id)?;
    engine.release(id);
    Ok(())
}

/// Sends echoes, one after the other.
struct Pinger {
    name: StreamName,
    times: Times,
    sent: Instant,
    /// The bytes of the echo that have not come back; `None` before the first.
    left: Option<usize>,
}

impl Pinger {
    fn new(rounds: usize) -> Result<Self> {
        Ok(Self { name: name()?, times: Times::new(rounds), sent: Instant::now(), left: None })
    }

    fn ping(&mut self, engine: &mut Engine, id: StreamId) -> Result<()> {
        self.sent = Instant::now();
        self.left = Some(ECHO);
        ensure!(engine.write(id, &[7; ECHO])? == ECHO, "an echo did not fit");
        Ok(())
    }
}

impl Application for Pinger {
    fn react(&mut self, engine: &mut Engine) -> Result<bool> {
        if self.left.is_none() {
            let id = engine.open(&self.name, Priority::default())?;
            self.ping(engine, id)?;
        }
        while let Some(event) = engine.poll_event() {
            let Event::Readable(id) = event else { continue };
            let mut echoed = [0; ECHO];
            let mut left = self.left.unwrap_or(0);
            read(engine, id, |bytes| {
                let at = ECHO - left;
                echoed[at..at + bytes.len()].copy_from_slice(bytes);
                left -= bytes.len();
            })?;
            self.left = Some(left);
            if left == 0 {
                self.times.push(self.sent);
                if self.times.are_complete() {
                    return Ok(true);
                }
                self.ping(engine, id)?;
            }
        }
        Ok(false)
    }
}

/// Sends back what arrives.
struct Answerer;

impl Application for Answerer {
    fn react(&mut self, engine: &mut Engine) -> Result<bool> {
        while let Some(event) = engine.poll_event() {
            match event {
                Event::Incoming { id, .. } => engine.accept(id)?,
                Event::Readable(id) => {
                    let mut echo = [0; ECHO];
                    let mut length = 0;
                    read(engine, id, |bytes| {
                        echo[length..length + bytes.len()].copy_from_slice(bytes);
                        length += bytes.len();
                    })?;
                    ensure!(engine.write(id, &echo[..length])? == length, "an echo did not fit");
                }
                _ => {}
            }
        }
        Ok(false)
    }
}

/// Opens a stream, sends a byte, finishes it, waits for its end: one after the other.
struct Opener {
    name: StreamName,
    rate: Rate,
    current: Option<StreamId>,
}

impl Opener {
    fn new(streams: usize) -> Result<Self> {
        Ok(Self { name: name()?, rate: Rate::new(streams), current: None })
    }
}

impl Application for Opener {
    fn react(&mut self, engine: &mut Engine) -> Result<bool> {
        while let Some(event) = engine.poll_event() {
            if let Event::Readable(id) = event
                && read(engine, id, |_| {})?
            {
                engine.release(id);
                self.current = None;
            }
        }
        if self.current.is_none() {
            if !self.rate.next() {
                return Ok(true);
            }
            let id = engine.open(&self.name, Priority::default())?;
            engine.write(id, &[7])?;
            engine.finish(id)?;
            self.current = Some(id);
        }
        Ok(false)
    }
}

/// Reads each stream to its end and finishes it as well.
struct Closer;

impl Application for Closer {
    fn react(&mut self, engine: &mut Engine) -> Result<bool> {
        while let Some(event) = engine.poll_event() {
            if let Event::Incoming { id, .. } = event {
                engine.accept(id)?;
            } else if let Event::Readable(id) = event
                && read(engine, id, |_| {})?
            {
                close(engine, id)?;
            }
        }
        Ok(false)
    }
}

/// Two engines, connected by a buffer.
struct Pair {
    near: Engine,
    far: Engine,
}

impl Pair {
    fn new(limits: Limits) -> Result<Self> {
        Ok(Self { near: engine(Role::Dialer, limits)?, far: engine(Role::Acceptor, limits)? })
    }

    /// Tells both the time, and carries frames until neither has any.
    fn settle(&mut self, buffer: &mut [u8], now: Ticks) -> Result<()> {
        self.near.handle_timeout(now);
        self.far.handle_timeout(now);
        loop {
            let there = self.near.transmit(buffer);
            self.far.receive(&buffer[..there], now)?;
            let back = self.far.transmit(buffer);
            self.near.receive(&buffer[..back], now)?;
            if there + back == 0 {
                return Ok(());
            }
        }
    }

    /// Opens a stream that carries a byte each way.
    fn open(&mut self, buffer: &mut [u8]) -> Result<()> {
        let id = self.near.open(&name()?, Priority::default())?;
        self.near.write(id, &[7])?;
        self.settle(buffer, Ticks(0))?;
        while self.far.poll_event().is_some() {}
        self.far.accept(id)?;
        read(&mut self.far, id, |_| {})?;
        self.far.write(id, &[7])?;
        self.settle(buffer, Ticks(0))?;
        while self.near.poll_event().is_some() {}
        read(&mut self.near, id, |_| {})?;
        Ok(())
    }
}

/// Once a tick has gone by in which nothing moved, so that rings are given back.
fn idle_streams(limits: Limits, streams: usize) -> Result<f64> {
    let mut buffer = vec![0; RECORD_PLAINTEXT];
    let mut pair = Pair::new(limits)?;
    HEAP.count();
    for _ in 0..streams {
        pair.open(&mut buffer)?;
    }
    for tick in 1..=2 {
        pair.settle(&mut buffer, Ticks(tick))?;
    }
    Ok(HEAP.live_bytes() as f64 / streams as f64)
}

fn idle_sessions(limits: Limits, sessions: usize) -> Result<f64> {
    let mut buffer = vec![0; RECORD_PLAINTEXT];
    let mut open_sessions = Vec::with_capacity(sessions);
    HEAP.count();
    for _ in 0..sessions {
        let mut pair = Box::new(Pair::new(limits)?);
        pair.settle(&mut buffer, Ticks(0))?;
        open_sessions.push(pair);
    }
    Ok(HEAP.live_bytes() as f64 / sessions as f64)
}
