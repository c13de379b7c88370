//! Images that cannot do what they are told: each says why in one line, and powers off.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::thread;
use std::time::Duration;

use vatmux_os_disk::{Config, DISK_BYTES, Dial, KEY_AT, Kind, Task};

use super::machine::{Wire, configure};
use super::world::{BOOT, HOST, World, place};

/// The status that the image powers off with when the machine or its disk are not as they must be.
const SETUP: i32 = 2;

/// The status when a test failed.
const FAILED: i32 = 1;

/// How long it tries to reach a node that is none: 40 seconds, and what a busy machine adds.
const TRIES: Duration = Duration::from_mins(3);

/// Machines with other memories than the usual one, in MiB.
const MEMORIES: [u32; 3] = [30, 64, 256];

pub(crate) fn run(world: &World) -> Result<(), String> {
    let path = world.path("trial");
    let disk = Some(path.as_path());
    let write = |bytes: &[u8]| {
        fs::write(&path, bytes).map_err(|error| format!("cannot write {}: {error}", path.display()))
    };
    let read = || fs::read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()));

    ends(world, None, Wire::None, SETUP, "no disk")?;
    write(&[0; DISK_BYTES])?;
    ends(world, disk, Wire::None, SETUP, "cannot use the configuration: there is none")?;
    write(&[0xa5; DISK_BYTES])?;
    ends(world, disk, Wire::None, SETUP, "cannot use the configuration: there is none")?;
    write(&[0xa5; 512])?;
    ends(world, disk, Wire::None, SETUP, "the disk is too small")?;

    write(&[0; DISK_BYTES])?;
    let node = world.identify("trial")?;
    let serve = Config { task: Task::Serve, network: Some(place(15)), ..Config::default() };
    configure(&path, &serve)?;
    ends(world, disk, Wire::None, SETUP, "no network; the machine needs")?;
    let whole = read()?;
    let mut damaged = whole.clone();
    damaged[KEY_AT + 20] ^= 1;
    write(&damaged)?;
    ends(world, disk, Wire::None, SETUP, "cannot use the key: it is damaged")?;
    if read()? != damaged {
        return Err("the image changed a disk whose key is damaged".to_owned());
    }
    write(&whole)?;

    configure(&path, &Config::default())?;
    for memory_mib in MEMORIES {
        let mut parts = world.parts(&path, Wire::None);
        parts.memory_mib = memory_mib;
        let mut machine = parts.start(world.path(&format!("memory-{memory_mib}.log")))?;
        machine.console.wait_for(&format!("vatmux-os: node {node}"), BOOT)?;
        machine.wait(BOOT)?;
    }
    println!("it boots with {MEMORIES:?} MiB as well");

    let dials = |dial| Config { task: Task::SelfTest, dials: vec![dial], ..serve.clone() };
    for behaviour in [Behaviour::Silent, Behaviour::Garbage] {
        let port = behaviour.listen()?;
        configure(&path, &dials(Dial { node, address: HOST, port, kind: Kind::Host }))?;
        ends(world, disk, Wire::User { forwards: Vec::new() }, FAILED, behaviour.complaint())?;
    }
    let host = world.serve("strict", &[])?;
    configure(&path, &dials(host.dial()))?;
    ends(world, disk, Wire::User { forwards: Vec::new() }, FAILED, "not allowed")
}

/// Boots an image that has to say `line` and to power off with `status`.
fn ends(world: &World, disk: Option<&Path>, wire: Wire, status: i32, line: &str) -> Result<(), String> {
    let name: String =
        line.chars().map(|letter| if letter.is_alphanumeric() { letter } else { '-' }).collect();
    let mut parts = world.parts(Path::new(""), wire);
    parts.disk = disk;
    let mut machine = parts.start(world.path(&format!("trial-{name}.log")))?;
    let ended = machine.wait(TRIES)?;
    let said = machine.console.seen().iter().find(|printed| printed.contains(line)).cloned();
    match said {
        Some(said) if ended.code() == Some(status) => {
            println!("{said}");
            Ok(())
        }
        _ => {
            Err(machine.console.complaint(&format!("it powered off with {ended}, not {status} and {line:?}")))
        }
    }
}

/// What somebody does who listens and is no node.
#[derive(Clone, Copy)]
enum Behaviour {
    /// Never answers.
    Silent,
    /// Answers with what makes no sense.
    Garbage,
}

impl Behaviour {
    /// What the image says of it.
    fn complaint(self) -> &'static str {
        match self {
            Self::Silent => "the handshake took longer than",
            Self::Garbage => "FAIL mux session",
        }
    }

    /// Listens on a port of this machine's, for as long as this process lasts.
    fn listen(self) -> Result<u16, String> {
        let failed = |error| format!("cannot listen: {error}");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        let port = listener.local_addr().map_err(failed)?.port();
        thread::spawn(move || {
            let mut callers = Vec::new();
            while let Ok((mut caller, _)) = listener.accept() {
                match self {
                    Self::Silent => callers.push(caller),
                    Self::Garbage => {
                        // It may hang up first.
                        let _ = caller.write_all(&[0xa5; 4096]);
                        let _ = caller.read(&mut [0; 512]);
                    }
                }
            }
        });
        Ok(port)
    }
}
