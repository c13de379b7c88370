//! Who may do what on a node: policies, and the log of what was changed.
//!
//! A [`Policy`] says of each node what it is granted, and of a node that it does not name: nothing. It is read from a file
//! ([`Policy::read`]) or built of [`Grant`]s. The services take from it what each peer may see and change, before
//! anything of theirs is given to the peer; what a peer is denied looks to it as if it were not there.
//!
//! Who a peer is, is what the handshake of its session has proved; nothing that it says counts.

#[cfg(feature = "host")]
mod file;
#[cfg(feature = "host")]
mod grant;
mod mutation;
#[cfg(feature = "host")]
mod pattern;
#[cfg(feature = "host")]
mod policy;
pub(crate) mod shares;

#[cfg(feature = "host")]
pub use grant::{Files, Grant};
pub(crate) use mutation::Mutation;
pub use mutation::{MAX_TARGET_BYTES, MUTATIONS};
#[cfg(feature = "host")]
pub use pattern::{NamePattern, PatternError};
#[cfg(feature = "host")]
pub use policy::Policy;

#[cfg(all(test, feature = "host"))]
mod tests;
