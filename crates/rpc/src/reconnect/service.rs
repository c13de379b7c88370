//! One service of a peer, over all of the peer's sessions.

use std::cell::RefCell;
use std::rc::Rc;

use capnp::capability::FromClientHook;
use vatmux_liveness::Epoch;
use vatmux_mux::Priority;

use super::{ReconnectingPeer, Unreachable};
use crate::{Disconnected, Remote, deadline};

/// A service of a [`ReconnectingPeer`]: each session has one stream for it, opened when it is first asked for.
pub struct ServiceOfPeer<C, E> {
    peer: ReconnectingPeer<E>,
    name: String,
    priority: Priority,
    current: RefCell<Option<(Epoch, Rc<Remote<C>>)>>,
}

/// Why a call has no answer.
#[derive(Debug)]
pub enum CallError<E> {
    /// There was no session to make it on: it was never sent.
    Unreachable(Unreachable<E>),
    /// Its session, or its vat, died.
    Disconnected {
        /// Whether the peer may have got it.
        lost: Disconnected,
        /// The error with its reason.
        error: capnp::Error,
    },
    /// It failed: the service said so, its deadline came, or the peer broke the protocol. The peer may have got it.
    Failed(capnp::Error),
}

impl<C: FromClientHook, E: 'static> ServiceOfPeer<C, E> {
    pub(super) fn new(peer: ReconnectingPeer<E>, name: &str, priority: Priority) -> Self {
        Self { peer, name: name.to_owned(), priority, current: RefCell::default() }
    }

    /// The peer.
    #[must_use]
    pub fn peer(&self) -> &ReconnectingPeer<E> {
        &self.peer
    }

    /// The service's capability on the session that there is, or on the next one. It belongs to that session and
    /// dies with it. The wait ends as that of [`ReconnectingPeer::connect_named`].
    pub fn remote(&self) -> impl Future<Output = Result<Rc<Remote<C>>, Unreachable<E>>> {
        let session = self.peer.session();
        async move {
            let (peer, epoch) = session.await?;
            if let Some((of, remote)) = &*self.current.borrow()
                && *of == epoch
                && remote.vat().ended().is_none()
            {
                return Ok(remote.clone());
            }
            let remote = Rc::new(peer.connect_named::<C>(&self.name, self.priority)?);
            let previous = self.current.replace(Some((epoch, remote.clone())));
            // It ends a vat, which is anybody's code: nothing is borrowed here.
            drop(previous);
            Ok(remote)
        }
    }

    /// Makes one call, which `send` sends, once: on the session that there is, or on the next one. One deadline bounds
    /// the wait for the session and the call together, the one that a call on any capability would have.
    ///
    /// A streaming call is one whose future is done when there is room for the next.
    pub fn call<T, F>(&self, send: impl FnOnce(&C) -> F) -> impl Future<Output = Result<T, CallError<E>>>
    where
        F: Future<Output = capnp::Result<T>>,
    {
        let until = self.peer.now() + self.peer.patience();
        let remote = self.remote();
        async move {
            let remote = remote.await.map_err(CallError::Unreachable)?;
            let answer = deadline::with(until - self.peer.now(), || send(&remote));
            answer.await.map_err(CallError::from)
        }
    }
}

impl<E> From<capnp::Error> for CallError<E> {
    fn from(error: capnp::Error) -> Self {
        match Disconnected::of(&error) {
            Some(lost) => Self::Disconnected { lost, error },
            None => Self::Failed(error),
        }
    }
}

impl<E: std::fmt::Display> std::fmt::Display for CallError<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable(unreachable) => unreachable.fmt(f),
            Self::Disconnected { lost, error } => write!(f, "{lost}: {}", Disconnected::reason(error)),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl<E: std::fmt::Debug + std::fmt::Display> std::error::Error for CallError<E> {}
