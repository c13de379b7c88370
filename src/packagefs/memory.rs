//! Files that the program has in memory: a tree without a file system.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map;
use std::ops::Bound;
use std::sync::Arc;

use super::attributes::{Attributes, Entry};
use super::path::{PathError, TreePath};
use super::tree::Refusal;
use crate::schema::packagefs_capnp::{Kind, Status};

/// Files by their paths. Directories are those that the paths name; there are no empty ones, and no links.
#[derive(Debug)]
pub(super) struct Files(BTreeMap<String, Content>);

/// What is in a file.
#[derive(Clone, Debug)]
pub(super) struct Content(Arc<Cow<'static, [u8]>>);

/// Files that make no tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilesError {
    /// Nobody can ask for the path.
    #[error("{path:?} is no path of a file: {reason}")]
    Path {
        /// What was given.
        path: String,
        /// What is wrong with it.
        reason: PathError,
    },
    /// The empty path, which is the root's.
    #[error("the empty path is the root, which is a directory")]
    Root,
    /// Two files have one path, or one is where another has a directory.
    #[error("{0:?} is there twice, or both a file and a directory")]
    Twice(String),
}

impl Files {
    pub(super) fn new<P: Into<String>, C: Into<Cow<'static, [u8]>>>(
        files: impl IntoIterator<Item = (P, C)>,
    ) -> Result<Self, FilesError> {
        let mut tree = Self(BTreeMap::new());
        for (path, content) in files {
            let path = path.into();
            match TreePath::parse(path.as_bytes()) {
                Ok(path) if path.is_root() => return Err(FilesError::Root),
                Ok(_) => {}
                Err(reason) => return Err(FilesError::Path { path, reason }),
            }
            match tree.0.entry(path) {
                btree_map::Entry::Vacant(place) => place.insert(Content(Arc::new(content.into()))),
                btree_map::Entry::Occupied(place) => return Err(FilesError::Twice(place.key().clone())),
            };
        }
        match tree.0.keys().find(|path| tree.is_directory(path)) {
            Some(path) => Err(FilesError::Twice(path.clone())),
            None => Ok(tree),
        }
    }

    pub(super) fn attributes(&self, path: TreePath<'_>) -> Result<Attributes, Refusal> {
        if path.is_root() || self.is_directory(path.as_str()) {
            return Ok(directory());
        }
        self.content(path).map(|content| content.attributes())
    }

    pub(super) fn content(&self, path: TreePath<'_>) -> Result<Content, Refusal> {
        if let Some(content) = self.0.get(path.as_str()) {
            return Ok(content.clone());
        }
        // A file is no directory, whatever is asked for in it.
        let mut above = path.as_str();
        while let Some((directory, _)) = above.rsplit_once('/') {
            if self.0.contains_key(directory) {
                return Err(Status::NotADirectory.into());
            }
            above = directory;
        }
        Err(Status::NotFound.into())
    }

    /// What the directory `path` has after `cursor`, in the order of the names.
    pub(super) fn children(
        &self,
        path: TreePath<'_>,
        cursor: &str,
    ) -> Result<impl Iterator<Item = Entry> + use<>, Refusal> {
        if self.attributes(path)?.kind != Kind::Directory {
            return Err(Status::NotADirectory.into());
        }
        let prefix = if path.is_root() { String::new() } else { format!("{}/", path.as_str()) };
        // The order of paths is not that of the names in them: `a-b` is before `a/b`, and `a` before `a-b`.
        let mut children = BTreeMap::new();
        for (path, content) in self.below(&prefix) {
            match path[prefix.len()..].split_once('/') {
                None => children.insert(path[prefix.len()..].to_owned(), content.attributes()),
                Some((name, _)) if name > cursor && !children.contains_key(name) => {
                    children.insert(name.to_owned(), directory())
                }
                Some(_) => None,
            };
        }
        let after = children.split_off(cursor);
        let cursor = cursor.to_owned();
        let entries = after.into_iter().map(|(name, attributes)| Entry { name, attributes });
        Ok(entries.filter(move |entry| entry.name != cursor))
    }

    fn is_directory(&self, path: &str) -> bool {
        self.below(&format!("{path}/")).next().is_some()
    }

    fn below(&self, prefix: &str) -> impl Iterator<Item = (&String, &Content)> {
        let after = self.0.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        after.take_while(move |(path, _)| path.starts_with(prefix))
    }
}

impl Content {
    pub(super) fn attributes(&self) -> Attributes {
        Attributes { kind: Kind::File, mode: 0o444, size_bytes: self.0.len() as u64, ..directory() }
    }

    /// Fills `buffer` from `offset` on.
    pub(super) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Refusal> {
        let from = usize::try_from(offset).ok();
        let bytes = from.and_then(|from| self.0.get(from..)?.get(..buffer.len()));
        buffer.copy_from_slice(bytes.ok_or(Status::Changed)?);
        Ok(())
    }
}

fn directory() -> Attributes {
    Attributes { kind: Kind::Directory, mode: 0o555, size_bytes: 0, modified_ns: 0, link_target: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(paths: &[&'static str]) -> Result<Files, FilesError> {
        Files::new(paths.iter().map(|path| (*path, path.as_bytes())))
    }

    fn names(files: &Files, path: &str, cursor: &str) -> Vec<String> {
        let path = TreePath::parse(path.as_bytes()).unwrap();
        files.children(path, cursor).unwrap().map(|entry| entry.name).collect()
    }

    fn status(files: &Files, path: &str) -> Option<Status> {
        files.content(TreePath::parse(path.as_bytes()).unwrap()).err().map(|refusal| refusal.status)
    }

    #[test]
    fn names_are_listed_in_their_own_order_and_each_once() {
        let files = files(&["a-b", "a/x", "a/y/z", "b"]).unwrap();
        assert_eq!(names(&files, "", ""), ["a", "a-b", "b"]);
        assert_eq!(names(&files, "", "a"), ["a-b", "b"]);
        assert_eq!(names(&files, "", "a-"), ["a-b", "b"]);
        assert_eq!(names(&files, "a", ""), ["x", "y"]);
        assert_eq!(names(&files, "a", "y"), [""; 0]);
    }

    #[test]
    fn a_file_holds_its_bytes_and_says_what_it_is() {
        let files = files(&["a/x"]).unwrap();
        let content = files.content(TreePath::parse(b"a/x").unwrap()).unwrap();
        let mut bytes = [0; 2];
        content.read_at(1, &mut bytes).unwrap();
        assert_eq!((&bytes, content.attributes().size_bytes), (b"/x", 3));
        assert_eq!(files.attributes(TreePath::parse(b"a").unwrap()).unwrap().kind, Kind::Directory);
    }

    #[test]
    fn test_reject_reads_beyond_the_end() {
        let files = files(&["x"]).unwrap();
        let content = files.content(TreePath::parse(b"x").unwrap()).unwrap();
        for offset in [1, 2, u64::MAX] {
            assert_eq!(content.read_at(offset, &mut [0]).unwrap_err().status, Status::Changed);
        }
    }

    #[test]
    fn test_reject_paths_of_nothing() {
        let files = files(&["a/x"]).unwrap();
        assert_eq!(status(&files, "b"), Some(Status::NotFound));
        assert_eq!(status(&files, "a/x/y/z"), Some(Status::NotADirectory));
        assert_eq!(
            files.children(TreePath::parse(b"a/x").unwrap(), "").err().map(|refusal| refusal.status),
            Some(Status::NotADirectory)
        );
    }

    #[test]
    fn test_reject_files_that_make_no_tree() {
        assert_eq!(files(&[""]).unwrap_err(), FilesError::Root);
        assert!(matches!(files(&["a/../b"]).unwrap_err(), FilesError::Path { .. }));
        for twice in [["a", "a"], ["a/b", "a"], ["a", "a/b/c"]] {
            assert!(matches!(files(&twice).unwrap_err(), FilesError::Twice(_)), "{twice:?}");
        }
    }
}
