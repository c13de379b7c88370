//! Installing: a packed bundle comes in, and is there when all of it was verified.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::disk::{Disk, DiskFile, Whole};
use super::error::StoreError;
use super::{Installed, Store, disk_bytes, layout, release};
use crate::bundle::{
    Blob, BundleName, Manifest, SignedManifest, Step, UnpackError, Unpacker, Verified, Version,
};

/// What is to become of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstallOptions {
    /// How many bytes will come; as many as the bundle says itself where that is not given.
    pub announced_bytes: Option<u64>,
    /// Whether the name alone shall mean this version from now on.
    pub activate: bool,
    /// Whether it may do so in place of a later one.
    pub allow_downgrade: bool,
}

impl Default for InstallOptions {
    fn default() -> Self {
        Self { announced_bytes: None, activate: true, allow_downgrade: false }
    }
}

/// A bundle that is being installed. Dropping it drops what has come of it.
#[derive(Debug)]
pub struct Install {
    store: Arc<Store>,
    options: InstallOptions,
    unpacker: Unpacker,
    permission: Permission,
    admitted: Option<Admitted>,
}

/// Whether the bundle may be installed by whoever installs it: the reason if not.
struct Permission(Box<Judge>);

type Judge = dyn Fn(&Manifest) -> Result<(), &'static str> + Send;

impl fmt::Debug for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permission(..)")
    }
}

/// What was settled when the manifest came.
#[derive(Debug)]
struct Admitted {
    signed: Arc<SignedManifest>,
    staging: String,
    reserved_bytes: u64,
    /// What is written, if it is not there yet.
    output: Option<(String, Box<dyn DiskFile>)>,
    staged: Vec<Blob>,
    unsynced: Unsynced,
}

/// A file of at least so many bytes is synced as soon as it has come: it is worth a flush of its own, and is on its way to the
/// disk while the next one comes.
const LARGE_FILE_BYTES: u64 = 1 << 20;

/// The bytes of small files that may wait to be synced together, beside the last of them: what the end of an install waits for,
/// and what a disk has to write at once.
const UNSYNCED_BYTES: u64 = 16 << 20;

/// With more files or directories than this they are synced with all that is on the file system.
const FEW: usize = 8;

/// Staged files that are not on disk for certain.
///
/// To sync a file costs a flush of the disk, and mostly a commit of the file system's log, whatever its length. To sync the whole
/// file system costs that once, but waits for all that anybody else has written to it. So a few files are synced one by one, and
/// many together. Writing them all out first and then syncing each saves the commits, but not the flushes: a thousand files are
/// a thousand flushes then, too.
#[derive(Debug)]
struct Unsynced {
    whole: Option<Box<dyn Whole>>,
    files: usize,
    bytes: u64,
    /// The files, as long as they are few.
    few: Vec<(String, Box<dyn DiskFile>)>,
}

impl Unsynced {
    /// Of what is written from now on.
    fn on(disk: &dyn Disk) -> Result<Self, StoreError> {
        let whole = disk.whole().map_err(StoreError::io("open", "."))?;
        Ok(Self { whole, files: 0, bytes: 0, few: Vec::new() })
    }

    /// Takes a file that is written, and syncs it now or later.
    fn add(&mut self, path: String, mut file: Box<dyn DiskFile>, bytes: u64) -> Result<(), StoreError> {
        if self.whole.is_none() || bytes >= LARGE_FILE_BYTES {
            return file.sync().map_err(StoreError::io("sync", &path));
        }
        self.files += 1;
        self.bytes += bytes;
        if self.files <= FEW {
            self.few.push((path, file));
        } else {
            self.few.clear();
        }
        if self.bytes >= UNSYNCED_BYTES { self.sync() } else { Ok(()) }
    }

    /// Has all of them on disk.
    fn sync(&mut self) -> Result<(), StoreError> {
        match &self.whole {
            Some(whole) if self.files > FEW => whole.sync().map_err(StoreError::io("sync", "."))?,
            _ => {
                for (path, file) in &mut self.few {
                    file.sync().map_err(StoreError::io("sync", path))?;
                }
            }
        }
        self.few.clear();
        (self.files, self.bytes) = (0, 0);
        Ok(())
    }

    /// Has the names in these directories on disk.
    fn sync_directories(&self, disk: &dyn Disk, directories: &HashSet<String>) -> Result<(), StoreError> {
        match &self.whole {
            Some(whole) if directories.len() > FEW => whole.sync().map_err(StoreError::io("sync", ".")),
            _ => directories
                .iter()
                .try_for_each(|path| disk.sync_directory(path).map_err(StoreError::io("sync", path))),
        }
    }
}

/// What came of an install.
#[derive(Clone, Debug)]
pub struct Installation {
    /// The version that is there now.
    pub bundle: Arc<Installed>,
    /// Whether it was there before, with the same content.
    pub was_there: bool,
}

impl Store {
    /// Begins to install a bundle.
    pub fn install(self: &Arc<Self>, options: InstallOptions) -> Result<Install, StoreError> {
        self.check_writable()?;
        let mut state = self.state();
        if state.installs >= self.options.installs {
            return Err(StoreError::TooManyInstalls { limit: self.options.installs });
        }
        state.installs += 1;
        drop(state);
        let unpacker = Unpacker::new(options.announced_bytes);
        let permission = Permission(Box::new(|_| Ok(())));
        Ok(Install { store: self.clone(), options, unpacker, permission, admitted: None })
    }
}

impl Install {
    /// Installs it only if `permission` finds nothing against it: it is asked when the manifest has come, before anything else is
    /// said of the bundle, and gives the reason if it does.
    #[must_use]
    pub fn permitted(
        mut self,
        permission: impl Fn(&Manifest) -> Result<(), &'static str> + Send + 'static,
    ) -> Self {
        self.permission = Permission(Box::new(permission));
        self
    }

    /// Takes the next bytes of the packed bundle, cut anywhere. After an error only dropping it is of use.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<(), StoreError> {
        while let Some(step) = self.unpacker.step(&mut bytes)? {
            match step {
                Step::Manifest(signed) => self.admit(&signed)?,
                Step::Begins(blob) => self.begin(blob)?,
                Step::Content(content) => {
                    if let Some((path, file)) = self.output() {
                        file.append(content).map_err(StoreError::io("write", path))?;
                    }
                }
                Step::Verified(verified) => self.verified(&verified)?,
                Step::Done => {}
            }
        }
        Ok(())
    }

    /// The bundle, once its manifest has come and was found good.
    #[must_use]
    pub fn manifest(&self) -> Option<&Arc<SignedManifest>> {
        self.admitted.as_ref().map(|admitted| &admitted.signed)
    }

    /// That this was all of it: puts it in its place and, if that was asked for, activates it. It is there, and durable, when this
    /// returns.
    pub fn finish(mut self) -> Result<Installation, StoreError> {
        self.unpacker.finish()?;
        // A bundle is not complete before its manifest came.
        let admitted = self.admitted.as_mut().ok_or(UnpackError::Failed)?;
        let (signed, staging) = (admitted.signed.clone(), admitted.staging.clone());
        let staged = std::mem::take(&mut admitted.staged);
        let store = &*self.store;
        admitted.unsynced.sync()?;
        let unsynced = &admitted.unsynced;
        let manifest = signed.manifest();
        let (name, version) = (manifest.name(), manifest.version());

        let committing = store.committing();
        if self.options.activate {
            // Another version may have been activated since the manifest came.
            store.state().check_activation(name, version, self.options.allow_downgrade)?;
        }
        store.place_blobs(&staging, &staged, unsynced)?;
        store.place_head(&staging, &signed)?;
        let installed_ns = SystemTime::now().duration_since(UNIX_EPOCH).ok();
        let installed_ns = installed_ns.and_then(|since| i64::try_from(since.as_nanos()).ok()).unwrap_or(0);
        let was_there = {
            let mut state = store.state();
            let was_there = state.version(name, version).is_some();
            state.remember(Installed { signed: signed.clone(), installed_ns });
            let head = layout::head(name, version);
            state.damaged_heads.retain(|path| *path != head);
            was_there
        };
        if self.options.activate && store.active(name) != Some(version) {
            store.point_to(name, version)?;
        }
        drop(committing);
        let bundle = store.find(name, Some(version));
        let bundle = bundle.ok_or_else(|| StoreError::NoSuchVersion { name: name.clone(), version })?;
        Ok(Installation { bundle, was_there })
    }

    fn output(&mut self) -> Option<(&str, &mut Box<dyn DiskFile>)> {
        let (path, file) = self.admitted.as_mut()?.output.as_mut()?;
        Some((path, file))
    }

    /// Judges the manifest, and reserves what it takes.
    fn admit(&mut self, signed: &Arc<SignedManifest>) -> Result<(), StoreError> {
        let store = &*self.store;
        let manifest = signed.manifest();
        let (name, version) = (manifest.name(), manifest.version());
        let publisher = manifest.publisher();
        (self.permission.0)(manifest).map_err(|reason| StoreError::NotPermitted { reason })?;
        if !store.options.trust.includes(&publisher) {
            return Err(StoreError::UnknownPublisher { publisher });
        }
        let unsynced = Unsynced::on(&*store.disk)?;
        let reserved_bytes = {
            let mut state = store.state();
            if self.options.activate {
                state.check_activation(name, version, self.options.allow_downgrade)?;
            }
            match state.version(name, version) {
                Some(installed) if installed.manifest().digest() != manifest.digest() => {
                    return Err(StoreError::AlreadyInstalled { name: name.clone(), version });
                }
                Some(_) => {}
                None => {
                    let manifest_bytes = state.manifest_bytes + manifest.encoded().len() as u64;
                    if state.versions >= store.options.bundles
                        || manifest_bytes > store.options.manifest_bytes
                    {
                        return Err(StoreError::TooMany);
                    }
                }
            }
            let blobs = manifest.blobs();
            let new = blobs.iter().filter(|blob| !state.blobs.contains_key(&blob.digest));
            let needed_bytes = new.map(disk_bytes).sum();
            let taken_bytes = state.stored_bytes.saturating_add(state.reserved_bytes);
            let free_bytes = store.options.quota_bytes.saturating_sub(taken_bytes);
            if needed_bytes > free_bytes {
                return Err(StoreError::Quota { needed_bytes, free_bytes });
            }
            if !state.under_way.insert((name.clone(), version)) {
                return Err(StoreError::InstallUnderWay { name: name.clone(), version });
            }
            for blob in blobs {
                *state.pins.entry(blob.digest).or_insert(0) += 1;
            }
            state.reserved_bytes += needed_bytes;
            needed_bytes
        };
        // From here on dropping this gives back what was taken.
        let admitted = self.admitted.insert(Admitted {
            signed: signed.clone(),
            staging: String::new(),
            reserved_bytes,
            output: None,
            staged: Vec::new(),
            unsynced,
        });
        admitted.staging = store.make_staging()?;
        Ok(())
    }

    fn begin(&mut self, blob: Blob) -> Result<(), StoreError> {
        let Some(admitted) = &mut self.admitted else { return Ok(()) };
        let there = self.store.state().blobs.contains_key(&blob.digest);
        // What is there already is read once more: installing again repairs what was damaged.
        if there && self.store.open_blob(blob).and_then(|file| file.verify()).is_ok() {
            return Ok(());
        }
        let path = format!("{}/{}", admitted.staging, blob.digest);
        let file = self.store.disk.create(&path).map_err(StoreError::io("make", &path))?;
        admitted.output = Some((path, file));
        Ok(())
    }

    fn verified(&mut self, verified: &Verified) -> Result<(), StoreError> {
        let Some(admitted) = &mut self.admitted else { return Ok(()) };
        if let Some((path, mut file)) = admitted.output.take() {
            file.append(&verified.table().encoded()).map_err(StoreError::io("write", &path))?;
            let blob = verified.blob();
            admitted.unsynced.add(path, file, blob.size_bytes)?;
            admitted.staged.push(blob);
        }
        Ok(())
    }
}

impl Store {
    /// Gives staged content its names, and has these on disk.
    fn place_blobs(&self, staging: &str, staged: &[Blob], unsynced: &Unsynced) -> Result<(), StoreError> {
        let mut directories = HashSet::new();
        let mut made = false;
        for blob in staged {
            let directory = layout::blob_directory(&blob.digest);
            if !directories.contains(&directory) {
                made |= self.disk.create_directory(&directory).map_err(StoreError::io("make", &directory))?;
                directories.insert(directory);
            }
            let (from, path) = (format!("{staging}/{}", blob.digest), layout::blob(&blob.digest));
            self.disk.rename(&from, &path).map_err(StoreError::io("put in its place", &path))?;
            self.state().stored(blob.digest, disk_bytes(blob));
        }
        if made {
            directories.insert(layout::BLOBS.to_owned());
        }
        unsynced.sync_directories(&*self.disk, &directories)
    }

    /// Puts the head in its place, and has it on disk.
    fn place_head(&self, staging: &str, signed: &SignedManifest) -> Result<(), StoreError> {
        let manifest = signed.manifest();
        let staged = format!("{staging}/head");
        self.write_file(&staged, &signed.head())?;
        let directory = layout::bundle(manifest.name());
        if self.disk.create_directory(&directory).map_err(StoreError::io("make", &directory))? {
            self.disk.sync_directory(layout::BUNDLES).map_err(StoreError::io("sync", layout::BUNDLES))?;
        }
        let path = layout::head(manifest.name(), manifest.version());
        self.disk.rename(&staged, &path).map_err(StoreError::io("put in its place", &path))?;
        self.disk.sync_directory(&directory).map_err(StoreError::io("sync", &directory))
    }
}

impl super::State {
    fn version(&self, name: &BundleName, version: Version) -> Option<&Arc<Installed>> {
        self.bundles.get(name)?.installed.get(&version)
    }
}

impl Drop for Install {
    fn drop(&mut self) {
        let mut state = self.store.state();
        state.installs -= 1;
        let Some(admitted) = self.admitted.take() else { return };
        let manifest = admitted.signed.manifest();
        state.reserved_bytes -= admitted.reserved_bytes;
        state.under_way.remove(&(manifest.name().clone(), manifest.version()));
        for blob in manifest.blobs() {
            release(&mut state.pins, &blob.digest);
        }
        drop(state);
        drop(admitted.output);
        if !admitted.staging.is_empty() {
            self.store.discard_staging(&admitted.staging);
        }
    }
}
