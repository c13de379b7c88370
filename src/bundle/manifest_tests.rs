//! What a manifest may say, and what it may not.

use super::*;
use crate::bundle::publisher::PublisherKey;
use vatmux_noise::Entropy;

fn publisher() -> PublisherId {
    PublisherKey::generate(Entropy::from_bytes([5; 32]).unwrap()).id()
}

fn at(path: &str, content: Content) -> Entry {
    Entry { path: EntryPath::parse(path.as_bytes()).unwrap(), content }
}

fn file(path: &str) -> Entry {
    let content = path.as_bytes();
    at(
        path,
        Content::File { executable: false, size_bytes: content.len() as u64, digest: Digest::of(content) },
    )
}

fn directory(path: &str) -> Entry {
    at(path, Content::Directory)
}

fn symlink(path: &str, target: &str) -> Entry {
    at(path, Content::Symlink { target: target.to_owned() })
}

fn of(entries: Vec<Entry>) -> Result<Manifest, ManifestError> {
    Manifest::new("org.example".parse().unwrap(), "1.2.3".parse().unwrap(), publisher(), entries)
}

fn small() -> Manifest {
    of(vec![
        file("bin/run"),
        directory("bin"),
        file("a"),
        symlink("bin/link", "../a"),
        at("bin/tool", Content::File { executable: true, size_bytes: 0, digest: Digest::of(b"") }),
    ])
    .unwrap()
}

/// A message as somebody writes who does not keep the rules.
fn forged(change: impl FnOnce(manifest::Builder<'_>)) -> Result<Manifest, ManifestError> {
    let honest = small();
    let mut words = Word::allocate_zeroed_vec(honest.encoded().len() / 8);
    Word::words_to_bytes_mut(&mut words).copy_from_slice(honest.encoded());
    let segments = [Word::words_to_bytes(&words)];
    let reader = message::Reader::new(SegmentArray::new(&segments), ReaderOptions::new());
    let mut message = message::Builder::new_default();
    message.set_root(reader.get_root::<manifest::Reader<'_>>().unwrap()).unwrap();
    change(message.get_root().unwrap());
    let segments = message.get_segments_for_output();
    let words =
        message::Reader::new(SegmentArray::new(&segments), ReaderOptions::new()).canonicalize().unwrap();
    Manifest::parse(Word::words_to_bytes(&words))
}

/// With the paths of the honest one replaced.
fn with_paths(paths: [&[u8]; 5]) -> ManifestError {
    forged(|root| {
        let mut entries = root.get_entries().unwrap();
        for (at, path) in (0..).zip(paths) {
            entries.reborrow().get(at).init_path(path.len() as u32).as_bytes_mut().copy_from_slice(path);
        }
    })
    .unwrap_err()
}

#[test]
fn a_manifest_is_read_as_it_was_written() {
    let made = small();
    let read = Manifest::parse(made.encoded()).unwrap();
    assert_eq!(read, made);
    let paths: Vec<_> = read.entries().iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(paths, ["a", "bin", "bin/link", "bin/run", "bin/tool"]);
    assert_eq!((read.content_bytes(), read.file_count()), (8, 3));
    assert_eq!(read.entry("bin/run"), Some(&file("bin/run")));
    assert_eq!(read.entry("bin/ru"), None);
    let empty = of(Vec::new()).unwrap();
    assert_eq!(Manifest::parse(empty.encoded()).unwrap(), empty);
}

#[test]
fn the_order_in_which_entries_are_given_makes_no_difference() {
    let mut entries = small().entries().to_vec();
    entries.reverse();
    assert_eq!(of(entries).unwrap(), small());
}

#[test]
fn every_changed_bit_of_a_manifest_makes_it_another_one_or_none() {
    let honest = small();
    for at in 0..honest.encoded().len() * 8 {
        let mut bytes = honest.encoded().to_vec();
        bytes[at / 8] ^= 1 << (at % 8);
        if let Ok(other) = Manifest::parse(&bytes) {
            assert_ne!(other.digest(), honest.digest(), "bit {at}");
            assert_eq!(other.encoded(), bytes, "bit {at}");
        }
    }
}

#[test]
fn a_tree_has_one_digest_under_every_name_and_another_one_when_anything_in_it_differs() {
    let digest = |entries| of(entries).unwrap().tree_digest();
    let entries = small().entries().to_vec();
    let renamed =
        Manifest::new("other".parse().unwrap(), "9.9.9".parse().unwrap(), publisher(), entries.clone());
    assert_eq!(renamed.unwrap().tree_digest(), small().tree_digest());
    let mut seen = vec![small().tree_digest()];
    for at in 0..entries.len() {
        let mut other = entries.clone();
        match &mut other[at].content {
            Content::Directory => continue,
            Content::File { executable, .. } => *executable = !*executable,
            Content::Symlink { target } => target.push('x'),
        }
        seen.push(digest(other));
    }
    seen.push(digest(vec![directory("ab")]));
    seen.push(digest(vec![directory("a"), directory("b")]));
    let different: HashSet<_> = seen.iter().collect();
    assert_eq!(different.len(), seen.len());
}

#[test]
fn a_blob_is_named_once_whoever_has_it() {
    let same = |path| at(path, Content::File { executable: false, size_bytes: 1, digest: Digest::of(b"x") });
    let manifest = of(vec![same("b"), same("a"), file("c")]).unwrap();
    assert_eq!(
        manifest.blobs(),
        [Blob { digest: Digest::of(b"x"), size_bytes: 1 }, Blob { digest: Digest::of(b"c"), size_bytes: 1 }]
    );
    assert_eq!(manifest.content_bytes(), 3);
}

#[test]
fn test_reject_absolute_and_dot_dot_paths_and_all_that_lead_elsewhere() {
    for (bad, wanted) in [
        (&b"/a"[..], PathError::Absolute),
        (b"..", PathError::DotSegment),
        (b".", PathError::DotSegment),
        (b"../a", PathError::DotSegment),
        (b"", PathError::EmptySegment),
        (b"a//b", PathError::EmptySegment),
        (b"a/", PathError::EmptySegment),
        (b"a\0", PathError::Nul),
        (b"a\\b", PathError::Backslash),
        (b"\xff", PathError::NotUtf8),
        (&[b'a'; 1025], PathError::TooLong { bytes: 1025 }),
        (&[b'a'; 256], PathError::SegmentTooLong { bytes: 256 }),
    ] {
        match with_paths([bad, b"bin", b"bin/link", b"bin/run", b"bin/tool"]) {
            ManifestError::Path { error, .. } => assert_eq!(error, wanted),
            other => panic!("{bad:?}: {other}"),
        }
    }
}

#[test]
fn test_reject_duplicate_paths() {
    assert!(matches!(of(vec![file("a"), file("a")]), Err(ManifestError::Duplicate { .. })));
    let error = with_paths([b"a", b"bin", b"bin/link", b"bin/run", b"bin/run"]);
    assert!(matches!(error, ManifestError::Duplicate { .. }), "{error}");
}

#[test]
fn test_reject_entries_out_of_order() {
    let error = with_paths([b"a", b"bin", b"bin/run", b"bin/link", b"bin/tool"]);
    assert!(matches!(error, ManifestError::Unordered { .. }), "{error}");
}

#[test]
fn test_reject_case_colliding_paths() {
    for (one, other) in [("readme", "README"), ("stra\u{df}e", "STRASSE"), ("\u{e4}", "a\u{308}")] {
        assert!(
            matches!(of(vec![file(one), file(other)]), Err(ManifestError::Collision { .. })),
            "{one} {other}"
        );
    }
    let below = vec![directory("a"), directory("A"), file("a/x"), file("A/y")];
    assert!(matches!(of(below), Err(ManifestError::Collision { .. })));
}

#[test]
fn test_reject_files_that_are_taken_for_directories() {
    for parent in [None, Some(file("a")), Some(symlink("a", "b"))] {
        let entries = parent.into_iter().chain([file("a/b")]).collect();
        assert!(matches!(of(entries), Err(ManifestError::NotInADirectory { .. })));
    }
}

#[test]
fn test_reject_symlinks_out_of_the_tree() {
    for (target, wanted) in [
        ("/etc/passwd", Escape::LeavesTree),
        ("../../x", Escape::LeavesTree),
        ("x/../../..", Escape::ClimbsLate),
        ("", Escape::Invalid),
        ("a\0", Escape::Invalid),
        (&"x".repeat(1025), Escape::Invalid),
    ] {
        match of(vec![directory("d"), symlink("d/link", target)]) {
            Err(ManifestError::Target { escape, .. }) => assert_eq!(escape, wanted, "{target}"),
            other => panic!("{target}: {other:?}"),
        }
    }
}

#[test]
fn test_reject_modes_that_content_does_not_have() {
    for (at, mode) in [(0, 0o644), (0, 0o4555), (1, 0o755), (1, 0o444), (2, 0o555), (4, 0o777)] {
        let error = forged(|root| root.get_entries().unwrap().get(at).set_mode(mode)).unwrap_err();
        assert!(matches!(error, ManifestError::Mode { mode: found, .. } if found == mode), "{error}");
    }
}

#[test]
fn test_reject_sizes_that_contradict_digests() {
    let content = |size_bytes, digest| Content::File { executable: false, size_bytes, digest };
    let (x, nothing) = (Digest::of(b"x"), Digest::of(b""));
    for entries in [
        vec![at("a", content(1, nothing))],
        vec![at("a", content(0, x))],
        vec![at("a", content(1, x)), at("b", content(2, x))],
    ] {
        assert!(matches!(of(entries), Err(ManifestError::Size { .. })));
    }
}

#[test]
fn test_reject_more_content_than_can_be() {
    let huge = |at_: u64| {
        let path = at_.to_string();
        let digest = Digest::of(path.as_bytes());
        at(&path, Content::File { executable: false, size_bytes: MAX_FILE_BYTES, digest })
    };
    let most = MAX_CONTENT_BYTES / MAX_FILE_BYTES;
    assert_eq!(of((0..most).map(huge).collect()).unwrap().content_bytes(), MAX_CONTENT_BYTES);
    let more = (0..most).map(huge).chain([file("x")]).collect();
    assert!(matches!(of(more), Err(ManifestError::TooMuchContent)));
}

#[test]
fn test_reject_more_entries_or_a_larger_manifest_than_may_be() {
    let many = (0..=MAX_ENTRIES).map(|at| directory(&format!("{at}"))).collect();
    assert!(matches!(of(many), Err(ManifestError::TooManyEntries)));
    let long: Vec<_> = (0..20_000)
        .map(|at| directory(&format!("{at}{}", "x".repeat(240))))
        .chain((0..MAX_ENTRIES - 20_000).map(|at| symlink(&format!("l{at}"), &"y".repeat(300))))
        .collect();
    assert!(matches!(of(long), Err(ManifestError::TooLarge { .. })));
    let bytes = MAX_MANIFEST_BYTES + 8;
    assert!(
        matches!(Manifest::parse(&vec![0; bytes]), Err(ManifestError::TooLarge { bytes: found }) if found == bytes)
    );
}

#[test]
fn test_reject_a_list_of_entries_that_take_no_room() {
    let mut message = message::Builder::new_default();
    let mut root: manifest::Builder<'_> = message.init_root();
    root.set_name("org.example");
    root.reborrow().init_version().set_major(1);
    root.set_publisher(publisher().as_bytes());
    root.set_tree_digest(&[0; 32]);
    let mut bytes = message.get_segments_for_output()[0].to_vec();
    // The last of the root's five pointers leads to a list of half a billion structs of no size: one word.
    let (pointer, tag) = (5 * 8, bytes.len());
    let distance = (tag - pointer) / 8 - 1;
    bytes[pointer..pointer + 8].copy_from_slice(&((7 << 32) | ((distance as u64) << 2) | 1).to_le_bytes());
    bytes.extend((((1_u64 << 29) - 1) << 2).to_le_bytes());
    assert!(matches!(Manifest::parse(&bytes), Err(ManifestError::Message(_))));
    // As many as are allowed are walked through, and refused for what they are.
    bytes[tag..].copy_from_slice(&((MAX_ENTRIES as u64) << 2).to_le_bytes());
    assert!(matches!(Manifest::parse(&bytes), Err(ManifestError::Path { .. })));
}

#[test]
fn test_reject_a_file_that_is_larger_than_can_be() {
    let huge =
        |size_bytes| at("a", Content::File { executable: false, size_bytes, digest: Digest::of(b"a") });
    assert!(of(vec![huge(MAX_FILE_BYTES)]).is_ok());
    assert!(matches!(of(vec![huge(MAX_FILE_BYTES + 1)]), Err(ManifestError::FileTooLarge { .. })));
}

#[test]
fn test_reject_names_versions_publishers_and_digests_that_are_none() {
    assert!(matches!(forged(|mut root| root.set_name("..")), Err(ManifestError::Name(_))));
    let no_version = forged(|root| {
        let mut version = root.init_version();
        version.set_major(0);
    });
    assert!(matches!(no_version, Err(ManifestError::Name(NameError::NotAVersion))));
    for publisher in [&[0; 32][..], &[0; 31], &[]] {
        let error = forged(|mut root| root.set_publisher(publisher)).unwrap_err();
        assert!(matches!(error, ManifestError::Publisher(_)), "{error}");
    }
    let short = forged(|mut root| root.set_tree_digest(&[0; 31]));
    assert!(matches!(short, Err(ManifestError::DigestLength { bytes: 31 })));
    assert!(matches!(forged(|mut root| root.set_tree_digest(&[0; 32])), Err(ManifestError::TreeDigest)));
}

#[test]
fn test_reject_every_other_encoding() {
    let honest = small();
    let longer = [honest.encoded(), &[0; 8]].concat();
    assert!(matches!(Manifest::parse(&longer), Err(ManifestError::NotCanonical)));
    assert!(matches!(Manifest::parse(&longer[..longer.len() - 1]), Err(ManifestError::NotCanonical)));
    // What a builder makes says the same, in another order.
    let mut message = message::Builder::new_default();
    let mut words = Word::allocate_zeroed_vec(honest.encoded().len() / 8);
    Word::words_to_bytes_mut(&mut words).copy_from_slice(honest.encoded());
    let segments = [Word::words_to_bytes(&words)];
    let reader = message::Reader::new(SegmentArray::new(&segments), ReaderOptions::new());
    let from = reader.get_root::<manifest::Reader<'_>>().unwrap();
    let mut root: manifest::Builder<'_> = message.init_root();
    root.set_entries(from.get_entries().unwrap()).unwrap();
    root.set_version(from.get_version().unwrap()).unwrap();
    root.set_tree_digest(from.get_tree_digest().unwrap());
    root.set_publisher(from.get_publisher().unwrap());
    root.set_name(from.get_name().unwrap());
    let [bytes] = *message.get_segments_for_output() else { panic!("more than one segment") };
    assert!(matches!(Manifest::parse(bytes), Err(ManifestError::NotCanonical)));
}

#[test]
fn test_reject_truncated_manifests_and_noise() {
    let honest = small();
    for end in (0..honest.encoded().len()).step_by(8) {
        assert!(Manifest::parse(&honest.encoded()[..end]).is_err(), "{end}");
    }
    for byte in 0..=255 {
        assert!(Manifest::parse(&[byte; 64]).is_err(), "{byte}");
    }
}
