//! Making a packed bundle of a directory, reproducibly: the same tree gives the same bytes, whenever and wherever it is packed.
//!
//! Of a file counts what is in it and whether its owner may run it; owners, times and other bits of its mode do not.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use cap_fs_ext::{DirExt, OpenOptionsSyncExt};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, Metadata, OpenOptions};

use super::digest::Digest;
use super::entry::{Content, Entry, EntryPath};
use super::manifest::{Blob, MAX_ENTRIES, Manifest, ManifestError};
use super::name::{BundleName, Version};
use super::packed::SignedManifest;
use super::publisher::PublisherKey;
use crate::packagefs::fetch::{PARTIAL_PREFIX, parent};
use crate::packagefs::path::PathError;

/// How much is read at once.
const PIECE_BYTES: usize = 128 * 1024;

/// A directory that was looked through, and can be packed as it was then.
#[derive(Debug)]
pub struct Source {
    root: Dir,
    path: PathBuf,
    entries: Vec<Entry>,
}

impl Source {
    /// Looks through `directory` and reads every file in it once. `progress` is told of bytes as they are read.
    ///
    /// Symbolic links are taken as links. A FIFO, a socket or a device, or a name that is not UTF-8, cannot be packed.
    pub fn scan(directory: &Path, progress: &mut dyn FnMut(u64)) -> Result<Self, PackError> {
        let failed = |error| PackError::Read { path: directory.to_owned(), error };
        let root = Dir::open_ambient_dir(directory, ambient_authority()).map_err(failed)?;
        let mut source = Self { root, path: directory.to_owned(), entries: Vec::new() };
        let mut ahead = vec![(String::new(), source.root.try_clone().map_err(failed)?)];
        while let Some((prefix, directory)) = ahead.pop() {
            source.scan_directory(&prefix, &directory, &mut ahead, progress)?;
        }
        Ok(source)
    }

    fn scan_directory(
        &mut self,
        prefix: &str,
        directory: &Dir,
        ahead: &mut Vec<(String, Dir)>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), PackError> {
        let here = self.path.join(prefix);
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |error| PackError::Read { path, error }
        };
        for entry in directory.entries().map_err(failed(&here))? {
            let entry = entry.map_err(failed(&here))?;
            let local = here.join(entry.file_name());
            let name = entry
                .file_name()
                .into_string()
                .map_err(|_| PackError::Path { path: local.clone(), error: PathError::NotUtf8 })?;
            let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}/{name}") };
            let path = EntryPath::parse(path.as_bytes())
                .map_err(|error| PackError::Path { path: local.clone(), error })?;
            let kind = entry.file_type().map_err(failed(&local))?;
            let content = if kind.is_dir() {
                let below = directory.open_dir_nofollow(&name).map_err(failed(&local))?;
                ahead.push((path.as_str().to_owned(), below));
                Content::Directory
            } else if kind.is_symlink() {
                let target = directory.read_link_contents(&name).map_err(failed(&local))?;
                let target = target.into_os_string().into_string();
                Content::Symlink { target: target.map_err(|_| PackError::Target { path: local.clone() })? }
            } else if kind.is_file() {
                let (mut file, executable) = open(directory, &name).map_err(failed(&local))?;
                let (size_bytes, digest) = digest(&mut file, progress).map_err(failed(&local))?;
                Content::File { executable, size_bytes, digest }
            } else {
                return Err(PackError::Kind { path: local });
            };
            if self.entries.len() == MAX_ENTRIES {
                return Err(ManifestError::TooManyEntries.into());
            }
            self.entries.push(Entry { path, content });
        }
        Ok(())
    }

    /// The manifest of what was found, signed.
    pub fn sign(
        &self,
        name: BundleName,
        version: Version,
        key: &PublisherKey,
    ) -> Result<SignedManifest, PackError> {
        let manifest = Manifest::new(name, version, key.id(), self.entries.clone())?;
        // The key is the one that the manifest names.
        SignedManifest::sign(manifest, key).ok_or(PackError::Foreign)
    }

    /// Writes the packed bundle. Fails where a file is not any more what it was when the directory was looked through.
    pub fn write(
        &self,
        manifest: &SignedManifest,
        output: &mut dyn Write,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), PackError> {
        output.write_all(&manifest.head()).map_err(PackError::Write)?;
        let mut first_with = HashMap::new();
        for entry in manifest.manifest().entries() {
            if let Content::File { digest, .. } = entry.content {
                first_with.entry(digest).or_insert(&entry.path);
            }
        }
        let mut piece = vec![0; PIECE_BYTES];
        for Blob { digest, size_bytes } in manifest.manifest().blobs() {
            let path = first_with.get(&digest).ok_or(PackError::Foreign)?;
            let local = self.path.join(path.as_str());
            let failed = |error| PackError::Read { path: local.clone(), error };
            let (mut file, _) = open(&self.root, path.as_str()).map_err(failed)?;
            let mut hasher = blake3::Hasher::new();
            let mut left_bytes = size_bytes;
            loop {
                let read = read_piece(&mut file, &mut piece).map_err(failed)?;
                if read.is_empty() {
                    break;
                }
                left_bytes = left_bytes
                    .checked_sub(read.len() as u64)
                    .ok_or_else(|| PackError::Changed { path: local.clone() })?;
                hasher.update(read);
                output.write_all(read).map_err(PackError::Write)?;
                progress(read.len() as u64);
            }
            if left_bytes != 0 || Digest::from(hasher.finalize()) != digest {
                return Err(PackError::Changed { path: local });
            }
        }
        output.flush().map_err(PackError::Write)
    }

    /// Makes the file `destination`, which must not exist unless `replace` is set. It has its name when it is complete and on
    /// disk.
    pub fn write_file(
        &self,
        manifest: &SignedManifest,
        destination: &Path,
        replace: bool,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), PackError> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(PARTIAL_PREFIX);
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(parent(destination)).map_err(PackError::Write)?;
        self.write(manifest, &mut file, progress)?;
        file.as_file().sync_all().map_err(PackError::Write)?;
        let kept = if replace { file.persist(destination) } else { file.persist_noclobber(destination) };
        kept.map_err(|error| PackError::Write(error.error))?;
        Ok(())
    }
}

/// Opens a regular file, and nothing else, and says whether its owner may run it.
fn open(directory: &Dir, name: &str) -> io::Result<(File, bool)> {
    // What took the file's place since its kind was asked is opened without blocking, seen, and closed.
    let file = directory.open_with(name, OpenOptions::new().read(true).nonblock(true))?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file any more"));
    }
    let executable = is_executable(&metadata);
    Ok((file, executable))
}

#[cfg(unix)]
fn is_executable(metadata: &Metadata) -> bool {
    use cap_std::fs::PermissionsExt;
    metadata.permissions().mode() & 0o100 != 0
}

#[cfg(not(unix))]
fn is_executable(_metadata: &Metadata) -> bool {
    false
}

fn digest(file: &mut impl Read, progress: &mut dyn FnMut(u64)) -> io::Result<(u64, Digest)> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut hasher = blake3::Hasher::new();
    loop {
        let read = read_piece(file, &mut piece)?;
        if read.is_empty() {
            return Ok((hasher.count(), hasher.finalize().into()));
        }
        hasher.update(read);
        progress(read.len() as u64);
    }
}

fn read_piece<'a>(file: &mut impl Read, piece: &'a mut [u8]) -> io::Result<&'a [u8]> {
    loop {
        match file.read(piece) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return Ok(piece.get(..read?).unwrap_or_default()),
        }
    }
}

/// Why a directory could not be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// Something could not be read.
    #[error("cannot read `{}`: {error}", path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A name cannot be part of a path in a bundle.
    #[error("cannot pack `{}`: {error}", path.display())]
    Path {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: PathError,
    },
    /// The target of a symbolic link is not UTF-8.
    #[error("cannot pack `{}`: its target is not UTF-8", path.display())]
    Target {
        /// The link.
        path: PathBuf,
    },
    /// It is a FIFO, a socket or a device.
    #[error("cannot pack `{}`: it is a FIFO, a socket or a device", path.display())]
    Kind {
        /// What.
        path: PathBuf,
    },
    /// The tree breaks the rules of manifests.
    #[error("cannot pack this tree: {0}")]
    Manifest(#[from] ManifestError),
    /// A file is not any more what it was.
    #[error("`{}` changed while it was packed; try again", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The manifest is not one of this directory, or not of this publisher.
    #[error("the manifest is not one of this directory and this publisher")]
    Foreign,
    /// The packed bundle could not be written.
    #[error("cannot write the packed bundle: {0}")]
    Write(io::Error),
}
