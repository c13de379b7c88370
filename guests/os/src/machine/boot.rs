//! From the firmware's jump to the first line of Rust that needs a stack, and what a fault leads to.
//!
//! Nothing ever runs twice at once here: one hart, and no interrupt is taken. An interrupt that is pending ends a `wfi`
//! all the same, which is all that is wanted of it (`park.rs`); the only traps are faults, and those do not return.

use core::arch::global_asm;

use super::{console, power};

global_asm!(
    r#"
    .section .text.init,"ax"
    .globl _start
_start:
    # Interrupts stay off for good; what of them ends a `wfi` is enabled later.
    csrw sie, zero
    csrci sstatus, 2
    # Code of the compiler's keeps floating-point registers.
    li t0, 0x2000
    csrs sstatus, t0
    .option push
    .option norelax
    la gp, __global_pointer$
    .option pop
    la sp, __stack_top
    la t0, {trap}
    csrw stvec, t0
    la t0, __bss_start
    la t1, __bss_end
1:  bgeu t0, t1, 2f
    sd zero, 0(t0)
    addi t0, t0, 8
    j 1b
2:  call {entry}
3:  wfi
    j 3b

    .section .text.trap,"ax"
    .balign 4
    .globl vatmux_trap
vatmux_trap:
    # The stack may be what is broken.
    la sp, {trap_stack} + {trap_stack_bytes}
    csrr a0, scause
    csrr a1, sepc
    csrr a2, stval
    mv a3, ra
    call {fault}
4:  wfi
    j 4b
"#,
    trap = sym vatmux_trap,
    entry = sym crate::entry,
    fault = sym fault,
    trap_stack = sym TRAP_STACK,
    trap_stack_bytes = const TRAP_STACK_BYTES,
);

const TRAP_STACK_BYTES: usize = 16 * 1024;

/// What the report of a fault runs on.
#[repr(align(16))]
#[expect(dead_code, reason = "only its address is taken, by the assembly above")]
struct TrapStack([u8; TRAP_STACK_BYTES]);

#[unsafe(link_section = ".noinit.trap")]
static mut TRAP_STACK: TrapStack = TrapStack([0; TRAP_STACK_BYTES]);

unsafe extern "C" {
    fn vatmux_trap();
}

/// Says what went wrong and where, and powers off.
extern "C" fn fault(cause: u64, at: u64, address: u64, caller: u64) -> ! {
    let what = match cause {
        0 | 4 | 6 => "address not aligned",
        1 => "execution where there is no code",
        2 => "illegal instruction",
        3 => "breakpoint",
        5 => "read of memory that is not ours",
        7 if (0x801f_0000..0x8020_0000).contains(&address) => "stack overflow",
        7 => "write to memory that is not ours",
        _ => "fault",
    };
    console::emergency(format_args!(
        "vatmux-os: FAULT: {what} (cause {cause}) at {at:#x}, address {address:#x}, called from {caller:#x}\n"
    ));
    power::off(power::Exit::Fault)
}
