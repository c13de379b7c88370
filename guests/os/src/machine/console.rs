//! The console: a 16550 at its usual place, written byte by byte.

use core::fmt::{self, Write};
use core::ptr;

const UART: usize = 0x1000_0000;
const LINE_STATUS: usize = UART + 5;
const TRANSMITTER_IS_EMPTY: u8 = 0x20;

/// Writes bytes as they are.
pub(crate) fn write(bytes: &[u8]) {
    for &byte in bytes {
        // SAFETY: these are registers of QEMU's `virt` machine, which nothing but this function touches.
        unsafe {
            while ptr::read_volatile(LINE_STATUS as *const u8) & TRANSMITTER_IS_EMPTY == 0 {}
            ptr::write_volatile(UART as *mut u8, byte);
        }
    }
}

/// Writes past the standard library, which may be what failed.
pub(crate) fn emergency(message: fmt::Arguments<'_>) {
    // Writing to the console cannot fail.
    let _ = Console.write_fmt(message);
}

struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write(text.as_bytes());
        Ok(())
    }
}
