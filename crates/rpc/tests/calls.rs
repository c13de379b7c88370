//! Calls between two vats: what capnp-rpc promises holds over our connection.

mod common;

use std::rc::Rc;

use common::{Pair, add, echo, never, new_counter};
use futures::future::join_all;
use vatmux_rpc::VatEnd;

#[test]
fn a_call_is_answered() {
    let mut pair = Pair::new();
    let probe = pair.probe.clone();
    assert_eq!(pair.run(async move { echo(&probe, 7).await }).unwrap(), 7);
}

#[test]
fn a_thousand_calls_in_flight_are_answered_each_with_its_own_answer() {
    let mut pair = Pair::new();
    let probe = pair.probe.clone();
    let answers = pair.run(async move { join_all((0..1_000).map(|n| echo(&probe, n))).await });
    let answers: Vec<u64> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(answers, (0..1_000).collect::<Vec<_>>());
}

#[test]
fn a_call_on_a_capability_that_has_not_arrived_needs_no_round_trip() {
    let mut pair = Pair::new();
    let counter = pair.probe.after_request();
    let counter = {
        let mut request = counter;
        request.get().set_millis(1_000);
        request.send().pipeline.get_counter()
    };
    let total = pair.run(async move {
        let (one, two) = futures::join!(add(&counter, 1), add(&counter, 2));
        (one.unwrap(), two.unwrap())
    });
    assert_eq!(total, (1, 3));
}

#[test]
fn a_capability_of_the_caller_is_called_by_the_server() {
    let mut pair = Pair::new();
    let counter = new_counter(&pair.seen);
    let mut request = pair.probe.count_twice_request();
    request.get().set_counter(counter);
    let total = pair.run(async move { request.send().promise.await.unwrap().get().unwrap().get_total() });
    assert_eq!(total, 2);
}

#[test]
fn an_exception_reaches_the_caller() {
    let mut pair = Pair::new();
    let mut request = pair.probe.fail_request();
    request.get().set_reason("no such luck");
    let error = pair.run(request.send().promise).err().unwrap();
    assert!(error.extra.contains("no such luck"), "{error}");
}

#[test]
fn a_dropped_promise_ends_the_servers_future() {
    let mut pair = Pair::new();
    let call = never(&pair.probe);
    pair.settle();
    assert_eq!(pair.seen.running.get(), 1);
    drop(call);
    pair.settle();
    assert_eq!(pair.seen.running.get(), 0);
}

#[test]
fn a_released_capability_is_dropped_by_its_server() {
    let mut pair = Pair::new();
    let call = pair.probe.counter_request().send().promise;
    let counter = pair.run(async move { call.await.unwrap().get().unwrap().get_counter().unwrap() });
    assert_eq!(pair.seen.counters.get(), 1);
    drop(counter);
    pair.settle();
    assert_eq!(pair.seen.counters.get(), 0);
}

#[test]
fn dropping_the_remote_ends_both_vats_and_drops_what_they_held() {
    let mut pair = Pair::new();
    pair.seen.keeps.set(true);
    let counter = new_counter(&pair.seen);
    let mut request = pair.probe.count_twice_request();
    request.get().set_counter(counter);
    // The server keeps the caller's counter, which keeps the connection, which must not keep the server.
    pair.run(request.send().promise).unwrap();
    let call = never(&pair.probe);
    pair.settle();
    assert_eq!((pair.seen.probes.get(), pair.seen.running.get(), pair.seen.counters.get()), (1, 1, 1));

    let (kept, vat) = (pair.probe.clone(), pair.probe.vat().clone());
    let Pair { mut driver, handle, seen, probe, server, .. } = pair;
    drop(probe);
    let error = driver.drive_until(call.promise).unwrap().err().unwrap();
    assert_eq!(error.kind, capnp::ErrorKind::Disconnected);
    let error = driver.drive_until(echo(&kept, 1)).unwrap().unwrap_err();
    assert_eq!(
        (error.kind, error.extra.as_str()),
        (capnp::ErrorKind::Disconnected, "not delivered: service \"probe\" is gone: this side ended it")
    );
    assert_eq!(driver.drive_until(server.wait_for_end()).unwrap(), VatEnd::EndedByPeer);
    assert_eq!(vat.ended(), Some(VatEnd::EndedHere));
    driver.drive_until(handle.sleep(std::time::Duration::from_nanos(1))).unwrap();
    assert_eq!((seen.probes.get(), seen.running.get(), seen.counters.get()), (0, 0, 0));
    assert_eq!(Rc::strong_count(&seen), 1);
}

#[test]
fn a_vat_that_is_closed_tells_its_peer_why_after_what_it_answered() {
    let mut pair = Pair::new();
    let (probe, server) = (pair.probe.clone(), pair.server.clone());
    pair.run(async {
        let held = never(&probe).promise;
        assert_eq!(echo(&probe, 1).await.unwrap(), 1);
        server.close("there is no more of it");
        for error in [held.await.err().unwrap(), echo(&probe, 2).await.unwrap_err()] {
            assert_eq!(error.kind, capnp::ErrorKind::Disconnected);
            assert!(error.extra.contains("there is no more of it"), "{error}");
        }
    });
    assert!(
        matches!(pair.server.ended(), Some(VatEnd::Closed(reason)) if reason == "there is no more of it")
    );
    assert!(matches!(pair.probe.vat().ended(), Some(VatEnd::Aborted(_))));
    assert_eq!(pair.seen.running.get(), 0);
}
