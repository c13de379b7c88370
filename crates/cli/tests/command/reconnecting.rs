//! A program that stays in touch with `vatmux serve` while that is killed, started again, and started by somebody else.

use std::fs;
use std::net::TcpListener;
use std::rc::Rc;
use std::time::Duration;

use capnp::capability::Promise;
use futures::future::join;
use vatmux::schema::health_capnp::health;
use vatmux::schema::packagefs_capnp::{byte_sink, package_fs};
use vatmux::{
    CallError, Disconnected, Entropy, GivenUp, Local, NodeAddress, PeerState, ReconnectOptions,
    ReconnectingPeer, SecretKey, ServiceOfPeer, Unreachable, health as health_service, packagefs,
};
use vatmux_liveness::{AttemptBudget, Backoff, Exhausted, MismatchBudget, RedialLimits, RetryLimits};

use crate::harness::{Serving, World};

/// A program of its own, with a key of its own.
struct Program {
    local: Local,
    world: World,
    /// What it may be reached by.
    id: String,
}

impl Program {
    fn new() -> Self {
        let local = Local::new(SecretKey::generate(Entropy::from_system().unwrap())).unwrap();
        let id = local.dialer().node_id().to_string();
        let world = World::new();
        fs::write(world.tree().join("file"), vec![7; 100_000]).unwrap();
        Self { local, world, id }
    }

    /// The tree, served by somebody's node to somebody.
    fn serve(&self, whose: &str, port: u16, allow: &str) -> Serving {
        let (tree, listen) = (self.world.tree(), format!("127.0.0.1:{port}"));
        let words = ["serve", tree.to_str().unwrap(), "--listen", &listen, "--allow", allow];
        Serving::start(self.world.vatmux_of(whose, words))
    }

    fn peer(&self, address: &str, attempts: u32) -> ReconnectingPeer {
        let outage = RetryLimits {
            within: Duration::from_secs(30),
            attempts: AttemptBudget::new(attempts).unwrap(),
            mismatches: MismatchBudget::ZERO,
            backoff: Backoff::new(Duration::from_millis(2), Duration::from_millis(50)).unwrap(),
        };
        let limits = RedialLimits { outage, settled_after: Duration::ZERO };
        let address: NodeAddress = address.parse().unwrap();
        self.local.dialer().reconnecting(&address, ReconnectOptions { limits, ..ReconnectOptions::default() })
    }
}

fn health_of(peer: &ReconnectingPeer) -> ServiceOfPeer<health::Client> {
    peer.service(health_service::SERVICE_NAME, health_service::PRIORITY)
}

/// One ping, on whatever session there is.
async fn ping(health: &ServiceOfPeer<health::Client>) -> Result<u64, CallError> {
    health
        .call(|health| {
            let mut request = health.ping_request();
            request.get().set_nonce(7);
            let promise = request.send().promise;
            async move { Ok(promise.await?.get()?.get_nonce()) }
        })
        .await
}

/// Takes nothing, and so keeps the call that it was given to under way.
struct Stuck(futures::channel::mpsc::UnboundedSender<()>);

impl byte_sink::Server for Stuck {
    async fn write(self: Rc<Self>, _: byte_sink::WriteParams) -> capnp::Result<()> {
        let _ = self.0.unbounded_send(());
        std::future::pending().await
    }
}

fn stream_into_a_stuck_sink(
    files: &package_fs::Client,
    reached: futures::channel::mpsc::UnboundedSender<()>,
) -> Promise<(), capnp::Error> {
    let mut open = files.open_request();
    open.get().set_path("file");
    let mut stream = open.send().pipeline.get_file().stream_request();
    stream.get().set_sink(capnp_rpc::new_client(Stuck(reached)));
    let promise = stream.send().promise;
    Promise::from_future(async move { promise.await.map(drop) })
}

#[test]
fn a_server_killed_in_the_middle_of_a_call_and_started_again() {
    let mut program = Program::new();
    let serving = program.serve("server", 0, &program.id);
    let port = serving.port();
    let peer = program.peer(serving.line(), 1_000);
    let files: ServiceOfPeer<package_fs::Client> = peer.service(packagefs::SERVICE_NAME, packagefs::PRIORITY);
    let health = health_of(&peer);

    let (reached, mut stuck) = futures::channel::mpsc::unbounded();
    let call = files.call(|files| stream_into_a_stuck_sink(files, reached));
    let (outcome, ()) = program
        .local
        .drive_until(join(call, async {
            futures::StreamExt::next(&mut stuck).await;
            // As kill -9 does.
            drop(serving);
        }))
        .unwrap();
    let Err(CallError::Disconnected { lost, error }) = outcome else { panic!("the server is dead") };
    assert_eq!(lost, Disconnected { maybe_delivered: true }, "{error}");

    // Nobody listens now. A call waits, and goes through when somebody does.
    let (tell, told) = futures::channel::oneshot::channel();
    let (again, id) = (program.serve_later(port), program.id.clone());
    let starting = std::thread::spawn(move || drop(tell.send(again(&id))));
    let (answer, serving) = program.local.drive_until(join(ping(&health), told)).unwrap();
    assert_eq!(answer.unwrap(), 7);
    starting.join().unwrap();
    assert_eq!((peer.epoch().get(), peer.reconnects()), (2, 1));
    drop(serving);
}

impl Program {
    /// As [`serve`](Self::serve), for another thread.
    fn serve_later(&self, port: u16) -> impl FnOnce(&str) -> Serving + Send + use<> {
        let (tree, listen) = (self.world.tree(), format!("127.0.0.1:{port}"));
        let mut command =
            self.world.vatmux_of("server", ["serve", tree.to_str().unwrap(), "--listen", &listen]);
        move |allow| {
            command.args(["--allow", allow]);
            Serving::start(command)
        }
    }
}

#[test]
fn a_server_killed_again_and_again() {
    let mut program = Program::new();
    let mut serving = program.serve("server", 0, &program.id);
    let port = serving.port();
    let peer = program.peer(serving.line(), 1_000);
    let health = health_of(&peer);
    for round in 1..=10 {
        assert_eq!(program.local.drive_until(ping(&health)).unwrap().unwrap(), 7);
        let (session, epoch) = program.local.drive_until(peer.session()).unwrap().unwrap();
        assert_eq!(epoch.get(), round);
        drop(serving);
        // A call that is made before anybody has heard of the death may be on its way to the dead.
        program.local.drive_until(session.session().ended()).unwrap();
        serving = program.serve("server", port, &program.id);
    }
}

#[test]
fn where_nobody_listens_the_peer_is_given_up_and_says_which_budget_ran_out() {
    let mut program = Program::new();
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let server = program.world.id_of("server");
    let peer = program.peer(&format!("vat://{server}@127.0.0.1:{port}"), 3);
    let outcome = program.local.drive_until(ping(&health_of(&peer))).unwrap();
    let Err(CallError::Unreachable(Unreachable::GivenUp(given_up))) = outcome else {
        panic!("nobody listens")
    };
    assert!(matches!(given_up, GivenUp::Exhausted { bound: Exhausted::Attempts { attempts: 3 }, .. }));
    assert!(given_up.to_string().contains("is a node listening there?"), "{given_up}");
}

#[test]
fn test_reject_a_program_that_is_not_on_the_list_at_once() {
    let mut program = Program::new();
    let client = program.world.id_of("client");
    let serving = program.serve("server", 0, &client);
    let peer = program.peer(serving.line(), 1_000);
    let health = health_of(&peer);
    // The first call may have been on its way when it showed.
    assert!(program.local.drive_until(ping(&health)).unwrap().is_err());
    let outcome = program.local.drive_until(ping(&health)).unwrap();
    let Err(CallError::Unreachable(Unreachable::GivenUp(GivenUp::Rejected { reason }))) = outcome else {
        panic!("it is on no list")
    };
    assert!(reason.to_string().contains("not allowed"), "{reason}");
    assert_eq!(peer.epoch().get(), 1, "it was dialed once");
}

#[test]
fn test_reject_another_node_in_the_place_of_the_one_that_died() {
    let mut program = Program::new();
    let serving = program.serve("server", 0, &program.id);
    let port = serving.port();
    let peer = program.peer(serving.line(), 3);
    let health = health_of(&peer);
    program.local.drive_until(ping(&health)).unwrap().unwrap();
    drop(serving);
    let _impostor = program.serve("impostor", port, &program.id);
    let outcome = program.local.drive_until(ping(&health)).unwrap();
    let error = match outcome {
        // Where the death was not heard of before the call was made.
        Err(CallError::Disconnected { .. }) => program.local.drive_until(ping(&health)).unwrap().unwrap_err(),
        other => other.unwrap_err(),
    };
    assert!(error.to_string().contains("another node id"), "{error}");
    assert!(matches!(peer.state(), PeerState::GivenUp(GivenUp::Exhausted { .. })));
    assert_eq!(peer.epoch().get(), 1);
}
