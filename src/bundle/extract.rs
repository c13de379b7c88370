//! A packed bundle from beginning to end: verified, and made a directory of again.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::digest::Digest;
use super::entry::{Content, EntryPath};
use super::manifest::{Blob, Manifest};
use super::packed::SignedManifest;
use super::unpack::{Step, UnpackError, Unpacker};
use crate::packagefs::fetch::{PARTIAL_PREFIX, parent};

/// How much is read at once.
const PIECE_BYTES: usize = 128 * 1024;

/// Reads a packed bundle to its end, and verifies all of it. `judge` may refuse the manifest as soon as it is there;
/// `progress` is told of bytes as they are read.
pub fn verify(
    input: &mut dyn Read,
    judge: &mut dyn FnMut(&SignedManifest) -> Result<(), ExtractError>,
    progress: &mut dyn FnMut(u64),
) -> Result<Arc<SignedManifest>, ExtractError> {
    let mut signed = None;
    read(input, progress, &mut |step| {
        if let Step::Manifest(manifest) = step {
            judge(&manifest)?;
            signed = Some(manifest);
        }
        Ok(())
    })?;
    // A bundle is not done before its manifest came.
    signed.ok_or(ExtractError::Bundle(UnpackError::Failed))
}

/// Reads the head of a packed bundle and no more: the manifest, and that its publisher signed it. Of the content nothing is
/// known.
pub fn inspect(input: &mut dyn Read) -> Result<Arc<SignedManifest>, ExtractError> {
    let mut unpacker = Unpacker::new(None);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let mut bytes = read_piece(input, &mut piece)?;
        if bytes.is_empty() {
            unpacker.finish()?;
        }
        while let Some(step) = unpacker.step(&mut bytes)? {
            if let Step::Manifest(manifest) = step {
                return Ok(manifest);
            }
        }
    }
}

/// Makes the directory `destination` of a packed bundle. There must be nothing of that name, or an empty directory; it has its
/// name when all of it is there, and was verified. Files may be run if they may be in the bundle.
pub fn extract(
    input: &mut dyn Read,
    destination: &Path,
    judge: &mut dyn FnMut(&SignedManifest) -> Result<(), ExtractError>,
    progress: &mut dyn FnMut(u64),
) -> Result<Arc<SignedManifest>, ExtractError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| ExtractError::Write { path, error }
    };
    let free = match fs::read_dir(destination) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    if !free || destination.file_name().is_none() {
        return Err(ExtractError::Destination { path: destination.to_owned() });
    }
    let partial = tempfile::Builder::new()
        .prefix(PARTIAL_PREFIX)
        .tempdir_in(parent(destination))
        .map_err(failed(destination))?;
    let tree = partial.path().join("tree");
    fs::create_dir(&tree).map_err(failed(destination))?;

    let mut signed: Option<Arc<SignedManifest>> = None;
    let mut first_with: HashMap<Digest, EntryPath> = HashMap::new();
    let mut output: Option<(PathBuf, fs::File)> = None;
    read(input, progress, &mut |step| {
        match step {
            Step::Manifest(manifest) => {
                judge(&manifest)?;
                lay_out(manifest.manifest(), &tree, &mut first_with)?;
                signed = Some(manifest);
            }
            Step::Begins(Blob { digest, .. }) => {
                let path = first_with.get(&digest).ok_or(UnpackError::Failed)?;
                let path = tree.join(path.as_str());
                let file = fs::File::create_new(&path).map_err(failed(&path))?;
                output = Some((path, file));
            }
            Step::Content(bytes) => {
                if let Some((path, file)) = &mut output {
                    file.write_all(bytes).map_err(failed(path))?;
                }
            }
            Step::Verified(_) => output = None,
            Step::Done => {}
        }
        Ok(())
    })?;
    let signed = signed.ok_or(UnpackError::Failed)?;
    for entry in signed.manifest().entries() {
        let path = tree.join(entry.path.as_str());
        match &entry.content {
            Content::Directory => {}
            Content::File { executable, digest, .. } => {
                let first = first_with.get(digest).ok_or(UnpackError::Failed)?;
                if *first != entry.path {
                    fs::copy(tree.join(first.as_str()), &path).map_err(failed(&path))?;
                }
                set_executable(&path, *executable).map_err(failed(&path))?;
            }
            Content::Symlink { target } => symlink(target, &path).map_err(failed(&path))?,
        }
    }
    fs::rename(&tree, destination).map_err(failed(destination))?;
    Ok(signed)
}

/// Makes the directories, and notes under which path content is written first.
///
/// Joining is safe: the paths are legal, what they lie in are directories that are made here, and links come last.
fn lay_out(
    manifest: &Manifest,
    tree: &Path,
    first_with: &mut HashMap<Digest, EntryPath>,
) -> Result<(), ExtractError> {
    for entry in manifest.entries() {
        match &entry.content {
            Content::Directory => {
                let path = tree.join(entry.path.as_str());
                fs::create_dir(&path).map_err(|error| ExtractError::Write { path, error })?;
            }
            Content::File { digest, .. } => {
                first_with.entry(*digest).or_insert_with(|| entry.path.clone());
            }
            Content::Symlink { .. } => {}
        }
    }
    Ok(())
}

#[cfg(unix)]
fn symlink(target: &str, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

#[cfg(not(unix))]
fn symlink(_target: &str, _path: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Gives the right to run to whoever may read, or to nobody: a copy has that of its original.
#[cfg(unix)]
fn set_executable(path: &Path, executable: bool) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path)?.permissions().mode() & 0o666;
    let mode = if executable { mode | ((mode & 0o444) >> 2) } else { mode };
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
fn set_executable(_path: &Path, _executable: bool) -> io::Result<()> {
    Ok(())
}

fn read(
    input: &mut dyn Read,
    progress: &mut dyn FnMut(u64),
    take: &mut dyn FnMut(Step<'_>) -> Result<(), ExtractError>,
) -> Result<(), ExtractError> {
    let mut unpacker = Unpacker::new(None);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let mut bytes = read_piece(input, &mut piece)?;
        if bytes.is_empty() {
            return Ok(unpacker.finish()?);
        }
        progress(bytes.len() as u64);
        while let Some(step) = unpacker.step(&mut bytes)? {
            take(step)?;
        }
    }
}

fn read_piece<'a>(input: &mut dyn Read, piece: &'a mut [u8]) -> Result<&'a [u8], ExtractError> {
    loop {
        match input.read(piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(ExtractError::Read(error)),
            Ok(read) => return Ok(piece.get(..read).unwrap_or_default()),
        }
    }
}

/// Why a packed bundle was not verified, or no directory made of it.
#[derive(Debug, thiserror::Error)]
pub enum ExtractError {
    /// It could not be read.
    #[error("it cannot be read: {0}")]
    Read(io::Error),
    /// It is no bundle, or none to be trusted.
    #[error(transparent)]
    Bundle(#[from] UnpackError),
    /// Its publisher is not the one that it should be.
    #[error("it was published by {publisher}, who is not trusted here")]
    UnknownPublisher {
        /// Who signed it.
        publisher: super::publisher::PublisherId,
    },
    /// There is something where the directory would be made.
    #[error("`{}` is there already, or is no name for a directory; name another one", path.display())]
    Destination {
        /// The destination.
        path: PathBuf,
    },
    /// A part of the directory could not be made.
    #[error("cannot make `{}`: {error}", path.display())]
    Write {
        /// Which part.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
}
