//! The next record, filled by writers while the link is free.
//!
//! A write goes into its stream's ring and from there into a record: two copies. While the link waits for nothing but
//! the next record and no stream has anything queued, whoever writes is whose turn it is: a large write goes straight
//! into that record. Small ones go through the ring, where many of them become one frame.

use vatmux_mux::{Priority, StreamId, WriteError};
use vatmux_noise::{MAX_PLAINTEXT, PREFIX_LEN};

use crate::buffers::Buffers;
use crate::engine::Engine;

/// Writes shorter than this in bytes go through the ring.
const LARGE_BYTES: usize = 4096;

/// At most one record, and only for as long as it takes until the session's pump runs.
#[derive(Default)]
pub(crate) struct Draft {
    /// A pooled buffer, with the plaintext behind the room for the record's prefix.
    record: Option<(Box<[u8]>, usize)>,
    /// The one priority of the DATA in it.
    priority: Option<Priority>,
    /// A record waits for the link: what is written now may be overtaken by what is more urgent later.
    link_is_busy: bool,
}

impl Draft {
    /// Writes `bytes` on a stream, into the record or the ring; otherwise as [`Engine::write`].
    pub(crate) fn write(
        &mut self,
        engine: &mut dyn Engine,
        buffers: &Buffers,
        id: StreamId,
        bytes: &[u8],
    ) -> Result<usize, WriteError> {
        let priority = engine.priority(id);
        let fits = self.priority.is_none() || self.priority == priority;
        if self.link_is_busy || bytes.len() < LARGE_BYTES || !fits {
            return engine.write(id, bytes);
        }
        let (buffer, length) = self.record.get_or_insert_with(|| (buffers.take(), 0));
        let room = &mut buffer[PREFIX_LEN..][..MAX_PLAINTEXT][*length..];
        let (written, put) = engine.write_through(id, bytes, room);
        *length += put;
        if *length > 0 {
            self.priority = priority;
        } else {
            self.discard(buffers);
        }
        written
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.record.is_none()
    }

    /// The buffer and the length of the plaintext in it.
    pub(crate) fn take(&mut self) -> Option<(Box<[u8]>, usize)> {
        self.priority = None;
        self.record.take()
    }

    /// Whether a record waits for the link.
    pub(crate) const fn set_link_is_busy(&mut self, is_busy: bool) {
        self.link_is_busy = is_busy;
    }

    fn discard(&mut self, buffers: &Buffers) {
        if let Some((buffer, _)) = self.take() {
            buffers.give_back(buffer);
        }
    }
}
