//! Values that come in pieces: kept apart from the keys until they are whole.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::error::Error;
use super::key::Key;
use super::record::CHUNK_BYTES;
use super::request::Condition;
use super::store::{MAX_VALUE_BYTES, Permit, Store, Version};
use super::writer::{self, Source, Staged};

/// How many uploads may be under way in one store. Each holds up to 2 MiB in memory.
pub const MAX_UPLOADS: usize = 32;

/// How many of them one peer may have at a node, over all its streams and sessions.
pub const MAX_PEER_UPLOADS: usize = 8;

/// How much is sent to the writer at once.
const PIECE_BYTES: usize = 16 * CHUNK_BYTES;

/// A value that is on its way into the store. Dropped before it is committed, it leaves nothing behind.
pub struct Upload {
    store: Store,
    key: Key,
    condition: Condition,
    size_bytes: u64,
    written_bytes: u64,
    staged: Staged,
    waiting: Vec<u8>,
    /// Whether the store may know of it.
    begun: bool,
    state: State,
    _permit: Permit,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// A piece was being staged when it failed, or was given up.
    Failed,
    Committed,
}

impl Upload {
    pub(super) fn begin(
        store: &Store,
        key: Key,
        size_bytes: u64,
        condition: Condition,
    ) -> Result<Self, Error> {
        if size_bytes > MAX_VALUE_BYTES {
            return Err(Error::ValueTooLarge { bytes: size_bytes, limit_bytes: MAX_VALUE_BYTES });
        }
        let permit = store.permit(|shared| &shared.uploads, MAX_UPLOADS).ok_or(Error::Busy("uploads"))?;
        let blob = store.shared().next_blob.fetch_add(1, Ordering::SeqCst);
        Ok(Self {
            store: store.clone(),
            key,
            condition,
            size_bytes,
            written_bytes: 0,
            staged: Staged { blob, chunks: 0 },
            waiting: Vec::new(),
            begun: false,
            state: State::Open,
            _permit: permit,
        })
    }

    /// The next bytes, in order; ends when the store has room for more. More than were announced are refused.
    ///
    /// An upload of which a write failed, or was dropped before it ended, cannot be committed any more.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        self.check_open()?;
        self.written_bytes = self.written_bytes.saturating_add(bytes.len() as u64);
        if self.written_bytes > self.size_bytes {
            self.state = State::Failed;
            return Err(Error::Malformed("more was written than was announced"));
        }
        while self.waiting.len() + bytes.len() >= PIECE_BYTES {
            let (now, later) = bytes.split_at(PIECE_BYTES - self.waiting.len());
            self.waiting.extend(now);
            bytes = later;
            let piece = std::mem::take(&mut self.waiting);
            self.begun = true;
            self.state = State::Failed;
            self.staged = writer::stage(self.store.queue(), self.staged, piece).await?;
            self.state = State::Open;
        }
        self.waiting.extend(bytes);
        Ok(())
    }

    /// Stores what was written, if it is as much as was announced and the condition holds.
    pub async fn commit(mut self) -> Result<Version, Error> {
        self.check_open()?;
        if self.written_bytes != self.size_bytes {
            return Err(Error::Malformed("less was written than was announced"));
        }
        let source = Source {
            size_bytes: self.size_bytes,
            staged: (self.staged.chunks > 0).then_some(self.staged),
            tail: std::mem::take(&mut self.waiting),
        };
        let committed = self.store.put_source(self.key.clone(), source, self.condition).await;
        if committed.is_ok() {
            self.state = State::Committed;
        }
        committed
    }

    fn check_open(&self) -> Result<(), Error> {
        match self.state {
            State::Open => Ok(()),
            State::Failed | State::Committed => Err(Error::Malformed("a write of this upload failed before")),
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if self.begun && self.state != State::Committed {
            let mut discarded = self.store.shared().discarded.lock().unwrap_or_else(PoisonError::into_inner);
            discarded.push(self.staged.blob);
        }
    }
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload")
            .field("key", &self.key)
            .field("size_bytes", &self.size_bytes)
            .field("written_bytes", &self.written_bytes)
            .finish_non_exhaustive()
    }
}
