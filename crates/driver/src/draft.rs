//! The next record, filled by writers while the link is free.
//!
//! A write goes into its stream's ring and from there into a record: two copies. While no other stream has anything
//! queued, whoever writes is whose turn it is: a large write goes straight into the record that leaves next. Where that
//! is full, or the one before is still waiting for the link, its writer waits as well, instead of filling the ring: bytes
//! that the application still holds cost no copy, and nothing that is more urgent has to overtake them.
//!
//! At most one stream waits so. It has no place in the schedule: as soon as another has something to send, both go through
//! their rings, and the engine's priorities and its bound on starvation hold for both. Small writes always go through
//! the ring, where many of them become one frame.

use vatmux_mux::{Passage, Priority, StreamId, WriteError};
use vatmux_noise::{MAX_PLAINTEXT, PREFIX_LEN};

use crate::buffers::Buffers;
use crate::engine::Engine;

/// Writes shorter than this in bytes go through the ring.
const LARGE_BYTES: usize = 4096;

/// With less room than this in bytes a record is full: a frame so short is not worth its header.
const MIN_ROOM_BYTES: usize = 512;

/// At most one record, and only for as long as it takes until the session's pump runs.
#[derive(Default)]
pub(crate) struct Draft {
    record: Option<Record>,
    /// The one priority of the DATA in it.
    priority: Option<Priority>,
    /// A record waits for the link: what is written now may be overtaken by what is more urgent later.
    link_is_busy: bool,
    /// Whose writer was turned away until the link is free for the next record.
    waiting: Option<StreamId>,
}

struct Record {
    /// A pooled buffer, with the plaintext behind the room for the record's prefix.
    buffer: Box<[u8]>,
    length: usize,
    /// How long the plaintext may become.
    most: usize,
}

impl Draft {
    /// Writes `bytes` on a stream, into the record or the ring; otherwise as [`Engine::write`].
    ///
    /// [`WriteError::Blocked`] means as well that the writer is to wait for the [next record](Self::link_is_free).
    pub(crate) fn write(
        &mut self,
        engine: &mut dyn Engine,
        buffers: &Buffers,
        id: StreamId,
        bytes: &[u8],
    ) -> Result<usize, WriteError> {
        if bytes.len() < LARGE_BYTES {
            return engine.write(id, bytes);
        }
        let priority = engine.priority(id);
        if self.priority.is_some() && self.priority != priority {
            return engine.write(id, bytes);
        }
        match self.pass(engine, buffers, id, bytes)? {
            Passage::Sent(written) => {
                self.priority = priority;
                Ok(written)
            }
            Passage::Full if self.waiting.is_none_or(|waiting| waiting == id) => {
                self.waiting = Some(id);
                Err(WriteError::Blocked)
            }
            Passage::Full | Passage::Waits => engine.write(id, bytes),
        }
    }

    /// Writes into the record, as far as there is one to write into.
    fn pass(
        &mut self,
        engine: &mut dyn Engine,
        buffers: &Buffers,
        id: StreamId,
        bytes: &[u8],
    ) -> Result<Passage, WriteError> {
        if self.link_is_busy {
            return engine.write_through(id, bytes, &mut []).0;
        }
        let record = self.record.get_or_insert_with(|| Record {
            buffer: buffers.take(),
            length: 0,
            most: engine.output_bytes_for(id).min(MAX_PLAINTEXT),
        });
        let room = &mut record.buffer[PREFIX_LEN..][..record.most][record.length..];
        let room = if room.len() < MIN_ROOM_BYTES { &mut [] } else { room };
        let (passage, put) = engine.write_through(id, bytes, room);
        record.length += put;
        if record.length == 0 {
            self.discard(buffers);
        }
        passage
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.record.is_none()
    }

    /// The buffer and the length of the plaintext in it.
    pub(crate) fn take(&mut self) -> Option<(Box<[u8]>, usize)> {
        self.priority = None;
        self.record.take().map(|record| (record.buffer, record.length))
    }

    /// A record waits for the link.
    pub(crate) const fn link_is_busy(&mut self) {
        self.link_is_busy = true;
    }

    /// The link waits for the next record. Returns the stream whose writer waits for that.
    pub(crate) const fn link_is_free(&mut self) -> Option<StreamId> {
        self.link_is_busy = false;
        self.waiting.take()
    }

    fn discard(&mut self, buffers: &Buffers) {
        if let Some((buffer, _)) = self.take() {
            buffers.give_back(buffer);
        }
    }
}
