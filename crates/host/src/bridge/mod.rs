//! The bridge to plain two-party Cap'n Proto RPC: for programs in C++, Python, Go or anything else that has the
//! protocol, and knows nothing of vatmux.
//!
//! * [`Bridge`] offers one service of a node on a local socket: each program that connects gets the service's bootstrap
//!   capability as that of an ordinary `rpc-twoparty` connection.
//! * [`NodeBuilder::import`](crate::NodeBuilder::import) offers the bootstrap capability of a plain server as a service
//!   of a node.
//!
//! The wire format of a vat is Cap'n Proto's own, so the plain side is a [`Vat`](vatmux_rpc::Vat) as well: its bounds and
//! deadlines hold for plain peers, too. Capabilities are passed through both ways; calls on them go the way that they
//! came. Every plain connection is one vat with a stream of its own, so that the end of either ends the other, with the
//! reason, and nothing else.
//!
//! What passes here is neither encrypted nor authenticated: whoever can connect is whoever the bridge's own key is. So
//! only Unix sockets of one owner and loopback addresses are taken, unless the caller insists ([`PlainEndpoint`]).

mod anchor;
mod endpoint;
mod import;
mod link;
mod offer;

use std::time::Duration;

use vatmux_liveness::{AttemptBudget, RedialLimits, RetryLimits};
use vatmux_rpc::{Options, ReconnectOptions};

pub use endpoint::{LeavesThisMachine, PlainEndpoint};
pub use offer::{Bridge, BridgeError, BridgeEvent};

/// Bounds of the plain side.
///
/// The worst case is `max_connections` times that of a vat with these [`Options`], and as much again for the streams
/// behind them.
#[derive(Clone, Debug)]
pub struct PlainLimits {
    /// How many plain connections there may be at once, over all threads. A program that connects beyond is told so,
    /// and a peer's stream beyond fails as overloaded. Default: 64.
    pub max_connections: usize,
    /// How long connecting to a plain server may take. Default: 5 s.
    pub connect_deadline: Duration,
    /// How long a program that connected may take until its first message is there. Default: 10 s.
    pub first_message: Duration,
    /// How long a connection may be without a byte in either direction; None, the default, is for ever: a program may
    /// wait to be called back. Calls that are under way do not count as bytes, so it should be longer than their deadline.
    pub idle: Option<Duration>,
    /// How a [`Bridge`] dials its node again once a session with it was lost, and how long a program that connects waits for
    /// that. Default: for a minute and at most 30 times, with the pauses of [`ReconnectOptions`]; a program waits for 5 s.
    pub reconnect: ReconnectOptions,
    /// Bounds and times of each vat. [`Options::call_deadline`] is that of every call that passes the bridge.
    pub vat: Options,
}

impl Default for PlainLimits {
    fn default() -> Self {
        Self {
            max_connections: 64,
            connect_deadline: Duration::from_secs(5),
            first_message: Duration::from_secs(10),
            idle: None,
            reconnect: reconnect(),
            vat: Options::default(),
        }
    }
}

/// Programs come and go, and those that are there wait for an answer: a bridge gives up sooner than whoever holds a node.
fn reconnect() -> ReconnectOptions {
    let usual = ReconnectOptions::default();
    let attempts = AttemptBudget::new(30).unwrap_or(AttemptBudget::ONE);
    let outage = RetryLimits { within: Duration::from_mins(1), attempts, ..usual.limits.outage };
    let limits = RedialLimits { outage, ..usual.limits };
    ReconnectOptions { limits, patience: Duration::from_secs(5) }
}

/// As a plain program reads of the end of its connection.
fn shown(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}
