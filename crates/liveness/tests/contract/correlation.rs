//! Which replies are taken, and which are dropped for what reason.

use vatmux_liveness::{
    AskError, Correlation, Deadline, Instant, MalformedNonce, MismatchBudget, Nonce, RejectedReply,
    Unanswered,
};

use crate::support::at;

const FIRST: Nonce = Nonce::new(100);

/// Room for two questions, and two mismatches are put up with.
fn window() -> Correlation<char, 2> {
    Correlation::new(FIRST, MismatchBudget::new(2))
}

fn ask(window: &mut Correlation<char, 2>, context: char) -> Nonce {
    window.ask(context, Deadline::at(at(1000)), at(0)).unwrap()
}

#[test]
fn replies_find_their_questions_in_any_order() {
    let mut window = window();
    let (a, b) = (ask(&mut window, 'a'), ask(&mut window, 'b'));
    assert_eq!((a, b), (FIRST, Nonce::new(101)));
    assert_eq!(window.reply(b, at(1)), Ok('b'));
    assert_eq!(window.reply_bytes(&a.to_bytes(), at(1)), Ok('a'));
    assert_eq!(window.waiting(), 0);
}

#[test]
fn a_nonce_is_eight_bytes_little_endian() {
    assert_eq!(Nonce::new(0x0102).to_bytes(), [2, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(Nonce::try_from(&[2, 1, 0, 0, 0, 0, 0, 0][..]), Ok(Nonce::new(0x0102)));
}

#[test]
fn test_reject_malformed_nonces() {
    for length in [0, 7, 9, 64] {
        let mut window = window();
        let nonce = ask(&mut window, 'a');
        let malformed = MalformedNonce { length };
        let reply = vec![FIRST.to_bytes()[0]; length];
        assert_eq!(window.reply_bytes(&reply, at(1)), Err(RejectedReply::Malformed(malformed)));
        assert_eq!(window.reply(nonce, at(1)), Ok('a'), "the question is still there");
    }
}

#[test]
fn test_reject_duplicate_replies() {
    let mut window = window();
    let nonce = ask(&mut window, 'a');
    assert_eq!(window.reply(nonce, at(1)), Ok('a'));
    assert_eq!(window.reply(nonce, at(2)), Err(RejectedReply::Duplicate(nonce)));
}

#[test]
fn test_reject_stale_replies() {
    let mut window = window();
    let old = ask(&mut window, 'a');
    assert_eq!(window.reply(old, at(1)), Ok('a'));
    for context in ['b', 'c'] {
        let nonce = ask(&mut window, context);
        assert_eq!(window.reply(nonce, at(1)), Ok(context));
    }
    assert_eq!(window.reply(old, at(2)), Err(RejectedReply::Stale(old)));
}

#[test]
fn test_reject_replies_to_nothing() {
    let mut window = window();
    ask(&mut window, 'a');
    for number in [99, 101] {
        let nonce = Nonce::new(number);
        assert_eq!(window.reply(nonce, at(1)), Err(RejectedReply::Unasked(nonce)));
    }
    assert_eq!(window.waiting(), 1);
}

#[test]
fn test_reject_replies_of_an_earlier_session() {
    let mut earlier = window();
    let old = ask(&mut earlier, 'a');
    let mut window = Correlation::<char, 2>::new(earlier.next_nonce().unwrap(), MismatchBudget::new(2));
    let new = ask(&mut window, 'b');
    assert_eq!(window.reply(old, at(1)), Err(RejectedReply::Unasked(old)));
    assert_eq!(window.reply(new, at(1)), Ok('b'));
}

#[test]
fn test_reject_replies_at_the_deadline() {
    let mut window = window();
    let nonce = ask(&mut window, 'a');
    assert_eq!(window.reply(nonce, at(1000)), Err(RejectedReply::Late(nonce)));
    assert_eq!(window.unanswered(at(1000)), Some((nonce, 'a', Unanswered::Deadline)));
    assert_eq!(window.unanswered(at(1000)), None);
}

#[test]
fn test_reject_late_replies_once_as_late_and_then_as_duplicates() {
    for (times_before_it_is_given_up, label) in [(0, "after"), (1, "around"), (2, "before")] {
        let mut window = window();
        let nonce = ask(&mut window, 'a');
        let expected = [RejectedReply::Late(nonce), RejectedReply::Duplicate(nonce)];
        for (index, rejected) in expected.into_iter().enumerate() {
            if index == times_before_it_is_given_up {
                assert!(window.unanswered(at(1000)).is_some());
            }
            assert_eq!(window.reply(nonce, at(1000)), Err(rejected), "{label}");
        }
    }
}

#[test]
fn a_slow_peer_is_not_accused() {
    let mut window = window();
    for round in 0..50 {
        let now = at(round * 100);
        let nonce = window.ask('a', Deadline::at(at(round * 100 + 10)), now).unwrap();
        assert!(window.unanswered(at(round * 100 + 10)).is_some());
        assert_eq!(window.reply(nonce, at(round * 100 + 20)), Err(RejectedReply::Late(nonce)));
    }
    assert!(!window.is_closed());
}

#[test]
fn test_reject_replies_to_cancelled_questions() {
    let mut window = window();
    let nonce = ask(&mut window, 'a');
    assert_eq!(window.cancel(nonce), Some('a'));
    assert_eq!(window.cancel(nonce), None);
    assert_eq!(window.reply(nonce, at(1)), Err(RejectedReply::Late(nonce)));
    assert_eq!(window.reply(nonce, at(1)), Err(RejectedReply::Duplicate(nonce)));
}

#[test]
fn test_reject_everything_past_the_mismatch_budget() {
    let mut window = window();
    let (a, b) = (ask(&mut window, 'a'), ask(&mut window, 'b'));
    for number in [500, 501] {
        assert_eq!(window.reply(Nonce::new(number), at(1)), Err(RejectedReply::Unasked(Nonce::new(number))));
    }
    assert!(!window.is_closed());
    assert_eq!(window.reply(Nonce::new(502), at(1)), Err(RejectedReply::Closed));
    assert!(window.is_closed());
    assert_eq!(window.reply(a, at(1)), Err(RejectedReply::Closed), "a good reply does not open it again");
    assert_eq!(window.reply_bytes(&[], at(1)), Err(RejectedReply::Closed));
    assert_eq!(window.ask('c', Deadline::at(at(1000)), at(1)), Err(AskError::Closed));
    assert_eq!(window.unanswered(at(1)), Some((a, 'a', Unanswered::Closed)));
    assert_eq!(window.unanswered(at(1000)), Some((b, 'b', Unanswered::Deadline)));
    assert_eq!(window.unanswered(at(1000)), None);
}

#[test]
fn test_reject_each_kind_of_mismatch_at_the_expense_of_the_budget() {
    type Mismatch = fn(&mut Correlation<char, 2>) -> Result<char, RejectedReply>;
    let mismatches: [Mismatch; 4] = [
        |window| window.reply_bytes(&[1, 2, 3], at(1)),
        |window| window.reply(Nonce::new(7), at(1)),
        |window| window.reply(FIRST, at(1)),
        |window| window.reply(Nonce::new(101), at(1)),
    ];
    for mismatch in mismatches {
        let mut window = window();
        for context in ['a', 'b', 'c'] {
            let nonce = ask(&mut window, context);
            assert_eq!(window.reply(nonce, at(1)), Ok(context));
        }
        assert_ne!(mismatch(&mut window), Err(RejectedReply::Closed));
        assert_ne!(mismatch(&mut window), Err(RejectedReply::Closed));
        assert_eq!(mismatch(&mut window), Err(RejectedReply::Closed));
    }
}

#[test]
fn a_good_reply_earns_the_budget_back() {
    let mut window = window();
    for context in ['a', 'b', 'c', 'd'] {
        let nonce = ask(&mut window, context);
        for _ in 0..2 {
            assert_eq!(window.reply(Nonce::new(7), at(1)), Err(RejectedReply::Unasked(Nonce::new(7))));
        }
        assert_eq!(window.reply(nonce, at(1)), Ok(context));
    }
}

#[test]
fn test_reject_questions_beyond_the_room() {
    let mut window = window();
    let nonce = ask(&mut window, 'a');
    ask(&mut window, 'b');
    let deadline = Deadline::at(at(1000));
    assert_eq!(window.ask('c', deadline, at(1)), Err(AskError::Full { capacity: 2 }));
    assert_eq!(window.reply(nonce, at(1)), Ok('a'));
    assert_eq!(window.ask('c', deadline, at(1)), Ok(Nonce::new(102)), "the refusal used no nonce");
}

#[test]
fn test_reject_questions_whose_deadline_has_come() {
    let mut window = window();
    assert_eq!(window.ask('a', Deadline::at(at(5)), at(5)), Err(AskError::DeadlineHasCome));
    assert_eq!(window.waiting(), 0);
}

#[test]
fn test_reject_questions_when_the_nonces_are_used_up() {
    let last = Nonce::new(u64::MAX);
    let mut window = Correlation::<char, 2>::new(last, MismatchBudget::ZERO);
    assert_eq!(window.ask('a', Deadline::at(at(5)), at(0)), Ok(last));
    assert_eq!(window.ask('b', Deadline::at(at(5)), at(0)), Err(AskError::NoncesUsedUp));
    assert_eq!(window.next_nonce(), None);
    assert_eq!(window.reply(last, at(1)), Ok('a'));
    assert_eq!(window.ask('c', Deadline::at(at(5)), at(0)), Err(AskError::NoncesUsedUp));
}

#[test]
fn test_reject_a_reply_that_a_clock_going_back_would_make_timely() {
    let mut window = window();
    let early = window.ask('a', Deadline::at(at(10)), at(0)).unwrap();
    let long = ask(&mut window, 'b');
    assert_eq!(window.reply(long, at(20)), Ok('b'));
    assert_eq!(window.reply(early, at(5)), Err(RejectedReply::Late(early)));
}

#[test]
fn questions_are_given_up_nearest_deadline_first() {
    let mut window = window();
    let late = window.ask('a', Deadline::at(at(20)), at(0)).unwrap();
    let early = window.ask('b', Deadline::at(at(10)), at(0)).unwrap();
    assert_eq!(window.next_deadline(), Some(Deadline::at(at(10))));
    assert_eq!(window.unanswered(at(9)), None);
    assert_eq!(window.unanswered(at(30)), Some((early, 'b', Unanswered::Deadline)));
    assert_eq!(window.next_deadline(), Some(Deadline::at(at(20))));
    assert_eq!(window.unanswered(at(30)), Some((late, 'a', Unanswered::Deadline)));
    assert_eq!(window.next_deadline(), None);
}

#[test]
fn the_memory_is_what_the_documentation_says() {
    let words = 12 * 8;
    assert!(size_of::<Correlation<u64, 64>>() <= 64 * (32 + 8) + 64 * 24 + words);
    assert!(size_of::<vatmux_liveness::Redial>() <= 256);
    assert!(size_of::<Instant>() == 8);
}
