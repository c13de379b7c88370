//! Packed bundles and manifests from anybody.

use std::sync::Arc;

use vatmux::bundle::{Digest, Manifest, SignedManifest, Step, Unpacker};

/// Takes the first byte for the way in which the others are cut, and these for a manifest and for a packed bundle.
pub(crate) fn run(bytes: &[u8]) {
    let Some((&piece, bytes)) = bytes.split_first() else { return };
    manifest(bytes);
    let cut = unpack(bytes, usize::from(piece) + 1);
    let whole = unpack(bytes, bytes.len().max(1));
    assert_eq!(cut, whole, "how it is cut makes no difference");
    if let Some((signed, content)) = whole {
        assert!([signed.head(), content].concat() == bytes, "a bundle is written as it was read");
        assert_eq!(signed.packed_bytes(), bytes.len() as u64);
    }
}

/// A manifest is read in one encoding, which is the one that is written.
fn manifest(bytes: &[u8]) {
    let Ok(read) = Manifest::parse(bytes) else { return };
    assert!(read.encoded() == bytes);
    assert_eq!(read.digest(), Digest::of(bytes));
    let made = Manifest::new(read.name().clone(), read.version(), read.publisher(), read.entries().to_vec());
    assert_eq!(made.expect("what was read is legal"), read);
}

/// The manifest and the content of a bundle, where `bytes` are one.
fn unpack(bytes: &[u8], piece: usize) -> Option<(Arc<SignedManifest>, Vec<u8>)> {
    let mut unpacker = Unpacker::new(None);
    let (mut signed, mut content) = (None, Vec::new());
    let mut begun = 0;
    for mut piece in bytes.chunks(piece) {
        loop {
            let step = match unpacker.step(&mut piece) {
                Ok(Some(step)) => step,
                Ok(None) => {
                    assert!(piece.is_empty(), "it asks for more when it has taken what there is");
                    break;
                }
                Err(_) => {
                    assert!(
                        unpacker.step(&mut piece).is_err() && unpacker.finish().is_err(),
                        "an end is an end"
                    );
                    return None;
                }
            };
            match step {
                Step::Manifest(manifest) => {
                    assert!(signed.is_none());
                    signed = Some(manifest);
                }
                Step::Begins(_) => begun = content.len(),
                Step::Content(bytes) => content.extend_from_slice(bytes),
                Step::Verified(verified) => {
                    let blob = verified.blob();
                    assert_eq!(blob.digest, Digest::of(&content[begun..]));
                    assert_eq!(blob.size_bytes, (content.len() - begun) as u64);
                }
                Step::Done => assert!(signed.is_some()),
            }
        }
    }
    unpacker.finish().is_ok().then_some(())?;
    Some((signed.expect("a bundle has a manifest"), content))
}
