//! Dialers that follow the protocol, except that they lie about their static key.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use snow::params::{CipherChoice, DHChoice, HashChoice};
use snow::resolvers::{CryptoResolver, DefaultResolver};
use snow::types::{Cipher, Dh, Hash, Random};
use snow::{Builder, HandshakeState};

use super::{acceptor, alice, bob, sent};
use crate::{HandshakeError, HandshakeMessage, PREFIX_LEN, Suite, preamble};

/// X25519 that claims another public key for the key pair it is given, and may claim another shared secret.
struct LyingDh {
    honest: Box<dyn Dh>,
    claim: Vec<u8>,
    shared: Option<[u8; 32]>,
    is_static: bool,
}

impl Dh for LyingDh {
    fn name(&self) -> &'static str {
        self.honest.name()
    }
    fn pub_len(&self) -> usize {
        32
    }
    fn priv_len(&self) -> usize {
        32
    }
    fn set(&mut self, privkey: &[u8]) {
        // snow sets static keys and generates ephemeral ones.
        self.is_static = true;
        self.honest.set(privkey);
    }
    fn generate(&mut self, rng: &mut dyn Random) -> Result<(), snow::Error> {
        self.honest.generate(rng)
    }
    fn pubkey(&self) -> &[u8] {
        if self.is_static { &self.claim } else { self.honest.pubkey() }
    }
    fn privkey(&self) -> &[u8] {
        self.honest.privkey()
    }
    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), snow::Error> {
        self.honest.dh(pubkey, out)?;
        if let (Some(shared), true) = (self.shared, self.is_static) {
            out[..32].copy_from_slice(&shared);
        }
        Ok(())
    }
}

struct LyingResolver {
    claim: [u8; 32],
    shared: Option<[u8; 32]>,
}

impl CryptoResolver for LyingResolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(Fixed))
    }
    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        Some(Box::new(LyingDh {
            honest: DefaultResolver.resolve_dh(choice)?,
            claim: self.claim.to_vec(),
            shared: self.shared,
            is_static: false,
        }))
    }
    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        DefaultResolver.resolve_hash(choice)
    }
    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        DefaultResolver.resolve_cipher(choice)
    }
}

struct Fixed;

impl Random for Fixed {
    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), snow::Error> {
        dest.fill(0x5a);
        Ok(())
    }
}

/// The handshake's last word at an acceptor, when alice dials and claims to have the public key `claim`.
fn outcome(claim: [u8; 32], shared: Option<[u8; 32]>) -> Result<crate::NodeId, HandshakeError> {
    let suite = Suite::ChaChaPoly;
    let key = alice();
    let bob = bob().node_id();
    let prologue = preamble::prologue(suite);
    let mut liar =
        Builder::with_resolver(suite.name().parse().unwrap(), Box::new(LyingResolver { claim, shared }))
            .local_private_key(key.expose())
            .and_then(|builder| builder.prologue(&prologue))
            .and_then(|builder| builder.remote_public_key(bob.as_bytes()))
            .and_then(Builder::build_initiator)
            .unwrap();

    let mut acceptor = acceptor();
    acceptor.receive(&preamble::encode(suite)).unwrap();
    acceptor.receive(&message(&mut liar)).unwrap();
    let answer = sent(&mut acceptor);
    liar.read_message(&answer[PREFIX_LEN..], &mut [0; 256]).unwrap();
    acceptor.receive(&message(&mut liar))?;
    Ok(acceptor.finish()?.peer)
}

fn message(noise: &mut HandshakeState) -> Vec<u8> {
    let mut bytes = vec![0; 256];
    let length = noise.write_message(&[], &mut bytes).unwrap();
    bytes.truncate(length);
    [&(length as u16).to_be_bytes()[..], &bytes].concat()
}

#[test]
fn a_plain_noise_implementation_is_understood_when_it_tells_the_truth() {
    assert_eq!(outcome(*alice().node_id().as_bytes(), None), Ok(alice().node_id()));
}

#[test]
fn a_dialer_cannot_claim_a_key_that_it_does_not_have() {
    let forged = HandshakeError::Authentication(HandshakeMessage::Third);
    assert_eq!(outcome(*bob().node_id().as_bytes(), None), Err(forged));
}

#[test]
fn a_dialer_cannot_claim_a_key_that_anyone_can_prove() {
    let weak = HandshakeError::WeakKey(HandshakeMessage::Third);
    for claim in super::identity::low_order_keys() {
        assert_eq!(outcome(claim, Some([0; 32])), Err(weak));
    }
}

#[test]
fn a_dialer_cannot_have_a_second_node_id_for_the_same_key() {
    let mut other_form = *alice().node_id().as_bytes();
    other_form[31] |= 0x80;
    let weak = HandshakeError::WeakKey(HandshakeMessage::Third);
    assert_eq!(outcome(other_form, None), Err(weak));
}
