//! Generates the code of the crate's own schema, and of those that its tests use.

use vatmux_build::{Build, Error};

fn main() -> Result<(), Error> {
    let messages = Build::new().services(false);
    messages.clone().module("").compile(&["schema/description.capnp"])?;
    messages.module("common").compile(&["tests/schema/probe.capnp", "tests/schema/behaviours.capnp"])?;
    let services = Build::new().runtime("::vatmux_rpc");
    services.clone().module("linked").compile(&["tests/schema/chain.capnp"])?;
    services.compile(&["tests/schema/notes.capnp", "tests/schema/shelf.capnp"])
}
