//! What nobody has any more is gone at its owner's.

use crate::common::behaviours_capnp::station::What;
use crate::world::{World, add, connect, gated, hold, open, until};

#[test]
fn a_capability_that_is_dropped_is_dropped_by_its_server() {
    let mut world = World::new();
    let (station, control) = (world.station.clone(), world.control.clone());
    world.run(async {
        let response = station.counter_request().send().promise.await.unwrap();
        let counter = response.get().unwrap().get_counter().unwrap();
        drop(response);
        let another = counter.clone();
        until(&control, What::Counters, 1).await.unwrap();
        assert_eq!(add(&counter, 2).await.unwrap().0, 2);
        drop(counter);
        assert_eq!(add(&another, 3).await.unwrap().0, 5, "there is one left");
        until(&control, What::Counters, 1).await.unwrap();
        drop(another);
        until(&control, What::Counters, 0).await.unwrap();
    });
}

#[test]
fn a_call_that_is_canceled_stops_at_the_server_and_lets_go_of_what_it_carried() {
    let mut world = World::new();
    let (station, control) = (world.station.clone(), world.control.clone());
    let (recorder, recorders) = (world.recorder(), world.recorders.clone());
    world.run(async move {
        let call = hold(&station, recorder.client());
        until(&control, What::Holding, 1).await.unwrap();
        drop(recorder);
        assert_eq!(recorders.get(), 1, "the server has it");
        drop(call);
        until(&control, What::Holding, 0).await.unwrap();
        recorders.until(0).await;
    });
}

#[test]
fn a_result_that_comes_after_its_call_was_canceled_is_released() {
    let mut world = World::new();
    let (station, control) = (world.station.clone(), world.control.clone());
    world.run(async {
        for round in 0..20 {
            let gate = format!("gate {round}");
            let call = gated(&station, &gate);
            // The answer and the end of the call pass each other on the way.
            let opened = open(&control, &gate);
            drop(call);
            opened.await.unwrap();
        }
        until(&control, What::Counters, 0).await.unwrap();
        assert_eq!(add(&station.counter_request().send().pipeline.get_counter(), 1).await.unwrap().0, 1);
    });
}

#[test]
fn what_a_vat_had_is_released_when_it_ends_and_other_vats_keep_theirs() {
    let mut world = World::new();
    let (control, peer) = (world.control.clone(), world.peer.clone());
    let (recorder, recorders) = (world.recorder(), world.recorders.clone());
    world.run(async move {
        let (one, other) = (connect(&peer), connect(&peer));
        let mut counters = Vec::new();
        for station in [&one, &other] {
            let response = station.counter_request().send().promise.await.unwrap();
            counters.push(response.get().unwrap().get_counter().unwrap());
        }
        let call = hold(&one, recorder.client());
        drop(recorder);
        until(&control, What::Holding, 1).await.unwrap();
        until(&control, What::Counters, 2).await.unwrap();
        drop(one);
        until(&control, What::Holding, 0).await.unwrap();
        until(&control, What::Counters, 1).await.unwrap();
        assert!(call.promise.await.is_err());
        recorders.until(0).await;
        assert!(add(&counters[0], 1).await.is_err());
        assert_eq!(add(&counters[1], 1).await.unwrap().0, 1);
    });
}

#[test]
fn a_capability_that_is_dropped_during_its_own_call_stays_until_the_call_is_over() {
    let mut world = World::new();
    let (station, control) = (world.station.clone(), world.control.clone());
    world.run(async {
        let response = station.counter_request().send().promise.await.unwrap();
        let counter = response.get().unwrap().get_counter().unwrap();
        let mut request = counter.add_once_request();
        request.get().set_gate("gate");
        request.get().set_n(5);
        let call = request.send().promise;
        drop((counter, response));
        // What is said after the release is heard after it.
        until(&station, What::Counters, 1).await.unwrap();
        open(&control, "gate").await.unwrap();
        assert_eq!(call.await.unwrap().get().unwrap().get_total(), 5);
        until(&control, What::Counters, 0).await.unwrap();
    });
}
