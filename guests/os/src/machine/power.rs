//! The end: powering off with a code that QEMU exits with.

use core::ptr;

/// Why the machine is powered off; QEMU's exit status tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All that was asked for was done.
    Done,
    /// Something of what was asked for failed; the console says what.
    Failed,
    /// The machine, its devices or its disk are not as they must be; the console says what is wrong.
    Setup,
    /// The code panicked.
    Panic,
    /// The processor trapped.
    Fault,
}

impl Exit {
    /// QEMU's exit status.
    const fn status(self) -> u32 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Setup => 2,
            Self::Panic => 3,
            Self::Fault => 4,
        }
    }
}

/// Powers off.
pub(crate) fn off(exit: Exit) -> ! {
    /// The test device, as QEMU's `virt` machine has it.
    const TEST_DEVICE: *mut u32 = 0x10_0000 as *mut u32;
    let word = match exit.status() {
        0 => 0x5555,
        status => (status << 16) | 0x3333,
    };
    // SAFETY: the register is there on this machine, and a write to it ends everything.
    unsafe { ptr::write_volatile(TEST_DEVICE, word) };
    loop {
        // SAFETY: waiting for an interrupt touches nothing.
        unsafe { core::arch::asm!("wfi", options(nomem, nostack)) };
    }
}
