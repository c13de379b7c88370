//! What was counted, at one moment.

use std::time::Duration;

use vatmux_driver::TrafficSnapshot;
use vatmux_mux::{Priority, SessionStatistics, StreamId, StreamStatistics};
use vatmux_noise::NodeId;

use crate::sight::{Latency, Outcome};

/// Calls in one direction.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallStatistics {
    /// How many there were.
    pub started: u64,
    pub(crate) ended: [u64; Outcome::ALL.len()],
    /// How long those took that were not canceled and whose vat did not end before.
    pub latency: Latency,
}

impl CallStatistics {
    /// As many, of which none has ended.
    #[must_use]
    pub fn of_started(started: u64) -> Self {
        Self { started, ..Self::default() }
    }

    /// How many ended in this way.
    #[must_use]
    pub fn ended(&self, outcome: Outcome) -> u64 {
        self.ended.get(outcome as usize).copied().unwrap_or(0)
    }

    /// How many are not over.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.ended.iter().fold(self.started, |open, ended| open.saturating_sub(*ended))
    }

    /// Counts `count` more that ended in this way; what started is counted by itself.
    pub fn add_ended(&mut self, outcome: Outcome, count: u64) {
        if let Some(ended) = self.ended.get_mut(outcome as usize) {
            *ended = ended.saturating_add(count);
        }
    }

    /// Counts all that the other has counted.
    pub fn add(&mut self, other: &Self) {
        self.started = self.started.saturating_add(other.started);
        for outcome in Outcome::ALL {
            self.add_ended(outcome, other.ended(outcome));
        }
        self.latency.add(&other.latency);
    }
}

/// The vats of one service, whichever side offers it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceStatistics {
    /// Its name. Of the services that other nodes offer, a session counts 64 by name and all further ones as `(others)`.
    pub service: String,
    /// Vats that there have been.
    pub vats_opened: u64,
    /// Vats that there are.
    pub vats_open: u64,
    /// Vats that ended because of what the peer sent, or did not read.
    pub violations: u64,
    /// Calls that this side made on them.
    pub asked: CallStatistics,
    /// Calls that the peer made on them.
    pub served: CallStatistics,
    /// The same by method, in the order of their names, of those that were called and whose names this side knows from a schema: 64 at
    /// most of one session. What else was called is counted above alone.
    pub methods: Vec<MethodStatistics>,
}

/// The calls of one method. How long they took is known of the service as a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MethodStatistics {
    /// Its name behind that of its interface, as in `StateFs.get`.
    pub method: String,
    /// Calls that this side made.
    pub asked: CallStatistics,
    /// Calls that the peer made.
    pub served: CallStatistics,
}

impl ServiceStatistics {
    /// Counts all that the other has counted, under this one's name.
    pub fn add(&mut self, other: &Self) {
        self.vats_opened = self.vats_opened.saturating_add(other.vats_opened);
        self.vats_open = self.vats_open.saturating_add(other.vats_open);
        self.violations = self.violations.saturating_add(other.violations);
        self.asked.add(&other.asked);
        self.served.add(&other.served);
        for method in &other.methods {
            match self.methods.iter_mut().find(|known| known.method == method.method) {
                Some(known) => {
                    known.asked.add(&method.asked);
                    known.served.add(&method.served);
                }
                None => self.methods.push(method.clone()),
            }
        }
        self.methods.sort_by(|one, other| one.method.cmp(&other.method));
    }
}

/// Streams of a peer's that were turned away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    /// There is no such service.
    pub no_such_service: u64,
    /// It wanted to be served before its turn.
    pub not_allowed: u64,
    /// It has as many vats as it may have.
    pub overloaded: u64,
}

/// A vat's stream at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSnapshot {
    /// Its number in the session.
    pub id: StreamId,
    /// The service.
    pub service: String,
    /// The more urgent, the smaller.
    pub priority: Priority,
    /// True where this side opened it.
    pub opened_here: bool,
    /// Bytes, credit and windows; None where the session has let go of the stream, and the vat is about to.
    pub statistics: Option<StreamStatistics>,
    /// Bytes of messages that the stream has not taken yet.
    pub queued_bytes: usize,
    /// Calls of this side's that are not over.
    pub calls_asked: usize,
    /// Calls of the peer's that are not over.
    pub calls_served: usize,
}

/// One session at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerStatistics {
    /// The peer.
    pub node_id: NodeId,
    /// How long there has been a session.
    pub age: Duration,
    /// What crossed the link.
    pub traffic: TrafficSnapshot,
    /// What the multiplexer counts.
    pub session: SessionStatistics,
    /// The streams that have a vat, in the order of their ids.
    pub streams: Vec<StreamSnapshot>,
    /// What was counted by service, in the order of their names.
    pub services: Vec<ServiceStatistics>,
    /// Streams that were turned away.
    pub refusals: Refusals,
}

/// A session of a node's at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionSnapshot {
    /// Which one it is. Of two sessions of one thread the later one has the greater id.
    pub id: u64,
    /// What it counted, and what it holds.
    pub statistics: PeerStatistics,
}
