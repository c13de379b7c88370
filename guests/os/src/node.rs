//! The node: whom it lets in, whom it dials, and what a session may take.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use std::cell::RefMut;

use vatmux::packagefs;
use vatmux_driver::{Handle, HandshakeFailure, SessionOptions};
use vatmux_liveness::{Attempted, Jitter};
use vatmux_mux::{Limits, StaticStorage};
use vatmux_noise::{AllowList, SecretKey};
use vatmux_os_disk::Dial;
use vatmux_rpc::{Options, Outcome, Peer, ReconnectOptions, ReconnectingPeer, Services};

use crate::devices::disk::fresh_entropy;
use crate::devices::entropy;
use crate::machine::lone::Lone;
use crate::network::{Listener, Network};

/// Streams of one session, half of them the peer's.
const STREAMS: usize = 16;
const RING_BYTES: usize = 64 * 1024;

/// The most sessions at once, links in their handshake included. Their streams' rings are 2 MiB each and part of the image's
/// memory from the start: the multiplexer has no heap.
const SESSIONS: usize = 4;

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
    network: Network,
    key: Rc<SecretKey>,
    services: Rc<Services>,
    vats: Options,
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
/// such peer beside everything else, and not for four.
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
    pub(crate) fn new(handle: Handle, network: Network, key: SecretKey, services: Services) -> Self {
        Self { handle, network, key: Rc::new(key), services: Rc::new(services), vats: vat_options() }
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Accepts whoever is on `allow`, for ever.
    pub(crate) fn serve(&self, mut listener: Listener, allow: AllowList) {
        let node = self.clone();
        let allow = Rc::new(allow);
        self.handle.spawn(async move {
            loop {
                let link = listener.accept().await;
                let Some(rings) = rings() else {
                    println!("vatmux-os: turned a caller away: {}", DialError::NoRoom);
                    continue;
                };
                let (accepting, allow) = (node.clone(), allow.clone());
                node.handle.spawn(async move {
                    let session = vatmux_driver::accept(
                        &accepting.handle,
                        link,
                        &accepting.key,
                        &allow,
                        fresh_entropy(),
                        rings,
                        session_options(),
                    );
                    match session.await {
                        Ok(session) => {
                            let peer = accepting.peer(session);
                            println!("vatmux-os: {} is here", peer.node_id());
                            accepting.see_off(peer).await;
                        }
                        Err(failure) => println!("vatmux-os: turned a caller away: {failure}"),
                    }
                });
                listener.refill();
            }
        });
    }

    /// Waits for the end of a session, and tells of what was served in it.
    async fn see_off(&self, peer: Peer) {
        let end = peer.closed().await;
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
        let connected = self.handle.timeout(within, self.network.connect(dial.address, dial.port)).await;
        let link = connected.map_err(|_| DialError::Silent(within))??;
        let rings = rings().ok_or(DialError::NoRoom)?;
        let entropy = fresh_entropy();
        let options = session_options();
        let session =
            vatmux_driver::dial(&self.handle, link, &self.key, dial.node, entropy, rings, options).await?;
        Ok(self.peer(session))
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

    fn peer(&self, session: vatmux_driver::Session) -> Peer {
        Peer::new(session, self.services.clone(), self.vats.clone())
    }
}

/// A random number for a pause.
pub(crate) fn jitter() -> Jitter {
    let mut bytes = [0; 4];
    entropy::fill(&mut bytes);
    Jitter::new(u32::from_ne_bytes(bytes))
}
