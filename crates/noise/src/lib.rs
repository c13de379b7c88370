//! Who is at the other end of a link, and nobody else reading it: a Noise XK handshake, the records that follow
//! it, and the identity of a node.
//!
//! The crate is **pure**: it takes bytes and gives bytes. It has no sockets, no clock and no randomness of its
//! own ([`Entropy`] comes from the caller), so the same inputs give the same outputs, on a host, in a Wasm guest and
//! in a bare-metal image alike. It knows nothing of what travels in the records.
//!
//! # What it promises
//!
//! - A dialer names the node it wants by [`NodeId`], the responder's public key; no other node can complete the
//!   handshake. The acceptor learns the dialer's [`NodeId`], proved, with the last message; [`AllowList`] is how it
//!   decides.
//! - Nothing that a peer sends can cause a panic, nor memory to grow. An acceptor takes at most
//!   [`MAX_UNAUTHENTICATED_BYTES`] before it knows who is calling, and refuses at the first wrong byte.
//! - What ends a handshake has a name, a [`HandshakeError`], and the name is final: the object refuses further use.
//! - Records cannot be forged, replayed, reordered or cut without [`Records::open`] saying so, and keys change every
//!   [`REKEY_INTERVAL`] records.
//!
//! # On the wire
//!
//! ```text
//! dialer                                                      acceptor
//!   "vatmux" version:u8 suite:u8                       ───►              preamble, in the clear
//!   length:u16  e, es                      (48)        ───►              message 1, no payload
//!              ◄───   length:u16  e, ee, hello         (48 to 176)       message 2
//!   length:u16  s, se, hello               (64 to 192) ───►              message 3
//!   length:u16  sealed record              (17 to 65,535)  ◄──►          until the link ends
//! ```
//!
//! All numbers are big-endian. The prologue of the handshake is `vatmux-noise` followed by the eight bytes of the
//! preamble, so that a preamble changed on the way fails the handshake. Instead of message 2 an acceptor may send an
//! alert, `0xFFFF` and one byte, a [`Refusal`]: it is not authenticated, so it is a hint for the person who reads
//! the error and changes nothing else.
//!
//! # Example
//!
//! ```
//! use vatmux_noise::{Entropy, Handshake, SecretKey, Suite};
//! # fn fresh(n: u8) -> Entropy { Entropy::from_bytes([n; 32]).unwrap() }
//!
//! let (alice, bob) = (SecretKey::generate(fresh(1)), SecretKey::generate(fresh(2)));
//! let mut dialer = Handshake::dial(&alice, bob.node_id(), Suite::default(), b"hello, I am 1.0", fresh(3))?;
//! let mut acceptor = Handshake::accept(&bob, b"hello, I am 1.1", fresh(4))?;
//!
//! let mut wire = [0; 512];
//! while !(dialer.is_complete() && acceptor.is_complete()) {
//!     let sent = dialer.transmit(&mut wire);
//!     acceptor.receive(&wire[..sent])?;
//!     let sent = acceptor.transmit(&mut wire);
//!     dialer.receive(&wire[..sent])?;
//! }
//!
//! let (mut ours, mut theirs) = (dialer.finish()?, acceptor.finish()?);
//! assert_eq!(theirs.peer, alice.node_id());
//! assert_eq!(ours.hello, b"hello, I am 1.1");
//!
//! wire[2..16].copy_from_slice(b"how do you do?");
//! let sealed = ours.records.seal(&mut wire, 14)?;
//! assert_eq!(theirs.records.open(&mut wire[2..sealed])?, b"how do you do?");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! `ring` (default): ring's ciphers and the AES-GCM suite; needs std. Without it the crate needs `alloc` only, and
//! uses portable ciphers. Both speak the same bytes.
//!
//! # What is wiped and what is not
//!
//! [`SecretKey`], [`Entropy`], the private keys of a handshake and the keys of records on their way into a cipher are
//! wiped from memory when they are dropped; the portable cipher wipes its own. The symmetric keys inside snow and
//! ring, and copies that the compiler makes on the stack, are not.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(any(test, feature = "ring"))]
extern crate std;

mod allow;
mod cipher;
mod crypto;
mod entropy;
mod error;
mod handshake;
mod identity;
mod inbox;
mod preamble;
mod records;
#[cfg(test)]
mod tests;

pub use allow::AllowList;
pub use crypto::Suite;
pub use entropy::{Entropy, EntropyError};
pub use error::{HandshakeError, HandshakeMessage, Refusal, SetupError, Stage};
pub use handshake::{Established, Handshake, MAX_HELLO, MAX_UNAUTHENTICATED_BYTES};
pub use identity::{NodeId, NodeIdError, SecretKey};
pub use preamble::{PREAMBLE_LEN, PROTOCOL_VERSION};
pub use records::{
    MAX_PLAINTEXT, MAX_RECORD, MIN_RECORD, PREFIX_LEN, REKEY_INTERVAL, RecordError, Records, TAG_LEN,
};
