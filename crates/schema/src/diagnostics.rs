//! What is wrong with a schema, told to the person who wrote it.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{Group, Level, Renderer};

use crate::excerpt::excerpts;
use crate::source::{FileId, Lines, Place, Source, Span as SourceSpan};

/// All that was found wrong in one run, in the order of files and lines.
#[derive(Clone, Default)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    sources: Vec<(PathBuf, Arc<str>)>,
    dropped: usize,
}

/// One finding.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Diagnostic {
    /// What kind of thing is wrong.
    pub kind: Kind,
    /// How bad it is.
    pub severity: Severity,
    /// The file that it is in.
    pub file: PathBuf,
    /// The place in that file.
    pub span: Span,
    /// What is wrong, in one line.
    pub message: String,
    /// What is said at the places that are concerned, the first being `span`.
    pub labels: Vec<Label>,
    /// What to do about it.
    pub help: Option<String>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// No request is made.
    Error,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// The bytes from the start of the file.
    pub bytes: Range<usize>,
    /// The line of the first byte, the first is 1.
    pub line: usize,
    /// The column of the first byte, counted in characters, the first is 1.
    pub column: usize,
}

/// What is said about one place.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Label {
    /// The file that the place is in.
    pub file: PathBuf,
    /// The place.
    pub span: Span,
    /// What there is to say.
    pub text: String,
}

/// What kind of thing is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kind {
    /// A file, imported or embedded ones too, is missing, cannot be read or is not what it should be.
    File,
    /// The text does not follow the grammar.
    #[default]
    Syntax,
    /// A name is not written as its kind of declaration is written.
    NameStyle,
    /// Something is declared twice.
    Duplicate,
    /// An ordinal is missing, is used twice, or is too large.
    Ordinal,
    /// An id is missing, is used twice, or is not one.
    Id,
    /// A name is not declared.
    Unknown,
    /// Something is declared, but is not what is needed here: not a type, not an interface, not an annotation.
    Mismatch,
    /// Generic parameters are too many, too few, or not pointers.
    Generic,
    /// A value is not one of its type.
    Value,
    /// An annotation is applied where it cannot be, or without its value.
    Annotation,
    /// A declaration depends on itself.
    Cycle,
    /// A struct, union or group does not have the members that it needs.
    Members,
    /// A bound of the compiler is reached: see [`crate::limits`].
    Limit,
}

/// A finding inside of the compiler, before places are turned into lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct Report {
    pub(crate) kind: Kind,
    pub(crate) span: SourceSpan,
    pub(crate) message: String,
    /// What is said at the place; may be empty.
    pub(crate) label: String,
    pub(crate) help: Option<String>,
    /// Other places that are concerned.
    pub(crate) related: Vec<(Place, String)>,
}

/// Collects findings, each once.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    reports: Vec<(FileId, Report)>,
    seen: BTreeSet<(FileId, SourceSpan, Kind)>,
    dropped: usize,
}

impl Collector {
    pub(crate) fn add(&mut self, file: FileId, report: Report) {
        // Several fields of a type that is wrong complain about it at one place, and one complaint is enough.
        if !self.seen.insert((file, report.span, report.kind)) {
            return;
        }
        if self.reports.len() < crate::limits::ERRORS {
            self.reports.push((file, report));
        } else {
            self.dropped += 1;
        }
    }

    /// Whether something was found wrong at `span`.
    pub(crate) fn has_errors_at(&self, file: FileId, span: SourceSpan) -> bool {
        let first = (file, SourceSpan { start: span.start, end: span.start }, Kind::File);
        let last = (file, span.after(), Kind::Limit);
        self.seen.range(first..=last).any(|(_, seen, _)| seen.end <= span.end)
    }

    /// Whether further findings are only counted: what is to help with them need not be found out.
    pub(crate) fn is_full(&self) -> bool {
        self.reports.len() >= crate::limits::ERRORS
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.reports.is_empty()
    }

    pub(crate) fn finish(mut self, sources: &[Source]) -> Diagnostics {
        self.reports.sort_by_key(|(file, report)| (*file, report.span));
        let path =
            |file: FileId| sources.get(file.0 as usize).map(|source| source.path.clone()).unwrap_or_default();
        let mut texts: HashMap<FileId, Lines> = HashMap::new();
        let concerned = |(file, report): &(FileId, Report)| {
            let related = report.related.iter().map(|(place, _)| place.file);
            related.chain([*file]).collect::<Vec<_>>()
        };
        for file in self.reports.iter().flat_map(concerned) {
            if let Some(source) = sources.get(file.0 as usize) {
                texts.entry(file).or_insert_with(|| Lines::of(source));
            }
        }
        let resolve = |place: Place| {
            let lines = texts.get(&place.file);
            let text = lines.map_or("", |lines| &lines.text);
            // A place is made of whole characters, whatever the text is.
            let mut start = (place.span.start as usize).min(text.len());
            while !text.is_char_boundary(start) {
                start -= 1;
            }
            let mut end = (place.span.end as usize).clamp(start, text.len());
            while !text.is_char_boundary(end) {
                end += 1;
            }
            let (line, column) = lines.map_or((1, 1), |lines| lines.line_and_column(start));
            Span { bytes: start..end, line, column }
        };
        let list = self
            .reports
            .into_iter()
            .map(|(file, report)| {
                let span = resolve(Place { file, span: report.span });
                let first = Label { file: path(file), span: span.clone(), text: report.label };
                let related = report.related.into_iter().map(|(place, text)| Label {
                    file: path(place.file),
                    span: resolve(place),
                    text,
                });
                Diagnostic {
                    kind: report.kind,
                    severity: Severity::Error,
                    file: path(file),
                    span,
                    message: report.message,
                    labels: std::iter::once(first).chain(related).collect(),
                    help: report.help,
                }
            })
            .collect();
        let sources = texts.into_iter().map(|(file, lines)| (path(file), lines.text)).collect();
        Diagnostics { list, sources, dropped: self.dropped }
    }
}

/// The candidate that a person most likely meant, if any is close.
pub(crate) fn most_similar<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    const LONGEST: usize = 64;
    if name.len() > LONGEST {
        return None;
    }
    // A third of it, rounded: nothing is like a name of one letter.
    let bound = (name.len() + 1) / 3;
    candidates
        .filter(|candidate| candidate.len().abs_diff(name.len()) <= bound && *candidate != name)
        .map(|candidate| (distance(name.as_bytes(), candidate.as_bytes()), candidate))
        .filter(|(distance, _)| *distance <= bound)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters have to be changed, left out or put in, two that changed places counting as one; the case of a
/// letter counts nothing.
fn distance(left: &[u8], right: &[u8]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let same = a.eq_ignore_ascii_case(b);
            let mut best = (previous[j] + usize::from(!same)).min(previous[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a.eq_ignore_ascii_case(&right[j - 1]) && left[i - 1].eq_ignore_ascii_case(b)
            {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut previous, row);
    }
    previous.last().copied().unwrap_or_default()
}

impl Diagnostics {
    /// The findings, at most [`crate::limits::ERRORS`].
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let renderer = Renderer::plain().decor_style(DecorStyle::Ascii);
        for diagnostic in &self.list {
            let mut group = Group::with_title(Level::ERROR.primary_title(&diagnostic.message));
            let mut files: Vec<&Path> = Vec::new();
            for label in &diagnostic.labels {
                if !files.contains(&&*label.file) {
                    files.push(&label.file);
                }
            }
            for file in files {
                let Some((path, text)) = self.sources.iter().find(|(path, _)| path == file) else { continue };
                let labels = diagnostic.labels.iter().enumerate().filter(|(_, label)| label.file == *file);
                for excerpt in excerpts(text, labels.map(|(index, label)| (index == 0, label)).collect()) {
                    group = excerpt.put_into(group, &path.to_string_lossy());
                }
            }
            if let Some(help) = &diagnostic.help {
                group = group.element(Level::HELP.message(help));
            }
            writeln!(f, "{}\n", renderer.render(&[group]))?;
        }
        if self.dropped > 0 {
            writeln!(f, "error: and {} more", self.dropped)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.list).finish()
    }
}

impl std::error::Error for Diagnostics {}
