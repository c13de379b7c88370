//! The multiplexers in memory, both ends on one core.

use anyhow::{Context as _, Result};

use crate::arguments::Arguments;
use crate::contestants::memory::{ECHO, PIPE_BYTES, Run, Runner, WRITE, Work};
use crate::figures::{self, Contestant, Figures, Purpose};
use crate::report::{Column, Goal, Ratio, Table};
use crate::roles::Role;
use crate::side::{DONE_WITHIN, Side};

const RUNNERS: [(&str, Runner); 11] = [
    ("raw_tokio", Runner::RawTokio),
    ("raw_driver", Runner::RawDriver),
    ("raw_lent", Runner::RawLent),
    ("yamux_0.13", Runner::Yamux13),
    ("yamux_0.14", Runner::Yamux14),
    ("yamux_0.14_256k", Runner::Yamux14Fixed),
    ("h2_64k", Runner::H2),
    ("h2_1m", Runner::H2OneMib),
    ("vatmux_64k", Runner::VatmuxFixed),
    ("vatmux", Runner::Vatmux),
    ("vatmux_rings", Runner::VatmuxRings),
];

/// Bytes without a multiplexer, over the pipes that the others run on: nobody is to win by the pipe.
const RAW: &[&str] = &["raw_tokio", "raw_driver", "raw_lent"];

/// Those that `vatmux` is compared with: windows grow, or are 1 MiB from the start.
const PEERS: &[&str] = &["yamux_0.13", "yamux_0.14", "h2_1m"];

/// Those that `vatmux_64k` is compared with: windows are 64 KiB, or the 256 KiB below which yamux does not go.
const SMALL_PEERS: &[&str] = &["yamux_0.14_256k", "h2_64k"];

/// The streams of the second transfer.
const STREAMS: usize = 100;

/// Streams and sessions that are kept idle.
const IDLE_STREAMS: usize = 96;
const IDLE_SESSIONS: usize = 32;

/// What a warm-up moves, as it checks every byte; and what allocations are counted over.
const SHORT_BYTES: u64 = 64 << 20;

/// The most echoes, and streams opened and closed, of a run.
const MAX_ROUNDS: u64 = 20_000;

const COLUMNS: &[Column] = &[
    Column { figure: "duplex1_gb_per_s", heading: "duplex1 GB/s", decimals: 2 },
    Column { figure: "duplex100_gb_per_s", heading: "duplex100 GB/s", decimals: 2 },
    Column { figure: "echo_p50_us", heading: "echo p50 µs", decimals: 2 },
    Column { figure: "open_close_k_per_s", heading: "open+close k/s", decimals: 0 },
    Column { figure: "allocs_per_mib", heading: "allocs/MiB", decimals: 1 },
    Column { figure: "idle_stream_bytes", heading: "B/idle stream", decimals: 0 },
    Column { figure: "idle_session_bytes", heading: "B/idle session", decimals: 0 },
    Column { figure: "idle_secure_session_bytes", heading: "… with Noise", decimals: 0 },
];

pub(super) fn run(arguments: &Arguments) -> Result<(Vec<Table>, Vec<Ratio>)> {
    let bytes = arguments.bytes;
    let contestants = RUNNERS
        .into_iter()
        .map(|(name, runner)| Contestant::new(name, move |purpose| round(runner, bytes, purpose)))
        .collect();
    let rows = figures::interleave(contestants, arguments.runs, &arguments.only)?;
    let table = |windows: &str, names: [&[&str]; 3]| Table {
        title: format!(
            "in memory, both ends on one thread, pipes of {PIPE_BYTES} bytes, {windows}: {bytes} bytes in writes of \
             {WRITE}, on one stream and on {STREAMS}; echoes of {ECHO} bytes; heap of both ends: medians \
             (least–greatest). Peers on tokio over its duplex; vatmux is its engine on vatmux's driver over its pipe, \
             without Noise and without the driver's streams, except in the last column. It lends what it sends and takes \
             what arrives where it lies in the pipe, as raw_lent does; vatmux_rings copies through the rings of its streams"
        ),
        columns: COLUMNS,
        rows: rows
            .iter()
            .filter(|row| names.iter().any(|names| names.contains(&row.name)))
            .cloned()
            .collect(),
    };
    let growing = table("windows that grow or have 1 MiB", [RAW, PEERS, &["vatmux", "vatmux_rings"]]);
    let small = table("windows of 64 KiB, of 256 KiB with yamux", [RAW, SMALL_PEERS, &["vatmux_64k"]]);
    let ratios = ratios(&growing, &small);
    Ok((vec![growing, small], ratios))
}

fn ratios(growing: &Table, small: &Table) -> Vec<Ratio> {
    let ours = |figure| growing.median("vatmux", figure);
    let peers = |figure| PEERS.iter().filter_map(move |name| growing.median(name, figure));
    let versus_most = |figure| Some(ours(figure)? / peers(figure).reduce(f64::max)?);
    let versus_least = |figure| Some(ours(figure)? / peers(figure).reduce(f64::min)?);
    let at_64k = |figure| {
        let best = SMALL_PEERS.iter().filter_map(|name| small.median(name, figure)).reduce(f64::max)?;
        Some(small.median("vatmux_64k", figure)? / best)
    };
    let secure = ours("idle_secure_session_bytes");
    let ratios = [
        Ratio::new("mux.duplex1.vs_best_peer", versus_most("duplex1_gb_per_s"), Some(Goal::AtLeast(2.0))),
        Ratio::new("mux.duplex1.at_64k", at_64k("duplex1_gb_per_s"), None),
        Ratio::new("mux.duplex100.vs_best_peer", versus_most("duplex100_gb_per_s"), Some(Goal::AtLeast(3.0))),
        Ratio::new("mux.duplex100.at_64k", at_64k("duplex100_gb_per_s"), None),
        Ratio::new("mux.echo.vs_best_peer", versus_least("echo_p50_us"), Some(Goal::AtMost(0.7))),
        Ratio::new(
            "mux.open_close.vs_best_peer",
            versus_most("open_close_k_per_s"),
            Some(Goal::AtLeast(2.5)),
        ),
        Ratio::new("mux.allocs_per_mib", ours("allocs_per_mib"), Some(Goal::AtMost(0.0))),
        Ratio::new("mux.idle_stream_bytes", ours("idle_stream_bytes"), Some(Goal::AtMost(512.0))),
        Ratio::new("mux.idle_session_bytes", secure, Some(Goal::AtMost(16_384.0))),
        Ratio::new("mux.idle_engine_bytes", ours("idle_session_bytes"), None),
    ];
    ratios.into_iter().flatten().collect()
}

/// Everything that a contestant does, each in a process of its own.
fn round(runner: Runner, bytes: u64, purpose: Purpose) -> Result<Figures> {
    let checks = purpose == Purpose::WarmUp;
    let moved = if checks { bytes.min(SHORT_BYTES) } else { bytes };
    let blocks = |bytes: u64, streams: usize| (bytes as usize / WRITE / streams).max(1);
    // Fewer where few bytes are asked for.
    let rounds = (bytes >> 13).min(MAX_ROUNDS) as usize;
    let duplex = |streams| Work::Duplex { streams, blocks: blocks(moved, streams), checks };

    let mut figures = Figures::default();
    let mut measure = |name, work| -> Result<()> {
        let mut side = Side::start(&Role::Memory(Run { runner, work }))?;
        let value: f64 = side.hear(DONE_WITHIN).with_context(|| format!("{name} of {runner:?}"))?;
        figures = std::mem::take(&mut figures).with(name, value);
        Ok(())
    };
    measure("duplex1_gb_per_s", duplex(1))?;
    measure("allocs_per_mib", Work::Allocations { blocks: blocks(bytes.min(SHORT_BYTES), 1) })?;
    if runner == Runner::RawLent {
        return Ok(figures);
    }
    measure("echo_p50_us", Work::Echo { rounds })?;
    if matches!(runner, Runner::RawTokio | Runner::RawDriver) {
        return Ok(figures);
    }
    measure("duplex100_gb_per_s", duplex(STREAMS))?;
    measure("open_close_k_per_s", Work::OpenClose { streams: rounds })?;
    measure("idle_stream_bytes", Work::IdleStreams { streams: IDLE_STREAMS })?;
    measure("idle_session_bytes", Work::IdleSessions { sessions: IDLE_SESSIONS })?;
    if runner == Runner::Vatmux {
        measure("idle_secure_session_bytes", Work::IdleSecureSessions { sessions: IDLE_SESSIONS })?;
    }
    Ok(figures)
}
