//! One stream: its two directions, its credit, and what it still has to tell the peer and the application.

use crate::code::ResetCode;
use crate::growth::Round;
use crate::list::{CHAINS, Link};
use crate::name::{Priority, StreamName};
use crate::ring::Ring;

/// Our direction of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    /// The application may write.
    Open,
    /// It has finished; CLOSE follows what is buffered.
    Finishing,
    /// CLOSE is sent.
    Finished,
}

/// How the application's bytes come to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Writer {
    /// It may write.
    Free,
    /// A write was turned away since room last became free.
    Blocked,
    /// It has bytes to lend when the stream's turn comes.
    Supplied,
}

/// The peer's direction of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Receiving {
    /// DATA may arrive.
    Open,
    /// CLOSE has arrived.
    Finished,
}

/// Whether the stream was reset, and by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reset {
    No,
    /// By us; RST waits to be sent.
    Queued(ResetCode),
    /// By us; the peer knows, or never knew of the stream.
    Sent(ResetCode),
    /// By the peer.
    Received(ResetCode),
}

/// What the application knows of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Handle {
    /// The application opened or accepted it.
    Held,
    /// The peer opened it and the application has not been told.
    Unseen,
    /// The application was told and has neither accepted nor refused.
    Offered,
    /// The application will not come back to it.
    Released,
}

/// Frames that a stream has to send, DATA apart, in the order in which they leave.
pub(crate) mod control {
    pub(crate) const OPEN: u8 = 1;
    pub(crate) const OPEN_ACK: u8 = 2;
    pub(crate) const WINDOW_UPDATE: u8 = 4;
    pub(crate) const CLOSE: u8 = 8;
    pub(crate) const RESET: u8 = 16;
}

/// Events that a stream has for the application, in the order in which they are told.
pub(crate) mod event {
    pub(crate) const INCOMING: u8 = 1;
    pub(crate) const OPENED: u8 = 2;
    pub(crate) const READABLE: u8 = 4;
    pub(crate) const WRITABLE: u8 = 8;
    pub(crate) const RESET: u8 = 16;
}

/// The place of one stream in a [`Storage`](crate::Storage). Opaque: streams are used through their session.
pub struct Slot<R> {
    /// 0 when vacant.
    pub(crate) id: u32,
    /// Bytes that we may still send.
    pub(crate) send_credit: u32,
    /// Bytes that the peer may have under way or unread at once.
    pub(crate) window: u32,
    /// Bytes that the peer may still send. `window = outstanding + owed + buffered`, plus what a DATA frame that is
    /// only partly here still lacks.
    pub(crate) outstanding: u32,
    /// Bytes consumed, or added to the window, and not granted to the peer yet.
    pub(crate) owed: u32,
    pub(crate) send: R,
    pub(crate) receive: R,
    pub(crate) links: [Link; CHAINS],
    pub(crate) control: u8,
    pub(crate) events: u8,
    pub(crate) priority: Priority,
    pub(crate) sending: Sending,
    pub(crate) receiving: Receiving,
    pub(crate) handle: Handle,
    /// `OPEN_ACK` was received, or sent or queued.
    pub(crate) acknowledged: bool,
    pub(crate) writer: Writer,
    /// Both ends know that the stream is over: it no longer counts against the limit.
    pub(crate) settled: bool,
    pub(crate) reset: Reset,
    pub(crate) round: Round,
    /// The low bits of the tick at which bytes last moved.
    pub(crate) active_at: u32,
    pub(crate) sent_bytes: u64,
    pub(crate) received_bytes: u64,
    pub(crate) name: StreamName,
}

impl<R> Slot<R> {
    /// Nothing but zeros, as far as it is set at all: storage in a `static` takes no room in the file that it is loaded from.
    pub(crate) const fn vacant(send: R, receive: R) -> Self {
        Self {
            id: 0,
            send_credit: 0,
            window: 0,
            outstanding: 0,
            owed: 0,
            send,
            receive,
            links: [Link::LOOSE; CHAINS],
            control: 0,
            events: 0,
            priority: Priority::FIRST,
            sending: Sending::Open,
            receiving: Receiving::Open,
            handle: Handle::Held,
            acknowledged: false,
            writer: Writer::Free,
            settled: false,
            reset: Reset::No,
            round: Round::NONE,
            active_at: 0,
            sent_bytes: 0,
            received_bytes: 0,
            name: StreamName::NONE,
        }
    }

    pub(crate) fn level(&self) -> usize {
        usize::from(self.priority.get())
    }

    /// Whether both ends agree that the stream is over.
    pub(crate) fn is_over(&self) -> bool {
        match self.reset {
            Reset::Sent(_) | Reset::Received(_) => true,
            Reset::Queued(_) => false,
            Reset::No => self.sending == Sending::Finished && self.receiving == Receiving::Finished,
        }
    }

    /// Whether the peer can still have DATA under way that it sent in good faith.
    pub(crate) fn may_still_receive(&self) -> bool {
        self.receiving == Receiving::Open && !matches!(self.reset, Reset::Received(_))
    }

    pub(crate) fn reset_code(&self) -> Option<ResetCode> {
        match self.reset {
            Reset::No => None,
            Reset::Queued(code) | Reset::Sent(code) | Reset::Received(code) => Some(code),
        }
    }
}

impl<R: Ring> Slot<R> {
    /// Whether it is the scheduler's to send from.
    pub(crate) fn is_ready(&self) -> bool {
        self.send_credit > 0 && self.has_output() && self.control & control::OPEN == 0
    }

    /// Whether there is something that it has not sent, here or with the application.
    pub(crate) fn has_output(&self) -> bool {
        self.writer == Writer::Supplied || !self.send.is_empty()
    }

    /// Becomes vacant, without memory.
    pub(crate) fn vacate(&mut self) {
        self.send.release();
        self.receive.release();
        self.id = 0;
        self.control = 0;
        self.events = 0;
    }
}
