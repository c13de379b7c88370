//! Random bytes, from the machine's virtio device and from nowhere else.

use std::cell::RefCell;

use virtio_drivers::device::rng::VirtIORng;

use crate::machine::lone::Lone;
use crate::machine::virtio::{Memory, Registers};
use crate::machine::{console, power};

static SOURCE: Lone<RefCell<Option<VirtIORng<Memory, Registers>>>> = Lone::new(RefCell::new(None));

/// Has `registers`' device be the source.
pub(crate) fn open(registers: Registers) -> Result<(), virtio_drivers::Error> {
    let mut source = VirtIORng::new(registers)?;
    // It is waited for where it is asked.
    source.disable_interrupts();
    *SOURCE.borrow_mut() = Some(source);
    Ok(())
}

/// Fills `bytes`. Without a source that works nothing goes on: whatever needs randomness is not safe without it.
pub(crate) fn fill(mut bytes: &mut [u8]) {
    let mut source = SOURCE.borrow_mut();
    while !bytes.is_empty() {
        let filled = source.as_mut().map(|source| source.request_entropy(bytes));
        match filled {
            Some(Ok(filled)) if (1..=bytes.len()).contains(&filled) => bytes = &mut bytes[filled..],
            outcome => {
                console::emergency(format_args!(
                    "vatmux-os: SETUP: no random bytes ({outcome:?}); the machine needs a virtio-rng device\n"
                ));
                power::off(power::Exit::Setup)
            }
        }
    }
}
