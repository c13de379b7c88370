//! `demo`: it shows what it says, and says what it does not find equal.

use std::fs;
use std::os::unix::fs::symlink;

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Running, World, finish, names};
use crate::tree::plant_oddities;

#[test]
fn the_demo_fetches_everything_and_finds_it_equal() {
    let world = World::new();
    plant_oddities(&world.tree());
    symlink("/etc/passwd", world.tree().join("out")).unwrap();
    let outcome = finish(world.vatmux(["demo", world.tree().to_str().unwrap()]));
    let shown = outcome.succeeded();
    let lines = ["handshake", "streams", "listed", "fetched", "throughput", "ping idle", "ping loaded"];
    for line in lines.into_iter().chain(["registry", "found", "put", "installed", "read back"]) {
        assert!(shown.lines().any(|shown| shown.starts_with(line)), "no {line} in {shown}");
    }
    assert!(shown.ends_with("equal\n"), "{shown}");
    assert!(world.names_here().is_empty());
}

#[test]
fn the_demo_gives_its_figures_to_programs() {
    let world = World::new();
    fs::write(world.tree().join("small"), "small").unwrap();
    let outcome = finish(world.vatmux(["--json", "demo", world.tree().to_str().unwrap()]));
    let value: Value = serde_json::from_str(outcome.succeeded()).unwrap();
    assert_eq!((&value["equal"], &value["files"]), (&true.into(), &1.into()));
    assert!(value["rounds"].as_u64().unwrap() > 1, "a directory too small to be a load is fetched again");
    assert_eq!(value["bytes"], 5);
    assert_eq!(value["total_bytes"].as_u64().unwrap(), 5 * value["rounds"].as_u64().unwrap());
    assert!(value["ping_loaded"]["p99_seconds"].as_f64().unwrap() > 0.0);
    assert_ne!(value["server"], value["client"]);
    let services = &value["services"];
    for name in ["vatmux.bundles", "vatmux.packagefs", "vatmux.samgr", "vatmux.state"] {
        assert!(services["listed"].as_array().unwrap().contains(&name.into()), "no {name} in {services}");
    }
    assert_eq!((&services["values_put"], &services["bundle_files"]), (&64.into(), &16.into()));
}

#[test]
fn the_demo_fails_where_not_every_byte_can_be_had() {
    let world = World::new();
    fs::write(world.tree().join("no \\ path can hold this"), "bytes").unwrap();
    finish(world.vatmux(["demo", world.tree().to_str().unwrap()])).failed(1, &["left out"]);
}

#[test]
fn the_demo_shows_the_documentation_that_is_here() {
    let world = World::new();
    fs::create_dir(world.here().join("docs")).unwrap();
    fs::write(world.here().join("docs/page"), "of here").unwrap();
    let outcome = finish(world.vatmux(["--json", "demo"]));
    let value: Value = serde_json::from_str(outcome.succeeded()).unwrap();
    let docs = fs::canonicalize(world.here().join("docs")).unwrap();
    assert_eq!((&value["directory"], &value["bytes"]), (&docs.to_str().unwrap().into(), &7.into()));
}

#[test]
fn the_demo_leaves_nothing_behind_done_or_interrupted() {
    let world = World::new();
    fs::write(world.tree().join("file"), "bytes").unwrap();
    let temporary = world.path("temporary");
    fs::create_dir(&temporary).unwrap();
    let demo = || {
        let mut demo = world.vatmux(["demo", world.tree().to_str().unwrap()]);
        demo.env("TMPDIR", &temporary);
        demo
    };
    finish(demo()).succeeded();
    assert!(names(&temporary).is_empty());

    let running = Running::start(demo());
    let fetches = || names(&temporary).iter().any(|name| !names(&temporary.join(name)).is_empty());
    while !fetches() {
        std::thread::yield_now();
    }
    running.signal(Signal::TERM);
    let outcome = running.wait();
    assert_eq!(outcome.status.code(), Some(130), "{outcome:?}");
    assert!(names(&temporary).is_empty(), "{:?}", names(&temporary));
}

#[test]
fn the_demo_of_no_directory_is_refused() {
    let world = World::new();
    finish(world.vatmux(["demo", "missing"])).failed(1, &["cannot serve `missing`"]);
}
