//! Deadlines: the futures that end at one, and the ordered table that the loop reads the nearest from.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::{Handle, Instant};

/// The armed deadlines of one driver, nearest first.
#[derive(Default)]
pub(crate) struct Timers {
    armed: BTreeMap<(Instant, u64), Waker>,
    next_id: u64,
}

impl Timers {
    fn arm(&mut self, deadline: Instant, waker: Waker) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.armed.insert((deadline, id), waker);
        id
    }

    fn rearm(&mut self, deadline: Instant, id: u64, waker: &Waker) {
        self.armed.entry((deadline, id)).or_insert_with(|| waker.clone()).clone_from(waker);
    }

    fn disarm(&mut self, deadline: Instant, id: u64) {
        self.armed.remove(&(deadline, id));
    }

    pub(crate) fn nearest(&self) -> Option<Instant> {
        self.armed.first_key_value().map(|((deadline, _), _)| *deadline)
    }

    /// Takes the waker of one deadline that has come.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Waker> {
        let first = self.armed.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}

/// A future that ends at its deadline. Dropping it disarms the timer.
#[must_use = "a sleep that is not awaited ends nothing"]
pub struct Sleep {
    handle: Handle,
    deadline: Instant,
    armed_id: Option<u64>,
}

impl Sleep {
    pub(crate) fn new(handle: Handle, deadline: Instant) -> Self {
        Self { handle, deadline, armed_id: None }
    }

    /// When it ends.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Moves the deadline. The task that awaits it must be polled again for the new one to count.
    pub fn reset(&mut self, deadline: Instant) {
        if deadline != self.deadline {
            self.disarm();
            self.deadline = deadline;
        }
    }

    fn disarm(&mut self) {
        if let Some(id) = self.armed_id.take() {
            self.handle.timers().borrow_mut().disarm(self.deadline, id);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Where it has come since the pass began, the loop finds it before it parks.
        if self.handle.pass_began() >= self.deadline {
            self.disarm();
            return Poll::Ready(());
        }
        let deadline = self.deadline;
        let handle = self.handle.clone();
        let mut timers = handle.timers().borrow_mut();
        match self.armed_id {
            Some(id) => timers.rearm(deadline, id, cx.waker()),
            None => self.armed_id = Some(timers.arm(deadline, cx.waker().clone())),
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.disarm();
    }
}

/// The deadline came before the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no answer within {after:?}")]
pub struct Elapsed {
    /// The time that was given.
    pub after: Duration,
}
