//! A node's service, offered to plain programs of this machine.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use capnp::ErrorKind;
use capnp::capability::Client;
use futures::channel::mpsc;
use futures::future::{Either, LocalBoxFuture, Shared, select};
use futures::{FutureExt, StreamExt};
use vatmux_driver::{Handle, Instant, SessionEnd};
use vatmux_mux::{CloseCode, Priority};
use vatmux_rpc::{ConnectError, Peer, Remote, Vat, VatEnd};

use super::PlainLimits;
use super::link::{Places, PlainLink};
use crate::listen::{Accepted, WatchedListener};
use crate::{DialError, Dialer, Endpoint, Listener, NodeAddress};

/// How long a node that could not be reached is not dialed again, whoever connects.
const REDIAL_PAUSE: Duration = Duration::from_secs(1);

/// How many programs that came too many are told so at once; more are dropped without a word.
const REFUSALS: usize = 16;

/// How long programs have to hear that the bridge is down.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// After this long without a byte a TCP connection is probed, so that a machine that is gone is found out.
const PROBE_AFTER: Duration = Duration::from_mins(1);

/// One service of one node, reachable without vatmux. Clones are the same bridge.
///
/// The node is dialed once, and again when a program connects and the session has ended in between: never by itself.
#[derive(Clone)]
pub struct Bridge(Rc<Inner>);

struct Inner {
    dialer: Dialer,
    address: NodeAddress,
    service: String,
    priority: Priority,
    limits: PlainLimits,
    places: Places,
    refusals: Places,
    /// The last dial, under way or done.
    dial: RefCell<Shared<LocalBoxFuture<'static, Dialed>>>,
    /// The stream on which the service was seen to be there, for the first program.
    first: RefCell<Option<Remote<Client>>>,
    next_program: Cell<u64>,
}

/// What came of a dial, and when.
type Dialed = Result<Peer, (Rc<DialError>, Instant)>;

/// Done when the bridge is to end.
type Stop = Shared<LocalBoxFuture<'static, ()>>;

/// Why there is nothing to offer.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// There is no session with the node.
    #[error(transparent)]
    Dial(Rc<DialError>),
    /// The node does not allow this one.
    #[error("the node at {endpoint} does not allow this node")]
    NotAllowed {
        /// The node's.
        endpoint: Endpoint,
    },
    /// The service cannot be asked for.
    #[error("cannot reach a service of the node at {endpoint}: {error}")]
    Connect {
        /// The node's.
        endpoint: Endpoint,
        /// Why.
        error: ConnectError,
    },
    /// The service did not answer.
    #[error("the node at {endpoint} does not serve: {error}")]
    Service {
        /// The node's.
        endpoint: Endpoint,
        /// What it or the vat said.
        error: capnp::Error,
    },
    /// The system does not let us listen.
    #[error("the system refused what a bridge needs: {0}")]
    System(#[from] io::Error),
}

/// What a bridge tells its owner, as it happens. Programs are numbered from 1.
#[derive(Debug)]
pub enum BridgeEvent {
    /// A program has the service.
    Connected(u64),
    /// Its connection is over.
    Ended(u64, VatEnd),
    /// It was turned away, with these words.
    Refused(u64, String),
    /// A connection was dropped without a word: too many come at once.
    Dropped,
    /// The system refused to accept a connection; the bridge tries again shortly.
    AcceptFailed(io::Error),
}

impl fmt::Display for BridgeEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected(program) => write!(f, "program {program} connected"),
            Self::Ended(program, VatEnd::EndedByPeer) => write!(f, "program {program} left"),
            // Said by us to the program, and so it reads well as it is.
            Self::Ended(program, VatEnd::Closed(reason)) => {
                write!(f, "program {program} was let go: {reason}")
            }
            Self::Ended(program, end) => write!(f, "program {program} left: {end}"),
            Self::Refused(program, reason) => write!(f, "program {program} was turned away: {reason}"),
            Self::Dropped => f.write_str("a connection was dropped: too many come at once"),
            Self::AcceptFailed(error) => write!(f, "cannot accept a connection: {error}"),
        }
    }
}

impl Bridge {
    /// Dials the node and waits until its service has answered: what cannot work shows here. The path in the address
    /// plays no part.
    pub async fn open(
        dialer: Dialer,
        address: NodeAddress,
        service: &str,
        priority: Priority,
        limits: PlainLimits,
    ) -> Result<Self, BridgeError> {
        let dialer = dialer.vat_options(limits.vat.clone());
        let bridge = Self(Rc::new(Inner {
            dial: RefCell::new(dialing(&dialer, &address)),
            dialer,
            address,
            service: service.to_owned(),
            priority,
            places: Places::new(limits.max_connections),
            refusals: Places::new(REFUSALS),
            limits,
            first: RefCell::default(),
            next_program: Cell::new(1),
        }));
        let inner = &bridge.0;
        let peer = inner.peer().await.map_err(BridgeError::Dial)?;
        let endpoint = || inner.address.endpoint.clone();
        let remote = peer
            .connect_named::<Client>(service, priority)
            .map_err(|error| BridgeError::Connect { endpoint: endpoint(), error })?;
        if let Err(error) = answers(&remote).await {
            let not_allowed = Some(SessionEnd::ClosedByPeer(CloseCode::NOT_ALLOWED));
            return Err(if peer.session().end() == not_allowed {
                BridgeError::NotAllowed { endpoint: endpoint() }
            } else {
                BridgeError::Service { endpoint: endpoint(), error }
            });
        }
        *inner.first.borrow_mut() = Some(remote);
        Ok(bridge)
    }

    /// Serves whoever connects to `listeners` until `stop` is done, then tells everybody that it is over and takes
    /// leave of the node.
    pub async fn serve(
        &self,
        listeners: Vec<Listener>,
        on_event: impl Fn(BridgeEvent) + 'static,
        stop: impl Future<Output = ()> + 'static,
    ) -> Result<(), BridgeError> {
        let inner = &self.0;
        let (handle, on_event) = (inner.dialer.handle(), Rc::new(on_event));
        let stop = stop.boxed_local().shared();
        let (open, mut all_closed) = mpsc::channel(0);
        for listener in listeners {
            let listener = WatchedListener::new(inner.dialer.reactor(), listener)?;
            let (inner, on_event, open) = (inner.clone(), on_event.clone(), open.clone());
            let (stop, stopped) = (stop.clone(), stop.clone());
            let spawner = handle.clone();
            handle.spawn(async move {
                let failed = |error| on_event(BridgeEvent::AcceptFailed(error));
                let admit = |accepted| {
                    inner.admit(accepted, &open, stop.clone(), &on_event).unwrap_or_else(failed);
                };
                let accepting = listener.accept_all(&spawner, admit, failed);
                match select(pin!(accepting), stopped).await {
                    Either::Left((never, _)) => match never {},
                    Either::Right(((), _)) => {}
                }
            });
        }
        drop(open);
        stop.await;
        drop(inner.first.borrow_mut().take());
        // Where they do not listen, they need not hear.
        let _ = handle.timeout(LAST_WORDS, all_closed.next()).await;
        let dialed = inner.dial.borrow().peek().cloned();
        if let Some(Ok(peer)) = dialed {
            peer.close(CloseCode::DONE);
            peer.closed().await;
        }
        Ok(())
    }
}

/// Waits until whoever serves `client` has answered, by the vat's deadline at the latest.
///
/// There is no interface 0: a method of it is unknown to every server, and does nothing.
async fn answers(client: &Client) -> capnp::Result<()> {
    match client.hook.new_call(0, 0, None).send().promise.await {
        Ok(_) => Ok(()),
        Err(error) if error.kind == ErrorKind::Unimplemented => Ok(()),
        Err(error) => Err(error),
    }
}

fn dialing(dialer: &Dialer, address: &NodeAddress) -> Shared<LocalBoxFuture<'static, Dialed>> {
    let (dialer, address) = (dialer.clone(), address.clone());
    async move { dialer.dial(&address).await.map_err(|error| (Rc::new(error), dialer.handle().now())) }
        .boxed_local()
        .shared()
}

impl Inner {
    /// The node, dialed anew where the session is over.
    async fn peer(&self) -> Result<Peer, Rc<DialError>> {
        let dial = {
            let mut dial = self.dial.borrow_mut();
            let is_over = match dial.peek() {
                None => false,
                Some(Ok(peer)) => peer.session().end().is_some(),
                Some(Err((_, failed_at))) => self.handle().now() >= *failed_at + REDIAL_PAUSE,
            };
            if is_over {
                *dial = dialing(&self.dialer, &self.address);
            }
            dial.clone()
        };
        dial.await.map_err(|(error, _)| error)
    }

    fn handle(&self) -> &Handle {
        self.dialer.handle()
    }

    /// The service on a stream of its own.
    async fn remote(&self) -> Result<Remote<Client>, String> {
        let first = self.first.borrow_mut().take();
        if let Some(first) = first
            && first.vat().ended().is_none()
        {
            return Ok(first);
        }
        let peer = self.peer().await.map_err(|error| error.to_string())?;
        peer.connect_named(&self.service, self.priority).map_err(|error| error.to_string())
    }

    /// Gives a connection its place, and has it carried to its end.
    fn admit<E: Fn(BridgeEvent) + 'static>(
        self: &Rc<Self>,
        accepted: Accepted,
        open: &mpsc::Sender<Infallible>,
        stop: Stop,
        on_event: &Rc<E>,
    ) -> io::Result<()> {
        let program = self.next_program.get();
        self.next_program.set(program + 1);
        let welcome = self.places.take().map(|place| (place, true));
        let Some((place, is_welcome)) = welcome.or_else(|| self.refusals.take().map(|place| (place, false)))
        else {
            on_event(BridgeEvent::Dropped);
            return Ok(());
        };
        probe_when_silent(&accepted);
        let link = accepted.into_link(self.dialer.reactor())?;
        let link = PlainLink::new(link, self.handle(), place, Some(open.clone()));
        if is_welcome {
            self.handle().spawn(self.clone().carry(program, link, stop, on_event.clone()));
        } else {
            let most = self.limits.max_connections;
            let reason = format!("the bridge has {most} users, and no more are let in; try again later");
            self.turn_away(link, &reason);
            on_event(BridgeEvent::Refused(program, reason));
        }
        Ok(())
    }

    /// Says why, and listens for no longer than it takes to be heard.
    fn turn_away(&self, link: PlainLink, reason: &str) {
        let nothing = capnp_rpc::new_broken_cap(capnp::Error::disconnected(reason.to_owned()));
        Vat::serve(link, &self.service, Client::new(nothing.hook), self.handle(), &self.limits.vat)
            .close(reason);
    }

    async fn carry<E: Fn(BridgeEvent)>(
        self: Rc<Self>,
        program: u64,
        link: PlainLink,
        stop: Stop,
        on_event: Rc<E>,
    ) {
        let remote = match self.remote().await {
            Ok(remote) => remote,
            Err(reason) => {
                self.turn_away(link, &reason);
                return on_event(BridgeEvent::Refused(program, reason));
            }
        };
        let traffic = link.traffic();
        let vat = Vat::serve(link, &self.service, (*remote).clone(), self.handle(), &self.limits.vat);
        on_event(BridgeEvent::Connected(program));
        let lost = async {
            let end = remote.vat().wait_for_end().await;
            format!("{end} (the node at {})", self.address.endpoint)
        };
        let silent = traffic.silence(self.handle(), &self.limits);
        let let_go = async {
            match select(select(pin!(lost), pin!(silent)), stop).await {
                Either::Left((reason, _)) => reason.factor_first().0,
                Either::Right(((), _)) => "the bridge is shut down".to_owned(),
            }
        };
        let over = async {
            match select(pin!(vat.wait_for_end()), pin!(let_go)).await {
                Either::Left((end, _)) => end,
                Either::Right((reason, _)) => {
                    vat.close(&reason);
                    vat.wait_for_end().await
                }
            }
        };
        let end = over.await;
        drop(remote);
        on_event(BridgeEvent::Ended(program, end));
    }
}

fn probe_when_silent(accepted: &Accepted) {
    if let Accepted::Tcp(stream) = accepted {
        let probes = socket2::TcpKeepalive::new().with_time(PROBE_AFTER);
        // A connection that cannot be probed is found out when something is sent.
        let _ = socket2::SockRef::from(stream).set_tcp_keepalive(&probes);
    }
}
