//! Generates `src/schema.rs`'s modules from the schemas in `schema/`: see `vatmux-build`.

fn main() -> Result<(), vatmux_build::Error> {
    vatmux_build::Build::new().compile(&[
        "schema/bundle.capnp",
        "schema/bundlemgr.capnp",
        "schema/health.capnp",
        "schema/packagefs.capnp",
        "schema/samgr.capnp",
        "schema/statefs.capnp",
    ])
}
