//! Manifests: what is in a bundle, in the form that its publisher signs.
//!
//! A [`Manifest`] is legal, or does not exist: every rule of `schema/bundle.capnp` is checked where one is made, of
//! entries or of bytes. Bytes are taken only in the one true encoding of what they say.

use std::collections::{HashMap, HashSet};

use capnp::Word;
use capnp::message::{self, ReaderOptions, SegmentArray};

use super::digest::Digest;
use super::entry::{Content, Entry, EntryPath, MAX_ENTRY_PATH_BYTES};
use super::name::{BundleName, NameError, Version};
use super::publisher::{PublisherId, PublisherIdError};
use crate::packagefs::link::{self, Escape};
use crate::packagefs::path::PathError;
use crate::schema::bundle_capnp::{entry, manifest};

/// The most entries of a bundle.
pub const MAX_ENTRIES: usize = 65_536;

/// The largest manifest, in bytes: 65,536 entries with paths of a good 200 bytes. In memory it takes about twice that.
pub const MAX_MANIFEST_BYTES: usize = 16 * 1024 * 1024;

/// The most content of a bundle, in bytes: 1 TiB, files that are the same counted each.
pub const MAX_CONTENT_BYTES: u64 = 1 << 40;

/// The longest file, in bytes: 64 GiB. The table that lets its parts be verified has 32 MiB then.
pub const MAX_FILE_BYTES: u64 = 1 << 36;

/// The context of BLAKE3's key derivation for the digest of a tree.
const TREE_CONTEXT: &str = "vatmux bundle tree 1";

/// What is in a bundle, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    name: BundleName,
    version: Version,
    publisher: PublisherId,
    tree_digest: Digest,
    entries: Vec<Entry>,
    content_bytes: u64,
    encoded: Vec<u8>,
    digest: Digest,
}

/// Content that a bundle has at least once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Blob {
    /// Its name.
    pub digest: Digest,
    /// Its length.
    pub size_bytes: u64,
}

impl Manifest {
    /// A manifest of these entries, in any order.
    pub fn new(
        name: BundleName,
        version: Version,
        publisher: PublisherId,
        mut entries: Vec<Entry>,
    ) -> Result<Self, ManifestError> {
        entries.sort_by(|one, other| one.path.cmp(&other.path));
        let content_bytes = check(&entries)?;
        let tree_digest = tree_digest(&entries);
        let encoded = encode(&name, version, &publisher, &tree_digest, &entries)?;
        if encoded.len() > MAX_MANIFEST_BYTES {
            return Err(ManifestError::TooLarge { bytes: encoded.len() });
        }
        let digest = Digest::of(&encoded);
        Ok(Self { name, version, publisher, tree_digest, entries, content_bytes, encoded, digest })
    }

    /// The manifest that `bytes` are, if they are one, and encoded as it is to be.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > MAX_MANIFEST_BYTES {
            return Err(ManifestError::TooLarge { bytes: bytes.len() });
        }
        if !bytes.len().is_multiple_of(size_of::<Word>()) {
            return Err(ManifestError::NotCanonical);
        }
        // A message is read from memory that is aligned to its words.
        let mut words = Word::allocate_zeroed_vec(bytes.len() / size_of::<Word>());
        Word::words_to_bytes_mut(&mut words).copy_from_slice(bytes);
        let segments = [Word::words_to_bytes(&words)];
        let mut options = ReaderOptions::new();
        // What is canonical is read once, and what is not is not read much further. Each empty struct of a list counts as
        // a word.
        options.traversal_limit_in_words(Some(2 * words.len() + MAX_ENTRIES)).nesting_limit(8);
        let message = message::Reader::new(SegmentArray::new(&segments), options);
        let root: manifest::Reader<'_> = message.get_root()?;

        let version = root.get_version()?;
        let version = Version::new(version.get_major(), version.get_minor(), version.get_patch())
            .ok_or(NameError::NotAVersion)?;
        let name: BundleName = root.get_name()?.to_str().map_err(|_| NameError::Character)?.parse()?;
        let publisher = PublisherId::from_bytes(
            root.get_publisher()?.try_into().map_err(|_| PublisherIdError::NotAKey)?,
        )?;
        let tree_digest = digest(root.get_tree_digest()?)?;
        let listed = root.get_entries()?;
        if listed.len() as usize > MAX_ENTRIES {
            return Err(ManifestError::TooManyEntries);
        }
        let entries = listed.iter().map(parse_entry).collect::<Result<Vec<_>, _>>()?;
        let content_bytes = check(&entries)?;
        if tree_digest != self::tree_digest(&entries) {
            return Err(ManifestError::TreeDigest);
        }
        let encoded = encode(&name, version, &publisher, &tree_digest, &entries)?;
        if encoded != bytes {
            return Err(ManifestError::NotCanonical);
        }
        let digest = Digest::of(&encoded);
        Ok(Self { name, version, publisher, tree_digest, entries, content_bytes, encoded, digest })
    }

    /// The bundle's name.
    #[must_use]
    pub fn name(&self) -> &BundleName {
        &self.name
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Who is said to have published it: what a signature proves.
    #[must_use]
    pub fn publisher(&self) -> PublisherId {
        self.publisher
    }

    /// Of all entries, whatever the bundle is called.
    #[must_use]
    pub fn tree_digest(&self) -> Digest {
        self.tree_digest
    }

    /// Every entry, by the bytes of their paths, directories before what is in them.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry with this path.
    #[must_use]
    pub fn entry(&self, path: &str) -> Option<&Entry> {
        let at = self.entries.binary_search_by(|entry| entry.path.as_str().cmp(path)).ok()?;
        self.entries.get(at)
    }

    /// The bytes of all files together, files that are the same counted each.
    #[must_use]
    pub fn content_bytes(&self) -> u64 {
        self.content_bytes
    }

    /// The first entry with this content.
    pub(crate) fn entry_of(&self, blob: &Digest) -> Option<&Entry> {
        self.entries
            .iter()
            .find(|entry| matches!(&entry.content, Content::File { digest, .. } if digest == blob))
    }

    /// How many files there are.
    #[must_use]
    pub fn file_count(&self) -> u32 {
        self.entries.iter().filter(|entry| matches!(entry.content, Content::File { .. })).count() as u32
    }

    /// The content of the files, in the order of the entries, each once.
    #[must_use]
    pub fn blobs(&self) -> Vec<Blob> {
        let mut seen = HashSet::new();
        self.entries
            .iter()
            .filter_map(|entry| match entry.content {
                Content::File { size_bytes, digest, .. } => Some(Blob { digest, size_bytes }),
                Content::Directory | Content::Symlink { .. } => None,
            })
            .filter(|blob| seen.insert(blob.digest))
            .collect()
    }

    /// The canonical message.
    #[must_use]
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// The digest of the canonical message: what is signed.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

fn digest(bytes: &[u8]) -> Result<Digest, ManifestError> {
    bytes.try_into().map(Digest::from_bytes).map_err(|_| ManifestError::DigestLength { bytes: bytes.len() })
}

fn parse_entry(from: entry::Reader<'_>) -> Result<Entry, ManifestError> {
    let bytes = from.get_path()?.as_bytes();
    let path = EntryPath::parse(bytes)
        .map_err(|error| ManifestError::Path { path: String::from_utf8_lossy(bytes).into_owned(), error })?;
    let mode = from.get_mode();
    let content = match from.which().map_err(|_| ManifestError::UnknownKind { path: path.clone() })? {
        entry::Directory(()) => Content::Directory,
        entry::File(file) => Content::File {
            executable: mode == 0o555,
            size_bytes: file.get_size_bytes(),
            digest: digest(file.get_digest()?)?,
        },
        entry::Symlink(target) => match target?.to_str() {
            Ok(target) => Content::Symlink { target: target.to_owned() },
            Err(_) => return Err(ManifestError::Target { path, escape: Escape::Invalid }),
        },
    };
    if mode == content.mode() { Ok(Entry { path, content }) } else { Err(ManifestError::Mode { path, mode }) }
}

/// Checks what entries must be to each other, and sums up their content.
fn check(entries: &[Entry]) -> Result<u64, ManifestError> {
    if entries.len() > MAX_ENTRIES {
        return Err(ManifestError::TooManyEntries);
    }
    let mut directories = HashSet::new();
    let mut names = HashMap::new();
    let mut sizes = HashMap::new();
    let mut content_bytes = 0_u64;
    let mut before: Option<&EntryPath> = None;
    for Entry { path, content } in entries {
        match before.map(|before| before.cmp(path)) {
            Some(std::cmp::Ordering::Equal) => return Err(ManifestError::Duplicate { path: path.clone() }),
            Some(std::cmp::Ordering::Greater) => {
                return Err(ManifestError::Unordered { path: path.clone() });
            }
            Some(std::cmp::Ordering::Less) | None => before = Some(path),
        }
        if let Some(parent) = path.parent()
            && !directories.contains(parent)
        {
            return Err(ManifestError::NotInADirectory { path: path.clone() });
        }
        if let Some(other) = names.insert(path.collision_key(), path) {
            return Err(ManifestError::Collision { path: path.clone(), other: other.clone() });
        }
        match content {
            Content::Directory => {
                directories.insert(path.as_str());
            }
            Content::File { size_bytes, digest, .. } => {
                let empty = *size_bytes == 0;
                if empty != (*digest == Digest::of(b""))
                    || *sizes.entry(*digest).or_insert(*size_bytes) != *size_bytes
                {
                    return Err(ManifestError::Size { path: path.clone() });
                }
                if *size_bytes > MAX_FILE_BYTES {
                    return Err(ManifestError::FileTooLarge { path: path.clone() });
                }
                content_bytes = content_bytes
                    .checked_add(*size_bytes)
                    .filter(|&bytes| bytes <= MAX_CONTENT_BYTES)
                    .ok_or(ManifestError::TooMuchContent)?;
            }
            Content::Symlink { target } => {
                let escape = if target.len() > MAX_ENTRY_PATH_BYTES {
                    Err(Escape::Invalid)
                } else {
                    link::check_target(target, path.depth())
                };
                escape.map_err(|escape| ManifestError::Target { path: path.clone(), escape })?;
            }
        }
    }
    Ok(content_bytes)
}

/// The digest of `schema/bundle.capnp`'s `treeDigest`. Lengths fit: entries were checked before.
fn tree_digest(entries: &[Entry]) -> Digest {
    let mut hasher = blake3::Hasher::new_derive_key(TREE_CONTEXT);
    let text = |hasher: &mut blake3::Hasher, text: &str| {
        hasher.update(&(text.len() as u16).to_le_bytes()).update(text.as_bytes());
    };
    for Entry { path, content } in entries {
        let kind = match content {
            Content::Directory => 1,
            Content::File { .. } => 2,
            Content::Symlink { .. } => 3,
        };
        hasher.update(&[kind]).update(&content.mode().to_le_bytes());
        text(&mut hasher, path.as_str());
        match content {
            Content::Directory => {}
            Content::File { size_bytes, digest, .. } => {
                hasher.update(&size_bytes.to_le_bytes()).update(digest.as_bytes());
            }
            Content::Symlink { target } => text(&mut hasher, target),
        }
    }
    hasher.finalize().into()
}

fn encode(
    name: &BundleName,
    version: Version,
    publisher: &PublisherId,
    tree_digest: &Digest,
    entries: &[Entry],
) -> Result<Vec<u8>, ManifestError> {
    let mut message = message::Builder::new_default();
    let mut root: manifest::Builder<'_> = message.init_root();
    root.set_name(name.as_str());
    let [major, minor, patch] = version.numbers();
    let mut numbers = root.reborrow().init_version();
    numbers.set_major(major);
    numbers.set_minor(minor);
    numbers.set_patch(patch);
    root.set_publisher(publisher.as_bytes());
    root.set_tree_digest(tree_digest.as_bytes());
    let mut list = root.init_entries(entries.len() as u32);
    for (at, Entry { path, content }) in (0..).zip(entries) {
        let mut entry = list.reborrow().get(at);
        entry.set_path(path.as_str());
        entry.set_mode(content.mode());
        match content {
            Content::Directory => entry.set_directory(()),
            Content::File { size_bytes, digest, .. } => {
                let mut file = entry.init_file();
                file.set_size_bytes(*size_bytes);
                file.set_digest(digest.as_bytes());
            }
            Content::Symlink { target } => entry.set_symlink(target.as_str()),
        }
    }
    let mut options = ReaderOptions::new();
    options.traversal_limit_in_words(None);
    let segments = message.get_segments_for_output();
    let words = message::Reader::new(SegmentArray::new(&segments), options).canonicalize()?;
    Ok(Word::words_to_bytes(&words).to_vec())
}

/// Why something is no manifest.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ManifestError {
    /// It is no message of this kind.
    #[error("it is not a manifest: {0}")]
    Message(#[from] capnp::Error),
    /// It is not encoded in the one true way, or has fields that this reader does not know.
    #[error("it is not in canonical form, or has fields that this program does not know")]
    NotCanonical,
    /// It is larger than [`MAX_MANIFEST_BYTES`].
    #[error("the manifest has {bytes} bytes, and may have {MAX_MANIFEST_BYTES}")]
    TooLarge {
        /// How large it is.
        bytes: usize,
    },
    /// There are more than [`MAX_ENTRIES`].
    #[error("there are more than {MAX_ENTRIES} entries")]
    TooManyEntries,
    /// The files have more than [`MAX_CONTENT_BYTES`] together, or more than can be counted.
    #[error("the files have more than {MAX_CONTENT_BYTES} bytes together")]
    TooMuchContent,
    /// A file has more than [`MAX_FILE_BYTES`].
    #[error("the file {:?} has more than {MAX_FILE_BYTES} bytes", path.as_str())]
    FileTooLarge {
        /// The file.
        path: EntryPath,
    },
    /// The name or the version is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The publisher is none.
    #[error(transparent)]
    Publisher(#[from] PublisherIdError),
    /// A digest is not 32 bytes.
    #[error("a digest has {bytes} bytes instead of 32")]
    DigestLength {
        /// How many it has.
        bytes: usize,
    },
    /// The tree's digest is not that of the entries.
    #[error("the digest of the tree is not that of its entries")]
    TreeDigest,
    /// A path breaks the rules.
    #[error("the path {path:?} is not allowed: {error}")]
    Path {
        /// The path, as far as it is text.
        path: String,
        /// Which rule.
        error: PathError,
    },
    /// Two entries have one path.
    #[error("the path {:?} is there twice", path.as_str())]
    Duplicate {
        /// The path.
        path: EntryPath,
    },
    /// Entries do not ascend.
    #[error("the entries are not in the order of their paths, at {:?}", path.as_str())]
    Unordered {
        /// The one that should have come earlier.
        path: EntryPath,
    },
    /// Two paths are one on file systems that know no case, or compose characters.
    #[error("the paths {:?} and {:?} are the same on some file systems", other.as_str(), path.as_str())]
    Collision {
        /// The later one.
        path: EntryPath,
        /// The earlier one.
        other: EntryPath,
    },
    /// What should be the directory of an entry is missing, or is something else.
    #[error("{:?} lies in something that is not listed as a directory", path.as_str())]
    NotInADirectory {
        /// The entry.
        path: EntryPath,
    },
    /// The kind of an entry is none that this reader knows.
    #[error("{:?} is of a kind that this program does not know", path.as_str())]
    UnknownKind {
        /// The entry.
        path: EntryPath,
    },
    /// The mode is not one that an entry of this kind may have.
    #[error("{:?} has mode {mode:04o}, which an entry of its kind cannot have", path.as_str())]
    Mode {
        /// The entry.
        path: EntryPath,
        /// Its mode.
        mode: u16,
    },
    /// The size does not fit the digest: of nothing, or of another entry.
    #[error("the size and the digest of {:?} contradict each other, or those of another entry", path.as_str())]
    Size {
        /// The entry.
        path: EntryPath,
    },
    /// A symlink leads out of the tree, or nowhere.
    #[error("the symbolic link {:?} is not allowed: {escape}", path.as_str())]
    Target {
        /// The link.
        path: EntryPath,
        /// Why.
        escape: Escape,
    },
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
