//! What the peer of one vat may have under way, and what that costs at worst.

/// Bounds on what a peer can make capnp-rpc hold, for one vat, and where they say so for all vats of all its sessions
/// ([`Options::accounts`](crate::Options::accounts)).
///
/// A call beyond a bound is answered with an exception of type `overloaded` and costs nothing; what cannot be
/// answered ends the vat with an [`Exceeded`](crate::Exceeded). A peer that uses every bound to the full costs about
/// `max_held_bytes` × 2 + `max_exports` × 0.4 KiB (with a small server behind each; what larger ones keep comes on
/// top) + `max_imports` × 0.4 KiB: by default 77 MiB. The entries of the calls count among the bytes held.
/// Of that, all vats of a peer together take `max_peer_held_bytes` × 2 at most for calls: by default 128 MiB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls of the peer that are not over: those that were not answered, and those whose answer carried
    /// capabilities and that it has not finished. Each costs about 2.4 KiB beside its message. Default: 4,096, which is
    /// 9.6 MiB.
    pub max_calls: usize,
    /// Bytes of those calls, 2.4 KiB for each and its message: that of the call while it is unanswered, that of its
    /// answer after that. With more than this held, calls are refused; answers that take it past twice as much end the
    /// vat. Default: 32 MiB.
    pub max_held_bytes: usize,
    /// As `max_calls`, over all vats of all sessions of the peer: the ones that it opened and those that we did. Work
    /// that must finish counts as well ([`MustFinish::run_for`](crate::MustFinish::run_for)). It is asked after
    /// `max_calls`; where sessions are on several threads, each may find room for one call at the same time. Default: 8,192, which is 19.2 MiB among `max_peer_held_bytes`.
    pub max_peer_calls: usize,
    /// As `max_held_bytes`, over all vats of all sessions of the peer; of several vats the one ends whose answer takes it past
    /// twice as much. Default: 64 MiB.
    pub max_peer_held_bytes: usize,
    /// Answers to requests for the bootstrap capability that the peer has not finished; each costs about 0.9 KiB.
    /// Default: 64.
    pub max_bootstraps: usize,
    /// How many calls may wait for one another: a call on the result of a call on the result of a call… is this deep,
    /// and so is one that takes such a result as a parameter. Each level takes about 1 KiB of stack while the calls
    /// run, and again while they are dropped. Default: 16.
    pub max_pipeline_depth: u8,
    /// Capabilities in the table of one message, and pointers to them in its content; more of either end the vat. A thread
    /// keeps 16 bytes for each, which stand in for the capabilities of a request that goes astray. Default: 1,024; at
    /// most 65,536 is what counts.
    pub max_capabilities_per_message: u32,
    /// Capabilities of this side's that the peer holds. With more than this calls are refused until it lets go of
    /// some; it gets them by calling only. Default: 16,384, which is 6.4 MiB.
    pub max_exports: usize,
    /// Capabilities of the peer's that this side holds. A call that brings more is refused; an answer that brings more
    /// ends the vat. Default: 16,384, which is 6.4 MiB.
    pub max_imports: usize,
    /// Steps from the result of a call to a capability in it; a longer way ends the vat. Default: 64, as deep as a
    /// message may be.
    pub max_transform: u32,
    /// Embargoes that the peer has not lifted, which is how long calls on a capability of ours wait that we came to
    /// through a promise of the peer's. More of them end the vat, and so does one that is older than
    /// [`Options::call_deadline`](crate::Options::call_deadline). Each costs about 1 KiB. Default: 1,024.
    pub max_embargoes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_calls: 4_096,
            max_held_bytes: 32 << 20,
            max_peer_calls: 8_192,
            max_peer_held_bytes: 64 << 20,
            max_bootstraps: 64,
            max_pipeline_depth: 16,
            max_capabilities_per_message: 1_024,
            max_exports: 16_384,
            max_imports: 16_384,
            max_transform: 64,
            max_embargoes: 1_024,
        }
    }
}

/// No message has more capabilities, whatever its vat's options say.
const MOST_CAPABILITIES: u32 = 1 << 16;

impl Limits {
    /// How many capabilities one message may have.
    pub(crate) fn capabilities_per_message(&self) -> u32 {
        self.max_capabilities_per_message.min(MOST_CAPABILITIES)
    }
}

/// More references to one capability than this end the vat: capnp-rpc counts them in 32 bits.
pub(crate) const MAX_REFERENCES: u32 = 1 << 31;
