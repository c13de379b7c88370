//! Records: what travels once the handshake is complete.
//!
//! A record is a length of two bytes, big-endian, and a Noise transport message of that length: 1 to 65,519 bytes of
//! plaintext, encrypted, and a tag of 16 bytes. Order is part of the encryption: a record that is dropped, repeated or
//! moved makes the next one fail.

use core::fmt;

use snow::HandshakeState;
use zeroize::Zeroizing;

use crate::Suite;
use crate::cipher::{CipherError, CipherState};
use crate::crypto::Ciphers;

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

/// Both directions of an established session: seals what goes out, opens what comes in, each where it lies.
///
/// A record that does not open ends both directions: what the peer sends can no longer be told from what an attacker
/// sends. Mistakes of the caller (a buffer too small, nothing to seal) change nothing.
pub struct Records {
    pub(crate) outgoing: CipherState,
    pub(crate) incoming: CipherState,
    rekey_interval: u64,
    /// Sealed with the present key.
    pub(crate) sealed: u64,
    /// Opened with the present key.
    opened: u64,
    failed: Option<RecordError>,
}

impl Records {
    /// Takes over from a finished handshake. None when it is not finished, or without the suite's cipher.
    pub(crate) fn new(mut noise: HandshakeState, suite: Suite, ciphers: Ciphers) -> Option<Self> {
        if !noise.is_handshake_finished() {
            return None;
        }
        let (dialer, acceptor) = noise.dangerously_get_raw_split();
        let (dialer, acceptor) = (Zeroizing::new(dialer), Zeroizing::new(acceptor));
        let (outgoing, incoming) =
            if noise.is_initiator() { (&dialer, &acceptor) } else { (&acceptor, &dialer) };
        Some(Self {
            outgoing: CipherState::new(suite, ciphers, outgoing)?,
            incoming: CipherState::new(suite, ciphers, incoming)?,
            rekey_interval: REKEY_INTERVAL,
            sealed: 0,
            opened: 0,
            failed: None,
        })
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

    /// Makes a record of plaintext that lies in `buffer` already, and says how long it is with its prefix: always
    /// [`PREFIX_LEN`] + [`TAG_LEN`] more than the plaintext.
    ///
    /// The plaintext is the `plaintext_len` bytes (1 to [`MAX_PLAINTEXT`]) behind the first [`PREFIX_LEN`] of `buffer`.
    /// It is encrypted there; its prefix goes before it and its tag behind it, so the buffer needs room for both.
    pub fn seal(&mut self, buffer: &mut [u8], plaintext_len: usize) -> Result<usize, RecordError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if !(1..=MAX_PLAINTEXT).contains(&plaintext_len) {
            return Err(RecordError::Plaintext(plaintext_len));
        }
        let length = plaintext_len + TAG_LEN;
        let needed = PREFIX_LEN + length;
        let (Some((prefix, record)), Ok(announced)) =
            (buffer.get_mut(..needed).and_then(<[u8]>::split_first_chunk_mut), u16::try_from(length))
        else {
            return Err(RecordError::Buffer { needed });
        };
        let Some((plaintext, tag)) = record.split_last_chunk_mut() else {
            return Err(RecordError::Buffer { needed });
        };
        *tag = self.outgoing.encrypt(plaintext).map_err(|error| self.fail(error))?;
        *prefix = announced.to_be_bytes();
        self.sealed += 1;
        if self.sealed == self.rekey_interval {
            self.outgoing.rekey().map_err(|error| self.fail(error))?;
            self.sealed = 0;
        }
        Ok(needed)
    }

    /// Opens `record` (one whole record, without its prefix) where it lies, and gives its plaintext, which is the
    /// front of it. After an error what is there is of no meaning.
    pub fn open<'r>(&mut self, record: &'r mut [u8]) -> Result<&'r mut [u8], RecordError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if !(MIN_RECORD..=MAX_RECORD).contains(&record.len()) {
            return Err(*self.failed.insert(RecordError::Length(record.len())));
        }
        let plaintext = self.incoming.decrypt(record).map_err(|error| self.fail(error))?;
        self.opened += 1;
        if self.opened == self.rekey_interval {
            self.incoming.rekey().map_err(|error| self.fail(error))?;
            self.opened = 0;
        }
        Ok(plaintext)
    }

    fn fail(&mut self, error: CipherError) -> RecordError {
        *self.failed.insert(match error {
            CipherError::Exhausted => RecordError::Exhausted,
            CipherError::Forged => RecordError::Forged,
        })
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
    /// The caller's buffer has no room for the record.
    #[error("the buffer is too small for the record: {needed} bytes are needed")]
    Buffer {
        /// How long it has to be, in bytes.
        needed: usize,
    },
}
