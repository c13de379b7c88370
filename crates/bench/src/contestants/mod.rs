//! The contestants, one file each: what their sides do.

pub(crate) mod h2;
pub(crate) mod memory;
pub(crate) mod node;
pub(crate) mod raw;
pub(crate) mod rpc;
pub(crate) mod services;
pub(crate) mod sftp;
pub(crate) mod stream;
pub(crate) mod vatmux;
pub(crate) mod yamux;
