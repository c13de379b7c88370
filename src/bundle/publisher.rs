//! Who publishes: Ed25519 keys, their text, their files and their signatures.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use bech32::primitives::decode::CheckedHrpstring;
use bech32::{Bech32m, Hrp};
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use vatmux_host::keys::{self, KeyError};
use vatmux_noise::Entropy;
use zeroize::Zeroizing;

use super::digest::Digest;

/// The text of a publisher's id begins with this and the separator `1`.
const PREFIX: &str = "vatpub";
const PREFIX_AND_SEPARATOR: &str = "vatpub1";

/// Seven for the prefix, 52 for 256 bits, six for the checksum.
const TEXT_LEN: usize = 65;

/// What every signature is over besides a digest: no signature of another protocol can be taken for one of a manifest,
/// nor the other way round.
const DOMAIN: &[u8; 24] = b"vatmux bundle manifest 1";

/// The first line of a publisher's key file.
const KEY_FILE_LINE: &str = "vatmux publisher key 1";

/// A signature, 64 bytes that may or may not be one.
pub type SignatureBytes = [u8; 64];

/// A publisher's private key. Wiped when dropped; `Debug` does not show it.
pub struct PublisherKey(SigningKey);

impl PublisherKey {
    /// A new key from fresh random bytes.
    #[must_use]
    pub fn generate(entropy: Entropy) -> Self {
        Self(SigningKey::from_bytes(&entropy.into_bytes()))
    }

    /// Makes a fresh key and writes it to `path`, which must not exist, for its owner alone to read.
    pub fn create(path: &Path) -> Result<Self, KeyError> {
        let seed = Entropy::from_system()?.into_bytes();
        keys::create_secret(path, KEY_FILE_LINE, &seed)?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// Reads the key in `path`, which nobody but its owner may read.
    pub fn load(path: &Path) -> Result<Self, KeyError> {
        let seed: Zeroizing<[u8; 32]> = keys::load_secret(path, KEY_FILE_LINE)?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// The public half.
    #[must_use]
    pub fn id(&self) -> PublisherId {
        PublisherId(self.0.verifying_key().to_bytes())
    }

    /// Signs the manifest with this digest.
    #[must_use]
    pub fn sign(&self, manifest: &Digest) -> SignatureBytes {
        self.0.sign(&signed_bytes(manifest)).to_bytes()
    }
}

impl fmt::Debug for PublisherKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PublisherKey(..)")
    }
}

/// A publisher's identity: its Ed25519 public key.
///
/// As text it is bech32m with the prefix `vatpub`: 65 lower-case characters, of which the last six are a checksum.
///
/// One publisher has one id: a value of this type is in canonical form, and is not of small order, where one signature fits
/// many messages.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublisherId([u8; 32]);

impl PublisherId {
    /// The publisher with this public key.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, PublisherIdError> {
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| PublisherIdError::NotAKey)?;
        if key.is_weak() || key.to_edwards().compress().to_bytes() != bytes {
            return Err(PublisherIdError::NotAKey);
        }
        Ok(Self(bytes))
    }

    /// The public key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether `signature` is this publisher's, over the manifest with this digest.
    ///
    /// Strict, as RFC 8032 lets one be: a signature cannot be altered into another one that holds as well.
    #[must_use]
    pub fn has_signed(&self, manifest: &Digest, signature: &SignatureBytes) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        VerifyingKey::from_bytes(&self.0)
            .is_ok_and(|key| key.verify_strict(&signed_bytes(manifest), &signature).is_ok())
    }
}

fn signed_bytes(manifest: &Digest) -> [u8; 56] {
    let mut bytes = [0; 56];
    let (domain, digest) = bytes.split_at_mut(DOMAIN.len());
    domain.copy_from_slice(DOMAIN);
    digest.copy_from_slice(manifest.as_bytes());
    bytes
}

impl fmt::Display for PublisherId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = bech32::encode_lower::<Bech32m>(Hrp::parse_unchecked(PREFIX), self.as_bytes())
            .map_err(|_| fmt::Error)?;
        f.pad(&text)
    }
}

impl fmt::Debug for PublisherId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for PublisherId {
    type Err = PublisherIdError;

    /// Reads the text form, in lower or in upper case.
    fn from_str(text: &str) -> Result<Self, PublisherIdError> {
        match text.get(..PREFIX_AND_SEPARATOR.len()) {
            Some(prefix) if prefix.eq_ignore_ascii_case(PREFIX_AND_SEPARATOR) => {}
            Some(_) | None => return Err(PublisherIdError::Prefix),
        }
        if text.len() != TEXT_LEN {
            return Err(PublisherIdError::Length(text.len()));
        }
        let checked = CheckedHrpstring::new::<Bech32m>(text).map_err(|_| PublisherIdError::Mistyped)?;
        // The bits that pad the last character must be zero, or one key would have sixteen texts.
        checked.validate_segwit_padding().map_err(|_| PublisherIdError::Mistyped)?;
        let mut bytes = [0; 32];
        for (byte, decoded) in bytes.iter_mut().zip(checked.byte_iter()) {
            *byte = decoded;
        }
        Self::from_bytes(bytes)
    }
}

/// Why something is no publisher's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublisherIdError {
    /// It does not begin with `vatpub1`.
    #[error("a publisher's id begins with `vatpub1`")]
    Prefix,
    /// It is not 65 characters long.
    #[error("a publisher's id has {TEXT_LEN} characters, this has {0}: was all of it copied?")]
    Length(usize),
    /// A character is none of bech32's, cases are mixed, or the checksum does not match.
    #[error("the publisher's id has a mistyped character")]
    Mistyped,
    /// The bytes are not a public key that a publisher can have.
    #[error(
        "no publisher can have this public key: it is no point of the curve, not in canonical form, or of small order"
    )]
    NotAKey,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> PublisherKey {
        PublisherKey(SigningKey::from_bytes(&[seed; 32]))
    }

    #[test]
    fn an_id_has_one_text_and_finds_every_mistyped_character() {
        let id = key(1).id();
        let text = id.to_string();
        assert_eq!((text.len(), text.parse(), text.to_uppercase().parse()), (TEXT_LEN, Ok(id), Ok(id)));
        for at in 0..text.len() {
            let mut wrong = text.clone().into_bytes();
            wrong[at] = if wrong[at] == b'q' { b'p' } else { b'q' };
            assert!(String::from_utf8(wrong).unwrap().parse::<PublisherId>().is_err(), "{at}");
        }
        assert_eq!(text[..64].parse::<PublisherId>(), Err(PublisherIdError::Length(64)));
        assert_eq!("vat1qqq".parse::<PublisherId>(), Err(PublisherIdError::Prefix));
    }

    #[test]
    fn a_signature_holds_for_its_digest_and_its_publisher_alone() {
        let (digest, other) = (Digest::of(b"a"), Digest::of(b"b"));
        let signature = key(1).sign(&digest);
        assert!(key(1).id().has_signed(&digest, &signature));
        assert!(!key(1).id().has_signed(&other, &signature));
        assert!(!key(2).id().has_signed(&digest, &signature));
        for at in 0..64 {
            let mut wrong = signature;
            wrong[at] ^= 0x10;
            assert!(!key(1).id().has_signed(&digest, &wrong), "{at}");
        }
    }

    #[test]
    fn test_reject_signatures_over_the_digest_without_its_domain() {
        let digest = Digest::of(b"a");
        let bare = key(1).0.sign(digest.as_bytes()).to_bytes();
        assert!(!key(1).id().has_signed(&digest, &bare));
    }

    #[test]
    fn test_reject_keys_of_small_order_or_without_canonical_form() {
        let mut identity = [0; 32];
        identity[0] = 1;
        // y = p + 3: three, in a second form.
        let mut second_form = [0xff; 32];
        (second_form[0], second_form[31]) = (0xf0, 0x7f);
        let mut three = [0; 32];
        three[0] = 3;
        assert!(PublisherId::from_bytes(three).is_ok());
        for bytes in [[0; 32], identity, second_form] {
            assert_eq!(PublisherId::from_bytes(bytes), Err(PublisherIdError::NotAKey), "{bytes:?}");
        }
    }

    #[test]
    fn a_key_file_is_private_and_no_node_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("publisher.key");
        let made = PublisherKey::create(&path).unwrap();
        assert_eq!(PublisherKey::load(&path).unwrap().id(), made.id());
        assert!(matches!(PublisherKey::create(&path), Err(KeyError::Io { .. })));
        assert!(matches!(keys::load(&path), Err(KeyError::Contents { .. })));
        let node = folder.path().join("node.key");
        keys::create(&node).unwrap();
        assert!(matches!(PublisherKey::load(&node), Err(KeyError::NotThisKind { .. })));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
            assert!(matches!(PublisherKey::load(&path), Err(KeyError::Mode { .. })));
        }
    }
}
