//! Remote procedure calls: one number in, the next one out, by everybody's own means.
//!
//! Each contestant is a server and a caller that do nothing but this over loopback TCP without delay: a process and a
//! thread each, or both on one thread, where nobody's figures have the time in them that another core takes to wake. [`Stack`] says whose they are; [`caller`] makes the calls and takes the times, the same for all.

mod caller;
mod capnp_plain;
mod service;
mod tarpc;
mod tonic;
mod vatmux;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use tokio::runtime::{Builder, Runtime};

pub(crate) use caller::{Called, Calls, measure};
pub(crate) use vatmux::{CHUNK_BYTES, Held, Holder, Pusher};

use crate::noise::Contact;
use crate::side::Bench;

#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::unimplemented,
    missing_docs,
    unused_qualifications,
    unreachable_pub,
    dead_code
)]
pub(crate) mod bench_capnp {
    include!(concat!(env!("OUT_DIR"), "/bench_capnp.rs"));
}

/// Whose calls they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Stack {
    /// A node that serves and one that dials, on default options: encrypted, and one stream of many.
    Vatmux,
    /// capnp-rpc on its own `twoparty`, over a TCP connection and nothing else.
    CapnpPlain,
    /// gRPC over HTTP/2, with prost's messages.
    Tonic,
    /// Bincode in frames with a length.
    Tarpc,
}

/// Serves whoever connects.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Server {
    pub(crate) stack: Stack,
}

impl Server {
    pub(crate) fn play(&self, bench: &Bench) -> Result<()> {
        match self.stack {
            Stack::Vatmux => vatmux::serve(bench),
            Stack::CapnpPlain => capnp_plain::serve(bench),
            Stack::Tonic => tonic::serve(bench),
            Stack::Tarpc => tarpc::serve(bench),
        }
    }
}

/// Calls a server one after the other, and then many at a time.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Caller {
    pub(crate) stack: Stack,
    pub(crate) server: Contact,
    pub(crate) calls: Calls,
}

impl Caller {
    pub(crate) fn play(&self, bench: &Bench) -> Result<()> {
        match self.stack {
            Stack::Vatmux => vatmux::call(bench, &self.server, self.calls),
            Stack::CapnpPlain => capnp_plain::call(bench, self.server.address, self.calls),
            Stack::Tonic => tonic::call(bench, self.server.address, self.calls),
            Stack::Tarpc => tarpc::call(bench, self.server.address, self.calls),
        }
    }
}

/// A server and its caller on one thread.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Both {
    pub(crate) stack: Stack,
    pub(crate) calls: Calls,
}

impl Both {
    pub(crate) fn play(&self, bench: &Bench) -> Result<()> {
        match self.stack {
            Stack::Vatmux => vatmux::both(bench, self.calls),
            Stack::CapnpPlain => capnp_plain::both(bench, self.calls),
            Stack::Tonic => tonic::both(bench, self.calls),
            Stack::Tarpc => tarpc::both(bench, self.calls),
        }
    }
}

/// A listener on loopback, and its contact; who listens there has no key.
fn listen() -> Result<(TcpListener, Contact)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on loopback")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((listener, Contact { address, key: [0; 32] }))
}

async fn connect(address: SocketAddr) -> Result<tokio::net::TcpStream> {
    let stream = tokio::net::TcpStream::connect(address)
        .await
        .with_context(|| format!("cannot connect to {address}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// What the peers run on: one thread.
fn runtime() -> Result<Runtime> {
    Builder::new_current_thread().enable_io().enable_time().build().context("tokio does not start")
}
