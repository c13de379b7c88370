//! A Cap'n Proto vat on every stream: capnp-rpc's promise pipelining and live capabilities, with bounds and
//! deadlines around them.
//!
//! A [`Peer`] is a node that we have a session with. It is offered our [`Services`] and offers its own:
//! [`Peer::connect_named`] opens a stream under a service's name and gives its capability at once, as a
//! [`Remote`]. Each stream is a [`Vat`] of its own, at both ends; what ends one vat touches no other. A vat also runs
//! on any other stream of bytes.
//!
//! What a vat promises beyond what capnp-rpc does:
//!
//! 1. **Every call ends.** Its [`deadline`] cancels it at both ends, and the error names the method. When a vat
//!    is over, every call on it fails with the reason ([`VatEnd`]). A method sees who calls and how long it has
//!    ([`CallContext`]).
//! 2. **Everything has a bound** ([`Options`], [`Limits`]): a message, what waits for a peer that does not read, what a
//!    peer owes us, the calls and capabilities that it has under way. Calls beyond a bound fail as overloaded. Memory is
//!    taken as bytes arrive, never because a peer announces them.
//! 3. **What leaves together leaves in one write**: sending only queues; the queue is written when nothing else
//!    can run.
//! 4. **A canceled call costs no id**: the peer that cancels gets its Return, and the ids of calls whose answers
//!    are still owed are used for nothing else.
//! 5. **A peer ends its own vat, and nothing else.** Each message is judged before capnp-rpc gets it; one that no correct
//!    peer sends ends the vat, and the end names it ([`Violation`], [`Exceeded`]).
//! 6. **A call that was lost with its vat says whether it may have been delivered** ([`Disconnected`]), and is not made
//!    again by itself. A [`ReconnectingPeer`] is dialed again within bounds.
//! 7. **Everything is counted** ([`Peer::statistics`], [`Services::statistics`]), and told to whoever subscribes to
//!    `tracing`: a span for each session, stream and call. Nothing is printed.
//!
//! It is `!Send` as capnp-rpc is: a vat lives on the thread of its driver.

#![forbid(unsafe_code)]

mod answers;
mod bootstrap;
mod by_id;
mod call;
pub mod deadline;
mod disconnected;
mod end;
mod flow;
mod guard;
mod incoming;
mod inlet;
mod must_finish;
mod network;
mod options;
mod outbox;
mod outgoing;
mod peer;
mod questions;
mod read;
mod reconnect;
mod references;
mod segments;
pub mod service;
mod services;
mod settled;
mod shared;
mod sight;
mod stand_ins;
mod vat;

#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::unimplemented,
    missing_docs,
    unused_qualifications,
    unreachable_pub,
    dead_code,
    reason = "lints are ours to obey, not the generator's"
)]
mod description_capnp {
    include!(concat!(env!("OUT_DIR"), "/description_capnp.rs"));
}

pub use call::CallContext;
pub use deadline::Deadlines;
pub use disconnected::Disconnected;
pub use end::VatEnd;
pub use guard::{Exceeded, Limits, Malformed, PeerAccounts, Violation};
pub use must_finish::MustFinish;
pub use options::Options;
pub use peer::{ConnectError, Peer};
pub use read::FrameError;
pub use reconnect::{
    CallError, Failure, GivenUp, PeerState, ReconnectOptions, ReconnectingPeer, ServiceOfPeer, Unreachable,
};
pub use services::{Directory, DirectoryEntry, ServeError, Services};
pub use settled::{resolved, settled};
pub use sight::{
    CallStatistics, Latency, MethodStatistics, Outcome, PeerStatistics, Refusals, ServiceStatistics,
    SessionSnapshot, StreamSnapshot,
};
pub use vat::{Remote, Vat};
// Generated code finds them here.
pub use {capnp, capnp_rpc};
