//! Installed bundles on disk: whole or not at all.
//!
//! A [`Store`] is a directory that one process at a time may change. Content is kept by its digest, once, whichever bundles have
//! it, and verified whenever it is read: what was damaged is told, and never given out. A bundle is there when all of it was
//! verified and is on disk; losing the process or the power at any moment leaves the store as it was before, or as it is after.
//!
//! In memory it keeps the manifests of all bundles, bounded by [`StoreOptions::manifest_bytes`], and about 100 bytes for each
//! blob.

mod blob;
mod disk;
mod error;
mod install;
mod layout;
mod open;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use disk::Disk;

use super::digest::Digest;
use super::groups::table_bytes;
use super::manifest::{Blob, Manifest};
use super::name::{BundleName, Version};
use super::packed::SignedManifest;
use super::publisher::PublisherId;

pub use blob::BlobFile;
pub use error::{OpenStoreError, StoreError};
pub use install::{Install, InstallOptions, Installation};

/// What a store may take, and whom it trusts.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Whose bundles may be installed.
    pub trust: Trust,
    /// The most bytes of content on disk, tables included; as many as the disk has unless said otherwise. What no bundle needs
    /// any more counts until it is collected.
    pub quota_bytes: u64,
    /// The most bytes of manifests, 64 MiB unless said otherwise: in memory they take about twice that.
    pub manifest_bytes: u64,
    /// The most versions of bundles, 4,096 unless said otherwise.
    pub bundles: u32,
    /// The most installs at once, 4 unless said otherwise. Each holds a manifest, at most 16 MiB and twice that parsed, and
    /// the table of one file.
    pub installs: u32,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            trust: Trust::Only(Vec::new()),
            quota_bytes: u64::MAX,
            manifest_bytes: 64 * 1024 * 1024,
            bundles: 4096,
            installs: 4,
        }
    }
}

/// Whose signature counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Everybody's.
    Anyone,
    /// That of these publishers.
    Only(Vec<PublisherId>),
}

impl Trust {
    /// Whether this publisher is one of them.
    #[must_use]
    pub fn includes(&self, publisher: &PublisherId) -> bool {
        match self {
            Self::Anyone => true,
            Self::Only(publishers) => publishers.contains(publisher),
        }
    }
}

/// Whether a store may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// By this process, and no other.
    ReadWrite,
    /// By nobody while it is open here; others may read it as well.
    ReadOnly,
}

/// Bundles on disk.
#[derive(Debug)]
pub struct Store {
    disk: Box<dyn Disk>,
    access: Access,
    options: StoreOptions,
    state: Mutex<State>,
    /// Held while names on disk change: they do so one after the other.
    commit: Mutex<()>,
    /// Lets go of the directory when it is dropped.
    _lock: Option<std::fs::File>,
}

/// What is known of the disk.
#[derive(Debug, Default)]
struct State {
    bundles: BTreeMap<BundleName, Versions>,
    /// What is on disk, and the bytes that it takes there, tables included.
    blobs: HashMap<Digest, u64>,
    /// How many versions of bundles have a blob, be it on disk or lost.
    users: HashMap<Digest, u32>,
    /// Blobs that installs count on.
    pins: HashMap<Digest, u32>,
    stored_bytes: u64,
    /// What installs under way will store at most.
    reserved_bytes: u64,
    manifest_bytes: u64,
    versions: u32,
    under_way: HashSet<(BundleName, Version)>,
    installs: u32,
    next_staging: u64,
    damaged_heads: Vec<String>,
}

#[derive(Debug, Default)]
struct Versions {
    active: Option<Version>,
    installed: BTreeMap<Version, Arc<Installed>>,
}

/// A version of a bundle that is there.
#[derive(Debug)]
pub struct Installed {
    signed: Arc<SignedManifest>,
    installed_ns: i64,
}

impl Installed {
    /// What its publisher signed.
    #[must_use]
    pub fn signed(&self) -> &SignedManifest {
        &self.signed
    }

    /// What is in it.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        self.signed.manifest()
    }

    /// When it was installed, in nanoseconds since 1970; 0 where that is not known.
    #[must_use]
    pub fn installed_ns(&self) -> i64 {
        self.installed_ns
    }
}

/// A version of a bundle, as lists have it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The bundle.
    pub bundle: Arc<Installed>,
    /// Whether the name alone means this version.
    pub active: bool,
}

/// What a store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Versions of bundles.
    pub bundles: u32,
    /// Bytes of content on disk.
    pub stored_bytes: u64,
    /// The most that there may be.
    pub quota_bytes: u64,
}

/// What was removed because nobody needed it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// How many blobs.
    pub blobs: u64,
    /// Their bytes on disk.
    pub bytes: u64,
}

impl Store {
    fn state(&self) -> MutexGuard<'_, State> {
        // What panicked left at most a count too high: each change of the state is made in one go.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn committing(&self) -> MutexGuard<'_, ()> {
        self.commit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_writable(&self) -> Result<(), StoreError> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::ReadOnly => Err(StoreError::ReadOnly),
        }
    }

    /// The version with this number, or the active one.
    #[must_use]
    pub fn find(&self, name: &BundleName, version: Option<Version>) -> Option<Arc<Installed>> {
        let state = self.state();
        let versions = state.bundles.get(name)?;
        versions.installed.get(&version.or(versions.active)?).cloned()
    }

    /// The active version of a bundle.
    #[must_use]
    pub fn active(&self, name: &BundleName) -> Option<Version> {
        self.state().bundles.get(name)?.active
    }

    /// All versions of a bundle, the latest first. Empty where there is no such bundle.
    #[must_use]
    pub fn versions(&self, name: &BundleName) -> Vec<Listed> {
        let state = self.state();
        let Some(versions) = state.bundles.get(name) else { return Vec::new() };
        versions.installed.values().rev().map(|bundle| versions.listed(bundle)).collect()
    }

    /// At most `limit` versions of bundles after the one that `after` names: by name, and the latest version first.
    #[must_use]
    pub fn list(&self, after: Option<&(BundleName, Version)>, limit: usize) -> Vec<Listed> {
        self.list_where(after, limit, |_| true)
    }

    /// As [`list`](Self::list), of those that `shown` lets through.
    pub(crate) fn list_where(
        &self,
        after: Option<&(BundleName, Version)>,
        limit: usize,
        shown: impl Fn(&Manifest) -> bool,
    ) -> Vec<Listed> {
        let state = self.state();
        let bundles = match after {
            Some((name, _)) => state.bundles.range(name.clone()..),
            None => state.bundles.range::<BundleName, _>(..),
        };
        bundles
            .flat_map(|(name, versions)| {
                versions
                    .installed
                    .iter()
                    .rev()
                    .map(move |(version, bundle)| (name, version, versions, bundle))
            })
            .filter(|(name, version, ..)| {
                after.is_none_or(|(after, latest)| (*name, latest) > (after, *version))
            })
            .filter(|(.., bundle)| shown(bundle.manifest()))
            .take(limit)
            .map(|(_, _, versions, bundle)| versions.listed(bundle))
            .collect()
    }

    /// The bytes on disk that nothing else that is installed needs.
    #[must_use]
    pub fn own_bytes(&self, bundle: &Installed) -> u64 {
        let blobs = bundle.manifest().blobs();
        let state = self.state();
        let own = blobs.iter().filter(|blob| state.users.get(&blob.digest) == Some(&1));
        own.filter_map(|blob| state.blobs.get(&blob.digest)).sum()
    }

    /// The bytes on disk of what is in it, whatever else has the same content.
    pub(crate) fn bytes_on_disk(&self, bundle: &Installed) -> u64 {
        let blobs = bundle.manifest().blobs();
        let state = self.state();
        blobs.iter().filter_map(|blob| state.blobs.get(&blob.digest)).sum()
    }

    /// How much there is.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let state = self.state();
        Usage {
            bundles: state.versions,
            stored_bytes: state.stored_bytes,
            quota_bytes: self.options.quota_bytes,
        }
    }

    /// Files of the store that are damaged: heads, which are not in any list, and pointers, whose bundles have no active version.
    /// Damaged content is found when it is read.
    #[must_use]
    pub fn damaged(&self) -> Vec<String> {
        self.state().damaged_heads.clone()
    }

    /// Opens the content of a file. It can be read until it is dropped, whatever becomes of the bundle.
    pub fn open_blob(&self, blob: Blob) -> Result<BlobFile, StoreError> {
        BlobFile::open(&*self.disk, blob)
    }

    /// Makes `version` the active one, and returns the one that was.
    pub fn activate(
        &self,
        name: &BundleName,
        version: Version,
        allow_downgrade: bool,
    ) -> Result<Option<Version>, StoreError> {
        self.check_writable()?;
        let _committing = self.committing();
        let before = {
            let state = self.state();
            state.check_activation(name, version, allow_downgrade)?;
            let versions =
                state.bundles.get(name).ok_or_else(|| StoreError::NoSuchBundle { name: name.clone() })?;
            if !versions.installed.contains_key(&version) {
                return Err(StoreError::NoSuchVersion { name: name.clone(), version });
            }
            versions.active
        };
        self.point_to(name, version)?;
        Ok(before)
    }

    /// Flips the pointer. The version is there, and changes of names wait.
    fn point_to(&self, name: &BundleName, version: Version) -> Result<(), StoreError> {
        let Some(installed) = self.find(name, Some(version)) else {
            return Err(StoreError::NoSuchVersion { name: name.clone(), version });
        };
        let staging = self.make_staging()?;
        let staged = format!("{staging}/{}", layout::ACTIVE);
        let text = layout::pointer(version, &installed.manifest().digest());
        let placed = self.write_file(&staged, text.as_bytes()).and_then(|()| {
            let active = layout::active(name);
            self.disk.rename(&staged, &active).map_err(StoreError::io("put in its place", &active))?;
            let directory = layout::bundle(name);
            self.disk.sync_directory(&directory).map_err(StoreError::io("sync", &directory))
        });
        self.discard_staging(&staging);
        placed?;
        let mut state = self.state();
        if let Some(versions) = state.bundles.get_mut(name) {
            versions.active = Some(version);
        }
        let path = layout::active(name);
        state.damaged_heads.retain(|damaged| *damaged != path);
        Ok(())
    }

    /// Removes a version. Files of it that are open stay readable; its content stays on disk until it is collected.
    pub fn uninstall(
        &self,
        name: &BundleName,
        version: Version,
        even_if_active: bool,
    ) -> Result<(), StoreError> {
        self.check_writable()?;
        let _committing = self.committing();
        let head = layout::head(name, version);
        let directory = layout::bundle(name);
        let (active, damaged) = {
            let state = self.state();
            let versions = state.bundles.get(name);
            let damaged = state.damaged_heads.contains(&head);
            if !damaged {
                let versions = versions.ok_or_else(|| StoreError::NoSuchBundle { name: name.clone() })?;
                if !versions.installed.contains_key(&version) {
                    return Err(StoreError::NoSuchVersion { name: name.clone(), version });
                }
            }
            (versions.is_some_and(|versions| versions.active == Some(version)), damaged)
        };
        if active && !even_if_active {
            return Err(StoreError::InUse { name: name.clone(), version });
        }
        if active {
            // The pointer goes first: it never leads to what is not there.
            let pointer = layout::active(name);
            self.disk.remove_file(&pointer).map_err(StoreError::io("remove", &pointer))?;
            self.disk.sync_directory(&directory).map_err(StoreError::io("sync", &directory))?;
            if let Some(versions) = self.state().bundles.get_mut(name) {
                versions.active = None;
            }
        }
        self.disk.remove_file(&head).map_err(StoreError::io("remove", &head))?;
        self.state().forget(name, version);
        if damaged {
            self.state().damaged_heads.retain(|path| *path != head);
        }
        self.disk.sync_directory(&directory).map_err(StoreError::io("sync", &directory))?;
        // It goes if nothing else is in it, and stays otherwise.
        let _ = self.disk.remove_directory(&directory);
        Ok(())
    }

    /// Removes the content that no bundle needs, and that no install counts on. Files that are open stay readable.
    pub fn collect(&self) -> Result<Collected, StoreError> {
        self.check_writable()?;
        let _committing = self.committing();
        let unneeded: Vec<_> = {
            let state = self.state();
            if let Some(path) = state.damaged_heads.iter().find(|path| !path.ends_with(layout::ACTIVE)) {
                return Err(StoreError::DamagedHead { path: path.clone() });
            }
            state.blobs.keys().filter(|digest| !state.is_needed(digest)).copied().collect()
        };
        let mut collected = Collected::default();
        let mut directories = HashSet::new();
        for digest in unneeded {
            // An install that comes now must write it again, and cannot put it in its place before this is over.
            let Some(bytes) = self.state().take_unneeded(&digest) else { continue };
            let path = layout::blob(&digest);
            if let Err(error) = self.disk.remove_file(&path)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                self.state().stored(digest, bytes);
                return Err(StoreError::io("remove", &path)(error));
            }
            directories.insert(layout::blob_directory(&digest));
            collected.blobs += 1;
            collected.bytes += bytes;
        }
        for directory in directories {
            self.disk.sync_directory(&directory).map_err(StoreError::io("sync", &directory))?;
        }
        Ok(collected)
    }

    /// A directory for what is not complete.
    fn make_staging(&self) -> Result<String, StoreError> {
        let number = {
            let mut state = self.state();
            state.next_staging += 1;
            state.next_staging
        };
        let staging = format!("{}/{number}", layout::STAGING);
        self.disk.create_directory(&staging).map_err(StoreError::io("make", &staging))?;
        Ok(staging)
    }

    /// Removes what was not completed. What cannot be removed is when the store is opened again.
    fn discard_staging(&self, staging: &str) {
        for name in self.disk.names(staging).unwrap_or_default() {
            let _ = self.disk.remove_file(&format!("{staging}/{name}"));
        }
        let _ = self.disk.remove_directory(staging);
    }

    /// Makes a file with these bytes, and has it on disk.
    fn write_file(&self, path: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let mut file = self.disk.create(path).map_err(StoreError::io("make", path))?;
        file.append(bytes).map_err(StoreError::io("write", path))?;
        file.sync().map_err(StoreError::io("sync", path))
    }
}

impl Versions {
    fn listed(&self, bundle: &Arc<Installed>) -> Listed {
        let active = self.active == Some(bundle.manifest().version());
        Listed { bundle: bundle.clone(), active }
    }
}

impl State {
    /// Refuses to go back to an earlier version, unless that is asked for.
    fn check_activation(
        &self,
        name: &BundleName,
        version: Version,
        allow_downgrade: bool,
    ) -> Result<(), StoreError> {
        match self.bundles.get(name).and_then(|versions| versions.active) {
            Some(active) if active > version && !allow_downgrade => {
                Err(StoreError::Downgrade { name: name.clone(), active, version })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Takes a version for installed: its head is on disk.
    fn remember(&mut self, installed: Installed) {
        let manifest = installed.manifest();
        let (name, version) = (manifest.name().clone(), manifest.version());
        let (blobs, bytes) = (manifest.blobs(), manifest.encoded().len() as u64);
        let versions = self.bundles.entry(name).or_default();
        if versions.installed.insert(version, Arc::new(installed)).is_some() {
            // The same one, once more.
            return;
        }
        for Blob { digest, .. } in blobs {
            *self.users.entry(digest).or_insert(0) += 1;
        }
        self.manifest_bytes += bytes;
        self.versions += 1;
    }

    fn forget(&mut self, name: &BundleName, version: Version) {
        let Some(versions) = self.bundles.get_mut(name) else { return };
        let Some(installed) = versions.installed.remove(&version) else { return };
        if versions.installed.is_empty() {
            self.bundles.remove(name);
        }
        for blob in installed.manifest().blobs() {
            release(&mut self.users, &blob.digest);
        }
        self.manifest_bytes -= installed.manifest().encoded().len() as u64;
        self.versions -= 1;
    }

    /// Whether a bundle has it, or is about to.
    fn is_needed(&self, digest: &Digest) -> bool {
        self.users.contains_key(digest) || self.pins.contains_key(digest)
    }

    /// Takes content for stored, in so many bytes.
    fn stored(&mut self, digest: Digest, bytes: u64) {
        let before = self.blobs.insert(digest, bytes).unwrap_or(0);
        self.stored_bytes = self.stored_bytes.saturating_sub(before).saturating_add(bytes);
    }

    /// Forgets content that nobody needs, and says what it takes.
    fn take_unneeded(&mut self, digest: &Digest) -> Option<u64> {
        if self.is_needed(digest) {
            return None;
        }
        let bytes = self.blobs.remove(digest)?;
        self.stored_bytes = self.stored_bytes.saturating_sub(bytes);
        Some(bytes)
    }
}

/// One fewer counts on this content.
fn release(counts: &mut HashMap<Digest, u32>, digest: &Digest) {
    if let Some(count) = counts.get_mut(digest) {
        *count -= 1;
        if *count == 0 {
            counts.remove(digest);
        }
    }
}

/// What content takes on disk.
fn disk_bytes(blob: &Blob) -> u64 {
    blob.size_bytes + table_bytes(blob.size_bytes)
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
