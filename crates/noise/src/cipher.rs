//! One direction of an established session: the `CipherState` of the Noise specification (section 5.1), in place.
//!
//! snow's own copies every message once before it encrypts or decrypts it. This one works where the message lies. The
//! key comes from snow's `Split()`; the ciphers are the same crates that snow uses; what is ours is the counting of
//! nonces and the change of keys.

#[cfg(feature = "ring")]
use alloc::boxed::Box;

#[cfg(any(test, not(feature = "ring")))]
use chacha20poly1305::{AeadInPlace, ChaCha20Poly1305, KeyInit};
#[cfg(feature = "ring")]
use ring::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

use crate::crypto::Ciphers;
use crate::{Suite, TAG_LEN};

/// Length of a key, in bytes.
pub(crate) const KEY_LEN: usize = 32;

/// The nonce that no message has: it makes the next key (sections 4.2 and 5.1).
const REKEY_NONCE: u64 = u64::MAX;

/// A key and the nonce of its next message.
pub(crate) struct CipherState {
    key: Key,
    nonce: u64,
}

/// Why a message was not encrypted or not decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CipherError {
    /// All nonces are used up.
    Exhausted,
    /// The tag is not that of this message, under this key and nonce.
    Forged,
}

impl CipherState {
    /// None when this build does not have the suite's cipher.
    pub(crate) fn new(suite: Suite, ciphers: Ciphers, key: &[u8; KEY_LEN]) -> Option<Self> {
        Some(Self { key: Key::new(suite, ciphers, key)?, nonce: 0 })
    }

    /// Encrypts `message` where it lies, and gives the tag that belongs behind it.
    pub(crate) fn encrypt(&mut self, message: &mut [u8]) -> Result<[u8; TAG_LEN], CipherError> {
        let nonce = self.unused_nonce()?;
        let tag = self.key.encrypt(nonce, message).ok_or(CipherError::Exhausted)?;
        self.nonce = nonce + 1;
        Ok(tag)
    }

    /// Decrypts `message`, which ends in its tag, where it lies, and gives the plaintext.
    ///
    /// A message that is forged uses up no nonce, and what is left of it is of no meaning.
    pub(crate) fn decrypt<'m>(&mut self, message: &'m mut [u8]) -> Result<&'m mut [u8], CipherError> {
        let nonce = self.unused_nonce()?;
        let plaintext = self.key.decrypt(nonce, message).ok_or(CipherError::Forged)?;
        self.nonce = nonce + 1;
        Ok(plaintext)
    }

    /// Changes the key by the rule of section 4.2. The nonce stays.
    pub(crate) fn rekey(&mut self) -> Result<(), CipherError> {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        let next = self.key.encrypt(REKEY_NONCE, key.as_mut_slice()).and_then(|_| self.key.successor(&key));
        self.key = next.ok_or(CipherError::Exhausted)?;
        Ok(())
    }

    fn unused_nonce(&self) -> Result<u64, CipherError> {
        if self.nonce == REKEY_NONCE { Err(CipherError::Exhausted) } else { Ok(self.nonce) }
    }

    #[cfg(test)]
    pub(crate) fn set_nonce(&mut self, nonce: u64) {
        self.nonce = nonce;
    }
}

/// A key, made ready for its cipher.
enum Key {
    /// Half a kilobyte, in a place of its own: moving a session leaves no copies of it behind.
    #[cfg(feature = "ring")]
    Ring { key: Box<LessSafeKey>, suite: Suite },
    /// Wiped by its crate when it is dropped. `ChaChaPoly` only.
    #[cfg(any(test, not(feature = "ring")))]
    Portable(ChaCha20Poly1305),
}

impl Key {
    fn new(suite: Suite, ciphers: Ciphers, key: &[u8; KEY_LEN]) -> Option<Self> {
        match ciphers {
            #[cfg(feature = "ring")]
            Ciphers::Ring => {
                let algorithm = match suite {
                    Suite::ChaChaPoly => &CHACHA20_POLY1305,
                    Suite::AesGcm => &AES_256_GCM,
                };
                let key = UnboundKey::new(algorithm, key).ok()?;
                Some(Self::Ring { key: Box::new(LessSafeKey::new(key)), suite })
            }
            #[cfg(any(test, not(feature = "ring")))]
            Ciphers::Portable => match suite {
                Suite::ChaChaPoly => Some(Self::Portable(ChaCha20Poly1305::new(key.into()))),
                Suite::AesGcm => None,
            },
        }
    }

    /// Another key for the same cipher.
    fn successor(&self, key: &[u8; KEY_LEN]) -> Option<Self> {
        match self {
            #[cfg(feature = "ring")]
            Self::Ring { suite, .. } => Self::new(*suite, Ciphers::Ring, key),
            #[cfg(any(test, not(feature = "ring")))]
            Self::Portable(_) => Self::new(Suite::ChaChaPoly, Ciphers::Portable, key),
        }
    }

    /// None when the message is longer than the cipher allows, which is gigabytes.
    fn encrypt(&self, nonce: u64, message: &mut [u8]) -> Option<[u8; TAG_LEN]> {
        match self {
            #[cfg(feature = "ring")]
            Self::Ring { key, suite } => {
                let nonce = Nonce::assume_unique_for_key(encoded(*suite, nonce));
                let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), message).ok()?;
                tag.as_ref().try_into().ok()
            }
            #[cfg(any(test, not(feature = "ring")))]
            Self::Portable(key) => {
                let nonce = encoded(Suite::ChaChaPoly, nonce).into();
                key.encrypt_in_place_detached(&nonce, &[], message).ok().map(Into::into)
            }
        }
    }

    /// None when the message is not genuine.
    fn decrypt<'m>(&self, nonce: u64, message: &'m mut [u8]) -> Option<&'m mut [u8]> {
        match self {
            #[cfg(feature = "ring")]
            Self::Ring { key, suite } => {
                let nonce = Nonce::assume_unique_for_key(encoded(*suite, nonce));
                key.open_in_place(nonce, Aad::empty(), message).ok()
            }
            #[cfg(any(test, not(feature = "ring")))]
            Self::Portable(key) => {
                let (plaintext, tag) = message.split_last_chunk_mut::<TAG_LEN>()?;
                let nonce = encoded(Suite::ChaChaPoly, nonce).into();
                key.decrypt_in_place_detached(&nonce, &[], plaintext, (&*tag).into()).ok()?;
                Some(plaintext)
            }
        }
    }
}

/// A nonce as the suite's cipher wants it (section 12): four zeros, then the counter, whose byte order they disagree on.
fn encoded(suite: Suite, nonce: u64) -> [u8; 12] {
    let counter = match suite {
        Suite::ChaChaPoly => nonce.to_le_bytes(),
        Suite::AesGcm => nonce.to_be_bytes(),
    };
    let mut bytes = [0; 12];
    for (slot, byte) in bytes.iter_mut().skip(4).zip(counter) {
        *slot = byte;
    }
    bytes
}
