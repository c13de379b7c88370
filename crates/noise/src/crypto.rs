//! The suites, and how snow is given its primitives.
//!
//! Hashes are snow's own. Ciphers are ring's where there is ring. X25519 is ours, over the curve25519-dalek that snow
//! uses as well, for two things that snow leaves to its caller: a shared secret of zeros (the peer's key has low order,
//! so anyone can compute it) fails the handshake, and private keys are wiped.

use alloc::boxed::Box;
use core::cell::Cell;
use core::fmt;

use curve25519_dalek::montgomery::MontgomeryPoint;
use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, HandshakeState};
use zeroize::Zeroizing;

use crate::{Entropy, NodeId, SecretKey, SetupError, preamble};

/// The cryptography of a session. The dialer chooses; both ends hold the choice for the life of the session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Suite {
    /// `Noise_XK_25519_ChaChaPoly_BLAKE2s`: fast everywhere, in every build.
    #[default]
    ChaChaPoly,
    /// `Noise_XK_25519_AESGCM_BLAKE2s`: three to four times as fast on processors with AES instructions, and for no
    /// others. Only in builds with the feature `ring`, which uses those instructions.
    AesGcm,
}

impl Suite {
    /// Whether this build has the suite's cipher.
    #[must_use]
    pub const fn is_available(self) -> bool {
        match self {
            Self::ChaChaPoly => true,
            Self::AesGcm => cfg!(feature = "ring"),
        }
    }

    /// The faster suite of this build on this machine: AES-GCM where the processor has the instructions for it.
    ///
    /// For a dialer that knows that its peer has both. The specification asks for `ChaChaPoly` only (MUX-1.1), and a
    /// refusal is not authenticated: nothing tries the other suite after it, or anyone on the way could choose.
    #[must_use]
    pub fn fastest() -> Self {
        if Self::AesGcm.is_available() && has_aes_instructions() { Self::AesGcm } else { Self::ChaChaPoly }
    }

    /// The suite's name in the Noise protocol framework.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ChaChaPoly => "Noise_XK_25519_ChaChaPoly_BLAKE2s",
            Self::AesGcm => "Noise_XK_25519_AESGCM_BLAKE2s",
        }
    }

    /// The suite's byte in the preamble.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::ChaChaPoly => 1,
            Self::AesGcm => 2,
        }
    }

    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::ChaChaPoly),
            2 => Some(Self::AesGcm),
            _ => None,
        }
    }
}

/// Whether the processor computes AES rounds and the products of GCM in one instruction each.
fn has_aes_instructions() -> bool {
    #[cfg(all(feature = "ring", any(target_arch = "x86", target_arch = "x86_64")))]
    return std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq");
    #[cfg(all(feature = "ring", target_arch = "aarch64"))]
    return std::arch::is_aarch64_feature_detected!("aes")
        && std::arch::is_aarch64_feature_detected!("pmull");
    #[cfg(not(all(
        feature = "ring",
        any(target_arch = "x86", target_arch = "x86_64", target_arch = "aarch64")
    )))]
    return false;
}

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Whose ciphers: both compute the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Ciphers {
    #[cfg(feature = "ring")]
    #[default]
    Ring,
    #[cfg(any(test, not(feature = "ring")))]
    #[cfg_attr(not(feature = "ring"), default)]
    Portable,
}

/// Which end of the handshake.
pub(crate) enum Role {
    Dialer { responder: NodeId },
    Acceptor,
}

/// A Noise handshake about to begin.
pub(crate) fn start(
    suite: Suite,
    ciphers: Ciphers,
    role: &Role,
    key: &SecretKey,
    entropy: Entropy,
) -> Result<HandshakeState, SetupError> {
    let unavailable = |_| SetupError::SuiteUnavailable(suite);
    let prologue = preamble::prologue(suite);
    let resolver = Resolver { ciphers, entropy: Cell::new(Some(entropy)) };
    let builder = Builder::with_resolver(suite.name().parse().map_err(unavailable)?, Box::new(resolver))
        .local_private_key(key.expose())
        .and_then(|builder| builder.prologue(&prologue))
        .map_err(unavailable)?;
    match role {
        Role::Dialer { responder } => {
            builder.remote_public_key(responder.as_bytes()).and_then(Builder::build_initiator)
        }
        Role::Acceptor => builder.build_responder(),
    }
    .map_err(unavailable)
}

struct Resolver {
    ciphers: Ciphers,
    entropy: Cell<Option<Entropy>>,
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(OneKey(Some(self.entropy.take()?))))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        matches!(choice, DHChoice::Curve25519).then(|| Box::<X25519>::default() as Box<dyn Dh>)
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        match self.ciphers {
            #[cfg(feature = "ring")]
            Ciphers::Ring => snow::resolvers::RingResolver.resolve_cipher(choice),
            #[cfg(any(test, not(feature = "ring")))]
            Ciphers::Portable => DefaultResolver.resolve_cipher(choice),
        }
    }
}

/// Gives the caller's 32 bytes once. Each side of XK makes one ephemeral key; whoever asked for a second would get an
/// error, not the same bytes again.
struct OneKey(Option<Entropy>);

impl Random for OneKey {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        let dest: &mut [u8; 32] = dest.try_into().map_err(|_| snow::Error::Rng)?;
        *dest = *self.0.take().ok_or(snow::Error::Rng)?.into_bytes();
        Ok(())
    }
}

/// The public key of an X25519 private key.
pub(crate) fn public_key(secret: &[u8; 32]) -> [u8; 32] {
    MontgomeryPoint::mul_base_clamped(*secret).to_bytes()
}

/// X25519 as RFC 7748 section 6.1 wants it: an all-zero result is an error.
#[derive(Default)]
struct X25519 {
    secret: Zeroizing<[u8; 32]>,
    public: [u8; 32],
}

impl Dh for X25519 {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, privkey: &[u8]) {
        // snow passes what `start` gave it, which is 32 bytes; its trait has no way to refuse others.
        if let Ok(secret) = privkey.try_into() {
            self.secret = Zeroizing::new(secret);
            self.public = public_key(&self.secret);
        }
    }

    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), snow::Error> {
        rng.try_fill_bytes(self.secret.as_mut_slice())?;
        self.public = public_key(&self.secret);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn privkey(&self) -> &[u8] {
        self.secret.as_slice()
    }

    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        // snow's buffers are as long as the longest key of any curve; this curve's key comes first.
        let theirs = pubkey.first_chunk::<32>().ok_or(snow::Error::Dh)?;
        let out = out.first_chunk_mut::<32>().ok_or(snow::Error::Dh)?;
        let shared = Zeroizing::new(MontgomeryPoint(*theirs).mul_clamped(*self.secret).to_bytes());
        if *shared == [0; 32] {
            return Err(snow::Error::Dh);
        }
        *out = *shared;
        Ok(())
    }
}
