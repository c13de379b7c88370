//! What an OPEN says about a stream: its name and its priority.

use core::fmt;
use core::str::FromStr;

/// The longest name in bytes.
pub const MAX_NAME_BYTES: usize = 64;

/// The name that a stream is opened with: 1 to 64 bytes of printable ASCII, `0x21..=0x7e`, so no spaces.
///
/// Many streams may carry one name, unless the end that they are opened to keeps it exclusive
/// ([`Session::set_exclusive_names`](crate::Session::set_exclusive_names)).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamName(heapless::String<MAX_NAME_BYTES, u8>);

impl StreamName {
    /// The name of a slot without a stream.
    pub(crate) const NONE: Self = Self(heapless::String::new());

    /// Checks `name`.
    pub fn new(name: &str) -> Result<Self, NameError> {
        Self::from_bytes(name.as_bytes())
    }

    /// Checks bytes that came from a peer.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NameError> {
        if bytes.is_empty() {
            return Err(NameError::Empty);
        }
        let mut name = heapless::String::new();
        for (position, byte) in bytes.iter().enumerate() {
            if !byte.is_ascii_graphic() {
                return Err(NameError::Byte { position, byte: *byte });
            }
            name.push(char::from(*byte)).map_err(|_| NameError::TooLong { bytes: bytes.len() })?;
        }
        Ok(Self(name))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

impl AsRef<str> for StreamName {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl FromStr for StreamName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        Self::new(name)
    }
}

/// Why bytes are no stream name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A name has at least one byte.
    #[error("a stream name is empty")]
    Empty,
    /// A name has at most [`MAX_NAME_BYTES`] bytes.
    #[error("a stream name of {bytes} bytes is longer than {MAX_NAME_BYTES}")]
    TooLong {
        /// How many it had.
        bytes: usize,
    },
    /// A name is printable ASCII without spaces.
    #[error("a stream name has byte {byte:#04x} at position {position}; only 0x21 to 0x7e are allowed")]
    Byte {
        /// Where the byte is, counted from 0.
        position: usize,
        /// The byte.
        byte: u8,
    },
}

/// How urgent a stream is: 0 is served first, 7 last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u8);

impl Priority {
    /// How many priorities there are.
    pub const LEVELS: usize = 8;
    /// Served before all others.
    pub const FIRST: Self = Self(0);
    /// Served when nothing else is ready, or when the starvation bound says so.
    pub const LAST: Self = Self(7);

    /// The priority with this number; `None` above 7.
    #[must_use]
    pub const fn new(level: u8) -> Option<Self> {
        if (level as usize) < Self::LEVELS { Some(Self(level)) } else { None }
    }

    /// The number on the wire, `0..=7`.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Default for Priority {
    /// The middle, 4: room above for control, below for bulk.
    fn default() -> Self {
        Self(4)
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_1_to_64_bytes() {
        assert_eq!(StreamName::new(""), Err(NameError::Empty));
        let longest = [b'n'; 64];
        assert_eq!(StreamName::from_bytes(&longest).unwrap().as_str().len(), 64);
        assert_eq!(StreamName::from_bytes(&[b'n'; 65]), Err(NameError::TooLong { bytes: 65 }));
    }

    #[test]
    fn a_name_is_printable_ascii_without_spaces() {
        for byte in 0..=u8::MAX {
            let legal = (0x21..=0x7e).contains(&byte);
            assert_eq!(StreamName::from_bytes(&[b'a', byte]).is_ok(), legal, "{byte:#x}");
        }
        assert_eq!(StreamName::new("a b"), Err(NameError::Byte { position: 1, byte: b' ' }));
    }

    #[test]
    fn there_are_eight_priorities() {
        assert_eq!(Priority::new(7), Some(Priority::LAST));
        assert_eq!(Priority::new(8), None);
    }
}
