//! Packed bundles: read as they were written, cut anywhere, and refused for anything else.

use std::fs;
use std::sync::Arc;

use super::samples::{content, key, packed, small};
use super::*;

/// Reads a packed bundle in pieces of this length, and says what was verified in it.
fn read(bytes: &[u8], piece: usize) -> Result<(Arc<SignedManifest>, Vec<Vec<u8>>), UnpackError> {
    let mut unpacker = Unpacker::new(None);
    let mut manifest = None;
    let (mut current, mut verified) = (Vec::new(), Vec::new());
    let mut done = false;
    for mut piece in bytes.chunks(piece) {
        while let Some(step) = unpacker.step(&mut piece)? {
            match step {
                Step::Manifest(signed) => manifest = Some(signed),
                Step::Begins(_) => assert!(current.is_empty()),
                Step::Content(bytes) => current.extend_from_slice(bytes),
                Step::Verified(blob) => {
                    assert_eq!(blob.blob().digest, Digest::of(&current));
                    verified.push(std::mem::take(&mut current));
                }
                Step::Done => done = true,
            }
        }
    }
    unpacker.finish()?;
    assert!(done);
    Ok((manifest.unwrap(), verified))
}

#[test]
fn a_packed_bundle_is_read_as_it_was_written_however_it_is_cut() {
    let large = content(1, 200_000);
    let (signed, bytes) = packed("a", "1.0.0", &[("x", &large, false), ("y", b"y", false)], &[]);
    assert_eq!(bytes.len() as u64, signed.packed_bytes());
    for piece in [1, 7, 31, 32, 33, 4096, bytes.len()] {
        let (read, verified) = read(&bytes, piece).unwrap();
        assert_eq!((&*read, verified), (&signed, vec![large.clone(), b"y".to_vec()]), "{piece}");
    }
    let (signed, bytes) = small("1.0.0");
    let (read, verified) = read(&bytes, bytes.len()).unwrap();
    assert_eq!((&*read, verified.len()), (&signed, 3));
    assert_eq!(bytes[8..16], (bytes.len() as u64).to_le_bytes(), "its size comes first");
}

#[test]
fn a_bundle_without_files_is_a_bundle() {
    let (signed, bytes) = packed("a", "1.0.0", &[], &[]);
    assert_eq!(*read(&bytes, 10).unwrap().0, signed);
}

#[test]
fn no_changed_bit_of_a_packed_bundle_goes_through() {
    let (_, bytes) = small("1.0.0");
    for at in 0..bytes.len() {
        for bit in [0x01, 0x80] {
            let mut wrong = bytes.clone();
            wrong[at] ^= bit;
            assert!(read(&wrong, 4096).is_err(), "byte {at}");
        }
    }
}

#[test]
fn test_reject_a_bundle_that_ends_early_wherever_that_is() {
    let (_, bytes) = small("1.0.0");
    for end in 0..bytes.len() {
        match read(&bytes[..end], 4096) {
            Err(UnpackError::TooShort { received, .. }) => assert_eq!(received, end as u64),
            other => panic!("{end}: {other:?}"),
        }
    }
}

#[test]
fn test_reject_a_bundle_that_goes_on_after_its_end() {
    let (_, mut bytes) = small("1.0.0");
    bytes.push(0);
    for piece in [1, 4096] {
        assert!(matches!(read(&bytes, piece), Err(UnpackError::TooLong)));
    }
}

#[test]
fn test_reject_what_is_no_bundle() {
    for bytes in [&[0; 32][..], b"PK\x03\x04 something else that is long enough"] {
        assert!(matches!(read(bytes, 4096), Err(UnpackError::Header(HeaderError::NotABundle))));
    }
}

#[test]
fn test_reject_headers_that_promise_what_cannot_be() {
    let (_, bytes) = small("1.0.0");
    let with = |at: usize, field: &[u8]| {
        let mut wrong = bytes.clone();
        wrong[at..at + field.len()].copy_from_slice(field);
        read(&wrong, 4096).unwrap_err()
    };
    let header = |error| match error {
        UnpackError::Header(error) => error,
        other => panic!("{other}"),
    };
    for size in [0, 95, MAX_PACKED_BYTES + 1, u64::MAX] {
        assert!(
            matches!(header(with(8, &size.to_le_bytes())), HeaderError::Size { packed_bytes } if packed_bytes == size)
        );
    }
    let too_large = (MAX_MANIFEST_BYTES as u32 + 8).to_le_bytes();
    assert!(matches!(header(with(16, &too_large)), HeaderError::Manifest(ManifestError::TooLarge { .. })));
    assert!(matches!(header(with(20, &[63, 0, 0, 0])), HeaderError::Reserved));
    assert!(matches!(header(with(31, &[1])), HeaderError::Reserved));
    let (stated, listed) = (bytes.len() as u64 + 1, bytes.len() as u64);
    let error = with(8, &stated.to_le_bytes());
    assert!(
        matches!(error, UnpackError::Stated { stated: s, listed: l } if (s, l) == (stated, listed)),
        "{error}"
    );
}

#[test]
fn test_reject_size_mismatch_of_what_was_announced_and_the_header() {
    let (_, bytes) = small("1.0.0");
    let announced = bytes.len() as u64 + 1;
    let mut unpacker = Unpacker::new(Some(announced));
    let mut head = &bytes[..32];
    let error = unpacker.step(&mut head).unwrap_err();
    assert!(matches!(error, UnpackError::Announced { announced: a, .. } if a == announced));
    assert!(matches!(unpacker.step(&mut &bytes[32..]), Err(UnpackError::Failed)));
    assert!(matches!(unpacker.finish(), Err(UnpackError::Failed)));
}

#[test]
fn test_reject_unsigned() {
    let (signed, bytes) = small("1.0.0");
    let mut unsigned = bytes;
    let signature = 32 + signed.manifest().encoded().len();
    unsigned.drain(signature..signature + 64);
    let size = unsigned.len() as u64;
    unsigned[8..16].copy_from_slice(&size.to_le_bytes());
    unsigned[20..24].fill(0);
    assert!(matches!(read(&unsigned, 4096), Err(UnpackError::Unsigned)));
}

#[test]
fn test_reject_invalid_signatures() {
    let (signed, bytes) = small("1.0.0");
    let at = 32 + signed.manifest().encoded().len();
    // Of another publisher, and of this publisher over another manifest.
    let (other, _) = small("1.0.1");
    for signature in [key(2).sign(&signed.manifest().digest()), *other.signature(), [0; 64]] {
        let mut wrong = bytes.clone();
        wrong[at..at + 64].copy_from_slice(&signature);
        assert!(matches!(read(&wrong, 4096), Err(UnpackError::InvalidSignature)));
    }
    assert!(SignedManifest::sign(signed.manifest().clone(), &key(2)).is_none());
}

#[test]
fn test_reject_digest_mismatch_of_content_and_manifest() {
    let (_, mut bytes) = small("1.0.0");
    *bytes.last_mut().unwrap() ^= 1;
    match read(&bytes, 4096) {
        Err(UnpackError::Digest { path }) => assert_eq!(path.as_str(), "readme"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_has_not_come_takes_no_memory() {
    // A header that promises the largest manifest, and then nothing.
    let (_, bytes) = small("1.0.0");
    let mut header: [u8; 32] = *bytes.first_chunk().unwrap();
    header[8..16].copy_from_slice(&(1_u64 << 30).to_le_bytes());
    header[16..20].copy_from_slice(&(MAX_MANIFEST_BYTES as u32).to_le_bytes());
    let mut unpacker = Unpacker::new(None);
    let mut input = &header[..];
    assert!(unpacker.step(&mut input).unwrap().is_none());
    assert!(unpacker.held_bytes() <= 4096);
}

#[cfg(unix)]
mod trees {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::Path;

    use super::*;

    fn make(root: &Path) {
        fs::create_dir_all(root.join("bin/deep")).unwrap();
        fs::create_dir(root.join("nothing")).unwrap();
        fs::write(root.join("readme"), "hello").unwrap();
        fs::write(root.join("bin/copy"), "hello").unwrap();
        fs::write(root.join("bin/large"), content(7, 300_000)).unwrap();
        fs::write(root.join("bin/tool"), "#!/bin/sh").unwrap();
        fs::write(root.join("empty"), "").unwrap();
        fs::set_permissions(root.join("bin/tool"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink("../../readme", root.join("bin/deep/link")).unwrap();
    }

    fn pack(root: &Path) -> Result<(SignedManifest, Vec<u8>), PackError> {
        let source = Source::scan(root, &mut |_| {})?;
        let signed = source.sign("org.example".parse().unwrap(), "1.0.0".parse().unwrap(), &key(1))?;
        let mut bytes = Vec::new();
        source.write(&signed, &mut bytes, &mut |_| {})?;
        Ok((signed, bytes))
    }

    #[test]
    fn the_same_tree_gives_the_same_bytes_whenever_it_is_packed() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
        make(&one);
        make(&other);
        // What does not count: times, owners' other rights, the order in which files were made.
        fs::set_permissions(other.join("readme"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::set_permissions(other.join("bin/tool"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::File::open(other.join("empty")).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        fs::remove_file(other.join("bin/copy")).unwrap();
        fs::write(other.join("bin/copy"), "hello").unwrap();
        assert_eq!(pack(&one).unwrap(), pack(&other).unwrap());
    }

    #[test]
    fn what_is_unpacked_is_what_was_packed() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("tree");
        make(&root);
        let (signed, bytes) = pack(&root).unwrap();
        assert_eq!(signed.manifest().blobs().len(), 4, "what is the same is packed once");
        let again = folder.path().join("again");
        let read = extract(&mut &bytes[..], &again, &mut |_| Ok(()), &mut |_| {}).unwrap();
        assert_eq!(*read, signed);
        assert_eq!(pack(&again).unwrap(), (signed.clone(), bytes.clone()));
        assert_eq!(fs::read_link(again.join("bin/deep/link")).unwrap(), Path::new("../../readme"));
        assert_eq!(*verify(&mut &bytes[..], &mut |_| Ok(()), &mut |_| {}).unwrap(), signed);
        assert_eq!(*inspect(&mut &bytes[..1000]).unwrap(), signed);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn nothing_is_made_of_a_bundle_that_is_not_verified() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("tree");
        make(&root);
        let (_, bytes) = pack(&root).unwrap();
        let destination = folder.path().join("again");
        let mut wrong = bytes.clone();
        *wrong.last_mut().unwrap() ^= 1;
        let refuse = |_: &SignedManifest| Err(ExtractError::UnknownPublisher { publisher: key(1).id() });
        let outcomes = [
            extract(&mut &wrong[..], &destination, &mut |_| Ok(()), &mut |_| {}),
            extract(&mut &bytes[..bytes.len() - 1], &destination, &mut |_| Ok(()), &mut |_| {}),
            extract(&mut &bytes[..], &destination, &mut { refuse }, &mut |_| {}),
        ];
        assert!(outcomes.iter().all(Result::is_err));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        // Nor where something is in the way.
        fs::create_dir(&destination).unwrap();
        fs::write(destination.join("mine"), "mine").unwrap();
        let outcome = extract(&mut &bytes[..], &destination, &mut |_| Ok(()), &mut |_| {});
        assert!(matches!(outcome, Err(ExtractError::Destination { .. })));
        fs::remove_file(destination.join("mine")).unwrap();
        extract(&mut &bytes[..], &destination, &mut |_| Ok(()), &mut |_| {}).unwrap();
    }

    #[test]
    fn test_reject_trees_that_no_bundle_can_have() {
        let with = |change: &dyn Fn(&Path)| {
            let folder = tempfile::tempdir().unwrap();
            change(folder.path());
            pack(folder.path()).unwrap_err()
        };
        let error = with(&|root| symlink("/etc", root.join("link")).unwrap());
        assert!(matches!(error, PackError::Manifest(ManifestError::Target { .. })), "{error}");
        let error = with(&|root| {
            fs::write(root.join("a"), "").unwrap();
            fs::write(root.join("A"), "").unwrap();
        });
        assert!(matches!(error, PackError::Manifest(ManifestError::Collision { .. })), "{error}");
        let error = with(&|root| fs::write(root.join("a\\b"), "").unwrap());
        assert!(matches!(error, PackError::Path { .. }), "{error}");
        let error = with(&|root| drop(std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap()));
        assert!(matches!(error, PackError::Kind { .. }), "{error}");
        assert!(matches!(Source::scan(Path::new("/nonexistent"), &mut |_| {}), Err(PackError::Read { .. })));
    }

    #[test]
    fn test_reject_a_tree_that_changes_while_it_is_packed() {
        for change in ["hallo", "hello, world", "h"] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("file"), "hello").unwrap();
            let source = Source::scan(folder.path(), &mut |_| {}).unwrap();
            let signed = source.sign("a".parse().unwrap(), "1.0.0".parse().unwrap(), &key(1)).unwrap();
            fs::write(folder.path().join("file"), change).unwrap();
            let outcome = source.write(&signed, &mut Vec::new(), &mut |_| {});
            assert!(matches!(outcome, Err(PackError::Changed { .. })), "{change}");
            let destination = folder.path().join("packed");
            assert!(source.write_file(&signed, &destination, false, &mut |_| {}).is_err());
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_file_that_is_there_is_replaced_on_request_only() {
        let folder = tempfile::tempdir().unwrap();
        let (tree, destination) = (folder.path().join("tree"), folder.path().join("packed"));
        make(&tree);
        fs::write(&destination, "mine").unwrap();
        let source = Source::scan(&tree, &mut |_| {}).unwrap();
        let signed = source.sign("a".parse().unwrap(), "1.0.0".parse().unwrap(), &key(1)).unwrap();
        assert!(source.write_file(&signed, &destination, false, &mut |_| {}).is_err());
        assert_eq!(fs::read(&destination).unwrap(), b"mine");
        source.write_file(&signed, &destination, true, &mut |_| {}).unwrap();
        assert_eq!(fs::metadata(&destination).unwrap().len(), signed.packed_bytes());
    }
}
