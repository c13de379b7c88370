//! bundlemgr: signed bundles on a node, installed whole or not at all.
//!
//! [`offer`] has a node offer what a [`Store`] holds, by the interface of `schema/bundlemgr.capnp`: everybody who may connect sees
//! what is there, and those whom the node's owner named change it; [`offer_narrowed`], to each peer what its [`Rights`] let it see
//! and do. [`install`] sends a packed bundle at the pace at which the node
//! verifies and writes it.

#[cfg(feature = "host")]
mod client;
#[cfg(feature = "host")]
mod server;
#[cfg(feature = "host")]
mod status;
#[cfg(feature = "host")]
mod upload;

#[cfg(feature = "host")]
use std::sync::Arc;

#[cfg(feature = "host")]
use vatmux_host::NodeBuilder;
use vatmux_mux::Priority;
#[cfg(feature = "host")]
use vatmux_noise::{AllowList, NodeId};

#[cfg(feature = "host")]
use crate::bundle::{Rights, Store};
use crate::schema::bundlemgr::BUNDLE_MGR_DESCRIPTOR;

pub use crate::schema::bundlemgr::{Bundle, BundleMgr, Status};
#[cfg(feature = "host")]
pub use client::{InstallError, install};
#[cfg(feature = "host")]
pub use server::{Installs, MAX_MANIFEST_BYTES, MAX_PAGE_BUNDLES, MAX_VERSIONS, Server};
#[cfg(feature = "host")]
pub use upload::MAX_PEER_INSTALLS;

/// The name under which a node offers bundlemgr.
pub const SERVICE_NAME: &str = BUNDLE_MGR_DESCRIPTOR.name;

/// The most urgent priority of its streams.
pub const PRIORITY: Priority = BUNDLE_MGR_DESCRIPTOR.priority;

/// Has a node offer the bundles of `store`. The `installers` among its peers may change them.
#[cfg(feature = "host")]
pub fn offer(builder: NodeBuilder, store: Arc<Store>, installers: AllowList) -> NodeBuilder {
    let rights = move |node: NodeId| {
        if installers.permits(&node) { Rights::all() } else { Rights::looking() }
    };
    offer_narrowed(builder, store, rights)
}

/// Has a node offer the bundles of `store`: to each peer, what its `rights` let it see and do.
#[cfg(feature = "host")]
pub fn offer_narrowed(
    builder: NodeBuilder,
    store: Arc<Store>,
    rights: impl Fn(NodeId) -> Rights + Clone + Send + Sync + 'static,
) -> NodeBuilder {
    let installs = Installs::default();
    builder.serve::<BundleMgr, _>(move |peer| {
        Server::new(store.clone(), rights(peer.node_id())).sharing(installs.clone())
    })
}

#[cfg(all(test, feature = "host"))]
mod tests;
