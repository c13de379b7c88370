//! The C++ schema compiler and ours, side by side. `cargo xtask test reference` provides the former and runs these; by
//! hand, `cargo test -p vatmux-schema-reference -- --ignored`.

mod common;
mod comparison;
mod corpus;
mod generated;
mod mutated;
mod naming;
mod refused;
