//! A caller, and a node that can be killed, started again, and told how to treat whoever dials it.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use capnp::capability::{Client, FromClientHook};
use futures::FutureExt;
use futures::future::{AbortHandle, abortable, select};
use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use vatmux_driver::virtual_time::VirtualClock;
use vatmux_driver::{
    Clock, Driver, Handle, HandshakeFailure, Instant, PipeEnd, SessionOptions, accept, dial, pipe,
    virtual_time,
};
use vatmux_liveness::{AttemptBudget, Attempted, Backoff, Jitter, MismatchBudget, RedialLimits, RetryLimits};
use vatmux_mux::{CloseCode, HeapStorage, Priority};
use vatmux_noise::{AllowList, Entropy, SecretKey};
use vatmux_rpc::{Options, Peer, ReconnectOptions, ReconnectingPeer, ServiceOfPeer, Services};

use crate::common::{ProbeServer, Seen, probe};

pub(crate) const MILLISECOND: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// What a dial meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// A node that serves.
    Open,
    /// Nobody.
    Closed,
    /// Somebody who says nothing.
    Silent,
    /// A node that hangs up as soon as there is a session.
    HangsUp,
    /// A node whose list the caller is not on.
    NotOnTheList,
    /// A node with another key, as the dialer found out.
    Stranger,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("nobody answers")]
    Nobody,
    #[error("another node answers")]
    Stranger,
    #[error("{0}")]
    Handshake(#[from] HandshakeFailure),
}

/// The node and the way there.
pub(crate) struct Far {
    handle: Handle,
    pub(crate) door: Cell<Door>,
    /// How long each piece of up to 8 KiB takes on links that are made from now on.
    pub(crate) delay: Cell<Duration>,
    /// When it was dialed, in milliseconds.
    pub(crate) dials: RefCell<Vec<u64>>,
    /// Its side of every session, for as long as that lasts.
    pub(crate) peers: RefCell<Vec<Peer>>,
    links: RefCell<Vec<AbortHandle>>,
    pub(crate) seen: Rc<Seen>,
    services: Rc<Services>,
    entropy: Cell<u8>,
}

pub(crate) struct World {
    pub(crate) driver: Driver,
    pub(crate) handle: Handle,
    pub(crate) clock: VirtualClock,
    pub(crate) far: Rc<Far>,
    pub(crate) peer: ReconnectingPeer<DialError>,
}

/// Four attempts within ten seconds, with pauses of 100, 200 and 400 ms; a session is settled after five seconds.
pub(crate) fn limits() -> RedialLimits {
    RedialLimits {
        outage: RetryLimits {
            within: SECOND * 10,
            attempts: AttemptBudget::new(4).unwrap(),
            mismatches: MismatchBudget::ZERO,
            backoff: Backoff::new(MILLISECOND * 100, MILLISECOND * 800).unwrap(),
        },
        settled_after: SECOND * 5,
    }
}

fn key(number: u8) -> SecretKey {
    SecretKey::generate(Entropy::from_bytes([number; 32]).unwrap())
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(limits(), || Jitter::MOST)
    }

    pub(crate) fn with(limits: RedialLimits, jitter: impl FnMut() -> Jitter + 'static) -> Self {
        let (driver, clock) = virtual_time::driver();
        let handle = driver.handle();
        let seen = Rc::new(Seen::default());
        let mut services = Services::default();
        let (served, on) = (seen.clone(), handle.clone());
        let offer = move |_: &Peer| {
            let client: probe::Client = capnp_rpc::new_client(ProbeServer::new(&served, &on));
            Client::new(client.into_client_hook())
        };
        services.serve_named("probe", Priority::default(), offer).unwrap();
        let far = Rc::new(Far {
            handle: handle.clone(),
            door: Cell::new(Door::Open),
            delay: Cell::default(),
            dials: RefCell::default(),
            peers: RefCell::default(),
            links: RefCell::default(),
            seen,
            services: Rc::new(services),
            entropy: Cell::new(10),
        });
        let dialed = far.clone();
        let options = ReconnectOptions { limits, ..ReconnectOptions::default() };
        let peer = ReconnectingPeer::new(&handle, options, jitter, move |_| {
            let far = dialed.clone();
            async move { far.dial().await }
        });
        Self { driver, handle, clock, far, peer }
    }

    pub(crate) fn run<F: Future>(&mut self, future: F) -> F::Output {
        self.driver.drive_until(future).expect("virtual time goes on")
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        self.run(self.handle.clone().sleep(time));
    }

    pub(crate) fn probe(&self) -> ServiceOfPeer<probe::Client, DialError> {
        self.peer.service("probe", Priority::default())
    }

    /// Since the beginning.
    pub(crate) fn now(&self) -> Duration {
        self.clock.now() - Instant::ORIGIN
    }
}

impl Far {
    /// Ends every link without a word, as the death of a process does.
    pub(crate) fn kill(&self) {
        for link in self.links.borrow_mut().drain(..) {
            link.abort();
        }
    }

    fn entropy(&self) -> Entropy {
        self.entropy.set(self.entropy.get().wrapping_add(1));
        Entropy::from_bytes([self.entropy.get().max(1); 32]).unwrap()
    }

    async fn dial(self: Rc<Self>) -> Attempted<Peer, DialError> {
        self.dials.borrow_mut().push((self.handle.now() - Instant::ORIGIN).as_millis() as u64);
        match self.door.get() {
            Door::Closed => return Attempted::Failed(DialError::Nobody),
            Door::Silent => return pending().await,
            Door::Stranger => return Attempted::Rejected(DialError::Stranger),
            Door::Open | Door::HangsUp | Door::NotOnTheList => {}
        }
        let (near, far) = self.link();
        self.handle.spawn(self.clone().answer(far));
        let (ours, theirs) = (key(1), key(2).node_id());
        let dialed = dial(
            &self.handle,
            near,
            &ours,
            theirs,
            self.entropy(),
            HeapStorage::default(),
            SessionOptions::default(),
        );
        match dialed.await {
            Ok(session) => Attempted::Success(Peer::new(session, Rc::default(), Options::default())),
            Err(failure) => Attempted::Failed(failure.into()),
        }
    }

    /// A link that can be cut.
    fn link(&self) -> (PipeEnd, PipeEnd) {
        let (near, near_end) = pipe(1 << 17);
        let (far_end, far) = pipe(1 << 17);
        let (handle, delay) = (self.handle.clone(), self.delay.get());
        let (carried, cut) = abortable(async move {
            let ((from_near, mut to_near), (from_far, mut to_far)) = (near_end.split(), far_end.split());
            let there = carry(from_near, &mut to_far, &handle, delay).boxed_local();
            let back = carry(from_far, &mut to_near, &handle, delay).boxed_local();
            // One side that has hung up is the end of it.
            let _ = select(there, back).await;
        });
        self.handle.spawn(carried.map(drop));
        self.links.borrow_mut().retain(|link| !link.is_aborted());
        self.links.borrow_mut().push(cut);
        (near, far)
    }

    async fn answer(self: Rc<Self>, link: PipeEnd) {
        let allow = match self.door.get() {
            Door::NotOnTheList => AllowList::from_iter([]),
            _ => AllowList::Anyone,
        };
        let ours = key(2);
        let accepted = accept(
            &self.handle,
            link,
            &ours,
            &allow,
            self.entropy(),
            HeapStorage::default(),
            SessionOptions::default(),
        );
        let Ok(session) = accepted.await else { return };
        if self.door.get() == Door::HangsUp {
            session.close(CloseCode::GOING_AWAY);
            return;
        }
        let peer = Peer::new(session, self.services.clone(), Options::default());
        self.peers.borrow_mut().push(peer.clone());
        peer.closed().await;
        self.peers.borrow_mut().retain(|other| other.session().end().is_none());
    }
}

/// Moves bytes for as long as both sides have the link.
async fn carry(
    mut from: impl AsyncRead + Unpin,
    to: &mut (impl AsyncWrite + Unpin),
    handle: &Handle,
    delay: Duration,
) -> std::io::Result<()> {
    let mut piece = [0; 8 << 10];
    loop {
        let read = from.read(&mut piece).await?;
        if read == 0 {
            return Ok(());
        }
        if !delay.is_zero() {
            handle.sleep(delay).await;
        }
        to.write_all(&piece[..read]).await?;
    }
}
