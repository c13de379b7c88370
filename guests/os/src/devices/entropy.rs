//! Random bytes, from the machine's virtio device and from nowhere else.
//!
//! The device is asked for many at a time. What was given out is gone from the pool: who reads the machine's memory later does
//! not learn what a key was made of.

use std::cell::RefCell;

use virtio_drivers::device::rng::VirtIORng;

use crate::machine::lone::Lone;
use crate::machine::virtio::{Memory, Registers};
use crate::machine::{console, power};

/// What is asked of the device at once: enough for a session with itself, whose tests then do not wait for a device.
const POOL_BYTES: usize = 1024;

static SOURCE: Lone<RefCell<Source>> =
    Lone::new(RefCell::new(Source { device: None, pool: [0; POOL_BYTES], left: 0 }));

struct Source {
    device: Option<VirtIORng<Memory, Registers>>,
    pool: [u8; POOL_BYTES],
    /// How many of the pool's bytes nobody has got yet: its first ones.
    left: usize,
}

/// Has `registers`' device be the source.
pub(crate) fn open(registers: Registers) -> Result<(), virtio_drivers::Error> {
    let mut device = VirtIORng::new(registers)?;
    // It is waited for where it is asked.
    device.disable_interrupts();
    SOURCE.borrow_mut().device = Some(device);
    Ok(())
}

/// Fills `bytes`. Without a source that works nothing goes on: whatever needs randomness is not safe without it.
pub(crate) fn fill(bytes: &mut [u8]) {
    let mut source = SOURCE.borrow_mut();
    for byte in bytes {
        if source.left == 0 {
            source.refill();
        }
        source.left -= 1;
        let next = source.left;
        *byte = core::mem::take(&mut source.pool[next]);
    }
}

/// Asks the device for a whole pool, whatever is left of the last one.
pub(crate) fn refill() {
    SOURCE.borrow_mut().refill();
}

impl Source {
    fn refill(&mut self) {
        self.left = 0;
        while self.left < POOL_BYTES {
            let missing = &mut self.pool[self.left..];
            let most = missing.len();
            match self.device.as_mut().map(|device| device.request_entropy(missing)) {
                Some(Ok(filled)) if (1..=most).contains(&filled) => self.left += filled,
                outcome => {
                    console::emergency(format_args!(
                        "vatmux-os: SETUP: no random bytes ({outcome:?}); the machine needs a virtio-rng device\n"
                    ));
                    power::off(power::Exit::Setup)
                }
            }
        }
    }
}
