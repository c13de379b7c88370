//! Command lines that make no sense: one line, exit code 2, nothing done.

use crate::harness::{World, finish};

#[test]
fn each_mistake_is_named_in_one_line() {
    let world = World::new();
    let id = world.id_of("client");
    let address = format!("vat://{id}@127.0.0.1:1/");
    let mistyped = address.replacen("vat1", "vat1q", 1);
    let cases: &[(&[&str], &str)] = &[
        (&[], "a command is missing"),
        (&["frobnicate"], "frobnicate"),
        (&["ls"], "<ADDRESS>"),
        (&["ls", "--frobnicate", &address], "--frobnicate"),
        (&["ls", "http://example.org/"], "vat://"),
        (&["ls", "vat://127.0.0.1:1/"], "node id"),
        (&["ls", &mistyped], "node id"),
        (&["ls", &format!("vat://{id}@127.0.0.1/")], "port"),
        (&["ls", &format!("vat://{id}@127.0.0.1:99999/")], "port"),
        (&["ls", &address, "more"], "more"),
        (&["ping", "-c", "0", &address], "0"),
        (&["ping", "-c", "many", &address], "many"),
        (&["ping", "-i", "-1", &address], "-1"),
        (&["ls", "--timeout", "0", &address], "more than 0"),
        (&["ls", "--timeout", "soon", &address], "soon"),
        (&["get", "--outside-links", &address], "--recursive"),
        (&["schema"], "a command is missing"),
        (&["schema", "compile", "a.capnp"], "--output"),
        (&["schema", "compile", "-o-"], "<FILE>"),
        (&["schema", "compile", "-o-:out", "a.capnp"], "standard output is in no directory"),
        (&["schema", "compile", "-oc++:", "a.capnp"], "directory"),
        (&["schema", "describe"], "<FILE>"),
        (&["state"], "a command is missing"),
        (&["state", "get", &address], "<KEY>"),
        (&["state", "get", &address, "a//b"], "empty segment"),
        (&["state", "get", &format!("{address}a"), "b"], "path on the node"),
        (&["state", "put", &address, "a", "--if-version", "0"], "from 1 on"),
        (&["state", "put", &address, "a", "--if-absent", "--if-present"], "--if-present"),
        (&["state", "put", &address, "a", "file", "--value", "text"], "--value"),
        (&["state", "list", &address, "/"], "empty segment"),
        (&["serve", "."], "--listen"),
        (&["serve", ".", "--listen", "127.0.0.1:0"], "--allow"),
        (&["serve", ".", "--listen", "nonsense", "--allow-anyone"], "port"),
        (&["serve", ".", "--listen", "127.0.0.1:0", "--allow", "vat1"], "node id"),
        (&["serve", ".", "--listen", "127.0.0.1:0", "--allow", &id, "--allow-anyone"], "--allow-anyone"),
        (&["serve", ".", "--listen", "127.0.0.1:0", "--allow-anyone", "--workers", "0"], "0"),
    ];
    for (words, named) in cases {
        finish(world.vatmux(*words)).failed(2, &[named]);
    }
    assert!(world.names_here().is_empty());
}

#[test]
fn help_and_version_are_no_mistakes() {
    let world = World::new();
    let help = finish(world.vatmux(["--help"]));
    for command in ["id", "serve", "ls", "stat", "cat", "get", "ping", "demo"] {
        assert!(help.succeeded().contains(command));
        let long = finish(world.vatmux([command, "--help"]));
        assert!(long.succeeded().contains("Example:\n  vatmux "), "{command}");
        assert!(long.succeeded().contains("JSON"), "{command}");
    }
    for command in ["get", "put", "delete", "list", "sync", "usage"] {
        let long = finish(world.vatmux(["state", command, "--help"]));
        assert!(long.succeeded().contains("Example:\n  vatmux state "), "{command}");
        assert!(long.succeeded().contains("JSON") || long.succeeded().contains("--json"), "{command}");
    }
    for command in ["compile", "describe"] {
        let long = finish(world.vatmux(["schema", command, "--help"]));
        assert!(long.succeeded().contains("Example:\n  vatmux schema "), "{command}");
        assert!(long.succeeded().contains("JSON"), "{command}");
    }
    assert!(finish(world.vatmux(["--version"])).succeeded().starts_with("vatmux 0."));
}
