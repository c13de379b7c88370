//! Services as a schema has them: what generated stubs, server traits and descriptors are made of.
//!
//! `vatmux-build` writes for each interface of a schema a client stub, a server trait and a test double, and for each that
//! is annotated as a service a [`Descriptor`]. This is what that code calls. Programs see of it:
//!
//! * [`Peer::connect`](crate::Peer::connect) and [`Services::serve`](crate::Services::serve), which know a service by its type;
//! * [`Calling`], what a stub's method gives: the answer, in the future, typed by the schema ([`Error`]);
//! * [`Call`], what a server's method is told of the call, and [`Refusal`], how it says no;
//! * [`testing`], for tests of servers and of clients.
//!
//! A stub puts the schema's deadline on each call, unless [`deadline::with`](crate::deadline::with) says otherwise around
//! it, or [`Options::deadlines`](crate::Options::deadlines) of its method. A server is kept within the schema's limits. Neither costs a round trip; nor does it to connect: that two nodes were
//! built from schemas that do not fit shows in the first call that the peer does not know, and the error names both
//! schemas' digests, which are asked for only then.

mod call;
mod describe;
mod descriptor;
mod error;
mod sink;
mod stub;
pub mod testing;

use capnp::capability::FromClientHook;
use vatmux_mux::Priority;

pub use call::{Call, Meter, taken};
pub(crate) use describe::Described;
pub use describe::Description;
pub use descriptor::{Descriptor, Digest, Interface, Limit, Method};
pub use error::{Error, Fault, Mismatch, NoStatus, Refusal, Status, accept};
pub use sink::CallSink;
pub(crate) use stub::Connection;
pub use stub::{Calling, Capability, Sent};

/// A priority that is known to be one. For generated code.
///
/// # Panics
///
/// Where it is over 7; in generated code that is an error of compilation.
#[must_use]
pub const fn priority(level: u8) -> Priority {
    match Priority::new(level) {
        Some(priority) => priority,
        None => panic!("a priority is 0 to 7"),
    }
}

/// The length of a list, as Cap'n Proto has it. For generated code.
///
/// A list that is longer than this number can say fits into no message, and sending it fails for that reason.
#[must_use]
pub fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// An interface of a schema, as its clients use it. Generated stubs implement it.
pub trait Stub: Sized {
    /// capnpc's client of the same interface.
    type Client: FromClientHook + Clone;

    /// The interface.
    const INTERFACE: &'static Interface;

    /// The stub of a server, which is called where it is.
    fn serve<T>(server: T) -> Self
    where
        Self: ServedBy<T>,
    {
        Self::of(Capability::of(Self::client_of(server)))
    }

    /// The stub of a capability.
    fn of(capability: Capability<Self::Client>) -> Self;

    /// The capability behind the stub.
    fn capability(&self) -> &Capability<Self::Client>;
}

/// An interface that a stream can begin with: one that the schema annotates as a service.
pub trait Service: Stub {
    /// What the schema says of it.
    const DESCRIPTOR: &'static Descriptor;
}

/// An interface that a `T` can serve: one that implements the server trait.
pub trait ServedBy<T>: Stub {
    /// The capability of a server.
    fn client_of(server: T) -> Self::Client;
}
