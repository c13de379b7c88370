//! What the bench is asked to do.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use lexopt::{Arg, Parser, ValueExt as _};

/// The arguments, all of them valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    /// The suite's name; not yet looked up.
    pub(crate) suite: String,
    /// Timed runs of each contestant.
    pub(crate) runs: usize,
    /// The length of the large file.
    pub(crate) bytes: u64,
    /// Calls of a timed run.
    pub(crate) calls: u64,
    /// The contestants that take part; empty means all.
    pub(crate) only: Vec<String>,
    /// Where everything is written as JSON.
    pub(crate) json: Option<PathBuf>,
}

/// What `--help` says, without the names of the suites.
pub(crate) const USAGE: &str = "\
usage: cargo xtask bench SUITE [--runs N] [--bytes N] [--calls N] [--only NAME[,NAME...]] [--json FILE]

  --runs N      timed runs of each contestant, after one to warm up (default 5)
  --bytes N     length of the large file (default 1073741824)
  --calls N     calls of each caller with many in flight (default 40000)
  --only NAMES  only these contestants
  --json FILE   writes every value of every run to FILE";

impl Arguments {
    /// `Ok(None)` when help is asked for.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Option<Self>> {
        let mut parser = Parser::from_args(arguments);
        let mut suite = None;
        let mut parsed = Self {
            suite: String::new(),
            runs: 5,
            bytes: 1 << 30,
            calls: 40_000,
            only: Vec::new(),
            json: None,
        };
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Short('h') | Arg::Long("help") => return Ok(None),
                Arg::Long("runs") => parsed.runs = parser.value()?.parse().context("--runs")?,
                Arg::Long("bytes") => parsed.bytes = parser.value()?.parse().context("--bytes")?,
                Arg::Long("calls") => parsed.calls = parser.value()?.parse().context("--calls")?,
                Arg::Long("only") => {
                    let names = parser.value()?.string().context("--only")?;
                    parsed.only = names.split(',').map(str::to_owned).collect();
                }
                Arg::Long("json") => parsed.json = Some(parser.value()?.into()),
                Arg::Value(name) if suite.is_none() => suite = Some(name.string()?),
                other => return Err(other.unexpected().into()),
            }
        }
        ensure!(parsed.runs > 0, "--runs must be at least 1");
        ensure!(parsed.calls > 0, "--calls must be at least 1");
        // A file that fits the first answer is never streamed.
        ensure!(parsed.bytes >= 1 << 20, "--bytes must be at least 1048576");
        let Some(suite) = suite else { bail!("which suite?\n\n{USAGE}") };
        parsed.suite = suite;
        Ok(Some(parsed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Arguments>> {
        Arguments::parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn every_argument_is_taken() {
        let parsed =
            parse("link --runs 7 --bytes 2000000 --calls 9 --only a,b --json out.json").unwrap().unwrap();
        assert_eq!((parsed.suite.as_str(), parsed.runs, parsed.bytes), ("link", 7, 2_000_000));
        assert_eq!(parsed.calls, 9);
        assert_eq!((parsed.only, parsed.json), (vec!["a".into(), "b".into()], Some("out.json".into())));
    }

    #[test]
    fn nonsense_is_refused() {
        for line in
            ["", "a b", "a --runs 0", "a --runs x", "a --bytes 1", "a --calls 0", "a --json", "a --what"]
        {
            assert!(parse(line).is_err(), "{line:?} was taken");
        }
        assert_eq!(parse("--help").unwrap(), None);
    }
}
