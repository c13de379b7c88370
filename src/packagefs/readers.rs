//! Reading ahead of a stream, on a thread of its own.
//!
//! To read a file of a bundle and verify it takes a third of what a server does for it; the rest is to seal and to send. On two
//! cores these go on at the same time, and the link's other streams wait for neither.
//!
//! A reader holds three chunks: one that it reads, one that waits, and one that is being taken. It costs a copy of each chunk,
//! and so it is for long streams only, and for no more of them than [`MAX_READERS`]; all others read where they are served.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use vatmux_noise::NodeId;

use super::tree::Refusal;
use crate::access::shares::{Share, Shares};
use crate::bundle::{BlobFile, StoreError};
use crate::schema::packagefs_capnp::Status;

/// Threads that read ahead for one tree. With chunks of 255 KiB these hold 6 MiB.
pub(super) const MAX_READERS: usize = 8;

/// Of them, those of one peer, over all its streams and sessions.
pub(super) const MAX_PEER_READERS: usize = 2;

/// A shorter stream is over before a thread is worth it.
pub(super) const MIN_AHEAD_BYTES: u64 = 4 << 20;

/// Shorter chunks are read faster than they are handed over.
const MIN_CHUNK_BYTES: u32 = 64 * 1024;

/// The readers of one tree.
#[derive(Debug)]
pub(super) struct Readers {
    /// One core has nothing to do ahead.
    most: usize,
    running: Arc<AtomicUsize>,
    by_peer: Shares,
}

/// The range of a file that is streamed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Range {
    pub(super) offset: u64,
    pub(super) end: u64,
    pub(super) chunk_bytes: u32,
}

/// A thread that reads the chunks of one stream before they are asked for, until this is dropped.
pub(super) struct Reader {
    chunks: async_channel::Receiver<Result<Vec<u8>, StoreError>>,
    taken: async_channel::Sender<Vec<u8>>,
}

/// One of the readers, as long as it runs.
struct Place {
    running: Arc<AtomicUsize>,
    _of_peer: Share,
}

impl Readers {
    pub(super) fn new() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self {
            most: if cores > 1 { MAX_READERS } else { 0 },
            running: Arc::default(),
            by_peer: Shares::default(),
        }
    }

    /// Begins to read what is streamed to `peer`; `None` where that is to be done in place.
    pub(super) fn begin(&self, peer: Option<NodeId>, file: &Arc<BlobFile>, range: Range) -> Option<Reader> {
        let bytes = range.end.saturating_sub(range.offset);
        if bytes < MIN_AHEAD_BYTES || range.chunk_bytes < MIN_CHUNK_BYTES {
            return None;
        }
        let place = self.take(peer)?;
        // One waits, while another is read and the one before is taken.
        let (read, chunks) = async_channel::bounded(1);
        let (taken, spare) = async_channel::bounded(2);
        let file = file.clone();
        let reader = thread::Builder::new().name("vatmux-ahead".into());
        let started = reader.spawn(move || {
            let _place = place;
            run(&file, range, &read, &spare);
        });
        // Without a thread it goes on as well.
        started.ok().map(|_| Reader { chunks, taken })
    }

    fn take(&self, peer: Option<NodeId>) -> Option<Place> {
        let of_peer = self.by_peer.take(peer, MAX_PEER_READERS)?;
        let more = |running| (running < self.most).then_some(running + 1);
        self.running.try_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Place { running: self.running.clone(), _of_peer: of_peer })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Reads chunk after chunk until the range ends, one cannot be read, or nobody takes them any more.
fn run(
    file: &BlobFile,
    range: Range,
    read: &async_channel::Sender<Result<Vec<u8>, StoreError>>,
    spare: &async_channel::Receiver<Vec<u8>>,
) {
    let mut at = range.offset;
    while at < range.end {
        let bytes = (range.end - at).min(range.chunk_bytes.into());
        let mut chunk = spare.try_recv().unwrap_or_default();
        chunk.resize(bytes as usize, 0);
        let chunk = file.read_at(at, &mut chunk).map(|()| chunk);
        let failed = chunk.is_err();
        if read.send_blocking(chunk).is_err() || failed {
            return;
        }
        at += bytes;
    }
}

impl Reader {
    /// The next chunk, which is as long as `buffer`.
    pub(super) async fn next(&self, buffer: &mut [u8]) -> Result<(), Refusal> {
        let lost = || Refusal { status: Status::IoError, detail: "the thread that reads ended early".into() };
        let chunk = self.chunks.recv().await.map_err(|_| lost())??;
        if chunk.len() != buffer.len() {
            return Err(lost());
        }
        buffer.copy_from_slice(&chunk);
        // Where there are enough it goes.
        let _ = self.taken.try_send(chunk);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use vatmux_noise::{Entropy, SecretKey};

    use super::*;

    fn peer(seed: u8) -> NodeId {
        SecretKey::generate(Entropy::from_bytes([seed; 32]).unwrap()).node_id()
    }

    #[test]
    fn no_more_readers_run_than_there_are_places_nor_more_for_one_peer_than_its_share() {
        let readers = Readers { most: MAX_READERS, ..Readers::new() };
        let mut places = Vec::new();
        for seed in 1.. {
            let before = places.len();
            places.extend((0..=MAX_PEER_READERS).filter_map(|_| readers.take(Some(peer(seed)))));
            if places.len() == before {
                break;
            }
            assert_eq!(places.len() - before, MAX_PEER_READERS);
        }
        assert_eq!(places.len(), MAX_READERS);
        places.pop();
        assert!(readers.take(Some(peer(1))).is_none(), "it has its share");
        assert!(readers.take(Some(peer(200))).is_some());
    }

    #[test]
    fn one_core_reads_in_place() {
        let readers = Readers { most: 0, ..Readers::new() };
        assert!(readers.take(None).is_none());
    }
}
