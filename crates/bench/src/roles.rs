//! What a process of the bench can be told to be.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::contestants::{h2, memory, raw, rpc, services, stream, vatmux, yamux};
use crate::relay::Relay;
use crate::side::Bench;

/// A side of a contestant, with everything that it has to know.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Role {
    RawServer(raw::Server),
    RawClient(raw::Client),
    YamuxServer(yamux::Server),
    YamuxClient(yamux::Client),
    H2Server(h2::Server),
    H2Client(h2::Client),
    StreamServer(stream::Server),
    StreamClient(stream::Client),
    VatmuxServer(vatmux::Server),
    VatmuxReader(vatmux::Reader),
    VatmuxFetcher(vatmux::Fetcher),
    VatmuxPinger(vatmux::Pinger),
    RpcServer(rpc::Server),
    RpcCaller(rpc::Caller),
    RpcBoth(rpc::Both),
    RpcPusher(rpc::Pusher),
    RpcHolder(rpc::Holder),
    ServicesServer(services::Server),
    ServicesCaller(services::Caller),
    ServicesGuest(services::Guest),
    ServicesPuts(services::Puts),
    ServicesInstaller(services::Installer),
    ServicesResolver(services::Resolver),
    Database(services::Database),
    Memory(memory::Run),
    Relay(Relay),
}

impl Role {
    /// For messages.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::RawServer(_) => "the server of Noise-framed bytes",
            Self::RawClient(_) => "the client of Noise-framed bytes",
            Self::YamuxServer(_) => "the yamux server",
            Self::YamuxClient(_) => "the yamux client",
            Self::H2Server(_) => "the h2 server",
            Self::H2Client(_) => "the h2 client",
            Self::StreamServer(_) => "the vatmux side that sends on a stream",
            Self::StreamClient(_) => "the vatmux side that reads a stream",
            Self::VatmuxServer(_) => "the vatmux server",
            Self::VatmuxReader(_) => "the vatmux client that reads",
            Self::VatmuxFetcher(_) => "the vatmux client that fetches a tree",
            Self::VatmuxPinger(_) => "the vatmux client that pings",
            Self::RpcServer(_) => "the server that is called",
            Self::RpcCaller(_) => "the caller",
            Self::RpcBoth(_) => "the server and its caller",
            Self::RpcPusher(_) => "the caller that streams",
            Self::RpcHolder(_) => "the caller whose calls stay open",
            Self::ServicesServer(_) => "the node that serves state and bundles",
            Self::ServicesCaller(_) => "the client of its state",
            Self::ServicesGuest(_) => "the state and its client",
            Self::ServicesPuts(_) => "the client that puts beside an install",
            Self::ServicesInstaller(_) => "the client that installs",
            Self::ServicesResolver(_) => "the client that finds a service",
            Self::Database(_) => "the database in process",
            Self::Memory(_) => "the multiplexer in memory",
            Self::Relay(_) => "the relay",
        }
    }

    pub(crate) fn play(self, bench: &Bench) -> Result<()> {
        match self {
            Self::RawServer(role) => role.play(bench),
            Self::RawClient(role) => role.play(bench),
            Self::YamuxServer(role) => role.play(bench),
            Self::YamuxClient(role) => role.play(bench),
            Self::H2Server(role) => role.play(bench),
            Self::H2Client(role) => role.play(bench),
            Self::StreamServer(role) => role.play(bench),
            Self::StreamClient(role) => role.play(bench),
            Self::VatmuxServer(role) => role.play(bench),
            Self::VatmuxReader(role) => role.play(bench),
            Self::VatmuxFetcher(role) => role.play(bench),
            Self::VatmuxPinger(role) => role.play(bench),
            Self::RpcServer(role) => role.play(bench),
            Self::RpcCaller(role) => role.play(bench),
            Self::RpcBoth(role) => role.play(bench),
            Self::RpcPusher(role) => role.play(bench),
            Self::RpcHolder(role) => role.play(bench),
            Self::ServicesServer(role) => role.play(bench),
            Self::ServicesCaller(role) => role.play(bench),
            Self::ServicesGuest(role) => role.play(bench),
            Self::ServicesPuts(role) => role.play(bench),
            Self::ServicesInstaller(role) => role.play(bench),
            Self::ServicesResolver(role) => role.play(bench),
            Self::Database(role) => role.play(bench),
            Self::Memory(role) => role.play(bench),
            Self::Relay(role) => role.play(bench),
        }
    }
}
