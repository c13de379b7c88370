//! Which stream sends the next DATA frame.
//!
//! Strict between priorities, round robin inside one, one frame per turn, and a bound on starvation: a level that has
//! been ready while `S = starvation_bytes` bytes of DATA went to other levels is owed a frame. Owed levels are served
//! before all others, the longest-starved first, the lowest priority first among equals.
//!
//! Let `C` be the longest frame, `MAX_DATA_BYTES`. A level crosses `S` by less than `C`; of the other seven, the one
//! whose frame made it cross has just been served and starts from 0, so at most six are ahead, with one frame each.
//! With its own frame the level is served once within `S + 8C` bytes, and a stream among `n` ready ones of its level
//! within `n × (S + 8C)`. A level that is empty for a moment starts from 0 again: it was not starved, it had nothing.

use crate::list::{List, READY};
use crate::name::Priority;
use crate::stream::Slot;

pub(crate) struct Scheduler {
    levels: [List<READY>; Priority::LEVELS],
    /// One bit per level that has a ready stream.
    ready: u8,
    /// Bytes that other levels have sent since a level became ready or was served.
    passed_over_bytes: [u32; Priority::LEVELS],
    starvation_bytes: u32,
}

impl Scheduler {
    pub(crate) const fn new(starvation_bytes: u32) -> Self {
        Self {
            levels: [List::EMPTY; Priority::LEVELS],
            ready: 0,
            passed_over_bytes: [0; Priority::LEVELS],
            starvation_bytes,
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.ready == 0
    }

    /// Whether no stream but perhaps `slot` is ready.
    pub(crate) fn has_no_other(&self, slot: u16) -> bool {
        self.ready == 0
            || self.ready.is_power_of_two() && self.levels[self.ready.trailing_zeros() as usize].is_only(slot)
    }

    pub(crate) fn insert<R>(&mut self, slots: &mut [Slot<R>], slot: u16) {
        let level = slots[usize::from(slot)].level();
        if self.levels[level].is_empty() {
            self.ready |= 1 << level;
            self.passed_over_bytes[level] = 0;
        }
        self.levels[level].push_back(slots, slot);
    }

    pub(crate) fn remove<R>(&mut self, slots: &mut [Slot<R>], slot: u16) {
        let level = slots[usize::from(slot)].level();
        self.levels[level].remove(slots, slot);
        if self.levels[level].is_empty() {
            self.ready &= !(1 << level);
        }
    }

    /// The stream whose turn it is, and whether the starvation bound says so.
    pub(crate) fn next(&self) -> Option<(u16, bool)> {
        if self.ready == 0 {
            return None;
        }
        let first = self.ready.trailing_zeros() as usize;
        let mut level = first;
        if !self.ready.is_power_of_two() {
            let mut longest = self.starvation_bytes;
            for (other, passed_over) in self.passed_over_bytes.iter().enumerate().skip(first) {
                if self.ready & (1 << other) != 0 && *passed_over >= longest {
                    (level, longest) = (other, *passed_over);
                }
            }
        }
        self.levels[level].front().map(|slot| (slot, level != first))
    }

    /// The stream at the front of its level has sent a frame of `bytes` and stays ready.
    pub(crate) fn served<R>(&mut self, slots: &mut [Slot<R>], slot: u16, bytes: u32) {
        let level = slots[usize::from(slot)].level();
        self.levels[level].rotate(slots);
        self.passed_over(level, bytes);
    }

    /// The stream at the front of its level has sent a frame of `bytes` and is no longer ready.
    pub(crate) fn served_last<R>(&mut self, slots: &mut [Slot<R>], slot: u16, bytes: u32) {
        let level = slots[usize::from(slot)].level();
        self.remove(slots, slot);
        self.passed_over(level, bytes);
    }

    fn passed_over(&mut self, served: usize, bytes: u32) {
        if self.ready & !(1 << served) != 0 {
            for passed_over in &mut self.passed_over_bytes {
                *passed_over = passed_over.saturating_add(bytes);
            }
        }
        self.passed_over_bytes[served] = 0;
    }
}
