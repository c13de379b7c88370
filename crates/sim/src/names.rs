//! Who has an exclusive name, told by the frames that one end sent and received, and by nothing else.

use std::collections::{BTreeMap, BTreeSet};

use vatmux_mux::{ExclusiveNames, ResetCode, StreamId, StreamName};

use crate::digest::Digest;

/// What streams are called.
pub(crate) const NAMES: [&str; 3] = ["simulated", "claimed", "twice"];

/// The name that a number stands for.
pub(crate) fn name(number: u32) -> StreamName {
    StreamName::new(NAMES[number as usize % NAMES.len()]).expect("a legal name")
}

/// The names whose bits are set.
pub(crate) fn chosen(bits: u32) -> ExclusiveNames {
    let mut names = ExclusiveNames::new();
    for number in (0..NAMES.len() as u32).filter(|number| bits >> number & 1 == 1) {
        names.insert(name(number)).expect("room for a few");
    }
    names
}

/// What an application does with a stream that became a candidate for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It was accepted, and is held.
    Accepted,
    /// It was not accepted, and nobody gave up on it.
    Waits,
    /// The application has let go of it, or reset it, and it counts all the same.
    GivenUp,
}

/// The names of the streams that one end's peer opens.
#[derive(Default)]
pub(crate) struct Names {
    exclusive: ExclusiveNames,
    /// Streams that count (MUX-5.9), let in under their names.
    counting: BTreeMap<StreamId, Counting>,
    holders: BTreeMap<StreamName, StreamId>,
    /// To be answered with `DUPLICATE_NAME`, and not answered yet.
    refused: BTreeSet<StreamId>,
}

struct Counting {
    name: StreamName,
    finished_by_us: bool,
    finished_by_peer: bool,
}

impl Names {
    pub(crate) fn any_are_exclusive(&self) -> bool {
        self.exclusive != ExclusiveNames::new()
    }

    /// Whether OPEN of this name is to be refused now (MUX-5.13, MUX-5.14).
    fn is_taken(&self, name: &StreamName) -> bool {
        let holder = self.holders.get(name).filter(|_| self.exclusive.contains(name));
        holder.is_some_and(|holder| self.counting.contains_key(holder))
    }

    /// OPEN has arrived, and the end has let the stream in or not. Returns whether the name was the reason.
    pub(crate) fn opened(&mut self, stream: StreamId, name: &StreamName, let_in: bool) -> bool {
        if self.is_taken(name) {
            assert!(!let_in, "stream {stream} was let in under {name}, which another one has");
            self.refused.insert(stream);
            return true;
        }
        if let_in {
            self.holders.insert(name.clone(), stream);
            let (finished_by_us, finished_by_peer) = (false, false);
            self.counting.insert(stream, Counting { name: name.clone(), finished_by_us, finished_by_peer });
        }
        false
    }

    /// These names are exclusive from now on (MUX-5.15). `claim` says what the application does with each stream that
    /// counts. Returns those that are to be turned away.
    pub(crate) fn become_exclusive(
        &mut self,
        exclusive: ExclusiveNames,
        claim: impl Fn(StreamId) -> Claim,
    ) -> Vec<StreamId> {
        let mut turned_away = Vec::new();
        for name in exclusive.iter() {
            let candidates = || self.counting.iter().filter(|(_, one)| one.name == *name).map(|(id, _)| *id);
            let accepted = candidates().filter(|stream| claim(*stream) == Claim::Accepted).last();
            let first = candidates().find(|stream| claim(*stream) != Claim::Accepted);
            let Some(holder) = accepted.or(first) else { continue };
            turned_away
                .extend(candidates().filter(|stream| *stream != holder && claim(*stream) == Claim::Waits));
            self.holders.insert(name.clone(), holder);
        }
        self.exclusive = exclusive;
        self.refused.extend(&turned_away);
        turned_away
    }

    /// The end sends RST.
    pub(crate) fn reset_by_us(&mut self, stream: StreamId, code: ResetCode) {
        let for_its_name = self.refused.remove(&stream);
        assert_eq!(
            for_its_name,
            code == ResetCode::DUPLICATE_NAME,
            "stream {stream} was answered with {code:?}"
        );
        self.counting.remove(&stream);
    }

    /// RST has arrived.
    pub(crate) fn reset_by_peer(&mut self, stream: StreamId) {
        self.refused.remove(&stream);
        self.counting.remove(&stream);
    }

    /// CLOSE of the stream has left, or has arrived.
    pub(crate) fn finished(&mut self, stream: StreamId, by_peer: bool) {
        let Some(one) = self.counting.get_mut(&stream) else { return };
        *(if by_peer { &mut one.finished_by_peer } else { &mut one.finished_by_us }) = true;
        if one.finished_by_peer && one.finished_by_us {
            self.counting.remove(&stream);
        }
    }

    /// What stands for this state of affairs.
    pub(crate) fn describe(&self, digest: &mut Digest) {
        for streams in [
            &mut self.holders.values().copied() as &mut dyn Iterator<Item = StreamId>,
            &mut self.counting.keys().copied(),
            &mut self.refused.iter().copied(),
        ] {
            streams.for_each(|stream| digest.word(u64::from(stream.get())));
            digest.word(0);
        }
        digest.word(u64::from(self.any_are_exclusive()));
    }

    /// Everything that had to be said has left.
    pub(crate) fn assert_all_are_answered(&self) {
        assert!(self.refused.is_empty(), "nobody was told that {:?} were refused", self.refused);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(raw: u32) -> StreamId {
        StreamId::new(raw).expect("not 0")
    }

    /// Streams 1, 3 and 5 under the first name, which becomes exclusive when two are accepted.
    fn names(exclusive: bool) -> Names {
        let mut names = Names::default();
        for raw in [1, 3, 5] {
            assert!(!names.opened(id(raw), &name(0), true));
        }
        if exclusive {
            let accepted = |stream: StreamId| if stream == id(5) { Claim::Waits } else { Claim::Accepted };
            assert_eq!(names.become_exclusive(chosen(1), accepted), [id(5)]);
        }
        names
    }

    #[test]
    fn a_name_is_taken_until_its_stream_stops_counting() {
        let mut names = names(true);
        names.reset_by_us(id(5), ResetCode::DUPLICATE_NAME);
        assert!(names.opened(id(7), &name(0), false), "3 has it");
        assert!(!names.opened(id(9), &name(1), true), "another name is free");
        names.reset_by_us(id(7), ResetCode::DUPLICATE_NAME);
        names.finished(id(3), true);
        assert!(names.opened(id(11), &name(0), false), "one direction is open");
        names.reset_by_peer(id(11));
        names.finished(id(3), false);
        assert!(!names.opened(id(13), &name(0), true), "1 never had it");
        names.assert_all_are_answered();
    }

    #[test]
    #[should_panic(expected = "which another one has")]
    fn a_second_stream_that_is_let_in_is_found() {
        names(true).opened(id(7), &name(0), true);
    }

    #[test]
    #[should_panic(expected = "was answered with")]
    fn a_refusal_without_a_reason_is_found() {
        names(false).reset_by_us(id(3), ResetCode::DUPLICATE_NAME);
    }

    #[test]
    #[should_panic(expected = "was answered with")]
    fn a_refusal_for_another_reason_is_found() {
        names(true).reset_by_us(id(5), ResetCode::STREAM_LIMIT);
    }

    #[test]
    #[should_panic(expected = "nobody was told")]
    fn a_refusal_that_is_not_told_is_found() {
        names(true).assert_all_are_answered();
    }
}
