//! One hint to the system's allocator.

use std::hint::black_box;

/// Larger than any buffer that a vat takes and gives back all the time: messages of bulk streams have 128 KiB.
const REUSED_BYTES: usize = 2 << 20;

/// Has glibc keep the memory of bulk messages for the next ones.
///
/// By default glibc returns freed memory above 128 KiB to the kernel at once, and a stream of 128 KiB messages then
/// spends an eighth of its time on page faults. glibc adapts: once a block that it got from the kernel by itself
/// is freed, blocks up to that size are kept, and up to twice that size of unused memory (mallopt(3),
/// `M_MMAP_THRESHOLD`). So one such block, freed at once, is the whole hint. It costs at most 4 MiB a thread; on other
/// allocators it does nothing.
pub(crate) fn keep_freed_buffers() {
    drop(black_box(Vec::<u8>::with_capacity(REUSED_BYTES)));
}
