//! From an address to a connected socket, without blocking the loop.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::time::Duration;

use futures::channel::oneshot;
use socket2::{Domain, Protocol, SockRef, Socket as RawSocket, Type};
use vatmux_driver::{Handle, HandshakeFailure, Instant, Link};
use vatmux_noise::EntropyError;

use crate::reactor::{Direction, Reactor};
use crate::socket::{SocketLink, StreamSocket};
use crate::{Endpoint, NodeAddress};

/// Why there is no session with the node that was dialed.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The host name has no address.
    #[error("cannot find the host {host}: {error}")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        error: io::Error,
    },
    /// Nobody answered there.
    #[error("cannot connect to {endpoint}: {error}; is a node listening there?")]
    Connect {
        /// Where.
        endpoint: Endpoint,
        /// What the system said.
        error: io::Error,
    },
    /// The address took too long to find or to answer.
    #[error("{endpoint} did not answer within {after:?}")]
    Deadline {
        /// Where.
        endpoint: Endpoint,
        /// How long it was given.
        after: Duration,
    },
    /// Somebody answered, and it did not come to a session.
    #[error("no session with {endpoint}: {failure}")]
    Handshake {
        /// Where.
        endpoint: Endpoint,
        /// What went wrong.
        failure: HandshakeFailure,
    },
    /// There are no random bytes for the handshake.
    #[error(transparent)]
    Entropy(#[from] EntropyError),
}

/// Connects a link to where `address` says, within `deadline`.
pub(crate) async fn connect(
    handle: &Handle,
    reactor: &Reactor,
    address: &NodeAddress,
    deadline: Duration,
) -> Result<Box<dyn Link>, DialError> {
    let endpoint = &address.endpoint;
    let until = handle.now() + deadline;
    let connecting = async {
        match endpoint {
            Endpoint::Tcp { host, port } => connect_tcp(handle, reactor, until, host, *port).await,
            #[cfg(unix)]
            Endpoint::Unix(path) => connect_unix(path)
                .and_then(|stream| SocketLink::new(reactor, stream))
                .map(|link| Box::new(link) as Box<dyn Link>)
                .map_err(|error| DialError::Connect { endpoint: endpoint.clone(), error }),
            #[cfg(not(unix))]
            Endpoint::Unix(_) => Err(DialError::Connect {
                endpoint: endpoint.clone(),
                error: io::ErrorKind::Unsupported.into(),
            }),
        }
    };
    match handle.timeout(deadline, connecting).await {
        Ok(outcome) => outcome,
        Err(elapsed) => Err(DialError::Deadline { endpoint: endpoint.clone(), after: elapsed.after }),
    }
}

/// Tries the addresses of a name in turn. Each has its share of the time that is left, so that one which swallows
/// packets leaves some to the next; the last has all of it, and the caller's deadline.
async fn connect_tcp(
    handle: &Handle,
    reactor: &Reactor,
    until: Instant,
    host: &str,
    port: u16,
) -> Result<Box<dyn Link>, DialError> {
    let addresses =
        resolve(host, port).await.map_err(|error| DialError::Resolve { host: host.to_owned(), error })?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let count = addresses.len();
    for (tried, address) in addresses.into_iter().enumerate() {
        let untried = (count - tried) as u32;
        let outcome = if untried == 1 {
            connect_to(reactor, address).await
        } else {
            let share = (until - handle.now()) / untried;
            handle
                .timeout(share, connect_to(reactor, address))
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        };
        match outcome {
            Ok(link) => return Ok(Box::new(link)),
            Err(error) => last = error,
        }
    }
    Err(DialError::Connect { endpoint: Endpoint::Tcp { host: host.to_owned(), port }, error: last })
}

/// Asks the system's resolver, which blocks, on a thread of its own; a literal address needs neither.
async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let (answer, answered) = oneshot::channel();
    let host = host.to_owned();
    std::thread::Builder::new().name("vatmux-resolve".into()).spawn(move || {
        // Nobody waits any more when the dial ran out of time.
        let _ = answer.send((host.as_str(), port).to_socket_addrs().map(Iterator::collect));
    })?;
    answered.await.unwrap_or_else(|_| Err(io::Error::other("the resolver's thread died")))
}

async fn connect_to(reactor: &Reactor, address: SocketAddr) -> io::Result<SocketLink<TcpStream>> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    let connecting = match socket.connect(&address.into()) {
        Ok(()) => false,
        Err(error) if connect_is_under_way(&error) => true,
        Err(error) => return Err(error),
    };
    let stream = TcpStream::from(socket);
    stream.prepare()?;
    let socket = reactor.watch(stream)?;
    if connecting {
        let mut parked = false;
        poll_fn(|cx| {
            if !std::mem::replace(&mut parked, true) {
                return socket.park::<()>(Direction::Write, cx);
            }
            socket.poll(Direction::Write, cx, |stream| match SockRef::from(stream).take_error()? {
                Some(error) => Err(error),
                // Connected once it has a peer; a wake-up for another reason is no connection.
                None => stream.peer_addr().map(drop).map_err(|error| match error.kind() {
                    io::ErrorKind::NotConnected => io::ErrorKind::WouldBlock.into(),
                    _ => error,
                }),
            })
        })
        .await?;
    }
    Ok(SocketLink::from_watched(socket))
}

/// `connect` on a Unix socket blocks while the listener's queue is full, and no deadline of ours would end that.
#[cfg(unix)]
pub(crate) fn connect_unix(path: &std::path::Path) -> io::Result<UnixStream> {
    let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&socket2::SockAddr::unix(path)?).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => {
            io::Error::new(io::ErrorKind::WouldBlock, "its queue of callers is full; try again later")
        }
        _ => error,
    })?;
    Ok(UnixStream::from(std::os::fd::OwnedFd::from(socket)))
}

fn connect_is_under_way(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        // EINPROGRESS has no stable `ErrorKind`.
        rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::INPROGRESS)
    }
    #[cfg(not(unix))]
    {
        error.kind() == io::ErrorKind::WouldBlock
    }
}
