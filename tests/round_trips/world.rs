//! The worlds that every claim is put to the test in: where the serving node is, and what leads there.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use tempfile::TempDir;
use vatmux::schema::packagefs::BYTE_SINK_INTERFACE;
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

/// Where the serving process is to listen, and, if that is set, how impatient it is with sinks, in milliseconds.
const LISTEN: &str = "VATMUX_TEST_LISTEN";
const IMPATIENCE: &str = "VATMUX_TEST_IMPATIENCE";

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
    Process(Process, NodeAddress),
}

/// The serving node, and what is needed to dial it.
pub(crate) struct Place {
    server: Server,
    handle: Handle,
    reactor: Option<Reactor>,
    key: SecretKey,
    vat_options: VatOptions,
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

/// Bounds of the serving node's vats.
fn options(impatience: Option<Duration>) -> VatOptions {
    let sinks = BYTE_SINK_INTERFACE.methods.iter().map(|method| (BYTE_SINK_INTERFACE.id, method.ordinal));
    let deadlines = impatience.iter().flat_map(|patience| sinks.clone().map(|sink| (sink, *patience)));
    VatOptions { deadlines: deadlines.collect(), ..VatOptions::default() }
}

/// A node on threads of its own; without an endpoint it is reached by pipes alone.
fn node(endpoint: Option<&Endpoint>, impatience: Option<Duration>) -> Node {
    let house = House::default();
    let builder = Node::builder(key())
        .allow(AllowList::Anyone)
        .workers(1)
        .vat_options(options(impatience))
        .services(move |services| house.serve(services));
    let builder = match endpoint {
        Some(endpoint) => builder.listen(endpoint).expect("the endpoint is free"),
        None => builder,
    };
    builder.start().expect("a node starts")
}

impl World {
    fn new(kind: LinkKind, impatient: bool) -> Self {
        let impatience = impatient.then(|| Time::Real.impatience());
        let folder = tempfile::tempdir().expect("a temporary folder");
        let endpoint = match kind {
            LinkKind::UnixBetweenThreads | LinkKind::UnixBetweenProcesses => {
                Endpoint::Unix(folder.path().join("node.sock"))
            }
            _ => "127.0.0.1:0".parse().expect("an endpoint"),
        };
        let (driver, server, reactor) = match kind {
            LinkKind::Memory => {
                let (driver, clock) = time::driver();
                let mut services = Services::default();
                House::default().serve(&mut services).expect("no name is taken");
                (driver, Server::Here { key: Rc::new(key()), services: Rc::new(services), clock }, None)
            }
            _ => {
                let clock = MonotonicClock::default();
                let reactor = Reactor::new(clock).expect("a poller");
                let driver = Driver::new(clock, reactor.clone().into_park());
                let server = match kind {
                    LinkKind::Memory | LinkKind::MemoryBetweenThreads => {
                        Server::Threads(node(None, impatience))
                    }
                    LinkKind::UnixBetweenThreads | LinkKind::TcpBetweenThreads => {
                        Server::Threads(node(Some(&endpoint), impatience))
                    }
                    LinkKind::UnixBetweenProcesses | LinkKind::TcpBetweenProcesses => {
                        let (process, address) = Process::start(&endpoint, impatience);
                        Server::Process(process, address)
                    }
                };
                (driver, server, Some(reactor))
            }
        };
        let place = Place {
            server,
            handle: driver.handle(),
            reactor,
            key: key(),
            vat_options: VatOptions::default(),
            _folder: Some(folder),
        };
        let mut driver = driver;
        let place = Rc::new(place);
        let (peer, _cutter) = driver.drive_until(place.dial()).expect("a session");
        let backstage = peer.connect_named(backstage::NAME, Priority::FIRST).expect("a stream");
        Self { driver, place, backstage: Backstage(Rc::new(backstage)) }
    }

    fn put_to_the_test(&mut self, claim: &Claim) {
        let (place, backstage) = (self.place.clone(), self.backstage.clone());
        let test = async {
            backstage.cue(format!("scene {:?}", claim.scene)).await;
            let visit = Visit::new(&place, &backstage).await;
            let stage = visit.stage.clone();
            let peer = visit.peer.clone();
            (claim.run)(visit).await;
            let seen = if claim.here { stage.seen(claim.asked.key()) } else { backstage.seen(claim.asked).await };
            assert!(seen > 0, "{} was never called", claim.asked);
            peer.close(vatmux::CloseCode::DONE);
        };
        self.driver.drive_until(test).expect("it goes on");
    }
}

impl Place {
    pub(crate) fn time(&self) -> Time {
        match &self.server {
            Server::Here { clock, .. } => Time::Held(clock.clone(), self.handle.clone()),
            Server::Threads(_) | Server::Process(..) => Time::Real,
        }
    }

    /// A session with the node, over a link of its own.
    pub(crate) async fn dial(&self) -> (Peer, Cutter) {
        let (link, node): (Box<dyn Link>, _) = match &self.server {
            Server::Here { key, services, .. } => {
                let (ours, theirs) = pipe(PIPE_BYTES);
                let (handle, key, services) = (self.handle.clone(), key.clone(), services.clone());
                let node = key.node_id();
                self.handle.spawn(async move {
                    let storage = HeapStorage::default();
                    let options = SessionOptions::default();
                    let allow = AllowList::Anyone;
                    let accepting =
                        vatmux_driver::accept(&handle, theirs, &key, &allow, entropy(), storage, options);
                    let session = accepting.await.expect("a handshake");
                    let peer = Peer::new(session, services, self::options(None));
                    peer.closed().await;
                });
                (Box::new(ours), node)
            }
            Server::Threads(node) => match node.endpoints().first() {
                None => (Box::new(node.pipe()), node.node_id()),
                Some(endpoint) => (self.connect(endpoint), node.node_id()),
            },
            Server::Process(_, address) => (self.connect(&address.endpoint), address.node),
        };
        let (link, cutter) = Cuttable::new(link);
        let options = SessionOptions::default();
        let dialed =
            vatmux_driver::dial(&self.handle, link, &self.key, node, entropy(), HeapStorage::default(), options);
        let session = dialed.await.expect("a handshake");
        (Peer::new(session, Rc::default(), self.vat_options.clone()), cutter)
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
struct Process(Child);

impl Process {
    fn start(endpoint: &Endpoint, impatience: Option<Duration>) -> (Self, NodeAddress) {
        let mut command = Command::new(std::env::current_exe().expect("this test has a file"));
        command.args(["--exact", "another_process", "--nocapture"]).env(LISTEN, endpoint.to_string());
        if let Some(impatience) = impatience {
            command.env(IMPATIENCE, impatience.as_millis().to_string());
        }
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a process");
        let mut process = Self(child);
        let said = BufReader::new(process.0.stdout.take().expect("a pipe")).lines();
        let address = said
            .map_while(Result::ok)
            .find_map(|line| Some(line.split_once(READY)?.1.parse().expect("an address")))
            .expect("the process says where it is");
        (process, address)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be dead by now.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Serves, if this process was started to, until its parent is gone.
pub(crate) fn serve_as_another_process() {
    let Ok(endpoint) = std::env::var(LISTEN) else { return };
    let impatience = std::env::var(IMPATIENCE).ok().map(|millis| millis.parse().expect("milliseconds"));
    let node = node(Some(&endpoint.parse().expect("an endpoint")), impatience.map(Duration::from_millis));
    let address = NodeAddress { node: node.node_id(), endpoint: node.endpoints()[0].clone(), path: String::new() };
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
    let mut worlds = [None, None];
    let mut broken = Vec::new();
    let mut held = 0;
    for claim in claims {
        if !claim.to_string().contains(&only) {
            continue;
        }
        let world = &mut worlds[usize::from(claim.impatient)];
        let test = || {
            let world = world.get_or_insert_with(|| World::new(kind, claim.impatient));
            world.put_to_the_test(claim);
        };
        if catch_unwind(AssertUnwindSafe(test)).is_ok() {
            held += 1;
        } else {
            broken.push(claim.to_string());
            // What is left of it proves nothing.
            *world = None;
        }
    }
    println!("{kind:?}: {held} claims hold");
    assert!(broken.is_empty(), "over {kind:?} these claims do not hold:\n{}", broken.join("\n"));
}
