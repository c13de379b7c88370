//! The C++ tool.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// How the C++ tool is called.
#[derive(Clone, Debug, Default)]
pub struct Reference {
    directory: PathBuf,
    import_paths: Vec<PathBuf>,
    source_prefixes: Vec<PathBuf>,
    no_standard_imports: bool,
}

/// Why the C++ tool made no request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What it says about places in the schemas, sorted, each once. Empty where it failed in a way of its own.
    pub complaints: Vec<Complaint>,
    /// All that it said.
    pub said: String,
}

/// What the C++ tool finds wrong at one place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Complaint {
    /// The file, as it was named on the command line or found through an import.
    pub file: String,
    /// The line; the first is 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.said.trim_end())
    }
}

/// Whether the C++ tool is here.
#[must_use]
pub fn have_reference() -> bool {
    let mut call = Command::new("capnp");
    call.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    call.status().is_ok_and(|status| status.success())
}

impl Reference {
    /// The tool, called in `directory`.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned(), ..Self::default() }
    }

    /// Looks for imports in `path` as well.
    #[must_use]
    pub fn import_path(mut self, path: impl Into<PathBuf>) -> Self {
        self.import_paths.push(path.into());
        self
    }

    /// Takes `prefix` off the names of files.
    #[must_use]
    pub fn source_prefix(mut self, prefix: impl Into<PathBuf>) -> Self {
        self.source_prefixes.push(prefix.into());
        self
    }

    /// Leaves out the directories that the tool looks for imports in by itself.
    #[must_use]
    pub fn without_standard_imports(mut self) -> Self {
        self.no_standard_imports = true;
        self
    }

    /// The call that writes the request for `files` to standard output.
    pub fn command<P: AsRef<Path>>(&self, files: &[P]) -> Command {
        let mut call = Command::new("capnp");
        call.args(["compile", "-o-"]).current_dir(&self.directory).stdin(Stdio::null());
        // It wants this to agree with where it is.
        call.env("PWD", &self.directory);
        // Layouts that releases before 0.6 got wrong are refused unless this is set; whoever has old data may care.
        call.env("CAPNP_IGNORE_ISSUE_344", "1");
        if self.no_standard_imports {
            call.arg("--no-standard-import");
        }
        for (option, paths) in
            [("--import-path", &self.import_paths), ("--src-prefix", &self.source_prefixes)]
        {
            for path in paths {
                call.arg(format!("{option}={}", path.display()));
            }
        }
        call.args(files.iter().map(AsRef::as_ref));
        call
    }

    /// Compiles `files`, which are relative to the directory, into a framed request.
    pub fn compile<P: AsRef<Path>>(&self, files: &[P]) -> Result<Vec<u8>, Refusal> {
        let output = match self.command(files).output() {
            Ok(output) => output,
            Err(error) => {
                let said = format!("cannot start `capnp`: {error}");
                return Err(Refusal { complaints: Vec::new(), said });
            }
        };
        if output.status.success() {
            return Ok(output.stdout);
        }
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let mut complaints: Vec<_> = said.lines().filter_map(Complaint::parse).collect();
        complaints.sort();
        complaints.dedup();
        Err(Refusal { complaints, said: format!("{said}{}", output.status) })
    }
}

impl Complaint {
    /// Reads `FILE:LINE[:COLUMN[-COLUMN]]: error: MESSAGE`; `None` for any other line.
    fn parse(text: &str) -> Option<Self> {
        let (place, message) = text.split_once(": error: ")?;
        // Numbers from the end, for the file may have colons in it: the line is the second of two, or the only one.
        let numbers: Vec<&str> = place.rsplit(':').take(2).take_while(|word| is_range(word)).collect();
        let line = numbers.last()?;
        let behind: usize = numbers.iter().map(|number| number.len() + 1).sum();
        let file = place.get(..place.len().checked_sub(behind)?)?;
        let line = line.split('-').next()?.parse().ok()?;
        Some(Self { file: file.to_owned(), line, message: message.to_owned() })
    }
}

fn is_range(word: &str) -> bool {
    word.starts_with(|letter: char| letter.is_ascii_digit())
        && word.chars().all(|letter| letter.is_ascii_digit() || letter == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_read_with_its_file_and_line() {
        let complaint = |text| Complaint::parse(text).map(|found| (found.file, found.line, found.message));
        let expected = |file: &str, line, message: &str| Some((file.to_owned(), line, message.to_owned()));
        assert_eq!(complaint("a.capnp:4:9-16: error: No."), expected("a.capnp", 4, "No."));
        assert_eq!(complaint("a.capnp:5:10: error: Parse error."), expected("a.capnp", 5, "Parse error."));
        assert_eq!(complaint("d:e/a.capnp:5:1: error: x: y"), expected("d:e/a.capnp", 5, "x: y"));
        assert_eq!(complaint("a.capnp:2: error: No."), expected("a.capnp", 2, "No."));
        assert_eq!(complaint("a.capnp: no such file"), None);
    }
}
