//! From `.capnp` text to a request.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;

/// The annotations, which every schema can import as `/vatmux/vatmux.capnp`.
const VATMUX: &str = include_str!("../../../schema/vatmux.capnp");

/// What the compiler made of schemas.
pub(crate) struct Compiled {
    /// A `CodeGeneratorRequest`.
    pub(crate) request: Vec<u8>,
    /// What it is made of.
    pub(crate) files: Vec<PathBuf>,
}

pub(crate) fn compile(schemas: &[&Path], import_paths: &[PathBuf]) -> Result<Compiled, Error> {
    let standard = std::env::temp_dir().join(format!("vatmux-build-{}", std::process::id()));
    let _ = fs::create_dir_all(standard.join("vatmux"));
    fs::write(standard.join("vatmux/vatmux.capnp"), VATMUX).map_err(Error::Compiler)?;
    let mut capnp = Command::new("capnp");
    capnp.arg("compile").arg("-o-");
    for path in import_paths.iter().chain([&standard]) {
        let mut argument = OsString::from("-I");
        argument.push(path);
        capnp.arg(argument);
    }
    for schema in schemas {
        let mut argument = OsString::from("--src-prefix=");
        argument.push(schema.parent().unwrap_or(Path::new("")));
        capnp.arg(argument);
    }
    let output = capnp.args(schemas).output().map_err(Error::Compiler)?;
    let _ = fs::remove_dir_all(&standard);
    if !output.status.success() {
        return Err(Error::Schema(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    Ok(Compiled { request: output.stdout, files: schemas.iter().map(|path| path.to_path_buf()).collect() })
}
