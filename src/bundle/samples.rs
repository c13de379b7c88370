//! Bundles that tests use.

use vatmux_noise::Entropy;

use super::digest::Digest;
use super::entry::{Content, Entry, EntryPath};
use super::manifest::Manifest;
use super::packed::SignedManifest;
use super::publisher::PublisherKey;

/// A publisher.
pub(crate) fn key(seed: u8) -> PublisherKey {
    PublisherKey::generate(Entropy::from_bytes([seed; 32]).unwrap())
}

pub(crate) fn path(text: &str) -> EntryPath {
    EntryPath::parse(text.as_bytes()).unwrap()
}

/// A file of a sample: its path, its content, whether it may be run.
pub(crate) type File<'a> = (&'a str, &'a [u8], bool);

/// A bundle of these files, the directories that they lie in, and these links; packed.
pub(crate) fn packed(
    name: &str,
    version: &str,
    files: &[File<'_>],
    links: &[(&str, &str)],
) -> (SignedManifest, Vec<u8>) {
    let mut entries: Vec<Entry> = Vec::new();
    for (name, content, executable) in files {
        for (at, _) in name.match_indices('/') {
            let directory = path(&name[..at]);
            if !entries.iter().any(|entry| entry.path == directory) {
                entries.push(Entry { path: directory, content: Content::Directory });
            }
        }
        let content = Content::File {
            executable: *executable,
            size_bytes: content.len() as u64,
            digest: Digest::of(content),
        };
        entries.push(Entry { path: path(name), content });
    }
    for (name, target) in links {
        entries.push(Entry { path: path(name), content: Content::Symlink { target: (*target).to_owned() } });
    }
    let key = key(1);
    let manifest = Manifest::new(name.parse().unwrap(), version.parse().unwrap(), key.id(), entries).unwrap();
    let signed = SignedManifest::sign(manifest, &key).unwrap();
    let mut bytes = signed.head();
    for blob in signed.manifest().blobs() {
        let (_, content, _) =
            files.iter().find(|(_, content, _)| Digest::of(content) == blob.digest).unwrap();
        bytes.extend_from_slice(content);
    }
    (signed, bytes)
}

/// Content that no other seed has.
pub(crate) fn content(seed: u64, bytes: usize) -> Vec<u8> {
    let mut content = vec![0; bytes];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut content);
    content
}

/// A small bundle with something of everything.
pub(crate) fn small(version: &str) -> (SignedManifest, Vec<u8>) {
    let text = format!("this is {version}\n");
    packed(
        "org.example",
        version,
        &[
            ("readme", text.as_bytes(), false),
            ("bin/tool", b"#!/bin/sh\n", true),
            ("bin/same", b"#!/bin/sh\n", false),
            ("empty", b"", false),
        ],
        &[("bin/link", "../readme")],
    )
}
