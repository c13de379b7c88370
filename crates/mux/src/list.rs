//! Lists of streams threaded through the streams themselves: no memory of their own, every operation O(1).

use crate::stream::Slot;

/// No slot.
pub(crate) const NONE: u16 = u16::MAX;

/// Streams that have DATA to send and credit for it, and vacant slots.
pub(crate) const READY: usize = 0;
/// Streams that have frames other than DATA to send.
pub(crate) const CONTROL: usize = 1;
/// Streams that have events for the application.
pub(crate) const EVENTS: usize = 2;
/// How many lists one stream can be in at once.
pub(crate) const CHAINS: usize = 3;

/// A stream's neighbours in one list.
#[derive(Clone, Copy)]
pub(crate) struct Link {
    previous: u16,
    next: u16,
    linked: bool,
}

impl Link {
    /// In no list: the neighbours mean nothing. All zeros, as all of a vacant slot.
    pub(crate) const LOOSE: Self = Self { previous: 0, next: 0, linked: false };
}

/// First in, first out.
#[derive(Clone, Copy)]
pub(crate) struct List<const CHAIN: usize> {
    head: u16,
    tail: u16,
}

impl<const CHAIN: usize> List<CHAIN> {
    pub(crate) const EMPTY: Self = Self { head: NONE, tail: NONE };

    pub(crate) const fn is_empty(self) -> bool {
        self.head == NONE
    }

    pub(crate) fn front(self) -> Option<u16> {
        (self.head != NONE).then_some(self.head)
    }

    /// Whether `slot` is in the list, and alone.
    pub(crate) fn is_only(self, slot: u16) -> bool {
        self.head == slot && self.tail == slot
    }

    pub(crate) fn contains<R>(slots: &[Slot<R>], slot: u16) -> bool {
        slots[usize::from(slot)].links[CHAIN].linked
    }

    /// Appends `slot`, unless it is in the list already.
    pub(crate) fn push_back<R>(&mut self, slots: &mut [Slot<R>], slot: u16) {
        let link = &mut slots[usize::from(slot)].links[CHAIN];
        if link.linked {
            return;
        }
        *link = Link { previous: self.tail, next: NONE, linked: true };
        if self.tail == NONE {
            self.head = slot;
        } else {
            slots[usize::from(self.tail)].links[CHAIN].next = slot;
        }
        self.tail = slot;
    }

    /// Takes `slot` out, if it is in the list.
    pub(crate) fn remove<R>(&mut self, slots: &mut [Slot<R>], slot: u16) {
        let link = core::mem::replace(&mut slots[usize::from(slot)].links[CHAIN], Link::LOOSE);
        if !link.linked {
            return;
        }
        if link.previous == NONE {
            self.head = link.next;
        } else {
            slots[usize::from(link.previous)].links[CHAIN].next = link.next;
        }
        if link.next == NONE {
            self.tail = link.previous;
        } else {
            slots[usize::from(link.next)].links[CHAIN].previous = link.previous;
        }
    }

    /// Moves the first to the end.
    pub(crate) fn rotate<R>(&mut self, slots: &mut [Slot<R>]) {
        if self.head != self.tail {
            let slot = self.head;
            self.remove(slots, slot);
            self.push_back(slots, slot);
        }
    }
}
