//! What belongs to a session that is over stays with it.

use futures::future::join_all;
use vatmux_rpc::{Disconnected, PeerState};

use crate::common::{add, counter, echo, never, probe};
use crate::world::{Door, MILLISECOND, SECOND, World};

async fn new_counter(probe: &probe::Client) -> counter::Client {
    let sent = probe.counter_request().send();
    sent.promise.await.unwrap().get().unwrap().get_counter().unwrap()
}

fn was_not_delivered(error: &capnp::Error) -> bool {
    Disconnected::of(error) == Some(Disconnected { maybe_delivered: false })
}

#[test]
fn a_capability_of_an_old_session_fails_at_once_and_does_not_reach_the_new_one() {
    let mut world = World::new();
    let probe = world.probe();
    let old = world.run(probe.remote()).unwrap();
    let old_counter = world.run(new_counter(&old));
    assert_eq!(world.run(add(&old_counter, 5)).unwrap(), 5);
    let pending = never(&old);
    world.pass(SECOND * 10);
    world.far.kill();
    world.pass(SECOND);
    assert_eq!(world.peer.epoch().get(), 2);

    let new = world.run(probe.remote()).unwrap();
    let new_counter = world.run(new_counter(&new));
    let before = world.now();
    let error = world.run(add(&old_counter, 100)).unwrap_err();
    assert!(was_not_delivered(&error), "{error}");
    assert!(was_not_delivered(&world.run(echo(&old, 1)).unwrap_err()));
    let error = world.run(pending.promise).err().unwrap();
    assert_eq!(Disconnected::of(&error), Some(Disconnected { maybe_delivered: true }));
    assert_eq!(world.now(), before, "at once");
    assert_eq!(world.run(add(&new_counter, 1)).unwrap(), 1);

    // An old capability that is passed to the new session is no way back into the old one.
    let mut request = new.count_twice_request();
    request.get().set_counter(old_counter);
    let error = world.run(request.send().promise).err().unwrap();
    assert_eq!(error.kind, capnp::ErrorKind::Disconnected);
}

#[test]
fn a_session_that_is_over_is_over_for_everybody_at_once() {
    let mut world = World::new();
    let (peer, probe) = (world.peer.clone(), world.probe());
    let epoch = world.run(async move {
        let remote = probe.remote().await.unwrap();
        let (session, _) = peer.session().await.unwrap();
        session.close(vatmux_mux::CloseCode::INTERNAL);
        // Nobody else has had a turn.
        assert!(matches!(peer.state(), PeerState::Connecting { attempt: 2, .. }), "{:?}", peer.state());
        let next = probe.remote().await.unwrap();
        assert!(!std::rc::Rc::ptr_eq(&remote, &next));
        echo(&next, 1).await.unwrap();
        peer.epoch()
    });
    assert_eq!(epoch.get(), 2);
}

#[test]
fn the_end_of_a_session_is_heard_of_twice_and_counts_once() {
    let mut world = World::new();
    world.run(world.peer.session()).unwrap();
    world.pass(SECOND * 10);
    world.far.door.set(Door::Closed);
    let peer = world.peer.clone();
    world.run(async move {
        let (session, _) = peer.session().await.unwrap();
        session.close(vatmux_mux::CloseCode::INTERNAL);
        for _ in 0..10 {
            drop(peer.state());
        }
    });
    world.pass(MILLISECOND);
    assert!(matches!(world.peer.state(), PeerState::Connecting { attempt: 1, .. }));
}

#[test]
fn letting_go_of_an_old_session_changes_nothing_in_the_new_one() {
    let mut world = World::new();
    let probe = world.probe();
    let old = world.run(probe.remote()).unwrap();
    let (old_peer, first) = world.run(world.peer.session()).unwrap();
    world.run(echo(&old, 1)).unwrap();
    world.pass(SECOND * 10);
    world.far.kill();
    world.pass(SECOND);
    let new = world.run(probe.remote()).unwrap();
    let waiting = never(&new);
    world.pass(MILLISECOND);

    // Late events of the old session: its end is heard of again, it is closed, and dropped.
    old_peer.close(vatmux_mux::CloseCode::INTERNAL);
    old.vat().end();
    drop((old, old_peer));
    world.pass(SECOND * 5);
    assert_eq!(world.far.seen.running.get(), 1, "the new session's call is still under way");
    let (_, second) = world.run(world.peer.session()).unwrap();
    assert_eq!((first.get(), second.get()), (1, 2));
    drop(waiting);
    assert_eq!(world.run(echo(&new, 3)).unwrap(), 3);
}

#[test]
fn all_who_call_at_once_share_one_stream() {
    let mut world = World::new();
    let probe = world.probe();
    let remotes = world.run(join_all((0..10).map(|_| probe.remote())));
    world.pass(MILLISECOND);
    for remote in &remotes {
        assert!(std::rc::Rc::ptr_eq(remote.as_ref().unwrap(), remotes[0].as_ref().unwrap()));
    }
    assert_eq!(world.run(echo(remotes[0].as_ref().unwrap(), 3)).unwrap(), 3);
    assert_eq!(world.far.seen.probes.get(), 1);
}
