//! vatmux without an operating system beneath it.
#![no_main]

mod devices;
mod machine;

use std::collections::HashMap;
use virtio_drivers::transport::DeviceType;

/// The first Rust that runs.
pub(crate) extern "C" fn entry() -> ! {
    machine::interrupts::enable();
    println!("hello at {:?}", machine::timer::now());
    for found in machine::virtio::probe() {
        println!("{} {:?}", found.place, found.kind);
        if found.kind == DeviceType::EntropySource {
            devices::entropy::open(found.registers).unwrap();
        }
    }
    let mut m = HashMap::new();
    m.insert(1, 2);
    println!("{m:?} {}", machine::timer::instructions());
    machine::timer::set(Some(machine::timer::now() + std::time::Duration::from_millis(100)));
    machine::interrupts::wait();
    println!("later at {:?}", machine::timer::now());
    machine::power::off(machine::power::Exit::Done)
}
