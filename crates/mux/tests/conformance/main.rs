//! Whether the engine does what docs/spec/mux.md says, clause by clause.
//!
//! A test names the clauses that it proves in its documentation. What the engine's own tests prove already is tagged
//! there; `clauses` checks that nothing is left out.
#![cfg(feature = "alloc")]

mod clauses;
mod frames;
mod limits;
mod sending;
mod sessions;
mod spec;
mod streams;
#[allow(dead_code, reason = "shared with the engine's tests, which use all of it")]
#[path = "../engine/support.rs"]
mod support;
mod time;
mod vectors;
mod windows;
