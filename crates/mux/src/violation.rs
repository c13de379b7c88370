//! The ways in which a peer can be wrong. Each ends the session, by name.

use crate::budget::BudgetKind;
use crate::code::CloseCode;
use crate::id::StreamId;
use crate::name::NameError;
use crate::wire::Kind;

/// What a peer did that the protocol forbids.
///
/// The first violation is the last thing a session takes in: from then on every [`receive`](crate::Session::receive)
/// returns it again, and [`transmit`](crate::Session::transmit) yields one CLOSE with [`close_code`](Self::close_code).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A kind of frame that does not exist.
    #[error("the peer sent a frame of unknown kind {kind}")]
    UnknownKind {
        /// The first byte of the header.
        kind: u8,
    },
    /// The flags byte is not zero.
    #[error("the peer sent a frame with the reserved flags {flags:#04x}")]
    ReservedFlags {
        /// The second byte of the header.
        flags: u8,
    },
    /// A payload longer than the kind of frame can have.
    #[error("the peer sent a {kind} frame of {length} bytes, over its maximum of {maximum}")]
    FrameOversize {
        /// The kind of frame.
        kind: Kind,
        /// The announced length of the payload in bytes.
        length: u16,
        /// The longest that the kind allows.
        maximum: u16,
    },
    /// A payload shorter than the kind of frame must have.
    #[error("the peer sent a {kind} frame of {length} bytes, which is too short")]
    FrameTooShort {
        /// The kind of frame.
        kind: Kind,
        /// The announced length of the payload in bytes.
        length: u16,
    },
    /// A session's frame on a stream, or a stream's frame on the session.
    #[error("the peer sent a {kind} frame on stream {stream}")]
    MisplacedFrame {
        /// The kind of frame.
        kind: Kind,
        /// The stream id in the header.
        stream: u32,
    },
    /// An OPEN with a priority above 7.
    #[error("the peer opened a stream with priority {priority}; 7 is the last")]
    InvalidPriority {
        /// What it said.
        priority: u8,
    },
    /// An OPEN with a name that is none.
    #[error("the peer opened a stream with an invalid name: {0}")]
    InvalidStreamName(NameError),
    /// A `WINDOW_UPDATE` that grants nothing.
    #[error("the peer sent an empty window update on stream {stream}")]
    EmptyWindowUpdate {
        /// The stream.
        stream: StreamId,
    },
    /// An OPEN with an id of the wrong parity, or one not greater than all before.
    #[error("the peer opened stream {stream}, which is not a new stream of its own")]
    InvalidOpen {
        /// The stream.
        stream: StreamId,
    },
    /// A frame that the state of its stream does not allow: data after CLOSE, a second CLOSE, a second `OPEN_ACK`,
    /// anything but RST before `OPEN_ACK`.
    #[error("the peer sent a {kind} frame on stream {stream}, whose state does not allow it")]
    InvalidStreamState {
        /// The kind of frame.
        kind: Kind,
        /// The stream.
        stream: StreamId,
    },
    /// A frame on a stream that was never opened.
    #[error("the peer sent a {kind} frame on stream {stream}, which was never opened")]
    UnknownStream {
        /// The kind of frame.
        kind: Kind,
        /// The stream.
        stream: StreamId,
    },
    /// More data than we granted credit for.
    #[error("the peer sent {length} bytes on stream {stream} with credit for {credit}")]
    CreditExceeded {
        /// The stream.
        stream: StreamId,
        /// The length of the DATA payload in bytes.
        length: u16,
        /// The credit in bytes that was left.
        credit: u32,
    },
    /// Credit beyond [`MAX_CREDIT_BYTES`](crate::MAX_CREDIT_BYTES).
    #[error("the peer granted more credit on stream {stream} than the protocol can express")]
    CreditOverflow {
        /// The stream.
        stream: StreamId,
    },
    /// More streams open at once than our hello allowed.
    #[error("the peer opened more than {maximum} streams at once")]
    StreamLimitExceeded {
        /// What our hello said.
        maximum: u32,
    },
    /// Too many frames of a kind that achieve nothing.
    #[error("the peer sent more {0} than the budget allows")]
    Flood(BudgetKind),
}

impl Violation {
    /// The name of the reject reason, stable across versions, for logs and counters.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::UnknownKind { .. } => "unknown_frame_kind",
            Self::ReservedFlags { .. } => "reserved_flags",
            Self::FrameOversize { .. } => "frame_oversize",
            Self::FrameTooShort { .. } => "frame_too_short",
            Self::MisplacedFrame { .. } => "misplaced_frame",
            Self::InvalidPriority { .. } => "invalid_priority",
            Self::InvalidStreamName(_) => "invalid_stream_name",
            Self::EmptyWindowUpdate { .. } | Self::CreditExceeded { .. } | Self::CreditOverflow { .. } => {
                "window_credit_overflow_or_underflow"
            }
            Self::InvalidOpen { .. } | Self::InvalidStreamState { .. } => "invalid_stream_state_transition",
            Self::UnknownStream { .. } => "unknown_stream_frame",
            Self::StreamLimitExceeded { .. } => "stream_limit_exceeded",
            Self::Flood(_) => "flood",
        }
    }

    /// The code that the CLOSE in answer to this violation carries.
    #[must_use]
    pub const fn close_code(&self) -> CloseCode {
        match self {
            Self::FrameOversize { .. } => CloseCode::FRAME_OVERSIZE,
            Self::UnknownKind { .. }
            | Self::ReservedFlags { .. }
            | Self::FrameTooShort { .. }
            | Self::MisplacedFrame { .. }
            | Self::InvalidPriority { .. } => CloseCode::MALFORMED_FRAME,
            Self::InvalidStreamName(_) => CloseCode::INVALID_NAME,
            Self::EmptyWindowUpdate { .. } | Self::CreditExceeded { .. } | Self::CreditOverflow { .. } => {
                CloseCode::WINDOW_CREDIT
            }
            Self::InvalidOpen { .. } | Self::InvalidStreamState { .. } => CloseCode::INVALID_STATE,
            Self::UnknownStream { .. } => CloseCode::UNKNOWN_STREAM,
            Self::StreamLimitExceeded { .. } => CloseCode::STREAM_LIMIT,
            Self::Flood(_) => CloseCode::FLOOD,
        }
    }
}
