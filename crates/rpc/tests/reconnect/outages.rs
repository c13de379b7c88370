//! When a peer is dialed, and when not any more.

use vatmux_driver::{Clock, Instant};
use vatmux_liveness::{AttemptBudget, Exhausted, Jitter, RedialLimits, RetryLimits};
use vatmux_rpc::{Failure, GivenUp, PeerState, Unreachable};

use crate::common::echo;
use crate::world::{Door, MILLISECOND, SECOND, World, limits};

#[test]
fn a_peer_that_does_not_answer_is_dialed_with_growing_pauses_and_given_up() {
    let mut world = World::new();
    world.far.door.set(Door::Closed);
    let outcome = world.run(world.peer.session());
    let Err(Unreachable::GivenUp(GivenUp::Exhausted { bound, last })) = outcome else { panic!("given up") };
    assert_eq!(bound, Exhausted::Attempts { attempts: 4 });
    assert_eq!(last.unwrap().to_string(), "nobody answers");
    assert_eq!(*world.far.dials.borrow(), [0, 99, 299, 699]);
    assert!(matches!(world.peer.state(), PeerState::GivenUp(GivenUp::Exhausted { .. })));
    world.pass(SECOND * 1000);
    assert_eq!(world.far.dials.borrow().len(), 4, "nobody asks, and nobody dials");
}

#[test]
fn a_peer_that_says_nothing_is_given_up_at_the_deadline_of_the_outage() {
    let mut world = World::new();
    world.far.door.set(Door::Silent);
    let outcome = world.run(world.peer.session());
    let Err(Unreachable::GivenUp(given_up)) = outcome else { panic!("given up") };
    assert_eq!(given_up.to_string(), "gave up: no success within 10s (attempts: 1)");
    assert_eq!(world.now(), SECOND * 10);
}

#[test]
fn a_peer_that_was_given_up_is_dialed_again_when_somebody_asks_after_a_pause() {
    let mut world = World::new();
    world.far.door.set(Door::Closed);
    assert!(world.run(world.peer.session()).is_err());
    world.pass(SECOND * 100);
    world.far.door.set(Door::Open);
    let before = world.clock.now();
    let (_, epoch) = world.run(world.peer.session()).unwrap();
    assert_eq!(epoch.get(), 1);
    assert_eq!((world.clock.now() - before).as_millis(), 99);
}

#[test]
fn a_peer_that_nobody_asked_for_in_a_long_time_has_its_whole_budget() {
    let mut world = World::new();
    world.pass(SECOND * 3600);
    world.far.door.set(Door::Closed);
    assert!(world.run(world.peer.session()).is_err());
    assert_eq!(world.far.dials.borrow().len(), 4);
}

#[test]
fn a_peer_that_accepts_and_hangs_up_is_given_up_like_one_that_does_not_answer() {
    let mut world = World::new();
    world.far.door.set(Door::HangsUp);
    let handle = world.handle.clone();
    let peer = world.peer.clone();
    let given_up = world.run(async move {
        loop {
            match peer.session().await {
                Ok((session, _)) => drop(session.session().ended().await),
                Err(Unreachable::GivenUp(given_up)) => break given_up,
                Err(other) => panic!("{other}"),
            }
            handle.sleep(MILLISECOND).await;
        }
    });
    let GivenUp::Exhausted { bound, last } = given_up else { panic!("{given_up}") };
    assert_eq!(bound, Exhausted::Attempts { attempts: 4 });
    assert!(matches!(&*last.unwrap(), Failure::Session(_)));
    assert_eq!(
        *world.far.dials.borrow(),
        [0, 99, 299, 699],
        "the pauses grow, and the budget is not renewed"
    );
    assert_eq!(world.peer.epoch().get(), 4);
}

#[test]
fn a_session_that_lasted_gives_the_next_outage_a_new_budget() {
    let mut world = World::new();
    for round in 1..=10 {
        world.far.door.set(Door::Open);
        let (_, epoch) = world.run(world.peer.session()).unwrap();
        assert_eq!(epoch.get(), round);
        world.pass(SECOND * 6);
        world.far.door.set(Door::Closed);
        world.far.kill();
        // Two of four attempts fail.
        world.pass(MILLISECOND * 350);
    }
    assert_eq!(world.far.dials.borrow().len(), 1 + 9 * 3 + 2);
}

#[test]
fn the_state_says_when_the_next_attempt_is_due() {
    let mut world = World::new();
    world.run(world.peer.session()).unwrap();
    world.pass(SECOND * 10);
    world.far.kill();
    world.far.door.set(Door::Closed);
    world.pass(MILLISECOND);
    let PeerState::Connecting { attempt, due, last } = world.peer.state() else { panic!("connecting") };
    assert_eq!(attempt, 1);
    let pause = due - (Instant::ORIGIN + SECOND * 10);
    assert!((50..=100).contains(&pause.as_millis()), "{pause:?}");
    assert!(last.unwrap().to_string().starts_with("the session was lost: "));
}

#[test]
fn pauses_are_between_half_and_all_of_what_they_may_be() {
    for (seed, jitter) in [0, 1, u32::MAX / 2, u32::MAX].into_iter().enumerate() {
        let outage = RetryLimits { attempts: AttemptBudget::new(8).unwrap(), ..limits().outage };
        let mut world = World::with(RedialLimits { outage, ..limits() }, move || Jitter::new(jitter));
        world.far.door.set(Door::Closed);
        assert!(world.run(world.peer.session()).is_err());
        let dials = world.far.dials.borrow();
        let pauses: Vec<_> = dials.windows(2).map(|pair| pair[1] - pair[0]).collect();
        for (pause, most) in pauses.iter().zip([100, 200, 400, 800, 800, 800, 800]) {
            assert!((most / 2..=most).contains(pause), "case {seed}: {pauses:?}");
        }
        assert_eq!(pauses.len(), 7);
    }
}

#[test]
fn a_hundred_reconnects_leave_nothing_behind() {
    let mut world = World::new();
    let probe = world.probe();
    let mut tasks = Vec::new();
    for round in 1..=101 {
        let outcome = world.run(probe.call(|probe| {
            let probe = probe.clone();
            async move { echo(&probe, round).await }
        }));
        assert_eq!(outcome.unwrap(), round);
        world.pass(SECOND * 6);
        tasks.push(world.driver.tasks());
        assert_eq!((world.far.seen.probes.get(), world.far.peers.borrow().len()), (1, 1), "round {round}");
        if round % 2 == 0 {
            world.far.kill();
        } else {
            world.far.peers.borrow().iter().for_each(|peer| peer.close(vatmux_mux::CloseCode::GOING_AWAY));
        }
        world.pass(MILLISECOND);
    }
    assert_eq!(world.peer.reconnects(), 100);
    assert!(tasks.iter().all(|count| *count == tasks[0]), "{tasks:?}");

    // And when nobody holds the peer any more, not even the one session.
    let World { mut driver, handle, far, peer, .. } = world;
    drop((probe, peer));
    driver.drive_until(handle.sleep(SECOND * 60)).unwrap();
    assert_eq!((driver.tasks(), far.seen.probes.get(), far.peers.borrow().len()), (0, 0, 0));
}

#[test]
fn whoever_stops_waiting_leaves_nothing_behind() {
    let mut world = World::new();
    world.far.door.set(Door::Silent);
    world.run(world.handle.clone().timeout(MILLISECOND, world.peer.session())).unwrap_err();
    let tasks = world.driver.tasks();
    for _ in 0..100 {
        world.run(world.handle.clone().timeout(MILLISECOND, world.peer.session())).unwrap_err();
    }
    assert_eq!(world.driver.tasks(), tasks);
    assert_eq!(world.far.dials.borrow().len(), 1, "one dial serves all who wait");
}

#[test]
fn a_peer_that_is_let_go_while_it_is_dialed_is_dialed_no_more() {
    let mut world = World::new();
    world.far.door.set(Door::Closed);
    world.run(world.handle.clone().timeout(MILLISECOND * 50, world.peer.session())).unwrap_err();
    let World { mut driver, handle, far, peer, .. } = world;
    drop(peer);
    driver.drive_until(handle.sleep(SECOND * 60)).unwrap();
    assert_eq!((far.dials.borrow().len(), driver.tasks()), (1, 0));
}
