//! `bridge`, and `serve --import`: what they refuse, and what they say. What passes through them is tested with the C++
//! implementation.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};

use rustix::process::Signal;

use crate::harness::{Serving, World, finish};

#[test]
fn plain_text_leaves_this_machine_only_where_somebody_insists() {
    let world = World::new();
    let serving = world.serve();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:9000", "example.org:9000"] {
        let words = ["bridge", serving.line(), "vatmux.health", "--tcp", address];
        finish(world.vatmux(words))
            .failed(2, &[address, "not on this machine alone", "--insecure-plain-tcp"]);
        let import = format!("x=tcp:{address}");
        let words = ["serve", "--import", &import, "--listen", "127.0.0.1:0", "--allow-anyone"];
        finish(world.vatmux(words))
            .failed(2, &[address, "not on this machine alone", "--insecure-plain-tcp"]);
    }
    let words = ["bridge", serving.line(), "vatmux.health", "--tcp", "0.0.0.0:0", "--insecure-plain-tcp"];
    let bridge = Serving::start(world.vatmux(words));
    assert!(bridge.line().starts_with("0.0.0.0:"));
}

#[test]
fn it_says_where_programs_can_connect_and_ends_when_it_is_asked_to() {
    let world = World::new();
    let serving = world.serve();
    let socket = world.here().join("plain");
    // The file of a bridge that was killed.
    drop(UnixListener::bind(&socket).unwrap());
    let words =
        ["bridge", serving.line(), "vatmux.health", "--priority=0", "--unix=plain", "--tcp=localhost:0"];
    let mut bridge = Serving::start(world.vatmux(words));
    assert_eq!(bridge.line(), format!("unix:{}", socket.display()));
    assert!(bridge.next_line().starts_with("localhost:"));
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);

    let second = ["bridge", serving.line(), "vatmux.health", "--unix=plain"];
    finish(world.vatmux(second)).failed(1, &["cannot listen on unix:", "in use"]);
    let outcome = bridge.stop(Signal::TERM);
    assert!(outcome.status.success(), "{outcome:?}");
    // The second one, which looked whether anybody listens.
    assert_eq!(outcome.stderr, "program 1 connected\nprogram 1 left\n");
    assert!(!socket.exists());

    let words = ["--json", "bridge", serving.line(), "vatmux.health", "--unix=plain"];
    let bridge = Serving::start(world.vatmux(words));
    let said: serde_json::Value = serde_json::from_str(bridge.line()).unwrap();
    assert_eq!(said["service"], "vatmux.health");
    assert_eq!(said["node_id"], world.id_of("server"));
    assert_eq!(said["listening"][0], format!("unix:{}", socket.display()));
    // Not a message, and the end.
    let mut program = UnixStream::connect(&socket).unwrap();
    program.write_all(&[0xff; 8]).unwrap();
    program.read_to_end(&mut Vec::new()).unwrap();
    let outcome = bridge.stop(Signal::TERM);
    let events: Vec<serde_json::Value> =
        outcome.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events[0], serde_json::json!({ "event": "connected", "program": 1, "detail": null }));
    assert!(events[1]["event"] == "left" && events[1]["program"] == 1, "{events:?}");
    assert!(events[1]["detail"].as_str().unwrap().contains("over the limit of"), "{events:?}");
}

#[test]
fn what_cannot_be_offered_is_refused_before_anything_listens() {
    let world = World::new();
    let serving = world.serve();
    let refused = |whose: &str, words: &[&str], said: &[&str]| {
        let command = world.vatmux_of(whose, words.iter().chain(&["--unix", "plain"]));
        finish(command).failed(1, said);
        assert!(world.names_here().is_empty());
    };
    refused("client", &["bridge", serving.line(), "missing"], &["does not serve", "\"missing\""]);
    refused("client", &["bridge", serving.line(), ""], &["cannot reach a service", "cannot name a service"]);
    refused("client", &["bridge", serving.line(), "vatmux.packagefs", "--priority=0"], &["vatmux.packagefs"]);
    refused(
        "stranger",
        &["bridge", serving.line(), "vatmux.health"],
        &["does not allow this node", "--allow vat1"],
    );
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nobody = serving.at_port(closed, "");
    refused("client", &["bridge", &nobody, "vatmux.health"], &["cannot connect to 127.0.0.1:"]);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let world = World::new();
    let address = format!("vat://{}@127.0.0.1:1/", world.id_of("server"));
    for (words, named) in [
        (&["bridge", &address, "x"][..], "--unix"),
        (&["bridge", &address, "x", "--tcp", "unix:/x"], "HOST:PORT"),
        (&["bridge", &address, "x", "--unix", "y", "--insecure-plain-tcp"], "--tcp"),
        (&["bridge", &address, "x", "--unix", "y", "--priority", "8"], "0..=7"),
        (&["bridge", &address, "x", "--unix", "y", "--max-connections", "0"], "1..=1024"),
        (&["serve", "--listen", "127.0.0.1:0", "--allow-anyone"], "DIR"),
        (&["serve", "--listen", "127.0.0.1:0", "--allow-anyone", "--import", "x"], "NAME=unix:PATH"),
    ] {
        finish(world.vatmux(words)).failed(2, &[named]);
    }
    let words = ["serve", "--listen=127.0.0.1:0", "--allow-anyone", "--import=vatmux.health=unix:/x"];
    finish(world.vatmux(words)).failed(1, &["two services are named vatmux.health"]);
}
