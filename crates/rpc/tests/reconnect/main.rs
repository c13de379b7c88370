//! A peer that comes and goes, on virtual time: what its callers are told, when it is dialed, and what is left behind.

#[path = "../common/mod.rs"]
mod common;

mod calls;
mod fence;
mod outages;
mod soundness;
mod world;
