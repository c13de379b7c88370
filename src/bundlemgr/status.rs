//! What a store says, in the words of the schema.

use vatmux_rpc::service::Refusal;

use crate::bundle::{HeaderError, ManifestError, NameError, StoreError, UnpackError};
use crate::schema::bundlemgr::Status;

/// The status of an error.
pub(super) fn of(error: &StoreError) -> Status {
    match error {
        StoreError::NoSuchBundle { .. } | StoreError::NoSuchVersion { .. } => Status::NotFound,
        StoreError::Bundle(error) => of_bundle(error),
        StoreError::NotPermitted { .. } => Status::AccessDenied,
        StoreError::UnknownPublisher { .. } => Status::UnknownPublisher,
        StoreError::Downgrade { .. } => Status::Downgrade,
        StoreError::AlreadyInstalled { .. } => Status::AlreadyInstalled,
        StoreError::Quota { .. } | StoreError::TooMany => Status::QuotaExceeded,
        StoreError::DiskFull => Status::DiskFull,
        StoreError::TooManyInstalls { .. } | StoreError::InstallUnderWay { .. } => Status::Busy,
        StoreError::InUse { .. } => Status::InUse,
        StoreError::ReadOnly => Status::ReadOnly,
        StoreError::Damaged { .. } | StoreError::DamagedHead { .. } => Status::Damaged,
        StoreError::Io { .. } => Status::IoError,
    }
}

fn of_bundle(error: &UnpackError) -> Status {
    match error {
        UnpackError::Unsigned => Status::Unsigned,
        UnpackError::InvalidSignature => Status::InvalidSignature,
        UnpackError::Manifest(ManifestError::TreeDigest) | UnpackError::Digest { .. } => {
            Status::DigestMismatch
        }
        UnpackError::Manifest(ManifestError::Name(_)) => Status::InvalidName,
        UnpackError::Header(HeaderError::Size { .. })
        | UnpackError::Announced { .. }
        | UnpackError::Stated { .. }
        | UnpackError::TooShort { .. }
        | UnpackError::TooLong => Status::SizeMismatch,
        UnpackError::Header(_) | UnpackError::Manifest(_) | UnpackError::Failed => Status::Malformed,
    }
}

pub(super) fn refusal(error: &StoreError) -> Refusal<Status> {
    Refusal::new(of(error), error.to_string())
}

pub(super) fn invalid_name(error: NameError) -> Refusal<Status> {
    Refusal::new(Status::InvalidName, error.to_string())
}
