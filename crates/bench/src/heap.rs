//! What a thread asks of the heap, counted once it wants to know.
//!
//! Until then an allocation costs one load more than without, so that timed runs are not slowed by being counted. Other
//! threads are left out: the one that listens to the bench allocates when it likes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

thread_local! {
    /// Whether this thread is counted. It needs neither initialising nor dropping, which could allocate.
    static COUNTED: Cell<bool> = const { Cell::new(false) };
}

/// The system's allocator, and the counts of the threads that are counted.
pub(crate) struct Heap {
    allocations: AtomicU64,
    /// Wraps: what was there before counting began may be freed after.
    live_bytes: AtomicU64,
}

impl Heap {
    pub(crate) const fn new() -> Self {
        Self { allocations: AtomicU64::new(0), live_bytes: AtomicU64::new(0) }
    }

    /// Counts this thread from now on.
    #[expect(clippy::unused_self, reason = "who counts reads the counts as well")]
    pub(crate) fn count(&self) {
        COUNTED.set(true);
    }

    /// Blocks that were allocated, or moved to another size, since counting began.
    pub(crate) fn allocations(&self) -> u64 {
        self.allocations.load(Ordering::Relaxed)
    }

    /// By how many bytes the heap in use has grown since counting began.
    pub(crate) fn live_bytes(&self) -> i64 {
        self.live_bytes.load(Ordering::Relaxed).cast_signed()
    }

    fn note(&self, allocations: u64, gained: usize, lost: usize) {
        if COUNTED.get() {
            self.allocations.fetch_add(allocations, Ordering::Relaxed);
            self.live_bytes.fetch_add(gained as u64, Ordering::Relaxed);
            self.live_bytes.fetch_sub(lost as u64, Ordering::Relaxed);
        }
    }
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches atomics and a flag of the thread, and
// never allocates.
#[expect(unsafe_code, reason = "the trait of allocators is unsafe")]
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.note(1, layout.size(), 0);
        // SAFETY: the caller keeps the contract that it has with us.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.note(1, layout.size(), 0);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.note(0, 0, layout.size());
        // SAFETY: as above; the block came from the system's allocator.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        self.note(1, bytes, layout.size());
        // SAFETY: as above; the block came from the system's allocator.
        unsafe { System.realloc(block, layout, bytes) }
    }
}
