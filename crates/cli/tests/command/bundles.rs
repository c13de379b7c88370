//! `vatmux bundle`, with files here and with a node that keeps bundles.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use crate::harness::{Outcome, Serving, World, finish, names};

/// A directory to pack in `tree`, and a publisher's key.
fn world() -> (World, String) {
    let world = World::new();
    fs::create_dir(world.tree().join("bin")).unwrap();
    fs::write(world.tree().join("readme"), "hello").unwrap();
    fs::write(world.tree().join("bin/tool"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(world.tree().join("bin/tool"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(world.tree().join("large"), vec![7; 1_000_000]).unwrap();
    symlink("../readme", world.tree().join("bin/link")).unwrap();
    let publisher = finish(world.vatmux(["bundle", "keygen"])).succeeded().trim_end().to_owned();
    (world, publisher)
}

/// Packs `tree` as a version of `site`.
fn pack(world: &World, version: &str) -> PathBuf {
    let tree = world.tree();
    let words = ["bundle", "pack", tree.to_str().unwrap(), "--name", "site", "--version", version];
    finish(world.vatmux(words)).succeeded();
    world.here().join(format!("site-{version}.vatb"))
}

fn bundle(world: &World, words: &[&str]) -> Outcome {
    finish(world.vatmux(["bundle"].iter().chain(words)))
}

/// A node that keeps bundles of `publisher`, which the client may change.
fn serve(world: &World, publisher: &str) -> Serving {
    let client = world.id_of("client");
    let store = world.path("store");
    Serving::start(world.vatmux_of(
        "server",
        [
            "serve",
            "--bundles",
            store.to_str().unwrap(),
            "--publisher",
            publisher,
            "--installer",
            &client,
            "--listen",
            "127.0.0.1:0",
            "--allow-anyone",
        ],
    ))
}

#[test]
fn what_is_packed_is_verified_inspected_and_unpacked() {
    let (world, publisher) = world();
    let packed = pack(&world, "1.2.3");
    let packed = packed.to_str().unwrap();
    let verified = bundle(&world, &["verify", packed, "--publisher", &publisher]);
    assert!(verified.succeeded().starts_with("verified site 1.2.3 (3 files"), "{verified:?}");
    let inspected = bundle(&world, &["inspect", "--files", packed]);
    for word in ["1.2.3", &publisher, "0555           10 bin/tool\n", "bin/link -> ../readme\n", "bin/\n"] {
        assert!(inspected.succeeded().contains(word), "{word}: {inspected:?}");
    }
    bundle(&world, &["unpack", packed, "copy"]).succeeded();
    let copy = world.here().join("copy");
    assert_eq!(names(&copy), ["bin", "large", "readme"]);
    assert_eq!(fs::read(copy.join("bin/link")).unwrap(), b"hello");
    assert_eq!(fs::metadata(copy.join("bin/tool")).unwrap().permissions().mode() & 0o100, 0o100);
    assert_eq!(fs::metadata(copy.join("readme")).unwrap().permissions().mode() & 0o111, 0);
}

#[test]
fn packing_again_gives_the_same_bytes_and_replaces_nothing_unless_asked() {
    let (world, _) = world();
    let packed = pack(&world, "1.0.0");
    let bytes = fs::read(&packed).unwrap();
    let tree = world.tree();
    let words = ["bundle", "pack", tree.to_str().unwrap(), "--name", "site", "--version", "1.0.0"];
    finish(world.vatmux(words)).failed(1, &["site-1.0.0.vatb", "--force"]);
    finish(world.vatmux(words.iter().chain(&["--force"]))).succeeded();
    assert!(fs::read(&packed).unwrap() == bytes);
    assert_eq!(world.names_here(), ["site-1.0.0.vatb"]);
}

#[test]
fn a_publisher_s_key_is_made_once_and_is_private() {
    let (world, publisher) = world();
    assert!(publisher.starts_with("vatpub1") && publisher.len() == 65);
    let key = world.path("client/publisher.key");
    assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    bundle(&world, &["keygen"]).failed(1, &["publisher.key"]);
    let other = bundle(&world, &["keygen", "other.key"]);
    assert_ne!(other.succeeded().trim_end(), publisher);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let words = ["pack", ".", "--name", "a", "--version", "1.0.0"];
    bundle(&world, &words).failed(1, &["publisher.key", "0644"]);
    fs::remove_file(&key).unwrap();
    bundle(&world, &words).failed(1, &["publisher.key", "vatmux bundle keygen"]);
    let node = world.path("client/node.key");
    world.id_of("client");
    bundle(&world, &[&words[..], &["--key", node.to_str().unwrap()]].concat())
        .failed(1, &["node.key", "vatmux publisher key 1"]);
}

#[test]
fn test_reject_bundles_that_are_damaged_cut_or_another_s() {
    let (world, _) = world();
    let packed = pack(&world, "1.0.0");
    let bytes = fs::read(&packed).unwrap();
    let mut wrong = bytes.clone();
    *wrong.last_mut().unwrap() ^= 1;
    let other = bundle(&world, &["keygen", "other.key"]).succeeded().trim_end().to_owned();
    for (bytes, more, words) in [
        (&wrong[..], &[][..], &["wrong", "readme", "not what the manifest says"][..]),
        (&bytes[..bytes.len() - 1], &[], &["ends after"]),
        (&[&bytes[..], b"x"].concat(), &[], &["goes on"]),
        (b"something else that is long enough to be one", &[], &["not a packed bundle"]),
        (&bytes, &["--publisher", &other], &["not trusted"]),
    ] {
        fs::write(world.here().join("wrong"), bytes).unwrap();
        bundle(&world, &[&["verify", "wrong"], more].concat()).failed(1, words);
        bundle(&world, &[&["unpack", "wrong", "copy"], more].concat()).failed(1, words);
    }
    bundle(&world, &["verify", "absent"]).failed(1, &["absent"]);
    bundle(&world, &["verify", "."]).failed(1, &["not a regular file"]);
    assert_eq!(world.names_here(), ["other.key", "site-1.0.0.vatb", "wrong"]);
}

#[test]
fn a_bundle_is_installed_served_updated_and_removed_between_two_processes() {
    let (world, publisher) = world();
    let serving = serve(&world, &publisher);
    let root = serving.at("");
    assert_eq!(bundle(&world, &["list", &root]).succeeded(), "");
    let first = pack(&world, "1.0.0");
    let installed = bundle(&world, &["install", &root, first.to_str().unwrap()]);
    assert!(installed.succeeded().starts_with("installed site 1.0.0 (3 files"), "{installed:?}");
    assert_eq!(finish(world.vatmux(["cat", &serving.at("site/bin/link")])).succeeded(), "hello");

    fs::write(world.tree().join("readme"), "hello again").unwrap();
    let second = pack(&world, "1.1.0");
    let words = ["install", &root, second.to_str().unwrap(), "--no-activate"];
    assert!(bundle(&world, &words).succeeded().contains("not active"));
    assert_eq!(finish(world.vatmux(["cat", &serving.at("site/readme")])).succeeded(), "hello");
    assert_eq!(finish(world.vatmux(["cat", &serving.at("site@1.1.0/readme")])).succeeded(), "hello again");
    let activated = bundle(&world, &["activate", &root, "site", "1.1.0"]);
    assert_eq!(activated.succeeded(), "site is 1.1.0 now, and was 1.0.0\n");
    assert_eq!(finish(world.vatmux(["cat", &serving.at("site/readme")])).succeeded(), "hello again");

    let listed = bundle(&world, &["query", &root, "site"]);
    let lines: Vec<_> = listed.succeeded().lines().collect();
    assert!(lines[0].starts_with("site 1.1.0, active") && lines[1].starts_with("site 1.0.0 ("), "{lines:?}");
    assert!(lines.iter().all(|line| line.ends_with(&publisher)));
    bundle(&world, &["activate", &root, "site", "1.0.0"]).failed(1, &["later version is active"]);
    bundle(&world, &["install", &root, first.to_str().unwrap()]).failed(1, &["later version is active"]);
    bundle(&world, &["remove", &root, "site", "1.1.0"]).failed(1, &["active"]);
    bundle(&world, &["remove", &root, "site", "1.0.0"]).succeeded();
    assert_eq!(bundle(&world, &["collect", &root]).succeeded(), "removed 1 blob (5 B)\n");
    assert_eq!(bundle(&world, &["list", &root]).succeeded().lines().count(), 1);
    drop(serving);

    // And the next process finds it as it was.
    let serving = serve(&world, &publisher);
    assert_eq!(finish(world.vatmux(["cat", &serving.at("site/readme")])).succeeded(), "hello again");
    finish(world.vatmux(["get", "-r", &serving.at("site"), "fetched"])).succeeded();
    assert_eq!(fs::read(world.here().join("fetched/large")).unwrap(), vec![7; 1_000_000]);
}

#[test]
fn test_reject_strangers_unknown_publishers_and_a_second_process() {
    let (world, publisher) = world();
    let packed = pack(&world, "1.0.0");
    let packed = packed.to_str().unwrap();
    let other = bundle(&world, &["keygen", "other.key"]).succeeded().trim_end().to_owned();
    let serving = serve(&world, &other);
    let root = serving.at("");
    bundle(&world, &["install", &root, packed]).failed(1, &["install", packed, "not trusted here"]);
    let words = ["bundle", "install", &root, packed];
    finish(world.vatmux_of("somebody", words)).failed(1, &["may not change"]);
    for words in
        [&["activate", &root, "site", "1.0.0"][..], &["remove", &root, "site", "1.0.0"], &["collect", &root]]
    {
        finish(world.vatmux_of("somebody", ["bundle"].iter().chain(words))).failed(1, &["may not change"]);
    }
    bundle(&world, &["query", &root, "site"]).failed(1, &["no such bundle"]);
    let store = world.path("store");
    let words = [
        "serve",
        "--bundles",
        store.to_str().unwrap(),
        "--publisher",
        &publisher,
        "--listen",
        "127.0.0.1:0",
        "--allow-anyone",
    ];
    finish(world.vatmux_of("third", words)).failed(1, &["in use by another process"]);
    let tree = world.tree();
    let words = ["serve", "--bundles", tree.to_str().unwrap(), "--listen", "127.0.0.1:0", "--allow-anyone"];
    finish(world.vatmux_of("third", words)).failed(1, &["not a bundle store"]);
}

#[test]
fn programs_read_json() {
    let (world, publisher) = world();
    let read = |outcome: &Outcome| -> Vec<serde_json::Value> {
        outcome.succeeded().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let packed = pack(&world, "1.0.0");
    let packed = packed.to_str().unwrap();
    let lines = read(&bundle(&world, &["--json", "inspect", "--files", packed]));
    assert_eq!((&lines[0]["name"], &lines[0]["publisher"]), (&"site".into(), &publisher.clone().into()));
    assert_eq!((lines.len(), &lines[0]["files"], &lines[4]["path"]), (6, &3.into(), &"large".into()));
    let serving = serve(&world, &publisher);
    let root = serving.at("");
    let installed = read(&bundle(&world, &["--json", "install", &root, packed]));
    assert_eq!((&installed[0]["active"], &installed[0]["was_there"]), (&true.into(), &false.into()));
    assert_eq!(read(&bundle(&world, &["--json", "install", &root, packed]))[0]["was_there"], true);
    let listed = read(&bundle(&world, &["--json", "list", &root]));
    assert_eq!((&listed[0]["version"], &listed[0]["content_bytes"]), (&"1.0.0".into(), &1_000_015.into()));
    assert_eq!(listed[0]["tree_digest"], lines[0]["tree_digest"]);
}
