//! What a hostile peer does to capnp-rpc 0.27.3, and what comes of it here.
//!
//! Each test runs as a whole on a thread with a stack of 64 KiB: the driver, the vat's task, capnp-rpc and the service. No
//! panic is contained: one anywhere fails the test.

mod common;

use std::time::Duration;

use capnp::ErrorKind;
use capnp::traits::HasTypeId;
use capnp_rpc::rpc_capnp::{call, message, message_target};
use common::wire::{Outcome, Place, Target, Told, Wire};
use common::{Pair, Scripted, Served, add, counter, echo, never, probe};
use vatmux_rpc::{Exceeded, Limits, Malformed, Options, VatEnd, Violation};

const STACK_BYTES: usize = 64 << 10;

const ECHO: u16 = 0;
const NEVER: u16 = 1;
const AFTER: u16 = 2;
const COUNTER: u16 = 3;
const COUNT_TWICE: u16 = 4;
const WRITE: u16 = 5;
const BLOB_AND_COUNTER: u16 = 8;

const ADD: u16 = 0;
const SELF: u16 = 1;

fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(test).unwrap();
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn with_limits(limits: Limits) -> Options {
    Options { limits, ..Options::default() }
}

async fn bootstrapped(wire: &mut Wire) {
    wire.say(|root| root.init_bootstrap().set_question_id(0)).await;
    assert!(matches!(wire.told().await, Some(Told::Return { id: 0, .. })));
}

/// A call of a method of `Probe`, on the bootstrap capability.
async fn call(wire: &mut Wire, id: u32, method: u16, build: impl FnOnce(call::Builder<'_>)) {
    wire.say(|root| {
        let mut call = root.init_call();
        call.set_question_id(id);
        call.set_interface_id(probe::Client::TYPE_ID);
        call.set_method_id(method);
        call.reborrow().init_target().set_imported_cap(0);
        call.reborrow().init_params();
        build(call);
    })
    .await;
}

/// A call of a method of `Counter`, on the first field of the result of another call.
async fn call_on_result(wire: &mut Wire, id: u32, of: u32, method: u16) {
    wire.say(|root| {
        let mut call = root.init_call();
        call.set_question_id(id);
        call.set_interface_id(counter::Client::TYPE_ID);
        call.set_method_id(method);
        let mut target = call.reborrow().init_target().init_promised_answer();
        target.set_question_id(of);
        target.init_transform(1).get(0).set_get_pointer_field(0);
        call.init_params();
    })
    .await;
}

/// Has the only capability of the parameters be `held` or `counter`, the first field of either.
fn give(call: call::Builder<'_>, describe: impl FnOnce(capnp_rpc::rpc_capnp::cap_descriptor::Builder<'_>)) {
    let mut params = call.init_params();
    describe(params.reborrow().init_cap_table(1).get(0));
    common::wire::point_to_first_cap(params.get_content());
}

async fn finish(wire: &mut Wire, id: u32) {
    wire.say(|root| root.init_finish().set_question_id(id)).await;
}

fn exception(told: Option<Told>) -> (u32, String) {
    match told {
        Some(Told::Return { id, outcome: Outcome::Exception(reason) }) => (id, reason),
        other => panic!("{other:?} is no failure"),
    }
}

async fn resolve_to_promise(wire: &mut Wire, promise: u32, to: u32) {
    wire.say(|root| {
        let mut resolve = root.init_resolve();
        resolve.set_promise_id(promise);
        resolve.init_cap().set_sender_promise(to);
    })
    .await;
}

async fn answer_total(wire: &mut Wire, id: u32) {
    wire.say(|root| {
        let mut answer = root.init_return();
        answer.set_answer_id(id);
        answer.set_release_param_caps(false);
        answer.init_results().get_content().init_as::<counter::add_results::Builder<'_>>().set_total(7);
    })
    .await;
}

/// The server calls what the peer gave it twice; between the calls the peer says what the promise became.
fn a_promise_that_becomes(resolutions: impl Fn(u32) -> Option<u32> + Send + 'static) {
    on_a_small_stack(move || {
        let Served { mut driver, mut wire, server, .. } = Served::new();
        driver
            .drive_until(async {
                bootstrapped(&mut wire).await;
                call(&mut wire, 1, COUNT_TWICE, |call| give(call, |mut cap| cap.set_sender_promise(5))).await;
                for turn in 0..2 {
                    let Some(Told::Call { id, target: Target::Cap(5), .. }) = wire.told().await else {
                        panic!("no call")
                    };
                    let mut promise = 5;
                    while turn == 0
                        && let Some(next) = resolutions(promise)
                    {
                        resolve_to_promise(&mut wire, promise, next).await;
                        assert_eq!(wire.told().await, Some(Told::Release { id: next, count: 1 }));
                        if next == 5 {
                            break;
                        }
                        promise = next;
                    }
                    answer_total(&mut wire, id).await;
                    assert!(matches!(wire.told().await, Some(Told::Finish { .. })));
                }
                assert_eq!(wire.told().await, Some(Told::Release { id: 5, count: 1 }));
                let Some(Told::Return { id: 1, outcome: Outcome::Results { .. } }) = wire.told().await else {
                    panic!("no answer")
                };
            })
            .unwrap();
        assert_eq!(server.ended(), None);
    });
}

/// Case 1.
#[test]
fn a_promise_that_becomes_itself_is_called_as_before() {
    a_promise_that_becomes(|_| Some(5));
}

#[test]
fn two_promises_that_become_each_other_are_called_as_before() {
    a_promise_that_becomes(|promise| Some(if promise == 5 { 6 } else { 5 }));
}

/// Case 3.
#[test]
fn a_chain_of_forty_thousand_promises_is_called_as_before() {
    a_promise_that_becomes(|promise| (promise < 40_000).then_some(promise + 1));
}

/// Case 2, one upon the other.
#[test]
fn calls_that_wait_for_each_other_are_refused_beyond_the_depth() {
    on_a_small_stack(|| {
        let Served { mut driver, mut wire, server, seen, handle, .. } = Served::new();
        driver
            .drive_until(async {
                bootstrapped(&mut wire).await;
                call(&mut wire, 1, NEVER, |_| {}).await;
                for id in 2..1_002 {
                    call_on_result(&mut wire, id, id - 1, SELF).await;
                    if id > 17 {
                        let (refused, reason) = exception(wire.told().await);
                        assert_eq!(refused, id);
                        assert!(reason.contains("wait") && reason.contains("for"), "{reason}");
                    }
                }
                handle.sleep(Duration::from_nanos(1)).await;
                assert_eq!((server.ended(), seen.running.get()), (None, 1));
                // They fail with the one that they wait for, and free what they held.
                for id in 1..18 {
                    finish(&mut wire, id).await;
                    assert_eq!(wire.told().await, Some(Told::Return { id, outcome: Outcome::Canceled }));
                }
                handle.sleep(Duration::from_nanos(1)).await;
                assert_eq!((server.ended(), seen.running.get()), (None, 0));
            })
            .unwrap();
    });
}

/// Case 2, side by side.
#[test]
fn a_result_that_is_there_counts_as_nothing_that_is_waited_for() {
    on_a_small_stack(|| {
        let depth = u32::from(Limits::default().max_pipeline_depth);
        let Served { mut driver, mut wire, server, .. } = Served::new();
        driver
            .drive_until(async {
                bootstrapped(&mut wire).await;
                call(&mut wire, 1, COUNTER, |_| {}).await;
                // Each on the result of the one before, which has come: far more than may wait for each other.
                for id in 2..=depth * 4 {
                    let told = wire.told().await;
                    assert!(
                        matches!(told, Some(Told::Return { id: last, outcome: Outcome::Results { .. } }) if last == id - 1),
                        "{id}: {told:?}"
                    );
                    call_on_result(&mut wire, id, id - 1, SELF).await;
                }
            })
            .unwrap();
        assert_eq!(server.ended(), None);
    });
}

#[test]
fn a_thousand_calls_on_one_result_are_served_in_order() {
    on_a_small_stack(|| {
        let Served { mut driver, mut wire, .. } = Served::new();
        driver
            .drive_until(async {
                bootstrapped(&mut wire).await;
                call(&mut wire, 1, AFTER, |_| {}).await;
                for id in 2..1_002 {
                    call_on_result(&mut wire, id, 1, ADD).await;
                }
                for id in 1..1_002 {
                    let told = wire.told().await;
                    assert!(
                        matches!(told, Some(Told::Return { id: returned, outcome: Outcome::Results { .. } })
                            if returned == id),
                        "{told:?} for {id}"
                    );
                }
            })
            .unwrap();
    });
}

#[test]
fn a_vat_that_ends_under_a_thousand_waiting_calls_drops_them() {
    on_a_small_stack(|| {
        let Served { mut driver, mut wire, server, seen, handle, .. } = Served::new();
        driver
            .drive_until(async {
                bootstrapped(&mut wire).await;
                call(&mut wire, 1, NEVER, |_| {}).await;
                for id in 2..1_002 {
                    call_on_result(&mut wire, id, if id < 17 { id - 1 } else { 1 }, SELF).await;
                }
                handle.sleep(Duration::from_nanos(1)).await;
                assert_eq!(seen.running.get(), 1);
                server.end();
                handle.sleep(Duration::from_nanos(1)).await;
            })
            .unwrap();
        assert_eq!((seen.running.get(), seen.probes.get()), (0, 0));
    });
}

/// Results as parameters keep calls alive as targets do.
#[test]
fn calls_that_hold_each_others_results_are_refused_beyond_the_depth() {
    on_a_small_stack(|| {
        let Served { mut driver, mut wire, server, seen, handle, .. } = Served::new();
        driver
            .drive_until(async {
                bootstrapped(&mut wire).await;
                call(&mut wire, 1, NEVER, |_| {}).await;
                for id in 2..100 {
                    call(&mut wire, id, NEVER, |call| {
                        give(call, |cap| {
                            let mut answer = cap.init_receiver_answer();
                            answer.set_question_id(17.min(id - 1));
                            answer.init_transform(1).get(0).set_get_pointer_field(0);
                        });
                    })
                    .await;
                    if id > 17 {
                        assert_eq!(exception(wire.told().await).0, id);
                    }
                }
                handle.sleep(Duration::from_nanos(1)).await;
                assert_eq!((server.ended(), seen.running.get()), (None, 17));
                server.end();
                handle.sleep(Duration::from_nanos(1)).await;
            })
            .unwrap();
        assert_eq!(seen.running.get(), 0);
    });
}

/// Case 4.
#[test]
fn a_call_whose_peer_says_that_it_was_canceled_fails() {
    on_a_small_stack(|| {
        let Scripted { mut driver, probe, mut wire, .. } = Scripted::new();
        driver
            .drive_until(async {
                let answer = never(&probe).promise;
                assert!(matches!(wire.told().await, Some(Told::Bootstrap { id: 0 })));
                assert!(matches!(wire.told().await, Some(Told::Call { id: 1, .. })));
                wire.answer_canceled(1).await;
                let error = answer.await.err().expect("there are no results");
                assert_eq!(error.extra, "remote exception: the peer canceled the call");
            })
            .unwrap();
    });
}

/// Case 5, and the other ways to have results go elsewhere.
#[test]
fn a_call_whose_results_are_to_go_elsewhere_is_refused_and_its_id_is_free() {
    on_a_small_stack(|| {
        let Served { mut driver, mut wire, server, .. } = Served::new();
        driver
            .drive_until(async {
                bootstrapped(&mut wire).await;
                for _ in 0..3 {
                    call(&mut wire, 1, ECHO, |call| call.get_send_results_to().set_yourself(())).await;
                    let (id, reason) = exception(wire.told().await);
                    assert_eq!((id, reason.as_str()), (1, "results can be sent to the caller only"));
                    call(&mut wire, 1, ECHO, |call| {
                        call.get_send_results_to().init_third_party();
                    })
                    .await;
                    assert_eq!(exception(wire.told().await).0, 1);
                }
                call(&mut wire, 1, ECHO, |_| {}).await;
                assert!(matches!(
                    wire.told().await,
                    Some(Told::Return { id: 1, outcome: Outcome::Results { .. } })
                ));
            })
            .unwrap();
        assert_eq!(server.ended(), None);
    });
}

/// Case 6.
#[test]
fn calls_beyond_the_limit_are_overloaded_and_the_others_are_served() {
    on_a_small_stack(|| {
        let Served { mut driver, mut wire, server, seen, .. } = Served::new();
        driver
            .drive_until(async {
                bootstrapped(&mut wire).await;
                for id in 1..=4_096 {
                    call(&mut wire, id, NEVER, |_| {}).await;
                }
                for id in 5_000..5_100 {
                    call(&mut wire, id, NEVER, |_| {}).await;
                    let (refused, reason) = exception(wire.told().await);
                    assert_eq!(refused, id);
                    assert_eq!(reason, "as many as 4096 calls are under way or not finished");
                }
                finish(&mut wire, 1).await;
                assert_eq!(wire.told().await, Some(Told::Return { id: 1, outcome: Outcome::Canceled }));
                call(&mut wire, 5_100, ECHO, |_| {}).await;
                assert!(matches!(wire.told().await, Some(Told::Return { id: 5_100, .. })));
            })
            .unwrap();
        assert_eq!((server.ended(), seen.running.get()), (None, 4_095));
    });
}

#[test]
fn requests_for_the_bootstrap_capability_beyond_the_limit_are_overloaded() {
    on_a_small_stack(|| {
        let Served { mut driver, mut wire, server, .. } = Served::new();
        driver
            .drive_until(async {
                for id in 0..100 {
                    wire.say(|root| root.init_bootstrap().set_question_id(id)).await;
                    match wire.told().await {
                        Some(Told::Return { id: returned, outcome: Outcome::Results { .. } }) => {
                            assert!(returned == id && id < 64);
                        }
                        other => assert!(exception(other).0 == id && id >= 64),
                    }
                }
                finish(&mut wire, 3).await;
                wire.say(|root| root.init_bootstrap().set_question_id(200)).await;
                assert!(matches!(
                    wire.told().await,
                    Some(Told::Return { id: 200, outcome: Outcome::Results { .. } })
                ));
            })
            .unwrap();
        assert_eq!(server.ended(), None);
    });
}

#[test]
fn a_caller_that_is_refused_sees_overloaded_and_may_try_again() {
    let limits = Limits { max_calls: 2, ..Limits::default() };
    let mut pair = Pair::with(&with_limits(limits));
    pair.run(echo(&pair.probe.clone(), 1)).unwrap();
    let mut waiting = vec![never(&pair.probe), never(&pair.probe)];
    let probe = pair.probe.clone();
    let error = pair.run(echo(&probe, 1)).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Overloaded);
    let pipelined = probe.counter_request().send().pipeline.get_counter();
    assert_eq!(pair.run(add(&pipelined, 1)).unwrap_err().kind, ErrorKind::Overloaded);
    drop(waiting.pop());
    pair.settle();
    assert_eq!(pair.run(echo(&probe, 2)).unwrap(), 2);
}

#[test]
fn bytes_of_unanswered_calls_are_bounded() {
    on_a_small_stack(|| {
        let limits = Limits { max_held_bytes: 300_000, ..Limits::default() };
        let Served { mut driver, mut wire, server, seen, .. } = Served::with(&with_limits(limits));
        seen.close_gate();
        driver
            .drive_until(async {
                bootstrapped(&mut wire).await;
                for id in 1..10 {
                    call(&mut wire, id, WRITE, |call| {
                        let params = call.init_params().get_content();
                        params.init_as::<probe::write_params::Builder<'_>>().init_bytes(100_000);
                    })
                    .await;
                    if id > 2 {
                        let (refused, reason) = exception(wire.told().await);
                        assert_eq!(refused, id);
                        assert!(reason.starts_with("as many as 300000 bytes"), "{reason}");
                    }
                }
            })
            .unwrap();
        assert_eq!(server.ended(), None);
    });
}

/// A call that is canceled goes on for as long as another one waits for its result.
#[test]
fn canceling_what_others_wait_for_frees_no_budget() {
    on_a_small_stack(|| {
        let limits = Limits { max_calls: 9, ..Limits::default() };
        let Served { mut driver, mut wire, server, seen, handle, .. } = Served::with(&with_limits(limits));
        driver
            .drive_until(async {
                bootstrapped(&mut wire).await;
                for id in [1, 3, 5, 7] {
                    call(&mut wire, id, NEVER, |_| {}).await;
                    call_on_result(&mut wire, id + 1, id, SELF).await;
                    finish(&mut wire, id).await;
                    assert_eq!(wire.told().await, Some(Told::Return { id, outcome: Outcome::Canceled }));
                }
                assert_eq!(seen.running.get(), 4);
                call(&mut wire, 9, NEVER, |_| {}).await;
                call(&mut wire, 10, NEVER, |_| {}).await;
                assert_eq!(exception(wire.told().await).0, 10);
                for id in [2, 4, 6, 8] {
                    finish(&mut wire, id).await;
                    assert_eq!(wire.told().await, Some(Told::Return { id, outcome: Outcome::Canceled }));
                }
                handle.sleep(Duration::from_nanos(1)).await;
                assert_eq!(seen.running.get(), 1);
                for id in 20..28 {
                    call(&mut wire, id, NEVER, |_| {}).await;
                }
                handle.sleep(Duration::from_nanos(1)).await;
                assert_eq!((seen.running.get(), server.ended()), (9, None));
            })
            .unwrap();
    });
}

#[test]
fn answers_that_are_never_finished_are_bounded() {
    on_a_small_stack(|| {
        let limits = Limits { max_held_bytes: 1 << 20, ..Limits::default() };
        let Served { mut driver, mut wire, server, .. } = Served::with(&with_limits(limits));
        driver
            .drive_until(async {
                bootstrapped(&mut wire).await;
                for id in 1..20 {
                    call(&mut wire, id, BLOB_AND_COUNTER, |call| {
                        let params = call.init_params().get_content();
                        params.init_as::<probe::blob_and_counter_params::Builder<'_>>().set_bytes(900_000);
                    })
                    .await;
                    match wire.told().await {
                        Some(Told::Return { outcome: Outcome::Results { .. }, .. }) => assert!(id < 3),
                        Some(Told::Return { outcome: Outcome::Exception(_), .. }) => assert!(id >= 3),
                        other => panic!("{other:?}"),
                    }
                }
                assert_eq!(server.ended(), None);
            })
            .unwrap();
    });
}

#[test]
fn answers_past_twice_the_bytes_end_the_vat() {
    on_a_small_stack(|| {
        let limits = Limits { max_held_bytes: 100_000, ..Limits::default() };
        let Served { mut driver, mut wire, server, seen, handle, .. } = Served::with(&with_limits(limits));
        driver
            .drive_until(async {
                bootstrapped(&mut wire).await;
                call(&mut wire, 1, BLOB_AND_COUNTER, |call| {
                    let params = call.init_params().get_content();
                    params.init_as::<probe::blob_and_counter_params::Builder<'_>>().set_bytes(250_000);
                })
                .await;
                let VatEnd::Exceeded(Exceeded::HeldBytes { held, limit: 100_000 }) =
                    server.wait_for_end().await
                else {
                    panic!("{:?}", server.ended())
                };
                assert!((250_000..260_000).contains(&held), "{held}");
                handle.sleep(Duration::from_secs(10)).await;
            })
            .unwrap();
        assert_eq!(seen.counters.get(), 0);
    });
}

#[test]
fn answers_that_bring_too_many_capabilities_end_the_vat() {
    on_a_small_stack(|| {
        let limits = Limits { max_imports: 3, ..Limits::default() };
        let Scripted { mut driver, probe, mut wire, .. } = Scripted::with(&with_limits(limits));
        driver
            .drive_until(async {
                let answer = never(&probe).promise;
                wire.answer_with_cap(0, 0, Place::Bootstrap).await;
                wire.say(|root| {
                    let mut answer = root.init_return();
                    answer.set_answer_id(1);
                    answer.set_release_param_caps(false);
                    let mut table = answer.init_results().init_cap_table(4);
                    for at in 0..4 {
                        table.reborrow().get(at).set_sender_hosted(at + 1);
                    }
                })
                .await;
                let end = probe.vat().wait_for_end().await;
                assert_eq!(end, Exceeded::Imports { limit: 3 }.into());
                assert!(answer.await.is_err());
            })
            .unwrap();
    });
}

#[test]
fn capabilities_given_out_are_bounded_until_some_come_back() {
    on_a_small_stack(|| {
        let limits = Limits { max_exports: 5, ..Limits::default() };
        let Served { mut driver, mut wire, seen, .. } = Served::with(&with_limits(limits));
        driver
            .drive_until(async {
                bootstrapped(&mut wire).await;
                for id in 1..10 {
                    call(&mut wire, id, COUNTER, |_| {}).await;
                    let told = wire.told().await;
                    if id > 4 {
                        assert_eq!(exception(told).0, id);
                    }
                }
                wire.say(|root| {
                    let mut release = root.init_release();
                    release.set_id(2);
                    release.set_reference_count(1);
                })
                .await;
                call(&mut wire, 20, COUNTER, |_| {}).await;
                let Some(Told::Return { id: 20, outcome: Outcome::Results { .. } }) = wire.told().await
                else {
                    panic!()
                };
            })
            .unwrap();
        // The one that was released lives in the results that were not finished.
        assert_eq!(seen.counters.get(), 5);
    });
}

#[test]
fn capabilities_taken_in_are_bounded_and_those_of_refused_calls_are_given_back() {
    on_a_small_stack(|| {
        let limits = Limits { max_imports: 3, ..Limits::default() };
        let Served { mut driver, mut wire, server, .. } = Served::with(&with_limits(limits));
        driver
            .drive_until(async {
                bootstrapped(&mut wire).await;
                for id in 1..6 {
                    call(&mut wire, id, NEVER, |call| {
                        give(call, |mut cap| cap.set_sender_hosted(100 + id));
                    })
                    .await;
                    if id > 3 {
                        assert_eq!(exception(wire.told().await).0, id);
                        assert_eq!(wire.told().await, Some(Told::Release { id: 100 + id, count: 1 }));
                    }
                }
                // One that is held already is no more.
                call(&mut wire, 9, NEVER, |call| give(call, |mut cap| cap.set_sender_hosted(101))).await;
                call(&mut wire, 10, ECHO, |_| {}).await;
                let Some(Told::Return { id: 10, outcome: Outcome::Results { .. } }) = wire.told().await
                else {
                    panic!()
                };
            })
            .unwrap();
        assert_eq!(server.ended(), None);
    });
}

/// Case 7, for what the guard itself answers.
#[test]
fn refusals_that_nobody_reads_stop_the_reading() {
    on_a_small_stack(|| {
        let options = Options { send_queue_soft_bytes: 20_000, ..Options::default() };
        let Served { mut driver, mut wire, server, handle, .. } = Served::with(&options);
        driver
            .drive_until(async {
                bootstrapped(&mut wire).await;
                let mut sent = 0;
                loop {
                    let resolve = resolve_to_promise(&mut wire, 1, 2);
                    if handle.timeout(Duration::from_millis(1), resolve).await.is_err() {
                        break;
                    }
                    sent += 1;
                }
                // The pipes in both directions, and the soft bound.
                assert!(sent < 6_000, "{sent}");
                assert_eq!(server.ended(), None);
                let end = server.wait_for_end().await;
                assert_eq!(end, VatEnd::SendStalled(Duration::from_secs(30)));
            })
            .unwrap();
    });
}

fn called(root: message::Builder<'_>) -> call::Builder<'_> {
    let mut call = root.init_call();
    call.set_question_id(50);
    call
}

/// Says something to a served vat that ends it.
fn ends_with(expected: VatEnd, say: impl FnOnce(message::Builder<'_>) + Send + 'static) {
    on_a_small_stack(move || {
        let Served { mut driver, mut wire, server, seen, handle, .. } = Served::new();
        driver
            .drive_until(async {
                bootstrapped(&mut wire).await;
                wire.say(say).await;
                assert_eq!(server.wait_for_end().await, expected);
                let Some(Told::Abort { reason }) = wire.told().await else { panic!("no Abort") };
                assert!(reason.contains(&expected.to_string()), "{reason}");
                handle.sleep(Duration::from_nanos(1)).await;
                assert_eq!(seen.probes.get(), 0);
            })
            .unwrap();
    });
}

#[test]
fn a_call_on_a_capability_that_is_not_held_ends_the_vat() {
    ends_with(Violation::UnknownExport(9).into(), |root| {
        called(root).init_target().set_imported_cap(9);
    });
}

#[test]
fn a_release_of_a_capability_that_is_not_held_ends_the_vat() {
    ends_with(Violation::UnknownExport(9).into(), |root| root.init_release().set_id(9));
}

#[test]
fn a_release_of_more_than_is_held_ends_the_vat() {
    ends_with(Violation::ReleasedTooOften { id: 0, count: 2, held: 1 }.into(), |root| {
        root.init_release().set_reference_count(2);
    });
}

#[test]
fn an_answer_that_nobody_asked_for_ends_the_vat() {
    ends_with(Violation::UnaskedAnswer(4).into(), |root| root.init_return().set_answer_id(4));
}

#[test]
fn an_embargo_that_nobody_imposed_cannot_be_lifted() {
    ends_with(Violation::UnknownEmbargo(3).into(), |root| {
        root.init_disembargo().init_context().set_receiver_loopback(3);
    });
}

#[test]
fn a_disembargo_for_a_capability_that_is_not_held_ends_the_vat() {
    ends_with(Violation::UnknownExport(8).into(), |root| {
        let mut disembargo = root.init_disembargo();
        disembargo.reborrow().init_context().set_sender_loopback(0);
        disembargo.init_target().set_imported_cap(8);
    });
}

#[test]
fn a_disembargo_for_what_does_not_lead_back_to_the_peer_ends_the_vat() {
    on_a_small_stack(|| {
        let to_result = |mut target: message_target::Builder<'_>| {
            target.reborrow().init_promised_answer().set_question_id(77);
        };
        let targets = [|mut target: message_target::Builder<'_>| target.set_imported_cap(0), to_result];
        for set_target in targets {
            let Served { mut driver, mut wire, server, seen, handle, .. } = Served::new();
            driver
                .drive_until(async {
                    bootstrapped(&mut wire).await;
                    wire.say(|root| {
                        let mut disembargo = root.init_disembargo();
                        disembargo.reborrow().init_context().set_sender_loopback(0);
                        set_target(disembargo.init_target());
                    })
                    .await;
                    assert_eq!(server.wait_for_end().await, Violation::DisembargoAstray.into());
                    // The words are capnp-rpc's: it alone knows where a capability leads.
                    let Some(Told::Abort { reason }) = wire.told().await else { panic!("no Abort") };
                    assert!(reason.contains("does not point back to the sender"), "{reason}");
                    handle.sleep(Duration::from_nanos(1)).await;
                    assert_eq!(seen.probes.get(), 0);
                })
                .unwrap();
        }
    });
}

#[test]
fn a_disembargo_of_three_parties_ends_the_vat() {
    ends_with(Violation::ThreeParties.into(), |root| root.init_disembargo().init_context().set_provide(0));
}

#[test]
fn a_capability_with_a_third_party_ends_the_vat() {
    ends_with(Violation::ThreeParties.into(), |root| {
        called(root).init_params().init_cap_table(1).get(0).init_third_party_hosted();
    });
}

#[test]
fn a_message_that_every_peer_implements_cannot_be_unimplemented() {
    ends_with(Violation::EssentialUnimplemented.into(), |root| {
        root.init_unimplemented().init_call();
    });
}

#[test]
fn too_many_capabilities_in_one_message_end_the_vat() {
    ends_with(Violation::TooManyCapabilities { count: 1_025, limit: 1_024 }.into(), |root| {
        called(root).init_params().init_cap_table(1_025);
    });
}

#[test]
fn a_way_into_a_result_that_is_too_long_ends_the_vat() {
    ends_with(Violation::TransformTooLong { steps: 65, limit: 64 }.into(), |root| {
        called(root).init_target().init_promised_answer().init_transform(65);
    });
}

#[test]
fn a_message_that_is_nested_too_deeply_ends_the_vat() {
    ends_with(Violation::Malformed(Malformed::TooDeep).into(), |root| {
        let mut message = root;
        for _ in 0..70 {
            message = message.init_unimplemented();
        }
    });
}

/// A message by its words, one segment.
fn framed(words: &[u64]) -> Vec<u8> {
    let mut bytes = [0_u32.to_le_bytes(), (words.len() as u32).to_le_bytes()].concat();
    bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    bytes
}

#[test]
fn a_table_of_half_a_billion_capabilities_in_four_words_ends_the_vat() {
    // Message {call} → Call → params → Payload {capTable: 2^29 empty structs}.
    let words = [
        0x0001_0001_0000_0000, // the root: one word, one pointer
        2,                     // a Call
        0x0003_0003_0000_0000, // Call: three words, three pointers
        0,
        0,
        0,
        0,                     // target
        0x0002_0000_0000_0004, // params: no words, two pointers, behind the next pointer
        0,
        0,                     // content
        0x0000_0007_0000_0001, // capTable: a list of structs, no words
        0x0000_0000_7fff_fffc, // of which there are 2^29 - 1, each of no size
    ];
    on_a_small_stack(move || {
        let Served { mut driver, mut wire, server, .. } = Served::new();
        driver
            .drive_until(async {
                bootstrapped(&mut wire).await;
                wire.say_bytes(&framed(&words)).await;
                let end = Violation::Malformed(Malformed::TooManyEmptyElements).into();
                assert_eq!(server.wait_for_end().await, end);
            })
            .unwrap();
    });
}

#[test]
fn two_pointers_to_one_text_end_the_vat() {
    on_a_small_stack(|| {
        let Served { mut driver, mut wire, server, .. } = Served::new();
        driver
            .drive_until(async {
                bootstrapped(&mut wire).await;
                let mut builder = capnp::message::Builder::new_default();
                let mut call = called(builder.init_root());
                call.reborrow().init_target().set_imported_cap(0);
                let mut texts = call.init_params().get_content().initn_as::<capnp::text_list::Builder<'_>>(2);
                texts.set(0, "text");
                texts.set(1, "more");
                let mut bytes = capnp::serialize::write_message_to_words(&builder);
                // The two pointers are alike, as each leads as far as the other; the second now leads to the first text.
                let words = bytes.as_chunks_mut::<8>().0;
                let second =
                    (1..words.len()).find(|at| words[*at] == words[*at - 1] && words[*at][0] & 3 == 1);
                words[second.unwrap()][0] -= 1 << 2;
                wire.say_bytes(&bytes).await;
                assert_eq!(server.wait_for_end().await, Violation::Malformed(Malformed::Overlap).into());
            })
            .unwrap();
    });
}

#[test]
fn transforms_that_lead_nowhere_fail_the_call_alone() {
    on_a_small_stack(|| {
        let Served { mut driver, mut wire, server, .. } = Served::new();
        driver
            .drive_until(async {
                bootstrapped(&mut wire).await;
                call(&mut wire, 1, COUNTER, |_| {}).await;
                assert!(matches!(wire.told().await, Some(Told::Return { id: 1, .. })));
                for (id, (of, steps)) in
                    (2..).zip([(1, vec![65_535]), (1, vec![0, 7]), (0, vec![0]), (77, vec![0])])
                {
                    wire.say(|root| {
                        let mut call = root.init_call();
                        call.set_question_id(id);
                        let mut target = call.reborrow().init_target().init_promised_answer();
                        target.set_question_id(of);
                        let mut transform = target.init_transform(steps.len() as u32);
                        for (at, step) in (0..).zip(steps) {
                            transform.reborrow().get(at).set_get_pointer_field(step);
                        }
                    })
                    .await;
                    assert_eq!(exception(wire.told().await).0, id);
                }
            })
            .unwrap();
        assert_eq!(server.ended(), None);
    });
}

#[test]
fn messages_of_three_parties_come_back_as_unimplemented() {
    on_a_small_stack(|| {
        let Served { mut driver, mut wire, server, .. } = Served::new();
        driver
            .drive_until(async {
                wire.say(|root| root.init_provide().set_question_id(4)).await;
                assert_eq!(wire.told().await, Some(Told::Unimplemented));
                wire.say(|root| root.init_accept().set_question_id(4)).await;
                assert_eq!(wire.told().await, Some(Told::Unimplemented));
                wire.say(|root| root.init_join().set_question_id(4)).await;
                assert_eq!(wire.told().await, Some(Told::Unimplemented));
                bootstrapped(&mut wire).await;
            })
            .unwrap();
        assert_eq!(server.ended(), None);
    });
}

/// Answers that would leave capnp-rpc with a caller that waits for ever, or with a capability that waits for itself.
#[test]
fn answers_that_point_elsewhere_fail_their_call_alone() {
    use capnp_rpc::rpc_capnp::return_;
    let answers: [fn(return_::Builder<'_>); 5] = [
        |mut answer| answer.set_canceled(()),
        |mut answer| answer.set_results_sent_elsewhere(()),
        |mut answer| answer.set_take_from_other_question(0),
        |answer| {
            answer.init_accept_from_third_party();
        },
        |answer| {
            let mut results = answer.init_results();
            let cap = results.reborrow().init_cap_table(1).get(0);
            // The result of a call that the peer makes and that cannot be answered before this one.
            cap.init_receiver_answer().set_question_id(40);
        },
    ];
    for build in answers {
        on_a_small_stack(move || {
            let Served { mut driver, mut wire, server, .. } = Served::new();
            driver
                .drive_until(async {
                    bootstrapped(&mut wire).await;
                    call(&mut wire, 40, NEVER, |_| {}).await;
                    call(&mut wire, 1, COUNT_TWICE, |call| give(call, |mut cap| cap.set_sender_hosted(5)))
                        .await;
                    let Some(Told::Call { id, .. }) = wire.told().await else { panic!("no call") };
                    wire.say(|root| {
                        let mut answer = root.init_return();
                        answer.set_answer_id(id);
                        answer.set_release_param_caps(false);
                        build(answer);
                    })
                    .await;
                    loop {
                        match wire.told().await {
                            Some(Told::Finish { .. } | Told::Release { .. }) => {}
                            told => break assert_eq!(exception(told).0, 1),
                        }
                    }
                })
                .unwrap();
            assert_eq!(server.ended(), None);
        });
    }
}

#[test]
fn capabilities_of_a_call_come_back_with_its_answer_where_that_says_so() {
    on_a_small_stack(|| {
        let Scripted { mut driver, probe, mut wire, handle, .. } = Scripted::new();
        let seen = std::rc::Rc::default();
        driver
            .drive_until(async {
                let mut request = probe.never_request();
                request.get().set_held(common::new_counter(&seen));
                let answer = request.send().promise;
                assert!(matches!(wire.told().await, Some(Told::Bootstrap { id: 0 })));
                assert!(matches!(wire.told().await, Some(Told::Call { id: 1, .. })));
                wire.say(|root| {
                    let mut answer = root.init_return();
                    answer.set_answer_id(1);
                    answer.set_release_param_caps(true);
                    answer.init_results();
                })
                .await;
                let _response = answer.await.unwrap();
                handle.sleep(Duration::from_nanos(1)).await;
                assert_eq!(seen.counters.get(), 0);
                // It holds nothing any more.
                wire.say(|root| root.init_release().set_reference_count(1)).await;
                let end = probe.vat().wait_for_end().await;
                assert_eq!(end, Violation::UnknownExport(0).into());
            })
            .unwrap();
    });
}

/// A peer that answers with a capability of ours imposes an embargo on us, and has to lift it.
#[test]
fn an_embargo_that_is_never_lifted_ends_the_vat() {
    on_a_small_stack(|| {
        let Scripted { mut driver, probe, mut wire, .. } = Scripted::new();
        let seen = std::rc::Rc::default();
        driver
            .drive_until(async {
                let mut request = probe.never_request();
                request.get().set_held(common::new_counter(&seen));
                let call = request.send();
                let promised = call.pipeline.get_counter();
                let pipelined = promised.add_request().send().promise;
                for _ in 0..3 {
                    assert!(matches!(wire.told().await, Some(Told::Bootstrap { .. } | Told::Call { .. })));
                }
                wire.answer_with_hosted(1, 0).await;
                let _response = call.promise.await.unwrap();
                let Some(Told::Disembargo { .. }) = wire.told().await else { panic!("no embargo") };
                let waiting = promised.add_request().send().promise;
                let end = probe.vat().wait_for_end().await;
                assert_eq!(end, Exceeded::EmbargoStalled(Duration::from_secs(30)).into());
                assert!(waiting.await.is_err() && pipelined.await.is_err());
            })
            .unwrap();
    });
}

#[test]
fn an_exception_of_great_length_is_cut() {
    let Scripted { mut driver, probe, mut wire, .. } = Scripted::new();
    driver
        .drive_until(async {
            let answer = never(&probe).promise;
            wire.answer_with_cap(0, 0, Place::Bootstrap).await;
            wire.say(|root| {
                let mut answer = root.init_return();
                answer.set_answer_id(1);
                let mut exception = answer.init_exception();
                exception.set_type(capnp_rpc::rpc_capnp::exception::Type::Overloaded);
                exception.set_reason("x".repeat(100_000));
            })
            .await;
            let error = answer.await.err().unwrap();
            assert_eq!(error.kind, ErrorKind::Overloaded);
            assert!(error.extra.len() < 1_100, "{} bytes", error.extra.len());
        })
        .unwrap();
}

/// What it costs to be told so is a few words.
#[test]
fn one_vat_that_ends_by_a_violation_leaves_the_others_alone() {
    let mut pair = Pair::new();
    let (near, far) = vatmux_driver::pipe(common::PIPE_BYTES);
    let victim = common::serve(far, &pair.seen, &pair.handle, &Options::default());
    let mut wire = Wire::new(near);
    pair.driver
        .drive_until(async {
            bootstrapped(&mut wire).await;
            wire.say(|root| root.init_release().set_id(9)).await;
            assert_eq!(victim.wait_for_end().await, Violation::UnknownExport(9).into());
            assert_eq!(echo(&pair.probe, 5).await.unwrap(), 5);
        })
        .unwrap();
    assert_eq!((pair.server.ended(), pair.probe.vat().ended()), (None, None));
}

#[test]
fn the_page_has_the_defaults_of_the_code() {
    let page = include_str!("../../../docs/spec/rpc-limits.md");
    let options = Options::default();
    let limits = &options.limits;
    let defaults = [
        ("max_message_bytes", options.max_message_bytes),
        ("max_segments", options.max_segments),
        ("max_calls", limits.max_calls),
        ("max_held_bytes", limits.max_held_bytes),
        ("max_peer_calls", limits.max_peer_calls),
        ("max_peer_held_bytes", limits.max_peer_held_bytes),
        ("max_bootstraps", limits.max_bootstraps),
        ("max_pipeline_depth", limits.max_pipeline_depth.into()),
        ("max_capabilities_per_message", limits.max_capabilities_per_message as usize),
        ("max_exports", limits.max_exports),
        ("max_imports", limits.max_imports),
        ("max_transform", limits.max_transform as usize),
        ("max_embargoes", limits.max_embargoes),
        ("max_canceled_calls", options.max_canceled_calls),
        ("max_expired_calls", options.max_expired_calls),
        ("send_queue_soft_bytes", options.send_queue_soft_bytes),
        ("send_queue_hard_bytes", options.send_queue_hard_bytes),
    ];
    for (name, default) in defaults {
        let row = page.lines().find(|line| line.starts_with(&format!("| `{name}` | ")));
        let stated =
            row.and_then(|row| row.split(" | ").nth(1)).unwrap_or_else(|| panic!("no row for {name}"));
        assert_eq!(stated.replace(',', ""), default.to_string(), "{name}");
    }
    assert_eq!(options.served_call_deadline, Duration::from_mins(10));
    assert!(page.contains("\n| `served_call_deadline` | 10 min | "));
}
