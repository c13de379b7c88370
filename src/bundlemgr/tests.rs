//! Every method, the good call and each typed refusal, through the stubs.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::executor::block_on;
use futures::io::{AsyncRead, Cursor};
use tempfile::TempDir;
use vatmux_rpc::service::{self, Stub};

use super::*;
use crate::bundle::samples::{content, key, packed, small};
use crate::bundle::{Access, InstallOptions, Manifest, SignedManifest, StoreError, StoreOptions, Trust};
use crate::schema::bundle::Version;
use crate::schema::bundlemgr::UploadFinishResults;

/// A store on disk, and who is trusted.
struct World {
    folder: TempDir,
    store: Arc<Store>,
}

fn options() -> StoreOptions {
    StoreOptions { trust: Trust::Only(vec![key(1).id()]), ..StoreOptions::default() }
}

impl World {
    fn new(options: StoreOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(folder.path(), Access::ReadWrite, options).unwrap());
        Self { folder, store }
    }

    fn bundles(&self) -> BundleMgr {
        BundleMgr::serve(Server::new(self.store.clone(), Rights::all()))
    }
}

fn send(
    bundles: &BundleMgr,
    bytes: &[u8],
    size_bytes: u64,
    options: InstallOptions,
) -> Result<UploadFinishResults, InstallError> {
    block_on(install(bundles, &mut Cursor::new(bytes), size_bytes, options, &|_| {}))
}

fn send_all(bundles: &BundleMgr, bytes: &[u8]) -> Result<UploadFinishResults, InstallError> {
    send(bundles, bytes, bytes.len() as u64, InstallOptions::default())
}

fn refused<T>(outcome: Result<T, InstallError>) -> Status {
    match outcome.err().expect("it was not refused") {
        InstallError::Service(error) => status(&error),
        other => panic!("{other}"),
    }
}

fn status(error: &service::Error<Status>) -> Status {
    *error.status().unwrap_or_else(|| panic!("{error}"))
}

fn version(major: u32, minor: u32, patch: u32) -> Version {
    Version { major, minor, patch }
}

#[test]
fn a_bundle_is_installed_seen_activated_and_removed() {
    let world = World::new(options());
    let bundles = world.bundles();
    let (signed, bytes) = small("1.0.0");
    let installed = send_all(&bundles, &bytes).unwrap();
    assert!(!installed.was_there && installed.bundle.active);
    assert_eq!(installed.bundle.publisher, key(1).id().as_bytes());
    assert_eq!(installed.bundle.tree_digest, signed.manifest().tree_digest().as_bytes());
    assert_eq!(
        (installed.bundle.files, installed.bundle.content_bytes, installed.bundle.stored_bytes),
        (4, 34, 24)
    );
    assert!(send_all(&bundles, &bytes).unwrap().was_there);

    let beside = InstallOptions { activate: false, ..InstallOptions::default() };
    let (_, later) = small("2.0.0");
    assert!(!send(&bundles, &later, later.len() as u64, beside).unwrap().bundle.active);
    let versions = block_on(bundles.query("org.example")).unwrap();
    assert_eq!(versions.iter().map(|bundle| bundle.version.major).collect::<Vec<_>>(), [2, 1]);
    let page = block_on(bundles.list(&[], 1)).unwrap();
    assert_eq!((&page.bundles[0], page.next.as_slice()), (&versions[0], &b"org.example@2.0.0"[..]));
    let page = block_on(bundles.list(&page.next, 256)).unwrap();
    assert_eq!((&page.bundles[..], page.next.len()), (&versions[1..], 0));

    let response = block_on(bundles.manifest("org.example", &version(0, 0, 0))).unwrap();
    let results = response.get().unwrap();
    let manifest = Manifest::parse(results.get_manifest().unwrap()).unwrap();
    let signature = results.get_signature().unwrap().try_into().unwrap();
    assert_eq!(SignedManifest::verify(manifest, signature), Some(signed));

    assert_eq!(
        block_on(bundles.activate("org.example", &version(2, 0, 0), false)).unwrap(),
        version(1, 0, 0)
    );
    block_on(bundles.uninstall("org.example", &version(1, 0, 0), false)).unwrap();
    let collected = block_on(bundles.collect()).unwrap();
    assert_eq!((collected.blobs, collected.freed_bytes), (1, 14));
    let usage = block_on(bundles.usage()).unwrap();
    assert_eq!((usage.bundles, usage.stored_bytes, usage.quota_bytes), (1, 24, u64::MAX));
}

#[test]
fn test_reject_every_bundle_that_is_not_what_it_should_be() {
    let world = World::new(StoreOptions { quota_bytes: 1000, ..options() });
    let bundles = world.bundles();
    let (signed, bytes) = small("1.0.0");
    let signature = 32 + signed.manifest().encoded().len();
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bytes.clone();
        change(&mut bytes);
        bytes
    };
    let unsigned = changed(&|bytes| {
        bytes.drain(signature..signature + 64);
        let size = bytes.len() as u64;
        bytes[8..16].copy_from_slice(&size.to_le_bytes());
        bytes[20..24].fill(0);
    });
    let large = content(1, 1001);
    for (bytes, wanted) in [
        (unsigned, Status::Unsigned),
        (changed(&|bytes| bytes[signature] ^= 1), Status::InvalidSignature),
        (changed(&|bytes| *bytes.last_mut().unwrap() ^= 1), Status::DigestMismatch),
        (changed(&|bytes| bytes.truncate(bytes.len().saturating_sub(1))), Status::SizeMismatch),
        (changed(&|bytes| bytes.push(0)), Status::SizeMismatch),
        (changed(&|bytes| bytes[0] ^= 1), Status::Malformed),
        (changed(&|bytes| bytes[40] ^= 1), Status::Malformed),
        (packed("a", "1.0.0", &[("x", &large, false)], &[]).1, Status::QuotaExceeded),
    ] {
        assert_eq!(refused(send_all(&bundles, &bytes)), wanted);
    }
    for size in [bytes.len() as u64 + 1, u64::MAX] {
        assert_eq!(refused(send(&bundles, &bytes, size, InstallOptions::default())), Status::SizeMismatch);
    }
    assert_eq!(world.store.usage().bundles, 0);
    send_all(&bundles, &bytes).unwrap();
    let (_, other) = packed("org.example", "1.0.0", &[("x", b"x", false)], &[]);
    assert_eq!(refused(send_all(&bundles, &other)), Status::AlreadyInstalled);
    assert_eq!(refused(send_all(&bundles, &small("0.9.0").1)), Status::Downgrade);
    let strict = World::new(StoreOptions { trust: Trust::Only(vec![key(2).id()]), ..options() });
    assert_eq!(refused(send_all(&strict.bundles(), &bytes)), Status::UnknownPublisher);
}

#[test]
fn test_reject_calls_that_make_no_sense() {
    let world = World::new(options());
    let bundles = world.bundles();
    send_all(&bundles, &small("2.0.0").1).unwrap();
    let later = InstallOptions { activate: false, ..InstallOptions::default() };
    let (_, bytes) = small("1.0.0");
    send(&bundles, &bytes, bytes.len() as u64, later).unwrap();
    let (one, two, none) = (version(1, 0, 0), version(2, 0, 0), version(0, 0, 0));
    for (error, wanted) in [
        (block_on(bundles.query("..")).unwrap_err(), Status::InvalidName),
        (block_on(bundles.query("other")).unwrap_err(), Status::NotFound),
        (block_on(bundles.list(b"x", 1)).unwrap_err(), Status::InvalidCursor),
        (block_on(bundles.list(&[0xff], 1)).unwrap_err(), Status::InvalidCursor),
        (block_on(bundles.activate("org.example", &none, true)).unwrap_err(), Status::InvalidName),
        (block_on(bundles.activate("../x", &one, true)).unwrap_err(), Status::InvalidName),
        (block_on(bundles.activate("org.example", &version(3, 0, 0), true)).unwrap_err(), Status::NotFound),
        (block_on(bundles.activate("org.example", &one, false)).unwrap_err(), Status::Downgrade),
        (block_on(bundles.uninstall("org.example", &two, false)).unwrap_err(), Status::InUse),
        (block_on(bundles.uninstall("other", &one, true)).unwrap_err(), Status::NotFound),
        (block_on(bundles.uninstall("org.example", &none, true)).unwrap_err(), Status::InvalidName),
    ] {
        assert_eq!(status(&error), wanted, "{error}");
    }
    let manifest = |name, version| match block_on(bundles.manifest(name, version)) {
        Ok(_) => panic!("{name} has one"),
        Err(error) => status(&error),
    };
    assert_eq!(manifest("A", &one), Status::InvalidName);
    assert_eq!(manifest("org.example", &version(9, 9, 9)), Status::NotFound);
}

#[test]
fn test_reject_every_change_by_who_may_only_look() {
    let world = World::new(options());
    send_all(&world.bundles(), &small("1.0.0").1).unwrap();
    let bundles = BundleMgr::serve(Server::new(world.store.clone(), Rights::looking()));
    let one = version(1, 0, 0);
    assert_eq!(refused(send_all(&bundles, &small("2.0.0").1)), Status::AccessDenied);
    for error in [
        block_on(bundles.activate("org.example", &one, true)).unwrap_err(),
        // What is there and what is not are denied alike.
        block_on(bundles.activate("other", &one, true)).unwrap_err(),
        block_on(bundles.uninstall("org.example", &one, true)).unwrap_err(),
        block_on(bundles.collect()).unwrap_err(),
    ] {
        assert_eq!(status(&error), Status::AccessDenied, "{error}");
    }
    assert_eq!(block_on(bundles.query("org.example")).unwrap().len(), 1);
    assert_eq!(block_on(bundles.list(&[], 9)).unwrap().bundles.len(), 1);
}

#[test]
fn test_reject_changes_of_a_store_that_is_read_only() {
    let World { folder, store } = World::new(options());
    drop(store);
    let store = Arc::new(Store::open(folder.path(), Access::ReadOnly, options()).unwrap());
    let bundles = BundleMgr::serve(Server::new(store, Rights::all()));
    assert_eq!(refused(send_all(&bundles, &small("1.0.0").1)), Status::ReadOnly);
    assert_eq!(status(&block_on(bundles.collect()).unwrap_err()), Status::ReadOnly);
}

/// No test mounts a file system that is full or read-only: what a store says of one, its own tests show on a disk in memory.
#[test]
fn test_reject_disk_full_and_read_only_disks_by_their_words() {
    for (error, wanted) in
        [(StoreError::DiskFull, Status::DiskFull), (StoreError::ReadOnly, Status::ReadOnly)]
    {
        assert_eq!(status::of(&error), wanted, "{error}");
    }
}

#[test]
fn test_reject_more_uploads_than_there_are_places_and_a_dropped_one_gives_its_place_back() {
    let world = World::new(StoreOptions { installs: 2, ..options() });
    let bundles = world.bundles();
    let (_, bytes) = small("1.0.0");
    let mut held: Vec<_> = (0..2)
        .map(|_| block_on(bundles.install(bytes.len() as u64, true, false).into_future()).unwrap())
        .collect();
    assert_eq!(refused(send_all(&bundles, &bytes)), Status::Busy);
    held.pop();
    // Its thread gives it back when it hears of that.
    while matches!(send_all(&bundles, &bytes), Err(InstallError::Service(ref error)) if status(error) == Status::Busy)
    {
        std::thread::yield_now();
    }
    assert!(send_all(&bundles, &bytes).is_ok());
}

#[test]
fn an_upload_from_which_nothing_comes_gives_its_place_up() {
    let world = World::new(options());
    let server = Server::new(world.store.clone(), Rights::all()).upload_patience(Duration::ZERO);
    let bundles = BundleMgr::serve(server);
    let upload = block_on(bundles.install(1000, true, false).into_future()).unwrap();
    assert_eq!(status(&block_on(upload.refused()).unwrap_err()), Status::SizeMismatch);
    let error = block_on(upload.finish()).err().unwrap();
    assert!(status(&error) == Status::SizeMismatch && error.to_string().contains("nothing came"), "{error}");
    assert_eq!(status(&block_on(upload.finish()).err().unwrap()), Status::Malformed);
    assert_eq!(status(&block_on(upload.refused()).unwrap_err()), Status::Malformed);
}

/// The head of a bundle, and then bytes without end.
struct Endless {
    head: Vec<u8>,
    given: Rc<std::cell::Cell<u64>>,
}

impl AsyncRead for Endless {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let at = self.given.get() as usize;
        for (at, byte) in (at..).zip(buffer.iter_mut()) {
            *byte = self.head.get(at).copied().unwrap_or(7);
        }
        self.given.set(self.given.get() + buffer.len() as u64);
        Poll::Ready(Ok(buffer.len()))
    }
}

#[test]
fn test_reject_endless_upload_at_its_size_and_a_hopeless_one_early() {
    let world = World::new(options());
    let bundles = world.bundles();
    let (signed, bytes) = packed("a", "1.0.0", &[("x", &content(1, 3_000_000), false)], &[]);
    let given = Rc::<std::cell::Cell<u64>>::default();
    let send = |head: &[u8]| {
        given.set(0);
        let mut input = Endless { head: head.to_vec(), given: given.clone() };
        let sent = install(&bundles, &mut input, signed.packed_bytes(), InstallOptions::default(), &|_| {});
        refused(block_on(sent))
    };
    // The content of the first file is wrong: that shows at its end, and no later.
    assert_eq!(send(&signed.head()), Status::DigestMismatch);
    assert!(given.get() < 4_000_000, "{}", given.get());
    // Nothing is wrong but that it does not end.
    assert_eq!(send(&bytes), Status::SizeMismatch);
    assert!(given.get() < 4_000_000, "{}", given.get());
    // The signature is wrong: that shows at once.
    let mut forged = signed.head();
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(send(&forged), Status::InvalidSignature);
    assert!(given.get() < 1_000_000, "{}", given.get());
    assert_eq!(world.store.usage().stored_bytes, 0);
}
