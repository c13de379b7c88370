//! Large messages.

use capnp::ErrorKind;
use vatmux_rpc::{FrameError, Options, VatEnd};

use crate::process::{Role, of_any_size};
use crate::station;
use crate::world::{World, connect, echo};

const TOO_LARGE: u64 = 60 << 20;
const LARGE: u64 = 7 << 20;

async fn take(station: &station::Client, length: u64) -> capnp::Result<u64> {
    let mut request = station.take_request();
    request.get().init_bytes(length as u32);
    Ok(request.send().promise.await?.get()?.get_length())
}

async fn give(station: &station::Client, length: u64) -> capnp::Result<u64> {
    let mut request = station.give_request();
    request.get().set_length(length);
    Ok(request.send().promise.await?.get()?.get_bytes()?.len() as u64)
}

#[test]
fn seven_mebibytes_pass_in_either_direction() {
    let mut world = World::new();
    let station = world.station.clone();
    world.run(async {
        assert_eq!(take(&station, LARGE).await.unwrap(), LARGE);
        assert_eq!(give(&station, LARGE).await.unwrap(), LARGE);
    });
}

#[test]
fn sixty_mebibytes_are_not_sent_and_not_answered() {
    let mut world = World::new();
    let station = world.station.clone();
    world.run(async {
        for error in
            [take(&station, TOO_LARGE).await.unwrap_err(), give(&station, TOO_LARGE).await.unwrap_err()]
        {
            assert_eq!(error.kind, ErrorKind::Failed);
            assert!(error.extra.contains("over the limit of 8388608 and was not sent"), "{error}");
        }
        assert_eq!(echo(&station, 1).await.unwrap(), 1, "the vat lives on");
    });
}

#[test]
fn sixty_mebibytes_that_are_sent_end_the_vat_at_the_receiver_and_not_the_session() {
    let mut world = World::with(Role::Station, of_any_size());
    let (station, control, peer) = (world.station.clone(), world.control.clone(), world.peer.clone());
    world.run(async {
        let error = take(&station, TOO_LARGE).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Disconnected);
        assert!(error.extra.contains("over the limit of 8388608"), "{error}");
        assert_eq!(echo(&control, 1).await.unwrap(), 1, "other streams live on");
        assert_eq!(take(&connect(&peer), LARGE).await.unwrap(), LARGE, "and so does the session");
    });
    let Some(VatEnd::Aborted(reason)) = world.station.vat().ended() else { panic!() };
    assert!(reason.contains("over the limit of 8388608"), "{reason}");
}

#[test]
fn sixty_mebibytes_of_answer_end_the_vat_here_and_not_the_session() {
    let mut world = World::with(Role::LargeStation, Options::default());
    let (station, control, peer) = (world.station.clone(), world.control.clone(), world.peer.clone());
    world.run(async {
        let error = give(&station, TOO_LARGE).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Failed, "it would be the same again: {error}");
        assert!(error.extra.contains("over the limit of 8388608"), "{error}");
        assert_eq!(echo(&control, 1).await.unwrap(), 1, "other streams live on");
        assert_eq!(give(&connect(&peer), LARGE).await.unwrap(), LARGE, "and so does the session");
    });
    let end = world.station.vat().ended();
    assert!(
        matches!(end, Some(VatEnd::Frame(FrameError::TooLarge { bytes, limit: 8_388_608 })) if bytes > TOO_LARGE),
        "{end:?}"
    );
}
