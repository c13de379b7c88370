//! The codes that RST and CLOSE carry. Both are open sets: a code that we do not know survives as its number.

use core::fmt;

/// Why one stream was reset, as RST carries it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResetCode(pub u32);

impl ResetCode {
    /// The sender's application no longer wants the stream.
    pub const CANCELLED: Self = Self(0);
    /// The acceptor offers nothing under the stream's name.
    pub const NO_SUCH_SERVICE: Self = Self(1);
    /// The acceptor has no room for another stream just now: too many wait to be accepted, or too many are still held.
    pub const STREAM_LIMIT: Self = Self(2);
    /// Something failed on the sender's side that is not the receiver's doing.
    pub const INTERNAL: Self = Self(3);
    /// The name is registered as exclusive and in use (`duplicate_stream_name`).
    pub const DUPLICATE_NAME: Self = Self(4);
    /// This peer may not use what the stream's name stands for.
    pub const NOT_ALLOWED: Self = Self(5);
    /// What the stream carried was not what its protocol allows.
    pub const PROTOCOL_ERROR: Self = Self(6);
    /// A deadline or a budget of the sender ran out.
    pub const OVERLOADED: Self = Self(7);

    const fn label(self) -> Option<&'static str> {
        Some(match self {
            Self::CANCELLED => "cancelled",
            Self::NO_SUCH_SERVICE => "no such service",
            Self::STREAM_LIMIT => "stream limit",
            Self::INTERNAL => "internal error",
            Self::DUPLICATE_NAME => "duplicate stream name",
            Self::NOT_ALLOWED => "not allowed",
            Self::PROTOCOL_ERROR => "protocol error",
            Self::OVERLOADED => "overloaded",
            _ => return None,
        })
    }
}

/// Why a whole session ended, as CLOSE on stream 0 carries it. Codes from 16 to 31 name violations.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(pub u32);

impl CloseCode {
    /// The work is done.
    pub const DONE: Self = Self(0);
    /// The sender is shutting down.
    pub const GOING_AWAY: Self = Self(1);
    /// Something failed on the sender's side.
    pub const INTERNAL: Self = Self(2);
    /// Nothing arrived from the receiver of this code for too long.
    pub const KEEPALIVE_TIMEOUT: Self = Self(3);
    /// The receiver's identity may not have a session here.
    pub const NOT_ALLOWED: Self = Self(4);
    /// A deadline or a budget of the sender ran out.
    pub const OVERLOADED: Self = Self(5);
    /// The session never proved who the peer is (`unauthenticated_session`).
    pub const UNAUTHENTICATED: Self = Self(6);

    /// Violation: a frame is longer than its kind allows.
    pub const FRAME_OVERSIZE: Self = Self(16);
    /// Violation: a frame's kind, flags, length or fixed fields are none that exist.
    pub const MALFORMED_FRAME: Self = Self(17);
    /// Violation: a frame that its stream's state does not allow.
    pub const INVALID_STATE: Self = Self(18);
    /// Violation: more data than credit, or more credit than fits.
    pub const WINDOW_CREDIT: Self = Self(19);
    /// Violation: a frame on a stream that nobody opened.
    pub const UNKNOWN_STREAM: Self = Self(20);
    /// Violation: more open streams than the hello allowed.
    pub const STREAM_LIMIT: Self = Self(21);
    /// Violation: a stream name that is none.
    pub const INVALID_NAME: Self = Self(22);
    /// Violation: a budget for frames that achieve nothing ran out.
    pub const FLOOD: Self = Self(23);

    const fn label(self) -> Option<&'static str> {
        Some(match self {
            Self::DONE => "done",
            Self::GOING_AWAY => "going away",
            Self::INTERNAL => "internal error",
            Self::KEEPALIVE_TIMEOUT => "keepalive timeout",
            Self::NOT_ALLOWED => "not allowed",
            Self::OVERLOADED => "overloaded",
            Self::UNAUTHENTICATED => "unauthenticated session",
            Self::FRAME_OVERSIZE => "frame oversize",
            Self::MALFORMED_FRAME => "malformed frame",
            Self::INVALID_STATE => "invalid stream state transition",
            Self::WINDOW_CREDIT => "window credit overflow or underflow",
            Self::UNKNOWN_STREAM => "unknown stream frame",
            Self::STREAM_LIMIT => "stream limit exceeded",
            Self::INVALID_NAME => "invalid stream name",
            Self::FLOOD => "flood",
            _ => return None,
        })
    }
}

fn describe(f: &mut fmt::Formatter<'_>, label: Option<&str>, code: u32) -> fmt::Result {
    match label {
        Some(label) => f.write_str(label),
        None => write!(f, "code {code}"),
    }
}

impl fmt::Display for ResetCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe(f, self.label(), self.0)
    }
}

impl fmt::Debug for ResetCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResetCode({}: {self})", self.0)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe(f, self.label(), self.0)
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CloseCode({}: {self})", self.0)
    }
}
