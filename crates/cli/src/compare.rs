//! Whether two directories are the same, byte for byte.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// How much is compared at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// Two directories that were found equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Equal {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
}

/// The first thing that is not equal.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Difference {
    #[error("`{}` is missing", .0.display())]
    Missing(PathBuf),
    #[error("`{}` is there and should not be", .0.display())]
    Extra(PathBuf),
    #[error("`{}` is something else", .0.display())]
    Kind(PathBuf),
    #[error("`{}` leads elsewhere", .0.display())]
    Link(PathBuf),
    #[error("`{}` may be run on one side only", .0.display())]
    Executable(PathBuf),
    #[error("`{}` has other bytes", .0.display())]
    Bytes(PathBuf),
    #[error("`{}` cannot be read: {error}", path.display())]
    Read { path: PathBuf, error: io::Error },
    #[error("the comparison died")]
    Unfinished,
}

/// Compares names, kinds, bytes, the targets of links and what may be run. FIFOs, sockets and devices of the original
/// are passed over: they have no bytes.
pub(crate) fn directories(original: &Path, copy: &Path) -> Result<Equal, Difference> {
    let mut equal = Equal::default();
    compare(original, copy, Path::new(""), &mut equal)?;
    Ok(equal)
}

fn compare(original: &Path, copy: &Path, inside: &Path, equal: &mut Equal) -> Result<(), Difference> {
    let originals = names(&original.join(inside))?;
    let mut copies = names(&copy.join(inside))?;
    for name in originals {
        let inside = inside.join(&name);
        let (original_path, copy_path) = (original.join(&inside), copy.join(&inside));
        let metadata = inspect(&original_path)?;
        let is_special = !(metadata.is_file() || metadata.is_dir() || metadata.is_symlink());
        if is_special {
            continue;
        }
        if !copies.remove(&name) {
            return Err(Difference::Missing(inside));
        }
        let copied = inspect(&copy_path)?;
        if copied.file_type() != metadata.file_type() {
            return Err(Difference::Kind(inside));
        }
        if metadata.is_dir() {
            compare(original, copy, &inside, equal)?;
        } else if metadata.is_symlink() {
            let target = |path: &Path| fs::read_link(path).map_err(unreadable(path));
            if target(&original_path)? != target(&copy_path)? {
                return Err(Difference::Link(inside));
            }
        } else {
            if is_executable(&metadata) != is_executable(&copied) {
                return Err(Difference::Executable(inside));
            }
            equal.bytes += bytes(&original_path, &copy_path)?.ok_or(Difference::Bytes(inside))?;
            equal.files += 1;
        }
    }
    match copies.into_iter().next() {
        None => Ok(()),
        Some(name) => Err(Difference::Extra(inside.join(name))),
    }
}

fn names(directory: &Path) -> Result<BTreeSet<OsString>, Difference> {
    let entries = fs::read_dir(directory).map_err(unreadable(directory))?;
    entries.map(|entry| entry.map(|entry| entry.file_name()).map_err(unreadable(directory))).collect()
}

fn inspect(path: &Path) -> Result<Metadata, Difference> {
    fs::symlink_metadata(path).map_err(unreadable(path))
}

/// How many bytes both files have; `None` where they differ.
fn bytes(original: &Path, copy: &Path) -> Result<Option<u64>, Difference> {
    let open = |path: &Path| File::open(path).map_err(unreadable(path));
    let (mut left, mut right) = (open(original)?, open(copy)?);
    let (mut left_chunk, mut right_chunk) = (Vec::new(), Vec::new());
    let mut length = 0;
    loop {
        read_chunk(&mut left, &mut left_chunk).map_err(unreadable(original))?;
        read_chunk(&mut right, &mut right_chunk).map_err(unreadable(copy))?;
        if left_chunk != right_chunk {
            return Ok(None);
        }
        if left_chunk.is_empty() {
            return Ok(Some(length));
        }
        length += left_chunk.len() as u64;
    }
}

/// Reads until the chunk is full or the file ends.
fn read_chunk(file: &mut File, chunk: &mut Vec<u8>) -> io::Result<()> {
    chunk.clear();
    file.take(CHUNK_BYTES as u64).read_to_end(chunk).map(drop)
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> Difference {
    move |error| Difference::Read { path: path.to_owned(), error }
}

#[cfg(unix)]
fn is_executable(metadata: &Metadata) -> bool {
    std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o100 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &Metadata) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two equal trees, of which `change` then changes the second.
    fn compared_after(change: impl FnOnce(&Path)) -> Result<Equal, Difference> {
        let folder = tempfile::tempdir().unwrap();
        let (original, copy) = (folder.path().join("original"), folder.path().join("copy"));
        for tree in [&original, &copy] {
            fs::create_dir_all(tree.join("deep/empty")).unwrap();
            fs::write(tree.join("deep/file"), vec![7; CHUNK_BYTES + 1]).unwrap();
            fs::write(tree.join("none"), "").unwrap();
        }
        change(&copy);
        directories(&original, &copy)
    }

    #[test]
    fn equal_trees_are_equal() {
        assert_eq!(compared_after(|_| {}).unwrap(), Equal { files: 2, bytes: CHUNK_BYTES as u64 + 1 });
    }

    #[test]
    fn each_difference_is_found() {
        let changed = |change: fn(&Path)| compared_after(change).unwrap_err();
        assert!(matches!(
            changed(|copy| fs::remove_dir(copy.join("deep/empty")).unwrap()),
            Difference::Missing(path) if path == Path::new("deep/empty")
        ));
        assert!(matches!(
            changed(|copy| fs::write(copy.join("deep/more"), "").unwrap()),
            Difference::Extra(path) if path == Path::new("deep/more")
        ));
        assert!(matches!(
            changed(|copy| {
                fs::remove_file(copy.join("none")).unwrap();
                fs::create_dir(copy.join("none")).unwrap();
            }),
            Difference::Kind(_)
        ));
        let mut other = vec![7; CHUNK_BYTES + 1];
        other[CHUNK_BYTES] = 8;
        assert!(matches!(
            compared_after(|copy| fs::write(copy.join("deep/file"), &other).unwrap()),
            Err(Difference::Bytes(_))
        ));
        assert!(matches!(
            compared_after(|copy| fs::write(copy.join("deep/file"), vec![7; CHUNK_BYTES]).unwrap()),
            Err(Difference::Bytes(_))
        ));
    }

    #[cfg(unix)]
    #[test]
    fn what_may_be_run_and_where_links_lead_is_compared() {
        use std::os::unix::fs::{PermissionsExt, symlink};

        assert!(matches!(
            compared_after(|copy| {
                fs::set_permissions(copy.join("none"), fs::Permissions::from_mode(0o755)).unwrap();
            }),
            Err(Difference::Executable(_))
        ));
        let folder = tempfile::tempdir().unwrap();
        let trees = [folder.path().join("a"), folder.path().join("b")];
        for (tree, target) in trees.iter().zip(["here", "there"]) {
            fs::create_dir(tree).unwrap();
            symlink(target, tree.join("link")).unwrap();
        }
        assert!(matches!(directories(&trees[0], &trees[1]), Err(Difference::Link(_))));
    }
}
