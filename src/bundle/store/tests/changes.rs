//! Installing, activating, removing and collecting.

use super::*;
use crate::bundle::samples::{content, packed};

#[test]
fn what_is_installed_is_there_also_for_the_next_process() {
    let (disk, store) = empty();
    let installed = install_small(&store, "1.0.0").unwrap();
    assert!(!installed.was_there);
    for store in [store, on(&disk, open_to_all())] {
        assert_eq!(listed(&store), ["org.example@1.0.0*"]);
        let bundle = store.find(&name("org.example"), None).unwrap();
        assert_eq!(*bundle.signed(), small("1.0.0").0);
        read_all(&store, &bundle).unwrap();
        assert_eq!(store.usage().bundles, 1);
        assert_eq!(store.usage().stored_bytes, 14 + 10);
        assert!(store.damaged().is_empty());
    }
    assert!(!disk.files().keys().any(|path| path.starts_with(layout::STAGING)));
}

#[test]
fn nothing_is_visible_before_all_of_it_was_verified() {
    let (_, store) = empty();
    let (_, bytes) = small("1.0.0");
    let mut install = store.install(InstallOptions::default()).unwrap();
    for byte in &bytes {
        assert!(listed(&store).is_empty());
        install.write(&[*byte]).unwrap();
    }
    assert!(listed(&store).is_empty());
    install.finish().unwrap();
    assert_eq!(listed(&store), ["org.example@1.0.0*"]);
}

#[test]
fn installing_again_changes_nothing() {
    let (disk, store) = empty();
    install_small(&store, "1.0.0").unwrap();
    let (files, usage) = (disk.files(), store.usage());
    let again = install_small(&store, "1.0.0").unwrap();
    assert!(again.was_there);
    assert_eq!(
        (disk.files(), store.usage(), listed(&store)),
        (files, usage, vec!["org.example@1.0.0*".into()])
    );
    assert_eq!(store.collect().unwrap(), Collected::default());
}

#[test]
fn an_install_that_is_dropped_leaves_nothing() {
    let (disk, store) = empty();
    let files = disk.files();
    let (_, bytes) = small("1.0.0");
    for end in [0, 10, 100, bytes.len() - 1, bytes.len()] {
        let mut install = store.install(InstallOptions::default()).unwrap();
        install.write(&bytes[..end]).unwrap();
        drop(install);
        assert_eq!(disk.files(), files, "{end}");
    }
    let state = store.state();
    assert_eq!((state.installs, state.reserved_bytes, state.pins.len(), state.under_way.len()), (0, 0, 0, 0));
}

#[test]
fn versions_stand_beside_each_other_and_share_what_they_have_in_common() {
    let (_, store) = empty();
    for version in ["1.0.0", "1.10.0", "1.9.0"] {
        let options = InstallOptions { allow_downgrade: true, ..InstallOptions::default() };
        install_with(&store, &small(version).1, options).unwrap();
    }
    assert_eq!(listed(&store), ["org.example@1.10.0", "org.example@1.9.0*", "org.example@1.0.0"]);
    assert_eq!(store.usage().stored_bytes, 10 + 14 + 15 + 14);
    let versions = store.versions(&name("org.example"));
    assert_eq!(
        versions.iter().map(|listed| store.own_bytes(&listed.bundle)).collect::<Vec<_>>(),
        [15, 14, 14]
    );
}

#[test]
fn a_list_goes_on_where_it_was_left() {
    let (_, store) = empty();
    for bundle in ["b", "a", "c"] {
        for version in ["1.0.0", "2.0.0"] {
            install(&store, &packed(bundle, version, &[], &[]).1).unwrap();
        }
    }
    let all = listed(&store);
    assert_eq!(all, ["a@2.0.0*", "a@1.0.0", "b@2.0.0*", "b@1.0.0", "c@2.0.0*", "c@1.0.0"]);
    for limit in 1..=6 {
        let mut names = Vec::new();
        let mut after = None;
        loop {
            let page = store.list(after.as_ref(), limit);
            let Some(last) = page.last() else { break };
            after = Some((last.bundle.manifest().name().clone(), last.bundle.manifest().version()));
            names.extend(page.iter().map(|listed| listed.bundle.manifest().name().to_string()));
        }
        assert_eq!(names, ["a", "a", "b", "b", "c", "c"], "{limit}");
    }
    // Also where the bundle at which it was left is gone.
    store.uninstall(&name("b"), version("2.0.0"), true).unwrap();
    let rest = store.list(Some(&(name("b"), version("2.0.0"))), 9);
    assert_eq!(rest.len(), 3);
}

#[test]
fn a_version_can_be_installed_without_being_activated() {
    let (disk, store) = empty();
    let options = InstallOptions { activate: false, ..InstallOptions::default() };
    install_with(&store, &small("1.0.0").1, options).unwrap();
    assert!(store.find(&name("org.example"), None).is_none());
    assert_eq!(store.activate(&name("org.example"), version("1.0.0"), false).unwrap(), None);
    install_with(&store, &small("2.0.0").1, options).unwrap();
    assert_eq!(store.active(&name("org.example")), Some(version("1.0.0")));
    assert_eq!(
        store.activate(&name("org.example"), version("2.0.0"), false).unwrap(),
        Some(version("1.0.0"))
    );
    assert_eq!(on(&disk, open_to_all()).active(&name("org.example")), Some(version("2.0.0")));
}

#[test]
fn open_files_stay_readable_when_their_bundle_is_removed_and_collected() {
    let (disk, store) = empty();
    let large = content(1, 300_000);
    install(&store, &packed("a", "1.0.0", &[("x", &large, false)], &[]).1).unwrap();
    let file = store.open_blob(Blob { digest: Digest::of(&large), size_bytes: 300_000 }).unwrap();
    store.uninstall(&name("a"), version("1.0.0"), true).unwrap();
    let collected = store.collect().unwrap();
    assert_eq!(collected, Collected { blobs: 1, bytes: 300_000 + 5 * 32 });
    assert_eq!((store.usage().stored_bytes, store.usage().bundles), (0, 0));
    assert_eq!(disk.files().len(), 1, "only the format is left");
    let mut bytes = vec![0; 300_000];
    file.read_at(0, &mut bytes).unwrap();
    assert!(bytes == large);
}

#[test]
fn collecting_leaves_what_another_bundle_has_and_what_an_install_counts_on() {
    let (_, store) = empty();
    install_small(&store, "1.0.0").unwrap();
    install_small(&store, "2.0.0").unwrap();
    store.uninstall(&name("org.example"), version("1.0.0"), false).unwrap();
    assert_eq!(store.collect().unwrap(), Collected { blobs: 1, bytes: 14 });
    read_all(&store, &store.find(&name("org.example"), None).unwrap()).unwrap();

    let (_, bytes) = small("2.0.0");
    let mut again = store.install(InstallOptions::default()).unwrap();
    again.write(&bytes).unwrap();
    store.uninstall(&name("org.example"), version("2.0.0"), true).unwrap();
    assert_eq!(store.collect().unwrap(), Collected::default());
    let installed = again.finish().unwrap();
    read_all(&store, &installed.bundle).unwrap();
}

#[test]
fn parts_of_a_large_file_are_read_as_they_are_wherever_they_begin() {
    let (_, store) = empty();
    let large = content(3, 64 * 1024 * 5 + 77);
    install(&store, &packed("a", "1.0.0", &[("x", &large, false)], &[]).1).unwrap();
    let blob = Blob { digest: Digest::of(&large), size_bytes: large.len() as u64 };
    let file = store.open_blob(blob).unwrap();
    for (offset, length) in
        [(0, 1), (65_535, 2), (65_536, 65_536), (1, 200_000), (327_680, 77), (327_756, 1), (327_757, 0)]
    {
        let mut bytes = vec![0; length];
        file.read_at(offset as u64, &mut bytes).unwrap();
        assert!(bytes == large[offset..offset + length], "{offset} {length}");
    }
    for (offset, length) in [(327_757, 1), (0, 327_758), (u64::MAX, 1)] {
        assert!(file.read_at(offset, &mut vec![0; length]).is_err());
    }
}

#[test]
fn two_installs_of_different_bundles_go_on_at_once() {
    let (_, store) = empty();
    let shared = content(1, 100_000);
    let bundles = ["a", "b"].map(|name| packed(name, "1.0.0", &[("x", &shared, false)], &[]).1);
    let mut installs = [(); 2].map(|()| store.install(InstallOptions::default()).unwrap());
    for at in (0..bundles[0].len()).step_by(1000) {
        for (install, bytes) in installs.iter_mut().zip(&bundles) {
            install.write(&bytes[at..bytes.len().min(at + 1000)]).unwrap();
        }
    }
    for install in installs {
        let installed = install.finish().unwrap();
        read_all(&store, &installed.bundle).unwrap();
    }
    assert_eq!(listed(&store), ["a@1.0.0*", "b@1.0.0*"]);
    assert_eq!(store.usage().stored_bytes, 100_000 + 64);
}
