//! From `.capnp` text to a request.

use std::path::{Path, PathBuf};

use vatmux_schema::Options;

use crate::Error;

/// The annotations, as text: what every schema can import as `/vatmux/vatmux.capnp`.
pub const VATMUX_CAPNP: &str = include_str!("../../../schema/vatmux.capnp");

/// What the compiler made of schemas.
pub(crate) struct Compiled {
    /// A `CodeGeneratorRequest`.
    pub(crate) request: Vec<u8>,
    /// What it is made of.
    pub(crate) files: Vec<PathBuf>,
}

/// How schemas are compiled: each is named without the directories that it is in, and all can import the annotations.
#[must_use]
pub fn options(schemas: &[&Path], import_paths: &[PathBuf]) -> Options {
    let mut options = Options::default().built_in("/vatmux/vatmux.capnp", VATMUX_CAPNP);
    for path in import_paths {
        options = options.import_path(path);
    }
    for schema in schemas {
        if let Some(directory) = schema.parent()
            && directory != Path::new("")
        {
            options = options.source_prefix(directory);
        }
    }
    options
}

pub(crate) fn compile(schemas: &[&Path], import_paths: &[PathBuf]) -> Result<Compiled, Error> {
    let compiled = vatmux_schema::compile(schemas, &options(schemas, import_paths))
        .map_err(|diagnostics| Error::Schema(diagnostics.to_string()))?;
    Ok(Compiled { request: compiled.to_bytes(), files: compiled.files().to_vec() })
}
