//! The outgoing half: messages that wait to be sent, and how they become bytes.
//!
//! Sending puts a message into the queue and nothing else. The vat's task writes the queue after all that could
//! run has run, so that what was sent together leaves together. Small messages are gathered in one buffer;
//! a large segment is written from where it is.

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use capnp::message::{Builder, HeapAllocator};
use futures::io::AsyncWrite;

/// A message on its way out; capnp-rpc may go on reading it after it was sent.
pub(crate) type Outgoing = Rc<Builder<HeapAllocator>>;

/// Gathered before a write; a segment larger than this is not gathered but written directly.
const GATHER_BYTES: usize = 16 << 10;

/// What a message is to the bounds of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// The peer made us send it: it counts against the soft bound.
    Reply,
    /// This side wanted to send it.
    Own,
}

/// Messages in the order in which they were sent.
#[derive(Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Queued>,
    queued_bytes: usize,
    reply_bytes: usize,
    popped_bytes: u64,
}

struct Queued {
    message: Outgoing,
    bytes: usize,
    weight: Weight,
}

impl Outbox {
    pub(crate) fn push(&mut self, message: Outgoing, weight: Weight) {
        let bytes = framed_bytes(&message);
        self.queued_bytes += bytes;
        if weight == Weight::Reply {
            self.reply_bytes += bytes;
        }
        self.queue.push_back(Queued { message, bytes, weight });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes that wait, segment tables included.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Bytes of the messages that were taken out one by one, to be written: these leave, or have left.
    pub(crate) fn popped_bytes(&self) -> u64 {
        self.popped_bytes
    }

    /// Where the next message begins, in bytes from the first of all.
    pub(crate) fn position(&self) -> u64 {
        self.popped_bytes + self.queued_bytes as u64
    }

    /// As [`queued_bytes`](Self::queued_bytes), of replies alone.
    pub(crate) fn reply_bytes(&self) -> usize {
        self.reply_bytes
    }

    /// Takes everything out; whoever calls drops it when nothing is borrowed.
    pub(crate) fn take_all(&mut self) -> Self {
        std::mem::take(self)
    }

    pub(crate) fn pop(&mut self) -> Option<Outgoing> {
        let queued = self.queue.pop_front()?;
        self.queued_bytes -= queued.bytes;
        self.popped_bytes += queued.bytes as u64;
        if queued.weight == Weight::Reply {
            self.reply_bytes -= queued.bytes;
        }
        Some(queued.message)
    }
}

/// What a message takes on the stream, its segment table included.
fn framed_bytes(message: &Builder<HeapAllocator>) -> usize {
    let segments = message.get_segments_for_output();
    table_bytes(segments.len()) + segments.iter().map(|segment| segment.len()).sum::<usize>()
}

/// What a message's content takes, as [`Options::max_message_bytes`](crate::Options) counts.
pub(crate) fn content_bytes(message: &Builder<HeapAllocator>) -> usize {
    message.get_segments_for_output().iter().map(|segment| segment.len()).sum()
}

/// The count and one length take a word, and so do two further lengths.
fn table_bytes(segments: usize) -> usize {
    (segments / 2 + 1) * crate::segments::WORD_BYTES
}

thread_local! {
    /// The buffer of the thread's vats, while none of them has it.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

fn give_back(buffer: &mut Vec<u8>) {
    let buffer = std::mem::take(buffer);
    // Whoever has just gathered without one has left one behind.
    if (1..=2 * GATHER_BYTES).contains(&buffer.capacity()) {
        SPARE.set(buffer);
    }
}

/// Writes an [`Outbox`] to a stream.
#[derive(Default)]
pub(crate) struct MessageWriter {
    gathered: Vec<u8>,
    written: usize,
    /// A message with large segments, and the next of them; its table is in `gathered` before it.
    direct: Option<Direct>,
}

struct Direct {
    message: Outgoing,
    segment: usize,
    written: usize,
}

impl MessageWriter {
    /// Nothing is left over from a message that was taken out of the queue.
    pub(crate) fn is_idle(&self) -> bool {
        self.gathered.is_empty() && self.direct.is_none()
    }

    /// Writes until the stream takes no more (Pending) or `next` has no more. Counts what left in `moved`.
    pub(crate) fn poll_write<T: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut T,
        cx: &mut Context<'_>,
        mut next: impl FnMut() -> Option<Outgoing>,
        moved: &mut u64,
    ) -> Poll<io::Result<()>> {
        loop {
            while self.written < self.gathered.len() {
                let rest = self.gathered.get(self.written..).unwrap_or_default();
                let written = ready!(poll_write_some(stream, cx, rest))?;
                self.written += written;
                *moved += written as u64;
            }
            self.gathered.clear();
            self.written = 0;
            if let Some(direct) = &mut self.direct {
                ready!(direct.poll_write(stream, cx, moved))?;
                self.direct = None;
            }
            while self.direct.is_none()
                && self.gathered.len() < GATHER_BYTES
                && let Some(message) = next()
            {
                self.gather(message);
            }
            if self.is_idle() {
                // A vat that has nothing to say keeps no buffer.
                give_back(&mut self.gathered);
                return Pin::new(stream).poll_flush(cx);
            }
        }
    }

    fn gather(&mut self, message: Outgoing) {
        if self.gathered.capacity() == 0 {
            self.gathered = SPARE.take();
        }
        let segments = message.get_segments_for_output();
        if let [segment] = *segments
            && segment.len() <= GATHER_BYTES
        {
            let words = (segment.len() / crate::segments::WORD_BYTES) as u64;
            self.gathered.extend_from_slice(&(words << 32).to_le_bytes());
            self.gathered.extend_from_slice(segment);
            return;
        }
        let count = segments.len();
        self.gathered.reserve(table_bytes(count));
        let start = self.gathered.len();
        self.gathered.extend_from_slice(&(count as u32).wrapping_sub(1).to_le_bytes());
        for segment in segments.iter() {
            let words = (segment.len() / crate::segments::WORD_BYTES) as u32;
            self.gathered.extend_from_slice(&words.to_le_bytes());
        }
        self.gathered.resize(start + table_bytes(count), 0);
        if segments.iter().map(|segment| segment.len()).sum::<usize>() <= GATHER_BYTES {
            for segment in segments.iter() {
                self.gathered.extend_from_slice(segment);
            }
        } else {
            drop(segments);
            self.direct = Some(Direct { message, segment: 0, written: 0 });
        }
    }
}

impl Direct {
    fn poll_write<T: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut T,
        cx: &mut Context<'_>,
        moved: &mut u64,
    ) -> Poll<io::Result<()>> {
        let segments = self.message.get_segments_for_output();
        while let Some(segment) = segments.get(self.segment) {
            let rest = segment.get(self.written..).unwrap_or_default();
            if rest.is_empty() {
                self.segment += 1;
                self.written = 0;
                continue;
            }
            let written = ready!(poll_write_some(stream, cx, rest))?;
            self.written += written;
            *moved += written as u64;
        }
        Poll::Ready(Ok(()))
    }
}

fn poll_write_some<T: AsyncWrite + Unpin>(
    stream: &mut T,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    loop {
        match ready!(Pin::new(&mut *stream).poll_write(cx, bytes)) {
            Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Ok(written) => return Poll::Ready(Ok(written)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
}
