//! What a store holds, in the words that its clients have as well.

use std::fmt;
use std::num::NonZeroU64;

use super::key::Key;

/// The largest value, in bytes.
pub const MAX_VALUE_BYTES: u64 = 64 * 1024 * 1024;

/// The largest value of one put, in bytes.
pub const MAX_PUT_BYTES: usize = 64 * 1024;

/// A version of a value: larger than all that the store gave out before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(NonZeroU64);

impl Version {
    /// The version with this number; 0 is none.
    #[must_use]
    pub const fn new(version: u64) -> Option<Self> {
        match NonZeroU64::new(version) {
            Some(version) => Some(Self(version)),
            None => None,
        }
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The keys.
    pub entries: Vec<Entry>,
    /// The last of them, if more follow it.
    pub next: Option<Key>,
}

/// A key, and what is to be known of its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// Its value's version.
    pub version: Version,
    /// Its value's size.
    pub size_bytes: u64,
}

/// How much there is of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Keys.
    pub keys: u64,
    /// Bytes of their values.
    pub value_bytes: u64,
}

/// A value, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Its version.
    pub version: Version,
    /// What it is.
    pub bytes: Vec<u8>,
}
