//! `serve --policy` and `policy check`: what a file grants, and what is wrong with one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Serving, World, finish};

/// A policy for the client, who may read what is shared and change what is its own.
fn policy(world: &World, more: &str) -> PathBuf {
    let path = world.path("policy.toml");
    let client = world.id_of("client");
    let text = format!(
        "[[node]]\nid = \"{client}\"\nname = \"laptop\"\n\n[node.state]\nread = [\"shared/\"]\nwrite = [\"own/\"]\n{more}"
    );
    fs::write(&path, text).unwrap();
    path
}

fn serve(world: &World, policy: &Path, more: &[&str]) -> Command {
    let words = ["serve", "--listen", "127.0.0.1:0", "--policy", policy.to_str().unwrap()];
    world.vatmux_of("server", words.iter().chain(more))
}

fn state(world: &World, serving: &Serving, words: &[&str]) -> Command {
    let address = serving.at("");
    world.vatmux(["state", words[0], &address].iter().chain(&words[1..]))
}

#[test]
fn a_node_has_what_the_policy_says_and_its_changes_are_told() {
    let world = World::new();
    let client = world.id_of("client");
    let policy = policy(&world, "");
    let (tree, kept) = (world.tree(), world.path("state"));
    let serving =
        Serving::start(serve(&world, &policy, &[tree.to_str().unwrap(), "--state", kept.to_str().unwrap()]));
    finish(state(&world, &serving, &["put", "own/a", "--value", "confidential"])).succeeded();
    finish(state(&world, &serving, &["put", "shared/a", "--value", "confidential"]))
        .failed(1, &["cannot put `shared/a`"]);
    finish(state(&world, &serving, &["put", "own/\nforged outcome=ok", "--value", "x"])).succeeded();
    finish(state(&world, &serving, &["get", "other/a"])).failed(1, &["there is no key"]);
    // The directory is served, and not to this node.
    finish(world.vatmux(["ls", &serving.at("")])).failed(1, &["offers no service named"]);
    finish(world.vatmux(["ping", "-c1", &serving.at("")])).succeeded();
    finish(world.vatmux_of("somebody", ["ls", &serving.at("")])).failed(1, &["does not allow"]);

    let outcome = serving.stop(Signal::TERM);
    let told: Vec<_> = outcome.stderr.lines().filter(|line| line.contains("vatmux::mutation")).collect();
    assert_eq!(told.len(), 3, "{outcome:?}");
    for (line, target, came_of_it) in [
        (told[0], "target=\"own/a\"", "outcome=ok"),
        (told[1], "target=\"shared/a\"", "outcome=accessDenied"),
        (told[2], "target=\"own/\\nforged outcome=ok\"", "outcome=ok"),
    ] {
        for part in [&format!("peer={client}"), "method=\"put\"", target] {
            assert!(line.contains(part), "no {part} in {line}");
        }
        assert!(line.ends_with(came_of_it), "{line}");
    }
    assert!(!outcome.stderr.contains("confidential"), "{outcome:?}");
}

#[test]
fn a_check_says_what_each_node_may_do() {
    let world = World::new();
    let policy = policy(&world, "[anyone]\nservices = [\"org.example.*\"]\n");
    let client = world.id_of("client");
    let checked = finish(world.vatmux(["policy", "check", policy.to_str().unwrap()]));
    let wanted = format!(
        "{client} (laptop)\n  sees its own session\n  reads the keys that begin with shared/\n  \
         reads and changes the keys that begin with own/\nanyone else\n  sees its own session\n  \
         uses the services org.example.*\n"
    );
    assert_eq!(checked.succeeded(), wanted);
    let checked = finish(world.vatmux(["policy", "check", "--json", policy.to_str().unwrap()]));
    let lines: Vec<Value> =
        checked.succeeded().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["state"], json!({ "read": ["shared/"], "write": ["own/"] }));
    assert_eq!((&lines[0]["node_id"], &lines[0]["files"]), (&json!(client), &json!(false)));
    assert_eq!((&lines[1]["node_id"], &lines[1]["services"]), (&json!(null), &json!(["org.example.*"])));
}

#[test]
fn test_reject_policies_that_are_wrong_with_the_place() {
    let world = World::new();
    let policy = policy(&world, "file = true\n");
    let path = policy.to_str().unwrap();
    for command in [world.vatmux(["policy", "check", path]), serve(&world, &policy, &["--state", "state"])] {
        finish(command).failed(1, &[&format!("{path}:8:1: "), "unknown field `file`"]);
    }
    fs::write(&policy, "").unwrap();
    finish(serve(&world, &policy, &["--state", "state"])).failed(2, &["nobody may connect", "--policy"]);
    let missing = world.path("missing.toml");
    finish(world.vatmux(["policy", "check", missing.to_str().unwrap()])).failed(1, &["missing.toml"]);
    finish(serve(&world, &policy, &["--state", "state", "--allow-anyone"]))
        .failed(2, &["cannot be used with"]);
}
