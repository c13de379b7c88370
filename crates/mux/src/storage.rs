//! Where a session keeps its streams: inside itself, or on the heap. One engine runs over both.

use crate::code::ResetCode;
use crate::exclusive::{Exclusive, ExclusiveNames, MAX_EXCLUSIVE_NAMES};
use crate::id::{Role, StreamId};
use crate::list::{CHAINS, Link};
use crate::ring::{Ring, StaticRing};
use crate::stream::Slot;

mod sealed {
    pub trait Sealed {}
    impl<const STREAMS: usize, const RING: usize> Sealed for super::StaticStorage<STREAMS, RING> {}
    impl<S: super::Storage + ?Sized> Sealed for &mut S {}
    impl<S: super::Storage + ?Sized> Sealed for core::cell::RefMut<'_, S> {}
    #[cfg(feature = "alloc")]
    impl Sealed for crate::heap::HeapStorage {}
    #[cfg(feature = "alloc")]
    impl<S: super::Storage + ?Sized> Sealed for alloc::boxed::Box<S> {}
}

/// Room for a session's streams and their rings.
///
/// Sealed: [`StaticStorage`] where there is no heap, `HeapStorage` (feature `alloc`) where there is one, or a mutable
/// reference to either. One that a `RefCell` gave (`RefMut`) goes back when the session is gone: for a pool of storages.
pub trait Storage: sealed::Sealed {
    /// The rings of one stream, one for each direction.
    type Ring: Ring;

    /// How many streams it can ever hold, at most 65,535.
    fn max_streams(&self) -> usize;

    /// The slots that exist so far.
    fn slots(&self) -> &[Slot<Self::Ring>];

    /// The slots that exist so far.
    fn slots_mut(&mut self) -> &mut [Slot<Self::Ring>];

    /// Adds a vacant slot and returns its position; `None` when the storage is full.
    fn add_slot(&mut self) -> Option<u16>;

    /// Gives back all slots from position `len` on, which are vacant.
    fn truncate_slots(&mut self, len: usize);

    /// The streams that `opener` opened and that still have a slot, by ascending id.
    fn index(&self, opener: Role) -> &[IndexEntry];

    /// Adds a stream with an id above all others of `opener`; false when there is no room.
    fn index_push(&mut self, opener: Role, entry: IndexEntry) -> bool;

    /// Removes the stream at `position` in the index of `opener`.
    fn index_remove(&mut self, opener: Role, position: usize);

    /// The streams that got no slot and whose RST waits to be sent, in any order.
    fn refusals(&self) -> &[Refusal];

    /// Adds a refusal; false when there are as many as there can be streams.
    fn push_refusal(&mut self, refusal: Refusal) -> bool;

    /// Removes the refusal at `position`; the last one takes its place.
    fn swap_remove_refusal(&mut self, position: usize);

    /// The names that one open stream at a time may carry.
    fn exclusive(&self) -> &[Exclusive];

    /// The names that one open stream at a time may carry.
    fn exclusive_mut(&mut self) -> &mut [Exclusive];

    /// Replaces them, each without a holder.
    fn set_exclusive(&mut self, names: &ExclusiveNames);
}

/// Which slot a stream is in. Ids only ever ascend, so adding one is a push and finding one a binary search, whatever
/// ids a peer picks.
#[derive(Clone, Copy, Debug)]
pub struct IndexEntry {
    pub(crate) id: u32,
    pub(crate) slot: u16,
}

/// A stream that got no slot, and what its RST will say.
#[derive(Clone, Copy, Debug)]
pub struct Refusal {
    pub(crate) id: StreamId,
    pub(crate) code: ResetCode,
}

/// Room for `STREAMS` streams with two rings of `RING` bytes each, without a heap.
///
/// It is about `STREAMS × (2 × RING + 192) + 1,200` bytes long, so it belongs in a `static` with the session holding a
/// `&'static mut` to it, not on a stack.
pub struct StaticStorage<const STREAMS: usize, const RING: usize> {
    slots: [Slot<StaticRing<RING>>; STREAMS],
    used: usize,
    dialers: heapless::Vec<IndexEntry, STREAMS>,
    acceptors: heapless::Vec<IndexEntry, STREAMS>,
    refusals: heapless::Vec<Refusal, STREAMS>,
    exclusive: heapless::Vec<Exclusive, MAX_EXCLUSIVE_NAMES>,
}

impl<const STREAMS: usize, const RING: usize> StaticStorage<STREAMS, RING> {
    /// Empty storage.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(STREAMS < u16::MAX as usize, "a session has at most 65,534 streams") };
        Self {
            slots: [const { Slot::vacant(StaticRing::new(), StaticRing::new()) }; STREAMS],
            used: 0,
            dialers: heapless::Vec::new(),
            acceptors: heapless::Vec::new(),
            refusals: heapless::Vec::new(),
            exclusive: heapless::Vec::new(),
        }
    }

    /// Makes it empty again, for another session: what the one before left in it is gone.
    pub fn clear(&mut self) {
        for slot in &mut self.slots[..self.used] {
            slot.vacate();
            slot.links = [Link::LOOSE; CHAINS];
        }
        self.used = 0;
        self.dialers.clear();
        self.acceptors.clear();
        self.refusals.clear();
        self.exclusive.clear();
    }

    fn index_mut(&mut self, opener: Role) -> &mut heapless::Vec<IndexEntry, STREAMS> {
        match opener {
            Role::Dialer => &mut self.dialers,
            Role::Acceptor => &mut self.acceptors,
        }
    }
}

impl<const STREAMS: usize, const RING: usize> Default for StaticStorage<STREAMS, RING> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const STREAMS: usize, const RING: usize> Storage for StaticStorage<STREAMS, RING> {
    type Ring = StaticRing<RING>;

    fn max_streams(&self) -> usize {
        STREAMS
    }

    fn slots(&self) -> &[Slot<Self::Ring>] {
        &self.slots[..self.used]
    }

    fn slots_mut(&mut self) -> &mut [Slot<Self::Ring>] {
        &mut self.slots[..self.used]
    }

    fn add_slot(&mut self) -> Option<u16> {
        let slot = u16::try_from(self.used).ok().filter(|_| self.used < STREAMS)?;
        self.used += 1;
        Some(slot)
    }

    fn truncate_slots(&mut self, len: usize) {
        self.used = self.used.min(len);
    }

    fn index(&self, opener: Role) -> &[IndexEntry] {
        match opener {
            Role::Dialer => &self.dialers,
            Role::Acceptor => &self.acceptors,
        }
    }

    fn index_push(&mut self, opener: Role, entry: IndexEntry) -> bool {
        self.index_mut(opener).push(entry).is_ok()
    }

    fn index_remove(&mut self, opener: Role, position: usize) {
        self.index_mut(opener).remove(position);
    }

    fn refusals(&self) -> &[Refusal] {
        &self.refusals
    }

    fn push_refusal(&mut self, refusal: Refusal) -> bool {
        self.refusals.push(refusal).is_ok()
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
        // As many fit as a set can have.
        self.exclusive = names.iter().cloned().map(Exclusive::new).collect();
    }
}

macro_rules! through_a_pointer {
    () => {
        type Ring = S::Ring;

        fn max_streams(&self) -> usize {
            S::max_streams(self)
        }

        fn slots(&self) -> &[Slot<Self::Ring>] {
            S::slots(self)
        }

        fn slots_mut(&mut self) -> &mut [Slot<Self::Ring>] {
            S::slots_mut(self)
        }

        fn add_slot(&mut self) -> Option<u16> {
            S::add_slot(self)
        }

        fn truncate_slots(&mut self, len: usize) {
            S::truncate_slots(self, len);
        }

        fn index(&self, opener: Role) -> &[IndexEntry] {
            S::index(self, opener)
        }

        fn index_push(&mut self, opener: Role, entry: IndexEntry) -> bool {
            S::index_push(self, opener, entry)
        }

        fn index_remove(&mut self, opener: Role, position: usize) {
            S::index_remove(self, opener, position);
        }

        fn refusals(&self) -> &[Refusal] {
            S::refusals(self)
        }

        fn push_refusal(&mut self, refusal: Refusal) -> bool {
            S::push_refusal(self, refusal)
        }

        fn swap_remove_refusal(&mut self, position: usize) {
            S::swap_remove_refusal(self, position);
        }

        fn exclusive(&self) -> &[Exclusive] {
            S::exclusive(self)
        }

        fn exclusive_mut(&mut self) -> &mut [Exclusive] {
            S::exclusive_mut(self)
        }

        fn set_exclusive(&mut self, names: &ExclusiveNames) {
            S::set_exclusive(self, names);
        }
    };
}

impl<S: Storage + ?Sized> Storage for &mut S {
    through_a_pointer!();
}

impl<S: Storage + ?Sized> Storage for core::cell::RefMut<'_, S> {
    through_a_pointer!();
}

#[cfg(feature = "alloc")]
impl<S: Storage + ?Sized> Storage for alloc::boxed::Box<S> {
    through_a_pointer!();
}

#[cfg(test)]
mod tests {
    use core::cell::RefCell;

    use super::*;
    use crate::{Limits, Priority, Session, StreamName, Ticks};

    /// Room for two streams.
    type Small = StaticStorage<2, 64>;

    const LIMITS: Limits = Limits {
        initial_window_bytes: 64,
        max_window_bytes: 64,
        send_buffer_bytes: 64,
        max_incoming_streams: 0,
        max_outgoing_streams: 2,
        ..Limits::FIXED
    };

    #[test]
    fn storage_that_a_session_left_full_serves_the_next_one_once_it_is_cleared() {
        let storage = RefCell::new(Small::new());
        let name = StreamName::new("a").unwrap();
        for _ in 0..3 {
            let mut lease = storage.try_borrow_mut().unwrap();
            lease.clear();
            let hello = Limits::FIXED.hello();
            let mut session = Session::new(Role::Dialer, LIMITS, hello, lease, Ticks(0)).unwrap();
            for _ in 0..2 {
                let id = session.open(&name, Priority::FIRST).unwrap();
                assert_eq!(session.write(id, &[7; 99]), Ok(64));
            }
            assert!(session.open(&name, Priority::FIRST).is_err());
            assert!(storage.try_borrow_mut().is_err(), "the session has it");
            let mut output = [0; 512];
            assert!(session.transmit(&mut output) > 128);
        }
        assert!(storage.try_borrow_mut().is_ok(), "it comes back with the session's end");
    }
}
