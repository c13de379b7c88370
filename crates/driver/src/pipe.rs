//! A link inside one process: two ends, a bounded ring for each direction.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::io::{AsyncRead, AsyncWrite};

use crate::Link;

/// A pair of connected links. Each direction holds at most `capacity_bytes` in flight.
///
/// The ends may live on two threads: each wakes the other through its waker.
#[must_use]
pub fn pipe(capacity_bytes: usize) -> (PipeEnd, PipeEnd) {
    let one = Arc::new(Mutex::new(Direction::new(capacity_bytes)));
    let other = Arc::new(Mutex::new(Direction::new(capacity_bytes)));
    (PipeEnd { incoming: one.clone(), outgoing: other.clone() }, PipeEnd { incoming: other, outgoing: one })
}

/// One end of a [`pipe`]. Dropping it ends both directions.
pub struct PipeEnd {
    incoming: Arc<Mutex<Direction>>,
    outgoing: Arc<Mutex<Direction>>,
}

struct Direction {
    bytes: VecDeque<u8>,
    capacity_bytes: usize,
    writer_gone: bool,
    reader_gone: bool,
    parked_reader: Option<Waker>,
    parked_writer: Option<Waker>,
}

impl Direction {
    fn new(capacity_bytes: usize) -> Self {
        Self {
            bytes: VecDeque::new(),
            capacity_bytes: capacity_bytes.max(1),
            writer_gone: false,
            reader_gone: false,
            parked_reader: None,
            parked_writer: None,
        }
    }
}

/// The lock guards plain data that no holder leaves half-changed, so a poisoned one is as good as another.
fn lock(direction: &Mutex<Direction>) -> MutexGuard<'_, Direction> {
    direction.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl AsyncRead for PipeEnd {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut direction = lock(&self.incoming);
        if direction.bytes.is_empty() && !direction.writer_gone && !buf.is_empty() {
            direction.parked_reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let read = direction.bytes.read(buf);
        let writer = direction.parked_writer.take();
        drop(direction);
        wake(writer);
        Poll::Ready(read)
    }
}

impl AsyncWrite for PipeEnd {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut direction = lock(&self.outgoing);
        if direction.reader_gone || direction.writer_gone {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = direction.capacity_bytes.saturating_sub(direction.bytes.len());
        if room == 0 && !buf.is_empty() {
            direction.parked_writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let written = direction.bytes.write(&buf[..buf.len().min(room)]);
        let reader = direction.parked_reader.take();
        drop(direction);
        wake(reader);
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut direction = lock(&self.outgoing);
        direction.writer_gone = true;
        let reader = direction.parked_reader.take();
        drop(direction);
        wake(reader);
        Poll::Ready(Ok(()))
    }
}

impl Link for PipeEnd {}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        let mut outgoing = lock(&self.outgoing);
        outgoing.writer_gone = true;
        let reader = outgoing.parked_reader.take();
        drop(outgoing);
        wake(reader);
        let mut incoming = lock(&self.incoming);
        incoming.reader_gone = true;
        let writer = incoming.parked_writer.take();
        drop(incoming);
        wake(writer);
    }
}
