//! Bundles as they come from their publisher, and what may be wrong with them.

use vatmux::Entropy;
use vatmux::bundle::{Content, Digest, Entry, EntryPath, Manifest, PublisherKey, SignedManifest};

/// What every bundle here is called, and how a link inside of it goes round.
pub(crate) const NAME: &str = "org.example";

/// Their publisher.
pub(crate) fn publisher() -> PublisherKey {
    PublisherKey::generate(Entropy::from_bytes([1; 32]).expect("32 bytes"))
}

fn entry(path: &str, content: Content) -> Entry {
    Entry { path: EntryPath::parse(path.as_bytes()).expect("a path"), content }
}

fn file(content: &[u8]) -> Content {
    Content::File { executable: false, size_bytes: content.len() as u64, digest: Digest::of(content) }
}

fn sign(version: &str, entries: Vec<Entry>) -> SignedManifest {
    let key = publisher();
    let (name, version) = (NAME.parse().expect("a name"), version.parse().expect("a version"));
    let manifest = Manifest::new(name, version, key.id(), entries).expect("a manifest");
    SignedManifest::sign(manifest, &key).expect("its publisher's key")
}

/// What a version of it has in its one file that is not small.
pub(crate) fn content(version: &str) -> Vec<u8> {
    let mut content = format!("this is {version}\n").into_bytes();
    content.resize(200, b'.');
    content
}

/// A version with a file, a directory and two links.
pub(crate) fn of(version: &str) -> Vec<u8> {
    signed_with(version, &content(version))
}

/// A version whose file has this content.
pub(crate) fn signed_with(version: &str, content: &[u8]) -> Vec<u8> {
    let link = |target: &str| Content::Symlink { target: target.to_owned() };
    let signed = sign(
        version,
        vec![
            entry("readme", file(content)),
            entry("sub", Content::Directory),
            entry("sub/round", link("round")),
            entry("sub/up", link("../readme")),
        ],
    );
    let mut bytes = signed.head();
    bytes.extend_from_slice(content);
    bytes
}

/// Where the signature of such a bundle is.
fn signature(bytes: &[u8]) -> usize {
    bytes.len() - 200 - 64
}

/// What may be wrong with it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flaw {
    Unsigned,
    InvalidSignature,
    DigestMismatch,
    TooLong,
    Malformed,
    InvalidName,
}

/// The version, with this flaw.
pub(crate) fn flawed(version: &str, flaw: Flaw) -> Vec<u8> {
    let mut bytes = of(version);
    let at = signature(&bytes);
    match flaw {
        Flaw::Unsigned => {
            bytes.drain(at..at + 64);
            let size = bytes.len() as u64;
            bytes[8..16].copy_from_slice(&size.to_le_bytes());
            bytes[20..24].fill(0);
        }
        Flaw::InvalidSignature => bytes[at] ^= 1,
        Flaw::DigestMismatch => *bytes.last_mut().expect("it has bytes") ^= 1,
        Flaw::TooLong => bytes.push(0),
        Flaw::Malformed => bytes[0] ^= 1,
        Flaw::InvalidName => {
            let name = bytes.windows(NAME.len()).position(|bytes| bytes == NAME.as_bytes());
            bytes[name.expect("its manifest has its name")] = b'O';
        }
    }
    bytes
}

/// A bundle whose manifest does not fit into an answer.
pub(crate) fn with_a_large_manifest() -> Vec<u8> {
    let mut path = String::new();
    let mut entries = Vec::new();
    for name in ["a", "b", "c"] {
        path.push_str(&name.repeat(250));
        entries.push(entry(&path, Content::Directory));
        path.push('/');
    }
    let target = path.trim_end_matches('/').to_owned();
    let links = (0..2_600)
        .map(|at| entry(&format!("{path}{at:0200}"), Content::Symlink { target: format!("{at}/{target}") }));
    entries.extend(links);
    sign("1.0.0", entries).head()
}
