//! The heap: a fixed arena, which bounds what everything together may allocate.

use core::alloc::{GlobalAlloc, Layout};
use core::mem::MaybeUninit;

use talc::TalcCell;
use talc::source::Claim;

use super::lone::Lone;

/// How large the heap is. A machine with more memory has no more of it: whether it suffices does not depend on the machine.
pub(crate) const BYTES: usize = 14 * 1024 * 1024;

#[unsafe(link_section = ".noinit.heap")]
static mut ARENA: [MaybeUninit<u8>; BYTES] = [MaybeUninit::uninit(); BYTES];

// SAFETY: nothing else uses the arena.
#[global_allocator]
static HEAP: Heap = Heap(Lone::new(TalcCell::new(unsafe { Claim::array(&raw mut ARENA) })));

/// The arena, and what is known of it.
struct Heap(Lone<TalcCell<Claim>>);

// SAFETY: all of it is Talc's, asked with the caller's own promises; one hart, which takes no interrupts (`boot.rs`), so that no
// two calls overlap.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { self.0.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // SAFETY: as above.
        unsafe { self.0.realloc(memory, layout, bytes) }
    }
}

/// How much of it is free, in bytes.
pub(crate) fn free_bytes() -> usize {
    HEAP.0.counters().available_bytes
}

/// Sets all but `bytes` of it aside for good.
pub(crate) fn restrict(bytes: usize) {
    let aside: Vec<u8> = Vec::with_capacity(BYTES.saturating_sub(bytes));
    core::mem::forget(aside);
}
