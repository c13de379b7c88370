//! What is claimed of bundlemgr.
//!
//! Changes are made on threads, which go on once they have begun: what can be given up is a call that waits for one. So calls are
//! held at the door of the service, where they have begun for everybody but its disk. `refused` waits by itself.

use vatmux::bundle::MAX_PACKED_BYTES;
use vatmux::bundlemgr::MAX_PEER_INSTALLS;
use vatmux::schema::bundle::Version;
use vatmux::schema::bundlemgr::{
    BUNDLE_MGR_DESCRIPTOR, BUNDLE_MGR_INTERFACE, BundleMgr, Status, UPLOAD_INTERFACE, Upload,
    UploadFinishResults,
};
use vatmux::service::Error;

use crate::claim::{Asked, Claim, Hold, Interrupted, Pending, good, interrupted, refused};
use crate::list::{Contract, Elsewhere};
use crate::packed::{self, Flaw, NAME};
use crate::scene::Scene;
use crate::visit::Visit;

const INSTALL: Asked = Asked::of(&BUNDLE_MGR_INTERFACE, "install");
const QUERY: Asked = Asked::of(&BUNDLE_MGR_INTERFACE, "query");
const LIST: Asked = Asked::of(&BUNDLE_MGR_INTERFACE, "list");
const MANIFEST: Asked = Asked::of(&BUNDLE_MGR_INTERFACE, "manifest");
const ACTIVATE: Asked = Asked::of(&BUNDLE_MGR_INTERFACE, "activate");
const UNINSTALL: Asked = Asked::of(&BUNDLE_MGR_INTERFACE, "uninstall");
const COLLECT: Asked = Asked::of(&BUNDLE_MGR_INTERFACE, "collect");
const USAGE: Asked = Asked::of(&BUNDLE_MGR_INTERFACE, "usage");
const WRITE: Asked = Asked::of(&UPLOAD_INTERFACE, "write");
const FINISH: Asked = Asked::of(&UPLOAD_INTERFACE, "finish");
const REFUSED: Asked = Asked::of(&UPLOAD_INTERFACE, "refused");

const NONE: Version = Version { major: 0, minor: 0, patch: 0 };
const ONE: Version = Version { major: 1, minor: 0, patch: 0 };
const TWO: Version = Version { major: 2, minor: 0, patch: 0 };
const NINE: Version = Version { major: 9, minor: 0, patch: 0 };

/// What its schema says of refusals.
pub(crate) fn contract() -> Contract {
    use Status::{
        AccessDenied, AlreadyInstalled, Busy, Damaged, DigestMismatch, DiskFull, Downgrade, InUse,
        InvalidCursor, InvalidName, InvalidSignature, IoError, Malformed, NotFound, QuotaExceeded, ReadOnly,
        SizeMismatch, TooLarge, UnknownPublisher, Unsigned,
    };

    const CHANGE: &[Status] = &[AccessDenied, ReadOnly];
    const VERSION: &[Status] = &[InvalidName, NotFound, IoError];
    const BUNDLE: &[Status] = &[
        AccessDenied,
        Unsigned,
        InvalidSignature,
        UnknownPublisher,
        Downgrade,
        DigestMismatch,
        SizeMismatch,
        QuotaExceeded,
        Busy,
        Malformed,
        InvalidName,
        AlreadyInstalled,
        IoError,
    ];
    Contract::new(
        &BUNDLE_MGR_DESCRIPTOR,
        &[
            (INSTALL, &[CHANGE, &[SizeMismatch, Busy]]),
            (QUERY, &[&[InvalidName, NotFound]]),
            (LIST, &[&[InvalidCursor]]),
            (MANIFEST, &[&[InvalidName, NotFound, TooLarge]]),
            (ACTIVATE, &[CHANGE, VERSION, &[Downgrade]]),
            (UNINSTALL, &[CHANGE, VERSION, &[InUse]]),
            (COLLECT, &[CHANGE, &[IoError, Damaged]]),
            (FINISH, &[BUNDLE]),
            (REFUSED, &[BUNDLE]),
        ],
        vec![(
            DiskFull,
            Elsewhere {
                why: "a full file system takes somebody who may mount one",
                tested: Some((
                    "src/bundlemgr/tests.rs",
                    "test_reject_disk_full_and_read_only_disks_by_their_words",
                )),
            },
        )],
    )
}

fn bundles(visit: &Visit) -> BundleMgr {
    visit.peer.connect().unwrap()
}

async fn begin(bundles: &BundleMgr, size_bytes: usize) -> Result<Upload, Error<Status>> {
    bundles.install(size_bytes as u64, true, false).await
}

/// Sends all of a bundle; says whether it was installed.
async fn send(bundles: &BundleMgr, bytes: &[u8]) -> Result<UploadFinishResults, Error<Status>> {
    let upload = begin(bundles, bytes.len()).await?;
    upload.write(bytes).await.unwrap();
    upload.finish().await
}

/// Sends all of a bundle; says what is against it, by one of the two methods that say that.
async fn judged(asked: Asked, visit: Visit, bytes: Vec<u8>) -> Result<(), Error<Status>> {
    let bundles = bundles(&visit);
    let before = listed(&bundles).await;
    let upload = begin(&bundles, bytes.len()).await.unwrap();
    let judged = judge(asked, upload, &bytes).await;
    assert_eq!(listed(&bundles).await, before, "nothing of it is visible");
    judged
}

async fn judge(asked: Asked, upload: Upload, bytes: &[u8]) -> Result<(), Error<Status>> {
    upload.write(bytes).await.unwrap();
    if asked.method.name == "finish" { upload.finish().await.map(drop) } else { upload.refused().await }
}

/// The names and versions of all that is there, and which are active.
async fn listed(bundles: &BundleMgr) -> Vec<(String, u32, bool)> {
    let page = bundles.list(b"", 256).await.unwrap();
    page.bundles.into_iter().map(|bundle| (bundle.name, bundle.version.major, bundle.active)).collect()
}

fn there(versions: &[(u32, bool)]) -> Vec<(String, u32, bool)> {
    versions.iter().map(|(version, active)| (NAME.to_owned(), *version, *active)).collect()
}

pub(crate) fn claims() -> Vec<Claim> {
    [good_calls(), of_bundles(), of_requests(), of_rights_and_storage(), interruptions()]
        .into_iter()
        .flatten()
        .collect()
}

fn good_calls() -> Vec<Claim> {
    let on = Scene::Bundles;
    let mut claims: Vec<_> = [INSTALL, WRITE, FINISH]
        .into_iter()
        .map(|asked| {
            good(asked, on, |visit| async move {
                let (bundles, bytes) = (bundles(&visit), packed::of("9.0.0"));
                let upload = begin(&bundles, bytes.len()).await.unwrap();
                for piece in bytes.chunks(100) {
                    upload.write(piece).await.unwrap();
                }
                assert_eq!(listed(&bundles).await, there(&[(2, true), (1, false)]), "it is not finished");
                let installed = upload.finish().await.unwrap();
                assert!(installed.bundle.active && !installed.was_there);
                assert_eq!(listed(&bundles).await, there(&[(9, true), (2, false), (1, false)]));
                assert!(send(&bundles, &bytes).await.unwrap().was_there);
            })
        })
        .collect();
    claims.extend([
        good(REFUSED, on, |visit| async move {
            let (bundles, bytes) = (bundles(&visit), packed::of("9.0.0"));
            let upload = begin(&bundles, bytes.len()).await.unwrap();
            let refused = upload.refused();
            upload.write(&bytes).await.unwrap();
            upload.finish().await.unwrap();
            refused.await.expect("nothing was against it");
        }),
        good(QUERY, on, |visit| async move {
            let versions = bundles(&visit).query(NAME).await.unwrap();
            let versions: Vec<_> =
                versions.iter().map(|bundle| (bundle.version.major, bundle.active)).collect();
            assert_eq!(versions, [(2, true), (1, false)]);
        }),
        good(LIST, on, |visit| async move {
            let bundles = bundles(&visit);
            let page = bundles.list(b"", 1).await.unwrap();
            assert_eq!((page.bundles.len(), page.bundles[0].version.major), (1, 2));
            let page = bundles.list(&page.next, 1).await.unwrap();
            assert_eq!((page.bundles[0].version.major, page.next.len()), (1, 0));
        }),
        good(MANIFEST, on, |visit| async move {
            let response = bundles(&visit).manifest(NAME, &NONE).await.unwrap();
            let results = response.get().unwrap();
            let manifest = vatmux::bundle::Manifest::parse(results.get_manifest().unwrap()).unwrap();
            assert_eq!(manifest.version().to_string(), "2.0.0");
            assert_eq!(results.get_signature().unwrap().len(), 64);
        }),
        good(ACTIVATE, on, |visit| async move {
            let bundles = bundles(&visit);
            assert_eq!(bundles.activate(NAME, &ONE, true).await.unwrap(), TWO);
            assert_eq!(listed(&bundles).await, there(&[(2, false), (1, true)]));
        }),
        good(UNINSTALL, on, |visit| async move {
            let bundles = bundles(&visit);
            bundles.uninstall(NAME, &ONE, false).await.unwrap();
            bundles.uninstall(NAME, &TWO, true).await.unwrap();
            assert_eq!(listed(&bundles).await, []);
        }),
        good(COLLECT, on, |visit| async move {
            let bundles = bundles(&visit);
            assert_eq!(bundles.collect().await.unwrap().blobs, 0, "all of it is needed");
            bundles.uninstall(NAME, &ONE, false).await.unwrap();
            let collected = bundles.collect().await.unwrap();
            assert_eq!((collected.blobs, collected.freed_bytes), (1, 200));
        }),
        good(USAGE, on, |visit| async move {
            let usage = bundles(&visit).usage().await.unwrap();
            assert_eq!((usage.bundles, usage.stored_bytes, usage.quota_bytes), (2, 400, u64::MAX));
        }),
    ]);
    claims
}

/// Bundles that are not what they should be, or not what the node takes.
fn of_bundles() -> Vec<Claim> {
    let mut claims = Vec::new();
    for asked in [FINISH, REFUSED] {
        for (flaw, status) in [
            (Flaw::Unsigned, Status::Unsigned),
            (Flaw::InvalidSignature, Status::InvalidSignature),
            (Flaw::DigestMismatch, Status::DigestMismatch),
            (Flaw::TooLong, Status::SizeMismatch),
            (Flaw::Malformed, Status::Malformed),
            (Flaw::InvalidName, Status::InvalidName),
        ] {
            let flawed = move |visit| judged(asked, visit, packed::flawed("9.0.0", flaw));
            claims.push(refused(asked, status, Scene::Bundles, flawed));
        }
        for (scene, status, bytes) in [
            (Scene::BundlesOfNobody, Status::UnknownPublisher, packed::of("9.0.0")),
            (Scene::Bundles, Status::Downgrade, packed::of("1.5.0")),
            (Scene::Bundles, Status::AlreadyInstalled, packed::signed_with("2.0.0", b"another")),
            (Scene::FewBundles, Status::QuotaExceeded, packed::signed_with("9.0.0", &[1; 1_000])),
        ] {
            claims.push(refused(asked, status, scene, move |visit| judged(asked, visit, bytes.clone())));
        }
        claims.extend([
            refused(asked, Status::AccessDenied, Scene::BundlesOfOthers, move |visit| {
                judged(asked, visit, packed::of("9.0.0"))
            }),
            refused(asked, Status::Busy, Scene::Bundles, move |visit| async move {
                let (bundles, bytes) = (bundles(&visit), packed::of("9.0.0"));
                let first = begin(&bundles, bytes.len()).await.unwrap();
                first.write(&bytes).await.unwrap();
                // That there is room for the next bytes does not say that these were judged.
                while visit.backstage.cue("staged").await == "0" {}
                let second = begin(&bundles, bytes.len()).await.unwrap();
                let busy = judge(asked, second, &bytes).await;
                first.finish().await.expect("it came first");
                busy
            }),
            refused(asked, Status::IoError, Scene::Bundles, move |visit| async move {
                visit.backstage.cue("lose").await;
                judged(asked, visit, packed::of("9.0.0")).await
            }),
        ]);
    }
    claims.push(refused(FINISH, Status::SizeMismatch, Scene::Bundles, |visit| async move {
        let (bundles, bytes) = (bundles(&visit), packed::of("9.0.0"));
        let upload = begin(&bundles, bytes.len()).await.unwrap();
        upload.write(&bytes[..bytes.len() - 1]).await.unwrap();
        upload.finish().await
    }));
    claims
}

/// Requests that make no sense, or that ask for what may not be.
fn of_requests() -> Vec<Claim> {
    let on = Scene::Bundles;
    vec![
        refused(INSTALL, Status::SizeMismatch, on, |visit| async move {
            begin(&bundles(&visit), MAX_PACKED_BYTES as usize + 1).await
        }),
        refused(INSTALL, Status::Busy, on, |visit| async move {
            let bundles = bundles(&visit);
            let mut uploads = Vec::new();
            for _ in 0..MAX_PEER_INSTALLS {
                uploads.push(begin(&bundles, 1_000).await.unwrap());
            }
            begin(&bundles, 1_000).await
        }),
        refused(QUERY, Status::InvalidName, on, |visit| async move { bundles(&visit).query("..").await }),
        refused(QUERY, Status::NotFound, on, |visit| async move { bundles(&visit).query("other").await }),
        refused(LIST, Status::InvalidCursor, on, |visit| async move { bundles(&visit).list(b"x", 1).await }),
        refused(MANIFEST, Status::InvalidName, on, |visit| async move {
            bundles(&visit).manifest("../x", &ONE).await
        }),
        refused(MANIFEST, Status::NotFound, on, |visit| async move {
            bundles(&visit).manifest(NAME, &NINE).await
        }),
        refused(MANIFEST, Status::TooLarge, Scene::LargeManifest, |visit| async move {
            bundles(&visit).manifest(NAME, &ONE).await
        }),
        refused(ACTIVATE, Status::InvalidName, on, |visit| async move {
            bundles(&visit).activate(NAME, &NONE, false).await
        }),
        refused(ACTIVATE, Status::NotFound, on, |visit| async move {
            bundles(&visit).activate(NAME, &NINE, false).await
        }),
        refused(ACTIVATE, Status::Downgrade, on, |visit| async move {
            let bundles = bundles(&visit);
            let refused = bundles.activate(NAME, &ONE, false).await;
            assert_eq!(listed(&bundles).await, there(&[(2, true), (1, false)]));
            refused
        }),
        refused(UNINSTALL, Status::InvalidName, on, |visit| async move {
            bundles(&visit).uninstall("A", &ONE, true).await
        }),
        refused(UNINSTALL, Status::NotFound, on, |visit| async move {
            bundles(&visit).uninstall("other", &ONE, true).await
        }),
        refused(UNINSTALL, Status::InUse, on, |visit| async move {
            let bundles = bundles(&visit);
            let refused = bundles.uninstall(NAME, &TWO, false).await;
            assert_eq!(listed(&bundles).await, there(&[(2, true), (1, false)]));
            refused
        }),
    ]
}

/// Those who may not, a store that takes nothing, and one that fails.
fn of_rights_and_storage() -> Vec<Claim> {
    let mut claims = Vec::new();
    for (scene, status) in
        [(Scene::BundlesToLookAt, Status::AccessDenied), (Scene::BundlesToRead, Status::ReadOnly)]
    {
        claims.extend([
            refused(INSTALL, status, scene, |visit| async move { begin(&bundles(&visit), 1_000).await }),
            refused(ACTIVATE, status, scene, |visit| async move {
                bundles(&visit).activate(NAME, &ONE, true).await
            }),
            refused(UNINSTALL, status, scene, |visit| async move {
                bundles(&visit).uninstall(NAME, &ONE, true).await
            }),
            refused(COLLECT, status, scene, |visit| async move { bundles(&visit).collect().await }),
        ]);
    }
    let lost = |visit: Visit| async move {
        visit.backstage.cue("lose").await;
        bundles(&visit)
    };
    let on = Scene::Bundles;
    claims.extend([
        refused(ACTIVATE, Status::IoError, on, move |visit| async move {
            lost(visit).await.activate(NAME, &ONE, true).await
        }),
        refused(UNINSTALL, Status::IoError, on, move |visit| async move {
            lost(visit).await.uninstall(NAME, &ONE, true).await
        }),
        refused(COLLECT, Status::IoError, on, move |visit| async move {
            bundles(&visit).uninstall(NAME, &ONE, true).await.unwrap();
            lost(visit).await.collect().await
        }),
        refused(COLLECT, Status::Damaged, Scene::BundlesWithoutHead, |visit| async move {
            bundles(&visit).collect().await
        }),
    ]);
    claims
}

/// What was there is there and nothing else, nothing is left of uploads that came to nothing, and their places are free.
async fn nothing_has_changed(visit: Visit) {
    let bundles = bundles(&visit);
    assert_eq!(listed(&bundles).await, there(&[(2, true), (1, false)]));
    let usage = bundles.usage().await.unwrap();
    assert_eq!((usage.bundles, usage.stored_bytes), (2, 400));
    // The thread of an upload hears last that nobody wants it any more, and says to nobody when it did.
    while visit.backstage.cue("staged").await != "0" {}
    let mut places = Vec::new();
    while places.len() < MAX_PEER_INSTALLS {
        match begin(&bundles, 1_000).await {
            Ok(place) => places.push(place),
            Err(error) => assert_eq!(error.status(), Some(&Status::Busy), "{error}"),
        }
    }
}

fn interruptions() -> Vec<Claim> {
    let mut claims = Vec::new();
    for asked in [INSTALL, QUERY, LIST, MANIFEST, ACTIVATE, UNINSTALL, COLLECT, USAGE] {
        claims.extend(interrupted(Interrupted {
            asked,
            scene: Scene::Bundles,
            hold: Hold::AtTheDoor,
            attempt: move |visit: Visit| async move {
                let bundles = bundles(&visit);
                let kept = bundles.clone();
                match asked.method.name {
                    "install" => {
                        Pending::new(kept, visit.send(|| bundles.install(1_000, true, false)).into_future())
                    }
                    "query" => Pending::new(kept, visit.send(|| bundles.query(NAME))),
                    "list" => Pending::new(kept, visit.send(|| bundles.list(b"", 1))),
                    "manifest" => Pending::new(kept, visit.send(|| bundles.manifest(NAME, &ONE))),
                    "activate" => Pending::new(kept, visit.send(|| bundles.activate(NAME, &ONE, true))),
                    "uninstall" => Pending::new(kept, visit.send(|| bundles.uninstall(NAME, &ONE, true))),
                    "collect" => Pending::new(kept, visit.send(|| bundles.collect())),
                    _ => Pending::new(kept, visit.send(|| bundles.usage())),
                }
            },
            aftermath: nothing_has_changed,
        }));
    }
    claims.extend(interrupted(Interrupted {
        asked: WRITE,
        scene: Scene::Bundles,
        hold: Hold::AtTheDoor,
        attempt: |visit: Visit| async move {
            let (bundles, bytes) = (bundles(&visit), packed::signed_with("9.0.0", &vec![1; 4 << 20]));
            let upload = begin(&bundles, bytes.len()).await.unwrap();
            // To give up a stream is to let go of what it leads to.
            let writing = async move {
                for piece in bytes.chunks(256 * 1024) {
                    visit.send(|| upload.write(piece)).await?;
                }
                Ok::<(), Error>(())
            };
            Pending::new(bundles, writing)
        },
        aftermath: nothing_has_changed,
    }));
    claims.extend(interrupted(Interrupted {
        asked: FINISH,
        scene: Scene::Bundles,
        hold: Hold::AtTheDoor,
        attempt: |visit: Visit| async move {
            let (bundles, bytes) = (bundles(&visit), packed::of("9.0.0"));
            let upload = begin(&bundles, bytes.len()).await.unwrap();
            upload.write(&bytes).await.unwrap();
            let call = visit.send(|| upload.finish());
            Pending::new((bundles, upload), call)
        },
        aftermath: nothing_has_changed,
    }));
    claims.extend(interrupted(Interrupted {
        asked: REFUSED,
        scene: Scene::Bundles,
        hold: Hold::Nowhere,
        attempt: |visit: Visit| async move {
            let bundles = bundles(&visit);
            let upload = begin(&bundles, 1_000).await.unwrap();
            let call = visit.send(|| upload.refused());
            Pending::new((bundles, upload), call)
        },
        aftermath: nothing_has_changed,
    }));
    claims
}
