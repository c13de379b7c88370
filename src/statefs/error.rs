//! What can go wrong in a store, in the words of whoever asked it.

use std::io;
use std::sync::Arc;

use super::blocks::Damage;
use super::key::KeyError;
use super::store::Version;

/// A request to a store failed; it changed nothing, except where the variant says otherwise.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// There is no such key.
    #[error("there is no such key")]
    NotFound,
    /// The key's version is not the one that was asked for.
    #[error("the key is not as the condition has it: {}", Found(*found))]
    VersionMismatch {
        /// The version that the key has; `None` where there is no such key.
        found: Option<Version>,
    },
    /// The value is larger than the store, or the request, takes.
    #[error("the value has {bytes} bytes, and may have {limit_bytes}")]
    ValueTooLarge {
        /// How large it is.
        bytes: u64,
        /// How large it may be.
        limit_bytes: u64,
    },
    /// The key, or the prefix, breaks the rules of [`super::key`].
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The request makes no sense.
    #[error("{0}")]
    Malformed(&'static str),
    /// The cursor is not one that this listing gave.
    #[error("the cursor is not one that this listing gave")]
    InvalidCursor,
    /// More operations, or more bytes, than a transaction takes.
    #[error("the transaction has {count} {what}, and may have {limit}")]
    TransactionLimit {
        /// What there is too much of: operations, or bytes of values.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The store may hold no more.
    #[error("the store has no room: {what} may be {limit}")]
    QuotaExceeded {
        /// What there may be no more of: keys, or bytes of values.
        what: &'static str,
        /// How much there may be.
        limit: u64,
    },
    /// The storage has no room left.
    #[error("the disk is full")]
    DiskFull,
    /// As much is under way as may be.
    #[error("{0} are under way, as many as there may be; try later")]
    Busy(&'static str),
    /// What was stored is not what was read.
    #[error("the store is damaged: {0}")]
    Integrity(Arc<str>),
    /// The store is older than one that its owner has seen.
    #[error("the store is older than it was: its last version is {found}, and {seen} was seen")]
    Rollback {
        /// The version that its owner has seen.
        seen: u64,
        /// The last one that it gave out.
        found: u64,
    },
    /// The store has not given out what somebody has seen of it.
    #[error(
        "this store has not given out version {version} as it was seen: an older copy of it was put in its place and has been \
         changed since, or it is another store"
    )]
    Diverged {
        /// The version that was seen.
        version: u64,
    },
    /// The storage failed. A change that was under way may have been made, or not, as a whole.
    #[error("the storage failed: {0}")]
    Io(Arc<io::Error>),
    /// The store was closed. A change that was under way may have been made, or not, as a whole.
    #[error("the store is closed")]
    Closed,
}

impl Error {
    pub(super) fn integrity(what: impl Into<Arc<str>>) -> Self {
        Self::Integrity(what.into())
    }

    /// Whether the engine has given up on its storage, so that it must be opened anew.
    pub(super) fn is_of_storage(&self) -> bool {
        matches!(self, Self::DiskFull | Self::Integrity(_) | Self::Io(_))
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        if let Some(damage) = error.get_ref().and_then(|inner| inner.downcast_ref::<Damage>()) {
            return Self::integrity(damage.to_string());
        }
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                Self::DiskFull
            }
            _ => Self::Io(Arc::new(error)),
        }
    }
}

/// What redb says, from whichever of its calls.
pub(super) fn engine(error: impl Into<redb::Error>) -> Error {
    match error.into() {
        redb::Error::Io(error) => error.into(),
        redb::Error::Corrupted(what) => Error::integrity(what),
        redb::Error::PreviousIo => io::Error::other("it failed earlier").into(),
        redb::Error::DatabaseClosed => Error::Closed,
        // A table of another type, or none, in a file whose checksums are right: not a store of this kind.
        error @ (redb::Error::TableTypeMismatch { .. }
        | redb::Error::TableIsMultimap(_)
        | redb::Error::TableDoesNotExist(_)
        | redb::Error::TypeDefinitionChanged { .. }
        | redb::Error::UpgradeRequired(_)) => Error::integrity(error.to_string()),
        error => io::Error::other(error.to_string()).into(),
    }
}

struct Found(Option<Version>);

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(version) => write!(f, "its version is {version}"),
            None => f.write_str("it does not exist"),
        }
    }
}
