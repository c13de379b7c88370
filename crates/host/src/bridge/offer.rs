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
use vatmux_driver::{Handle, SessionEnd};
use vatmux_mux::{CloseCode, Priority};
use vatmux_rpc::{ConnectError, GivenUp, PeerState, Remote, Vat, VatEnd};

use super::PlainLimits;
use super::link::{Places, PlainLink};
use crate::listen::{Accepted, WatchedListener};
use crate::{DialError, Dialer, Endpoint, Listener, NodeAddress, ReconnectingPeer};

/// How many programs that came too many are told so at once; more are dropped without a word.
const REFUSALS: usize = 16;

/// How long programs have to hear that the bridge is down.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What programs are told then.
const SHUT_DOWN: &str = "the bridge is shut down";

/// After this long without a byte a TCP connection is probed, so that a machine that is gone is found out.
const PROBE_AFTER: Duration = Duration::from_mins(1);

/// One service of one node, reachable without vatmux. Clones are the same bridge.
///
/// The node is dialed once, and again when its session is lost, as [`PlainLimits::reconnect`] says: with growing pauses, and not
/// for ever. Once it was given up, the next program that connects has it dialed anew.
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
    node: ReconnectingPeer,
    /// The stream on which the service was seen to be there, for the first program.
    first: RefCell<Option<Remote<Client>>>,
    next_program: Cell<u64>,
}

/// Done when the bridge is to end.
type Stop = Shared<LocalBoxFuture<'static, ()>>;

/// Why there is nothing to offer.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// There is no session with the node.
    #[error(transparent)]
    Dial(#[from] DialError),
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
        // Once, and not as often as a node is dialed that was there before: what is wrong with the address is told at once.
        let peer = dialer.dial(&address).await?;
        let endpoint = || address.endpoint.clone();
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
        let node = dialer.reconnecting_from(peer, &address, limits.reconnect.clone());
        // From here on its session is watched. Where that is lost already, the first program hears of it.
        let _ = node.session().await;
        Ok(Self(Rc::new(Inner {
            node,
            dialer,
            address,
            service: service.to_owned(),
            priority,
            places: Places::new(limits.max_connections),
            refusals: Places::new(REFUSALS),
            limits,
            first: RefCell::new(Some(remote)),
            next_program: Cell::new(1),
        })))
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
        // Where they do not listen, they need not hear.
        let _ = handle.timeout(LAST_WORDS, all_closed.next()).await;
        inner.leave().await;
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

impl Inner {
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
        // What cannot be mended by dialing may have been mended by somebody: the pauses between dials are the same.
        if matches!(self.node.state(), PeerState::GivenUp(GivenUp::Rejected { .. })) {
            self.node.start_over();
        }
        let remote = self.node.connect_named(&self.service, self.priority).await;
        remote.map_err(|error| format!("{error} (the node at {})", self.address.endpoint))
    }

    /// Takes leave of the node, if there is a session with it, and dials it no more.
    async fn leave(&self) {
        let session = match self.node.state() {
            PeerState::Connected { .. } => self.node.session().await.ok(),
            _ => None,
        };
        self.node.close(CloseCode::DONE);
        if let Some((peer, _)) = session {
            peer.closed().await;
        }
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
        let remote = match select(pin!(self.remote()), stop.clone()).await {
            Either::Left((remote, _)) => remote,
            Either::Right(((), _)) => Err(SHUT_DOWN.to_owned()),
        };
        let remote = match remote {
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
                Either::Right(((), _)) => SHUT_DOWN.to_owned(),
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
