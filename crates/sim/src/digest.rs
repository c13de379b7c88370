//! A number that stands for all that an engine transmitted and told: the same over every storage.

use vatmux_mux::Event;

pub(crate) struct Digest(u64);

impl Digest {
    pub(crate) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Another number for the same things.
    pub(crate) const fn salted() -> Self {
        Self(0x9ae1_6a3b_2f90_404f)
    }

    pub(crate) const fn value(&self) -> u64 {
        self.0
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.word(u64::from(*byte));
        }
        self.word(bytes.len() as u64);
    }

    pub(crate) fn event(&mut self, event: &Event) {
        let (kind, id) = match event {
            Event::Incoming { id, .. } => (1, id.get()),
            Event::Opened(id) => (2, id.get()),
            Event::Readable(id) => (3, id.get()),
            Event::Writable(id) => (4, id.get()),
            Event::Reset(id, _) => (5, id.get()),
            Event::Ended => (6, 0),
        };
        self.word(kind << 32 | u64::from(id));
    }

    pub(crate) const fn word(&mut self, word: u64) {
        self.0 = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
    }
}
