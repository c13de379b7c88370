//! Exceptions, and the death of the other process.

use capnp::ErrorKind;
use capnp::capability::FromClientHook;
use vatmux_rpc::{Disconnected, VatEnd};

use crate::common::behaviours_capnp::station::What;
use crate::counter;
use crate::world::{World, add, echo, gated, hold, until};

#[test]
fn an_exception_arrives_with_its_kind_and_its_words() {
    let mut world = World::new();
    let station = world.station.clone();
    world.run(async {
        let kinds =
            [ErrorKind::Failed, ErrorKind::Overloaded, ErrorKind::Disconnected, ErrorKind::Unimplemented];
        for (number, kind) in (0..).zip(kinds) {
            let mut request = station.fail_request();
            request.get().set_kind(number);
            request.get().set_reason("the door is – shut");
            let error = request.send().promise.await.err().unwrap();
            assert_eq!((error.kind, &*error.extra), (kind, "remote exception: the door is – shut"));
        }
        // What the interface does not have.
        let stranger: counter::Client = FromClientHook::new(station.clone().into_client_hook());
        let error = add(&stranger, 1).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unimplemented, "{error}");
        assert_eq!(echo(&station, 1).await.unwrap(), 1, "the vat lives on");
    });
}

#[test]
fn calls_under_way_fail_as_disconnected_when_the_other_process_dies() {
    let mut world = World::new();
    let (station, control) = (world.station.clone(), world.control.clone());
    let (recorder, recorders) = (world.recorder(), world.recorders.clone());
    let (call, waiting) = world.run(async move {
        let call = hold(&station, recorder.client());
        let gated = gated(&station, "never");
        let waiting = add(&gated.pipeline.get_counter(), 1);
        until(&control, What::Holding, 1).await.unwrap();
        (call, waiting)
    });
    world.process.kill();
    let (station, peer) = (world.station.clone(), world.peer.clone());
    let end = world.run(async move {
        let error = call.promise.await.err().unwrap();
        assert_eq!(Disconnected::of(&error), Some(Disconnected { maybe_delivered: true }), "{error}");
        let error = waiting.await.unwrap_err();
        assert_eq!(Disconnected::of(&error), Some(Disconnected { maybe_delivered: true }), "{error}");
        // Its capabilities are gone, and what it had of ours is free.
        let error = echo(&station, 1).await.unwrap_err();
        assert_eq!(Disconnected::of(&error), Some(Disconnected { maybe_delivered: false }), "{error}");
        recorders.until(0).await;
        peer.closed().await
    });
    assert_eq!(world.station.vat().ended(), Some(VatEnd::Session(end.clone())));
    assert_eq!(world.control.vat().ended(), Some(VatEnd::Session(end)));
}
