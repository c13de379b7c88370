//! Generates the code of the schema that the suite `rpc` calls, from the request that the schema compiler wrote.

use std::fs::File;
use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let request = "schema/bench.capnp.request";
    println!("cargo::rerun-if-changed={request}");
    let out = std::env::var("OUT_DIR")?;
    capnpc::codegen::CodeGenerationCommand::new()
        .output_directory(Path::new(&out))
        .default_parent_module(vec!["contestants".to_owned(), "rpc".to_owned()])
        .run(File::open(request)?)?;
    Ok(())
}
