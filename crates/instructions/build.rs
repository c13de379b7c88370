//! Tells the program which compiler built it, as instructions of two compilers do not compare, and generates the code
//! of the schema that its calls have.

use std::env;
use std::error::Error;
use std::process::Command;

/// What the tests of vats call.
const SCHEMA: &str = "../rpc/tests/schema/probe.capnp";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler).arg("--version").output();
    let version = output.ok().filter(|output| output.status.success());
    let version = version.and_then(|output| String::from_utf8(output.stdout).ok());
    let version = version.unwrap_or_else(|| "an unknown compiler".to_owned());
    println!("cargo::rustc-env=VATMUX_COMPILER={}", version.trim());
    vatmux_build::Build::new().services(false).module("").compile(&[SCHEMA])?;
    Ok(())
}
