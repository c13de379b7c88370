//! Servers and clients in one test, with everything between them that there is between two nodes but the network.

use std::rc::Rc;

use capnp::capability::{Client, FromClientHook};
use futures::io::{AsyncRead, AsyncWrite};
use tracing::Span;
use vatmux_driver::virtual_time::{self, VirtualClock};
use vatmux_driver::{Clock, Driver, Handle, Instant, pipe};

use super::{Call, Capability, Connection, Described, Descriptor, ServedBy, Service};
use crate::sight::Sight;
use crate::{Options, Vat};

/// Room in each direction of the pipe: as much as a mux stream starts with.
const PIPE_BYTES: usize = 64 << 10;

/// A driver on virtual time, and services behind vats of their own on it.
///
/// Time stands still while anything can run, and jumps to the next deadline when nothing can: a test of a deadline takes no
/// time, and none of its calls is late by chance.
///
/// ```
/// # use vatmux_rpc::service::{ServedBy, Service};
/// # fn example<Notes: Service + ServedBy<Server>, Server>(server: Server) {
/// use vatmux_rpc::service::testing::InMemory;
///
/// let mut node = InMemory::new();
/// let notes: Notes = node.serve(server);
/// node.run(async {
///     // notes.read("key").await …
/// });
/// # }
/// ```
pub struct InMemory {
    driver: Driver,
    clock: VirtualClock,
    options: Options,
}

impl Default for InMemory {
    fn default() -> Self {
        Self::new()
    }
}

impl InMemory {
    /// A driver on which nothing runs yet.
    #[must_use]
    pub fn new() -> Self {
        let (driver, clock) = virtual_time::driver();
        Self { driver, clock, options: Options::default() }
    }

    /// Bounds and times of the vats that are made from here on, at both ends.
    #[must_use]
    pub fn options(self, options: Options) -> Self {
        Self { options, ..self }
    }

    /// A client of `server`, through a vat at each end of a pipe.
    pub fn serve<S, T>(&self, server: T) -> S
    where
        S: Service + ServedBy<T>,
    {
        self.serve_as(Client::new(S::client_of(server).into_client_hook()), S::DESCRIPTOR)
    }

    /// A client of a service, where the peer serves `capability` instead, which it says is what `described` describes.
    pub fn serve_as<S: Service>(&self, capability: Client, described: &'static Descriptor) -> S {
        let (ours, theirs) = pipe(PIPE_BYTES);
        let bootstrap = Described::client(capability, described);
        let bounds = described.bounds(&self.options);
        Vat::serve(theirs, described.name, bootstrap, &self.handle(), &bounds);
        self.connect(ours)
    }

    /// A client of a service at the other end of a stream of bytes.
    pub fn connect<S: Service>(&self, stream: impl AsyncRead + AsyncWrite + Unpin + 'static) -> S {
        let descriptor = S::DESCRIPTOR;
        let sight = Sight::new(None, descriptor.name, Rc::default(), Span::none(), Some(descriptor));
        let remote = Vat::connect_watched(stream, &self.handle(), &descriptor.bounds(&self.options), sight);
        S::of(Capability::bootstrap(Connection::new(remote, descriptor)))
    }

    /// The driver's handle: the time, timers, tasks.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.driver.handle()
    }

    /// The time, which nothing but waiting moves.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Runs everything until `future` is done.
    ///
    /// # Panics
    ///
    /// Where every task waits and no deadline is armed: `future` would never be done.
    pub fn run<F: Future>(&mut self, future: F) -> F::Output {
        match self.driver.drive_until(future) {
            Ok(output) => output,
            Err(error) => panic!("the test waits for ever: {error}"),
        }
    }
}

/// What a test double answers where its test has said nothing.
#[must_use]
pub fn unscripted(call: &Call) -> capnp::Error {
    capnp::Error::failed(format!("{}: the test says nothing of this method", call.method()))
}
