//! Trees with everything in them that a name or a file can be, and what a tree looks like.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// What has a name in a tree.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Directory,
    File { bytes: Vec<u8>, executable: bool },
    Link(PathBuf),
}

/// Everything in `root`, by its path from there.
pub(crate) fn everything_in(root: &Path) -> BTreeMap<PathBuf, Node> {
    let mut found = BTreeMap::new();
    let mut directories = vec![PathBuf::new()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(root.join(&directory)).unwrap() {
            let path = directory.join(entry.unwrap().file_name());
            let metadata = fs::symlink_metadata(root.join(&path)).unwrap();
            let node = if metadata.is_dir() {
                directories.push(path.clone());
                Node::Directory
            } else if metadata.is_symlink() {
                Node::Link(fs::read_link(root.join(&path)).unwrap())
            } else {
                let executable = metadata.permissions().mode() & 0o100 != 0;
                Node::File { bytes: fs::read(root.join(&path)).unwrap(), executable }
            };
            found.insert(path, node);
        }
    }
    found
}

/// Bytes that are not the same anywhere, so that a chunk out of place shows.
pub(crate) fn bytes(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ count as u64;
    let mut bytes = Vec::with_capacity(count + 8);
    while bytes.len() < count {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(count);
    bytes
}

/// Makes a tree of odd names and sizes in the directory `root`.
pub(crate) fn plant_oddities(root: &Path) {
    let long_name = "n".repeat(255);
    for name in [
        "with space",
        "-leading-dash",
        "--help",
        "ünïcødé 日本語 🦀",
        "new\nline",
        "tab\tand \u{1b}[31mred",
        "quotes ' \" ` $HOME *?",
        "percent %41%",
        ".hidden",
        "...",
        long_name.as_str(),
    ] {
        fs::write(root.join(name), name).unwrap();
    }
    for directory in ["empty directory", "deep/er/and/deeper", "-d"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    // Around the sizes at which files are read in another way.
    for size in [0, 1, 65_535, 65_536, 65_537, 262_144, 262_145, 3_000_000] {
        fs::write(root.join(format!("deep/er/{size} bytes")), bytes(size)).unwrap();
    }
    fs::write(root.join("script"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(root.join("script"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("script", root.join("link to a file")).unwrap();
    symlink("deep/er", root.join("link to a directory")).unwrap();
    symlink("nowhere", root.join("link to nothing")).unwrap();
    symlink("../script", root.join("deep/link upwards")).unwrap();
}
