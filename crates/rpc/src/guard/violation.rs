//! The ways in which a peer can be wrong, by name.

use std::time::Duration;

use super::Malformed;

/// A message that no correct peer sends. It ends the vat, and touches no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// Its encoding is wrong.
    #[error("a malformed message: {0}")]
    Malformed(Malformed),
    /// A Call or a Bootstrap under an id that is not free.
    #[error("a call with id {0}, which another call has")]
    CallIdInUse(u32),
    /// An answer to the request for its bootstrap capability that gives none of its own.
    #[error("something that is no capability of its own for its bootstrap capability")]
    StrangeBootstrap,
    /// A Return for a question that is not open: never asked, or answered before.
    #[error("an answer to question {0}, which is not open")]
    UnaskedAnswer(u32),
    /// A capability of ours that the peer does not hold: as the target of a Call or a Disembargo, or in a Release.
    #[error("a message for capability {0}, which it does not hold")]
    UnknownExport(u32),
    /// More references given back than were given.
    #[error("{count} references of capability {id} given back, of which it holds {held}")]
    ReleasedTooOften {
        /// The capability, as the wire has it.
        id: u32,
        /// What was given back at once.
        count: u32,
        /// What the peer holds.
        held: u32,
    },
    /// A Disembargo that is to come back, sent to a capability that does not lead back to the peer.
    #[error("a disembargo for a capability that is not its own")]
    DisembargoAstray,
    /// An embargo lifted that is not in force.
    #[error("embargo {0} lifted, which is not in force")]
    UnknownEmbargo(u32),
    /// It says that it does not implement a message that every peer has to.
    #[error("a message returned as unimplemented that every peer implements")]
    EssentialUnimplemented,
    /// A message of no kind that we know, with capabilities in it.
    #[error("a message of an unknown kind with capabilities in it")]
    UnknownWithCapabilities,
    /// A part of the protocol that takes three parties, which nobody told it that we have.
    #[error("a message of the three-party protocol inside of one that we implement")]
    ThreeParties,
    /// More capabilities in one message than [`Limits::max_capabilities_per_message`](super::Limits).
    #[error("{count} capabilities in one message, over the limit of {limit}")]
    TooManyCapabilities {
        /// Found.
        count: u32,
        /// Allowed.
        limit: u32,
    },
    /// A longer way into a result than [`Limits::max_transform`](super::Limits).
    #[error("a transform of {steps} steps, over the limit of {limit}")]
    TransformTooLong {
        /// Found.
        steps: u32,
        /// Allowed.
        limit: u32,
    },
}

/// A bound of the vat that the peer has gone beyond, and that could not be kept by refusing a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Exceeded {
    /// [`Limits::max_imports`](super::Limits): answers brought more capabilities.
    #[error("it gave more than {limit} capabilities")]
    Imports {
        /// Allowed.
        limit: usize,
    },
    /// Two to the power of 31 references to one capability, in either direction.
    #[error("one capability has more references than can be counted")]
    References,
    /// Twice [`Limits::max_held_bytes`](super::Limits): it does not finish its calls.
    #[error("{held} bytes are held for calls that it does not finish, over twice the limit of {limit}")]
    HeldBytes {
        /// What is held.
        held: usize,
        /// Allowed, doubled for answers.
        limit: usize,
    },
    /// Twice [`Limits::max_peer_held_bytes`](super::Limits): it does not finish its calls on the streams of its session.
    #[error("{held} bytes are held for its calls on all its streams, over twice the limit of {limit}")]
    PeerHeldBytes {
        /// What is held.
        held: usize,
        /// Allowed, doubled for answers.
        limit: usize,
    },
    /// [`Limits::max_embargoes`](super::Limits).
    #[error("it left more than {limit} embargoes in force")]
    Embargoes {
        /// Allowed.
        limit: usize,
    },
    /// [`Options::call_deadline`](crate::Options::call_deadline), for an embargo.
    #[error("it left an embargo in force for {0:?}")]
    EmbargoStalled(Duration),
}
