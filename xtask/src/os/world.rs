//! What an image meets: a host that serves, with a tree, a state and bundles, and the command `vatmux` beside it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use blake2::{Blake2s256, Digest};
use vatmux_noise::NodeId;
use vatmux_os_disk::{Config, Dial, Kind, Network, Task};

use super::console::Console;
use super::image::{self, Image};
use super::machine::{Forward, MEMORY_MIB, Machine, Parts, Wire, configure};
use super::{markers, scratch};
use crate::repository::{Repository, output, succeed};

/// Where an image finds the host, in QEMU's own network.
pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

/// The port that images serve on.
pub(crate) const PORT: u16 = 7420;

/// How long an image may take to boot.
pub(crate) const BOOT: Duration = Duration::from_mins(1);

/// The large file of the host's tree: more than any buffer on the way, so that it needs flow control.
pub(crate) const BULK_BYTES: usize = 4 * 1024 * 1024;

/// A directory with all that one run uses. What images print stays there.
pub(crate) struct World {
    pub(crate) directory: PathBuf,
    pub(crate) image: Image,
    vatmux: PathBuf,
}

impl World {
    /// A world of this name, emptied, with an image that is built now.
    pub(crate) fn new(repository: &Repository, name: &str) -> Result<Self, String> {
        let image = image::build(repository)?;
        succeed(&mut repository.cargo(&["build", "--quiet", "--package", "vatmux-cli"]))?;
        let directory = scratch()?.join(name);
        let failed = |error| format!("cannot make {}: {error}", directory.display());
        match fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => fs::create_dir_all(&directory).map_err(failed)?,
        }
        let vatmux = scratch()?.with_file_name("vatmux");
        Ok(Self { directory, image, vatmux })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The command, with the key of somebody.
    pub(crate) fn vatmux(&self, whose: &str, words: &[&str]) -> Command {
        let mut command = Command::new(&self.vatmux);
        command
            .args(words)
            .env("VATMUX_HOME", self.path(&format!("{whose}-home")))
            .current_dir(&self.directory);
        command
    }

    /// What the command prints.
    pub(crate) fn ask(&self, whose: &str, words: &[&str]) -> Result<Vec<u8>, String> {
        output(&mut self.vatmux(whose, words))
    }

    /// The node id of somebody who has a home here.
    pub(crate) fn id_of(&self, whose: &str) -> Result<NodeId, String> {
        let printed = self.ask(whose, &["id"])?;
        let text = String::from_utf8_lossy(&printed);
        text.trim().parse().map_err(|error| format!("`vatmux id` printed {text:?}: {error}"))
    }

    /// Has an image make its key on the disk `name`, and say who it is.
    pub(crate) fn identify(&self, name: &str) -> Result<NodeId, String> {
        let disk = self.path(name);
        configure(&disk, &Config::default())?;
        let mut machine = self.parts(&disk, Wire::None).start(self.path(&format!("{name}-identify.log")))?;
        let line = machine.console.wait_for("vatmux-os: node ", BOOT)?;
        let status = machine.wait(BOOT)?;
        if !status.success() {
            return Err(machine.console.complaint(&format!("it powered off with {status}")));
        }
        let id = line.split(' ').nth(2).unwrap_or_default();
        id.parse().map_err(|error| format!("the image says that it is {id:?}: {error}"))
    }

    /// The parts of an ordinary machine.
    pub(crate) fn parts<'a>(&'a self, disk: &'a Path, wire: Wire) -> Parts<'a> {
        Parts { image: &self.image, disk: Some(disk), wire, cable: None, memory_mib: MEMORY_MIB, seed: None }
    }

    /// Serves a state and a bundle to these nodes: new ones, for the host of this name.
    pub(crate) fn serve(&self, name: &str, allowed: &[NodeId]) -> Result<Host, String> {
        let tree = self.path(&format!("{name}-tree"));
        let made = |error| format!("cannot make the tree to serve: {error}");
        fs::create_dir_all(&tree).map_err(made)?;
        let bulk = bulk();
        fs::write(tree.join("bulk.bin"), &bulk).map_err(made)?;
        fs::write(tree.join("bulk.b2s"), digest_of(&bulk)).map_err(made)?;
        let [tree, state, bundles, packed, signer] =
            ["tree", "state", "bundles", "sample.vatb", "publisher.key"]
                .map(|what| self.path(&format!("{name}-{what}")).display().to_string());
        let publisher = self.ask(name, &["bundle", "keygen", &signer])?;
        let publisher = String::from_utf8_lossy(&publisher).trim().to_owned();
        let named = ["--name", "sample", "--version", "1.0.0", "--key", &signer];
        self.ask(name, &[&["bundle", "pack", &tree, &packed][..], &named].concat())?;
        let installer = self.id_of("client")?.to_string();
        let mut words = vec!["serve", "--state", &state, "--bundles", &bundles, "--publisher", &publisher];
        words.extend(["--listen", "127.0.0.1:0", "--installer", &installer, "--allow", &installer]);
        words.extend(["--operator", &installer]);
        let allowed: Vec<_> = allowed.iter().map(NodeId::to_string).collect();
        for node in &allowed {
            words.extend(["--allow", node]);
        }
        let host = Host::start(self.vatmux(name, &words), self.path(&format!("{name}-host.log")))?;
        self.ask("client", &["bundle", "install", &host.address, &packed])?;
        Ok(host)
    }
}

/// A `vatmux serve` that listens. It ends when it is dropped.
pub(crate) struct Host {
    child: Child,
    /// Its `vat://` address, with a slash at the end or without.
    pub(crate) address: String,
    pub(crate) node: NodeId,
    pub(crate) port: u16,
    /// Who comes and who leaves.
    pub(crate) events: Console,
}

impl Host {
    /// What it tells is kept in the file `log`.
    fn start(mut command: Command, log: PathBuf) -> Result<Self, String> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start `vatmux serve`: {error}"))?;
        let told = child.stderr.take().ok_or("`vatmux serve` has no standard error")?;
        let events = Console::follow(told, log)?;
        let mut output = BufReader::new(child.stdout.take().ok_or("`vatmux serve` has no standard output")?);
        let mut address = String::new();
        output.read_line(&mut address).map_err(|error| format!("cannot read of `vatmux serve`: {error}"))?;
        // What else it prints is nobody's business, and must not fill the pipe.
        std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
        let address = address.trim().trim_end_matches('/').to_owned();
        let parts = address.strip_prefix("vat://").and_then(|rest| {
            let (node, place) = rest.split_once('@')?;
            Some((node.parse().ok()?, place.rsplit_once(':')?.1.parse().ok()?))
        });
        if let Some((node, port)) = parts {
            return Ok(Self { child, address, node, port, events });
        }
        let _ = child.kill();
        let _ = child.wait();
        Err(events.complaint(&format!("`vatmux serve` printed {address:?} for its address")))
    }

    /// How an image dials it.
    pub(crate) fn dial(&self) -> Dial {
        Dial { node: self.node, address: HOST, port: self.port, kind: Kind::Host }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An image's place in QEMU's own network; the first has 15.
pub(crate) fn place(last: u8) -> Network {
    Network { address: Ipv4Addr::new(10, 0, 2, last), prefix_bits: 24, gateway: Some(HOST) }
}

/// An image's place on the cable between two cards; the first has 15.
pub(crate) fn on_cable(last: u8) -> Network {
    Network { address: Ipv4Addr::new(10, 0, 3, last), prefix_bits: 24, gateway: None }
}

/// A TCP port of this machine's that is free now.
pub(crate) fn free_port() -> Result<u16, String> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| format!("cannot find a free port: {error}"))
}

/// An end of a cable that is in use from here.
pub(crate) fn cable_end() -> Result<(UdpSocket, u16), String> {
    let failed = |error| format!("cannot lay a cable: {error}");
    let end = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
    let port = end.local_addr().map_err(failed)?.port();
    Ok((end, port))
}

/// Two UDP ports of this machine's that are free now: the ends of a cable.
pub(crate) fn cable_ports() -> Result<[u16; 2], String> {
    let ((_one, first), (_other, second)) = (cable_end()?, cable_end()?);
    Ok([first, second])
}

/// Bytes without a pattern, always the same.
fn bulk() -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(BULK_BYTES / 8).flatten().collect()
}

/// A digest as text.
pub(crate) fn digest_of(bytes: &[u8]) -> String {
    Blake2s256::digest(bytes).iter().flat_map(|byte| [byte >> 4, byte & 15]).map(hexadecimal).collect()
}

/// The digit of a number below 16.
fn hexadecimal(digit: u8) -> char {
    char::from_digit(digit.into(), 16).unwrap_or('?')
}

/// `cargo xtask os run`: an image and a host, until somebody interrupts it.
pub(crate) fn run(repository: &Repository) -> Result<(), String> {
    let world = World::new(repository, "run")?;
    let node = world.identify("disk")?;
    let host = world.serve("host", &[node])?;
    let port = free_port()?;
    let config = Config {
        task: Task::Serve,
        network: Some(place(15)),
        listen: Some(PORT),
        allow: vec![world.id_of("client")?, host.node],
        dials: vec![host.dial()],
        ..Config::default()
    };
    let disk = world.path("disk");
    configure(&disk, &config)?;
    let forwards = vec![Forward { from: port, to: (place(15).address, PORT) }];
    let mut machine: Machine =
        world.parts(&disk, Wire::User { forwards }).start(world.path("console.log"))?;
    println!("== the image is at vat://{node}@127.0.0.1:{port}, for whoever has the key of");
    println!("==   VATMUX_HOME={}", world.path("client-home").display());
    let mut printed = 0;
    loop {
        let ended = machine.console.wait_for_line();
        for line in &machine.console.seen()[printed..] {
            println!("{line}");
            printed += 1;
        }
        if ended {
            return Ok(());
        }
    }
}

/// Fails with all that is wrong with what was printed.
pub(crate) fn judge(lines: &[String], expected: &[&str]) -> Result<(), String> {
    let faults = markers::faults(lines, expected);
    if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
}
