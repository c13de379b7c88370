//! Counts the heap that this thread has.

#![allow(unsafe_code, reason = "an allocator cannot be written without")]
#![allow(dead_code, reason = "each test file uses its own part")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static USED: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
}

struct Heap;

fn count(bytes: isize) {
    // The thread may be at its end.
    let used = USED.try_with(|used| {
        used.set(used.get() + bytes);
        used.get()
    });
    let _ = used.and_then(|used| MOST.try_with(|most| most.set(most.get().max(used))));
}

// SAFETY: everything is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        let _ = ALLOCATIONS.try_with(|allocations| allocations.set(allocations.get() + 1));
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static HEAP: Heap = Heap;

/// Blocks allocated by this thread so far.
pub(crate) fn allocations() -> usize {
    ALLOCATIONS.get()
}

/// Bytes allocated by this thread and not freed.
pub(crate) fn used() -> usize {
    USED.get().max(0).cast_unsigned()
}

/// As [`used`], at most since this was last asked.
#[allow(dead_code, reason = "not every test that includes this asks")]
pub(crate) fn most() -> usize {
    MOST.replace(USED.get()).max(0).cast_unsigned()
}
