//! What can be seen of vats: counters, histograms and `tracing` spans of sessions, streams and calls.
//!
//! * A [`Sight`] watches one vat: it knows the calls that are open in either direction, and tells of each how it ended
//!   and how long it took, to the [`Meter`](meter::Meter) of its service and to whoever subscribes to `tracing`.
//! * [`PeerStatistics`], [`ServiceStatistics`] and [`StreamSnapshot`] are what was counted, at one moment.
//!
//! Spans have `peer`, `service`, `interface`, `method`, `caller` and `outcome`: names, ids and words of this side's. What
//! calls carry is in none of them, and neither is what exceptions say.
//!
//! Without a subscriber a span costs a look at one variable. Nothing is done per byte.

mod latency;
mod meter;
mod outcome;
mod peer;
mod statistics;
mod vat;

pub use latency::Latency;
pub(crate) use meter::{Caller, Meter, Meters};
pub use outcome::Outcome;
pub(crate) use peer::PeerSight;
pub use statistics::{
    CallStatistics, MethodStatistics, PeerStatistics, Refusals, ServiceStatistics, SessionSnapshot,
    StreamSnapshot,
};
pub(crate) use vat::{Seen, Sight};
