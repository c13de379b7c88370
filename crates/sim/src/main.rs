//! `cargo xtask sim`: runs seeds, and shows one that breaks a promise.

use std::ops::Range;
use std::process::ExitCode;
use std::time::Instant;

use lexopt::{Arg, Parser, ValueExt};

const USAGE: &str = "usage: cargo xtask sim [--seed N] [--seeds K]
  --seed N    replay seed N and no other, or begin there when --seeds is given
  --seeds K   run K seeds; 100000 when neither is given";
const SEEDS: u64 = 100_000;

fn main() -> ExitCode {
    let seeds = match parse() {
        Ok(Some(seeds)) => seeds,
        Ok(None) => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("sim: {error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let start = Instant::now();
    match vatmux_sim::run_all(seeds.clone()) {
        Ok(()) => {
            let (count, seconds) = (seeds.end - seeds.start, start.elapsed().as_secs_f64());
            let rate = count as f64 / seconds.max(f64::MIN_POSITIVE);
            println!(
                "seeds {} to {} kept every promise over both storages: {count} in {seconds:.1} s, {rate:.0} per second",
                seeds.start, seeds.end
            );
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

/// `None` asks for the usage.
fn parse() -> Result<Option<Range<u64>>, lexopt::Error> {
    let (mut seed, mut seeds) = (None, None);
    let mut parser = Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("seed") => seed = Some(parser.value()?.parse()?),
            Arg::Long("seeds") => seeds = Some(parser.value()?.parse()?),
            Arg::Short('h') | Arg::Long("help") => return Ok(None),
            other => return Err(other.unexpected()),
        }
    }
    let count = seeds.unwrap_or(if seed.is_some() { 1 } else { SEEDS });
    let first: u64 = seed.unwrap_or(0);
    let last = first.checked_add(count).ok_or("there are no seeds beyond 2^64")?;
    Ok(Some(first..last))
}
