//! What a server knows of a call, and how long it is served, whoever calls.

mod common;

use std::time::Duration;

use capnp::ErrorKind;
use capnp::traits::HasTypeId;
use common::wire::{Outcome, Told, Wire};
use common::{Pair, Served, add, counter, echo, never, new_counter, probe};
use futures::future::join_all;
use vatmux_driver::{Clock, Instant};
use vatmux_rpc::{CallContext, Deadlines, Options, deadline};

const NEVER: u16 = 1;
const COUNTER: u16 = 3;
const BLOB: u16 = 7;

const PATIENCE: Duration = Duration::from_secs(10);

/// Longer than anything is served here.
const HOUR: Duration = Duration::from_hours(1);

fn served_for(patience: Duration) -> Options {
    Options { served_call_deadline: patience, ..Options::default() }
}

fn contexts(pair: &Pair) -> Vec<Option<CallContext>> {
    pair.seen.contexts.take()
}

#[test]
fn a_method_is_told_what_was_called_and_how_long_it_has() {
    let table = [((probe::Client::TYPE_ID, 0), Duration::from_secs(2))];
    let options = Options { deadlines: Deadlines::from_iter(table), ..served_for(PATIENCE) };
    let mut pair = Pair::with(&options);
    pair.run(pair.handle.sleep(Duration::from_secs(5)));
    pair.run(echo(&pair.probe.clone(), 1)).unwrap();
    let arrived = pair.clock.now();
    let other = never(&pair.probe).promise;
    let held = pair.run(other).err().unwrap();
    assert!(deadline::is_exceeded(&held), "{held}");
    let [Some(named), Some(other)] = &contexts(&pair)[..] else { panic!() };
    assert_eq!((named.interface(), named.method(), named.service()), (probe::Client::TYPE_ID, 0, "probe"));
    assert_eq!((named.arrived(), named.deadline()), (arrived, arrived + Duration::from_secs(2)));
    assert_eq!(named.remaining(arrived + Duration::from_millis(500)), Duration::from_millis(1_500));
    assert_eq!(named.remaining(arrived + HOUR), Duration::ZERO);
    assert_eq!((other.method(), other.deadline()), (NEVER, arrived + PATIENCE), "has the default");
    assert_eq!(named.peer(), None, "there is no session");
}

#[test]
fn a_call_that_waited_for_another_has_a_context_of_its_own() {
    let mut pair = Pair::with(&served_for(PATIENCE));
    let mut request = pair.probe.after_request();
    request.get().set_millis(3_000);
    let after = request.send();
    let started = pair.clock.now();
    // It arrives with the first, and runs when that is done; in between others are called.
    let counter = after.pipeline.get_counter();
    let waiting = add(&counter, 1);
    let (probe, handle) = (pair.probe.clone(), pair.handle.clone());
    let echoes = async move {
        for number in 0..30 {
            echo(&probe, number).await.unwrap();
            handle.sleep(Duration::from_millis(100)).await;
        }
    };
    let (total, ()) = pair.run(futures::future::join(waiting, echoes));
    assert_eq!(total.unwrap(), 1);
    let counted: Vec<_> = contexts(&pair)
        .into_iter()
        .map(|context| context.expect("it came through the vat"))
        .filter(|context| context.interface() == counter::Client::TYPE_ID)
        .collect();
    let [counted] = &counted[..] else { panic!("{counted:?}") };
    assert_eq!((counted.arrived(), counted.deadline()), (started, started + PATIENCE));
}

#[test]
fn a_call_back_to_the_caller_has_a_context_and_one_inside_the_process_has_none() {
    let mut pair = Pair::new();
    let own = new_counter(&pair.seen);
    assert_eq!(pair.run(add(&own, 1)).unwrap(), 1);
    assert!(matches!(contexts(&pair)[..], [None]), "no vat is between");
    let mut request = pair.probe.count_twice_request();
    request.get().set_counter(own);
    pair.run(request.send().promise).unwrap();
    let back = contexts(&pair);
    assert_eq!(back.len(), 2);
    assert!(back.iter().flatten().all(|context| context.service() == "probe" && context.method() == 0));
    assert_eq!(back.iter().flatten().count(), 2);
}

#[test]
fn a_call_is_served_until_its_deadline_however_long_its_caller_waits() {
    let mut pair = Pair::with(&served_for(PATIENCE));
    let call = deadline::with(HOUR, || never(&pair.probe));
    let on_result = deadline::with(HOUR, || call.pipeline.get_counter().add_request().send());
    pair.settle();
    assert_eq!(pair.seen.running.get(), 1);
    let error = pair.run(call.promise).err().unwrap();
    assert_eq!(pair.elapsed(), PATIENCE);
    assert!(deadline::is_exceeded(&error), "{error}");
    assert!(error.extra.contains("no answer within 10s to method 1 of interface 0x"), "{error}");
    assert!(error.extra.ends_with("of service \"probe\""), "{error}");
    let error = pair.run(on_result.promise).err().unwrap();
    assert_eq!(pair.elapsed(), PATIENCE, "what waited for it does not wait longer");
    assert!(matches!(error.kind, ErrorKind::Failed | ErrorKind::Overloaded), "{error}");
    pair.settle();
    assert_eq!(pair.seen.running.get(), 0, "the method was canceled");
    assert_eq!(pair.run(echo(&pair.probe.clone(), 5)).unwrap(), 5, "the vat lives on");
}

#[test]
fn a_deadline_of_the_schema_is_the_callers_and_the_callees() {
    let table = Deadlines::from_iter([((probe::Client::TYPE_ID, NEVER), PATIENCE)]);
    let mut pair = Pair::with(&Options { deadlines: table, ..Options::default() });
    let usual = never(&pair.probe);
    let (hasty, stubborn) = (
        deadline::with(Duration::from_secs(1), || never(&pair.probe)),
        deadline::with(HOUR, || never(&pair.probe)),
    );
    for (call, seconds) in [(hasty, 1), (usual, 10), (stubborn, 10)] {
        assert!(deadline::is_exceeded(&pair.run(call.promise).err().unwrap()));
        assert_eq!(pair.elapsed(), Duration::from_secs(seconds));
    }
}

#[test]
fn calls_that_ran_out_of_time_cost_no_id_and_no_other_call() {
    let mut pair = Pair::with(&served_for(PATIENCE));
    let (probe, handle) = (pair.probe.clone(), pair.handle.clone());
    let rounds = async move {
        for round in 0..50_u64 {
            let late: Vec<_> = (0..8).map(|_| deadline::with(HOUR, || never(&probe)).promise).collect();
            handle.sleep(PATIENCE / 2).await;
            assert_eq!(echo(&probe, round).await.unwrap(), round);
            for error in join_all(late).await {
                assert!(deadline::is_exceeded(&error.err().unwrap()));
            }
            let counter = probe.counter_request().send().pipeline.get_counter();
            assert_eq!(add(&counter, round).await.unwrap(), round);
        }
    };
    pair.run(rounds);
    pair.settle();
    assert_eq!((pair.elapsed().as_secs(), pair.seen.running.get()), (500, 0));
    assert_eq!(pair.seen.counters.get(), 0);
}

async fn call(wire: &mut Wire, id: u32, on: Option<u32>, method: u16, bytes: u64) {
    wire.say(|root| {
        let mut call = root.init_call();
        call.set_question_id(id);
        call.set_interface_id(probe::Client::TYPE_ID);
        call.set_method_id(method);
        let target = call.reborrow().init_target();
        match on {
            None => target.init_promised_answer().set_question_id(0),
            Some(on) => target.init_promised_answer().set_question_id(on),
        }
        let content = call.init_params().get_content();
        if method == BLOB {
            content.init_as::<probe::blob_params::Builder<'_>>().set_bytes(bytes);
        }
    })
    .await;
}

async fn bootstrapped(wire: &mut Wire) {
    wire.say(|root| root.init_bootstrap().set_question_id(0)).await;
    assert!(matches!(wire.told().await, Some(Told::Return { id: 0, outcome: Outcome::Results { .. } })));
}

#[test]
fn a_peer_without_deadlines_is_told_of_ours_and_may_finish_late_or_not_at_all() {
    let mut served = Served::with(&served_for(PATIENCE));
    let (wire, clock, seen) = (&mut served.wire, served.clock.clone(), served.seen.clone());
    let test = async move {
        bootstrapped(wire).await;
        for round in 1..4 {
            call(wire, 1, None, NEVER, 0).await;
            let Some(Told::Return { id: 1, outcome: Outcome::Exception(reason) }) = wire.told().await else {
                panic!()
            };
            assert_eq!(clock.now(), Instant::ORIGIN + PATIENCE * round);
            assert!(reason.starts_with("deadline exceeded"), "{reason}");
            // What waits for it, or for that in turn, fails and says so.
            call(wire, 2, Some(1), COUNTER, 0).await;
            call(wire, 3, Some(2), COUNTER, 0).await;
            for id in [2, 3] {
                let Some(Told::Return { id: returned, outcome: Outcome::Exception(reason) }) =
                    wire.told().await
                else {
                    panic!()
                };
                assert_eq!((returned, &*reason), (id, "the call that this one waits for was not served"));
            }
            if round == 2 {
                wire.say(|root| root.init_finish().set_question_id(1)).await;
            }
        }
        call(wire, 1, None, COUNTER, 0).await;
        assert!(matches!(wire.told().await, Some(Told::Return { id: 1, outcome: Outcome::Results { .. } })));
    };
    served.driver.drive_until(test).unwrap();
    assert_eq!((seen.running.get(), served.server.ended()), (0, None));
}

#[test]
fn a_call_that_waits_for_room_is_canceled_only_once_it_runs() {
    let options = Options { send_queue_soft_bytes: 1, send_stall: HOUR, ..served_for(PATIENCE) };
    let mut served = Served::with(&options);
    let (wire, clock, handle, seen) =
        (&mut served.wire, served.clock.clone(), served.handle.clone(), served.seen.clone());
    let test = async move {
        bootstrapped(wire).await;
        // More than fits the pipe, and one more reply: the call behind them is read, and held back.
        call(wire, 1, None, BLOB, 1 << 20).await;
        call(wire, 3, None, BLOB, 1).await;
        handle.sleep(Duration::from_nanos(1)).await;
        call(wire, 2, None, NEVER, 0).await;
        handle.sleep(PATIENCE * 3).await;
        assert!(seen.contexts.borrow().is_empty(), "it does not run");
        for id in [1, 3] {
            assert!(matches!(wire.told().await, Some(Told::Return { id: told, .. }) if told == id));
        }
        let Some(Told::Return { id: 2, outcome: Outcome::Exception(reason) }) = wire.told().await else {
            panic!()
        };
        assert!(reason.starts_with("deadline exceeded"), "{reason}");
        assert_eq!(clock.now(), Instant::ORIGIN + PATIENCE * 3 + Duration::from_nanos(1));
        call(wire, 2, None, COUNTER, 0).await;
        assert!(matches!(wire.told().await, Some(Told::Return { id: 2, outcome: Outcome::Results { .. } })));
    };
    served.driver.drive_until(test).unwrap();
    assert_eq!((served.seen.running.get(), served.server.ended()), (0, None));
}
