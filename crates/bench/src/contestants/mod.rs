//! The contestants, one file each: what their sides do.

pub(crate) mod memory;
pub(crate) mod raw;
pub(crate) mod sftp;
pub(crate) mod vatmux;
pub(crate) mod yamux;
