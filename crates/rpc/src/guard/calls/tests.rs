use super::*;

const SERVED: Served = Served { interface: 0, method: 0, until: Instant::from_nanos(u64::MAX) };

fn id(id: u32) -> AnswerId {
    AnswerId(id)
}

fn begun(calls: &mut Calls, number: u32, on: &[u32]) {
    let on: Vec<_> = on.iter().copied().map(id).collect();
    calls.begin(id(number), What::Call(SERVED), 100, 0, &on);
}

#[test]
fn a_call_costs_its_message_and_its_entry_until_it_is_over() {
    let mut calls = Calls::default();
    begun(&mut calls, 1, &[]);
    assert_eq!((calls.count(), calls.held_bytes()), (1, 100 + CALL_BYTES));
    calls.returned(id(1), Some(7), vec![3], true);
    assert_eq!((calls.count(), calls.held_bytes()), (1, 7 + CALL_BYTES));
    assert_eq!(calls.finished(id(1)), [3]);
    assert_eq!((calls.count(), calls.held_bytes()), (0, 0));
}

#[test]
fn an_answer_that_needs_no_finish_ends_the_call() {
    let mut calls = Calls::default();
    begun(&mut calls, 1, &[]);
    calls.returned(id(1), None, Vec::new(), false);
    assert_eq!((calls.count(), calls.held_bytes()), (0, 0));
    assert_eq!(calls.finished(id(1)), []);
}

#[test]
fn a_canceled_call_counts_until_nobody_waits_for_it() {
    let mut calls = Calls::default();
    begun(&mut calls, 1, &[]);
    begun(&mut calls, 2, &[1]);
    begun(&mut calls, 3, &[2, 1]);
    calls.finished(id(1));
    calls.finished(id(2));
    assert_eq!(calls.count(), 3);
    calls.returned(id(3), None, Vec::new(), false);
    assert_eq!((calls.count(), calls.held_bytes()), (0, 0));
}

#[test]
fn a_canceled_call_that_is_answered_all_the_same_is_over() {
    let mut calls = Calls::default();
    begun(&mut calls, 1, &[]);
    begun(&mut calls, 2, &[1]);
    calls.finished(id(1));
    calls.returned(id(1), Some(5), vec![9], true);
    assert_eq!(calls.count(), 1);
    // Another call has the id now, and nobody waits for that one.
    begun(&mut calls, 1, &[]);
    calls.finished(id(2));
    calls.finished(id(1));
    assert_eq!((calls.count(), calls.held_bytes()), (0, 0));
}

#[test]
fn requests_for_the_bootstrap_capability_are_counted_apart() {
    let mut calls = Calls::default();
    calls.begin(id(0), What::Bootstrap, 0, 0, &[]);
    begun(&mut calls, 1, &[]);
    assert_eq!((calls.bootstraps(), calls.count()), (1, 1));
    calls.returned(id(0), Some(80), vec![0], true);
    calls.finished(id(0));
    assert_eq!((calls.bootstraps(), calls.count()), (0, 1));
}
