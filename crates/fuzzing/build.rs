//! Generates the code of the schema that the tests of vats use: one of the targets is a vat.

use std::env;
use std::error::Error;
use std::fs::File;

const REQUEST: &str = "../rpc/tests/schema/probe.capnp.request";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={REQUEST}");
    capnpc::codegen::CodeGenerationCommand::new()
        .output_directory(env::var("OUT_DIR")?)
        .default_parent_module(vec!["common".to_owned()])
        .run(File::open(REQUEST)?)?;
    Ok(())
}
