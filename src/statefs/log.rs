//! The log: small changes, made durable by one write and one flush.
//!
//! A commit of the engine rewrites a dozen pages all over the device and flushes twice. A batch of small changes is
//! appended to this log instead, flushed, and then committed in the engine's memory alone. Now and then, and with every change that
//! is not small, the engine commits for good, and the log begins anew.
//!
//! # On the device
//!
//! The log is there twice, in [`LOG_BYTES`] each behind the superblock. A record is, numbers in little-endian:
//!
//! | bytes | |
//! |---|---|
//! | 32 | a BLAKE3 hash with the log's key over what follows, and over where in the log it is |
//! | 4 | the length of the payload |
//! | … | the payload: what changed |
//!
//! A record begins a sector, and the next one begins another, so that no write touches what was acknowledged. Both copies are
//! written, then flushed: after that either is enough, and damage to one of them is repaired when the store is opened. The log
//! ends where neither has a record. A power cut leaves the last one torn at most, which nobody was told of; if another follows
//! nearby, what does not match is damage, and an error.
//!
//! The key is in the engine's counters, secret, and another one after each commit of the engine's. So what an older log has left
//! behind is no record of this one, whatever its values look like, and a log and the state that it continues belong together.

use std::io;
use std::sync::Arc;

use super::blocks::{Blocks, Damage};
use super::device::SECTOR_BYTES;

/// The size of each copy.
pub(super) const LOG_BYTES: u64 = 2 * 1024 * 1024;

/// How many copies there are.
pub(super) const COPIES: u64 = 2;

const HASH_BYTES: usize = blake3::OUT_LEN;
const LENGTH_BYTES: usize = 4;
const HEAD_BYTES: usize = HASH_BYTES + LENGTH_BYTES;

/// How far behind the end of a log another record is looked for, in bytes: what a lost block hides is found.
const LOOKED_AHEAD_BYTES: u64 = 8 * 1024;

/// Tells the records of a log from everything else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LogKey(pub(super) [u8; blake3::KEY_LEN]);

impl LogKey {
    /// One that nobody else knows.
    pub(super) fn random() -> io::Result<Self> {
        let mut key = [0; blake3::KEY_LEN];
        let entropy = vatmux_noise::Entropy::from_system().map_err(io::Error::other)?;
        key.copy_from_slice(&*entropy.into_bytes());
        Ok(Self(key))
    }

    /// The key of the log that follows this one.
    pub(super) fn next(self) -> Self {
        Self(*blake3::keyed_hash(&self.0, b"the key of the next log").as_bytes())
    }

    fn hash(self, at: u64, rest: &[u8]) -> [u8; HASH_BYTES] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&at.to_le_bytes()).update(rest);
        *hasher.finalize().as_bytes()
    }
}

/// A log that is written to.
#[derive(Debug)]
pub(super) struct Log {
    blocks: Arc<Blocks>,
    key: LogKey,
    /// Where the next record goes, in bytes; a multiple of a sector.
    end: u64,
}

impl Log {
    /// An empty log: whatever there was has another key.
    pub(super) fn begin(blocks: Arc<Blocks>, key: LogKey) -> Self {
        Self { blocks, key, end: 0 }
    }

    /// Reads the log with this key: the payloads of its records, in order. They are durable, both copies of them, when this returns.
    pub(super) fn open(blocks: Arc<Blocks>, key: LogKey) -> io::Result<(Self, Vec<Vec<u8>>)> {
        let mut log = Self::begin(blocks, key);
        let mut payloads = Vec::new();
        while let Some(record) = log.read()? {
            log.end += record.len() as u64;
            payloads.push(payload(&record).ok_or(Damage::Log)?.to_vec());
        }
        if payloads.is_empty() {
            return Ok((log, payloads));
        }
        // What was read may have been in the system's memory alone.
        log.blocks.sync_log()?;
        Ok((log, payloads))
    }

    /// The key of its records.
    pub(super) fn key(&self) -> LogKey {
        self.key
    }

    /// Whether nothing is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.end == 0
    }

    /// Whether a record of so many bytes fits.
    pub(super) fn has_room(&self, payload_bytes: usize) -> bool {
        self.end + record_bytes(payload_bytes) <= LOG_BYTES
    }

    /// Appends a record. When this returns, it is durable; when it fails, it may be.
    pub(super) fn append(&mut self, payload: &[u8]) -> io::Result<()> {
        let mut record = Vec::with_capacity(record_bytes(payload.len()) as usize);
        record.resize(HASH_BYTES, 0);
        record.extend((payload.len() as u32).to_le_bytes());
        record.extend(payload);
        let hash = self.key.hash(self.end, &record[HASH_BYTES..]);
        record[..HASH_BYTES].copy_from_slice(&hash);
        record.resize(record_bytes(payload.len()) as usize, 0);
        for copy in 0..COPIES {
            self.blocks.write_log(copy, self.end, &record)?;
        }
        self.blocks.sync_log()?;
        self.end += record.len() as u64;
        Ok(())
    }

    /// Begins anew: the engine has all of it.
    pub(super) fn restart(&mut self, key: LogKey) {
        (self.key, self.end) = (key, 0);
    }

    /// The record at the end of what was read so far, both copies of it as they should be.
    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        let mut copies = Vec::new();
        for copy in 0..COPIES {
            copies.push(self.read_copy(copy, self.end)?);
        }
        let Some(Copy::Whole(whole)) = copies.iter().find(|copy| matches!(copy, Copy::Whole(_))) else {
            return self.check_that_nothing_follows(&copies).map(|()| None);
        };
        for (at, copy) in (0..).zip(&copies) {
            if !matches!(copy, Copy::Whole(_)) {
                self.blocks.write_log(at, self.end, whole)?;
            }
        }
        Ok(Some(whole.clone()))
    }

    fn check_that_nothing_follows(&self, copies: &[Copy]) -> io::Result<()> {
        let nearby =
            (1..=LOOKED_AHEAD_BYTES / SECTOR_BYTES as u64).map(|sector| sector * SECTOR_BYTES as u64);
        let announced = copies.iter().filter_map(|copy| match copy {
            Copy::Torn { bytes } => Some(*bytes),
            Copy::Whole(_) | Copy::None => None,
        });
        for ahead in nearby.chain(announced) {
            for copy in 0..COPIES {
                if let Copy::Whole(_) = self.read_copy(copy, self.end + ahead)? {
                    return Err(Damage::Log.into());
                }
            }
        }
        Ok(())
    }

    fn read_copy(&self, copy: u64, at: u64) -> io::Result<Copy> {
        let Some(room_bytes) = LOG_BYTES.checked_sub(at + SECTOR_BYTES as u64) else { return Ok(Copy::None) };
        let mut record = vec![0; SECTOR_BYTES];
        self.blocks.read_log(copy, at, &mut record)?;
        let Some(length) = payload_bytes(&record) else { return Ok(Copy::None) };
        let bytes = record_bytes(length);
        if length == 0 || bytes > room_bytes + SECTOR_BYTES as u64 {
            return Ok(Copy::None);
        }
        record.resize(bytes as usize, 0);
        if let Some(rest) = record.get_mut(SECTOR_BYTES..).filter(|rest| !rest.is_empty()) {
            self.blocks.read_log(copy, at + SECTOR_BYTES as u64, rest)?;
        }
        let matches = record
            .get(..HEAD_BYTES + length)
            .and_then(|record| record.split_first_chunk())
            .is_some_and(|(hash, rest)| *hash == self.key.hash(at, rest));
        Ok(if matches { Copy::Whole(record) } else { Copy::Torn { bytes } })
    }
}

/// What is found where a record may be.
enum Copy {
    /// A record, to the end of its last sector.
    Whole(Vec<u8>),
    /// None, but what would be the length of one.
    Torn {
        bytes: u64,
    },
    None,
}

fn payload_bytes(record: &[u8]) -> Option<usize> {
    let (length, _) = record.get(HASH_BYTES..)?.split_first_chunk::<LENGTH_BYTES>()?;
    Some(u32::from_le_bytes(*length) as usize)
}

fn payload(record: &[u8]) -> Option<&[u8]> {
    record.get(HEAD_BYTES..)?.get(..payload_bytes(record)?)
}

/// What a record takes in the log.
fn record_bytes(payload_bytes: usize) -> u64 {
    (HEAD_BYTES + payload_bytes).next_multiple_of(SECTOR_BYTES) as u64
}
