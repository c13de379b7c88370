//! `stat` of a node, `serve --operator`, and `--verbose`.

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Serving, World, finish};

/// Serves to the client and to an operator.
fn serve(world: &World, more: &[&str]) -> Serving {
    let (client, operator) = (world.id_of("client"), world.id_of("operator"));
    let tree = world.tree();
    let mut words = vec!["serve", tree.to_str().unwrap(), "--listen", "127.0.0.1:0"];
    words.extend(["--operator", &operator, "--allow", &client, &operator]);
    words.extend(more);
    Serving::start(world.vatmux_of("server", words))
}

fn values(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn stat_of_a_node_shows_a_peer_its_own_session() {
    let world = World::new();
    let serving = serve(&world, &[]);
    let id = world.id_of("client");
    for address in [serving.line(), serving.line().trim_end_matches('/')] {
        let shown = finish(world.vatmux(["stat", address]));
        let shown = shown.succeeded();
        for label in ["node      vat1", "up        ", "limits    ", "shows     ", "age       ", "link      "]
        {
            assert!(shown.lines().any(|line| line.starts_with(label)), "no {label:?} in {shown}");
        }
        assert!(shown.contains(&format!("session   {id}\n")), "{shown}");
        assert!(shown.lines().any(|line| line.ends_with("  vatmux.health")), "{shown}");
        assert_eq!(shown.matches("session   ").count(), 1);
    }
    let told = finish(world.vatmux(["--json", "stat", serving.line()]));
    let [node, session] = &values(told.succeeded())[..] else { panic!("{told:?}") };
    assert_eq!(
        (&node["scope"], &node["counters"], &node["software"]),
        (&"own_session".into(), &Value::Null, &Value::Null)
    );
    assert_eq!(session["peer"], id);
    assert_eq!(session["streams"][0]["service"], "vatmux.health");
    assert_eq!(session["services"][0]["served"]["ok"], 1, "the call that came before");
}

#[test]
fn stat_of_a_node_shows_its_operator_everything() {
    let world = World::new();
    let serving = serve(&world, &[]);
    finish(world.vatmux(["ping", "-c", "3", "-i", "0", serving.line()])).succeeded();
    finish(world.vatmux_of("stranger", ["ping", serving.line()])).failed(1, &["does not allow"]);
    let told = finish(world.vatmux_of("operator", ["--json", "stat", serving.line()]));
    let [node, session] = &values(told.succeeded())[..] else { panic!("{told:?}") };
    assert_eq!(node["scope"], "whole_node");
    assert_eq!((&node["counters"]["connected"], &node["counters"]["not_allowed"]), (&2.into(), &1.into()));
    assert!(node["software"].as_str().unwrap().starts_with("vatmux "));
    let served = &node["services"][0]["served"];
    assert_eq!((&node["services"][0]["service"], &served["ok"]), (&"vatmux.health".into(), &3.into()));
    assert!(served["p99_seconds"].as_f64().unwrap() > 0.0);
    let methods = node["services"][0]["methods"].as_array().unwrap();
    let [asking, ping] = &methods[..] else { panic!("{methods:?}") };
    assert_eq!((&asking["method"], &asking["served"]["open"]), (&"Health.node".into(), &1.into()));
    assert_eq!((&ping["method"], &ping["served"]["ok"]), (&"Health.ping".into(), &3.into()));
    assert_eq!(ping["asked"]["started"], 0);
    assert_eq!(session["peer"], world.id_of("operator"));
    let shown = finish(world.vatmux_of("operator", ["stat", serving.line()]));
    let shown = shown.succeeded();
    assert!(shown.contains("sessions  1 now, 3 in all") && shown.contains("1 peer not allowed"), "{shown}");
    assert!(!shown.contains("defects"), "{shown}");
    let ping = shown.lines().find(|line| line.ends_with("    Health.ping")).unwrap();
    assert_eq!(ping.split_whitespace().take(4).collect::<Vec<_>>(), ["served", "3", "0", "3"], "{shown}");
}

#[test]
fn what_goes_on_is_told_on_standard_error_when_it_is_asked_for() {
    let world = World::new();
    let serving = serve(&world, &["-vvv"]);
    let id = world.id_of("client");
    let pinged = finish(world.vatmux(["ping", "-c", "1", "-v", serving.line()]));
    assert!(pinged.status.success());
    assert!(
        pinged.stderr.contains("a session is up") && !pinged.stderr.contains("call{"),
        "{}",
        pinged.stderr
    );
    let json = finish(world.vatmux(["ping", "-c", "1", "--json", "--log", "trace", serving.line()]));
    let calls = values(&json.stderr);
    assert!(
        calls.iter().any(|line| line["span"]["name"] == "call" && line["span"]["outcome"] == "ok"),
        "{json:?}"
    );
    let served = serving.stop(Signal::TERM);
    let call = served.stderr.lines().find(|line| line.contains("call{")).unwrap();
    for field in [id.as_str(), "service=\"vatmux.health\"", "method=0", "outcome=\"ok\""] {
        assert!(call.contains(field), "no {field} in {call}");
    }
}

#[test]
fn a_filter_that_makes_no_sense_is_named() {
    let world = World::new();
    finish(world.vatmux(["--log", "vatmux=loud", "id"])).failed(2, &["--log"]);
    finish(world.vatmux(["--log", "info", "-v", "id"])).failed(2, &["--log"]);
}
