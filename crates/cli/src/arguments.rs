//! What can be said on the command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use vatmux_host::{Endpoint, NodeAddress};
use vatmux_noise::NodeId;

/// The longest time that can be asked for, in seconds: a day.
const MAX_SECONDS: f64 = 86_400.0;

/// The most pings of one command: their times are kept, 16 bytes each.
const MAX_PINGS: i64 = 1_000_000;

/// Serve a directory over one secure link, and read from nodes that serve.
#[derive(Debug, Parser)]
#[command(
    name = "vatmux",
    version,
    after_help = "Addresses look like vat://NODE-ID@host:port/path, or vat+unix://NODE-ID@SOCKET-PATH/path with the \
                  slashes of SOCKET-PATH written as %2F. `vatmux serve` prints its own.\n\nExit codes: 0 when all was done, \
                  1 when something could not be, 2 when it was asked wrongly, 130 when interrupted, 141 when \
                  nobody reads the output any more."
)]
pub(crate) struct Arguments {
    /// Keep this node's key in DIR instead of the user's configuration directory, or of what `VATMUX_HOME` names
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) home: Option<PathBuf>,

    /// Write JSON, one value per line, errors included
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Give reaching a node, and then its handshake, this long each, instead of 10 s and 5 s
    #[arg(long, global = true, value_name = "SECONDS", value_parser = seconds)]
    pub(crate) timeout: Option<Duration>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print this node's id
    #[command(after_long_help = help::ID)]
    Id,
    /// Serve a directory, read-only, to the nodes that are allowed
    #[command(after_long_help = help::SERVE)]
    Serve(Serve),
    /// List a directory
    #[command(after_long_help = help::LS)]
    Ls(Ls),
    /// Say what a path names
    #[command(after_long_help = help::STAT)]
    Stat(Stat),
    /// Write a file to standard output
    #[command(after_long_help = help::CAT)]
    Cat(Cat),
    /// Fetch a file, or a whole directory
    #[command(after_long_help = help::GET)]
    Get(Get),
    /// Measure how long a node takes to answer
    #[command(after_long_help = help::PING)]
    Ping(Ping),
    /// Show all of it at work: two nodes, a directory, a ping beside the transfer
    #[command(after_long_help = help::DEMO)]
    Demo(Demo),
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The directory; symbolic links that lead out of it are not followed
    pub(crate) dir: PathBuf,

    /// Listen on host:port (port 0: any free one) or on unix:PATH; may be given several times
    #[arg(long, value_name = "ADDR", required = true)]
    pub(crate) listen: Vec<Endpoint>,

    /// A node that may connect, as `vatmux id` prints it there; may be given several times
    #[arg(long, value_name = "NODE-ID", num_args = 1..)]
    pub(crate) allow: Vec<NodeId>,

    /// Let every node connect
    #[arg(long, conflicts_with = "allow")]
    pub(crate) allow_anyone: bool,

    /// Threads that serve; one for each processor unless given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) workers: Option<u16>,
}

#[derive(Debug, Args)]
pub(crate) struct Ls {
    /// The directory
    pub(crate) address: NodeAddress,

    /// Show kinds, modes, sizes and times (UTC)
    #[arg(short, long)]
    pub(crate) long: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Stat {
    /// The path
    pub(crate) address: NodeAddress,

    /// Where the path names a symbolic link, describe what it leads to
    #[arg(short = 'L', long)]
    pub(crate) follow: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Cat {
    /// The file
    pub(crate) address: NodeAddress,
}

#[derive(Debug, Args)]
pub(crate) struct Get {
    /// The file, or with -r the directory
    pub(crate) address: NodeAddress,

    /// What the copy will be called; for a file also a directory to put it in [default: its own name, here]
    pub(crate) dest: Option<PathBuf>,

    /// Fetch a directory with all that is in it; DEST must not exist yet, or be an empty directory
    #[arg(short, long)]
    pub(crate) recursive: bool,

    /// Replace the file DEST if there is one; directories are never replaced
    #[arg(short, long, conflicts_with = "recursive")]
    pub(crate) force: bool,

    /// With -r, also make the symbolic links that lead out of the directory; they are left out otherwise
    #[arg(long, requires = "recursive")]
    pub(crate) outside_links: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Ping {
    /// The node
    pub(crate) address: NodeAddress,

    /// How many times
    #[arg(short, long, value_name = "COUNT", default_value = "4", value_parser = clap::value_parser!(u32).range(1..=MAX_PINGS))]
    pub(crate) count: u32,

    /// How long to wait in between
    #[arg(short, long, value_name = "SECONDS", default_value = "1", value_parser = pause)]
    pub(crate) interval: Duration,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// The directory to serve and fetch; the project's documentation unless given
    pub(crate) dir: Option<PathBuf>,
}

/// More than nothing, up to a day.
fn seconds(text: &str) -> Result<Duration, String> {
    match pause(text)? {
        Duration::ZERO => Err("it must be more than 0".into()),
        duration => Ok(duration),
    }
}

/// From nothing up to a day.
fn pause(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=MAX_SECONDS).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        Ok(_) | Err(_) => Err(format!("it must be a number of seconds, from 0 to {MAX_SECONDS}")),
    }
}

/// Examples, and what `--json` prints.
mod help {
    pub(super) const ID: &str = "\
Example:
  vatmux id

The key is made when it is first needed, in the file node.key, which only its owner can read. Who has that file can \
be this node.

JSON: {\"node_id\", \"key_file\"}";

    pub(super) const SERVE: &str = "\
Example:
  vatmux serve ./docs --listen 127.0.0.1:7070 --allow vat1…

Prints one address per listener as soon as it listens. Comings and goings of peers are told on standard error. Ends \
on SIGINT and SIGTERM.

JSON: {\"node_id\", \"listening\": [ADDRESS, …]} on standard output; on standard error one object per event: \
{\"event\": \"connected\"|\"left\"|\"refused\"|\"dropped\"|\"accept_failed\", \"detail\"} and \"peer\" where it is known";

    pub(super) const LS: &str = "\
Example:
  vatmux ls -l vat://vat1…@127.0.0.1:7070/guide

JSON: one object per entry: {\"name\", \"kind\": \"file\"|\"directory\"|\"symlink\"|\"other\", \"mode\": \"0644\", \
\"size_bytes\", \"modified_ns\", \"link_target\"}; modified_ns counts from 1970 and is null where it is not known";

    pub(super) const STAT: &str = "\
Example:
  vatmux stat vat://vat1…@127.0.0.1:7070/guide/first.md

JSON: {\"path\", \"kind\", \"mode\", \"size_bytes\", \"modified_ns\", \"link_target\"}, as for ls";

    pub(super) const CAT: &str = "\
Example:
  vatmux cat vat://vat1…@127.0.0.1:7070/guide/first.md | less

With --json the file is written as it is, and errors are JSON.";

    pub(super) const GET: &str = "\
Example:
  vatmux get -r vat://vat1…@127.0.0.1:7070/guide ./guide

Nothing gets its name before it is complete and checked: whatever fails before, nothing has changed. Entries that \
cannot be had (such as FIFOs, or links that lead out of the directory) are left out, told on standard error, and make \
the exit code 1.

JSON: {\"path\", \"destination\", \"files\", \"bytes\", \"directories\", \"links\", \"seconds\", \
\"skipped\": [{\"path\", \"reason\"}, …]}";

    pub(super) const PING: &str = "\
Example:
  vatmux ping -c 100 -i 0.1 vat://vat1…@127.0.0.1:7070/

JSON: one object per answer: {\"sequence\", \"seconds\"}; then {\"node_id\", \"count\", \"dial_seconds\", \"min_seconds\", \
\"median_seconds\", \"p99_seconds\", \"max_seconds\"}";

    pub(super) const DEMO: &str = "\
Example:
  vatmux demo /usr/share/doc

Makes two nodes with fresh keys in this process, connects them over TCP on this machine, lists the directory, fetches \
it whole on one stream while pinging on another of higher priority, and compares every byte. A directory too small to \
be a load is fetched again and again, for a second and a half.

JSON: {\"directory\", \"server\", \"client\", \"handshake_seconds\", \"entries\", \"rounds\", \"files\", \"directories\", \
\"links\", \"bytes\" (of one round), \"total_bytes\", \"fetch_seconds\", \
\"received_wire_bytes\", \"received_records\", \"bytes_per_second\", \"streams\": [{\"service\", \"priority\"}, …], \"ping_idle\", \
\"ping_loaded\": {\"count\", \"min_seconds\", \"median_seconds\", \"p99_seconds\", \"max_seconds\"}, \"skipped\": \
[{\"path\", \"reason\"}, …], \"equal\": true}";
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_do_not_contradict_each_other() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn seconds_are_read_with_fractions_and_bounds() {
        assert_eq!(seconds("0.25"), Ok(Duration::from_millis(250)));
        assert_eq!(pause("0"), Ok(Duration::ZERO));
        assert_eq!(seconds("86400"), Ok(Duration::from_hours(24)));
        for wrong in ["0", "-1", "86401", "inf", "NaN", "1e999", "ten", ""] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
