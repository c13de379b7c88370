//! Generates the code of the schema that this crate's tests use, from the request that the schema compiler wrote.

use std::fs::File;
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let request = "tests/schema/probe.capnp.request";
    println!("cargo::rerun-if-changed={request}");
    let out = std::env::var("OUT_DIR")?;
    capnpc::codegen::CodeGenerationCommand::new()
        .output_directory(Path::new(&out))
        .default_parent_module(vec!["common".to_owned()])
        .run(File::open(request)?)?;
    Ok(())
}
