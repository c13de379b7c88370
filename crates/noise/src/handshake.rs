//! The handshake, as a machine that takes bytes and gives bytes.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::mem;
use core::ops::RangeInclusive;

use snow::HandshakeState;

use crate::crypto::{self, Ciphers, Role};
use crate::inbox::Inbox;
use crate::{
    Entropy, HandshakeError, HandshakeMessage, NodeId, PREAMBLE_LEN, PREFIX_LEN, Records, Refusal, SecretKey,
    SetupError, Stage, Suite, TAG_LEN, preamble,
};

/// The longest hello, in bytes.
pub const MAX_HELLO: usize = 128;

const KEY_LEN: usize = 32;
const FIRST_LEN: usize = KEY_LEN + TAG_LEN;
const SECOND_LEN: usize = KEY_LEN + TAG_LEN;
const THIRD_LEN: usize = (KEY_LEN + TAG_LEN) + TAG_LEN;
const MAX_THIRD_LEN: usize = THIRD_LEN + MAX_HELLO;
const FIRST_LENGTHS: RangeInclusive<usize> = FIRST_LEN..=FIRST_LEN;
const SECOND_LENGTHS: RangeInclusive<usize> = SECOND_LEN..=SECOND_LEN + MAX_HELLO;
const THIRD_LENGTHS: RangeInclusive<usize> = THIRD_LEN..=MAX_THIRD_LEN;
/// The longest thing that has to be together before it can be used, which is message 3.
const INBOX_LEN: usize = PREFIX_LEN + MAX_THIRD_LEN;
const ALERT_PREFIX: [u8; PREFIX_LEN] = [0xff; PREFIX_LEN];
const ALERT_LEN: usize = PREFIX_LEN + 1;

/// The most that an acceptor takes from a link before it knows who is calling, in bytes: 252.
pub const MAX_UNAUTHENTICATED_BYTES: usize =
    PREAMBLE_LEN + (PREFIX_LEN + FIRST_LEN) + (PREFIX_LEN + MAX_THIRD_LEN);

/// One end of a handshake, from the first byte to [`Established`].
///
/// Give it what arrives ([`receive`](Self::receive)), send what it has to say ([`transmit`](Self::transmit)), until it
/// [`is_complete`](Self::is_complete). What it holds is bounded, whatever the peer does.
///
/// How long it may take is for the caller to decide, with one deadline for the whole of it, set at the start: a
/// deadline that every byte renews is one that a peer can renew for ever.
pub struct Handshake {
    state: State,
    ciphers: Ciphers,
    hello: Vec<u8>,
    inbox: Inbox<INBOX_LEN>,
    outbox: Vec<u8>,
    transmitted: usize,
}

enum State {
    AwaitingPreamble { key: SecretKey, entropy: Entropy },
    AwaitingFirst { noise: Box<HandshakeState>, suite: Suite },
    AwaitingSecond { noise: Box<HandshakeState>, suite: Suite, responder: NodeId },
    AwaitingThird { noise: Box<HandshakeState>, suite: Suite },
    Complete(Box<Established>),
    Failed(HandshakeError),
}

/// What a completed handshake leaves behind.
///
/// An acceptor now knows that the dialer is there. A dialer knows it once the first record has opened: its own last
/// message may not have arrived, or the acceptor may not want it ([`AllowList`](crate::AllowList)).
#[derive(Debug)]
pub struct Established {
    /// Seals and opens everything that follows on the link.
    pub records: Records,
    /// Who the peer is, proved.
    pub peer: NodeId,
    /// The peer's hello, at most [`MAX_HELLO`] bytes: authenticated, and its meaning not yet checked.
    pub hello: Vec<u8>,
    /// The cryptography that the dialer chose.
    pub suite: Suite,
    /// A value that both ends of this session have and no other session has: what to sign or mix in to bind
    /// something to this very session. Not secret.
    pub handshake_hash: [u8; 32],
}

impl Handshake {
    /// Calls the node `peer`, as the owner of `key`.
    ///
    /// `hello` is up to [`MAX_HELLO`] bytes for the layer above, which the peer gets with the last message; only the node
    /// `peer` can read them.
    pub fn dial(
        key: &SecretKey,
        peer: NodeId,
        suite: Suite,
        hello: &[u8],
        entropy: Entropy,
    ) -> Result<Self, SetupError> {
        Self::dial_with(Ciphers::default(), key, peer, suite, hello, entropy)
    }

    pub(crate) fn dial_with(
        ciphers: Ciphers,
        key: &SecretKey,
        peer: NodeId,
        suite: Suite,
        hello: &[u8],
        entropy: Entropy,
    ) -> Result<Self, SetupError> {
        let hello = checked_hello(hello)?;
        if !suite.is_available() {
            return Err(SetupError::SuiteUnavailable(suite));
        }
        let mut noise = crypto::start(suite, ciphers, &Role::Dialer { responder: peer }, key, entropy)?;
        let mut outbox = preamble::encode(suite).to_vec();
        let state = match write(&mut noise, HandshakeMessage::First, &[], &mut outbox) {
            Ok(()) => State::AwaitingSecond { noise: Box::new(noise), suite, responder: peer },
            Err(error) => State::Failed(error),
        };
        Ok(Self { state, ciphers, hello, inbox: Inbox::new(), outbox, transmitted: 0 })
    }

    /// Answers whoever calls, as the owner of `key`.
    ///
    /// `hello` is up to [`MAX_HELLO`] bytes for the layer above. A dialer gets them before it has said who it is, so
    /// whoever knows this node's id can read them.
    pub fn accept(key: &SecretKey, hello: &[u8], entropy: Entropy) -> Result<Self, SetupError> {
        Self::accept_with(Ciphers::default(), key, hello, entropy)
    }

    pub(crate) fn accept_with(
        ciphers: Ciphers,
        key: &SecretKey,
        hello: &[u8],
        entropy: Entropy,
    ) -> Result<Self, SetupError> {
        let hello = checked_hello(hello)?;
        let state = State::AwaitingPreamble { key: key.clone(), entropy };
        Ok(Self { state, ciphers, hello, inbox: Inbox::new(), outbox: Vec::new(), transmitted: 0 })
    }

    /// Takes bytes from the link, and says how many: all of them, unless the handshake became complete, when the rest
    /// belong to [`Established::records`].
    ///
    /// On an error transmit what there still is (an acceptor may have an alert to send), then close the link.
    pub fn receive(&mut self, input: &[u8]) -> Result<usize, HandshakeError> {
        if let State::Failed(error) = self.state {
            return Err(error);
        }
        self.take(input).map_err(|error| self.fail(error))
    }

    /// Moves bytes that are to be sent to the front of `output`, and says how many; 0 when there are none.
    pub fn transmit(&mut self, output: &mut [u8]) -> usize {
        let pending = self.outbox.get(self.transmitted..).unwrap_or_default();
        let moved = pending.len().min(output.len());
        for (slot, &byte) in output.iter_mut().zip(pending) {
            *slot = byte;
        }
        self.transmitted += moved;
        moved
    }

    /// Whether there are bytes to transmit.
    #[must_use]
    pub fn has_output(&self) -> bool {
        self.transmitted < self.outbox.len()
    }

    /// Whether the peer is known and all has been transmitted: time to [`finish`](Self::finish).
    #[must_use]
    pub fn is_complete(&self) -> bool {
        matches!(self.state, State::Complete(_)) && !self.has_output()
    }

    /// How far it has got.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match self.state {
            State::AwaitingPreamble { .. } => Stage::AwaitingPreamble,
            State::AwaitingFirst { .. } => Stage::AwaitingFirst,
            State::AwaitingSecond { .. } => Stage::AwaitingSecond,
            State::AwaitingThird { .. } => Stage::AwaitingThird,
            State::Complete(_) => Stage::Complete,
            State::Failed(_) => Stage::Failed,
        }
    }

    /// The link has no more bytes: says what that means at this point. Final, like every error.
    pub fn link_ended(&mut self) -> HandshakeError {
        let error = match self.state {
            State::Failed(error) => error,
            _ => HandshakeError::LinkEnded(self.stage()),
        };
        self.state = State::Failed(error);
        error
    }

    /// The session, once it [`is_complete`](Self::is_complete).
    pub fn finish(self) -> Result<Established, HandshakeError> {
        let (complete, stage) = (self.is_complete(), self.stage());
        match self.state {
            State::Complete(established) if complete => Ok(*established),
            State::Failed(error) => Err(error),
            _ => Err(HandshakeError::Incomplete(stage)),
        }
    }

    fn take(&mut self, input: &[u8]) -> Result<usize, HandshakeError> {
        let mut consumed = 0;
        while let Some(due) = self.due()? {
            if self.inbox.arrived().len() == due {
                self.act()?;
                self.inbox.clear();
                continue;
            }
            match self.inbox.fill(input.get(consumed..).unwrap_or_default(), due) {
                0 => break,
                taken => consumed += taken,
            }
        }
        Ok(consumed)
    }

    /// How many bytes have to be in the inbox before the next act, judging by those that are: at least one. None when
    /// there is no next act.
    fn due(&self) -> Result<Option<usize>, HandshakeError> {
        let arrived = self.inbox.arrived();
        let (message, lengths) = match self.state {
            State::Failed(error) => return Err(error),
            State::Complete(_) => return Ok(None),
            State::AwaitingPreamble { .. } => return preamble::decode(arrived).map(|_| Some(PREAMBLE_LEN)),
            State::AwaitingFirst { .. } => (HandshakeMessage::First, FIRST_LENGTHS),
            State::AwaitingSecond { .. } => {
                // The first bytes that a dialer ever sees: what begins otherwise is another protocol.
                match arrived {
                    [] | [0 | 0xff] | [0, ..] => {}
                    [0xff, 0xff, ..] => return Ok(Some(ALERT_LEN)),
                    [..] => return Err(HandshakeError::NotVatmux),
                }
                (HandshakeMessage::Second, SECOND_LENGTHS)
            }
            State::AwaitingThird { .. } => (HandshakeMessage::Third, THIRD_LENGTHS),
        };
        let Some(&prefix) = arrived.first_chunk() else { return Ok(Some(PREFIX_LEN)) };
        let length = u16::from_be_bytes(prefix);
        if lengths.contains(&usize::from(length)) {
            Ok(Some(PREFIX_LEN + usize::from(length)))
        } else {
            Err(HandshakeError::MessageLength { message, length })
        }
    }

    /// Does what the bytes in the inbox are for: all that are due are there.
    fn act(&mut self) -> Result<(), HandshakeError> {
        let arrived = self.inbox.arrived();
        let received = arrived.get(PREFIX_LEN..).unwrap_or_default();
        let incomplete = HandshakeError::Incomplete(self.stage());
        self.state = match mem::replace(&mut self.state, State::Failed(incomplete)) {
            State::AwaitingPreamble { key, entropy } => {
                let suite = preamble::decode(arrived)?.ok_or(incomplete)?;
                let noise = crypto::start(suite, self.ciphers, &Role::Acceptor, &key, entropy)
                    .map_err(|_| HandshakeError::UnsupportedSuite(suite.code()))?;
                State::AwaitingFirst { noise: Box::new(noise), suite }
            }
            State::AwaitingFirst { mut noise, suite } => {
                read(&mut noise, HandshakeMessage::First, received)?;
                write(&mut noise, HandshakeMessage::Second, &self.hello, &mut self.outbox)?;
                State::AwaitingThird { noise, suite }
            }
            State::AwaitingSecond { mut noise, suite, responder } => {
                if let [code] = received {
                    return Err(HandshakeError::Refused(Refusal::from_code(*code)));
                }
                let hello = read(&mut noise, HandshakeMessage::Second, received)?;
                write(&mut noise, HandshakeMessage::Third, &self.hello, &mut self.outbox)?;
                State::Complete(Box::new(establish(*noise, suite, self.ciphers, responder, hello)?))
            }
            State::AwaitingThird { mut noise, suite } => {
                let hello = read(&mut noise, HandshakeMessage::Third, received)?;
                let peer = noise
                    .get_remote_static()
                    .and_then(|key| NodeId::from_bytes(key.try_into().ok()?).ok())
                    .ok_or(HandshakeError::WeakKey(HandshakeMessage::Third))?;
                State::Complete(Box::new(establish(*noise, suite, self.ciphers, peer, hello)?))
            }
            ended @ (State::Complete(_) | State::Failed(_)) => ended,
        };
        Ok(())
    }

    /// Makes `error` final, and leaves an alert to transmit where one can help.
    ///
    /// Nothing is said to a peer that is no vatmux node, nor after message 1 has proved that the dialer knows us: the
    /// dialer is then past the point where it would read an alert, or somebody is at work between the two.
    fn fail(&mut self, error: HandshakeError) -> HandshakeError {
        let refusal = match error {
            HandshakeError::UnsupportedVersion(_) => Some(Refusal::Version),
            HandshakeError::UnsupportedSuite(_) => Some(Refusal::Suite),
            HandshakeError::Authentication(HandshakeMessage::First) => Some(Refusal::Key),
            HandshakeError::NotVatmux
            | HandshakeError::MessageLength { .. }
            | HandshakeError::Authentication(HandshakeMessage::Second | HandshakeMessage::Third)
            | HandshakeError::WeakKey(_)
            | HandshakeError::Refused(_)
            | HandshakeError::LinkEnded(_)
            | HandshakeError::Incomplete(_)
            | HandshakeError::Engine(_) => None,
        };
        if let Some(refusal) = refusal {
            self.outbox.extend_from_slice(&ALERT_PREFIX);
            self.outbox.push(refusal.code());
        }
        self.state = State::Failed(error);
        error
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake").field("stage", &self.stage()).finish_non_exhaustive()
    }
}

fn checked_hello(hello: &[u8]) -> Result<Vec<u8>, SetupError> {
    if hello.len() > MAX_HELLO { Err(SetupError::HelloTooLong(hello.len())) } else { Ok(hello.to_vec()) }
}

/// Appends a message with its prefix to `outbox`.
fn write(
    noise: &mut HandshakeState,
    message: HandshakeMessage,
    payload: &[u8],
    outbox: &mut Vec<u8>,
) -> Result<(), HandshakeError> {
    let mut bytes = [0; MAX_THIRD_LEN];
    let length = noise.write_message(payload, &mut bytes).map_err(|error| blame(&error, message))?;
    let prefix = u16::try_from(length).map_err(|_| HandshakeError::Engine(message))?;
    outbox.extend_from_slice(&prefix.to_be_bytes());
    outbox.extend_from_slice(bytes.get(..length).unwrap_or_default());
    Ok(())
}

/// The payload of a message.
fn read(
    noise: &mut HandshakeState,
    message: HandshakeMessage,
    received: &[u8],
) -> Result<Vec<u8>, HandshakeError> {
    let mut payload = [0; MAX_THIRD_LEN];
    let length = noise.read_message(received, &mut payload).map_err(|error| blame(&error, message))?;
    Ok(payload.get(..length).unwrap_or_default().to_vec())
}

fn establish(
    noise: HandshakeState,
    suite: Suite,
    ciphers: Ciphers,
    peer: NodeId,
    hello: Vec<u8>,
) -> Result<Established, HandshakeError> {
    let engine = HandshakeError::Engine(HandshakeMessage::Third);
    let handshake_hash = noise.get_handshake_hash().try_into().map_err(|_| engine)?;
    let records = Records::new(noise, suite, ciphers).ok_or(engine)?;
    Ok(Established { records, peer, hello, suite, handshake_hash })
}

/// Whose fault an error of snow's is. While writing, a weak key is the one that came with the message before.
fn blame(error: &snow::Error, message: HandshakeMessage) -> HandshakeError {
    match error {
        snow::Error::Decrypt | snow::Error::Input => HandshakeError::Authentication(message),
        snow::Error::Dh => HandshakeError::WeakKey(message),
        _ => HandshakeError::Engine(message),
    }
}
