//! The texts that are compiled, and places in them.

use std::borrow::Cow;
use std::path::PathBuf;

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

/// The line and the column, counted in characters, of a byte of `text`; both start at 1.
pub(crate) fn line_and_column(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.bytes().filter(|byte| *byte == b'\n').count() + 1, before[line_start..].chars().count() + 1)
}
