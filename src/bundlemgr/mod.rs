//! bundlemgr: signed bundles on a node, installed whole or not at all.
//!
//! [`offer`] has a node offer what a [`Store`] holds, by the interface of `schema/bundlemgr.capnp`: everybody who may connect sees
//! what is there, and those whom the node's owner named change it. [`install`] sends a packed bundle at the pace at which the node
//! verifies and writes it.

mod client;
mod server;
mod status;
mod upload;

use std::sync::Arc;

use vatmux_host::NodeBuilder;
use vatmux_noise::AllowList;

use crate::bundle::Store;

pub use crate::schema::bundlemgr::{Bundle, BundleMgr, Status};
pub use client::{InstallError, install};
pub use server::{MAX_MANIFEST_BYTES, MAX_PAGE_BUNDLES, MAX_VERSIONS, Rights, Server};

/// Has a node offer the bundles of `store`. The `installers` among its peers may change them.
pub fn offer(builder: NodeBuilder, store: Arc<Store>, installers: AllowList) -> NodeBuilder {
    builder.serve::<BundleMgr, _>(move |peer| {
        let rights = if installers.permits(&peer.node_id()) { Rights::Change } else { Rights::Look };
        Server::new(store.clone(), rights)
    })
}

#[cfg(test)]
mod tests;
