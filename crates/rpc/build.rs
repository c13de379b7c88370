//! Generates the code of the schemas that this crate's tests use, from the requests that the schema compiler wrote.

use std::fs::File;
use std::path::Path;

/// In `tests/schema`, one generated module each.
const SCHEMAS: [&str; 2] = ["probe", "behaviours"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let out = std::env::var("OUT_DIR")?;
    for name in SCHEMAS {
        let request = format!("tests/schema/{name}.capnp.request");
        println!("cargo::rerun-if-changed={request}");
        capnpc::codegen::CodeGenerationCommand::new()
            .output_directory(Path::new(&out))
            .default_parent_module(vec!["common".to_owned()])
            .run(File::open(request)?)?;
    }
    Ok(())
}
