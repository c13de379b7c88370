//! Services over real sessions: Noise and mux under every vat.

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use capnp::ErrorKind;
use capnp::capability::{Client, FromClientHook};
use common::{ProbeServer, Seen, echo, never, probe};
use futures::future::{join, join_all};
use vatmux_driver::{Driver, Handle, Session, SessionEnd, SessionOptions, accept, dial, pipe, virtual_time};
use vatmux_mux::{CloseCode, HeapStorage, MAX_EXCLUSIVE_NAMES, Priority, ResetCode, StreamName};
use vatmux_noise::{AllowList, Entropy, NodeId, SecretKey};
use vatmux_rpc::{
    ConnectError, Exceeded, Limits, MustFinish, Options, Peer, Remote, ServeError, Services, VatEnd,
};

const DIALER: u8 = 1;
const ACCEPTOR: u8 = 2;
const STRANGER: u8 = 5;

fn key(number: u8) -> SecretKey {
    SecretKey::generate(Entropy::from_bytes([number; 32]).unwrap())
}

fn node(number: u8) -> NodeId {
    key(number).node_id()
}

/// Two sessions over an in-process link.
fn sessions(driver: &mut Driver) -> (Session, Session) {
    sessions_of(driver, DIALER)
}

fn sessions_of(driver: &mut Driver, dialer: u8) -> (Session, Session) {
    let handle = driver.handle();
    let (near, far) = pipe(1 << 20);
    let (dialer, acceptor, allow) = (key(dialer), key(ACCEPTOR), AllowList::Anyone);
    let entropy = |number| Entropy::from_bytes([number; 32]).unwrap();
    let options = SessionOptions::default;
    let dialing = dial(&handle, near, &dialer, node(ACCEPTOR), entropy(3), HeapStorage::default(), options());
    let accepting = accept(&handle, far, &acceptor, &allow, entropy(4), HeapStorage::default(), options());
    let (dialed, accepted) = driver.drive_until(join(dialing, accepting)).unwrap();
    (dialed.unwrap(), accepted.unwrap())
}

struct Nodes {
    driver: Driver,
    handle: Handle,
    seen: Rc<Seen>,
    dialer: Peer,
    acceptor: Peer,
}

fn offer(seen: &Rc<Seen>, handle: &Handle) -> impl Fn(&Peer) -> Client + use<> {
    let (seen, handle) = (seen.clone(), handle.clone());
    move |_| {
        let client: probe::Client = capnp_rpc::new_client(ProbeServer::new(&seen, &handle));
        Client::new(client.into_client_hook())
    }
}

impl Nodes {
    fn new() -> Self {
        Self::with(&Options::default())
    }

    fn with(options: &Options) -> Self {
        let (mut driver, _) = virtual_time::driver();
        let handle = driver.handle();
        let seen = Rc::new(Seen::default());
        let (dialed, accepted) = sessions(&mut driver);
        let mut services = Services::default();
        services.serve_named("probe", Priority::default(), offer(&seen, &handle)).unwrap();
        let services = Rc::new(services);
        let dialer = Peer::new(dialed, services.clone(), options.clone());
        let acceptor = Peer::new(accepted, services, options.clone());
        Self { driver, handle, seen, dialer, acceptor }
    }

    fn run<F: Future>(&mut self, future: F) -> F::Output {
        self.driver.drive_until(future).expect("something always goes on")
    }
}

fn connect(peer: &Peer) -> Remote<probe::Client> {
    peer.connect_named("probe", Priority::default()).unwrap()
}

#[test]
fn a_service_is_called_by_its_name_from_either_side() {
    let mut nodes = Nodes::new();
    let (there, back) = (connect(&nodes.dialer), connect(&nodes.acceptor));
    let answers = nodes.run(async { join(echo(&there, 1), echo(&back, 2)).await });
    assert_eq!((answers.0.unwrap(), answers.1.unwrap()), (1, 2));
    assert_eq!(nodes.handle.rescues(), 0);
    let numbers = nodes.seen.numbers.take();
    let callers = nodes.seen.contexts.take().into_iter().map(|context| context.unwrap().peer().unwrap());
    let mut calls: Vec<_> = numbers.into_iter().zip(callers).collect();
    calls.sort_unstable_by_key(|(number, _)| *number);
    assert_eq!(calls, [(1, node(DIALER)), (2, node(ACCEPTOR))], "each call says whose it is");
}

#[test]
fn the_factory_sees_the_key_that_the_handshake_proved() {
    let (mut driver, _) = virtual_time::driver();
    let handle = driver.handle();
    let (dialed, accepted) = sessions(&mut driver);
    let callers = Rc::new(std::cell::RefCell::new(Vec::new()));
    let mut services = Services::default();
    let (called_by, make) = (callers.clone(), offer(&Rc::default(), &handle));
    services
        .serve_named("probe", Priority::FIRST, move |peer| {
            called_by.borrow_mut().push(peer.node_id());
            make(peer)
        })
        .unwrap();
    let _acceptor = Peer::new(accepted, Rc::new(services), Options::default());
    let dialer = Peer::new(dialed, Rc::default(), Options::default());
    assert_eq!(dialer.node_id(), node(ACCEPTOR));
    let (one, two) = (connect(&dialer), connect(&dialer));
    driver.drive_until(join(echo(&one, 1), echo(&two, 2))).unwrap().0.unwrap();
    assert_eq!(*callers.borrow(), [node(DIALER), node(DIALER)]);
}

#[test]
fn a_service_that_the_peer_does_not_offer_is_named_in_the_error() {
    let mut nodes = Nodes::new();
    let remote: Remote<probe::Client> = nodes.dialer.connect_named("prob", Priority::default()).unwrap();
    let error = nodes.run(echo(&remote, 1)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Failed);
    assert_eq!(error.extra, "the peer offers no service named \"prob\"");
    assert_eq!(remote.vat().ended(), Some(VatEnd::NoSuchService));
    let error = nodes.run(echo(&remote, 1)).unwrap_err();
    assert_eq!(error.extra, "the peer offers no service named \"prob\"", "later calls say the same");
}

#[test]
fn a_stream_more_urgent_than_its_service_allows_is_refused() {
    let mut nodes = Nodes::new();
    let remote: Remote<probe::Client> = nodes.dialer.connect_named("probe", Priority::FIRST).unwrap();
    let error = nodes.run(echo(&remote, 1)).unwrap_err();
    assert_eq!(remote.vat().ended(), Some(VatEnd::Reset(ResetCode::NOT_ALLOWED)));
    assert!(error.extra.contains("not allowed"), "{error}");
    let remote: Remote<probe::Client> = nodes.dialer.connect_named("probe", Priority::LAST).unwrap();
    assert_eq!(nodes.run(echo(&remote, 1)).unwrap(), 1);
}

#[test]
fn names_that_cannot_be_are_refused_at_once() {
    let nodes = Nodes::new();
    let mut services = Services::default();
    let make = || offer(&nodes.seen, &nodes.handle);
    assert!(matches!(
        services.serve_named("two words", Priority::FIRST, make()),
        Err(ServeError::Name { .. })
    ));
    assert!(matches!(services.serve_named("", Priority::FIRST, make()), Err(ServeError::Name { .. })));
    services.serve_named("one", Priority::FIRST, make()).unwrap();
    let error = services.serve_named("one", Priority::LAST, make()).unwrap_err();
    assert_eq!(error.to_string(), "two services are named one");
    let error = nodes.dialer.connect_named::<probe::Client>("two words", Priority::FIRST).err().unwrap();
    assert!(matches!(error, ConnectError::Name { .. }), "{error}");
}

#[test]
fn dropping_the_remote_frees_the_stream_and_the_server_while_the_session_goes_on() {
    let mut nodes = Nodes::new();
    for _ in 0..300 {
        let remote = connect(&nodes.dialer);
        assert_eq!(nodes.run(echo(&remote, 1)).unwrap(), 1);
        drop(remote);
    }
    let handle = nodes.handle.clone();
    nodes.run(handle.sleep(Duration::from_millis(1)));
    assert_eq!(nodes.seen.probes.get(), 0);
    assert_eq!(nodes.dialer.session().end(), None);
}

#[test]
fn when_the_session_ends_every_call_says_why() {
    let mut nodes = Nodes::new();
    let remote = connect(&nodes.dialer);
    nodes.run(echo(&remote, 1)).unwrap();
    let call = never(&remote);
    nodes.acceptor.close(CloseCode::GOING_AWAY);
    let error = nodes.run(call.promise).err().unwrap();
    assert_eq!(error.kind, ErrorKind::Disconnected);
    assert!(error.extra.contains("the peer closed the session"), "{error}");
    let end = {
        let dialer = nodes.dialer.clone();
        nodes.run(async move { dialer.closed().await })
    };
    assert_eq!(end, SessionEnd::ClosedByPeer(CloseCode::GOING_AWAY));
    assert_eq!(remote.vat().ended(), Some(VatEnd::Session(end)));
    nodes.run(nodes.handle.clone().sleep(Duration::from_millis(1)));
    assert_eq!((nodes.seen.probes.get(), nodes.seen.running.get()), (0, 0));
    let error = nodes.dialer.connect_named::<probe::Client>("probe", Priority::default()).err().unwrap();
    assert!(
        matches!(error, ConnectError::Open { reason: vatmux_driver::OpenError::Session(_), .. }),
        "{error}"
    );
}

#[test]
fn a_session_closes_when_the_last_peer_and_the_last_remote_are_gone() {
    let mut nodes = Nodes::new();
    let remote = connect(&nodes.dialer);
    let Nodes { dialer, acceptor, driver, .. } = &mut nodes;
    let session = acceptor.session().clone();
    let unused = std::mem::replace(dialer, acceptor.clone());
    drop(unused);
    driver.drive_until(echo(&remote, 1)).unwrap().unwrap();
    assert_eq!(session.end(), None, "the remote keeps it open");
    drop(remote);
    assert_eq!(
        driver.drive_until(session.closed()).unwrap(),
        SessionEnd::ClosedByPeer(CloseCode::GOING_AWAY)
    );
}

#[test]
fn a_stream_of_writes_takes_as_many_bytes_as_were_sent() {
    let mut nodes = Nodes::new();
    let remote = connect(&nodes.dialer);
    let chunk = vec![7; 64 << 10];
    let written = nodes.run(async {
        for _ in 0..64 {
            let mut request = remote.write_request();
            request.get().set_bytes(&chunk);
            request.send().await.unwrap();
        }
        remote.written_request().send().promise.await.unwrap().get().unwrap().get_bytes()
    });
    assert_eq!(written, 4 << 20);
    assert_eq!(nodes.handle.rescues(), 0);
}

#[test]
fn many_vats_of_one_session_do_not_disturb_each_other() {
    let mut nodes = Nodes::new();
    let remotes: Vec<_> = (0..16).map(|_| connect(&nodes.dialer)).collect();
    let calls = remotes.iter().enumerate().map(|(number, remote)| async move {
        let stuck = never(remote);
        let mut answers = Vec::new();
        for n in 0..20 {
            answers.push(echo(remote, number as u64 * 100 + n).await.unwrap());
        }
        drop(stuck);
        answers
    });
    for (number, answers) in nodes.run(join_all(calls)).into_iter().enumerate() {
        assert_eq!(answers, (0..20).map(|n| number as u64 * 100 + n).collect::<Vec<_>>());
    }
}

/// A node that offers "probe" exclusively, one that dials it, and how often the factory was called.
fn exclusive_nodes() -> (Nodes, Rc<Cell<usize>>) {
    let (mut driver, _) = virtual_time::driver();
    let handle = driver.handle();
    let seen = Rc::new(Seen::default());
    let (dialed, accepted) = sessions(&mut driver);
    let made = Rc::new(Cell::new(0));
    let mut services = Services::default();
    let (make, count) = (offer(&seen, &handle), made.clone());
    services
        .serve_named_exclusive("probe", Priority::default(), move |peer| {
            count.set(count.get() + 1);
            make(peer)
        })
        .unwrap();
    services.serve_named("shared", Priority::default(), offer(&seen, &handle)).unwrap();
    let dialer = Peer::new(dialed, Rc::default(), Options::default());
    let acceptor = Peer::new(accepted, Rc::new(services), Options::default());
    (Nodes { driver, handle, seen, dialer, acceptor }, made)
}

#[test]
fn a_second_stream_of_an_exclusive_service_is_refused_before_anything_is_made_for_it() {
    let (mut nodes, made) = exclusive_nodes();
    let first = connect(&nodes.dialer);
    assert_eq!(nodes.run(echo(&first, 1)).unwrap(), 1);
    let second = connect(&nodes.dialer);
    let error = nodes.run(echo(&second, 2)).unwrap_err();
    assert_eq!(second.vat().ended(), Some(VatEnd::NameInUse));
    assert_eq!(error.kind, ErrorKind::Failed);
    assert!(error.extra.contains("service \"probe\" is in use"), "{error}");
    assert_eq!((made.get(), nodes.seen.probes.get()), (1, 1));
    assert_eq!(nodes.run(echo(&first, 3)).unwrap(), 3, "the first lives on");

    // Others are not concerned, nor is the same name in another session.
    for _ in 0..2 {
        let shared: Remote<probe::Client> =
            nodes.dialer.connect_named("shared", Priority::default()).unwrap();
        assert_eq!(nodes.run(echo(&shared, 4)).unwrap(), 4);
    }
    assert_eq!(nodes.dialer.session().end(), None);
}

#[test]
fn both_of_two_streams_that_leave_together_never_get_an_exclusive_service() {
    let (mut nodes, made) = exclusive_nodes();
    let (first, second) = (connect(&nodes.dialer), connect(&nodes.dialer));
    let (one, two) = nodes.run(join(echo(&first, 1), echo(&second, 2)));
    assert_eq!(one.unwrap(), 1);
    assert!(two.is_err());
    assert_eq!(made.get(), 1);
}

#[test]
fn streams_that_came_before_the_services_were_known_compete_as_well() {
    let (mut driver, _) = virtual_time::driver();
    let handle = driver.handle();
    let seen = Rc::new(Seen::default());
    let (dialed, accepted) = sessions(&mut driver);
    let dialer = Peer::new(dialed, Rc::default(), Options::default());
    let (first, second) = (connect(&dialer), connect(&dialer));
    let calls = join(echo(&first, 1), echo(&second, 2));
    // Both streams are there before the acceptor offers anything.
    driver.drive_until(handle.sleep(Duration::from_millis(1))).unwrap();
    let mut services = Services::default();
    services.serve_named_exclusive("probe", Priority::default(), offer(&seen, &handle)).unwrap();
    let _acceptor = Peer::new(accepted, Rc::new(services), Options::default());
    let (one, two) = driver.drive_until(calls).unwrap();
    assert_eq!(one.unwrap(), 1);
    assert!(two.is_err());
    assert_eq!(second.vat().ended(), Some(VatEnd::NameInUse));
}

#[test]
fn an_exclusive_service_can_be_had_again_when_its_stream_is_over() {
    let (mut nodes, made) = exclusive_nodes();
    for round in 1..=3 {
        let remote = connect(&nodes.dialer);
        assert_eq!(nodes.run(echo(&remote, round)).unwrap(), round);
        drop(remote);
        nodes.run(nodes.handle.clone().sleep(Duration::from_millis(1)));
        assert_eq!(made.get(), usize::try_from(round).unwrap());
    }
}

#[test]
fn a_bounded_number_of_services_is_exclusive() {
    let (nodes, _) = exclusive_nodes();
    let mut services = Services::default();
    let make = || offer(&nodes.seen, &nodes.handle);
    for number in 0..MAX_EXCLUSIVE_NAMES {
        services.serve_named_exclusive(&format!("service-{number}"), Priority::FIRST, make()).unwrap();
    }
    assert!(matches!(
        services.serve_named_exclusive("service-0", Priority::FIRST, make()),
        Err(ServeError::Taken(_))
    ));
    let error = services.serve_named_exclusive("one-more", Priority::FIRST, make()).unwrap_err();
    assert_eq!(error.to_string(), "service one-more cannot be exclusive: at most 16 names can be exclusive");
    services.serve_named("one-more", Priority::FIRST, make()).expect("what was refused left nothing behind");
}

#[test]
fn ten_thousand_duplicates_of_an_exclusive_service_make_nothing_and_end_in_a_budget() {
    let (mut nodes, made) = exclusive_nodes();
    let first = connect(&nodes.dialer);
    nodes.run(echo(&first, 1)).unwrap();
    let name = StreamName::new("probe").unwrap();
    let session = nodes.dialer.session().clone();
    let handle = nodes.handle.clone();
    let mut opened = 0;
    nodes.run(async {
        while opened < 10_000 && session.end().is_none() {
            let stream = session.open(&name, Priority::default());
            opened += usize::from(stream.is_ok());
            // A stream that is dropped before its OPEN has left is never mentioned.
            handle.sleep(Duration::from_micros(1)).await;
        }
    });
    assert!(matches!(nodes.acceptor.session().end(), Some(SessionEnd::Violation(_))), "{opened} opened");
    assert!((1000..1500).contains(&opened), "{opened}");
    assert_eq!(made.get(), 1);
}

/// What one stream of a peer says ends that stream's vat, and no other, and not the session.
#[test]
fn a_stream_that_breaks_the_protocol_ends_alone() {
    use futures::{AsyncReadExt, AsyncWriteExt};

    let mut nodes = Nodes::new();
    let (there, back) = (connect(&nodes.dialer), connect(&nodes.acceptor));
    nodes.run(async { join(echo(&there, 1), echo(&back, 2)).await }).0.unwrap();
    let waiting = never(&there);
    let name = StreamName::new("probe").unwrap();
    for round in 0..50_u8 {
        let mut stream = nodes.dialer.session().open(&name, Priority::default()).unwrap();
        let said = nodes.run(async {
            let message = if round % 2 == 0 {
                // A Release of a capability that it does not hold, or a pointer into nowhere.
                let mut builder = capnp::message::Builder::new_default();
                let root: capnp_rpc::rpc_capnp::message::Builder<'_> = builder.init_root();
                root.init_release().set_id(7);
                capnp::serialize::write_message_to_words(&builder)
            } else {
                [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 9, 9, 9].to_vec()
            };
            stream.write_all(&message).await.unwrap();
            let mut said = Vec::new();
            stream.read_to_end(&mut said).await.unwrap();
            said
        });
        assert!(!said.is_empty(), "it is told why");
        drop(stream);
    }
    let answers = nodes.run(async { join(echo(&there, 3), echo(&back, 4)).await });
    assert_eq!((answers.0.unwrap(), answers.1.unwrap()), (3, 4));
    assert_eq!((there.vat().ended(), back.vat().ended()), (None, None));
    assert_eq!(nodes.seen.running.get(), 1, "the call that waited waits on");
    drop(waiting);
}

/// Lets everything run that can run at this moment.
fn settle(nodes: &mut Nodes) {
    let handle = nodes.handle.clone();
    nodes.run(async move { handle.sleep(Duration::from_millis(1)).await });
}

fn is_overloaded(outcome: Result<u64, capnp::Error>, what: &str) {
    let error = outcome.expect_err("too much is under way");
    assert_eq!(error.kind, ErrorKind::Overloaded, "{error}");
    assert!(error.to_string().contains(what), "{error}");
}

#[test]
fn the_calls_of_one_peer_are_bounded_over_all_its_streams() {
    let limits = Limits { max_peer_calls: 3, ..Limits::default() };
    let mut nodes = Nodes::with(&Options { limits, ..Options::default() });
    let (first, second) = (connect(&nodes.dialer), connect(&nodes.dialer));
    let back = connect(&nodes.acceptor);
    nodes.run(join_all([&first, &second, &back].map(|probe| echo(probe, 1))));
    let waiting = [never(&first), never(&first), never(&second)];
    settle(&mut nodes);
    for probe in [&first, &second] {
        is_overloaded(nodes.run(echo(probe, 2)), "as many as 3 calls");
    }
    // The other direction has an account of its own.
    assert_eq!(nodes.run(echo(&back, 3)).unwrap(), 3);
    // What one stream lets go of, another one may have.
    drop(waiting);
    settle(&mut nodes);
    assert_eq!(nodes.run(echo(&first, 4)).unwrap(), 4);
    assert_eq!(nodes.run(echo(&second, 5)).unwrap(), 5);
}

#[test]
fn a_stream_that_ends_gives_back_what_its_calls_took_of_the_peers_bounds() {
    let limits = Limits { max_peer_calls: 2, ..Limits::default() };
    let mut nodes = Nodes::with(&Options { limits, ..Options::default() });
    let (first, second) = (connect(&nodes.dialer), connect(&nodes.dialer));
    let waiting = [never(&first), never(&first)];
    settle(&mut nodes);
    is_overloaded(nodes.run(echo(&second, 1)), "as many as 2 calls");
    first.vat().end();
    settle(&mut nodes);
    assert_eq!(nodes.run(echo(&second, 2)).unwrap(), 2);
    drop(waiting);
}

#[test]
fn the_bytes_that_one_peer_has_held_are_bounded_over_all_its_streams() {
    let limits = Limits { max_peer_held_bytes: 60_000, ..Limits::default() };
    let mut nodes = Nodes::with(&Options { limits, ..Options::default() });
    let (first, second) = (connect(&nodes.dialer), connect(&nodes.dialer));
    let blob = |probe: &probe::Client, bytes| {
        let mut request = probe.blob_and_counter_request();
        request.get().set_bytes(bytes);
        request.send().promise
    };
    // An answer is held until it is finished, which is when it is dropped here.
    let held = nodes.run(blob(&first, 80_000)).unwrap();
    is_overloaded(nodes.run(echo(&second, 1)), "as many as 60000 bytes");
    drop(held);
    settle(&mut nodes);
    assert_eq!(nodes.run(echo(&second, 2)).unwrap(), 2);
    // There is room for another call, but not for its answer: the stream of that ends.
    let one = nodes.run(blob(&first, 50_000)).unwrap();
    assert!(nodes.run(blob(&second, 80_000)).is_err(), "the second answer");
    let VatEnd::Aborted(reason) = second.vat().ended().expect("its end") else { panic!("another end") };
    let exceeded = Exceeded::PeerHeldBytes { held: 0, limit: 60_000 }.to_string();
    assert!(reason.contains(exceeded.strip_prefix('0').unwrap()), "{reason}");
    assert_eq!(first.vat().ended(), None);
    drop(one);
    settle(&mut nodes);
    assert_eq!(nodes.run(echo(&first, 3)).unwrap(), 3);
}

/// One node that two others dial, the one twice.
#[test]
fn the_calls_of_one_peer_are_bounded_over_all_its_sessions() {
    let (mut driver, _) = virtual_time::driver();
    let handle = driver.handle();
    let seen = Rc::new(Seen::default());
    let mut services = Services::default();
    services.serve_named("probe", Priority::default(), offer(&seen, &handle)).unwrap();
    let services = Rc::new(services);
    let limits = Limits { max_peer_calls: 2, ..Limits::default() };
    let options = Options { limits, ..Options::default() };
    let accounts = options.accounts.clone();
    let mut meet = |dialer| {
        let (dialed, accepted) = sessions_of(&mut driver, dialer);
        let accepted = Peer::new(accepted, services.clone(), options.clone());
        (Peer::new(dialed, Rc::default(), Options::default()), accepted)
    };
    let (one, another, stranger) = (meet(DIALER), meet(DIALER), meet(STRANGER));
    assert_eq!(accounts.open(), 2);
    let [first, second, other] = [&one, &another, &stranger].map(|(peer, _)| connect(peer));
    let settle = |driver: &mut Driver| driver.drive_until(handle.sleep(Duration::from_millis(1))).unwrap();
    let waiting = [never(&first), never(&second)];
    settle(&mut driver);
    for probe in [&first, &second] {
        is_overloaded(driver.drive_until(echo(probe, 1)).unwrap(), "as many as 2 calls");
    }
    assert_eq!(driver.drive_until(echo(&other, 2)).unwrap().unwrap(), 2, "somebody else is served");

    // A session that ends gives back what it took, and what must finish stays until it has.
    let must_finish = MustFinish::new(&handle, 100);
    *seen.must_finish.borrow_mut() = Some(must_finish.clone());
    drop(waiting);
    settle(&mut driver);
    let mut request = first.after_request();
    request.get().set_millis(60_000);
    let finishing = request.send();
    settle(&mut driver);
    drop((finishing, first));
    one.0.close(CloseCode::GOING_AWAY);
    driver.drive_until(join(one.0.closed(), one.1.closed())).unwrap();
    drop(one);
    assert_eq!(must_finish.running(), 1);
    let waiting = never(&second);
    settle(&mut driver);
    is_overloaded(driver.drive_until(echo(&second, 3)).unwrap(), "as many as 2 calls");
    driver.drive_until(handle.sleep(Duration::from_mins(1))).unwrap();
    assert_eq!(must_finish.running(), 0);
    assert_eq!(driver.drive_until(echo(&second, 4)).unwrap().unwrap(), 4);
    drop(waiting);

    // The account goes with the last session.
    assert_eq!(accounts.open(), 2);
    drop(second);
    another.0.close(CloseCode::GOING_AWAY);
    driver.drive_until(join(another.0.closed(), another.1.closed())).unwrap();
    drop(another);
    settle(&mut driver);
    // Whoever keeps the context of a call keeps it, too.
    assert_eq!(accounts.open(), 2);
    seen.contexts.take();
    assert_eq!(accounts.open(), 1);
}

/// What a peer learns of a service that it asks for twice at once: the errors, how the streams ended, and every record and byte
/// that passed for it.
fn learned(
    nodes: &mut Nodes,
    name: &str,
    priority: Priority,
) -> (Vec<String>, [Option<VatEnd>; 2], [u64; 4]) {
    let before = nodes.dialer.session().traffic();
    let ask = || -> Remote<probe::Client> { nodes.dialer.connect_named(name, priority).unwrap() };
    let (one, two) = (ask(), ask());
    let (first, second) = nodes.run(join(echo(&one, 1), echo(&two, 2)));
    let ends = [one.vat().ended(), two.vat().ended()];
    let errors = [first, second].map(|answer| answer.unwrap_err().extra.replace(name, "NAME")).into();
    drop((one, two));
    let handle = nodes.handle.clone();
    nodes.run(handle.sleep(Duration::from_millis(10)));
    let after = nodes.dialer.session().traffic();
    let passed = [
        after.records_sent - before.records_sent,
        after.bytes_sent - before.bytes_sent,
        after.records_received - before.records_received,
        after.bytes_received - before.bytes_received,
    ];
    (errors, ends, passed)
}

#[test]
fn test_reject_disallowed_service_so_that_it_looks_like_one_that_is_not_there() {
    let (mut driver, _) = virtual_time::driver();
    let handle = driver.handle();
    let seen = Rc::new(Seen::default());
    let (dialed, accepted) = sessions(&mut driver);
    let mut services = Services::default();
    services.permit(|peer, service| *peer == node(DIALER) && !service.starts_with("denied"));
    services.serve_named("probe", Priority::default(), offer(&seen, &handle)).unwrap();
    services.serve_named("denied1", Priority::default(), offer(&seen, &handle)).unwrap();
    services.serve_named_exclusive("denied2", Priority::default(), offer(&seen, &handle)).unwrap();
    services.permit(|_, service| service != "another");
    services.serve_named("another", Priority::default(), offer(&seen, &handle)).unwrap();
    let dialer = Peer::new(dialed, Rc::default(), Options::default());
    let acceptor = Peer::new(accepted, Rc::new(services), Options::default());
    let mut nodes = Nodes { driver, handle, seen, dialer, acceptor };

    for priority in [Priority::default(), Priority::FIRST] {
        let absent = learned(&mut nodes, "missing", priority);
        assert_eq!(absent.1, [Some(VatEnd::NoSuchService), Some(VatEnd::NoSuchService)]);
        for name in ["denied1", "denied2", "another"] {
            assert_eq!(learned(&mut nodes, name, priority), absent, "{name}");
        }
    }
    assert_eq!(nodes.seen.probes.get(), 0, "nothing was made for what was denied");
    let probe = connect(&nodes.dialer);
    assert_eq!(nodes.run(echo(&probe, 3)).unwrap(), 3);
}
