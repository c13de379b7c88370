//! The texts that are compiled, and places in them.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

/// A file that was read, by its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct FileId(pub(crate) u32);

/// Bytes of a file, from `start` up to `end`. Files have less than 4 GiB: see [`crate::limits::FILE_BYTES`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    /// From the first byte of `self` to the last of `end`.
    pub(crate) fn to(self, end: Span) -> Span {
        Span { start: self.start, end: end.end.max(self.start) }
    }

    /// The empty place behind the last byte.
    pub(crate) fn after(self) -> Span {
        Span { start: self.end, end: self.end }
    }
}

/// A place in some file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: FileId,
    pub(crate) span: Span,
}

/// One text and what it is called.
#[derive(Debug)]
pub(crate) struct Source {
    /// What errors call it: a path that a person can open.
    pub(crate) path: PathBuf,
    pub(crate) text: Vec<u8>,
}

impl Source {
    /// The text for showing it: what is not UTF-8 becomes question marks, byte for byte, so that spans still fit.
    pub(crate) fn shown(&self) -> Cow<'_, str> {
        match std::str::from_utf8(&self.text) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => Cow::Owned(
                self.text.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { '?' }).collect(),
            ),
        }
    }
}

/// A text whose places are wanted as lines and columns.
#[derive(Debug)]
pub(crate) struct Lines {
    pub(crate) text: Arc<str>,
    /// Where each line starts.
    starts: Vec<usize>,
}

impl Lines {
    pub(crate) fn of(source: &Source) -> Self {
        let text: Arc<str> = source.shown().into();
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    /// The line and the column, counted in characters, of a byte; both start at 1.
    pub(crate) fn line_and_column(&self, byte: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= byte);
        let start = line.checked_sub(1).and_then(|line| self.starts.get(line)).copied().unwrap_or(0);
        (line, self.text.get(start..byte).map_or(0, |before| before.chars().count()) + 1)
    }
}
