//! Moving many bytes from a server's process to a client's, whatever is between them.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::figures::{Figures, Purpose};
use crate::payload::Sink;
use crate::report::Column;
use crate::roles::Role;
use crate::side::{DONE_WITHIN, READY_WITHIN, Side};
use crate::usage::Usage;

/// What a table shows of transfers.
pub(crate) const COLUMNS: &[Column] = &[
    Column { figure: "gb_per_s", heading: "GB/s", decimals: 2 },
    Column { figure: "server_cpu_s", heading: "server CPU s", decimals: 2 },
    Column { figure: "client_cpu_s", heading: "client CPU s", decimals: 2 },
    Column { figure: "server_rss_mib", heading: "server MiB", decimals: 1 },
    Column { figure: "client_rss_mib", heading: "client MiB", decimals: 1 },
    Column { figure: "handshake_ms", heading: "connect ms", decimals: 1 },
];

/// What a client is to read.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// How many bytes.
    pub(crate) bytes: u64,
    /// Whether it computes their checksum. No timed run does.
    pub(crate) checks: bool,
}

/// A client says that it is connected, and waits to be let go.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Connected {
    pub(crate) handshake_seconds: f64,
}

/// A client says that it has everything.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Transfer {
    seconds: f64,
    bytes: u64,
    checksum: u64,
}

impl Transfer {
    pub(crate) fn new(duration: Duration, sink: &Sink) -> Self {
        Self::of(duration, sink.bytes, sink.checksum)
    }

    /// As another process counted it.
    pub(crate) fn of(duration: Duration, bytes: u64, checksum: u64) -> Self {
        Self { seconds: duration.as_secs_f64(), bytes, checksum }
    }
}

/// One transfer: starts the server, then the client that its contact makes, and measures from the client's "go" to its
/// last byte.
///
/// In a warm-up the client's checksum must be `checksum`; in a timed run only the count is compared.
pub(crate) fn run<C: DeserializeOwned>(
    server: &Role,
    client: impl FnOnce(C, Order) -> Role,
    bytes: u64,
    checksum: u64,
    purpose: Purpose,
) -> Result<Figures> {
    let order = Order { bytes, checks: purpose == Purpose::WarmUp };
    let mut server = Side::start(server)?;
    let contact = server.hear(READY_WITHIN)?;
    let mut client = Side::start(&client(contact, order))?;
    let connected: Connected = client.hear(READY_WITHIN)?;

    let before = (server.usage()?, client.usage()?);
    client.go()?;
    let transfer: Transfer = client.hear(DONE_WITHIN)?;
    let after = (server.usage()?, client.usage()?);
    ensure!(transfer.bytes == bytes, "{} bytes arrived instead of {bytes}", transfer.bytes);
    ensure!(!order.checks || transfer.checksum == checksum, "other bytes arrived than were sent");
    Ok(figures(transfer.seconds, bytes, (before.0, after.0), (before.1, after.1))
        .with("handshake_ms", connected.handshake_seconds * 1e3))
}

/// What is reported of a transfer. Memory is the peak of each side's whole life, processor time that of the transfer.
pub(crate) fn figures(seconds: f64, bytes: u64, server: (Usage, Usage), client: (Usage, Usage)) -> Figures {
    let mib = |usage: Usage| usage.peak_rss_bytes as f64 / f64::from(1 << 20);
    let cpu = |(before, after): (Usage, Usage)| after.cpu_seconds - before.cpu_seconds;
    Figures::default()
        .with("gb_per_s", bytes as f64 / seconds / 1e9)
        .with("seconds", seconds)
        .with("server_rss_mib", mib(server.1))
        .with("client_rss_mib", mib(client.1))
        .with("server_cpu_s", cpu(server))
        .with("client_cpu_s", cpu(client))
}
