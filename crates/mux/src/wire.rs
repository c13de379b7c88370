//! The frames of version 1, byte by byte. All numbers are little-endian.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | kind |
//! | 1 | 1 | flags, 0 |
//! | 2 | 2 | length of the payload in bytes |
//! | 4 | 4 | stream id, 0 for the session |
//! | 8 | length | payload |

use core::fmt;

use crate::code::{CloseCode, ResetCode};
use crate::id::StreamId;
use crate::name::{MAX_NAME_BYTES, Priority, StreamName};
use crate::violation::Violation;

/// The bytes of a frame's header.
pub const HEADER_BYTES: usize = 8;
/// The longest DATA payload in bytes.
pub const MAX_DATA_BYTES: usize = 32 * 1024;
/// The longest payload in bytes of any frame but DATA: an OPEN with the longest name.
pub const MAX_CONTROL_BYTES: usize = 1 + MAX_NAME_BYTES;
/// The largest credit in bytes that one direction of a stream can have, and so the largest window.
pub const MAX_CREDIT_BYTES: u32 = u32::MAX / 2;

mod field {
    use core::ops::Range;

    pub(super) const KIND: usize = 0;
    pub(super) const FLAGS: usize = 1;
    pub(super) const LENGTH: Range<usize> = 2..4;
    pub(super) const STREAM: Range<usize> = 4..8;
}

/// The kind of a frame, as its first byte says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Opens a stream: priority (1 byte) and name (1 to 64 bytes).
    Open = 1,
    /// The acceptor's application took the stream. Empty.
    OpenAck = 2,
    /// 1 to 32,768 bytes of the stream, against the credit that their receiver granted.
    Data = 3,
    /// More credit: an increment in bytes (u32, not 0).
    WindowUpdate = 4,
    /// Ends both directions of a stream at once: a [`ResetCode`].
    Reset = 5,
    /// Asks for a PONG: a nonce (u64).
    Ping = 6,
    /// Answers the newest PING: its nonce (u64).
    Pong = 7,
    /// On a stream: no more DATA from this end, empty. On stream 0: the session ends, a [`CloseCode`].
    Close = 8,
}

impl Kind {
    const fn from_wire(kind: u8) -> Option<Self> {
        Some(match kind {
            1 => Self::Open,
            2 => Self::OpenAck,
            3 => Self::Data,
            4 => Self::WindowUpdate,
            5 => Self::Reset,
            6 => Self::Ping,
            7 => Self::Pong,
            8 => Self::Close,
            _ => return None,
        })
    }

    /// The shortest and the longest payload in bytes on this stream; `None` where the frame has no place.
    const fn payload(self, stream: u32) -> Option<(u16, u16)> {
        match (self, stream) {
            (Self::Ping | Self::Pong, 0) => Some((8, 8)),
            (Self::Close, 0) | (Self::WindowUpdate | Self::Reset, 1..) => Some((4, 4)),
            (Self::Open | Self::OpenAck | Self::Data | Self::WindowUpdate | Self::Reset, 0)
            | (Self::Ping | Self::Pong, 1..) => None,
            (Self::Open, 1..) => Some((2, MAX_CONTROL_BYTES as u16)),
            (Self::OpenAck | Self::Close, 1..) => Some((0, 0)),
            (Self::Data, 1..) => Some((1, MAX_DATA_BYTES as u16)),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "OPEN",
            Self::OpenAck => "OPEN_ACK",
            Self::Data => "DATA",
            Self::WindowUpdate => "WINDOW_UPDATE",
            Self::Reset => "RST",
            Self::Ping => "PING",
            Self::Pong => "PONG",
            Self::Close => "CLOSE",
        })
    }
}

/// A header whose kind, flags, place and length are legal. Whether its stream allows it is the session's to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The kind of frame.
    pub kind: Kind,
    /// The length of the payload in bytes.
    pub length: u16,
    /// The stream; `None` is the session.
    pub stream: Option<StreamId>,
}

impl Header {
    /// Checks the eight bytes of a header.
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, Violation> {
        let [kind, flags, length_low, length_high, id @ ..] = *bytes;
        let length = u16::from_le_bytes([length_low, length_high]);
        let stream = u32::from_le_bytes(id);
        let kind = Kind::from_wire(kind).ok_or(Violation::UnknownKind { kind })?;
        if flags != 0 {
            return Err(Violation::ReservedFlags { flags });
        }
        let (minimum, maximum) = kind.payload(stream).ok_or(Violation::MisplacedFrame { kind, stream })?;
        if length > maximum {
            return Err(Violation::FrameOversize { kind, length, maximum });
        }
        if length < minimum {
            return Err(Violation::FrameTooShort { kind, length });
        }
        Ok(Self { kind, length, stream: StreamId::new(stream) })
    }

    /// The eight bytes.
    #[must_use]
    pub fn emit(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[field::KIND] = self.kind as u8;
        bytes[field::FLAGS] = 0;
        bytes[field::LENGTH].copy_from_slice(&self.length.to_le_bytes());
        bytes[field::STREAM].copy_from_slice(&self.stream.map_or(0, StreamId::get).to_le_bytes());
        bytes
    }
}

/// A whole frame that is legal by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Opens `stream`.
    Open {
        /// A new id of the sender's parity.
        stream: StreamId,
        /// How both ends schedule its data.
        priority: Priority,
        /// What it is opened for.
        name: StreamName,
    },
    /// `stream` was taken.
    OpenAck {
        /// A stream that the receiver opened.
        stream: StreamId,
    },
    /// Bytes of `stream`.
    Data {
        /// The stream.
        stream: StreamId,
        /// 1 to [`MAX_DATA_BYTES`] bytes.
        payload: &'a [u8],
    },
    /// More credit for `stream`.
    WindowUpdate {
        /// The stream.
        stream: StreamId,
        /// How many bytes more; not 0.
        increment: u32,
    },
    /// `stream` is over in both directions.
    Reset {
        /// The stream.
        stream: StreamId,
        /// Why.
        code: ResetCode,
    },
    /// Asks for a PONG.
    Ping(u64),
    /// Answers a PING.
    Pong(u64),
    /// No more DATA on `stream` from the sender.
    Close {
        /// The stream.
        stream: StreamId,
    },
    /// The session is over.
    CloseSession(CloseCode),
}

impl<'a> Frame<'a> {
    /// Reads the payload that `header` announced. `payload` is as long as the header says.
    pub fn parse(header: &Header, payload: &'a [u8]) -> Result<Self, Violation> {
        let short = Violation::FrameTooShort { kind: header.kind, length: header.length };
        let word = || payload.first_chunk().map(|bytes| u32::from_le_bytes(*bytes)).ok_or(short);
        let nonce = || payload.first_chunk().map(|bytes| u64::from_le_bytes(*bytes)).ok_or(short);
        let Some(stream) = header.stream else {
            return match header.kind {
                Kind::Ping => Ok(Self::Ping(nonce()?)),
                Kind::Pong => Ok(Self::Pong(nonce()?)),
                Kind::Close => Ok(Self::CloseSession(CloseCode(word()?))),
                kind @ (Kind::Open | Kind::OpenAck | Kind::Data | Kind::WindowUpdate | Kind::Reset) => {
                    Err(Violation::MisplacedFrame { kind, stream: 0 })
                }
            };
        };
        match header.kind {
            Kind::Open => {
                let (priority, name) = payload.split_first().ok_or(short)?;
                let priority =
                    Priority::new(*priority).ok_or(Violation::InvalidPriority { priority: *priority })?;
                let name = StreamName::from_bytes(name).map_err(Violation::InvalidStreamName)?;
                Ok(Self::Open { stream, priority, name })
            }
            Kind::OpenAck => Ok(Self::OpenAck { stream }),
            Kind::Data => Ok(Self::Data { stream, payload }),
            Kind::WindowUpdate => match word()? {
                0 => Err(Violation::EmptyWindowUpdate { stream }),
                increment => Ok(Self::WindowUpdate { stream, increment }),
            },
            Kind::Reset => Ok(Self::Reset { stream, code: ResetCode(word()?) }),
            Kind::Close => Ok(Self::Close { stream }),
            kind @ (Kind::Ping | Kind::Pong) => Err(Violation::MisplacedFrame { kind, stream: stream.get() }),
        }
    }

    /// The length of the whole frame in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        HEADER_BYTES
            + match self {
                Self::Open { name, .. } => 1 + name.as_str().len(),
                Self::OpenAck { .. } | Self::Close { .. } => 0,
                Self::Data { payload, .. } => payload.len(),
                Self::WindowUpdate { .. } | Self::Reset { .. } | Self::CloseSession(_) => 4,
                Self::Ping(_) | Self::Pong(_) => 8,
            }
    }

    /// Writes the whole frame at the start of `output` and returns its length; `None`, with nothing written, when it
    /// does not fit. A `Data` payload longer than [`MAX_DATA_BYTES`] does not fit anywhere.
    pub fn emit(&self, output: &mut [u8]) -> Option<usize> {
        let bytes = self.bytes();
        let output = output.get_mut(..bytes)?;
        let (kind, stream) = match *self {
            Self::Open { stream, .. } => (Kind::Open, Some(stream)),
            Self::OpenAck { stream } => (Kind::OpenAck, Some(stream)),
            Self::Data { stream, payload } if payload.len() <= MAX_DATA_BYTES => (Kind::Data, Some(stream)),
            Self::Data { .. } => return None,
            Self::WindowUpdate { stream, .. } => (Kind::WindowUpdate, Some(stream)),
            Self::Reset { stream, .. } => (Kind::Reset, Some(stream)),
            Self::Ping(_) => (Kind::Ping, None),
            Self::Pong(_) => (Kind::Pong, None),
            Self::Close { stream } => (Kind::Close, Some(stream)),
            Self::CloseSession(_) => (Kind::Close, None),
        };
        let (header, body) = output.split_at_mut(HEADER_BYTES);
        header.copy_from_slice(&Header { kind, length: body.len() as u16, stream }.emit());
        match self {
            Self::Open { priority, name, .. } => {
                body[0] = priority.get();
                body[1..].copy_from_slice(name.as_str().as_bytes());
            }
            Self::OpenAck { .. } | Self::Close { .. } => {}
            Self::Data { payload, .. } => body.copy_from_slice(payload),
            Self::WindowUpdate { increment: word, .. }
            | Self::Reset { code: ResetCode(word), .. }
            | Self::CloseSession(CloseCode(word)) => body.copy_from_slice(&word.to_le_bytes()),
            Self::Ping(nonce) | Self::Pong(nonce) => body.copy_from_slice(&nonce.to_le_bytes()),
        }
        Some(bytes)
    }
}
