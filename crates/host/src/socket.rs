//! A TCP or Unix socket as a link.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::io::{AsyncRead, AsyncWrite};
use mio::event::Source;
use vatmux_driver::Link;

use crate::Reactor;
use crate::reactor::{Direction, Socket};

/// Bytes that may wait in the system for the wire, per socket.
///
/// What the system holds cannot be overtaken by a frame of higher priority, so it must not hold much; and
/// credit, not this buffer, is what keeps a long link full.
pub(crate) const UNSENT_BYTES: u32 = 128 * 1024;

/// A connected, non-blocking stream socket.
pub struct SocketLink<S: StreamSocket>(Socket<S::Watched>);

impl<S: StreamSocket> SocketLink<S> {
    /// Makes `stream` non-blocking and puts it under the reactor's watch.
    pub fn new(reactor: &Reactor, stream: S) -> io::Result<Self> {
        reactor.watch(stream.into_watched()?).map(Self)
    }

    pub(crate) fn from_watched(socket: Socket<S::Watched>) -> Self {
        Self(socket)
    }
}

/// A kind of socket that [`SocketLink`] can carry: TCP, and where there are any, Unix sockets.
pub trait StreamSocket: 'static {
    /// The same socket, as the poller wants it.
    type Watched: WatchedSocket;

    /// Sets what the link needs of it: non-blocking, no delay.
    fn into_watched(self) -> io::Result<Self::Watched>;
}

/// A socket that the poller knows.
pub trait WatchedSocket: Source + 'static {
    /// Reads without blocking.
    fn read(&self, buf: &mut [u8]) -> io::Result<usize>;
    /// Writes without blocking.
    fn write(&self, buf: &[u8]) -> io::Result<usize>;
    /// Ends the sending direction.
    fn finish(&self) -> io::Result<()>;
}

impl StreamSocket for TcpStream {
    type Watched = mio::net::TcpStream;

    fn into_watched(self) -> io::Result<Self::Watched> {
        self.set_nonblocking(true)?;
        // A record is written whole; waiting to fill a packet would add 40 ms to a call, not save a packet.
        self.set_nodelay(true)?;
        #[cfg(any(target_os = "linux", target_os = "android"))]
        socket2::SockRef::from(&self).set_tcp_notsent_lowat(UNSENT_BYTES)?;
        Ok(mio::net::TcpStream::from_std(self))
    }
}

impl WatchedSocket for mio::net::TcpStream {
    fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        Read::read(&mut &*self, buf)
    }

    fn write(&self, buf: &[u8]) -> io::Result<usize> {
        Write::write(&mut &*self, buf)
    }

    fn finish(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

#[cfg(unix)]
impl StreamSocket for std::os::unix::net::UnixStream {
    type Watched = mio::net::UnixStream;

    fn into_watched(self) -> io::Result<Self::Watched> {
        self.set_nonblocking(true)?;
        Ok(mio::net::UnixStream::from_std(self))
    }
}

#[cfg(unix)]
impl WatchedSocket for mio::net::UnixStream {
    fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        Read::read(&mut &*self, buf)
    }

    fn write(&self, buf: &[u8]) -> io::Result<usize> {
        Write::write(&mut &*self, buf)
    }

    fn finish(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl<S: StreamSocket> Unpin for SocketLink<S> {}

impl<S: StreamSocket> AsyncRead for SocketLink<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.0.poll_read(cx, buf, WatchedSocket::read)
    }
}

impl<S: StreamSocket> AsyncWrite for SocketLink<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll(Direction::Write, cx, |socket| socket.write(buf))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.get().finish())
    }
}

impl<S: StreamSocket> Link for SocketLink<S> {
    fn recheck(&mut self) {
        self.0.recheck();
    }
}

#[cfg(test)]
mod tests;
