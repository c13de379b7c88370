//! capnp-rpc on the network of two that it comes with, over TCP in the clear, as its own examples run it.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::Result;
use capnp_rpc::RpcSystem;
use capnp_rpc::rpc_twoparty_capnp::Side;
use capnp_rpc::twoparty::VatNetwork;
use futures::FutureExt as _;
use futures::io::{BufReader, BufWriter};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use tokio_util::compat::{TokioAsyncReadCompatExt as _, TokioAsyncWriteCompatExt as _};

use super::bench_capnp::bench;
use super::caller::{self, Calls};
use super::vatmux::increment;
use super::{connect, listen, runtime, service};
use crate::side::Bench;

pub(super) fn serve(bench: &Bench) -> Result<()> {
    let (listener, contact) = listen()?;
    bench.say(&contact)?;
    LocalSet::new().block_on(&runtime()?, serve_one(listener))
}

pub(super) fn call(bench: &Bench, server: SocketAddr, calls: Calls) -> Result<()> {
    LocalSet::new().block_on(&runtime()?, call_from_here(bench, server, calls))
}

pub(super) fn both(bench: &Bench, calls: Calls) -> Result<()> {
    let (listener, contact) = listen()?;
    LocalSet::new().block_on(&runtime()?, async {
        let _serving = tokio::task::spawn_local(serve_one(listener));
        call_from_here(bench, contact.address, calls).await
    })
}

async fn serve_one(listener: std::net::TcpListener) -> Result<()> {
    let (stream, _) = TcpListener::from_std(listener)?.accept().await?;
    stream.set_nodelay(true)?;
    RpcSystem::new(Box::new(network(stream, Side::Server)), Some(service::capability().client)).await?;
    Ok(())
}

async fn call_from_here(bench: &Bench, server: SocketAddr, calls: Calls) -> Result<()> {
    let dialed = Instant::now();
    let mut system = RpcSystem::new(Box::new(network(connect(server).await?, Side::Client)), None);
    let client: bench::Client = system.bootstrap(Side::Server);
    tokio::task::spawn_local(system.map(drop));
    caller::increments(bench, dialed, calls, async |value| Ok(increment(&client, value).await?)).await
}

fn network(stream: TcpStream, side: Side) -> VatNetwork<impl futures::AsyncRead + Unpin> {
    let (reader, writer) = stream.into_split();
    let (reader, writer) = (BufReader::new(reader.compat()), BufWriter::new(writer.compat_write()));
    VatNetwork::new(reader, writer, side, capnp::message::ReaderOptions::default())
}
