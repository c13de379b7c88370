//! A bound for what lasts as long as its bytes take: it may go on for as long as something moves.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures::future::{Either, select};
use vatmux_driver::{Handle, Instant};

use crate::failure::Failure;

/// How long a transfer may stand still.
const PATIENCE: Duration = Duration::from_secs(30);

/// Shows that something moves.
pub(crate) struct Pulse {
    handle: Handle,
    last: Cell<Instant>,
    /// True while it is our own reader that keeps us waiting.
    held_up: Rc<Cell<bool>>,
}

impl Pulse {
    /// Beats for the first time now. Waiting does not count as long as `held_up` is true.
    pub(crate) fn new(handle: &Handle, held_up: Rc<Cell<bool>>) -> Self {
        Self { handle: handle.clone(), last: Cell::new(handle.now()), held_up }
    }

    /// Something moved.
    pub(crate) fn beat(&self) {
        self.last.set(self.handle.now());
    }

    /// Does `work` to its end, or gives it up when nothing has moved for half a minute.
    pub(crate) async fn guard<T>(
        &self,
        doing: &str,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let mut work = pin!(work);
        loop {
            match select(work, self.handle.sleep_until(self.last.get() + PATIENCE)).await {
                Either::Left((outcome, _)) => return outcome,
                Either::Right(((), unfinished)) => work = unfinished,
            }
            if self.held_up.get() {
                self.beat();
            } else if self.last.get() + PATIENCE <= self.handle.now() {
                return Err(Failure::Stalled { doing: doing.to_owned(), after: PATIENCE });
            }
        }
    }
}
