//! Pauses, deadlines and budgets.

use std::num::NonZeroU32;
use std::time::Duration;

use vatmux_liveness::{AttemptBudget, Backoff, Deadline, InvalidBackoff, Jitter};

use crate::support::{at, backoff, milliseconds};

#[test]
fn pauses_double_up_to_the_longest() {
    let longest_pauses: Vec<_> = (0..7)
        .map(|failures| backoff(100, 1000).pause(failures, Jitter::MOST).as_micros().div_ceil(1000))
        .collect();
    assert_eq!(longest_pauses, [0, 100, 200, 400, 800, 1000, 1000]);
}

#[test]
fn the_least_jitter_halves_a_pause_and_no_jitter_takes_it_away() {
    let shortest_pauses: Vec<_> =
        (0..7).map(|failures| backoff(100, 1000).pause(failures, Jitter::LEAST)).collect();
    assert_eq!(shortest_pauses, [0, 50, 100, 200, 400, 500, 500].map(milliseconds));
}

#[test]
fn jitter_spreads_pauses_over_their_range() {
    let quarters =
        [0, 1 << 30, 1 << 31, 3 << 30].map(|random| backoff(100, 100).pause(1, Jitter::new(random)));
    assert_eq!(quarters, [50_000, 62_500, 75_000, 87_500].map(Duration::from_micros));
}

#[test]
fn a_pause_is_bounded_after_any_number_of_failures() {
    let eternal = Backoff::new(Duration::from_nanos(1), Duration::MAX).unwrap();
    for failures in [1, 63, 64, 65, 66, u32::MAX] {
        assert!(backoff(1, 5000).pause(failures, Jitter::MOST) <= milliseconds(5000));
        assert!(eternal.pause(failures, Jitter::MOST) <= Duration::from_nanos(u64::MAX));
    }
    assert!(backoff(1, 5000).pause(u32::MAX, Jitter::LEAST) == milliseconds(2500));
}

#[test]
fn test_reject_a_backoff_without_pause() {
    assert_eq!(Backoff::new(Duration::ZERO, milliseconds(10)), Err(InvalidBackoff));
    assert_eq!(Backoff::new(milliseconds(11), milliseconds(10)), Err(InvalidBackoff));
    assert!(Backoff::new(milliseconds(10), milliseconds(10)).is_ok());
}

#[test]
fn the_smallest_backoff_still_pauses() {
    let smallest = Backoff::new(Duration::from_nanos(1), Duration::from_nanos(1)).unwrap();
    assert_eq!(smallest.pause(1, Jitter::LEAST), Duration::from_nanos(1));
}

#[test]
fn test_reject_a_budget_without_an_attempt() {
    assert_eq!(AttemptBudget::new(0), None);
}

#[test]
fn a_deadline_has_come_at_its_very_instant() {
    let deadline = Deadline::after(at(5), milliseconds(10));
    assert_eq!(deadline, Deadline::at(at(15)));
    assert!(!deadline.has_come(at(14)));
    assert!(deadline.has_come(at(15)));
    assert_eq!(deadline.remaining(at(6)), milliseconds(9));
    assert_eq!(deadline.remaining(at(16)), Duration::ZERO);
    assert!(Deadline::after(at(5), Duration::ZERO).has_come(at(5)));
}

#[test]
fn a_share_of_a_deadline_leaves_time_to_the_others() {
    let parts = |count| NonZeroU32::new(count).unwrap();
    let deadline = Deadline::at(at(100));
    assert_eq!(deadline.share(at(20), parts(4)), Deadline::at(at(40)));
    assert_eq!(deadline.share(at(20), parts(1)), deadline);
    assert_eq!(deadline.share(at(100), parts(4)), deadline);
    assert_eq!(deadline.share(at(200), parts(4)), deadline, "a deadline that has come is not put off");
}
