//! Peers that are not who they should be, or no nodes at all.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{World, finish};
use crate::tree::bytes;

/// Something that listens and is no node; returns its port.
fn stranger(behave: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for link in listener.incoming() {
            behave(link.unwrap());
        }
    });
    port
}

/// Checks that every command fails at `port`, says why, and leaves nothing behind.
fn all_fail_at(port: u16, words: &[&str]) {
    let world = World::new();
    let node = world.id_of("somebody");
    let address = format!("vat://{node}@127.0.0.1:{port}/x");
    for command in [&["ls"][..], &["get", "-r"], &["ping"]] {
        let began = Instant::now();
        let command = ["--timeout", "1.5"].iter().chain(command).copied().chain([address.as_str()]);
        finish(world.vatmux(command)).failed(1, words);
        assert!(began.elapsed() < Duration::from_secs(10));
        assert!(world.names_here().is_empty());
    }
}

#[test]
fn a_web_server() {
    let port = stranger(|mut link| {
        let _ = link.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    });
    all_fail_at(port, &["no session with 127.0.0.1:", "not a vatmux node"]);
}

#[test]
fn a_peer_that_sends_random_bytes() {
    let port = stranger(|mut link| {
        let _ = link.write_all(&bytes(100_000));
        let _ = link.read(&mut [0; 100]);
    });
    all_fail_at(port, &["no session with 127.0.0.1:"]);
}

#[test]
fn a_peer_that_is_silent() {
    let port = stranger(|link| {
        // Kept open for as long as the other side does.
        let _ = (&link).read_to_end(&mut Vec::new());
    });
    all_fail_at(port, &["no session with 127.0.0.1:", "took longer than 1.5s"]);
}

#[test]
fn a_peer_that_sends_one_byte_per_second() {
    let port = stranger(|mut link| {
        for byte in [0, 48].into_iter().chain([7; 60]) {
            if link.write_all(&[byte]).is_err() {
                return;
            }
            thread::sleep(Duration::from_secs(1));
        }
    });
    all_fail_at(port, &["no session with 127.0.0.1:", "took longer than 1.5s"]);
}

#[test]
fn a_peer_that_hangs_up_at_once() {
    let port = stranger(drop);
    all_fail_at(port, &["no session with 127.0.0.1:", "the link ended"]);
}

#[test]
fn nobody_listens() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    all_fail_at(port, &["cannot connect to 127.0.0.1:", "refused", "is a node listening there?"]);
}

#[test]
fn nobody_listens_behind_a_unix_socket() {
    let world = World::new();
    let node = world.id_of("somebody");
    finish(world.vatmux(["ls", &format!("vat+unix://{node}@%2Fno%2Fsuch.sock/")]))
        .failed(1, &["cannot connect to unix:/no/such.sock"]);
}

#[test]
fn a_host_that_does_not_exist() {
    let world = World::new();
    let node = world.id_of("somebody");
    finish(world.vatmux(["ls", &format!("vat://{node}@no-such-host.invalid:1/")]))
        .failed(1, &["cannot find the host no-such-host.invalid"]);
}

#[test]
fn a_node_with_another_id() {
    let world = World::new();
    let serving = world.serve();
    let other = world.id_of("somebody");
    for command in ["ls", "get", "ping"] {
        let address = format!("vat://{other}@127.0.0.1:{}/x", serving.port());
        finish(world.vatmux([command, &address]))
            .failed(1, &["no session with 127.0.0.1:", "another node id"]);
        assert!(world.names_here().is_empty());
    }
    finish(world.vatmux(["ls", &serving.at("")])).succeeded();
}

#[test]
fn a_dialer_that_is_not_allowed() {
    let world = World::new();
    let serving = world.serve();
    let id = world.id_of("somebody");
    for command in [&["ls"][..], &["stat"], &["cat"], &["get", "-r"], &["ping"]] {
        let address = serving.at("x");
        let outcome = finish(world.vatmux_of("somebody", command.iter().chain([&address.as_str()])));
        outcome.failed(1, &["does not allow this node", "--allow", &id]);
        assert!(world.names_here().is_empty());
    }
    finish(world.vatmux(["ls", &serving.at("")])).succeeded();
}

#[test]
fn strangers_do_not_disturb_who_is_served() {
    let world = World::new();
    std::fs::write(world.tree().join("file"), "").unwrap();
    let serving = world.serve();
    let mut links = Vec::new();
    for greeting in [&b""[..], b"GET / HTTP/1.1\r\n\r\n", &bytes(10_000), b"vatmux\x01\x01\x00"] {
        let mut link = TcpStream::connect(("127.0.0.1", serving.port())).unwrap();
        // It may hang up in the middle.
        let _ = link.write_all(greeting);
        links.push(link);
        assert_eq!(finish(world.vatmux(["ls", &serving.at("")])).succeeded(), "file\n");
    }
}
