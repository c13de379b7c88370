//! Three processes in a row: this one, a relay, and one behind it that this one knows through the relay alone.

use capnp::ErrorKind;
use vatmux_rpc::{Disconnected, Options};

use crate::common::behaviours_capnp::station::What;
use crate::process::Role;
use crate::server::note;
use crate::world::{World, add, echo, gated, give_back, hold, open, until};

/// The process at the far end, known directly as well, and the way to it through the relay.
struct Row {
    far: World,
    near: World,
}

impl Row {
    fn new() -> Self {
        let far = World::new();
        let near = World::with(Role::Relay(far.process.address()), Options::default());
        Self { far, near }
    }
}

#[test]
fn a_capability_of_the_far_process_works_through_the_relay() {
    let mut row = Row::new();
    let station = row.near.station.clone();
    row.near.run(async {
        assert_eq!(echo(&station, 3).await.unwrap(), 3);
        let gated = gated(&station, "gate");
        let counter = gated.pipeline.get_counter();
        let early = [add(&counter, 1), add(&counter, 2)];
        open(&station, "gate").await.unwrap();
        for (added, total) in early.into_iter().zip([1, 3]) {
            assert_eq!(added.await.unwrap().0, total);
        }
        assert_eq!(add(&counter, 4).await.unwrap().0, 7);
        let mut request = station.fail_request();
        request.get().set_kind(1);
        request.get().set_reason("too much");
        let error = request.send().promise.await.err().unwrap();
        assert_eq!(error.kind, ErrorKind::Overloaded);
        assert!(error.extra.ends_with("too much"), "{error}");
        drop((counter, gated));
        until(&station, What::Counters, 0).await.unwrap();
    });
}

#[test]
fn an_object_of_this_process_works_for_the_far_one_and_comes_back_as_itself() {
    let mut row = Row::new();
    let (station, recorder) = (row.near.station.clone(), row.near.recorder());
    let (client, recorders) = (recorder.client(), row.near.recorders.clone());
    let notes = recorder.clone();
    row.near.run(async move {
        let mut request = station.note_request();
        request.get().set_recorder(client.clone());
        request.get().set_from(0);
        request.get().set_to(50);
        request.send().promise.await.unwrap();
        assert_eq!(*notes.notes.borrow(), (0..50).collect::<Vec<_>>());
        // There and back: the calls made before it is known to be our own come first.
        notes.notes.borrow_mut().clear();
        let call = give_back(&station, "gate", client.clone());
        let promised = call.pipeline.get_recorder();
        let early: Vec<_> = (0..20).map(|n| note(&promised, n)).collect();
        open(&station, "gate").await.unwrap();
        let response = call.promise.await.unwrap();
        let late: Vec<_> = (20..40).map(|n| note(&promised, n)).collect();
        for sent in early.into_iter().chain(late) {
            sent.await.unwrap();
        }
        assert_eq!(*notes.notes.borrow(), (0..40).collect::<Vec<_>>());
        drop((notes, response, call.pipeline, promised, client));
        drop(recorder);
        recorders.until(0).await;
    });
}

#[test]
fn a_call_that_is_canceled_stops_at_the_far_process() {
    let mut row = Row::new();
    let (station, recorder) = (row.near.station.clone(), row.near.recorder());
    let recorders = row.near.recorders.clone();
    row.near.run(async move {
        let call = hold(&station, recorder.client());
        drop(recorder);
        until(&station, What::Holding, 1).await.unwrap();
        drop(call);
        until(&station, What::Holding, 0).await.unwrap();
        recorders.until(0).await;
    });
}

#[test]
fn the_death_of_the_relay_is_told_to_both_sides_of_it() {
    let mut row = Row::new();
    let (station, recorder) = (row.near.station.clone(), row.near.recorder());
    let recorders = row.near.recorders.clone();
    let (call, counter) = row.near.run(async move {
        let call = hold(&station, recorder.client());
        let response = station.counter_request().send().promise.await.unwrap();
        until(&station, What::Holding, 1).await.unwrap();
        (call, response.get().unwrap().get_counter().unwrap())
    });
    row.near.process.kill();
    row.near.run(async move {
        let error = call.promise.await.err().unwrap();
        assert_eq!(Disconnected::of(&error), Some(Disconnected { maybe_delivered: true }), "{error}");
        let error = add(&counter, 1).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Disconnected);
        recorders.until(0).await;
    });
    // The far process has let go of what the relay had of it, and lives on.
    let control = row.far.control.clone();
    row.far.run(async {
        until(&control, What::Holding, 0).await.unwrap();
        until(&control, What::Counters, 0).await.unwrap();
    });
}

#[test]
fn the_death_of_the_far_process_is_an_error_and_not_the_relays_death() {
    let mut row = Row::new();
    let station = row.near.station.clone();
    let (recorder, recorders) = (row.near.recorder(), row.near.recorders.clone());
    let call = row.near.run(async move {
        let call = hold(&station, recorder.client());
        until(&station, What::Holding, 1).await.unwrap();
        call
    });
    row.far.process.kill();
    let (station, peer) = (row.near.station.clone(), row.near.peer.clone());
    row.near.run(async move {
        let error = call.promise.await.err().unwrap();
        assert_eq!(error.kind, ErrorKind::Disconnected, "{error}");
        let error = echo(&station, 1).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Disconnected, "{error}");
        recorders.until(0).await;
        assert_eq!(peer.session().end(), None, "the session with the relay is up");
    });
    assert_eq!(row.near.station.vat().ended(), None);
}
