//! Interrupts, of which none is ever taken: one that is pending ends a `wfi`, and is looked at afterwards.
//!
//! The platform's controller passes those of the devices on; the hart's own timer needs none.

use core::arch::asm;
use core::ptr;

/// The controller's registers, and those in it for our hart's supervisor mode.
const CONTROLLER: usize = 0x0c00_0000;
const ENABLED: usize = CONTROLLER + 0x2080;
const THRESHOLD: usize = CONTROLLER + 0x20_1000;
const CLAIM: usize = THRESHOLD + 4;

/// The interrupts of the virtio devices, by their place: the first has 1.
const DEVICES: core::ops::RangeInclusive<usize> = 1..=8;

/// Has the timer end a wait, and the devices that are enabled.
pub(crate) fn enable() {
    const TIMER: usize = 1 << 5;
    const EXTERNAL: usize = 1 << 9;
    // SAFETY: these are the controller's registers on QEMU's `virt` machine, which only this file touches; interrupts stay
    // disabled as a whole (`sstatus.SIE`), so that none is taken.
    unsafe {
        ptr::write_volatile(ENABLED as *mut u32, 0);
        ptr::write_volatile(THRESHOLD as *mut u32, 0);
        asm!("csrs sie, {}", in(reg) TIMER | EXTERNAL, options(nomem, nostack));
    }
}

/// Has the device at `place` end a wait.
pub(crate) fn enable_device(place: usize) {
    let device = place + 1;
    if DEVICES.contains(&device) {
        // SAFETY: as in `enable`; the device is one of those that the controller has registers for.
        unsafe {
            ptr::write_volatile((CONTROLLER + 4 * device) as *mut u32, 1);
            let enabled = ptr::read_volatile(ENABLED as *const u32);
            ptr::write_volatile(ENABLED as *mut u32, enabled | (1 << device));
        }
    }
}

/// Sleeps until an interrupt is pending, which may be so already.
pub(crate) fn wait() {
    // SAFETY: waiting touches nothing.
    unsafe { asm!("wfi", options(nomem, nostack)) };
}

/// The place of a device whose interrupt is pending, if there is one. It has to be acknowledged to the device, and then
/// [`done`] with here.
pub(crate) fn claim() -> Option<usize> {
    // SAFETY: as in `enable`.
    let device = unsafe { ptr::read_volatile(CLAIM as *const u32) } as usize;
    DEVICES.contains(&device).then(|| device - 1)
}

/// The device's interrupt was dealt with: its next one counts again.
pub(crate) fn done(place: usize) {
    // SAFETY: as in `enable`.
    unsafe { ptr::write_volatile(CLAIM as *mut u32, (place + 1) as u32) };
}
