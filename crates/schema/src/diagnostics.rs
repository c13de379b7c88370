//! What is wrong with a schema, told to the person who wrote it.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// All that was found wrong in one run, in the order of files and lines.
#[derive(Clone, Default)]
pub struct Diagnostics {
    pub(crate) list: Vec<Diagnostic>,
    pub(crate) sources: Vec<(PathBuf, Arc<str>)>,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A file could not be read, or is none that could be.
    File,
    /// The text does not follow the grammar.
    Syntax,
}

impl Diagnostics {
    /// The findings.
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
            for (index, label) in diagnostic.labels.iter().enumerate() {
                let kind = if index == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
                let Some((path, text)) = self.sources.iter().find(|(path, _)| *path == label.file) else {
                    continue;
                };
                group = group.element(
                    Snippet::source(&**text)
                        .path(path.to_string_lossy())
                        .annotation(kind.span(label.span.bytes.clone()).label(&label.text)),
                );
            }
            if let Some(help) = &diagnostic.help {
                group = group.element(Level::HELP.message(help));
            }
            writeln!(f, "{}", renderer.render(&[group]))?;
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
