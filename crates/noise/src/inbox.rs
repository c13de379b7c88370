//! Where the pieces of a handshake message are put together.

/// A message that is arriving, in whatever pieces the link makes of it. Fixed in size, so that a peer decides nothing
/// about memory.
pub(crate) struct Inbox<const CAPACITY: usize> {
    bytes: [u8; CAPACITY],
    len: usize,
}

impl<const CAPACITY: usize> Inbox<CAPACITY> {
    pub(crate) const fn new() -> Self {
        Self { bytes: [0; CAPACITY], len: 0 }
    }

    /// Takes from the front of `input` until `wanted` bytes are here, and says how many it took.
    pub(crate) fn fill(&mut self, input: &[u8], wanted: usize) -> usize {
        let free = self.bytes.get_mut(self.len..wanted).unwrap_or_default();
        let taken = free.len().min(input.len());
        for (slot, &byte) in free.iter_mut().zip(input) {
            *slot = byte;
        }
        self.len += taken;
        taken
    }

    /// What is here.
    pub(crate) fn arrived(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    pub(crate) fn clear(&mut self) {
        self.len = 0;
    }
}
