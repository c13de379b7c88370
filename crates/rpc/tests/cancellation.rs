//! A peer that finishes its calls early gets its ids back, and the calls after them are not mixed up.

mod common;

use std::time::Duration;

use capnp::message::{Builder, HeapAllocator};
use capnp::traits::{HasTypeId, ImbueMut};
use capnp_rpc::rpc_capnp::message;
use common::wire::{Outcome, Told, Wire};
use common::{Pair, Served, never, probe};
use vatmux_rpc::{Options, VatEnd, Violation};

const ECHO: u16 = 0;
const NEVER: u16 = 1;
const COUNTER: u16 = 3;
const COUNT_TWICE: u16 = 4;
const ADD: u16 = 0;

/// The bootstrap capability is export 0, from question 0.
async fn bootstrapped(wire: &mut Wire) {
    wire.say(|root| root.init_bootstrap().set_question_id(0)).await;
    let hosted = Outcome::Results { hosted: vec![0], answers_passed: vec![] };
    assert_eq!(wire.told().await, Some(Told::Return { id: 0, outcome: hosted }));
}

async fn call(wire: &mut Wire, id: u32, method: u16) {
    wire.say(|root| {
        let mut call = root.init_call();
        call.set_question_id(id);
        call.set_interface_id(probe::Client::TYPE_ID);
        call.set_method_id(method);
        call.reborrow().init_params();
        call.init_target().set_imported_cap(0);
    })
    .await;
}

/// A call to the counter in the first field of the results of call `on`.
async fn add_on_result(wire: &mut Wire, id: u32, on: u32) {
    wire.say(|root| {
        let mut call = root.init_call();
        call.set_question_id(id);
        call.set_interface_id(common::counter::Client::TYPE_ID);
        call.set_method_id(ADD);
        call.reborrow().init_params();
        let mut target = call.init_target().init_promised_answer();
        target.set_question_id(on);
        target.init_transform(1).get(0).set_get_pointer_field(0);
    })
    .await;
}

/// A call that is given the counter in the first field of the results of call `on`.
async fn count_twice(wire: &mut Wire, id: u32, on: u32) {
    let mut caps = Vec::new();
    let mut builder = Builder::new(HeapAllocator::new());
    let mut call = builder.init_root::<message::Builder<'_>>().init_call();
    call.set_question_id(id);
    call.set_interface_id(probe::Client::TYPE_ID);
    call.set_method_id(COUNT_TWICE);
    call.reborrow().init_target().set_imported_cap(0);
    let mut params = call.init_params();
    let mut answer = params.reborrow().init_cap_table(1).get(0).init_receiver_answer();
    answer.set_question_id(on);
    answer.init_transform(1).get(0).set_get_pointer_field(0);
    let mut content = params.get_content();
    content.imbue_mut(&mut caps);
    let stand_in = capnp_rpc::new_broken_cap(capnp::Error::failed("a stand-in".to_owned())).hook;
    content
        .init_as::<probe::count_twice_params::Builder<'_>>()
        .set_counter(capnp::capability::FromClientHook::new(stand_in));
    wire.say_bytes(&capnp::serialize::write_message_to_words(&builder)).await;
}

async fn finish(wire: &mut Wire, id: u32, release: bool) {
    wire.say(|root| {
        let mut finish = root.init_finish();
        finish.set_question_id(id);
        finish.set_release_result_caps(release);
    })
    .await;
}

fn returned(told: Option<Told>) -> (u32, Outcome) {
    match told {
        Some(Told::Return { id, outcome }) => (id, outcome),
        other => panic!("{other:?} is no return"),
    }
}

fn no_caps() -> Outcome {
    Outcome::Results { hosted: vec![], answers_passed: vec![] }
}

#[test]
fn a_canceled_call_is_returned_and_its_id_works_again_in_every_place() {
    let Served { mut driver, handle, mut wire, seen, server, .. } = Served::new();
    driver
        .drive_until(async {
            bootstrapped(&mut wire).await;
            for round in 1..20 {
                call(&mut wire, 1, NEVER).await;
                finish(&mut wire, 1, true).await;
                assert_eq!(wire.told().await, Some(Told::Return { id: 1, outcome: Outcome::Canceled }));
                assert_eq!(seen.running.get(), 0);

                // The same id: its results, calls on them, and they as an argument.
                call(&mut wire, 1, COUNTER).await;
                add_on_result(&mut wire, 2, 1).await;
                count_twice(&mut wire, 3, 1).await;
                let (id, outcome) = returned(wire.told().await);
                assert!(
                    matches!(outcome, Outcome::Results { ref hosted, .. } if hosted.len() == 1),
                    "{outcome:?}"
                );
                assert_eq!(id, 1, "round {round}");
                let mut others = vec![returned(wire.told().await), returned(wire.told().await)];
                others.sort_by_key(|(id, _)| *id);
                assert_eq!(others, [(2, no_caps()), (3, no_caps())]);
                assert_eq!(seen.counters.get(), 1);
                finish(&mut wire, 1, true).await;
                handle.sleep(Duration::from_millis(1)).await;
                assert_eq!(seen.counters.get(), 0, "its Finish was understood");
            }
        })
        .unwrap();
    assert_eq!(server.ended(), None);
}

#[test]
fn a_call_that_goes_on_after_its_cancellation_is_not_returned_twice() {
    let Served { mut driver, handle, mut wire, .. } = Served::new();
    driver
        .drive_until(async {
            bootstrapped(&mut wire).await;
            // A call on its result keeps the first one running, as capnp-rpc has it.
            wire.say(|root| {
                let mut call = root.init_call();
                call.set_question_id(1);
                call.set_interface_id(probe::Client::TYPE_ID);
                call.set_method_id(2);
                call.reborrow()
                    .init_params()
                    .get_content()
                    .init_as::<probe::after_params::Builder<'_>>()
                    .set_millis(100);
                call.init_target().set_imported_cap(0);
            })
            .await;
            add_on_result(&mut wire, 2, 1).await;
            finish(&mut wire, 1, true).await;
            assert_eq!(wire.told().await, Some(Told::Return { id: 1, outcome: Outcome::Canceled }));
            call(&mut wire, 1, ECHO).await;
            assert_eq!(wire.told().await, Some(Told::Return { id: 1, outcome: no_caps() }));
            assert_eq!(wire.told().await, Some(Told::Return { id: 2, outcome: no_caps() }));
            assert!(handle.timeout(Duration::from_secs(1), wire.told()).await.is_err());
            call(&mut wire, 1, ECHO).await;
            assert_eq!(wire.told().await, Some(Told::Return { id: 1, outcome: no_caps() }));
        })
        .unwrap();
}

#[test]
fn an_id_that_is_in_use_ends_the_vat_and_is_named() {
    for method in [NEVER, COUNTER] {
        let Served { mut driver, mut wire, server, seen, .. } = Served::new();
        driver
            .drive_until(async {
                bootstrapped(&mut wire).await;
                call(&mut wire, 1, method).await;
                call(&mut wire, 1, ECHO).await;
                let end = server.wait_for_end().await;
                assert_eq!(end, VatEnd::Violation(Violation::CallIdInUse(1)));
                while let Some(told) = wire.told().await {
                    assert!(!matches!(told, Told::Return { id: 1, outcome: Outcome::Exception(_) }));
                }
            })
            .unwrap();
        assert_eq!((seen.running.get(), seen.probes.get()), (0, 0));
    }
}

#[test]
fn a_finish_for_a_call_that_is_over_or_never_was_is_ignored() {
    let Served { mut driver, mut wire, server, .. } = Served::new();
    driver
        .drive_until(async {
            bootstrapped(&mut wire).await;
            call(&mut wire, 1, ECHO).await;
            assert_eq!(wire.told().await, Some(Told::Return { id: 1, outcome: no_caps() }));
            for id in [1, 1, 7, u32::MAX] {
                finish(&mut wire, id, true).await;
            }
            call(&mut wire, 1, ECHO).await;
            assert_eq!(wire.told().await, Some(Told::Return { id: 1, outcome: no_caps() }));
        })
        .unwrap();
    assert_eq!(server.ended(), None);
}

#[test]
fn a_peer_that_cancels_without_end_ends_its_own_vat() {
    let options = Options { max_canceled_calls: 10, ..Options::default() };
    let Served { mut driver, mut wire, server, .. } = Served::with(&options);
    driver
        .drive_until(async {
            bootstrapped(&mut wire).await;
            for _ in 0..11 {
                assert_eq!(server.ended(), None);
                call(&mut wire, 1, NEVER).await;
                finish(&mut wire, 1, true).await;
                let _ = wire.told().await;
            }
            assert_eq!(server.wait_for_end().await, VatEnd::TooManyCanceled { limit: 10 });
        })
        .unwrap();
}

#[test]
fn cancellations_and_deadlines_cost_the_caller_no_id() {
    let options = Options { max_expired_calls: 2, ..Options::default() };
    let mut pair = Pair::with(&options);
    for _ in 0..50 {
        let expiring = vatmux_rpc::deadline::with(Duration::from_millis(10), || never(&pair.probe));
        let canceled = never(&pair.probe);
        assert!(pair.run(expiring.promise).is_err());
        drop((expiring.pipeline, canceled));
        pair.settle();
    }
    assert_eq!(pair.probe.vat().ended(), None, "the peer owes nothing");
    assert_eq!(pair.seen.running.get(), 0);
}

#[test]
fn the_bootstrap_capability_can_be_asked_for_again_and_again() {
    let Served { mut driver, mut wire, seen, .. } = Served::new();
    driver
        .drive_until(async {
            for id in [0, 1, 0] {
                wire.say(|root| root.init_bootstrap().set_question_id(id)).await;
                let (returned_id, _) = returned(wire.told().await);
                assert_eq!(returned_id, id);
                if id == 0 {
                    finish(&mut wire, id, true).await;
                }
            }
        })
        .unwrap();
    assert_eq!(seen.probes.get(), 1, "the factory makes one for each stream");
}
