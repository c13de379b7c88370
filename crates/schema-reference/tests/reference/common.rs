//! Compiling with both, and telling what comes out.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use vatmux_schema::{Options, compile_from};
use vatmux_schema_reference::corpus::standard_schemas;
use vatmux_schema_reference::{Difference, Memory, Reference, Refusal, difference};

/// How many differences are told of one set of files.
const TOLD: usize = 12;

/// Files with their texts.
pub(crate) type Texts = [(String, String)];

pub(crate) fn write(directory: &Path, texts: &Texts) {
    for (name, text) in texts {
        let path = directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// The names of files.
pub(crate) fn names(texts: &Texts) -> Vec<&str> {
    texts.iter().map(|(name, _)| name.as_str()).collect()
}

/// The request of the C++ tool.
pub(crate) fn theirs(texts: &Texts) -> Result<Vec<u8>, Refusal> {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), texts);
    Reference::new(directory.path()).compile(&names(texts))
}

/// With the standard schemas that the C++ tool uses, whose comments are not ours.
pub(crate) fn options() -> Options {
    let directory = standard_schemas().expect("the standard schemas are installed");
    Options::default().standard_imports(false).import_path(directory)
}

/// Our request, or what we say against the files.
pub(crate) fn ours(texts: &Texts) -> Result<Vec<u8>, String> {
    let files: Memory = texts.iter().cloned().collect();
    match compile_from(&files, &names(texts), &options()) {
        Ok(compiled) => Ok(compiled.to_bytes()),
        Err(diagnostics) => Err(format!("we refuse it:\n{diagnostics}")),
    }
}

/// What the two make of valid files, if it is not the same.
pub(crate) fn disagreement(theirs: &[u8], ours: &Result<Vec<u8>, String>) -> Option<String> {
    let ours = match ours {
        Ok(ours) => ours,
        Err(complaint) => return Some(complaint.clone()),
    };
    match difference(theirs, ours) {
        Ok(found) => (!found.is_empty()).then(|| listed(&found)),
        Err(error) => Some(format!("a request cannot be read: {error}")),
    }
}

pub(crate) fn listed(found: &[Difference]) -> String {
    let mut text = String::new();
    for difference in found.iter().take(TOLD) {
        writeln!(text, "{difference}").unwrap();
    }
    if found.len() > TOLD {
        writeln!(text, "and {} more", found.len() - TOLD).unwrap();
    }
    text
}

/// Files as one would read them.
pub(crate) fn shown(texts: &Texts) -> String {
    texts.iter().fold(String::new(), |shown, (name, text)| format!("{shown}--- {name}\n{text}\n"))
}
