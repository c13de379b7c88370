//! The time, and waiting for it: the counter that every RISC-V hart has, and OpenSBI's timer.

use core::arch::asm;

use vatmux_driver::Instant;

/// How often a second the counter of QEMU's `virt` machine counts.
const HERTZ: u64 = 10_000_000;
const NANOS_PER_COUNT: u64 = 1_000_000_000 / HERTZ;

/// How long the machine has been on.
pub(crate) fn now() -> Instant {
    let count: u64;
    // SAFETY: reading the counter touches nothing.
    unsafe { asm!("rdtime {}", out(reg) count, options(nomem, nostack)) };
    Instant::from_nanos(count.wrapping_mul(NANOS_PER_COUNT))
}

/// Has the timer's interrupt become pending at `deadline`, and not before; `None` for never.
pub(crate) fn set(deadline: Option<Instant>) {
    const TIMER_EXTENSION: usize = 0x5449_4d45;
    const NEVER: u64 = u64::MAX;
    let count = deadline.map_or(NEVER, |deadline| deadline.as_nanos().div_ceil(NANOS_PER_COUNT));
    // SAFETY: the call of OpenSBI that sets the timer touches no memory of ours.
    unsafe {
        asm!(
            "ecall",
            inlateout("a0") count => _,
            lateout("a1") _,
            in("a6") 0,
            in("a7") TIMER_EXTENSION,
            options(nostack)
        );
    }
}
