//! A stream of a session as `futures`' readers and writers see it.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use futures::io::{AsyncRead, AsyncWrite};
use vatmux_mux::{ReadError, ResetCode, StreamId, StreamStatistics, WriteError};

use crate::Taker;
use crate::session::{Session, SessionEnd};

/// One named stream. Reading and writing are bounded by the session's limits; dropping it resets what is still
/// open of it.
///
/// `poll_close` is the half-close: the peer reads to the end of what was written, and this side may go on
/// reading. Errors carry a [`StreamEnd`] (`error.get_ref()`).
pub struct Stream {
    session: Session,
    id: StreamId,
}

/// Why a stream can no longer be used in a direction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamEnd {
    /// The peer reset it.
    #[error("the peer reset the stream: {0}")]
    Reset(ResetCode),
    /// This side finished or reset it before.
    #[error("the stream was already closed here")]
    ClosedHere,
    /// The whole session is over.
    #[error("{0}")]
    Session(SessionEnd),
}

impl From<StreamEnd> for io::Error {
    fn from(end: StreamEnd) -> Self {
        let kind = match &end {
            StreamEnd::Reset(_) => io::ErrorKind::ConnectionReset,
            StreamEnd::ClosedHere => io::ErrorKind::BrokenPipe,
            StreamEnd::Session(_) => io::ErrorKind::ConnectionAborted,
        };
        Self::new(kind, end)
    }
}

impl Stream {
    pub(crate) fn new(session: Session, id: StreamId) -> Self {
        Self { session, id }
    }

    /// Its number in the session.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// The session that it is a part of.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// From now on has `taker` take in what arrives, where nothing that arrived before is still to be read. What it leaves,
    /// and the end of the stream, are read as ever. It is let go of with the stream.
    pub fn set_taker(&self, taker: Rc<dyn Taker>) {
        self.session.inner().takers.borrow_mut().insert(self.id, taker);
    }

    /// Its bytes, credit and windows at this moment; None where the session could not keep it.
    #[must_use]
    pub fn statistics(&self) -> Option<StreamStatistics> {
        self.session.inner().engine.borrow().stream_statistics(self.id)
    }

    /// Ends both directions at once and tells the peer why. What was not yet sent is dropped.
    pub fn reset(self, code: ResetCode) {
        // A stream that is over already stays as it is.
        let _ = self.session.inner().engine.borrow_mut().reset(self.id, code);
        self.session.inner().poke();
    }

    fn session_end(&self) -> Option<StreamEnd> {
        self.session.end().map(StreamEnd::Session)
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let inner = self.session.inner();
        let mut engine = inner.engine.borrow_mut();
        let outcome = match engine.readable(self.id) {
            Ok((first, second)) => {
                let head = first.len().min(buf.len());
                buf[..head].copy_from_slice(&first[..head]);
                let tail = second.len().min(buf.len() - head);
                buf[head..head + tail].copy_from_slice(&second[..tail]);
                Ok(head + tail)
            }
            Err(error) => Err(error),
        };
        match outcome {
            Ok(read) => {
                let consumed = engine.consume(self.id, read);
                debug_assert!(consumed.is_ok(), "a stream that lent bytes takes them back");
                drop(engine);
                inner.poke();
                Poll::Ready(Ok(read))
            }
            Err(ReadError::Finished) => Poll::Ready(Ok(0)),
            Err(ReadError::Blocked | ReadError::Ended(_)) => {
                if let Some(end) = self.session_end() {
                    return Poll::Ready(Err(end.into()));
                }
                let mut parked = inner.parked.borrow_mut();
                parked.entry(self.id).or_default().reader = Some(cx.waker().clone());
                Poll::Pending
            }
            Err(ReadError::Reset(code)) => Poll::Ready(Err(StreamEnd::Reset(code).into())),
            Err(ReadError::Unknown | ReadError::NotAccepted) => {
                Poll::Ready(Err(self.session_end().unwrap_or(StreamEnd::ClosedHere).into()))
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let inner = self.session.inner();
        if inner.is_over()
            && let Some(end) = self.session_end()
        {
            return Poll::Ready(Err(end.into()));
        }
        let written = inner.write(self.id, buf);
        // One that was turned away may have moved what was written before it.
        inner.poke();
        match written {
            Ok(written) => Poll::Ready(Ok(written)),
            Err(WriteError::Blocked) => {
                let mut parked = inner.parked.borrow_mut();
                parked.entry(self.id).or_default().writer = Some(cx.waker().clone());
                Poll::Pending
            }
            Err(WriteError::Reset(code)) => Poll::Ready(Err(StreamEnd::Reset(code).into())),
            Err(WriteError::Ended(_)) => {
                inner.check_end();
                Poll::Ready(Err(self.session_end().unwrap_or(StreamEnd::ClosedHere).into()))
            }
            // The driver's streams are not supplied.
            Err(
                WriteError::Finished | WriteError::Unknown | WriteError::NotAccepted | WriteError::Supplied,
            ) => Poll::Ready(Err(StreamEnd::ClosedHere.into())),
        }
    }

    /// What was written is the engine's by now, and leaves as soon as priorities and credit allow.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match self.session_end() {
            Some(end) => Err(end.into()),
            None => Ok(()),
        })
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(end) = self.session_end() {
            return Poll::Ready(Err(end.into()));
        }
        let inner = self.session.inner();
        // Closing twice, or after the peer's reset, changes nothing and is no mistake of the caller's.
        let _ = inner.engine.borrow_mut().finish(self.id);
        inner.poke();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let inner = self.session.inner();
        inner.parked.borrow_mut().remove(&self.id);
        let taker = inner.takers.borrow_mut().remove(self.id);
        drop(taker);
        inner.engine.borrow_mut().release(self.id);
        inner.poke();
    }
}
