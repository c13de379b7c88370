//! What a session needs of the thing that moves its bytes.

use futures::io::{AsyncRead, AsyncWrite};

/// A reliable, ordered, two-way stream of bytes: a TCP or Unix socket, a pipe, a virtio queue, a guest's stream.
///
/// It is `futures`' `AsyncRead + AsyncWrite` with three duties that those traits leave open:
///
/// * a direction that is not ready **parks its waker** and wakes it when the direction became ready, and never
///   otherwise: a link that wakes itself makes the loop spin;
/// * the two directions are independent: neither waits for the other, nor holds a lock across a wait;
/// * `poll_close` ends the sending direction only; bytes still arrive.
pub trait Link: AsyncRead + AsyncWrite + Unpin {
    /// Drops whatever the link believes about its readiness, so that the next poll asks the machine.
    ///
    /// A session calls it once per keepalive tick on a silent link. Bytes found then are a wake-up that was
    /// missed: they are counted as a rescue. Links that keep no such belief do nothing.
    fn recheck(&mut self) {}
}

impl<L: Link + ?Sized> Link for Box<L> {
    fn recheck(&mut self) {
        (**self).recheck();
    }
}
