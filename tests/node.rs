//! Nodes that meet over real sockets: who gets in, who does not, and what each is told.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use vatmux::schema::health_capnp;
use vatmux::{
    AllowList, Bound, DialError, Endpoint, Entropy, HandshakeFailure, Local, Node, NodeAddress, NodeBuilder,
    NodeEvent, NodeId, Peer, Priority, Remote, SecretKey, SessionEnd, SessionOptions,
};
use vatmux::{health, packagefs};
use vatmux_mux::CloseCode;
use vatmux_noise::Suite;
use vatmux_rpc::VatEnd;

/// Nothing here takes this long; a test that hangs should say so.
const PATIENCE: Duration = Duration::from_secs(30);

fn key() -> SecretKey {
    SecretKey::generate(Entropy::from_system().unwrap())
}

fn anywhere() -> Endpoint {
    "127.0.0.1:0".parse().unwrap()
}

/// A node on any free port that offers health to whoever `allow` permits, and its events.
fn health_node(
    allow: AllowList,
    configure: impl FnOnce(NodeBuilder) -> NodeBuilder,
) -> (Node, mpsc::Receiver<NodeEvent>) {
    let (tell, events) = mpsc::channel();
    let builder = Node::builder(key())
        .allow(allow)
        .serve_named(health::SERVICE_NAME, health::PRIORITY, health::capability)
        .on_event(move |event| drop(tell.send(event)));
    (configure(builder).start().unwrap(), events)
}

fn on_tcp(allow: AllowList) -> (Node, mpsc::Receiver<NodeEvent>) {
    health_node(allow, |builder| builder.listen(&anywhere()).unwrap())
}

fn address(node: &Node) -> NodeAddress {
    NodeAddress { node: node.node_id(), endpoint: node.endpoints()[0].clone(), path: String::new() }
}

fn tcp_stream(node: &Node) -> TcpStream {
    let Endpoint::Tcp { host, port } = &node.endpoints()[0] else { panic!("not on TCP") };
    TcpStream::connect((host.as_str(), *port)).unwrap()
}

fn connect_health(peer: &Peer) -> Remote<health_capnp::health::Client> {
    peer.connect_named(health::SERVICE_NAME, health::PRIORITY).unwrap()
}

fn ping_once(local: &mut Local, peer: &Peer) -> Result<(), health::PingError> {
    let remote = connect_health(peer);
    local.drive_until(health::ping(&remote, 42)).unwrap()
}

fn dial(local: &mut Local, address: &NodeAddress) -> Result<Peer, DialError> {
    let dialer = local.dialer();
    local.drive_until(dialer.dial(address)).unwrap()
}

fn next(events: &mpsc::Receiver<NodeEvent>) -> NodeEvent {
    events.recv_timeout(PATIENCE).expect("the node tells what happens to it")
}

#[test]
fn a_peer_is_served_over_tcp() {
    let (node, events) = on_tcp(AllowList::Anyone);
    let mut local = Local::new(key()).unwrap();
    let peer = dial(&mut local, &address(&node)).unwrap();
    assert_eq!(peer.node_id(), node.node_id());
    ping_once(&mut local, &peer).unwrap();
    let us = local.dialer().node_id();
    assert!(matches!(next(&events), NodeEvent::Connected(peer) if peer == us));
    assert_eq!(node.counters().sessions, 1);
    drop(peer);
    let handle = local.handle();
    local.drive_until(handle.sleep(Duration::ZERO)).unwrap();
    drop(local);
    assert!(matches!(next(&events), NodeEvent::Ended(peer, _) if peer == us));
}

#[test]
fn a_dialer_chooses_the_suite_and_the_node_takes_either() {
    let (node, _events) = on_tcp(AllowList::Anyone);
    for (suite, code) in [(Suite::ChaChaPoly, 1), (Suite::AesGcm, 2)] {
        let mut local = Local::new(key()).unwrap();
        let dialer = local.dialer().suite(suite);
        let peer = local.drive_until(dialer.dial(&address(&node))).unwrap().unwrap();
        ping_once(&mut local, &peer).unwrap();

        // The same dialer, seen from the other side: its preamble names the suite.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint =
            Endpoint::Tcp { host: "127.0.0.1".into(), port: listener.local_addr().unwrap().port() };
        let eavesdropped = std::thread::spawn(move || {
            let mut preamble = [0; 8];
            listener.accept().unwrap().0.read_exact(&mut preamble).unwrap();
            preamble
        });
        let address = NodeAddress { endpoint, ..address(&node) };
        let dialed = local.drive_until(dialer.dial(&address)).unwrap();
        assert!(matches!(dialed, Err(DialError::Handshake { .. })), "nobody shook hands");
        assert_eq!(eavesdropped.join().unwrap()[6..], [1, code], "{suite}");
    }
}

#[cfg(unix)]
#[test]
fn a_peer_is_served_over_a_unix_socket_whose_file_goes_with_the_node() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.sock");
    let endpoint = Endpoint::Unix(path.clone());
    for _ in 0..2 {
        let (node, _events) = health_node(AllowList::Anyone, |builder| builder.listen(&endpoint).unwrap());
        let mut local = Local::new(key()).unwrap();
        let peer = dial(&mut local, &address(&node)).unwrap();
        ping_once(&mut local, &peer).unwrap();
        drop(node);
        assert!(!path.exists());
    }
}

#[cfg(unix)]
#[test]
fn the_socket_file_of_a_process_that_died_is_no_obstacle() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "a listener that is dropped leaves its file, as one that died does");
    let (node, _events) =
        health_node(AllowList::Anyone, |builder| builder.listen(&Endpoint::Unix(path.clone())).unwrap());
    drop(node);
    std::fs::write(&path, "not a socket").unwrap();
    assert!(vatmux::Listener::bind(&Endpoint::Unix(path.clone())).is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"not a socket");
}

#[test]
fn a_peer_is_served_over_a_pipe_within_the_process() {
    let (node, _events) = health_node(AllowList::Anyone, |builder| builder);
    let mut local = Local::new(key()).unwrap();
    let address = NodeAddress { node: node.node_id(), endpoint: anywhere(), path: String::new() };
    let (dialer, pipe) = (local.dialer(), node.pipe());
    let peer = local.drive_until(dialer.dial_over(pipe, &address)).unwrap().unwrap();
    ping_once(&mut local, &peer).unwrap();
}

#[test]
fn many_peers_are_served_at_once_by_several_workers() {
    let (node, _events) =
        health_node(AllowList::Anyone, |builder| builder.workers(3).listen(&anywhere()).unwrap());
    let address = address(&node);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let address = address.clone();
            std::thread::spawn(move || {
                let mut local = Local::new(key()).unwrap();
                let peers: Vec<_> = (0..5).map(|_| dial(&mut local, &address).unwrap()).collect();
                for peer in &peers {
                    ping_once(&mut local, peer).unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn nobody_is_allowed_unless_named() {
    let friend = key();
    let (node, events) = on_tcp(AllowList::from_iter([friend.node_id()]));
    let mut stranger = Local::new(key()).unwrap();
    let peer = dial(&mut stranger, &address(&node)).unwrap();
    let end = stranger.drive_until(peer.closed()).unwrap();
    assert_eq!(end, SessionEnd::ClosedByPeer(CloseCode::NOT_ALLOWED));
    let who = stranger.dialer().node_id();
    assert!(matches!(next(&events), NodeEvent::Refused(HandshakeFailure::NotAllowed(peer)) if peer == who));
    let refused = peer.connect_named::<health_capnp::health::Client>(health::SERVICE_NAME, health::PRIORITY);
    assert!(refused.err().unwrap().to_string().contains("not allowed"));

    let mut friend = Local::new(friend).unwrap();
    let peer = dial(&mut friend, &address(&node)).unwrap();
    ping_once(&mut friend, &peer).unwrap();
}

#[test]
fn a_node_with_another_id_is_not_talked_to() {
    let (node, _events) = on_tcp(AllowList::Anyone);
    let mut local = Local::new(key()).unwrap();
    let wrong: NodeId = key().node_id();
    let error = dial(&mut local, &NodeAddress { node: wrong, ..address(&node) }).err().unwrap();
    assert!(error.to_string().contains("another node id"), "{error}");
}

#[test]
fn nobody_listening_is_said_plainly() {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let mut local = Local::new(key()).unwrap();
    let endpoint = Endpoint::Tcp { host: "127.0.0.1".into(), port };
    let address = NodeAddress { node: key().node_id(), endpoint, path: String::new() };
    let error = dial(&mut local, &address).err().unwrap();
    assert!(
        matches!(&error, DialError::Connect { error, .. } if error.kind() == std::io::ErrorKind::ConnectionRefused)
    );
}

#[test]
fn a_second_listener_on_an_address_is_told_that_it_is_taken() {
    let (node, _events) = on_tcp(AllowList::Anyone);
    let error = Node::builder(key()).listen(&node.endpoints()[0]).err().unwrap();
    assert_eq!(error.error.kind(), std::io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains("another process listens there"));
}

#[test]
fn another_protocol_is_cut_off_at_its_first_bytes() {
    let (node, events) = on_tcp(AllowList::Anyone);
    let mut stream = tcp_stream(&node);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // A reset is as good an end as any here: the node closed with bytes unread.
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.is_empty(), "strangers are told nothing");
    let NodeEvent::Refused(failure) = next(&events) else { panic!("a link was refused") };
    assert!(failure.to_string().contains("not a vatmux node"), "{failure}");
}

#[test]
fn strangers_beyond_the_bound_are_dropped_and_their_places_come_back() {
    let (node, events) =
        health_node(AllowList::Anyone, |builder| builder.max_unauthenticated(2).listen(&anywhere()).unwrap());
    let silent = [tcp_stream(&node), tcp_stream(&node)];
    let mut third = tcp_stream(&node);
    third.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(matches!(next(&events), NodeEvent::Dropped(Bound::Unauthenticated)));
    assert_eq!(third.read(&mut [0; 1]).unwrap_or(0), 0);
    drop(silent);
    for _ in 0..2 {
        assert!(matches!(next(&events), NodeEvent::Refused(_)));
    }
    let mut local = Local::new(key()).unwrap();
    let peer = dial(&mut local, &address(&node)).unwrap();
    ping_once(&mut local, &peer).unwrap();
}

#[test]
fn sessions_beyond_the_bound_are_told_that_the_node_is_full() {
    let (node, _events) =
        health_node(AllowList::Anyone, |builder| builder.max_sessions(1).listen(&anywhere()).unwrap());
    let mut local = Local::new(key()).unwrap();
    let first = dial(&mut local, &address(&node)).unwrap();
    ping_once(&mut local, &first).unwrap();
    let second = dial(&mut local, &address(&node)).unwrap();
    let end = local.drive_until(second.closed()).unwrap();
    assert_eq!(end, SessionEnd::ClosedByPeer(CloseCode::OVERLOADED));
    ping_once(&mut local, &first).unwrap();
}

#[test]
fn a_node_that_stops_says_goodbye() {
    let (node, _events) = on_tcp(AllowList::Anyone);
    let mut local = Local::new(key()).unwrap();
    let peer = dial(&mut local, &address(&node)).unwrap();
    ping_once(&mut local, &peer).unwrap();
    let stopping = std::thread::spawn(move || drop(node));
    let end = local.drive_until(peer.closed()).unwrap();
    assert_eq!(end, SessionEnd::ClosedByPeer(CloseCode::GOING_AWAY));
    stopping.join().unwrap();
}

#[test]
fn a_service_that_is_not_offered_is_named_in_the_error() {
    let (node, _events) = on_tcp(AllowList::Anyone);
    let mut local = Local::new(key()).unwrap();
    let peer = dial(&mut local, &address(&node)).unwrap();
    let remote: Remote<health_capnp::health::Client> =
        peer.connect_named("no.such.service", Priority::FIRST).unwrap();
    let error = local.drive_until(health::ping(&remote, 1)).unwrap().unwrap_err();
    assert!(error.to_string().contains("no service named \"no.such.service\""), "{error}");
    ping_once(&mut local, &peer).unwrap();
}

#[test]
fn an_exclusive_service_is_had_once_per_session_of_a_node_over_tcp() {
    let (node, _events) = health_node(AllowList::Anyone, |builder| {
        let exclusive = builder.workers(2).services(|services| {
            services.serve_named_exclusive("exclusive", Priority::FIRST, health::capability)
        });
        exclusive.listen(&anywhere()).unwrap()
    });
    let mut local = Local::new(key()).unwrap();
    let had: Vec<_> = (0..3)
        .map(|number| {
            let peer = dial(&mut local, &address(&node)).unwrap();
            let connect = || -> Remote<health_capnp::health::Client> {
                peer.connect_named("exclusive", Priority::FIRST).unwrap()
            };
            let (first, second) = (connect(), connect());
            local.drive_until(health::ping(&first, number)).unwrap().unwrap();
            let error = local.drive_until(health::ping(&second, number)).unwrap().unwrap_err();
            assert!(error.to_string().contains("service \"exclusive\" is in use"), "{error}");
            assert_eq!(second.vat().ended(), Some(VatEnd::NameInUse));
            ping_once(&mut local, &peer).unwrap();
            (peer, first)
        })
        .collect();
    for (_, first) in &had {
        local.drive_until(health::ping(first, 7)).unwrap().unwrap();
    }
}

#[test]
fn a_stranger_that_says_nothing_is_dropped_at_the_handshake_deadline() {
    let deadline = Duration::from_millis(50);
    let (node, events) = health_node(AllowList::Anyone, |builder| {
        let options = SessionOptions { handshake_deadline: deadline, ..SessionOptions::default() };
        builder.session_options(options).listen(&anywhere()).unwrap()
    });
    let mut silent = tcp_stream(&node);
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(silent.read(&mut [0; 1]).unwrap_or(0), 0);
    assert!(
        matches!(next(&events), NodeEvent::Refused(HandshakeFailure::Deadline { after, .. }) if after == deadline)
    );
    assert_eq!(node.counters().unauthenticated, 0);
}

#[test]
fn a_panic_in_a_service_costs_its_caller_and_nobody_else() {
    let (node, _events) = health_node(AllowList::Anyone, |builder| {
        let builder = builder.workers(2).listen(&anywhere()).unwrap();
        builder.serve_named("defect", Priority::FIRST, |_| panic!("a defect in a service, on purpose"))
    });
    let mut local = Local::new(key()).unwrap();
    let unlucky = dial(&mut local, &address(&node)).unwrap();
    let remote: Remote<health_capnp::health::Client> =
        unlucky.connect_named("defect", Priority::FIRST).unwrap();
    local.drive_until(health::ping(&remote, 1)).unwrap().unwrap_err();
    for _ in 0..6 {
        let peer = dial(&mut local, &address(&node)).unwrap();
        ping_once(&mut local, &peer).unwrap();
    }
}

/// Shakes hands as `key`, and then neither reads nor hangs up.
fn shake_hands_and_fall_silent(node: &Node, key: &SecretKey) -> TcpStream {
    let mut stream = tcp_stream(node);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (hello, entropy) = (vatmux::Limits::HOST.hello().encode(), Entropy::from_system().unwrap());
    let suite = Suite::default();
    let mut handshake = vatmux_noise::Handshake::dial(key, node.node_id(), suite, &hello, entropy).unwrap();
    let mut buffer = [0; 512];
    while !handshake.is_complete() {
        match handshake.transmit(&mut buffer) {
            0 => {
                // Byte by byte, so as to take nothing that is behind the handshake.
                assert_eq!(stream.read(&mut buffer[..1]).unwrap(), 1);
                handshake.receive(&buffer[..1]).unwrap();
            }
            length => stream.write_all(&buffer[..length]).unwrap(),
        }
    }
    stream
}

#[test]
fn those_who_are_turned_away_keep_their_places_until_they_are_gone() {
    let nobody = AllowList::from_iter([]);
    let (node, events) =
        health_node(nobody, |builder| builder.max_unauthenticated(1).listen(&anywhere()).unwrap());
    let silent = shake_hands_and_fall_silent(&node, &key());
    let mut second = tcp_stream(&node);
    second.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(second.read(&mut [0; 1]).unwrap_or(0), 0, "the only place is taken");
    assert!(matches!(next(&events), NodeEvent::Dropped(Bound::Unauthenticated)));
    // It is told, lingers for a second, and is dropped.
    assert!(matches!(next(&events), NodeEvent::Refused(HandshakeFailure::NotAllowed(_))));
    drop(silent);
}

#[cfg(unix)]
#[test]
fn dialing_a_unix_socket_whose_queue_is_full_does_not_block() {
    use std::os::unix::net::{UnixListener, UnixStream};

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("full.sock");
    let _listener = UnixListener::bind(&path).unwrap();
    let mut queued = Vec::new();
    // Without blocking, a full queue says so; the standard library can only block, so another thread fills it.
    let (tell, told) = mpsc::channel();
    let filling = path.clone();
    std::thread::spawn(move || {
        while let Ok(stream) = UnixStream::connect(&filling) {
            if tell.send(stream).is_err() {
                return;
            }
        }
    });
    while let Ok(stream) = told.recv_timeout(Duration::from_millis(500)) {
        queued.push(stream);
    }
    let mut local = Local::new(key()).unwrap();
    let address = NodeAddress { node: key().node_id(), endpoint: Endpoint::Unix(path), path: String::new() };
    let error = dial(&mut local, &address).err().unwrap();
    assert!(error.to_string().contains("queue"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_listener_removes_no_socket_file_but_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.sock");
    let first = vatmux::Listener::bind(&Endpoint::Unix(path.clone())).unwrap();
    std::fs::remove_file(&path).unwrap();
    let _second = vatmux::Listener::bind(&Endpoint::Unix(path.clone())).unwrap();
    drop(first);
    assert!(path.exists());
}

#[test]
fn one_peer_is_served_by_a_bounded_number_of_vats() {
    let (node, _events) = on_tcp(AllowList::Anyone);
    let mut local = Local::new(key()).unwrap();
    let peer = dial(&mut local, &address(&node)).unwrap();
    let most = vatmux::VatOptions::default().max_served_vats;
    let mut vats: Vec<_> = (0..most).map(|_| connect_health(&peer)).collect();
    for vat in &vats {
        local.drive_until(health::ping(vat, 1)).unwrap().unwrap();
    }
    assert!(ping_once(&mut local, &peer).is_err(), "one more is refused");
    vats.pop();
    // The place is free when the node has seen the stream end; until then one more is refused again.
    let answered = (0..1000).any(|_| ping_once(&mut local, &peer).is_ok());
    assert!(answered);
}

#[test]
fn a_thread_that_is_busy_misses_no_wake_up() {
    let tick = Duration::from_millis(20);
    let options = SessionOptions { tick, ..SessionOptions::default() };
    let (node, _events) = health_node(AllowList::Anyone, |builder| {
        builder.session_options(options.clone()).listen(&anywhere()).unwrap()
    });
    let mut local = Local::new(key()).unwrap();
    let dialer = local.dialer().session_options(options);
    let address = address(&node);
    let peer = local.drive_until(async { dialer.dial(&address).await }).unwrap().unwrap();
    let handle = local.handle();
    let remote = connect_health(&peer);
    let (done, finished) = futures::channel::oneshot::channel();
    handle.spawn(async move {
        for nonce in 0..10 {
            // A task that takes its time, as a read of a cold disk does: ticks pass, and bytes arrive meanwhile.
            std::thread::sleep(tick * 6);
            health::ping(&remote, nonce).await.unwrap();
        }
        done.send(()).unwrap();
    });
    local.drive_until(finished).unwrap().unwrap();
    assert_eq!(handle.rescues(), 0);
}

#[test]
fn all_vats_together_and_those_of_one_peer_open_a_bounded_number_of_files() {
    use vatmux::packagefs::{MAX_OPEN_FILES, MAX_PEER_OPEN_FILES};

    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "x").unwrap();
    let tree = std::sync::Arc::new(packagefs::Tree::open(folder.path()).unwrap());
    let (node, _events) = health_node(AllowList::Anyone, |builder| {
        let builder = builder.listen(&anywhere()).unwrap();
        packagefs::offer(builder, tree, packagefs::Limits::default())
    });
    let mut locals: Vec<_> = (0..3).map(|_| Local::new(key()).unwrap()).collect();
    let [first, second, third] = &mut locals[..] else { unreachable!() };
    // One peer, on as many streams and sessions as it likes.
    let peers = [dial(first, &address(&node)).unwrap(), dial(first, &address(&node)).unwrap()];
    let _one = open_files(first, &peers[0], 100, 100);
    let most = MAX_PEER_OPEN_FILES as usize;
    let _two = open_files(first, &peers[1], 400, most - 100);
    // All of them together.
    let peer = dial(second, &address(&node)).unwrap();
    let _three = open_files(second, &peer, 400, most.min(MAX_OPEN_FILES as usize - most));
    let peer = dial(third, &address(&node)).unwrap();
    let _four = open_files(third, &peer, 10, (MAX_OPEN_FILES as usize).saturating_sub(2 * most));
}

/// Opens a file `asked` times on several streams, of which `opened` come to something; and the rest is too many.
#[track_caller]
fn open_files(local: &mut Local, peer: &Peer, asked: usize, opened: usize) -> impl Sized + use<> {
    use vatmux::schema::packagefs_capnp::{Status, package_fs};

    let asking = async {
        let (mut vats, mut files, mut refused) = (Vec::new(), Vec::new(), 0);
        for at in 0..asked {
            if at % 150 == 0 {
                let vat: Remote<package_fs::Client> =
                    peer.connect_named(packagefs::SERVICE_NAME, packagefs::PRIORITY).unwrap();
                vats.push(vat);
            }
            let mut request = vats.last().unwrap().open_request();
            request.get().set_path("file");
            let answer = request.send().promise.await.unwrap();
            match answer.get().unwrap().get_status().unwrap() {
                Status::Ok => files.push(answer.get().unwrap().get_file().unwrap()),
                Status::TooManyOpen => refused += 1,
                other => panic!("{other:?}"),
            }
        }
        (vats, files, refused)
    };
    let (vats, files, refused) = local.drive_until(asking).unwrap();
    assert_eq!((files.len(), refused), (opened, asked - opened));
    (vats, files)
}

#[cfg(unix)]
#[test]
fn callers_that_come_without_end_do_not_keep_a_node_from_stopping() {
    use std::os::unix::net::UnixStream;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.sock");
    let (node, events) = health_node(AllowList::Anyone, |builder| {
        builder.max_unauthenticated(0).workers(1).listen(&Endpoint::Unix(path.clone())).unwrap()
    });
    let enough = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..6)
        .map(|_| {
            let (enough, path) = (enough.clone(), path.clone());
            std::thread::spawn(move || {
                while !enough.load(Ordering::Relaxed) {
                    let _ = UnixStream::connect(&path);
                }
            })
        })
        .collect();
    for _ in 0..1000 {
        assert!(matches!(next(&events), NodeEvent::Dropped(Bound::Unauthenticated)));
    }
    let (tell, stopped) = mpsc::channel();
    let stopping = std::thread::spawn(move || {
        drop(node);
        tell.send(()).unwrap();
    });
    let in_time = stopped.recv_timeout(PATIENCE);
    enough.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.join().unwrap();
    }
    stopping.join().unwrap();
    in_time.expect("the node stops while callers still come");
}
