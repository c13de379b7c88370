//! What is served: a directory of this machine, opened as a root that nothing can be reached above, bundles, or files that the
//! program has in memory.

use std::borrow::Cow;
#[cfg(feature = "host")]
use std::io;
#[cfg(feature = "host")]
use std::path::{Path, PathBuf};
#[cfg(feature = "host")]
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

#[cfg(feature = "host")]
use cap_std::ambient_authority;
#[cfg(feature = "host")]
use cap_std::fs::{Dir, File};

use super::attributes::Attributes;
#[cfg(feature = "host")]
use super::bundles;
#[cfg(feature = "host")]
use super::directory;
use super::memory::{Content, Files, FilesError};
use super::path::{PathError, TreePath};
#[cfg(feature = "host")]
use super::readers::Readers;
use crate::access::shares::Shares;
#[cfg(feature = "host")]
pub(super) use crate::bundle::Rights;
#[cfg(feature = "host")]
use crate::bundle::{BlobFile, Right, Store, View};
use crate::schema::packagefs_capnp::{Kind, Status};
use crate::service;

/// A read-only tree backed by a directory, or by a store of bundles.
///
/// In a directory every lookup goes through the handle of the directory that was opened at first, so that renaming it, or
/// planting symbolic links in it, leads nowhere else: links are followed as long as they stay inside, and are
/// refused with [`Status::OutsideRoot`] as soon as they leave. FIFOs, sockets and devices are listed and
/// never opened.
///
/// Of bundles the first segment of a path is `NAME`, which means the active version, or `NAME@VERSION`, and the rest is a path
/// inside. Every byte of a file is verified when it is read: what is damaged is refused with [`Status::IntegrityViolation`].
///
/// One tree serves all threads of a process.
#[derive(Debug)]
pub struct Tree {
    backing: Backing,
    open_files: AtomicU32,
    by_peer: Shares,
    #[cfg(feature = "host")]
    readers: Readers,
}

/// What is behind a tree.
#[derive(Debug)]
pub(super) enum Backing {
    #[cfg(feature = "host")]
    Directory(Dir),
    #[cfg(feature = "host")]
    Bundles(Arc<Store>),
    Memory(Files),
}

/// An open file of a tree.
#[derive(Debug)]
pub(super) enum TreeFile {
    #[cfg(feature = "host")]
    Plain(File),
    #[cfg(feature = "host")]
    Bundled {
        file: Arc<BlobFile>,
        attributes: Attributes,
    },
    Memory(Content),
}

/// Files that all vats together may have open in one tree. A process is often allowed 1,024 descriptors, and must have
/// some left to accept the next caller.
pub const MAX_OPEN_FILES: u32 = 512;

/// Files that one peer may have open in one tree, over all its vats and sessions: two peers are needed to leave nothing for a
/// third.
pub const MAX_PEER_OPEN_FILES: u32 = 256;

/// A directory could not be opened to be served.
#[cfg(feature = "host")]
#[derive(Debug, thiserror::Error)]
#[error("cannot serve `{}`: {source}", path.display())]
pub struct OpenTreeError {
    /// The directory.
    pub path: PathBuf,
    /// What the system said.
    pub source: io::Error,
}

/// An expected failure: the status of a result, and its detail in words.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: Status,
    pub(super) detail: String,
}

impl Tree {
    /// Serves files that the program has in memory, each by its path. Directories are those that the paths name; nothing in
    /// it is ever modified, and no time of it is known.
    ///
    /// Fails for a path that nobody could ask for, or that is both a file and a directory.
    pub fn of_files<P: Into<String>, C: Into<Cow<'static, [u8]>>>(
        files: impl IntoIterator<Item = (P, C)>,
    ) -> Result<Self, FilesError> {
        Ok(Self::of(Backing::Memory(Files::new(files)?)))
    }

    /// Opens `path` as the root.
    #[cfg(feature = "host")]
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenTreeError> {
        let path = path.as_ref();
        let root = Dir::open_ambient_dir(path, ambient_authority())
            .map_err(|source| OpenTreeError { path: path.to_owned(), source })?;
        Ok(Self::of(Backing::Directory(root)))
    }

    /// The bundles of `store`, each as a directory of its name.
    #[cfg(feature = "host")]
    #[must_use]
    pub fn of_bundles(store: Arc<Store>) -> Self {
        Self::of(Backing::Bundles(store))
    }

    fn of(backing: Backing) -> Self {
        Self {
            backing,
            open_files: AtomicU32::new(0),
            by_peer: Shares::default(),
            #[cfg(feature = "host")]
            readers: Readers::new(),
        }
    }

    /// How many files of it each peer has open.
    pub(super) fn shares(&self) -> &Shares {
        &self.by_peer
    }

    /// Who reads ahead of its streams.
    #[cfg(feature = "host")]
    pub(super) fn readers(&self) -> &Readers {
        &self.readers
    }

    pub(super) fn backing(&self) -> &Backing {
        &self.backing
    }

    /// Counts one more open file; false where there are as many as may be.
    pub(super) fn count_open_file(&self) -> bool {
        self.open_files
            .try_update(Ordering::Relaxed, Ordering::Relaxed, |open| {
                (open < MAX_OPEN_FILES).then_some(open + 1)
            })
            .is_ok()
    }

    pub(super) fn count_closed_file(&self) {
        self.open_files.fetch_sub(1, Ordering::Relaxed);
    }

    /// As whoever has these rights sees it.
    #[cfg_attr(not(feature = "host"), allow(unused_variables, reason = "files in memory are no links"))]
    pub(super) fn attributes(
        &self,
        path: TreePath<'_>,
        follow_links: bool,
        rights: &Rights,
    ) -> Result<Attributes, Refusal> {
        match &self.backing {
            #[cfg(feature = "host")]
            Backing::Directory(root) => directory::attributes_under(root, path, follow_links),
            #[cfg(feature = "host")]
            Backing::Bundles(store) => bundles::attributes(readable(store, rights), path, follow_links),
            // It has no links.
            Backing::Memory(files) => files.attributes(path),
        }
    }

    /// Opens a regular file, and nothing else.
    #[cfg_attr(not(feature = "host"), allow(unused_variables, reason = "rights are to bundles"))]
    pub(super) fn file(
        &self,
        path: TreePath<'_>,
        rights: &Rights,
    ) -> Result<(TreeFile, Attributes), Refusal> {
        match &self.backing {
            #[cfg(feature = "host")]
            Backing::Directory(root) => {
                let (file, attributes) = directory::open(root, path)?;
                Ok((TreeFile::Plain(file), attributes))
            }
            #[cfg(feature = "host")]
            Backing::Bundles(store) => {
                let (file, attributes) = bundles::open(readable(store, rights), path)?;
                Ok((TreeFile::Bundled { file: Arc::new(file), attributes: attributes.clone() }, attributes))
            }
            Backing::Memory(files) => {
                let attributes = regular_file(files.attributes(path)?)?;
                Ok((TreeFile::Memory(files.content(path)?), attributes))
            }
        }
    }
}

/// Rights are to bundles, and without a host there are none.
#[cfg(not(feature = "host"))]
#[derive(Debug)]
pub(super) struct Rights;

#[cfg(not(feature = "host"))]
impl Rights {
    pub(super) const fn all() -> Self {
        Self
    }
}

/// The bundles of which whoever has these rights may read the files.
#[cfg(feature = "host")]
pub(super) fn readable<'a>(store: &'a Store, rights: &'a Rights) -> View<'a> {
    View::new(store, rights, Right::Read)
}

impl TreeFile {
    #[cfg_attr(not(feature = "host"), allow(clippy::unnecessary_wraps, reason = "only a system can fail"))]
    pub(super) fn attributes(&self) -> Result<Attributes, Refusal> {
        match self {
            #[cfg(feature = "host")]
            Self::Plain(file) => Ok(Attributes::of(&file.metadata()?, None)),
            #[cfg(feature = "host")]
            Self::Bundled { attributes, .. } => Ok(attributes.clone()),
            Self::Memory(content) => Ok(content.attributes()),
        }
    }

    #[cfg_attr(not(feature = "host"), allow(clippy::unnecessary_wraps, reason = "only a system can fail"))]
    pub(super) fn size_bytes(&self) -> Result<u64, Refusal> {
        match self {
            #[cfg(feature = "host")]
            Self::Plain(file) => Ok(file.metadata()?.len()),
            #[cfg(feature = "host")]
            Self::Bundled { attributes, .. } => Ok(attributes.size_bytes),
            Self::Memory(content) => Ok(content.attributes().size_bytes),
        }
    }

    /// Fills `buffer` from `offset` on; a file that ends before that has changed since its size was asked.
    pub(super) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Refusal> {
        if buffer.is_empty() {
            return Ok(());
        }
        match self {
            #[cfg(feature = "host")]
            Self::Plain(file) => directory::read_at(file, offset, buffer),
            #[cfg(feature = "host")]
            Self::Bundled { file, .. } => Ok(file.read_at(offset, buffer)?),
            Self::Memory(content) => content.read_at(offset, buffer),
        }
    }
}

pub(super) fn regular_file(attributes: Attributes) -> Result<Attributes, Refusal> {
    match attributes.kind {
        Kind::File => Ok(attributes),
        Kind::Directory => Err(Status::IsADirectory.into()),
        Kind::Other | Kind::Symlink => Err(Status::NotAFile.into()),
    }
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self { status, detail: String::new() }
    }
}

impl From<Refusal> for service::Refusal<Status> {
    fn from(Refusal { status, detail }: Refusal) -> Self {
        Self::new(status, detail)
    }
}

impl From<PathError> for Refusal {
    fn from(error: PathError) -> Self {
        Self { status: Status::InvalidPath, detail: error.to_string() }
    }
}
