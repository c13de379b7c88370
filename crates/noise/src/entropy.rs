//! Randomness, as a value that the caller hands in.

use zeroize::Zeroizing;

/// 32 fresh bytes from a cryptographic random source, good for exactly one key.
///
/// It is neither `Clone` nor `Copy`, and whoever takes it consumes it: using the same bytes for two handshakes would
/// give both the same ephemeral key. Wiped when dropped.
pub struct Entropy(Zeroizing<[u8; 32]>);

impl Entropy {
    /// Takes 32 bytes that the caller's random source has just made, for this purpose only.
    ///
    /// Fails when all of them are zero: that is a source that was never filled.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, EntropyError> {
        let bytes = Zeroizing::new(bytes);
        if *bytes == [0; 32] { Err(EntropyError::AllZero) } else { Ok(Self(bytes)) }
    }

    /// Asks the operating system.
    #[cfg(feature = "ring")]
    pub fn from_system() -> Result<Self, EntropyError> {
        use snow::resolvers::{CryptoResolver, RingResolver};

        let mut source = RingResolver.resolve_rng().ok_or(EntropyError::System)?;
        let mut bytes = Zeroizing::new([0; 32]);
        source.try_fill_bytes(bytes.as_mut_slice()).map_err(|_| EntropyError::System)?;
        Self::from_bytes(*bytes)
    }

    /// The bytes themselves, for a key of another kind.
    #[must_use]
    pub fn into_bytes(self) -> Zeroizing<[u8; 32]> {
        self.0
    }
}

impl core::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Entropy(..)")
    }
}

/// Why there are no random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EntropyError {
    /// 32 zero bytes.
    #[error("the random source gave 32 zero bytes: it was never filled, or it is broken")]
    AllZero,
    /// The operating system's random source failed.
    #[error("the operating system's random source failed")]
    System,
}
