//! Sessions that come and go.

use vatmux_liveness::{AttemptBudget, Exhausted, Jitter, Next, Redial, RedialLimits, RetryLimits};

use crate::support::{at, limits, milliseconds};

fn redial() -> Redial {
    Redial::new(RedialLimits { outage: limits(), settled_after: milliseconds(5000) }, at(0))
}

/// When the next dial is due, in milliseconds after the origin, with the least jitter.
fn due(redial: &mut Redial, now: u64) -> u64 {
    match redial.next(at(now), Jitter::LEAST) {
        Some(Next::At(attempt)) => attempt.due.as_nanos() / 1_000_000,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_dial_is_due_at_once_and_those_after_a_loss_are_not() {
    let mut redial = redial();
    assert_eq!(due(&mut redial, 0), 0);
    let epoch = redial.connected(at(10));
    assert_eq!(redial.next(at(11), Jitter::LEAST), None);
    assert!(redial.lost(epoch, at(10_000)));
    assert_eq!(due(&mut redial, 10_000), 10_050);
    assert_eq!(due(&mut redial, 10_060), 10_160);
}

#[test]
fn a_session_that_lasted_gives_the_next_outage_all_of_its_bounds() {
    let mut redial = redial();
    for outage in 0..3 {
        let start = outage * 100_000;
        let dials = (0..4).map(|_| due(&mut redial, start)).count();
        assert_eq!(dials, 4);
        let epoch = redial.connected(at(start));
        redial.lost(epoch, at(start + 100_000));
    }
}

#[test]
fn test_reject_a_peer_that_hangs_up_at_once_like_one_that_does_not_answer() {
    let mut redial = redial();
    let mut dials = Vec::new();
    let mut now = 0;
    let end = loop {
        match redial.next(at(now), Jitter::LEAST) {
            Some(Next::At(attempt)) => {
                now = attempt.due.as_nanos() / 1_000_000;
                dials.push(now);
                let epoch = redial.connected(at(now));
                assert!(redial.lost(epoch, at(now)));
            }
            Some(Next::GiveUp(exhausted)) => break exhausted,
            None => panic!("there is no session"),
        }
    };
    assert_eq!(dials, [0, 50, 150, 350]);
    assert_eq!(end, Exhausted::Attempts { attempts: 4 });
}

#[test]
fn test_reject_what_belongs_to_an_older_session() {
    let mut redial = redial();
    assert!(!redial.is_current(redial.epoch()), "there is no session yet");
    let first = redial.connected(at(0));
    assert!(redial.is_current(first));
    assert!(redial.lost(first, at(1)));
    assert!(!redial.is_current(first));
    assert!(!redial.lost(first, at(1)), "it was lost before");
    let second = redial.connected(at(2));
    assert!(first < second && redial.epoch() == second);
    assert!(!redial.lost(first, at(3)), "another session is up");
    assert!(redial.is_current(second) && !redial.is_current(first));
}

#[test]
fn a_session_that_replaces_another_fences_it() {
    let mut redial = redial();
    let first = redial.connected(at(0));
    let second = redial.connected(at(1));
    assert!(!redial.is_current(first) && redial.is_current(second));
    assert_eq!((first.get(), second.get()), (1, 2));
}

#[test]
fn a_session_that_lasted_and_was_replaced_ends_its_outage_as_well() {
    let mut redial = redial();
    for _ in 0..4 {
        due(&mut redial, 0);
    }
    redial.connected(at(0));
    let second = redial.connected(at(6000));
    redial.lost(second, at(6001));
    assert_eq!(due(&mut redial, 6001), 6051);
}

#[test]
fn test_reject_an_outage_without_end() {
    let mut redial = redial();
    let given_up = Some(Next::GiveUp(Exhausted::Deadline { attempts: 1, within: milliseconds(1000) }));
    due(&mut redial, 0);
    assert!(!redial.start_over(at(500)), "an outage that goes on is not prolonged");
    assert_eq!(redial.next(at(1000), Jitter::LEAST), given_up);
    assert_eq!(redial.next(at(100_000), Jitter::LEAST), given_up);
    assert!(redial.start_over(at(100_000)));
    assert_eq!(due(&mut redial, 100_000), 100_050, "asking for it again does not make it a busy loop");
}

#[test]
fn a_session_that_is_up_is_not_started_over() {
    let mut redial = redial();
    let epoch = redial.connected(at(0));
    assert!(!redial.start_over(at(1)));
    assert!(redial.is_current(epoch));
}

#[test]
fn a_session_that_comes_although_it_was_given_up_counts() {
    let outage = RetryLimits { attempts: AttemptBudget::ONE, ..limits() };
    let mut redial = Redial::new(RedialLimits { outage, settled_after: milliseconds(5000) }, at(0));
    due(&mut redial, 0);
    assert!(matches!(redial.next(at(1), Jitter::LEAST), Some(Next::GiveUp(_))));
    let epoch = redial.connected(at(2));
    assert!(redial.is_current(epoch));
    redial.lost(epoch, at(6000));
    assert_eq!(due(&mut redial, 6000), 6050);
}
