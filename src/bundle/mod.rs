//! Bundles.

mod digest;
mod entry;
mod extract;
mod groups;
mod manifest;
mod name;
mod pack;
mod packed;
mod publisher;
mod rights;
mod store;
mod unpack;

pub use digest::Digest;
pub use entry::{Content, Entry, EntryPath, MAX_ENTRY_PATH_BYTES};
pub use extract::{ExtractError, extract, inspect, verify};
pub use manifest::{
    Blob, MAX_CONTENT_BYTES, MAX_ENTRIES, MAX_FILE_BYTES, MAX_MANIFEST_BYTES, Manifest, ManifestError,
};
pub use name::{BundleName, MAX_NAME_BYTES, NameError, Version};
pub use pack::{PackError, Source};
pub use packed::{HeaderError, MAX_PACKED_BYTES, SignedManifest};
pub use publisher::{PublisherId, PublisherIdError, PublisherKey, SignatureBytes};
pub(crate) use rights::View;
pub use rights::{Right, Rights, Rule};
pub use store::{
    Access, BlobFile, Collected, Install, InstallOptions, Installation, Installed, Listed, OpenStoreError,
    Store, StoreError, StoreOptions, Trust, Usage,
};
pub use unpack::{Step, UnpackError, Unpacker, Verified};

#[cfg(test)]
mod packed_tests;
#[cfg(test)]
pub(crate) mod samples;
