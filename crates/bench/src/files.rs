//! The files that are served.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::{env, process};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::payload::{Source, fill};

/// The name of the large file in [`Files`].
pub(crate) const LARGE_NAME: &str = "large";

/// The name of the directory of small files in [`Files`].
pub(crate) const SMALL_NAME: &str = "small";

/// The names of their directories begin with this and with the number of the process that they belong to.
const PREFIX: &str = "vatmux-bench-";

/// One large file and a directory of small ones, in memory where there is a file system with room for them there.
/// Removed when dropped, or by the next bench where this one was killed.
pub(crate) struct Files {
    directory: TempDir,
}

impl Files {
    /// One file of `large_bytes`, and `small_files` files of `small_bytes` each.
    pub(crate) fn create(large_bytes: u64, small_files: usize, small_bytes: usize) -> Result<Self> {
        let create_in = |parent: &Path| {
            remove_orphans(parent);
            let directory = tempfile::Builder::new()
                .prefix(&format!("{PREFIX}{}-", process::id()))
                .tempdir_in(parent)
                .with_context(|| format!("cannot create a directory in {}", parent.display()))?;
            let files = Self { directory };
            files.fill(large_bytes, small_files, small_bytes).with_context(|| {
                format!("cannot write test files of {large_bytes} bytes to {}", parent.display())
            })?;
            Ok(files)
        };
        create_in(Path::new("/dev/shm")).or_else(|_| create_in(&env::temp_dir()))
    }

    fn fill(&self, large_bytes: u64, small_files: usize, small_bytes: usize) -> Result<()> {
        // A prime length, so that no block of the protocols repeats in step with it.
        let mut block = vec![0; 1_048_573];
        let mut blocks = Source::Memory { bytes: large_bytes }.open(&mut block)?;
        let mut large = BufWriter::new(File::create(self.large())?);
        loop {
            match blocks.next(&mut block)? {
                0 => break,
                length => large.write_all(&block[..length])?,
            }
        }
        large.flush()?;
        fs::create_dir(self.small())?;
        for number in 0..small_files {
            let mut content = vec![0; small_bytes];
            fill(&mut content);
            let name = number.to_le_bytes();
            let length = name.len().min(content.len());
            content[..length].copy_from_slice(&name[..length]);
            fs::write(self.small().join(format!("file-{number:04}")), content)?;
        }
        Ok(())
    }

    pub(crate) fn root(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn large(&self) -> PathBuf {
        self.root().join(LARGE_NAME)
    }

    pub(crate) fn small(&self) -> PathBuf {
        self.root().join(SMALL_NAME)
    }
}

/// Removes what benches left behind that were killed: a gigabyte each, of memory at that.
fn remove_orphans(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner =
            name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|owner| !Path::new(&format!("/proc/{owner}")).exists()) {
            // It may be another user's; then it is theirs to remove.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_have_the_promised_lengths_and_differ() {
        let files = Files::create(3_000_000, 3, 2048).unwrap();
        assert_eq!(fs::metadata(files.large()).unwrap().len(), 3_000_000);
        let read = |name: &str| fs::read(files.small().join(name)).unwrap();
        assert_eq!(read("file-0000").len(), 2048);
        assert_ne!(read("file-0000"), read("file-0002"));
    }

    #[test]
    fn what_a_killed_bench_left_is_removed_and_what_a_living_one_has_is_not() {
        let parent = tempfile::tempdir().unwrap();
        // No process has a number this large: the kernel's own limit is 2^22.
        let orphan = parent.path().join(format!("{PREFIX}4294967295-abc"));
        let ours = parent.path().join(format!("{PREFIX}{}-abc", process::id()));
        let foreign = parent.path().join("something-else");
        for directory in [&orphan, &ours, &foreign] {
            fs::create_dir(directory).unwrap();
        }
        remove_orphans(parent.path());
        assert!(!orphan.exists());
        assert!(ours.exists() && foreign.exists());
    }
}
