//! h2 over the same Noise session: one request, whose response is sent 32 KiB at a time; on tokio, one thread a side.
//!
//! Windows of 1 MiB for stream and connection, and frames as long as the writes: its defaults are half as fast.

use std::future::poll_fn;
use std::time::Instant;

use ::bytes::Bytes;
use ::h2::{SendStream, client, server};
use anyhow::{Context as _, Result};
use http::{Request, Response};
use serde::{Deserialize, Serialize};
use tokio_util::compat::FuturesAsyncReadCompatExt;

use super::yamux::{WRITE, runtime};
use crate::noise::{self, Cipher, Contact};
use crate::noise_stream::NoiseStream;
use crate::payload::{self, Sink};
use crate::side::Bench;
use crate::transfer::{Connected, Order, Transfer};

/// How far the server may be ahead, in bytes.
const WINDOW: u32 = 1 << 20;

/// Answers the first request with as many bytes as it is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Server {
    pub(crate) bytes: u64,
    pub(crate) cipher: Cipher,
}

impl Server {
    pub(crate) fn play(&self, bench: &Bench) -> Result<()> {
        let server = noise::Server::bind(self.cipher)?;
        bench.say(&server.contact()?)?;
        let (stream, records) = server.accept()?;
        runtime()?.block_on(async {
            let stream = NoiseStream::new(stream, records)?.compat();
            let mut connection = server::handshake(stream).await?;
            let (_, mut respond) = connection.accept().await.context("the client hung up")??;
            // The connection moves only while it is asked for more requests.
            let connection = tokio::spawn(async move {
                while let Some(request) = connection.accept().await {
                    request?;
                }
                Ok::<(), ::h2::Error>(())
            });
            let stream = respond.send_response(Response::new(()), false)?;
            send(stream, self.bytes).await?;
            connection.await??;
            Ok(())
        })
    }
}

/// Sends `bytes` bytes in writes of [`WRITE`], none of which is copied before it is framed.
async fn send(mut stream: SendStream<Bytes>, bytes: u64) -> Result<()> {
    let mut block = vec![0; WRITE];
    payload::fill(&mut block);
    let block = Bytes::from(block);
    let mut unsent = bytes;
    while unsent > 0 {
        let mut write = block.slice(..unsent.min(WRITE as u64) as usize);
        unsent -= write.len() as u64;
        while !write.is_empty() {
            stream.reserve_capacity(write.len());
            if stream.capacity() == 0 {
                poll_fn(|cx| stream.poll_capacity(cx)).await.context("the stream ended early")??;
            }
            let length = stream.capacity().min(write.len());
            if length > 0 {
                stream.send_data(write.split_to(length), false)?;
            }
        }
    }
    Ok(stream.send_data(Bytes::new(), true)?)
}

/// Asks, and reads the answer.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Client {
    pub(crate) server: Contact,
    pub(crate) cipher: Cipher,
    pub(crate) order: Order,
}

impl Client {
    pub(crate) fn play(&self, bench: &Bench) -> Result<()> {
        let dialed = Instant::now();
        let (stream, records) = noise::dial(&self.server, self.cipher)?;
        bench.say(&Connected { handshake_seconds: dialed.elapsed().as_secs_f64() })?;
        let mut sink = Sink::new(self.order.checks);
        runtime()?.block_on(async {
            let mut builder = client::Builder::new();
            builder
                .initial_window_size(WINDOW)
                .initial_connection_window_size(WINDOW)
                .max_frame_size(WRITE as u32);
            let stream = NoiseStream::new(stream, records)?.compat();
            let (requests, connection) = builder.handshake::<_, Bytes>(stream).await?;
            tokio::spawn(connection);
            let mut requests = requests.ready().await?;
            bench.wait_for_go()?;

            let asked = Instant::now();
            let request = Request::get("http://bench/").body(())?;
            let (response, _) = requests.send_request(request, true)?;
            let mut body = response.await?.into_body();
            while sink.bytes < self.order.bytes {
                let data = body.data().await.transpose()?;
                let data = data.with_context(|| format!("the server ended after {} bytes", sink.bytes))?;
                body.flow_control().release_capacity(data.len())?;
                sink.take(&data);
            }
            bench.say(&Transfer::new(asked.elapsed(), &sink))?;
            // A server whose client hangs up ends as well, and is yet to be measured.
            bench.wait_for_end();
            Ok(())
        })
    }
}
