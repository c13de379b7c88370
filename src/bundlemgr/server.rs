//! The server of one vat: a [`Store`] behind the interface of `schema/bundlemgr.capnp`.

use std::sync::Arc;
use std::time::Duration;

use vatmux_noise::NodeId;
use vatmux_rpc::service::{Call, Refusal, Stub};

use super::status::{invalid_name, refusal};
use super::upload::{Uploading, on_a_thread};
use crate::bundle::{
    BundleName, InstallOptions, Installed, Listed, MAX_PACKED_BYTES, NameError, Store, StoreError, Version,
};
use crate::schema::bundle as manifest_schema;
use crate::schema::bundlemgr::{
    Bundle, BundleMgrCollectResults, BundleMgrListResults, BundleMgrServer, BundleMgrUsageResults, Status,
    Upload,
};
use crate::schema::bundlemgr_capnp::bundle_mgr::manifest_results;

/// The most bundles on one page of a list.
pub const MAX_PAGE_BUNDLES: usize = 256;

/// The most versions of a bundle that one answer has.
pub const MAX_VERSIONS: usize = 1024;

/// The largest manifest that is given in one answer, in bytes.
pub const MAX_MANIFEST_BYTES: usize = 4 * 1024 * 1024;

/// How long an upload may wait for its next bytes. It holds one of the few places that a store has for installs.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a peer may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// See what is there.
    Look,
    /// Install, activate and remove as well.
    Change,
}

/// The bundlemgr service of one vat.
#[derive(Debug)]
pub struct Server {
    store: Arc<Store>,
    rights: Rights,
    patience: Duration,
}

impl Server {
    /// A server of `store` for a peer with these rights.
    #[must_use]
    pub fn new(store: Arc<Store>, rights: Rights) -> Self {
        Self { store, rights, patience: PATIENCE }
    }

    /// How long an upload may wait for its next bytes: a minute unless said otherwise.
    #[must_use]
    pub fn upload_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Makes a change, if the caller may, and tells of it either way.
    async fn change<T: Send + 'static>(
        &self,
        call: &Call,
        target: String,
        change: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refusal<Status>> {
        if self.rights == Rights::Look {
            let denied = Refusal::new(Status::AccessDenied, "this node may not change bundles here");
            log(call.peer(), call.method().name, &target, "denied");
            return Err(denied);
        }
        let store = self.store.clone();
        // Disks take their time to sync, and this thread has others to serve.
        let outcome = on_a_thread(move || change(&store)).await?;
        match &outcome {
            Ok(_) => log(call.peer(), call.method().name, &target, "ok"),
            Err(error) => log(call.peer(), call.method().name, &target, &error.to_string()),
        }
        outcome.map_err(|error| refusal(&error))
    }
}

/// Says who changed what, or tried to.
pub(super) fn log(peer: Option<NodeId>, method: &str, target: &str, outcome: &str) {
    let peer = peer.map_or_else(|| "this process".to_owned(), |peer| peer.to_string());
    tracing::info!(target: "vatmux::bundlemgr", peer, method, bundle = target, outcome, "bundles changed");
}

impl BundleMgrServer for Server {
    async fn install(
        &self,
        call: &Call,
        size_bytes: u64,
        activate: bool,
        allow_downgrade: bool,
    ) -> Result<Upload, Refusal<Status>> {
        if self.rights == Rights::Look {
            log(call.peer(), "install", "", "denied");
            return Err(Refusal::new(Status::AccessDenied, "this node may not change bundles here"));
        }
        if size_bytes > MAX_PACKED_BYTES {
            let detail = format!("a packed bundle has at most {MAX_PACKED_BYTES} bytes");
            return Err(Refusal::new(Status::SizeMismatch, detail));
        }
        let options = InstallOptions { announced_bytes: Some(size_bytes), activate, allow_downgrade };
        let install = self.store.install(options).map_err(|error| {
            log(call.peer(), "install", "", &error.to_string());
            refusal(&error)
        })?;
        let uploading = Uploading::start(self.store.clone(), install, call.peer(), self.patience)?;
        Ok(Upload::serve(uploading))
    }

    async fn query(&self, _call: &Call, name: &str) -> Result<Vec<Bundle>, Refusal<Status>> {
        let name: BundleName = name.parse().map_err(invalid_name)?;
        let mut versions = self.store.versions(&name);
        if versions.is_empty() {
            return Err(Status::NotFound.into());
        }
        versions.truncate(MAX_VERSIONS);
        Ok(versions.iter().map(|listed| described(&self.store, listed)).collect())
    }

    async fn list(
        &self,
        _call: &Call,
        cursor: &[u8],
        limit: u32,
    ) -> Result<BundleMgrListResults, Refusal<Status>> {
        let after = match cursor {
            [] => None,
            cursor => Some(parse_cursor(cursor).ok_or(Status::InvalidCursor)?),
        };
        let limit = (limit as usize).clamp(1, MAX_PAGE_BUNDLES);
        let mut page = self.store.list(after.as_ref(), limit + 1);
        let more = page.len() > limit;
        page.truncate(limit);
        let next = page.last().filter(|_| more).map(|last| {
            let manifest = last.bundle.manifest();
            format!("{}@{}", manifest.name(), manifest.version()).into_bytes()
        });
        let bundles = page.iter().map(|listed| described(&self.store, listed)).collect();
        Ok(BundleMgrListResults { bundles, next: next.unwrap_or_default() })
    }

    async fn manifest(
        &self,
        _call: &Call,
        name: &str,
        version: manifest_schema::Version,
        mut results: manifest_results::Builder<'_>,
    ) -> Result<(), Refusal<Status>> {
        let name: BundleName = name.parse().map_err(invalid_name)?;
        let version = Version::new(version.major, version.minor, version.patch);
        let bundle = self.store.find(&name, version).ok_or(Status::NotFound)?;
        let encoded = bundle.manifest().encoded();
        if encoded.len() > MAX_MANIFEST_BYTES {
            let detail = format!("the manifest has {} bytes", encoded.len());
            return Err(Refusal::new(Status::TooLarge, detail));
        }
        results.set_manifest(encoded);
        results.set_signature(bundle.signed().signature());
        Ok(())
    }

    async fn activate(
        &self,
        call: &Call,
        name: &str,
        version: manifest_schema::Version,
        allow_downgrade: bool,
    ) -> Result<manifest_schema::Version, Refusal<Status>> {
        let (name, version) = named(name, &version)?;
        let target = format!("{name}@{version}");
        let change = move |store: &Store| store.activate(&name, version, allow_downgrade);
        let before = self.change(call, target, change).await?;
        Ok(numbers(before))
    }

    async fn uninstall(
        &self,
        call: &Call,
        name: &str,
        version: manifest_schema::Version,
        even_if_active: bool,
    ) -> Result<(), Refusal<Status>> {
        let (name, version) = named(name, &version)?;
        let target = format!("{name}@{version}");
        self.change(call, target, move |store| store.uninstall(&name, version, even_if_active)).await
    }

    async fn collect(&self, call: &Call) -> Result<BundleMgrCollectResults, Refusal<Status>> {
        let collected = self.change(call, String::new(), Store::collect).await?;
        Ok(BundleMgrCollectResults { blobs: collected.blobs, freed_bytes: collected.bytes })
    }

    async fn usage(&self, _call: &Call) -> Result<BundleMgrUsageResults, Refusal<Status>> {
        let usage = self.store.usage();
        Ok(BundleMgrUsageResults {
            bundles: usage.bundles,
            stored_bytes: usage.stored_bytes,
            quota_bytes: usage.quota_bytes,
        })
    }
}

/// A version of a bundle, which must be named in full.
fn named(name: &str, version: &manifest_schema::Version) -> Result<(BundleName, Version), Refusal<Status>> {
    let name = name.parse().map_err(invalid_name)?;
    let version = Version::new(version.major, version.minor, version.patch);
    Ok((name, version.ok_or_else(|| invalid_name(NameError::NotAVersion))?))
}

fn numbers(version: Option<Version>) -> manifest_schema::Version {
    let [major, minor, patch] = version.map_or([0; 3], Version::numbers);
    manifest_schema::Version { major, minor, patch }
}

fn parse_cursor(cursor: &[u8]) -> Option<(BundleName, Version)> {
    let (name, version) = std::str::from_utf8(cursor).ok()?.split_once('@')?;
    Some((name.parse().ok()?, version.parse().ok()?))
}

fn described(store: &Store, listed: &Listed) -> Bundle {
    of_installed(store, &listed.bundle, listed.active)
}

pub(super) fn of_installed(store: &Store, bundle: &Installed, active: bool) -> Bundle {
    let manifest = bundle.manifest();
    Bundle {
        name: manifest.name().to_string(),
        version: numbers(Some(manifest.version())),
        publisher: manifest.publisher().as_bytes().to_vec(),
        tree_digest: manifest.tree_digest().as_bytes().to_vec(),
        content_bytes: manifest.content_bytes(),
        files: manifest.file_count(),
        active,
        installed: bundle.installed_ns(),
        stored_bytes: store.own_bytes(bundle),
    }
}
