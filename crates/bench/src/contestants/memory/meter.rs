//! Where the bytes of a run end: counted once the run is warm.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::{WRITE, warm_up};
use crate::HEAP;
use crate::payload::{Sink, Source};

/// The bytes of all streams of a run.
pub(crate) struct Meter {
    pub(crate) streams: usize,
    /// Blocks on each stream.
    pub(crate) blocks: usize,
    checksum: Option<u64>,
    counts_allocations: bool,
    arrived: AtomicU64,
    warm: OnceLock<Warm>,
}

/// The state when the first eighth had arrived.
struct Warm {
    at: Instant,
    arrived: u64,
}

impl Meter {
    /// Measures speed, and compares every byte if `checks`.
    pub(crate) fn timing(streams: usize, blocks: usize, checks: bool) -> Result<Self> {
        let source = Source::Memory { bytes: (blocks * WRITE) as u64 };
        let checksum = checks.then(|| source.checksum(WRITE)).transpose()?;
        Ok(Self::new(streams, blocks, checksum, false))
    }

    /// Counts allocations, on one stream.
    pub(crate) fn counting(blocks: usize) -> Self {
        Self::new(1, blocks, None, true)
    }

    fn new(streams: usize, blocks: usize, checksum: Option<u64>, counts_allocations: bool) -> Self {
        let (arrived, warm) = (AtomicU64::new(0), OnceLock::new());
        Self { streams, blocks, checksum, counts_allocations, arrived, warm }
    }

    fn total(&self) -> u64 {
        (self.streams * self.blocks * WRITE) as u64
    }

    fn arrived(&self, bytes: usize) {
        let arrived = self.arrived.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        if arrived >= warm_up(self.total() as usize) as u64 && self.warm.get().is_none() {
            if self.counts_allocations {
                HEAP.count();
            }
            self.warm.get_or_init(|| Warm { at: Instant::now(), arrived });
        }
    }

    /// What the run came to, once every stream has ended.
    pub(crate) fn measured(&self) -> Result<f64> {
        let (now, allocations) = (Instant::now(), HEAP.allocations());
        let arrived = self.arrived.load(Ordering::Relaxed);
        ensure!(arrived == self.total(), "{arrived} bytes arrived instead of {}", self.total());
        let warm = self.warm.get().context("nothing was to be moved")?;
        let bytes = (arrived - warm.arrived) as f64;
        Ok(if self.counts_allocations {
            allocations as f64 / (bytes / f64::from(1 << 20))
        } else {
            bytes / (now - warm.at).as_secs_f64() / 1e9
        })
    }
}

/// One stream's part of a meter.
pub(crate) struct Lane {
    meter: Arc<Meter>,
    sink: Sink,
}

impl Lane {
    pub(crate) fn new(meter: &Arc<Meter>) -> Self {
        Self { meter: meter.clone(), sink: Sink::new(meter.checksum.is_some()) }
    }

    pub(crate) fn take(&mut self, bytes: &[u8]) {
        self.sink.take(bytes);
        self.meter.arrived(bytes.len());
    }

    /// The stream has ended.
    pub(crate) fn end(&self) -> Result<()> {
        let checksum = self.meter.checksum.unwrap_or(self.sink.checksum);
        ensure!(self.sink.checksum == checksum, "other bytes arrived than were sent");
        Ok(())
    }
}
