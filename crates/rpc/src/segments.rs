//! A received message: its words in one buffer, and where its segments lie in it.

use std::ops::Range;

use capnp::Word;
use capnp::message::ReaderSegments;

/// Bytes in a word, the unit of everything in a message.
pub(crate) const WORD_BYTES: usize = 8;

/// The segments of one message, end to end in one aligned buffer.
pub(crate) struct Segments {
    words: Vec<Word>,
    table: SegmentTable,
}

/// The lengths of a message's segments, checked against their limits by whoever made it.
pub(crate) enum SegmentTable {
    /// One segment, as nearly every message has: no table to allocate.
    One,
    /// Where each segment lies, in words.
    Many(Vec<Range<usize>>),
}

impl Segments {
    /// `table` must describe exactly the words of `words`.
    pub(crate) fn new(words: Vec<Word>, table: SegmentTable) -> Self {
        Self { words, table }
    }

    /// Overwrites the first four bytes of `section`, which must be a part of this message.
    ///
    /// False where the section is too short to have them or is no part of this message.
    pub(crate) fn overwrite_u32(&mut self, section: SectionStart, value: u32) -> bool {
        let bytes = Word::words_to_bytes_mut(&mut self.words);
        match bytes.get_mut(section.0..section.0 + size_of::<u32>()) {
            Some(field) => {
                field.copy_from_slice(&value.to_le_bytes());
                true
            }
            None => false,
        }
    }

    /// Where `section`, a slice that was borrowed from this message, begins in it.
    pub(crate) fn locate(&self, section: &[u8]) -> Option<SectionStart> {
        let bytes = Word::words_to_bytes(&self.words);
        let offset = section.as_ptr().addr().checked_sub(bytes.as_ptr().addr())?;
        (!section.is_empty() && offset + section.len() <= bytes.len()).then_some(SectionStart(offset))
    }
}

/// The offset of a struct's data section in its message, in bytes.
#[derive(Clone, Copy)]
pub(crate) struct SectionStart(usize);

impl ReaderSegments for Segments {
    fn get_segment(&self, id: u32) -> Option<&[u8]> {
        let words = match &self.table {
            SegmentTable::One => (id == 0).then_some(self.words.as_slice()),
            SegmentTable::Many(table) => self.words.get(table.get(id as usize)?.clone()),
        };
        words.map(Word::words_to_bytes)
    }

    fn len(&self) -> usize {
        match &self.table {
            SegmentTable::One => 1,
            SegmentTable::Many(table) => table.len(),
        }
    }
}
