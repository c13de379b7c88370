//! `bench mux`: multiplexers beside each other: in memory, over TCP under Noise, and counted by the instruction.

mod instructions;
mod memory;
mod tcp;

use anyhow::Result;

use crate::arguments::Arguments;
use crate::machine::Machine;
use crate::report::Report;

/// Who takes part, by name. Those in memory are counted as well.
pub(super) const CONTESTANTS: &[&str] = &[
    "raw_tokio",
    "raw_driver",
    "raw_lent",
    "yamux_0.13",
    "yamux_0.14",
    "yamux_0.14_256k",
    "h2_64k",
    "h2_1m",
    "vatmux_64k",
    "vatmux",
    "vatmux_rings",
    "chacha_raw",
    "chacha_yamux",
    "chacha_h2_1m",
    "chacha_vatmux_64k",
    "chacha_vatmux",
    "aes_raw",
    "aes_yamux",
    "aes_h2_1m",
    "aes_vatmux_64k",
    "aes_vatmux",
];

pub(crate) fn run(arguments: &Arguments) -> Result<Report> {
    let before = Machine::now();
    let (memory_tables, memory_ratios) = memory::run(arguments)?;
    let (tcp_tables, tcp_ratios) = tcp::run(arguments)?;
    let (counted, counted_ratios) = instructions::run(arguments)?;
    let tables = memory_tables.into_iter().chain(tcp_tables).chain([counted]);
    Ok(Report {
        suite: "mux",
        runs: arguments.runs,
        before,
        after: Machine::now(),
        // Whoever asks for some contestants only does not want to see the headings of the others.
        tables: tables.filter(|table| !table.rows.is_empty()).collect(),
        ratios: memory_ratios.into_iter().chain(tcp_ratios).chain(counted_ratios).collect(),
    })
}
