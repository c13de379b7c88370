//! The bridge's bounds and manners, with plain programs that do what they should not. What the C++ implementation makes
//! of it is tested with the command.

#![cfg(unix)]

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use capnp::ErrorKind;
use capnp_rpc::rpc_capnp::message;
use futures::channel::oneshot;
use tempfile::TempDir;
use vatmux::bridge::{Bridge, BridgeError, BridgeEvent, PlainEndpoint, PlainLimits};
use vatmux::schema::health_capnp::health as health_schema;
use vatmux::{
    AllowList, Endpoint, Entropy, Listener, Local, Node, NodeAddress, NodeBuilder, NodeEvent, Priority,
    SecretKey, StartError, VatOptions, health, keys,
};
use vatmux_liveness::{AttemptBudget, Backoff};

/// The longest that a test waits for anything.
const PATIENCE: Duration = Duration::from_secs(30);

fn key() -> SecretKey {
    SecretKey::generate(Entropy::from_system().unwrap())
}

fn plain(path: &Path) -> PlainEndpoint {
    PlainEndpoint::on_this_machine(Endpoint::Unix(path.to_owned())).unwrap()
}

/// A node with health, and whatever else. All that were in one folder were the same node.
fn node(folder: &TempDir, and: impl FnOnce(NodeBuilder) -> NodeBuilder) -> (Node, NodeAddress) {
    let builder = Node::builder(keys::load_or_create(&folder.path().join("key")).unwrap())
        .allow(AllowList::Anyone)
        .workers(1)
        .serve_named(health::SERVICE_NAME, health::PRIORITY, health::capability)
        .listen(&Endpoint::Unix(folder.path().join("node")))
        .unwrap();
    let node = and(builder).start().unwrap();
    let address =
        NodeAddress { node: node.node_id(), endpoint: node.endpoints()[0].clone(), path: String::new() };
    (node, address)
}

/// A bridge to a node's health, on a thread of its own.
struct Bridging {
    socket: PathBuf,
    opened: mpsc::Receiver<()>,
    events: mpsc::Receiver<String>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    node: Option<Node>,
    folder: TempDir,
}

impl Bridging {
    fn new(limits: PlainLimits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (node, address) = node(&folder, |builder| builder);
        let socket = folder.path().join("plain");
        let listener = Listener::bind_private(&plain(&socket)).unwrap();
        let (stop, stopped) = oneshot::channel();
        let (tell, events) = mpsc::channel();
        let (open, opened) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut local = Local::new(key()).unwrap();
            let dialer = local.dialer();
            let serving = async {
                let bridge = Bridge::open(dialer, address, health::SERVICE_NAME, health::PRIORITY, limits);
                let told = move |event: BridgeEvent| drop(tell.send(event.to_string()));
                let stopped = async move {
                    let _ = stopped.await;
                };
                let bridge = bridge.await.unwrap();
                let _ = open.send(());
                bridge.serve(vec![listener], told, stopped).await.unwrap();
            };
            local.drive_until(serving).unwrap();
        });
        let thread = Some(thread);
        Self { socket, opened, events, stop: Some(stop), thread, node: Some(node), folder }
    }

    fn connect(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Connects, and gets the service.
    fn user(&self) -> UnixStream {
        let mut stream = self.connect();
        stream.write_all(&bootstrap()).unwrap();
        // The Return: whatever it says, there is somebody.
        stream.read_exact(&mut [0; 16]).unwrap();
        stream
    }

    fn event(&self) -> String {
        self.events.recv_timeout(PATIENCE).unwrap()
    }
}

impl Drop for Bridging {
    fn drop(&mut self) {
        drop(self.stop.take());
        let outcome = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || matches!(outcome, Some(Ok(()))), "the bridge panicked");
    }
}

/// The first message of every client.
fn bootstrap() -> Vec<u8> {
    let mut builder = capnp::message::Builder::new_default();
    builder.init_root::<message::Builder<'_>>().init_bootstrap().set_question_id(0);
    capnp::serialize::write_message_to_words(&builder)
}

/// All that comes until the end, of which the words of an Abort are readable.
fn last_words(mut stream: UnixStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn limits() -> PlainLimits {
    PlainLimits::default()
}

#[test]
fn a_program_that_says_nothing_is_let_go_and_told_why() {
    let bridging = Bridging::new(PlainLimits { first_message: Duration::from_millis(50), ..limits() });
    let mut half = bridging.connect();
    half.write_all(&bootstrap()[..15]).unwrap();
    for stream in [bridging.connect(), half] {
        let words = last_words(stream);
        assert!(
            words.contains("service \"vatmux.health\" is gone: no message came within 0.05 s"),
            "{words}"
        );
    }
}

#[test]
fn a_program_that_falls_silent_is_let_go_only_where_that_is_asked_for() {
    let quick = PlainLimits { first_message: Duration::from_millis(50), ..limits() };
    let idle = PlainLimits { idle: Some(Duration::from_millis(100)), ..quick.clone() };
    let words = last_words(Bridging::new(idle).user());
    assert!(words.contains("nothing has passed for 0.1 s"), "{words}");

    let patient = Bridging::new(quick);
    let mut user = patient.user();
    // Whoever says nothing at all is let go later than who is asked for something here would be.
    last_words(patient.connect());
    user.write_all(&bootstrap()).unwrap();
    let words = last_words(user);
    assert!(words.contains("id 0, which another call has"), "it was there to object: {words}");
}

#[test]
fn test_reject_what_is_no_message_and_nobody_else() {
    let bridging = Bridging::new(limits());
    let mut user = bridging.user();
    for garbage in [
        &[0xff; 4096][..],
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        &[0, 0, 0, 0, 0xff, 0xff, 0xff, 0x7f],
    ] {
        let mut stream = bridging.connect();
        stream.write_all(garbage).unwrap();
        let words = last_words(stream);
        assert!(words.contains("over the limit of"), "{words}");
    }
    // A valid frame that holds no RPC message.
    let mut stream = bridging.connect();
    stream
        .write_all(&[
            0, 0, 0, 0, 2, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1, 1, 1, 1, 1, 1, 1,
        ])
        .unwrap();
    let words = last_words(stream);
    assert!(words.contains("service \"vatmux.health\" is gone: the peer"), "{words}");
    user.write_all(&bootstrap()).unwrap();
    assert!(last_words(user).contains("id 0, which another call has"));
}

#[test]
fn test_reject_programs_over_the_bound_with_a_word_while_there_is_room_for_it() {
    let bridging = Bridging::new(PlainLimits { max_connections: 2, ..limits() });
    let users = [bridging.user(), bridging.user()];
    assert_eq!([bridging.event(), bridging.event()], ["program 1 connected", "program 2 connected"]);
    // They do not hang up, and so keep what is kept for those who came too many.
    let refused: Vec<_> = (0..16).map(|_| bridging.connect()).collect();
    for program in 3..19 {
        assert!(
            bridging
                .event()
                .starts_with(&format!("program {program} was turned away: the bridge has 2 users"))
        );
    }
    let dropped = bridging.connect();
    assert_eq!(bridging.event(), "a connection was dropped: too many come at once");
    assert_eq!(last_words(dropped), "");
    for stream in refused {
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let words = last_words(stream);
        assert!(words.contains("no more are let in; try again later"), "{words}");
    }
    // A place is free as soon as somebody has left.
    let [first, second] = users;
    drop(first);
    assert!(bridging.event().starts_with("program 1 left"));
    drop((bridging.user(), second));
}

#[test]
fn the_socket_is_its_owners_and_only_a_dead_one_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plain");
    drop(UnixListener::bind(&path).unwrap());
    let listener = Listener::bind_private(&plain(&path)).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(Listener::bind_private(&plain(&path)).is_err_and(|error| error.to_string().contains("in use")));
    drop(UnixStream::connect(&path).unwrap());
    drop(listener);
    assert!(!path.exists());
    fs::write(&path, "precious").unwrap();
    assert!(Listener::bind_private(&plain(&path)).is_err());
    assert_eq!(fs::read(&path).unwrap(), b"precious");
}

/// Somebody has taken the bootstrap message of `program`: it objects to another with the same id.
#[track_caller]
fn is_served(mut program: UnixStream) {
    program.write_all(&bootstrap()).unwrap();
    let words = last_words(program);
    assert!(words.contains("id 0, which another call has"), "{words}");
}

/// A bridge that dials with these pauses, and whose programs wait for so long.
fn redialing(pause: Duration, attempts: u32, patience: Duration) -> PlainLimits {
    let mut limits = limits();
    limits.reconnect.limits.outage.within = Duration::from_hours(24);
    limits.reconnect.limits.outage.attempts = AttemptBudget::new(attempts).unwrap();
    limits.reconnect.limits.outage.backoff = Backoff::new(pause, pause).unwrap();
    limits.reconnect.patience = patience;
    limits
}

impl Bridging {
    /// Once the bridge is open, the same node anew; what it tells of.
    fn restart_node(&mut self) -> mpsc::Receiver<String> {
        self.opened.recv_timeout(PATIENCE).unwrap();
        drop(self.node.take());
        let (tell, told) = mpsc::channel();
        let telling =
            move |builder: NodeBuilder| builder.on_event(move |event| drop(tell.send(event.to_string())));
        self.node = Some(node(&self.folder, telling).0);
        told
    }

    /// In the place of the node somebody who hangs up; how often that was.
    fn hang_up_from_now_on(&mut self) -> Arc<AtomicU64> {
        drop(self.node.take());
        let listener = UnixListener::bind(self.folder.path().join("node")).unwrap();
        let dials = Arc::new(AtomicU64::new(0));
        let counted = dials.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                counted.fetch_add(1, Ordering::SeqCst);
                drop(stream);
            }
        });
        dials
    }
}

#[test]
fn whoever_connects_cannot_have_a_node_that_is_gone_dialed_sooner() {
    let mut bridging = Bridging::new(redialing(Duration::from_hours(1), 9, Duration::from_millis(50)));
    drop(bridging.user());
    assert!(bridging.event().contains("connected") && bridging.event().contains("left"));
    let dials = bridging.hang_up_from_now_on();
    for program in 2..12 {
        let words = last_words(bridging.connect());
        let event = bridging.event();
        assert!(event.starts_with(&format!("program {program} was turned away: no session")), "{event}");
        assert!(
            words.contains("service \"vatmux.health\" is gone: no session with the peer within 50ms"),
            "{words}"
        );
        assert!(words.contains("the session was lost"), "{words}");
    }
    assert_eq!(dials.load(Ordering::SeqCst), 0);
}

#[test]
fn a_node_that_is_gone_is_given_up_and_dialed_again_for_the_next_who_connects() {
    const ATTEMPTS: u64 = 3;
    let mut bridging = Bridging::new(redialing(Duration::from_millis(1), ATTEMPTS as u32, PATIENCE));
    drop(bridging.user());
    let dials = bridging.hang_up_from_now_on();
    for program in 1..=5 {
        let words = last_words(bridging.connect());
        assert!(words.contains("the last failure: no session with unix:"), "{words}");
        // The first outage began when the bridge was opened: that dial counts as well.
        let dialed = dials.load(Ordering::SeqCst);
        assert!(
            (1..=(program + 1) * ATTEMPTS - 1).contains(&dialed),
            "{dialed} dials for {program} programs"
        );
    }
}

#[test]
fn a_program_that_connects_while_the_node_is_away_is_served_when_it_is_back() {
    let mut bridging = Bridging::new(redialing(Duration::from_millis(20), 100_000, PATIENCE));
    drop(bridging.user());
    drop(bridging.node.take());
    let mut waiting = bridging.connect();
    waiting.write_all(&bootstrap()).unwrap();
    bridging.node = Some(node(&bridging.folder, |builder| builder).0);
    is_served(waiting);
}

#[test]
fn the_stream_that_a_bridge_was_opened_with_is_not_given_to_anybody_once_it_has_ended() {
    let mut bridging = Bridging::new(redialing(Duration::from_millis(1), 100_000, PATIENCE));
    let told = bridging.restart_node();
    // It has dialed again, and so it knows of the end.
    assert!(told.recv_timeout(PATIENCE).unwrap().ends_with(" connected"));
    is_served(bridging.user());
}

#[test]
fn a_node_that_has_turned_the_bridge_away_is_asked_again_for_the_next_who_connects() {
    let mut bridging = Bridging::new(redialing(Duration::from_millis(1), 100_000, PATIENCE));
    drop(bridging.user());
    drop(bridging.node.take());
    let nobody = |builder: NodeBuilder| builder.allow(AllowList::Only(BTreeSet::new()));
    bridging.node = Some(node(&bridging.folder, nobody).0);
    for _ in 0..3 {
        let words = last_words(bridging.connect());
        assert!(words.contains("service \"vatmux.health\" is gone: "), "{words}");
    }
    drop(bridging.node.take());
    bridging.node = Some(node(&bridging.folder, |builder| builder).0);
    is_served(bridging.user());
}

#[test]
fn programs_that_wait_for_a_node_hear_at_once_that_the_bridge_is_shut_down() {
    let hour = Duration::from_hours(1);
    let mut bridging = Bridging::new(PlainLimits { max_connections: 1, ..redialing(hour, 9, hour) });
    drop(bridging.user());
    assert!(bridging.event().contains("connected") && bridging.event().contains("left"));
    drop(bridging.node.take());
    let waiting = bridging.connect();
    // Whoever comes after it finds its place taken: it is waiting.
    let _another = bridging.connect();
    assert!(bridging.event().starts_with("program 3 was turned away: the bridge has 1 users"));
    drop(bridging.stop.take());
    assert!(last_words(waiting).contains("the bridge is shut down"));
}

#[test]
fn a_bridge_that_is_shut_down_tells_its_programs_and_takes_leave_of_its_node() {
    let mut bridging = Bridging::new(limits());
    let told = bridging.restart_node();
    let program = bridging.user();
    assert!(told.recv_timeout(PATIENCE).unwrap().ends_with(" connected"));
    drop(bridging.stop.take());
    assert!(last_words(program).contains("the bridge is shut down"));
    let left = told.recv_timeout(PATIENCE).unwrap();
    assert!(left.ends_with("left: the peer closed the session: done"), "{left}");
}

/// Opens a bridge that cannot be, and says why.
fn unopened(address: NodeAddress, service: &str, priority: Priority) -> BridgeError {
    let mut local = Local::new(key()).unwrap();
    let opening = Bridge::open(local.dialer(), address, service, priority, limits());
    local.drive_until(opening).unwrap().err().unwrap()
}

#[test]
fn test_reject_a_service_that_is_not_there_before_anybody_connects() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let (_node, address) = node(&folder, |builder| {
        builder.import("dead", Priority::LAST, plain(&missing), limits()).serve_named(
            "late",
            Priority::LAST,
            health::capability,
        )
    });
    let said = |service, priority| unopened(address.clone(), service, priority).to_string();
    assert!(said("missing", Priority::LAST).contains("offers no service named \"missing\""));
    assert!(said("dead", Priority::LAST).contains("cannot reach its server"));
    assert!(said("late", Priority::FIRST).contains("service \"late\" is gone: the peer reset the stream"));
    assert!(said("", Priority::LAST).contains("cannot name a service"));
    let elsewhere = NodeAddress { node: key().node_id(), ..address.clone() };
    assert!(matches!(unopened(elsewhere, "late", Priority::LAST), BridgeError::Dial(_)));
}

#[test]
fn test_reject_a_bridge_that_the_node_does_not_allow() {
    let folder = tempfile::tempdir().unwrap();
    let (_node, address) = node(&folder, |builder| builder.allow(AllowList::Only(BTreeSet::new())));
    let said = unopened(address, health::SERVICE_NAME, health::PRIORITY);
    assert!(matches!(said, BridgeError::NotAllowed { .. }), "{said}");
}

/// A node that imports `socket` as `probe`, and its owner's ears.
fn importing(folder: &TempDir, limits: PlainLimits) -> (Node, NodeAddress, mpsc::Receiver<String>) {
    let (tell, told) = mpsc::channel();
    let server = plain(&folder.path().join("server"));
    let (node, address) = node(folder, |builder| {
        builder.import("probe", Priority::LAST, server, limits).on_event(move |event| {
            if let NodeEvent::ImportFailed { .. } = event {
                let _ = tell.send(event.to_string());
            }
        })
    });
    (node, address, told)
}

/// Calls the imported service on a new stream, once for each entry; says how each call failed.
fn pings(address: &NodeAddress, count: usize) -> Vec<(ErrorKind, String)> {
    let mut local = Local::new(key()).unwrap();
    let dialer = local
        .dialer()
        .vat_options(VatOptions { call_deadline: Duration::from_millis(500), ..VatOptions::default() });
    local
        .drive_until(async {
            let peer = dialer.dial(address).await.unwrap();
            let remotes: Vec<_> = (0..count)
                .map(|_| peer.connect_named::<health_schema::Client>("probe", Priority::LAST).unwrap())
                .collect();
            let calls = remotes.iter().map(|remote| async {
                let error = remote.ping_request().send().promise.await.err().unwrap();
                (error.kind, error.extra)
            });
            futures::future::join_all(calls).await
        })
        .unwrap()
}

#[test]
fn a_plain_server_has_a_connection_for_each_stream_until_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("server")).unwrap();
    let (_node, address, _told) = importing(&folder, limits());
    let accepting = thread::spawn(move || {
        for stream in [listener.accept().unwrap().0, listener.accept().unwrap().0] {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            // The bootstrap and the call, and then the end: the peer was gone.
            assert!(last_words(stream).len() > bootstrap().len());
        }
    });
    for (kind, words) in pings(&address, 2) {
        assert!(kind == ErrorKind::Failed && words.contains("no answer within 500ms"), "{words}");
    }
    accepting.join().unwrap();
}

#[test]
fn test_reject_streams_over_the_bound_of_an_import() {
    let folder = tempfile::tempdir().unwrap();
    let _listener = UnixListener::bind(folder.path().join("server")).unwrap();
    // The server never hangs up: it is waited for no longer than the linger.
    let vat = VatOptions { linger: Duration::from_millis(50), ..VatOptions::default() };
    let (_node, address, told) = importing(&folder, PlainLimits { max_connections: 2, vat, ..limits() });
    let outcomes = pings(&address, 3);
    assert!(outcomes[..2].iter().all(|(kind, _)| *kind == ErrorKind::Failed), "{outcomes:?}");
    assert!(outcomes[2].0 == ErrorKind::Overloaded && outcomes[2].1.contains("has 2 users"), "{outcomes:?}");
    let said = told.recv_timeout(PATIENCE).unwrap();
    assert!(said.contains("all 2 connections to unix:") && said.contains("are taken"), "{said}");
    // What was taken has been given back: the peer that had it is gone.
    let until = Instant::now() + PATIENCE;
    while pings(&address, 1)[0].0 == ErrorKind::Overloaded {
        assert!(Instant::now() < until, "a place is lost");
    }
}

#[test]
fn a_plain_server_that_is_not_there_is_the_owners_news_and_nobody_elses() {
    let folder = tempfile::tempdir().unwrap();
    let (_node, address, told) = importing(&folder, limits());
    let (kind, words) = pings(&address, 1).remove(0);
    assert_eq!(kind, ErrorKind::Disconnected);
    assert!(words.contains("\"probe\" is not available") && !words.contains("unix:"), "{words}");
    let said = told.recv_timeout(PATIENCE).unwrap();
    assert!(said.contains("cannot reach its server: unix:"), "{said}");
}

#[test]
fn a_plain_server_that_sends_what_is_no_message_fails_its_own_calls_only() {
    let folder = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(folder.path().join("server")).unwrap();
    let (_node, address, told) = importing(&folder, limits());
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").unwrap();
        last_words(stream)
    });
    let (kind, words) = pings(&address, 1).remove(0);
    assert!(
        kind == ErrorKind::Failed && words.contains("service \"probe\" is gone: the peer sent"),
        "{words}"
    );
    assert!(told.recv_timeout(PATIENCE).unwrap().contains("let go: the peer sent"));
    server.join().unwrap();
    let mut local = Local::new(key()).unwrap();
    let dialer = local.dialer();
    let ping = async {
        let peer = dialer.dial(&address).await.unwrap();
        let remote =
            peer.connect_named::<health_schema::Client>(health::SERVICE_NAME, health::PRIORITY).unwrap();
        health::ping(&remote, 7).await
    };
    local.drive_until(ping).unwrap().unwrap();
}

#[test]
fn test_reject_an_import_under_a_name_that_is_taken_or_none() {
    for name in [health::SERVICE_NAME, "", "a name\nof two lines"] {
        let builder = Node::builder(key())
            .serve_named(health::SERVICE_NAME, health::PRIORITY, health::capability)
            .import(name, Priority::LAST, plain(Path::new("server")), limits());
        assert!(matches!(builder.start().err(), Some(StartError::Serve(_))), "{name:?}");
    }
}
