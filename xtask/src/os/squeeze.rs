//! An image whose heap is nearly used up: whoever it holds the most for is told to leave, and it goes on.

use std::process::{Child, Command, Stdio};

use vatmux_os_disk::{Config, Task};

use super::machine::{Forward, Wire, configure};
use super::markers::value;
use super::world::{BOOT, PORT, World, free_port, place};

/// The image's whole heap.
const HEAP_KIB: u32 = 14 * 1024;

/// What it keeps free, and what is left above that for guests: less than two of them need.
const RESERVE_KIB: u32 = 1024;
const GUESTS_KIB: u32 = 512;

/// More guests than there is room for.
const GUESTS: usize = 3;

pub(crate) fn run(world: &World) -> Result<(), String> {
    let disk = world.path("squeezed");
    let node = world.identify("squeezed")?;
    let port = free_port()?;
    let address = format!("vat://{node}@127.0.0.1:{port}");
    let config = Config {
        task: Task::Serve,
        network: Some(place(15)),
        listen: Some(PORT),
        allow: vec![world.id_of("client")?],
        ..Config::default()
    };
    let start = |heap_kib, log: &str| {
        configure(&disk, &Config { heap_kib, ..config.clone() })?;
        let forwards = vec![Forward { from: port, to: (place(15).address, PORT) }];
        world.parts(&disk, Wire::User { forwards }).start(world.path(log))
    };
    let mut whole = start(None, "roomy.log")?;
    let tested = whole.console.wait_for("vatmux-os: all tests passed", BOOT)?;
    let free: u32 = value(&tested, "free")
        .and_then(|free| free.parse().ok())
        .ok_or_else(|| format!("it does not say how much of its heap is free: {tested:?}"))?;
    whole.cut()?;

    let heap_kib = HEAP_KIB - free + RESERVE_KIB + GUESTS_KIB;
    let mut machine = start(Some(heap_kib), "squeezed.log")?;
    machine.console.wait_for("vatmux-os: serving", BOOT)?;
    let guests = (0..GUESTS).map(|_| Guest::of(world, &address)).collect::<Result<Vec<_>, _>>()?;
    let line = machine.console.wait_for("memory is short", BOOT)?;
    println!("{line}");
    // Each is served or learns that it is not: its session was closed, or there is none to be had.
    let complaints: Vec<_> = guests.into_iter().filter_map(Guest::complaint).collect();
    println!("a guest says: {}", complaints.first().ok_or("every guest was served, and memory was short")?);
    machine.console.wait_for("memory is no longer short", BOOT)?;
    world.ask("client", &["ping", &address, "--count", "3"])?;
    println!("with {heap_kib} KiB of heap it serves on");
    Ok(())
}

/// Somebody who begins to read a large file, and stops when a pipe is full.
struct Guest(Child);

impl Guest {
    fn of(world: &World, address: &str) -> Result<Self, String> {
        let path = format!("{address}/bulk.bin");
        let mut call: Command = world.vatmux("client", &["cat", &path]);
        let child = call.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        child.map(Self).map_err(|error| format!("cannot start a guest: {error}"))
    }

    /// What it says that failed, once it has ended; none where all went well.
    fn complaint(self) -> Option<String> {
        let ended = self.0.wait_with_output().ok()?;
        let said = String::from_utf8_lossy(&ended.stderr).trim().to_owned();
        (!ended.status.success()).then_some(said)
    }
}
