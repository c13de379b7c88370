//! Nothing that a server answers panics whoever called it.
//!
//! The server is one that says what the test has it say; the callers use stubs, or what capnpc makes. No panic is contained,
//! but for the one that is capnp-rpc's own and is shown to be there.

mod claims;
#[allow(unused_imports, reason = "it is for all tests")]
#[path = "../common/mod.rs"]
mod common;
mod own;
mod passing;
mod random;
mod script;

#[allow(dead_code, reason = "not every test needs every stub")]
pub(crate) mod linked {
    include!(concat!(env!("OUT_DIR"), "/linked.rs"));
}
