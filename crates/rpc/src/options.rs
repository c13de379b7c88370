//! What a vat may use and how long it waits. Every bound is here, with its worst case beside it.

use std::time::Duration;

use crate::{Deadlines, Limits, PeerAccounts, deadline};

/// Bounds of one vat, the same for every stream of a session.
///
/// The worst case of one vat that a hostile peer can force is about `max_message_bytes` (the message being
/// read) + 192 KiB (messages before it that nobody has looked at) + `max_message_bytes` (a call held back while replies
/// wait) + `send_queue_hard_bytes` (what the peer does not read) + what [`limits`](Self::limits) come to + 300 bytes
/// × `max_canceled_calls`: by default 145 MiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The largest message in either direction, without its segment table. A larger incoming message ends the
    /// vat; a larger outgoing call or result fails alone, and the vat lives on. Default: 8 MiB.
    ///
    /// Memory is taken as the bytes arrive: a header alone costs the peer's word at most 72 KiB here, or as much as a message
    /// before it had, up to 264 KiB.
    pub max_message_bytes: usize,
    /// The most segments in one incoming message. Default: 512, which is at most 4 KiB of segment table.
    pub max_segments: usize,
    /// How long a call waits for its answer where nobody says anything else of it: [`deadline::with`](crate::deadline::with) around
    /// it, `deadlines`, or the schema that its stub was generated from, the first of these that does. Default: 30 s.
    pub call_deadline: Duration,
    /// How long a call of the peer's is served, counted from its arrival. After that the method is canceled, and the
    /// caller told. It is the longest that callers may wait, for methods that `deadlines` do not name. Default: 10 min.
    pub served_call_deadline: Duration,
    /// The methods for which neither `call_deadline` nor `served_call_deadline` holds, nor what their schema says.
    /// Callers may wait less by [`deadline::with`](crate::deadline::with); if they wait longer, the callee does not.
    /// Default: none.
    pub deadlines: Deadlines,
    /// How many bytes of unacknowledged calls a caller of a `-> stream` method keeps in flight, beside the
    /// largest single one of them; each counts for 512 bytes more than it has. The callee may have to hold as much.
    /// Default: 512 KiB.
    pub stream_window_bytes: usize,
    /// With more bytes of replies than this waiting for a peer that does not read, its next call is not served
    /// and nothing behind it is read, until some have left. Default: 1 MiB.
    pub send_queue_soft_bytes: usize,
    /// With more bytes than this waiting to be sent, replies and calls together, the vat ends. It should have
    /// room for the soft bound, a message of the largest size and a few streams' windows. Default: 32 MiB.
    pub send_queue_hard_bytes: usize,
    /// How long bytes may wait to be sent without a single one leaving before the vat ends. It is also what
    /// ends two vats that wait for each other to read. Default: 30 s.
    pub send_stall: Duration,
    /// How many calls may be past their deadline with the peer still owing the answer, before the vat ends.
    /// Each costs about 16 bytes. Default: 1,024.
    pub max_expired_calls: usize,
    /// How many calls the peer may cancel before their answers, or this side because their time is over, over the life of
    /// the vat. capnp-rpc does not let
    /// go of the entry of a call that was canceled: each costs about 300 bytes until the vat ends. Default:
    /// 65,536, which is 20 MiB.
    pub max_canceled_calls: usize,
    /// How many vats one peer may have this side serve at once, over all services; what it opens beyond is reset as
    /// `OVERLOADED`. The worst case of a peer is this many times that of a vat, but for what its calls hold:
    /// that has one bound for all of them ([`Limits::max_peer_held_bytes`]). Default: 32.
    pub max_served_vats: usize,
    /// Whom the `max_peer_…` of `limits` are counted by. Sessions whose options are clones of one another share them, as
    /// those of a node do. Default: accounts that nobody else has.
    pub accounts: PeerAccounts,
    /// What the peer may have under way: calls, capabilities, and what they hold.
    pub limits: Limits,
    /// How long a vat that ended tries to get its last bytes out and to hear the peer's end of the stream.
    /// Default: 5 s.
    pub linger: Duration,
}

impl Options {
    /// How long a call to the peer waits that is sent now: as the caller says of the call, or of its method; or else as the schema
    /// does.
    pub(crate) fn patience(&self, interface: u64, method: u16) -> Duration {
        let said = deadline::overridden().or_else(|| self.deadlines.get(interface, method));
        said.or_else(deadline::of_schema).unwrap_or(self.call_deadline)
    }

    /// How long a call of the peer's is served.
    pub(crate) fn served_patience(&self, interface: u64, method: u16) -> Duration {
        self.deadlines.get(interface, method).unwrap_or(self.served_call_deadline)
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_message_bytes: 8 << 20,
            max_segments: 512,
            call_deadline: Duration::from_secs(30),
            served_call_deadline: Duration::from_mins(10),
            deadlines: Deadlines::default(),
            stream_window_bytes: 512 << 10,
            send_queue_soft_bytes: 1 << 20,
            send_queue_hard_bytes: 32 << 20,
            send_stall: Duration::from_secs(30),
            max_expired_calls: 1_024,
            max_canceled_calls: 65_536,
            max_served_vats: 32,
            accounts: PeerAccounts::default(),
            limits: Limits::default(),
            linger: Duration::from_secs(5),
        }
    }
}
