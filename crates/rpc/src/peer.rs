//! A node that we have a session with: what it offers us, and what it gets of ours.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use capnp::capability::FromClientHook;
use vatmux_driver::{Incoming, OpenError, Session, SessionEnd};
use vatmux_mux::{CloseCode, NameError, Priority, ResetCode, StreamName};
use vatmux_noise::NodeId;

use crate::guard::Account;
use crate::service::{Capability, Connection, Described, Descriptor, Service};
use crate::sight::PeerSight;
use crate::{Options, PeerStatistics, Remote, Services, Vat};

/// The node at the other end of a session, whose key the handshake has proved. Clones are the same session.
///
/// When the last clone and the last stream are gone, the session closes by itself.
#[derive(Clone)]
pub struct Peer {
    session: Session,
    options: Rc<Options>,
    sight: Rc<PeerSight>,
    /// What the peer has under way, over all vats of all its sessions.
    account: Account,
}

/// Why a service of the peer cannot be reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// No service can have this name.
    #[error("{name:?} cannot name a service: {reason}")]
    Name {
        /// What was asked for.
        name: String,
        /// What is wrong with it.
        reason: NameError,
    },
    /// The session has no stream for it.
    #[error("no stream for service {service}: {reason}")]
    Open {
        /// What was asked for.
        service: String,
        /// Why there is none, and whether there may be one later.
        reason: OpenError,
    },
}

impl Peer {
    /// Makes a session into a peer that is offered `services`: their streams are answered from now on, for as
    /// long as the session lasts.
    #[must_use]
    pub fn new(session: Session, services: Rc<Services>, options: Options) -> Self {
        let options = Rc::new(options);
        session.set_exclusive_names(&services.exclusive_for(&session.peer()));
        let mut incoming = session.incoming();
        let sight = Rc::new(PeerSight::new(&session, services.meters().clone()));
        let (accepted_with, watched_by) = (options.clone(), sight.clone());
        let account = options.accounts.of(session.peer());
        let shared_account = account.clone();
        let served = Rc::new(Cell::new(0));
        session.handle().spawn(async move {
            // It does not keep the session open: whoever is called does, by the stream.
            while let Some(stream) = incoming.next().await {
                accept(stream, &services, &accepted_with, &shared_account, &served, &watched_by);
            }
            watched_by.ended(incoming.end().as_ref());
        });
        Self { session, options, sight, account }
    }

    /// Who the peer is. Nothing else says so: no field of any message.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.session.peer()
    }

    /// A client of a service of the peer, on a stream of its own, which ends with the last stub that came through it.
    ///
    /// What it is called and how urgent it is, the service's schema says. It costs no round trip: where the peer offers no
    /// such service, or one of another schema, the first call says so.
    pub fn connect<S: Service>(&self) -> Result<S, ConnectError> {
        self.connect_at(S::DESCRIPTOR.priority)
    }

    /// As [`connect`](Self::connect), at another priority: one that is more urgent than the schema's, the peer refuses.
    pub fn connect_at<S: Service>(&self, priority: Priority) -> Result<S, ConnectError> {
        let descriptor = S::DESCRIPTOR;
        let remote = self.open(descriptor.name, priority, Some(descriptor))?;
        Ok(S::of(Capability::bootstrap(Connection::new(remote, descriptor))))
    }

    /// Asks for a service of the peer, on a new stream and as a vat of its own.
    ///
    /// It costs no round trip: the stream, the request for the service's capability and the first calls leave
    /// together. Where the peer offers no such service, those calls fail and say so.
    pub fn connect_named<C: FromClientHook>(
        &self,
        service: &str,
        priority: Priority,
    ) -> Result<Remote<C>, ConnectError> {
        self.open(service, priority, None)
    }

    fn open<C: FromClientHook>(
        &self,
        service: &str,
        priority: Priority,
        descriptor: Option<&'static Descriptor>,
    ) -> Result<Remote<C>, ConnectError> {
        let name = StreamName::new(service)
            .map_err(|reason| ConnectError::Name { name: service.to_owned(), reason })?;
        let stream = self
            .session
            .open(&name, priority)
            .map_err(|reason| ConnectError::Open { service: name.to_string(), reason })?;
        let id = stream.id();
        let sight = self.sight.of_vat(&stream, service, priority, true, descriptor);
        let bounds = descriptor.map(|descriptor| descriptor.bounds(&self.options));
        let bounds = bounds.as_ref().unwrap_or(&self.options);
        let remote: Remote<C> = Vat::connect_lent(stream, bounds, sight);
        remote.vat().shared().join(&self.account);
        self.sight.watch(id, priority, true, remote.vat().shared());
        Ok(remote)
    }

    /// The bounds of each vat.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// The session itself.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// What was counted in this session, and what it holds now.
    #[must_use]
    pub fn statistics(&self) -> PeerStatistics {
        self.sight.statistics(&self.session)
    }

    /// Ends the session with a reason for the peer. All its vats end, in both directions.
    pub fn close(&self, code: CloseCode) {
        self.session.close(code);
    }

    /// Waits until the session is over and its last bytes left, or could not.
    pub async fn closed(&self) -> SessionEnd {
        self.session.closed().await
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Peer").field(&self.node_id()).finish()
    }
}

fn accept(
    incoming: Incoming,
    services: &Services,
    options: &Rc<Options>,
    account: &Account,
    served: &Rc<Cell<usize>>,
    sight: &Rc<PeerSight>,
) {
    let refuse = |incoming: Incoming, code| {
        sight.refused(incoming.name().as_str(), code);
        incoming.refuse(code);
    };
    let Some(offered) = services.find(incoming.name()) else {
        return refuse(incoming, ResetCode::NO_SUCH_SERVICE);
    };
    // Denied looks like absent: nothing of the service, its priority neither, is looked at before.
    if !services.permits(&sight.node_id(), incoming.name()) {
        sight.denied(incoming.name().as_str());
        return refuse(incoming, ResetCode::NO_SUCH_SERVICE);
    }
    if incoming.priority() < offered.priority {
        return refuse(incoming, ResetCode::NOT_ALLOWED);
    }
    if served.get() >= options.max_served_vats {
        return refuse(incoming, ResetCode::OVERLOADED);
    }
    let (service, priority) = (incoming.name().clone(), incoming.priority());
    let stream = incoming.accept();
    let session = stream.session().clone();
    let peer = Peer { session, options: options.clone(), sight: sight.clone(), account: account.clone() };
    let mut bootstrap = (offered.factory)(&peer);
    if let Some(descriptor) = offered.descriptor {
        bootstrap = Described::client(bootstrap, descriptor);
    }
    let handle = peer.session.handle().clone();
    drop(peer);
    let id = stream.id();
    let vat_sight = sight.of_vat(&stream, service.as_str(), priority, false, offered.descriptor);
    let bounds = offered.bounds(options);
    let vat = Vat::serve_lent(stream, bootstrap, bounds.as_ref().unwrap_or(options), vat_sight);
    vat.shared().join(account);
    sight.watch(id, priority, false, vat.shared());
    served.set(served.get() + 1);
    let served = served.clone();
    handle.spawn(async move {
        vat.wait_for_end().await;
        served.set(served.get() - 1);
    });
}
