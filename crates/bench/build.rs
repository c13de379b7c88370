//! Generates the code of the schema that the suite `rpc` calls.

fn main() -> Result<(), vatmux_build::Error> {
    let messages = vatmux_build::Build::new().services(false);
    messages.module("contestants::rpc").compile(&["schema/bench.capnp"])
}
