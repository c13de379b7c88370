//! What is counted. Every workload is deterministic: no clock, no randomness, one thread.

mod engine;
mod rpc;
mod session;

use anyhow::{Context as _, Result};

/// Bytes of one write of bulk data.
const WRITE: usize = 32 * 1024;

/// Bytes of one echo, and of one small write.
const SMALL: usize = 64;

/// Something that is done over and over.
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// One operation, in words.
    pub(crate) unit: &'static str,
    /// How often it is done in the shorter of the two runs; the longer does it three times as often.
    pub(crate) operations: u64,
    /// Does it so often.
    pub(crate) run: fn(u64) -> Result<()>,
}

/// Everything that is counted.
pub(crate) const WORKLOADS: [Workload; 12] = [
    Workload {
        name: "engine_bulk",
        unit: "write of 32 KiB on one stream, storage on the heap",
        operations: 1000,
        run: engine::bulk_on_the_heap,
    },
    Workload {
        name: "engine_bulk_without_heap",
        unit: "write of 32 KiB on one stream, static storage",
        operations: 1000,
        run: engine::bulk_in_static_storage,
    },
    Workload {
        name: "engine_bulk_100_streams",
        unit: "write of 32 KiB on each of 100 streams",
        operations: 10,
        run: engine::bulk_on_100_streams,
    },
    Workload {
        name: "engine_bulk_lent",
        unit: "32 KiB that are lent on each of 100 streams, and taken where they arrive",
        operations: 10,
        run: engine::lent_bulk_on_100_streams,
    },
    Workload {
        name: "engine_small_writes",
        unit: "64 writes of 64 bytes on one stream",
        operations: 500,
        run: engine::small_writes,
    },
    Workload { name: "engine_echo", unit: "echo of 64 bytes", operations: 5000, run: engine::echo },
    Workload {
        name: "engine_open_close",
        unit: "stream that is opened, carries a byte and is closed from both ends",
        operations: 5000,
        run: engine::open_and_close,
    },
    Workload {
        name: "engine_idle_tick",
        unit: "tick at both ends of 100 idle streams, keepalive included",
        // A multiple of the ticks between two pings.
        operations: 3000,
        run: engine::idle_ticks,
    },
    Workload {
        name: "session_bulk",
        unit: "write of 32 KiB on one stream of a session: driver, ChaChaPoly and pipe included",
        operations: 200,
        run: session::bulk,
    },
    Workload {
        name: "session_echo",
        unit: "echo of 64 bytes over a session",
        operations: 1000,
        run: session::echo,
    },
    Workload {
        name: "session_handshake",
        unit: "session that is dialed, accepted and closed",
        operations: 4,
        run: session::handshakes,
    },
    Workload {
        name: "rpc_call",
        unit: "call that carries a number there and back: two vats, driver and pipe",
        operations: 1000,
        run: rpc::calls,
    },
];

impl Workload {
    pub(crate) fn find(name: &str) -> Result<&'static Self> {
        WORKLOADS
            .iter()
            .find(|workload| workload.name == name)
            .with_context(|| format!("there is no workload {name}"))
    }
}
