//! A link that is cut: in the middle of the handshake, of a record, of a frame, of a read.

use std::fs;

use rustix::process::Signal;

use crate::harness::{Running, Serving, World, finish};
use crate::relay::{Cut, relay};
use crate::tree::bytes;

const FILE_BYTES: usize = 4_000_000;

fn serving_a_large_file(world: &World) -> Serving {
    fs::create_dir(world.tree().join("d")).unwrap();
    fs::write(world.tree().join("d/large"), bytes(FILE_BYTES)).unwrap();
    world.serve()
}

/// Checks that each command fails through a link that is cut there, says so, and leaves nothing behind.
fn nothing_is_left_of(cut: Cut, words: &[&str]) {
    let world = World::new();
    let serving = serving_a_large_file(&world);
    for command in [&["get"][..], &["get", "-r"]] {
        let relay = relay(serving.port(), cut);
        let path = if command.len() == 1 { "d/large" } else { "d" };
        let address = serving.at_port(relay.port, path);
        let command = command.iter().copied().chain([address.as_str(), "copy"]);
        finish(world.vatmux(command)).failed(1, words);
        assert!(world.names_here().is_empty(), "{:?}", world.names_here());
    }
    // What happened on one link is nothing to the next.
    finish(world.vatmux(["get", &serving.at("d/large"), "copy"])).succeeded();
    assert!(fs::read(world.here().join("copy")).unwrap() == bytes(FILE_BYTES));
}

#[test]
fn in_the_middle_of_the_handshake() {
    nothing_is_left_of(Cut::Within { unit: 0, bytes: 10 }, &["no session with", "the link ended"]);
}

#[test]
fn before_the_handshake_has_an_answer() {
    nothing_is_left_of(Cut::FromClient { bytes: 20 }, &["no session with", "the link ended"]);
}

#[test]
fn in_the_middle_of_the_dialers_last_handshake_message() {
    nothing_is_left_of(Cut::FromClient { bytes: 8 + 50 + 20 }, &["the link was cut"]);
}

#[test]
fn in_the_middle_of_a_record() {
    nothing_is_left_of(Cut::Within { unit: 10, bytes: 700 }, &["the link was cut in the middle of a record"]);
}

/// A record holds whole frames, so that a frame is cut together with its record: here in one of the last of it.
#[test]
fn in_the_middle_of_a_frame() {
    nothing_is_left_of(
        Cut::Within { unit: 11, bytes: 60_000 },
        &["the link was cut in the middle of a record"],
    );
}

#[test]
fn between_two_records() {
    nothing_is_left_of(Cut::After { unit: 11 }, &["the link was cut"]);
}

#[test]
fn in_the_middle_of_a_records_length() {
    nothing_is_left_of(Cut::Within { unit: 12, bytes: 1 }, &["the link was cut in the middle of a record"]);
}

#[test]
fn in_the_middle_of_a_read() {
    let world = World::new();
    let serving = serving_a_large_file(&world);
    let relay = relay(serving.port(), Cut::After { unit: 20 });
    let outcome = finish(world.vatmux(["cat", &serving.at_port(relay.port, "d/large")]));
    assert_eq!(outcome.status.code(), Some(1));
    assert!(outcome.stderr.starts_with("vatmux: cannot read `d/large`: "), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("the link was cut") && outcome.stderr.lines().count() == 1);
    assert!(!outcome.stdout.is_empty() && bytes(FILE_BYTES).starts_with(&outcome.stdout));
}

/// Fetches a large file through a relay that lets the beginning of it through, does `then` to the server, and lets the
/// relay go on where it only paused.
fn fetch_fails(cut: Cut, then: impl FnOnce(Serving), words: &[&str]) {
    let world = World::new();
    let serving = serving_a_large_file(&world);
    let relay = relay(serving.port(), cut);
    let running = Running::start(world.vatmux(["get", &serving.at_port(relay.port, "d/large"), "copy"]));
    relay.wait_until_reached();
    then(serving);
    if matches!(cut, Cut::Pause { .. }) {
        relay.go_on();
    }
    running.wait().failed(1, words);
    assert!(world.names_here().is_empty());
}

#[test]
fn by_the_death_of_the_server() {
    fetch_fails(Cut::Pause { unit: 15 }, drop, &["cannot read `d/large`", "the link was cut"]);
}

#[test]
fn by_a_server_that_is_told_to_stop() {
    let stop = |serving: Serving| assert!(serving.stop(Signal::TERM).status.success());
    fetch_fails(Cut::Pause { unit: 15 }, stop, &["cannot read `d/large`", "going away"]);
}

/// A link that says nothing and never ends, as when a cable is pulled, is given up after nine silent seconds.
#[test]
fn by_silence() {
    fetch_fails(Cut::Stall { unit: 15 }, drop, &["cannot read `d/large`", "was silent for"]);
}
