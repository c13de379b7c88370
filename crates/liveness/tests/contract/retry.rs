//! When attempts are due, and when there are none any more.

use std::num::NonZeroU32;
use std::time::Duration;

use vatmux_liveness::{
    Attempt, AttemptBudget, Backoff, Deadline, Exhausted, Instant, Jitter, MismatchBudget, Next, Retry,
    RetryLimits,
};

use crate::support::{at, limits, milliseconds};

fn granted(next: Next) -> Attempt {
    match next {
        Next::At(attempt) => attempt,
        Next::GiveUp(exhausted) => panic!("{exhausted}"),
    }
}

fn exhausted(next: Next) -> Exhausted {
    match next {
        Next::At(attempt) => panic!("granted {attempt:?}"),
        Next::GiveUp(exhausted) => exhausted,
    }
}

#[test]
fn the_first_attempt_is_due_at_once_and_the_others_after_growing_pauses() {
    let mut retry = Retry::new(limits(), at(10));
    let first = granted(retry.next(at(10), Jitter::LEAST));
    let (left, deadline) = (NonZeroU32::new(4).unwrap(), Deadline::at(at(1010)));
    assert_eq!(first, Attempt { due: at(10), number: 1, left, deadline });
    let due: Vec<_> = (2..5).map(|_| granted(retry.next(at(20), Jitter::LEAST)).due).collect();
    assert_eq!(due, [70, 120, 220].map(at));
}

#[test]
fn what_has_just_failed_is_not_tried_again_at_once() {
    let mut retry = Retry::after_failure(limits(), at(10));
    assert_eq!(granted(retry.next(at(10), Jitter::LEAST)).due, at(60));
    assert_eq!(granted(retry.next(at(60), Jitter::LEAST)).due, at(160));
}

#[test]
fn test_reject_when_the_deadline_is_exhausted() {
    let mut retry = Retry::new(limits(), at(0));
    granted(retry.next(at(999), Jitter::LEAST));
    let over = Exhausted::Deadline { attempts: 1, within: milliseconds(1000) };
    assert_eq!(exhausted(retry.next(at(1000), Jitter::LEAST)), over);
}

#[test]
fn test_reject_a_pause_that_would_outlast_the_deadline() {
    let mut retry = Retry::new(limits(), at(0));
    granted(retry.next(at(0), Jitter::LEAST));
    // 50 ms of pause: the attempt would be due at the deadline itself.
    let over = Exhausted::Deadline { attempts: 1, within: milliseconds(1000) };
    assert_eq!(exhausted(retry.next(at(950), Jitter::LEAST)), over);
}

#[test]
fn test_reject_when_the_attempt_budget_is_exhausted() {
    let mut retry = Retry::new(limits(), at(0));
    for number in 1..5 {
        assert_eq!(granted(retry.next(at(0), Jitter::LEAST)).number, number);
    }
    assert_eq!(exhausted(retry.next(at(0), Jitter::LEAST)), Exhausted::Attempts { attempts: 4 });
}

#[test]
fn where_time_and_attempts_are_over_the_attempts_are_the_reason() {
    let mut retry = Retry::new(RetryLimits { attempts: AttemptBudget::ONE, ..limits() }, at(0));
    granted(retry.next(at(0), Jitter::LEAST));
    assert_eq!(exhausted(retry.next(at(2000), Jitter::LEAST)), Exhausted::Attempts { attempts: 1 });
}

#[test]
fn test_reject_mismatches_beyond_the_budget() {
    let mut retry = Retry::new(limits(), at(0));
    granted(retry.next(at(0), Jitter::LEAST));
    retry.mismatch();
    granted(retry.next(at(0), Jitter::LEAST));
    assert_eq!(retry.given_up(), None);
    retry.mismatch();
    let over = Exhausted::Mismatches { attempts: 2, mismatches: 2 };
    assert_eq!(retry.given_up(), Some(over));
    assert_eq!(exhausted(retry.next(at(0), Jitter::LEAST)), over);
}

#[test]
fn test_reject_the_first_mismatch_where_there_is_no_budget() {
    let mut retry = Retry::new(RetryLimits { mismatches: MismatchBudget::ZERO, ..limits() }, at(0));
    retry.mismatch();
    assert_eq!(
        exhausted(retry.next(at(0), Jitter::LEAST)),
        Exhausted::Mismatches { attempts: 0, mismatches: 1 }
    );
}

#[test]
fn test_reject_without_time_before_the_first_attempt() {
    let mut retry = Retry::new(RetryLimits { within: Duration::ZERO, ..limits() }, at(3));
    let over = Exhausted::Deadline { attempts: 0, within: Duration::ZERO };
    assert_eq!(exhausted(retry.next(at(3), Jitter::LEAST)), over);
}

#[test]
fn test_reject_for_good() {
    let mut retry = Retry::new(limits(), at(0));
    granted(retry.next(at(0), Jitter::LEAST));
    let over = exhausted(retry.next(at(2000), Jitter::LEAST));
    retry.mismatch();
    retry.mismatch();
    for now in [at(0), at(1), at(5000)] {
        assert_eq!(exhausted(retry.next(now, Jitter::LEAST)), over, "what ran out first stays the reason");
    }
}

#[test]
fn test_reject_a_clock_that_goes_back() {
    let mut retry = Retry::new(limits(), at(0));
    granted(retry.next(at(500), Jitter::LEAST));
    let second = granted(retry.next(at(100), Jitter::LEAST));
    assert_eq!(second.due, at(550), "it counts from the latest time that was seen");
}

#[test]
fn test_reject_a_retry_that_hides_behind_a_clock_that_stands_still() {
    let limits =
        RetryLimits { attempts: AttemptBudget::new(1000).unwrap(), backoff: Backoff::NONE, ..limits() };
    let mut retry = Retry::new(limits, Instant::ORIGIN);
    let granted = std::iter::repeat_with(|| retry.next(Instant::ORIGIN, Jitter::MOST))
        .take_while(|next| matches!(next, Next::At(_)));
    assert_eq!(granted.take(2000).count(), 1000);
}

#[test]
fn the_end_of_the_clock_is_a_deadline_like_any_other() {
    let end = Instant::from_nanos(u64::MAX);
    let mut retry = Retry::new(limits(), end);
    let over = Exhausted::Deadline { attempts: 0, within: milliseconds(1000) };
    assert_eq!(exhausted(retry.next(end, Jitter::LEAST)), over);
}

#[test]
fn what_ran_out_is_told_in_words() {
    let told = [
        Exhausted::Deadline { attempts: 2, within: milliseconds(1500) },
        Exhausted::Attempts { attempts: 4 },
        Exhausted::Mismatches { attempts: 4, mismatches: 3 },
    ]
    .map(|exhausted| exhausted.to_string());
    assert_eq!(
        told,
        [
            "gave up: no success within 1.5s (attempts: 2)",
            "gave up: all attempts failed (attempts: 4)",
            "gave up: too many replies to something else (mismatches: 3, attempts: 4)",
        ]
    );
}
