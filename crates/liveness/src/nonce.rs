//! The number that a reply repeats to say which question it answers.

use core::fmt;

/// The number of one question. Within one [`Correlation`](crate::Correlation) no two questions have the same.
///
/// It tells questions apart and proves nothing: nonces follow each other, and whoever saw one can guess the next. Who
/// replies is for the channel to prove.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nonce(u64);

/// These bytes are no nonce: there are not eight of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedNonce {
    /// How many bytes there were.
    pub length: usize,
}

impl Nonce {
    /// How long a nonce is in a message, in bytes.
    pub const BYTES: usize = 8;

    /// The nonce with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// As a message carries it: little-endian.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; Self::BYTES] {
        self.0.to_le_bytes()
    }

    pub(crate) const fn successor(self) -> Option<Self> {
        match self.0.checked_add(1) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }
}

impl TryFrom<&[u8]> for Nonce {
    type Error = MalformedNonce;

    fn try_from(bytes: &[u8]) -> Result<Self, MalformedNonce> {
        match bytes.try_into() {
            Ok(bytes) => Ok(Self(u64::from_le_bytes(bytes))),
            Err(_) => Err(MalformedNonce { length: bytes.len() }),
        }
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Nonce({})", self.0)
    }
}

impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Display for MalformedNonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a nonce has {} bytes, and this has {}", Nonce::BYTES, self.length)
    }
}

impl core::error::Error for MalformedNonce {}
