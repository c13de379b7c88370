//! Storage that the simulator can make, one kind per run.

use vatmux_mux::{HeapStorage, StaticStorage, Storage};

/// How many streams both ends together may hold at once in one session.
pub(crate) const STREAMS: u32 = 10;
/// The longest ring in bytes.
pub(crate) const RING_BYTES: u32 = 2048;

/// Storage as it is at the start of a session.
pub(crate) trait Fresh: Storage {
    fn fresh() -> Self;
}

pub(crate) type NoHeap = Box<StaticStorage<{ STREAMS as usize }, { RING_BYTES as usize }>>;

impl<const STREAMS: usize, const RING: usize> Fresh for Box<StaticStorage<STREAMS, RING>> {
    fn fresh() -> Self {
        Self::new(StaticStorage::new())
    }
}

impl Fresh for HeapStorage {
    fn fresh() -> Self {
        Self::new()
    }
}
