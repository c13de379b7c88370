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

#[cfg(test)]
mod tests {
    use futures::future::{pending, ready};
    use vatmux_driver::virtual_time;

    use super::*;

    /// What comes of work that beats so often, ten seconds apart, and then does nothing more; and when that was. Where
    /// it is held up, it goes on after an hour.
    fn outcome(beats: u32, held_up: &Rc<Cell<bool>>) -> (Result<(), Failure>, Duration) {
        let (mut driver, clock) = virtual_time::driver();
        let handle = driver.handle();
        let pulse = Pulse::new(&handle, held_up.clone());
        let work = async {
            for _ in 0..beats {
                handle.sleep(Duration::from_secs(10)).await;
                pulse.beat();
            }
            if held_up.get() {
                handle.sleep(Duration::from_hours(1)).await;
                held_up.set(false);
                pulse.beat();
            }
            pending().await
        };
        let outcome = driver.drive_until(pulse.guard("waiting", work)).unwrap();
        (outcome, vatmux_driver::Clock::now(&clock).saturating_since(Instant::ORIGIN))
    }

    #[test]
    fn what_stands_still_is_given_up_half_a_minute_after_its_last_beat() {
        for beats in [0, 1, 100] {
            let (outcome, time) = outcome(beats, &Rc::default());
            assert!(matches!(outcome, Err(Failure::Stalled { after: PATIENCE, .. })));
            assert_eq!(time, Duration::from_secs(10) * beats + PATIENCE);
        }
    }

    #[test]
    fn waiting_for_our_own_reader_does_not_count() {
        let (outcome, time) = outcome(0, &Rc::new(Cell::new(true)));
        assert!(matches!(outcome, Err(Failure::Stalled { .. })));
        assert_eq!(time, Duration::from_hours(1) + PATIENCE);
    }

    #[test]
    fn what_is_done_is_done() {
        let (mut driver, _) = virtual_time::driver();
        let pulse = Pulse::new(&driver.handle(), Rc::default());
        let outcome = driver.drive_until(pulse.guard("nothing", ready(Ok(7)))).unwrap();
        assert!(matches!(outcome, Ok(7)));
    }
}
