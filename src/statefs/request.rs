//! What is asked of a store.

#[cfg(feature = "host")]
use super::error::Error;
use super::key::Key;
use super::value::Version;

/// What must hold of a key for a change to be made. A change whose condition does not hold changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    #[default]
    Any,
    /// There is no such key.
    Absent,
    /// There is such a key, of any version.
    Present,
    /// The key has this version.
    Version(Version),
}

#[cfg(feature = "host")]
impl Condition {
    pub(super) fn check(self, found: Option<Version>) -> Result<(), Error> {
        let holds = match self {
            Self::Any => true,
            Self::Absent => found.is_none(),
            Self::Present => found.is_some(),
            Self::Version(version) => found == Some(version),
        };
        if holds { Ok(()) } else { Err(Error::VersionMismatch { found }) }
    }
}

/// One step of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Of which key; each key is named once.
    pub key: Key,
    /// What must hold of it.
    pub condition: Condition,
    /// What is done.
    pub step: Step,
}

/// What an [`Operation`] does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing: only the condition counts.
    Check,
    /// Gives the key a value.
    Put(Vec<u8>),
    /// Removes the key, if it is there.
    Delete,
}

/// A transaction failed, and changed nothing.
#[cfg(feature = "host")]
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}{error}", Blamed(*operation))]
pub struct TransactError {
    /// Which operation is to blame, counted from 0; `None` if it is the transaction as a whole.
    pub operation: Option<usize>,
    /// What is wrong with it.
    pub error: Error,
}

#[cfg(feature = "host")]
impl From<Error> for TransactError {
    fn from(error: Error) -> Self {
        Self { operation: None, error }
    }
}

#[cfg(feature = "host")]
struct Blamed(Option<usize>);

#[cfg(feature = "host")]
impl std::fmt::Display for Blamed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |operation| write!(f, "operation {operation}: "))
    }
}
