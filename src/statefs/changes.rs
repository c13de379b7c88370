//! Small changes as the log has them: the entry that each key has afterwards, and what the store counts then.
//!
//! The payload of a record is a record of [`Counters`], and then for each change: the length of the key 1, the length of the
//! entry's record 2, or 0 where the key was removed, the key, and the entry's record. Numbers are little-endian.
//!
//! What is applied twice is the same as once, as long as all that follows it is applied again, too.

use redb::Table;

use super::error::{Error, engine};
use super::record::{COUNTERS_BYTES, Counters, EntryRecord};

/// Changes of entries that have their values in them, in order.
#[derive(Debug, Default)]
pub(super) struct Changes(Vec<u8>);

impl Changes {
    /// The key has this record now. A key has at most 255 bytes, and the record of a small value not much more than the value.
    pub(super) fn put(&mut self, key: &[u8], record: &[u8]) {
        self.0.push(key.len() as u8);
        self.0.extend((record.len() as u16).to_le_bytes());
        self.0.extend(key);
        self.0.extend(record);
    }

    /// The key is not there any more.
    pub(super) fn remove(&mut self, key: &[u8]) {
        self.put(key, &[]);
    }

    /// The payload of the log's record, with what the store counts afterwards.
    pub(super) fn payload(self, counters: &Counters) -> Vec<u8> {
        let mut payload = counters.encode();
        payload.extend(self.0);
        payload
    }
}

/// Makes the changes of a payload, and says what the store counts afterwards.
pub(super) fn apply(
    payload: &[u8],
    entries: &mut Table<'_, &'static [u8], &'static [u8]>,
) -> Result<Counters, Error> {
    let malformed = || Error::integrity("a record of its log");
    let (counters, mut rest) = payload.split_at_checked(COUNTERS_BYTES).ok_or_else(malformed)?;
    let counters = Counters::decode(counters)?;
    while let Some(([key_bytes, low, high], behind)) = rest.split_first_chunk() {
        let (key, behind) = behind.split_at_checked((*key_bytes).into()).ok_or_else(malformed)?;
        let record_bytes = u16::from_le_bytes([*low, *high]);
        let (record, behind) = behind.split_at_checked(record_bytes.into()).ok_or_else(malformed)?;
        if record.is_empty() {
            entries.remove(key).map_err(engine)?;
        } else {
            EntryRecord::decode(key, record)?;
            entries.insert(key, record).map_err(engine)?;
        }
        rest = behind;
    }
    if rest.is_empty() { Ok(counters) } else { Err(malformed()) }
}
