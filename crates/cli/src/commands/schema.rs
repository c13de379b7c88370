//! `vatmux schema`: the schema compiler, and what schemas offer.

pub(crate) mod capnp;
mod compile;
mod describe;
mod plugin;
mod value;

use std::path::PathBuf;

use serde_json::json;
use vatmux_schema::{Compiled, Diagnostics, Disk, Files, Options};

use crate::arguments::{Arguments, Imports, Schema};
use crate::failure::Failure;
use crate::output;
use crate::text::Harmless;

/// The annotations that make services.
const VATMUX: &str = include_str!("../../../../schema/vatmux.capnp");

/// Where schemas are looked for that belong to no project, as other schema compilers do it. What is built in comes after.
const SYSTEM_DIRECTORIES: [&str; 2] = ["/usr/local/include", "/usr/include"];

pub(crate) fn run(arguments: &Arguments, schema: &Schema) -> Result<(), Failure> {
    match schema {
        Schema::Compile(compile) => compile::run(arguments.json, compile),
        Schema::Describe(describe) => describe::run(arguments.json, describe),
    }
}

/// Compiles `files`. What is wrong with them is told on standard error, all of it.
fn compile(json: bool, files: &[PathBuf], options: &Options) -> Result<Compiled, Failure> {
    compile_from(json, &Disk, files, options)
}

/// As [`compile`], from elsewhere than the disk.
pub(crate) fn compile_from(
    json: bool,
    from: &dyn Files,
    files: &[PathBuf],
    options: &Options,
) -> Result<Compiled, Failure> {
    vatmux_schema::compile_from(from, files, options).map_err(|found| {
        tell(json, &found);
        Failure::Schema { errors: found.iter().count() as u64 }
    })
}

fn tell(json: bool, found: &Diagnostics) {
    if !json {
        // A schema may have been written by anybody.
        for line in found.to_string().lines() {
            output::tell(&Harmless(line).to_string());
        }
        return;
    }
    for diagnostic in found {
        let labels: Vec<_> = diagnostic
            .labels
            .iter()
            .map(|label| {
                let (line, column) = (label.span.line, label.span.column);
                json!({ "file": label.file, "line": line, "column": column, "text": label.text })
            })
            .collect();
        let value = json!({
            "file": diagnostic.file,
            "line": diagnostic.span.line,
            "column": diagnostic.span.column,
            "message": diagnostic.message,
            "labels": labels,
            "help": diagnostic.help,
        });
        output::tell(&value.to_string());
    }
}

/// Where to look for imports.
pub(crate) fn options(imports: &Imports) -> Options {
    let mut options = Options::default().standard_imports(!imports.no_standard_import);
    if !imports.no_standard_import {
        options = options.built_in("/vatmux/vatmux.capnp", VATMUX);
    }
    for path in &imports.import_path {
        options = options.import_path(path);
    }
    if !imports.no_standard_import {
        for path in SYSTEM_DIRECTORIES {
            options = options.import_path(path);
        }
    }
    options
}
