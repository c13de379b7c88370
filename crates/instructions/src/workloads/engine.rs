//! Two engines, connected by a buffer.

use anyhow::{Context as _, Result, ensure};
use vatmux_mux::{
    Event, HeapStorage, Limits, Priority, ReadError, Role, Session, Sink, Source, StaticStorage, Storage,
    StreamId, StreamName, Ticks,
};

use super::{SMALL, WRITE};

/// What one record carries, in bytes: how much is sent at once.
const RECORD_PLAINTEXT: usize = 65_519;

/// Streams where there are many.
const STREAMS: usize = 100;

/// Limits that static storage with two streams has room for.
const SMALL_LIMITS: Limits =
    Limits { max_incoming_streams: 1, max_outgoing_streams: 1, max_unaccepted_streams: 1, ..Limits::FIXED };

pub(super) fn bulk_on_the_heap(writes: u64) -> Result<()> {
    bulk(on_the_heap()?, writes)
}

pub(super) fn bulk_in_static_storage(writes: u64) -> Result<()> {
    // Far too large for the stack of a thread.
    let [mut near, mut far] = [(); 2].map(|()| Box::new(StaticStorage::<2, 65_536>::new()));
    bulk(Pair::new(SMALL_LIMITS, &mut *near, &mut *far)?, writes)
}

fn on_the_heap() -> Result<Pair<HeapStorage>> {
    Pair::new(Limits::HOST, HeapStorage::new(), HeapStorage::new())
}

fn bulk<S: Storage>(mut pair: Pair<S>, writes: u64) -> Result<()> {
    let block = block();
    let id = pair.open()?;
    for _ in 0..writes {
        pair.write(id, &block)?;
        let moved = pair.carry()?;
        ensure!(moved == WRITE, "{moved} bytes arrived");
    }
    Ok(())
}

pub(super) fn bulk_on_100_streams(rounds: u64) -> Result<()> {
    let mut pair = on_the_heap()?;
    let block = block();
    let streams = (0..STREAMS).map(|_| pair.open()).collect::<Result<Vec<_>>>()?;
    for _ in 0..rounds {
        for &id in &streams {
            pair.write(id, &block)?;
        }
        let moved = pair.carry()?;
        ensure!(moved == STREAMS * WRITE, "{moved} bytes arrived");
    }
    Ok(())
}

pub(super) fn lent_bulk_on_100_streams(rounds: u64) -> Result<()> {
    let mut pair = on_the_heap()?;
    let streams = (0..STREAMS).map(|_| pair.open()).collect::<Result<Vec<_>>>()?;
    let mut lender = Lender { block: block(), left: vec![0; STREAMS] };
    let mut taker = Taker(0);
    for _ in 0..rounds {
        for &id in &streams {
            pair.near.supply(id)?;
        }
        lender.left.fill(WRITE);
        pair.lend(&mut lender, &mut taker)?;
        let moved = std::mem::take(&mut taker.0);
        ensure!(moved == STREAMS * WRITE, "{moved} bytes arrived");
    }
    Ok(())
}

/// Has a block to send on each of the dialer's streams.
struct Lender {
    block: Vec<u8>,
    left: Vec<usize>,
}

/// Which of the dialer's streams it is.
fn nth(stream: StreamId) -> usize {
    stream.get() as usize / 2
}

impl Source for Lender {
    fn lend(&mut self, stream: StreamId) -> (&[u8], &[u8]) {
        let left = self.left.get(nth(stream)).copied().unwrap_or(0);
        (&self.block[WRITE - left..], &[])
    }

    fn sent(&mut self, stream: StreamId, bytes: usize) -> bool {
        self.left.get_mut(nth(stream)).is_some_and(|left| {
            *left -= bytes;
            *left > 0
        })
    }
}

/// Counts what it takes, which is all that it is shown.
struct Taker(usize);

impl Sink for Taker {
    fn take(&mut self, _: StreamId, payload: &[u8]) -> usize {
        self.0 += payload.len();
        payload.len()
    }
}

pub(super) fn small_writes(rounds: u64) -> Result<()> {
    let mut pair = on_the_heap()?;
    let id = pair.open()?;
    for _ in 0..rounds {
        for _ in 0..64 {
            pair.write(id, &[7; SMALL])?;
        }
        let moved = pair.carry()?;
        ensure!(moved == 64 * SMALL, "{moved} bytes arrived");
    }
    Ok(())
}

pub(super) fn echo(rounds: u64) -> Result<()> {
    let mut pair = on_the_heap()?;
    let id = pair.open()?;
    for _ in 0..rounds {
        pair.write(id, &[7; SMALL])?;
        let there = pair.carry()?;
        ensure!(pair.far.write(id, &[7; SMALL])? == SMALL, "an echo did not fit");
        let back = pair.carry()?;
        ensure!((there, back) == (SMALL, SMALL), "{there} and {back} bytes arrived");
    }
    Ok(())
}

pub(super) fn open_and_close(streams: u64) -> Result<()> {
    let mut pair = on_the_heap()?;
    for _ in 0..streams {
        let id = pair.near.open(&pair.name, Priority::default())?;
        pair.write(id, &[7])?;
        pair.near.finish(id)?;
        let moved = pair.carry()?;
        ensure!(moved == 1, "{moved} bytes arrived");
        pair.far.finish(id)?;
        pair.far.release(id);
        pair.carry()?;
        pair.near.release(id);
    }
    Ok(())
}

pub(super) fn idle_ticks(ticks: u64) -> Result<()> {
    let mut pair = on_the_heap()?;
    for _ in 0..STREAMS {
        pair.open()?;
    }
    for tick in 1..=ticks {
        pair.now = Ticks(tick);
        pair.near.handle_timeout(pair.now);
        pair.far.handle_timeout(pair.now);
        pair.carry()?;
        ensure!(pair.near.end().is_none(), "the session ended in tick {tick}");
    }
    Ok(())
}

struct Pair<S: Storage> {
    near: Session<S>,
    far: Session<S>,
    buffer: Box<[u8]>,
    name: StreamName,
    now: Ticks,
}

impl<S: Storage> Pair<S> {
    fn new(limits: Limits, near: S, far: S) -> Result<Self> {
        let end = |role, storage| Session::new(role, limits, limits.hello(), storage, Ticks(0));
        Ok(Self {
            near: end(Role::Dialer, near)?,
            far: end(Role::Acceptor, far)?,
            buffer: vec![0; RECORD_PLAINTEXT].into_boxed_slice(),
            name: StreamName::new("count")?,
            now: Ticks(0),
        })
    }

    /// A stream that the far end has accepted.
    fn open(&mut self) -> Result<StreamId> {
        let id = self.near.open(&self.name, Priority::default())?;
        self.carry()?;
        Ok(id)
    }

    fn write(&mut self, id: StreamId, bytes: &[u8]) -> Result<()> {
        let written = self.near.write(id, bytes)?;
        ensure!(written == bytes.len(), "{written} bytes fitted");
        Ok(())
    }

    /// Carries what is lent until neither end has anything to send.
    fn lend(&mut self, lender: &mut Lender, taker: &mut Taker) -> Result<()> {
        loop {
            let there = self.near.transmit_to(&mut &mut *self.buffer, lender);
            self.far.receive_into(&self.buffer[..there], self.now, taker)?;
            let back = self.far.transmit(&mut self.buffer);
            self.near.receive(&self.buffer[..back], self.now)?;
            if there + back == 0 {
                return Ok(());
            }
        }
    }

    /// Carries frames until neither end has any, and reads what arrives. Says how many bytes were read.
    fn carry(&mut self) -> Result<usize> {
        let mut moved = 0;
        loop {
            let there = self.near.transmit(&mut self.buffer);
            self.far.receive(&self.buffer[..there], self.now)?;
            moved += take(&mut self.far)?;
            let back = self.far.transmit(&mut self.buffer);
            self.near.receive(&self.buffer[..back], self.now)?;
            moved += take(&mut self.near)?;
            if there + back == 0 {
                return Ok(moved);
            }
        }
    }
}

/// Accepts what was opened and reads what is there. Says how many bytes that was.
fn take<S: Storage>(engine: &mut Session<S>) -> Result<usize> {
    let mut taken = 0;
    while let Some(event) = engine.poll_event() {
        match event {
            Event::Incoming { id, .. } => engine.accept(id)?,
            Event::Readable(id) => loop {
                let bytes = match engine.readable(id) {
                    Ok((first, second)) => first.len() + second.len(),
                    Err(ReadError::Blocked | ReadError::Finished) => break,
                    Err(error) => return Err(error).context("a stream broke"),
                };
                engine.consume(id, bytes)?;
                taken += bytes;
            },
            _ => {}
        }
    }
    Ok(taken)
}

fn block() -> Vec<u8> {
    vec![7; WRITE]
}
