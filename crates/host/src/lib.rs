//! vatmux on an operating system: sockets as links, parking on the system's poller, nodes on worker threads.
//!
//! * [`Node`] accepts peers on TCP and Unix sockets and serves them from worker threads.
//! * [`Observer`] looks at a node from anywhere in its process.
//! * [`Local`] drives the calling thread: it dials peers and, where it is given services, serves them too.
//! * [`Reactor`] parks a driver until one of its sockets is ready, a deadline comes or another thread calls.
//! * [`NodeAddress`] is what people type: `vat://NODE-ID@host:port/path`.
//! * [`bridge`] offers a node's services to programs that speak plain Cap'n Proto RPC, and theirs to nodes.
//! * [`keys`] keeps a node's secret key in a file that only its owner can read.

mod address;
pub mod bridge;
mod clock;
mod dial;
pub mod keys;
mod listen;
mod local;
mod memory;
mod node;
mod observe;
mod pace;
mod reactor;
mod socket;

pub use address::{AddressError, Endpoint, NodeAddress};
pub use clock::MonotonicClock;
pub use dial::DialError;
pub use listen::{ListenError, Listener};
pub use local::{Dialer, Local};
pub use node::{Bound, Node, NodeBuilder, NodeEvent, StartError};
pub use observe::{NodeCounters, NodeSnapshot, Observer};
pub use reactor::{Reactor, ReactorPark};
pub use socket::{SocketLink, StreamSocket, WatchedSocket};
pub use vatmux_rpc::ReconnectOptions;
pub use vatmux_rpc::SessionSnapshot;

/// A node that is dialed again when its session is lost; see [`Dialer::reconnecting`].
pub type ReconnectingPeer = vatmux_rpc::ReconnectingPeer<DialError>;

/// One service of a [`ReconnectingPeer`].
pub type ServiceOfPeer<C> = vatmux_rpc::ServiceOfPeer<C, DialError>;

/// Why a call through a [`ServiceOfPeer`] has no answer.
pub type CallError = vatmux_rpc::CallError<DialError>;

/// Why nobody reaches a [`ReconnectingPeer`].
pub type Unreachable = vatmux_rpc::Unreachable<DialError>;
