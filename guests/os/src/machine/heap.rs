//! The heap: a fixed arena, which bounds what everything together may allocate.

use core::mem::MaybeUninit;

use talc::TalcCell;
use talc::base::binning::DefaultBinning;
use talc::cell::TalcSyncCell;
use talc::source::Claim;

/// How large the heap is. A machine with more memory has no more of it: whether it suffices does not depend on the machine.
pub(crate) const BYTES: usize = 14 * 1024 * 1024;

#[unsafe(link_section = ".noinit.heap")]
static mut ARENA: [MaybeUninit<u8>; BYTES] = [MaybeUninit::uninit(); BYTES];

// SAFETY: nothing else uses the arena; there is one hart, which takes no interrupts (`boot.rs`), so that no two calls
// overlap.
#[global_allocator]
static HEAP: TalcSyncCell<Claim, DefaultBinning> =
    unsafe { TalcSyncCell::new(TalcCell::new(Claim::array(&raw mut ARENA))) };
