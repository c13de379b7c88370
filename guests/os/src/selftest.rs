//! The image tests itself with each node that it dials. A marker is printed after what it says has happened, and been checked;
//! what fails prints why, and no marker.

mod bulk;
mod files;
mod liveness;
mod registry;
mod state;

use std::cell::Cell;
use std::fmt::Display;
use std::rc::Rc;
use std::time::Duration;

use futures::future::join_all;
use vatmux::schema::bundlemgr::BundleMgr;
use vatmux::schema::health::Health;
use vatmux_driver::{Handle, Instant};
use vatmux_os_disk::{Dial, Kind};
use vatmux_rpc::{Peer, ReconnectingPeer};

use crate::node::{DialError, Node};

/// What a test found wrong.
type Complaint = String;

/// How often the node is pinged meanwhile.
const PING_PAUSE: Duration = Duration::from_millis(5);

/// How long a node that was there is dialed again.
const OUTAGE: Duration = Duration::from_mins(5);

/// How long a node may take to be there, when it is being started as well.
const PATIENCE: Duration = Duration::from_secs(40);

/// Tests with all nodes at once, and gives them back for whoever wants to go on with them. Fails with the number of tests that
/// did.
pub(crate) async fn run(node: &Node, dials: &[Dial]) -> Result<Vec<Known>, usize> {
    let tested = join_all(dials.iter().map(|dial| with(node, *dial))).await;
    let failures = tested.iter().map(|(_, failures)| failures).sum();
    if failures > 0 { Err(failures) } else { Ok(tested.into_iter().map(|(known, _)| known).collect()) }
}

/// A node that there is a session with, over all the sessions that there will be.
pub(crate) struct Known {
    dial: Dial,
    peer: ReconnectingPeer<DialError>,
}

impl Known {
    /// Tells of each end of a session, and of each session after it, until the node is given up.
    pub(crate) async fn watch(self) {
        let Dial { node, .. } = self.dial;
        while let Ok((session, epoch)) = vatmux_rpc::deadline::with(OUTAGE, || self.peer.session()).await {
            println!("vatmux-os: session {} with {node}", epoch.get());
            println!("vatmux-os: lost {node}: {}", session.closed().await);
        }
        println!("vatmux-os: gave {node} up");
    }
}

/// All tests with one node. Gives the number of those that failed.
async fn with(node: &Node, dial: Dial) -> (Known, usize) {
    let peer = node.reconnecting(dial);
    let failures = match vatmux_rpc::deadline::with(PATIENCE, || peer.session()).await {
        Ok((session, _)) => {
            println!("dsoftbus:mux session up (peer={})", session.node_id());
            tests(node, &peer, &session, dial).await
        }
        Err(error) => {
            println!("SELFTEST: FAIL mux session: {error}");
            1
        }
    };
    (Known { dial, peer }, failures)
}

async fn tests(node: &Node, reconnecting: &ReconnectingPeer<DialError>, peer: &Peer, dial: Dial) -> usize {
    let mut failures = 0;
    let id = peer.node_id();
    let mut judge = |marker: &str, result: Result<String, Complaint>| match result {
        Ok(detail) => println!("{marker} ok ({detail} at_us={} peer={id})", micros(node.handle().now())),
        Err(complaint) => {
            println!("SELFTEST: FAIL {marker}: {complaint}");
            failures += 1;
        }
    };
    judge("dsoftbus:mux data", data(peer).await);
    match dial.kind {
        Kind::Host => judge("SELFTEST: remote resolve", registry::resolve(peer).await),
        // It has no registry.
        Kind::Image => {}
    }
    let root = match dial.kind {
        Kind::Host => match query(peer).await {
            Ok(name) => {
                let root = format!("{name}/");
                judge("SELFTEST: remote query", Ok(format!("bundle={name}")));
                root
            }
            Err(complaint) => {
                judge("SELFTEST: remote query", Err(complaint));
                return failures;
            }
        },
        Kind::Image => String::new(),
    };
    let pings = match Pings::start(node, peer) {
        Ok(pings) => pings,
        Err(complaint) => {
            judge("SELFTEST: mux pri control", Err(complaint));
            return failures;
        }
    };
    let (bulk, control) = bulk::transfer(peer, &root, &pings).await;
    judge("SELFTEST: mux pri control", control);
    judge("SELFTEST: mux bulk", bulk);
    judge("SELFTEST: mux backpressure", bulk::backpressure(peer, &root, &pings).await);
    match dial.kind {
        Kind::Host => judge("SELFTEST: remote statefs rw", state::read_and_write(node, peer).await),
        // It keeps nothing for others.
        Kind::Image => {}
    }
    files::steps(peer, &root, &mut judge).await;
    judge("SELFTEST: liveness bounded", liveness::bounded(node, reconnecting, peer, &root, dial).await);
    failures
}

/// One call, and the proof that it went through the multiplexer.
async fn data(peer: &Peer) -> Result<String, Complaint> {
    const NONCE: u64 = 0x7661_746d_7578;
    let before = peer.session().statistics();
    let health = peer.connect::<Health>().map_err(said)?;
    let answer = health.ping(NONCE).await.map_err(said)?;
    if answer != NONCE {
        return Err(format!("the answer to {NONCE:#x} is {answer:#x}"));
    }
    let after = peer.session().statistics();
    let sent = after.data_bytes_sent - before.data_bytes_sent;
    let received = after.data_bytes_received - before.data_bytes_received;
    if sent == 0 || received == 0 {
        Err("no bytes moved".to_owned())
    } else {
        Ok(format!("sent={sent} received={received}"))
    }
}

/// The bundles of the node: those that it lists are found by name as well. Gives the name of the first, whose files it serves
/// below that.
async fn query(peer: &Peer) -> Result<String, Complaint> {
    let bundles = peer.connect::<BundleMgr>().map_err(said)?;
    let listed = bundles.list(&[], 16).await.map_err(said)?.bundles;
    for bundle in &listed {
        let versions = bundles.query(&bundle.name).await.map_err(said)?;
        if !versions.iter().any(|version| version.tree_digest == bundle.tree_digest) {
            return Err(format!("{} is listed and not found", bundle.name));
        }
    }
    let first = listed.into_iter().find(|bundle| bundle.active).ok_or("it has no active bundle")?;
    Ok(first.name)
}

/// Pings on a stream of the highest priority, for as long as this is held.
struct Pings {
    handle: Handle,
    answered: Rc<Cell<u32>>,
    slowest: Rc<Cell<Duration>>,
    passed_bytes: Rc<Cell<u64>>,
    failed: Rc<Cell<bool>>,
    _held: Rc<()>,
}

impl Pings {
    fn start(node: &Node, peer: &Peer) -> Result<Self, Complaint> {
        let health = peer.connect::<Health>().map_err(said)?;
        let held = Rc::new(());
        let pings = Self {
            handle: node.handle().clone(),
            answered: Rc::default(),
            slowest: Rc::default(),
            passed_bytes: Rc::default(),
            failed: Rc::default(),
            _held: held.clone(),
        };
        let (answered, slowest) = (pings.answered.clone(), pings.slowest.clone());
        let (passed_bytes, failed) = (pings.passed_bytes.clone(), pings.failed.clone());
        let handle = node.handle().clone();
        let session = peer.session().clone();
        let held = Rc::downgrade(&held);
        let pinging = handle.clone();
        handle.spawn(async move {
            let mut nonce = 0;
            while held.strong_count() > 0 {
                nonce += 1;
                let began = pinging.now();
                let before = session.statistics().data_bytes_received;
                match health.ping(nonce).await {
                    Ok(answer) if answer == nonce => {
                        answered.set(answered.get() + 1);
                        slowest.set(slowest.get().max(pinging.now() - began));
                        let passed = session.statistics().data_bytes_received - before;
                        passed_bytes.set(passed_bytes.get().max(passed));
                    }
                    _ => {
                        failed.set(true);
                        return;
                    }
                }
                pinging.sleep(PING_PAUSE).await;
            }
        });
        Ok(pings)
    }

    /// Begins to measure anew.
    fn reset(&self) {
        self.answered.set(0);
        self.slowest.set(Duration::ZERO);
        self.passed_bytes.set(0);
    }

    /// Waits until `count` more were answered, and gives how many that is since the measuring began.
    async fn answered_more(&self, count: u32) -> Result<u32, Complaint> {
        let enough = self.answered.get() + count;
        loop {
            let Answered { count, .. } = self.since()?;
            if count >= enough {
                return Ok(count);
            }
            self.handle.sleep(PING_PAUSE).await;
        }
    }

    /// What came of them since.
    fn since(&self) -> Result<Answered, Complaint> {
        if self.failed.get() {
            return Err("a ping was not answered".to_owned());
        }
        let (count, slowest) = (self.answered.get(), self.slowest.get());
        Ok(Answered { count, slowest, passed_bytes: self.passed_bytes.get() })
    }
}

/// Pings that were answered.
struct Answered {
    count: u32,
    /// How long the slowest of them took.
    slowest: Duration,
    /// The most bytes of the session that came between one of them and its answer.
    passed_bytes: u64,
}

/// How long the machine had been on at `instant`.
fn micros(instant: Instant) -> u64 {
    instant.as_nanos() / 1000
}

fn said(error: impl Display) -> Complaint {
    error.to_string()
}
