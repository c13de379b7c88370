//! tarpc, with bincode over TCP.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::Result;
use futures::{StreamExt as _, future};
use tarpc::server::{BaseChannel, Channel as _};
use tarpc::tokio_serde::formats::Bincode;
use tarpc::tokio_util::codec::{Framed, LengthDelimitedCodec};
use tarpc::{client, context, serde_transport};
use tokio::net::{TcpListener, TcpStream};

use super::caller::{self, Calls};
use super::{connect, listen, runtime};
use crate::side::Bench;

/// The next number.
#[tarpc::service]
trait Increment {
    async fn increment(value: u64) -> u64;
}

#[derive(Clone)]
struct Service;

impl Increment for Service {
    async fn increment(self, _: context::Context, value: u64) -> u64 {
        value + 1
    }
}

pub(super) fn serve(bench: &Bench) -> Result<()> {
    let (listener, contact) = listen()?;
    bench.say(&contact)?;
    runtime()?.block_on(serve_one(listener))
}

pub(super) fn call(bench: &Bench, server: SocketAddr, calls: Calls) -> Result<()> {
    runtime()?.block_on(call_from_here(bench, server, calls))
}

pub(super) fn both(bench: &Bench, calls: Calls) -> Result<()> {
    let (listener, contact) = listen()?;
    runtime()?.block_on(async {
        let _serving = tokio::spawn(serve_one(listener));
        call_from_here(bench, contact.address, calls).await
    })
}

async fn serve_one(listener: std::net::TcpListener) -> Result<()> {
    let (stream, _) = TcpListener::from_std(listener)?.accept().await?;
    stream.set_nodelay(true)?;
    let transport = serde_transport::new(framed(stream), Bincode::default());
    let answers = BaseChannel::with_defaults(transport).execute(Service.serve());
    answers
        .for_each(|answer| {
            tokio::spawn(answer);
            future::ready(())
        })
        .await;
    Ok(())
}

async fn call_from_here(bench: &Bench, server: SocketAddr, calls: Calls) -> Result<()> {
    let dialed = Instant::now();
    let transport = serde_transport::new(framed(connect(server).await?), Bincode::default());
    let client = IncrementClient::new(client::Config::default(), transport).spawn();
    caller::increments(bench, dialed, calls, async |value| {
        Ok(client.increment(context::current(), value).await?)
    })
    .await
}

fn framed(stream: TcpStream) -> Framed<TcpStream, LengthDelimitedCodec> {
    LengthDelimitedCodec::builder().new_framed(stream)
}
