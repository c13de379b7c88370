//! What names a rule is about.

use std::fmt;
use std::str::FromStr;

/// A name, or all that begin alike: `org.example.clock`, `org.example.*`, `*`.
///
/// The star stands at the end, and nowhere else. `org.example.*` does not match `org.example`, and `org.example*` matches
/// `org.examples` as well: whoever means what is below a name writes the dot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NamePattern {
    /// This name.
    Exactly(Box<str>),
    /// All names that begin with this.
    Begins(Box<str>),
}

impl NamePattern {
    /// All names.
    #[must_use]
    pub fn all() -> Self {
        Self::Begins("".into())
    }

    /// Whether this is about `name`.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exactly(exactly) => **exactly == *name,
            Self::Begins(begin) => name.starts_with(&**begin),
        }
    }

    /// Whether this is about every name.
    #[must_use]
    pub fn is_all(&self) -> bool {
        matches!(self, Self::Begins(begin) if begin.is_empty())
    }

    /// The name, or what names begin with.
    #[must_use]
    pub fn stem(&self) -> &str {
        match self {
            Self::Exactly(stem) | Self::Begins(stem) => stem,
        }
    }
}

/// Something is no pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// There is nothing of it.
    #[error("a name, one that ends with `*` for all that begin alike, or `*` for all there are")]
    Empty,
    /// A star is where none can be.
    #[error("`*` once, at the end: it stands for all names that begin with what is before it")]
    Star,
}

impl FromStr for NamePattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let (stem, starred) = text.strip_suffix('*').map_or((text, false), |stem| (stem, true));
        match (stem, starred) {
            (stem, _) if stem.contains('*') => Err(PatternError::Star),
            ("", false) => Err(PatternError::Empty),
            (stem, false) => Ok(Self::Exactly(stem.into())),
            (stem, true) => Ok(Self::Begins(stem.into())),
        }
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(name) => f.write_str(name),
            Self::Begins(begin) => write!(f, "{begin}*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_about_what_it_says_and_nothing_else() {
        for (pattern, about, not_about) in [
            ("a.b", &["a.b"][..], &["a", "a.b.c", "a.bc", "A.b", ""][..]),
            ("a.*", &["a.", "a.b", "a.b.c"], &["a", "ab", "b.a.", ""]),
            ("*", &["", "a", "*"], &[]),
        ] {
            let parsed: NamePattern = pattern.parse().unwrap();
            assert_eq!(parsed.to_string(), pattern);
            assert_eq!(parsed.is_all(), pattern == "*");
            assert!(about.iter().all(|name| parsed.matches(name)), "{pattern}");
            assert!(!not_about.iter().any(|name| parsed.matches(name)), "{pattern}");
        }
    }

    #[test]
    fn test_reject_patterns_that_mean_something_else_than_they_look_like() {
        for (text, wrong) in [
            ("", PatternError::Empty),
            ("*.example", PatternError::Star),
            ("a*b", PatternError::Star),
            ("a**", PatternError::Star),
        ] {
            assert_eq!(text.parse::<NamePattern>(), Err(wrong), "{text}");
        }
    }
}
