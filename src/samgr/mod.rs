//! samgr: who offers what, live.
//!
//! A node [`offer`]s a [`Registry`] to its peers, by the interface of `schema/samgr.capnp`: they register capabilities under names,
//! and resolve, wait for, list and watch what others registered. It promises:
//!
//! * **A name leads to somebody who is there.** A registration lasts as long as its handle, and no longer than its provider's
//!   session: who dies is gone for everybody within the keepalive bound of that session.
//! * **What is resolved is the capability itself.** Calls may be sent before the answer is there; they cost no round trip more.
//!   Where provider and caller are on two threads of the node, a vat of its own between the threads carries them.
//! * **A watch misses nothing.** Its watcher is told what there is, that this was all, and then each change, in order, each
//!   once; or that it was too slow, and what there is now.
//! * **Denied looks like absent.** What a peer's [`Access`] does not let it see is answered as if it were not there, and so are
//!   services of the node that the peer is not permitted.
//! * **Everything is bounded** ([`Limits`]), by peer and for all.
//!
//! The node's own services are registered as well. [`Client`] is the other side of it.

mod access;
mod client;
mod desk;
mod name;
mod registry;
mod road;
mod server;
mod table;
mod watch;

use std::rc::Rc;

#[cfg(feature = "host")]
use vatmux_host::NodeBuilder;
use vatmux_mux::Priority;
use vatmux_noise::NodeId;
use vatmux_rpc::{ServeError, Services};

pub use access::{Access, Right};
pub use client::{
    Client, Event, Found, Page, Policy, Registered, RequestError, Resolving, Seen, WatchError, Watching,
};
pub use name::{MAX_NAME_BYTES, Name, NameError, Prefix};
pub use registry::{Limits, Registry};
pub use server::{MAX_PAGE_SERVICES, MAX_VERSION_BYTES, MAX_WAIT};
pub use watch::{MAX_BATCH, WATCHER_PATIENCE};

pub use crate::schema::samgr::{Descriptor, Samgr};
pub use crate::schema::samgr_capnp::{Reason, Status};

use crate::schema::samgr::SAMGR_DESCRIPTOR;
use desk::Desk;
use server::Server;

/// The name under which a node offers samgr.
pub const SERVICE_NAME: &str = SAMGR_DESCRIPTOR.name;

/// The most urgent priority of its streams.
pub const PRIORITY: Priority = SAMGR_DESCRIPTOR.priority;

/// Has a node offer `registry`: to each peer, what `access` lets it see and register. The node's own services are in it from its
/// first peer on, also those that it comes to offer after this.
///
/// A registry is one node's.
#[cfg(feature = "host")]
pub fn offer(
    builder: NodeBuilder,
    registry: Registry,
    access: impl Fn(NodeId) -> Access + Clone + Send + Sync + 'static,
) -> NodeBuilder {
    let node = builder.node_id();
    builder.services(move |services| offer_among(services, &registry, node, access.clone()))
}

/// Has `services` offer `registry`, on one thread of a `node`, as `offer` does on all.
pub fn offer_among(
    services: &mut Services,
    registry: &Registry,
    node: NodeId,
    access: impl Fn(NodeId) -> Access + 'static,
) -> Result<(), ServeError> {
    let directory = services.directory();
    let desk = Rc::new(Desk::new(registry.clone(), directory.clone(), node));
    services.serve_within::<Samgr, _>(
        move |peer| Server::new(desk.clone(), peer, access(peer.node_id())),
        move |all| Desk::bounds(&directory, all),
    )
}
