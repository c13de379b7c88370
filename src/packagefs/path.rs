//! Which paths may be asked for: a check of syntax alone, made before anything is looked up.
//!
//! A path is relative to the root of what is served: UTF-8, segments separated by `/`. The empty path is the
//! root. No segment is empty, `.` or `..`, and none holds NUL or a backslash, so that a path means the same
//! on every platform and joining it to a directory cannot climb. Symbolic links are another matter:
//! [`super::Tree`] sees to those.

use std::fmt;

/// The longest path, in bytes.
pub const MAX_PATH_BYTES: usize = 4096;

/// The longest segment of a path, in bytes.
pub const MAX_SEGMENT_BYTES: usize = 255;

/// A path that keeps the rules of this module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreePath<'a>(&'a str);

impl<'a> TreePath<'a> {
    /// The root.
    pub const ROOT: TreePath<'static> = TreePath("");

    /// Checks `path` as it came from a peer.
    pub fn parse(path: &'a [u8]) -> Result<Self, PathError> {
        if path.len() > MAX_PATH_BYTES {
            return Err(PathError::TooLong { bytes: path.len() });
        }
        let path = std::str::from_utf8(path).map_err(|_| PathError::NotUtf8)?;
        if path.is_empty() {
            return Ok(Self::ROOT);
        }
        if path.starts_with('/') {
            return Err(PathError::Absolute);
        }
        path.split('/').try_for_each(check_segment)?;
        Ok(Self(path))
    }

    /// The path as text; empty for the root.
    #[must_use]
    pub fn as_str(&self) -> &'a str {
        self.0
    }

    /// Whether this is the root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }
}

/// Checks one segment: a name in a directory, as a peer may ask for or list it.
pub fn check_segment(segment: &str) -> Result<(), PathError> {
    match segment {
        "" => return Err(PathError::EmptySegment),
        "." | ".." => return Err(PathError::DotSegment),
        _ => {}
    }
    if segment.len() > MAX_SEGMENT_BYTES {
        return Err(PathError::SegmentTooLong { bytes: segment.len() });
    }
    match segment.bytes().find(|byte| matches!(byte, 0 | b'\\' | b'/')) {
        None => Ok(()),
        Some(0) => Err(PathError::Nul),
        Some(b'/') => Err(PathError::Separator),
        Some(_) => Err(PathError::Backslash),
    }
}

/// Why a path is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// The path is longer than [`MAX_PATH_BYTES`].
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// A segment is longer than [`MAX_SEGMENT_BYTES`].
    SegmentTooLong {
        /// How long it is.
        bytes: usize,
    },
    /// The path is not UTF-8.
    NotUtf8,
    /// The path begins with `/`.
    Absolute,
    /// Two separators in a row, or one at the end.
    EmptySegment,
    /// A segment is `.` or `..`.
    DotSegment,
    /// A segment holds NUL.
    Nul,
    /// A segment holds a backslash.
    Backslash,
    /// What should be one segment holds `/`.
    Separator,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { bytes } => {
                write!(f, "the path has {bytes} bytes, and may have {MAX_PATH_BYTES}")
            }
            Self::SegmentTooLong { bytes } => {
                write!(f, "a name in the path has {bytes} bytes, and may have {MAX_SEGMENT_BYTES}")
            }
            Self::NotUtf8 => f.write_str("the path is not UTF-8"),
            Self::Absolute => f.write_str("the path begins with `/`; paths are relative to what is served"),
            Self::EmptySegment => f.write_str("the path has an empty name in it"),
            Self::DotSegment => f.write_str("the path has `.` or `..` in it"),
            Self::Nul => f.write_str("the path has a NUL byte in it"),
            Self::Backslash => f.write_str("the path has a backslash in it"),
            Self::Separator => f.write_str("a name has a `/` in it"),
        }
    }
}

impl std::error::Error for PathError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_path_is_the_root() {
        assert_eq!(TreePath::parse(b""), Ok(TreePath::ROOT));
    }

    #[test]
    fn ordinary_names_pass_dots_and_spaces_included() {
        for path in ["a", "a/b.txt", ".hidden", "..data/...", "a b/ü/日本", "C:", "-rf", "~"] {
            assert_eq!(TreePath::parse(path.as_bytes()).map(|path| path.as_str()), Ok(path));
        }
    }

    #[test]
    fn test_reject_each_path_that_breaks_a_rule_by_its_name() {
        let cases: [(&[u8], PathError); 14] = [
            (b"..", PathError::DotSegment),
            (b".", PathError::DotSegment),
            (b"a/../b", PathError::DotSegment),
            (b"a/.", PathError::DotSegment),
            (b"/", PathError::Absolute),
            (b"/etc/passwd", PathError::Absolute),
            (b"//etc", PathError::Absolute),
            (b"a//b", PathError::EmptySegment),
            (b"a/", PathError::EmptySegment),
            (b"a\0b", PathError::Nul),
            (b"a/\0", PathError::Nul),
            (b"..\\..\\x", PathError::Backslash),
            (b"a/b\\c", PathError::Backslash),
            (b"a/\xff\xfe", PathError::NotUtf8),
        ];
        for (path, error) in cases {
            assert_eq!(TreePath::parse(path), Err(error), "{}", path.escape_ascii());
        }
    }

    #[test]
    fn test_reject_oversized_path_and_segment_and_nothing_shorter() {
        let longest = "s".repeat(MAX_SEGMENT_BYTES);
        assert!(TreePath::parse(longest.as_bytes()).is_ok());
        let bytes = MAX_SEGMENT_BYTES + 1;
        assert_eq!(TreePath::parse("s".repeat(bytes).as_bytes()), Err(PathError::SegmentTooLong { bytes }));

        let path = "s/".repeat(MAX_PATH_BYTES / 2);
        assert!(TreePath::parse(&path.as_bytes()[..MAX_PATH_BYTES - 1]).is_ok());
        assert!(TreePath::parse(format!("{}ss", &path[..MAX_PATH_BYTES - 2]).as_bytes()).is_ok());
        let bytes = MAX_PATH_BYTES + 1;
        let one_too_many = format!("{}sss", &path[..MAX_PATH_BYTES - 2]);
        assert_eq!(TreePath::parse(one_too_many.as_bytes()), Err(PathError::TooLong { bytes }));
        let bytes = 100 * 1024;
        assert_eq!(TreePath::parse(&vec![b's'; bytes]), Err(PathError::TooLong { bytes }));
    }

    #[test]
    fn a_segment_with_a_separator_is_none() {
        assert_eq!(check_segment("a/b"), Err(PathError::Separator));
        assert_eq!(check_segment("/"), Err(PathError::Separator));
    }
}
