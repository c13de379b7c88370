//! What bundles are called: names and versions.

use std::fmt;
use std::str::FromStr;

/// The longest name, in bytes.
pub const MAX_NAME_BYTES: usize = 128;

/// A bundle's name: 1 to 128 bytes of `a-z`, `0-9`, `.`, `-` and `_`, that begin with a letter and have no `..`.
///
/// So it is a file name everywhere, and the same one on file systems that know no case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleName(Box<str>);

impl BundleName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BundleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for BundleName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() > MAX_NAME_BYTES {
            return Err(NameError::TooLong { bytes: text.len() });
        }
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-_".contains(&byte);
        if !text.starts_with(|first: char| first.is_ascii_lowercase()) || !text.bytes().all(legal) {
            return Err(NameError::Character);
        }
        // A trailing dot is lost on some file systems, and two names become one.
        if text.contains("..") || text.ends_with('.') {
            return Err(NameError::Dots);
        }
        Ok(Self(text.into()))
    }
}

/// A bundle's version: three numbers, ordered, and not all of them zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Version {
    /// The version with these numbers; `None` where all are zero, which stands for no version at all.
    #[must_use]
    pub const fn new(major: u32, minor: u32, patch: u32) -> Option<Self> {
        if major == 0 && minor == 0 && patch == 0 { None } else { Some(Self { major, minor, patch }) }
    }

    /// Its numbers, the most significant first.
    #[must_use]
    pub const fn numbers(self) -> [u32; 3] {
        [self.major, self.minor, self.patch]
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for Version {
    type Err = NameError;

    /// Reads the one form that [`Display`](fmt::Display) writes: no sign, no leading zero.
    fn from_str(text: &str) -> Result<Self, NameError> {
        let mut numbers = [0; 3];
        let mut parts = text.split('.');
        for number in &mut numbers {
            *number = parts.next().and_then(|part| part.parse::<u32>().ok()).ok_or(NameError::NotAVersion)?;
        }
        let [major, minor, patch] = numbers;
        let version = Self::new(major, minor, patch).ok_or(NameError::NotAVersion)?;
        if version.to_string() == text { Ok(version) } else { Err(NameError::NotAVersion) }
    }
}

/// Why something is no name, or no version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name is longer than [`MAX_NAME_BYTES`].
    #[error("a bundle's name has at most {MAX_NAME_BYTES} bytes, this has {bytes}")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// The name is empty, begins with something else than a letter, or has another character.
    #[error("a bundle's name begins with a letter and has only a-z, 0-9, `.`, `-` and `_`")]
    Character,
    /// The name has two dots in a row, or ends with one.
    #[error("a bundle's name has no `..` and does not end with a dot")]
    Dots,
    /// The version is not three numbers of which one is not zero.
    #[error("a version is three numbers up to 4,294,967,295, not all of them zero, such as 1.2.3")]
    NotAVersion,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_file_names_on_every_system() {
        for name in ["a", "org.example.search", "a-b_c.9", &"a".repeat(MAX_NAME_BYTES)] {
            assert_eq!(name.parse::<BundleName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn test_reject_names_outside_the_rules() {
        let bytes = MAX_NAME_BYTES + 1;
        assert_eq!("a".repeat(bytes).parse::<BundleName>(), Err(NameError::TooLong { bytes }));
        for name in ["", "A", "aB", "1a", ".a", "-a", "a/b", "a@1", "a\\b", "a\0", "ä", "a b"] {
            assert_eq!(name.parse::<BundleName>(), Err(NameError::Character), "{name:?}");
        }
        for name in ["a..b", "a.", "a.."] {
            assert_eq!(name.parse::<BundleName>(), Err(NameError::Dots), "{name:?}");
        }
    }

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        assert!(version("1.9.0") < version("1.10.0") && version("1.10.0") < version("2.0.0"));
        assert!(version("0.0.1") < version("0.1.0"));
        assert_eq!(version("4294967295.0.0").to_string(), "4294967295.0.0");
    }

    #[test]
    fn test_reject_versions_that_are_not_three_plain_numbers() {
        for text in
            ["", "1", "1.2", "1.2.3.4", "0.0.0", "01.2.3", "+1.2.3", "1.2.-3", "1.2.4294967296", "1.2.3 "]
        {
            assert_eq!(text.parse::<Version>(), Err(NameError::NotAVersion), "{text:?}");
        }
    }
}
