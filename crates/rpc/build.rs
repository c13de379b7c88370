//! Generates the code of the crate's own schema and of those that its tests use, from the requests that the schema compiler
//! wrote.

use std::fs::File;
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    generate("schema/description.capnp.request", &[])?;
    generate("tests/schema/behaviours.capnp.request", &["common".to_owned()])?;
    generate("tests/schema/probe.capnp.request", &["common".to_owned()])
}

fn generate(request: &str, parent_module: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed={request}");
    let out = std::env::var("OUT_DIR")?;
    capnpc::codegen::CodeGenerationCommand::new()
        .output_directory(Path::new(&out))
        .default_parent_module(parent_module.to_vec())
        .run(File::open(request)?)?;
    Ok(())
}
