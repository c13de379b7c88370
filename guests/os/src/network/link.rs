//! A TCP connection as the driver's [`Link`].

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::io::{AsyncRead, AsyncWrite};
use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp;
use vatmux_driver::Link;

use super::Network;

/// A TCP connection. Dropped, it ends in order where its sending direction was closed, and by a reset where it was not.
pub(crate) struct TcpLink {
    network: Network,
    handle: SocketHandle,
}

impl TcpLink {
    pub(super) fn new(network: Network, handle: SocketHandle) -> Self {
        Self { network, handle }
    }

    pub(super) fn handle(&self) -> SocketHandle {
        self.handle
    }

    pub(super) fn with<R>(&self, act: impl FnOnce(&mut tcp::Socket<'static>) -> R) -> R {
        act(self.network.0.borrow_mut().sockets.get_mut(self.handle))
    }
}

impl AsyncRead for TcpLink {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.with(|socket| match socket.recv_slice(buffer) {
            Ok(0) if !buffer.is_empty() => {
                socket.register_recv_waker(cx.waker());
                Poll::Pending
            }
            Ok(read) => Poll::Ready(Ok(read)),
            Err(tcp::RecvError::Finished) => Poll::Ready(Ok(0)),
            Err(tcp::RecvError::InvalidState) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        })
    }
}

impl AsyncWrite for TcpLink {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|socket| match socket.send_slice(bytes) {
            Ok(0) if !bytes.is_empty() => {
                socket.register_send_waker(cx.waker());
                Poll::Pending
            }
            Ok(written) => Poll::Ready(Ok(written)),
            Err(tcp::SendError::InvalidState) => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        })
    }

    /// What was written leaves when the loop parks.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(tcp::Socket::close);
        Poll::Ready(Ok(()))
    }
}

impl Link for TcpLink {}

impl Drop for TcpLink {
    fn drop(&mut self) {
        self.with(|socket| {
            if socket.may_send() {
                socket.abort();
            }
        });
        self.network.0.borrow_mut().ending.push(self.handle);
    }
}
