//! Where a store keeps what, and how its small files look.
//!
//! ```text
//! format                       what this directory is
//! lock                         held by the process that has the store open
//! blobs/ab/abcd…               content, by its digest; behind it, where it is longer than one group, the table of its groups
//! bundles/NAME/VERSION         the head of the packed bundle: header, manifest, signature
//! bundles/NAME/active          which version NAME alone means
//! staging/N/…                  what is being installed; removed when the store is opened
//! ```
//!
//! Every file is written under `staging`, synced, and then renamed; the directory that has its new name is synced before anything
//! is written that leads to it. So blobs are there before the head that lists them, and that before the pointer to it.

use crate::bundle::{BundleName, Digest, Version};

pub(super) const FORMAT: &str = "format";
pub(super) const FORMAT_LINE: &[u8] = b"vatmux bundle store 1\n";
pub(super) const LOCK: &str = "lock";
pub(super) const BLOBS: &str = "blobs";
pub(super) const BUNDLES: &str = "bundles";
pub(super) const STAGING: &str = "staging";
pub(super) const ACTIVE: &str = "active";

/// The longest pointer file, in bytes.
pub(super) const MAX_POINTER_BYTES: u64 = 256;

const POINTER_LINE: &str = "vatmux active version 1";

pub(super) fn blob_directory(digest: &Digest) -> String {
    let [first, ..] = digest.as_bytes();
    format!("{BLOBS}/{first:02x}")
}

pub(super) fn blob(digest: &Digest) -> String {
    format!("{}/{digest}", blob_directory(digest))
}

pub(super) fn bundle(name: &BundleName) -> String {
    format!("{BUNDLES}/{name}")
}

pub(super) fn head(name: &BundleName, version: Version) -> String {
    format!("{BUNDLES}/{name}/{version}")
}

pub(super) fn active(name: &BundleName) -> String {
    format!("{BUNDLES}/{name}/{ACTIVE}")
}

/// The pointer to a version. It names the manifest as well, so that no damaged pointer leads to another version.
pub(super) fn pointer(version: Version, manifest: &Digest) -> String {
    format!("{POINTER_LINE}\n{version}\n{manifest}\n")
}

/// Reads a pointer.
pub(super) fn parse_pointer(bytes: &[u8]) -> Option<(Version, Digest)> {
    let text = std::str::from_utf8(bytes).ok()?;
    let rest = text.strip_prefix(POINTER_LINE)?.strip_prefix('\n')?.strip_suffix('\n')?;
    let (version, manifest) = rest.split_once('\n')?;
    Some((version.parse().ok()?, Digest::from_hex(manifest)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_is_read_as_it_was_written_and_not_if_a_bit_of_it_changed() {
        let version: Version = "1.2.3".parse().unwrap();
        let manifest = Digest::of(b"manifest");
        let written = pointer(version, &manifest);
        assert!(written.len() as u64 <= MAX_POINTER_BYTES);
        assert_eq!(parse_pointer(written.as_bytes()), Some((version, manifest)));
        for at in 0..written.len() * 8 {
            let mut bytes = written.clone().into_bytes();
            bytes[at / 8] ^= 1 << (at % 8);
            assert_ne!(parse_pointer(&bytes), Some((version, manifest)), "bit {at}");
        }
    }
}
