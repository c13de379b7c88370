//! What the application is told: events, the end, and why an operation did not happen.

use crate::code::{CloseCode, ResetCode};
use crate::id::StreamId;
use crate::name::Priority;
use crate::violation::Violation;

/// Something that happened to a session or one of its streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The peer opened a stream. It is the application's from now on: accept it or refuse it, and release it in the
    /// end. Its name is [`Session::name`](super::Session::name).
    Incoming {
        /// The stream.
        id: StreamId,
        /// What the peer asked for.
        priority: Priority,
    },
    /// The peer's application took a stream that we opened.
    Opened(StreamId),
    /// Bytes have arrived, or the peer has finished.
    Readable(StreamId),
    /// A write that was blocked can go on.
    Writable(StreamId),
    /// The peer reset the stream. What had arrived is dropped, unless the peer had finished its direction before.
    Reset(StreamId, ResetCode),
    /// The session has ended, see [`Session::end`](super::Session::end). Comes once, and last.
    Ended,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum End {
    /// The peer closed it.
    #[error("the peer closed the session: {0}")]
    PeerClosed(CloseCode),
    /// We closed it.
    #[error("this end closed the session: {0}")]
    Closed(CloseCode),
    /// The peer broke the protocol.
    #[error("{0}")]
    Violation(Violation),
    /// Nothing arrived from the peer for too long.
    #[error("the peer has not been heard of for too long, although it was asked")]
    KeepaliveTimeout,
}

/// Why a stream was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The peer's hello allows no more streams at once. Try again when one is over.
    #[error("the peer allows {maximum} streams at once, and all are open")]
    PeerLimit {
        /// What the peer's hello said.
        maximum: u32,
    },
    /// Our own limit, or the storage, has no room. Try again when a stream is released.
    #[error("this end has no room for another stream")]
    LocalLimit,
    /// Every stream id has been used. The session can go on, but a new one is needed for new streams.
    #[error("all stream ids of this session have been used")]
    IdsExhausted,
    /// The session has ended.
    #[error("{0}")]
    Ended(End),
}

/// The stream does not exist, or was released.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no such stream")]
pub struct UnknownStream;

/// Why a stream was not accepted or refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AcceptError {
    /// The stream does not exist, or was released.
    #[error("there is no such stream")]
    Unknown,
    /// The stream does not wait to be accepted.
    #[error("the stream is not one that waits to be accepted")]
    NotOffered,
}

/// Why nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The send buffer is full. [`Event::Writable`] says when to try again.
    #[error("the send buffer is full")]
    Blocked,
    /// The stream is supplied: what is written would come before what its source lends. Nothing can be written until the
    /// source has run dry.
    #[error("the stream is supplied by a source that has not run dry")]
    Supplied,
    /// We have finished our direction.
    #[error("this end has finished the stream")]
    Finished,
    /// The stream was reset.
    #[error("the stream was reset: {0}")]
    Reset(ResetCode),
    /// The stream waits to be accepted.
    #[error("the stream has not been accepted")]
    NotAccepted,
    /// The session has ended.
    #[error("{0}")]
    Ended(End),
    /// The stream does not exist, or was released.
    #[error("there is no such stream")]
    Unknown,
}

/// Why there is nothing to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Nothing has arrived. [`Event::Readable`] says when to try again.
    #[error("nothing has arrived")]
    Blocked,
    /// The peer has finished its direction and everything has been consumed.
    #[error("the peer has finished the stream")]
    Finished,
    /// The stream was reset.
    #[error("the stream was reset: {0}")]
    Reset(ResetCode),
    /// The stream waits to be accepted.
    #[error("the stream has not been accepted")]
    NotAccepted,
    /// The session has ended and everything that arrived has been consumed.
    #[error("{0}")]
    Ended(End),
    /// The stream does not exist, or was released.
    #[error("there is no such stream")]
    Unknown,
}

/// Why nothing was consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsumeError {
    /// Fewer bytes are there to be read.
    #[error("only {readable} bytes are there to be consumed")]
    Beyond {
        /// How many are.
        readable: usize,
    },
    /// The stream does not exist, or was released.
    #[error("there is no such stream")]
    Unknown,
}

/// Why a direction was not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FinishError {
    /// It was finished before.
    #[error("this end has finished the stream before")]
    Finished,
    /// The stream was reset.
    #[error("the stream was reset: {0}")]
    Reset(ResetCode),
    /// The stream waits to be accepted.
    #[error("the stream has not been accepted")]
    NotAccepted,
    /// The session has ended.
    #[error("{0}")]
    Ended(End),
    /// The stream does not exist, or was released.
    #[error("there is no such stream")]
    Unknown,
}
