//! A streaming method as a sink.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::{FutureExt, Sink};

use super::{Calling, Error};

/// Makes a call of a stream of each item, at the pace at which the peer takes them.
///
/// An item is sent as soon as it is started; the next one may be when the vat has room for it
/// ([`Options::stream_window_bytes`](crate::Options::stream_window_bytes)). The first failure ends it. Closing it only
/// waits for that room: that the peer has taken everything is what the interface's own last call says.
pub struct CallSink<T> {
    send: Box<dyn Fn(T) -> Calling<()>>,
    sent: Option<Calling<()>>,
}

impl<T> CallSink<T> {
    /// A sink that sends each item by `send`.
    pub fn new(send: impl Fn(T) -> Calling<()> + 'static) -> Self {
        Self { send: Box::new(send), sent: None }
    }
}

impl<T> Unpin for CallSink<T> {}

impl<T> Sink<T> for CallSink<T> {
    type Error = Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if let Some(sent) = &mut self.sent {
            let outcome = ready!(sent.poll_unpin(cx));
            self.sent = None;
            return Poll::Ready(outcome);
        }
        Poll::Ready(Ok(()))
    }

    fn start_send(mut self: Pin<&mut Self>, item: T) -> Result<(), Error> {
        self.sent = Some((self.send)(item));
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_ready(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_ready(cx)
    }
}
