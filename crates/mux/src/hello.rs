//! What each end tells the other before the first frame: inside the handshake, so the engine only encodes and checks it.

use crate::wire::MAX_CREDIT_BYTES;

/// The version of the protocol that this crate speaks.
pub const PROTOCOL_VERSION: u16 = 1;

/// One end's announcement: what the other may send it before hearing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The version of the protocol. Always [`PROTOCOL_VERSION`] after [`decode`](Self::decode).
    pub version: u16,
    /// The credit in bytes that each direction towards this end starts with, `1..=MAX_CREDIT_BYTES`.
    pub initial_window_bytes: u32,
    /// How many streams the other end may have open at once, `0..=65_535`. 0 means: open none.
    pub max_streams: u32,
}

impl Hello {
    /// The length of an encoded hello in bytes.
    pub const ENCODED_BYTES: usize = 12;
    /// The most streams that a hello can allow.
    pub const MAX_STREAMS: u32 = 65_535;

    /// `version u16 | reserved u16 = 0 | initial_window_bytes u32 | max_streams u32`, little-endian.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::ENCODED_BYTES] {
        let mut bytes = [0; Self::ENCODED_BYTES];
        bytes[0..2].copy_from_slice(&self.version.to_le_bytes());
        bytes[4..8].copy_from_slice(&self.initial_window_bytes.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.max_streams.to_le_bytes());
        bytes
    }

    /// Checks what the other end sent.
    pub fn decode(bytes: &[u8]) -> Result<Self, HelloError> {
        let bytes: &[u8; Self::ENCODED_BYTES] =
            bytes.try_into().map_err(|_| HelloError::Length { bytes: bytes.len() })?;
        let [v0, v1, r0, r1, w0, w1, w2, w3, s0, s1, s2, s3] = *bytes;
        let version = u16::from_le_bytes([v0, v1]);
        if version != PROTOCOL_VERSION {
            return Err(HelloError::Version { version });
        }
        if [r0, r1] != [0, 0] {
            return Err(HelloError::Reserved);
        }
        let initial_window_bytes = u32::from_le_bytes([w0, w1, w2, w3]);
        if !(1..=MAX_CREDIT_BYTES).contains(&initial_window_bytes) {
            return Err(HelloError::Window { bytes: initial_window_bytes });
        }
        let max_streams = u32::from_le_bytes([s0, s1, s2, s3]);
        if max_streams > Self::MAX_STREAMS {
            return Err(HelloError::Streams { streams: max_streams });
        }
        Ok(Self { version, initial_window_bytes, max_streams })
    }
}

/// Why bytes are no hello that we can work with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// Not [`Hello::ENCODED_BYTES`] long.
    #[error("the peer's hello has {bytes} bytes instead of {}", Hello::ENCODED_BYTES)]
    Length {
        /// How many it had.
        bytes: usize,
    },
    /// Another version of the protocol.
    #[error("the peer speaks version {version} of the protocol, this end speaks {PROTOCOL_VERSION}")]
    Version {
        /// The peer's.
        version: u16,
    },
    /// A reserved field is not zero.
    #[error("the peer's hello sets a reserved field")]
    Reserved,
    /// A window of 0, or one that credit cannot express.
    #[error("the peer's hello announces a window of {bytes} bytes")]
    Window {
        /// What it said.
        bytes: u32,
    },
    /// More streams than [`Hello::MAX_STREAMS`].
    #[error("the peer's hello allows {streams} streams, over the maximum of {}", Hello::MAX_STREAMS)]
    Streams {
        /// What it said.
        streams: u32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO: Hello = Hello { version: 1, initial_window_bytes: 0x0001_0000, max_streams: 256 };

    #[test]
    fn a_hello_is_what_was_encoded() {
        assert_eq!(HELLO.encode(), [1, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0]);
        assert_eq!(Hello::decode(&HELLO.encode()), Ok(HELLO));
    }

    #[test]
    fn a_hello_out_of_bounds_is_refused() {
        assert_eq!(Hello::decode(&[]), Err(HelloError::Length { bytes: 0 }));
        assert_eq!(Hello::decode(&[0; 13]), Err(HelloError::Length { bytes: 13 }));
        let other = |change: fn(&mut Hello)| {
            let mut hello = HELLO;
            change(&mut hello);
            Hello::decode(&hello.encode())
        };
        assert_eq!(other(|hello| hello.version = 2), Err(HelloError::Version { version: 2 }));
        assert_eq!(other(|hello| hello.initial_window_bytes = 0), Err(HelloError::Window { bytes: 0 }));
        assert_eq!(
            other(|hello| hello.initial_window_bytes = 1 << 31),
            Err(HelloError::Window { bytes: 1 << 31 })
        );
        assert_eq!(other(|hello| hello.max_streams = 65_536), Err(HelloError::Streams { streams: 65_536 }));
        let mut reserved = HELLO.encode();
        reserved[3] = 1;
        assert_eq!(Hello::decode(&reserved), Err(HelloError::Reserved));
    }
}
