//! Names that one open stream at a time may carry.

use crate::id::StreamId;
use crate::name::StreamName;

/// How many names one session can keep exclusive. They cost 72 bytes each.
pub const MAX_EXCLUSIVE_NAMES: usize = 16;

/// A set of at most [`MAX_EXCLUSIVE_NAMES`] names, each for one open stream of the peer's at a time: see
/// [`Session::set_exclusive_names`](crate::Session::set_exclusive_names).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExclusiveNames(heapless::Vec<StreamName, MAX_EXCLUSIVE_NAMES, u8>);

impl ExclusiveNames {
    /// No names: many streams may carry any.
    #[must_use]
    pub const fn new() -> Self {
        Self(heapless::Vec::new())
    }

    /// Adds a name; one that is in the set already changes nothing.
    pub fn insert(&mut self, name: StreamName) -> Result<(), TooManyExclusiveNames> {
        if self.contains(&name) {
            return Ok(());
        }
        self.0.push(name).map_err(|_| TooManyExclusiveNames)
    }

    /// Whether the name is in the set.
    #[must_use]
    pub fn contains(&self, name: &StreamName) -> bool {
        self.0.contains(name)
    }

    /// The names, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = &StreamName> {
        self.0.iter()
    }
}

/// The set has [`MAX_EXCLUSIVE_NAMES`] names already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at most {MAX_EXCLUSIVE_NAMES} names can be exclusive")]
pub struct TooManyExclusiveNames;

/// An exclusive name as a session keeps it.
pub struct Exclusive {
    pub(crate) name: StreamName,
    /// The last stream that was let in under the name. It may be over by now.
    pub(crate) holder: Option<StreamId>,
}

impl Exclusive {
    pub(crate) const fn new(name: StreamName) -> Self {
        Self { name, holder: None }
    }
}

#[cfg(test)]
mod tests {
    use core::fmt::Write;

    use super::*;

    fn numbered(number: usize) -> StreamName {
        let mut name = heapless::String::<8>::new();
        write!(name, "n{number}").unwrap();
        StreamName::new(&name).unwrap()
    }

    #[test]
    fn a_set_takes_so_many_names_and_no_more() {
        let mut names = ExclusiveNames::new();
        for number in 0..MAX_EXCLUSIVE_NAMES {
            names.insert(numbered(number)).unwrap();
        }
        assert_eq!(names.insert(numbered(0)), Ok(()), "it is there already");
        let full = names.clone();
        assert_eq!(names.insert(numbered(MAX_EXCLUSIVE_NAMES)), Err(TooManyExclusiveNames));
        assert_eq!(names, full, "what does not fit changes nothing");
        assert_eq!(names.iter().count(), MAX_EXCLUSIVE_NAMES);
    }
}
