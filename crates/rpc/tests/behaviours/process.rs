//! The other processes.

use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;

use capnp::capability::{Client, FromClientHook};
use vatmux_driver::{Driver, SessionOptions};
use vatmux_host::{Endpoint, MonotonicClock, Node, NodeAddress, Reactor, SocketLink};
use vatmux_mux::{HeapStorage, Priority};
use vatmux_noise::{AllowList, Entropy, SecretKey};
use vatmux_rpc::{Options, Peer, Remote, Services};

use crate::server;
use crate::server::State;

/// Who a process is.
const ROLE: &str = "VATMUX_TEST_ROLE";

/// Whom a relay leads to.
const TARGET: &str = "VATMUX_TEST_TARGET";

/// What a process says before its address.
const READY: &str = "process: ";

/// What every process offers.
pub(crate) const SERVICE: &str = "station";

/// What one process is.
#[derive(Clone, Copy)]
pub(crate) enum Role<'a> {
    /// It offers a station of its own.
    Station,
    /// As that, and sends messages of any size.
    LargeStation,
    /// It offers the station of another node.
    Relay(&'a NodeAddress),
}

/// Another process, which is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    address: NodeAddress,
}

impl Process {
    pub(crate) fn start(role: Role<'_>) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "another_process", "--nocapture"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        match role {
            Role::Station => command.env(ROLE, "station"),
            Role::LargeStation => command.env(ROLE, "large-station"),
            Role::Relay(target) => command.env(ROLE, "relay").env(TARGET, target.to_string()),
        };
        let mut child = command.spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = said
            .map(|line| line.unwrap())
            .find_map(|line| Some(line.split_once(READY)?.1.parse().unwrap()))
            .expect("the process says where it is");
        Self { child, address }
    }

    pub(crate) fn address(&self) -> &NodeAddress {
        &self.address
    }

    /// Ends it without a word. What it had is the system's to take back.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be dead by now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs this process as what its environment says, until its parent is gone.
pub(crate) fn run() {
    match std::env::var(ROLE).as_deref() {
        Ok("station") => run_station(Options::default()),
        Ok("large-station") => run_station(of_any_size()),
        Ok("relay") => run_relay(&std::env::var(TARGET).unwrap().parse().unwrap()),
        _ => return,
    }
    // Nobody reads what the harness would say.
    std::process::exit(0);
}

/// Bounds that a message of 60 MiB is within.
pub(crate) fn of_any_size() -> Options {
    Options { max_message_bytes: 64 << 20, send_queue_hard_bytes: 128 << 20, ..Options::default() }
}

pub(crate) fn key() -> SecretKey {
    SecretKey::generate(Entropy::from_system().unwrap())
}

fn anywhere() -> Endpoint {
    "127.0.0.1:0".parse().unwrap()
}

fn say(node: vatmux_noise::NodeId, endpoint: Endpoint) {
    println!("{READY}{}", NodeAddress { node, endpoint, path: String::new() });
}

/// The parent holds the other end of standard input, whatever becomes of it.
fn wait_for_parent() {
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

fn run_station(options: Options) {
    let node = Node::builder(key())
        .allow(AllowList::Anyone)
        .workers(1)
        .vat_options(options)
        .services(|services| {
            let state = Rc::new(State::default());
            services.serve_named(SERVICE, Priority::default(), move |peer| {
                server::capability(&state, peer.session().handle())
            })
        })
        .listen(&anywhere())
        .unwrap()
        .start()
        .unwrap();
    say(node.node_id(), node.endpoints()[0].clone());
    wait_for_parent();
}

/// One thread with two sessions: it accepts one, and dials the target for the other.
fn run_relay(target: &NodeAddress) {
    let clock = MonotonicClock::default();
    let reactor = Reactor::new(clock).unwrap();
    let mut driver = Driver::new(clock, reactor.clone().into_park());
    let handle = driver.handle();
    let (key, listener) = (key(), TcpListener::bind("127.0.0.1:0").unwrap());
    let port = listener.local_addr().unwrap().port();
    say(key.node_id(), format!("127.0.0.1:{port}").parse().unwrap());

    let Endpoint::Tcp { host, port } = &target.endpoint else { panic!("not on TCP") };
    let onward = SocketLink::new(&reactor, TcpStream::connect((host.as_str(), *port)).unwrap()).unwrap();
    let accepted = SocketLink::new(&reactor, listener.accept().unwrap().0).unwrap();
    std::thread::spawn(|| {
        wait_for_parent();
        std::process::exit(0);
    });
    let relaying = async {
        let entropy = || Entropy::from_system().unwrap();
        let options = SessionOptions::default;
        let storage = HeapStorage::default;
        let dialed = vatmux_driver::dial(&handle, onward, &key, target.node, entropy(), storage(), options());
        let onward = Peer::new(dialed.await.unwrap(), Rc::default(), Options::default());
        let station: Remote<Client> = onward.connect_named(SERVICE, Priority::default()).unwrap();
        let mut services = Services::default();
        let offered = station.clone();
        services
            .serve_named(SERVICE, Priority::default(), move |_| {
                Client::new(offered.clone().into_client_hook())
            })
            .unwrap();
        let allow = AllowList::Anyone;
        let accepted =
            vatmux_driver::accept(&handle, accepted, &key, &allow, entropy(), storage(), options());
        let peer = Peer::new(accepted.await.unwrap(), Rc::new(services), Options::default());
        peer.closed().await;
    };
    driver.drive_until(relaying).unwrap();
}
