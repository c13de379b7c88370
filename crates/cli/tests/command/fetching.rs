//! `get -r` where not everything can be had.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;

use rustix::process::Signal;

use crate::harness::{Running, World, finish};
use crate::relay::{Cut, relay};
use crate::tree::{Node, bytes, everything_in};

#[test]
fn links_that_lead_out_of_the_tree_are_left_out_and_told() {
    let world = World::new();
    fs::write(world.tree().join("file"), "here").unwrap();
    symlink("/etc/passwd", world.tree().join("absolute")).unwrap();
    symlink("../../secret", world.tree().join("up")).unwrap();
    let serving = world.serve();
    let outcome = finish(world.vatmux(["get", "-r", &serving.at(""), "copy"]));
    assert_eq!(outcome.status.code(), Some(1));
    let lines: Vec<_> = outcome.stderr.lines().collect();
    assert!(lines[0].starts_with("vatmux: left out absolute: ") && lines[0].contains("/etc/passwd"));
    assert!(lines[1].starts_with("vatmux: left out up: ") && lines[1].contains("../../secret"));
    assert_eq!(lines[2], "vatmux: fetched `copy`, but left out 2 entries of it (told above)");
    assert_eq!(lines.len(), 3);
    let copied = everything_in(&world.here().join("copy"));
    assert_eq!(
        copied.into_values().collect::<Vec<_>>(),
        [Node::File { bytes: b"here".into(), executable: false }]
    );
}

#[test]
fn links_that_lead_out_of_the_tree_are_made_on_request_and_not_followed() {
    let world = World::new();
    fs::write(world.path("secret"), "of the server").unwrap();
    symlink("../secret", world.tree().join("up")).unwrap();
    symlink("/etc/passwd", world.tree().join("absolute")).unwrap();
    let serving = world.serve();
    finish(world.vatmux(["get", "-r", "--outside-links", &serving.at(""), "copy"])).succeeded();
    assert_eq!(everything_in(&world.here().join("copy")), everything_in(&world.tree()));
    finish(world.vatmux(["cat", &serving.at("up")])).failed(1, &["`up`", "leads out of what is served"]);
}

#[test]
fn a_fifo_is_left_out_and_told_and_never_waited_for() {
    let world = World::new();
    fs::write(world.tree().join("file"), "here").unwrap();
    let made = std::process::Command::new("mkfifo").arg(world.tree().join("pipe")).status().unwrap();
    assert!(made.success());
    let serving = world.serve();
    let outcome = finish(world.vatmux(["get", "-r", &serving.at(""), "copy"]));
    assert_eq!(outcome.status.code(), Some(1));
    assert!(outcome.stderr.starts_with("vatmux: left out pipe: "), "{outcome:?}");
    assert_eq!(crate::harness::names(&world.here().join("copy")), ["file"]);
    finish(world.vatmux(["cat", &serving.at("pipe")])).failed(1, &["`pipe`", "FIFO"]);
}

#[test]
fn get_r_of_a_file_fetches_the_file() {
    let world = World::new();
    fs::write(world.tree().join("file"), "here").unwrap();
    let serving = world.serve();
    finish(world.vatmux(["get", "-r", &serving.at("file")])).succeeded();
    assert_eq!(fs::read(world.here().join("file")).unwrap(), b"here");
}

#[test]
fn get_r_of_a_part_has_that_parts_name() {
    let world = World::new();
    fs::create_dir_all(world.tree().join("a/b")).unwrap();
    fs::write(world.tree().join("a/b/file"), "here").unwrap();
    let serving = world.serve();
    finish(world.vatmux(["get", "-r", &serving.at("a/b/")])).succeeded();
    assert_eq!(fs::read(world.here().join("b/file")).unwrap(), b"here");
}

#[test]
fn the_root_needs_a_name_for_its_copy() {
    let world = World::new();
    let serving = world.serve();
    finish(world.vatmux(["get", "-r", &serving.at("")])).failed(1, &["no name", "say what to call the copy"]);
    assert!(world.names_here().is_empty());
}

#[test]
fn an_interrupted_fetch_leaves_nothing_behind() {
    let world = World::new();
    fs::write(world.tree().join("large"), bytes(30_000_000)).unwrap();
    let serving = world.serve();
    // A link that passes the beginning of the file and then nothing more, and is not cut either.
    let relay = relay(serving.port(), Cut::Stall { unit: 20 });
    let running = Running::start(world.vatmux(["get", "-r", &serving.at_port(relay.port, ""), "copy"]));
    relay.wait_until_reached();
    running.signal(Signal::INT);
    let outcome = running.wait();
    assert_eq!(outcome.status.code(), Some(130));
    assert_eq!(outcome.stderr, "vatmux: interrupted; nothing has been changed\n");
    assert!(world.names_here().is_empty(), "{:?}", world.names_here());
}

#[test]
fn a_fetch_can_be_interrupted_before_there_is_a_session() {
    let world = World::new();
    let node = world.id_of("somebody");
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let address = format!("vat://{node}@127.0.0.1:{port}/x");
    let running = Running::start(world.vatmux(["--timeout", "50", "get", &address]));
    let (_link, _) = silent.accept().unwrap();
    running.signal(Signal::INT);
    let outcome = running.wait();
    assert_eq!(outcome.status.code(), Some(130));
    assert_eq!(outcome.stderr, "vatmux: interrupted; nothing has been changed\n");
    assert!(world.names_here().is_empty());
}
