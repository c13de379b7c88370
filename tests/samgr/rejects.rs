//! What the registry refuses, by the schema's words.

use std::time::Duration;

use vatmux::samgr::{Access, Event, Limits, Policy, Right, Status};
use vatmux::schema::health::Health;
use vatmux::schema::samgr::{Samgr, Watcher, WatcherDouble};
use vatmux::service::{self, Stub};

use crate::world::{ROUND_TRIP, Visitor, World, adder, name, node, prefix, status};

fn refusal<T>(answer: Result<T, service::Error<Status>>) -> Option<Status> {
    answer.err().and_then(|error| error.status().copied())
}

/// The stub, for those who do not keep to our client's manners.
fn stub(visitor: &Visitor) -> Samgr {
    visitor.peer.connect().unwrap()
}

fn set_adder(params: vatmux::schema::samgr_capnp::samgr::register_params::Builder<'_>) {
    use capnp::capability::FromClientHook as _;
    let client = adder(1).capability().client().clone();
    params.init_service().set_as_capability(client.into_client_hook());
}

#[test]
fn test_reject_invalid_name_in_every_method() {
    let mut world = World::open();
    world.run(async |guide| {
        let visitor = guide.visitor(1, 0).await;
        let stub = stub(&visitor);
        let long = "n".repeat(256);
        for wrong in ["a b", "a\0", "\u{1b}[2J", &long, ""] {
            let registered = stub.register(|mut params| {
                params.set_name(wrong);
                set_adder(params);
            });
            assert_eq!(refusal(registered.await), Some(Status::InvalidName), "{wrong:?}");
            assert_eq!(refusal(stub.resolve(wrong).await), Some(Status::InvalidName), "{wrong:?}");
            assert_eq!(refusal(stub.wait_for(wrong, 10).await), Some(Status::InvalidName), "{wrong:?}");
            if !wrong.is_empty() {
                assert_eq!(refusal(stub.list(wrong, b"", 10).await), Some(Status::InvalidName), "{wrong:?}");
                let watcher = Watcher::serve(WatcherDouble::default());
                let watch = stub.watch(wrong, &watcher, 0, 0).await;
                assert_eq!(refusal(watch), Some(Status::InvalidName), "{wrong:?}");
            }
        }
    });
}

#[test]
fn test_reject_malformed_registrations() {
    let mut world = World::open();
    world.run(async |guide| {
        let visitor = guide.visitor(1, 0).await;
        let stub = stub(&visitor);
        let nothing = stub.register(|mut params| params.set_name("a")).await;
        assert_eq!(refusal(nothing), Some(Status::Malformed));
        for (digest, version) in [(31, ""), (33, ""), (1, ""), (32, "v\u{7}"), (0, &*"v".repeat(65))] {
            let registered = stub.register(|mut params| {
                params.set_name("a");
                let mut descriptor = params.reborrow().init_descriptor();
                descriptor.set_schema_digest(&vec![1; digest]);
                descriptor.set_version(version);
                set_adder(params);
            });
            assert_eq!(refusal(registered.await), Some(Status::Malformed), "{digest} {version:?}");
        }
        let not_utf8 = stub.register(|mut params| {
            params.set_name(capnp::text::Reader(b"\xff"));
            set_adder(params);
        });
        assert_eq!(refusal(not_utf8.await), Some(Status::Malformed));
        assert_eq!(refusal(stub.wait_for("a", 600_001).await), Some(Status::Malformed));
        assert_eq!(guide.registry.len(), 2, "the node's own services");
        // As much as there may be of each.
        let registering = stub.register(|mut params| {
            params.set_name("a");
            let mut descriptor = params.reborrow().init_descriptor();
            descriptor.set_schema_digest(&[1; 32]);
            descriptor.set_version("v".repeat(64));
            set_adder(params);
        });
        let _registered = registering.await.unwrap();
        stub.wait_for("a", 600_000).await.unwrap();
    });
}

#[test]
fn test_reject_malformed_a_capability_that_is_not_the_callers_own() {
    let mut world = World::open();
    world.run(async |guide| {
        let (one, other) = (guide.visitor(1, 0).await, guide.visitor(2, 1).await);
        let _registered = one.register("adder", 1).await.unwrap();
        for called in ["vatmux.health", "adder"] {
            for visitor in [&one, &other] {
                let resolving = visitor.client.resolve::<Health>(&name(called));
                let early =
                    visitor.client.register(&name("mine"), &resolving.service(), "", Policy::default()).await;
                assert_eq!(status(early), Some(Status::Malformed), "{called}, pipelined");
                let found = resolving.await.unwrap();
                let late =
                    visitor.client.register(&name("mine"), &found.service, "", Policy::default()).await;
                assert_eq!(status(late), Some(Status::Malformed), "{called}");
            }
        }
    });
}

#[test]
fn test_reject_access_denied_names_that_the_caller_may_not_register() {
    let mut world = World::new(1, Limits::default(), |peer| {
        if peer == node(1) {
            Access::full()
        } else {
            Access::none().and(prefix("guest/"), Right::Register).and(prefix("shared/"), Right::See)
        }
    });
    world.run(async |guide| {
        let (owner, guest) = (guide.visitor(1, 0).await, guide.visitor(2, 0).await);
        let _held = owner.register("secret", 1).await.unwrap();
        for denied in ["secret", "nothing", "shared/a", "guest", "vatmux.health"] {
            assert_eq!(status(guest.register(denied, 1).await), Some(Status::AccessDenied), "{denied}");
        }
        let _own = guest.register("guest/a", 1).await.unwrap();
    });
}

#[test]
fn test_reject_not_found_what_may_not_be_seen_as_if_it_were_not_there() {
    let mut world = World::new(2, Limits::default(), |peer| {
        if peer == node(1) { Access::full() } else { Access::none().and(prefix("shared/"), Right::See) }
    });
    world.run(async |guide| {
        let (owner, guest) = (guide.visitor(1, 0).await, guide.visitor(2, 1).await);
        let _held =
            [owner.register("secret", 1).await.unwrap(), owner.register("shared/a", 2).await.unwrap()];
        let mut answers = Vec::new();
        for hidden in ["secret", "nothing", "vatmux.health"] {
            let began = guide.now();
            let error = guest.client.resolve::<Health>(&name(hidden)).await.unwrap_err();
            let took = guide.now().saturating_since(began);
            let began = guide.now();
            let waited = guest.client.wait_for::<Health>(&name(hidden), Duration::from_secs(5)).await;
            assert_eq!(refusal(waited), Some(Status::TimedOut));
            let waited = guide.now().saturating_since(began);
            let cursor = stub(&guest).list("", hidden.as_bytes(), 10).await;
            assert_eq!(refusal(cursor), Some(Status::InvalidCursor), "{hidden}");
            answers.push((error.to_string(), took, waited));
        }
        assert!(answers.windows(2).all(|pair| pair[0] == pair[1]), "{answers:?}");
        let page = guest.client.list(&prefix(""), None, 10).await.unwrap();
        assert_eq!(page.services.iter().map(|service| &*service.name).collect::<Vec<_>>(), ["shared/a"]);
        assert_eq!(guest.ping("shared/a", 0).await, Ok(2));
    });
}

#[test]
fn test_reject_timed_out_waits() {
    let mut world = World::open();
    world.run(async |guide| {
        let visitor = guide.visitor(1, 0).await;
        for seconds in [0, 1, 600] {
            let began = guide.now();
            let patience = Duration::from_secs(seconds);
            let waited = visitor.client.wait_for::<Health>(&name("a"), patience).await;
            assert_eq!(refusal(waited), Some(Status::TimedOut));
            assert_eq!(guide.now().saturating_since(began), patience + ROUND_TRIP);
        }
    });
}

#[test]
fn test_reject_invalid_cursor() {
    let mut world = World::open();
    world.run(async |guide| {
        let visitor = guide.visitor(1, 0).await;
        for (asked, cursor) in
            [("", &b"\xff"[..]), ("", b"a b"), ("a/", b"b/c"), ("a/", b"a"), ("", &[b'n'; 256])]
        {
            let listed = stub(&visitor).list(asked, cursor, 10).await;
            assert_eq!(refusal(listed), Some(Status::InvalidCursor), "{cursor:?}");
        }
    });
}

#[test]
fn test_reject_too_many_of_1000_registrations_by_one_peer_over_all_its_sessions() {
    let mut world = World::open();
    world.run(async |guide| {
        let sessions = [guide.visitor(1, 0).await, guide.visitor(1, 1).await];
        let mut held = Vec::new();
        for number in 0..1_000 {
            match sessions[number % 2].register(&format!("flood/{number}"), 1).await {
                Ok(registered) => held.push(registered),
                refused => assert_eq!(status(refused), Some(Status::TooMany)),
            }
        }
        assert_eq!(held.len(), Limits::default().registrations_per_peer);
        // Nobody else is any worse for it.
        let other = guide.visitor(2, 0).await;
        let _registered = other.register("mine", 1).await.unwrap();
        assert_eq!(other.ping("flood/0", 1).await, Ok(2));
        drop(held);
        guide.handle.sleep(ROUND_TRIP).await;
        assert_eq!(guide.registry.len(), 3);
        let _again = sessions[0].register("again", 1).await.unwrap();
    });
}

#[test]
fn test_reject_too_many_registrations_that_replace_one_another_and_are_all_held() {
    let limits = Limits { registrations_per_peer: 3, ..Limits::default() };
    let mut world = World::new(1, limits, |_| Access::full());
    world.run(async |guide| {
        let visitor = guide.visitor(1, 0).await;
        let policy = Policy { replace: true, replaceable: true, heartbeat: None };
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(visitor.client.register(&name("a"), &adder(1), "", policy).await.unwrap());
        }
        let fourth = visitor.client.register(&name("a"), &adder(1), "", policy).await;
        assert_eq!(status(fourth), Some(Status::TooMany));
        held.remove(0);
        visitor.client.register(&name("a"), &adder(1), "", policy).await.unwrap();
    });
}

#[test]
fn test_reject_too_many_waits_and_watches_and_what_is_let_go_of_makes_room() {
    let limits = Limits {
        waits_per_peer: 3,
        waits: 5,
        watches_per_peer: 3,
        watches: 5,
        registrations: 4,
        registrations_per_peer: 3,
        ..Limits::default()
    };
    let mut world = World::new(2, limits, |_| Access::full());
    world.run(async |guide| {
        let (one, other) = (guide.visitor(1, 0).await, guide.visitor(2, 1).await);
        let wait = |visitor: &Visitor, seconds| {
            visitor.client.wait_for::<Health>(&name("a"), Duration::from_secs(seconds)).into_future()
        };
        let waiting = [wait(&one, 60), wait(&one, 60), wait(&one, 60)];
        guide.handle.sleep(ROUND_TRIP).await;
        assert_eq!(refusal(wait(&one, 1).await), Some(Status::TooMany));
        let more = [wait(&other, 60), wait(&other, 60)];
        guide.handle.sleep(ROUND_TRIP).await;
        assert_eq!(refusal(wait(&other, 1).await), Some(Status::TooMany), "of all");
        drop((waiting, more));
        guide.handle.sleep(ROUND_TRIP).await;
        assert_eq!(refusal(wait(&other, 1).await), Some(Status::TimedOut));

        let all = prefix("");
        let mut watches = Vec::new();
        for visitor in [&one, &one, &one, &other, &other] {
            watches.push(visitor.client.watch(&all, None).await.unwrap());
        }
        assert_eq!(status(one.client.watch(&all, None).await), Some(Status::TooMany));
        assert_eq!(status(other.client.watch(&all, None).await), Some(Status::TooMany), "of all");
        drop(watches);
        guide.handle.sleep(ROUND_TRIP).await;
        let _watch = other.client.watch(&all, None).await.unwrap();

        let mut held = Vec::new();
        for number in 0..3 {
            held.push(one.register(&format!("one/{number}"), 1).await.unwrap());
        }
        held.push(other.register("other", 1).await.unwrap());
        assert_eq!(status(other.register("more", 1).await), Some(Status::TooMany), "of all");
    });
}

#[test]
fn test_reject_not_found_services_of_the_node_that_the_caller_is_not_permitted() {
    let mut world = World::open();
    world.permit(|peer, service| *peer != node(2) || service != "vatmux.health");
    world.run(async |guide| {
        let (one, other) = (guide.visitor(1, 0).await, guide.visitor(2, 0).await);
        let page = one.client.list(&prefix("vatmux."), None, 10).await.unwrap();
        assert_eq!(page.services.len(), 2);
        let page = other.client.list(&prefix("vatmux."), None, 10).await.unwrap();
        assert_eq!(page.services.iter().map(|service| &*service.name).collect::<Vec<_>>(), ["vatmux.samgr"]);
        let resolved = other.client.resolve::<Health>(&name("vatmux.health")).await;
        assert_eq!(refusal(resolved), Some(Status::NotFound));
        let waited = other.client.wait_for::<Health>(&name("vatmux.health"), Duration::from_secs(1)).await;
        assert_eq!(refusal(waited), Some(Status::TimedOut));
        let mut watching = other.client.watch(&prefix("vatmux."), None).await.unwrap();
        assert!(
            matches!(watching.next().await, Ok(Event::Registered(service)) if service.name == "vatmux.samgr")
        );
        assert!(matches!(watching.next().await, Ok(Event::Current(_))));
    });
}
