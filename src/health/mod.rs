//! health: whether a node answers, how fast, and what it is doing.
//!
//! A node [`offer`]s it to every peer that may connect. What a peer sees of the node is decided by who it is: itself, or
//! everything where the node's owner named it an operator; `schema/health.capnp` says what that comes to.
//!
//! [`ping`], [`node`] and [`sessions`] ask another node.

mod ask;
mod server;
mod wire;

#[cfg(test)]
mod tests;

use vatmux_host::NodeBuilder;
use vatmux_mux::Priority;
use vatmux_noise::AllowList;
use vatmux_rpc::{Peer, ServeError, Services};

pub use ask::{AskError, NodeReport, PeerLimits, PingError, Scope, SessionsPage, node, ping, sessions};
use server::{Server, View};

use crate::schema::health_capnp::health;

/// The name under which every node offers health.
pub const SERVICE_NAME: &str = "vatmux.health";

/// The priority of its stream: before everything else, since what it measures is the path.
pub const PRIORITY: Priority = Priority::FIRST;

/// Has a node offer health. The `operators` among its peers see all of it, all others see their own session.
pub fn offer(builder: NodeBuilder, operators: AllowList) -> NodeBuilder {
    let observer = builder.observer();
    builder.serve(SERVICE_NAME, PRIORITY, move |peer| {
        let view = if operators.permits(&peer.node_id()) {
            View::WholeNode(observer.clone())
        } else {
            View::OwnSession
        };
        client(peer, view)
    })
}

/// Has `services` offer health to those who are offered the others: of a node that dials, say. Each sees its own session.
pub fn offer_among(services: &mut Services) -> Result<(), ServeError> {
    services.serve(SERVICE_NAME, PRIORITY, capability)
}

/// The health service as `peer` may see it that is no operator, as [`NodeBuilder::serve`] wants it.
#[must_use]
pub fn capability(peer: &Peer) -> capnp::capability::Client {
    client(peer, View::OwnSession)
}

fn client(peer: &Peer, view: View) -> capnp::capability::Client {
    capnp_rpc::new_client::<health::Client, _>(Server::new(peer.clone(), view)).client
}
