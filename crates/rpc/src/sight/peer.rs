//! One session: its counters, and the vats that it has.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use tracing::{Span, debug_span, field, info_span};
use vatmux_driver::{Instant, Session, SessionEnd, Stream};
use vatmux_mux::{Priority, ResetCode, StreamId};
use vatmux_noise::NodeId;

use crate::service::Descriptor;
use crate::shared::Shared;
use crate::sight::{Meter, Meters, PeerStatistics, Refusals, Sight, StreamSnapshot};

/// Watches one session.
pub(crate) struct PeerSight {
    node_id: NodeId,
    since: Instant,
    span: Span,
    meters: Meters,
    refusals: Cell<Refusals>,
    vats: RefCell<Vec<Watched>>,
    /// With this many vats in the list, those that are gone are looked for.
    tidy_at: Cell<usize>,
}

struct Watched {
    id: StreamId,
    priority: Priority,
    opened_here: bool,
    vat: Weak<Shared>,
}

/// How many vats are listed, gone ones included, before the first look.
const TIDY_AT: usize = 16;

impl PeerSight {
    /// `totals` counts for all sessions of the thread.
    pub(crate) fn new(session: &Session, totals: Rc<Meters>) -> Self {
        let node_id = session.peer();
        let span = info_span!("session", peer = %node_id);
        tracing::info!(parent: &span, peer = %node_id, "a session is up");
        Self {
            node_id,
            since: session.handle().now(),
            span,
            meters: Meters::below(totals),
            refusals: Cell::default(),
            vats: RefCell::default(),
            tidy_at: Cell::new(TIDY_AT),
        }
    }

    /// The sight of a vat on a stream of this session, for a service that this side or the peer offers.
    pub(crate) fn of_vat(
        &self,
        stream: &Stream,
        service: &str,
        priority: Priority,
        opened_here: bool,
        descriptor: Option<&'static Descriptor>,
    ) -> Sight {
        let meter: Rc<Meter> =
            if opened_here { self.meters.used(service) } else { self.meters.offered(service) };
        let span = debug_span!(
            parent: &self.span,
            "stream",
            peer = %self.node_id,
            service,
            id = stream.id().get(),
            priority = priority.get(),
            opened_here,
        );
        Sight::new(Some(self.node_id), service, meter, span, descriptor)
    }

    /// Lists a vat for as long as it lives.
    pub(crate) fn watch(&self, id: StreamId, priority: Priority, opened_here: bool, vat: &Rc<Shared>) {
        let mut vats = self.vats.borrow_mut();
        if vats.len() >= self.tidy_at.get() {
            vats.retain(|watched| watched.vat.strong_count() > 0);
            self.tidy_at.set((vats.len() * 2).max(TIDY_AT));
        }
        vats.push(Watched { id, priority, opened_here, vat: Rc::downgrade(vat) });
    }

    /// Whose session it is.
    pub(crate) fn node_id(&self) -> NodeId {
        self.node_id
    }

    /// There is the service that the peer asks for, and it is not for this peer, who does not hear of that.
    pub(crate) fn denied(&self, service: &str) {
        tracing::info!(parent: &self.span, peer = %self.node_id, service, "the peer may not use this service");
    }

    /// A stream of the peer's is turned away.
    pub(crate) fn refused(&self, service: &str, code: ResetCode) {
        let mut refusals = self.refusals.get();
        match code {
            ResetCode::NO_SUCH_SERVICE => refusals.no_such_service += 1,
            ResetCode::NOT_ALLOWED => refusals.not_allowed += 1,
            _ => refusals.overloaded += 1,
        }
        self.refusals.set(refusals);
        tracing::warn!(
            parent: &self.span,
            peer = %self.node_id,
            service,
            reason = %code,
            "refused a stream"
        );
    }

    /// The session is over.
    pub(crate) fn ended(&self, end: Option<&SessionEnd>) {
        if let Some(end @ (SessionEnd::Violation(_) | SessionEnd::Record(_))) = end {
            tracing::warn!(
                parent: &self.span,
                peer = %self.node_id,
                reason = ?end.to_string(),
                "ended a session because of its peer"
            );
        } else {
            tracing::info!(
                parent: &self.span,
                peer = %self.node_id,
                reason = end.map(|end| field::debug(end.to_string())),
                "a session is over"
            );
        }
    }

    pub(crate) fn statistics(&self, session: &Session) -> PeerStatistics {
        let snapshot = |watched: &Watched| {
            let vat = watched.vat.upgrade().filter(|vat| vat.ended().is_none())?;
            let (calls_asked, calls_served) = vat.sight.open_calls();
            let queued_bytes = vat.outbox().borrow().queued_bytes();
            Some(StreamSnapshot {
                id: watched.id,
                service: vat.sight.service().to_owned(),
                priority: watched.priority,
                opened_here: watched.opened_here,
                statistics: session.stream_statistics(watched.id),
                queued_bytes,
                calls_asked,
                calls_served,
            })
        };
        let mut streams: Vec<_> = self.vats.borrow().iter().filter_map(snapshot).collect();
        streams.sort_by_key(|stream| stream.id);
        PeerStatistics {
            node_id: self.node_id,
            age: session.handle().now().saturating_since(self.since),
            traffic: session.traffic(),
            session: session.statistics(),
            streams,
            services: self.meters.statistics(),
            refusals: self.refusals.get(),
        }
    }
}
