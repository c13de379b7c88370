//! The messages that most conversations consist of, read from their words.
//!
//! To read a Call through capnp's readers takes as long as all the rest of what is checked about it. So the plain ones are
//! recognised here: Calls and Returns without capabilities in them, Finishes and Releases, with all that is not content in
//! the first segment and laid out as every builder does it. Whatever is the least bit different is left to
//! [`envelope`](super::envelope), which gives the same for these as well; that it does is tested. What this side sends is
//! read in the same two ways.
//!
//! The pointers of a received message have been checked. No word outside of its first segment is read in any case: one that
//! is not there is zero, and a pointer to another segment is none to a struct or a list.

use super::Limits;
use super::envelope::{Caps, Message, Outcome, Target};
use crate::answers::{AnswerId, PeerId};
use crate::outgoing::Kind;
use crate::questions::{Asked, QuestionId, WireId};
use crate::sight;

// The members of `Message`, and where the fields lie that are read, as rpc.capnp has it. Fields are counted in their own size.

/// The pointer to a message that lies right behind it: a word that says of what kind it is, and a pointer.
const MESSAGE: u64 = 0x0001_0001_0000_0000;

const CALL: u16 = 2;
const RETURN: u16 = 3;
const FINISH: u16 = 4;
const RELEASE: u16 = 6;

const CALL_TARGET: usize = 0;
const CALL_PARAMS: usize = 1;
const CALL_INTERFACE: usize = 1;
const CALL_METHOD: usize = 2;
const CALL_SEND_RESULTS_TO: usize = 3;
const CALLER: u16 = 0;

const TARGET_KIND: usize = 2;
const IMPORTED_CAP: u16 = 0;
const PROMISED_ANSWER: u16 = 1;
const TARGET_ANSWER: usize = 0;
const ANSWER_TRANSFORM: usize = 0;
/// Of a step of a transform: nothing, or into a field.
const LAST_OP: u16 = 1;

const RETURN_FLAGS: usize = 1;
const NO_FINISH_NEEDED: u32 = 1 << 1;
const RETURN_KIND: usize = 3;
const RETURN_RESULTS: usize = 0;
const RESULTS: u16 = 0;

const FINISH_FLAGS: usize = 1;

const PAYLOAD_CAP_TABLE: usize = 1;

/// The words of the first segment of a message.
#[derive(Clone, Copy)]
struct Words<'a>(&'a [[u8; 8]]);

/// A struct in a message.
#[derive(Clone, Copy)]
struct Struct<'a> {
    words: Words<'a>,
    start: usize,
    data_words: usize,
    pointers: usize,
}

/// A list of structs in a message.
#[derive(Clone, Copy)]
struct Structs {
    start: usize,
    count: u32,
    data_words: usize,
    /// Words of each.
    words: usize,
}

/// A received message, by the bytes of its first segment. None where it has to be read with more care.
pub(crate) fn read(segment: &[u8], limits: &Limits) -> Option<Message> {
    let (kind, body) = body(segment)?;
    match kind {
        CALL => {
            let target = body.pointed(CALL_TARGET)?;
            let target = match target.u16(TARGET_KIND) {
                IMPORTED_CAP => Target::Export(target.u32(0)),
                PROMISED_ANSWER => Target::Answer(target.pointed(TARGET_ANSWER)?.answer(limits)?),
                _ => return None,
            };
            let plain = body.u16(CALL_SEND_RESULTS_TO) == CALLER && body.pointed(CALL_PARAMS)?.has_no_caps();
            plain.then(|| Message::Call {
                id: PeerId(body.u32(0)),
                interface: body.data(CALL_INTERFACE),
                method: body.u16(CALL_METHOD),
                target,
                redirected: false,
                caps: Caps::default(),
            })
        }
        RETURN => {
            let plain = body.u16(RETURN_KIND) == RESULTS && body.pointed(RETURN_RESULTS)?.has_no_caps();
            plain.then(|| Message::Return {
                question: WireId(body.u32(0)),
                outcome: Outcome::Results(Caps::default()),
                release_params: body.is_default_true(RETURN_FLAGS),
            })
        }
        FINISH => {
            Some(Message::Finish { call: PeerId(body.u32(0)), release: body.is_default_true(FINISH_FLAGS) })
        }
        RELEASE => Some(Message::Release { id: body.u32(0), count: body.u32(1) }),
        _ => None,
    }
}

/// A message of ours, by the bytes of its first segment. None where it has to be read with more care: a Call or a Return
/// that is read here carries no capabilities.
pub(crate) fn read_sent(segment: &[u8]) -> Option<Kind> {
    let (kind, body) = body(segment)?;
    match kind {
        CALL => body.pointed(CALL_PARAMS)?.has_no_caps().then(|| {
            let asked = Asked::Call { interface: body.data(CALL_INTERFACE), method: body.u16(CALL_METHOD) };
            Kind::Question(QuestionId(body.u32(0)), asked)
        }),
        RETURN => {
            let plain = body.u16(RETURN_KIND) == RESULTS && body.pointed(RETURN_RESULTS)?.has_no_caps();
            plain.then(|| Kind::Return {
                answer: AnswerId(body.u32(0)),
                needs_finish: body.u32(RETURN_FLAGS) & NO_FINISH_NEEDED == 0,
                outcome: sight::Outcome::Ok,
            })
        }
        FINISH => Some(Kind::Finish(QuestionId(body.u32(0)))),
        RELEASE => Some(Kind::Release { id: body.u32(0), count: body.u32(1) }),
        _ => None,
    }
}

/// What kind a message is of, and the struct that it is.
fn body(segment: &[u8]) -> Option<(u16, Struct<'_>)> {
    let words = Words(segment.as_chunks().0);
    if words.get(0) == MESSAGE {
        return Some((words.get(1) as u16, words.pointed(2)?));
    }
    let root = words.pointed(0)?;
    Some((root.u16(0), root.pointed(0)?))
}

impl<'a> Words<'a> {
    #[inline]
    fn get(self, at: usize) -> u64 {
        self.0.get(at).map_or(0, |word| u64::from_le_bytes(*word))
    }

    /// The struct that the pointer at the word `at` leads to; None where that is no pointer to a struct in the same segment.
    #[inline]
    fn pointed(self, at: usize) -> Option<Struct<'a>> {
        let pointer = self.get(at);
        if pointer == 0 || pointer & 3 != 0 {
            return None;
        }
        Some(Struct {
            words: self,
            start: target(at, pointer)?,
            data_words: (pointer >> 32) as usize & 0xffff,
            pointers: (pointer >> 48) as usize,
        })
    }
}

/// Where a pointer that lies at the word `at` leads.
#[inline]
fn target(at: usize, pointer: u64) -> Option<usize> {
    (at + 1).checked_add_signed(((pointer as u32).cast_signed() >> 2) as isize)
}

impl<'a> Struct<'a> {
    /// The word of its data with this index; zero where it has fewer.
    #[inline]
    fn data(self, index: usize) -> u64 {
        if index < self.data_words { self.words.get(self.start + index) } else { 0 }
    }

    #[inline]
    fn u16(self, index: usize) -> u16 {
        (self.data(index / 4) >> (index % 4 * 16)) as u16
    }

    #[inline]
    fn u32(self, index: usize) -> u32 {
        (self.data(index / 2) >> (index % 2 * 32)) as u32
    }

    /// The lowest bit of the 32-bit field with this index, for a flag that is set unless the field says otherwise.
    fn is_default_true(self, index: usize) -> bool {
        self.u32(index) & 1 == 0
    }

    #[inline]
    fn pointed(self, pointer: usize) -> Option<Struct<'a>> {
        if pointer < self.pointers {
            self.words.pointed(self.start + self.data_words + pointer)
        } else {
            None
        }
    }

    /// The list of structs that a pointer leads to; an empty one where it is null. None where it is anything else.
    fn structs(self, pointer: usize) -> Option<Structs> {
        let at = self.start + self.data_words + pointer;
        let list = if pointer < self.pointers { self.words.get(at) } else { 0 };
        if list == 0 {
            return Some(Structs { start: 0, count: 0, data_words: 0, words: 0 });
        }
        if list & 3 != 1 || (list >> 32) & 7 != 7 {
            return None;
        }
        // What describes the structs comes before them, and has their count.
        let at = target(at, list)?;
        let tag = self.words.get(at);
        let (data_words, pointers) = ((tag >> 32) as usize & 0xffff, (tag >> 48) as usize);
        Some(Structs { start: at + 1, count: (tag as u32) >> 2, data_words, words: data_words + pointers })
    }

    /// True for a payload without a table of capabilities, or with an empty one.
    #[inline]
    fn has_no_caps(self) -> bool {
        self.structs(PAYLOAD_CAP_TABLE).is_some_and(|table| table.count == 0)
    }

    /// The call whose result a promised answer speaks of. None where its transform is longer than it may be, or has a step
    /// of an unknown kind.
    fn answer(self, limits: &Limits) -> Option<PeerId> {
        let steps = self.structs(ANSWER_TRANSFORM)?;
        let is_known = |step: u32| {
            let op = if steps.data_words > 0 {
                self.words.get(steps.start + step as usize * steps.words)
            } else {
                0
            };
            op as u16 <= LAST_OP
        };
        (steps.count <= limits.max_transform && (0..steps.count).all(is_known)).then(|| PeerId(self.u32(0)))
    }
}

#[cfg(test)]
mod tests;
