//! A bundle as one file, and what of it comes first: a header, the manifest, and the publisher's signature.
//!
//! | bytes | |
//! |---|---|
//! | 8 | `vatmuxB1` |
//! | 8 | the length of the whole file |
//! | 4 | the length of the manifest |
//! | 4 | the length of the signature: 64, or 0 where there is none |
//! | 8 | zero |
//! | … | the manifest: `schema/bundle.capnp` |
//! | 64 | the signature |
//! | … | the content of the files, in the order of the manifest, each once |
//!
//! Numbers are little-endian. There is nothing in between and nothing behind: one bundle is one file, byte for byte.

use super::manifest::{MAX_MANIFEST_BYTES, Manifest, ManifestError};
use super::publisher::{PublisherKey, SignatureBytes};

/// The length of the header.
pub(crate) const HEADER_BYTES: usize = 32;

/// The length of a signature.
pub(crate) const SIGNATURE_BYTES: usize = 64;

const MAGIC: &[u8; 8] = b"vatmuxB1";

/// The longest packed bundle that can be, in bytes: all content, and the largest manifest.
pub const MAX_PACKED_BYTES: u64 =
    super::manifest::MAX_CONTENT_BYTES + (HEADER_BYTES + MAX_MANIFEST_BYTES + SIGNATURE_BYTES) as u64;

/// A manifest that its publisher signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedManifest {
    manifest: Manifest,
    signature: SignatureBytes,
}

impl SignedManifest {
    /// Signs `manifest`; `None` where it names another publisher than the one whose key this is.
    #[must_use]
    pub fn sign(manifest: Manifest, key: &PublisherKey) -> Option<Self> {
        if manifest.publisher() != key.id() {
            return None;
        }
        let signature = key.sign(&manifest.digest());
        Some(Self { manifest, signature })
    }

    /// Takes `manifest` for signed if `signature` is that of the publisher whom it names.
    #[must_use]
    pub fn verify(manifest: Manifest, signature: SignatureBytes) -> Option<Self> {
        let holds = manifest.publisher().has_signed(&manifest.digest(), &signature);
        holds.then_some(Self { manifest, signature })
    }

    /// What was signed.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The signature.
    #[must_use]
    pub fn signature(&self) -> &SignatureBytes {
        &self.signature
    }

    /// The length of the packed bundle.
    #[must_use]
    pub fn packed_bytes(&self) -> u64 {
        let content: u64 = self.manifest.blobs().iter().map(|blob| blob.size_bytes).sum();
        self.head_bytes() + content
    }

    /// The length of what precedes the content.
    pub(crate) fn head_bytes(&self) -> u64 {
        (HEADER_BYTES + self.manifest.encoded().len() + SIGNATURE_BYTES) as u64
    }

    /// What precedes the content.
    #[must_use]
    pub fn head(&self) -> Vec<u8> {
        let header = Header {
            packed_bytes: self.packed_bytes(),
            // At most 16 MiB, which was checked where it was made.
            manifest_bytes: self.manifest.encoded().len() as u32,
            signed: true,
        };
        [&header.emit()[..], self.manifest.encoded(), &self.signature].concat()
    }
}

/// The header of a packed bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) packed_bytes: u64,
    pub(crate) manifest_bytes: u32,
    pub(crate) signed: bool,
}

impl Header {
    /// Reads a header, and checks what it says of what follows.
    pub(crate) fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, HeaderError> {
        let (magic, rest) = bytes.split_at(MAGIC.len());
        if magic != MAGIC {
            return Err(HeaderError::NotABundle);
        }
        let number = |at: usize, length: usize| {
            rest.iter().skip(at).take(length).rev().fold(0_u64, |number, &byte| number << 8 | u64::from(byte))
        };
        let (packed_bytes, manifest_bytes, signature_bytes) = (number(0, 8), number(8, 4), number(12, 4));
        if number(16, 8) != 0 {
            return Err(HeaderError::Reserved);
        }
        if manifest_bytes > MAX_MANIFEST_BYTES as u64 {
            return Err(HeaderError::Manifest(ManifestError::TooLarge { bytes: manifest_bytes as usize }));
        }
        let signed = match signature_bytes {
            0 => false,
            64 => true,
            _ => return Err(HeaderError::Reserved),
        };
        let head_bytes = HEADER_BYTES as u64 + manifest_bytes + signature_bytes;
        if packed_bytes < head_bytes || packed_bytes > MAX_PACKED_BYTES {
            return Err(HeaderError::Size { packed_bytes });
        }
        Ok(Self { packed_bytes, manifest_bytes: manifest_bytes as u32, signed })
    }

    pub(crate) fn emit(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let signature_bytes = if self.signed { SIGNATURE_BYTES as u32 } else { 0 };
        let fields = MAGIC
            .iter()
            .copied()
            .chain(self.packed_bytes.to_le_bytes())
            .chain(self.manifest_bytes.to_le_bytes())
            .chain(signature_bytes.to_le_bytes());
        for (byte, field) in bytes.iter_mut().zip(fields) {
            *byte = field;
        }
        bytes
    }
}

/// Why something is no header.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HeaderError {
    /// It begins with something else.
    #[error("it is not a packed bundle")]
    NotABundle,
    /// It has bits that mean nothing yet.
    #[error("it is of a kind that this program does not know")]
    Reserved,
    /// It cannot be as long as it says.
    #[error("it cannot have {packed_bytes} bytes, as it says")]
    Size {
        /// How long it says it is.
        packed_bytes: u64,
    },
    /// The manifest cannot be as long as it says.
    #[error(transparent)]
    Manifest(ManifestError),
}
