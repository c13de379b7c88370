//! Who opened a stream, which stream it is, and when things happen.

use core::fmt;
use core::num::NonZeroU32;

/// The end of the link that a session is.
///
/// The role decides the parity of the stream ids an end opens, so that both ends can open streams without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The end that dialed: opens odd stream ids.
    Dialer,
    /// The end that was dialed: opens even stream ids.
    Acceptor,
}

impl Role {
    /// The other end.
    #[must_use]
    pub const fn peer(self) -> Self {
        match self {
            Self::Dialer => Self::Acceptor,
            Self::Acceptor => Self::Dialer,
        }
    }

    /// Whether `id` is one that this end may open.
    #[must_use]
    pub const fn opens(self, id: StreamId) -> bool {
        match self {
            Self::Dialer => !id.get().is_multiple_of(2),
            Self::Acceptor => id.get().is_multiple_of(2),
        }
    }

    pub(crate) const fn first_id(self) -> u32 {
        match self {
            Self::Dialer => 1,
            Self::Acceptor => 2,
        }
    }
}

/// The id of a stream: odd when the dialer opened it, even when the acceptor did, never used twice in a session.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(NonZeroU32);

impl StreamId {
    /// The id with this number on the wire; `None` for 0, which is the session itself.
    #[must_use]
    pub const fn new(raw: u32) -> Option<Self> {
        match NonZeroU32::new(raw) {
            Some(raw) => Some(Self(raw)),
            None => None,
        }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamId({})", self.0)
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A point on the caller's clock, or a span of it, in ticks.
///
/// The caller says how long a tick is; one second is what the default [`Limits`](crate::Limits) are made for. The
/// engine never reads a clock: time is what the caller last told it, and it does not run backwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticks(pub u64);

impl Ticks {
    /// The start of the caller's clock.
    pub const ZERO: Self = Self(0);

    /// This point, `span` later. Saturates at the end of time.
    #[must_use]
    pub const fn after(self, span: Self) -> Self {
        Self(self.0.saturating_add(span.0))
    }

    /// The span from `earlier` to this point; zero when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }
}
