//! Directories of this machine, read through a handle that nothing can be reached above.
//!
//! A directory gives its names in no order, so that a page after a cursor means reading all
//! of them. To keep that from being done for every thousand entries, one reading keeps the next
//! [`AHEAD_NAMES`] names for the pages that follow.

use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::io::{Read, Seek, SeekFrom};

use cap_fs_ext::OpenOptionsSyncExt;
use cap_std::fs::{Dir, File, OpenOptions};
use vatmux_driver::yield_now;

use super::attributes::{Attributes, Entry};
use super::listing::{MAX_PAGE_ENTRIES, PAGE_BYTES, Page, page_bytes};
use super::path::{self, TreePath};
use super::tree::{Refusal, regular_file};
use crate::schema::packagefs_capnp::Status;

/// How many names one reading of a directory keeps: at most 4.5 MiB, in names of 255 bytes.
const AHEAD_NAMES: usize = 16_384;

/// How many names are read between two chances for other tasks: about a millisecond.
const NAMES_PER_TURN: usize = 4096;

/// The names of one directory that follow those already listed.
#[derive(Debug)]
pub(super) struct Ahead {
    path: String,
    /// The cursor that these names follow.
    after: String,
    names: VecDeque<String>,
    /// Whether the directory had further names than these.
    more: bool,
    omitted: u32,
}

/// The page of `path` that follows `cursor`. `ahead` is what an earlier page left, and what this one leaves.
pub(super) async fn page(
    root: &Dir,
    ahead: &mut Option<Ahead>,
    path: TreePath<'_>,
    cursor: &str,
    limit: usize,
) -> Result<Page, Refusal> {
    let directory = directory_under(root, path)?;
    let mut names = match ahead.take() {
        Some(left) if !cursor.is_empty() && left.path == path.as_str() && left.after == cursor => left,
        _ => read_names(&directory, path, cursor).await?,
    };

    let omitted = std::mem::take(&mut names.omitted);
    let mut entries = Vec::new();
    let mut bytes = 0;
    let mut looked_at = 0;
    while looked_at < limit.clamp(1, MAX_PAGE_ENTRIES) && bytes < PAGE_BYTES {
        let Some(name) = names.names.pop_front() else { break };
        looked_at += 1;
        names.after.clone_from(&name);
        let attributes = match attributes_in(&directory, &name) {
            Ok(attributes) => attributes,
            // Removed since its name was read.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        };
        let entry = Entry { name, attributes };
        bytes += page_bytes(&entry);
        entries.push(entry);
    }

    let next = if names.names.is_empty() && !names.more { None } else { Some(names.after.clone()) };
    if !names.names.is_empty() {
        *ahead = Some(names);
    }
    Ok(Page { entries, next, omitted })
}

/// Reads the whole directory and keeps the first [`AHEAD_NAMES`] names after `after`.
async fn read_names(directory: &Dir, path: TreePath<'_>, after: &str) -> Result<Ahead, Refusal> {
    let mut first = BinaryHeap::new();
    let mut more = false;
    let mut omitted = 0;
    for (seen, entry) in directory.entries()?.enumerate() {
        if seen % NAMES_PER_TURN == NAMES_PER_TURN - 1 {
            yield_now().await;
        }
        let name = match entry?.file_name().into_string() {
            Ok(name) if path::check_segment(&name).is_ok() => name,
            _ => {
                omitted += 1;
                continue;
            }
        };
        if name.as_str() <= after {
            continue;
        }
        if first.len() < AHEAD_NAMES {
            first.push(name);
            continue;
        }
        more = true;
        if let Some(mut last) = first.peek_mut()
            && name < *last
        {
            *last = name;
        }
    }
    Ok(Ahead {
        path: path.as_str().to_owned(),
        after: after.to_owned(),
        names: first.into_sorted_vec().into(),
        more,
        omitted: if after.is_empty() { omitted } else { 0 },
    })
}

/// The attributes of `path` under a root, of what it leads to where it is a link and that is asked for.
pub(super) fn attributes_under(
    root: &Dir,
    path: TreePath<'_>,
    follow_links: bool,
) -> Result<Attributes, Refusal> {
    if path.is_root() {
        return Ok(Attributes::of(&root.dir_metadata()?, None));
    }
    if follow_links {
        return Ok(Attributes::of(&root.metadata(path.as_str())?, None));
    }
    Ok(attributes_in(root, path.as_str())?)
}

/// A directory under a root.
fn directory_under(root: &Dir, path: TreePath<'_>) -> Result<Dir, Refusal> {
    Ok(if path.is_root() { root.try_clone()? } else { root.open_dir(path.as_str())? })
}

/// The attributes of `path` in `directory`, of the link itself when it is one.
fn attributes_in(directory: &Dir, path: &str) -> io::Result<Attributes> {
    let metadata = directory.symlink_metadata(path)?;
    let link_target = if metadata.is_symlink() {
        directory.read_link_contents(path)?.into_os_string().into_string().ok()
    } else {
        None
    };
    Ok(Attributes::of(&metadata, link_target))
}

/// Opens a regular file, and nothing else.
pub(super) fn open(root: &Dir, path: TreePath<'_>) -> Result<(File, Attributes), Refusal> {
    // Looking first keeps FIFOs and devices closed, whose opening alone can block or act. One that takes
    // the file's place in between is opened without blocking, seen by the second look, and closed.
    regular_file(attributes_under(root, path, true)?)?;
    let file = root.open_with(path.as_str(), OpenOptions::new().read(true).nonblock(true))?;
    let attributes = regular_file(Attributes::of(&file.metadata()?, None))?;
    Ok((file, attributes))
}

/// Fills `buffer` from `offset` on; a file that ends before that has changed since its size was asked.
pub(super) fn read_at(file: &File, offset: u64, buffer: &mut [u8]) -> Result<(), Refusal> {
    let mut file = file;
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(buffer).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Status::Changed.into(),
        _ => error.into(),
    })
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
