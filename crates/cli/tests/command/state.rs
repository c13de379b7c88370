//! `state`: keys and values of a node, from the command line.

use std::fs;
use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Serving, World, finish};

fn serve(world: &World) -> Serving {
    let client = world.id_of("client");
    let state = world.path("state");
    Serving::start(world.vatmux_of(
        "server",
        ["serve", "--state", state.to_str().unwrap(), "--listen", "127.0.0.1:0", "--allow", &client],
    ))
}

fn state(world: &World, serving: &Serving, words: &[&str]) -> Command {
    let address = serving.at("");
    world.vatmux(["state", words[0], &address].iter().chain(&words[1..]))
}

#[test]
fn what_was_put_is_there_also_after_the_node_was_started_again() {
    let world = World::new();
    let serving = serve(&world);
    fs::write(world.here().join("large"), vec![7; 300_000]).unwrap();
    let put = finish(state(&world, &serving, &["put", "app/a", "--value", "text"]));
    assert_eq!(put.succeeded(), "version 1\n");
    let put = finish(state(&world, &serving, &["put", "app/large", "large", "--json"]));
    let told: Value = serde_json::from_str(put.succeeded()).unwrap();
    assert_eq!((&told["key"], &told["size_bytes"]), (&"app/large".into(), &300_000.into()));
    serving.stop(Signal::KILL);

    let serving = serve(&world);
    assert_eq!(finish(state(&world, &serving, &["get", "app/a"])).succeeded(), "text");
    let large = finish(state(&world, &serving, &["get", "app/large"]));
    assert!(large.status.success() && large.stdout == vec![7; 300_000]);
    assert_eq!(finish(state(&world, &serving, &["list"])).succeeded(), "app/a\napp/large\n");
    assert_eq!(finish(state(&world, &serving, &["list", "app/l"])).succeeded(), "app/large\n");
    let usage = finish(state(&world, &serving, &["usage", "app/", "--json"]));
    let told: Value = serde_json::from_str(usage.succeeded()).unwrap();
    assert_eq!((&told["keys"], &told["value_bytes"]), (&2.into(), &300_004.into()));
    assert_eq!(finish(state(&world, &serving, &["delete", "app/a"])).succeeded(), "version 1\n");
    assert_eq!(finish(state(&world, &serving, &["sync"])).succeeded(), "version 3\n");
    finish(state(&world, &serving, &["get", "app/a"])).failed(1, &["there is no key `app/a`"]);
}

#[test]
fn conditions_are_kept_and_the_refusal_says_which_version_there_is() {
    let world = World::new();
    let serving = serve(&world);
    let put =
        |words: &[&str]| finish(state(&world, &serving, &[&["put", "a", "--value", "x"], words].concat()));
    put(&["--if-present"]).failed(1, &["cannot put `a`", "does not exist"]);
    put(&["--if-absent"]).succeeded();
    put(&["--if-absent"]).failed(1, &["its version is 1"]);
    put(&["--if-version", "1"]).succeeded();
    finish(state(&world, &serving, &["delete", "a", "--if-version", "1"])).failed(1, &["its version is 2"]);
    finish(state(&world, &serving, &["delete", "b"])).failed(1, &["cannot delete `b`"]);
}

#[test]
fn a_value_may_come_from_standard_input_and_a_file_may_be_missing() {
    let world = World::new();
    let serving = serve(&world);
    let mut command = state(&world, &serving, &["put", "a"]);
    command.stdin(Stdio::from(fs::File::open(env!("CARGO_MANIFEST_PATH")).unwrap()));
    finish(command).succeeded();
    let manifest = fs::read_to_string(env!("CARGO_MANIFEST_PATH")).unwrap();
    assert_eq!(finish(state(&world, &serving, &["get", "a"])).succeeded(), manifest);
    finish(state(&world, &serving, &["put", "a", "missing"])).failed(1, &["missing"]);
}

#[test]
fn a_store_that_is_served_is_served_by_one_node_alone() {
    let world = World::new();
    let _serving = serve(&world);
    let path = world.path("state");
    let second = world.vatmux_of(
        "second",
        ["serve", "--state", path.to_str().unwrap(), "--listen", "127.0.0.1:0", "--allow-anyone"],
    );
    finish(second).failed(1, &["cannot serve the state", "another process"]);
}

#[test]
fn a_mark_shows_that_a_node_went_back_and_that_another_did_not() {
    let world = World::new();
    let store = world.path("state").join("statefs");
    let serving = serve(&world);
    finish(state(&world, &serving, &["put", "a", "--value", "1"])).succeeded();
    serving.stop(Signal::TERM);
    let old = fs::read(&store).unwrap();

    let serving = serve(&world);
    finish(state(&world, &serving, &["put", "a", "--value", "2"])).succeeded();
    let mark = finish(state(&world, &serving, &["mark"])).succeeded().trim_end().to_owned();
    serving.stop(Signal::TERM);
    let serving = serve(&world);
    finish(state(&world, &serving, &["mark", "--since", &mark])).succeeded();
    serving.stop(Signal::TERM);

    fs::write(&store, old).unwrap();
    let serving = serve(&world);
    finish(state(&world, &serving, &["mark", "--since", &mark])).failed(1, &["older than it was"]);
    finish(state(&world, &serving, &["put", "a", "--value", "another"])).succeeded();
    finish(state(&world, &serving, &["mark", "--since", &mark])).failed(1, &["an older copy", "version 2"]);
    finish(state(&world, &serving, &["mark", "--since", "12"])).failed(2, &["a mark has 24 bytes"]);
}
