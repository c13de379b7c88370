//! health: whether a node answers, how fast, and what it is doing.
//!
//! A node [`offer`]s it to every peer that may connect. What a peer sees of the node is decided by who it is: itself, or
//! everything where the node's owner named it an operator; `schema/health.capnp` says what that comes to.
//!
//! [`ping`], [`node`] and [`sessions`] ask another node.

mod ask;
mod server;
mod wire;

#[cfg(all(test, feature = "host"))]
mod tests;

#[cfg(feature = "host")]
use vatmux_host::NodeBuilder;
use vatmux_mux::Priority;
#[cfg(feature = "host")]
use vatmux_noise::AllowList;
use vatmux_rpc::service::ServedBy;
use vatmux_rpc::{Peer, ServeError, Services};

pub use ask::{AskError, PeerLimits, PingError, Scope, SessionsPage, ping, sessions};
#[cfg(feature = "host")]
pub use ask::{NodeReport, node};
use server::{Server, View};

use crate::schema::health::{HEALTH_DESCRIPTOR, Health};

/// The name under which every node offers health.
pub const SERVICE_NAME: &str = HEALTH_DESCRIPTOR.name;

/// The priority of its stream: before everything else, since what it measures is the path.
pub const PRIORITY: Priority = HEALTH_DESCRIPTOR.priority;

/// Has a node offer health. The `operators` among its peers see all of it, all others see their own session.
#[cfg(feature = "host")]
pub fn offer(builder: NodeBuilder, operators: AllowList) -> NodeBuilder {
    let observer = builder.observer();
    builder.serve::<Health, _>(move |peer| {
        let view = if operators.permits(&peer.node_id()) {
            View::WholeNode(observer.clone())
        } else {
            View::OwnSession
        };
        Server::new(peer.clone(), view)
    })
}

/// Has `services` offer health to those who are offered the others: of a node that dials, say. Each sees its own session.
pub fn offer_among(services: &mut Services) -> Result<(), ServeError> {
    services.serve::<Health, _>(|peer| Server::new(peer.clone(), View::OwnSession))
}

/// The health service as `peer` may see it that is no operator, as [`NodeBuilder::serve_named`] wants it.
#[must_use]
pub fn capability(peer: &Peer) -> capnp::capability::Client {
    Health::client_of(Server::new(peer.clone(), View::OwnSession)).client
}
