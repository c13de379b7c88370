//! The service: what a node tells of itself, and to whom.

use vatmux_driver::Instant;
#[cfg(feature = "host")]
use vatmux_host::{NodeSnapshot, Observer};
use vatmux_rpc::service::Call;
use vatmux_rpc::{Peer, SessionSnapshot};

use super::wire;
use crate::schema::health::HealthServer;
use crate::schema::health_capnp::{self, health};

/// Sessions in one answer, at most.
const MAX_SESSIONS: u16 = 64;

/// What the sessions of one answer take at most, unless the first one alone takes more; no session takes over 4 MiB.
const PAGE_BYTES: usize = 4 << 20;

/// What a peer may see.
pub(super) enum View {
    /// The session that it is a part of.
    OwnSession,
    /// Everything.
    #[cfg(feature = "host")]
    WholeNode(Observer),
}

/// The service as one peer sees it.
pub(super) struct Server {
    peer: Peer,
    view: View,
}

impl Server {
    pub(super) fn new(peer: Peer, view: View) -> Self {
        Self { peer, view }
    }

    /// How long the driver of this thread has run, whose clock counts from its start.
    fn thread_uptime(&self) -> std::time::Duration {
        self.peer.session().handle().now().saturating_since(Instant::ORIGIN)
    }
}

impl HealthServer for Server {
    async fn ping(&self, _call: &Call, nonce: u64) -> capnp::Result<u64> {
        Ok(nonce)
    }

    async fn node(&self, _call: &Call, mut node: health::node_results::Builder<'_>) -> capnp::Result<()> {
        wire::write_limits(node.reborrow().init_limits(), &self.peer);
        match &self.view {
            View::OwnSession => {
                node.set_scope(health_capnp::Scope::OwnSession);
                node.set_uptime_nanos(wire::nanos(self.thread_uptime()));
                wire::write_services(&self.peer.statistics().services, |count| {
                    node.reborrow().init_services(count)
                });
            }
            #[cfg(feature = "host")]
            View::WholeNode(observer) => {
                let NodeSnapshot { uptime, counters, services, rescues, .. } = observer.page(None, 0).await;
                node.set_scope(health_capnp::Scope::WholeNode);
                node.set_uptime_nanos(wire::nanos(uptime));
                node.set_software(concat!("vatmux ", env!("CARGO_PKG_VERSION")));
                wire::write_counters(node.reborrow().init_counters(), &counters, rescues);
                wire::write_services(&services, |count| node.reborrow().init_services(count));
            }
        }
        Ok(())
    }

    async fn sessions(
        &self,
        _call: &Call,
        after: u64,
        limit: u16,
        mut page: health::sessions_results::Builder<'_>,
    ) -> capnp::Result<()> {
        let limit = limit.min(MAX_SESSIONS);
        let (mut sessions, mut more) = match &self.view {
            View::OwnSession if after == 0 && limit > 0 => {
                (vec![SessionSnapshot { id: 0, statistics: self.peer.statistics() }], false)
            }
            View::OwnSession => (Vec::new(), false),
            #[cfg(feature = "host")]
            View::WholeNode(observer) => {
                let seen = observer.page((after > 0).then_some(after), limit.into()).await;
                (seen.sessions, seen.more)
            }
        };
        let fitting = wire::how_many_fit(&sessions, PAGE_BYTES);
        more |= fitting < sessions.len();
        sessions.truncate(fitting);
        page.set_more(more);
        let mut list = page.init_sessions(sessions.len() as u32);
        for (index, session) in (0..).zip(&sessions) {
            wire::write_session(list.reborrow().get(index), session);
        }
        Ok(())
    }
}
