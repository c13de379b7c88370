//! A link inside one process: two ends, a bounded ring for each direction.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use futures::io::{AsyncRead, AsyncWrite};
use vatmux_mux::Output;

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

    fn room(&self) -> usize {
        self.capacity_bytes.saturating_sub(self.bytes.len())
    }
}

/// The lock guards plain data that no holder leaves half-changed, so a poisoned one is as good as another.
fn lock(direction: &Mutex<Direction>) -> MutexGuard<'_, Direction> {
    direction.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has `place` wake whoever polls with `cx`. Most often it does already.
fn park(place: &mut Option<Waker>, cx: &Context<'_>) {
    if !place.as_ref().is_some_and(|parked| parked.will_wake(cx.waker())) {
        *place = Some(cx.waker().clone());
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl PipeEnd {
    /// Has `put` write into the outgoing direction, piece by piece, as much as there is room for (at least one byte),
    /// and says how many bytes it wrote. The other end can read them afterwards. Pending when there is no room, or not
    /// enough for `put` to write anything.
    pub fn poll_put(
        &mut self,
        cx: &mut Context<'_>,
        put: impl FnOnce(&mut Room<'_>),
    ) -> Poll<io::Result<usize>> {
        let mut direction = ready!(self.poll_writable(cx))?;
        let before = direction.bytes.len();
        put(&mut Room(&mut direction));
        let written = direction.bytes.len() - before;
        if written == 0 {
            park(&mut direction.parked_writer, cx);
            return Poll::Pending;
        }
        let reader = direction.parked_reader.take();
        drop(direction);
        wake(reader);
        Poll::Ready(Ok(written))
    }

    /// Shows `take` what has arrived and has not been taken, or the part of it that lies in one piece, empty at the end
    /// of the direction; what `take` says is how many bytes of it are taken.
    pub fn poll_take(&mut self, cx: &mut Context<'_>, take: impl FnOnce(&[u8]) -> usize) -> Poll<()> {
        let mut direction = lock(&self.incoming);
        if direction.bytes.is_empty() && !direction.writer_gone {
            park(&mut direction.parked_reader, cx);
            return Poll::Pending;
        }
        let taken = take(direction.bytes.as_slices().0);
        if taken == direction.bytes.len() {
            direction.bytes.clear();
        } else {
            direction.bytes.drain(..taken);
        }
        let writer = direction.parked_writer.take();
        drop(direction);
        wake(writer);
        Poll::Ready(())
    }

    /// The outgoing direction, once there is room in it.
    fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<MutexGuard<'_, Direction>>> {
        let mut direction = lock(&self.outgoing);
        if direction.reader_gone || direction.writer_gone {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if direction.room() == 0 {
            park(&mut direction.parked_writer, cx);
            return Poll::Pending;
        }
        Poll::Ready(Ok(direction))
    }
}

/// The room in one direction of a [`pipe`].
pub struct Room<'a>(&'a mut Direction);

impl Output for Room<'_> {
    fn room(&self) -> usize {
        self.0.room()
    }

    fn put(&mut self, bytes: &[u8]) {
        debug_assert!(bytes.len() <= self.0.room(), "more than there is room for");
        self.0.bytes.extend(bytes);
    }
}

impl AsyncRead for PipeEnd {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut direction = lock(&self.incoming);
        if direction.bytes.is_empty() && !direction.writer_gone && !buf.is_empty() {
            park(&mut direction.parked_reader, cx);
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
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.get_mut().poll_put(cx, |room| room.put(&buf[..buf.len().min(room.room())]))
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
