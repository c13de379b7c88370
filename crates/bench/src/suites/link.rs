//! `bench link`: what a session answers at once, and whether a bulk transfer gets in its way.

use anyhow::Result;

use crate::arguments::Arguments;
use crate::contestants::vatmux::{Pinger, Pings, Server};
use crate::figures::{self, Contestant, Figures};
use crate::files::Files;
use crate::machine::Machine;
use crate::report::{Column, Goal, Ratio, Report, Table};
use crate::roles::Role;
use crate::side::{DONE_WITHIN, READY_WITHIN, Side};
use crate::transfer::Connected;

/// Pings of each half of a round.
const PINGS: usize = 2000;

const COLUMNS: &[Column] = &[
    Column { figure: "handshake_ms", heading: "connect ms", decimals: 2 },
    Column { figure: "idle_p50_us", heading: "idle p50 µs", decimals: 0 },
    Column { figure: "idle_p99_us", heading: "idle p99 µs", decimals: 0 },
    Column { figure: "loaded_p50_us", heading: "loaded p50 µs", decimals: 0 },
    Column { figure: "loaded_p99_us", heading: "loaded p99 µs", decimals: 0 },
    Column { figure: "bulk_gb_per_s", heading: "bulk GB/s", decimals: 2 },
];

pub(crate) fn run(arguments: &Arguments) -> Result<Report> {
    let before = Machine::now();
    let files = Files::create(arguments.bytes, 0, 0)?;
    let contestants = vec![Contestant::new("vatmux", |_| round(&files))];
    let table = Table {
        title: format!(
            "{PINGS} pings at priority 0, idle and then beside a bulk read at priority 7 of the same session: \
             medians (least–greatest) of the rounds"
        ),
        columns: COLUMNS,
        rows: figures::interleave(contestants, arguments.runs, &arguments.only)?,
    };
    let median = |figure| table.median("vatmux", figure);
    let slowdown = median("loaded_p99_us").zip(median("idle_p99_us")).map(|(loaded, idle)| loaded / idle);
    let ratios = [Ratio::new("link.ping_loaded_vs_idle", slowdown, Some(Goal::AtMost(5.0)))];
    Ok(Report {
        suite: "link",
        runs: arguments.runs,
        before,
        after: Machine::now(),
        ratios: ratios.into_iter().flatten().collect(),
        tables: vec![table],
    })
}

/// One session: its handshake, its pings while it is idle, and its pings under load.
fn round(files: &Files) -> Result<Figures> {
    let mut server = Side::start(&Role::VatmuxServer(Server { root: files.root().to_owned() }))?;
    let contact = server.hear(READY_WITHIN)?;
    let mut client = Side::start(&Role::VatmuxPinger(Pinger { server: contact, pings: PINGS }))?;
    let connected: Connected = client.hear(READY_WITHIN)?;
    client.go()?;
    let idle: Pings = client.hear(DONE_WITHIN)?;
    let loaded: Pings = client.hear(DONE_WITHIN)?;
    Ok(Figures::default()
        .with("handshake_ms", connected.handshake_seconds * 1e3)
        .with("idle_p50_us", idle.p50_seconds * 1e6)
        .with("idle_p99_us", idle.p99_seconds * 1e6)
        .with("loaded_p50_us", loaded.p50_seconds * 1e6)
        .with("loaded_p99_us", loaded.p99_seconds * 1e6)
        .with("bulk_gb_per_s", loaded.bulk_bytes as f64 / loaded.seconds / 1e9))
}
