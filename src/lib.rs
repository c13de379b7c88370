//! Schemas in, services out: Cap'n Proto RPC over one secure, multiplexed link.

pub mod health;
pub mod packagefs;
pub mod schema;
