//! Looking at a node while it works, from anywhere in its process.
//!
//! Sessions live on the node's worker threads, and so do their counters. An [`Observer`] asks each thread; nothing is
//! shared and nothing locked while nobody looks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::channel::{mpsc, oneshot};
use futures::future::join_all;
use vatmux_driver::{HandshakeFailure, SessionEnd};
use vatmux_rpc::{ServiceStatistics, SessionSnapshot};

use crate::NodeEvent;

/// What looks at a node. Clones look at the same one; it may be taken to any thread, and outlive the node.
#[derive(Clone, Default)]
pub struct Observer(Arc<Board>);

/// What a node has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeCounters {
    /// Links whose peer is not yet known.
    pub unauthenticated: usize,
    /// Sessions that are up.
    pub sessions: usize,
    /// Sessions that there have been.
    pub connected: u64,
    /// Links that did not become a session, for another reason than the next.
    pub refused: u64,
    /// Links whose peer proved its key and is not allowed.
    pub not_allowed: u64,
    /// Links that were dropped unread, because of a bound of the node.
    pub dropped: u64,
    /// Links that the system refused to accept.
    pub accept_failures: u64,
    /// Sessions that ended because of what the peer sent.
    pub violations: u64,
    /// Tasks of services that panicked. Anything but zero is a defect.
    pub panics: u64,
    /// Worker threads that died. Anything but zero is a defect.
    pub workers_died: u64,
}

/// A node at one moment.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct NodeSnapshot {
    /// How long there has been the node.
    pub uptime: Duration,
    /// What it has done.
    pub counters: NodeCounters,
    /// What was counted by service, in the order of their names, over all sessions, those that are over, too.
    pub services: Vec<ServiceStatistics>,
    /// The sessions that were asked for, in the order of their ids.
    pub sessions: Vec<SessionSnapshot>,
    /// True where there are more sessions behind the last of those.
    pub more: bool,
    /// Wake-ups that were missed and that a keepalive tick made good. Anything but zero is a defect.
    pub rescues: u64,
    /// Worker threads that did not answer because they are gone: theirs is missing.
    pub silent_workers: usize,
}

impl Observer {
    /// What the node has done. It takes no other thread's time.
    #[must_use]
    pub fn counters(&self) -> NodeCounters {
        let board = &*self.0;
        let total = |count: &AtomicU64| count.load(Ordering::Relaxed);
        NodeCounters {
            unauthenticated: board.unauthenticated.load(Ordering::SeqCst),
            sessions: board.sessions.load(Ordering::SeqCst),
            connected: total(&board.connected),
            refused: total(&board.refused),
            not_allowed: total(&board.not_allowed),
            dropped: total(&board.dropped),
            accept_failures: total(&board.accept_failures),
            violations: total(&board.violations),
            panics: total(&board.panics),
            workers_died: total(&board.workers_died),
        }
    }

    /// All of it, with all sessions.
    pub async fn snapshot(&self) -> NodeSnapshot {
        self.page(None, usize::MAX).await
    }

    /// As [`snapshot`](Self::snapshot), with the `limit` sessions whose ids come next `after` one.
    ///
    /// It waits for every worker thread to come to a rest, and has no deadline of its own.
    pub async fn page(&self, after: Option<u64>, limit: usize) -> NodeSnapshot {
        let reports = join_all(self.0.ask(after, limit)).await;
        let mut snapshot = NodeSnapshot {
            uptime: self.0.started.elapsed(),
            counters: self.counters(),
            ..NodeSnapshot::default()
        };
        let mut services: BTreeMap<String, ServiceStatistics> = BTreeMap::new();
        for report in reports {
            let Ok(report) = report else {
                snapshot.silent_workers += 1;
                continue;
            };
            snapshot.rescues += report.rescues;
            snapshot.sessions.extend(report.sessions);
            for service in report.services {
                let name = service.service.clone();
                let new = || ServiceStatistics { service: name.clone(), ..ServiceStatistics::default() };
                services.entry(name.clone()).or_insert_with(new).add(&service);
            }
        }
        snapshot.services = services.into_values().collect();
        snapshot.sessions.sort_by_key(|session| session.id);
        snapshot.more = snapshot.sessions.len() > limit;
        snapshot.sessions.truncate(limit);
        snapshot
    }

    pub(crate) fn board(&self) -> &Board {
        &self.0
    }
}

/// What a worker thread is asked.
pub(crate) struct Question {
    pub(crate) after: Option<u64>,
    pub(crate) limit: usize,
    pub(crate) answer: oneshot::Sender<Report>,
}

/// What it answers.
pub(crate) struct Report {
    pub(crate) services: Vec<ServiceStatistics>,
    pub(crate) sessions: Vec<SessionSnapshot>,
    pub(crate) rescues: u64,
}

/// Which of a node's worker threads one is: it decides the ids of its sessions.
#[derive(Clone, Copy)]
pub(crate) struct WorkerPlace {
    pub(crate) number: usize,
    pub(crate) of: usize,
}

impl WorkerPlace {
    pub(crate) fn first_session(self) -> u64 {
        // Zero stands for "before all" where ids are passed on.
        self.number as u64 + 1
    }

    pub(crate) fn session_after(self, id: u64) -> u64 {
        id + self.of as u64
    }
}

/// What the threads of a node write on, and an observer reads.
pub(crate) struct Board {
    started: Instant,
    workers: Mutex<Vec<mpsc::UnboundedSender<Question>>>,
    pub(crate) unauthenticated: AtomicUsize,
    pub(crate) sessions: AtomicUsize,
    connected: AtomicU64,
    refused: AtomicU64,
    not_allowed: AtomicU64,
    dropped: AtomicU64,
    accept_failures: AtomicU64,
    violations: AtomicU64,
    panics: AtomicU64,
    workers_died: AtomicU64,
}

impl Default for Board {
    fn default() -> Self {
        Self {
            started: Instant::now(),
            workers: Mutex::default(),
            unauthenticated: AtomicUsize::default(),
            sessions: AtomicUsize::default(),
            connected: AtomicU64::default(),
            refused: AtomicU64::default(),
            not_allowed: AtomicU64::default(),
            dropped: AtomicU64::default(),
            accept_failures: AtomicU64::default(),
            violations: AtomicU64::default(),
            panics: AtomicU64::default(),
            workers_died: AtomicU64::default(),
        }
    }
}

impl Board {
    /// What a new worker thread is asked arrives here.
    pub(crate) fn add_worker(&self) -> mpsc::UnboundedReceiver<Question> {
        let (ask, asked) = mpsc::unbounded();
        self.workers.lock().unwrap_or_else(PoisonError::into_inner).push(ask);
        asked
    }

    fn ask(&self, after: Option<u64>, limit: usize) -> Vec<oneshot::Receiver<Report>> {
        let workers = self.workers.lock().unwrap_or_else(PoisonError::into_inner);
        let ask = |worker: &mpsc::UnboundedSender<Question>| {
            let (answer, answered) = oneshot::channel();
            // A thread that is gone drops the question, which is what its asker hears.
            let _ = worker.unbounded_send(Question { after, limit: limit.saturating_add(1), answer });
            answered
        };
        workers.iter().map(ask).collect()
    }

    pub(crate) fn count(&self, event: &NodeEvent) {
        let count = match event {
            NodeEvent::Connected(_) => &self.connected,
            NodeEvent::Ended(_, SessionEnd::Violation(_) | SessionEnd::Record(_)) => &self.violations,
            NodeEvent::Ended(..) | NodeEvent::ImportFailed { .. } => return,
            NodeEvent::Refused(HandshakeFailure::NotAllowed(_)) => &self.not_allowed,
            NodeEvent::Refused(_) => &self.refused,
            NodeEvent::Dropped(_) => &self.dropped,
            NodeEvent::AcceptFailed(_) => &self.accept_failures,
            NodeEvent::WorkerDied => &self.workers_died,
            NodeEvent::TaskPanicked(_) => &self.panics,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Tells whoever subscribes to `tracing`. Sessions that come and go tell so themselves.
pub(crate) fn trace(event: &NodeEvent) {
    match event {
        NodeEvent::Connected(_) | NodeEvent::Ended(..) => {}
        NodeEvent::Refused(HandshakeFailure::NotAllowed(peer)) => {
            tracing::warn!(%peer, "refused a peer that is not allowed");
        }
        NodeEvent::Refused(failure) => tracing::warn!(reason = ?failure.to_string(), "refused a link"),
        NodeEvent::Dropped(bound) => tracing::warn!(?bound, "dropped a link"),
        NodeEvent::AcceptFailed(error) => {
            tracing::error!(reason = ?error.to_string(), "cannot accept a link");
        }
        NodeEvent::ImportFailed { service, reason } => {
            tracing::warn!(service, ?reason, "a plain server cannot be reached");
        }
        NodeEvent::WorkerDied => tracing::error!("a worker thread died"),
        NodeEvent::TaskPanicked(message) => {
            tracing::error!(?message, "a task of a service panicked, and ended alone");
        }
    }
}
