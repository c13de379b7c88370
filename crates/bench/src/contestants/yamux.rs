//! rust-yamux over the same Noise session, one stream, written 32 KiB at a time; on tokio, one thread a side.
//!
//! Its windows tune themselves, as they do by default. Its frames are as long as the writes: the default of 16 KiB would
//! cost it twice the headers and records.

use std::future::poll_fn;
use std::io;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use futures::io::{AsyncReadExt, AsyncWriteExt};
use serde::{Deserialize, Serialize};
use yamux::{Config, Connection, ConnectionError, Mode};

use crate::noise::{self, Cipher, Contact};
use crate::noise_stream::NoiseStream;
use crate::payload::{Sink, Source};
use crate::side::Bench;
use crate::transfer::{Connected, Order, Transfer};

/// Bytes of one write, and of one frame.
pub(crate) const WRITE: usize = 32 * 1024;

/// Sends a source on the first stream that is opened.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Server {
    pub(crate) source: Source,
    pub(crate) cipher: Cipher,
}

impl Server {
    pub(crate) fn play(&self, bench: &Bench) -> Result<()> {
        let server = noise::Server::bind(self.cipher)?;
        bench.say(&server.contact()?)?;
        let (stream, records) = server.accept()?;
        runtime()?.block_on(async {
            let mut connection = Connection::new(NoiseStream::new(stream, records)?, config(), Mode::Server);
            let mut stream =
                poll_fn(|cx| connection.poll_next_inbound(cx)).await.context("the client hung up")??;
            // The connection moves only while it is asked for more streams.
            let connection = tokio::spawn(drive(connection));
            let mut block = vec![0; WRITE];
            let mut blocks = self.source.open(&mut block)?;
            stream.read_exact(&mut [0; 2]).await?;
            loop {
                match blocks.next(&mut block)? {
                    0 => break,
                    length => stream.write_all(&block[..length]).await?,
                }
            }
            stream.close().await?;
            connection.await??;
            Ok(())
        })
    }
}

/// Opens a stream and reads what the server sends on it.
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
            let mut connection = Connection::new(NoiseStream::new(stream, records)?, config(), Mode::Client);
            let mut stream = poll_fn(|cx| connection.poll_new_outbound(cx)).await?;
            tokio::spawn(drive(connection));
            let mut buffer = vec![0; 2 * WRITE];
            bench.wait_for_go()?;

            let asked = Instant::now();
            stream.write_all(b"go").await?;
            while sink.bytes < self.order.bytes {
                let read = stream.read(&mut buffer).await?;
                ensure!(read > 0, "the server hung up after {} bytes", sink.bytes);
                sink.take(&buffer[..read]);
            }
            bench.say(&Transfer::new(asked.elapsed(), &sink))?;
            // A server whose client hangs up ends as well, and is yet to be measured.
            bench.wait_for_end();
            Ok(())
        })
    }
}

/// One thread, that waits for sockets.
pub(super) fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_io().build()
}

fn config() -> Config {
    let mut config = Config::default();
    config.set_split_send_size(WRITE);
    config
}

/// Moves the connection's bytes until it ends; nobody opens further streams.
async fn drive(mut connection: Connection<NoiseStream>) -> Result<(), ConnectionError> {
    while let Some(stream) = poll_fn(|cx| connection.poll_next_inbound(cx)).await {
        stream?;
    }
    Ok(())
}
