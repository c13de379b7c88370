//! `call`: methods of services, by their schemas.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::harness::{World, finish};

fn served() -> World {
    let world = World::new();
    fs::write(world.tree().join("file"), "content\u{1}").unwrap();
    fs::write(world.tree().join("large"), vec![7; 100_000]).unwrap();
    world
}

#[test]
fn a_shipped_service_needs_no_schema() {
    let world = served();
    let serving = world.serve();
    let call = |method: &str, parameters: &str| -> Value {
        let answer = finish(world.vatmux(["call", &serving.at(""), method, parameters]));
        serde_json::from_str(answer.succeeded()).unwrap()
    };
    let stat = call("vatmux.packagefs.stat", r#"{"path": "file"}"#);
    assert_eq!((&stat["status"], &stat["attributes"]["kind"]), (&json!("ok"), &json!("file")));
    assert_eq!(stat["attributes"]["sizeBytes"], json!(8));

    let read = call("PackageFs.readSmall", r#"{"path": "file"}"#);
    assert_eq!((&read["content"], &read["file"]), (&json!("0x636f6e74656e7401"), &json!(null)));
    let read = call("PackageFs.readSmall", r#"{"path": "large", "limit": 1}"#);
    assert_eq!((&read["content"], &read["file"]), (&json!("0x07"), &json!({ "capability": "File" })));

    let list = call("vatmux.packagefs.list", r#"{"path": "", "limit": 10}"#);
    let names: Vec<_> = list["entries"].as_array().unwrap().iter().map(|entry| &entry["name"]).collect();
    assert_eq!(names, [&json!("file"), &json!("large")]);

    let node = call("vatmux.health.node", "{}");
    assert_eq!((&node["scope"], &node["counters"]), (&json!("ownSession"), &json!(null)));
    assert_eq!(
        call("vatmux.health.ping", r#"{"nonce": "18446744073709551615"}"#),
        json!({ "nonce": u64::MAX })
    );
}

#[test]
fn a_status_that_says_no_is_a_failure_that_says_which() {
    let world = served();
    let serving = world.serve();
    let words = ["call", &serving.at(""), "vatmux.packagefs.stat", r#"{"path": "nowhere"}"#];
    finish(world.vatmux(words)).failed(1, &["vatmux.packagefs.stat is refused: notFound"]);
    let words = ["call", &serving.at(""), "vatmux.packagefs.stat", r#"{"path": "a//b"}"#];
    finish(world.vatmux(words)).failed(1, &["invalidPath ("]);
}

#[test]
fn what_cannot_be_asked_is_said_before_anybody_is_dialed() {
    let world = World::new();
    let nobody = format!("vat://{}@127.0.0.1:1/", world.id_of("server"));
    for (method, parameters, words) in [
        ("stat", "{}", "names no method: say SERVICE.METHOD"),
        (
            "no.such.stat",
            "{}",
            "its services are: vatmux.bundles, vatmux.health, vatmux.packagefs, vatmux.samgr, vatmux.state; ",
        ),
        ("vatmux.packagefs.fly", "{}", "has no method \"fly\"; its methods are: stat, list, open, readSmall"),
        ("vatmux.packagefs.stat", "{path}", "the parameters are no JSON"),
        ("vatmux.packagefs.stat", "[]", "expected an object"),
        (
            "vatmux.packagefs.stat",
            r#"{"pfad": "x"}"#,
            "`pfad`: there is no such field; the fields are: path, followLinks",
        ),
    ] {
        finish(world.vatmux(["call", &nobody, method, parameters])).failed(2, &[words]);
    }
}

#[test]
fn a_schema_of_one_s_own_says_what_a_service_is() {
    let world = served();
    let serving = world.serve();
    let schema = world.here().join("own.capnp");
    // A part of packagefs, and a method that it has not.
    let text = "@0xd99e88e0faa7ac6e;\nusing Vatmux = import \"/vatmux/vatmux.capnp\";\n\
                interface Part @0xINTERFACE $Vatmux.service(name = \"vatmux.packagefs\", priority = 6) {\n\
                  stat @0 (path :Text) -> (status :UInt16);\n  a @1 (); b @2 (); c @3 ();\n\
                  later @4 () -> () $Vatmux.deadline(seconds = 1);\n}\n";
    fs::write(&schema, text.replace("0xINTERFACE", &interface_id())).unwrap();
    let call =
        |method: &str| finish(world.vatmux(["call", &serving.at(""), method, "{}", "--schema", "own.capnp"]));
    assert_eq!(call("Part.stat").succeeded().trim(), r#"{"status":0}"#);
    call("Part.later").failed(1, &["cannot call vatmux.packagefs.later: ", "not implemented"]);
}

/// The id of packagefs's interface, as the command itself describes it.
fn interface_id() -> String {
    let schema = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schema/packagefs.capnp");
    let world = World::new();
    let words = ["schema", "describe", "--json", schema.to_str().unwrap()];
    let described = finish(world.vatmux(words));
    let line = described.succeeded().lines().find(|line| line.contains("\"PackageFs\"")).unwrap();
    let value: Value = serde_json::from_str(line).unwrap();
    value["id"].as_str().unwrap().to_owned()
}
