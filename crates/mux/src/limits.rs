//! Everything that has a bound, in one place, with what it costs.

use crate::hello::{Hello, PROTOCOL_VERSION};
use crate::id::Ticks;
use crate::ring::Ring;
use crate::storage::Storage;
use crate::wire::MAX_CREDIT_BYTES;

/// For how many times `dead_after_ticks` bytes that no record has proved count as life; see
/// [`Session::heard`](crate::Session::heard).
pub(crate) const UNPROVEN_PATIENCE: u64 = 8;

/// The bounds of one session. What the peer may do follows from them, and so does the memory that it can cost.
///
/// Worst case of a session in bytes, with every stream open and every buffer full
/// ([`worst_case_bytes`](Self::worst_case_bytes)):
///
/// ```text
/// (max_incoming_streams + max_outgoing_streams) × (initial_window_bytes + send_buffer_bytes + 256)
///     + session_window_budget_bytes + 2 KiB
/// ```
///
/// The peer alone fills only the windows; send buffers are filled by the application. Storage that grows on demand
/// holds an old and a new ring for the length of one copy. A budget of frames is a number of frames that the peer may
/// send without achieving anything; it is full again at every tick, and earned back by progress in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The receive window in bytes of a new stream, `1..=MAX_CREDIT_BYTES`; what our hello announces.
    /// Costs that much memory per stream at worst. Default 64 KiB.
    pub initial_window_bytes: u32,
    /// The receive window in bytes to which one stream may grow, at least `initial_window_bytes`. A stream moves at
    /// most one window per round trip. Equal to `initial_window_bytes`, windows are fixed. Default 64 KiB; 8 MiB on
    /// hosts.
    pub max_window_bytes: u32,
    /// By how many bytes all windows together may exceed their initial size. Default 0; 16 MiB on hosts.
    pub session_window_budget_bytes: u32,
    /// How many unsent bytes a stream buffers before its writer must wait, at least 1. Default 64 KiB; 256 KiB on
    /// hosts.
    pub send_buffer_bytes: u32,
    /// How many streams of the peer's the session has room for, open or still held by the application; what our hello
    /// announces. At most 65,535. Default 64; 256 on hosts.
    pub max_incoming_streams: u32,
    /// How many streams of our own the session has room for. At most 65,535. Default 64; 256 on hosts.
    pub max_outgoing_streams: u32,
    /// How many incoming streams may wait for the application to accept them. One more is answered with RST. Default 32;
    /// 128 on hosts.
    pub max_unaccepted_streams: u32,
    /// For how many bytes of DATA from other levels a ready priority level may be passed over, at least 1. Default
    /// 256 KiB. See [`starvation_bound_bytes`](Self::starvation_bound_bytes).
    pub starvation_bytes: u32,
    /// After how many ticks of silence, in either direction, a PING is sent; at least 1. Default 3.
    pub ping_after_ticks: Ticks,
    /// After how many ticks without a byte from the peer the session is dead, more than `ping_after_ticks`. Default 9.
    pub dead_after_ticks: Ticks,
    /// How many DATA frames of fewer than 32 bytes may arrive per tick; each byte that the application consumes earns
    /// one more. Costs no memory, only about 50 ns each. Default 1,048,576: sixteen whole default windows of
    /// single bytes within a tick, none of them read.
    pub small_data_budget: u32,
    /// How many RSTs per tick streams that the peer opened may cause, received and sent together; each clean end of a
    /// stream and each KiB of payload moved earns one more. Default 1,024.
    pub reset_budget: u32,
    /// How many PINGs and unasked PONGs may arrive per tick; each KiB of payload moved earns one more. Default 1,024.
    pub ping_budget: u32,
    /// How many `WINDOW_UPDATE`s may arrive per tick; each DATA frame that we send earns four more, each KiB in it one.
    /// Less than four per stream could accuse a peer that reads many full windows at once. Default 4,096.
    pub window_update_budget: u32,
    /// How many frames other than DATA may arrive per tick on streams that are gone; each stream that goes earns four
    /// more. DATA on such a stream is bounded by the credit it had left. Less than four
    /// per stream could accuse a peer when all streams go at once. Default 4,096.
    pub stray_frame_budget: u32,
}

impl Limits {
    /// Fixed windows for machines with little memory: 16 MiB at worst.
    pub const FIXED: Self = Self {
        initial_window_bytes: 64 * 1024,
        max_window_bytes: 64 * 1024,
        session_window_budget_bytes: 0,
        send_buffer_bytes: 64 * 1024,
        max_incoming_streams: 64,
        max_outgoing_streams: 64,
        max_unaccepted_streams: 32,
        starvation_bytes: 256 * 1024,
        ping_after_ticks: Ticks(3),
        dead_after_ticks: Ticks(9),
        small_data_budget: 1 << 20,
        reset_budget: 1024,
        ping_budget: 1024,
        window_update_budget: 4096,
        stray_frame_budget: 4096,
    };

    /// Growing windows for hosts: 176 MiB at worst, 48 MiB of which the peer can fill.
    pub const HOST: Self = Self {
        max_window_bytes: 8 * 1024 * 1024,
        session_window_budget_bytes: 16 * 1024 * 1024,
        send_buffer_bytes: 256 * 1024,
        max_incoming_streams: 256,
        max_outgoing_streams: 256,
        max_unaccepted_streams: 128,
        ..Self::FIXED
    };

    /// What these limits tell the peer.
    #[must_use]
    pub const fn hello(&self) -> Hello {
        Hello {
            version: PROTOCOL_VERSION,
            initial_window_bytes: self.initial_window_bytes,
            max_streams: self.max_incoming_streams,
        }
    }

    /// The memory in bytes of one session at worst; see the formula above.
    #[must_use]
    pub const fn worst_case_bytes(&self) -> u64 {
        let streams = self.max_incoming_streams as u64 + self.max_outgoing_streams as u64;
        let stream = self.initial_window_bytes as u64 + self.send_buffer_bytes as u64 + 256;
        streams * stream + self.session_window_budget_bytes as u64 + 2048
    }

    /// Within how many bytes of DATA payload a stream that stays ready sends at least one frame, when `ready_streams`
    /// streams of its own priority are ready:
    /// `ready_streams × (starvation_bytes + 8 × MAX_DATA_BYTES)`.
    #[must_use]
    pub const fn starvation_bound_bytes(&self, ready_streams: u32) -> u64 {
        ready_streams as u64 * (self.starvation_bytes as u64 + 8 * crate::wire::MAX_DATA_BYTES as u64)
    }

    /// Checks that the limits agree with each other, and that `storage` can hold what they promise the peer.
    ///
    /// [`Session::new`](crate::Session::new) does so as well. By then, though, the hello has told the peer of limits, so
    /// whoever shakes hands asks before it does (MUX-10.2).
    pub fn check<S: Storage>(&self, storage: &S) -> Result<(), LimitsError> {
        self.check_room(storage.max_streams(), S::Ring::MAX_BYTES)
    }

    /// [`check`](Self::check) with storage that has room for `streams` streams and `ring_bytes` in each direction of each.
    fn check_room(&self, streams: usize, ring_bytes: usize) -> Result<(), LimitsError> {
        let fits = |bytes: u32| bytes <= MAX_CREDIT_BYTES && bytes as usize <= ring_bytes;
        if self.initial_window_bytes == 0
            || self.max_window_bytes < self.initial_window_bytes
            || !fits(self.max_window_bytes)
        {
            return Err(LimitsError::Window { ring_bytes });
        }
        if self.send_buffer_bytes == 0 || !fits(self.send_buffer_bytes) {
            return Err(LimitsError::SendBuffer { ring_bytes });
        }
        let most = Hello::MAX_STREAMS;
        if self.max_incoming_streams > most
            || self.max_outgoing_streams > most
            || self.max_incoming_streams as usize + self.max_outgoing_streams as usize > streams
        {
            return Err(LimitsError::Streams { streams });
        }
        if self.starvation_bytes == 0 {
            return Err(LimitsError::Starvation);
        }
        if self.ping_after_ticks.0 == 0 || self.dead_after_ticks <= self.ping_after_ticks {
            return Err(LimitsError::Keepalive);
        }
        Ok(())
    }
}

impl Default for Limits {
    /// [`Limits::FIXED`].
    fn default() -> Self {
        Self::FIXED
    }
}

/// Why a session cannot be made with these limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// The windows are 0, in the wrong order, over `MAX_CREDIT_BYTES`, or larger than the storage's rings.
    #[error("windows must be at least 1 byte, in order, and fit the storage's rings of {ring_bytes} bytes")]
    Window {
        /// The largest ring of the storage.
        ring_bytes: usize,
    },
    /// The send buffer is 0 or larger than the storage's rings.
    #[error("the send buffer must be at least 1 byte and fit the storage's rings of {ring_bytes} bytes")]
    SendBuffer {
        /// The largest ring of the storage.
        ring_bytes: usize,
    },
    /// More streams than the storage has room for.
    #[error("incoming and outgoing streams together must fit the storage's {streams}")]
    Streams {
        /// The storage's room.
        streams: usize,
    },
    /// The starvation bound is 0.
    #[error("the starvation bound must be at least 1 byte")]
    Starvation,
    /// The ticks are 0 or in the wrong order.
    #[error("a ping must come after at least 1 tick, and death after the ping")]
    Keepalive,
}
