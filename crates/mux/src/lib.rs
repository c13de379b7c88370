//! A bounded, prioritised stream multiplexer: many named streams over one ordered, reliable byte link.
//!
//! The engine is pure. [`Session`] takes bytes and the time, and gives bytes, events and the next deadline: no I/O, no
//! clock, no thread, and without feature `alloc` no heap. Same inputs, same outputs.
//!
//! What it promises:
//!
//! - **Every stream is a pair of ordered byte directions** with credit of its own. Opening one costs no round trip.
//! - **Everything has a bound**, stated in [`Limits`] with its memory. Nothing is queued that the peer can make longer:
//!   a PONG is one slot, a window update is a bit, an event is a bit.
//! - **Reading never waits for writing.** [`Session::receive`] takes all it is given, whether or not
//!   [`Session::transmit`] is ever called.
//! - **A frame is checked as a whole before it changes anything**, and the first [`Violation`] ends the session by name.
//!   A panic is our bug, never the peer's doing.
//! - **No priority starves**: see [`Limits::starvation_bound_bytes`].
//!
//! The caller's loop: give what arrived to [`receive`](Session::receive) and the time to
//! [`handle_timeout`](Session::handle_timeout) when [`next_deadline`](Session::next_deadline) has come; then drain
//! [`poll_event`](Session::poll_event) and, while the link has room, [`transmit`](Session::transmit).
//!
//! ```
//! use vatmux_mux::{Event, Limits, Priority, Role, Session, StaticStorage, StreamName, Ticks};
//!
//! let limits = Limits {
//!     initial_window_bytes: 4096,
//!     max_window_bytes: 4096,
//!     send_buffer_bytes: 4096,
//!     max_incoming_streams: 2,
//!     max_outgoing_streams: 2,
//!     ..Limits::FIXED
//! };
//! let new = |role| Session::new(role, limits, limits.hello(), StaticStorage::<4, 4096>::new(), Ticks(0));
//! let (mut dialer, mut acceptor) = (new(Role::Dialer)?, new(Role::Acceptor)?);
//!
//! let stream = dialer.open(&StreamName::new("greeting")?, Priority::default())?;
//! dialer.write(stream, b"hello")?;
//! dialer.finish(stream)?;
//!
//! let mut link = [0; 128];
//! let bytes = dialer.transmit(&mut link);
//! acceptor.receive(&link[..bytes], Ticks(0))?;
//!
//! assert_eq!(acceptor.poll_event(), Some(Event::Incoming { id: stream, priority: Priority::default() }));
//! acceptor.accept(stream)?;
//! assert_eq!(acceptor.readable(stream)?, (&b"hello"[..], &b""[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![no_std]
#![forbid(unsafe_code)]

#[cfg(feature = "alloc")]
extern crate alloc;

mod budget;
mod code;
mod exclusive;
mod growth;
#[cfg(feature = "alloc")]
mod heap;
mod hello;
mod id;
mod keepalive;
mod limits;
mod list;
mod name;
mod ring;
mod scheduler;
mod session;
mod storage;
mod stream;
mod violation;
pub mod wire;

pub use budget::BudgetKind;
pub use code::{CloseCode, ResetCode};
pub use exclusive::{Exclusive, ExclusiveNames, MAX_EXCLUSIVE_NAMES, TooManyExclusiveNames};
#[cfg(feature = "alloc")]
pub use heap::{HeapRing, HeapStorage};
pub use hello::{Hello, HelloError, PROTOCOL_VERSION};
pub use id::{Role, StreamId, Ticks};
pub use limits::{Limits, LimitsError};
pub use name::{MAX_NAME_BYTES, NameError, Priority, StreamName};
pub use ring::{Ring, StaticRing};
pub use session::{
    AcceptError, ConsumeError, End, Event, FinishError, MIN_TRANSMIT_BYTES, OpenError, Output, Passage,
    ReadError, Session, SessionStatistics, Sink, Source, StreamStatistics, UnknownStream, WriteError,
};
pub use storage::{IndexEntry, Refusal, StaticStorage, Storage};
pub use stream::Slot;
pub use violation::Violation;
pub use wire::{MAX_CREDIT_BYTES, MAX_DATA_BYTES};
