//! Building the image: the standard library along with it, from the source that the compiler comes with.

use std::fs;
use std::path::{Path, PathBuf};

use super::scratch;
use crate::bare::Compiler;
use crate::repository::{Repository, succeed};

/// The image's manifest, relative to the checkout. It is no member of the workspace.
pub(crate) const MANIFEST: &str = "guests/os/Cargo.toml";

/// The target's description, relative to the checkout. The name of what is built for it is its file name.
const TARGET: &str = "guests/os/riscv64gc-vatmux.json";
const TARGET_NAME: &str = "riscv64gc-vatmux";

/// How large the image may be, without what is for debuggers.
const MOST_KIB: u64 = 1536;

/// An image that was built.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// What is booted.
    pub(crate) path: PathBuf,
    /// What is loaded of it: code and constants, without what is for debuggers.
    pub(crate) kib: u64,
}

/// Builds it, and says by which compiler.
pub(crate) fn build(repository: &Repository) -> Result<Image, String> {
    let compiler = Compiler::with_source()?;
    println!("the image: built by {compiler}, with the standard library from its source");
    let target_directory = scratch()?.join("target");
    let arguments =
        ["build", "--quiet", "--release", "--locked", "--manifest-path", MANIFEST, "--target", TARGET];
    let mut cargo = match compiler.cargo() {
        Some(cargo) => repository.cargo_at(cargo.as_os_str(), &arguments),
        None => repository.cargo(&arguments),
    };
    cargo
        .args([
            "-Zbuild-std=std,panic_abort",
            "-Zbuild-std-features=compiler-builtins-mem",
            "-Zjson-target-spec",
        ])
        .arg("--target-dir")
        .arg(&target_directory)
        .env("RUSTC", compiler.rustc())
        // A released compiler builds its own libraries only where it is told that it may.
        .env("RUSTC_BOOTSTRAP", "1");
    succeed(&mut cargo)?;
    let path = target_directory.join(TARGET_NAME).join("release/vatmux-os");
    let kib = loaded_bytes(&path)?.div_ceil(1024);
    println!("the image: {}, {kib} KiB to load", path.display());
    if kib > MOST_KIB {
        return Err(format!("the image has {kib} KiB to load, and may have {MOST_KIB}"));
    }
    Ok(Image { path, kib })
}

/// How many bytes of an ELF file are loaded from it.
fn loaded_bytes(path: &Path) -> Result<u64, String> {
    let bytes = fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    loaded(&bytes).ok_or_else(|| format!("{} is no ELF file of 64 bits", path.display()))
}

/// The sum of the file sizes of the segments to load.
fn loaded(elf: &[u8]) -> Option<u64> {
    const LOAD: u64 = 1;
    let number = |at: usize, bytes: usize| {
        let field = elf.get(at..at.checked_add(bytes)?)?;
        Some(field.iter().rev().fold(0_u64, |number, byte| (number << 8) | u64::from(*byte)))
    };
    if !elf.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let (table, entry_bytes, entries) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    (0..entries).try_fold(0_u64, |sum, entry| {
        let at = usize::try_from(table.checked_add(entry * entry_bytes)?).ok()?;
        let bytes = if number(at, 4)? == LOAD { number(at.checked_add(32)?, 8)? } else { 0 };
        sum.checked_add(bytes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of an ELF file with these segments: kind and bytes in the file.
    fn elf(segments: &[(u32, u64)]) -> Vec<u8> {
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(64, 0);
        file[32] = 64;
        file[54] = 56;
        file[56] = segments.len() as u8;
        for (kind, bytes) in segments {
            let mut segment = [0; 56];
            segment[..4].copy_from_slice(&kind.to_le_bytes());
            segment[32..40].copy_from_slice(&bytes.to_le_bytes());
            file.extend(segment);
        }
        file
    }

    #[test]
    fn what_is_loaded_is_counted_and_nothing_else() {
        assert_eq!(loaded(&elf(&[(1, 300), (2, 5000), (1, 7)])), Some(307));
        assert_eq!(loaded(&elf(&[])), Some(0));
    }

    #[test]
    fn test_reject_what_is_no_elf_file() {
        assert_eq!(loaded(b"#!/bin/sh"), None);
        let mut cut = elf(&[(1, 300)]);
        cut.truncate(80);
        assert_eq!(loaded(&cut), None);
        let mut wild = elf(&[(1, 300)]);
        wild[32..40].fill(0xff);
        assert_eq!(loaded(&wild), None);
    }
}
