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
mod questions;
mod read;
mod references;
mod segments;
mod shared;
mod vat;

pub use end::VatEnd;
pub use options::Options;
pub use read::FrameError;
pub use vat::{Remote, Vat};
