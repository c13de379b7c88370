//! Every call ends: at its deadline at the latest, at both ends, and without confusing the calls after it.

mod common;

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use capnp::Error;
use common::wire::{Place, Target, Told, Wire};
use common::{Pair, Scripted, add, counter, echo, never, new_counter, probe};
use futures::future::{join, join_all};
use vatmux_driver::Handle;
use vatmux_rpc::{Options, VatEnd, Violation, deadline};

const DEADLINE: Duration = Duration::from_secs(30);

#[test]
fn a_call_fails_at_its_deadline_and_stops_at_the_server() {
    let mut pair = Pair::new();
    let call = never(&pair.probe);
    pair.settle();
    assert_eq!(pair.seen.running.get(), 1);
    let error = pair.run(call.promise).err().unwrap();
    assert_eq!(pair.elapsed(), DEADLINE);
    assert!(deadline::is_exceeded(&error), "{error}");
    assert!(error.extra.contains("no answer within 30s to method 1 of interface 0x"), "{error}");
    assert!(error.extra.ends_with("of service \"probe\""), "{error}");
    pair.settle();
    assert_eq!(pair.seen.running.get(), 0);
}

#[test]
fn a_caller_may_give_a_call_more_or_less_time() {
    let mut pair = Pair::new();
    let short = deadline::with(Duration::from_millis(5), || never(&pair.probe));
    let (inner, outer) = deadline::with(Duration::from_mins(1), || {
        let inner = deadline::with(Duration::from_secs(1), || never(&pair.probe));
        (inner, never(&pair.probe))
    });
    let usual = never(&pair.probe);
    for (call, seconds) in [(short, 0.005), (inner, 1.0), (usual, 30.0), (outer, 60.0)] {
        assert!(deadline::is_exceeded(&pair.run(call.promise).err().unwrap()));
        assert_eq!(pair.elapsed(), Duration::from_secs_f64(seconds));
    }
}

#[test]
fn a_call_on_the_result_of_a_call_has_a_deadline_of_its_own() {
    let mut pair = Pair::new();
    let first = deadline::with(Duration::from_mins(1), || never(&pair.probe));
    let error = pair.run(add(&first.pipeline.get_counter(), 1)).unwrap_err();
    assert_eq!(pair.elapsed(), DEADLINE);
    assert!(deadline::is_exceeded(&error));
    // And when the first one fails, what was built on it fails as well.
    let error = pair.run(add(&first.pipeline.get_counter(), 1)).unwrap_err();
    assert_eq!(pair.elapsed(), DEADLINE * 2);
    assert!(deadline::is_exceeded(&error));
}

#[test]
fn a_streaming_call_has_a_deadline() {
    let mut pair = Pair::with(&Options { stream_window_bytes: 1, ..Options::default() });
    pair.seen.close_gate();
    let probe = pair.probe.clone();
    let error = pair.run(async move {
        loop {
            let mut request = probe.write_request();
            request.get().set_bytes(b"bytes");
            if let Err(error) = request.send().await {
                return error;
            }
        }
    });
    assert_eq!(pair.elapsed(), DEADLINE);
    assert!(deadline::is_exceeded(&error), "{error}");
}

#[test]
fn a_peer_that_says_nothing_at_all_costs_the_caller_its_deadline() {
    let mut scripted = Scripted::new();
    let error = scripted.driver.drive_until(echo(&scripted.probe, 1)).unwrap().unwrap_err();
    assert!(deadline::is_exceeded(&error), "{error}");
    assert_eq!(vatmux_driver::Clock::now(&scripted.clock), vatmux_driver::Instant::ORIGIN + DEADLINE);
}

#[test]
fn a_dropped_call_has_no_deadline_any_more() {
    let mut pair = Pair::new();
    drop(deadline::with(Duration::from_secs(10), || never(&pair.probe)));
    pair.run(pair.handle.sleep(Duration::from_secs(100)));
    assert_eq!(pair.run(echo(&pair.probe.clone(), 1)).unwrap(), 1);
}

/// Answers the request for the bootstrap capability, which has id 0, with export 0. capnp-rpc keeps calling the
/// answer instead, and releases the export.
async fn bootstrapped(wire: &mut Wire) {
    assert_eq!(wire.told().await, Some(Told::Bootstrap { id: 0 }));
    wire.answer_with_cap(0, 0, Place::Bootstrap).await;
    assert_eq!(wire.told().await, Some(Told::Release { id: 0, count: 1 }));
}

fn is_call(told: Option<Told>) -> (u32, Target, Vec<u32>) {
    match told {
        Some(Told::Call { id, target, answers_passed, .. }) => (id, target, answers_passed),
        other => panic!("{other:?} is no call"),
    }
}

#[test]
fn an_id_is_not_used_again_while_its_answer_is_owed() {
    let Scripted { mut driver, probe, mut wire, handle, .. } = Scripted::new();
    driver
        .drive_until(async {
            bootstrapped(&mut wire).await;
            let late = never(&probe);
            let (late_id, _, _) = is_call(wire.told().await);
            assert!(deadline::is_exceeded(&late.promise.await.err().unwrap()));
            drop(late.pipeline);
            assert_eq!(wire.told().await, Some(Told::Finish { id: late_id, release: true }));

            // capnp-rpc uses its id for the next call; the peer must see another one.
            let next = probe.counter_request().send();
            let (next_id, _, _) = is_call(wire.told().await);
            assert_ne!(next_id, late_id);

            // So must whatever is built on that call: a call to its result, and its result as an argument.
            let counter = next.pipeline.get_counter();
            let _on_result = counter.add_request().send();
            let (on_result_id, target, _) = is_call(wire.told().await);
            assert_eq!(target, Target::Answer(next_id));
            let mut passing = probe.count_twice_request();
            passing.get().set_counter(counter);
            let _passing = passing.send();
            assert_eq!(is_call(wire.told().await).2, [next_id]);

            // The late answer, with a capability in it, concerns nobody; the other one arrives.
            wire.answer_with_cap(late_id, 77, Place::Field).await;
            wire.answer_with_cap(next_id, 5, Place::Field).await;
            let response = next.promise.await.unwrap();
            let counter = response.get().unwrap().get_counter().unwrap();
            let _add = counter.add_request().send();
            assert_eq!(is_call(wire.told().await).1, Target::Cap(5));
            drop(response);
            drop(next.pipeline);
            assert_eq!(wire.told().await, Some(Told::Finish { id: next_id, release: false }));

            // Its answer seen, the id is as good as any other.
            let _again = never(&probe);
            assert_eq!(is_call(wire.told().await).0, late_id);
            wire.answer_empty(on_result_id).await;
            assert!(handle.timeout(Duration::from_secs(1), wire.told()).await.is_err());
        })
        .unwrap();
}

#[test]
fn a_vat_whose_peer_owes_too_many_answers_ends() {
    let options = Options { max_expired_calls: 3, ..Options::default() };
    let Scripted { mut driver, probe, mut wire, .. } = Scripted::with(&options);
    let vat = probe.vat().clone();
    driver
        .drive_until(async {
            bootstrapped(&mut wire).await;
            for _ in 0..3 {
                assert!(deadline::is_exceeded(&never(&probe).promise.await.err().unwrap()));
            }
            assert_eq!(vat.ended(), None);
            assert!(deadline::is_exceeded(&never(&probe).promise.await.err().unwrap()));
            assert_eq!(vat.wait_for_end().await, VatEnd::TooManyExpired { limit: 3 });
            let error = echo(&probe, 1).await.unwrap_err();
            assert!(error.extra.contains("owes the answers to 3 calls"), "{error}");
        })
        .unwrap();
}

#[test]
fn a_call_that_the_peer_claims_to_have_canceled_fails() {
    let Scripted { mut driver, probe, mut wire, clock, .. } = Scripted::new();
    driver
        .drive_until(async {
            bootstrapped(&mut wire).await;
            let call = never(&probe);
            let (id, _, _) = is_call(wire.told().await);
            wire.answer_canceled(id).await;
            let error = call.promise.await.err().unwrap();
            assert!(error.extra.contains("the peer canceled the call"), "{error}");
        })
        .unwrap();
    assert_eq!(vatmux_driver::Clock::now(&clock), vatmux_driver::Instant::ORIGIN);
}

#[test]
fn an_answer_that_nobody_asked_for_ends_the_vat_and_says_so() {
    for answer_twice in [false, true] {
        let Scripted { mut driver, probe, mut wire, .. } = Scripted::new();
        let vat = probe.vat().clone();
        driver
            .drive_until(async {
                bootstrapped(&mut wire).await;
                if answer_twice {
                    let call = never(&probe);
                    let (id, _, _) = is_call(wire.told().await);
                    wire.answer_empty(id).await;
                    let _response = call.promise.await.unwrap();
                    wire.answer_empty(id).await;
                } else {
                    wire.answer_empty(9).await;
                }
                let end = vat.wait_for_end().await;
                assert!(matches!(end, VatEnd::Violation(Violation::UnaskedAnswer(_))), "{end}");
                let Some(Told::Abort { reason }) = wire.told().await else { panic!() };
                assert!(reason.contains("an answer to question"), "{reason}");
                assert_eq!(wire.told().await, None);
            })
            .unwrap();
    }
}

/// A generator of numbers that is the same on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// One call that takes `takes`, of which it is given `given`; what it brings back is used.
async fn timed(probe: probe::Client, seen: Rc<common::Seen>, takes: u64, given: u64) -> Result<bool, Error> {
    let mut request = probe.after_request();
    request.get().set_millis(takes);
    let call = deadline::with(Duration::from_millis(given), || request.send());
    // Built on a promise that may fail, in both ways in which a promise is named on the wire.
    let counter = call.pipeline.get_counter();
    let mut passing = probe.count_twice_request();
    passing.get().set_counter(counter.clone());
    let (added, passed) = join(add(&counter, 3), passing.send().promise).await;
    let mut passing_own = probe.count_twice_request();
    passing_own.get().set_counter(new_counter(&seen));
    let total = passing_own.send().promise.await?.get()?.get_total();
    assert_eq!(total, 2, "calls that do not wait are not harmed");
    match call.promise.await {
        Ok(response) => {
            assert!(takes < given);
            let total = add(&response.get()?.get_counter()?, 10).await?;
            assert_eq!(total, 15, "3, twice 1, and 10");
            assert!(added.is_ok() && passed.is_ok());
            Ok(true)
        }
        Err(error) => {
            assert!(takes > given && deadline::is_exceeded(&error), "{takes} {given}: {error}");
            // A server that has begun with calls on the result goes on with the call itself: either may come about.
            drop((added, passed));
            Ok(false)
        }
    }
}

#[test]
fn calls_that_expire_and_calls_that_do_not_never_mix_up_their_answers() {
    for seed in 0..6 {
        let mut pair = Pair::new();
        let mut random = Random(seed);
        let (mut in_time, mut expired) = (0, 0);
        for _ in 0..20 {
            let calls: Vec<_> = (0..=random.below(20))
                .map(|_| {
                    let given = random.below(100) + 1;
                    let takes = if random.below(2) == 0 { given - 1 } else { given + 1 + random.below(50) };
                    let wait = random.below(30);
                    let (handle, seen) = (pair.handle.clone(), pair.seen.clone());
                    let probe = pair.probe.clone();
                    async move {
                        handle.sleep(Duration::from_millis(wait)).await;
                        timed(probe, seen, takes, given).await
                    }
                })
                .collect();
            for outcome in pair.run(join_all(calls)) {
                if outcome.unwrap() { in_time += 1 } else { expired += 1 }
            }
        }
        assert!(in_time > 50 && expired > 50);
        assert_eq!(pair.probe.vat().ended(), None);
        pair.run(pair.handle.sleep(Duration::from_secs(1)));
        assert_eq!(pair.seen.counters.get(), 0, "seed {seed}: nothing is left over");
    }
}

/// A peer that answers in its own time, and checks the rules for ids from its side.
async fn strict_peer(mut wire: Wire, handle: Handle, mut random: Random) {
    // Asked and not yet answered; those not yet finished.
    let (mut owed, mut unfinished) = (Vec::new(), BTreeSet::new());
    loop {
        match handle.timeout(Duration::from_millis(random.below(20) + 1), wire.told()).await {
            Ok(None | Some(Told::Abort { .. })) => return,
            Ok(Some(Told::Bootstrap { id })) => {
                unfinished.insert(id);
                wire.answer_with_cap(id, 0, Place::Bootstrap).await;
            }
            Ok(Some(Told::Call { id, target, answers_passed, .. })) => {
                assert!(!owed.contains(&id), "{id} is used again while its answer is owed");
                assert!(unfinished.insert(id), "{id} is used again before it was finished");
                for id in answers_passed.into_iter().chain(match target {
                    Target::Answer(id) => Some(id),
                    Target::Cap(_) => None,
                }) {
                    assert!(unfinished.contains(&id), "{id} is referred to and not open");
                }
                owed.push(id);
            }
            Ok(Some(Told::Finish { id, .. })) => {
                assert!(unfinished.remove(&id), "{id} is finished and not open");
            }
            Ok(Some(Told::Release { .. })) => {}
            Ok(Some(other)) => panic!("{other:?}"),
            Err(_) if owed.is_empty() => {}
            Err(_) => {
                let id = owed.swap_remove(random.below(owed.len() as u64) as usize);
                if random.below(3) == 0 {
                    wire.answer_canceled(id).await;
                } else {
                    wire.answer_with_cap(id, id, Place::Field).await;
                }
            }
        }
    }
}

#[test]
fn a_strict_peer_never_sees_an_id_used_wrongly() {
    for seed in 0..12 {
        let Scripted { mut driver, probe, wire, handle, .. } = Scripted::new();
        handle.spawn(strict_peer(wire, handle.clone(), Random(seed)));
        let mut random = Random(seed + 1_000);
        driver
            .drive_until(async {
                let mut kept: Vec<counter::Client> = Vec::new();
                for _ in 0..200 {
                    let patience = Duration::from_millis(random.below(60) + 1);
                    deadline::with(patience, || {
                        let call = probe.counter_request().send();
                        match random.below(4) {
                            0 => kept.push(call.pipeline.get_counter()),
                            1 => {
                                let on_result = call.pipeline.get_counter().add_request().send();
                                handle.spawn(async move { drop(on_result.promise.await) });
                            }
                            2 => {
                                let mut passing = probe.count_twice_request();
                                passing.get().set_counter(call.pipeline.get_counter());
                                let passing = passing.send();
                                handle.spawn(async move { drop(passing.promise.await) });
                            }
                            _ => drop(call.pipeline),
                        }
                        if random.below(4) > 0 {
                            handle.spawn(async move { drop(call.promise.await) });
                        }
                    });
                    if let Some(counter) = kept.pop_if(|_| random.below(2) == 0) {
                        let add = counter.add_request().send();
                        handle.spawn(async move { drop(add.promise.await) });
                    }
                    handle.sleep(Duration::from_millis(random.below(15))).await;
                }
                handle.sleep(Duration::from_mins(1)).await;
                assert_eq!(probe.vat().ended(), None, "seed {seed}");
            })
            .unwrap();
    }
}
