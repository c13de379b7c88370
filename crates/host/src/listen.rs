//! Listening sockets.

use std::convert::Infallible;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
#[cfg(unix)]
use std::os::unix::net::{UnixListener, UnixStream};
#[cfg(unix)]
use std::path::{Path, PathBuf};
use std::time::Duration;

#[cfg(unix)]
use socket2::{Domain, SockAddr, Socket as RawSocket, Type};
use vatmux_driver::{Handle, Link, yield_now};

use crate::bridge::PlainEndpoint;
use crate::reactor::{Direction, Socket};
use crate::{Endpoint, Reactor, SocketLink};

/// How long accepting rests where the system has no descriptor left for the next link.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Read and written by its owner.
#[cfg(unix)]
const OWNER_ONLY: u32 = 0o600;

/// Callers that the system keeps waiting, as the standard library has it.
#[cfg(unix)]
const BACKLOG: i32 = 128;

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

/// Who of the users of this machine may connect to a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// Whom the process's file mode mask lets: the protocol behind it asks who is there.
    Usual,
    /// Its owner.
    Owner,
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
        Self::bind_with(endpoint, Access::Usual)
    }

    fn bind_with(endpoint: &Endpoint, access: Access) -> Result<Self, ListenError> {
        let bound = match endpoint {
            Endpoint::Tcp { host, port } => bind_tcp(host, *port),
            #[cfg(unix)]
            Endpoint::Unix(path) => bind_unix(path, access),
            #[cfg(not(unix))]
            Endpoint::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        };
        bound.map_err(|error| {
            let hint = if error.kind() == io::ErrorKind::AddrInUse { Hint::InUse } else { Hint::None };
            ListenError { endpoint: endpoint.clone(), error, hint }
        })
    }

    /// As [`bind`](Self::bind), for a protocol that asks nobody who they are: a Unix socket can be connected to by its
    /// owner only (mode 0600) from the moment at which it is there.
    pub fn bind_private(endpoint: &PlainEndpoint) -> Result<Self, ListenError> {
        Self::bind_with(endpoint.endpoint(), Access::Owner)
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
fn bind_unix(path: &Path, access: Access) -> io::Result<Listener> {
    let listener = match bind_path(path, access) {
        // The file of a process that died is in nobody's use: nobody answers behind it.
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && nobody_listens(path) => {
            std::fs::remove_file(path)?;
            bind_path(path, access)?
        }
        outcome => outcome?,
    };
    listener.set_nonblocking(true)?;
    let file = SocketFile { path: path.to_owned(), identity: identity(path)? };
    Ok(Listener { socket: BoundSocket::Unix(listener, file), local: Endpoint::Unix(path.to_owned()) })
}

#[cfg(unix)]
fn bind_path(path: &Path, access: Access) -> io::Result<UnixListener> {
    use std::os::unix::fs::PermissionsExt;

    if access == Access::Usual {
        return UnixListener::bind(path);
    }
    let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    // Until it listens nobody can connect, whatever the mode that it was made with.
    let listening = std::fs::set_permissions(path, std::fs::Permissions::from_mode(OWNER_ONLY))
        .and_then(|()| socket.listen(BACKLOG));
    if let Err(error) = listening {
        let _ = std::fs::remove_file(path);
        return Err(error);
    }
    Ok(UnixListener::from(std::os::fd::OwnedFd::from(socket)))
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

impl Accepted {
    /// The connection as a link on the thread of `reactor`.
    pub(crate) fn into_link(self, reactor: &Reactor) -> io::Result<Box<dyn Link>> {
        Ok(match self {
            Self::Tcp(stream) => Box::new(SocketLink::new(reactor, stream)?),
            #[cfg(unix)]
            Self::Unix(stream) => Box::new(SocketLink::new(reactor, stream)?),
            Self::Pipe(pipe) => Box::new(pipe),
        })
    }
}

/// A listener under a reactor's watch.
pub(crate) enum WatchedListener {
    Tcp(Socket<mio::net::TcpListener>),
    #[cfg(unix)]
    Unix(
        Socket<mio::net::UnixListener>,
        #[expect(dead_code, reason = "removes the file when dropped")] SocketFile,
    ),
}

impl WatchedListener {
    pub(crate) fn new(reactor: &Reactor, listener: Listener) -> io::Result<Self> {
        match listener.socket {
            BoundSocket::Tcp(listener) => {
                reactor.watch(mio::net::TcpListener::from_std(listener)).map(Self::Tcp)
            }
            #[cfg(unix)]
            BoundSocket::Unix(listener, file) => {
                let listener = mio::net::UnixListener::from_std(listener);
                reactor.watch(listener).map(|listener| Self::Unix(listener, file))
            }
        }
    }

    /// Accepts callers for as long as it is polled. What the system refuses is told, and followed by a pause.
    pub(crate) async fn accept_all(
        &self,
        handle: &Handle,
        mut admit: impl FnMut(Accepted),
        failed: impl Fn(io::Error),
    ) -> Infallible {
        loop {
            match self.accept().await {
                Ok(accepted) => {
                    admit(accepted);
                    // Callers may come faster than they are let in: whoever stops the listener must have a turn, too.
                    yield_now().await;
                }
                // The caller hung up before it was accepted: its loss.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    failed(error);
                    handle.sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn accept(&self) -> io::Result<Accepted> {
        poll_fn(|cx| match self {
            Self::Tcp(listener) => listener.poll(Direction::Read, cx, |listener| {
                listener.accept().map(|(stream, _)| Accepted::Tcp(stream.into()))
            }),
            #[cfg(unix)]
            Self::Unix(listener, _) => listener.poll(Direction::Read, cx, |listener| {
                listener.accept().map(|(stream, _)| Accepted::Unix(stream.into()))
            }),
        })
        .await
    }
}
