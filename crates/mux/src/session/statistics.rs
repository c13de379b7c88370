//! Counters, per session and per stream.

use super::Session;
use crate::id::StreamId;
use crate::ring::Ring;
use crate::storage::Storage;
use crate::stream::Writer;

/// What a session has done since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionStatistics {
    /// Frames received and found legal.
    pub frames_received: u64,
    /// Frames transmitted.
    pub frames_sent: u64,
    /// Bytes of DATA payload received.
    pub data_bytes_received: u64,
    /// Bytes of DATA payload transmitted.
    pub data_bytes_sent: u64,
    /// Streams that we opened.
    pub streams_opened: u64,
    /// Streams that the peer opened, refused ones included.
    pub streams_received: u64,
    /// RST frames received.
    pub resets_received: u64,
    /// RST frames transmitted.
    pub resets_sent: u64,
    /// Frames that were ignored because their stream was gone.
    pub stray_frames: u64,
    /// DATA frames that the starvation bound moved ahead of a higher priority.
    pub frames_owed: u64,
    /// How often a receive window grew.
    pub windows_grown: u64,
    /// Streams that have a slot at the moment.
    pub streams: u32,
    /// By how many bytes receive windows may still grow.
    pub window_budget_bytes: u32,
}

/// One stream at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamStatistics {
    /// Bytes of DATA payload transmitted.
    pub sent_bytes: u64,
    /// Bytes of DATA payload received, consumed or not.
    pub received_bytes: u64,
    /// Bytes written and not transmitted.
    pub unsent_bytes: u32,
    /// Bytes received and not consumed.
    pub unread_bytes: u32,
    /// Whether a source has more to send, besides what is unsent here.
    pub supplied: bool,
    /// Bytes that we may still transmit.
    pub send_credit_bytes: u32,
    /// Bytes that we have granted to the peer and that have not arrived.
    pub granted_bytes: u32,
    /// Bytes consumed, or added to the window, and not granted yet.
    pub owed_bytes: u32,
    /// The receive window: granted, unread and owed together, and what a DATA frame in the middle of its arrival lacks.
    pub window_bytes: u32,
}

impl<S: Storage> Session<S> {
    /// The counters of this session.
    #[must_use]
    pub fn statistics(&self) -> SessionStatistics {
        SessionStatistics {
            streams: self.incoming.slots + self.outgoing.slots,
            window_budget_bytes: self.growth.budget_bytes(),
            ..self.statistics
        }
    }

    /// The counters of one stream.
    #[must_use]
    pub fn stream_statistics(&self, id: StreamId) -> Option<StreamStatistics> {
        let stream = self.slot(self.find(id)?);
        Some(StreamStatistics {
            sent_bytes: stream.sent_bytes,
            received_bytes: stream.received_bytes,
            unsent_bytes: stream.send.len() as u32,
            unread_bytes: stream.receive.len() as u32,
            supplied: stream.writer == Writer::Supplied,
            send_credit_bytes: stream.send_credit,
            granted_bytes: stream.outstanding,
            owed_bytes: stream.owed,
            window_bytes: stream.window,
        })
    }
}
