//! `vatmux ping`

use std::time::{Duration, Instant};

use serde_json::json;
use vatmux::health;

use crate::arguments::{Arguments, Ping};
use crate::failure::Failure;
use crate::json::seconds;
use crate::latency::{self, Latencies};
use crate::output;
use crate::text;
use crate::visit::{self, Calls, Visit};

pub(crate) fn run(arguments: &Arguments, ping: &Ping) -> Result<(), Failure> {
    visit::pay(arguments, &ping.address, Calls::Short, None, |visit| exchange(visit, ping, arguments.json))
}

async fn exchange(visit: Visit, ping: &Ping, json: bool) -> Result<(), Failure> {
    let health = visit.health()?;
    let node = visit.peer.node_id();
    let mut times: Vec<Duration> = Vec::new();
    for sequence in 1..=ping.count {
        if sequence > 1 {
            visit.handle.sleep(ping.interval).await;
        }
        let sent = Instant::now();
        health::ping(&health, sequence.into()).await?;
        let time = sent.elapsed();
        times.push(time);
        output::print_line(&if json {
            json!({ "sequence": sequence, "seconds": seconds(time) }).to_string()
        } else {
            format!("{node}: answer {sequence} in {}", latency::shown(time))
        })?;
    }
    let Some(latencies) = Latencies::of(times) else { return Ok(()) };
    output::print_line(&if json {
        let mut summary = latencies.to_json();
        summary["node_id"] = json!(node.to_string());
        summary["dial_seconds"] = json!(seconds(visit.dial_time));
        summary.to_string()
    } else {
        format!(
            "{}; dialing took {}; min {}, median {}, p99 {}, max {}",
            text::count(latencies.count() as u64, "answer", "answers"),
            latency::shown(visit.dial_time),
            latency::shown(latencies.min()),
            latency::shown(latencies.median()),
            latency::shown(latencies.p99()),
            latency::shown(latencies.max()),
        )
    })
}
