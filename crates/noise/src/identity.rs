//! Who a node is: an X25519 key pair, whose public half is the node id.

use alloc::string::ToString;
use core::fmt;
use core::str::FromStr;

use bech32::primitives::decode::{
    CharError, CheckedHrpstring, CheckedHrpstringError, UncheckedHrpstringError,
};
use bech32::{Bech32m, Fe32, Hrp};
use zeroize::Zeroizing;

use crate::{Entropy, EntropyError, crypto};

/// The text of a node id begins with this and the separator `1`.
const PREFIX: &str = "vat";
const PREFIX_AND_SEPARATOR: &str = "vat1";
/// Four for the prefix, 52 for 256 bits, six for the checksum.
const TEXT_LEN: usize = 62;

/// A node's private key: an X25519 scalar. Wiped when dropped; `Debug` does not show it.
#[derive(Clone)]
pub struct SecretKey(Zeroizing<[u8; 32]>);

impl SecretKey {
    /// A new key from fresh random bytes.
    #[must_use]
    pub fn generate(entropy: Entropy) -> Self {
        Self(entropy.into_bytes())
    }

    /// A key that was kept, as [`SecretKey::expose`] gave it.
    ///
    /// Any 32 bytes are a key, except that all zeros are refused: that is a file which lost its contents.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, EntropyError> {
        Entropy::from_bytes(bytes).map(Self::generate)
    }

    /// The key itself, to be kept where only the node's owner can read it.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// The node id that belongs to this key.
    ///
    /// Costs a scalar multiplication, some tens of microseconds.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        NodeId(crypto::public_key(&self.0))
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}

/// A node's identity: its X25519 public key.
///
/// As text it is bech32m with the prefix `vat`: 62 lower-case characters, of which the last six are a checksum that
/// finds every mistyped character and nearly every other slip.
///
/// One key has one node id: a value of this type is in canonical form (the curve would take some keys in two
/// forms) and is none of the few keys of low order, with which anyone could claim to be that node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId([u8; 32]);

impl NodeId {
    /// The node id with this public key.
    ///
    /// Fails with [`NodeIdError::NotAKey`] if no node can have it.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, NodeIdError> {
        if is_canonical(&bytes) && !LOW_ORDER.contains(&bytes) {
            Ok(Self(bytes))
        } else {
            Err(NodeIdError::NotAKey)
        }
    }

    /// The public key: a little-endian X25519 u-coordinate.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text =
            bech32::encode_lower::<Bech32m>(Hrp::parse_unchecked(PREFIX), &self.0).map_err(|_| fmt::Error)?;
        f.pad(&text)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_string())
    }
}

impl FromStr for NodeId {
    type Err = NodeIdError;

    /// Reads the text form. Upper case is read as well (it is what QR codes like), a mixture is not.
    fn from_str(text: &str) -> Result<Self, NodeIdError> {
        let data = match text.split_at_checked(PREFIX_AND_SEPARATOR.len()) {
            Some((prefix, data)) if prefix.eq_ignore_ascii_case(PREFIX_AND_SEPARATOR) => data,
            Some(_) | None => return Err(NodeIdError::Prefix),
        };
        if let Some(character) = data.chars().find(|&character| Fe32::from_char(character).is_err()) {
            return Err(NodeIdError::Character(character));
        }
        if text.len() != TEXT_LEN {
            return Err(NodeIdError::Length(text.len()));
        }
        let checked = CheckedHrpstring::new::<Bech32m>(text).map_err(|error| match error {
            CheckedHrpstringError::Parse(UncheckedHrpstringError::Char(CharError::MixedCase)) => {
                NodeIdError::MixedCase
            }
            _ => NodeIdError::Checksum,
        })?;
        // 52 characters hold four bits more than a key has. Were they free, one node would have sixteen texts.
        checked.validate_segwit_padding().map_err(|_| NodeIdError::Padding)?;
        let mut bytes = [0; 32];
        for (byte, decoded) in bytes.iter_mut().zip(checked.byte_iter()) {
            *byte = decoded;
        }
        Self::from_bytes(bytes)
    }
}

/// Why something is no node id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeIdError {
    /// It does not begin with `vat1`.
    #[error("a node id begins with `vat1`")]
    Prefix,
    /// A character that bech32 does not have.
    #[error(
        "a node id has no character {0:?}: after `vat1` come digits except 1, and letters except b, i and o"
    )]
    Character(char),
    /// Upper and lower case are mixed.
    #[error("a node id is all lower case (or all upper case), never mixed")]
    MixedCase,
    /// It is not 62 characters long.
    #[error("a node id has {TEXT_LEN} characters, this has {0}: was all of it copied?")]
    Length(usize),
    /// The checksum does not match.
    #[error("the node id's checksum does not match: a character is mistyped")]
    Checksum,
    /// The bits after the key are not zero.
    #[error("the node id is not in its one true form: the bits that pad it must be zero")]
    Padding,
    /// The bytes are not a public key that a node can have.
    #[error("no node can have this public key: it is not in canonical form, or has low order")]
    NotAKey,
}

/// Whether the u-coordinate is less than the field's prime, 2^255 - 19.
fn is_canonical(bytes: &[u8; 32]) -> bool {
    let [low, middle @ .., high] = bytes;
    *high < 0x7f || (*high == 0x7f && (*low < 0xed || middle.iter().any(|&byte| byte != 0xff)))
}

/// The canonical u-coordinates of low order: 0, 1, -1, and two of order 8. A shared secret with any of them is zero,
/// whatever the private key. A test computes that, for these and for their non-canonical forms.
const LOW_ORDER: [[u8; 32]; 5] = [
    [0; 32],
    {
        let mut one = [0; 32];
        one[0] = 1;
        one
    },
    {
        let mut minus_one = [0xff; 32];
        minus_one[0] = 0xec;
        minus_one[31] = 0x7f;
        minus_one
    },
    [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda,
        0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
    ],
    [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04,
        0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
    ],
];
