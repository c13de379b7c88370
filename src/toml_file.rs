//! Files that people write, in TOML: read within a bound, and told with the place of what is wrong.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The longest file, in bytes: a policy of a few thousand nodes.
pub const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Something is wrong in a text: where, and what was expected there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {problem}")]
pub struct Misplaced {
    /// The line, counted from 1.
    pub line: usize,
    /// The character in it, counted from 1.
    pub column: usize,
    /// What is wrong, and what was expected.
    pub problem: String,
}

impl Misplaced {
    /// What is wrong with these bytes of `text`.
    #[must_use]
    pub fn new(text: &str, at: Range<usize>, problem: String) -> Self {
        let before = text.get(..at.start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        Self { line: before.matches('\n').count() + 1, column, problem }
    }

    /// What the parser found wrong with `text`, in one line.
    #[must_use]
    pub fn parsing(text: &str, error: &toml::de::Error) -> Self {
        let problem = error.message().trim_end().replace('\n', "; ");
        Self::new(text, error.span().unwrap_or_default(), problem)
    }
}

/// A file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReadFileError {
    /// It cannot be read.
    #[error("cannot read the {what} `{}`: {error}", path.display())]
    Io {
        /// What it was to be.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// It is too long.
    #[error("the {what} `{}` has more than {MAX_FILE_BYTES} bytes", path.display())]
    TooLong {
        /// What it was to be.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// It is not what it was to be.
    #[error("{}:{error}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        error: Misplaced,
    },
}

/// Reads the file, which is to be a `what`, and makes of its text what `parse` makes of it.
pub fn read<T>(
    what: &'static str,
    path: &Path,
    parse: impl FnOnce(&str) -> Result<T, Misplaced>,
) -> Result<T, ReadFileError> {
    let failed = |error| ReadFileError::Io { what, path: path.to_owned(), error };
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(ReadFileError::TooLong { what, path: path.to_owned() });
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error.utf8_error())))?;
    parse(&text).map_err(|error| ReadFileError::Wrong { path: path.to_owned(), error })
}
