//! The schemas of the checkout: what our compiler makes of each means what the C++ tool's request does.
//!
//! Building takes only our compiler; the tool is the reference that it is held against here, and on a larger corpus by its own
//! tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use vatmux_build::VATMUX_CAPNP;

use crate::check::Skipped;
use crate::repository::{Repository, output};
use crate::request::Meaning;

/// The directories whose schemas are compiled, each of which is the top of its schemas' names.
const DIRECTORIES: [&str; 4] =
    ["schema", "crates/bench/schema", "crates/rpc/schema", "crates/rpc/tests/schema"];

/// Fails unless both compilers say the same of each schema, and says which parts of it they do not agree on.
pub(crate) fn check(repository: &Repository) -> Result<Skipped, String> {
    let standard = tempfile::tempdir().map_err(|error| format!("cannot make a directory: {error}"))?;
    let annotations = standard.path().join("vatmux");
    fs::create_dir(&annotations)
        .and_then(|()| fs::write(annotations.join("vatmux.capnp"), VATMUX_CAPNP))
        .map_err(|error| format!("cannot write {}: {error}", annotations.display()))?;

    let mut complaints = Vec::new();
    for (directory, schema) in schemas(repository)? {
        match compare(repository, directory, &schema, standard.path()) {
            Ok(()) => println!("{}: means the same to both compilers", schema.display()),
            Err(complaint) => complaints.push(format!("{}: {complaint}", schema.display())),
        }
    }
    if complaints.is_empty() { Ok(Skipped::new()) } else { Err(complaints.join("\n")) }
}

/// The schemas of the checkout, sorted, each with its directory among [`DIRECTORIES`].
fn schemas(repository: &Repository) -> Result<Vec<(&'static str, PathBuf)>, String> {
    let of = |schema: PathBuf| {
        let directory =
            DIRECTORIES.into_iter().find(|directory| schema.parent() == Some(Path::new(directory)))?;
        schema.extension().is_some_and(|extension| extension == "capnp").then_some((directory, schema))
    };
    Ok(repository.files()?.into_iter().filter_map(of).collect())
}

fn compare(repository: &Repository, directory: &str, schema: &Path, standard: &Path) -> Result<(), String> {
    let mut capnp = Command::new("capnp");
    // The tool warns when PWD, which it trusts, is not the directory that it runs in.
    capnp.current_dir(repository.root()).env("PWD", repository.root());
    capnp
        .arg("compile")
        .arg("-I")
        .arg(standard)
        .arg(format!("--src-prefix={directory}"))
        .arg("-o-")
        .arg(schema);
    let theirs = Meaning::of(&output(&mut capnp)?)?;

    let path = repository.root().join(schema);
    let options = vatmux_build::options(&[&path], &[]);
    let compiled =
        vatmux_schema::compile(&[&path], &options).map_err(|diagnostics| diagnostics.to_string())?;
    let ours = Meaning::of(&compiled.to_bytes())?;
    if ours == theirs {
        return Ok(());
    }
    Err(format!("our compiler and the tool differ in {}", ours.difference(&theirs).join(", ")))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn checkout(schema: &str) -> (TempDir, Repository) {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("schema")).unwrap();
        fs::write(directory.path().join("schema/a.capnp"), schema).unwrap();
        let repository = Repository::at(directory.path());
        (directory, repository)
    }

    #[test]
    fn a_schema_that_means_the_same_to_both_passes() {
        let schema = "@0xdc0b6a4a3bd7c1f1;\nusing V = import \"/vatmux/vatmux.capnp\";\n# A letter.\n\
                      interface Letters $V.service(name = \"letters\") { send @0 (text :Text) -> stream; }\n";
        let (_directory, repository) = checkout(schema);
        assert_eq!(check(&repository), Ok(Skipped::new()));
    }

    #[test]
    fn a_schema_that_does_not_compile_is_named() {
        let (_directory, repository) = checkout("rubbish");
        let complaint = check(&repository).unwrap_err();
        assert!(complaint.contains("schema/a.capnp: ") && complaint.contains("capnp compile"), "{complaint}");
    }
}
