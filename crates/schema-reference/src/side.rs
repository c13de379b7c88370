//! One set of files, compiled by both.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use vatmux_schema::{Disk, Files};

/// Files in memory. What is named by an absolute path is on the disk, such as the standard schemas.
#[derive(Clone, Debug, Default)]
pub struct Memory(BTreeMap<PathBuf, Vec<u8>>);

impl Memory {
    /// Adds a file, or replaces it.
    pub fn insert(&mut self, path: impl Into<PathBuf>, contents: impl Into<Vec<u8>>) {
        self.0.insert(path.into(), contents.into());
    }
}

impl<N: Into<PathBuf>, C: Into<Vec<u8>>> FromIterator<(N, C)> for Memory {
    fn from_iter<I: IntoIterator<Item = (N, C)>>(files: I) -> Self {
        Self(files.into_iter().map(|(path, contents)| (path.into(), contents.into())).collect())
    }
}

impl Files for Memory {
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        match self.0.get(path) {
            Some(contents) => Ok(Some(contents.clone())),
            None if path.is_absolute() => Disk.read(path),
            None => Ok(None),
        }
    }
}

/// The file system as it looks from a directory, wherever this process is.
#[derive(Clone, Debug)]
pub struct Within(pub PathBuf);

impl Files for Within {
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        Disk.read(&self.0.join(path))
    }
}
