//! What a caller knows of a call whose session, or whose vat, died under it.

use capnp::{Error, ErrorKind};

/// How the reason of a call begins that did not reach the peer.
///
/// capnp-rpc puts words of its own before every reason that arrives in a message. So no peer can say this, and a reason
/// of another vat's that a peer passes on is not taken for one of ours.
const UNDELIVERED: &str = "not delivered: ";

/// What capnp-rpc puts before the reason in a message, also where we made that message.
const REMOTE: &str = "remote exception: ";

/// A call has no answer, because the session or the vat that it was made on is over.
///
/// Nothing is called again by itself: whether a call that may have been delivered can be repeated is for its caller to
/// know.
///
/// ```
/// use vatmux_rpc::Disconnected;
///
/// fn may_be_repeated(error: &capnp::Error, idempotent: bool) -> bool {
///     Disconnected::of(error).is_some_and(|lost| idempotent || !lost.maybe_delivered)
/// }
/// # let error = capnp::Error::disconnected("the peer's own words".to_owned());
/// # assert!(may_be_repeated(&error, true) && !may_be_repeated(&error, false));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("disconnected; the call {}", if *maybe_delivered { "may have been delivered" } else { "was not delivered" })]
pub struct Disconnected {
    /// The peer may have got the call, and may have done what it asks for. False only where it is certain that the call
    /// never left this side: nothing of it was given to the stream.
    ///
    /// Of a `-> stream` call it is said of all calls of the stream that have no answer, since one call's failure shows in
    /// the next.
    pub maybe_delivered: bool,
}

impl Disconnected {
    /// What the error of a call says; `None` where the call failed for another reason.
    #[must_use]
    pub fn of(error: &Error) -> Option<Self> {
        (error.kind == ErrorKind::Disconnected).then(|| Self { maybe_delivered: !is_undelivered(error) })
    }

    /// Why it came to that, in words for people: the error's own, without those that [`of`](Self::of) reads and those that
    /// capnp-rpc puts before what it takes for the peer's.
    #[must_use]
    pub fn reason(error: &Error) -> &str {
        let reason = error.extra.as_str();
        reason.strip_prefix(UNDELIVERED).or_else(|| reason.strip_prefix(REMOTE)).unwrap_or(reason)
    }
}

/// Marks an error as that of calls that did not reach the peer, if it is a disconnection.
pub(crate) fn undelivered(error: Error) -> Error {
    match error.kind {
        ErrorKind::Disconnected if !is_undelivered(&error) => {
            Error { extra: format!("{UNDELIVERED}{}", error.extra), ..error }
        }
        _ => error,
    }
}

pub(crate) fn is_undelivered(error: &Error) -> bool {
    error.kind == ErrorKind::Disconnected && error.extra.starts_with(UNDELIVERED)
}
