//! How a handshake can end without a session, and how far it had got.

use core::fmt;

use crate::{MAX_HELLO, PROTOCOL_VERSION, Suite};

/// Why a handshake cannot begin: the caller's mistake, not the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SetupError {
    /// The hello is longer than [`MAX_HELLO`].
    #[error("a hello has at most {MAX_HELLO} bytes, this has {0}")]
    HelloTooLong(usize),
    /// This build lacks the suite.
    #[error("this build has no {0}; build it with the feature `ring`, or use the default suite")]
    SuiteUnavailable(Suite),
}

/// Why a handshake failed. Final: the handshake refuses further use and gives the same error again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// What the peer sent first is not how a vatmux node begins.
    #[error("the peer is not a vatmux node: it speaks another protocol")]
    NotVatmux,
    /// The dialer speaks another version of the protocol.
    #[error("the peer speaks version {0} of the protocol, this node version {PROTOCOL_VERSION}")]
    UnsupportedVersion(u8),
    /// The dialer chose a suite that this build lacks.
    #[error("the peer chose suite {0}, which this node does not have")]
    UnsupportedSuite(u8),
    /// A message announced a length that it cannot have.
    #[error("the peer announced {length} bytes for {message}, which cannot be")]
    MessageLength {
        /// The message that was due.
        message: HandshakeMessage,
        /// What its prefix said, in bytes.
        length: u16,
    },
    /// A message did not decrypt.
    #[error("{0} is not genuine: {hint}", hint = .0.hint())]
    Authentication(HandshakeMessage),
    /// The peer used a public key with which nothing is secret, or not in canonical form.
    #[error("the peer used a weak public key in {0}")]
    WeakKey(HandshakeMessage),
    /// The acceptor said no, and why. Not authenticated: whoever is on the path can say so as well.
    #[error("the peer refused: {0}")]
    Refused(Refusal),
    /// The link ended before the handshake was complete; see [`Handshake::link_ended`](crate::Handshake::link_ended).
    #[error("the link ended while {0}{hint}", hint = .0.hint())]
    LinkEnded(Stage),
    /// [`Handshake::finish`](crate::Handshake::finish) was called before the handshake was complete.
    #[error("the handshake is not complete: {0}")]
    Incomplete(Stage),
    /// The Noise engine refused a step that it must be able to do: a defect of this crate, not of the peer.
    #[error("the Noise engine failed at {0}: this is a defect in vatmux")]
    Engine(HandshakeMessage),
}

/// One of the three messages of the XK pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeMessage {
    /// `-> e, es`: 48 bytes.
    First,
    /// `<- e, ee`, with the acceptor's hello: 48 bytes and the hello.
    Second,
    /// `-> s, se`, with the dialer's hello: 64 bytes and the hello.
    Third,
}

impl HandshakeMessage {
    fn hint(self) -> &'static str {
        match self {
            Self::First => "the dialer expects another node id here, or bytes were changed on the way",
            Self::Second => "the peer is not the node that was dialed, or bytes were changed on the way",
            Self::Third => {
                "the dialer does not have the key that it claims, or bytes were changed on the way"
            }
        }
    }
}

impl fmt::Display for HandshakeMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::First => "handshake message 1",
            Self::Second => "handshake message 2",
            Self::Third => "handshake message 3",
        })
    }
}

/// Why an acceptor refused, as its alert says.
///
/// An alert is three bytes: `0xFFFF`, where a message's length would be, and the code. It goes out before anyone is
/// authenticated, so it is a hint only: it ends a handshake that had failed anyway, and never changes what a dialer
/// trusts or does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Code 1: the acceptor does not speak the dialer's version.
    Version,
    /// Code 2: the acceptor's build lacks the dialer's suite.
    Suite,
    /// Code 3: message 1 did not decrypt under the acceptor's key: the dialer expects another node.
    Key,
    /// A code that this version does not know.
    Unknown(u8),
}

impl Refusal {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Version => 1,
            Self::Suite => 2,
            Self::Key => 3,
            Self::Unknown(code) => code,
        }
    }

    pub(crate) const fn from_code(code: u8) -> Self {
        match code {
            1 => Self::Version,
            2 => Self::Suite,
            3 => Self::Key,
            _ => Self::Unknown(code),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version => write!(f, "it does not speak version {PROTOCOL_VERSION} of the protocol"),
            Self::Suite => f.write_str("it does not have the chosen suite"),
            Self::Key => f.write_str("it has another node id than the one that was dialed"),
            Self::Unknown(code) => write!(f, "for a reason unknown here (code {code})"),
        }
    }
}

/// How far a handshake has got, in words for whoever reports a link that ended or a deadline that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The acceptor waits for the eight bytes of the preamble.
    AwaitingPreamble,
    /// The acceptor waits for message 1.
    AwaitingFirst,
    /// The dialer has its first flight ready, and waits for message 2.
    AwaitingSecond,
    /// The acceptor waits for message 3, which says who is calling.
    AwaitingThird,
    /// The peer is known; the last message may still have to be transmitted.
    Complete,
    /// It failed.
    Failed,
}

impl Stage {
    fn hint(self) -> &'static str {
        match self {
            Self::AwaitingSecond => {
                ": most likely the node there has another node id, or it is not a vatmux node"
            }
            Self::AwaitingPreamble
            | Self::AwaitingFirst
            | Self::AwaitingThird
            | Self::Complete
            | Self::Failed => "",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AwaitingPreamble => "waiting for the dialer to begin",
            Self::AwaitingFirst => "waiting for handshake message 1",
            Self::AwaitingSecond => "waiting for the peer's answer to handshake message 1",
            Self::AwaitingThird => "waiting for handshake message 3",
            Self::Complete => "sending the last handshake message",
            Self::Failed => "giving up",
        })
    }
}
