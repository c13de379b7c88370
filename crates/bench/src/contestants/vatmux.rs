//! vatmux as its users run it: a node that serves a directory, and clients that dial it, each on default options.

use std::cell::Cell;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use futures::future::{Either, select};
use serde::{Deserialize, Serialize};
use vatmux::packagefs::{Client, FetchOptions, Limits, Progress, Tree};
use vatmux::schema::health_capnp;
use vatmux::{health, packagefs};
use vatmux_mux::Priority;
use vatmux_noise::AllowList;
use vatmux_rpc::Remote;

use super::node::{dial, serve};
use crate::files::{LARGE_NAME, SMALL_NAME};
use crate::noise::Contact;
use crate::payload::Sink;
use crate::series::Series;
use crate::side::Bench;
use crate::transfer::{Connected, Order, Transfer};

/// Bytes that a bulk read has moved before it counts as running.
const BULK_IS_RUNNING: u64 = 16 << 20;

/// Serves a directory to anyone, from one thread.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Server {
    pub(crate) root: PathBuf,
}

impl Server {
    pub(crate) fn play(&self, bench: &Bench) -> Result<()> {
        let tree = Arc::new(Tree::open(&self.root)?);
        serve(bench, |node| {
            let node = health::offer(node, AllowList::Anyone);
            packagefs::offer(node, tree, Limits::default())
        })
    }
}

/// Reads a large file.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Reader {
    pub(crate) server: Contact,
    pub(crate) path: String,
    pub(crate) order: Order,
}

impl Reader {
    pub(crate) fn play(&self, bench: &Bench) -> Result<()> {
        dial(&self.server, async |dialed, peer| {
            bench.say(&Connected { handshake_seconds: dialed.elapsed().as_secs_f64() })?;
            bench.wait_for_go()?;

            let mut sink = Sink::new(self.order.checks);
            let asked = Instant::now();
            let client = Client::connect(&peer, Priority::LAST)?;
            client.read_to(&self.path, &mut sink, &|_| {}).await?;
            bench.say(&Transfer::new(asked.elapsed(), &sink))
        })
    }
}

/// Fetches the tree of small files, dialing and the handshake included.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Fetcher {
    pub(crate) server: Contact,
    /// A directory that is not there yet.
    pub(crate) destination: PathBuf,
}

/// A client says that it has the whole tree.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Fetched {
    pub(crate) seconds: f64,
    pub(crate) files: u64,
    pub(crate) skipped: usize,
}

impl Fetcher {
    pub(crate) fn play(&self, bench: &Bench) -> Result<()> {
        bench.wait_for_go()?;
        dial(&self.server, async |dialed, peer| {
            let client = Client::connect(&peer, Priority::LAST)?;
            let options = FetchOptions::default();
            let summary = client.fetch_tree(SMALL_NAME, &self.destination, options, &|_| {}).await?;
            let seconds = dialed.elapsed().as_secs_f64();
            bench.say(&Fetched { seconds, files: summary.files, skipped: summary.skipped.len() })
        })
    }
}

/// Pings at the first priority, first with nothing else to do and then beside a bulk read at the last.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Pinger {
    pub(crate) server: Contact,
    /// How many pings, each time.
    pub(crate) pings: usize,
}

/// Half of what a pinger measured.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Pings {
    pub(crate) p50_seconds: f64,
    pub(crate) p99_seconds: f64,
    /// How long they took together.
    pub(crate) seconds: f64,
    /// What the bulk read moved meanwhile.
    pub(crate) bulk_bytes: u64,
}

impl Pinger {
    pub(crate) fn play(&self, bench: &Bench) -> Result<()> {
        dial(&self.server, async |dialed, peer| {
            bench.say(&Connected { handshake_seconds: dialed.elapsed().as_secs_f64() })?;
            bench.wait_for_go()?;
            let health = peer.connect_named(health::SERVICE_NAME, Priority::FIRST)?;
            let client = Client::connect(&peer, Priority::LAST)?;
            let moved = Cell::new(0);
            // The first ping opens its stream.
            self.ping(&health, 1, &moved).await?;
            bench.say(&self.ping(&health, self.pings, &moved).await?)?;

            let count = |progress| {
                if let Progress::Received { bytes } = progress {
                    moved.set(moved.get() + bytes);
                }
            };
            let bulk = pin!(async {
                let mut sink = Sink::new(false);
                loop {
                    if let Err(error) = client.read_to(LARGE_NAME, &mut sink, &count).await {
                        return error;
                    }
                }
            });
            let pinging = pin!(async {
                while moved.get() < BULK_IS_RUNNING {
                    self.ping(&health, 1, &moved).await?;
                }
                self.ping(&health, self.pings, &moved).await
            });
            match select(pinging, bulk).await {
                Either::Left((pings, _)) => bench.say(&pings?),
                Either::Right((error, _)) => Err(error).context("the bulk read failed beside the pings"),
            }
        })
    }

    async fn ping(
        &self,
        health: &Remote<health_capnp::health::Client>,
        pings: usize,
        moved: &Cell<u64>,
    ) -> Result<Pings> {
        let began = Instant::now();
        let moved_before = moved.get();
        let mut latencies = Series::default();
        for nonce in 0..pings {
            let sent = Instant::now();
            health::ping(health, nonce as u64).await?;
            latencies.push(sent.elapsed().as_secs_f64());
        }
        let percentile = |percent| latencies.percentile(percent).context("there were no pings");
        Ok(Pings {
            p50_seconds: percentile(50)?,
            p99_seconds: percentile(99)?,
            seconds: began.elapsed().as_secs_f64(),
            bulk_bytes: moved.get() - moved_before,
        })
    }
}
