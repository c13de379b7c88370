//! Why a vat is over, in the words that its callers read.

use std::io;

use capnp::{Error, ErrorKind};
use vatmux_driver::{SessionEnd, StreamEnd};
use vatmux_mux::ResetCode;

use crate::guard::{Exceeded, Violation};
use crate::read::FrameError;

/// A peer's reason is repeated to every caller: a long one would be long many times.
const MAX_REASON_BYTES: usize = 1_000;

/// Why a vat is over. Every call that was under way on it, and every later one, fails with this.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VatEnd {
    /// This side let go of it.
    #[error("this side ended it")]
    EndedHere,
    /// This side let go of it, and told the peer why.
    #[error("this side ended it: {0}")]
    Closed(String),
    /// The peer ended the stream between two messages.
    #[error("the peer ended it")]
    EndedByPeer,
    /// The peer ended it and said why.
    #[error("the peer aborted it: {0}")]
    Aborted(String),
    /// The peer refused the stream because it has no such service.
    #[error("the peer offers no service of this name")]
    NoSuchService,
    /// The peer refused the stream because the service is exclusive and another stream of this session has it
    /// (`duplicate_stream_name`).
    #[error("the peer serves this name to one stream at a time, and another one has it")]
    NameInUse,
    /// The peer has no bootstrap capability to give, and said why.
    #[error("the peer offers nothing here: {0}")]
    NoBootstrap(String),
    /// The peer did not give its bootstrap capability within [`Options::call_deadline`](crate::Options::call_deadline).
    #[error("the peer did not give its bootstrap capability within {0:?}")]
    BootstrapLate(std::time::Duration),
    /// The peer reset the stream for another reason.
    #[error("the peer reset the stream: {0}")]
    Reset(ResetCode),
    /// The whole session is over.
    #[error("{0}")]
    Session(SessionEnd),
    /// The stream under it failed, or is gone.
    #[error("{0}")]
    Stream(String),
    /// The peer sent bytes that are no acceptable message.
    #[error("the peer sent {0}")]
    Frame(FrameError),
    /// The peer sent a message that breaks the RPC protocol.
    #[error("the peer broke the RPC protocol: {0}")]
    Protocol(String),
    /// The peer sent what no correct peer sends.
    #[error("the peer sent {0}")]
    Violation(#[from] Violation),
    /// The peer used more of this side than it may.
    #[error("the peer went too far: {0}")]
    Exceeded(#[from] Exceeded),
    /// The peer does not read, and too much waits to be sent to it.
    #[error("{queued_bytes} bytes wait for the peer, which does not read; the limit is {limit}")]
    SendQueueFull {
        /// What waits.
        queued_bytes: usize,
        /// [`Options::send_queue_hard_bytes`](crate::Options::send_queue_hard_bytes).
        limit: usize,
    },
    /// The peer does not read: nothing could be sent for too long.
    #[error("the peer read nothing for {0:?} while bytes waited for it")]
    SendStalled(std::time::Duration),
    /// The peer owes the answers to too many calls that are past their deadlines.
    #[error("the peer owes the answers to {limit} calls that are past their deadlines")]
    TooManyExpired {
        /// [`Options::max_expired_calls`](crate::Options::max_expired_calls).
        limit: usize,
    },
    /// The peer canceled more calls than one vat can take.
    #[error("the peer canceled more than {limit} calls, each of which leaves something behind")]
    TooManyCanceled {
        /// [`Options::max_canceled_calls`](crate::Options::max_canceled_calls).
        limit: usize,
    },
}

impl VatEnd {
    /// The error that callers of `service` see.
    ///
    /// Its kind is `Disconnected` where trying again on a new vat may help, and `Failed` where the peer would
    /// do the same again.
    #[must_use]
    pub fn to_error(&self, service: &str) -> Error {
        let kind = match self {
            Self::EndedHere
            | Self::Closed(_)
            | Self::EndedByPeer
            | Self::Aborted(_)
            | Self::Reset(_)
            | Self::Session(_)
            | Self::Stream(_)
            | Self::SendStalled(_)
            | Self::SendQueueFull { .. }
            | Self::BootstrapLate(_)
            | Self::TooManyExpired { .. }
            | Self::TooManyCanceled { .. } => ErrorKind::Disconnected,
            Self::NoSuchService
            | Self::NameInUse
            | Self::NoBootstrap(_)
            | Self::Frame(_)
            | Self::Protocol(_)
            | Self::Violation(_)
            | Self::Exceeded(_) => ErrorKind::Failed,
        };
        let extra = match self {
            Self::NoSuchService => format!("the peer offers no service named {service:?}"),
            Self::NameInUse => {
                format!("service {service:?} is in use: {self}; use that stream, or end it first")
            }
            // The words are for the peer as well, to whom this side is the other one.
            Self::Closed(reason) => format!("service {service:?} is gone: {reason}"),
            other => format!("service {service:?} is gone: {other}"),
        };
        Error { kind, extra }
    }

    /// As [`to_error`](Self::to_error), for calls that did not reach the peer.
    pub(crate) fn to_undelivered(&self, service: &str) -> Error {
        crate::disconnected::undelivered(self.to_error(service))
    }

    /// What the failure of a stream means for the vat on it.
    pub(crate) fn of_stream(error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(StreamEnd::Reset(ResetCode::NO_SUCH_SERVICE)) => Self::NoSuchService,
            Some(StreamEnd::Reset(ResetCode::DUPLICATE_NAME)) => Self::NameInUse,
            Some(StreamEnd::Reset(code)) => Self::Reset(*code),
            Some(StreamEnd::Session(end)) => Self::Session(end.clone()),
            Some(StreamEnd::ClosedHere) | None => Self::Stream(error.to_string()),
        }
    }

    /// Why this side lets go, in at most [`MAX_REASON_BYTES`].
    pub(crate) fn closed(reason: &str) -> Self {
        Self::Closed(cut(reason).to_owned())
    }

    /// The peer's own words for having nothing to offer.
    pub(crate) fn no_bootstrap(reason: &str) -> Self {
        Self::NoBootstrap(cut(reason).to_owned())
    }

    /// The peer's own words, no longer than [`MAX_REASON_BYTES`].
    pub(crate) fn aborted(reason: &str) -> Self {
        Self::Aborted(cut(reason).to_owned())
    }

    /// True where the peer should hear why, in an Abort, before the stream closes.
    pub(crate) fn worth_an_abort(&self) -> bool {
        match self {
            Self::EndedHere
            | Self::EndedByPeer
            | Self::Aborted(_)
            | Self::NoSuchService
            | Self::NameInUse
            | Self::NoBootstrap(_)
            | Self::Reset(_)
            | Self::Session(_)
            | Self::Stream(_) => false,
            Self::BootstrapLate(_)
            | Self::Closed(_)
            | Self::Frame(_)
            | Self::Protocol(_)
            | Self::Violation(_)
            | Self::Exceeded(_)
            | Self::SendQueueFull { .. }
            | Self::SendStalled(_)
            | Self::TooManyExpired { .. }
            | Self::TooManyCanceled { .. } => true,
        }
    }
}

/// The beginning of a reason, of at most [`MAX_REASON_BYTES`].
fn cut(reason: &str) -> &str {
    reason.get(..reason.floor_char_boundary(MAX_REASON_BYTES)).unwrap_or_default()
}
