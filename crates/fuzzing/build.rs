//! Generates the code of the schema that the tests of vats use: one of the targets is a vat.

fn main() -> Result<(), vatmux_build::Error> {
    let messages = vatmux_build::Build::new().services(false);
    messages.module("common").compile(&["../rpc/tests/schema/probe.capnp"])
}
