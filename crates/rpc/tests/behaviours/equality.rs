//! A process knows its own objects when they come back.

use std::rc::Rc;

use capnp::capability::FromClientHook;
use capnp_rpc::CapabilityServerSet;
use vatmux_rpc::{resolved, settled};

use crate::server::Recorder;
use crate::world::{World, gated, give_back, open, promise};
use crate::{counter, recorder, station};

type Own = CapabilityServerSet<Recorder, recorder::Client>;

/// Whether a capability is the recorder.
async fn is(own: &Own, capability: recorder::Client, recorder: &Rc<Recorder>) -> bool {
    let server = own.get_local_server_of_resolved(&settled(capability).await);
    server.is_some_and(|server| Rc::ptr_eq(&server, recorder))
}

/// What the other process says of a counter.
fn is_theirs(station: &station::Client, counter: counter::Client) -> impl Future<Output = bool> + use<> {
    let mut request = station.is_own_request();
    request.get().set_counter(counter);
    let sent = request.send().promise;
    async move { sent.await.unwrap().get().unwrap().get_own() }
}

#[test]
fn an_object_that_is_given_back_is_known() {
    let mut world = World::new();
    let (station, recorder, stranger) = (world.station.clone(), world.recorder(), world.recorder());
    world.run(async {
        let mut own = Own::new();
        let client = own.new_client_from_rc(recorder.clone());
        let other = own.new_client_from_rc(stranger.clone());
        open(&station, "open").await.unwrap();

        let response = give_back(&station, "open", client.clone()).promise.await.unwrap();
        let back = response.get().unwrap().get_recorder().unwrap();
        assert!(is(&own, back, &recorder).await);
        let response = give_back(&station, "open", other).promise.await.unwrap();
        let back = response.get().unwrap().get_recorder().unwrap();
        assert!(is(&own, back.clone(), &stranger).await);
        assert!(!is(&own, back, &recorder).await);

        // By the result of a call: before it is there, with a call on its way, and after.
        let call = give_back(&station, "gate", client.clone());
        let early = call.pipeline.get_recorder();
        assert!(own.get_local_server_of_resolved(&early).is_none(), "nobody knows yet");
        let noted = crate::server::note(&early, 1);
        let (known, opened) =
            futures::future::join(is(&own, early.clone(), &recorder), open(&station, "gate")).await;
        opened.unwrap();
        assert!(known);
        noted.await.unwrap();
        call.promise.await.unwrap();
        assert!(is(&own, early, &recorder).await);
        assert!(is(&own, call.pipeline.get_recorder(), &recorder).await);

        // Round and round: the result of one is the parameter of the next.
        let first = give_back(&station, "open", client);
        let second = give_back(&station, "open", first.pipeline.get_recorder());
        let third = give_back(&station, "open", second.pipeline.get_recorder());
        assert!(is(&own, third.pipeline.get_recorder(), &recorder).await);
    });
}

#[test]
fn the_other_process_knows_its_objects_as_well() {
    let mut world = World::new();
    let (station, control) = (world.station.clone(), world.control.clone());
    world.run(async {
        let response = station.counter_request().send().promise.await.unwrap();
        let counter = response.get().unwrap().get_counter().unwrap();
        assert!(is_theirs(&station, counter.clone()).await);
        let gated = gated(&station, "gate");
        let early = is_theirs(&station, gated.pipeline.get_counter());
        open(&station, "gate").await.unwrap();
        assert!(early.await, "it was the result of a call when it was given");
        // Through another stream it is another: each stream is a vat of its own.
        assert!(!is_theirs(&control, counter).await);
    });
}

/// The guard does not have capnp-rpc follow them: docs/spec/rpc-limits.md says why.
#[test]
fn an_object_that_comes_back_by_a_promise_of_the_peers_works_and_is_not_known() {
    let mut world = World::new();
    let (station, recorder) = (world.station.clone(), world.recorder());
    let notes = recorder.clone();
    world.run(async {
        let mut own = Own::new();
        let client = own.new_client_from_rc(recorder.clone());
        let response = promise(&station, "gate", client).promise.await.unwrap();
        let promised = response.get().unwrap().get_recorder().unwrap();
        open(&station, "gate").await.unwrap();
        crate::server::note(&promised, 4).await.unwrap();
        assert!(!is(&own, promised, &recorder).await);

        let response = station.counter_request().send().promise.await.unwrap();
        let counter = response.get().unwrap().get_counter().unwrap();
        let (keep, kept) = futures::channel::oneshot::channel();
        let promise = capnp_rpc::new_future_client(async move {
            kept.await.map_err(|_| capnp::Error::failed("broken".to_owned()))
        });
        let asked = is_theirs(&station, promise);
        keep.send(counter).ok().unwrap();
        assert!(!asked.await);
    });
    assert_eq!(*notes.notes.borrow(), [4]);
}

/// Where nobody asks what a promise has become, capnp-rpc loses the capabilities: see docs/spec/rpc-limits.md. When this
/// fails because it keeps them, promises of the peer's can be followed, and `resolved` and the stand-ins are of no use.
#[test]
fn a_request_with_capabilities_on_a_result_goes_to_what_that_has_become() {
    let mut world = World::new();
    let handle = world.local.handle();
    let (station, recorder) = (world.station.clone(), world.recorder());
    let own = crate::server::capability(&Rc::default(), &handle);
    world.run(async {
        open(&station, "open").await.unwrap();
        // An object of this process, which the other gives back, and an error.
        let ours = give_back(&station, "open", FromClientHook::new(own.hook));
        let mut request = station.give_back_request();
        request.get().set_gate("open");
        let nothing = request.send();
        let promised: [station::Client; 2] =
            [&ours, &nothing].map(|call| call.pipeline.get_recorder().cast_to());
        ours.promise.await.unwrap();
        assert!(nothing.promise.await.is_err(), "there was nothing to give back");
        for (promise, is_ours) in promised.iter().zip([true, false]) {
            let request = |station: &station::Client| {
                let mut request = station.note_request();
                request.get().set_recorder(recorder.client());
                request.get().set_to(3);
                request
            };
            let noted = request(&resolved(promise)).send().promise.await;
            assert_eq!(noted.is_ok(), is_ours);
            let error = request(promise).send().promise.await.err().unwrap();
            assert_eq!(error.extra.contains("lost on its way"), is_ours, "{error}");
        }
    });
    assert_eq!(*recorder.notes.borrow(), [0, 1, 2]);
}
