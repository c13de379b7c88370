//! The deadlines of open questions, nearest first.
//!
//! Most questions have the same patience and end in the order in which they were asked. So this is a queue: the newest
//! deadline goes to its end, and what is over is taken off its front. What ends in between stays, marked by nothing but the
//! question itself, until it comes to the front or until there is more of it than of what is open.

use std::collections::VecDeque;

use vatmux_driver::Instant;

use super::QuestionId;

/// Entries that may be over beside those that are not, at least.
const SPARE: usize = 64;

/// Sorted by deadline. Every open question is in it, and some that are over; the first one is open.
#[derive(Default)]
pub(super) struct Due(VecDeque<(Instant, QuestionId)>);

impl Due {
    pub(super) fn add(&mut self, deadline: Instant, id: QuestionId) {
        let entry = (deadline, id);
        if self.0.back().is_none_or(|last| *last <= entry) {
            self.0.push_back(entry);
        } else {
            let at = self.0.partition_point(|other| *other <= entry);
            self.0.insert(at, entry);
        }
    }

    pub(super) fn first(&self) -> Option<(Instant, QuestionId)> {
        self.0.front().copied()
    }

    /// Nearest first; what is over among them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Instant, QuestionId)> {
        self.0.iter().copied()
    }

    /// Some question is over; `open` are left, and `is_open` knows which.
    pub(super) fn tidy(&mut self, open: usize, is_open: impl Fn(Instant, QuestionId) -> bool) {
        while self.0.pop_front_if(|(deadline, id)| !is_open(*deadline, *id)).is_some() {}
        if self.0.len() > 2 * open + SPARE {
            self.0.retain(|(deadline, id)| is_open(*deadline, *id));
            self.0.shrink_to(2 * open + SPARE);
        }
    }
}
