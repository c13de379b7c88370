//! Losing the process or the power between any two steps.

use super::*;
use crate::bundle::store::model::Loss;

/// A change of a store, and what must hold whenever it was cut off.
struct Change {
    prepare: fn(&Arc<Store>),
    run: fn(&Arc<Store>) -> Result<(), StoreError>,
    /// The lists that may be found afterwards; the last one is that after success.
    outcomes: &'static [&'static [&'static str]],
}

/// Cuts the change off at each of its steps, loses what each kind of loss loses, and looks at what the next process finds.
fn cut_off_everywhere(change: &Change) {
    cut_off_everywhere_on(empty, change);
}

/// The same, on stores that `empty` makes.
fn cut_off_everywhere_on(empty: fn() -> (ModelDisk, Arc<Store>), change: &Change) {
    let (disk, store) = empty();
    (change.prepare)(&store);
    let before = disk.steps();
    (change.run)(&store).unwrap();
    let steps = disk.steps() - before;
    assert!(steps > 3, "{steps}");
    for step in 0..=steps {
        let (disk, store) = empty();
        (change.prepare)(&store);
        disk.stop_at(disk.steps() + step);
        let outcome = (change.run)(&store);
        assert!(outcome.is_ok() || step < steps);
        drop(store);
        for loss in Loss::ALL {
            let left = disk.after(loss);
            let store = on(&left, open_to_all());
            let found = listed(&store);
            let possible = change.outcomes.iter().any(|outcome| found == **outcome);
            assert!(possible, "step {step} of {steps}, {loss:?}: {found:?}");
            if outcome.is_ok() {
                assert_eq!(
                    found,
                    **change.outcomes.last().unwrap(),
                    "step {step}, {loss:?}: success was told"
                );
            }
            assert!(store.damaged().is_empty(), "step {step}, {loss:?}: {:?}", store.damaged());
            for listed in store.list(None, usize::MAX) {
                read_all(&store, &listed.bundle)
                    .unwrap_or_else(|error| panic!("step {step}, {loss:?}: {error}"));
            }
            for (path, bytes) in left.files() {
                assert!(!path.starts_with(layout::STAGING));
                // None of them is longer than one group, and so there is nothing but content in it.
                if let Some((_, name)) =
                    path.strip_prefix(layout::BLOBS).and_then(|path| path.rsplit_once('/'))
                {
                    let whole = Digest::from_hex(name) == Some(Digest::of(&bytes));
                    assert!(whole, "step {step} of {steps}, {loss:?}: {path} has its name and not its bytes");
                }
            }
            // And it goes on from there.
            let again = (change.run)(&store);
            assert!(
                again.is_ok()
                    || matches!(
                        again,
                        Err(StoreError::NoSuchVersion { .. } | StoreError::NoSuchBundle { .. })
                    ),
                "{again:?}"
            );
            assert_eq!(listed(&store), **change.outcomes.last().unwrap());
            store.collect().unwrap();
            for listed in store.list(None, usize::MAX) {
                read_all(&store, &listed.bundle).unwrap();
            }
        }
    }
}

#[test]
fn a_first_install_that_is_cut_off_is_whole_or_absent() {
    cut_off_everywhere(&Change {
        prepare: |_| {},
        run: |store| install_small(store, "1.0.0").map(drop),
        outcomes: &[&[], &["org.example@1.0.0"], &["org.example@1.0.0*"]],
    });
}

#[test]
fn an_update_that_is_cut_off_leaves_the_version_before_or_the_new_one_active() {
    cut_off_everywhere(&Change {
        prepare: |store| drop(install_small(store, "1.0.0").unwrap()),
        run: |store| install_small(store, "2.0.0").map(drop),
        outcomes: &[
            &["org.example@1.0.0*"],
            &["org.example@2.0.0", "org.example@1.0.0*"],
            &["org.example@2.0.0*", "org.example@1.0.0"],
        ],
    });
}

#[test]
fn a_reinstall_that_is_cut_off_harms_nothing() {
    cut_off_everywhere(&Change {
        prepare: |store| drop(install_small(store, "1.0.0").unwrap()),
        run: |store| install_small(store, "1.0.0").map(drop),
        outcomes: &[&["org.example@1.0.0*"]],
    });
}

/// More files than are synced one by one, in more directories than are.
const MANY: Change = Change {
    prepare: |store| drop(install(store, &many(12, 100)).unwrap()),
    run: |store| install(store, &many(13, 100)).map(drop),
    outcomes: &[
        &["org.example@1.0.12*"],
        &["org.example@1.0.13", "org.example@1.0.12*"],
        &["org.example@1.0.13*", "org.example@1.0.12"],
    ],
};

#[test]
fn an_install_of_many_files_that_is_cut_off_is_whole_or_absent() {
    cut_off_everywhere(&MANY);
}

#[test]
fn an_install_of_many_files_that_are_synced_one_by_one_is_whole_or_absent() {
    let empty = || {
        let (disk, store) = empty();
        disk.sync_one_by_one();
        (disk, store)
    };
    cut_off_everywhere_on(empty, &MANY);
}

#[test]
fn many_small_files_are_synced_together_and_a_few_or_large_ones_by_themselves() {
    let syncs = |files, bytes, one_by_one| {
        let (disk, store) = empty();
        if one_by_one {
            disk.sync_one_by_one();
        }
        let before = disk.syncs();
        install(&store, &many(files, bytes)).unwrap();
        (disk.syncs().0 - before.0, disk.syncs().1 - before.1)
    };
    // The files and their directories; by themselves the head, the pointer, and twice the directory of both and once that one's.
    let own = 5;
    assert_eq!(syncs(200, 100, false), (2, own));
    assert!(syncs(200, 100, true) > (0, 200 + own));
    let (wholes, singles) = syncs(3, 100, false);
    assert!(wholes == 0 && singles > 3 + own, "{singles}");
    let (wholes, singles) = syncs(10, 1 << 20, false);
    assert_eq!((wholes, singles), (1, 10 + own), "only their directories are many");
    // What has come waits for no more than a good 16 MiB: of these, twice as much.
    assert_eq!(syncs(32, (1 << 20) - 1, false), (3, own));
}

#[test]
fn an_activation_that_is_cut_off_happened_or_did_not() {
    cut_off_everywhere(&Change {
        prepare: |store| {
            install_small(store, "1.0.0").unwrap();
            install_small(store, "2.0.0").unwrap();
        },
        run: |store| store.activate(&name("org.example"), version("1.0.0"), true).map(drop),
        outcomes: &[
            &["org.example@2.0.0*", "org.example@1.0.0"],
            &["org.example@2.0.0", "org.example@1.0.0*"],
        ],
    });
}

#[test]
fn a_removal_that_is_cut_off_happened_or_did_not() {
    cut_off_everywhere(&Change {
        prepare: |store| {
            install_small(store, "1.0.0").unwrap();
            install_small(store, "2.0.0").unwrap();
        },
        run: |store| store.uninstall(&name("org.example"), version("2.0.0"), true),
        outcomes: &[
            &["org.example@2.0.0*", "org.example@1.0.0"],
            &["org.example@2.0.0", "org.example@1.0.0"],
            &["org.example@1.0.0"],
        ],
    });
}

#[test]
fn a_collection_that_is_cut_off_takes_nothing_that_is_needed() {
    cut_off_everywhere(&Change {
        prepare: |store| {
            install_small(store, "1.0.0").unwrap();
            install_small(store, "2.0.0").unwrap();
            install_small(store, "3.0.0").unwrap();
            store.uninstall(&name("org.example"), version("1.0.0"), false).unwrap();
            store.uninstall(&name("org.example"), version("2.0.0"), false).unwrap();
        },
        run: |store| store.collect().map(drop),
        outcomes: &[&["org.example@3.0.0*"]],
    });
}

#[test]
fn a_store_whose_making_is_cut_off_is_made_by_the_next_process() {
    let disk = ModelDisk::default();
    on(&disk, open_to_all());
    for step in 0..=disk.steps() {
        let disk = ModelDisk::default();
        disk.stop_at(step);
        let _ = Store::on(Box::new(disk.clone()), Access::ReadWrite, open_to_all());
        for loss in Loss::ALL {
            let store = on(&disk.after(loss), open_to_all());
            install_small(&store, "1.0.0").unwrap();
        }
    }
}

#[cfg(unix)]
mod on_a_real_disk {
    use std::fs;

    use super::*;

    #[test]
    fn a_store_is_one_process_s_and_anothers_when_that_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let open = |access| Store::open(&folder.path().join("store"), access, open_to_all());
        let store = Arc::new(open(Access::ReadWrite).unwrap());
        install_small(&store, "1.0.0").unwrap();
        for access in [Access::ReadWrite, Access::ReadOnly] {
            assert!(matches!(open(access), Err(OpenStoreError::Locked { .. })));
        }
        drop(store);
        let readers = [open(Access::ReadOnly).unwrap(), open(Access::ReadOnly).unwrap()];
        assert!(matches!(open(Access::ReadWrite), Err(OpenStoreError::Locked { .. })));
        for reader in readers {
            assert_eq!(listed(&reader), ["org.example@1.0.0*"]);
            let bundle = reader.find(&name("org.example"), None).unwrap();
            assert!(bundle.installed_ns() > 1_600_000_000_000_000_000);
            read_all(&reader, &bundle).unwrap();
        }
        open(Access::ReadWrite).unwrap();
    }

    #[test]
    fn what_was_left_behind_is_removed_when_the_store_is_opened() {
        let folder = tempfile::tempdir().unwrap();
        drop(Store::open(folder.path(), Access::ReadWrite, open_to_all()).unwrap());
        let staging = folder.path().join("staging");
        fs::create_dir(staging.join("7")).unwrap();
        fs::write(staging.join("7/blob"), "left").unwrap();
        fs::write(staging.join("file"), "left").unwrap();
        drop(Store::open(folder.path(), Access::ReadWrite, open_to_all()).unwrap());
        assert_eq!(fs::read_dir(staging).unwrap().count(), 0);
    }

    #[test]
    fn test_reject_a_directory_with_something_else_in_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("mine"), "mine").unwrap();
        for access in [Access::ReadWrite, Access::ReadOnly] {
            let outcome = Store::open(folder.path(), access, open_to_all());
            assert!(matches!(outcome, Err(OpenStoreError::NotAStore { .. })), "{outcome:?}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let outcome = Store::open(&folder.path().join("mine"), Access::ReadWrite, open_to_all());
        assert!(matches!(outcome, Err(OpenStoreError::Io { .. })));
    }
}
