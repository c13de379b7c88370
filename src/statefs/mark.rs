//! What was seen of a store, kept elsewhere: from it one can tell later that the store went back.
//!
//! Whoever can replace a store's file by an older copy of it can undo what was acknowledged, and every checksum is right. Versions
//! alone show that only until the copy has given out as many of its own. So each opening of a store has a random id, which is noted
//! with the first version that it gives out; a mark is a version and the id of the opening that gave it out, and a store that has
//! gone back does not have this version of this opening.

use std::fmt;
use std::str::FromStr;

/// A mark, in bytes.
pub const MARK_BYTES: usize = ID_BYTES + 8;

/// How many openings a store knows, the latest: each takes 40 bytes and what is around them. Marks of earlier ones are taken for those of
/// another store.
#[cfg(feature = "host")]
pub const MAX_OPENINGS: u64 = 65_536;

const ID_BYTES: usize = 16;

/// Which opening of a store it is: random.
pub(super) type OpeningId = [u8; ID_BYTES];

/// What a store had given out when it was made, as bytes of no meaning to others. The default is of nothing.
///
/// As text it is hexadecimal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Mark {
    pub(super) opening: OpeningId,
    pub(super) version: u64,
}

/// Something is no mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a mark has {MARK_BYTES} bytes, in hexadecimal {}, or none", 2 * MARK_BYTES)]
pub struct MarkError;

impl Mark {
    /// The last version that had been given out, 0 before the first.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Reads what [`to_bytes`](Self::to_bytes) made. No bytes are a mark of nothing.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MarkError> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let (opening, version) = bytes.split_first_chunk().ok_or(MarkError)?;
        let version = version.try_into().map_err(|_| MarkError)?;
        Ok(Self { opening: *opening, version: u64::from_le_bytes(version) })
    }

    /// To be kept.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        if self.version == 0 {
            return Vec::new();
        }
        [&self.opening[..], &self.version.to_le_bytes()].concat()
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Mark {
    type Err = MarkError;

    fn from_str(text: &str) -> Result<Self, MarkError> {
        let digits: Vec<u8> = text
            .chars()
            .map(|digit| digit.to_digit(16).map(|digit| digit as u8))
            .collect::<Option<_>>()
            .ok_or(MarkError)?;
        let (pairs, rest) = digits.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(MarkError);
        }
        Self::from_bytes(&pairs.iter().map(|[high, low]| high << 4 | low).collect::<Vec<_>>())
    }
}

/// An id for this opening of a store.
#[cfg(feature = "host")]
pub(super) fn fresh_opening() -> Result<OpeningId, super::error::Error> {
    let random =
        vatmux_noise::Entropy::from_system().map_err(|error| std::io::Error::other(error.to_string()))?;
    let mut id = [0; ID_BYTES];
    id.copy_from_slice(&random.into_bytes()[..ID_BYTES]);
    Ok(id)
}
