//! The same check in a few instructions for each pointer, for the messages that nearly all are: one segment of at most 64
//! words, of structs and of lists of numbers, text and pointers.
//!
//! It says yes or leaves the message to the check proper: whatever is wrong, and far pointers, capabilities, lists of
//! nothing, and lists of structs that have any.

use super::{LIST, MAX_DEPTH, STRUCT, Small, WORD_BYTES, high, kind, low, offset, struct_size};

/// A level of nesting takes a pointer at least, and so a word. No message that fits is nested too deep.
const MAX_LEVELS: usize = Small::MAX_WORDS;
const _: () = assert!(MAX_LEVELS <= MAX_DEPTH as usize);

/// Pointers that are still to be followed: the word of the first, and their number.
#[derive(Clone, Copy, Default)]
struct Pointers {
    next: u8,
    left: u8,
}

/// True where the pointers of the message are known to make a tree that lies within it.
pub(super) fn is_sound(words: &[[u8; WORD_BYTES]]) -> bool {
    let length = words.len();
    if length == 0 || length > Small::MAX_WORDS {
        return false;
    }
    let mut outer = [Pointers::default(); MAX_LEVELS];
    let mut level = 0;
    let mut taken = 1_u64;
    let mut present = Pointers { next: 0, left: 1 };
    loop {
        if present.left == 0 {
            if level == 0 {
                return true;
            }
            level -= 1;
            let Some(pointers) = outer.get(level) else { return false };
            present = *pointers;
            continue;
        }
        let at = usize::from(present.next);
        present = Pointers { next: present.next + 1, left: present.left - 1 };
        let Some(pointer) = words.get(at).map(|word| u64::from_le_bytes(*word)) else { return false };
        if pointer == 0 {
            continue;
        }
        let Ok(start) = offset(at, pointer) else { return false };
        let (taken_words, before, pointers) = match kind(pointer) {
            STRUCT => {
                let (data_words, pointers) = struct_size(pointer);
                (data_words + pointers, data_words, pointers)
            }
            LIST => {
                let count = high(pointer) >> 3;
                let words_of = |bits: u64| (u64::from(count) * bits).div_ceil(64) as u32;
                match high(pointer) & 7 {
                    1 => (words_of(1), 0, 0),
                    2 => (words_of(8), 0, 0),
                    3 => (words_of(16), 0, 0),
                    4 => (words_of(32), 0, 0),
                    5 => (count, 0, 0),
                    6 => (count, 0, count),
                    7 if has_no_structs(words, start) => (count + 1, 0, 0),
                    _ => return false,
                }
            }
            _ => return false,
        };
        let taken_words = taken_words as usize;
        if start > length || taken_words > length - start {
            return false;
        }
        if taken_words == 0 {
            continue;
        }
        let mask = (u64::MAX >> (64 - taken_words)) << start;
        if taken & mask != 0 {
            return false;
        }
        taken |= mask;
        if pointers > 0 {
            if present.left > 0 {
                let Some(place) = outer.get_mut(level) else { return false };
                *place = present;
                level += 1;
            }
            present = Pointers { next: (start + before as usize) as u8, left: pointers as u8 };
        }
    }
}

/// True where what describes the structs of a list, at the word `at`, says that there are none.
fn has_no_structs(words: &[[u8; WORD_BYTES]], at: usize) -> bool {
    words.get(at).is_some_and(|tag| {
        let tag = u64::from_le_bytes(*tag);
        kind(tag) == STRUCT && low(tag) >> 2 == 0
    })
}
