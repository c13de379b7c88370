use super::*;

fn peer(id: u32) -> PeerId {
    PeerId(id)
}

fn answer(id: u32) -> AnswerId {
    AnswerId(id)
}

#[test]
fn a_call_has_the_peers_id_and_is_over_with_its_return_and_finish() {
    let mut answers = Answers::default();
    assert_eq!(answers.call(peer(4)), Ok(answer(4)));
    assert_eq!(answers.call(peer(4)), Err(InUse));
    assert_eq!(answers.returned(answer(4), true, false), ReturnOrder::Send(peer(4)));
    assert_eq!(answers.call(peer(4)), Err(InUse), "until the Finish");
    assert_eq!(answers.finish(peer(4)), FinishOrder::Deliver(answer(4)));
    assert_eq!(answers.call(peer(4)), Ok(answer(4)));
    assert!(answers.untranslated());
}

#[test]
fn a_call_whose_return_needs_no_finish_is_over_with_the_return() {
    let mut answers = Answers::default();
    answers.call(peer(0)).unwrap();
    assert_eq!(answers.returned(answer(0), false, false), ReturnOrder::Send(peer(0)));
    assert_eq!(answers.finish(peer(0)), FinishOrder::Discard);
    assert_eq!(answers.call(peer(0)), Ok(answer(0)));
}

#[test]
fn the_id_of_a_canceled_call_goes_to_the_next_one_under_an_alias() {
    let mut answers = Answers::default();
    answers.call(peer(0)).unwrap();
    assert_eq!(answers.finish(peer(0)), FinishOrder::Cancel(answer(0)));
    assert_eq!((answers.spent(), answers.untranslated()), (1, true));
    let alias = answers.call(peer(0)).unwrap();
    assert_ne!(alias, answer(0));
    assert_eq!((answers.answer_id(peer(0)), answers.untranslated()), (alias, false));
    assert_eq!(answers.returned(alias, true, false), ReturnOrder::Send(peer(0)));
    assert_eq!(answers.finish(peer(0)), FinishOrder::Deliver(alias));
    assert!(answers.untranslated());
}

#[test]
fn a_return_after_the_cancellation_is_dropped_and_frees_the_id() {
    let mut answers = Answers::default();
    answers.call(peer(0)).unwrap();
    answers.finish(peer(0));
    assert_eq!(answers.returned(answer(0), true, false), ReturnOrder::Drop);
    assert_eq!(answers.spent(), 0);
    assert_eq!(answers.call(peer(0)), Ok(answer(0)));
}

#[test]
fn results_that_the_peer_never_saw_are_released_with_its_finish() {
    let mut answers = Answers::default();
    answers.call(peer(0)).unwrap();
    assert_eq!(answers.returned(answer(0), true, true), ReturnOrder::Send(peer(0)));
    assert_eq!(answers.finish(peer(0)), FinishOrder::DeliverReleasing(answer(0)));
}

#[test]
fn a_peer_that_chooses_the_aliases_for_its_ids_confuses_nobody() {
    let mut answers = Answers::default();
    answers.call(peer(0)).unwrap();
    answers.finish(peer(0));
    let alias = answers.call(peer(0)).unwrap();
    let chosen = answers.call(peer(alias.0)).unwrap();
    assert_ne!(chosen, alias);
    let last = answers.call(peer(u32::MAX)).unwrap();
    assert_ne!(last, NO_ANSWER);
    assert_eq!(answers.answer_id(peer(alias.0)), chosen);
    assert_eq!(answers.answer_id(peer(17)), NO_ANSWER, "a call that was never made");
    assert_eq!(answers.returned(chosen, false, false), ReturnOrder::Send(peer(alias.0)));
    assert_eq!(answers.returned(alias, false, false), ReturnOrder::Send(peer(0)));
    assert_eq!(answers.returned(last, false, false), ReturnOrder::Send(peer(u32::MAX)));
    assert!(answers.untranslated());
}

/// Against a long random run of a peer that uses few ids and cancels a third of its calls.
#[test]
fn no_two_calls_that_capnp_rpc_may_confuse_ever_share_an_id() {
    let mut answers = Answers::default();
    let mut state = 1_u64;
    let mut random = move |limit: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % limit
    };
    // What the peer has open, and what capnp-rpc has an entry for.
    let mut open: BTreeMap<u32, (AnswerId, bool)> = BTreeMap::new();
    let mut occupied = BTreeSet::new();
    for _ in 0..50_000 {
        let id = [0, 1, 2, 3, FIRST_ALIAS, FIRST_ALIAS + 1, u32::MAX][random(7) as usize];
        match (open.get(&id).copied(), random(3)) {
            (None, _) => {
                let answer = answers.call(peer(id)).unwrap();
                assert!(occupied.insert(answer), "{answer:?} is still in use");
                open.insert(id, (answer, false));
            }
            (Some((answer, true)), _) => {
                assert_eq!(answers.finish(peer(id)), FinishOrder::Deliver(answer));
                occupied.remove(&answer);
                open.remove(&id);
            }
            (Some((answer, false)), 0) => {
                assert_eq!(answers.finish(peer(id)), FinishOrder::Cancel(answer));
                open.remove(&id);
            }
            (Some((answer, false)), 1) => {
                assert_eq!(answers.returned(answer, false, false), ReturnOrder::Send(peer(id)));
                occupied.remove(&answer);
                open.remove(&id);
            }
            (Some((answer, false)), _) => {
                assert_eq!(answers.returned(answer, true, false), ReturnOrder::Send(peer(id)));
                open.insert(id, (answer, true));
            }
        }
        for (id, (answer, _)) in &open {
            assert_eq!(answers.answer_id(peer(*id)), *answer);
        }
        assert_eq!(answers.spent(), occupied.len() - open.len());
    }
}
