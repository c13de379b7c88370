//! vatmux without an operating system beneath it: QEMU's `virt` machine, RISC-V, one hart.
//!
//! The image reads from its disk what it is told to do, makes its key on the first boot, serves health and a tree of files, and
//! tests itself with the nodes that it dials. All layers above the link, the park and the clock are those of a host; what
//! there is of this machine is in [`machine`] and [`devices`].
//!
//! It powers off with a status that QEMU exits with: 0 done, 1 a test failed, 2 the machine or its disk are not as they must
//! be, 3 a panic, 4 a fault, which is also how an exhausted heap ends.

#![no_main]

mod content;
mod devices;
mod figures;
mod machine;
mod network;
mod node;
mod park;
mod selftest;
mod shortage;

use std::fmt::Display;
use std::net::Ipv4Addr;
use std::rc::Rc;

use futures::future::join_all;
use vatmux::{health, packagefs};
use vatmux_driver::{Driver, Instant};
use vatmux_noise::AllowList;
use vatmux_os_disk::{Dial, Kind, Task};
use vatmux_rpc::Services;

use crate::devices::disk::IsNew;
use crate::devices::entropy;
use crate::machine::power::Exit;
use crate::machine::{heap, interrupts, power, timer};
use crate::network::{Network, Networks};
use crate::node::{ITSELF_PORT, Node, Road};
use crate::park::{MachineClock, MachinePark};
use crate::selftest::Known;
use crate::shortage::Shortage;

/// How much of a file is sent at once: what fits one record. Three of them are under way on a stream, and a peer that takes none of
/// them must not fill the queue of its vat (`node.rs`) with that.
const CHUNK_BYTES: u32 = 60 * 1024;

/// When an image that is alone begins: after all that it asks of devices, which take as long as this machine's other programs let
/// them. From there on everything is instructions, and a second boot does the same at the same times.
const ROUND: Instant = Instant::from_nanos(1_000_000_000);

/// The first Rust that runs.
pub(crate) extern "C" fn entry() -> ! {
    let entered = timer::now();
    interrupts::enable();
    println!("vatmux-os: {} (heap {} KiB)", env!("CARGO_PKG_VERSION"), heap::BYTES / 1024);
    match run(entered) {
        Ok(exit) => {
            println!("vatmux-os: powering off ({exit:?})");
            power::off(exit)
        }
        Err(complaint) => {
            println!("vatmux-os: SETUP: {complaint}");
            power::off(Exit::Setup)
        }
    }
}

/// All that the image does. Fails where the machine or its disk are not as they must be.
fn run(entered: Instant) -> Result<Exit, String> {
    let said = |error: &dyn Display| error.to_string();
    let devices = devices::open();
    let mut disk = devices.disk.ok_or("no disk; the machine needs a virtio-blk device")?;
    let config = disk.config().map_err(|error| said(&error))?;
    let (key, IsNew(is_new)) = disk.key().map_err(|error| said(&error))?;
    println!("vatmux-os: node {}{}", key.node_id(), if is_new { " (new)" } else { "" });
    if config.task == Task::Identify {
        return Ok(Exit::Done);
    }

    if let Some(kib) = config.heap_kib {
        heap::restrict(kib as usize * 1024);
    }

    let mut networks = Networks::default();
    if config.task != Task::Alone {
        let place = config.network.ok_or("no address in the configuration, and a task that needs one")?;
        let mut cards = devices.cards.into_iter();
        let card = cards.next().ok_or("no network; the machine needs a virtio-net device")?;
        println!("vatmux-os: address {}/{}", place.address, place.prefix_bits);
        networks.add(Network::new(card, place));
        if let Some(place) = config.cable {
            let card = cards.next().ok_or("no cable; the machine needs a second virtio-net device")?;
            println!("vatmux-os: address {}/{} on a cable", place.address, place.prefix_bits);
            networks.add(Network::new(card, place));
        }
    }
    let shortage = Shortage::default();
    let park = MachinePark::new(networks.clone(), shortage.clone());
    let sleeps = park.sleeps();
    let mut driver = Driver::new(MachineClock, park);

    let tree = content::tree().map_err(|error| said(&error))?;
    let mut services = Services::default();
    health::offer_among(&mut services).map_err(|error| said(&error))?;
    packagefs::offer_among(
        &mut services,
        tree,
        packagefs::Limits { open_files: 16, stream_chunk_bytes: CHUNK_BYTES },
    )
    .map_err(|error| said(&error))?;
    let road = if config.task == Task::Alone { Road::Itself } else { Road::Networks(networks.clone()) };
    let node = Node::new(driver.handle(), road, key, services, shortage);
    if let Some(port) = config.listen {
        let allow = Rc::new(config.allow.into_iter().collect::<AllowList>());
        for listener in networks.listen(port).map_err(|error| said(&error))? {
            node.serve(listener, allow.clone());
        }
        println!("vatmux-os: listening on port {port}");
    }

    let outcome = driver.drive_until(async {
        match config.task {
            Task::Measure => return figures::measure(&node, &config.dials, entered, &sleeps).await,
            Task::Alone => {
                entropy::refill();
                node.handle().sleep_until(ROUND).await;
                println!("vatmux-os: alone (at_us={})", timer::now().as_nanos() / 1000);
                let itself = Dial {
                    node: node.id(),
                    address: Ipv4Addr::LOCALHOST,
                    port: ITSELF_PORT,
                    kind: Kind::Image,
                };
                selftest::run(&node, &[itself]).await?;
                println!("vatmux-os: done (at_us={})", timer::now().as_nanos() / 1000);
                return Ok(());
            }
            Task::Identify | Task::Serve | Task::SelfTest => {}
        }
        let known = selftest::run(&node, &config.dials).await?;
        println!(
            "vatmux-os: all tests passed (sleeps={} free={} KiB)",
            sleeps.count(),
            heap::free_bytes() / 1024
        );
        if config.task == Task::Serve {
            println!("vatmux-os: serving");
            join_all(known.into_iter().map(Known::watch)).await;
            std::future::pending::<()>().await;
        }
        Ok::<(), usize>(())
    });
    match outcome {
        Ok(Ok(())) => Ok(Exit::Done),
        Ok(Err(failures)) => {
            println!("vatmux-os: {failures} tests failed");
            Ok(Exit::Failed)
        }
        Err(error) => Err(format!("cannot sleep: {error}")),
    }
}
