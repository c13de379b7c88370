//! How a reconnecting peer stands, and why somebody does not reach it.

use std::rc::Rc;
use std::time::Duration;

use vatmux_driver::{Instant, SessionEnd};
use vatmux_liveness::{Epoch, Exhausted};

use crate::ConnectError;

/// How the connection to a peer stands.
#[derive(Debug)]
pub enum PeerState<E> {
    /// Nobody has asked for the peer yet.
    Idle,
    /// There is no session, and one is dialed.
    Connecting {
        /// Which attempt of this outage it is; the first is 1.
        attempt: u32,
        /// When it is due. Where that has passed, it is under way.
        due: Instant,
        /// What went wrong last, if anything did: the last dial, or the last session.
        last: Option<Rc<Failure<E>>>,
    },
    /// There is a session.
    Connected {
        /// Which one.
        epoch: Epoch,
    },
    /// There is none, and no attempt is due.
    GivenUp(GivenUp<E>),
    /// This side has closed it.
    Closed,
}

/// What ends an attempt at a session, or a session.
#[derive(Debug, thiserror::Error)]
pub enum Failure<E> {
    /// The dial failed.
    #[error("{0}")]
    Dial(E),
    /// The session was lost.
    #[error("the session was lost: {0}")]
    Session(SessionEnd),
}

/// Why a peer is not dialed any more.
#[derive(Debug)]
pub enum GivenUp<E> {
    /// A bound of the outage ran out. Who asks for the peer again begins a new one.
    Exhausted {
        /// Which one, and what was spent by then.
        bound: Exhausted,
        /// What went wrong last.
        last: Option<Rc<Failure<E>>>,
    },
    /// No attempt can succeed before somebody changes something, here or there.
    Rejected {
        /// Why.
        reason: Rc<Failure<E>>,
    },
}

/// Why somebody who asked for a peer has none. Nothing was sent.
#[derive(Debug)]
pub enum Unreachable<E> {
    /// The caller's own deadline came; the peer is still dialed.
    Deadline {
        /// How long the caller waited.
        after: Duration,
        /// What went wrong last, if anything did.
        last: Option<Rc<Failure<E>>>,
    },
    /// The peer was given up.
    GivenUp(GivenUp<E>),
    /// This side has closed it.
    Closed,
    /// There is a session, and no stream for the service.
    Service(ConnectError),
}

impl<E> Clone for GivenUp<E> {
    fn clone(&self) -> Self {
        match self {
            Self::Exhausted { bound, last } => Self::Exhausted { bound: *bound, last: last.clone() },
            Self::Rejected { reason } => Self::Rejected { reason: reason.clone() },
        }
    }
}

impl<E> From<ConnectError> for Unreachable<E> {
    fn from(error: ConnectError) -> Self {
        Self::Service(error)
    }
}

/// What went wrong last, as the end of a sentence.
struct Because<'a, E>(Option<&'a Failure<E>>);

impl<E: std::fmt::Display> std::fmt::Display for Because<'_, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(failure) => write!(f, "; the last failure: {failure}"),
            None => Ok(()),
        }
    }
}

impl<E: std::fmt::Display> std::fmt::Display for GivenUp<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exhausted { bound, last } => write!(f, "{bound}{}", Because(last.as_deref())),
            Self::Rejected { reason } => write!(f, "rejected, and so not tried again: {reason}"),
        }
    }
}

impl<E: std::fmt::Display> std::fmt::Display for Unreachable<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Deadline { after, last } => {
                write!(f, "no session with the peer within {after:?}{}", Because(last.as_deref()))
            }
            Self::GivenUp(given_up) => given_up.fmt(f),
            Self::Closed => f.write_str("this side has closed the connection to the peer"),
            Self::Service(error) => error.fmt(f),
        }
    }
}

impl<E: std::fmt::Debug + std::fmt::Display> std::error::Error for GivenUp<E> {}

impl<E: std::fmt::Debug + std::fmt::Display> std::error::Error for Unreachable<E> {}
