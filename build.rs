//! Generates `src/schema.rs`'s modules from the compiled schemas in `schema/`.
//!
//! Each `schema/NAME.capnp` has a `schema/NAME.capnp.request` beside it: the `CodeGeneratorRequest` that the
//! `capnp` tool made of it. Building reads only that, so that a machine with nothing but Rust can build.
//! `cargo xtask schema` writes them anew after a schema was edited.

use std::error::Error;
use std::fs::File;
use std::path::{Path, PathBuf};

use capnpc::codegen::CodeGenerationCommand;

/// The schemas, one generated module each: `NAME` becomes `crate::schema::NAME_capnp`.
const SCHEMAS: [&str; 2] = ["health", "packagefs"];

fn main() -> Result<(), Box<dyn Error>> {
    let out_dir = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR for a build script")?);
    println!("cargo::rerun-if-changed=build.rs");
    for name in SCHEMAS {
        let request = Path::new("schema").join(format!("{name}.capnp.request"));
        println!("cargo::rerun-if-changed={}", request.display());
        generate(&request, &out_dir).map_err(|error| format!("{}: {error}", request.display()))?;
    }
    Ok(())
}

fn generate(request: &Path, out_dir: &Path) -> Result<(), Box<dyn Error>> {
    CodeGenerationCommand::new()
        .output_directory(out_dir)
        .default_parent_module(vec!["schema".into()])
        .run(File::open(request)?)?;
    Ok(())
}
