//! `cargo xtask bench os`: what the image costs, in instructions and in virtual time.

use std::time::Duration;

use vatmux_os_disk::{Config, Task};

use super::image;
use super::machine::{Wire, configure};
use super::world::{World, place};
use crate::repository::{Repository, output};
use crate::setup::{self, Install};

/// The suite's name.
pub(crate) const SUITE: &str = "os";

/// How long a run may take.
const RUN: Duration = Duration::from_mins(5);

/// What a null call cost the image in instructions when that was last looked into, and how much more it may cost: from run to run it
/// differs by a twentieth, with how many frames wait when the image wakes up. Whoever makes it cheaper lowers the first.
const RPC_INSTRUCTIONS: f64 = 104_000.0;
const TOLERANCE: f64 = 1.25;

/// Memories that are tried, in MiB, until one suffices.
const MEMORIES: [u32; 5] = [24, 26, 28, 30, 32];

/// Measures, and prints the ratios last.
pub(crate) fn run(repository: &Repository) -> Result<(), String> {
    setup::provide_for(super::NEEDS, Install::Allowed)?;
    let world = World::new(repository, "bench")?;
    let disk = world.path("disk");
    let node = world.identify("disk")?;
    let host = world.serve("host", &[node])?;
    let config = Config {
        task: Task::Measure,
        network: Some(place(15)),
        dials: vec![host.dial()],
        ..Config::default()
    };
    configure(&disk, &config)?;
    let parts = world.parts(&disk, Wire::User { forwards: Vec::new() });
    let mut machine = parts.start(world.path("measure.log"))?;
    let status = machine.wait(RUN)?;
    if !status.success() {
        return Err(machine.console.complaint(&format!("it powered off with {status}")));
    }
    let lines = machine.console.seen().to_vec();
    let figure = |name: &str| {
        let line = lines.iter().find_map(|line| line.strip_prefix(&format!("figure {name} ")));
        line.and_then(|value| value.parse::<f64>().ok()).ok_or_else(|| format!("no figure {name}"))
    };

    configure(&disk, &Config { task: Task::SelfTest, ..config })?;
    let mut smallest = None;
    for memory_mib in MEMORIES {
        let mut parts = world.parts(&disk, Wire::User { forwards: Vec::new() });
        parts.memory_mib = memory_mib;
        let mut machine = parts.start(world.path(&format!("memory-{memory_mib}.log")))?;
        if machine.wait(RUN).is_ok_and(|status| status.success()) {
            smallest = Some(memory_mib);
            break;
        }
    }
    let smallest = smallest.ok_or("it passes its tests with none of the memories that were tried")?;

    for line in lines.iter().filter(|line| line.starts_with("figure ")) {
        println!("{line}");
    }
    println!("ratio os.image_kib {}", world.image.kib);
    println!("ratio os.ram_mib {smallest}");
    println!("ratio os.boot_to_session_ms {:.1}", figure("boot_to_session_us")? / 1000.0);
    let rpc_instructions = figure("rpc_busy_ns")?;
    println!("ratio os.rpc_instructions {rpc_instructions:.0}");
    println!("ratio os.rpc_instructions.vs_baseline {:.3}", rpc_instructions / RPC_INSTRUCTIONS);
    println!("ratio os.bulk_vs_limit {:.3}", figure("bulk_kib_per_s")? / figure("cipher_kib_per_s")?);
    println!("ratio os.idle_wakeups_per_s {:.2}", figure("idle_wakeups_per_ks")? / 1000.0);
    println!("ratio os.mux_heap_bytes {}", mux_heap_bytes(repository)?);
    if rpc_instructions > RPC_INSTRUCTIONS * TOLERANCE {
        return Err(format!(
            "a null call costs the image {rpc_instructions:.0} instructions, and the baseline is {RPC_INSTRUCTIONS:.0}"
        ));
    }
    Ok(())
}

/// 0 where the image's multiplexer is built without the feature that gives it a heap: it cannot name one then.
fn mux_heap_bytes(repository: &Repository) -> Result<u32, String> {
    let arguments =
        ["tree", "--locked", "--manifest-path", image::MANIFEST, "--target", "all", "--edges", "normal"];
    let mut tree = repository.cargo(&arguments);
    let printed = output(tree.args(["--prefix", "none", "--format", "{p}|{f}"]))?;
    let printed = String::from_utf8_lossy(&printed);
    let features = printed.lines().find_map(|line| line.strip_prefix("vatmux-mux ")?.split_once('|'));
    match features {
        Some((_, features)) if !features.split(',').any(|feature| feature == "alloc") => Ok(0),
        _ => Err("the image's multiplexer is built with a heap".to_owned()),
    }
}
