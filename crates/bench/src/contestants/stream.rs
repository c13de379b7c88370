//! One stream of a vatmux session over TCP, without RPC: the driver, the reactor and the socket of a node, written
//! 32 KiB at a time and read as an `AsyncRead`.
//!
//! The client dials as every client does. A node would hand the stream to a vat, so the server accepts its one session
//! itself, on what a node's worker runs on.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use futures::io::{AsyncReadExt, AsyncWriteExt};
use serde::{Deserialize, Serialize};
use vatmux_driver::{Driver, SessionOptions};
use vatmux_host::{Dialer, MonotonicClock, Reactor, SocketLink};
use vatmux_mux::{HeapStorage, Limits, Priority, StreamName};
use vatmux_noise::{AllowList, Entropy};

use super::node::{dial_by, fresh_key};
use super::yamux::WRITE;
use crate::noise::{Cipher, Contact};
use crate::payload::{Sink, Source};
use crate::side::Bench;
use crate::transfer::{Connected, Order, Transfer};

/// How far the server may be ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Windows {
    /// 64 KiB, as on the OS.
    Fixed,
    /// From 64 KiB on they grow by what is read, as on hosts.
    Growing,
}

impl Windows {
    fn limits(self) -> Limits {
        match self {
            Self::Fixed => Limits::FIXED,
            Self::Growing => Limits::HOST,
        }
    }
}

/// Sends a source on the first stream that is opened.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Server {
    pub(crate) source: Source,
    pub(crate) windows: Windows,
}

impl Server {
    pub(crate) fn play(&self, bench: &Bench) -> Result<()> {
        let key = fresh_key()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on loopback")?;
        bench.say(&Contact { address: listener.local_addr()?, key: *key.node_id().as_bytes() })?;
        let (socket, _) = listener.accept().context("cannot accept the client")?;
        let clock = MonotonicClock::default();
        let reactor = Reactor::new(clock)?;
        let link = SocketLink::new(&reactor, socket)?;
        let mut driver = Driver::new(clock, reactor.into_park());
        let handle = driver.handle();
        let options = SessionOptions { limits: self.windows.limits(), ..SessionOptions::default() };
        driver.drive_until(async {
            let (entropy, storage) = (Entropy::from_system()?, HeapStorage::new());
            let allow = AllowList::Anyone;
            let session =
                vatmux_driver::accept(&handle, link, &key, &allow, entropy, storage, options).await?;
            let incoming = session.incoming().next().await.context("the client hung up")?;
            let mut stream = incoming.accept();
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
            session.closed().await;
            Ok(())
        })?
    }
}

/// Opens a stream and reads what the server sends on it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Client {
    pub(crate) server: Contact,
    pub(crate) cipher: Cipher,
    pub(crate) windows: Windows,
    pub(crate) order: Order,
}

impl Client {
    pub(crate) fn play(&self, bench: &Bench) -> Result<()> {
        let options = SessionOptions { limits: self.windows.limits(), ..SessionOptions::default() };
        let options = |dialer: Dialer| dialer.session_options(options).suite(self.cipher.suite());
        dial_by(options, &self.server, async |dialed, peer| {
            bench.say(&Connected { handshake_seconds: dialed.elapsed().as_secs_f64() })?;
            let mut stream = peer.session().open(&StreamName::new("bench")?, Priority::default())?;
            let mut sink = Sink::new(self.order.checks);
            let mut buffer = vec![0; 2 * WRITE];
            bench.wait_for_go()?;

            let asked = Instant::now();
            stream.write_all(b"go").await?;
            while sink.bytes < self.order.bytes {
                let read = stream.read(&mut buffer).await?;
                ensure!(read > 0, "the server ended after {} bytes", sink.bytes);
                sink.take(&buffer[..read]);
            }
            bench.say(&Transfer::new(asked.elapsed(), &sink))
        })
    }
}
