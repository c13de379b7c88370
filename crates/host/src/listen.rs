//! Listening sockets.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
#[cfg(unix)]
use std::path::{Path, PathBuf};

use crate::Endpoint;
use crate::Reactor;
use crate::reactor::{Direction, Socket};

/// A bound socket, not yet accepting: the address is known and taken from here on.
pub struct Listener {
    socket: BoundSocket,
    local: Endpoint,
}

enum BoundSocket {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener, SocketFile),
}

/// Why nothing listens.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {endpoint}: {error}{hint}")]
pub struct ListenError {
    /// Where.
    pub endpoint: Endpoint,
    /// What the system said.
    pub error: io::Error,
    hint: Hint,
}

#[derive(Debug)]
enum Hint {
    None,
    InUse,
}

impl fmt::Display for Hint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => Ok(()),
            Self::InUse => f.write_str("; another process listens there: stop it or choose another address"),
        }
    }
}

impl Listener {
    /// Binds `endpoint`. Port 0 takes any free port; [`local`](Self::local) says which.
    pub fn bind(endpoint: &Endpoint) -> Result<Self, ListenError> {
        let bound = match endpoint {
            Endpoint::Tcp { host, port } => bind_tcp(host, *port),
            #[cfg(unix)]
            Endpoint::Unix(path) => bind_unix(path),
            #[cfg(not(unix))]
            Endpoint::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        };
        bound.map_err(|error| {
            let hint = if error.kind() == io::ErrorKind::AddrInUse { Hint::InUse } else { Hint::None };
            ListenError { endpoint: endpoint.clone(), error, hint }
        })
    }

    /// Where it listens, with the port that the system chose.
    #[must_use]
    pub fn local(&self) -> &Endpoint {
        &self.local
    }
}

fn bind_tcp(host: &str, port: u16) -> io::Result<Listener> {
    let addresses: Vec<_> = (host, port).to_socket_addrs()?.collect();
    let listener = TcpListener::bind(&addresses[..])?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    Ok(Listener { socket: BoundSocket::Tcp(listener), local: Endpoint::Tcp { host: host.to_owned(), port } })
}

/// Removes the socket's file when the listener is gone, so that the next one finds the place free.
#[cfg(unix)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Another listener may have taken the path over: its file is not ours to remove.
    identity: (u64, u64),
}

#[cfg(unix)]
impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Which file a path names just now: its device and inode.
#[cfg(unix)]
fn identity(path: &Path) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    std::fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(unix)]
fn bind_unix(path: &Path) -> io::Result<Listener> {
    let listener = match UnixListener::bind(path) {
        // The file of a process that died is in nobody's use: nobody answers behind it.
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && nobody_listens(path) => {
            std::fs::remove_file(path)?;
            UnixListener::bind(path)?
        }
        outcome => outcome?,
    };
    listener.set_nonblocking(true)?;
    let file = SocketFile { path: path.to_owned(), identity: identity(path)? };
    Ok(Listener { socket: BoundSocket::Unix(listener, file), local: Endpoint::Unix(path.to_owned()) })
}

#[cfg(unix)]
fn nobody_listens(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;

    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    is_socket
        && crate::dial::connect_unix(path)
            .is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
}

/// A connection on its way from the accepting thread to a worker.
pub(crate) enum Accepted {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
    Pipe(vatmux_driver::PipeEnd),
}

/// A listener under a reactor's watch.
pub(crate) enum WatchedListener {
    Tcp(Socket<TcpListener>),
    #[cfg(unix)]
    Unix(Socket<UnixListener>, #[expect(dead_code, reason = "removes the file when dropped")] SocketFile),
}

impl WatchedListener {
    pub(crate) fn new(reactor: &Reactor, listener: Listener) -> io::Result<Self> {
        match listener.socket {
            BoundSocket::Tcp(listener) => reactor.watch(listener).map(Self::Tcp),
            #[cfg(unix)]
            BoundSocket::Unix(listener, file) => {
                reactor.watch(listener).map(|listener| Self::Unix(listener, file))
            }
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<Accepted> {
        poll_fn(|cx| match self {
            Self::Tcp(listener) => listener.poll(Direction::Read, cx, |listener| {
                listener.accept().map(|(stream, _)| Accepted::Tcp(stream))
            }),
            #[cfg(unix)]
            Self::Unix(listener, _) => listener.poll(Direction::Read, cx, |listener| {
                listener.accept().map(|(stream, _)| Accepted::Unix(stream))
            }),
        })
        .await
    }
}
