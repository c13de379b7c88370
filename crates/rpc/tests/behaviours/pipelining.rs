//! Calls on results that are not there yet.

use futures::future::join_all;

use crate::common::behaviours_capnp::station::What;
use crate::world::{World, add, gated, open, until};

#[test]
fn calls_on_an_unresolved_result_are_there_before_it_and_run_in_order_once_it_is() {
    let mut world = World::new();
    let station = world.station.clone();
    world.run(async {
        let gated = gated(&station, "gate");
        let counter = gated.pipeline.get_counter();
        let adds: Vec<_> = (1..=100).map(|n| add(&counter, n)).collect();
        // It leaves behind them, and so they have arrived when it runs.
        let opened = open(&station, "gate").await.unwrap();
        let mut total = 0;
        for (n, added) in (1..=100).zip(join_all(adds).await) {
            total += n;
            let (reached, arrived) = added.unwrap();
            assert_eq!(reached, total, "in order");
            assert!(arrived < opened, "call {n} arrived {arrived}, after its target was there at {opened}");
        }
        // The call that gave the counter was never waited for.
        drop(gated);
    });
}

#[test]
fn a_chain_of_results_costs_one_round_trip() {
    let mut world = World::new();
    let station = world.station.clone();
    world.run(async {
        let first = gated(&station, "first");
        let mut request = station.is_own_request();
        request.get().set_counter(first.pipeline.get_counter());
        // The result of one call is a parameter of the next, and neither has an answer.
        let is_own = request.send().promise;
        let added = add(&first.pipeline.get_counter(), 7);
        let opened = open(&station, "first").await.unwrap();
        assert!(is_own.await.unwrap().get().unwrap().get_own());
        let (total, arrived) = added.await.unwrap();
        assert_eq!(total, 7);
        assert!(arrived < opened);
    });
}

#[test]
fn calls_on_a_result_that_never_comes_fail_with_the_reason_of_the_call() {
    let mut world = World::new();
    let station = world.station.clone();
    world.run(async {
        let mut request = station.fail_request();
        request.get().set_reason("no such thing");
        let failing = request.send();
        let error = failing.promise.await.err().unwrap();
        assert!(error.extra.contains("no such thing"), "{error}");

        let gated = gated(&station, "never");
        let counter = gated.pipeline.get_counter();
        let waiting = add(&counter, 1);
        drop(gated);
        // The pipelined call keeps what it waits for under way.
        let opened = open(&station, "never").await.unwrap();
        let (total, arrived) = waiting.await.unwrap();
        assert_eq!(total, 1);
        assert!(arrived < opened);
        drop(counter);
        until(&station, What::Counters, 0).await.unwrap();
    });
}
