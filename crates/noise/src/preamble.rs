//! The eight bytes that a dialer sends in the clear, before the handshake.
//!
//! ```text
//! 0..6  "vatmux"
//! 6     protocol version, 1
//! 7     suite: 1 ChaChaPoly, 2 AESGCM
//! ```

use crate::{HandshakeError, Suite};

/// Length of the preamble, in bytes.
pub const PREAMBLE_LEN: usize = 8;

/// The version of everything from the preamble upwards.
pub const PROTOCOL_VERSION: u8 = 1;

const MAGIC: [u8; 6] = *b"vatmux";
const PROTOCOL_NAME: [u8; 12] = *b"vatmux-noise";

/// What a dialer sends first.
pub(crate) fn encode(suite: Suite) -> [u8; PREAMBLE_LEN] {
    let [m0, m1, m2, m3, m4, m5] = MAGIC;
    [m0, m1, m2, m3, m4, m5, PROTOCOL_VERSION, suite.code()]
}

/// Reads as much of a preamble as has arrived; the suite once all of it has.
///
/// A wrong byte is refused as soon as it is there, however little came with it.
pub(crate) fn decode(arrived: &[u8]) -> Result<Option<Suite>, HandshakeError> {
    if arrived.iter().zip(&MAGIC).any(|(byte, expected)| byte != expected) {
        return Err(HandshakeError::NotVatmux);
    }
    match arrived.get(MAGIC.len()) {
        Some(&PROTOCOL_VERSION) => {}
        Some(&version) => return Err(HandshakeError::UnsupportedVersion(version)),
        None => return Ok(None),
    }
    match arrived.get(MAGIC.len() + 1) {
        Some(&code) => match Suite::from_code(code) {
            Some(suite) if suite.is_available() => Ok(Some(suite)),
            Some(_) | None => Err(HandshakeError::UnsupportedSuite(code)),
        },
        None => Ok(None),
    }
}

/// What both sides mix into the handshake: had they seen different preambles, the first message would not decrypt.
pub(crate) fn prologue(suite: Suite) -> [u8; PROTOCOL_NAME.len() + PREAMBLE_LEN] {
    let mut prologue = [0; PROTOCOL_NAME.len() + PREAMBLE_LEN];
    let (name, preamble) = prologue.split_at_mut(PROTOCOL_NAME.len());
    name.copy_from_slice(&PROTOCOL_NAME);
    preamble.copy_from_slice(&encode(suite));
    prologue
}
