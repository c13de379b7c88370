//! The client: what another node tells of itself.

use std::time::Duration;

#[cfg(feature = "host")]
use vatmux_host::NodeCounters;
#[cfg(feature = "host")]
use vatmux_rpc::ServiceStatistics;
use vatmux_rpc::SessionSnapshot;

use super::wire;
#[cfg(feature = "host")]
use crate::schema::health_capnp;
use crate::schema::health_capnp::health;

/// A ping failed.
#[derive(Debug, thiserror::Error)]
pub enum PingError {
    /// There was no answer.
    #[error("cannot ping: {0}")]
    Call(#[from] capnp::Error),
    /// There was one, and it was not to this ping.
    #[error("cannot ping: the answer has nonce {received:#x}, and {sent:#x} was sent")]
    WrongNonce {
        /// What was sent.
        sent: u64,
        /// What came back.
        received: u64,
    },
}

/// A node did not tell of itself.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// There was no answer.
    #[error("cannot ask the node how it is: {0}")]
    Call(#[from] capnp::Error),
    /// There was one that makes no sense.
    #[error("the node's answer makes no sense: {0}")]
    Answer(&'static str),
}

impl From<capnp::NotInSchema> for AskError {
    fn from(_: capnp::NotInSchema) -> Self {
        Self::Answer("a word that this version does not know")
    }
}

/// How much a node lets us see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The session that we ask through.
    OwnSession,
    /// All of it.
    WholeNode,
}

/// What a node lets us use of it; 0 where it does not say. `schema/health.capnp` has the words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields of the schema's Limits, which documents them")]
pub struct PeerLimits {
    pub max_message_bytes: u64,
    pub max_calls: u64,
    pub max_served_vats: u64,
    pub call_deadline: Duration,
    pub max_streams: u32,
    pub initial_window_bytes: u32,
    pub max_window_bytes: u32,
    pub tick: Duration,
    pub ping_after_ticks: u64,
    pub dead_after_ticks: u64,
}

/// What a node tells of itself as a whole. "Here" and "asked" are its own side's.
#[cfg(feature = "host")]
#[derive(Clone, Debug)]
pub struct NodeReport {
    /// How much it lets us see.
    pub scope: Scope,
    /// How long it has been up.
    pub uptime: Duration,
    /// What it lets us use.
    pub limits: PeerLimits,
    /// What it is. Operators see it.
    pub software: Option<String>,
    /// What it has done. Operators see it.
    pub counters: Option<NodeCounters>,
    /// Wake-ups that it missed. Operators see it.
    pub rescues: Option<u64>,
    /// What it has counted by service.
    pub services: Vec<ServiceStatistics>,
}

/// Some of a node's sessions. "Here" and "asked" are the node's own side's.
#[derive(Clone, Debug)]
pub struct SessionsPage {
    /// In the order of their ids.
    pub sessions: Vec<SessionSnapshot>,
    /// True where others follow the last one.
    pub more: bool,
}

/// Sends one ping and waits for its answer. How long that took is for the caller's clock to say, and how long
/// it may take is the deadline that the caller's vat puts on every call.
pub async fn ping(remote: &health::Client, nonce: u64) -> Result<(), PingError> {
    let mut request = remote.ping_request();
    request.get().set_nonce(nonce);
    let received = request.send().promise.await?.get()?.get_nonce();
    if received != nonce {
        return Err(PingError::WrongNonce { sent: nonce, received });
    }
    Ok(())
}

/// Asks a node how it is.
#[cfg(feature = "host")]
pub async fn node(remote: &health::Client) -> Result<NodeReport, AskError> {
    let response = remote.node_request().send().promise.await?;
    let node = response.get()?;
    let counters = node.has_counters().then(|| node.get_counters()).transpose()?;
    Ok(NodeReport {
        scope: match node.get_scope()? {
            health_capnp::Scope::OwnSession => Scope::OwnSession,
            health_capnp::Scope::WholeNode => Scope::WholeNode,
        },
        uptime: Duration::from_nanos(node.get_uptime_nanos()),
        limits: wire::read_limits(node.get_limits()?),
        software: node.has_software().then(|| wire::read_text(node.get_software())).transpose()?,
        counters: counters.map(wire::read_counters),
        rescues: counters.map(health_capnp::counters::Reader::get_rescues),
        services: wire::read_services(node.get_services()?)?,
    })
}

/// Asks a node for the sessions that come next after the one with this id; 0 stands for the beginning. It gives as many as
/// it likes, up to `limit`.
pub async fn sessions(remote: &health::Client, after: u64, limit: u16) -> Result<SessionsPage, AskError> {
    let mut request = remote.sessions_request();
    request.get().set_after(after);
    request.get().set_limit(limit);
    let response = request.send().promise.await?;
    let page = response.get()?;
    let sessions: Vec<SessionSnapshot> =
        page.get_sessions()?.iter().map(wire::read_session).collect::<Result<_, _>>()?;
    let more = page.get_more();
    // Whoever turns pages must come to an end.
    let mut last = after;
    for session in &sessions {
        if session.id <= last && (more || sessions.len() > 1) {
            return Err(AskError::Answer("sessions that are out of order"));
        }
        last = session.id;
    }
    if more && sessions.is_empty() {
        return Err(AskError::Answer("more sessions, and none of them"));
    }
    Ok(SessionsPage { sessions, more })
}
