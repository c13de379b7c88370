//! Records: what travels once the handshake is complete.
//!
//! A record is a length of two bytes, big-endian, and a Noise transport message of that length: 1 to 65,519 bytes of
//! plaintext, encrypted, and a tag of 16 bytes. Order is part of the encryption: a record that is dropped, repeated or
//! moved makes the next one fail.

use core::fmt;

use snow::TransportState;

/// Length of the prefix before a record, in bytes.
pub const PREFIX_LEN: usize = 2;
/// Length of the authentication tag that ends a record, in bytes.
pub const TAG_LEN: usize = 16;
/// The longest record, in bytes without its prefix. It is what a Noise message may have at most.
pub const MAX_RECORD: usize = 65_535;
/// The shortest record, in bytes without its prefix: one byte of plaintext and the tag.
pub const MIN_RECORD: usize = 1 + TAG_LEN;
/// The most plaintext that one record carries, in bytes.
pub const MAX_PLAINTEXT: usize = MAX_RECORD - TAG_LEN;
/// How many records one key seals: 2^20, at most 64 GiB.
///
/// Each direction changes its key by itself after so many records, by the rule of section 4.2 of the Noise
/// specification; both ends count, so nothing is said on the wire. Nonces go on counting.
pub const REKEY_INTERVAL: u64 = 1 << 20;

/// Both directions of an established session: seals what goes out, opens what comes in.
///
/// A record that does not open ends both directions: what the peer sends can no longer be told from what an attacker
/// sends. Mistakes of the caller (a buffer too small, nothing to seal) change nothing.
pub struct Records {
    pub(crate) transport: TransportState,
    rekey_interval: u64,
    /// Sealed with the present key.
    pub(crate) sealed: u64,
    /// Opened with the present key.
    opened: u64,
    failed: Option<RecordError>,
}

impl Records {
    pub(crate) fn new(transport: TransportState) -> Self {
        Self { transport, rekey_interval: REKEY_INTERVAL, sealed: 0, opened: 0, failed: None }
    }

    #[cfg(test)]
    pub(crate) fn set_rekey_interval(&mut self, records: u64) {
        self.rekey_interval = records;
    }

    /// The length of the record that follows `prefix`, in bytes: [`MIN_RECORD`] to [`MAX_RECORD`].
    ///
    /// Fails with [`RecordError::Length`] if no record has it; the session is then over.
    pub fn record_len(prefix: [u8; PREFIX_LEN]) -> Result<usize, RecordError> {
        let length = usize::from(u16::from_be_bytes(prefix));
        if length < MIN_RECORD { Err(RecordError::Length(length)) } else { Ok(length) }
    }

    /// Writes `plaintext` (1 to [`MAX_PLAINTEXT`] bytes) to the front of `output` as a record with its prefix, and says
    /// how long that is: always [`PREFIX_LEN`] + [`TAG_LEN`] more than the plaintext.
    pub fn seal(&mut self, plaintext: &[u8], output: &mut [u8]) -> Result<usize, RecordError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if plaintext.is_empty() || plaintext.len() > MAX_PLAINTEXT {
            return Err(RecordError::Plaintext(plaintext.len()));
        }
        let length = plaintext.len() + TAG_LEN;
        let needed = PREFIX_LEN + length;
        let (Some(output), Ok(prefix)) = (output.get_mut(..needed), u16::try_from(length)) else {
            return Err(RecordError::Output { needed });
        };
        let (front, record) = output.split_at_mut(PREFIX_LEN);
        self.transport
            .write_message(plaintext, record)
            .map_err(|_| *self.failed.insert(RecordError::Exhausted))?;
        front.copy_from_slice(&prefix.to_be_bytes());
        self.sealed += 1;
        if self.sealed == self.rekey_interval {
            self.transport.rekey_outgoing();
            self.sealed = 0;
        }
        Ok(needed)
    }

    /// Writes the plaintext of `record` (one whole record, without its prefix) to the front of `output`, and says how
    /// long it is.
    ///
    /// `output` must be as long as the record, tag included, for it is decrypted there; what is behind the
    /// plaintext is then of no meaning. After an error, so is all of it.
    pub fn open(&mut self, record: &[u8], output: &mut [u8]) -> Result<usize, RecordError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if !(MIN_RECORD..=MAX_RECORD).contains(&record.len()) {
            return Err(*self.failed.insert(RecordError::Length(record.len())));
        }
        let Some(output) = output.get_mut(..record.len()) else {
            return Err(RecordError::Output { needed: record.len() });
        };
        let length = self.transport.read_message(record, output).map_err(|error| {
            *self.failed.insert(match error {
                snow::Error::State(_) => RecordError::Exhausted,
                _ => RecordError::Forged,
            })
        })?;
        self.opened += 1;
        if self.opened == self.rekey_interval {
            self.transport.rekey_incoming();
            self.opened = 0;
        }
        Ok(length)
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records")
            .field("sealed", &self.sealed)
            .field("opened", &self.opened)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

/// Why a record was not sealed or not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The peer announced a record of a length that no record has. Final.
    #[error("a record has {MIN_RECORD} to {MAX_RECORD} bytes, the peer's has {0}")]
    Length(usize),
    /// The record was changed, cut, repeated or out of order on its way here. Final.
    #[error("a record is not genuine: it was changed, repeated, dropped or reordered on the way")]
    Forged,
    /// All 2^64 - 1 nonces of a direction are used up. Final.
    #[error("the session has carried as many records as it can")]
    Exhausted,
    /// The caller wants to seal nothing, or more than fits.
    #[error("a record carries 1 to {MAX_PLAINTEXT} bytes of plaintext, not {0}")]
    Plaintext(usize),
    /// The caller's output buffer is too small.
    #[error("the output buffer is too small: {needed} bytes are needed")]
    Output {
        /// How long it has to be, in bytes.
        needed: usize,
    },
}
