//! The simulator of the mux: whole sessions on virtual time, each a number that anyone can replay.
//!
//! A seed gives a [`Case`], and so do a fuzzer's bytes: either two engines, two applications and a link that fragments,
//! joins, stalls and has buffers down to one byte; or one engine and a peer that sends anything. The case is run over
//! each storage, and both must do the same to the byte. After every step an oracle checks that
//!
//! - bytes arrive in order and, in the end, complete;
//! - credit is conserved to the byte: granted is in flight, buffered or free;
//! - no bound of [`Limits`](vatmux_mux::Limits) is exceeded, and an honest peer is never accused;
//! - turns are strict between priorities, round robin inside one, and nobody starves beyond the bound;
//! - when the link stands still, each stream that has not moved waits for an application;
//! - whoever waits for an event has reason to: no wake-up is lost;
//! - every wait ends: a silent peer is dead when it should be, and not before, and one that trickles not much later;
//! - an exclusive name has one stream, told from the frames alone, and whoever is refused for it is told so;
//! - wrong use changes nothing, and a violation ends the session by name with one CLOSE, whatever follows.
//!
//! [`run`] and [`replay`] give a failure with a case that is as short as [`shrink`](Failure) could make it.

mod case;
mod digest;
mod exhaustive;
mod frames;
mod fresh;
mod hostile;
mod lending;
mod names;
mod oracle;
mod random;
mod run;
mod turns;
mod world;

pub use case::{Act, Attack, Case, Clock, Setting, Step};
pub use exhaustive::{Explored, Range, explore};
pub use random::{Bytes, Choices, Random};
pub use run::{Failure, replay, run, run_all};
