//! The schemas of others, and our own, mean the same to both and become the same Rust.

use std::path::PathBuf;

use vatmux_schema::{Options, compile_from};
use vatmux_schema_reference::corpus::{Collection, Corpus};
use vatmux_schema_reference::{Within, difference, generated_code};

use crate::common::{disagreement, listed};

/// Who must be there for the corpus to be worth its name; the others are told when they are missing.
const ALWAYS: [&str; 5] =
    ["Debian package libcapnp-dev", "crate capnp", "crate capnpc", "crate capnp-rpc", "this project"];

fn ours(collection: &Collection, files: &[PathBuf], options: &Options) -> Result<Vec<u8>, String> {
    match compile_from(&Within(collection.directory.clone()), files, options) {
        Ok(compiled) => Ok(compiled.to_bytes()),
        Err(diagnostics) => Err(format!("we refuse it:\n{diagnostics}")),
    }
}

/// Each file for itself, and those of a collection together as far as the reference takes them.
fn requests() -> Vec<(Collection, Vec<PathBuf>, Vec<u8>)> {
    let corpus = Corpus::find();
    for missing in &corpus.missing {
        println!("SKIPPED: {missing}");
    }
    for origin in ALWAYS {
        assert!(corpus.collections.iter().any(|found| found.origin == origin), "{origin} is missing");
    }
    let mut requests = Vec::new();
    for collection in corpus.collections {
        for file in &collection.files {
            match collection.reference().compile(&[file]) {
                Ok(request) => requests.push((collection.clone(), vec![file.clone()], request)),
                Err(refusal) => panic!("{}: {}: {refusal}", collection.origin, file.display()),
            }
        }
        if let Ok(request) = collection.reference().compile(&collection.files) {
            println!("{}: {} schemas", collection.origin, collection.files.len());
            let files = collection.files.clone();
            requests.push((collection, files, request));
        } else {
            println!("{}: {} schemas, one by one", collection.origin, collection.files.len());
        }
    }
    requests
}

/// Asks everything of every request, and tells all that was found at once.
fn for_each_request(judge: impl Fn(&Collection, &[PathBuf], &[u8]) -> Option<String>) {
    let mut found = Vec::new();
    for (collection, files, request) in requests() {
        if let Some(what) = judge(&collection, &files, &request) {
            let names: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
            found.push(format!("{}: {}:\n{what}", collection.origin, names.join(" ")));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
#[ignore = "needs the C++ tool: cargo xtask test reference"]
fn every_schema_of_the_corpus_means_the_same_to_both() {
    for_each_request(|collection, files, request| {
        disagreement(request, &ours(collection, files, &collection.options()))
    });
}

#[test]
#[ignore = "needs the C++ tool: cargo xtask test reference"]
fn the_built_in_schemas_mean_what_the_installed_ones_mean() {
    for_each_request(|collection, files, request| {
        let ours = match ours(collection, files, &collection.built_in_options()?) {
            Ok(ours) => ours,
            Err(complaint) => return Some(complaint),
        };
        let mut found = match difference(request, &ours) {
            Ok(found) => found,
            Err(error) => return Some(error.to_string()),
        };
        // Ours have comments of their own.
        found.retain(|difference| !difference.part.starts_with("documentation of capnp/"));
        (!found.is_empty()).then(|| listed(&found))
    });
}

#[test]
#[ignore = "needs the C++ tool: cargo xtask test reference"]
fn every_schema_of_the_corpus_becomes_the_same_rust() {
    for_each_request(|collection, files, request| {
        let theirs = match generated_code(request) {
            Ok(code) => code,
            Err(error) => {
                println!("{}: {files:?}: capnpc makes no Rust of it: {error}", collection.origin);
                return None;
            }
        };
        let ours = match ours(collection, files, &collection.options()) {
            Ok(ours) => ours,
            Err(complaint) => return Some(complaint),
        };
        match generated_code(&ours) {
            Ok(ours) => first_difference(&theirs, &ours),
            Err(error) => Some(format!("capnpc makes no Rust of ours: {error}")),
        }
    });
}

/// The first line in which the generated code differs.
fn first_difference(
    theirs: &std::collections::BTreeMap<PathBuf, String>,
    ours: &std::collections::BTreeMap<PathBuf, String>,
) -> Option<String> {
    let names =
        |files: &std::collections::BTreeMap<PathBuf, String>| files.keys().cloned().collect::<Vec<_>>();
    if names(theirs) != names(ours) {
        return Some(format!("files: theirs {:?}, ours {:?}", names(theirs), names(ours)));
    }
    theirs.iter().find_map(|(name, theirs)| {
        let ours = &ours[name];
        let mut lines = theirs.lines().zip(ours.lines()).enumerate();
        if theirs == ours {
            return None;
        }
        let (line, (theirs, ours)) =
            lines.find(|(_, (theirs, ours))| theirs != ours).unwrap_or((0, ("more or less", "less or more")));
        Some(format!("{}:{}:\n    theirs: {theirs}\n    ours:   {ours}", name.display(), line + 1))
    })
}
