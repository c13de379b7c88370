//! What files are called in a request, from wherever and however they are named.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use vatmux_schema::{Options, compile};
use vatmux_schema_reference::corpus::standard_schemas;
use vatmux_schema_reference::{Reference, difference};

use crate::common::listed;

/// Schemas in a directory, which import each other by relative and by absolute names.
fn schemas() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let files = [
        ("a.capnp", "@0xbf5147cbbecf40c1; using B = import \"below/b.capnp\"; struct A { b @0 :B.B; }"),
        ("below/b.capnp", "@0xbf5147cbbecf40c2; using A = import \"../a.capnp\"; struct B { a @0 :A.A; }"),
        (
            "c.capnp",
            "@0xbf5147cbbecf40c3; struct C { b @0 :import \"/below/b.capnp\".B; d @1 :import \"/d.capnp\".D; }",
        ),
        ("first/d.capnp", "@0xbf5147cbbecf40c4; struct D { first @0 :Text; }"),
        ("second/d.capnp", "@0xbf5147cbbecf40c5; struct D { second @0 :Text; }"),
    ];
    for (name, text) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

/// A path from where this process is, by way of the root if need be.
fn relative(path: &Path) -> PathBuf {
    let here = env::current_dir().unwrap();
    let up: PathBuf = here.components().skip(1).map(|_| "..").collect();
    up.join(path.strip_prefix("/").unwrap())
}

#[test]
#[ignore = "needs the C++ tool: cargo xtask test reference"]
fn files_are_called_the_same_by_both() {
    let directory = schemas();
    let top = directory.path().canonicalize().unwrap();
    let outside = relative(&top);
    let include = |names: &[&str]| names.iter().map(|name| top.join(name)).collect::<Vec<_>>();
    let own = PathBuf::from("../schema/tests/schemas");
    // What is compiled, which prefixes are taken off, where imports are looked for.
    let cases: Vec<(Vec<PathBuf>, Vec<PathBuf>, Vec<PathBuf>)> = vec![
        (vec![top.join("a.capnp")], vec![], vec![]),
        (vec![top.join("a.capnp")], vec![top.clone()], vec![]),
        (vec![top.join("below/b.capnp")], vec![top.clone()], vec![]),
        (vec![top.join("first/d.capnp")], vec![top.join("first")], vec![]),
        (vec![top.join("first/d.capnp")], vec![top.join("first"), top.clone()], vec![]),
        (vec![top.join("first/d.capnp")], vec![top.clone(), top.join("first")], vec![]),
        (vec![top.join("below/b.capnp"), top.join("a.capnp")], vec![top.clone()], vec![]),
        (vec![outside.join("a.capnp")], vec![], vec![]),
        (vec![outside.join("a.capnp")], vec![top.clone()], vec![]),
        (vec![outside.join("a.capnp")], vec![outside.clone()], vec![]),
        (vec![top.join("below/../a.capnp")], vec![top.clone()], vec![]),
        (vec![top.join("c.capnp")], vec![top.clone()], include(&["", "first", "second"])),
        (vec![top.join("c.capnp")], vec![top.clone()], include(&["second", "", "first"])),
        (vec![own.join("corner_ids.capnp")], vec![], vec![]),
        (vec![own.join("corner_ids.capnp")], vec![own.clone()], vec![]),
        (vec![own.join("corner_directory/deeper.capnp")], vec!["../schema".into()], vec![]),
        (vec![PathBuf::from("./src/../../schema/tests/schemas/corner_ids.capnp")], vec!["..".into()], vec![]),
    ];
    let mut found = Vec::new();
    for (files, prefixes, import_paths) in cases {
        let standard = standard_schemas().unwrap();
        let mut reference = Reference::new(&env::current_dir().unwrap());
        let mut options = Options::default().standard_imports(false);
        for path in &import_paths {
            reference = reference.import_path(path);
            options = options.import_path(path);
        }
        options = options.import_path(standard);
        for prefix in &prefixes {
            reference = reference.source_prefix(prefix);
            options = options.source_prefix(prefix);
        }
        let what = format!("{files:?} without {prefixes:?}, imports in {import_paths:?}");
        let theirs = match reference.compile(&files) {
            Ok(request) => request,
            Err(refusal) => panic!("the C++ tool refuses {what}: {refusal}"),
        };
        match compile(&files, &options) {
            Err(diagnostics) => found.push(format!("{what}: we refuse it:\n{diagnostics}")),
            Ok(ours) => {
                let differences = difference(&theirs, &ours.to_bytes()).unwrap();
                if !differences.is_empty() {
                    found.push(format!("{what}:\n{}", listed(&differences)));
                }
            }
        }
    }
    assert!(found.is_empty(), "{} differ:\n{}", found.len(), found.join("\n"));
}
