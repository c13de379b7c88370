//! What the demo found, for people and for programs.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use indicatif::BinaryBytes;
use serde_json::{Value, json};
use vatmux_driver::TrafficSnapshot;
use vatmux_noise::NodeId;

use super::Rounds;
use super::tour::Tour;
use crate::json::{seconds, skipped};
use crate::latency::{Latencies, shown};
use crate::text::{self, Harmless};
use vatmux::{health, packagefs, statefs};

use crate::visit::FILES_PRIORITY;

/// A demo that went well: every byte was equal.
pub(crate) struct Report {
    pub(super) directory: PathBuf,
    pub(super) server: NodeId,
    pub(super) client: NodeId,
    pub(super) handshake: Duration,
    pub(super) entries: usize,
    pub(super) rounds: Rounds,
    pub(super) tour: Tour,
    pub(super) idle: Latencies,
    pub(super) loaded: Latencies,
    pub(super) traffic: TrafficSnapshot,
}

impl Report {
    fn bytes_per_second(&self) -> u64 {
        let nanos = self.rounds.time.as_nanos().max(1);
        u64::try_from(u128::from(self.rounds.bytes) * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
    }

    pub(super) fn to_json(&self) -> Value {
        let summary = &self.rounds.summary;
        json!({
            "directory": self.directory.to_string_lossy(),
            "server": self.server.to_string(),
            "client": self.client.to_string(),
            "handshake_seconds": seconds(self.handshake),
            "entries": self.entries,
            "rounds": self.rounds.count,
            "files": summary.files,
            "directories": summary.directories,
            "links": summary.links,
            "bytes": summary.bytes,
            "total_bytes": self.rounds.bytes,
            "fetch_seconds": seconds(self.rounds.time),
            "bytes_per_second": self.bytes_per_second(),
            "received_wire_bytes": self.traffic.bytes_received,
            "received_records": self.traffic.records_received,
            "streams": [
                { "service": packagefs::SERVICE_NAME, "priority": FILES_PRIORITY.get() },
                { "service": health::SERVICE_NAME, "priority": health::PRIORITY.get() },
            ],
            "ping_idle": self.idle.to_json(),
            "ping_loaded": self.loaded.to_json(),
            "skipped": skipped(&summary.skipped),
            "services": {
                "listed": self.tour.services,
                "resolved_and_called_seconds": seconds(self.tour.resolved_and_called),
                "values_put": self.tour.values,
                "value_bytes": self.tour.value_bytes,
                "put_seconds": seconds(self.tour.put),
                "bundle_files": self.tour.files,
                "bundle_content_bytes": self.tour.content_bytes,
                "bundle_packed_bytes": self.tour.packed_bytes,
                "install_seconds": seconds(self.tour.installed),
                "read_back_seconds": seconds(self.tour.read_back),
            },
            "equal": true,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Rounds { count, summary, bytes, time } = &self.rounds;
        writeln!(f, "two nodes with fresh keys, in this process, over TCP on this machine")?;
        writeln!(f)?;
        writeln!(f, "server      {}", self.server)?;
        writeln!(f, "client      {}", self.client)?;
        writeln!(f, "handshake   {}, from the first SYN to a session", shown(self.handshake))?;
        writeln!(f, "streams     {Streams}")?;
        writeln!(
            f,
            "listed      {} in the root of {}",
            text::count(self.entries as u64, "entry", "entries"),
            Harmless(&self.directory.to_string_lossy())
        )?;
        writeln!(
            f,
            "fetched     {} in {}, {} links, {} ({} bytes){}",
            text::count(summary.files, "file", "files"),
            text::count(summary.directories, "directory", "directories"),
            summary.links,
            BinaryBytes(summary.bytes),
            summary.bytes,
            Times(*count),
        )?;
        writeln!(
            f,
            "throughput  {} in {}: {}/s",
            BinaryBytes(*bytes),
            shown(*time),
            BinaryBytes(self.bytes_per_second())
        )?;
        writeln!(
            f,
            "received    {} in {}, pings and all",
            BinaryBytes(self.traffic.bytes_received),
            text::count(self.traffic.records_received, "sealed record", "sealed records"),
        )?;
        writeln!(f, "ping idle   {}", Line(&self.idle))?;
        writeln!(f, "ping loaded {}", Line(&self.loaded))?;
        for skipped in &summary.skipped {
            writeln!(f, "passed over {}: {}", Harmless(&skipped.path), skipped.reason)?;
        }
        writeln!(f, "compared    every byte of every round: equal")?;
        writeln!(f)?;
        write!(f, "{}", self.tour)
    }
}

impl fmt::Display for Tour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "a third node with fresh keys, and the services that it has")?;
        writeln!(f)?;
        writeln!(f, "registry    {}", self.services.join(", "))?;
        writeln!(
            f,
            "found       {} in the registry, and called with the same breath: answered in {}",
            statefs::SERVICE_NAME,
            shown(self.resolved_and_called)
        )?;
        writeln!(
            f,
            "put         {} of {} at once, all durable in {}",
            text::count(self.values as u64, "value", "values"),
            BinaryBytes(self.value_bytes as u64),
            shown(self.put)
        )?;
        writeln!(
            f,
            "installed   a signed bundle of {}, {}: verified, durable and active in {}",
            text::count(self.files.into(), "file", "files"),
            BinaryBytes(self.content_bytes),
            shown(self.installed)
        )?;
        writeln!(f, "read back   all of it by packagefs, in {}", shown(self.read_back))?;
        write!(f, "compared    every value and every byte: equal")
    }
}

struct Streams;

impl fmt::Display for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "2: {} on priority {}, {} on priority {} (0 is served first)",
            packagefs::SERVICE_NAME,
            FILES_PRIORITY.get(),
            health::SERVICE_NAME,
            health::PRIORITY.get()
        )
    }
}

struct Times(u64);

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => Ok(()),
            times => write!(f, ", {times} times to be a load"),
        }
    }
}

struct Line<'a>(&'a Latencies);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(latencies) = self;
        write!(
            f,
            "median {:>9}, p99 {:>9}  ({} pings)",
            shown(latencies.median()),
            shown(latencies.p99()),
            latencies.count()
        )
    }
}
