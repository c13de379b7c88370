use std::collections::BTreeSet;

use super::*;

const PATIENCE: Duration = Duration::from_secs(1);
const CALL: Asked = Asked::Call { interface: 1, method: 2 };

fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000)
}

fn id(id: u32) -> QuestionId {
    QuestionId(id)
}

fn wire(id: u32) -> WireId {
    WireId(id)
}

/// Asks question `number` at the origin, with a deadline of one second.
fn ask(questions: &mut Questions, number: u32) -> WireId {
    questions.ask(id(number), CALL, at(0), PATIENCE, 0)
}

/// A table in which question 0 is past its deadline, finished, and its answer owed.
fn with_zero_quarantined() -> Questions {
    let mut questions = Questions::new(10);
    assert_eq!(ask(&mut questions, 0), wire(0));
    assert_eq!(questions.take_expired(at(1)).unwrap().id, id(0));
    assert_eq!(questions.finish(id(0)), Ok(FinishOrder::SendReleasing(wire(0))));
    questions
}

#[test]
fn a_question_has_its_own_id_and_is_over_with_its_answer_and_finish() {
    let mut questions = Questions::new(10);
    assert_eq!(ask(&mut questions, 3), wire(3));
    assert_eq!(questions.next_deadline(), Some(at(1)));
    assert_eq!(questions.answer(wire(3)), Answer::Deliver(id(3)));
    assert_eq!(questions.next_deadline(), None);
    assert_eq!(questions.answer(wire(3)), Answer::Unasked, "it was answered");
    assert_eq!(questions.finish(id(3)), Ok(FinishOrder::Send(wire(3))));
    assert!(questions.untranslated());
    assert_eq!(ask(&mut questions, 3), wire(3));
}

#[test]
fn a_canceled_question_waits_for_its_answer_without_a_deadline() {
    let mut questions = Questions::new(10);
    ask(&mut questions, 0);
    assert_eq!(questions.finish(id(0)), Ok(FinishOrder::Send(wire(0))));
    assert_eq!(questions.take_expired(at(100)), None);
    assert_eq!(questions.answer(wire(0)), Answer::Canceled(id(0)));
    assert_eq!(questions.answer(wire(0)), Answer::Unasked);
}

#[test]
fn questions_expire_in_the_order_of_their_deadlines() {
    let mut questions = Questions::new(10);
    questions.ask(id(0), CALL, at(0), Duration::from_secs(3), 0);
    questions.ask(id(1), CALL, at(1), Duration::from_secs(1), 0);
    questions.ask(id(2), Asked::Bootstrap, at(0), Duration::from_secs(2), 0);
    assert_eq!(questions.take_expired(at(1)), None);
    let expired: Vec<_> = std::iter::from_fn(|| questions.take_expired(at(3))).collect();
    assert_eq!(expired.iter().map(|expired| expired.id.0).collect::<Vec<_>>(), [1, 2, 0]);
    assert_eq!(expired[1].asked, Asked::Bootstrap);
    assert_eq!(expired[0].patience, Duration::from_secs(1));
}

#[test]
fn a_deadline_past_the_end_of_the_clock_never_comes() {
    let mut questions = Questions::new(10);
    questions.ask(id(0), CALL, at(1), Duration::MAX, 0);
    assert_eq!(questions.take_expired(at(1_000_000_000)), None);
}

#[test]
fn an_id_is_quarantined_until_its_late_answer() {
    let mut questions = with_zero_quarantined();
    assert!(questions.untranslated(), "nothing uses the id yet");
    let alias = ask(&mut questions, 0);
    assert_ne!(alias, wire(0));
    assert_eq!((questions.untranslated(), questions.wire_id(id(0))), (false, alias));
    assert_eq!(questions.answer(wire(0)), Answer::TooLate);
    assert_eq!(questions.answer(wire(0)), Answer::Unasked, "it was owed once");
    assert_eq!(questions.answer(alias), Answer::Deliver(id(0)));
    assert_eq!(questions.finish(id(0)), Ok(FinishOrder::Send(alias)));
    assert!(questions.untranslated());
    assert_eq!(ask(&mut questions, 0), wire(0));
}

#[test]
fn an_answer_between_the_deadline_and_the_finish_ends_the_quarantine_before_it_began() {
    let mut questions = Questions::new(10);
    ask(&mut questions, 0);
    questions.take_expired(at(1)).unwrap();
    assert_eq!(questions.answer(wire(0)), Answer::TooLate);
    assert_eq!(questions.answer(wire(0)), Answer::Unasked);
    assert_eq!(
        questions.finish(id(0)),
        Ok(FinishOrder::SendReleasing(wire(0))),
        "what it carried is released"
    );
    assert_eq!(ask(&mut questions, 0), wire(0));
}

#[test]
fn an_alias_is_quarantined_like_any_other_id() {
    let mut questions = with_zero_quarantined();
    let first = ask(&mut questions, 0);
    questions.take_expired(at(1)).unwrap();
    assert_eq!(questions.wire_id(id(0)), first, "until its Finish it is what the peer knows");
    assert_eq!(questions.finish(id(0)), Ok(FinishOrder::SendReleasing(first)));
    let second = ask(&mut questions, 0);
    assert!(![wire(0), first].contains(&second));
    assert_eq!(questions.answer(first), Answer::TooLate);
    assert_eq!(questions.answer(second), Answer::Deliver(id(0)));
    assert_eq!(questions.finish(id(0)), Ok(FinishOrder::Send(second)));
}

#[test]
fn a_question_that_ends_without_a_finish_gives_its_alias_back() {
    let mut questions = with_zero_quarantined();
    for _ in 0..100 {
        // capnp-rpc sends no Finish where the answer says that it needs none, and uses the id again.
        let alias = ask(&mut questions, 0);
        assert!(alias.0 < FIRST_ALIAS + 2);
        assert_eq!(questions.answer(alias), Answer::Deliver(id(0)));
        assert_eq!(questions.wire_id(id(0)), alias, "a late reference still means this question");
    }
}

#[test]
fn a_question_that_was_never_sent_stays_unknown_to_the_peer() {
    let mut questions = Questions::new(10);
    questions.refuse(id(0));
    assert_eq!(questions.wire_id(id(0)), NO_QUESTION);
    assert_eq!(questions.answer(wire(0)), Answer::Unasked);
    assert_eq!(questions.answer(NO_QUESTION), Answer::Unasked);
    assert_eq!(questions.finish(id(0)), Ok(FinishOrder::Drop));
    assert_eq!(ask(&mut questions, 0), wire(0));
    assert!(questions.untranslated());
}

#[test]
fn the_quarantine_is_bounded() {
    let mut questions = Questions::new(3);
    for _ in 0..3 {
        ask(&mut questions, 0);
        questions.take_expired(at(1)).unwrap();
        questions.finish(id(0)).unwrap();
    }
    ask(&mut questions, 0);
    questions.take_expired(at(1)).unwrap();
    assert_eq!(questions.finish(id(0)), Err(QuarantineFull));
}

#[test]
fn answers_to_ids_that_were_never_given_are_unasked() {
    let mut questions = with_zero_quarantined();
    for unknown in [1, FIRST_ALIAS, FIRST_ALIAS + 1, u32::MAX - 1, u32::MAX] {
        assert_eq!(questions.answer(wire(unknown)), Answer::Unasked, "{unknown}");
    }
}

/// Both sides of the protocol as sets of ids, against a long random run.
#[test]
fn no_two_questions_that_the_peer_may_confuse_ever_share_an_id() {
    let mut questions = Questions::new(usize::MAX);
    let mut state = 1_u64;
    let mut random = move |limit: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % limit
    };
    // What capnp-rpc has open (its id, and whether it was answered), and what the peer has: neither answered nor finished.
    let mut open: std::collections::BTreeMap<u32, (WireId, bool)> = std::collections::BTreeMap::new();
    let mut owed = BTreeSet::new();
    let mut unfinished = BTreeSet::new();
    let mut now = 0;
    for _ in 0..50_000 {
        match random(5) {
            0 | 1 => {
                let lowest = (0..21).find(|id| !open.contains_key(id)).unwrap();
                if open.len() < 20 {
                    let wire =
                        questions.ask(id(lowest), CALL, at(now), Duration::from_secs(random(50) + 1), 0);
                    assert!(owed.insert(wire) && unfinished.insert(wire), "{wire:?} is still in use");
                    open.insert(lowest, (wire, false));
                }
            }
            2 => {
                now += random(10);
                while let Some(expired) = questions.take_expired(at(now)) {
                    let (wire, answered) = open.get_mut(&expired.id.0).unwrap();
                    assert!(!*answered && owed.contains(wire));
                    *answered = true;
                }
            }
            3 => {
                let answered: Vec<u32> =
                    open.iter().filter(|(_, (_, answered))| *answered).map(|(id, _)| *id).collect();
                if !answered.is_empty() {
                    let done = answered[random(answered.len() as u64) as usize];
                    let (wire, _) = open.remove(&done).unwrap();
                    match questions.finish(id(done)).unwrap() {
                        FinishOrder::Send(sent) | FinishOrder::SendReleasing(sent) => assert_eq!(sent, wire),
                        FinishOrder::Drop => panic!(),
                    }
                    assert!(unfinished.remove(&wire));
                }
            }
            _ => {
                if !owed.is_empty() {
                    let wire = *owed.iter().nth(random(owed.len() as u64) as usize).unwrap();
                    owed.remove(&wire);
                    let expected = open.iter().find(|(_, (open, answered))| *open == wire && !answered);
                    match (expected.map(|(id, _)| *id), questions.answer(wire)) {
                        (Some(number), Answer::Deliver(to)) => {
                            assert_eq!(to, id(number));
                            open.get_mut(&number).unwrap().1 = true;
                        }
                        (None, Answer::TooLate) => {}
                        other => panic!("{other:?}"),
                    }
                }
            }
        }
        for (number, (wire, _)) in &open {
            assert_eq!(questions.wire_id(id(*number)), *wire);
        }
    }
}
