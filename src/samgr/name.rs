//! What a registration may be called.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest name, in bytes.
pub const MAX_NAME_BYTES: usize = 255;

/// The name of a service in a registry: UTF-8 of 1 to 255 bytes, without blanks and control characters. Names are ordered by
/// their bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// What names begin with; empty for all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Prefix(Arc<str>);

/// Why something is no name, or no prefix of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It is empty.
    #[error("a name has at least one character")]
    Empty,
    /// It is too long.
    #[error("a name has at most {MAX_NAME_BYTES} bytes, and this has {bytes}")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// It has a blank or a control character.
    #[error("a name has no blanks and no control characters, and this has U+{:04X}", u32::from(*character))]
    Character {
        /// The first one.
        character: char,
    },
}

impl Name {
    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Prefix {
    /// The prefix itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a name begins with this.
    #[must_use]
    pub fn begins(&self, name: &Name) -> bool {
        name.0.starts_with(&*self.0)
    }
}

fn check(text: &str) -> Result<(), NameError> {
    if text.len() > MAX_NAME_BYTES {
        return Err(NameError::TooLong { bytes: text.len() });
    }
    match text.chars().find(|character| character.is_whitespace() || character.is_control()) {
        Some(character) => Err(NameError::Character { character }),
        None => Ok(()),
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        check(text)?;
        Ok(Self(text.into()))
    }
}

impl FromStr for Prefix {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        check(text)?;
        Ok(Self(text.into()))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_the_schema_says() {
        for name in ["a", "vatmux.state", "board/lid-sensor", "größe", &"n".repeat(255)] {
            assert_eq!(name.parse::<Name>().unwrap().as_str(), name);
        }
        assert_eq!("".parse::<Prefix>().unwrap(), Prefix::default());
    }

    #[test]
    fn test_reject_invalid_name() {
        assert_eq!("".parse::<Name>(), Err(NameError::Empty));
        let long = "n".repeat(256);
        assert_eq!(long.parse::<Name>(), Err(NameError::TooLong { bytes: 256 }));
        assert_eq!(long.parse::<Prefix>(), Err(NameError::TooLong { bytes: 256 }));
        for (name, character) in
            [("a b", ' '), ("a\0", '\0'), ("\u{a0}a", '\u{a0}'), ("a\u{1b}[2J", '\u{1b}')]
        {
            assert_eq!(name.parse::<Name>(), Err(NameError::Character { character }), "{name:?}");
            assert_eq!(name.parse::<Prefix>(), Err(NameError::Character { character }), "{name:?}");
        }
    }
}
