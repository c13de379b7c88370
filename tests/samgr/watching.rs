//! What a watch tells.

use std::time::Duration;

use vatmux::samgr::{Access, Event, Limits, Policy, Right, Seen, WATCHER_PATIENCE, WatchError, Watching};

use crate::world::{ONE_WAY, ROUND_TRIP, World, adder, name, node, prefix};

/// An event in short.
fn short(event: &Event) -> String {
    match event {
        Event::Registered(descriptor) => format!("+{}", descriptor.name),
        Event::Unregistered { name, reason, .. } => format!("-{name} {reason:?}"),
        Event::Current(_) => "current".to_owned(),
        Event::Compacted(_) => "compacted".to_owned(),
    }
}

async fn next(watching: &mut Watching) -> String {
    short(&watching.next().await.unwrap())
}

async fn take(watching: &mut Watching, count: usize) -> Vec<String> {
    let mut taken = Vec::new();
    for _ in 0..count {
        taken.push(next(watching).await);
    }
    taken
}

#[test]
fn a_watch_tells_what_there_is_then_that_this_was_all_then_each_change() {
    let mut world = World::open();
    world.run(async |guide| {
        let provider = guide.visitor(1, 0).await;
        let a = provider.register("s/a", 1).await.unwrap();
        let _other = provider.register("t/a", 1).await.unwrap();
        let watcher = guide.visitor(2, 1).await;
        let mut watching = watcher.client.watch(&prefix("s/"), None).await.unwrap();
        assert_eq!(take(&mut watching, 2).await, ["+s/a", "current"]);
        let b = provider.register("s/b", 1).await.unwrap();
        drop(a);
        guide.handle.sleep(ROUND_TRIP).await;
        let _a = provider.register("s/a", 2).await.unwrap();
        drop(b);
        let told = take(&mut watching, 4).await;
        assert_eq!(told, ["+s/b", "-s/a Dropped", "+s/a", "-s/b Dropped"]);
    });
}

#[test]
fn a_watch_says_why_a_service_is_gone() {
    let mut world = World::open();
    world.run(async |guide| {
        let (provider, again) = (guide.visitor(1, 0).await, guide.visitor(1, 1).await);
        let watcher = guide.visitor(2, 1).await;
        let mut watching = watcher.client.watch(&prefix("s/"), None).await.unwrap();
        assert_eq!(next(&mut watching).await, "current");
        let policy = Policy { replace: true, replaceable: true, heartbeat: None };
        let _first = provider.client.register(&name("s/a"), &adder(1), "", policy).await.unwrap();
        let _second = again.client.register(&name("s/a"), &adder(1), "", policy).await.unwrap();
        let dying = Policy { heartbeat: Some(Duration::from_secs(1)), ..Policy::default() };
        let _dying = again.client.register(&name("s/b"), &adder(1), "", dying).await.unwrap();
        let _lost = provider.register("s/c", 1).await.unwrap();
        guide.handle.sleep(Duration::from_secs(2)).await;
        provider.peer.close(vatmux::CloseCode::DONE);
        let told = take(&mut watching, 7).await;
        let expected = ["+s/a", "-s/a Replaced", "+s/a", "+s/b", "+s/c", "-s/b Expired", "-s/c Disconnected"];
        assert_eq!(told, expected);
    });
}

#[test]
fn the_death_of_a_provider_reaches_every_watcher_within_the_keepalive_bound_and_a_round_trip() {
    let mut world = World::open();
    world.run(async |guide| {
        let provider = guide.visitor(1, 0).await;
        let _registered = provider.register("s/a", 1).await.unwrap();
        let mut watches = Vec::new();
        let mut watchers = Vec::new();
        for number in 2..10 {
            let watcher = guide.visitor(number, usize::from(number % 2)).await;
            let mut watching = watcher.client.watch(&prefix("s/"), None).await.unwrap();
            assert_eq!(take(&mut watching, 2).await, ["+s/a", "current"]);
            watches.push(watching);
            watchers.push(watcher);
        }
        guide.handle.sleep(Duration::from_millis(300)).await;
        let died = guide.now();
        provider.cut();
        for watching in &mut watches {
            assert_eq!(next(watching).await, "-s/a Disconnected");
        }
        let options = provider.peer.session().options();
        let bound = options.tick * options.limits.dead_after_ticks.0 as u32;
        let took = guide.now().saturating_since(died);
        assert!(took <= bound + ROUND_TRIP, "{took:?}, and the bound is {bound:?}");
        assert!(took > bound / 2, "it is the keepalive that finds out: {took:?}");
    });
}

#[test]
fn test_reject_slow_watchers_by_telling_them_that_they_missed_changes_and_what_there_is() {
    let limits = Limits { changes: 100, ..Limits::default() };
    let mut world = World::new(2, limits, |_| Access::full());
    world.run(async |guide| {
        let provider = guide.visitor(1, 0).await;
        let _kept = provider.register("s/kept", 1).await.unwrap();
        let watcher = guide.visitor(2, 1).await;
        let mut watching = watcher.client.watch(&prefix("s/"), None).await.unwrap();
        assert_eq!(take(&mut watching, 2).await, ["+s/kept", "current"]);
        // More than what may be on the way, and what is remembered, together; each in a call of its own.
        for number in 0..400 {
            drop(provider.register(&format!("s/{number:0200}"), 1).await.unwrap());
        }
        let _last = provider.register("s/last", 1).await.unwrap();
        let (mut changes, mut seen) = (0, 0);
        let compacted_at = loop {
            match watching.next().await.unwrap() {
                Event::Registered(descriptor) => {
                    assert!(descriptor.revision > seen);
                    seen = descriptor.revision;
                }
                Event::Unregistered { revision, .. } => {
                    assert!(revision > seen);
                    seen = revision;
                }
                Event::Compacted(revision) => break revision,
                Event::Current(_) => panic!("it was told what there is"),
            }
            changes += 1;
        };
        assert!(changes < 800 && compacted_at > seen, "{changes}");
        let told = take(&mut watching, 3).await;
        assert_eq!(told, ["+s/kept", "+s/last", "current"]);
        assert_eq!(watching.seen().unwrap().revision, compacted_at);
        let _more = provider.register("s/more", 1).await.unwrap();
        assert_eq!(next(&mut watching).await, "+s/more");
    });
}

#[test]
fn a_watcher_that_takes_nothing_is_let_go_of_and_holds_up_nobody() {
    let mut world = World::open();
    world.run(async |guide| {
        let provider = guide.visitor(1, 0).await;
        let watcher = guide.visitor(2, 0).await;
        let mut stuck = watcher.client.watch(&prefix("s/"), None).await.unwrap();
        let mut quick = watcher.client.watch(&prefix("s/"), None).await.unwrap();
        assert_eq!(next(&mut stuck).await, "current");
        assert_eq!(next(&mut quick).await, "current");
        let _a = provider.register("s/a", 1).await.unwrap();
        assert_eq!(next(&mut quick).await, "+s/a");
        guide.handle.sleep(WATCHER_PATIENCE + Duration::from_secs(1)).await;
        let _b = provider.register("s/b", 1).await.unwrap();
        assert_eq!(next(&mut quick).await, "+s/b");
        assert_eq!(next(&mut stuck).await, "+s/a", "it was delivered in time");
        let ended = loop {
            match stuck.next().await {
                Ok(_) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(ended, WatchError::Ended);
    });
}

#[test]
fn a_watch_goes_on_where_another_ended_or_says_that_it_cannot() {
    let limits = Limits { changes: 10, ..Limits::default() };
    let mut world = World::new(2, limits, |_| Access::full());
    world.run(async |guide| {
        let provider = guide.visitor(1, 0).await;
        let _a = provider.register("s/a", 1).await.unwrap();
        let watcher = guide.visitor(2, 1).await;
        let mut watching = watcher.client.watch(&prefix("s/"), None).await.unwrap();
        assert_eq!(watching.seen(), None);
        assert_eq!(take(&mut watching, 2).await, ["+s/a", "current"]);
        let seen = watching.seen().unwrap();
        drop(watching);
        let again = watcher.client.watch(&prefix("s/"), Some(seen)).await.unwrap().next().await.unwrap();
        assert_eq!(again, Event::Current(seen.revision), "nothing happened");
        let _b = provider.register("s/b", 1).await.unwrap();
        let _elsewhere = provider.register("t/b", 1).await.unwrap();
        let mut watching = watcher.client.watch(&prefix("s/"), Some(seen)).await.unwrap();
        assert_eq!(take(&mut watching, 2).await, ["+s/b", "current"]);
        let listed = watcher.client.list(&prefix("s/"), None, 10).await.unwrap().seen;
        assert_eq!(watching.seen(), Some(listed));
        for number in 0..10 {
            drop(provider.register(&format!("t/{number}"), 1).await.unwrap());
        }
        guide.handle.sleep(ROUND_TRIP).await;
        // It was told all that it may see: what it may not see does not make it late.
        let _c = provider.register("s/c", 1).await.unwrap();
        assert_eq!(next(&mut watching).await, "+s/c");
        let latest = watching.seen().unwrap();
        let unknown = [
            seen,
            Seen { epoch: latest.epoch + 1, revision: latest.revision },
            Seen { epoch: seen.epoch, revision: u64::MAX },
        ];
        for unknown in unknown {
            let mut watching = watcher.client.watch(&prefix("s/"), Some(unknown)).await.unwrap();
            let told = guide.handle.timeout(ROUND_TRIP, take(&mut watching, 5)).await.unwrap();
            assert_eq!(told, ["compacted", "+s/a", "+s/b", "+s/c", "current"], "{unknown:?}");
        }
    });
}

#[test]
fn a_watch_tells_nothing_of_what_may_not_be_seen() {
    let mut world = World::new(1, Limits::default(), |peer| {
        if peer == node(1) { Access::full() } else { Access::none().and(prefix("shared/"), Right::See) }
    });
    world.run(async |guide| {
        let provider = guide.visitor(1, 0).await;
        let _secret = provider.register("secret", 1).await.unwrap();
        let guest = guide.visitor(2, 0).await;
        let mut watching = guest.client.watch(&prefix(""), None).await.unwrap();
        assert_eq!(next(&mut watching).await, "current");
        drop(provider.register("hidden", 1).await.unwrap());
        let _shared = provider.register("shared/a", 1).await.unwrap();
        assert_eq!(next(&mut watching).await, "+shared/a");
    });
}

#[test]
fn a_change_is_told_after_the_time_that_the_link_takes() {
    let mut world = World::open();
    world.run(async |guide| {
        let provider = guide.visitor(1, 0).await;
        let watcher = guide.visitor(2, 1).await;
        let mut watching = watcher.client.watch(&prefix("s/"), None).await.unwrap();
        assert_eq!(next(&mut watching).await, "current");
        let began = guide.now();
        let registering = provider.register("s/a", 1);
        let (registered, told) = futures::future::join(registering, next(&mut watching)).await;
        assert_eq!((registered.is_ok(), &*told), (true, "+s/a"));
        assert_eq!(guide.now().saturating_since(began), ONE_WAY + ONE_WAY);
        let revisions = watching.seen().map(|seen| seen.revision);
        assert_eq!(revisions, registered.ok().map(|registered| registered.revision));
    });
}
