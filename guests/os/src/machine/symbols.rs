//! What the standard library asks of the machine: it is built for an operating system that consists of these symbols.
//!
//! It is that of a zero-knowledge virtual machine, the one among those that the library knows which asks for so little.

use core::ffi::c_void;
use core::slice;

use super::{console, power};
use crate::devices::entropy;

/// Writes to the console, wherever that is to go.
#[unsafe(no_mangle)]
extern "C" fn sys_write(_descriptor: u32, bytes: *const u8, count: usize) {
    // SAFETY: the library passes a slice of its own, in two parts.
    console::write(unsafe { slice::from_raw_parts(bytes, count) });
}

/// There is nothing to read from: the end of the input.
#[unsafe(no_mangle)]
extern "C" fn sys_read(_descriptor: u32, _buffer: *mut u8, _count: usize) -> usize {
    0
}

/// Fills words with random bits: for the seeds of hash tables.
#[unsafe(no_mangle)]
extern "C" fn sys_rand(words: *mut u32, count: usize) {
    // SAFETY: the library passes a buffer of its own, in two parts; any bytes are words.
    entropy::fill(unsafe { slice::from_raw_parts_mut(words.cast::<u8>(), count * size_of::<u32>()) });
}

/// The end of a panic, whose message has been written by then.
#[unsafe(no_mangle)]
extern "C" fn sys_panic(_message: *const u8, _bytes: usize) -> ! {
    power::off(power::Exit::Panic)
}

/// The end of a process that means to end.
#[unsafe(no_mangle)]
extern "C" fn sys_halt() -> ! {
    power::off(power::Exit::Done)
}

/// There are no environment variables.
#[unsafe(no_mangle)]
extern "C" fn sys_getenv(_buffer: *mut u32, _words: usize, _name: *const u8, _name_bytes: usize) -> usize {
    usize::MAX
}

/// The library's own allocator, which ours takes the place of.
#[unsafe(no_mangle)]
extern "C" fn sys_alloc_aligned(_bytes: usize, _align: usize) -> *mut c_void {
    core::ptr::null_mut()
}

/// As [`sys_alloc_aligned`].
#[unsafe(no_mangle)]
extern "C" fn sys_alloc_words(_words: usize) -> *mut c_void {
    core::ptr::null_mut()
}
