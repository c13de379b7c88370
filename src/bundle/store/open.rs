//! Opening a store: taking it for this process, clearing away what was not completed, and reading what is there.

use std::fs::{self, TryLockError};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use super::disk::{Disk, HostDisk};
use super::error::OpenStoreError;
use super::{Access, Installed, State, Store, StoreOptions, layout};
use crate::bundle::packed::{HEADER_BYTES, SIGNATURE_BYTES};
use crate::bundle::{BundleName, Digest, MAX_MANIFEST_BYTES, SignedManifest, Step, Unpacker, Version};

/// The longest head of a bundle, in bytes.
const MAX_HEAD_BYTES: u64 = (HEADER_BYTES + MAX_MANIFEST_BYTES + SIGNATURE_BYTES) as u64;

impl Store {
    /// Opens the store in `directory`, and makes one if there is nothing in it yet. Where it is to be changed, no other process
    /// may have it open.
    pub fn open(directory: &Path, access: Access, options: StoreOptions) -> Result<Self, OpenStoreError> {
        let failed = |error| OpenStoreError::Io { path: directory.to_owned(), error };
        if access == Access::ReadWrite {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        let lock = lock(directory, access)?;
        let disk = Box::new(HostDisk::new(directory));
        match Self::on(disk, access, options) {
            Ok(store) => Ok(Self { _lock: lock, ..store }),
            Err(Unopened::NotAStore) => Err(OpenStoreError::NotAStore { path: directory.to_owned() }),
            Err(Unopened::Io(error)) => Err(failed(error)),
        }
    }

    /// Opens the store on a disk that is this process's.
    pub(super) fn on(disk: Box<dyn Disk>, access: Access, options: StoreOptions) -> Result<Self, Unopened> {
        prepare(&*disk, access)?;
        let mut state = State::default();
        if access == Access::ReadWrite {
            clear_staging(&*disk)?;
        }
        read_blobs(&*disk, &mut state)?;
        read_bundles(&*disk, &mut state)?;
        Ok(Self { disk, access, options, state: Mutex::new(state), commit: Mutex::new(()), _lock: None })
    }
}

/// Why there is no store.
#[derive(Debug)]
pub(super) enum Unopened {
    NotAStore,
    Io(io::Error),
}

impl From<io::Error> for Unopened {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Takes the directory for this process. A lock ends with the process, however that ends.
fn lock(directory: &Path, access: Access) -> Result<Option<fs::File>, OpenStoreError> {
    let path = directory.join(layout::LOCK);
    let failed = |error| OpenStoreError::Io { path: directory.to_owned(), error };
    let (file, taken) = match access {
        Access::ReadWrite => {
            let foreign = !path.exists()
                && !directory.join(layout::FORMAT).exists()
                && fs::read_dir(directory).map_err(failed)?.next().is_some();
            if foreign {
                return Err(OpenStoreError::NotAStore { path: directory.to_owned() });
            }
            let file = fs::OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(failed)?;
            let taken = file.try_lock();
            (file, taken)
        }
        Access::ReadOnly => match fs::File::open(&path) {
            Ok(file) => {
                let taken = file.try_lock_shared();
                (file, taken)
            }
            // On what nobody can write to, nobody holds a lock.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        },
    };
    match taken {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(OpenStoreError::Locked { path: directory.to_owned() }),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Checks that it is a store, or makes one where there is nothing.
fn prepare(disk: &dyn Disk, access: Access) -> Result<(), Unopened> {
    match read_file(disk, layout::FORMAT, layout::FORMAT_LINE.len() as u64) {
        Ok(Some(line)) if line == layout::FORMAT_LINE => {}
        Ok(_) => return Err(Unopened::NotAStore),
        Err(error) if error.kind() == io::ErrorKind::NotFound && access == Access::ReadWrite => {
            let ours = |name: &String| {
                [layout::LOCK, layout::BLOBS, layout::BUNDLES, layout::STAGING].contains(&name.as_str())
            };
            if !disk.names("")?.iter().all(ours) {
                return Err(Unopened::NotAStore);
            }
            for directory in [layout::BLOBS, layout::BUNDLES, layout::STAGING] {
                disk.create_directory(directory)?;
            }
            clear_staging(disk)?;
            let staged = format!("{}/{}", layout::STAGING, layout::FORMAT);
            let mut file = disk.create(&staged)?;
            file.append(layout::FORMAT_LINE)?;
            file.sync()?;
            disk.rename(&staged, layout::FORMAT)?;
            disk.sync_directory("")?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unopened::NotAStore),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Removes what was being installed when the store was last closed, or its process was lost.
fn clear_staging(disk: &dyn Disk) -> io::Result<()> {
    for name in disk.names(layout::STAGING)? {
        let path = format!("{}/{name}", layout::STAGING);
        match disk.names(&path) {
            Ok(staged) => {
                for name in staged {
                    disk.remove_file(&format!("{path}/{name}"))?;
                }
                disk.remove_directory(&path)?;
            }
            Err(_) => disk.remove_file(&path)?,
        }
    }
    Ok(())
}

fn read_blobs(disk: &dyn Disk, state: &mut State) -> io::Result<()> {
    for directory in disk.names(layout::BLOBS)? {
        let directory = format!("{}/{directory}", layout::BLOBS);
        for name in disk.names(&directory)? {
            // What has no digest for its name, or lies in the wrong place, is not the store's.
            let Some(digest) = Digest::from_hex(&name) else { continue };
            if layout::blob_directory(&digest) != directory {
                continue;
            }
            let bytes = disk.open(&layout::blob(&digest))?.size_bytes()?;
            state.stored(digest, bytes);
        }
    }
    Ok(())
}

fn read_bundles(disk: &dyn Disk, state: &mut State) -> io::Result<()> {
    for directory in disk.names(layout::BUNDLES)? {
        let Ok(name) = directory.parse::<BundleName>() else {
            state.damaged_heads.push(format!("{}/{directory}", layout::BUNDLES));
            continue;
        };
        let mut pointed = false;
        for file in disk.names(&layout::bundle(&name))? {
            if file == layout::ACTIVE {
                pointed = true;
                continue;
            }
            let installed = file.parse().ok().map(|version| read_head(disk, &name, version)).transpose()?;
            match installed.flatten() {
                Some(installed) => state.remember(installed),
                None => state.damaged_heads.push(format!("{}/{file}", layout::bundle(&name))),
            }
        }
        if pointed {
            let path = layout::active(&name);
            let pointer = read_file(disk, &path, layout::MAX_POINTER_BYTES)?;
            let pointer = pointer.as_deref().and_then(layout::parse_pointer);
            let versions = state.bundles.get_mut(&name);
            let leads_to = pointer.and_then(|(version, manifest)| {
                let installed = versions.as_ref()?.installed.get(&version)?;
                (installed.manifest().digest() == manifest).then_some(version)
            });
            match (leads_to, versions) {
                (Some(version), Some(versions)) => versions.active = Some(version),
                _ => state.damaged_heads.push(path),
            }
        }
    }
    state.damaged_heads.sort();
    Ok(())
}

/// Reads the head of a version; `None` where it is damaged.
fn read_head(disk: &dyn Disk, name: &BundleName, version: Version) -> io::Result<Option<Installed>> {
    let path = layout::head(name, version);
    let installed_ns = disk.open(&path)?.modified_ns();
    let Some(bytes) = read_file(disk, &path, MAX_HEAD_BYTES)? else { return Ok(None) };
    let Some(signed) = parse_head(&bytes) else { return Ok(None) };
    let manifest = signed.manifest();
    let its_own = manifest.name() == name && manifest.version() == version;
    Ok(its_own.then_some(Installed { signed, installed_ns }))
}

/// The manifest of a head with nothing behind it.
fn parse_head(mut bytes: &[u8]) -> Option<Arc<SignedManifest>> {
    match Unpacker::new(None).step(&mut bytes) {
        Ok(Some(Step::Manifest(signed))) if bytes.is_empty() => Some(signed),
        _ => None,
    }
}

/// Reads a file; `None` where it is longer than it can be.
fn read_file(disk: &dyn Disk, path: &str, most_bytes: u64) -> io::Result<Option<Vec<u8>>> {
    let file = disk.open(path)?;
    let size_bytes = file.size_bytes()?;
    if size_bytes > most_bytes {
        return Ok(None);
    }
    let mut bytes = vec![0; size_bytes as usize];
    file.read_at(0, &mut bytes)?;
    Ok(Some(bytes))
}
