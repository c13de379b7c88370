//! What the image serves: the files of `tree/`, and one that is large enough to need flow control.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use blake2::{Blake2s256, Digest};
use vatmux::packagefs::{FilesError, Tree};

/// The files of `tree/`.
const FILES: &[(&str, &[u8])] = &include!(concat!(env!("OUT_DIR"), "/tree.rs"));

/// A file that is larger than what may be under way at once, and the digest of its bytes, in hexadecimal.
pub(crate) const BULK: &str = "bulk.bin";
pub(crate) const BULK_DIGEST: &str = "bulk.b2s";

/// How long ours is.
const BULK_BYTES: usize = 512 * 1024;

/// The tree.
pub(crate) fn tree() -> Result<Arc<Tree>, FilesError> {
    let bulk = bulk();
    let digest = hexadecimal(&Blake2s256::digest(&bulk));
    let mut files: Vec<(&str, Cow<'static, [u8]>)> =
        FILES.iter().map(|(path, content)| (*path, Cow::Borrowed(*content))).collect();
    files.push((BULK, Cow::Owned(bulk)));
    files.push((BULK_DIGEST, Cow::Owned(digest.into_bytes())));
    Tree::of_files(files).map(Arc::new)
}

/// Bytes without a pattern, the same on every boot: a linear congruential generator's upper halves.
fn bulk() -> Vec<u8> {
    let mut state = 1_u64;
    let words = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 32) as u32).to_le_bytes()
    });
    words.take(BULK_BYTES / 4).flatten().collect()
}

/// Bytes as text.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
