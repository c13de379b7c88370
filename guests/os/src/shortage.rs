//! What happens before the heap is exhausted: whoever holds the most of it is sent away.
//!
//! An allocation that finds no room ends the image, whoever asked for it. So the heap is looked at whenever the loop parks, which
//! it does every few dozen microseconds under load, and peers learn that there is too little of it while there is still enough to
//! tell them.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Memory is short where less of the heap than this is free. What can be asked for between two looks is far less: frames of
/// 96 KiB from each card, and for each of four sessions a record, and a message of at most 192 KiB that grows by copying.
pub(crate) const RESERVE_BYTES: usize = 1024 * 1024;

/// Whether memory is short. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Shortage(Rc<State>);

#[derive(Default)]
struct State {
    is_short: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
}

impl Shortage {
    /// Takes note of how much of the heap is free.
    pub(crate) fn look(&self, free_bytes: usize) {
        let is_short = free_bytes < RESERVE_BYTES;
        if self.0.is_short.replace(is_short) != is_short
            && let Some(waiting) = self.0.waiting.take()
        {
            waiting.wake();
        }
    }

    /// Whether memory was short at the last look.
    pub(crate) fn is_now(&self) -> bool {
        self.0.is_short.get()
    }

    /// Waits until memory is short.
    pub(crate) async fn comes(&self) {
        self.becomes(true).await;
    }

    /// Waits until memory is short no longer.
    pub(crate) async fn passes(&self) {
        self.becomes(false).await;
    }

    /// One waits at a time.
    async fn becomes(&self, short: bool) {
        poll_fn(|cx| {
            if self.is_now() == short {
                return Poll::Ready(());
            }
            *self.0.waiting.borrow_mut() = Some(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
