//! packagefs: read-only content, addressed by path.
//!
//! A [`Tree`] is a directory of this machine, the bundles of a store, or files in memory; a [`Server`] offers it to one vat
//! as the capability that `schema/packagefs.capnp` describes; a [`Client`] makes files and directories of such a
//! capability again. Neither side trusts the other: no path leads a server out of its tree, and no answer leads a client
//! out of its destination.

mod attributes;
#[cfg(feature = "host")]
mod bundles;
mod client;
#[cfg(feature = "host")]
mod directory;
mod error;
#[cfg(feature = "host")]
pub(crate) mod fetch;
#[cfg(feature = "host")]
mod fetch_tree;
#[cfg(feature = "host")]
pub(crate) mod link;
mod listing;
mod memory;
pub mod path;
#[cfg(feature = "host")]
mod readers;
mod receive;
mod server;
mod tree;

use std::sync::Arc;

#[cfg(feature = "host")]
use vatmux_host::NodeBuilder;
use vatmux_mux::Priority;
#[cfg(feature = "host")]
use vatmux_noise::NodeId;
use vatmux_rpc::{ServeError, Services};

#[cfg(feature = "host")]
use crate::bundle::Rights;
use crate::schema::packagefs::{PACKAGE_FS_DESCRIPTOR, PackageFs};

pub use attributes::{Attributes, Entry};
pub use client::{Client, Links, Listing};
pub use error::{DestinationState, Error, LocalOperation, Operation, Violation};
#[cfg(feature = "host")]
pub use fetch::{FetchOptions, OutsideLinks, SkipReason, Skipped, Summary};
pub use memory::FilesError;
pub use receive::Progress;
pub use server::{Limits, MAX_READ_BYTES, MAX_SMALL_BYTES, MAX_STREAM_CHUNK_BYTES, Server};
#[cfg(feature = "host")]
pub use tree::OpenTreeError;
pub use tree::{MAX_OPEN_FILES, MAX_PEER_OPEN_FILES, Tree};

pub use crate::schema::packagefs_capnp::{Kind, Status};

/// The name under which a node offers packagefs.
pub const SERVICE_NAME: &str = PACKAGE_FS_DESCRIPTOR.name;

/// The most urgent priority of its streams: behind everything that answers people and programs in a moment.
pub const PRIORITY: Priority = PACKAGE_FS_DESCRIPTOR.priority;

/// Has a node offer `tree`: each stream has `limits` of its own.
#[cfg(feature = "host")]
pub fn offer(builder: NodeBuilder, tree: Arc<Tree>, limits: Limits) -> NodeBuilder {
    builder.serve::<PackageFs, _>(move |_| Server::new(tree.clone(), limits))
}

/// As [`offer`], to each peer what its `rights` let it read of the bundles: to itself, a tree without the others.
#[cfg(feature = "host")]
pub fn offer_narrowed(
    builder: NodeBuilder,
    tree: Arc<Tree>,
    limits: Limits,
    rights: impl Fn(NodeId) -> Rights + Clone + Send + Sync + 'static,
) -> NodeBuilder {
    builder
        .serve::<PackageFs, _>(move |peer| Server::new(tree.clone(), limits).narrowed(rights(peer.node_id())))
}

/// Has `services` offer `tree` to those who are offered the others: of a node that dials, say. Each stream has `limits` of its own.
pub fn offer_among(services: &mut Services, tree: Arc<Tree>, limits: Limits) -> Result<(), ServeError> {
    services.serve::<PackageFs, _>(move |_| Server::new(tree.clone(), limits))
}
