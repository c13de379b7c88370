//! The server of one vat: a [`Store`] behind the interface of `schema/bundlemgr.capnp`.

use std::sync::Arc;
use std::time::Duration;

use vatmux_rpc::service::{Call, Refusal, Stub};

use super::SERVICE_NAME;
use super::status::{invalid_name, refusal};
use super::upload::{MAX_PEER_INSTALLS, Permitted, Uploading, on_a_thread};
use crate::access::Mutation;
use crate::access::shares::{Share, Shares};
use crate::bundle::{
    BundleName, Install, InstallOptions, Installed, Listed, MAX_PACKED_BYTES, NameError, Right, Rights,
    Store, StoreError, Version, View,
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

/// How many installs each peer has under way, by its key: servers that share it, as those of a node do, bound a peer over all
/// its streams and sessions, to [`MAX_PEER_INSTALLS`](super::MAX_PEER_INSTALLS). Clones are the same count.
#[derive(Clone, Debug, Default)]
pub struct Installs(pub(super) Shares);

/// The bundlemgr service of one vat: what somebody with these rights sees of a store, and may do with it.
#[derive(Debug)]
pub struct Server {
    store: Arc<Store>,
    rights: Arc<Rights>,
    installs: Installs,
    patience: Duration,
}

impl Server {
    /// A server of `store` for a peer with these rights.
    #[must_use]
    pub fn new(store: Arc<Store>, rights: Rights) -> Self {
        Self { store, rights: Arc::new(rights), installs: Installs::default(), patience: PATIENCE }
    }

    /// Counts the installs of a peer together with those at other servers.
    #[must_use]
    pub fn sharing(self, installs: Installs) -> Self {
        Self { installs, ..self }
    }

    /// How long an upload may wait for its next bytes: a minute unless said otherwise.
    #[must_use]
    pub fn upload_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// What the peer sees.
    fn view(&self) -> View<'_> {
        View::new(&self.store, &self.rights, Right::See)
    }

    /// Makes a change to a version of a bundle, if the peer may.
    async fn change_version<T: Send + 'static>(
        &self,
        right: Right,
        name: &BundleName,
        version: Version,
        change: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refusal<Status>> {
        if !self.rights.permit_some(right, name) {
            return Err(denied());
        }
        if !self.rights.permit_any(right, name) {
            // It depends on whose it is, and what the peer may not see is not there.
            let Some(found) = self.view().find(name, Some(version)) else {
                let name = name.clone();
                return Err(refusal(&if self.view().versions(&name).is_empty() {
                    StoreError::NoSuchBundle { name }
                } else {
                    StoreError::NoSuchVersion { name, version }
                }));
            };
            if !self.rights.permit(right, name, &found.manifest().publisher()) {
                return Err(denied());
            }
        }
        self.change(change).await
    }

    /// Makes a change. Disks take their time to sync, and this thread has others to serve.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Refusal<Status>> {
        let store = self.store.clone();
        on_a_thread(move || change(&store)).await?.map_err(|error| refusal(&error))
    }

    fn begin_install(
        &self,
        call: &Call,
        size_bytes: u64,
        options: InstallOptions,
    ) -> Result<(Share, Install), Refusal<Status>> {
        if !self.rights.give(Right::Install) {
            return Err(denied());
        }
        if size_bytes > MAX_PACKED_BYTES {
            let detail = format!("a packed bundle has at most {MAX_PACKED_BYTES} bytes");
            return Err(Refusal::new(Status::SizeMismatch, detail));
        }
        let Some(share) = self.installs.0.take(call.peer(), MAX_PEER_INSTALLS) else {
            let detail = format!("this node has {MAX_PEER_INSTALLS} installs under way");
            return Err(Refusal::new(Status::Busy, detail));
        };
        let install = self.store.install(options).map_err(|error| refusal(&error))?;
        Ok((share, install))
    }

    /// A bundle as the peer is told of it.
    fn described(&self, listed: &Listed) -> Bundle {
        of_installed(&self.store, &self.rights, &listed.bundle, listed.active)
    }
}

fn denied() -> Refusal<Status> {
    Refusal::new(Status::AccessDenied, "this node may not change such bundles here")
}

impl BundleMgrServer for Server {
    async fn install(
        &self,
        call: &Call,
        size_bytes: u64,
        activate: bool,
        allow_downgrade: bool,
    ) -> Result<Upload, Refusal<Status>> {
        let mutation = Mutation::asked(SERVICE_NAME, call, b"");
        let options = InstallOptions { announced_bytes: Some(size_bytes), activate, allow_downgrade };
        match self.begin_install(call, size_bytes, options) {
            Ok((share, install)) => {
                let install = Permitted { share, install, rights: self.rights.clone(), activate };
                Ok(Upload::serve(Uploading::start(self.store.clone(), install, mutation, self.patience)?))
            }
            Err(refusal) => {
                mutation.failed(&refusal);
                Err(refusal)
            }
        }
    }

    async fn query(&self, _call: &Call, name: &str) -> Result<Vec<Bundle>, Refusal<Status>> {
        let name: BundleName = name.parse().map_err(invalid_name)?;
        let mut versions = self.view().versions(&name);
        if versions.is_empty() {
            return Err(Status::NotFound.into());
        }
        versions.truncate(MAX_VERSIONS);
        Ok(versions.iter().map(|listed| self.described(listed)).collect())
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
        let mut page = self.view().list(after.as_ref(), limit + 1);
        let more = page.len() > limit;
        page.truncate(limit);
        let next = page.last().filter(|_| more).map(|last| {
            let manifest = last.bundle.manifest();
            format!("{}@{}", manifest.name(), manifest.version()).into_bytes()
        });
        let bundles = page.iter().map(|listed| self.described(listed)).collect();
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
        let bundle = self.view().find(&name, version).ok_or(Status::NotFound)?;
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
        let mutation = Mutation::asked(SERVICE_NAME, call, target(name, &version).as_bytes());
        let outcome = async {
            let (name, version) = named(name, &version)?;
            let activated = name.clone();
            let change = move |store: &Store| store.activate(&activated, version, allow_downgrade);
            self.change_version(Right::Activate, &name, version, change).await
        };
        let outcome = outcome.await;
        mutation.end(&outcome);
        Ok(numbers(outcome?))
    }

    async fn uninstall(
        &self,
        call: &Call,
        name: &str,
        version: manifest_schema::Version,
        even_if_active: bool,
    ) -> Result<(), Refusal<Status>> {
        let mutation = Mutation::asked(SERVICE_NAME, call, target(name, &version).as_bytes());
        let outcome = async {
            let (name, version) = named(name, &version)?;
            let removed = name.clone();
            let change = move |store: &Store| store.uninstall(&removed, version, even_if_active);
            self.change_version(Right::Remove, &name, version, change).await
        };
        let outcome = outcome.await;
        mutation.end(&outcome);
        outcome
    }

    async fn collect(&self, call: &Call) -> Result<BundleMgrCollectResults, Refusal<Status>> {
        let mutation = Mutation::asked(SERVICE_NAME, call, b"");
        // What no bundle needs has no name: it is for whoever may remove any.
        let outcome = if self.rights.give_everywhere(Right::Remove) {
            self.change(Store::collect).await
        } else {
            Err(denied())
        };
        mutation.end(&outcome);
        let collected = outcome?;
        Ok(BundleMgrCollectResults { blobs: collected.blobs, freed_bytes: collected.bytes })
    }

    async fn usage(&self, _call: &Call) -> Result<BundleMgrUsageResults, Refusal<Status>> {
        let mut usage = self.store.usage();
        if !self.rights.give_everywhere(Right::See) {
            let seen = self.view().list(None, usize::MAX);
            usage.bundles = seen.len() as u32;
            usage.stored_bytes = seen.iter().map(|listed| self.store.bytes_on_disk(&listed.bundle)).sum();
        }
        Ok(BundleMgrUsageResults {
            bundles: usage.bundles,
            stored_bytes: usage.stored_bytes,
            quota_bytes: usage.quota_bytes,
        })
    }
}

/// What a call is about, as the caller has it.
fn target(name: &str, version: &manifest_schema::Version) -> String {
    format!("{name}@{}.{}.{}", version.major, version.minor, version.patch)
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

/// A bundle as somebody with these rights is told of it: how much of its content others have as well is not for those who do not
/// see them.
pub(super) fn of_installed(store: &Store, rights: &Rights, bundle: &Installed, active: bool) -> Bundle {
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
        stored_bytes: if rights.give_everywhere(Right::See) {
            store.own_bytes(bundle)
        } else {
            store.bytes_on_disk(bundle)
        },
    }
}
