//! A registry: a service is found and called at once, over a path that takes its time.

use std::time::Instant;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use vatmux::health;
use vatmux::samgr::{Client, Name};
use vatmux::schema::health::Health;
use vatmux_rpc::service::Stub as _;

use crate::contestants::node;
use crate::noise::Contact;
use crate::series::Series;
use crate::side::Bench;
use crate::transfer::Connected;

/// Calls a service that it knows, and one that it has to find first, in turn.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Resolver {
    pub(crate) server: Contact,
    pub(crate) rounds: u64,
}

/// The medians.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Resolved {
    pub(crate) call_seconds: f64,
    /// From the question who it is to the answer of the call on what was found.
    pub(crate) resolve_then_call_seconds: f64,
}

impl Resolver {
    pub(crate) fn play(&self, bench: &Bench) -> Result<()> {
        node::dial(&self.server, async |dialed, peer| {
            let (known, registry): (Health, _) = (peer.connect()?, Client::connect(&peer)?);
            let name: Name = health::SERVICE_NAME.parse()?;
            let resolve_then_call = async |nonce| {
                let resolving = registry.resolve::<Health>(&name);
                health::ping(resolving.service().capability().client(), nonce).await?;
                resolving.await?;
                anyhow::Ok(())
            };
            // The first calls open the streams.
            health::ping(known.capability().client(), 0).await?;
            resolve_then_call(0).await?;
            bench.say(&Connected { handshake_seconds: dialed.elapsed().as_secs_f64() })?;
            bench.wait_for_go()?;
            let (mut calls, mut resolves) = (Series::default(), Series::default());
            for nonce in 0..self.rounds {
                let sent = Instant::now();
                health::ping(known.capability().client(), nonce).await?;
                calls.push(sent.elapsed().as_secs_f64());
                let sent = Instant::now();
                resolve_then_call(nonce).await?;
                resolves.push(sent.elapsed().as_secs_f64());
            }
            let median = |series: Series| series.median().context("there were no rounds");
            bench
                .say(&Resolved { call_seconds: median(calls)?, resolve_then_call_seconds: median(resolves)? })
        })
    }
}
