//! The key file: made once, private, and refused when it is not what it should be.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::harness::{World, finish};

#[test]
fn an_id_is_made_once_and_its_key_is_private() {
    let world = World::new();
    let id = world.id_of("me");
    assert!(id.starts_with("vat1") && id.len() == 62, "{id}");
    assert_eq!(world.id_of("me"), id);
    assert_ne!(world.id_of("you"), id);
    let key = fs::metadata(world.path("me/node.key")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(world.path("me")).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn the_option_goes_before_the_environment_and_both_before_the_configuration_directory() {
    let world = World::new();
    let [by_option, by_environment] = ["option", "environment"].map(|home| world.id_of(home));
    let option = world.path("option");
    let words = ["id", "--home", option.to_str().unwrap()];
    assert_eq!(finish(world.vatmux_of("environment", words)).succeeded().trim_end(), by_option);
    assert_ne!(by_option, by_environment);

    let mut command = Command::new(env!("CARGO_BIN_EXE_vatmux"));
    command.arg("id").env_remove("VATMUX_HOME").env("XDG_CONFIG_HOME", world.path("config"));
    command.env("HOME", world.path("home"));
    finish(command).succeeded();
    if cfg!(target_os = "linux") {
        assert!(world.path("config/vatmux/node.key").is_file());
    }
}

#[test]
fn a_key_that_others_can_read_is_refused_by_every_command() {
    let world = World::new();
    let node = world.id_of("client");
    let file = world.path("client/node.key");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let address = format!("vat://{node}@127.0.0.1:1/x");
    for words in [
        &["id"][..],
        &["ls", &address],
        &["get", &address],
        &["serve", ".", "--listen", "127.0.0.1:0", "--allow-anyone"],
    ] {
        finish(world.vatmux(words)).failed(1, &["node.key", "0644", "chmod 600"]);
    }
    assert!(world.names_here().is_empty());
}

#[test]
fn a_key_file_with_anything_else_in_it_is_refused_and_kept() {
    let world = World::new();
    world.id_of("client");
    let file = world.path("client/node.key");
    for contents in
        [&b""[..], b"\xff\xfe\x00", b"-----BEGIN OPENSSH PRIVATE KEY-----\n", "x".repeat(100_000).as_bytes()]
    {
        fs::write(&file, contents).unwrap();
        finish(world.vatmux(["id"])).failed(1, &["node.key", "not a vatmux key file"]);
        assert_eq!(fs::read(&file).unwrap(), contents);
    }
}

#[test]
fn a_key_file_that_cannot_be_is_told() {
    let world = World::new();
    fs::create_dir_all(world.path("client/node.key")).unwrap();
    finish(world.vatmux(["id"])).failed(1, &["node.key"]);
    fs::write(world.path("file"), "").unwrap();
    finish(world.vatmux_of("file", ["id"])).failed(1, &["node.key"]);
}
