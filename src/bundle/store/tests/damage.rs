//! Stores that were changed behind their back.

use super::*;
use crate::bundle::samples::{content, packed};

/// A small store with everything that a store can have: two versions, a table, a pointer.
fn store() -> (ModelDisk, Vec<(String, Vec<u8>)>) {
    let (disk, store) = empty();
    let large = content(1, 70_000);
    for number in ["1.0.0", "2.0.0"] {
        let text = format!("version {number}");
        let files = [("large", &large[..], false), ("text", text.as_bytes(), true), ("empty", b"", false)];
        install(&store, &packed("a", number, &files, &[]).1).unwrap();
    }
    let bundles = [install(
        &store,
        &packed(
            "a",
            "2.0.0",
            &[("large", &large, false), ("text", b"version 2.0.0", true), ("empty", b"", false)],
            &[],
        )
        .1,
    )
    .unwrap()];
    assert!(bundles[0].was_there);
    let heads = ["1.0.0", "2.0.0"].map(|number| {
        let text = format!("version {number}");
        let files = [("large", &large[..], false), ("text", text.as_bytes(), true), ("empty", b"", false)];
        (number.to_owned(), packed("a", number, &files, &[]).1)
    });
    (disk, heads.into())
}

/// Whether what is listed can be read; never a wrong byte.
fn readable(store: &Store) -> bool {
    store.list(None, usize::MAX).iter().all(|listed| match read_all(store, &listed.bundle) {
        Ok(()) => true,
        Err(StoreError::Damaged { .. }) => false,
        Err(other) => panic!("{other}"),
    })
}

#[test]
fn test_reject_corrupted_store_files_each_byte_flipped_and_installing_again_repairs_it() {
    let (disk, bundles) = store();
    let mut changed = 0;
    for (path, bytes) in disk.files() {
        // Every byte of what is small, and some of what is large.
        let step = if bytes.len() > 2000 { 997 } else { 1 };
        for at in (0..bytes.len()).step_by(step) {
            changed += 1;
            disk.tamper(&path, |bytes| bytes[at] ^= 0x20);
            match Store::on(Box::new(disk.clone()), Access::ReadWrite, open_to_all()) {
                Err(error) => assert_eq!(path, layout::FORMAT, "{error:?}"),
                Ok(store) => {
                    let store = Arc::new(store);
                    let whole = listed(&store) == ["a@2.0.0*", "a@1.0.0"];
                    let noticed = !readable(&store) || !store.damaged().is_empty();
                    assert!(noticed, "byte {at} of {path}");
                    assert!(whole || !store.damaged().is_empty(), "byte {at} of {path}");
                    for (number, bytes) in &bundles {
                        let activate = number == "2.0.0";
                        let options = InstallOptions { activate, ..InstallOptions::default() };
                        install_with(&store, bytes, options).unwrap();
                    }
                    assert!(readable(&store), "byte {at} of {path} was not repaired");
                    assert_eq!(listed(&store), ["a@2.0.0*", "a@1.0.0"], "byte {at} of {path}");
                    let damaged = store.damaged();
                    assert!(damaged.is_empty(), "byte {at} of {path}: {damaged:?}");
                }
            }
            // Repaired or not, the next one begins with what was there.
            disk.tamper(&path, |before| before.clone_from(&bytes));
        }
    }
    assert!(changed > 1000, "{changed}");
}

#[test]
fn test_reject_corrupted_store_files_that_are_cut_or_longer() {
    let (disk, _) = store();
    for (path, bytes) in disk.files() {
        for change in [
            |bytes: &mut Vec<u8>| bytes.truncate(bytes.len().saturating_sub(1)),
            |bytes: &mut Vec<u8>| bytes.push(0),
        ] {
            disk.tamper(&path, change);
            if let Ok(store) = Store::on(Box::new(disk.clone()), Access::ReadWrite, open_to_all()) {
                // What is empty cannot be cut.
                let same = disk.files()[&path] == bytes;
                assert!(same || !readable(&store) || !store.damaged().is_empty(), "{path}");
            } else {
                assert_eq!(path, layout::FORMAT);
            }
            disk.tamper(&path, |before| before.clone_from(&bytes));
        }
    }
}

#[test]
fn content_that_is_gone_is_told_and_comes_back_with_an_install() {
    let (disk, bundles) = store();
    let blob = Digest::of(b"version 2.0.0");
    disk.remove_file(&layout::blob(&blob)).unwrap();
    let store = on(&disk, open_to_all());
    let bundle = store.find(&name("a"), None).unwrap();
    match read_all(&store, &bundle) {
        Err(StoreError::Damaged { digest }) => assert_eq!(digest, blob),
        other => panic!("{other:?}"),
    }
    install(&store, &bundles[1].1).unwrap();
    read_all(&store, &bundle).unwrap();
    store.collect().unwrap();
    read_all(&store, &bundle).unwrap();
}

#[test]
fn nothing_is_collected_while_it_is_not_known_what_is_needed() {
    let (disk, _) = store();
    let head = layout::head(&name("a"), version("1.0.0"));
    disk.tamper(&head, |bytes| bytes[200] ^= 1);
    let store = on(&disk, open_to_all());
    assert_eq!(listed(&store), ["a@2.0.0*"]);
    assert!(matches!(store.collect(), Err(StoreError::DamagedHead { path }) if path == head));
    // It can be removed, as any version can.
    store.uninstall(&name("a"), version("1.0.0"), false).unwrap();
    assert_eq!(store.collect().unwrap().blobs, 1);
    assert!(readable(&store));
}

#[test]
fn a_head_in_another_s_place_is_noticed() {
    let (disk, _) = store();
    let other = disk.files()[&layout::head(&name("a"), version("1.0.0"))].clone();
    disk.tamper(&layout::head(&name("a"), version("2.0.0")), |bytes| *bytes = other);
    let store = on(&disk, open_to_all());
    assert_eq!(listed(&store), ["a@1.0.0"]);
    assert_eq!(store.damaged(), ["bundles/a/2.0.0", "bundles/a/active"]);
}
