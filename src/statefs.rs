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
//! once, and then acknowledges each: the more clients write, the less a flush costs each of them. Where all of them are small, what is
//! flushed is one record of a log; the engine's own commit, which writes and flushes more, follows now and then.

#[cfg(feature = "host")]
mod access;
#[cfg(feature = "host")]
mod blocks;
#[cfg(feature = "host")]
mod changes;
mod client;
#[cfg(feature = "host")]
pub mod device;
#[cfg(feature = "host")]
mod error;
pub mod key;
#[cfg(feature = "host")]
mod log;
mod mark;
#[cfg(feature = "host")]
mod record;
mod request;
#[cfg(feature = "host")]
mod server;
#[cfg(feature = "host")]
mod store;
#[cfg(feature = "host")]
mod upload;
mod value;
#[cfg(feature = "host")]
mod writer;

#[cfg(all(test, feature = "host"))]
mod tests;

#[cfg(feature = "host")]
use vatmux_host::NodeBuilder;
use vatmux_mux::Priority;
#[cfg(feature = "host")]
use vatmux_noise::NodeId;

use crate::schema::statefs::STATE_FS_DESCRIPTOR;
#[cfg(feature = "host")]
use crate::schema::statefs::StateFs;

#[cfg(feature = "host")]
pub use access::{Access, Right};
pub use client::{Client, RequestError};
#[cfg(feature = "host")]
pub use device::{BlockDevice, FileDevice};
#[cfg(feature = "host")]
pub use error::Error;
pub use key::{Key, KeyError, Prefix};
#[cfg(feature = "host")]
pub use mark::MAX_OPENINGS;
pub use mark::{MARK_BYTES, Mark, MarkError};
#[cfg(feature = "host")]
pub use request::TransactError;
pub use request::{Condition, Operation, Step};
#[cfg(feature = "host")]
pub use server::{MAX_WRITE_BYTES, Server};
#[cfg(feature = "host")]
pub use store::{Limits, MAX_PAGE_ENTRIES, MAX_PEER_READINGS, MAX_READINGS, OpenOptions, Reading, Store};
#[cfg(feature = "host")]
pub use upload::{MAX_PEER_UPLOADS, MAX_UPLOADS, Upload};
pub use value::{Entry, MAX_PUT_BYTES, MAX_VALUE_BYTES, Page, Usage, Value, Version};
#[cfg(feature = "host")]
pub use writer::{MAX_OPERATIONS, MAX_TRANSACTION_BYTES, MAX_WAITING};

pub use crate::schema::statefs_capnp::Status;

/// The name under which a node offers statefs.
pub const SERVICE_NAME: &str = STATE_FS_DESCRIPTOR.name;

/// The most urgent priority of its streams.
pub const PRIORITY: Priority = STATE_FS_DESCRIPTOR.priority;

/// Has a node offer `store`: to each peer, what `access` lets it see and change.
#[cfg(feature = "host")]
pub fn offer(
    builder: NodeBuilder,
    store: Store,
    access: impl Fn(NodeId) -> Access + Clone + Send + Sync + 'static,
) -> NodeBuilder {
    builder.serve::<StateFs, _>(move |peer| Server::new(store.clone(), access(peer.node_id())))
}
