//! `cargo xtask os test`: an image tests itself with a host, and what it says is checked from outside.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;
use vatmux_noise::NodeId;
use vatmux_os_disk::{Config, Dial, Kind, Task};

use super::machine::{Cable, Forward, Machine, Wire, configure};
use super::markers::{WITH_A_HOST, WITH_AN_IMAGE, value};
use super::storm::Storm;
use super::world::{
    BOOT, BULK_BYTES, Host, PORT, World, cable_end, cable_ports, digest_of, free_port, judge, on_cable, place,
};
use super::{alone, squeeze, trials};
use crate::repository::Repository;

/// How long the tests of one image with one node may take, on a machine that is busy with others.
const TESTS: Duration = Duration::from_mins(5);

/// Callers that are no nodes, one after the other: more than there is room for.
const CALLERS: u32 = 30;

/// What the keepalive says of a node that it gives up: nine ticks of a second passed without a byte.
const SILENT: &str = "the peer was silent for 9s and is taken for dead";

/// How long it may take until a node is missed: nine ticks, of which the first may have begun before it fell silent, and
/// what a machine adds that is busy with others.
const NOTICED: Duration = Duration::from_secs(10 + 5);

/// How long it may take until a node is found again that is there: a pause of up to five seconds between dials, a dial that may
/// be under way and gets no answer, and the same for a busy machine.
const FOUND_AGAIN: Duration = Duration::from_secs(5 + 10 + 5);

pub(crate) fn run(repository: &Repository, two: bool) -> Result<(), String> {
    let world = World::new(repository, "test")?;
    println!("== an image alone, twice");
    alone::run(&world)?;
    println!("== one image and a host");
    one(&world)?;
    println!("== an image with little memory");
    squeeze::run(&world)?;
    println!("== images that cannot do what they are told");
    trials::run(&world)?;
    if two {
        println!("== two images and a host");
        pair(&world)?;
    }
    Ok(())
}

/// An image that serves, and can be asked from here.
struct Served {
    machine: Machine,
    address: String,
    /// The other end of the cable of its second card.
    cable: Storm,
}

/// One image: a client and a server of the host.
fn one(world: &World) -> Result<(), String> {
    let node = world.identify("one")?;
    if world.identify("one")? != node {
        return Err("an image has another key after another boot".to_owned());
    }
    let host = world.serve("one", &[node])?;
    let disk = world.path("one");
    let config = Config {
        task: Task::Serve,
        network: Some(place(15)),
        cable: Some(on_cable(15)),
        listen: Some(PORT),
        allow: vec![world.id_of("client")?],
        dials: vec![host.dial()],
        ..Config::default()
    };
    configure(&disk, &config)?;
    let port = free_port()?;
    let forwards = vec![Forward { from: port, to: (place(15).address, PORT) }];
    let (end, there) = cable_end()?;
    let (_, here) = cable_end()?;
    let mut parts = world.parts(&disk, Wire::User { forwards });
    parts.cable = Some(Cable { here, there, card: 2 });
    let machine = parts.start(world.path("one.log"))?;
    let cable = Storm::new(end, here, on_cable(15).address);
    let mut served = Served { machine, address: format!("vat://{node}@127.0.0.1:{port}"), cable };
    served.machine.console.wait_for("vatmux-os: serving", TESTS)?;
    judge(served.machine.console.seen(), WITH_A_HOST)?;
    println!("all markers were printed");
    the_host_agrees(world, &host, &node, &mut served.machine)?;
    the_image_serves(world, &mut served)?;
    drop(served);

    // As a test, it powers off and says how it went.
    configure(
        &disk,
        &Config { task: Task::SelfTest, listen: None, allow: Vec::new(), cable: None, ..config },
    )?;
    let mut machine =
        world.parts(&disk, Wire::User { forwards: Vec::new() }).start(world.path("selftest.log"))?;
    let status = machine.wait(TESTS)?;
    judge(machine.console.seen(), WITH_A_HOST)?;
    if status.success() {
        Ok(())
    } else {
        Err(machine.console.complaint(&format!("it powered off with {status}")))
    }
}

/// What the markers say of the host is so there: bytes, values, counts.
fn the_host_agrees(world: &World, host: &Host, image: &NodeId, machine: &mut Machine) -> Result<(), String> {
    let mut line = |marker: &str| machine.console.wait_for(marker, BOOT);
    let bulk = line("SELFTEST: mux bulk ok")?;
    expect("bytes of the bulk transfer", value(&bulk, "bytes"), &BULK_BYTES.to_string())?;

    let state = line("SELFTEST: remote statefs rw ok")?;
    let kept = world.ask("client", &["state", "get", &host.address, &format!("os/{image}/kept")])?;
    let kept = String::from_utf8_lossy(&kept).into_owned();
    if kept.is_empty() || !state.contains(&kept) {
        return Err(format!("the host keeps {kept:?}, and the image said {state:?}"));
    }
    let keys = world.ask("client", &["state", "list", &host.address])?;
    if String::from_utf8_lossy(&keys).contains("scratch") {
        return Err("the host has a key that the image says it deleted".to_owned());
    }

    let query = line("SELFTEST: remote query ok")?;
    expect("the bundles of the host", value(&query, "bundle"), "sample")?;
    let size = fs::metadata(world.path("one-tree/bulk.bin"))
        .map_err(|error| format!("cannot look at the tree: {error}"))?
        .len();
    expect("the size of a file", value(&line("SELFTEST: remote pkgfs stat ok")?, "size"), &size.to_string())?;

    let registered = world.ask("client", &["services", "list", &host.address, "--json"])?;
    let registered = registered.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).count();
    let resolved = line("SELFTEST: remote resolve ok")?;
    expect("services in the registry", value(&resolved, "services"), &registered.to_string())?;

    let counted = world.ask("client", &["stat", &host.address, "--json"])?;
    for (service, name) in [("vatmux.state", "statefs"), ("vatmux.packagefs", "packagefs")] {
        let calls = served(&counted, image, service);
        if calls == 0 {
            return Err(format!("the host has not served one call of {service} to {image}"));
        }
        println!("dsoftbusd: remote {name} served (calls={calls} peer={image})");
    }
    println!("the host agrees: state, bundles, files, registry");
    Ok(())
}

/// How many calls of a service ended well, by what `vatmux stat --json` says of the sessions with `peer`.
fn served(stat: &[u8], peer: &NodeId, service: &str) -> u64 {
    let lines =
        stat.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let sessions = lines.filter(|line| line["peer"] == peer.to_string().as_str());
    let services = sessions.flat_map(|session| session["services"].as_array().cloned().unwrap_or_default());
    services
        .filter(|entry| entry["service"] == service)
        .filter_map(|entry| entry["served"]["ok"].as_u64())
        .sum()
}

/// The image answers, and what it serves is what it says.
fn the_image_serves(world: &World, served: &mut Served) -> Result<(), String> {
    let at = |path: &str| format!("{}/{path}", served.address);
    world.ask("client", &["ping", &served.address, "--count", "3"])?;
    let about = world.ask("client", &["cat", &at("about.txt")])?;
    let expected = include_bytes!("../../../guests/os/tree/about.txt");
    if about != expected {
        return Err(format!("the image serves {:?} as about.txt", String::from_utf8_lossy(&about)));
    }
    let bulk = world.ask("client", &["cat", &at("bulk.bin")])?;
    let digest = world.ask("client", &["cat", &at("bulk.b2s")])?;
    if digest_of(&bulk).as_bytes() != digest.trim_ascii() || bulk.len() < 256 * 1024 {
        return Err(format!("{} bytes of the image's large file came, with another digest", bulk.len()));
    }
    let listed = world.ask("client", &["ls", &at("guide")])?;
    if !String::from_utf8_lossy(&listed).contains("links.txt") {
        return Err("the image does not list guide/links.txt".to_owned());
    }
    if world.ask("stranger", &["ping", &served.address, "--count", "1"]).is_ok() {
        return Err("the image let a node in that is not on its list".to_owned());
    }
    storm(&served.address)?;
    world.ask("client", &["ping", &served.address, "--count", "3"])?;
    let frames = served.cable.during(|| world.ask("client", &["ping", &served.address, "--count", "20"]))?;
    println!("it answers every ping while it is sent {frames} frames that make no sense");
    served.machine.console.wait_for("dsoftbusd: remote packagefs served", BOOT)?;
    served.machine.console.wait_for("turned a caller away", BOOT)?;
    println!("the image serves what it says, to whom it was told");
    Ok(())
}

/// Connects again and again with something that is no handshake.
fn storm(address: &str) -> Result<(), String> {
    let (_, place) = address.split_once('@').ok_or("the address has no place")?;
    for _ in 0..CALLERS {
        // It may have no room for so many, and says so by hanging up.
        if let Ok(mut caller) = TcpStream::connect(place) {
            let _ = caller.write_all(&[0xa5; 2048]);
        }
    }
    Ok(())
}

fn expect(what: &str, found: Option<&str>, expected: &str) -> Result<(), String> {
    match found {
        Some(found) if found == expected => Ok(()),
        _ => Err(format!("{what}: the image says {found:?}, and it is {expected:?}")),
    }
}

/// Two images, each a client and a server of the other and of the host. One is cut off in the middle and comes back.
fn pair(world: &World) -> Result<(), String> {
    let disks = ["two-a", "two-b"];
    let nodes = [world.identify(disks[0])?, world.identify(disks[1])?];
    let mut host = world.serve("two", &nodes)?;
    let client = world.id_of("client")?;
    // Each has QEMU's small network to itself, where the host is; they meet on a cable between their second cards.
    let places = [on_cable(15), on_cable(16)];
    let to_host = host.dial();
    let (ports, ends) = ([free_port()?, free_port()?], cable_ports()?);
    let start = |at: usize, log: &str| {
        let node = nodes[1 - at];
        let other = Dial { node, address: places[1 - at].address, port: PORT, kind: Kind::Image };
        let config = Config {
            task: Task::Serve,
            network: Some(place(15)),
            cable: Some(places[at]),
            listen: Some(PORT),
            allow: vec![client, node],
            dials: vec![to_host, other],
            ..Config::default()
        };
        let disk = world.path(disks[at]);
        configure(&disk, &config)?;
        let forwards = vec![Forward { from: ports[at], to: (place(15).address, PORT) }];
        let mut parts = world.parts(&disk, Wire::User { forwards });
        parts.cable = Some(Cable { here: ends[at], there: ends[1 - at], card: 2 + at as u8 });
        parts.start(world.path(log))
    };
    let is_tested = |machine: &mut Machine, with: &NodeId, markers: &[&str]| {
        machine.console.wait_for("vatmux-os: serving", TESTS)?;
        let of_this: Vec<_> =
            machine.console.seen().iter().filter(|line| line.contains(&with.to_string())).cloned().collect();
        judge(&of_this, markers)
    };

    let mut first = start(0, "two-a.log")?;
    first.console.wait_for("listening on", BOOT)?;
    let mut second = start(1, "two-b.log")?;
    for (machine, other) in [(&mut first, &nodes[1]), (&mut second, &nodes[0])] {
        is_tested(machine, &host.node, WITH_A_HOST)?;
        is_tested(machine, other, WITH_AN_IMAGE)?;
    }
    for (node, port) in nodes.iter().zip(ports) {
        world.ask("client", &["ping", &format!("vat://{node}@127.0.0.1:{port}"), "--count", "3"])?;
    }
    println!("three nodes, every pair: all markers were printed");

    second.cut()?;
    // What it was connected to the host by is cut with it, so that the host need not wait for any keepalive.
    let left = host.events.wait_for(&format!("{} left: ", nodes[1]), NOTICED)?;
    println!("the host noticed: {left}");
    let lost = first.console.wait_for(&format!("lost {}: {SILENT}", nodes[1]), NOTICED)?;
    println!("the other image noticed: {lost}");
    let mut second = start(1, "two-b-again.log")?;
    is_tested(&mut second, &host.node, WITH_A_HOST)?;
    is_tested(&mut second, &nodes[0], WITH_AN_IMAGE)?;
    let again = first.console.wait_for(&format!("session 2 with {}", nodes[1]), FOUND_AGAIN)?;
    println!("and it is back, with both: {again}");
    Ok(())
}
