//! Storage for hosts: allocated on first use, given back when idle, so that thousands of quiet sessions are cheap.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::exclusive::{Exclusive, ExclusiveNames};
use crate::id::Role;
use crate::ring::{Ring, consumed, two_slices};
use crate::storage::{IndexEntry, Refusal, Storage};
use crate::stream::Slot;

/// The capacity of a ring at its first byte.
const FIRST_BYTES: usize = 4096;

/// A ring that starts without memory and doubles up to its limit as bytes queue up in it.
#[derive(Default)]
pub struct HeapRing(Option<Box<Queue>>);

/// Memory is never zeroed: what has not been written is not yet part of the vector.
#[derive(Default)]
struct Queue {
    /// As long as the part that has been written since the last allocation; the ring's capacity is the vector's.
    bytes: Vec<u8>,
    head: u32,
    len: u32,
}

impl Queue {
    fn grow(&mut self, needed: usize, limit: usize) {
        let capacity = needed.next_power_of_two().max(FIRST_BYTES).min(limit);
        let mut bytes = Vec::with_capacity(capacity);
        let (first, second) = self.slices();
        bytes.extend_from_slice(first);
        bytes.extend_from_slice(second);
        self.bytes = bytes;
        self.head = 0;
    }

    fn write(&mut self, at: usize, bytes: &[u8]) {
        let written = (self.bytes.len() - at).min(bytes.len());
        let (over, fresh) = bytes.split_at(written);
        self.bytes[at..at + written].copy_from_slice(over);
        self.bytes.extend_from_slice(fresh);
    }

    fn slices(&self) -> (&[u8], &[u8]) {
        two_slices(&self.bytes, self.bytes.capacity(), self.head as usize, self.len as usize)
    }
}

impl HeapRing {
    /// An empty ring without memory.
    #[must_use]
    pub const fn new() -> Self {
        Self(None)
    }
}

impl Ring for HeapRing {
    const MAX_BYTES: usize = u32::MAX as usize / 2;
    const RELEASES: bool = true;

    fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |queue| queue.len as usize)
    }

    fn push(&mut self, bytes: &[u8], limit: usize) -> usize {
        let len = self.len();
        let count = bytes.len().min(limit.min(Self::MAX_BYTES).saturating_sub(len));
        if count == 0 {
            return 0;
        }
        let queue = self.0.get_or_insert_default();
        if len + count > queue.bytes.capacity() {
            queue.grow(len + count, limit);
        }
        let capacity = queue.bytes.capacity();
        let mut tail = queue.head as usize + len;
        if tail >= capacity {
            tail -= capacity;
        }
        let straight = count.min(capacity - tail);
        let (first, second) = bytes[..count].split_at(straight);
        queue.write(tail, first);
        queue.write(0, second);
        queue.len += count as u32;
        count
    }

    fn slices(&self) -> (&[u8], &[u8]) {
        self.0.as_ref().map_or((&[], &[]), |queue| queue.slices())
    }

    fn consume(&mut self, bytes: usize) {
        if let Some(queue) = &mut self.0 {
            (queue.head, queue.len) = consumed(queue.bytes.capacity(), queue.head, queue.len, bytes);
        }
    }

    fn release(&mut self) {
        self.0 = None;
    }

    fn holds_memory(&self) -> bool {
        self.0.is_some()
    }
}

/// Streams on the heap, as many as the session's [`Limits`](crate::Limits) say. Empty until the first stream opens.
#[derive(Default)]
pub struct HeapStorage {
    slots: Vec<Slot<HeapRing>>,
    dialers: Vec<IndexEntry>,
    acceptors: Vec<IndexEntry>,
    /// The session keeps it shorter than the number of streams that it allows.
    refusals: Vec<Refusal>,
    exclusive: Vec<Exclusive>,
}

impl HeapStorage {
    /// Storage without memory.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            slots: Vec::new(),
            dialers: Vec::new(),
            acceptors: Vec::new(),
            refusals: Vec::new(),
            exclusive: Vec::new(),
        }
    }

    fn index_mut(&mut self, opener: Role) -> &mut Vec<IndexEntry> {
        match opener {
            Role::Dialer => &mut self.dialers,
            Role::Acceptor => &mut self.acceptors,
        }
    }
}

impl Storage for HeapStorage {
    type Ring = HeapRing;

    fn max_streams(&self) -> usize {
        usize::from(u16::MAX)
    }

    fn slots(&self) -> &[Slot<HeapRing>] {
        &self.slots
    }

    fn slots_mut(&mut self) -> &mut [Slot<HeapRing>] {
        &mut self.slots
    }

    fn add_slot(&mut self) -> Option<u16> {
        let slot = u16::try_from(self.slots.len()).ok().filter(|slot| *slot < u16::MAX)?;
        if self.slots.len() == self.slots.capacity() {
            // A quarter more, not twice: a slot is what an idle stream costs.
            self.slots.reserve_exact((self.slots.len() / 4).max(4));
        }
        self.slots.push(Slot::vacant(HeapRing::new(), HeapRing::new()));
        Some(slot)
    }

    fn truncate_slots(&mut self, len: usize) {
        self.slots.truncate(len);
        self.slots.shrink_to_fit();
        for index in [&mut self.dialers, &mut self.acceptors] {
            index.shrink_to(len);
        }
        self.refusals.shrink_to_fit();
    }

    fn index(&self, opener: Role) -> &[IndexEntry] {
        match opener {
            Role::Dialer => &self.dialers,
            Role::Acceptor => &self.acceptors,
        }
    }

    fn index_push(&mut self, opener: Role, entry: IndexEntry) -> bool {
        self.index_mut(opener).push(entry);
        true
    }

    fn index_remove(&mut self, opener: Role, position: usize) {
        self.index_mut(opener).remove(position);
    }

    fn refusals(&self) -> &[Refusal] {
        &self.refusals
    }

    fn push_refusal(&mut self, refusal: Refusal) -> bool {
        self.refusals.push(refusal);
        true
    }

    fn swap_remove_refusal(&mut self, position: usize) {
        self.refusals.swap_remove(position);
    }

    fn exclusive(&self) -> &[Exclusive] {
        &self.exclusive
    }

    fn exclusive_mut(&mut self) -> &mut [Exclusive] {
        &mut self.exclusive
    }

    fn set_exclusive(&mut self, names: &ExclusiveNames) {
        self.exclusive = names.iter().cloned().map(Exclusive::new).collect();
    }
}
