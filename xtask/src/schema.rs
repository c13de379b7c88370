//! The committed requests: what the schemas compile to, so that building takes no schema compiler.
//!
//! Beside each `NAME.capnp` of the directories below stands `NAME.capnp.request`, the `CodeGeneratorRequest` that the
//! `capnp` tool makes of it. Build scripts generate Rust from the request alone.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::check::Skipped;
use crate::repository::{Repository, output};
use crate::request::Meaning;

/// The directories whose schemas have requests, each of which is the top of its schemas' names.
const DIRECTORIES: [&str; 3] = ["schema", "crates/bench/schema", "crates/rpc/tests/schema"];

/// A schema and its request.
struct Pair {
    /// The directory among [`DIRECTORIES`].
    directory: &'static str,
    schema: PathBuf,
    request: PathBuf,
}

/// Fails unless each request is what its schema compiles to, and says which parts of it are not.
pub(crate) fn check(repository: &Repository) -> Result<Skipped, String> {
    visit(repository, |pair, _, staleness| match staleness {
        None => {
            println!("{}: up to date", pair.request.display());
            Ok(())
        }
        Some(reason) => {
            Err(format!("{}: {reason}; `cargo xtask schema` writes it anew", pair.request.display()))
        }
    })?;
    Ok(Skipped::new())
}

/// Writes the requests that are stale or missing. Leaves the others as they are, whichever compiler wrote them.
pub(crate) fn rewrite(repository: &Repository) -> Result<(), String> {
    visit(repository, |pair, fresh, staleness| {
        let Some(reason) = staleness else {
            println!("{}: up to date", pair.request.display());
            return Ok(());
        };
        let path = repository.root().join(&pair.request);
        fs::write(&path, fresh)
            .map_err(|error| format!("cannot write {}: {error}", pair.request.display()))?;
        println!("{}: written, because {reason}", pair.request.display());
        Ok(())
    })
}

/// Compiles every schema, and shows each with what it compiled to and why its request is stale, if it is. Goes on after
/// a complaint and gives all of them, those about requests without a schema last.
fn visit(
    repository: &Repository,
    mut judge: impl FnMut(&Pair, &[u8], Option<String>) -> Result<(), String>,
) -> Result<(), String> {
    let pairs = pairs(repository)?;
    let mut complaints = Vec::new();
    for pair in &pairs {
        let verdict = compile(repository, pair).and_then(|fresh| {
            let staleness = staleness(repository, pair, &fresh)?;
            judge(pair, &fresh, staleness)
        });
        complaints.extend(verdict.err());
    }
    complaints.extend(orphans(repository, &pairs)?);
    if complaints.is_empty() { Ok(()) } else { Err(complaints.join("\n")) }
}

/// The schemas of the checkout, sorted.
fn pairs(repository: &Repository) -> Result<Vec<Pair>, String> {
    let pair = |schema: PathBuf| {
        let directory =
            DIRECTORIES.into_iter().find(|directory| schema.parent() == Some(Path::new(directory)))?;
        let mut request = OsString::from(&schema);
        request.push(".request");
        schema.extension().is_some_and(|extension| extension == "capnp").then(|| Pair {
            directory,
            request: request.into(),
            schema,
        })
    };
    Ok(repository.files()?.into_iter().filter_map(pair).collect())
}

/// A complaint for each request whose schema is gone.
fn orphans(repository: &Repository, pairs: &[Pair]) -> Result<Vec<String>, String> {
    let mut requests = repository.files()?;
    requests.retain(|file| file.extension().is_some_and(|extension| extension == "request"));
    requests.retain(|file| DIRECTORIES.iter().any(|directory| file.parent() == Some(Path::new(directory))));
    requests.retain(|file| !pairs.iter().any(|pair| pair.request == *file));
    Ok(requests.iter().map(|file| format!("{}: its schema is gone; remove it", file.display())).collect())
}

/// Compiles a schema. The names in the request are relative to the schema's directory, and say nothing of the machine.
fn compile(repository: &Repository, pair: &Pair) -> Result<Vec<u8>, String> {
    let mut capnp = Command::new("capnp");
    // The tool warns when PWD, which it trusts, is not the directory that it runs in.
    capnp.current_dir(repository.root()).env("PWD", repository.root());
    capnp.arg("compile").arg(format!("--src-prefix={}", pair.directory)).arg("-o-").arg(&pair.schema);
    let request = output(&mut capnp)?;
    Meaning::of(&request)
        .map_err(|reason| format!("what capnp makes of {} is of no use: {reason}", pair.schema.display()))?;
    Ok(request)
}

/// Why a committed request will not do; `None` when it says the same as a fresh one.
fn staleness(repository: &Repository, pair: &Pair, fresh: &[u8]) -> Result<Option<String>, String> {
    let path = repository.root().join(&pair.request);
    if !path.exists() {
        return Ok(Some("it is missing".to_owned()));
    }
    let committed =
        fs::read(&path).map_err(|error| format!("cannot read {}: {error}", pair.request.display()))?;
    let fresh = Meaning::of(fresh)?;
    Ok(match Meaning::of(&committed) {
        Err(reason) => Some(reason),
        Ok(committed) if committed == fresh => None,
        Ok(committed) => Some(format!("it is stale in {}", committed.difference(&fresh).join(", "))),
    })
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    const SCHEMA: &str = "@0xdc0b6a4a3bd7c1f1;\n# A letter.\nstruct Letter { text @0 :Text; }\n";

    fn checkout(files: &[(&str, &str)]) -> (TempDir, Repository) {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("schema")).unwrap();
        for (name, content) in files {
            fs::write(directory.path().join(name), content).unwrap();
        }
        let repository = Repository::at(directory.path());
        (directory, repository)
    }

    #[test]
    fn a_request_is_up_to_date_once_it_was_written() {
        let (_directory, repository) = checkout(&[("schema/a.capnp", SCHEMA)]);
        assert!(check(&repository).unwrap_err().contains("schema/a.capnp.request: it is missing"));
        rewrite(&repository).unwrap();
        assert_eq!(check(&repository), Ok(Skipped::new()));
    }

    #[test]
    fn a_schema_edited_after_its_request_was_written_is_found_and_the_change_is_named() {
        let (directory, repository) = checkout(&[("schema/a.capnp", SCHEMA)]);
        rewrite(&repository).unwrap();
        fs::write(directory.path().join("schema/a.capnp"), SCHEMA.replace("Text", "Data")).unwrap();
        let complaint = check(&repository).unwrap_err();
        assert!(complaint.contains("it is stale in node a.capnp:Letter"), "{complaint}");
        assert!(complaint.contains("cargo xtask schema"), "{complaint}");
    }

    #[test]
    fn a_request_that_says_the_same_is_left_as_it_is() {
        let (directory, repository) = checkout(&[("schema/a.capnp", SCHEMA)]);
        rewrite(&repository).unwrap();
        let path = directory.path().join("schema/a.capnp.request");
        // Words behind the message are nothing that a reader looks at: another spelling of the same request.
        let mut respelt = fs::read(&path).unwrap();
        respelt.extend_from_slice(&[0; 8]);
        fs::write(&path, &respelt).unwrap();
        rewrite(&repository).unwrap();
        assert_eq!(fs::read(&path).unwrap(), respelt);
    }

    #[test]
    fn a_request_that_is_damaged_is_written_anew() {
        let (_directory, repository) =
            checkout(&[("schema/a.capnp", SCHEMA), ("schema/a.capnp.request", "rubbish")]);
        assert!(check(&repository).unwrap_err().contains("it is no request"));
        rewrite(&repository).unwrap();
        assert_eq!(check(&repository), Ok(Skipped::new()));
    }

    #[test]
    fn a_request_whose_schema_is_gone_is_found() {
        let (_directory, repository) = checkout(&[("schema/b.capnp.request", "")]);
        assert!(check(&repository).unwrap_err().contains("schema/b.capnp.request: its schema is gone"));
        assert!(rewrite(&repository).is_err());
    }

    #[test]
    fn a_schema_that_does_not_compile_leaves_its_request_alone() {
        let (directory, repository) =
            checkout(&[("schema/a.capnp", "rubbish"), ("schema/a.capnp.request", "old")]);
        assert!(rewrite(&repository).unwrap_err().contains("`capnp compile"));
        assert_eq!(fs::read(directory.path().join("schema/a.capnp.request")).unwrap(), b"old");
    }

    #[test]
    fn a_schema_that_does_not_compile_hides_no_other() {
        let (directory, repository) = checkout(&[("schema/a.capnp", "rubbish"), ("schema/b.capnp", SCHEMA)]);
        let complaint = check(&repository).unwrap_err();
        assert!(complaint.contains("schema/b.capnp.request: it is missing"), "{complaint}");
        assert!(rewrite(&repository).is_err());
        assert!(directory.path().join("schema/b.capnp.request").exists());
    }

    #[test]
    fn a_request_says_nothing_of_the_machine_that_wrote_it() {
        let (directory, repository) = checkout(&[("schema/a.capnp", SCHEMA)]);
        rewrite(&repository).unwrap();
        let request = fs::read(directory.path().join("schema/a.capnp.request")).unwrap();
        let text = String::from_utf8_lossy(&request);
        assert!(!text.contains(&*directory.path().to_string_lossy()));
        assert!(text.contains("a.capnp") && !text.contains("schema/a.capnp"));
    }
}
