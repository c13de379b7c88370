//! Values into words, as the encoding's definition has them.

use std::rc::Rc;

use crate::model::{ElementLayout, Storage, Value};

/// The kinds of pointers, in their lowest bits.
const STRUCT: u64 = 0;
const LIST: u64 = 1;

/// The sizes of elements that list pointers state.
const VOID: u64 = 0;
const BIT: u64 = 1;
const BYTE: u64 = 2;
const POINTER: u64 = 6;
const COMPOSITE: u64 = 7;

/// One segment with the value as what its first word points to; `value` is one that a pointer points to, or null.
pub(crate) fn encode(value: &Value) -> Vec<u64> {
    let mut words = vec![0];
    set_pointer(&mut words, 0, value);
    words
}

/// A segment's bytes as words, if its first one points to a struct.
pub(crate) fn embedded(segment: &[u8]) -> Result<Rc<[u64]>, String> {
    let words: Rc<[u64]> = segment
        .chunks_exact(8)
        .map(|word| word.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)))
        .collect();
    match words.first() {
        Some(root) if root & 3 == STRUCT => Ok(words),
        _ => Err("its root is no struct".into()),
    }
}

/// The pointer at word `at` to what starts at word `target`.
fn pointer(at: usize, target: usize, kind: u64, upper: u64) -> u64 {
    let offset = (target as u32).wrapping_sub(at as u32 + 1);
    upper << 32 | u64::from(offset << 2) | kind
}

/// How far behind a pointer its target starts, or in front of it: in the arithmetic of 32 bits, that is one.
fn offset(pointer: u64) -> u32 {
    ((pointer as u32).cast_signed() >> 2).cast_unsigned()
}

fn set_pointer(words: &mut Vec<u64>, at: usize, value: &Value) {
    let target = words.len();
    match value {
        Value::Text(text) => set_bytes(words, at, text, true),
        Value::Data(data) => set_bytes(words, at, data, false),
        Value::Struct(value) => {
            let upper = value.data.len() as u64 | (value.pointers.len() as u64) << 16;
            // One without any words points in front of itself, to be told from null.
            let target = if upper == 0 { at } else { target };
            words[at] = pointer(at, target, STRUCT, upper);
            set_struct(words, &value.data, &value.pointers);
        }
        Value::Raw(raw) => {
            let root = raw.first().copied().unwrap_or_default();
            // The content moves as a whole, from behind the first word to the end.
            words[at] = if has_target(root) {
                pointer(at, target + offset(root) as usize, STRUCT, root >> 32)
            } else {
                root
            };
            words.extend(raw.iter().skip(1));
        }
        Value::List(list) => match list.element {
            ElementLayout::Struct { data_words, pointers } => {
                let size = usize::from(data_words) + usize::from(pointers);
                words[at] = pointer(at, target, LIST, COMPOSITE | ((list.values.len() * size) as u64) << 3);
                let layout = u64::from(data_words) | u64::from(pointers) << 16;
                words.push(layout << 32 | (list.values.len() as u64) << 2);
                let first = words.len();
                words.resize(first + list.values.len() * size, 0);
                for (index, value) in list.values.iter().enumerate() {
                    set_element(words, first + index * size, usize::from(data_words), size, value);
                }
            }
            ElementLayout::Plain(Storage::Pointer) => {
                words[at] = pointer(at, target, LIST, POINTER | (list.values.len() as u64) << 3);
                words.resize(target + list.values.len(), 0);
                for (index, value) in list.values.iter().enumerate() {
                    set_pointer(words, target + index, value);
                }
            }
            ElementLayout::Plain(Storage::None) => {
                words[at] = pointer(at, target, LIST, VOID | (list.values.len() as u64) << 3);
            }
            ElementLayout::Plain(Storage::Data { size }) => {
                let code = if size == 0 { BIT } else { u64::from(size) - 1 };
                words[at] = pointer(at, target, LIST, code | (list.values.len() as u64) << 3);
                let per_word = 64 >> size;
                let mask = if size == 6 { !0 } else { (1_u64 << (1 << size)) - 1 };
                words.extend(list.values.chunks(per_word).map(|values| {
                    values.iter().rev().fold(0, |word: u64, value| {
                        word.checked_shl(1 << size).unwrap_or(0) | (value.bits() & mask)
                    })
                }));
            }
        },
        Value::Void
        | Value::Bool(_)
        | Value::Signed(_)
        | Value::Unsigned(_)
        | Value::Float32(_)
        | Value::Float64(_)
        | Value::Null => {}
    }
}

fn set_struct(words: &mut Vec<u64>, data: &[u64], pointers: &[Value]) {
    words.extend_from_slice(data);
    let first = words.len();
    words.resize(first + pointers.len(), 0);
    for (index, value) in pointers.iter().enumerate() {
        set_pointer(words, first + index, value);
    }
}

/// Puts a struct into its place in a list, whose elements have `size` words, the first `data_words` being data.
fn set_element(words: &mut Vec<u64>, at: usize, data_words: usize, size: usize, value: &Value) {
    match value {
        Value::Struct(value) => {
            let data = &value.data[..value.data.len().min(data_words)];
            words[at..at + data.len()].copy_from_slice(data);
            for (index, value) in value.pointers.iter().take(size - data_words).enumerate() {
                set_pointer(words, at + data_words + index, value);
            }
        }
        // An embedded message may be of another version of the struct; what the list has no room for is left out.
        Value::Raw(raw) => {
            let root = raw.first().copied().unwrap_or_default();
            let (own_data, own_pointers) = ((root >> 32) as u16 as usize, (root >> 48) as usize);
            let start = words.len() + offset(root) as usize;
            words.extend(raw.iter().skip(1));
            for index in 0..own_data.min(data_words) {
                words[at + index] = words.get(start + index).copied().unwrap_or_default();
            }
            for index in 0..own_pointers.min(size - data_words) {
                let (from, to) = (start + own_data + index, at + data_words + index);
                words[to] = moved(words.get(from).copied().unwrap_or_default(), from, to);
            }
        }
        _ => {}
    }
}

/// Whether a pointer points to words: null does not, nor does one to a struct without words, which points in front of
/// itself wherever it is.
fn has_target(pointer: u64) -> bool {
    pointer != 0 && pointer as u32 != !3
}

/// The pointer that stood at word `from`, for word `to`.
fn moved(word: u64, from: usize, to: usize) -> u64 {
    if !has_target(word) {
        return word;
    }
    let target = (from as u32 + 1).wrapping_add(offset(word));
    pointer(to, target as usize, word & 3, word >> 32)
}

fn set_bytes(words: &mut Vec<u64>, at: usize, bytes: &[u8], terminated: bool) {
    let count = bytes.len() + usize::from(terminated);
    words[at] = pointer(at, words.len(), LIST, BYTE | (count as u64) << 3);
    let start = words.len();
    words.extend(
        bytes.chunks(8).map(|chunk| chunk.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))),
    );
    words.resize(start + count.div_ceil(8), 0);
}
