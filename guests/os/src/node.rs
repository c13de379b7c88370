//! The node: whom it lets in, whom it dials, and what a session may take.

use std::cell::{RefCell, RefMut};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use vatmux::packagefs;
use vatmux_driver::{Handle, HandshakeFailure, Link, Session, SessionOptions, pipe};
use vatmux_liveness::{Attempted, Jitter};
use vatmux_mux::{CloseCode, Limits, StaticStorage};
use vatmux_noise::{AllowList, NodeId, SecretKey};
use vatmux_os_disk::Dial;
use vatmux_rpc::{Options, Outcome, Peer, ReconnectOptions, ReconnectingPeer, Services};

use crate::devices::disk::fresh_entropy;
use crate::devices::entropy;
use crate::machine::heap;
use crate::machine::lone::Lone;
use crate::network::{Listener, Networks};
use crate::shortage::Shortage;

/// Streams of one session, half of them the peer's.
const STREAMS: usize = 16;
const RING_BYTES: usize = 64 * 1024;

/// The most sessions at once, links in their handshake included. Their streams' rings are 2 MiB each and part of the image's
/// memory from the start: the multiplexer has no heap.
const SESSIONS: usize = 4;

/// Where a node that is alone can be dialed, by itself.
pub(crate) const ITSELF_PORT: u16 = 1;

/// How long the memory of a session that was sent away may take to come back, before the next one is.
const RELIEF: Duration = Duration::from_millis(100);

/// What a call of a peer's holds at least, by docs/spec/rpc-limits.md.
const CALL_BYTES: usize = 2_720;

/// How long reaching a node may take, and then its handshake, each.
const HANDSHAKE: Duration = Duration::from_secs(10);

type Rings = StaticStorage<STREAMS, RING_BYTES>;

static RINGS: Lone<[RefCell<Rings>; SESSIONS]> = Lone::new([const { RefCell::new(Rings::new()) }; SESSIONS]);

/// Room for one session, which comes back with its end.
fn rings() -> Option<RefMut<'static, Rings>> {
    let mut rings = RINGS.iter().find_map(|rings| rings.try_borrow_mut().ok())?;
    rings.clear();
    Some(rings)
}

/// A node on this machine. Clones are the same.
#[derive(Clone)]
pub(crate) struct Node {
    handle: Handle,
    road: Road,
    key: Rc<SecretKey>,
    services: Rc<Services>,
    vats: Options,
    shortage: Shortage,
    /// Who dialed this node and is here.
    guests: Rc<RefCell<Vec<Peer>>>,
}

/// By what it reaches others.
#[derive(Clone)]
pub(crate) enum Road {
    /// The networks that it is in.
    Networks(Networks),
    /// Nothing: it is alone, and reaches itself through a pipe.
    Itself,
}

/// Why there is no session with a node that was dialed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("cannot connect: {0}")]
    Connect(#[from] io::Error),
    #[error("it did not answer within {0:?}")]
    Silent(Duration),
    #[error("no session: {0}")]
    Handshake(#[from] HandshakeFailure),
    #[error("{SESSIONS} sessions are open, as many as there is memory for")]
    NoRoom,
}

/// What a session may use. Windows are fixed: a ring is as long as it is.
pub(crate) fn session_options() -> SessionOptions {
    let limits = Limits {
        max_incoming_streams: STREAMS as u32 / 2,
        max_outgoing_streams: STREAMS as u32 / 2,
        max_unaccepted_streams: STREAMS as u32 / 2,
        ..Limits::FIXED
    };
    // X25519 takes its time on a machine that is played by another one.
    SessionOptions { limits, handshake_deadline: HANDSHAKE, ..SessionOptions::default() }
}

/// What a vat may use. A peer that is allowed here and fills every bound costs 7 MiB: its calls 0.75 MiB twice, and for each of
/// its eight vats a queue of 320 KiB, a message of 192 KiB that is arriving and one that is held back. The heap has room for one
/// such peer beside everything else, and not for four: then [`Shortage`] has who holds the most sent away.
fn vat_options() -> Options {
    Options {
        max_message_bytes: 192 * 1024,
        stream_window_bytes: 128 * 1024,
        send_queue_soft_bytes: 64 * 1024,
        send_queue_hard_bytes: 320 * 1024,
        max_expired_calls: 64,
        max_canceled_calls: 1024,
        max_served_vats: STREAMS / 2,
        limits: vatmux_rpc::Limits {
            max_calls: 64,
            max_held_bytes: 768 * 1024,
            max_peer_calls: 128,
            max_peer_held_bytes: 768 * 1024,
            max_bootstraps: 8,
            max_pipeline_depth: 8,
            max_capabilities_per_message: 64,
            max_exports: 256,
            max_imports: 256,
            max_embargoes: 32,
            ..vatmux_rpc::Limits::default()
        },
        ..Options::default()
    }
}

impl Node {
    /// A node that reaches others by `road`, and sends guests away when `shortage` says so.
    pub(crate) fn new(
        handle: Handle,
        road: Road,
        key: SecretKey,
        services: Services,
        shortage: Shortage,
    ) -> Self {
        let (key, services, guests) = (Rc::new(key), Rc::new(services), Rc::default());
        let node = Self { handle, road, key, services, vats: vat_options(), shortage, guests };
        let relieved = node.clone();
        node.handle.spawn(async move { relieved.relieve().await });
        node
    }

    pub(crate) fn id(&self) -> NodeId {
        self.key.node_id()
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Accepts whoever is on `allow`, for ever.
    pub(crate) fn serve(&self, mut listener: Listener, allow: Rc<AllowList>) {
        let node = self.clone();
        self.handle.spawn(async move {
            loop {
                let link = listener.accept().await;
                node.admit(link, allow.clone());
                listener.refill();
            }
        });
    }

    /// Shakes hands with whoever is at the other end of `link`, and serves them if they are on `allow`.
    fn admit(&self, link: impl Link + 'static, allow: Rc<AllowList>) {
        if self.shortage.is_now() {
            println!("vatmux-os: turned a caller away: memory is short");
            return;
        }
        let Some(rings) = rings() else {
            println!("vatmux-os: turned a caller away: {}", DialError::NoRoom);
            return;
        };
        let node = self.clone();
        self.handle.spawn(async move {
            let (entropy, options) = (fresh_entropy(), session_options());
            let session =
                vatmux_driver::accept(&node.handle, link, &node.key, &allow, entropy, rings, options);
            match session.await {
                Ok(session) => {
                    let peer = node.peer(session);
                    println!("vatmux-os: {} is here", peer.node_id());
                    node.guests.borrow_mut().push(peer.clone());
                    node.see_off(peer).await;
                }
                Err(failure) => println!("vatmux-os: turned a caller away: {failure}"),
            }
        });
    }

    /// Sends guests away while memory is short, beginning with the one for whom most is held.
    async fn relieve(&self) {
        loop {
            self.shortage.comes().await;
            while self.shortage.is_now()
                && let Some(guest) = self.heaviest_guest()
            {
                let (free_kib, held) = (heap::free_bytes() / 1024, held_bytes(&guest));
                let id = guest.node_id();
                println!(
                    "vatmux-os: memory is short ({free_kib} KiB free): {id} has to leave ({held} bytes held)"
                );
                guest.close(CloseCode::OVERLOADED);
                self.handle.sleep(RELIEF).await;
            }
            // With nobody left to send away, whoever comes is turned away until there is more.
            self.shortage.passes().await;
            println!("vatmux-os: memory is no longer short ({} KiB free)", heap::free_bytes() / 1024);
        }
    }

    /// The guest for whom most is held, who is one no longer.
    fn heaviest_guest(&self) -> Option<Peer> {
        let mut guests = self.guests.borrow_mut();
        let (heaviest, _) = guests.iter().enumerate().max_by_key(|(_, guest)| held_bytes(guest))?;
        Some(guests.swap_remove(heaviest))
    }

    /// Waits for the end of a session, and tells of what was served in it.
    async fn see_off(&self, peer: Peer) {
        let end = peer.closed().await;
        self.guests.borrow_mut().retain(|guest| guest.session().end().is_none());
        for service in peer.statistics().services {
            let served = service.served.ended(Outcome::Ok);
            if service.service == packagefs::SERVICE_NAME && served > 0 {
                println!("dsoftbusd: remote packagefs served (calls={served} peer={})", peer.node_id());
            }
        }
        println!("vatmux-os: {} left: {end}", peer.node_id());
    }

    /// Calls a node, once, within `within`.
    pub(crate) async fn dial(&self, dial: &Dial, within: Duration) -> Result<Peer, DialError> {
        let session = match &self.road {
            Road::Networks(networks) => {
                let connected = self.handle.timeout(within, networks.connect(dial.address, dial.port)).await;
                self.shake_hands(connected.map_err(|_| DialError::Silent(within))??, dial.node).await?
            }
            Road::Itself if dial.port == ITSELF_PORT => {
                let (near, far) = pipe(RING_BYTES);
                self.admit(far, Rc::new([self.id()].into_iter().collect()));
                self.shake_hands(near, dial.node).await?
            }
            Road::Itself => return Err(io::Error::from(io::ErrorKind::ConnectionRefused).into()),
        };
        Ok(self.peer(session))
    }

    async fn shake_hands(&self, link: impl Link + 'static, node: NodeId) -> Result<Session, DialError> {
        let rings = rings().ok_or(DialError::NoRoom)?;
        let (entropy, options) = (fresh_entropy(), session_options());
        Ok(vatmux_driver::dial(&self.handle, link, &self.key, node, entropy, rings, options).await?)
    }

    /// A node over all the sessions that there will be with it.
    pub(crate) fn reconnecting(&self, dial: Dial) -> ReconnectingPeer<DialError> {
        let node = self.clone();
        let again = move |within: Duration| {
            let node = node.clone();
            async move {
                match node.dial(&dial, within.min(HANDSHAKE)).await {
                    Ok(peer) => Attempted::Success(peer),
                    Err(error @ DialError::Handshake(HandshakeFailure::NotAllowed(_))) => {
                        Attempted::Rejected(error)
                    }
                    Err(error) => Attempted::Failed(error),
                }
            }
        };
        ReconnectingPeer::new(&self.handle, ReconnectOptions::default(), jitter, again)
    }

    fn peer(&self, session: Session) -> Peer {
        Peer::new(session, self.services.clone(), self.vats.clone())
    }
}

/// What this node holds for a peer, as far as it is known by the byte.
fn held_bytes(peer: &Peer) -> usize {
    let streams = peer.statistics().streams;
    streams.iter().map(|stream| stream.queued_bytes + stream.calls_served * CALL_BYTES).sum()
}

/// A random number for a pause.
pub(crate) fn jitter() -> Jitter {
    let mut bytes = [0; 4];
    entropy::fill(&mut bytes);
    Jitter::new(u32::from_ne_bytes(bytes))
}
