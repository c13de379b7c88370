//! The same check in a few instructions for each pointer, for the messages that nearly all are: one segment of at most 64
//! words, of structs and of lists of numbers, text and pointers.
//!
//! A number has a bit for each word: one says which words belong to an object, and one which of them are pointers that are
//! still to be followed, in whatever order. No two objects share a word, and so no pointer is followed twice.
//!
//! It says yes or leaves the message to the check proper: whatever is wrong, and far pointers, capabilities, lists of
//! nothing, and lists of structs that have any.

use super::{LIST, MAX_DEPTH, STRUCT, Small, WORD_BYTES, high, kind, low, struct_size};

// A level of nesting takes a pointer at least, and so a word. No message that fits is nested too deep.
const _: () = assert!(Small::MAX_WORDS <= MAX_DEPTH as usize);

/// True where the pointers of the message are known to make a tree that lies within it.
pub(super) fn is_sound(words: &[[u8; WORD_BYTES]]) -> bool {
    let length = words.len();
    if length == 0 || length > Small::MAX_WORDS {
        return false;
    }
    let (mut taken, mut pending) = begun(words);
    while pending != 0 {
        let at = pending.trailing_zeros() as usize;
        pending &= pending - 1;
        let Some(pointer) = words.get(at).map(|word| u64::from_le_bytes(*word)) else { return false };
        if pointer == 0 {
            continue;
        }
        // What would begin before the message begins far behind it.
        let start = (at + 1).wrapping_add_signed((low(pointer).cast_signed() >> 2) as isize);
        if start > length {
            return false;
        }
        let (taken_words, before, pointers) = match kind(pointer) {
            STRUCT => {
                let (data_words, pointers) = struct_size(pointer);
                (data_words + pointers, data_words, pointers)
            }
            LIST => {
                let count = high(pointer) >> 3;
                match high(pointer) & 7 {
                    1 => (count.div_ceil(64), 0, 0),
                    2 => (count.div_ceil(8), 0, 0),
                    3 => (count.div_ceil(4), 0, 0),
                    4 => (count.div_ceil(2), 0, 0),
                    5 => (count, 0, 0),
                    6 => (count, 0, count),
                    7 if has_no_structs(words, start) => (count + 1, 0, 0),
                    _ => return false,
                }
            }
            _ => return false,
        };
        if taken_words as usize > length - start {
            return false;
        }
        if taken_words == 0 {
            continue;
        }
        let mask = ones(taken_words) << start;
        if taken & mask != 0 {
            return false;
        }
        taken |= mask;
        if pointers > 0 {
            pending |= ones(pointers) << (start + before as usize);
        }
    }
    true
}

/// The pointer to a message that lies right behind it: one word, and one pointer.
const MESSAGE: u64 = 0x0001_0001_0000_0000;

/// The same to a Call in the message: three words and three pointers.
const CALL: u64 = 0x0003_0003_0000_0000;

/// The same to a Return: two words and one pointer.
const RETURN: u64 = 0x0001_0002_0000_0000;

/// Which words are taken, and which pointers are to be followed, behind the pointers that calls and answers begin with.
fn begun(words: &[[u8; WORD_BYTES]]) -> (u64, u64) {
    if let [root, _, body, rest @ ..] = words
        && u64::from_le_bytes(*root) == MESSAGE
    {
        match u64::from_le_bytes(*body) {
            CALL if rest.len() >= 6 => return (0b1_1111_1111, 0b1_1100_0000),
            RETURN if rest.len() >= 3 => return (0b11_1111, 0b10_0000),
            _ => {}
        }
    }
    (1, 1)
}

/// As many of the lowest bits, which are one at least and 64 at most.
fn ones(count: u32) -> u64 {
    u64::MAX >> (64 - count)
}

/// True where what describes the structs of a list, at the word `at`, says that there are none.
fn has_no_structs(words: &[[u8; WORD_BYTES]], at: usize) -> bool {
    words.get(at).is_some_and(|tag| {
        let tag = u64::from_le_bytes(*tag);
        kind(tag) == STRUCT && low(tag) >> 2 == 0
    })
}
