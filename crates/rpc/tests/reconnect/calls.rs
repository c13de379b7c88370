//! Calls, before, during and after an outage.

use std::time::Duration;

use futures::future::{join, join_all};
use vatmux_mux::CloseCode;
use vatmux_rpc::{CallError, GivenUp, PeerState, Unreachable, deadline};

use crate::common::{echo, never, probe};
use crate::world::{DialError, Door, MILLISECOND, SECOND, World};

fn maybe_delivered<T>(outcome: Result<T, CallError<DialError>>) -> bool {
    match outcome {
        Err(CallError::Disconnected { lost, .. }) => lost.maybe_delivered,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("an answer"),
    }
}

async fn echoed(probe: probe::Client, n: u64) -> capnp::Result<u64> {
    echo(&probe, n).await
}

#[test]
fn nobody_is_dialed_before_somebody_asks() {
    let mut world = World::new();
    let probe = world.probe();
    world.pass(SECOND * 100);
    assert!(world.far.dials.borrow().is_empty());
    assert!(matches!(world.peer.state(), PeerState::Idle));
    let answer = world.run(probe.call(|probe| echoed(probe.clone(), 7)));
    assert_eq!(answer.unwrap(), 7);
    assert_eq!(*world.far.dials.borrow(), [100_000], "and then at once");
    assert!(matches!(world.peer.state(), PeerState::Connected { epoch } if epoch.get() == 1));
    assert_eq!(world.peer.reconnects(), 0);
}

#[test]
fn a_call_under_way_when_the_node_dies_may_have_been_delivered() {
    let mut world = World::new();
    let probe = world.probe();
    let (handle, far) = (world.handle.clone(), world.far.clone());
    let (outcome, ()) = world.run(join(probe.call(|probe| never(probe).promise), async {
        handle.sleep(SECOND).await;
        assert_eq!(far.seen.running.get(), 1);
        far.kill();
    }));
    assert!(maybe_delivered(outcome));
    assert_eq!(world.now(), SECOND, "it is told at once");
    world.pass(SECOND);
    assert_eq!(world.far.seen.running.get(), 0);
}

#[test]
fn a_call_made_while_there_is_no_session_waits_and_goes_through_after_the_redial() {
    let mut world = World::new();
    let probe = world.probe();
    world.run(probe.call(|probe| echoed(probe.clone(), 1))).unwrap();
    world.pass(SECOND * 10);
    world.far.door.set(Door::Closed);
    world.far.kill();
    world.pass(MILLISECOND * 200);
    assert!(matches!(
        world.peer.state(),
        PeerState::Connecting { attempt: 2, last: Some(last), .. } if last.to_string() == "nobody answers"
    ));
    let (handle, far) = (world.handle.clone(), world.far.clone());
    let calls = join_all((0..20).map(|n| probe.call(move |probe| echoed(probe.clone(), n))));
    let (answers, ()) = world.run(join(calls, async {
        handle.sleep(MILLISECOND * 10).await;
        far.door.set(Door::Open);
    }));
    assert_eq!(answers.into_iter().map(Result::unwrap).collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
    assert_eq!(world.peer.reconnects(), 1);
    assert_eq!(world.far.dials.borrow().len(), 3);
}

#[test]
fn a_call_just_after_the_death_waits_and_does_not_meet_the_dead_session() {
    let mut world = World::new();
    let probe = world.probe();
    world.run(probe.call(|probe| echoed(probe.clone(), 1))).unwrap();
    world.pass(SECOND * 10);
    for peer in world.far.peers.borrow().iter() {
        peer.close(CloseCode::GOING_AWAY);
    }
    // The caller hears of the end together with the call, before anybody else had a turn.
    let (_, session) = (world.peer.clone(), world.run(world.peer.session()).unwrap().0);
    world.run(session.session().ended());
    let answer = world.run(probe.call(|probe| echoed(probe.clone(), 2)));
    assert_eq!(answer.unwrap(), 2);
    assert_eq!(world.peer.epoch().get(), 2);
}

#[test]
fn the_wait_for_a_session_ends_at_the_callers_deadline() {
    let mut world = World::new();
    world.far.door.set(Door::Silent);
    let probe = world.probe();
    let short = deadline::with(SECOND * 2, || probe.call(|probe| echoed(probe.clone(), 1)));
    let outcome = world.run(short);
    assert!(
        matches!(outcome, Err(CallError::Unreachable(Unreachable::Deadline { after, last: None })) if after == SECOND * 2)
    );
    assert_eq!(world.now(), SECOND * 2);
    assert!(matches!(world.peer.state(), PeerState::Connecting { attempt: 1, .. }), "others may wait longer");
}

#[test]
fn one_deadline_bounds_the_wait_and_the_call_together() {
    let mut world = World::new();
    world.far.door.set(Door::Closed);
    let probe = world.probe();
    let (handle, far) = (world.handle.clone(), world.far.clone());
    let call = deadline::with(SECOND, || probe.call(|probe| never(probe).promise));
    let (outcome, ()) = world.run(join(call, async {
        handle.sleep(MILLISECOND * 300).await;
        far.door.set(Door::Open);
    }));
    let Err(CallError::Failed(error)) = outcome else { panic!("no answer and no disconnection") };
    assert!(deadline::is_exceeded(&error), "{error}");
    assert_eq!(world.now(), SECOND);
}

#[test]
fn a_streaming_call_across_the_cut_fails_and_the_next_stream_begins_anew() {
    let mut world = World::new();
    let probe = world.probe();
    world.far.seen.close_gate();
    let write = |probe: &probe::Client| {
        let mut request = probe.write_request();
        request.get().set_bytes(&vec![7; 400_000]);
        request.send()
    };
    let (handle, far) = (world.handle.clone(), world.far.clone());
    world.handle.spawn(async move {
        handle.sleep(SECOND).await;
        far.kill();
    });
    let mut writes = 0;
    // The window is full after a few: the next one waits for room, and so for the cut.
    let outcome = world.run(async {
        loop {
            match probe.call(write).await {
                Ok(()) => writes += 1,
                Err(error) => break Err::<(), _>(error),
            }
        }
    });
    assert!(maybe_delivered(outcome));
    assert!(writes >= 2);
    *world.far.seen.gate.borrow_mut() = None;
    let before = world.far.seen.written.get();
    for _ in 0..5 {
        world.run(probe.call(write)).unwrap();
    }
    let written = world.run(probe.call(|probe| {
        let sent = probe.written_request().send();
        async move { Ok(sent.promise.await?.get()?.get_bytes()) }
    }));
    assert_eq!(written.unwrap() - before, 5 * 400_000, "nothing of the old stream came over");
}

#[test]
fn whoever_waits_when_it_is_closed_is_told() {
    let mut world = World::new();
    world.far.door.set(Door::Closed);
    let probe = world.probe();
    let (handle, peer) = (world.handle.clone(), world.peer.clone());
    let (outcome, ()) = world.run(join(probe.call(|probe| echoed(probe.clone(), 1)), async {
        handle.sleep(MILLISECOND * 150).await;
        peer.close(CloseCode::DONE);
    }));
    assert!(matches!(outcome, Err(CallError::Unreachable(Unreachable::Closed))));
    let dials = world.far.dials.borrow().len();
    world.pass(SECOND * 100);
    assert_eq!(world.far.dials.borrow().len(), dials, "and it is not dialed any more");
    assert!(matches!(world.peer.state(), PeerState::Closed));
    assert!(!world.peer.start_over());
}

#[test]
fn closing_tells_the_peer_why() {
    let mut world = World::new();
    let probe = world.probe();
    world.run(probe.call(|probe| echoed(probe.clone(), 1))).unwrap();
    let theirs = world.far.peers.borrow()[0].clone();
    world.peer.close(CloseCode::DONE);
    let end = world.run(async move { theirs.closed().await });
    assert_eq!(end, vatmux_driver::SessionEnd::ClosedByPeer(CloseCode::DONE));
}

#[test]
fn a_service_that_is_not_offered_is_no_outage() {
    let mut world = World::new();
    let other = world.peer.service::<probe::Client>("other", vatmux_mux::Priority::default());
    for _ in 0..3 {
        let outcome = world.run(other.call(|probe| echoed(probe.clone(), 1)));
        let Err(CallError::Failed(error)) = outcome else { panic!("there is no such service") };
        assert!(error.extra.contains("offers no service named \"other\""), "{error}");
    }
    assert_eq!(world.far.dials.borrow().len(), 1);
    let misnamed = world.peer.service::<probe::Client>("two words", vatmux_mux::Priority::default());
    let outcome = world.run(misnamed.call(|probe| echoed(probe.clone(), 1)));
    assert!(matches!(outcome, Err(CallError::Unreachable(Unreachable::Service(_)))));
}

#[test]
fn a_vat_that_ended_alone_is_opened_again_on_the_same_session() {
    let mut world = World::new();
    let probe = world.probe();
    world.run(probe.call(|probe| echoed(probe.clone(), 1))).unwrap();
    let remote = world.run(probe.remote()).unwrap();
    remote.vat().end();
    assert_eq!(world.run(probe.call(|probe| echoed(probe.clone(), 2))).unwrap(), 2);
    assert_eq!(world.peer.epoch().get(), 1);
}

#[test]
fn test_reject_a_list_that_we_are_not_on_at_once() {
    let mut world = World::new();
    world.far.door.set(Door::NotOnTheList);
    let probe = world.probe();
    // Whether it is allowed shows after the handshake: the first call may be on its way by then.
    let first = world.run(probe.call(|probe| echoed(probe.clone(), 1)));
    assert!(maybe_delivered(first));
    for _ in 0..3 {
        let outcome = world.run(probe.call(|probe| echoed(probe.clone(), 1)));
        let Err(CallError::Unreachable(Unreachable::GivenUp(GivenUp::Rejected { reason }))) = outcome else {
            panic!("it was not rejected")
        };
        assert!(reason.to_string().contains("not allowed"), "{reason}");
    }
    world.pass(Duration::from_hours(1));
    assert_eq!(world.far.dials.borrow().len(), 1, "it cannot succeed, and is not tried");

    world.far.door.set(Door::Open);
    assert!(world.peer.start_over());
    assert_eq!(world.run(probe.call(|probe| echoed(probe.clone(), 2))).unwrap(), 2);
}

#[test]
fn test_reject_a_stranger_at_once() {
    let mut world = World::new();
    world.far.door.set(Door::Stranger);
    let outcome = world.run(world.peer.session());
    assert!(matches!(outcome, Err(Unreachable::GivenUp(GivenUp::Rejected { .. }))));
    assert!(matches!(world.peer.state(), PeerState::GivenUp(GivenUp::Rejected { .. })));
    world.pass(SECOND * 100);
    assert_eq!(world.far.dials.borrow().len(), 1);
}
