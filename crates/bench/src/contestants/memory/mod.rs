//! Multiplexers in memory: both ends on one thread of one process, over a pipe of [`PIPE_BYTES`] in each direction.
//!
//! What is measured is the multiplexer with the executor and the pipe that it comes with. Peers run on tokio's
//! current-thread runtime over `tokio::io::duplex`; the engine of vatmux runs on vatmux's driver over its pipe, moved by
//! the bench itself, as the driver's own sessions always encrypt. Bytes without a multiplexer run on both.

mod bytes;
mod engine;
mod h2;
mod meter;
mod secure;
mod yamux;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::side::Bench;
use engine::Passing;
use meter::Meter;
use vatmux_mux::Limits;

/// What the pipe holds in each direction.
pub(crate) const PIPE_BYTES: usize = 64 * 1024;

/// Bytes of one write.
pub(crate) const WRITE: usize = 32 * 1024;

/// Bytes of one echo.
pub(crate) const ECHO: usize = 64;

/// Who runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Runner {
    /// Bytes over tokio's pipe.
    RawTokio,
    /// Bytes over the driver's pipe.
    RawDriver,
    /// Bytes put into and taken out of the driver's pipe where they lie.
    RawLent,
    Yamux13,
    Yamux14,
    /// yamux with windows that stay at 256 KiB, the least that it knows.
    Yamux14Fixed,
    /// h2 with its default window of 65,535 bytes.
    H2,
    /// h2 with windows of 1 MiB for streams and connection, and frames as long as the writes.
    H2OneMib,
    /// Windows that stay at 64 KiB.
    VatmuxFixed,
    /// Windows that grow, as on hosts.
    Vatmux,
    /// The same through the rings of the streams, as in an application that does not lend.
    VatmuxRings,
}

/// What is done; each comes to one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Work {
    /// Writes `blocks` blocks of [`WRITE`] bytes on each stream, all in one direction: GB/s after the first eighth.
    Duplex { streams: usize, blocks: usize, checks: bool },
    /// The same on one stream: allocations per MiB after the first eighth.
    Allocations { blocks: usize },
    /// Sends [`ECHO`] bytes to and fro on one stream: the median in microseconds after the first eighth.
    Echo { rounds: usize },
    /// Opens a stream, sends a byte, closes it from both ends, one after the other: thousands per second.
    OpenClose { streams: usize },
    /// Keeps streams open that carried a byte each way: bytes of heap for each, both ends.
    IdleStreams { streams: usize },
    /// Keeps sessions open, their pipes not counted: bytes of heap for each, both ends.
    IdleSessions { sessions: usize },
    /// The same with vatmux's own sessions, Noise, driver and what the pipe allocates included.
    IdleSecureSessions { sessions: usize },
}

/// One run: a process of its own.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) runner: Runner,
    pub(crate) work: Work,
}

impl Run {
    pub(crate) fn play(&self, bench: &Bench) -> Result<()> {
        bench.say(&self.measure()?)
    }

    fn measure(&self) -> Result<f64> {
        let work = self.work;
        if let Work::IdleSecureSessions { sessions } = work {
            return secure::idle_sessions(sessions);
        }
        match self.runner {
            Runner::RawTokio => tokio()?.block_on(bytes::on_tokio(work)),
            Runner::RawDriver => bytes::on_driver(work),
            Runner::RawLent => bytes::lent(work),
            Runner::Yamux13 => tokio()?.block_on(yamux::v13::measure(work, yamux::Windows::Growing)),
            Runner::Yamux14 => tokio()?.block_on(yamux::v14::measure(work, yamux::Windows::Growing)),
            Runner::Yamux14Fixed => tokio()?.block_on(yamux::v14::measure(work, yamux::Windows::Least)),
            Runner::H2 => tokio()?.block_on(h2::measure(work, h2::Windows::Default)),
            Runner::H2OneMib => tokio()?.block_on(h2::measure(work, h2::Windows::OneMib)),
            Runner::VatmuxFixed => engine::measure(
                work,
                Limits {
                    max_incoming_streams: 256,
                    max_outgoing_streams: 256,
                    max_unaccepted_streams: 128,
                    ..Limits::FIXED
                },
                Passing::Lent,
            ),
            Runner::Vatmux => engine::measure(work, Limits::HOST, Passing::Lent),
            Runner::VatmuxRings => engine::measure(work, Limits::HOST, Passing::Rings),
        }
    }
}

impl Work {
    /// Where bytes that are moved are counted; `None` for work that is not about bytes.
    fn meter(self) -> Result<Option<Meter>> {
        Ok(match self {
            Self::Duplex { streams, blocks, checks } => Some(Meter::timing(streams, blocks, checks)?),
            Self::Allocations { blocks } => Some(Meter::counting(blocks)),
            Self::Echo { .. }
            | Self::OpenClose { .. }
            | Self::IdleStreams { .. }
            | Self::IdleSessions { .. }
            | Self::IdleSecureSessions { .. } => None,
        })
    }
}

/// How many of `count` repetitions are not measured.
fn warm_up(count: usize) -> usize {
    count / 8
}

fn not_done<T>(work: Work) -> Result<T> {
    bail!("this contestant does not do {work:?}")
}

/// No I/O driver: there is nothing that it could wait for, and looking would cost.
fn tokio() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().build()?)
}
