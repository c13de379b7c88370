//! The worlds that every claim is put to the test in: where the serving node is, and what leads there.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use tempfile::TempDir;
use vatmux::schema::packagefs::BYTE_SINK_INTERFACE;
use vatmux::schema::samgr::WATCHER_INTERFACE;
use vatmux::{
    AllowList, Endpoint, Entropy, Node, NodeAddress, Peer, Priority, SecretKey, Services, SessionOptions,
    VatOptions,
};
use vatmux_driver::{Driver, Handle, Link, pipe};
use vatmux_host::{MonotonicClock, Reactor, SocketLink};
use vatmux_mux::HeapStorage;

use crate::backstage::{self, House};
use crate::claim::Claim;
use crate::link::{Cuttable, Cutter};
use crate::time::{self, HeldClock};
use crate::visit::{Backstage, Time, Visit};

/// Room in each direction of a pipe within the process.
const PIPE_BYTES: usize = 256 * 1024;

/// What a node that another process serves says before its address.
const READY: &str = "serving: ";

/// Where the serving process is to listen.
const LISTEN: &str = "VATMUX_TEST_LISTEN";

/// No claim takes this long; one that hangs should say so.
const PATIENCE: Duration = Duration::from_mins(1);

/// What leads to the serving node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkKind {
    /// A pipe on one thread, and time that passes when a claim lets it.
    Memory,
    /// A pipe to another thread.
    MemoryBetweenThreads,
    UnixBetweenThreads,
    TcpBetweenThreads,
    UnixBetweenProcesses,
    TcpBetweenProcesses,
}

/// The serving node.
enum Server {
    /// On the calling thread.
    Here { key: Rc<SecretKey>, services: Rc<Services>, clock: HeldClock },
    /// On threads of this process.
    Threads(Node),
    /// In another process.
    Process { address: NodeAddress, _process: Process },
}

/// The serving node, and what is needed to dial it.
pub(crate) struct Place {
    server: Server,
    handle: Handle,
    reactor: Option<Reactor>,
    key: SecretKey,
    /// Where its socket is.
    _folder: Option<TempDir>,
}

/// A place, and the loop of the calling thread.
struct World {
    driver: Driver,
    place: Rc<Place>,
    backstage: Backstage,
}

fn key() -> SecretKey {
    SecretKey::generate(entropy())
}

fn entropy() -> Entropy {
    Entropy::from_system().expect("the system has random bytes")
}

/// Bounds of the caller's vats. Who is impatient serves a call of a sink or a watcher for no longer than this.
fn options(impatience: Option<Duration>) -> VatOptions {
    let mut options = VatOptions::default();
    for (interface, patience) in
        [&BYTE_SINK_INTERFACE, &WATCHER_INTERFACE].into_iter().zip(impatience.into_iter().cycle())
    {
        options
            .deadlines
            .extend(interface.methods.iter().map(|method| ((interface.id, method.ordinal), patience)));
    }
    options
}

/// A node on threads of its own; without an endpoint it is reached by pipes alone.
fn node(endpoint: Option<&Endpoint>) -> Node {
    let house = House::default();
    let builder = Node::builder(key())
        .allow(AllowList::Anyone)
        .workers(1)
        .services(move |services| house.serve(services));
    let builder = match endpoint {
        Some(endpoint) => builder.listen(endpoint).expect("the endpoint is free"),
        None => builder,
    };
    builder.start().expect("a node starts")
}

impl World {
    fn new(kind: LinkKind) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let endpoint = match kind {
            LinkKind::UnixBetweenThreads | LinkKind::UnixBetweenProcesses => {
                Endpoint::Unix(folder.path().join("node.sock"))
            }
            _ => "127.0.0.1:0".parse().expect("an endpoint"),
        };
        let (mut driver, server, reactor) = if kind == LinkKind::Memory {
            let (driver, clock) = time::driver();
            let mut services = Services::default();
            House::default().serve(&mut services).expect("no name is taken");
            (driver, Server::Here { key: Rc::new(key()), services: Rc::new(services), clock }, None)
        } else {
            let clock = MonotonicClock::default();
            let reactor = Reactor::new(clock).expect("a poller");
            let driver = Driver::new(clock, reactor.clone().into_park());
            let server = match kind {
                LinkKind::Memory | LinkKind::MemoryBetweenThreads => Server::Threads(node(None)),
                LinkKind::UnixBetweenThreads | LinkKind::TcpBetweenThreads => {
                    Server::Threads(node(Some(&endpoint)))
                }
                LinkKind::UnixBetweenProcesses | LinkKind::TcpBetweenProcesses => {
                    let (process, address) = Process::start(&endpoint);
                    Server::Process { address, _process: process }
                }
            };
            (driver, server, Some(reactor))
        };
        let place = Place { server, handle: driver.handle(), reactor, key: key(), _folder: Some(folder) };
        let place = Rc::new(place);
        let (peer, _cutter) = driver.drive_until(place.dial(None)).expect("a session");
        let backstage = peer.connect_named(backstage::NAME, Priority::FIRST).expect("a stream");
        Self { driver, place, backstage: Backstage(Rc::new(backstage)) }
    }

    fn put_to_the_test(&mut self, claim: &Claim) {
        let (place, backstage) = (self.place.clone(), self.backstage.clone());
        let test = async {
            backstage.cue(format!("scene {:?}", claim.scene)).await;
            let impatience = claim.impatient.then(|| place.time().impatience());
            let visit = Visit::new(&place, &backstage, impatience).await;
            let stage = visit.stage.clone();
            let peer = visit.peer.clone();
            (claim.run)(visit).await;
            let seen =
                if claim.here { stage.seen(claim.asked.key()) } else { backstage.seen(claim.asked).await };
            assert!(seen > 0, "{} was never called", claim.asked);
            peer.close(vatmux::CloseCode::DONE);
        };
        let handle = self.driver.handle();
        let in_time = async {
            match place.time() {
                // Its park notices that nothing happens any more.
                Time::Held(..) => {
                    test.await;
                    Ok(())
                }
                Time::Real => handle.timeout(PATIENCE, test).await,
            }
        };
        let outcome = self.driver.drive_until(in_time).expect("it goes on");
        outcome.unwrap_or_else(|_| panic!("{claim} waits for what never comes"));
    }
}

impl Place {
    pub(crate) fn time(&self) -> Time {
        match &self.server {
            Server::Here { clock, .. } => Time::Held(clock.clone(), self.handle.clone()),
            Server::Threads(_) | Server::Process { .. } => Time::Real,
        }
    }

    /// A session with the node, over a link of its own.
    pub(crate) async fn dial(&self, impatience: Option<Duration>) -> (Peer, Cutter) {
        self.dial_as(&self.key, impatience).await
    }

    /// The same, by somebody whom the node has not met.
    pub(crate) async fn dial_as_a_stranger(&self) -> (Peer, Cutter) {
        self.dial_as(&key(), None).await
    }

    async fn dial_as(&self, key: &SecretKey, impatience: Option<Duration>) -> (Peer, Cutter) {
        let (link, node): (Box<dyn Link>, _) = match &self.server {
            Server::Here { key: own, services, .. } => {
                let (ours, theirs) = pipe(PIPE_BYTES);
                let (handle, own, services) = (self.handle.clone(), own.clone(), services.clone());
                let node = own.node_id();
                self.handle.spawn(async move {
                    let storage = HeapStorage::default();
                    let options = SessionOptions::default();
                    let allow = AllowList::Anyone;
                    let accepting =
                        vatmux_driver::accept(&handle, theirs, &own, &allow, entropy(), storage, options);
                    let session = accepting.await.expect("a handshake");
                    let peer = Peer::new(session, services, VatOptions::default());
                    peer.closed().await;
                });
                (Box::new(ours), node)
            }
            Server::Threads(node) => match node.endpoints().first() {
                None => (Box::new(node.pipe()), node.node_id()),
                Some(endpoint) => (self.connect(endpoint), node.node_id()),
            },
            Server::Process { address, .. } => (self.connect(&address.endpoint), address.node),
        };
        let (link, cutter) = Cuttable::new(link);
        let options = SessionOptions::default();
        let dialed =
            vatmux_driver::dial(&self.handle, link, key, node, entropy(), HeapStorage::default(), options);
        let session = dialed.await.expect("a handshake");
        (Peer::new(session, Rc::default(), self::options(impatience)), cutter)
    }

    fn connect(&self, endpoint: &Endpoint) -> Box<dyn Link> {
        let reactor = self.reactor.as_ref().expect("sockets have a poller");
        match endpoint {
            Endpoint::Tcp { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).expect("it listens");
                Box::new(SocketLink::new(reactor, stream).expect("a link"))
            }
            Endpoint::Unix(path) => {
                let stream = UnixStream::connect(path).expect("it listens");
                Box::new(SocketLink::new(reactor, stream).expect("a link"))
            }
        }
    }
}

/// Another process that serves, and is killed when this is dropped.
struct Process {
    child: Child,
    /// Nobody reads on; but it must not fail for having nobody to talk to.
    _said: ChildStdout,
}

impl Process {
    fn start(endpoint: &Endpoint) -> (Self, NodeAddress) {
        let mut command = Command::new(std::env::current_exe().expect("this test has a file"));
        command.args(["--exact", "another_process", "--nocapture"]).env(LISTEN, endpoint.to_string());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a process");
        let mut said = BufReader::new(child.stdout.take().expect("a pipe"));
        let address = said
            .by_ref()
            .lines()
            .map_while(Result::ok)
            .find_map(|line| Some(line.split_once(READY)?.1.parse().expect("an address")))
            .expect("the process says where it is");
        (Self { child, _said: said.into_inner() }, address)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be dead by now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves, if this process was started to, until its parent is gone.
pub(crate) fn serve_as_another_process() {
    let Ok(endpoint) = std::env::var(LISTEN) else { return };
    let node = node(Some(&endpoint.parse().expect("an endpoint")));
    let address =
        NodeAddress { node: node.node_id(), endpoint: node.endpoints()[0].clone(), path: String::new() };
    println!("{READY}{address}");
    std::io::stdout().flush().expect("the parent listens");
    // The parent holds the other end, whatever becomes of it.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    drop(node);
    std::process::exit(0);
}

/// Puts every claim to the test behind one kind of link; fails with all that do not hold.
pub(crate) fn put_all_to_the_test(kind: LinkKind, claims: &[Claim]) {
    let only = std::env::var("VATMUX_CLAIMS").unwrap_or_default();
    let mut world = None;
    let mut broken = Vec::new();
    let mut held = 0;
    for claim in claims.iter().filter(|claim| claim.to_string().contains(&only)) {
        let test = || world.get_or_insert_with(|| World::new(kind)).put_to_the_test(claim);
        if catch_unwind(AssertUnwindSafe(test)).is_ok() {
            held += 1;
        } else {
            broken.push(claim.to_string());
            // What is left of it proves nothing.
            world = None;
        }
    }
    println!("{kind:?}: {held} claims hold");
    assert!(broken.is_empty(), "over {kind:?} these claims do not hold:\n{}", broken.join("\n"));
}
