//! The text of schemas with what can be left out marked, and ordinals that stay without gaps when it is.

use std::collections::{BTreeMap, BTreeSet};

/// A place in the text that numbers its members: a struct, an enum, an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Numbering(u32);

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    /// The rank of the key among those of the same numbering.
    Ordinal(Numbering, u64),
    /// What the schema is whole without, mostly.
    Optional(u32, Vec<Part>),
}

/// Writes a text.
#[derive(Debug, Default)]
pub(super) struct Writer {
    parts: Vec<Part>,
    /// The text around the optional part that is being written, outermost first, each with the number of what is inside.
    around: Vec<(u32, Vec<Part>)>,
}

/// How many optional parts and numberings have been handed out, over all texts that belong together.
#[derive(Debug, Default)]
pub(super) struct Counter {
    parts: u32,
    numberings: u32,
}

impl Counter {
    pub(super) fn numbering(&mut self) -> Numbering {
        self.numberings += 1;
        Numbering(self.numberings)
    }

    /// How many optional parts there are.
    pub(super) fn parts(&self) -> u32 {
        self.parts
    }
}

impl Writer {
    pub(super) fn text(&mut self, text: &str) {
        if let Some(Part::Text(last)) = self.parts.last_mut() {
            last.push_str(text);
        } else {
            self.parts.push(Part::Text(text.to_owned()));
        }
    }

    pub(super) fn ordinal(&mut self, numbering: Numbering, key: u64) {
        self.parts.push(Part::Ordinal(numbering, key));
    }

    /// What is written until [`end`](Self::end) can be left out.
    pub(super) fn begin(&mut self, counter: &mut Counter) {
        counter.parts += 1;
        self.around.push((counter.parts - 1, std::mem::take(&mut self.parts)));
    }

    pub(super) fn end(&mut self) {
        if let Some((number, around)) = self.around.pop() {
            let inside = std::mem::replace(&mut self.parts, around);
            self.parts.push(Part::Optional(number, inside));
        }
    }

    pub(super) fn finish(self) -> Text {
        Text { parts: self.parts }
    }
}

/// A text of which parts can be left out.
#[derive(Debug)]
pub(super) struct Text {
    parts: Vec<Part>,
}

impl Text {
    pub(super) fn without(&self, omitted: &BTreeSet<u32>) -> String {
        let mut keys = BTreeMap::<_, BTreeSet<u64>>::new();
        visit(&self.parts, omitted, &mut |part| {
            if let Part::Ordinal(numbering, key) = part {
                keys.entry(*numbering).or_default().insert(*key);
            }
        });
        let mut text = String::new();
        visit(&self.parts, omitted, &mut |part| match part {
            Part::Text(words) => text.push_str(words),
            Part::Ordinal(numbering, key) => {
                let rank = keys.get(numbering).map_or(0, |keys| keys.range(..key).count());
                text.push_str(&rank.to_string());
            }
            Part::Optional(..) => {}
        });
        text
    }
}

fn visit(parts: &[Part], omitted: &BTreeSet<u32>, see: &mut impl FnMut(&Part)) {
    for part in parts {
        match part {
            Part::Optional(number, inside) if !omitted.contains(number) => visit(inside, omitted, see),
            Part::Optional(..) => {}
            part => see(part),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinals_close_ranks_where_one_is_left_out() {
        let (mut counter, mut writer) = (Counter::default(), Writer::default());
        let numbering = counter.numbering();
        for key in [30, 10, 20] {
            writer.begin(&mut counter);
            writer.text("@");
            writer.ordinal(numbering, key);
            writer.end();
        }
        let text = writer.finish();
        assert_eq!(text.without(&BTreeSet::new()), "@2@0@1");
        assert_eq!(text.without(&BTreeSet::from([1])), "@1@0");
        assert_eq!(counter.parts(), 3);
    }
}
