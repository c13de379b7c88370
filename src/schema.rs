//! What the build script generates from `schema/*.capnp`: stubs, server traits, descriptors, and under them capnpc's readers,
//! builders and clients.
//!
//! The documentation of each service is in its schema.

include!(concat!(env!("OUT_DIR"), "/schema.rs"));
