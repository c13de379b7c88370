//! Budgets for frames that cost us work and achieve nothing.
//!
//! Every attack of the "many cheap frames" family (rapid reset, `MadeYouReset`, ping floods, tiny data, tiny window
//! updates) is bounded here: a budget is full at the start of each tick, each frame takes one from it, and useful
//! progress puts some back, so that the rate of honest frames is bounded by nothing but the work they do.

use core::fmt;

use crate::limits::Limits;

/// DATA shorter than this many bytes is small.
pub(crate) const SMALL_DATA_BYTES: u16 = 32;
/// What one DATA frame adds to its payload when progress is counted in bytes.
const FRAME_PROGRESS_BYTES: u32 = 64;
/// A received `WINDOW_UPDATE` answers about half a window of DATA; four per frame is twice what any window needs.
const UPDATES_PER_DATA_FRAME: u32 = 4;
/// `OPEN_ACK`, two window updates and a RST or CLOSE can be under way to a stream when it goes.
const STRAYS_PER_STREAM: u32 = 4;

/// The kinds of frames that have a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BudgetKind {
    /// DATA frames of a few bytes that nobody consumes.
    SmallData,
    /// RSTs on streams that the peer opened, received and sent.
    Resets,
    /// PINGs, and PONGs that answer nothing.
    Pings,
    /// `WINDOW_UPDATE`s out of proportion to the data that we sent.
    WindowUpdates,
    /// Frames on streams that are gone.
    StrayFrames,
}

impl fmt::Display for BudgetKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SmallData => "small DATA frames",
            Self::Resets => "RST frames",
            Self::Pings => "PING frames",
            Self::WindowUpdates => "WINDOW_UPDATE frames",
            Self::StrayFrames => "frames on streams that are gone",
        })
    }
}

struct Budget {
    left: u32,
    capacity: u32,
}

impl Budget {
    const fn new(capacity: u32) -> Self {
        Self { left: capacity, capacity }
    }

    fn refund(&mut self, frames: u32) {
        self.left = self.left.saturating_add(frames).min(self.capacity);
    }
}

pub(crate) struct Budgets {
    small_data: Budget,
    resets: Budget,
    pings: Budget,
    window_updates: Budget,
    stray_frames: Budget,
    /// Progress in bytes that has not yet earned a whole KiB.
    progress_bytes: u32,
}

impl Budgets {
    pub(crate) const fn new(limits: &Limits) -> Self {
        Self {
            small_data: Budget::new(limits.small_data_budget),
            resets: Budget::new(limits.reset_budget),
            pings: Budget::new(limits.ping_budget),
            window_updates: Budget::new(limits.window_update_budget),
            stray_frames: Budget::new(limits.stray_frame_budget),
            progress_bytes: 0,
        }
    }

    /// Takes one frame from its budget; false when there was none left.
    #[must_use]
    pub(crate) fn charge(&mut self, kind: BudgetKind) -> bool {
        let budget = match kind {
            BudgetKind::SmallData => &mut self.small_data,
            BudgetKind::Resets => &mut self.resets,
            BudgetKind::Pings => &mut self.pings,
            BudgetKind::WindowUpdates => &mut self.window_updates,
            BudgetKind::StrayFrames => &mut self.stray_frames,
        };
        match budget.left.checked_sub(1) {
            Some(left) => {
                budget.left = left;
                true
            }
            None => false,
        }
    }

    /// A tick has passed.
    pub(crate) fn refill(&mut self) {
        for budget in [
            &mut self.small_data,
            &mut self.resets,
            &mut self.pings,
            &mut self.window_updates,
            &mut self.stray_frames,
        ] {
            budget.left = budget.capacity;
        }
    }

    /// The application consumed `bytes`.
    pub(crate) fn consumed(&mut self, bytes: u32) {
        self.small_data.refund(bytes);
        self.progress(bytes);
    }

    /// A DATA frame of `bytes` left.
    pub(crate) fn sent(&mut self, bytes: u32) {
        self.window_updates.refund(UPDATES_PER_DATA_FRAME + bytes / 1024);
        self.progress(bytes + FRAME_PROGRESS_BYTES);
    }

    /// A stream is forgotten. `clean` when both ends closed it and nobody reset it.
    pub(crate) fn stream_gone(&mut self, clean: bool) {
        self.stray_frames.refund(STRAYS_PER_STREAM);
        if clean {
            self.resets.refund(1);
        }
    }

    fn progress(&mut self, bytes: u32) {
        let total = self.progress_bytes.saturating_add(bytes);
        self.progress_bytes = total % 1024;
        let kibibytes = total / 1024;
        if kibibytes > 0 {
            self.resets.refund(kibibytes);
            self.pings.refund(kibibytes);
        }
    }
}
