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

use std::fmt::Display;

use futures::future::join_all;
use vatmux::{health, packagefs};
use vatmux_driver::{Driver, Instant};
use vatmux_noise::AllowList;
use vatmux_os_disk::Task;
use vatmux_rpc::Services;

use crate::devices::disk::IsNew;
use crate::machine::power::Exit;
use crate::machine::{heap, interrupts, power, timer};
use crate::network::Network;
use crate::node::Node;
use crate::park::{MachineClock, MachinePark};
use crate::selftest::Known;

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

    let place = config.network.ok_or("no address in the configuration, and a task that needs one")?;
    let card = devices.card.ok_or("no network; the machine needs a virtio-net device")?;
    println!("vatmux-os: address {}/{}", place.address, place.prefix_bits);
    let network = Network::new(card, place);
    let park = MachinePark::new(Some(network.clone()));
    let sleeps = park.sleeps();
    let mut driver = Driver::new(MachineClock, park);

    let tree = content::tree().map_err(|error| said(&error))?;
    let mut services = Services::default();
    health::offer_among(&mut services).map_err(|error| said(&error))?;
    packagefs::offer_among(
        &mut services,
        tree,
        packagefs::Limits { open_files: 16, ..packagefs::Limits::default() },
    )
    .map_err(|error| said(&error))?;
    let node = Node::new(driver.handle(), network.clone(), key, services);
    if let Some(port) = config.listen {
        let listener = network.listen(port).map_err(|error| said(&error))?;
        node.serve(listener, config.allow.into_iter().collect::<AllowList>());
        println!("vatmux-os: listening on {}:{port}", place.address);
    }

    let outcome = driver.drive_until(async {
        if config.task == Task::Measure {
            return figures::measure(&node, &config.dials, entered, &sleeps).await;
        }
        let known = selftest::run(&node, &config.dials).await?;
        println!("vatmux-os: all tests passed (sleeps={})", sleeps.count());
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
