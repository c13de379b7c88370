//! `--json`: one value per line, with the fields that the help names.

use std::fs;
use std::os::unix::fs::symlink;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Outcome, Serving, World, finish};

fn lines(outcome: &Outcome) -> Vec<Value> {
    outcome.succeeded().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn planted() -> World {
    let world = World::new();
    fs::write(world.tree().join("a \n file"), "12345").unwrap();
    symlink("a", world.tree().join("link")).unwrap();
    fs::create_dir(world.tree().join("zoo")).unwrap();
    world
}

#[test]
fn id_names_the_node_and_its_key() {
    let world = World::new();
    let [value] = &lines(&finish(world.vatmux(["--json", "id"])))[..] else { panic!() };
    assert_eq!(value["node_id"], world.id_of("client").as_str());
    assert_eq!(value["key_file"], world.path("client/node.key").to_str().unwrap());
}

#[test]
fn ls_and_stat_give_exact_names_and_attributes() {
    let world = planted();
    let serving = world.serve();
    let entries = lines(&finish(world.vatmux(["ls", "--json", &serving.at("")])));
    let names: Vec<_> = entries.iter().map(|entry| entry["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["a \n file", "link", "zoo"]);
    let kinds: Vec<_> = entries.iter().map(|entry| entry["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["file", "symlink", "directory"]);
    assert_eq!(entries[0]["size_bytes"], 5);
    assert_eq!(entries[0]["mode"].as_str().unwrap().len(), 4);
    assert!(entries[0]["modified_ns"].as_i64().unwrap() > 1_600_000_000_000_000_000);
    assert_eq!((&entries[0]["link_target"], &entries[1]["link_target"]), (&Value::Null, &"a".into()));

    let [value] = &lines(&finish(world.vatmux(["stat", "--json", &serving.at("link")])))[..] else {
        panic!()
    };
    assert_eq!((&value["path"], &value["kind"]), (&"link".into(), &"symlink".into()));
}

#[test]
fn get_sums_up_and_names_what_was_left_out() {
    let world = planted();
    let serving = world.serve();
    let [value] = &lines(&finish(world.vatmux(["get", "-r", "--json", &serving.at(""), "copy"])))[..] else {
        panic!()
    };
    assert_eq!((&value["files"], &value["bytes"]), (&1.into(), &5.into()));
    assert_eq!((&value["directories"], &value["links"]), (&2.into(), &1.into()));
    assert_eq!((&value["path"], &value["destination"]), (&"".into(), &"copy".into()));
    assert!(value["seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(value["skipped"], Value::Array(Vec::new()));

    symlink("/etc", world.tree().join("out")).unwrap();
    let outcome = finish(world.vatmux(["get", "-r", "--json", &serving.at(""), "other"]));
    assert_eq!(outcome.status.code(), Some(1));
    let value: Value = serde_json::from_slice(&outcome.stdout).unwrap();
    assert_eq!(value["skipped"][0]["path"], "out");
    assert!(value["skipped"][0]["reason"].as_str().unwrap().contains("/etc"));
    let error: Value = serde_json::from_str(&outcome.stderr).unwrap();
    assert_eq!(error["exit_code"], 1);
}

#[test]
fn ping_gives_each_time_and_the_sum_of_them() {
    let world = planted();
    let serving = world.serve();
    let values = lines(&finish(world.vatmux(["ping", "--json", "-c", "3", "-i", "0", &serving.at("")])));
    assert_eq!(values.len(), 4);
    assert_eq!(values[2]["sequence"], 3);
    assert_eq!(values[3]["count"], 3);
    assert_eq!(values[3]["node_id"], world.id_of("server").as_str());
    let seconds = |field: &str| values[3][field].as_f64().unwrap();
    assert!(seconds("min_seconds") <= seconds("median_seconds"));
    assert!(seconds("median_seconds") <= seconds("p99_seconds"));
    assert!(seconds("p99_seconds") <= seconds("max_seconds"));
    assert!(seconds("dial_seconds") > 0.0);
}

#[test]
fn serve_gives_one_object_and_one_for_each_event() {
    let world = planted();
    let client = world.id_of("client");
    let tree = world.tree();
    let words = ["serve", "--json", tree.to_str().unwrap(), "--listen", "127.0.0.1:0", "--allow", &client];
    let serving = Serving::start(world.vatmux_of("server", words));
    let value: Value = serde_json::from_str(serving.line()).unwrap();
    assert_eq!(value["node_id"], world.id_of("server").as_str());
    let address = value["listening"][0].as_str().unwrap();
    finish(world.vatmux(["ls", address])).succeeded();
    let events: Vec<Value> =
        serving.stop(Signal::TERM).stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 2, "{events:?}");
    assert_eq!((&events[0]["event"], &events[0]["peer"]), (&"connected".into(), &client.as_str().into()));
    assert_eq!((&events[1]["event"], &events[1]["peer"]), (&"left".into(), &client.as_str().into()));
    assert!(events[1]["detail"].is_string());
}

#[test]
fn errors_are_objects_too() {
    let world = planted();
    let serving = world.serve();
    for (words, code) in [
        (vec!["cat".to_owned(), "--json".to_owned(), serving.at("missing")], 1),
        (vec!["ls".to_owned(), "--json".to_owned(), "http://x".to_owned()], 2),
        (vec!["--json".to_owned(), "frobnicate".to_owned()], 2),
    ] {
        let outcome = finish(world.vatmux(&words));
        assert_eq!(outcome.status.code(), Some(code));
        assert!(outcome.stdout.is_empty());
        let error: Value = serde_json::from_str(&outcome.stderr).unwrap();
        assert_eq!(error["exit_code"], code);
        assert!(!error["error"].as_str().unwrap().is_empty());
    }
}
