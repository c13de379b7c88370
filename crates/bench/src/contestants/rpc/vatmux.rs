//! vatmux as its users run it: a node that serves and one that dials, on default options.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use vatmux_mux::Priority;
use vatmux_rpc::{Remote, Services};

use super::bench_capnp::bench;
use super::caller::{self, Calls};
use super::service;
use crate::HEAP;
use crate::contestants::node;
use crate::noise::Contact;
use crate::payload::Source;
use crate::side::Bench;
use crate::transfer::{Connected, Order, Transfer};

const SERVICE_NAME: &str = "bench";

/// Bytes of each call that pushes.
pub(crate) const CHUNK_BYTES: usize = 64 << 10;

pub(super) fn serve(bench: &Bench) -> Result<()> {
    node::serve(bench, |node| {
        node.serve_named(SERVICE_NAME, Priority::default(), |_| service::capability().client)
    })
}

/// Dials `server` and does `work` with its service, whose first call has yet to open the stream.
fn dial<T>(
    server: &Contact,
    work: impl AsyncFnOnce(Instant, Remote<bench::Client>) -> Result<T>,
) -> Result<T> {
    node::dial(server, async |dialed, peer| {
        work(dialed, peer.connect_named(SERVICE_NAME, Priority::default())?).await
    })
}

pub(super) fn call(bench: &Bench, server: &Contact, calls: Calls) -> Result<()> {
    dial(server, async |dialed, remote| {
        caller::increments(bench, dialed, calls, async |value| Ok(increment(&remote, value).await?)).await
    })
}

pub(super) fn both(bench: &Bench, calls: Calls) -> Result<()> {
    let mut services = Services::default();
    services.serve_named(SERVICE_NAME, Priority::default(), |_| service::capability().client)?;
    node::on_one_thread(services, async |dialed, peer| {
        let remote: Remote<bench::Client> = peer.connect_named(SERVICE_NAME, Priority::default())?;
        caller::increments(bench, dialed, calls, async |value| Ok(increment(&remote, value).await?)).await
    })
}

/// Shared with plain capnp-rpc.
pub(super) async fn increment(client: &bench::Client, value: u64) -> capnp::Result<u64> {
    let mut request = client.increment_request();
    request.get().set_value(value);
    Ok(request.send().promise.await?.get()?.get_value())
}

/// Pushes bytes through a method that streams.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Pusher {
    pub(crate) server: Contact,
    pub(crate) order: Order,
}

impl Pusher {
    pub(crate) fn play(&self, bench: &Bench) -> Result<()> {
        dial(&self.server, async |dialed, remote| {
            let mut block = vec![0; CHUNK_BYTES];
            let mut blocks = Source::Memory { bytes: self.order.bytes }.open(&mut block)?;
            if self.order.checks {
                remote.watch_request().send().promise.await?;
            }
            // The first call opens the stream.
            remote.pushed_request().send().promise.await?;
            bench.say(&Connected { handshake_seconds: dialed.elapsed().as_secs_f64() })?;
            bench.wait_for_go()?;

            let began = Instant::now();
            loop {
                let length = blocks.next(&mut block)?;
                if length == 0 {
                    break;
                }
                let mut request = remote.push_request();
                request.get().set_chunk(&block[..length]);
                request.send().await?;
            }
            let pushed = remote.pushed_request().send().promise.await?;
            let pushed = pushed.get()?;
            bench.say(&Transfer::of(began.elapsed(), pushed.get_bytes(), pushed.get_checksum()))
        })
    }
}

/// Makes calls that are not answered, and asks both ends what their heaps hold because of them.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Holder {
    pub(crate) server: Contact,
    pub(crate) calls: u64,
}

/// What one call costs while it is not answered, in bytes of heap.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Held {
    pub(crate) server_bytes: f64,
    pub(crate) caller_bytes: f64,
}

impl Holder {
    pub(crate) fn play(&self, bench: &Bench) -> Result<()> {
        dial(&self.server, async |_, remote| {
            HEAP.count();
            // Twice, since buffers and tables come with the first.
            heap(&remote).await?;
            let before = (heap(&remote).await?, HEAP.live_bytes());
            let mut held = Vec::with_capacity(self.calls as usize);
            for value in 0..self.calls {
                let mut request = remote.hold_request();
                request.get().set_value(value);
                held.push(request.send().promise);
            }
            let after = (heap(&remote).await?, HEAP.live_bytes());
            let each = |before, after| (after - before) as f64 / self.calls as f64;
            bench.say(&Held {
                server_bytes: each(before.0, after.0),
                caller_bytes: each(before.1, after.1),
            })?;
            // They were under way all the time, and none of them failed.
            ensure!(
                futures::poll!(try_join_all(held)).is_pending(),
                "a call that nobody answers was answered"
            );
            Ok(())
        })
    }
}

/// By how much the heap of the server's thread has grown since it was asked for the first time.
async fn heap(client: &bench::Client) -> Result<i64> {
    let answer = client.heap_request().send().promise.await;
    Ok(answer.context("cannot ask for the heap")?.get()?.get_live_bytes())
}
