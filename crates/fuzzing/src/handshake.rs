//! Two honest ends of a handshake, and somebody on the path who cuts, changes, drops, repeats and invents bytes.

use std::ops::RangeInclusive;
use std::sync::LazyLock;

use vatmux_noise::{
    Entropy, Established, Handshake, HandshakeError, HandshakeMessage, MAX_HELLO, MAX_UNAUTHENTICATED_BYTES,
    NodeId, SecretKey, Stage, Suite,
};
use vatmux_sim::{Bytes, Choices};

/// The most steps of a script. It bounds the time that one input takes.
const MOST_STEPS: usize = 100;
/// More than one end ever has to say at once.
const MOST_BYTES: usize = 512;

/// The preamble, and message 1 behind its length (MUX-1.1, MUX-1.3).
const FIRST_FLIGHT_BYTES: usize = 8 + 2 + 48;

/// The eight bytes before it.
const PREAMBLE_BYTES: usize = 8;
/// How long each message may be, hello included (MUX-1.3).
const LENGTHS: [(HandshakeMessage, RangeInclusive<u16>); 3] = [
    (HandshakeMessage::First, 48..=48),
    (HandshakeMessage::Second, 48..=48 + 128),
    (HandshakeMessage::Third, 64..=64 + 128),
];
/// Where an alert begins instead of a message.
const ALERT: u16 = 0xffff;

/// One honest end.
pub(crate) struct Party {
    key: SecretKey,
    id: NodeId,
    hello: Vec<u8>,
    /// Fixed, as everything here is, so that the same input does the same.
    entropy: [u8; 32],
}

impl Party {
    fn new(secret: u8, hello_bytes: usize) -> Self {
        let key = SecretKey::from_bytes([secret; 32]).expect("a secret key");
        Self { id: key.node_id(), key, hello: vec![secret; hello_bytes], entropy: [secret ^ 0x55; 32] }
    }

    fn entropy(&self) -> Entropy {
        Entropy::from_bytes(self.entropy).expect("not all zero")
    }
}

static DIALER: LazyLock<Party> = LazyLock::new(|| Party::new(0xa1, 17));
static ACCEPTOR: LazyLock<Party> = LazyLock::new(|| Party::new(0xb0, MAX_HELLO));

/// Both ends at the start.
pub(crate) fn both(suite: Suite) -> [Handshake; 2] {
    let (dialer, acceptor) = (&*DIALER, &*ACCEPTOR);
    [
        Handshake::dial(&dialer.key, acceptor.id, suite, &dialer.hello, dialer.entropy())
            .expect("it may begin"),
        Handshake::accept(&acceptor.key, &acceptor.hello, acceptor.entropy()).expect("it may begin"),
    ]
}

/// Does with a handshake what `bytes` say.
pub(crate) fn run(bytes: &[u8]) {
    let mut choices = Bytes::new(bytes);
    let suite = choices.pick(&[Suite::ChaChaPoly, Suite::AesGcm]);
    let mut path = Path::new(suite);
    for _ in 0..MOST_STEPS {
        if choices.is_empty() {
            break;
        }
        path.step(&mut choices);
        path.check();
    }
    path.arrive_at_the_truth();
}

/// The link between the two, dialer first.
struct Path {
    suite: Suite,
    ends: [Handshake; 2],
    /// What each end transmitted.
    sent: [Vec<u8>; 2],
    /// What of it was taken from the link, delivered or not.
    carried: [usize; 2],
    /// What each end took in, all of it.
    taken: [Vec<u8>; 2],
    failed: [Option<HandshakeError>; 2],
    /// Somebody ended the link under one of them.
    cut: bool,
}

impl Path {
    fn new(suite: Suite) -> Self {
        Self {
            suite,
            ends: both(suite),
            sent: Default::default(),
            carried: [0; 2],
            taken: Default::default(),
            failed: [None; 2],
            cut: false,
        }
    }

    fn step(&mut self, choices: &mut Bytes<'_>) {
        let to = choices.below(2) as usize;
        match choices.below(8) {
            0..3 => {
                let bytes = self.carry(1 - to, 1 + choices.below(256) as usize);
                self.deliver(to, &bytes);
            }
            3 => {
                let bytes = self.carry(1 - to, MOST_BYTES);
                self.deliver(to, &bytes);
            }
            4 => {
                let mut bytes = self.carry(1 - to, MOST_BYTES);
                let position = choices.below(256) as usize;
                let change = choices.below(256) as u8;
                if let Some(byte) = bytes.get_mut(position) {
                    *byte ^= change;
                }
                self.deliver(to, &bytes);
            }
            5 => {
                let length = choices.below(256) as usize;
                self.deliver(to, choices.take(length));
            }
            6 => {
                // Again, or something that was meant for the other end.
                let (from, start) = (choices.below(2) as usize, choices.below(256) as usize);
                let bytes = self.sent[from].get(start..).unwrap_or_default().to_vec();
                self.deliver(to, &bytes);
            }
            _ => match choices.below(8) {
                0 => {
                    self.cut = true;
                    let error = self.ends[to].link_ended();
                    assert_eq!(self.failed[to].unwrap_or(error), error, "the first error is final");
                    self.failed[to] = Some(error);
                }
                _ => _ = self.carry(1 - to, 1 + choices.below(64) as usize),
            },
        }
    }

    /// Takes up to `most` bytes of what `from` has sent off the link.
    fn carry(&mut self, from: usize, most: usize) -> Vec<u8> {
        let mut output = [0; MOST_BYTES];
        let count = self.ends[from].transmit(&mut output);
        self.sent[from].extend_from_slice(&output[..count]);
        let rest = &self.sent[from][self.carried[from]..];
        let bytes = rest[..most.min(rest.len())].to_vec();
        self.carried[from] += bytes.len();
        bytes
    }

    fn deliver(&mut self, to: usize, bytes: &[u8]) {
        let end = &mut self.ends[to];
        let outcome = end.receive(bytes);
        if let Some(error) = self.failed[to] {
            assert_eq!(outcome, Err(error), "the first error is final");
            return;
        }
        match outcome {
            Ok(taken) => {
                assert!(taken == bytes.len() || end.stage() == Stage::Complete && taken < bytes.len());
                self.taken[to].extend_from_slice(&bytes[..taken]);
            }
            Err(error) => {
                assert_eq!(end.stage(), Stage::Failed);
                assert!(!matches!(error, HandshakeError::Engine(_)), "{error}");
                self.failed[to] = Some(error);
                self.taken[to].extend_from_slice(bytes);
                assert!(!self.is_genuine(), "{error}, although nothing was changed");
            }
        }
    }

    /// Whether each end took in nothing but the beginning of what the other sent.
    fn is_genuine(&self) -> bool {
        (0..2).all(|end| self.sent[1 - end].starts_with(&self.taken[end]))
    }

    fn check(&self) {
        for (end, handshake) in self.ends.iter().enumerate() {
            assert_eq!(self.failed[end].is_some(), handshake.stage() == Stage::Failed);
            self.check_lengths(end);
        }
        // Message 2 covers all that was said before it, and message 3 all that was said at all: nobody is believed who
        // heard, or said, something else.
        let [dialer, acceptor] = self.ends.each_ref().map(|end| end.stage() == Stage::Complete);
        let heard = self.sent[1].starts_with(&self.taken[0]);
        let was_heard = self.taken[1].get(..FIRST_FLIGHT_BYTES) == self.sent[0].get(..FIRST_FLIGHT_BYTES);
        assert!(!dialer || heard && was_heard, "a changed handshake completed at its dialer");
        assert!(!acceptor || self.is_genuine(), "a changed handshake completed at its acceptor");
        assert!(self.failed[1].is_some() || self.taken[1].len() <= MAX_UNAUTHENTICATED_BYTES);
    }

    /// The first message of `taken` that has a length no such message has, and the length: `messages` follow each other
    /// there, of which all but the last are whole.
    fn wrong_length(mut taken: &[u8], messages: &[usize]) -> Option<(HandshakeMessage, u16)> {
        for number in messages {
            let (prefix, rest) = taken.split_first_chunk()?;
            let (length, (message, lengths)) = (u16::from_be_bytes(*prefix), &LENGTHS[*number]);
            if !lengths.contains(&length) {
                return Some((*message, length));
            }
            taken = rest.get(usize::from(length)..)?;
        }
        None
    }

    /// A length that no message has ends the handshake as soon as it is there, by name, and no other length does.
    fn check_lengths(&self, end: usize) {
        let taken = &self.taken[end][..];
        let wrong = if end == 0 {
            Self::wrong_length(taken, &[1]).filter(|(_, length)| *length != ALERT)
        } else {
            taken.get(PREAMBLE_BYTES..).and_then(|taken| Self::wrong_length(taken, &[0, 2]))
        };
        match (self.failed[end], wrong) {
            (Some(HandshakeError::MessageLength { message, length }), found) => {
                assert_eq!(found, Some((message, length)), "it was as long as it may be");
            }
            (failed, Some((message, length))) => {
                let before = failed.is_some_and(|error| is_seen_before(error, message));
                assert!(before, "{message} of {length} bytes came to {failed:?}");
            }
            (Some(_) | None, None) => {}
        }
    }

    /// What is still under way arrives unchanged: both ends are done, or neither believes the other.
    fn arrive_at_the_truth(mut self) {
        for _ in 0..3 {
            for to in 0..2 {
                let bytes = self.carry(1 - to, usize::MAX);
                self.deliver(to, &bytes);
            }
        }
        self.check();
        let suite = self.suite;
        let lost = (0..2).any(|from| self.taken[1 - from].len() < self.sent[from].len());
        let whole = self.is_genuine() && !self.cut && !lost;
        let [dialer, acceptor] = self.ends.map(Handshake::finish);
        assert!(!whole || dialer.is_ok() && acceptor.is_ok(), "nothing was changed, and nobody is there");
        if let Ok(established) = &dialer {
            assert_believes(established, &ACCEPTOR, suite);
        }
        if let Ok(established) = &acceptor {
            assert_believes(established, &DIALER, suite);
        }
        if let (Ok(mut dialer), Ok(mut acceptor)) = (dialer, acceptor) {
            assert_eq!(dialer.handshake_hash, acceptor.handshake_hash);
            let mut record = *b"  here I am                ";
            let length = dialer.records.seal(&mut record, 9).expect("room");
            let opened = acceptor.records.open(&mut record[2..length]).expect("it is genuine");
            assert_eq!(opened, b"here I am");
        }
    }
}

/// Whether something that is wrong is seen before the length of `message` is there.
fn is_seen_before(error: HandshakeError, message: HandshakeMessage) -> bool {
    match error {
        HandshakeError::NotVatmux => true,
        HandshakeError::UnsupportedVersion(_) | HandshakeError::UnsupportedSuite(_) => {
            message != HandshakeMessage::Second
        }
        HandshakeError::Authentication(HandshakeMessage::First)
        | HandshakeError::WeakKey(HandshakeMessage::First) => message == HandshakeMessage::Third,
        _ => false,
    }
}

fn assert_believes(established: &Established, peer: &Party, suite: Suite) {
    assert!(established.peer == peer.id, "somebody else is taken for the peer");
    assert_eq!((&established.hello, established.suite), (&peer.hello, suite));
}
