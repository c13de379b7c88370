//! Large buffers, lent to whichever session of the thread is at work.
//!
//! A record takes 64 KiB. Ten thousand idle sessions must not hold one of them each way: a session borrows what it
//! needs for the length of one poll, and keeps a buffer across polls only while part of a record is in it.

use std::cell::RefCell;

/// Bytes in a pooled buffer: two whole records with their prefixes, so that one read of the link can take in
/// the end of one record and all of the next.
pub(crate) const BUFFER_BYTES: usize = 2 * 65_537;

/// Buffers kept for the next borrower: 128 KiB each, per thread.
const KEPT_BUFFERS: usize = 4;

/// The buffers of one driver.
#[derive(Default)]
pub(crate) struct Buffers(RefCell<Vec<Box<[u8]>>>);

impl Buffers {
    /// A buffer of [`BUFFER_BYTES`], with whatever its last borrower left in it.
    pub(crate) fn take(&self) -> Box<[u8]> {
        self.0.borrow_mut().pop().unwrap_or_else(|| vec![0; BUFFER_BYTES].into_boxed_slice())
    }

    pub(crate) fn give_back(&self, buffer: Box<[u8]>) {
        let mut kept = self.0.borrow_mut();
        if kept.len() < KEPT_BUFFERS {
            kept.push(buffer);
        }
    }
}
