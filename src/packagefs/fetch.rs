//! How fetching is asked for and what it reports, and the fetching of one file.
//!
//! Nothing has its final name before it is complete: what is under way has a temporary name beside it, which
//! is removed when fetching fails or is dropped.

use std::fs;
use std::io;
use std::path::Path;

use futures::io::AllowStdIo;

use super::Status;
use super::attributes::Attributes;
use super::error::{DestinationState, Error, LocalOperation, Refused, Words};
use super::receive::{Opening, Pace, Progress};

/// The names of what is not complete begin with this.
pub(crate) const PARTIAL_PREFIX: &str = ".vatmux-partial-";

/// How a tree is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchOptions {
    /// What becomes of links that lead out of the tree. They are skipped unless said otherwise.
    pub outside_links: OutsideLinks,
    /// The most entries that the tree may have, 1,000,000 unless said otherwise. Those that are not yet
    /// fetched take about 200 bytes of memory each.
    pub max_entries: u64,
}

/// What becomes of symbolic links that lead, or may lead, out of the tree that they are part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutsideLinks {
    /// They are left out, and the summary says so.
    Skip,
    /// They are made as they are on the server. Fetching never follows them; who uses the tree later may.
    Recreate,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self { outside_links: OutsideLinks::Skip, max_entries: 1_000_000 }
    }
}

/// What was fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Files, all of them complete.
    pub files: u64,
    /// Their lengths together.
    pub bytes: u64,
    /// Directories, the one that was asked for included.
    pub directories: u64,
    /// Symbolic links.
    pub links: u64,
    /// What was left out.
    pub skipped: Vec<Skipped>,
}

/// Something that was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Its path on the server.
    pub path: String,
    /// Why it was left out.
    pub reason: SkipReason,
}

/// Why something was left out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SkipReason {
    /// The server refused to list or read it.
    #[error("{}", Refused(*status, detail))]
    Refused {
        /// Why.
        status: Status,
        /// More about it, in the server's words.
        detail: String,
    },
    /// It is a FIFO, a socket or a device.
    #[error("it is a FIFO, a socket or a device")]
    NotAFile,
    /// It is a link that leads out of the tree.
    #[error("it is a link that leads out of the tree, to `{}`", Words(target))]
    LinkLeavesTree {
        /// Where it leads.
        target: String,
    },
    /// It is a link whose target goes through a name and then up, so that it may lead out of the tree.
    #[error("it is a link that may lead out of the tree, to `{}`", Words(target))]
    LinkClimbs {
        /// Where it leads.
        target: String,
    },
    /// It is a link whose target is no path here.
    #[error("it is a link whose target cannot be written here")]
    LinkInvalid,
    /// Its path is longer than any that can be asked for.
    #[error("its path is too long")]
    PathTooLong,
    /// These are entries of the directory whose names cannot be part of a path.
    #[error("{count} names in it cannot be part of a path")]
    Unnameable {
        /// How many.
        count: u32,
    },
}

/// Refuses a destination that making a file there would destroy.
pub(super) fn check_file_destination(destination: &Path) -> Result<(), Error> {
    let refused = |state| Error::Destination { path: destination.to_owned(), state };
    if destination.file_name().is_none() {
        return Err(refused(DestinationState::Nameless));
    }
    match fs::symlink_metadata(destination) {
        Ok(metadata) if metadata.is_file() => Ok(()),
        Ok(_) => Err(refused(DestinationState::NotAFile)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(local(LocalOperation::Inspect, destination, source)),
    }
}

/// Completes `opening` into a temporary file, and gives it the name `destination`.
pub(super) async fn file(
    opening: Opening,
    destination: &Path,
    progress: &dyn Fn(Progress),
) -> Result<u64, Error> {
    let failed = |operation| move |source| local(operation, destination, source);
    let mut builder = tempfile::Builder::new();
    builder.prefix(PARTIAL_PREFIX);
    #[cfg(unix)]
    let permissions = {
        use std::os::unix::fs::PermissionsExt;
        fs::Permissions::from_mode(creation_mode(&opening.attributes))
    };
    #[cfg(unix)]
    builder.permissions(permissions);
    let partial = builder.tempfile_in(parent(destination)).map_err(failed(LocalOperation::Create))?;

    let size_bytes = complete(opening, partial.as_file(), destination, progress).await?;
    partial.as_file().sync_all().map_err(failed(LocalOperation::Write))?;
    partial.persist(destination).map_err(|error| local(LocalOperation::Rename, destination, error.error))?;
    Ok(size_bytes)
}

/// Writes all of `opening` to the fresh file `output`, called `name` in errors, and checks that it is there.
pub(super) async fn complete(
    opening: Opening,
    output: &fs::File,
    name: &Path,
    progress: &dyn Fn(Progress),
) -> Result<u64, Error> {
    let size_bytes =
        opening.copy_to(&mut AllowStdIo::new(output), Pace::Machines, progress).await.map_err(|error| {
            match error {
                Error::Output { source, .. } => local(LocalOperation::Write, name, source),
                other => other,
            }
        })?;
    let written_bytes =
        output.metadata().map_err(|source| local(LocalOperation::Inspect, name, source))?.len();
    if written_bytes != size_bytes {
        let source =
            io::Error::other(format!("{size_bytes} bytes were written, and {written_bytes} are there"));
        return Err(local(LocalOperation::Write, name, source));
    }
    Ok(size_bytes)
}

/// The mode of a new file, from which the system takes what its umask says.
#[cfg(unix)]
pub(super) fn creation_mode(attributes: &Attributes) -> u32 {
    if attributes.is_executable() { 0o777 } else { 0o666 }
}

/// The directory in which `destination` gets its name.
pub(crate) fn parent(destination: &Path) -> &Path {
    match destination.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

pub(super) fn local(operation: LocalOperation, path: &Path, source: io::Error) -> Error {
    Error::Local { operation, path: path.to_owned(), source }
}
