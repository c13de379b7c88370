//! Gives the linker the image's memory map, and the image the tree that it serves.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    // No path of the checkout is in what this says: another checkout may build into the same directory. The linker runs where
    // the manifest is, as this does.
    println!("cargo::rerun-if-changed=image.ld");
    println!("cargo::rustc-link-arg-bins=-Timage.ld");
    println!("cargo::rustc-link-arg-bins=--gc-sections");
    // Functions that came out the same, as those of generic types often do, are there once.
    println!("cargo::rustc-link-arg-bins=--icf=all");

    let tree = Path::new("tree");
    println!("cargo::rerun-if-changed=tree");
    let mut files = Vec::new();
    list(tree, &mut files)?;
    files.sort();
    let mut list = "[\n".to_owned();
    for file in &files {
        let name = file.strip_prefix(tree).unwrap_or(file).to_string_lossy().replace('\\', "/");
        let place = format!("/tree/{name}");
        // Writing to a string cannot fail.
        let _ = writeln!(
            list,
            "    ({name:?}, include_bytes!(concat!(env!(\"CARGO_MANIFEST_DIR\"), {place:?})).as_slice()),"
        );
    }
    list.push_str("]\n");
    let output = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    fs::write(output.join("tree.rs"), list)
}

/// Every file below `directory`.
fn list(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() { list(&path, files)? } else { files.push(path) }
    }
    Ok(())
}
