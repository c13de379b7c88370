//! `vatmux-bench`: vatmux and its peers side by side, on the same machine, at the same time, over the same bytes.
//!
//! A suite runs its contestants in turn, once to warm up and at least five times to be measured; each side of each run
//! is a fresh process ([`side`]). A warm-up checks every byte that arrives; a timed run counts them. Medians are what is
//! compared. The command is `cargo xtask bench SUITE`.

mod arguments;
mod contestants;
mod figures;
mod files;
mod heap;
mod machine;
mod noise;
mod noise_stream;
mod payload;
mod relay;
mod report;
mod roles;
mod series;
mod side;
mod suites;
mod transfer;
mod usage;

use std::env;
use std::process::ExitCode;

use anyhow::{Context as _, Result};

use crate::arguments::{Arguments, USAGE};
use crate::heap::Heap;
use crate::side::SIDE_ARGUMENT;
use crate::suites::SUITES;

/// Everybody in this process allocates from it.
#[global_allocator]
pub(crate) static HEAP: Heap = Heap::new();

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    if arguments.next().as_deref() == Some(SIDE_ARGUMENT) {
        // What went wrong was said to the bench, which says it to the person.
        let played = side::play(&arguments.next().unwrap_or_default());
        return if played.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vatmux-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let Some(arguments) = Arguments::parse(env::args_os().skip(1))? else {
        println!("{USAGE}\n\nsuites:");
        for suite in &SUITES {
            println!("  {:12}{}: {}", suite.name, suite.about, suite.contestants.join(", "));
        }
        return Ok(());
    };
    let report = suites::run(&arguments).with_context(|| format!("bench {}", arguments.suite))?;
    if let Some(path) = &arguments.json {
        report.write_json(path)?;
    }
    print!("{}", report.text());
    Ok(())
}
