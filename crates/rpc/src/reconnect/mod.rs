//! A peer that is dialed again when its session is lost: the stages it goes through, and the task that takes it there.

mod service;
mod state;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use capnp::capability::FromClientHook;
use futures::FutureExt;
use futures::future::{AbortHandle, LocalBoxFuture, abortable};
use slab::Slab;
use vatmux_driver::{Handle, SessionEnd};
use vatmux_liveness::{
    Attempt, AttemptBudget, Attempted, Backoff, Epoch, Jitter, MismatchBudget, Next, Redial, RedialLimits,
    RetryLimits,
};
use vatmux_mux::{CloseCode, Priority};

pub use self::service::{CallError, ServiceOfPeer};
pub use self::state::{Failure, GivenUp, PeerState, Unreachable};
use crate::service::Service;
use crate::{Peer, Remote, deadline};

/// A peer over all the sessions that there will be with it. Clones are the same peer.
///
/// What it promises:
///
/// 1. **It is dialed when somebody asks for it**, and from then on whenever its session is lost: after a jittered pause
///    that grows, within a budget of time and of attempts, by [`vatmux_liveness::Redial`]. A peer that hangs up at once
///    has no other budget than one that does not answer.
/// 2. **Every wait ends.** Whoever waits for a session does so until it is there, until its own deadline, or until the
///    peer is given up, and hears which of these it was, with the last failure ([`Unreachable`]).
/// 3. **What cannot succeed is not tried again**: what its dial calls [rejected](Attempted::Rejected), and a peer whose list
///    we are not on.
/// 4. **Nothing is called again.** A call whose session died fails as [`Disconnected`](crate::Disconnected), which says
///    whether it may have been delivered; the rest is for its caller to decide.
/// 5. **An epoch fences each session.** What was got from a session that is over fails at once, and never reaches the
///    next one; a late event of an old session changes nothing in the new one.
///
/// `E` is what a dial fails with. When the last clone is gone, and the last [`ServiceOfPeer`], it is not dialed any more; the
/// session goes on for as long as somebody holds a part of it.
pub struct ReconnectingPeer<E>(Rc<Owner<E>>);

/// How a peer is dialed again, and how long its callers wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReconnectOptions {
    /// What bounds an outage. Default: five minutes and 120 attempts, with pauses from 50 ms up to 5 s; a session that
    /// lasted ten seconds ends its outage.
    pub limits: RedialLimits,
    /// How long a caller waits for a session, unless [`deadline::with`] says otherwise. Default: 30 s.
    pub patience: Duration,
}

/// Dials, for no longer than it is told.
type Dial<E> = Box<dyn Fn(Duration) -> LocalBoxFuture<'static, Attempted<Peer, E>>>;

/// What the handles hold and the task does not: with it goes the task.
struct Owner<E> {
    inner: Rc<Inner<E>>,
    task: RefCell<Option<AbortHandle>>,
}

struct Inner<E> {
    handle: Handle,
    options: ReconnectOptions,
    dial: Dial<E>,
    jitter: RefCell<Box<dyn FnMut() -> Jitter>>,
    redial: RefCell<Redial>,
    stage: RefCell<Stage<E>>,
    last: RefCell<Option<Rc<Failure<E>>>>,
    /// Counts the changes of `stage`.
    changes: Cell<u64>,
    /// Those who wait for the next change.
    waiting: RefCell<Slab<Waker>>,
}

enum Stage<E> {
    Idle,
    Dialing(Attempt),
    Up { peer: Peer, epoch: Epoch },
    GivenUp(GivenUp<E>),
    Closed,
}

const DEFAULT_ATTEMPTS: AttemptBudget = match AttemptBudget::new(120) {
    Some(attempts) => attempts,
    None => AttemptBudget::ONE,
};

const DEFAULT_BACKOFF: Backoff = match Backoff::new(Duration::from_millis(50), Duration::from_secs(5)) {
    Ok(backoff) => backoff,
    Err(_) => Backoff::NONE,
};

impl Default for ReconnectOptions {
    fn default() -> Self {
        let outage = RetryLimits {
            within: Duration::from_mins(5),
            attempts: DEFAULT_ATTEMPTS,
            mismatches: MismatchBudget::ZERO,
            backoff: DEFAULT_BACKOFF,
        };
        Self {
            limits: RedialLimits { outage, settled_after: Duration::from_secs(10) },
            patience: Duration::from_secs(30),
        }
    }
}

impl<E: 'static> ReconnectingPeer<E> {
    /// A peer that `dial` leads to, which nobody has asked for yet.
    ///
    /// `dial` is told how long it may take, and is dropped past that. It says by [`Attempted::Rejected`] that no
    /// repetition would mend what went wrong; there is no reply to anything else in it, and so a mismatch counts as a failure.
    /// `jitter` gives a random number for each pause.
    #[must_use]
    pub fn new<D, F>(
        handle: &Handle,
        options: ReconnectOptions,
        jitter: impl FnMut() -> Jitter + 'static,
        dial: D,
    ) -> Self
    where
        D: Fn(Duration) -> F + 'static,
        F: Future<Output = Attempted<Peer, E>> + 'static,
    {
        let inner = Rc::new(Inner {
            handle: handle.clone(),
            redial: RefCell::new(Redial::new(options.limits, handle.now())),
            options,
            dial: Box::new(move |within| dial(within).boxed_local()),
            jitter: RefCell::new(Box::new(jitter)),
            stage: RefCell::new(Stage::Idle),
            last: RefCell::default(),
            changes: Cell::new(0),
            waiting: RefCell::default(),
        });
        Self(Rc::new(Owner { inner, task: RefCell::default() }))
    }

    /// Asks for a service of the peer, as [`Peer::connect_named`] does, on the session that there is or on the next one.
    ///
    /// The wait for that lasts as long as [`deadline::with`] says around this very call, or as the options do. What it
    /// gives belongs to one session and dies with it; [`service`](Self::service) follows the peer over all of them.
    pub fn connect_named<C: FromClientHook>(
        &self,
        service: &str,
        priority: Priority,
    ) -> impl Future<Output = Result<Remote<C>, Unreachable<E>>> + use<C, E> {
        let session = self.session();
        let service = service.to_owned();
        async move {
            let (peer, _) = session.await?;
            Ok(peer.connect_named(&service, priority)?)
        }
    }

    /// A client of a service of the peer, as [`Peer::connect`] gives it, on the session that there is or on the next one. The
    /// wait for that ends as that of [`connect_named`](Self::connect_named), and the client dies with the session.
    pub fn connect<S: Service>(&self) -> impl Future<Output = Result<S, Unreachable<E>>> + use<S, E> {
        let session = self.session();
        async move {
            let (peer, _) = session.await?;
            Ok(peer.connect()?)
        }
    }

    /// A service of the peer, over all of its sessions.
    #[must_use]
    pub fn service<C: FromClientHook>(&self, name: &str, priority: Priority) -> ServiceOfPeer<C, E> {
        ServiceOfPeer::new(self.clone(), name, priority)
    }

    /// Waits for a session: the peer, and the epoch of the session. The wait ends as that of [`connect_named`](Self::connect_named).
    pub fn session(&self) -> impl Future<Output = Result<(Peer, Epoch), Unreachable<E>>> + use<E> {
        let patience = self.patience();
        let this = self.clone();
        async move {
            this.demand();
            let inner = &this.0.inner;
            match inner.handle.timeout(patience, inner.settle()).await {
                Ok(outcome) => outcome,
                Err(elapsed) => {
                    Err(Unreachable::Deadline { after: elapsed.after, last: inner.last.borrow().clone() })
                }
            }
        }
    }

    /// What is known of the connection at this moment.
    #[must_use]
    pub fn state(&self) -> PeerState<E> {
        let inner = &self.0.inner;
        inner.notice_end();
        match &*inner.stage.borrow() {
            Stage::Idle => PeerState::Idle,
            Stage::Dialing(attempt) => PeerState::Connecting {
                attempt: attempt.number,
                due: attempt.due,
                last: inner.last.borrow().clone(),
            },
            Stage::Up { epoch, .. } => PeerState::Connected { epoch: *epoch },
            Stage::GivenUp(given_up) => PeerState::GivenUp(given_up.clone()),
            Stage::Closed => PeerState::Closed,
        }
    }

    /// Which session is the newest: how many there have been.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.0.inner.redial.borrow().epoch()
    }

    /// How often a session was there again after one was lost.
    #[must_use]
    pub fn reconnects(&self) -> u64 {
        self.epoch().get().saturating_sub(1)
    }

    /// Begins a new outage, with all of its bounds, where the peer was given up. Asking for a session does that by
    /// itself, but for a peer that rejected us: that it would not do so again is for somebody to know. Says whether it did.
    #[allow(clippy::must_use_candidate, reason = "it is called for what it does")]
    pub fn start_over(&self) -> bool {
        let given_up = matches!(*self.0.inner.stage.borrow(), Stage::GivenUp(_));
        if given_up {
            self.begin();
        }
        given_up
    }

    /// Ends the session, with a reason for the peer, and dials no more. Whoever waits is told.
    pub fn close(&self, code: CloseCode) {
        if let Some(task) = self.0.task.take() {
            task.abort();
        }
        if let Stage::Up { peer, .. } = self.0.inner.set(Stage::Closed) {
            peer.close(code);
        }
    }

    fn patience(&self) -> Duration {
        deadline::overridden().unwrap_or(self.0.inner.options.patience)
    }

    pub(crate) fn now(&self) -> vatmux_driver::Instant {
        self.0.inner.handle.now()
    }

    /// Somebody wants a session: there is one, or one is dialed, unless that was rejected.
    fn demand(&self) {
        self.0.inner.notice_end();
        let stage = self.0.inner.stage.borrow();
        match &*stage {
            Stage::Idle | Stage::GivenUp(GivenUp::Exhausted { .. }) => {
                drop(stage);
                self.begin();
            }
            Stage::Dialing(_)
            | Stage::Up { .. }
            | Stage::GivenUp(GivenUp::Rejected { .. })
            | Stage::Closed => {}
        }
    }

    /// Dials, from a stage in which nobody does.
    fn begin(&self) {
        let inner = &self.0.inner;
        let now = inner.handle.now();
        if matches!(*inner.stage.borrow(), Stage::Idle) {
            // The first outage begins when somebody misses the peer.
            *inner.redial.borrow_mut() = Redial::new(inner.options.limits, now);
        }
        // An outage that a rejection cut short goes on, if its bounds allow that.
        if !inner.plan() {
            inner.redial.borrow_mut().start_over(now);
            inner.plan();
        }
        let (task, abort) = abortable(keep_in_touch(inner.clone()));
        inner.handle.spawn(task.map(drop));
        if let Some(previous) = self.0.task.replace(Some(abort)) {
            // It has ended, or is about to: a second one must not dial beside this one.
            previous.abort();
        }
    }
}

impl<E> Clone for ReconnectingPeer<E> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<E> Drop for Owner<E> {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

/// Dials as planned, for as long as there is a plan, and waits for the end of each session.
async fn keep_in_touch<E: 'static>(inner: Rc<Inner<E>>) {
    loop {
        let attempt = match &*inner.stage.borrow() {
            Stage::Dialing(attempt) => *attempt,
            Stage::Idle | Stage::Up { .. } | Stage::GivenUp(_) | Stage::Closed => return,
        };
        inner.handle.sleep_until(attempt.due).await;
        let within = attempt.deadline.remaining(inner.handle.now());
        match inner.handle.timeout(within, (inner.dial)(within)).await {
            Ok(Attempted::Success(peer)) => {
                let session = peer.session().clone();
                let epoch = inner.connected(peer);
                let end = session.ended().await;
                drop(session);
                inner.lost(epoch, end);
            }
            Ok(Attempted::Failed(error) | Attempted::Mismatched(error)) => {
                *inner.last.borrow_mut() = Some(Rc::new(Failure::Dial(error)));
                inner.plan();
            }
            Ok(Attempted::Rejected(error)) => inner.reject(Failure::Dial(error)),
            // The outage is over, and the plan will say so.
            Err(_) => {
                inner.plan();
            }
        }
    }
}

impl<E> Inner<E> {
    /// Plans the next dial; false where there is none, because a bound of the outage has run out.
    fn plan(&self) -> bool {
        let jitter = (self.jitter.borrow_mut())();
        let next = self.redial.borrow_mut().next(self.handle.now(), jitter);
        match next {
            Some(Next::At(attempt)) => {
                let pause = attempt.due.saturating_since(self.handle.now());
                tracing::debug!(?pause, "a peer is to be dialed");
                self.set(Stage::Dialing(attempt));
                true
            }
            Some(Next::GiveUp(bound)) => {
                tracing::warn!(?bound, "gave up dialing a peer");
                let last = self.last.borrow().clone();
                self.set(Stage::GivenUp(GivenUp::Exhausted { bound, last }));
                false
            }
            // There is a session, and so nothing to plan.
            None => true,
        }
    }

    fn connected(&self, peer: Peer) -> Epoch {
        let epoch = self.redial.borrow_mut().connected(self.handle.now());
        tracing::info!(peer = %peer.node_id(), ?epoch, "reached a peer that is dialed again when it is lost");
        self.set(Stage::Up { peer, epoch });
        epoch
    }

    /// The session of `epoch` is over. Where it is not the one that is up, that is no news.
    fn lost(&self, epoch: Epoch, end: SessionEnd) {
        if !self.redial.borrow_mut().lost(epoch, self.handle.now()) {
            return;
        }
        let rejected = end == SessionEnd::ClosedByPeer(CloseCode::NOT_ALLOWED);
        tracing::info!(?epoch, reason = ?end.to_string(), "lost a peer");
        let failure = Failure::Session(end);
        if rejected {
            return self.reject(failure);
        }
        *self.last.borrow_mut() = Some(Rc::new(failure));
        self.plan();
    }

    fn reject(&self, reason: Failure<E>) {
        let reason = Rc::new(reason);
        *self.last.borrow_mut() = Some(reason.clone());
        self.set(Stage::GivenUp(GivenUp::Rejected { reason }));
    }

    /// A session that has ended is over for everybody at once, and not only when the task has run.
    fn notice_end(&self) {
        let ended = match &*self.stage.borrow() {
            Stage::Up { peer, epoch } => peer.session().end().map(|end| (*epoch, end)),
            Stage::Idle | Stage::Dialing(_) | Stage::GivenUp(_) | Stage::Closed => None,
        };
        if let Some((epoch, end)) = ended {
            self.lost(epoch, end);
        }
    }

    fn set(&self, stage: Stage<E>) -> Stage<E> {
        let previous = self.stage.replace(stage);
        self.changes.set(self.changes.get() + 1);
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        waiting.into_iter().for_each(|(_, waker)| waker.wake());
        previous
    }

    /// Waits until there is a session, or none to be expected.
    async fn settle(&self) -> Result<(Peer, Epoch), Unreachable<E>> {
        loop {
            self.notice_end();
            match &*self.stage.borrow() {
                Stage::Up { peer, epoch } => return Ok((peer.clone(), *epoch)),
                Stage::GivenUp(given_up) => return Err(Unreachable::GivenUp(given_up.clone())),
                Stage::Closed => return Err(Unreachable::Closed),
                Stage::Idle | Stage::Dialing(_) => {}
            }
            self.changed().await;
        }
    }

    async fn changed(&self) {
        let mut wait = Wait { inner: self, seen: self.changes.get(), key: None };
        poll_fn(|cx| {
            if self.changes.get() != wait.seen {
                // Whoever changes the stage empties the list.
                wait.key = None;
                return Poll::Ready(());
            }
            let mut waiting = self.waiting.borrow_mut();
            match wait.key.and_then(|key| waiting.get_mut(key)) {
                Some(waker) => waker.clone_from(cx.waker()),
                None => wait.key = Some(waiting.insert(cx.waker().clone())),
            }
            Poll::Pending
        })
        .await;
    }
}

/// A place among those who wait, given back when its owner does not wait any more.
struct Wait<'a, E> {
    inner: &'a Inner<E>,
    seen: u64,
    key: Option<usize>,
}

impl<E> Drop for Wait<'_, E> {
    fn drop(&mut self) {
        if self.seen == self.inner.changes.get()
            && let Some(key) = self.key
        {
            self.inner.waiting.borrow_mut().try_remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use vatmux_driver::virtual_time;

    use super::*;

    #[test]
    fn whoever_stops_waiting_gives_its_place_back() {
        let (mut driver, _) = virtual_time::driver();
        let handle = driver.handle();
        let peer =
            ReconnectingPeer::<()>::new(&handle, ReconnectOptions::default(), || Jitter::MOST, |_| pending());
        for _ in 0..10 {
            let waits = (0..10).map(|_| peer.session());
            let waits = futures::future::join_all(waits);
            driver.drive_until(handle.timeout(Duration::from_millis(1), waits)).unwrap().err().unwrap();
            assert_eq!(peer.0.inner.waiting.borrow().len(), 0);
        }
        let mut wait = Box::pin(peer.session());
        driver.drive_until(handle.timeout(Duration::from_millis(1), &mut wait)).unwrap().err().unwrap();
        assert_eq!(peer.0.inner.waiting.borrow().len(), 1);
        peer.close(CloseCode::DONE);
        assert_eq!(peer.0.inner.waiting.borrow().len(), 0);
        assert!(matches!(driver.drive_until(wait).unwrap(), Err(Unreachable::Closed)));
    }
}
