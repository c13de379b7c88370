//! The poll loop that carries every vatmux node: tasks, timers, links and secure sessions on one thread.
//!
//! What it promises, on a host, in a Wasm guest and on bare metal alike:
//!
//! 1. **A wake-up is a flag.** A waker sets one bit and nothing else ([`Driver`]).
//! 2. **Poll until nothing is flagged, then block** on exactly what is parked, with the nearest deadline ([`Park`]).
//! 3. **A timer is a deadline.** No timer exists to find work that somebody forgot to announce. Where a keepalive
//!    tick finds such work all the same, it is counted ([`Handle::rescues`]), and the count is zero.
//! 4. **Reading never waits for writing.** A session reads its link whatever the state of its writes ([`Session`]).
//!
//! There is no runtime and no thread here. The outside world comes in through three traits: a [`Clock`] tells
//! the time, a [`Park`] blocks the thread, a [`Link`] moves bytes. [`virtual_time`] is a clock and a park for
//! tests in which an hour passes in microseconds.

#![forbid(unsafe_code)]

mod buffers;
mod draft;
mod engine;
mod executor;
mod handshake;
mod link;
mod pipe;
mod pump;
mod session;
mod stream;
mod takers;
mod time;
mod timers;
pub mod virtual_time;
mod wakeups;

pub use executor::{Driver, Handle, Park, yield_now};
pub use handshake::{HandshakeFailure, accept, dial};
pub use link::Link;
pub use pipe::{PipeEnd, Room, pipe};
pub use session::{
    Incoming, IncomingStreams, OpenError, Session, SessionEnd, SessionOptions, TrafficSnapshot,
};
pub use stream::{Stream, StreamEnd};
pub use takers::Taker;
pub use time::Clock;
pub use timers::{Elapsed, Sleep};
pub use vatmux_liveness::Instant;
pub use wakeups::Unpark;
