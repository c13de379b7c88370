//! From an address to a connected socket, without blocking the loop.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::time::Duration;

use futures::channel::oneshot;
use socket2::{Domain, Protocol, Socket as RawSocket, Type};
use vatmux_driver::{Handle, HandshakeFailure, Link};
use vatmux_liveness::{
    AttemptBudget, Attempted, Backoff, Deadline, MismatchBudget, Outcome, RetryLimits, retry,
};
use vatmux_noise::EntropyError;

use crate::Endpoint;
use crate::pace::SystemPace;
use crate::reactor::{Direction, Reactor};
use crate::socket::{SocketLink, StreamSocket};

/// How many addresses of one name are tried. With more, the share of each would be too short to answer in.
const MAX_ADDRESSES: u32 = 16;

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

impl DialError {
    /// True where no repetition mends it: the address or the options are wrong, or the node there has proved who it is and
    /// asked for a session that cannot be.
    ///
    /// What an unauthenticated party says ends one attempt and no more: whoever is on the path for a moment could
    /// otherwise keep two nodes apart for good.
    #[must_use]
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Connect { error, .. } => {
                matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput)
            }
            Self::Handshake { failure, .. } => match failure {
                HandshakeFailure::Setup(_)
                | HandshakeFailure::Limits(_)
                | HandshakeFailure::Hello(_)
                | HandshakeFailure::NotAllowed(_) => true,
                HandshakeFailure::Handshake(_)
                | HandshakeFailure::Link(_)
                | HandshakeFailure::Deadline { .. } => false,
            },
            Self::Resolve { .. } | Self::Deadline { .. } | Self::Entropy(_) => false,
        }
    }
}

/// Connects a link to `endpoint`, within `deadline`.
pub(crate) async fn connect(
    handle: &Handle,
    reactor: &Reactor,
    endpoint: &Endpoint,
    deadline: Duration,
) -> Result<Box<dyn Link>, DialError> {
    let connecting = async {
        match endpoint {
            Endpoint::Tcp { host, port } => connect_tcp(handle, reactor, deadline, host, *port).await,
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

async fn connect_tcp(
    handle: &Handle,
    reactor: &Reactor,
    within: Duration,
    host: &str,
    port: u16,
) -> Result<Box<dyn Link>, DialError> {
    let deadline = Deadline::after(handle.now(), within);
    let addresses =
        resolve(host, port).await.map_err(|error| DialError::Resolve { host: host.to_owned(), error })?;
    let endpoint = || Endpoint::Tcp { host: host.to_owned(), port };
    let outcome =
        connect_to_one_of(handle, deadline, addresses, async |address| connect_to(reactor, address).await);
    match outcome.await {
        Outcome::Success(link) => Ok(Box::new(link)),
        Outcome::Deadline { .. } => Err(DialError::Deadline { endpoint: endpoint(), after: within }),
        Outcome::Attempts { last, .. } | Outcome::Mismatches { last, .. } => Err(DialError::Connect {
            endpoint: endpoint(),
            error: last.unwrap_or_else(|| io::ErrorKind::NotFound.into()),
        }),
        Outcome::Rejected { reason, .. } => Err(DialError::Connect { endpoint: endpoint(), error: reason }),
    }
}

/// Tries the first of a name's addresses in turn. Each has its share of the time that is left, so that one which swallows
/// packets leaves some to the next; the last has all of it.
async fn connect_to_one_of<T>(
    handle: &Handle,
    deadline: Deadline,
    addresses: Vec<SocketAddr>,
    connect: impl AsyncFn(SocketAddr) -> io::Result<T>,
) -> Outcome<T, io::Error> {
    let no_address = || io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    let count = u32::try_from(addresses.len()).unwrap_or(MAX_ADDRESSES).min(MAX_ADDRESSES);
    let Some(attempts) = AttemptBudget::new(count) else {
        return Outcome::Rejected { attempts: 0, reason: no_address() };
    };
    let limits = RetryLimits {
        within: deadline.remaining(handle.now()),
        attempts,
        mismatches: MismatchBudget::ZERO,
        backoff: Backoff::NONE,
    };
    let mut untried = addresses.into_iter();
    retry(limits, &mut SystemPace(handle.clone()), async |attempt| {
        let Some(address) = untried.next() else { return Attempted::Rejected(no_address()) };
        let share = attempt.deadline.share(handle.now(), attempt.left);
        let connected = if share == attempt.deadline {
            connect(address).await
        } else {
            let patience = share.remaining(handle.now());
            handle
                .timeout(patience, connect(address))
                .await
                .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        };
        connected.map_or_else(Attempted::Failed, Attempted::Success)
    })
    .await
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
    let socket = reactor.watch(stream.into_watched()?)?;
    if connecting {
        let mut parked = false;
        poll_fn(|cx| {
            if !std::mem::replace(&mut parked, true) {
                return socket.park::<()>(Direction::Write, cx);
            }
            socket.poll(Direction::Write, cx, |stream| match stream.take_error()? {
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::pending;
    use std::net::Ipv4Addr;

    use vatmux_driver::Instant;
    use vatmux_driver::virtual_time;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Tries `count` addresses, whose ports count from 0, for ten seconds; says what came of it, and when each was
    /// tried, in milliseconds.
    fn try_addresses(
        count: u16,
        connect: impl AsyncFn(u16) -> io::Result<u16>,
    ) -> (Outcome<u16, io::ErrorKind>, Vec<u128>) {
        let (mut driver, _) = virtual_time::driver();
        let handle = driver.handle();
        let addresses = (0..count).map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))).collect();
        let deadline = Deadline::after(handle.now(), SECOND * 10);
        let times = RefCell::new(Vec::new());
        let outcome = driver.drive_until(connect_to_one_of(&handle, deadline, addresses, async |address| {
            times.borrow_mut().push((handle.now() - Instant::ORIGIN).as_millis());
            connect(address.port()).await
        }));
        let outcome = match outcome.unwrap() {
            Outcome::Success(port) => Outcome::Success(port),
            Outcome::Deadline { attempts, last } => {
                Outcome::Deadline { attempts, last: last.map(|error| error.kind()) }
            }
            Outcome::Attempts { attempts, last } => {
                Outcome::Attempts { attempts, last: last.map(|error| error.kind()) }
            }
            Outcome::Rejected { attempts, reason } => Outcome::Rejected { attempts, reason: reason.kind() },
            Outcome::Mismatches { .. } => panic!("a connection answers nothing"),
        };
        (outcome, times.into_inner())
    }

    #[test]
    fn an_address_that_swallows_packets_leaves_time_to_the_next() {
        let (outcome, times) =
            try_addresses(4, async |port| if port == 2 { Ok(port) } else { pending().await });
        assert_eq!(outcome, Outcome::Success(2));
        assert_eq!(times, [0, 2500, 5000]);
    }

    #[test]
    fn the_last_address_has_all_the_time_that_is_left() {
        let (outcome, times) = try_addresses(2, async |port| match port {
            0 => Err(io::ErrorKind::ConnectionRefused.into()),
            _ => pending().await,
        });
        let last = Some(io::ErrorKind::ConnectionRefused);
        assert_eq!(outcome, Outcome::Deadline { attempts: 2, last });
        assert_eq!(times, [0, 0]);
    }

    #[test]
    fn the_last_refusal_is_told() {
        let (outcome, _) = try_addresses(3, async |port| {
            Err(if port == 2 { io::ErrorKind::HostUnreachable } else { io::ErrorKind::ConnectionRefused }
                .into())
        });
        assert_eq!(outcome, Outcome::Attempts { attempts: 3, last: Some(io::ErrorKind::HostUnreachable) });
    }

    #[test]
    fn a_name_with_very_many_addresses_is_not_tried_for_ever() {
        let (outcome, times) = try_addresses(1000, async |_| Err(io::ErrorKind::ConnectionRefused.into()));
        let last = Some(io::ErrorKind::ConnectionRefused);
        assert_eq!(outcome, Outcome::Attempts { attempts: MAX_ADDRESSES, last });
        assert_eq!(times.len(), MAX_ADDRESSES as usize);
    }

    #[test]
    fn a_name_without_an_address_is_refused_at_once() {
        let (outcome, times) = try_addresses(0, async |port| Ok(port));
        assert_eq!(outcome, Outcome::Rejected { attempts: 0, reason: io::ErrorKind::NotFound });
        assert!(times.is_empty());
    }
}
