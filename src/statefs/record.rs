//! What is in the engine's tables, byte by byte, each record with its checksum.
//!
//! | table | key | record |
//! |---|---|---|
//! | `entries` | the key | checksum 16, version 8, size 8, then the value, or the number 8 of the blob that has it |
//! | `chunks` | blob 8, index 4 | checksum 16, then up to 65,408 bytes of a value |
//! | `staged` | blob 8 | nothing: the blob is of an upload that was not committed |
//! | `openings` | version 8 | checksum 16, id 16 of an opening: it has given out the versions after this one, up to the next |
//! | `counters` | nothing | checksum 16, last version 8, next blob 8, keys 8, bytes of values 8, key of the log 32 |
//!
//! Numbers are little-endian. A value of at most [`MAX_INLINE_BYTES`] is in its entry, so that a small one costs one record; a
//! larger one is a blob, so that a listing does not read it. A checksum is the first half of a BLAKE3 hash over the
//! record, and what it belongs to.

use redb::{TableDefinition, TableHandle as _};

use super::error::Error;
use super::key::Key;
use super::log::LogKey;
use super::mark::OpeningId;
use super::store::Version;

/// By key.
pub(super) const ENTRIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");
/// By blob, and index in it.
pub(super) const CHUNKS: TableDefinition<'_, (u64, u32), &[u8]> = TableDefinition::new("chunks");
/// Blobs that no entry names.
pub(super) const STAGED: TableDefinition<'_, u64, ()> = TableDefinition::new("staged");
/// Ids of the openings that have given out versions, by the last version before them.
pub(super) const OPENINGS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("openings");
/// The one record of [`Counters`].
pub(super) const COUNTERS: TableDefinition<'_, (), &[u8]> = TableDefinition::new("counters");

/// The largest value that is kept in its entry, in bytes.
pub(super) const MAX_INLINE_BYTES: usize = 2048;

/// What one chunk of a blob holds, in bytes: with all that is around it, a page of 64 KiB.
pub(super) const CHUNK_BYTES: usize = 64 * 1024 - 128;

const SUM_BYTES: usize = 16;
const VERSION_AT: usize = SUM_BYTES;
const SIZE_AT: usize = VERSION_AT + 8;
const CONTENT_AT: usize = SIZE_AT + 8;

/// A key's value, or where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntryRecord<'a> {
    pub(super) version: Version,
    pub(super) size_bytes: u64,
    pub(super) content: Content<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content<'a> {
    Inline(&'a [u8]),
    Blob(u64),
}

impl<'a> EntryRecord<'a> {
    pub(super) fn encode(&self, key: &Key) -> Vec<u8> {
        let value_bytes = match self.content {
            Content::Inline(value) => value.len(),
            Content::Blob(_) => 8,
        };
        let mut record = Vec::with_capacity(CONTENT_AT + value_bytes);
        record.resize(SUM_BYTES, 0);
        record.extend(self.version.get().to_le_bytes());
        record.extend(self.size_bytes.to_le_bytes());
        match self.content {
            Content::Inline(value) => record.extend(value),
            Content::Blob(blob) => record.extend(blob.to_le_bytes()),
        }
        seal(record, b"entry", key.as_bytes())
    }

    pub(super) fn decode(key: &[u8], record: &'a [u8]) -> Result<Self, Error> {
        let damaged = || Error::integrity(format!("the entry of {}", key.escape_ascii()));
        check(record, b"entry", key).ok_or_else(damaged)?;
        let version = number(record, VERSION_AT).and_then(Version::new).ok_or_else(damaged)?;
        let size_bytes = number(record, SIZE_AT).ok_or_else(damaged)?;
        let content = if size_bytes <= MAX_INLINE_BYTES as u64 {
            let value = record.get(CONTENT_AT..).filter(|value| value.len() as u64 == size_bytes);
            Content::Inline(value.ok_or_else(damaged)?)
        } else {
            Content::Blob(number(record, CONTENT_AT).ok_or_else(damaged)?)
        };
        Ok(Self { version, size_bytes, content })
    }

    /// How many chunks its blob has.
    pub(super) fn chunks(&self) -> u32 {
        match self.content {
            Content::Inline(_) => 0,
            Content::Blob(_) => self.size_bytes.div_ceil(CHUNK_BYTES as u64) as u32,
        }
    }
}

/// A piece of a blob.
pub(super) fn encode_chunk(blob: u64, index: u32, bytes: &[u8]) -> Vec<u8> {
    let mut record = Vec::with_capacity(SUM_BYTES + bytes.len());
    record.resize(SUM_BYTES, 0);
    record.extend(bytes);
    seal(record, b"chunk", &chunk_place(blob, index))
}

pub(super) fn decode_chunk(blob: u64, index: u32, record: &[u8]) -> Result<&[u8], Error> {
    check(record, b"chunk", &chunk_place(blob, index))
        .and_then(|()| record.get(SUM_BYTES..))
        .ok_or_else(|| missing_chunk(blob, index))
}

pub(super) fn missing_chunk(blob: u64, index: u32) -> Error {
    Error::integrity(format!("chunk {index} of blob {blob}"))
}

fn chunk_place(blob: u64, index: u32) -> [u8; 12] {
    let mut place = [0; 12];
    place[..8].copy_from_slice(&blob.to_le_bytes());
    place[8..].copy_from_slice(&index.to_le_bytes());
    place
}

/// The length of a record of [`Counters`].
pub(super) const COUNTERS_BYTES: usize = SUM_BYTES + 4 * 8 + 32;

/// What the store counts, changed with every transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    /// The last version that was given out, 0 before the first.
    pub(super) last_version: u64,
    pub(super) next_blob: u64,
    pub(super) keys: u64,
    pub(super) value_bytes: u64,
    /// Of the log that continues this state.
    pub(super) log: LogKey,
}

impl Counters {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut record = vec![0; SUM_BYTES];
        for number in [self.last_version, self.next_blob, self.keys, self.value_bytes] {
            record.extend(number.to_le_bytes());
        }
        record.extend(self.log.0);
        seal(record, b"counters", &[])
    }

    pub(super) fn decode(record: &[u8]) -> Result<Self, Error> {
        let read = || {
            check(record, b"counters", &[])?;
            Some(Self {
                last_version: number(record, SUM_BYTES)?,
                next_blob: number(record, SUM_BYTES + 8)?,
                keys: number(record, SUM_BYTES + 16)?,
                value_bytes: number(record, SUM_BYTES + 24)?,
                log: LogKey(record.get(SUM_BYTES + 32..)?.try_into().ok()?),
            })
        };
        read().ok_or_else(|| Error::integrity(format!("the record of {}", COUNTERS.name())))
    }
}

/// The id of an opening.
pub(super) fn encode_opening(after: u64, id: &OpeningId) -> Vec<u8> {
    let mut record = vec![0; SUM_BYTES];
    record.extend(id);
    seal(record, b"opening", &after.to_le_bytes())
}

pub(super) fn decode_opening(after: u64, record: &[u8]) -> Result<OpeningId, Error> {
    check(record, b"opening", &after.to_le_bytes())
        .and_then(|()| record.get(SUM_BYTES..)?.try_into().ok())
        .ok_or_else(|| Error::integrity(format!("the opening after version {after}")))
}

fn number(record: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(record.get(at..at + 8)?.try_into().ok()?))
}

fn sum(record: &[u8], kind: &[u8], place: &[u8]) -> [u8; SUM_BYTES] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[kind.len() as u8]).update(kind).update(&[place.len() as u8]).update(place);
    hasher.update(&record[SUM_BYTES..]);
    let mut sum = [0; SUM_BYTES];
    sum.copy_from_slice(&hasher.finalize().as_bytes()[..SUM_BYTES]);
    sum
}

fn seal(mut record: Vec<u8>, kind: &[u8], place: &[u8]) -> Vec<u8> {
    let sum = sum(&record, kind, place);
    record[..SUM_BYTES].copy_from_slice(&sum);
    record
}

fn check(record: &[u8], kind: &[u8], place: &[u8]) -> Option<()> {
    (record.len() >= SUM_BYTES && record[..SUM_BYTES] == sum(record, kind, place)).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(key: &str) -> Key {
        key.parse().unwrap()
    }

    #[test]
    fn records_are_read_as_they_were_written() {
        let version = Version::new(7).unwrap();
        let value = [5; MAX_INLINE_BYTES];
        for entry in [
            EntryRecord { version, size_bytes: 0, content: Content::Inline(b"") },
            EntryRecord { version, size_bytes: 2048, content: Content::Inline(&value) },
            EntryRecord { version, size_bytes: 2049, content: Content::Blob(3) },
        ] {
            let record = entry.encode(&key("a/b"));
            assert_eq!(EntryRecord::decode(b"a/b", &record).unwrap(), entry);
        }
        let log = LogKey([5; 32]);
        let counters = Counters { last_version: 1, next_blob: 2, keys: 3, value_bytes: 4, log };
        assert_eq!(Counters::decode(&counters.encode()).unwrap(), counters);
        assert_eq!(decode_chunk(3, 9, &encode_chunk(3, 9, b"abc")).unwrap(), b"abc");
    }

    #[test]
    fn test_reject_records_with_any_bit_flipped_or_bytes_missing() {
        type Reads = fn(&[u8]) -> bool;

        let entry = EntryRecord {
            version: Version::new(7).unwrap(),
            size_bytes: 5,
            content: Content::Inline(b"value"),
        };
        let records: [(Vec<u8>, Reads); 4] = [
            (entry.encode(&key("a")), |record| EntryRecord::decode(b"a", record).is_ok()),
            (encode_chunk(3, 9, b"abc"), |record| decode_chunk(3, 9, record).is_ok()),
            (Counters::default().encode(), |record| Counters::decode(record).is_ok()),
            (encode_opening(9, &[7; 16]), |record| decode_opening(9, record).is_ok()),
        ];
        for (record, reads) in records {
            assert!(reads(&record));
            for bit in 0..record.len() * 8 {
                let mut flipped = record.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(!reads(&flipped), "bit {bit}");
            }
            for bytes in 0..record.len() {
                assert!(!reads(&record[..bytes]), "{bytes} bytes");
            }
        }
    }

    #[test]
    fn test_reject_records_that_belong_elsewhere() {
        let entry = EntryRecord {
            version: Version::new(7).unwrap(),
            size_bytes: 5,
            content: Content::Inline(b"value"),
        };
        assert!(EntryRecord::decode(b"b", &entry.encode(&key("a"))).is_err());
        let chunk = encode_chunk(3, 9, b"abc");
        assert!(decode_chunk(3, 8, &chunk).is_err());
        assert!(decode_chunk(2, 9, &chunk).is_err());
        assert!(Counters::decode(&chunk).is_err());
        assert!(decode_opening(8, &encode_opening(9, &[7; 16])).is_err());
    }
}
