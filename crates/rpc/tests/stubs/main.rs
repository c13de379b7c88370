//! Services as schemas have them: what generated stubs and server traits do between two vats.

mod calls;
mod capabilities;
mod descriptors;
mod doubles;
mod limits;
mod mismatch;
mod server;
mod sessions;
mod streams;

#[allow(dead_code, reason = "not every test needs every stub")]
pub(crate) mod schema {
    include!(concat!(env!("OUT_DIR"), "/schema.rs"));
}
