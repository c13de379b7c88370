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

use std::ops::Range;

use crate::segments::Segments;

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
    /// A bit for each word that belongs to an object.
    taken: Vec<u64>,
    /// Where pointers are still to be followed; as deep as the message at most.
    rows: Vec<Row>,
    empty_elements: u64,
    capabilities: bool,
}

/// Words of marks that are kept between messages: enough for 64 KiB of message.
const KEPT_MARKS: usize = 128;

/// The pointers of one object: of a struct, or of a list of pointers or structs.
#[derive(Clone, Copy)]
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
    /// True where the message that was checked last points to a capability.
    pub(crate) fn found_capabilities(&self) -> bool {
        self.capabilities
    }

    /// Follows every pointer of the message.
    pub(crate) fn check(&mut self, message: &Segments) -> Result<(), Malformed> {
        let result = self.follow_all(message);
        if self.taken.len() > KEPT_MARKS {
            self.taken = Vec::new();
        }
        result
    }

    fn follow_all(&mut self, message: &Segments) -> Result<(), Malformed> {
        self.taken.clear();
        self.taken.resize(message.total_words().div_ceil(64), 0);
        self.rows.clear();
        self.empty_elements = 0;
        self.capabilities = false;
        let root = message.range(0).ok_or(Malformed::OutOfBounds)?.start;
        self.take(message, 0, root, 1)?;
        self.follow(message, 0, root, 0)?;
        while let Some(row) = self.rows.last_mut() {
            if row.left == 0 {
                if row.elements == 0 {
                    self.rows.pop();
                    continue;
                }
                row.elements -= 1;
                row.next += row.data_words as usize;
                row.left = row.pointers;
                continue;
            }
            row.left -= 1;
            let (segment, at, depth) = (row.segment, row.next, row.depth);
            row.next += 1;
            self.follow(message, segment, at, depth)?;
        }
        Ok(())
    }

    /// Follows the pointer at the word `at`, which is known to exist.
    fn follow(&mut self, message: &Segments, segment: u32, at: usize, depth: u32) -> Result<(), Malformed> {
        let pointer = message.word(at);
        if pointer == 0 {
            return Ok(());
        }
        let (tag, segment, start) = match kind(pointer) {
            STRUCT | LIST => (pointer, segment, offset(at, pointer)?),
            FAR => self.landing(message, pointer)?,
            _ => return self.capability(pointer),
        };
        if depth == MAX_DEPTH {
            return Err(Malformed::TooDeep);
        }
        match kind(tag) {
            STRUCT => {
                let (data_words, pointers) = struct_size(tag);
                self.take(message, segment, start, u64::from(data_words + pointers))?;
                let next = start + data_words as usize;
                self.open(Row {
                    segment,
                    next,
                    left: pointers,
                    elements: 0,
                    data_words,
                    pointers,
                    depth: depth + 1,
                });
                Ok(())
            }
            LIST => self.list(message, tag, segment, start, depth + 1),
            // A capability behind a far pointer.
            _ => self.capability(tag),
        }
    }

    fn list(
        &mut self,
        message: &Segments,
        tag: u64,
        segment: u32,
        start: usize,
        depth: u32,
    ) -> Result<(), Malformed> {
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
                self.take(message, segment, start, u64::from(count))?;
                self.open(Row {
                    segment,
                    next: start,
                    left: count,
                    elements: 0,
                    data_words: 0,
                    pointers: count,
                    depth,
                });
                return Ok(());
            }
            _ => return self.structs(message, count, segment, start, depth),
        };
        self.take(message, segment, start, (u64::from(count) * bits_each).div_ceil(64))
    }

    /// A list of structs: a word that says what each is like, and `words` words of them.
    fn structs(
        &mut self,
        message: &Segments,
        words: u32,
        segment: u32,
        start: usize,
        depth: u32,
    ) -> Result<(), Malformed> {
        self.take(message, segment, start, u64::from(words) + 1)?;
        let tag = message.word(start);
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
            return self.count_empty(u64::from(count));
        }
        if pointers > 0 && count > 0 {
            let next = start + 1 + data_words as usize;
            self.open(Row {
                segment,
                next,
                left: pointers,
                elements: count - 1,
                data_words,
                pointers,
                depth,
            });
        }
        Ok(())
    }

    /// Where a far pointer leads: what describes the object, its segment, and its first word.
    fn landing(&mut self, message: &Segments, pointer: u64) -> Result<(u64, u32, usize), Malformed> {
        let (segment, pad) = far_place(message, pointer)?;
        if low(pointer) & 4 == 0 {
            self.take(message, segment, pad, 1)?;
            let pointer = message.word(pad);
            return match kind(pointer) {
                STRUCT | LIST => Ok((pointer, segment, offset(pad, pointer)?)),
                FAR => Err(Malformed::UnknownPointer),
                _ => Ok((pointer, segment, pad)),
            };
        }
        self.take(message, segment, pad, 2)?;
        let (far, tag) = (message.word(pad), message.word(pad + 1));
        if kind(far) != FAR || low(far) & 4 != 0 || !matches!(kind(tag), STRUCT | LIST) {
            return Err(Malformed::UnknownPointer);
        }
        let (segment, start) = far_place(message, far)?;
        Ok((tag, segment, start))
    }

    fn capability(&mut self, pointer: u64) -> Result<(), Malformed> {
        self.capabilities = true;
        if low(pointer) == 3 { Ok(()) } else { Err(Malformed::UnknownPointer) }
    }

    fn open(&mut self, row: Row) {
        if row.left > 0 {
            self.rows.push(row);
        }
    }

    fn count_empty(&mut self, elements: u64) -> Result<(), Malformed> {
        self.empty_elements += elements;
        if self.empty_elements > MAX_EMPTY_ELEMENTS {
            return Err(Malformed::TooManyEmptyElements);
        }
        Ok(())
    }

    /// Marks the words as taken by one object.
    fn take(&mut self, message: &Segments, segment: u32, start: usize, words: u64) -> Result<(), Malformed> {
        let Range { start: first, end } = message.range(segment).ok_or(Malformed::OutOfBounds)?;
        if start < first || start as u64 + words > end as u64 {
            return Err(Malformed::OutOfBounds);
        }
        let (mut at, end) = (start, start + words as usize);
        while at < end {
            let bit = at % 64;
            let run = (64 - bit).min(end - at);
            let mask = (u64::MAX >> (64 - run)) << bit;
            let marks = self.taken.get_mut(at / 64).ok_or(Malformed::OutOfBounds)?;
            if *marks & mask != 0 {
                return Err(Malformed::Overlap);
            }
            *marks |= mask;
            at += run;
        }
        Ok(())
    }
}

/// The first word of the object that the pointer at the word `at` leads to.
fn offset(at: usize, pointer: u64) -> Result<usize, Malformed> {
    let offset = (low(pointer).cast_signed() >> 2) as isize;
    (at + 1).checked_add_signed(offset).ok_or(Malformed::OutOfBounds)
}

fn far_place(message: &Segments, pointer: u64) -> Result<(u32, usize), Malformed> {
    let segment = high(pointer);
    let start = message.range(segment).ok_or(Malformed::OutOfBounds)?.start;
    Ok((segment, start + (low(pointer) >> 3) as usize))
}

#[cfg(test)]
mod tests;
