//! The time, and waiting for it: the counter that every RISC-V hart has, and the firmware's timer.

use core::arch::{asm, global_asm};

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

// The firmware's call (SBI 0.2, extension "TIME", function 0) changes no registers but those of its results.
global_asm!(
    r#"
    .section .text.timer,"ax"
    .globl vatmux_set_timer
vatmux_set_timer:
    li a6, 0
    li a7, {extension}
    ecall
    ret
"#,
    extension = const 0x5449_4d45,
);

unsafe extern "C" {
    fn vatmux_set_timer(count: u64);
}

/// Has the timer's interrupt become pending at `deadline`, and not before; `None` for never.
pub(crate) fn set(deadline: Option<Instant>) {
    const NEVER: u64 = u64::MAX;
    let count = deadline.map_or(NEVER, |deadline| deadline.as_nanos().div_ceil(NANOS_PER_COUNT));
    // SAFETY: it is defined above, and the firmware that it calls touches no memory of ours.
    unsafe { vatmux_set_timer(count) };
}
