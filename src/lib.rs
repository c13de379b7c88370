//! Schemas in, services out: Cap'n Proto RPC over one secure, multiplexed link.
//!
//! A **node** is a process with a key. Its id is the key's public half, and an address names it by that id:
//! `vat://NODE-ID@host:port`. Between two nodes there is one link, encrypted and authenticated by a Noise handshake; on the
//! link many **streams**, each with a name, a priority and credit of its own; on each stream a Cap'n Proto **vat**, with
//! promise pipelining, live capabilities and a deadline on every call.
//!
//! * [`Node`] accepts peers and serves them from worker threads.
//! * [`Local`] runs on the calling thread: it dials nodes, and what it dials can call it back.
//! * [`Peer::connect`] asks a peer for a service by its type; what it gives is the client that was generated from its schema.
//! * [`bridge`] lets programs that speak plain Cap'n Proto RPC use a node's services, and offer theirs.
//! * [`bundle`] packs, signs and keeps trees of files; [`bundlemgr`] installs and removes them on a node.
//! * [`packagefs`] serves and fetches read-only trees, bundles among them; [`health`] says whether a node answers, how fast, and what it is doing.
//! * [`statefs`] keeps keys and values: an acknowledged change survives the loss of the process and of power.
//! * [`samgr`] says who offers what, live: capabilities by name, over the node that everybody knows.
//! * [`Observer`] looks at a node from within its process; whoever subscribes to `tracing` sees each session, stream and call.
//!
//! The layers below have crates of their own, of which this one names what most programs need: `vatmux-mux` (the
//! multiplexer), `vatmux-noise` (identity and encryption), `vatmux-driver` (the poll loop), `vatmux-rpc` (vats) and
//! `vatmux-host` (sockets and threads). `docs/architecture.md` follows one call through all of them.

// Generated code says `::vatmux`, here as everywhere.
extern crate self as vatmux;

pub mod access;
#[cfg(feature = "host")]
pub mod bundle;
pub mod bundlemgr;
pub mod health;
pub mod packagefs;
pub mod samgr;
pub mod schema;
pub mod statefs;
#[cfg(feature = "host")]
pub mod toml_file;

pub use vatmux_driver::{Handle, HandshakeFailure, SessionEnd, SessionOptions, TrafficSnapshot};
#[cfg(feature = "host")]
pub use vatmux_host::bridge;
#[cfg(feature = "host")]
pub use vatmux_host::{
    AddressError, Bound, CallError, DialError, Dialer, Endpoint, ListenError, Listener, Local, Node,
    NodeAddress, NodeBuilder, NodeCounters, NodeEvent, NodeSnapshot, Observer, ReconnectOptions,
    ReconnectingPeer, ServiceOfPeer, SessionSnapshot, StartError, Unreachable, keys,
};
pub use vatmux_mux::{CloseCode, Limits, Priority};
pub use vatmux_noise::{AllowList, Entropy, NodeId, NodeIdError, SecretKey};
pub use vatmux_rpc::{
    CallStatistics, ConnectError, Disconnected, Failure, GivenUp, Latency, MethodStatistics, MustFinish,
    Options as VatOptions, Outcome, Peer, PeerState, PeerStatistics, Remote, ServeError, ServiceStatistics,
    Services, StreamSnapshot, capnp, capnp_rpc, deadline, service,
};

/// The README's examples are compiled with the documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
