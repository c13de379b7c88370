//! The bridge with the C++ implementation of Cap'n Proto at both ends: its server is imported, its clients are bridged
//! to, and what they say to each other has passed two vats of ours on plain streams and two on a session.
//!
//! The C++ implementation comes with `pycapnp`. `cargo xtask test interop` provides it and runs these tests;
//! by hand, `VATMUX_INTEROP_PYTHON` names a Python that has it.

#![cfg(unix)]

mod guide;
#[path = "../command/harness.rs"]
#[allow(dead_code, reason = "the tests of the command use all of it")]
mod harness;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use harness::{Outcome, Serving, World, finish};
use rustix::process::Signal;

/// What runs the scripts beside this file.
fn python(script: &str, words: &[&str]) -> Command {
    let python = std::env::var_os("VATMUX_INTEROP_PYTHON")
        .expect("VATMUX_INTEROP_PYTHON names a Python with pycapnp; `cargo xtask test interop` sets it");
    let mut command = Command::new(python);
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop").join(script))
        .args(words)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null());
    command
}

/// The schema of a service of the project.
fn schema(name: &str) -> String {
    format!("{}/../../schema/{name}.capnp", env!("CARGO_MANIFEST_DIR"))
}

/// A scenario of the client's, at an address.
fn client(scenario: &str, address: &str) -> Command {
    python("client.py", &[scenario, address, &schema("packagefs")])
}

#[track_caller]
fn succeeds(scenario: &str, address: &str) {
    let outcome = finish(client(scenario, address));
    assert!(outcome.status.success() && outcome.stdout == b"ok\n", "{outcome:?}");
}

/// A client, a bridge, a node and a server, each a process of its own.
struct Chain {
    world: World,
    server: Serving,
    node: Serving,
    bridge: Serving,
}

impl Chain {
    fn new() -> Self {
        Self::with("127.0.0.1:0", &[])
    }

    fn with(listen: &str, flags: &[&str]) -> Self {
        let world = World::new();
        let server = Serving::start(python("server.py", &[&at(&world, "server.sock")]));
        let node = serve(&world, listen);
        let bridge = bridge(&world, &node, "probe", flags);
        Self { world, server, node, bridge }
    }

    #[track_caller]
    fn carries(&self, scenario: &str) {
        succeeds(scenario, self.bridge.line());
    }

    /// A client under way, which said `word`.
    fn client_that_says(&self, scenario: &str, word: &str) -> Serving {
        let client = Serving::start(client(scenario, self.bridge.line()));
        assert_eq!(client.line(), word);
        client
    }
}

fn at(world: &World, name: &str) -> String {
    format!("unix:{}", world.path(name).display())
}

/// A node that imports what listens at `server`.
fn serve(world: &World, listen: &str) -> Serving {
    let import = format!("probe={}", at(world, "server.sock"));
    let client = world.id_of("client");
    Serving::start(
        world.vatmux_of("server", ["serve", "--import", &import, "--listen", listen, "--allow", &client]),
    )
}

fn bridge(world: &World, node: &Serving, service: &str, flags: &[&str]) -> Serving {
    let socket = world.path("bridge");
    let words = ["bridge", node.line(), service, "--unix", socket.to_str().unwrap()];
    Serving::start(world.vatmux(words.iter().chain(flags)))
}

/// The lines that a client printed before `ok`.
#[track_caller]
fn told(client: &mut Serving) -> Vec<String> {
    let lines: Vec<_> = std::iter::repeat_with(|| client.next_line())
        .take_while(|line| line != "ok" && !line.is_empty())
        .collect();
    assert!(!lines.is_empty(), "the client failed");
    lines
}

macro_rules! carried {
    ($($(#[$doc:meta])* $name:ident: $scenario:literal,)*) => {$(
        $(#[$doc])*
        #[test]
        #[ignore = "needs pycapnp: cargo xtask test interop"]
        fn $name() {
            Chain::new().carries($scenario);
        }
    )*};
}

carried! {
    the_bootstrap_capability_is_the_services: "bootstrap",
    calls_are_pipelined_on_results_that_are_not_there: "pipelining",
    a_stream_is_written_at_the_pace_of_its_reader: "streaming",
    exceptions_keep_their_kind_and_their_words: "exceptions",
    an_unknown_method_is_unimplemented_and_ends_nothing: "unknown_method",
    capabilities_are_passed_out_and_in_and_home_again: "capabilities",
    calls_on_a_promise_that_leads_home_stay_in_order: "embargo",
    a_canceled_call_is_canceled_at_its_server: "cancel",
    a_released_capability_is_dropped_where_it_lives: "release",
    twenty_clients_at_once_do_not_meet: "crowd",
    a_message_over_the_limit_ends_its_sender_and_says_why: "too_large",
}

#[test]
#[ignore = "needs pycapnp: cargo xtask test interop"]
fn a_client_that_is_killed_takes_only_its_own_with_it() {
    let chain = Chain::new();
    let mut survivor = chain.client_that_says("survivor", "here");
    let killed = chain.client_that_says("killed", "held");
    killed.stop(Signal::KILL);
    assert_eq!(survivor.next_line(), "ok");
    chain.carries("bootstrap");
}

#[test]
#[ignore = "needs pycapnp: cargo xtask test interop"]
fn a_server_that_dies_ends_its_own_capabilities_and_the_next_one_is_found() {
    let chain = Chain::new();
    chain.carries("leave");
    let refused = finish(client("refused", chain.bridge.line()));
    let said = String::from_utf8_lossy(&refused.stdout);
    assert!(said.starts_with("DISCONNECTED: ") && said.contains("cannot reach its server"), "{refused:?}");
    // Where it is, is not told to those who dial the node, but to its owner.
    assert!(!said.contains("unix:"), "{said}");

    drop(chain.server);
    let _server = Serving::start(python("server.py", &[&at(&chain.world, "server.sock")]));
    succeeds("bootstrap", chain.bridge.line());
    let outcome = chain.node.stop(Signal::TERM);
    assert!(outcome.stderr.contains("imported service probe: cannot reach its server: unix:"), "{outcome:?}");
}

#[test]
#[ignore = "needs pycapnp: cargo xtask test interop"]
fn a_link_that_is_cut_fails_the_calls_under_way_and_the_next_client_has_the_node_dialed_again() {
    let Chain { world, server: _server, node, bridge } = Chain::new();
    let mut severed = Serving::start(client("severed", bridge.line()));
    assert_eq!(severed.line(), "held");
    let listen = format!("127.0.0.1:{}", node.port());
    node.stop(Signal::KILL);
    for line in told(&mut severed) {
        assert!(line.contains("service \"probe\" is gone: ") && line.contains(&listen), "{line}");
    }
    let refused = finish(client("refused", bridge.line()));
    let said = String::from_utf8_lossy(&refused.stdout);
    assert!(said.starts_with("DISCONNECTED: ") && said.contains("cannot connect to"), "{refused:?}");

    let _node = serve(&world, &listen);
    // A failed dial is not repeated within a second, whoever connects.
    let until = Instant::now() + Duration::from_secs(20);
    while !finish(client("bootstrap", bridge.line())).status.success() {
        assert!(Instant::now() < until, "the node is not dialed again");
    }
}

#[test]
#[ignore = "needs pycapnp: cargo xtask test interop"]
fn a_bridge_that_is_shut_down_says_so_to_its_clients() {
    let Chain { world: _world, server: _server, node: _node, bridge } = Chain::new();
    let mut severed = Serving::start(client("severed", bridge.line()));
    let socket = bridge.line().strip_prefix("unix:").unwrap().to_owned();
    let Outcome { status, stderr, .. } = bridge.stop(Signal::TERM);
    assert!(status.success() && stderr.contains("program 1 was let go: the bridge is shut down"), "{stderr}");
    assert!(!Path::new(&socket).exists());
    for line in told(&mut severed) {
        assert!(line.contains("the bridge is shut down"), "{line}");
    }
}

#[test]
#[ignore = "needs pycapnp: cargo xtask test interop"]
fn a_call_has_the_bridges_deadline() {
    Chain::with("127.0.0.1:0", &["--call-timeout", "1"]).carries("slow");
}

#[test]
#[ignore = "needs pycapnp: cargo xtask test interop"]
fn a_client_over_the_bound_is_told_so() {
    let chain = Chain::with("127.0.0.1:0", &["--max-connections", "1"]);
    let first = chain.client_that_says("severed", "held");
    let refused = finish(client("refused", chain.bridge.line()));
    let said = String::from_utf8_lossy(&refused.stdout);
    assert!(said.contains("the bridge has 1 users, and no more are let in"), "{refused:?}");
    drop(first);
    let outcome = chain.bridge.stop(Signal::TERM);
    assert!(outcome.stderr.contains("program 2 was turned away: "), "{outcome:?}");
}

#[test]
#[ignore = "needs pycapnp: cargo xtask test interop"]
fn cpp_reads_the_files_of_a_node() {
    let world = World::new();
    fs::write(world.tree().join("small"), "content").unwrap();
    fs::write(world.tree().join("large"), b"0123456789abcdef".repeat(200_000)).unwrap();
    let node = world.serve();
    succeeds("files", bridge(&world, &node, "vatmux.packagefs", &[]).line());
}

#[test]
#[ignore = "needs pycapnp: cargo xtask test interop"]
fn cpp_pings_a_node_over_loopback_tcp() {
    let world = World::new();
    let node = world.serve();
    let words = ["bridge", node.line(), "vatmux.health", "--priority", "0", "--tcp", "127.0.0.1:0"];
    let bridge = Serving::start(world.vatmux(words));
    let health = python("client.py", &["health", bridge.line(), &schema("health")]);
    assert_eq!(finish(health).succeeded(), "ok\n");
}

#[test]
#[ignore = "needs pycapnp: cargo xtask test interop"]
fn files_served_by_cpp_are_read_as_a_nodes() {
    let world = World::new();
    let files = Serving::start(python("files.py", &[&schema("packagefs"), "127.0.0.1:0"]));
    let import = format!("vatmux.packagefs=tcp:{}", files.line());
    let words = ["serve", "--import", &import, "--listen", "127.0.0.1:0", "--allow-anyone"];
    let node = Serving::start(world.vatmux_of("server", words));
    assert_eq!(finish(world.vatmux(["ls", node.line()])).succeeded(), "greeting.txt\nlarge\n");
    assert_eq!(finish(world.vatmux(["cat", &node.at("greeting.txt")])).succeeded(), "hello from afar\n");
    finish(world.vatmux(["cat", &node.at("missing")])).failed(1, &["missing"]);
    let large = finish(world.vatmux(["cat", &node.at("large")]));
    let expected: Vec<u8> = (0..2000).flat_map(|_| 0..=255).collect();
    assert!(large.status.success() && large.stdout == expected, "{}", large.stderr);
}
