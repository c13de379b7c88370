//! Both ends in one process, on bytes alone: no link, no clock, no randomness that a seed does not give.

mod golden;
mod handshake;
mod hostile;
mod identity;
mod liars;
mod records;

use alloc::vec;
use alloc::vec::Vec;
use std::sync::OnceLock;

use crate::crypto::Ciphers;
use crate::{Entropy, Established, Handshake, HandshakeError, NodeId, SecretKey, Suite};

/// Every cipher that this build has, for each suite it has.
fn suites_and_ciphers() -> Vec<(Suite, Ciphers, Ciphers)> {
    vec![
        (Suite::ChaChaPoly, Ciphers::Portable, Ciphers::Portable),
        #[cfg(feature = "ring")]
        (Suite::ChaChaPoly, Ciphers::Ring, Ciphers::Ring),
        #[cfg(feature = "ring")]
        (Suite::ChaChaPoly, Ciphers::Ring, Ciphers::Portable),
        #[cfg(feature = "ring")]
        (Suite::ChaChaPoly, Ciphers::Portable, Ciphers::Ring),
        #[cfg(feature = "ring")]
        (Suite::AesGcm, Ciphers::Ring, Ciphers::Ring),
    ]
}

fn suites() -> impl Iterator<Item = Suite> {
    [Suite::ChaChaPoly, Suite::AesGcm].into_iter().filter(|suite| suite.is_available())
}

fn entropy(seed: u8) -> Entropy {
    Entropy::from_bytes([seed; 32]).unwrap()
}

fn alice() -> SecretKey {
    SecretKey::from_bytes([0xa1; 32]).unwrap()
}

fn bob() -> SecretKey {
    SecretKey::from_bytes([0xb0; 32]).unwrap()
}

/// Computed once: without optimisation a scalar multiplication takes milliseconds.
fn bob_id() -> NodeId {
    static BOB_ID: OnceLock<NodeId> = OnceLock::new();
    *BOB_ID.get_or_init(|| bob().node_id())
}

const ALICE_HELLO: &[u8] = b"alice says hello";
const BOB_HELLO: &[u8] = b"bob says hello to you";

fn dialer(suite: Suite) -> Handshake {
    Handshake::dial(&alice(), bob_id(), suite, ALICE_HELLO, entropy(3)).unwrap()
}

fn acceptor() -> Handshake {
    Handshake::accept(&bob(), BOB_HELLO, entropy(4)).unwrap()
}

/// All that `handshake` has to send.
fn sent(handshake: &mut Handshake) -> Vec<u8> {
    let mut bytes = vec![0; 1024];
    let length = handshake.transmit(&mut bytes);
    assert!(!handshake.has_output());
    bytes.truncate(length);
    bytes
}

/// Runs both ends until neither has anything to say.
fn run(dialer: &mut Handshake, acceptor: &mut Handshake) -> Result<(), HandshakeError> {
    while dialer.has_output() || acceptor.has_output() {
        acceptor.receive(&sent(dialer))?;
        dialer.receive(&sent(acceptor))?;
    }
    Ok(())
}

fn established(suite: Suite) -> (Established, Established) {
    let (mut dialer, mut acceptor) = (dialer(suite), acceptor());
    run(&mut dialer, &mut acceptor).unwrap();
    (dialer.finish().unwrap(), acceptor.finish().unwrap())
}

/// `SplitMix64`: a seed names a test case for ever.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.next() as u8).collect()
    }

    fn array(&mut self) -> [u8; 32] {
        self.bytes(32).try_into().unwrap()
    }
}
