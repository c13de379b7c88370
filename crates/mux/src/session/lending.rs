//! How bytes pass between the application's memory and the link's without a stop in a ring.
//!
//! A ring costs a copy each way. An application that can say at any time what a stream has to send next is a
//! [`Source`]: [`Session::supply`](super::Session::supply) puts the stream into the schedule, and its bytes are asked for when its turn
//! comes, straight into the [`Output`]. One that can take in bytes at any time is a [`Sink`]: what arrives is shown to
//! it where it lies, and only what it leaves goes into the ring.

use crate::id::StreamId;

/// Where frames go: the front of a buffer, or the room that a link lends.
pub trait Output {
    /// How many bytes it can still take.
    fn room(&self) -> usize;

    /// Appends `bytes`, never more than there is [`room`](Self::room) for.
    fn put(&mut self, bytes: &[u8]);
}

/// Where DATA of [supplied](super::Session::supply) streams comes from.
pub trait Source {
    /// What `stream` has to send next, as far as it is at hand, in up to two pieces: the end of one thing and the
    /// beginning of the next make one frame, and a ring is lent as it lies. With nothing, the stream leaves the
    /// schedule until it is supplied again.
    fn lend(&mut self, stream: StreamId) -> (&[u8], &[u8]);

    /// The first `bytes` of what was lent are sent. Returns whether there are more to send; they may be lent later.
    fn sent(&mut self, stream: StreamId, bytes: usize) -> bool;
}

/// Where DATA goes first.
pub trait Sink {
    /// Takes in the front of `payload`, never empty, which is the next of `stream`, and returns how many bytes. They
    /// count as consumed. The rest becomes [readable](super::Session::readable), and until it has been consumed the sink
    /// is not asked for this stream again.
    fn take(&mut self, stream: StreamId, payload: &[u8]) -> usize;
}

/// Neither lends nor takes: everything goes through the rings.
pub(super) struct Rings;

impl Source for Rings {
    fn lend(&mut self, _: StreamId) -> (&[u8], &[u8]) {
        (&[], &[])
    }

    fn sent(&mut self, _: StreamId, _: usize) -> bool {
        false
    }
}

impl Sink for Rings {
    fn take(&mut self, _: StreamId, _: &[u8]) -> usize {
        0
    }
}

/// The part of a buffer that is not written yet.
impl Output for &mut [u8] {
    fn room(&self) -> usize {
        self.len()
    }

    fn put(&mut self, bytes: &[u8]) {
        if let Some((front, rest)) = core::mem::take(self).split_at_mut_checked(bytes.len()) {
            front.copy_from_slice(bytes);
            *self = rest;
        }
    }
}
