//! What is served: a directory of this machine, opened as a root that nothing can be reached above, or bundles.

use std::io;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use cap_fs_ext::OpenOptionsSyncExt;
use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, OpenOptions};

use super::attributes::Attributes;
use super::bundles;
use super::path::{PathError, TreePath};
use crate::access::shares::Shares;
use crate::bundle::{BlobFile, Right, Rights, Store, View};
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
}

/// What is behind a tree.
#[derive(Debug)]
pub(super) enum Backing {
    Directory(Dir),
    Bundles(Arc<Store>),
}

/// An open file of a tree.
#[derive(Debug)]
pub(super) enum TreeFile {
    Plain(File),
    Bundled { file: Box<BlobFile>, attributes: Attributes },
}

/// Files that all vats together may have open in one tree. A process is often allowed 1,024 descriptors, and must have
/// some left to accept the next caller.
pub const MAX_OPEN_FILES: u32 = 512;

/// Files that one peer may have open in one tree, over all its vats and sessions: two peers are needed to leave nothing for a
/// third.
pub const MAX_PEER_OPEN_FILES: u32 = 256;

/// A directory could not be opened to be served.
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
    /// Opens `path` as the root.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenTreeError> {
        let path = path.as_ref();
        let root = Dir::open_ambient_dir(path, ambient_authority())
            .map_err(|source| OpenTreeError { path: path.to_owned(), source })?;
        Ok(Self::of(Backing::Directory(root)))
    }

    /// The bundles of `store`, each as a directory of its name.
    #[must_use]
    pub fn of_bundles(store: Arc<Store>) -> Self {
        Self::of(Backing::Bundles(store))
    }

    fn of(backing: Backing) -> Self {
        Self { backing, open_files: AtomicU32::new(0), by_peer: Shares::default() }
    }

    /// How many files of it each peer has open.
    pub(super) fn shares(&self) -> &Shares {
        &self.by_peer
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
    pub(super) fn attributes(
        &self,
        path: TreePath<'_>,
        follow_links: bool,
        rights: &Rights,
    ) -> Result<Attributes, Refusal> {
        match &self.backing {
            Backing::Directory(root) => attributes_under(root, path, follow_links),
            Backing::Bundles(store) => bundles::attributes(readable(store, rights), path, follow_links),
        }
    }

    /// Opens a regular file, and nothing else.
    pub(super) fn file(
        &self,
        path: TreePath<'_>,
        rights: &Rights,
    ) -> Result<(TreeFile, Attributes), Refusal> {
        match &self.backing {
            Backing::Directory(root) => {
                // Looking first keeps FIFOs and devices closed, whose opening alone can block or act. One that takes
                // the file's place in between is opened without blocking, seen by the second look, and closed.
                regular_file(attributes_under(root, path, true)?)?;
                let file = root.open_with(path.as_str(), OpenOptions::new().read(true).nonblock(true))?;
                let attributes = regular_file(Attributes::of(&file.metadata()?, None))?;
                Ok((TreeFile::Plain(file), attributes))
            }
            Backing::Bundles(store) => {
                let (file, attributes) = bundles::open(readable(store, rights), path)?;
                Ok((TreeFile::Bundled { file: Box::new(file), attributes: attributes.clone() }, attributes))
            }
        }
    }
}

/// The bundles of which whoever has these rights may read the files.
pub(super) fn readable<'a>(store: &'a Store, rights: &'a Rights) -> View<'a> {
    View::new(store, rights, Right::Read)
}

impl TreeFile {
    pub(super) fn attributes(&self) -> Result<Attributes, Refusal> {
        match self {
            Self::Plain(file) => Ok(Attributes::of(&file.metadata()?, None)),
            Self::Bundled { attributes, .. } => Ok(attributes.clone()),
        }
    }

    pub(super) fn size_bytes(&self) -> Result<u64, Refusal> {
        match self {
            Self::Plain(file) => Ok(file.metadata()?.len()),
            Self::Bundled { attributes, .. } => Ok(attributes.size_bytes),
        }
    }

    /// Fills `buffer` from `offset` on; a file that ends before that has changed since its size was asked.
    pub(super) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Refusal> {
        if buffer.is_empty() {
            return Ok(());
        }
        match self {
            Self::Plain(file) => {
                let mut file: &File = file;
                file.seek(SeekFrom::Start(offset))?;
                file.read_exact(buffer).map_err(|error| match error.kind() {
                    io::ErrorKind::UnexpectedEof => Status::Changed.into(),
                    _ => error.into(),
                })
            }
            Self::Bundled { file, .. } => Ok(file.read_at(offset, buffer)?),
        }
    }
}

/// The attributes of `path` under a root, of what it leads to where it is a link and that is asked for.
fn attributes_under(root: &Dir, path: TreePath<'_>, follow_links: bool) -> Result<Attributes, Refusal> {
    if path.is_root() {
        return Ok(Attributes::of(&root.dir_metadata()?, None));
    }
    if follow_links {
        return Ok(Attributes::of(&root.metadata(path.as_str())?, None));
    }
    Ok(attributes_in(root, path.as_str())?)
}

/// A directory under a root.
pub(super) fn directory_under(root: &Dir, path: TreePath<'_>) -> Result<Dir, Refusal> {
    Ok(if path.is_root() { root.try_clone()? } else { root.open_dir(path.as_str())? })
}

/// The attributes of `path` in `directory`, of the link itself when it is one.
pub(super) fn attributes_in(directory: &Dir, path: &str) -> io::Result<Attributes> {
    let metadata = directory.symlink_metadata(path)?;
    let link_target = if metadata.is_symlink() {
        directory.read_link_contents(path)?.into_os_string().into_string().ok()
    } else {
        None
    };
    Ok(Attributes::of(&metadata, link_target))
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

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        // The sandbox says "permission denied" of a path that leads out of it, without a number of the
        // system's.
        let sandbox = error.raw_os_error().is_none();
        match error.kind() {
            // No directory has a name that is longer than the file system allows.
            io::ErrorKind::NotFound | io::ErrorKind::InvalidFilename => Status::NotFound.into(),
            io::ErrorKind::NotADirectory => Status::NotADirectory.into(),
            io::ErrorKind::IsADirectory => Status::IsADirectory.into(),
            io::ErrorKind::PermissionDenied if sandbox => Status::OutsideRoot.into(),
            io::ErrorKind::PermissionDenied => Status::AccessDenied.into(),
            _ if is_link_loop(&error) => Status::LinkLoop.into(),
            _ => Self { status: Status::IoError, detail: error.to_string() },
        }
    }
}

#[cfg(unix)]
fn is_link_loop(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error())
}

#[cfg(not(unix))]
fn is_link_loop(_error: &io::Error) -> bool {
    false
}

#[cfg(all(test, unix))]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn what_the_system_says_becomes_a_status_and_words_only_where_the_status_does_not_say_it() {
        for (errno, status, has_detail) in [
            (Errno::NOENT, Status::NotFound, false),
            (Errno::NAMETOOLONG, Status::NotFound, false),
            (Errno::NOTDIR, Status::NotADirectory, false),
            (Errno::ISDIR, Status::IsADirectory, false),
            (Errno::ACCESS, Status::AccessDenied, false),
            (Errno::PERM, Status::AccessDenied, false),
            (Errno::LOOP, Status::LinkLoop, false),
            (Errno::IO, Status::IoError, true),
            (Errno::MFILE, Status::IoError, true),
        ] {
            let refusal = Refusal::from(io::Error::from(errno));
            assert_eq!((refusal.status, !refusal.detail.is_empty()), (status, has_detail), "{errno}");
        }
    }
}
