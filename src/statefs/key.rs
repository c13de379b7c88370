//! Which keys there may be: a check of syntax alone, made before anything is looked up.
//!
//! A key is UTF-8 of 1 to 255 bytes: segments separated by `/`, none of them empty, `.` or `..`, none with NUL or a
//! backslash in it. What names a key therefore names a file as well, on any platform, and joining it to a
//! directory cannot climb.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 255;

/// A key that keeps the rules of this module.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Box<str>);

impl Key {
    /// Checks `key` as it came from a peer.
    pub fn parse(key: &[u8]) -> Result<Self, KeyError> {
        let key = text(key)?;
        if key.is_empty() {
            return Err(KeyError::Empty);
        }
        key.split('/').try_for_each(check_segment)?;
        Ok(Self(key.into()))
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key's bytes, by which keys are ordered.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl FromStr for Key {
    type Err = KeyError;

    fn from_str(key: &str) -> Result<Self, KeyError> {
        Self::parse(key.as_bytes())
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a key may begin with; the empty prefix begins every key.
///
/// It need not end where a segment does: `log/2026` begins `log/2026-11` too. Who means all keys below a name
/// ends the prefix with `/`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Prefix(Box<str>);

impl Prefix {
    /// Checks `prefix` as it came from a peer. Its segments keep the rules for keys, except for the last,
    /// which need not be finished.
    pub fn parse(prefix: &[u8]) -> Result<Self, KeyError> {
        let prefix = text(prefix)?;
        if let Some((finished, last)) = prefix.rsplit_once('/') {
            finished.split('/').try_for_each(check_segment)?;
            check_characters(last)?;
        } else {
            check_characters(prefix)?;
        }
        Ok(Self(prefix.into()))
    }

    /// The prefix as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The prefix' bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Whether every key begins with it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The prefix of all keys that begin with both; `None` where there can be none.
    #[must_use]
    pub fn and(&self, other: &Self) -> Option<Self> {
        let (short, long) = if self.0.len() <= other.0.len() { (self, other) } else { (other, self) };
        long.0.starts_with(&*short.0).then(|| long.clone())
    }

    /// Whether `key` begins with it.
    #[must_use]
    pub fn begins(&self, key: &Key) -> bool {
        key.0.starts_with(&*self.0)
    }
}

impl FromStr for Prefix {
    type Err = KeyError;

    fn from_str(prefix: &str) -> Result<Self, KeyError> {
        Self::parse(prefix.as_bytes())
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a key, or a prefix, is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is longer than [`MAX_KEY_BYTES`].
    #[error("the key has {bytes} bytes, and may have {MAX_KEY_BYTES}")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// It is not UTF-8.
    #[error("the key is not UTF-8")]
    NotUtf8,
    /// There is nothing of it.
    #[error("the key is empty")]
    Empty,
    /// It begins or ends with `/`, or has two of them in a row.
    #[error("the key has an empty segment: it begins or ends with `/`, or has two of them in a row")]
    EmptySegment,
    /// A segment is `.` or `..`.
    #[error("the key has `.` or `..` for a segment")]
    DotSegment,
    /// A segment holds NUL.
    #[error("the key has a NUL byte in it")]
    Nul,
    /// A segment holds a backslash.
    #[error("the key has a backslash in it")]
    Backslash,
}

fn text(bytes: &[u8]) -> Result<&str, KeyError> {
    if bytes.len() > MAX_KEY_BYTES {
        return Err(KeyError::TooLong { bytes: bytes.len() });
    }
    std::str::from_utf8(bytes).map_err(|_| KeyError::NotUtf8)
}

fn check_segment(segment: &str) -> Result<(), KeyError> {
    match segment {
        "" => Err(KeyError::EmptySegment),
        "." | ".." => Err(KeyError::DotSegment),
        _ => check_characters(segment),
    }
}

fn check_characters(segment: &str) -> Result<(), KeyError> {
    match segment.bytes().find(|byte| matches!(byte, 0 | b'\\')) {
        None => Ok(()),
        Some(0) => Err(KeyError::Nul),
        Some(_) => Err(KeyError::Backslash),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_keys_pass_dots_and_spaces_included() {
        for key in ["a", "a/b", ".hidden/...", "..a/b..", "a b/ü/日本", "C:", "-rf", "~", "\n"] {
            assert_eq!(Key::parse(key.as_bytes()).unwrap().as_str(), key);
        }
    }

    #[test]
    fn keys_are_ordered_by_their_bytes() {
        let mut keys: Vec<Key> = ["b", "a/b", "a", "a0", "ü", "a-b"].map(|key| key.parse().unwrap()).into();
        keys.sort();
        assert!(keys.is_sorted_by_key(|key| key.as_bytes().to_vec()));
    }

    #[test]
    fn test_reject_key_that_is_empty() {
        assert_eq!(Key::parse(b""), Err(KeyError::Empty));
    }

    #[test]
    fn test_reject_key_that_is_too_long() {
        assert!(Key::parse(&[b'k'; MAX_KEY_BYTES]).is_ok());
        for bytes in [MAX_KEY_BYTES + 1, 100 * 1024] {
            assert_eq!(Key::parse(&vec![b'k'; bytes]), Err(KeyError::TooLong { bytes }));
            assert_eq!(Prefix::parse(&vec![b'k'; bytes]), Err(KeyError::TooLong { bytes }));
        }
    }

    #[test]
    fn test_reject_key_that_is_not_utf8() {
        for key in [&b"\xff"[..], b"a/\xc3", b"\xed\xa0\x80"] {
            assert_eq!(Key::parse(key), Err(KeyError::NotUtf8));
            assert_eq!(Prefix::parse(key), Err(KeyError::NotUtf8));
        }
    }

    #[test]
    fn test_reject_key_with_an_empty_segment() {
        for key in ["/", "/a", "a/", "a//b", "//"] {
            assert_eq!(Key::parse(key.as_bytes()), Err(KeyError::EmptySegment), "{key}");
        }
        for prefix in ["/", "/a", "a//", "a//b"] {
            assert_eq!(Prefix::parse(prefix.as_bytes()), Err(KeyError::EmptySegment), "{prefix}");
        }
    }

    #[test]
    fn test_reject_key_with_a_dot_segment() {
        for key in [".", "..", "a/..", "../a", "a/./b", "a/../b"] {
            assert_eq!(Key::parse(key.as_bytes()), Err(KeyError::DotSegment), "{key}");
        }
        for prefix in ["../", "a/../b", "./a"] {
            assert_eq!(Prefix::parse(prefix.as_bytes()), Err(KeyError::DotSegment), "{prefix}");
        }
    }

    #[test]
    fn test_reject_key_with_nul() {
        for key in [&b"\0"[..], b"a\0b", b"a/\0"] {
            assert_eq!(Key::parse(key), Err(KeyError::Nul));
            assert_eq!(Prefix::parse(key), Err(KeyError::Nul));
        }
    }

    #[test]
    fn test_reject_key_with_a_backslash() {
        for key in [&b"\\"[..], b"..\\..\\x", b"a/b\\c"] {
            assert_eq!(Key::parse(key), Err(KeyError::Backslash));
            assert_eq!(Prefix::parse(key), Err(KeyError::Backslash));
        }
    }

    #[test]
    fn a_prefix_begins_what_starts_with_its_bytes() {
        let key: Key = "log/2026-11".parse().unwrap();
        for prefix in ["", "l", "log", "log/", "log/2026", "log/2026-11"] {
            assert!(prefix.parse::<Prefix>().unwrap().begins(&key), "{prefix}");
        }
        for prefix in ["log/2026-11/", "log/3", "o", "log/."] {
            assert!(!prefix.parse::<Prefix>().unwrap().begins(&key), "{prefix}");
        }
    }
}
