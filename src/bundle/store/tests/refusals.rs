//! Each refusal by its name, and that nothing changes with it.

use super::*;
use crate::bundle::samples::{content, key, packed};
use crate::bundle::store::model::Loss;
use crate::bundle::{NameError, UnpackError};

/// Checks that `refused` fails, and leaves store and disk as they were.
fn unchanged<T>(
    disk: &ModelDisk,
    store: &Store,
    refused: impl FnOnce() -> Result<T, StoreError>,
) -> StoreError {
    let before = (disk.files(), store.usage(), listed(store));
    let error = refused().err().expect("it was not refused");
    assert!((disk.files(), store.usage(), listed(store)) == before, "something changed: {error}");
    let state = store.state();
    assert_eq!((state.installs, state.reserved_bytes, state.pins.len(), state.under_way.len()), (0, 0, 0, 0));
    error
}

#[test]
fn test_reject_unknown_publishers_before_any_content() {
    let disk = ModelDisk::default();
    let trust = Trust::Only(vec![key(2).id(), key(3).id()]);
    let store = on(&disk, StoreOptions { trust, ..StoreOptions::default() });
    let (signed, bytes) = small("1.0.0");
    let head = &bytes[..signed.head_bytes() as usize];
    let error = unchanged(&disk, &store, || {
        store.install(InstallOptions::default()).and_then(|mut install| install.write(head))
    });
    assert!(
        matches!(error, StoreError::UnknownPublisher { publisher } if publisher == key(1).id()),
        "{error}"
    );
    let store = on(&disk, StoreOptions { trust: Trust::Only(vec![key(1).id()]), ..StoreOptions::default() });
    install_small(&store, "1.0.0").unwrap();
}

#[test]
fn nobody_is_trusted_unless_it_is_said() {
    let store = on(&ModelDisk::default(), StoreOptions::default());
    assert!(matches!(install_small(&store, "1.0.0"), Err(StoreError::UnknownPublisher { .. })));
}

#[test]
fn test_reject_malformed_what_is_no_bundle_or_not_whole() {
    let (disk, store) = empty();
    let (_, bytes) = small("1.0.0");
    let cut = &bytes[..bytes.len() - 1];
    let longer = [&bytes[..], &[0]].concat();
    let mut wrong = bytes.clone();
    *wrong.last_mut().unwrap() ^= 1;
    for (bytes, announced_bytes) in
        [(&[0; 64][..], None), (cut, None), (&longer, None), (&wrong, None), (&bytes, Some(99))]
    {
        let options = InstallOptions { announced_bytes, ..InstallOptions::default() };
        let error = unchanged(&disk, &store, || install_with(&store, bytes, options));
        assert!(matches!(error, StoreError::Bundle(_)), "{error}");
    }
    let error = unchanged(&disk, &store, || install(&store, &wrong));
    assert!(matches!(error, StoreError::Bundle(UnpackError::Digest { .. })));
}

#[test]
fn test_reject_downgrade_unless_it_is_asked_for() {
    let (disk, store) = empty();
    install_small(&store, "2.0.0").unwrap();
    let error = unchanged(&disk, &store, || install_small(&store, "1.9.9"));
    assert!(matches!(error, StoreError::Downgrade { active, .. } if active == version("2.0.0")), "{error}");
    let beside = InstallOptions { activate: false, ..InstallOptions::default() };
    install_with(&store, &small("1.9.9").1, beside).unwrap();
    let back = |allow| store.activate(&name("org.example"), version("1.9.9"), allow);
    assert!(matches!(unchanged(&disk, &store, || back(false)), StoreError::Downgrade { .. }));
    assert_eq!(back(true).unwrap(), Some(version("2.0.0")));
}

#[test]
fn test_reject_downgrade_that_came_about_while_it_was_installed() {
    let (_, store) = empty();
    let (_, bytes) = small("1.0.0");
    let mut install = store.install(InstallOptions::default()).unwrap();
    install.write(&bytes).unwrap();
    install_small(&store, "2.0.0").unwrap();
    assert!(matches!(install.finish(), Err(StoreError::Downgrade { .. })));
    assert_eq!(listed(&store), ["org.example@2.0.0*"]);
}

#[test]
fn test_reject_the_same_version_with_another_content() {
    let (disk, store) = empty();
    install_small(&store, "1.0.0").unwrap();
    let (_, other) = packed("org.example", "1.0.0", &[("x", b"x", false)], &[]);
    let error = unchanged(&disk, &store, || install(&store, &other));
    assert!(matches!(error, StoreError::AlreadyInstalled { .. }), "{error}");
}

#[test]
fn test_reject_quota_exceeded_by_bundles() {
    let disk = ModelDisk::default();
    let large = content(1, 100_000);
    let stored = 100_000 + 64;
    let (_, bytes) = packed("a", "1.0.0", &[("x", &large, false)], &[]);
    let tight = on(&disk, StoreOptions { quota_bytes: stored - 1, ..open_to_all() });
    let error = unchanged(&disk, &tight, || install(&tight, &bytes));
    assert!(
        matches!(error, StoreError::Quota { needed_bytes, free_bytes } if needed_bytes == stored && free_bytes == stored - 1)
    );
    let store = on(&disk, StoreOptions { quota_bytes: stored, ..open_to_all() });
    // What an install under way will take is taken.
    let mut first = store.install(InstallOptions::default()).unwrap();
    first.write(&bytes[..bytes.len() / 2]).unwrap();
    assert!(matches!(install_small(&store, "1.0.0"), Err(StoreError::Quota { free_bytes: 0, .. })));
    drop(first);
    install(&store, &bytes).unwrap();
    // What is there already takes nothing.
    install(&store, &packed("b", "1.0.0", &[("y", &large, false)], &[]).1).unwrap();
    assert!(matches!(install_small(&store, "1.0.0"), Err(StoreError::Quota { .. })));
}

#[test]
fn test_reject_more_bundles_or_manifests_than_may_be() {
    let store = on(&ModelDisk::default(), StoreOptions { bundles: 1, ..open_to_all() });
    install_small(&store, "1.0.0").unwrap();
    assert!(matches!(install_small(&store, "2.0.0"), Err(StoreError::TooMany)));
    install_small(&store, "1.0.0").unwrap();
    let store = on(&ModelDisk::default(), StoreOptions { manifest_bytes: 100, ..open_to_all() });
    assert!(matches!(install_small(&store, "1.0.0"), Err(StoreError::TooMany)));
}

#[test]
fn test_reject_busy_more_installs_at_once_than_may_be() {
    let (_, store) = empty();
    let held: Vec<_> = (0..4).map(|_| store.install(InstallOptions::default()).unwrap()).collect();
    assert!(matches!(
        store.install(InstallOptions::default()),
        Err(StoreError::TooManyInstalls { limit: 4 })
    ));
    drop(held);
    install_small(&store, "1.0.0").unwrap();
}

#[test]
fn test_reject_busy_two_installs_of_one_version_at_once() {
    let (_, store) = empty();
    let (_, bytes) = small("1.0.0");
    let mut first = store.install(InstallOptions::default()).unwrap();
    first.write(&bytes).unwrap();
    assert!(matches!(install_small(&store, "1.0.0"), Err(StoreError::InstallUnderWay { .. })));
    first.finish().unwrap();
    assert!(install_small(&store, "1.0.0").unwrap().was_there);
}

#[test]
fn test_reject_a_full_disk_wherever_it_is_full() {
    let large = content(1, 100_000);
    let (_, bytes) = packed("a", "1.0.0", &[("x", &large, false)], &[]);
    for room in [0, 1, 99_999, 100_000, 100_064, 100_100] {
        let (disk, store) = empty();
        disk.set_room(room);
        assert!(matches!(install(&store, &bytes), Err(StoreError::DiskFull)), "{room}");
        assert!(listed(&store).is_empty());
        disk.set_room(1_000_000);
        let store = on(&disk, open_to_all());
        store.collect().unwrap();
        install(&store, &bytes).unwrap();
    }
}

#[test]
fn test_reject_every_change_on_a_read_only_disk_whenever_it_becomes_one() {
    let (disk, store) = empty();
    for number in ["1.0.0", "2.0.0"] {
        install_small(&store, number).unwrap();
    }
    let bundle = name("org.example");
    let before = disk.steps();
    let mut refused = 0;
    for step in before.. {
        // Whatever was done before it became one, on a disk of its own.
        let disk = disk.after(Loss::Nothing);
        let store = on(&disk, open_to_all());
        let start = disk.steps();
        disk.set_read_only(Some(start + step - before));
        let outcomes = [
            store.activate(&bundle, version("1.0.0"), true).map(drop),
            install_small(&store, "3.0.0").map(drop),
            store.uninstall(&bundle, version("2.0.0"), true),
            store.collect().map(drop),
        ];
        for outcome in &outcomes {
            assert!(matches!(outcome, Ok(()) | Err(StoreError::ReadOnly)), "{outcome:?}");
        }
        for listed in store.list(None, usize::MAX) {
            read_all(&store, &listed.bundle).unwrap();
        }
        let failed = outcomes.iter().filter(|outcome| outcome.is_err()).count();
        // Nothing was removed, and so there is nothing to collect.
        assert!(step > before || failed == outcomes.len() - 1, "{outcomes:?}");
        refused += failed;
        disk.set_read_only(None);
        install_small(&on(&disk, open_to_all()), "4.0.0").unwrap();
        if failed == 0 {
            break;
        }
    }
    assert!(refused > 10, "{refused}");
}

#[test]
fn test_reject_every_change_of_a_store_that_is_read_only() {
    let (disk, store) = empty();
    install_small(&store, "1.0.0").unwrap();
    let store = Store::on(Box::new(disk.clone()), Access::ReadOnly, open_to_all()).unwrap();
    let store = Arc::new(store);
    let steps = disk.steps();
    let bundle = name("org.example");
    let refused = [
        install_small(&store, "2.0.0").map(drop),
        store.activate(&bundle, version("1.0.0"), true).map(drop),
        store.uninstall(&bundle, version("1.0.0"), true),
        store.collect().map(drop),
    ];
    for outcome in refused {
        assert!(matches!(outcome, Err(StoreError::ReadOnly)), "{outcome:?}");
    }
    read_all(&store, &store.find(&bundle, None).unwrap()).unwrap();
    assert_eq!(disk.steps(), steps, "it wrote to the disk");
}

#[test]
fn test_reject_removing_what_is_active_or_not_there() {
    let (disk, store) = empty();
    install_small(&store, "1.0.0").unwrap();
    let bundle = name("org.example");
    let error = unchanged(&disk, &store, || store.uninstall(&bundle, version("1.0.0"), false));
    assert!(matches!(error, StoreError::InUse { .. }));
    let error = unchanged(&disk, &store, || store.uninstall(&bundle, version("1.0.1"), true));
    assert!(matches!(error, StoreError::NoSuchVersion { .. }));
    let error = unchanged(&disk, &store, || store.uninstall(&name("other"), version("1.0.0"), true));
    assert!(matches!(error, StoreError::NoSuchBundle { .. }));
    let error = unchanged(&disk, &store, || store.activate(&bundle, version("1.0.1"), true));
    assert!(matches!(error, StoreError::NoSuchVersion { .. }));
    let error = unchanged(&disk, &store, || store.activate(&name("other"), version("1.0.0"), true));
    assert!(matches!(error, StoreError::NoSuchBundle { .. }));
    store.uninstall(&bundle, version("1.0.0"), true).unwrap();
    assert!(listed(&store).is_empty());
    assert!("..".parse::<BundleName>() == Err(NameError::Character));
}
