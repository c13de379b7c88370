//! `serve --config`: what a file names is served, and a file that makes no sense is refused with its place.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::{Serving, World, finish};

/// The example of the guide.
fn example() -> &'static str {
    let guide = include_str!("../../../../docs/guide/serve.md");
    let (_, after) = guide.split_once("```toml\n").unwrap();
    after.split_once("```").unwrap().0
}

/// A config in a directory of its own, so that what begins there begins nowhere else.
fn config(world: &World, text: &str) -> PathBuf {
    let path = world.path("etc/node.toml");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path
}

fn serve(world: &World, text: &str, more: &[&str]) -> Command {
    let config = config(world, text);
    world.vatmux_of("server", ["serve", "--config", config.to_str().unwrap()].iter().chain(more))
}

fn check(world: &World, text: &str, more: &[&str]) -> Command {
    serve(world, text, &[&["--check"], more].concat())
}

#[test]
fn what_a_config_names_is_served_from_where_the_config_is() {
    let world = World::new();
    let client = world.id_of("client");
    let text = format!(
        "dir = \"site\"\nstate = \"kept/state\"\nlisten = [\"127.0.0.1:0\", \"unix:sock\"]\nallow = [\"{client}\"]\n\
         operator = [\"{client}\"]\nworkers = 1\n"
    );
    fs::create_dir_all(world.path("etc/site")).unwrap();
    fs::write(world.path("etc/site/page"), "hello").unwrap();
    let mut serving = Serving::start(serve(&world, &text, &[]));
    let socket = serving.next_line();
    assert!(socket.contains("etc%2Fsock"), "{socket}");
    assert_eq!(finish(world.vatmux(["cat", &format!("{socket}page")])).succeeded(), "hello");
    finish(world.vatmux(["state", "put", &serving.at(""), "a", "--value", "1"])).succeeded();
    assert!(world.path("etc/kept/state").is_dir());
    let node = finish(world.vatmux(["--json", "stat", serving.line()]));
    assert!(node.succeeded().contains("\"whole_node\""), "{node:?}");
    finish(world.vatmux_of("somebody", ["ls", &serving.at("")])).failed(1, &["does not allow"]);
    assert!(serving.stop(Signal::TERM).status.success());
}

#[test]
fn a_policy_that_a_config_names_is_judged_by() {
    let world = World::new();
    let client = world.id_of("client");
    let text =
        "dir = \"../tree\"\nstate = \"../state\"\npolicy = \"policy.toml\"\nlisten = [\"127.0.0.1:0\"]\n";
    config(&world, text);
    fs::write(
        world.path("etc/policy.toml"),
        format!("[[node]]\nid = \"{client}\"\n[node.state]\nwrite = [\"own/\"]\n"),
    )
    .unwrap();
    let serving = Serving::start(serve(&world, text, &[]));
    finish(world.vatmux(["state", "put", &serving.at(""), "own/a", "--value", "1"])).succeeded();
    finish(world.vatmux(["state", "put", &serving.at(""), "a", "--value", "1"])).failed(1, &["cannot put"]);
    finish(world.vatmux(["ls", &serving.at("")])).failed(1, &["offers no service named"]);
}

#[test]
fn flags_add_to_the_lists_of_a_config_and_stand_in_for_its_other_values() {
    let world = World::new();
    let (client, other) = (world.id_of("client"), world.id_of("other"));
    fs::create_dir(world.path("etc")).unwrap();
    fs::create_dir(world.here().join("mine")).unwrap();
    let text = format!(
        "dir = \"theirs\"\nworkers = 2\nlisten = [\"127.0.0.1:1\"]\nallow = [\"{client}\"]\nimport = [\"a=unix:a\"]\n"
    );
    let flags =
        ["mine", "--workers", "3", "--listen", "unix:b", "--allow", &other, "--import", "b=tcp:127.0.0.1:2"];
    let checked = finish(check(&world, &text, &[&flags[..], &["--json"]].concat()));
    let lines: Vec<Value> =
        checked.succeeded().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let at = format!("unix:{}", world.path("etc/a").display());
    assert_eq!(
        lines[0],
        json!({
            "dir": "mine", "bundles": null, "publishers": [], "bundle_quota_bytes": null, "state": null, "workers": 3,
            "imports": [{ "name": "a", "server": at }, { "name": "b", "server": "127.0.0.1:2" }],
            "listen": ["127.0.0.1:1", "unix:b"],
        })
    );
    let mut nodes: Vec<_> = lines[1..].iter().map(|line| line["node_id"].as_str().unwrap()).collect();
    nodes.sort_unstable();
    let mut wanted = [client.as_str(), &other];
    wanted.sort_unstable();
    assert_eq!(nodes, wanted);
}

#[test]
fn a_check_of_the_example_of_the_guide_says_what_it_comes_to_and_makes_nothing() {
    let world = World::new();
    let checked = finish(check(&world, example(), &[]));
    let etc = world.path("etc");
    let etc = etc.display();
    let said = checked.succeeded();
    for line in [
        &format!("serves the bundles in {etc}/bundles, 10000000000 bytes at most\n"),
        "  signed by vatpub1tpnxvenxvenxvenxvenxvenxvenxvenxvenxvenxvenxvenxvenqh42rqw\n",
        &format!("keeps keys and values in {etc}/state\n"),
        &format!("offers org.example.search, which is at unix:{etc}/search.sock\n"),
        "listens on 127.0.0.1:7070\n",
        &format!("listens on unix:{etc}/node.sock\n"),
        "vat1f6j7u6875p2cvyrgjr0d2uecyzah0kgeek38h39czwdhe5em3qys5j8vmz\n  sees its own session\n",
    ] {
        assert!(said.contains(line), "no {line:?} in {said}");
    }
    assert_eq!(fs::read_dir(world.path("etc")).unwrap().count(), 1);
    assert!(!world.path("server").exists(), "a key was made");
}

#[test]
fn test_reject_configs_that_are_wrong_with_the_place() {
    let world = World::new();
    let path = world.path("etc/node.toml");
    let path = path.to_str().unwrap();
    let id = world.id_of("client");
    let twice = format!("allow = [\"{id}\"]\nallow = []\n");
    let mistyped = format!("allow = [\n  \"{id}\",\n  \"{}\",\n]\n", id.replacen("vat1", "vat1q", 1));
    for (text, place, words) in [
        ("listen = []\ndirectory = \"x\"\n", "2:1", &["unknown field `directory`", "`dir`"][..]),
        ("config = \"other.toml\"\n", "1:1", &["unknown field `config`"]),
        ("check = true\n", "1:1", &["unknown field `check`"]),
        ("[serve]\ndir = \"x\"\n", "1:2", &["unknown field `serve`"]),
        (&twice, "2:1", &["duplicate key"]),
        (&mistyped, "3:3", &["node id"]),
        ("listen = [\"127.0.0.1\"]\n", "1:11", &["port"]),
        ("listen = \"127.0.0.1:1\"\n", "1:10", &["expected a sequence"]),
        ("dir = 1\n", "1:7", &["invalid type: integer `1`"]),
        ("dir = \"\"\n", "1:7", &["expected a path"]),
        ("publisher = [1]\n", "1:14", &["expected a text"]),
        ("publisher = [\"vatpub1\"]\n", "1:14", &["publisher"]),
        ("import = [\"a\"]\n", "1:11", &["NAME=unix:PATH"]),
        ("workers = 0\n", "1:11", &["expected a number from 1 to 1024"]),
        ("workers = 1025\n", "1:11", &["expected a number from 1 to 1024"]),
        ("bundle-quota = -1\n", "1:16", &["expected u64"]),
        ("allow-anyone = \"yes\"\n", "1:16", &["expected a boolean"]),
        ("dir = \"x\n", "1:9", &["invalid basic string"]),
    ] {
        let outcome = finish(check(&world, text, &[]));
        outcome.failed(1, &[&format!("{path}:{place}: ")]).failed(1, words);
    }
}

#[test]
fn test_reject_configs_that_cannot_be_read_or_are_too_long() {
    let world = World::new();
    let missing = world.path("missing.toml");
    finish(world.vatmux(["serve", "--config", missing.to_str().unwrap()]))
        .failed(1, &["cannot read the config", "missing.toml"]);
    let directory = world.tree();
    finish(world.vatmux(["serve", "--config", directory.to_str().unwrap()]))
        .failed(1, &["cannot read the config", directory.to_str().unwrap()]);
    let text = "state = \"state\"\nallow-anyone = true\nlisten = [\"127.0.0.1:0\"]\n#";
    let longest = format!("{text}{}", "x".repeat(1024 * 1024 - text.len()));
    finish(check(&world, &longest, &[])).succeeded();
    finish(check(&world, &(longest + "x"), &[])).failed(1, &["the config `", "more than 1048576 bytes"]);
    let latin = world.path("latin.toml");
    fs::write(&latin, b"dir = \"caf\xe9\"").unwrap();
    finish(world.vatmux(["serve", "--config", latin.to_str().unwrap()])).failed(1, &["latin.toml", "utf-8"]);
}

#[test]
fn test_reject_what_a_config_and_flags_say_against_each_other() {
    let world = World::new();
    let id = world.id_of("client");
    let path = world.path("etc/node.toml");
    let path = path.to_str().unwrap();
    let publisher = "vatpub1tpnxvenxvenxvenxvenxvenxvenxvenxvenxvenxvenxvenxvenqh42rqw";
    let listen = "listen = [\"127.0.0.1:0\"]\n";
    let tcp = "import = [\"a=tcp:192.0.2.1:9\"]\n";
    let allow = format!("allow = [\"{id}\"]\n");
    for (text, flags, words) in [
        (
            "dir = \"x\"\n",
            &["--bundles", "y"][..],
            &["`dir` in `", path, "cannot be used with --bundles"][..],
        ),
        ("bundles = \"x\"\n", &["y"], &["DIR cannot be used with `bundles` in `", path]),
        (&allow, &["--allow-anyone"], &["--allow-anyone cannot be used with `allow` in `", path]),
        ("policy = \"x\"\n", &["--allow", &id], &["`policy` in `", path, "cannot be used with --allow;"]),
        ("policy = \"x\"\n", &["--allow-anyone"], &["cannot be used with --allow-anyone"]),
        ("policy = \"x\"\n", &["--installer", &id], &["cannot be used with --installer"]),
        ("policy = \"x\"\n", &["--operator", &id], &["cannot be used with --operator"]),
        ("policy = \"x\"\n", &["--registrar", &id], &["cannot be used with --registrar"]),
        (
            "state = \"x\"\n",
            &["--publisher", publisher],
            &["--publisher is about --bundles, which is missing"],
        ),
        ("bundle-quota = 1\n", &[], &["`bundle-quota` in `", path, "is about --bundles"]),
        ("state = \"x\"\n", &["--installer", &id], &["--installer is about --bundles"]),
        ("insecure-plain-tcp = true\n", &[], &["`insecure-plain-tcp` in `", "is about --import"]),
        (listen, &[], &["there is nothing to serve", "DIR", "--state", "--policy"]),
        ("state = \"x\"\n", &[], &["must listen somewhere", "--listen"]),
        (&format!("{listen}state = \"x\"\n"), &[], &["nobody may connect", "--allow"]),
        (&format!("{listen}{tcp}{allow}"), &[], &["192.0.2.1:9", "not on this machine alone"]),
    ] {
        finish(check(&world, text, flags)).failed(2, words);
    }
    assert!(world.names_here().is_empty() && !world.path("server").exists());
    // What is said in neither half alone.
    let text = format!("{listen}bundles = \"x\"\n{allow}");
    finish(check(&world, &text, &["--publisher", publisher])).succeeded();
    finish(check(&world, &format!("{listen}{tcp}{allow}"), &["--insecure-plain-tcp"])).succeeded();
}
