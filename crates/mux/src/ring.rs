//! Byte rings that lend slices of their own storage.

mod sealed {
    pub trait Sealed {}
    impl<const N: usize> Sealed for super::StaticRing<N> {}
    #[cfg(feature = "alloc")]
    impl Sealed for crate::heap::HeapRing {}
}

/// A queue of bytes: copied in once, lent as at most two slices, consumed from the front.
///
/// Sealed: the engine relies on what its two implementations promise.
pub trait Ring: sealed::Sealed {
    /// The most bytes that a ring of this type can ever hold.
    const MAX_BYTES: usize;
    /// Whether [`release`](Self::release) gives memory back.
    const RELEASES: bool;

    /// How many bytes it holds.
    fn len(&self) -> usize;

    /// Whether it holds nothing.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends as many of `bytes` as fit while the ring holds at most `limit` bytes, and returns how many did.
    fn push(&mut self, bytes: &[u8], limit: usize) -> usize;

    /// What it holds, in order; the second slice is empty unless the bytes wrap around.
    fn slices(&self) -> (&[u8], &[u8]);

    /// Drops the first `bytes` bytes, all when it holds fewer.
    fn consume(&mut self, bytes: usize);

    /// Drops everything, and the memory as well where it was allocated.
    fn release(&mut self);

    /// Whether memory is allocated for it that [`release`](Self::release) would give back.
    fn holds_memory(&self) -> bool;
}

/// A ring of `N` bytes inside itself.
pub struct StaticRing<const N: usize> {
    bytes: [u8; N],
    head: u32,
    len: u32,
}

impl<const N: usize> StaticRing<N> {
    /// An empty ring.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(N as u64 <= u32::MAX as u64 / 2, "a ring is at most 2 GiB long") };
        Self { bytes: [0; N], head: 0, len: 0 }
    }
}

impl<const N: usize> Default for StaticRing<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Ring for StaticRing<N> {
    const MAX_BYTES: usize = N;
    const RELEASES: bool = false;

    fn len(&self) -> usize {
        self.len as usize
    }

    fn push(&mut self, bytes: &[u8], limit: usize) -> usize {
        let len = self.len();
        let count = bytes.len().min(limit.min(N).saturating_sub(len));
        let mut tail = self.head as usize + len;
        if tail >= N {
            tail -= N;
        }
        let straight = count.min(N - tail);
        let (first, second) = bytes[..count].split_at(straight);
        self.bytes[tail..tail + straight].copy_from_slice(first);
        self.bytes[..second.len()].copy_from_slice(second);
        self.len += count as u32;
        count
    }

    fn slices(&self) -> (&[u8], &[u8]) {
        two_slices(&self.bytes, N, self.head as usize, self.len())
    }

    fn consume(&mut self, bytes: usize) {
        (self.head, self.len) = consumed(N, self.head, self.len, bytes);
    }

    fn release(&mut self) {
        (self.head, self.len) = (0, 0);
    }

    fn holds_memory(&self) -> bool {
        false
    }
}

/// The live bytes of a ring of `capacity` in `bytes`, which may be shorter while it has not been filled once.
pub(crate) fn two_slices(bytes: &[u8], capacity: usize, head: usize, len: usize) -> (&[u8], &[u8]) {
    let end = head + len;
    if end <= capacity { (&bytes[head..end], &[]) } else { (&bytes[head..], &bytes[..end - capacity]) }
}

/// Head and length after dropping `bytes`. An empty ring starts over at 0, so that a reader who keeps up stays within
/// the same few cache lines.
pub(crate) fn consumed(capacity: usize, head: u32, len: u32, bytes: usize) -> (u32, u32) {
    if bytes >= len as usize {
        return (0, 0);
    }
    let mut head = head as usize + bytes;
    if head >= capacity {
        head -= capacity;
    }
    (head as u32, len - bytes as u32)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::collections::VecDeque;
    use std::vec::Vec;

    use super::*;

    /// Random pushes and consumes against a queue that is obviously right.
    fn behaves_like_a_queue<R: Ring>(mut ring: R, limit: usize) {
        let mut model = VecDeque::new();
        let mut state = 1_u64;
        let mut next = 0_u8;
        for _ in 0..4_000_000 / (limit + 1000) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let amount = (state >> 33) as usize % (limit + 3);
            match (state >> 20) % 16 {
                0..8 => {
                    let bytes: Vec<u8> = (0..amount).map(|step| next.wrapping_add(step as u8)).collect();
                    let pushed = ring.push(&bytes, limit);
                    assert_eq!(pushed, amount.min(limit - model.len()));
                    next = next.wrapping_add(pushed as u8);
                    model.extend(&bytes[..pushed]);
                }
                8..15 => {
                    ring.consume(amount);
                    model.drain(..amount.min(model.len()));
                }
                _ if amount == 0 => {
                    ring.release();
                    model.clear();
                }
                _ => {}
            }
            let (first, second) = ring.slices();
            assert!(first.iter().chain(second).eq(model.iter()));
            assert_eq!(ring.len(), model.len());
            assert_eq!(ring.is_empty(), model.is_empty());
        }
    }

    #[test]
    fn a_static_ring_is_a_queue_of_bytes() {
        behaves_like_a_queue(StaticRing::<61>::new(), 61);
        behaves_like_a_queue(StaticRing::<64>::new(), 17);
        behaves_like_a_queue(StaticRing::<1>::new(), 1);
    }

    #[test]
    #[cfg(feature = "alloc")]
    fn a_heap_ring_is_a_queue_of_bytes() {
        use crate::heap::HeapRing;
        behaves_like_a_queue(HeapRing::new(), 61);
        behaves_like_a_queue(HeapRing::new(), 9000);
        behaves_like_a_queue(HeapRing::new(), 4096);
        behaves_like_a_queue(HeapRing::new(), 1);
    }
}
