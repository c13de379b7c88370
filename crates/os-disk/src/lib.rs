//! What is on the disk of an OS image: the configuration that a tool wrote, and the key that the image made for itself.
//!
//! Both are sealed: a mark that says what it is, a length, and a digest. What is not whole is refused with a reason; nothing
//! is guessed, and a key is never made in place of one that cannot be read.
//!
//! ```text
//! byte 0      the configuration: mark (16 bytes), length (4, little-endian), BLAKE2s digest of the text (32), the text
//! byte 4096   the key: mark (16 bytes), key (32), BLAKE2s digest of the key (32); all zero until there is one
//! byte 8192   the end of what is used
//! ```

#![forbid(unsafe_code)]

mod config;
mod sealed;

pub use config::{Config, ConfigError, Dial, Kind, MAX_ALLOWED, MAX_DIALS, Network, Task};
pub use sealed::{Damage, Kept, read_config, read_key, seal_config, seal_key};

/// Bytes of the disk that are used.
pub const DISK_BYTES: usize = 8192;

/// Where the configuration begins, in bytes.
pub const CONFIG_AT: usize = 0;

/// Where the key begins, in bytes.
pub const KEY_AT: usize = 4096;

/// The room of each, in bytes.
pub const AREA_BYTES: usize = 4096;
