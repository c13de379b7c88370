//! Reading a packed bundle as its bytes come, from somebody who may be anybody.
//!
//! An [`Unpacker`] has no input of its own: it is given bytes, cut anywhere, and says what they are. It holds the header, the
//! manifest and the table of one file at most, and judges each as soon as it is there. Content is passed through before its
//! digest is known to be right: whoever takes it keeps it out of sight until [`Step::Verified`] says so.

use std::sync::Arc;
use std::vec;

use super::entry::EntryPath;
use super::groups::{GroupHasher, GroupTable};
use super::manifest::{Blob, Manifest, ManifestError};
use super::packed::{HEADER_BYTES, Header, HeaderError, SIGNATURE_BYTES, SignedManifest};

/// A packed bundle that is being read.
#[derive(Debug)]
pub struct Unpacker {
    state: State,
    /// How long it was said to be by whoever sends it.
    announced_bytes: Option<u64>,
    received_bytes: u64,
}

#[derive(Debug)]
enum State {
    /// What came of the header, the manifest and the signature.
    Head {
        bytes: Vec<u8>,
        header: Option<Header>,
    },
    Content {
        manifest: Arc<SignedManifest>,
        blobs: vec::IntoIter<Blob>,
        /// In a box: a hasher has two kilobytes.
        current: Option<Box<Current>>,
    },
    Done,
    Failed,
}

#[derive(Debug)]
struct Current {
    blob: Blob,
    left_bytes: u64,
    hasher: GroupHasher,
}

/// What the next bytes are.
#[derive(Debug)]
pub enum Step<'a> {
    /// The manifest. It is legal, and the publisher whom it names has signed it; whether that publisher is trusted is not known
    /// here.
    Manifest(Arc<SignedManifest>),
    /// The beginning of the content of one file or several.
    Begins(Blob),
    /// More of it, not verified yet.
    Content(&'a [u8]),
    /// All of it has come, and is what the manifest says.
    Verified(Verified),
    /// The bundle is complete.
    Done,
}

/// Content that was verified.
#[derive(Debug)]
pub struct Verified {
    table: GroupTable,
}

impl Verified {
    /// Which content.
    #[must_use]
    pub fn blob(&self) -> Blob {
        Blob { digest: self.table.digest(), size_bytes: self.table.size_bytes() }
    }

    pub(crate) fn table(&self) -> &GroupTable {
        &self.table
    }
}

impl Unpacker {
    /// For a bundle of as many bytes as it says itself or, where somebody announced how many, of exactly these.
    #[must_use]
    pub fn new(announced_bytes: Option<u64>) -> Self {
        Self { state: State::Head { bytes: Vec::new(), header: None }, announced_bytes, received_bytes: 0 }
    }

    /// Takes bytes from the beginning of `input` and says what they are; `None` when it needs more than there are.
    ///
    /// After an error there is nothing to come but the same kind of error.
    pub fn step<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Step<'a>>, UnpackError> {
        let before = input.len();
        let outcome = self.advance(input);
        self.received_bytes += (before - input.len()) as u64;
        if outcome.is_err() {
            self.state = State::Failed;
        }
        outcome
    }

    /// That there are no more bytes. Fails where the bundle is not complete.
    pub fn finish(&self) -> Result<(), UnpackError> {
        match &self.state {
            State::Done => Ok(()),
            State::Failed => Err(UnpackError::Failed),
            State::Head { header: None, .. } => Err(UnpackError::TooShort {
                received: self.received_bytes,
                expected: self.announced_bytes.unwrap_or(HEADER_BYTES as u64),
            }),
            State::Head { header: Some(header), .. } => {
                Err(UnpackError::TooShort { received: self.received_bytes, expected: header.packed_bytes })
            }
            State::Content { manifest, .. } => Err(UnpackError::TooShort {
                received: self.received_bytes,
                expected: manifest.packed_bytes(),
            }),
        }
    }

    /// How much of what came it keeps.
    #[cfg(test)]
    pub(crate) fn held_bytes(&self) -> usize {
        match &self.state {
            State::Head { bytes, .. } => bytes.capacity(),
            State::Content { .. } | State::Done | State::Failed => 0,
        }
    }

    fn advance<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Step<'a>>, UnpackError> {
        let announced_bytes = self.announced_bytes;
        match &mut self.state {
            State::Failed => Err(UnpackError::Failed),
            State::Done if input.is_empty() => Ok(None),
            State::Done => Err(UnpackError::TooLong),
            State::Head { bytes, header } => {
                let header = match header {
                    Some(header) => *header,
                    None => match take_head::<HEADER_BYTES>(bytes, input) {
                        None => return Ok(None),
                        Some(first) => *header.insert(check_header(Header::parse(&first)?, announced_bytes)?),
                    },
                };
                self.take_manifest(header, input)
            }
            State::Content { manifest, blobs, current } => {
                if let Some(Current { blob, left_bytes, hasher }) = current.as_deref_mut() {
                    if *left_bytes == 0 {
                        let table = std::mem::replace(hasher, GroupHasher::new()).finish();
                        if table.digest() != blob.digest {
                            return Err(UnpackError::digest(manifest.manifest(), blob));
                        }
                        *current = None;
                        return Ok(Some(Step::Verified(Verified { table })));
                    }
                    if input.is_empty() {
                        return Ok(None);
                    }
                    let most = usize::try_from(*left_bytes).unwrap_or(usize::MAX).min(input.len());
                    let (taken, rest) = input.split_at(most);
                    *input = rest;
                    hasher.update(taken);
                    *left_bytes -= taken.len() as u64;
                    return Ok(Some(Step::Content(taken)));
                }
                if let Some(blob) = blobs.next() {
                    let hasher = GroupHasher::new();
                    *current = Some(Box::new(Current { blob, left_bytes: blob.size_bytes, hasher }));
                    return Ok(Some(Step::Begins(blob)));
                }
                self.state = State::Done;
                Ok(Some(Step::Done))
            }
        }
    }

    fn take_manifest(
        &mut self,
        header: Header,
        input: &mut &[u8],
    ) -> Result<Option<Step<'static>>, UnpackError> {
        let State::Head { bytes, .. } = &mut self.state else { return Err(UnpackError::Failed) };
        let whole = HEADER_BYTES + header.manifest_bytes as usize + SIGNATURE_BYTES;
        take(bytes, input, whole);
        if bytes.len() < whole {
            return Ok(None);
        }
        let Some((manifest, signature)) =
            bytes.get(HEADER_BYTES..).and_then(|rest| rest.split_last_chunk::<SIGNATURE_BYTES>())
        else {
            return Err(UnpackError::Failed);
        };
        let manifest = Manifest::parse(manifest)?;
        let manifest = SignedManifest::verify(manifest, *signature).ok_or(UnpackError::InvalidSignature)?;
        let (stated, listed) = (header.packed_bytes, manifest.packed_bytes());
        if stated != listed {
            return Err(UnpackError::Stated { stated, listed });
        }
        let manifest = Arc::new(manifest);
        let blobs = manifest.manifest().blobs().into_iter();
        self.state = State::Content { manifest: manifest.clone(), blobs, current: None };
        Ok(Some(Step::Manifest(manifest)))
    }
}

fn check_header(header: Header, announced_bytes: Option<u64>) -> Result<Header, UnpackError> {
    match announced_bytes {
        Some(announced) if announced != header.packed_bytes => {
            Err(UnpackError::Announced { announced, stated: header.packed_bytes })
        }
        _ if header.signed => Ok(header),
        _ => Err(UnpackError::Unsigned),
    }
}

/// Moves bytes from `input` to `held` until that has `wanted`. Memory follows what has come, not what was promised.
fn take(held: &mut Vec<u8>, input: &mut &[u8], wanted: usize) {
    let (taken, rest) = input.split_at(wanted.saturating_sub(held.len()).min(input.len()));
    held.extend_from_slice(taken);
    *input = rest;
}

fn take_head<const BYTES: usize>(held: &mut Vec<u8>, input: &mut &[u8]) -> Option<[u8; BYTES]> {
    take(held, input, BYTES);
    held.first_chunk().copied()
}

/// Why bytes are no bundle, or none to be taken.
#[derive(Clone, Debug, thiserror::Error)]
pub enum UnpackError {
    /// The header is none.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// The header states another length than whoever sends it announced.
    #[error("it has {stated} bytes by its own account, and {announced} were announced")]
    Announced {
        /// By the sender.
        announced: u64,
        /// By the header.
        stated: u64,
    },
    /// Nobody has signed it.
    #[error("it is not signed")]
    Unsigned,
    /// The manifest is none.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The signature is not that of the publisher whom the manifest names.
    #[error("its signature is not that of the publisher whom it names")]
    InvalidSignature,
    /// The header states another length than the manifest's files come to.
    #[error("it has {stated} bytes by its own account, and its manifest lists {listed}")]
    Stated {
        /// By the header.
        stated: u64,
        /// By the manifest.
        listed: u64,
    },
    /// Content is not what the manifest says.
    #[error("the content of {:?} is not what the manifest says", path.as_str())]
    Digest {
        /// The first file with this content.
        path: EntryPath,
    },
    /// It ended early.
    #[error("it ends after {received} bytes of {expected}")]
    TooShort {
        /// How many came.
        received: u64,
        /// How many there should have been.
        expected: u64,
    },
    /// Bytes follow its end.
    #[error("it goes on after its end")]
    TooLong,
    /// It has failed before.
    #[error("it was refused before")]
    Failed,
}

impl UnpackError {
    fn digest(manifest: &Manifest, blob: &Blob) -> Self {
        match manifest.entry_of(&blob.digest) {
            Some(entry) => Self::Digest { path: entry.path.clone() },
            // Every blob is that of an entry.
            None => Self::Failed,
        }
    }
}
