//! Calls arrive in the order in which they were made, whatever their target turns out to be.

use std::rc::Rc;

use futures::future::{join, try_join_all};

use vatmux_rpc::settled;

use crate::recorder;
use crate::server::{Recorder, note};
use crate::world::{World, give_back, open, promise};

/// Numbers noted before, while and after the target of the calls becomes this process's own object.
async fn note_on_and_on(
    promised: &recorder::Client,
    opened: impl Future<Output = capnp::Result<u64>>,
    resolved: impl Future<Output = ()>,
) -> u64 {
    let mut sent = Vec::new();
    let mut next = 0;
    let mut send = |count: u64| {
        sent.extend((next..next + count).map(|n| note(promised, n)));
        next += count;
    };
    send(10);
    opened.await.unwrap();
    send(10);
    resolved.await;
    // The first are on their way back, and would be overtaken by what goes straight to the object.
    send(10);
    try_join_all(sent).await.unwrap();
    let late = (next..next + 10).map(|n| note(promised, n));
    try_join_all(late).await.unwrap();
    next + 10
}

fn in_order(recorder: &Rc<Recorder>, count: u64) {
    assert_eq!(*recorder.notes.borrow(), (0..count).collect::<Vec<_>>());
}

#[test]
fn calls_on_a_result_that_becomes_the_callers_own_object_keep_their_order() {
    let mut world = World::new();
    let (station, recorder) = (world.station.clone(), world.recorder());
    let client = recorder.client();
    let count = world.run(async {
        let call = give_back(&station, "gate", client);
        let promised = call.pipeline.get_recorder();
        let resolved = async {
            call.promise.await.unwrap();
        };
        note_on_and_on(&promised, open(&station, "gate"), resolved).await
    });
    in_order(&recorder, count);
}

#[test]
fn calls_on_a_promise_that_becomes_the_callers_own_object_keep_their_order() {
    let mut world = World::new();
    let (station, recorder) = (world.station.clone(), world.recorder());
    let client = recorder.client();
    let count = world.run(async {
        let response = promise(&station, "gate", client).promise.await.unwrap();
        let promised = response.get().unwrap().get_recorder().unwrap();
        // Behind it on the same stream comes what was said on it before.
        let resolved = async {
            crate::world::echo(&station, 1).await.unwrap();
        };
        note_on_and_on(&promised, open(&station, "gate"), resolved).await
    });
    in_order(&recorder, count);
}

#[test]
fn calls_of_both_processes_on_one_object_each_keep_their_order() {
    let mut world = World::new();
    let (station, recorder) = (world.station.clone(), world.recorder());
    let client = recorder.client();
    world.run(async {
        let call = give_back(&station, "gate", client.clone());
        let promised = call.pipeline.get_recorder();
        let mut request = station.note_request();
        // The other process calls by the promise as well, as soon as it is kept.
        request.get().set_recorder(promised.clone());
        request.get().set_from(1_000);
        request.get().set_to(1_100);
        let theirs = request.send().promise;
        let ours: Vec<_> = (0..100).map(|n| note(&promised, n)).collect();
        open(&station, "gate").await.unwrap();
        call.promise.await.unwrap();
        let late: Vec<_> = (100..200).map(|n| note(&promised, n)).collect();
        try_join_all(ours).await.unwrap();
        try_join_all(late).await.unwrap();
        theirs.await.unwrap();
    });
    let (theirs, ours): (Vec<u64>, Vec<u64>) = recorder.notes.take().into_iter().partition(|n| *n >= 1_000);
    assert_eq!(ours, (0..200).collect::<Vec<_>>());
    assert_eq!(theirs, (1_000..1_100).collect::<Vec<_>>());
}

#[test]
fn a_result_that_became_an_own_object_is_that_object_and_outlives_the_peer() {
    let mut world = World::new();
    let (station, peer, recorder) = (world.station.clone(), world.peer.clone(), world.recorder());
    let client = recorder.client();
    let (promised, own) = world.run(async {
        let call = give_back(&station, "gate", client);
        let promised = call.pipeline.get_recorder();
        // A call is under way when it is resolved, and so there is an embargo, behind which the others queue.
        let early = note(&promised, 0);
        open(&station, "gate").await.unwrap();
        call.promise.await.unwrap();
        let straight = async {
            let own = settled(promised.clone()).await;
            note(&own, 2).await.unwrap();
            own
        };
        let (next, own) = join(note(&promised, 1), straight).await;
        next.unwrap();
        early.await.unwrap();
        (promised, own)
    });
    world.process.kill();
    world.run(async {
        peer.closed().await;
        note(&own, 3).await.unwrap();
        // The promise itself goes by its vat, whatever it became.
        assert!(note(&promised, 4).await.is_err());
    });
    in_order(&recorder, 4);
}
