//! Paths that name nothing, or nothing that may be read.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use crate::harness::{Running, World, finish};
use crate::tree::bytes;

/// Checks that every command that takes a path refuses this one, and leaves nothing behind.
fn all_refuse(path: &str, words: &[&str]) {
    let world = World::new();
    fs::create_dir(world.tree().join("d")).unwrap();
    fs::write(world.path("secret"), "of the server").unwrap();
    symlink("../secret", world.tree().join("out")).unwrap();
    let serving = world.serve();
    for command in [&["ls"][..], &["stat", "-L"], &["cat"], &["get"], &["get", "-r"]] {
        let address = serving.at(path);
        let dest = if command[0] == "get" { Some("copy") } else { None };
        let command = command.iter().copied().chain([address.as_str()]).chain(dest);
        finish(world.vatmux(command)).failed(1, words);
        assert!(world.names_here().is_empty());
    }
}

#[test]
fn a_path_that_is_missing() {
    all_refuse("d/missing", &["`d/missing`", "there is nothing at this path"]);
}

#[test]
fn a_path_that_leaves_the_root_by_dots() {
    for path in ["..", "../secret", "d/../../secret", "%2e%2e/secret", "..%2fsecret"] {
        all_refuse(path, &["not a valid path", "relative to what is served"]);
    }
}

#[test]
fn a_path_that_leaves_the_root_by_a_link() {
    all_refuse("out", &["`out`", "leads out of what is served"]);
}

#[test]
fn a_path_that_is_absolute() {
    all_refuse("/etc/passwd", &["`/etc/passwd`", "not a valid path"]);
}

#[test]
fn a_path_with_nul_in_it() {
    all_refuse("d%00/x", &["`d\\u{0}/x`", "not a valid path"]);
}

#[test]
fn a_path_of_100_kb() {
    let world = World::new();
    let serving = world.serve();
    let long = serving.at(&"long/".repeat(20_000));
    for command in ["ls", "stat", "cat", "get"] {
        let outcome = finish(world.vatmux([command, &long]));
        outcome.failed(1, &["`long/long/", "not a valid path", "4,096"]);
        assert!(outcome.stderr.len() < 3_000, "{} bytes", outcome.stderr.len());
        assert!(world.names_here().is_empty());
    }
    let hopeless = format!("vat://{}", "x".repeat(100_000));
    let outcome = finish(world.vatmux(["ls", &hopeless]));
    assert!(outcome.failed(2, &["vat://"]).stderr.len() < 3_000);
}

#[test]
fn a_path_that_is_not_utf_8() {
    let world = World::new();
    let serving = world.serve();
    finish(world.vatmux(["cat", &serving.at("%ff%fe")])).failed(2, &["not UTF-8"]);
    let raw = [serving.at("").as_bytes(), b"\xff\xfe"].concat();
    finish(world.vatmux([OsStr::new("cat"), OsStr::from_bytes(&raw)])).failed(2, &["UTF-8"]);
}

#[test]
fn a_directory_is_no_file() {
    let world = World::new();
    fs::create_dir(world.tree().join("d")).unwrap();
    let serving = world.serve();
    for (command, path) in [("cat", "d"), ("get", "d"), ("cat", ""), ("get", "")] {
        finish(world.vatmux([command, &serving.at(path)])).failed(1, &["it is a directory", "get -r"]);
        assert!(world.names_here().is_empty());
    }
}

#[test]
fn a_file_that_is_used_as_a_directory() {
    let world = World::new();
    fs::write(world.tree().join("file"), "").unwrap();
    let serving = world.serve();
    for command in ["ls", "stat", "cat", "get"] {
        finish(world.vatmux([command, &serving.at("file/x")]))
            .failed(1, &["`file/x`", "must be a directory"]);
    }
    assert!(world.names_here().is_empty());
}

#[test]
fn a_file_that_shrinks_while_it_is_read() {
    let world = World::new();
    let large = world.tree().join("large");
    fs::write(&large, bytes(60_000_000)).unwrap();
    let serving = world.serve();
    let mut running = Running::start(world.vatmux(["cat", &serving.at("large")]));
    // The reader pauses after the first bytes, and so, soon after, does the server: most of the file is unread.
    let mut stdout = running.stdout();
    let mut first = [0; 1000];
    stdout.read_exact(&mut first).unwrap();
    fs::File::options().write(true).open(&large).unwrap().set_len(40_000_000).unwrap();
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).unwrap();
    let outcome = running.wait();
    outcome.failed(1, &["cannot read `large`", "it became shorter while it was read"]);
    assert!(bytes(60_000_000)[1000..].starts_with(&rest));
}

#[test]
fn a_file_that_shrinks_while_it_is_fetched_leaves_nothing() {
    use crate::relay::{Cut, relay};

    let world = World::new();
    let large = world.tree().join("large");
    fs::write(&large, bytes(60_000_000)).unwrap();
    let serving = world.serve();
    let relay = relay(serving.port(), Cut::Pause { unit: 20 });
    let running = Running::start(world.vatmux(["get", &serving.at_port(relay.port, "large")]));
    relay.wait_until_reached();
    fs::File::options().write(true).open(&large).unwrap().set_len(40_000_000).unwrap();
    relay.go_on();
    running.wait().failed(1, &["cannot read `large`", "it became shorter while it was read"]);
    assert!(world.names_here().is_empty());
}
