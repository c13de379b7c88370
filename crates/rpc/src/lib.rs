//! A Cap'n Proto vat on every stream: capnp-rpc's promise pipelining and live capabilities, with bounds and
//! deadlines around them.

#![forbid(unsafe_code)]

mod answers;
mod bootstrap;
pub mod deadline;
mod end;
mod flow;
mod incoming;
mod network;
mod options;
mod outbox;
mod outgoing;
mod peer;
mod questions;
mod read;
mod references;
mod segments;
mod services;
mod shared;
mod vat;

pub use end::VatEnd;
pub use options::Options;
pub use peer::{ConnectError, Peer};
pub use read::FrameError;
pub use services::{ServeError, Services};
pub use vat::{Remote, Vat};
