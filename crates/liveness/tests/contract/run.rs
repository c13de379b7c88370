//! The loop: what it makes of its attempts.

use std::cell::Cell;
use std::future::pending;

use vatmux_liveness::{AttemptBudget, Attempted, Instant, MismatchBudget, Outcome, Pace, RetryLimits, retry};

use crate::support::{VirtualPace, at, limits, milliseconds, run};

#[test]
fn the_first_success_ends_it() {
    let mut pace = VirtualPace::new();
    let outcome: Outcome<_, ()> =
        run(retry(limits(), &mut pace, async |attempt| Attempted::Success(attempt.number)));
    assert_eq!(outcome, Outcome::Success(1));
    assert_eq!(pace.now(), Instant::ORIGIN);
}

#[test]
fn it_tries_again_after_a_pause_until_it_succeeds() {
    let mut pace = VirtualPace::new();
    let clock = pace.clone();
    let mut times = Vec::new();
    let outcome = run(retry(limits(), &mut pace, async |attempt| {
        assert!(clock.now() >= attempt.due);
        times.push(clock.now().as_nanos().div_ceil(1_000_000));
        if attempt.number == 3 { Attempted::Success("there") } else { Attempted::Failed("busy") }
    }));
    assert_eq!(outcome, Outcome::Success("there"));
    assert_eq!(times, [0, 100, 300]);
}

#[test]
fn test_reject_when_all_attempts_failed() {
    let mut pace = VirtualPace::new();
    let outcome: Outcome<(), _> =
        run(retry(limits(), &mut pace, async |attempt| Attempted::Failed(attempt.number)));
    assert_eq!(outcome, Outcome::Attempts { attempts: 4, last: Some(4) });
}

#[test]
fn test_reject_when_failures_use_up_the_time() {
    let mut pace = VirtualPace::new();
    let clock = pace.clone();
    let outcome: Outcome<(), _> = run(retry(limits(), &mut pace, async |attempt| {
        clock.pass(milliseconds(400));
        Attempted::Failed(attempt.number)
    }));
    assert_eq!(outcome, Outcome::Deadline { attempts: 2, last: Some(2) });
    assert_eq!(clock.now().as_nanos().div_ceil(1_000_000), 900, "it does not wait for what cannot be tried");
}

#[test]
fn test_reject_an_attempt_that_never_ends() {
    struct SetOnDrop<'a>(&'a Cell<bool>);
    impl Drop for SetOnDrop<'_> {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }

    let mut pace = VirtualPace::new();
    let dropped = Cell::new(false);
    let outcome: Outcome<(), ()> = run(retry(limits(), &mut pace, async |_| {
        let _guard = SetOnDrop(&dropped);
        pending().await
    }));
    assert_eq!(outcome, Outcome::Deadline { attempts: 1, last: None });
    assert_eq!(pace.now(), at(1000));
    assert!(dropped.get());
}

#[test]
fn test_reject_a_wait_that_overslept_the_deadline() {
    /// Its waits take ten seconds longer than they should.
    struct Slow(VirtualPace);
    impl Pace for Slow {
        fn now(&self) -> Instant {
            self.0.now()
        }
        fn jitter(&mut self) -> vatmux_liveness::Jitter {
            self.0.jitter()
        }
        async fn until(&self, instant: Instant) {
            self.0.until(instant + milliseconds(10_000)).await;
        }
    }

    let mut attempts = 0;
    let outcome: Outcome<(), _> = run(retry(limits(), &mut Slow(VirtualPace::new()), async |_| {
        attempts += 1;
        Attempted::Failed("busy")
    }));
    assert_eq!(outcome, Outcome::Deadline { attempts: 2, last: Some("busy") });
    assert_eq!(attempts, 1, "the second was granted, and too late when it could start");
}

#[test]
fn test_reject_when_an_attempt_says_that_it_is_hopeless() {
    let mut pace = VirtualPace::new();
    let outcome: Outcome<(), _> = run(retry(limits(), &mut pace, async |attempt| match attempt.number {
        1 => Attempted::Failed("busy"),
        _ => Attempted::Rejected("not allowed"),
    }));
    assert_eq!(outcome, Outcome::Rejected { attempts: 2, reason: "not allowed" });
}

#[test]
fn test_reject_when_too_many_replies_answer_something_else() {
    let mut pace = VirtualPace::new();
    let outcome: Outcome<(), _> =
        run(retry(limits(), &mut pace, async |attempt| Attempted::Mismatched(attempt.number)));
    assert_eq!(outcome, Outcome::Mismatches { attempts: 2, mismatches: 2, last: Some(2) });
}

#[test]
fn mismatches_within_the_budget_are_attempts() {
    let limits = RetryLimits { mismatches: MismatchBudget::new(9), ..limits() };
    let outcome: Outcome<(), _> =
        run(retry(limits, &mut VirtualPace::new(), async |_| Attempted::Mismatched("another's")));
    assert_eq!(outcome, Outcome::Attempts { attempts: 4, last: Some("another's") });
}

#[test]
fn a_single_attempt_never_waits() {
    let mut pace = VirtualPace::new();
    let limits = RetryLimits { attempts: AttemptBudget::ONE, ..limits() };
    let outcome: Outcome<(), _> = run(retry(limits, &mut pace, async |_| Attempted::Failed("busy")));
    assert_eq!(outcome, Outcome::Attempts { attempts: 1, last: Some("busy") });
    assert_eq!(pace.now(), Instant::ORIGIN);
}
