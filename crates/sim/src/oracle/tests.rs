//! The oracle itself: what is broken on purpose is found.

use vatmux_mux::{HeapStorage, Limits, Role, StreamId, Ticks};

use crate::case::{Clock, Setting};
use crate::lending::Lender;
use crate::world::World;

const SETTING: Setting = Setting {
    limits: [Limits { max_incoming_streams: 5, max_outgoing_streams: 5, ..Limits::FIXED }; 2],
    link_bytes: u32::MAX,
    victim: Role::Acceptor,
    clock: Clock::Ticks,
    appetite: [0; 2],
};

/// Two streams of the dialer's, each with a byte on its way, which the acceptor knows.
fn world() -> (World<HeapStorage>, [StreamId; 2]) {
    let mut world = World::new(&SETTING);
    world.open(0, 4, 0);
    world.open(0, 4, 0);
    world.pump();
    world.events(1);
    let streams = [1, 3].map(|id| StreamId::new(id).expect("not 0"));
    for stream in streams {
        world.write(0, stream, 1);
    }
    world.check();
    (world, streams)
}

#[test]
#[should_panic(expected = "was not woken")]
fn a_reader_that_is_not_woken_is_found() {
    let (mut world, [stream, _]) = world();
    world.pump();
    let acceptor = &mut world.parties[1];
    acceptor.session.accept(stream).expect("it was offered");
    let application = acceptor.streams.get_mut(&stream).expect("a known stream");
    (application.held, application.reader_parked) = (true, true);
    while acceptor.session.poll_event().is_some() {}
    world.events(1);
}

#[test]
#[should_panic(expected = "the credit of stream")]
fn credit_out_of_nowhere_is_found() {
    let (mut world, [stream, _]) = world();
    world.truth.get_mut(&stream).expect("an opened stream").granting[1] += 1;
    world.check();
}

#[test]
#[should_panic(expected = "had two turns while stream 3 waited")]
fn a_stolen_turn_is_found() {
    let (mut world, [stream, _]) = world();
    let dialer = &mut world.parties[0];
    dialer.turns.before(&dialer.session, &Lender::new(0));
    dialer.turns.served(stream, 1);
    dialer.turns.before(&dialer.session, &Lender::new(0));
    dialer.turns.served(stream, 1);
}

#[test]
#[should_panic(expected = "the link has room")]
fn a_link_that_stands_still_is_found() {
    let (world, _) = world();
    world.assert_nothing_could_move();
}

#[test]
#[should_panic(expected = "every wait ends")]
fn an_end_that_waits_for_ever_is_found() {
    let (mut world, _) = world();
    world.pump();
    world.now = Ticks(20);
    // As if the last byte had come long before it did.
    world.parties[0].heard = Ticks(1);
    world.wait(1);
}
