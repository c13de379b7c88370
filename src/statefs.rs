//! statefs: durable keys and values.
//!
//! A [`Store`] keeps them on a [`BlockDevice`]: a file of this machine ([`FileDevice`]), or whatever else is read and
//! written at an offset. It may be shared by all threads of a process, and by one process alone. It promises:
//!
//! * **A change that was acknowledged is durable.** It survives the loss of the process and of power.
//! * **All or nothing.** Of a change, a transaction or a streamed value nobody ever sees a part, now or after a crash.
//! * **What is read is what was written**, or an error says that the store is damaged. Every block has a checksum,
//!   and so has every value.
//! * **Versions only grow.** Each change has a version, larger than all before it, also after a crash.
//! * **Reading never waits for writing.** Reads come from the last state that is durable.
//!
//! All changes go through one thread, which takes all that wait at once, makes one transaction of them, flushes
//! once, and then acknowledges each: the more clients write, the less a flush costs each of them.

mod access;
mod blocks;
mod client;
pub mod device;
mod error;
pub mod key;
mod record;
mod request;
mod server;
mod store;
mod upload;
mod writer;

#[cfg(test)]
mod tests;

use vatmux_host::NodeBuilder;
use vatmux_mux::Priority;
use vatmux_noise::NodeId;

use crate::schema::statefs::{STATE_FS_DESCRIPTOR, StateFs};

pub use access::{Access, Right};
pub use client::{Client, RequestError};
pub use device::{BlockDevice, FileDevice};
pub use error::Error;
pub use key::{Key, KeyError, Prefix};
pub use request::{Condition, Operation, Step, TransactError};
pub use server::{MAX_WRITE_BYTES, Server};
pub use store::{
    Entry, Limits, MAX_PAGE_ENTRIES, MAX_PEER_READINGS, MAX_READINGS, MAX_VALUE_BYTES, OpenOptions, Page,
    Reading, Store, Usage, Value, Version,
};
pub use upload::{MAX_PEER_UPLOADS, MAX_UPLOADS, Upload};
pub use writer::{MAX_OPERATIONS, MAX_PUT_BYTES, MAX_TRANSACTION_BYTES, MAX_WAITING};

pub use crate::schema::statefs_capnp::Status;

/// The name under which a node offers statefs.
pub const SERVICE_NAME: &str = STATE_FS_DESCRIPTOR.name;

/// The most urgent priority of its streams.
pub const PRIORITY: Priority = STATE_FS_DESCRIPTOR.priority;

/// Has a node offer `store`: to each peer, what `access` lets it see and change.
pub fn offer(
    builder: NodeBuilder,
    store: Store,
    access: impl Fn(NodeId) -> Access + Clone + Send + Sync + 'static,
) -> NodeBuilder {
    builder.serve::<StateFs, _>(move |peer| Server::new(store.clone(), access(peer.node_id())))
}
