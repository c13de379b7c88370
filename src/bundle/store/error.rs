//! Why a store did not do what it was asked.

use std::io;
use std::path::PathBuf;

use crate::bundle::{BundleName, Digest, PublisherId, UnpackError, Version};

/// A directory could not be opened as a store.
#[derive(Debug, thiserror::Error)]
pub enum OpenStoreError {
    /// Another process has it open.
    #[error("the bundle store `{}` is in use by another process", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// It is a directory with something else in it.
    #[error("`{}` is not a bundle store, and not empty either; name another directory", path.display())]
    NotAStore {
        /// The directory.
        path: PathBuf,
    },
    /// The disk failed.
    #[error("cannot open the bundle store `{}`: {error}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}

/// A store did not do what it was asked. Unless it says otherwise, nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such bundle.
    #[error("there is no bundle {name}")]
    NoSuchBundle {
        /// Its name.
        name: BundleName,
    },
    /// There is no such version of the bundle.
    #[error("there is no version {version} of {name}")]
    NoSuchVersion {
        /// The bundle.
        name: BundleName,
        /// The version.
        version: Version,
    },
    /// What came is no bundle, is not signed, or is not what its manifest says.
    #[error(transparent)]
    Bundle(#[from] UnpackError),
    /// Whoever installs it may not.
    #[error("{reason}")]
    NotPermitted {
        /// What is not permitted.
        reason: &'static str,
    },
    /// The publisher is not one whom this store trusts.
    #[error("it was published by {publisher}, who is not trusted here")]
    UnknownPublisher {
        /// Who signed it.
        publisher: PublisherId,
    },
    /// A later version is active.
    #[error("version {active} of {name} is active, and going back to {version} was not asked for")]
    Downgrade {
        /// The bundle.
        name: BundleName,
        /// The version that is active.
        active: Version,
        /// The earlier one.
        version: Version,
    },
    /// The same version is there, with another content.
    #[error("version {version} of {name} is there, with another content")]
    AlreadyInstalled {
        /// The bundle.
        name: BundleName,
        /// The version.
        version: Version,
    },
    /// It does not fit.
    #[error("it takes {needed_bytes} bytes, and {free_bytes} are left of what may be stored")]
    Quota {
        /// How many it would take.
        needed_bytes: u64,
        /// How many there are.
        free_bytes: u64,
    },
    /// There are as many bundles, or as long manifests, as there may be.
    #[error("there are as many versions of bundles, or as large manifests, as there may be; remove some")]
    TooMany,
    /// The disk is full.
    #[error("the disk is full")]
    DiskFull,
    /// As many installs as may be are under way.
    #[error("{limit} installs are under way; try later")]
    TooManyInstalls {
        /// How many there may be.
        limit: u32,
    },
    /// The same version is being installed.
    #[error("version {version} of {name} is being installed; try later")]
    InstallUnderWay {
        /// The bundle.
        name: BundleName,
        /// The version.
        version: Version,
    },
    /// The version is active.
    #[error(
        "version {version} of {name} is active; activate another one, or say that it may go all the same"
    )]
    InUse {
        /// The bundle.
        name: BundleName,
        /// The version.
        version: Version,
    },
    /// The store takes no changes.
    #[error("this store takes no changes")]
    ReadOnly,
    /// What is stored is not what was stored.
    #[error("the stored content {digest} is damaged; install the bundle again")]
    Damaged {
        /// Which content.
        digest: Digest,
    },
    /// Some manifest is damaged, and what it needs is not known.
    #[error("`{path}` is damaged, and what it needs is not known: install the bundle again, or remove that")]
    DamagedHead {
        /// Which file of the store.
        path: String,
    },
    /// The disk failed. Where this ends a change, whether that was made shows when the store is opened again: whole, or not
    /// at all.
    #[error("cannot {what} `{path}` in the bundle store: {error}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file of the store.
        path: String,
        /// What the system said.
        error: io::Error,
    },
}

impl StoreError {
    /// For [`Result::map_err`].
    pub(super) fn io(what: &'static str, path: &str) -> impl FnOnce(io::Error) -> Self {
        move |error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull,
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly,
            _ => Self::Io { what, path: path.to_owned(), error },
        }
    }
}
