//! What Cap'n Proto promises of calls and capabilities, between processes: Noise and mux over TCP, a vat on each stream.
//!
//! The other process is this program again, told by its environment to be [`another_process`].

mod equality;
mod failures;
#[path = "../random/heap.rs"]
mod heap;
mod hops;
mod order;
mod pipelining;
mod process;
mod release;
mod server;
mod sizes;
mod streaming;
mod world;

/// Where the generated code expects itself.
mod common {
    #[allow(
        clippy::all,
        clippy::pedantic,
        clippy::unimplemented,
        missing_docs,
        unused_qualifications,
        unreachable_pub
    )]
    pub(crate) mod behaviours_capnp {
        include!(concat!(env!("OUT_DIR"), "/behaviours_capnp.rs"));
    }
}

use common::behaviours_capnp::{counter, recorder, station};

/// The body of every other process. In the one that tests it has nothing to do.
#[test]
fn another_process() {
    process::run();
}
