//! `serve`: where it listens, whom it lets in, and how it ends.

use std::fs;
use std::os::unix::net::UnixListener;

use rustix::process::Signal;

use crate::harness::{Serving, World, finish};

#[test]
fn it_says_where_it_listens_once_per_listener() {
    let world = World::new();
    fs::write(world.tree().join("file"), "").unwrap();
    let socket = format!("unix:{}", world.path("sock").display());
    let words = ["serve", world.tree().to_str().unwrap(), "--listen", "127.0.0.1:0", "--listen", &socket]
        .map(str::to_owned);
    let mut serving =
        Serving::start(world.vatmux_of("server", words.iter().map(String::as_str).chain(["--allow-anyone"])));
    let node = world.id_of("server");
    assert!(serving.line().starts_with(&format!("vat://{node}@127.0.0.1:")) && serving.line().ends_with('/'));
    let second = serving.next_line();
    assert!(second.starts_with(&format!("vat+unix://{node}@%2F")), "{second}");
    for address in [serving.line(), &second] {
        assert_eq!(finish(world.vatmux(["ls", address])).succeeded(), "file\n");
    }
}

#[test]
fn it_ends_when_it_is_asked_to_and_tells_of_its_peers() {
    for signal in [Signal::TERM, Signal::INT] {
        let world = World::new();
        let client = world.id_of("client");
        let serving = world.serve();
        finish(world.vatmux(["ls", &serving.at("")])).succeeded();
        let outcome = serving.stop(signal);
        assert!(outcome.status.success() && outcome.stdout.is_empty(), "{outcome:?}");
        let lines: Vec<_> = outcome.stderr.lines().collect();
        assert_eq!(lines[0], format!("{client} connected"));
        assert!(lines[1].starts_with(&format!("{client} left: ")), "{lines:?}");
        assert_eq!(lines.len(), 2);
    }
}

#[test]
fn it_tells_why_it_refused_a_dialer() {
    let world = World::new();
    let serving = world.serve();
    let stranger = world.id_of("somebody");
    finish(world.vatmux_of("somebody", ["ls", &serving.at("")])).failed(1, &["does not allow"]);
    let outcome = serving.stop(Signal::TERM);
    assert!(outcome.stderr.contains(&stranger) && outcome.stderr.contains("not allowed"), "{outcome:?}");
}

#[test]
fn a_second_one_on_the_same_address_is_refused_and_the_first_goes_on() {
    let world = World::new();
    for endpoint in ["127.0.0.1:0".to_owned(), format!("unix:{}", world.path("sock").display())] {
        let first = world.serve_on(&endpoint);
        let taken =
            if endpoint.starts_with("unix") { endpoint } else { format!("127.0.0.1:{}", first.port()) };
        let tree = world.tree();
        let words = ["serve", tree.to_str().unwrap(), "--listen", &taken, "--allow-anyone"];
        finish(world.vatmux_of("other", words)).failed(1, &["cannot listen on", &taken, "in use"]);
        finish(world.vatmux(["ls", &first.at("")])).succeeded();
    }
}

#[test]
fn a_socket_file_that_nobody_listens_behind_is_replaced_and_any_other_file_is_not() {
    let world = World::new();
    let socket = world.path("sock");
    drop(UnixListener::bind(&socket).unwrap());
    assert!(socket.exists());
    let endpoint = format!("unix:{}", socket.display());
    let serving = world.serve_on(&endpoint);
    finish(world.vatmux(["ls", &serving.at("")])).succeeded();
    drop(serving);

    fs::remove_file(&socket).unwrap();
    fs::write(&socket, "precious").unwrap();
    let tree = world.tree();
    let words = ["serve", tree.to_str().unwrap(), "--listen", &endpoint, "--allow-anyone"];
    finish(world.vatmux_of("other", words)).failed(1, &["cannot listen on"]);
    assert_eq!(fs::read(&socket).unwrap(), b"precious");
}

#[test]
fn a_directory_that_is_none_is_refused() {
    let world = World::new();
    fs::write(world.path("file"), "").unwrap();
    for directory in ["missing", "file"] {
        let directory = world.path(directory);
        let words = ["serve", directory.to_str().unwrap(), "--listen", "127.0.0.1:0", "--allow-anyone"];
        finish(world.vatmux_of("server", words)).failed(1, &["cannot serve", directory.to_str().unwrap()]);
    }
}

#[test]
fn an_address_that_only_stands_for_others_is_pointed_out() {
    let world = World::new();
    let serving = world.serve_on("0.0.0.0:0");
    assert!(serving.line().contains("@0.0.0.0:"));
    finish(world.vatmux(["ls", &serving.at_port(serving.port(), "")])).succeeded();
    let outcome = serving.stop(Signal::TERM);
    assert!(outcome.stderr.starts_with("vatmux: it listens on every address"), "{outcome:?}");
}
