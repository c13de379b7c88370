//! The incoming half of the framing: bytes to messages.
//!
//! The wire format is Cap'n Proto's own [stream framing][framing]: a little-endian table with the number of
//! segments less one and the length of each in words, padded to a word, then the segments.
//!
//! A message is allocated as its bytes arrive. Its header promises a size; the promise is checked against the
//! limit and then believed only as far as bytes back it: the buffer starts at no more than [`FIRST_WORDS`] and
//! doubles each time that it is full. Where a longer message has come before, a header is believed as far as that one went,
//! up to [`KEPT_WORDS`]: the messages of a bulk stream would be copied as they grow, each of them, and are all of a length.
//! Bytes go from the stream straight to where they stay.
//!
//! [framing]: https://capnproto.org/encoding.html#serialization-over-a-stream

use std::cell::Cell;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use capnp::Word;
use futures::io::AsyncRead;

use crate::Options;
use crate::segments::{self, FIRST_WORDS, KEPT_WORDS, SegmentTable, Segments, WORD_BYTES};

const ZERO: Word = capnp::word(0, 0, 0, 0, 0, 0, 0, 0);

/// A frame that cannot be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The segment table announces more segments than are allowed.
    #[error("a message of {segments} segments, over the limit of {limit}")]
    TooManySegments {
        /// Announced.
        segments: u64,
        /// [`Options::max_segments`].
        limit: usize,
    },
    /// The segment table announces more bytes than are allowed.
    #[error("a message of {bytes} bytes, over the limit of {limit}")]
    TooLarge {
        /// Announced.
        bytes: u64,
        /// [`Options::max_message_bytes`].
        limit: usize,
    },
    /// The stream ended inside a message.
    #[error("the stream ended in the middle of a message")]
    Truncated,
}

/// Why reading stopped, where the stream has more or is over.
#[derive(Debug)]
pub(crate) enum ReadEnd {
    /// As much has arrived as may wait.
    Enough,
    /// No more comes.
    Over(Over),
}

/// Why no more comes.
#[derive(Debug)]
pub(crate) enum Over {
    /// The stream ended between two messages.
    Clean,
    Frame(FrameError),
    Stream(io::Error),
}

/// Bytes of messages that may wait, beside the last of them: what is read ahead of whoever takes them. A session reads two
/// records of its link at a time, and so there are places for what is in them and what had begun to come.
const READ_AHEAD_BYTES: usize = 192 << 10;

/// What a message counts for beside its bytes: its entry, and the block that it has on the heap.
const MESSAGE_BYTES: usize = size_of::<Segments>() + 16;

/// Places for messages that a vat keeps while none waits.
const KEPT_PLACES: usize = 16;

/// Messages that were read and that nobody has looked at yet, in order.
#[derive(Default)]
pub(crate) struct Arrived {
    messages: VecDeque<Segments>,
    bytes: usize,
}

impl Arrived {
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(crate) fn pop(&mut self) -> Option<Segments> {
        let message = self.messages.pop_front()?;
        self.bytes -= Self::weight(&message);
        if self.messages.is_empty() && self.messages.capacity() > KEPT_PLACES {
            self.messages = VecDeque::new();
        }
        Some(message)
    }

    fn push(&mut self, message: Segments) {
        self.bytes += Self::weight(&message);
        self.messages.push_back(message);
    }

    fn weight(message: &Segments) -> usize {
        message.total_bytes() + MESSAGE_BYTES
    }

    fn is_enough(&self) -> bool {
        self.bytes >= READ_AHEAD_BYTES
    }
}

/// Bytes read at a time where messages are small.
const SCRATCH_BYTES: usize = 4 << 10;

thread_local! {
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A buffer of the thread's, which has one: whoever reads has it for as long as that takes.
struct Scratch(Vec<u8>);

impl Scratch {
    fn take() -> Self {
        let mut bytes = SCRATCH.take();
        bytes.resize(SCRATCH_BYTES, 0);
        Self(bytes)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        SCRATCH.set(std::mem::take(&mut self.0));
    }
}

/// Reads one message after the other from a stream.
pub(crate) struct MessageReader {
    max_segments: usize,
    max_message_bytes: usize,
    /// As far as a header is believed.
    believed_words: usize,
    state: State,
}

enum State {
    /// The first word: how many segments, and the length of the first.
    Head { bytes: [u8; WORD_BYTES], filled: usize },
    /// The rest of the table of a message with several segments.
    Table { first_words: u32, segments: usize, bytes: Vec<u8>, filled: usize },
    /// The segments.
    Body { table: SegmentTable, words: Vec<Word>, total_words: usize, filled: usize },
}

impl State {
    const START: Self = Self::Head { bytes: [0; WORD_BYTES], filled: 0 };
}

impl MessageReader {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            max_segments: options.max_segments,
            max_message_bytes: options.max_message_bytes,
            believed_words: FIRST_WORDS,
            state: State::START,
        }
    }

    /// Lets go of the message that has begun to come. The stream is out of step then.
    pub(crate) fn clear(&mut self) {
        self.state = State::START;
    }

    /// Reads until the stream has no more, or enough waits in `arrived`.
    ///
    /// Small messages come many to a read, through a buffer that is borrowed for that long; the rest of a large one is
    /// read to where it stays. After an error, or the end, the stream is out of step and no more can be read.
    pub(crate) fn poll_read<T: AsyncRead + Unpin>(
        &mut self,
        stream: &mut T,
        cx: &mut Context<'_>,
        arrived: &mut Arrived,
    ) -> Poll<ReadEnd> {
        let mut scratch = Scratch::take();
        while !arrived.is_enough() {
            let (wanted, filled) = self.wanted();
            let direct = wanted.len() >= SCRATCH_BYTES;
            let buffer = if direct { wanted } else { &mut scratch.0[..] };
            match ready!(Pin::new(&mut *stream).poll_read(cx, buffer)) {
                Ok(0) if matches!(self.state, State::Head { filled: 0, .. }) => {
                    return Poll::Ready(ReadEnd::Over(Over::Clean));
                }
                Ok(0) => return Poll::Ready(ReadEnd::Over(Over::Frame(FrameError::Truncated))),
                Ok(read) => {
                    let taken = if direct {
                        self.advance(filled + read);
                        self.steps(arrived)
                    } else {
                        self.take(scratch.0.get(..read).unwrap_or_default(), arrived)
                    };
                    if let Err(error) = taken {
                        return Poll::Ready(ReadEnd::Over(Over::Frame(error)));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(ReadEnd::Over(Over::Stream(error))),
            }
        }
        Poll::Ready(ReadEnd::Enough)
    }

    /// Takes in bytes that come next, until enough waits in `arrived`, and says how many.
    ///
    /// After an error the stream is out of step, as after one of [`poll_read`](Self::poll_read).
    pub(crate) fn take_until_enough(
        &mut self,
        bytes: &[u8],
        arrived: &mut Arrived,
    ) -> Result<usize, FrameError> {
        let mut rest = bytes;
        while !rest.is_empty() && !arrived.is_enough() {
            rest = self.take_some(rest, arrived)?;
        }
        Ok(bytes.len() - rest.len())
    }

    /// Takes bytes in, all of them.
    fn take(&mut self, mut bytes: &[u8], arrived: &mut Arrived) -> Result<(), FrameError> {
        while !bytes.is_empty() {
            bytes = self.take_some(bytes, arrived)?;
        }
        Ok(())
    }

    /// Takes in a message at most, and gives what is left.
    fn take_some<'a>(&mut self, bytes: &'a [u8], arrived: &mut Arrived) -> Result<&'a [u8], FrameError> {
        if let Some((message, rest)) = self.whole(bytes) {
            arrived.push(message);
            return Ok(rest);
        }
        let (wanted, filled) = self.wanted();
        let length = wanted.len().min(bytes.len());
        let (head, rest) = bytes.split_at(length);
        wanted.get_mut(..length).unwrap_or_default().copy_from_slice(head);
        self.advance(filled + length);
        self.steps(arrived)?;
        Ok(rest)
    }

    /// The message of one segment that begins here, if no other has begun and all of it is here.
    fn whole<'a>(&self, bytes: &'a [u8]) -> Option<(Segments, &'a [u8])> {
        let State::Head { filled: 0, .. } = self.state else { return None };
        let (head, rest) = bytes.split_first_chunk::<WORD_BYTES>()?;
        let head = u64::from_le_bytes(*head);
        let (segments, length) = (head as u32, (head >> 32) as usize * WORD_BYTES);
        if segments != 0 || length > self.max_message_bytes {
            return None;
        }
        let (body, rest) = rest.split_at_checked(length)?;
        let words = body.as_chunks::<WORD_BYTES>().0.iter();
        let words = words.map(|[a, b, c, d, e, f, g, h]| capnp::word(*a, *b, *c, *d, *e, *f, *g, *h));
        Some((Segments::new(words.collect(), SegmentTable::One), rest))
    }

    /// Moves on until bytes are wanted.
    fn steps(&mut self, arrived: &mut Arrived) -> Result<(), FrameError> {
        while self.wanted().0.is_empty() {
            if let Some(message) = self.step()? {
                arrived.push(message);
            }
        }
        Ok(())
    }

    /// The part of the present state's buffer that wants bytes, and how much of it has some.
    fn wanted(&mut self) -> (&mut [u8], usize) {
        let (bytes, filled) = match &mut self.state {
            State::Head { bytes, filled } => (&mut bytes[..], *filled),
            State::Table { bytes, filled, .. } => (&mut bytes[..], *filled),
            State::Body { words, filled, .. } => (Word::words_to_bytes_mut(words), *filled),
        };
        (bytes.get_mut(filled..).unwrap_or_default(), filled)
    }

    fn advance(&mut self, now_filled: usize) {
        match &mut self.state {
            State::Head { filled, .. } | State::Table { filled, .. } | State::Body { filled, .. } => {
                *filled = now_filled;
            }
        }
    }

    /// Moves on from a buffer that is full; gives a message where that was its last byte.
    fn step(&mut self) -> Result<Option<Segments>, FrameError> {
        match std::mem::replace(&mut self.state, State::START) {
            State::Head { bytes, .. } => {
                let first_word = u64::from_le_bytes(bytes);
                let segments = u64::from(first_word as u32) + 1;
                let first_words = (first_word >> 32) as u32;
                if segments > self.max_segments as u64 {
                    return Err(FrameError::TooManySegments { segments, limit: self.max_segments });
                }
                self.check_size(u64::from(first_words))?;
                self.state = if segments == 1 {
                    self.body(SegmentTable::One, first_words as usize)
                } else {
                    let segments = segments as usize;
                    // Two lengths to a word; the first word had the count and one length.
                    let bytes = vec![0; segments / 2 * WORD_BYTES];
                    State::Table { first_words, segments, bytes, filled: 0 }
                };
            }
            State::Table { first_words, segments, bytes, .. } => {
                let mut table = Vec::with_capacity(segments);
                let first = first_words as usize;
                table.push(0..first);
                let mut total_words = first;
                for length in bytes.as_chunks::<4>().0.iter().take(segments - 1) {
                    let words = u32::from_le_bytes(*length);
                    self.check_size(total_words as u64 + u64::from(words))?;
                    let end = total_words + words as usize;
                    table.push(total_words..end);
                    total_words = end;
                }
                self.state = self.body(SegmentTable::Many(table), total_words);
            }
            State::Body { table, mut words, total_words, filled } => {
                if words.len() == total_words {
                    self.believed_words = self.believed_words.max(total_words.min(KEPT_WORDS));
                    return Ok(Some(Segments::new(words, table)));
                }
                let longer = total_words.min(words.len().saturating_mul(2));
                words.reserve_exact(longer - words.len());
                words.resize(longer, ZERO);
                self.state = State::Body { table, words, total_words, filled };
            }
        }
        Ok(None)
    }

    fn body(&self, table: SegmentTable, total_words: usize) -> State {
        let words = segments::buffer(total_words.min(self.believed_words));
        State::Body { table, words, total_words, filled: 0 }
    }

    fn check_size(&self, words: u64) -> Result<(), FrameError> {
        let bytes = words * WORD_BYTES as u64;
        if bytes > self.max_message_bytes as u64 {
            return Err(FrameError::TooLarge { bytes, limit: self.max_message_bytes });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
