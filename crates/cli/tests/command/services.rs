//! `services`: who offers what through a node, between processes.

use std::io::{BufRead, BufReader};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use vatmux::samgr::{Client, Name, Policy};
use vatmux::schema::health::{Health, HealthDouble};
use vatmux::service::{Service as _, Stub as _};
use vatmux::{Local, NodeAddress, SecretKey};

use crate::harness::{Running, Serving, World, finish};

/// Where a process that was told so offers a service.
const REGISTRY: &str = "VATMUX_TEST_REGISTRY";

const CLOCK: &str = "org.example.clock";

fn provider_key() -> SecretKey {
    SecretKey::from_bytes([9; 32]).unwrap()
}

/// A node whose registry is open to the provider.
fn serve(world: &World) -> Serving {
    let (client, provider) = (world.id_of("client"), provider_key().node_id().to_string());
    let words = ["serve", "--registrar", &provider, "--listen", "127.0.0.1:0", "--allow", &client];
    Serving::start(world.vatmux_of("server", words.into_iter().chain(["--allow", &provider])))
}

fn services(world: &World, serving: &Serving, words: &[&str]) -> Command {
    let address = serving.at("");
    world.vatmux(["services", words[0], &address].iter().chain(&words[1..]))
}

/// Not a test: what the others start, and kill.
#[test]
#[ignore = "it offers a service until it is killed"]
fn providing_process() {
    let Ok(address) = std::env::var(REGISTRY) else { return };
    let mut local = Local::new(provider_key()).unwrap();
    let (dialer, handle) = (local.dialer(), local.handle());
    let offering = async {
        let address: NodeAddress = address.parse().unwrap();
        let registry = Client::connect(&dialer.dial(&address).await.unwrap()).unwrap();
        let clock = Health::serve(HealthDouble::default().on_ping(|nonce| Ok(nonce + 1)));
        let clock_name: Name = CLOCK.parse().unwrap();
        let _registered = registry.register(&clock_name, &clock, "1.2", Policy::default()).await.unwrap();
        // Until it is killed, or whoever started it is long gone.
        handle.sleep(Duration::from_mins(1)).await;
    };
    local.drive_until(offering).unwrap();
}

fn provide(serving: &Serving) -> Running {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", "services::providing_process"]).env(REGISTRY, serving.at(""));
    Running::start(command)
}

#[test]
fn a_node_lists_its_own_services_and_says_what_they_are() {
    let world = World::new();
    let serving = serve(&world);
    let server = world.id_of("server");
    let listed = finish(services(&world, &serving, &["list"]));
    assert_eq!(listed.succeeded(), format!("vatmux.health {server} *\nvatmux.samgr {server} *\n"));
    let listed = finish(services(&world, &serving, &["list", "vatmux.h", "--json"]));
    let health: Value = serde_json::from_str(listed.succeeded()).unwrap();
    assert_eq!((&health["name"], &health["node"]), (&"vatmux.health".into(), &server.as_str().into()));
    assert_eq!((&health["local"], &health["priority"]), (&true.into(), &0.into()));
    let digest = format!("{:?}", Health::DESCRIPTOR.digest);
    assert_eq!(health["schema_digest"], digest);
    let resolved = finish(services(&world, &serving, &["resolve", "vatmux.health"]));
    assert!(resolved.succeeded().contains(&digest), "{resolved:?}");
    assert_eq!(finish(services(&world, &serving, &["list", "nothing"])).succeeded(), "");
}

#[test]
fn what_another_process_offers_is_waited_for_resolved_and_watched_until_it_is_killed() {
    let world = World::new();
    let serving = serve(&world);
    let provider_id = provider_key().node_id().to_string();
    let mut watch = Running::start(services(&world, &serving, &["watch", "org."]));
    let mut told = BufReader::new(watch.stdout()).lines().map(Result::unwrap);
    assert!(told.next().unwrap().starts_with("= revision "));
    let waiting = Running::start(services(&world, &serving, &["wait", CLOCK, "--json"]));
    let provider = provide(&serving);
    let waited = waiting.wait();
    let clock: Value = serde_json::from_str(waited.succeeded()).unwrap();
    assert_eq!((&clock["name"], &clock["node"]), (&CLOCK.into(), &provider_id.as_str().into()));
    assert_eq!((&clock["local"], &clock["version"]), (&false.into(), &"1.2".into()));
    assert_eq!(told.next().unwrap(), format!("+ {CLOCK} {provider_id}"));
    let resolved = finish(services(&world, &serving, &["resolve", CLOCK]));
    assert!(resolved.succeeded().contains("version     1.2\n"), "{resolved:?}");
    provider.signal(Signal::KILL);
    provider.wait();
    assert_eq!(told.next().unwrap(), format!("- {CLOCK} disconnected"));
    finish(services(&world, &serving, &["resolve", CLOCK])).failed(1, &["cannot resolve", CLOCK]);
    watch.signal(Signal::KILL);
    watch.wait();
}

#[test]
fn test_reject_names_that_nobody_offers_and_waits_that_come_to_nothing() {
    let world = World::new();
    let serving = serve(&world);
    let resolved = finish(services(&world, &serving, &["resolve", "nothing"]));
    resolved.failed(1, &["cannot resolve `nothing`", "Nobody offers this"]);
    let waited = finish(services(&world, &serving, &["wait", "nothing", "--for", "0.1"]));
    waited.failed(1, &["cannot wait for `nothing`", "Nobody registered the name in time"]);
    finish(services(&world, &serving, &["wait", "nothing", "--for", "601"])).failed(2, &["at most 600"]);
    finish(services(&world, &serving, &["resolve", "a b"])).failed(2, &["no blanks"]);
}

#[test]
fn test_reject_access_denied_registrations_by_others_than_registrars() {
    let world = World::new();
    let client = world.id_of("client");
    let provider = provider_key().node_id().to_string();
    let serving = Serving::start(world.vatmux_of(
        "server",
        ["serve", "--registrar", &client, "--listen", "127.0.0.1:0", "--allow", &client, &provider],
    ));
    let outcome = provide(&serving).wait();
    let said = String::from_utf8_lossy(&outcome.stdout).into_owned() + &outcome.stderr;
    assert!(!outcome.status.success() && said.contains("AccessDenied"), "{said}");
    let stopped = serving.stop(Signal::TERM);
    assert!(
        stopped.stderr.lines().any(|line| {
            ["vatmux::mutation", CLOCK, "accessDenied", &provider].iter().all(|word| line.contains(word))
        }),
        "{stopped:?}"
    );
}
