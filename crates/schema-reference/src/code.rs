//! The Rust that requests become.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use capnpc::codegen::CodeGenerationCommand;

/// What `capnpc` makes of a framed request: each file that it writes, with its text.
///
/// # Errors
/// What it says where it does not want the request. Some that the C++ tool makes it cannot turn into Rust.
pub fn generated_code(request: &[u8]) -> capnp::Result<BTreeMap<PathBuf, String>> {
    let directory = tempfile::tempdir()?;
    CodeGenerationCommand::new().output_directory(directory.path()).run(request)?;
    let mut files = BTreeMap::new();
    collect(directory.path(), Path::new(""), &mut files)?;
    Ok(files)
}

fn collect(top: &Path, below: &Path, files: &mut BTreeMap<PathBuf, String>) -> io::Result<()> {
    for entry in fs::read_dir(top.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            collect(top, &path, files)?;
        } else {
            files.insert(path, fs::read_to_string(entry.path())?);
        }
    }
    Ok(())
}
