//! One entry of a bundle: a path, and what has it.

use std::fmt;

use unicase::UniCase;
use unicode_normalization::UnicodeNormalization;

use super::digest::Digest;
use crate::packagefs::path::{PathError, TreePath};

/// The longest path of an entry, and the longest target of a symlink, in bytes.
///
/// There are systems that take no longer one.
pub const MAX_ENTRY_PATH_BYTES: usize = 1024;

/// The path of an entry: relative, by packagefs's rules, and not the root.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryPath(Box<str>);

impl EntryPath {
    /// Checks `path`, whoever says it.
    pub fn parse(path: &[u8]) -> Result<Self, PathError> {
        if path.len() > MAX_ENTRY_PATH_BYTES {
            return Err(PathError::TooLong { bytes: path.len() });
        }
        let path = TreePath::parse(path)?;
        if path.is_root() { Err(PathError::EmptySegment) } else { Ok(Self(path.as_str().into())) }
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of the directory that it lies in; `None` where that is the root.
    pub(crate) fn parent(&self) -> Option<&str> {
        self.0.rsplit_once('/').map(|(parent, _)| parent)
    }

    /// How many directories it lies below the root.
    pub(crate) fn depth(&self) -> usize {
        self.0.bytes().filter(|&byte| byte == b'/').count()
    }

    /// What two paths have in common that some file system does not tell apart: canonical caseless matching, as Unicode
    /// defines it (D145).
    pub(crate) fn collision_key(&self) -> String {
        if self.0.is_ascii() {
            return self.0.to_ascii_lowercase();
        }
        let decomposed: String = self.0.nfd().collect();
        UniCase::unicode(decomposed).to_folded_case().nfd().collect()
    }
}

impl fmt::Display for EntryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A path, and what has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub path: EntryPath,
    /// What.
    pub content: Content,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A directory.
    Directory,
    /// A regular file.
    File {
        /// Whether it may be run.
        executable: bool,
        /// Its length.
        size_bytes: u64,
        /// Of all its bytes.
        digest: Digest,
    },
    /// A symbolic link.
    Symlink {
        /// Where it points, as it is written there.
        target: String,
    },
}

impl Content {
    /// The lower nine bits of its POSIX mode: content is there to be read.
    #[must_use]
    pub fn mode(&self) -> u16 {
        match self {
            Self::File { executable: false, .. } => 0o444,
            Self::File { executable: true, .. } | Self::Directory => 0o555,
            Self::Symlink { .. } => 0o777,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(path: &str) -> String {
        EntryPath::parse(path.as_bytes()).unwrap().collision_key()
    }

    #[test]
    fn what_a_file_system_may_mix_up_has_one_key() {
        for (one, other) in [
            ("readme", "README"),
            ("dir/a", "DIR/A"),
            ("straße", "STRASSE"),
            ("\u{e4}", "A\u{308}"),
            ("\u{3c3}", "\u{3c2}"),
            ("\u{212a}", "k"),
            ("\u{1e9e}", "ss"),
            ("\u{fb01}", "FI"),
        ] {
            assert_eq!(key(one), key(other), "{one} {other}");
        }
        assert_ne!(key("a"), key("b"));
        assert_ne!(key("\u{e4}"), key("a"));
    }

    #[test]
    fn a_path_knows_where_it_lies() {
        let path = EntryPath::parse(b"a/b/c").unwrap();
        assert_eq!((path.parent(), path.depth()), (Some("a/b"), 2));
        assert_eq!(EntryPath::parse(b"a").unwrap().parent(), None);
    }

    #[test]
    fn test_reject_the_root_as_an_entry() {
        assert_eq!(EntryPath::parse(b""), Err(PathError::EmptySegment));
    }
}
