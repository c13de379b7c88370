//! What is shown of a file beside an error: the lines that it is about, and not the whole file, which may be long.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Snippet};

use crate::diagnostics::Label;

/// The most that is shown of a file around the labels of one error, in bytes; lines between labels that are left out count.
const EXCERPT_BYTES: usize = 64 << 10;

/// A part of a file, and what is said about it.
#[derive(Debug)]
pub(crate) enum Excerpt<'a> {
    /// Whole lines. The bytes of each label are counted from the first of them.
    Lines { text: &'a str, first_line: usize, labels: Vec<(bool, Range<usize>, &'a str)> },
    /// A place in a line that is too long to be shown.
    Place(&'a Label),
}

/// Divides what is to be shown of `text`: one part for all labels, or one for each where they are far from each other.
/// Of the labels, the primary ones are marked.
pub(crate) fn excerpts<'a>(text: &'a str, labels: Vec<(bool, &'a Label)>) -> Vec<Excerpt<'a>> {
    let around = |bytes: &Range<usize>| {
        let start = text.get(..bytes.start).and_then(|before| before.rfind('\n')).map_or(0, |end| end + 1);
        let end = text.get(bytes.end..).and_then(|behind| behind.find('\n'));
        start..end.map_or(text.len(), |end| bytes.end + end)
    };
    let lines = |bytes: Range<usize>, first_line, labels: &[(bool, Range<usize>, &'a str)]| {
        let labels = labels
            .iter()
            .map(|(is_primary, at, text)| (*is_primary, at.start - bytes.start..at.end - bytes.start, *text));
        Excerpt::Lines {
            text: text.get(bytes.clone()).unwrap_or_default(),
            first_line,
            labels: labels.collect(),
        }
    };
    let said: Vec<_> = labels
        .iter()
        .map(|(is_primary, label)| (*is_primary, label.span.bytes.clone(), &*label.text))
        .collect();
    let all = said.iter().map(|(_, at, _)| at.clone()).reduce(|a, b| a.start.min(b.start)..a.end.max(b.end));
    let first_line = labels.iter().map(|(_, label)| label.span.line).min().unwrap_or(1);
    if let Some(whole) = all.map(|all| around(&all)).filter(|whole| whole.len() <= EXCERPT_BYTES) {
        return vec![lines(whole, first_line, &said)];
    }
    let one_by_one = labels.into_iter().zip(said).map(|((is_primary, label), (_, at, said))| {
        // Of what goes on for very long, the beginning is shown.
        let first = around(&(at.start..at.start));
        let candidates = [(around(&at), at.clone()), (first.clone(), at.start..at.end.min(first.end))];
        let fitting = candidates.into_iter().find(|(whole, _)| whole.len() <= EXCERPT_BYTES);
        match fitting {
            Some((whole, at)) => lines(whole, label.span.line, &[(is_primary, at, said)]),
            None => Excerpt::Place(label),
        }
    });
    one_by_one.collect()
}

impl<'a> Excerpt<'a> {
    /// Adds it to what is shown of an error in the file at `path`.
    pub(crate) fn put_into(self, group: Group<'a>, path: &str) -> Group<'a> {
        match self {
            Self::Lines { text, first_line, labels } => {
                let annotations = labels.into_iter().map(|(is_primary, at, said)| {
                    let kind = if is_primary { AnnotationKind::Primary } else { AnnotationKind::Context };
                    let annotation = kind.span(at);
                    if said.is_empty() { annotation } else { annotation.label(said) }
                });
                let snippet = Snippet::source(text).path(path.to_owned()).line_start(first_line);
                group.element(snippet.annotations(annotations))
            }
            Self::Place(label) => {
                let origin =
                    Origin::path(path.to_owned()).line(label.span.line).char_column(label.span.column);
                let group = group.element(origin);
                if label.text.is_empty() { group } else { group.element(Level::NOTE.message(&label.text)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::diagnostics::Span;

    fn label(text: &str, at: &str) -> Label {
        let start = text.find(at).expect("it is there");
        let line = text[..start].matches('\n').count() + 1;
        let span = Span { bytes: start..start + at.len(), line, column: 1 };
        Label { file: PathBuf::from("a.capnp"), span, text: "here".to_owned() }
    }

    /// The line of each part, and how much of the text it shows.
    fn shown(text: &str, labels: &[Label]) -> Vec<(usize, usize)> {
        let labels = labels.iter().enumerate().map(|(index, label)| (index == 0, label)).collect();
        let parts = excerpts(text, labels).into_iter().map(|excerpt| match excerpt {
            Excerpt::Lines { text: part, first_line, labels } => {
                assert!(labels.iter().all(|(_, at, _)| part.get(at.clone()).is_some()));
                (first_line, part.len())
            }
            Excerpt::Place(label) => (label.span.line, 0),
        });
        parts.collect()
    }

    #[test]
    fn labels_that_are_near_are_shown_together_and_nothing_else() {
        let text = format!("{}one\ntwo\nthree\n{}", "before\n".repeat(100_000), "behind\n".repeat(100_000));
        let labels = [label(&text, "three"), label(&text, "one")];
        assert_eq!(shown(&text, &labels), [(100_001, "one\ntwo\nthree".len())]);
    }

    #[test]
    fn labels_that_are_far_from_each_other_are_shown_one_by_one() {
        let text = format!("one\n{}two", "between\n".repeat(10_000));
        assert_eq!(shown(&text, &[label(&text, "two"), label(&text, "one")]), [(10_002, 3), (1, 3)]);
    }

    #[test]
    fn of_what_goes_on_for_long_the_first_line_is_shown() {
        let body = format!("struct {{\n{}}}", "between\n".repeat(10_000));
        assert_eq!(shown(&body, &[label(&body, &body)]), [(1, "struct {".len())]);
    }

    #[test]
    fn a_line_that_is_too_long_is_named_and_not_shown() {
        let text = format!("one\n{}two{}\n", "x".repeat(EXCERPT_BYTES), "x".repeat(EXCERPT_BYTES));
        assert_eq!(shown(&text, &[label(&text, "two"), label(&text, "one")]), [(2, 0), (1, 3)]);
    }

    #[test]
    fn a_place_at_the_end_of_a_text_is_shown_with_its_line() {
        let mut end = label("one\ntwo", "two");
        end.span.bytes = 7..7;
        assert_eq!(shown("one\ntwo", &[end.clone()]), [(2, 3)]);
        end.span.bytes = 0..0;
        assert_eq!(shown("", &[end]), [(2, 0)]);
    }
}
