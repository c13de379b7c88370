//! What a byte costs in instructions: the same on every machine that runs the same code, however busy it is.

use anyhow::{Context as _, Result};
use vatmux_instructions::Counter;

use crate::arguments::Arguments;
use crate::contestants::memory::{PIPE_BYTES, Run, Runner, WRITE, Work};
use crate::figures::{self, Contestant, Figures, Purpose};
use crate::report::{Column, Goal, Ratio, Table};
use crate::roles::Role;
use crate::side::{DONE_WITHIN, Side};

const RUNNERS: [(&str, Runner); 8] = [
    ("raw_tokio", Runner::RawTokio),
    ("raw_driver", Runner::RawDriver),
    ("raw_lent", Runner::RawLent),
    ("yamux_0.14", Runner::Yamux14),
    ("h2_1m", Runner::H2OneMib),
    ("vatmux_64k", Runner::VatmuxFixed),
    ("vatmux", Runner::Vatmux),
    ("vatmux_rings", Runner::VatmuxRings),
];

/// What the shorter transfer moves at most; the longer one moves three times as much.
const MAX_BYTES: u64 = 16 << 20;

const COLUMNS: &[Column] =
    &[Column { figure: "instructions_per_byte", heading: "instructions/byte", decimals: 3 }];

pub(super) fn run(arguments: &Arguments) -> Result<(Table, Vec<Ratio>)> {
    let blocks = (arguments.bytes.min(MAX_BYTES) as usize / WRITE).max(1);
    let contestants = RUNNERS
        .into_iter()
        .map(|(name, runner)| match Counter::find() {
            Ok(counter) => Contestant::new(name, move |purpose| match purpose {
                // Nothing gets warm.
                Purpose::WarmUp => Ok(Figures::default()),
                Purpose::Timed => {
                    let slope = per_byte(&counter, runner, blocks)?;
                    Ok(Figures::default().with("instructions_per_byte", slope))
                }
            }),
            Err(reason) => Contestant::absent(name, format!("{reason:#}")),
        })
        .collect();
    let table = Table {
        title: format!(
            "instructions per byte, in memory as above on one stream, pipes of {PIPE_BYTES} bytes included: the slope \
             between {} and {} bytes by callgrind, with copies as loops over vectors",
            blocks * WRITE,
            3 * blocks * WRITE
        ),
        columns: COLUMNS,
        // Two runs count the same.
        rows: figures::interleave(contestants, 1, &arguments.only)?,
    };
    let of = |name| table.median(name, "instructions_per_byte");
    let versus_yamux = of("vatmux").zip(of("yamux_0.14")).map(|(ours, theirs)| ours / theirs);
    let ratios = [
        Ratio::new("mux.instructions_per_byte", of("vatmux"), Some(Goal::AtMost(0.40))),
        Ratio::new("mux.instructions_per_byte.through_rings", of("vatmux_rings"), None),
        Ratio::new("mux.instructions_per_byte.vs_yamux", versus_yamux, None),
    ];
    Ok((table, ratios.into_iter().flatten().collect()))
}

fn per_byte(counter: &Counter, runner: Runner, blocks: usize) -> Result<f64> {
    let count = |blocks| -> Result<u64> {
        let work = Work::Duplex { streams: 1, blocks, checks: false };
        let mut side = Side::start_counted(counter, &Role::Memory(Run { runner, work }))?;
        // How fast it was under callgrind is of no interest.
        let _: f64 = side.hear(DONE_WITHIN).with_context(|| format!("{runner:?} under callgrind"))?;
        drop(side);
        counter.instructions()
    };
    let (short, long) = (count(blocks)?, count(3 * blocks)?);
    Ok((long as f64 - short as f64) / (2 * blocks * WRITE) as f64)
}
