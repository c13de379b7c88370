//! A received message: its words in one buffer, and where its segments lie in it.

use std::cell::Cell;
use std::ops::Range;

use capnp::Word;
use capnp::message::ReaderSegments;

/// Bytes in a word, the unit of everything in a message.
pub(crate) const WORD_BYTES: usize = 8;

/// Words that a message gets a buffer for before they arrive: a 64 KiB payload with what an RPC message puts around it.
pub(crate) const FIRST_WORDS: usize = (72 << 10) / WORD_BYTES;

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

/// Buffers with fewer words are not worth keeping.
const LEAST_KEPT_WORDS: usize = 1 << 10;

/// The largest buffer that is kept, and the longest message that is believed before it is there where one as long has come
/// before: a chunk of 256 KiB of a bulk stream, with what an RPC message puts around it.
pub(crate) const KEPT_WORDS: usize = (264 << 10) / WORD_BYTES;

/// Buffers that are kept, of [`KEPT_WORDS`] at most each, a good MiB for a thread: one for the message that is read while
/// those before it wait.
const KEPT_BUFFERS: usize = 4;

thread_local! {
    /// The last large buffers that messages of this thread had, for the next ones of about their length.
    static SPARE: Cell<Vec<Vec<Word>>> = const { Cell::new(Vec::new()) };
}

/// Keeps a buffer, in place of the one that has been kept for longest where there are enough.
fn keep(words: Vec<Word>) {
    let mut spare = SPARE.take();
    if spare.len() == KEPT_BUFFERS {
        spare.remove(0);
    }
    spare.push(words);
    SPARE.set(spare);
}

/// A buffer of `count` words, with anything in it: whoever fills it fills all of it before anybody looks.
pub(crate) fn buffer(count: usize) -> Vec<Word> {
    const ZERO: Word = capnp::word(0, 0, 0, 0, 0, 0, 0, 0);
    if count < LEAST_KEPT_WORDS {
        return vec![ZERO; count];
    }
    let mut spare = SPARE.take();
    // A message counts by its length: it must not hold much more than that.
    let fits = |words: &Vec<Word>| (count..=count + count / 8).contains(&words.capacity());
    let found = spare.iter().rposition(fits).map(|at| spare.remove(at));
    SPARE.set(spare);
    let Some(mut words) = found else { return vec![ZERO; count] };
    words.resize(count, ZERO);
    words
}

impl Drop for Segments {
    fn drop(&mut self) {
        if (LEAST_KEPT_WORDS..=KEPT_WORDS).contains(&self.words.capacity()) {
            keep(std::mem::take(&mut self.words));
        }
    }
}

impl Segments {
    /// `table` must describe exactly the words of `words`.
    pub(crate) fn new(words: Vec<Word>, table: SegmentTable) -> Self {
        Self { words, table }
    }

    /// Words of all segments together.
    pub(crate) fn total_words(&self) -> usize {
        self.words.len()
    }

    /// Bytes of all segments together.
    pub(crate) fn total_bytes(&self) -> usize {
        self.words.len() * WORD_BYTES
    }

    /// The bytes of the only segment of a message that was sent as one.
    pub(crate) fn only(&self) -> Option<&[u8]> {
        match self.table {
            SegmentTable::One => Some(Word::words_to_bytes(&self.words)),
            SegmentTable::Many(_) => None,
        }
    }

    /// The bytes of the first segment, which has what RPC puts around parameters and results unless these are large and
    /// came first.
    pub(crate) fn first(&self) -> Option<&[u8]> {
        self.get_segment(0)
    }

    /// Where a segment lies, in words. None where there is no such segment.
    pub(crate) fn range(&self, segment: u32) -> Option<Range<usize>> {
        match &self.table {
            SegmentTable::One => (segment == 0).then_some(0..self.words.len()),
            SegmentTable::Many(table) => table.get(segment as usize).cloned(),
        }
    }

    /// One word as a number; zero where there is none.
    pub(crate) fn word(&self, at: usize) -> u64 {
        let word = self.words.get(at..=at).map(Word::words_to_bytes);
        word.and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    /// Overwrites one field. False where `place` is no place of this message.
    pub(crate) fn overwrite<const N: usize>(&mut self, place: Place, value: [u8; N]) -> bool {
        let bytes = Word::words_to_bytes_mut(&mut self.words);
        match bytes.get_mut(place.0..).and_then(<[u8]>::first_chunk_mut) {
            Some(field) => {
                *field = value;
                true
            }
            None => false,
        }
    }

    /// The place of the field of `N` bytes at `offset` in `section`, the data section of a struct of this message.
    /// None where the section is too short to have the field, whose value is then its default.
    pub(crate) fn locate<const N: usize>(&self, section: &[u8], offset: usize) -> Option<Place> {
        section.get(offset..)?.first_chunk::<N>()?;
        let start = Word::words_to_bytes(&self.words).as_ptr().addr();
        Some(Place(section.as_ptr().addr().checked_sub(start)? + offset))
    }
}

/// Where a field lies in a message, in bytes from its beginning.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place(usize);

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

#[cfg(test)]
mod tests {
    use super::*;

    fn held(words: Vec<Word>) -> Segments {
        Segments::new(words, SegmentTable::One)
    }

    #[test]
    fn the_buffer_of_a_large_message_serves_the_next_one_of_its_length() {
        let first = buffer(FIRST_WORDS);
        let place = first.as_ptr();
        drop(held(first));
        let second = buffer(FIRST_WORDS - 1);
        assert_eq!((second.as_ptr(), second.len()), (place, FIRST_WORDS - 1));
        let third = buffer(FIRST_WORDS);
        assert_ne!(third.as_ptr(), place, "it is in use");
    }

    #[test]
    fn no_message_holds_a_buffer_that_is_much_larger_than_itself() {
        for first in [LEAST_KEPT_WORDS, 5_000, FIRST_WORDS, KEPT_WORDS] {
            drop(held(buffer(first)));
            for count in [0, 1, 100, LEAST_KEPT_WORDS, 2_000, 5_000, FIRST_WORDS, KEPT_WORDS] {
                let words = buffer(count);
                assert_eq!(words.len(), count);
                assert!(words.capacity() <= count + count / 8, "{count} after {first}");
            }
        }
        // What is too large to be kept is not.
        let large = buffer(KEPT_WORDS + 1);
        drop(held(large));
        assert!(SPARE.take().iter().all(|words| words.capacity() <= KEPT_WORDS));
    }

    #[test]
    fn no_more_buffers_are_kept_than_a_few_and_the_last_ones_are() {
        let lengths = (0..10).map(|step| LEAST_KEPT_WORDS + step * 500);
        let large: Vec<_> = lengths.clone().map(buffer).collect();
        large.into_iter().map(held).for_each(drop);
        let kept: Vec<_> = SPARE.take().iter().map(Vec::len).collect();
        assert_eq!(kept, lengths.skip(10 - KEPT_BUFFERS).collect::<Vec<_>>());
    }
}
