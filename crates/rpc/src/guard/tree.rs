//! Whether the pointers of a message make a tree that lies within it.
//!
//! Cap'n Proto's readers check a pointer when it is followed, and again each time that it is followed. What a
//! message costs its readers is then up to its sender: a list of a million pointers to the same text is a terabyte to
//! whoever copies it. capnp answers with a budget for each message, which honest readers use up as well, and
//! capnp-rpc panics where it runs out between two fields of a Return. So all pointers are followed here, once, before
//! anybody reads: a message that passes can be read for ever and costs no more than its own size.
//!
//! What passes: every object lies within its segment, no word belongs to two objects, nothing is nested deeper than
//! [`MAX_DEPTH`], and lists whose elements take no room have few elements. No builder makes anything else.

mod simple;

use std::ops::Range;

use crate::segments::{FIRST_WORDS, Segments, WORD_BYTES};

/// Structs and lists around the innermost one, what RPC puts around parameters and results included.
pub(crate) const MAX_DEPTH: u32 = 64;

/// Elements of lists of void and of empty structs in one message, all together. They cost nothing on the wire and a
/// turn each to whoever walks the list.
pub(crate) const MAX_EMPTY_ELEMENTS: u64 = 1 << 16;

/// What is wrong with the pointers of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A pointer leads out of its segment, or to a segment that is not there.
    #[error("a pointer leads out of it")]
    OutOfBounds,
    /// Two pointers lead to the same words.
    #[error("two of its objects overlap")]
    Overlap,
    /// Objects are nested deeper than 64 levels.
    #[error("its objects are nested deeper than 64 levels")]
    TooDeep,
    /// A pointer of a kind that does not exist, or where its kind may not be.
    #[error("a pointer is of no known kind")]
    UnknownPointer,
    /// A list of structs that holds more of them than it has words for.
    #[error("a list is longer than its content")]
    Overrun,
    /// Lists of nothing that are longer than 65,536 elements together.
    #[error("it has lists of nothing that are too long")]
    TooManyEmptyElements,
    /// A field of the RPC protocol has the wrong type, or a value that the protocol does not know.
    #[error("a field of the protocol cannot be read")]
    Unreadable,
}

/// Checks messages. What it allocates is kept for the next one, where that is little.
#[derive(Default)]
pub(crate) struct TreeCheck {
    /// A bit for each word that belongs to an object, of messages that are too large for [`Small`].
    taken: Vec<u64>,
    /// Objects with pointers that are still to be followed, around the present one; as deep as the message at most.
    rows: Vec<Row>,
    capabilities: u32,
}

/// Words of marks that are kept between messages: enough for a payload of 64 KiB and what RPC puts around it.
const KEPT_MARKS: usize = FIRST_WORDS / 64;

/// The words of a message, and which of them belong to an object.
trait Ground {
    /// Zero where there is no such word.
    fn word(&self, at: usize) -> u64;

    /// Where a segment lies, in words. None where there is no such segment.
    fn range(&self, segment: u32) -> Option<Range<usize>>;

    /// Marks words from `start` up to `end`, which is more and lies in the message. False where one is marked already.
    fn mark(&mut self, start: usize, end: usize) -> bool;
}

/// A message of one segment with no more words than a number has bits, as most are.
struct Small<'a> {
    words: &'a [[u8; WORD_BYTES]],
    taken: u64,
}

impl Small<'_> {
    const MAX_WORDS: usize = 64;
}

impl Ground for Small<'_> {
    #[inline]
    fn word(&self, at: usize) -> u64 {
        self.words.get(at).map_or(0, |word| u64::from_le_bytes(*word))
    }

    #[inline]
    fn range(&self, segment: u32) -> Option<Range<usize>> {
        (segment == 0).then_some(0..self.words.len())
    }

    #[inline]
    fn mark(&mut self, start: usize, end: usize) -> bool {
        let mask = (u64::MAX >> (64 - (end - start))) << start;
        let free = self.taken & mask == 0;
        self.taken |= mask;
        free
    }
}

/// Any message.
struct Large<'a> {
    message: &'a Segments,
    taken: &'a mut [u64],
}

impl Ground for Large<'_> {
    fn word(&self, at: usize) -> u64 {
        self.message.word(at)
    }

    fn range(&self, segment: u32) -> Option<Range<usize>> {
        self.message.range(segment)
    }

    fn mark(&mut self, start: usize, end: usize) -> bool {
        let last = (end - 1) / 64;
        let Some([head, whole @ ..]) = self.taken.get_mut(start / 64..=last) else { return false };
        let (from, to) = (u64::MAX << (start % 64), u64::MAX >> (63 - (end - 1) % 64));
        let Some((tail, whole)) = whole.split_last_mut() else { return mark(head, from & to) };
        // Text of many pages is one object, and all but its ends are marked at the speed of memory.
        let free = mark(head, from) & mark(tail, to) & whole.iter().all(|marks| *marks == 0);
        whole.fill(u64::MAX);
        free
    }
}

/// Marks what is marked in `mask`. False where something of that was marked already.
fn mark(marks: &mut u64, mask: u64) -> bool {
    let free = *marks & mask == 0;
    *marks |= mask;
    free
}

/// One check of one message.
struct Walk<'a, G> {
    ground: G,
    rows: &'a mut Vec<Row>,
    empty_elements: u64,
    capabilities: u32,
}

/// The pointers of one object: of a struct, or of a list of pointers or structs.
#[derive(Clone, Copy, Default)]
struct Row {
    segment: u32,
    /// The next pointer to follow.
    next: usize,
    /// Pointers left in this element.
    left: u32,
    /// Elements after this one.
    elements: u32,
    /// Words of data before the pointers of each element.
    data_words: u32,
    /// Pointers of each element.
    pointers: u32,
    depth: u32,
}

/// The low half of a word.
fn low(word: u64) -> u32 {
    word as u32
}

/// The high half of a word.
fn high(word: u64) -> u32 {
    (word >> 32) as u32
}

const STRUCT: u64 = 0;
const LIST: u64 = 1;
const FAR: u64 = 2;

fn kind(pointer: u64) -> u64 {
    pointer & 3
}

/// The words of data and the pointers of a struct, by the upper half of the pointer to it.
fn struct_size(pointer: u64) -> (u32, u32) {
    (high(pointer) & 0xffff, high(pointer) >> 16)
}

impl TreeCheck {
    /// How many pointers to capabilities the message has that was checked last.
    pub(crate) fn capabilities(&self) -> u32 {
        self.capabilities
    }

    /// Follows every pointer of the message.
    pub(crate) fn check(&mut self, message: &Segments) -> Result<(), Malformed> {
        if let Some(segment) = message.only()
            && message.total_words() <= Small::MAX_WORDS
        {
            let words = segment.as_chunks().0;
            if simple::is_sound(words) {
                self.capabilities = 0;
                return Ok(());
            }
            self.rows.clear();
            return self.walk(Small { words, taken: 0 });
        }
        self.rows.clear();
        let mut taken = std::mem::take(&mut self.taken);
        taken.clear();
        taken.resize(message.total_words().div_ceil(64), 0);
        let result = self.walk(Large { message, taken: &mut taken });
        if taken.len() <= KEPT_MARKS {
            self.taken = taken;
        }
        result
    }

    fn walk(&mut self, ground: impl Ground) -> Result<(), Malformed> {
        let mut walk = Walk { ground, rows: &mut self.rows, empty_elements: 0, capabilities: 0 };
        let result = walk.follow_all();
        self.capabilities = walk.capabilities;
        result
    }
}

impl<G: Ground> Walk<'_, G> {
    fn follow_all(&mut self) -> Result<(), Malformed> {
        let root = self.ground.range(0).ok_or(Malformed::OutOfBounds)?.start;
        self.take(0, root, 1)?;
        let mut row = Row { segment: 0, next: root, left: 1, ..Row::default() };
        loop {
            if row.left > 0 {
                row.left -= 1;
                let at = row.next;
                row.next += 1;
                let pointer = self.ground.word(at);
                if pointer == 0 {
                    continue;
                }
                if let Some(inner) = self.follow(pointer, at, &row)? {
                    // One that has nothing left need not be gone back to.
                    if row.left > 0 || row.elements > 0 {
                        self.rows.push(row);
                    }
                    row = inner;
                }
            } else if row.elements > 0 {
                row.elements -= 1;
                row.next += row.data_words as usize;
                row.left = row.pointers;
            } else if let Some(outer) = self.rows.pop() {
                row = outer;
            } else {
                return Ok(());
            }
        }
    }

    /// Follows a pointer that is not null, which lies at the word `at` and belongs to `outer`. Gives the pointers of the
    /// object that it leads to, if that has any.
    #[inline]
    fn follow(&mut self, pointer: u64, at: usize, outer: &Row) -> Result<Option<Row>, Malformed> {
        let (tag, segment, start) = match kind(pointer) {
            STRUCT | LIST => (pointer, outer.segment, offset(at, pointer)?),
            FAR => self.landing(pointer)?,
            _ => return self.capability(pointer),
        };
        if outer.depth == MAX_DEPTH {
            return Err(Malformed::TooDeep);
        }
        let depth = outer.depth + 1;
        match kind(tag) {
            STRUCT => {
                let (data_words, pointers) = struct_size(tag);
                self.take(segment, start, u64::from(data_words + pointers))?;
                let next = start + data_words as usize;
                let inner = Row { segment, next, left: pointers, elements: 0, data_words, pointers, depth };
                Ok((pointers > 0).then_some(inner))
            }
            LIST => self.list(tag, segment, start, depth),
            // A capability behind a far pointer.
            _ => self.capability(tag),
        }
    }

    fn list(&mut self, tag: u64, segment: u32, start: usize, depth: u32) -> Result<Option<Row>, Malformed> {
        let count = high(tag) >> 3;
        let bits_each: u64 = match high(tag) & 7 {
            0 => {
                self.count_empty(u64::from(count))?;
                0
            }
            1 => 1,
            2 => 8,
            3 => 16,
            4 => 32,
            5 => 64,
            6 => {
                self.take(segment, start, u64::from(count))?;
                let pointers = Row { segment, next: start, left: count, depth, ..Row::default() };
                return Ok((count > 0).then_some(pointers));
            }
            _ => return self.structs(count, segment, start, depth),
        };
        self.take(segment, start, (u64::from(count) * bits_each).div_ceil(64))?;
        Ok(None)
    }

    /// A list of structs: a word that says what each is like, and `words` words of them.
    fn structs(
        &mut self,
        words: u32,
        segment: u32,
        start: usize,
        depth: u32,
    ) -> Result<Option<Row>, Malformed> {
        self.take(segment, start, u64::from(words) + 1)?;
        let tag = self.ground.word(start);
        if kind(tag) != STRUCT {
            return Err(Malformed::UnknownPointer);
        }
        let count = low(tag) >> 2;
        let (data_words, pointers) = struct_size(tag);
        let words_each = u64::from(data_words + pointers);
        if u64::from(count) * words_each > u64::from(words) {
            return Err(Malformed::Overrun);
        }
        if words_each == 0 {
            self.count_empty(u64::from(count))?;
            return Ok(None);
        }
        let Some(elements) = count.checked_sub(1).filter(|_| pointers > 0) else { return Ok(None) };
        let next = start + 1 + data_words as usize;
        Ok(Some(Row { segment, next, left: pointers, elements, data_words, pointers, depth }))
    }

    /// Where a far pointer leads: what describes the object, its segment, and its first word.
    fn landing(&mut self, pointer: u64) -> Result<(u64, u32, usize), Malformed> {
        let (segment, pad) = self.far_place(pointer)?;
        if low(pointer) & 4 == 0 {
            self.take(segment, pad, 1)?;
            let pointer = self.ground.word(pad);
            return match kind(pointer) {
                STRUCT | LIST => Ok((pointer, segment, offset(pad, pointer)?)),
                FAR => Err(Malformed::UnknownPointer),
                _ => Ok((pointer, segment, pad)),
            };
        }
        self.take(segment, pad, 2)?;
        let (far, tag) = (self.ground.word(pad), self.ground.word(pad + 1));
        if kind(far) != FAR || low(far) & 4 != 0 || !matches!(kind(tag), STRUCT | LIST) {
            return Err(Malformed::UnknownPointer);
        }
        let (segment, start) = self.far_place(far)?;
        Ok((tag, segment, start))
    }

    fn capability(&mut self, pointer: u64) -> Result<Option<Row>, Malformed> {
        self.capabilities = self.capabilities.saturating_add(1);
        if low(pointer) == 3 { Ok(None) } else { Err(Malformed::UnknownPointer) }
    }

    fn count_empty(&mut self, elements: u64) -> Result<(), Malformed> {
        self.empty_elements += elements;
        if self.empty_elements > MAX_EMPTY_ELEMENTS {
            return Err(Malformed::TooManyEmptyElements);
        }
        Ok(())
    }

    /// Marks the words as taken by one object.
    #[inline]
    fn take(&mut self, segment: u32, start: usize, words: u64) -> Result<(), Malformed> {
        let Range { start: first, end: last } = self.ground.range(segment).ok_or(Malformed::OutOfBounds)?;
        let end = start as u64 + words;
        if start < first || end > last as u64 {
            return Err(Malformed::OutOfBounds);
        }
        if words > 0 && !self.ground.mark(start, end as usize) {
            return Err(Malformed::Overlap);
        }
        Ok(())
    }

    fn far_place(&self, pointer: u64) -> Result<(u32, usize), Malformed> {
        let segment = high(pointer);
        let start = self.ground.range(segment).ok_or(Malformed::OutOfBounds)?.start;
        Ok((segment, start + (low(pointer) >> 3) as usize))
    }
}

/// The first word of the object that the pointer at the word `at` leads to.
fn offset(at: usize, pointer: u64) -> Result<usize, Malformed> {
    let offset = (low(pointer).cast_signed() >> 2) as isize;
    (at + 1).checked_add_signed(offset).ok_or(Malformed::OutOfBounds)
}

#[cfg(test)]
mod tests;
