//! Registering, resolving, waiting, listing.

use std::rc::Rc;
use std::time::Duration;

use futures::future::join;
use vatmux::samgr::{Access, Descriptor, Limits, MAX_PAGE_SERVICES, Policy, Right, Status};
use vatmux::schema::health::{HEALTH_DESCRIPTOR, Health, HealthDouble};
use vatmux::service::{Service as _, Stub as _};

use crate::world::{ROUND_TRIP, World, adder, name, node, prefix, status};

#[test]
fn what_one_registers_another_calls_on_whichever_thread_the_two_are() {
    for (provider, caller) in [(0, 0), (0, 1), (1, 0)] {
        let mut world = World::open();
        world.run(async |guide| {
            let provider = guide.visitor(1, provider).await;
            let _registered = provider.register("adder", 7).await.unwrap();
            let caller = guide.visitor(2, caller).await;
            let found = caller.client.resolve::<Health>(&name("adder")).await.unwrap();
            assert_eq!(found.service.ping(1).await.unwrap(), 8);
            assert_eq!(
                found.descriptor,
                Descriptor {
                    name: "adder".into(),
                    interface_id: HEALTH_DESCRIPTOR.interface.id,
                    schema_digest: Health::DESCRIPTOR.digest.0.to_vec(),
                    version: "1".into(),
                    node: node(1).to_string(),
                    generation: found.descriptor.generation,
                    revision: found.descriptor.revision,
                    priority: 0,
                    local: false,
                }
            );
        });
    }
}

#[test]
fn to_resolve_and_call_costs_one_round_trip() {
    for (provider, caller) in [(0, 0), (0, 1)] {
        let mut world = World::open();
        world.run(async |guide| {
            let provider = guide.visitor(1, provider).await;
            let _registered = provider.register("adder", 7).await.unwrap();
            let caller = guide.visitor(2, caller).await;
            // The provider is as far away from the registry as the caller.
            let began = guide.now();
            let resolving = caller.client.resolve::<Health>(&name("adder"));
            assert_eq!(resolving.service().ping(1).await.unwrap(), 8);
            let took = guide.now().saturating_since(began);
            assert!(took <= 2 * ROUND_TRIP + ROUND_TRIP / 10, "{took:?}");
            // And a service of the node itself is no further than the node.
            let began = guide.now();
            let resolving = caller.client.resolve::<Health>(&name("vatmux.health"));
            assert_eq!(resolving.service().ping(1).await.unwrap(), 1);
            let took = guide.now().saturating_since(began);
            assert!(took <= ROUND_TRIP + ROUND_TRIP / 10, "{took:?}");
        });
    }
}

#[test]
fn a_name_is_free_when_its_handle_is_dropped_and_taken_anew_by_another_generation() {
    let mut world = World::open();
    world.run(async |guide| {
        let provider = guide.visitor(1, 0).await;
        let caller = guide.visitor(2, 1).await;
        let first = provider.register("adder", 1).await.unwrap();
        let old = caller.client.resolve::<Health>(&name("adder")).await.unwrap();
        let taken = caller.register("adder", 2).await;
        assert_eq!(status(taken), Some(Status::AlreadyRegistered));
        let generation = first.generation;
        drop(first);
        guide.handle.sleep(ROUND_TRIP).await;
        assert!(caller.ping("adder", 0).await.is_err());
        let second = caller.register("adder", 2).await.unwrap();
        assert!(second.generation > generation);
        assert_eq!(provider.ping("adder", 0).await, Ok(2));
        // Who has the first one keeps it for as long as its provider is there.
        assert_eq!(old.service.ping(0).await.unwrap(), 1);
    });
}

#[test]
fn a_provider_whose_session_ends_is_gone_and_calls_on_it_fail_as_disconnected() {
    for thread in 0..2 {
        let mut world = World::open();
        world.run(async |guide| {
            let provider = guide.visitor(1, 0).await;
            let registered = provider.register("adder", 1).await.unwrap();
            let caller = guide.visitor(2, thread).await;
            let found = caller.client.resolve::<Health>(&name("adder")).await.unwrap();
            provider.peer.close(vatmux::CloseCode::DONE);
            provider.peer.closed().await;
            let error = found.service.ping(0).await.unwrap_err();
            assert!(error.disconnected().is_some(), "{error}");
            assert!(caller.ping("adder", 0).await.unwrap_err().contains("Nobody offers"));
            drop(registered);
        });
    }
}

#[test]
fn a_registration_gives_way_to_one_of_its_own_node_where_both_agree() {
    let mut world = World::open();
    world.run(async |guide| {
        let replace = Policy { replace: true, ..Policy::default() };
        let replaceable = Policy { replaceable: true, ..replace };
        let (one, other) = (guide.visitor(1, 0).await, guide.visitor(2, 0).await);
        // The same node, by another session on another thread.
        let again = guide.visitor(1, 1).await;
        let first = one.client.register(&name("a"), &adder(1), "", replaceable).await.unwrap();
        let foreign = other.client.register(&name("a"), &adder(2), "", replace).await;
        assert_eq!(status(foreign), Some(Status::AlreadyRegistered));
        let unasked = again.register("a", 3).await;
        assert_eq!(status(unasked), Some(Status::AlreadyRegistered));
        let second = again.client.register(&name("a"), &adder(4), "", replace).await.unwrap();
        assert_eq!(other.ping("a", 0).await, Ok(4));
        assert_eq!(status(first.heartbeat().await), Some(Status::Gone));
        second.heartbeat().await.unwrap();
        let firm = one.client.register(&name("a"), &adder(5), "", replaceable).await;
        assert_eq!(status(firm), Some(Status::AlreadyRegistered), "the second is not replaceable");
        // The handle of what was replaced takes nothing with it.
        drop(first);
        guide.handle.sleep(ROUND_TRIP).await;
        assert_eq!(other.ping("a", 0).await, Ok(4));
    });
}

#[test]
fn a_registration_without_its_heartbeat_expires_though_its_session_lives() {
    let mut world = World::open();
    world.run(async |guide| {
        let provider = guide.visitor(1, 0).await;
        let caller = guide.visitor(2, 1).await;
        let policy = Policy { heartbeat: Some(Duration::from_secs(2)), ..Policy::default() };
        let registered = provider.client.register(&name("a"), &adder(1), "", policy).await.unwrap();
        for _ in 0..5 {
            guide.handle.sleep(Duration::from_millis(1_900)).await;
            registered.heartbeat().await.unwrap();
        }
        assert_eq!(caller.ping("a", 0).await, Ok(1));
        guide.handle.sleep(Duration::from_millis(2_100)).await;
        assert_eq!(status(registered.heartbeat().await), Some(Status::Gone));
        assert!(caller.ping("a", 0).await.is_err());
        // The name is free again, and the old handle does not take it away.
        let _second = caller.register("a", 2).await.unwrap();
        drop(registered);
        guide.handle.sleep(ROUND_TRIP).await;
        assert_eq!(provider.ping("a", 0).await, Ok(2));
    });
}

#[test]
fn who_waits_for_a_name_gets_it_as_soon_as_it_is_there_and_may_call_it_before() {
    for thread in 0..2 {
        let mut world = World::open();
        world.run(async |guide| {
            let provider = guide.visitor(1, 0).await;
            let caller = guide.visitor(2, thread).await;
            let waiting = caller.client.wait_for::<Health>(&name("a"), Duration::from_mins(1));
            let calling = waiting.service().ping(5);
            let registering = async {
                guide.handle.sleep(Duration::from_secs(25)).await;
                let _other = provider.register("b", 1).await.unwrap();
                guide.handle.sleep(Duration::from_secs(1)).await;
                let registered = provider.register("a", 1).await.unwrap();
                (registered, guide.now())
            };
            let (answer, (registered, at)) = join(calling, registering).await;
            assert_eq!(answer.unwrap(), 6);
            // To the provider and back, and to the caller: the registration's own answer left with the call.
            assert!(guide.now().saturating_since(at) <= ROUND_TRIP + ROUND_TRIP / 10);
            let found = waiting.await.unwrap();
            assert_eq!(found.descriptor.generation, registered.generation);
        });
    }
}

#[test]
fn a_listing_has_what_may_be_seen_once_and_in_order_page_by_page() {
    let mut world = World::new(2, Limits::default(), |peer| {
        if peer == node(1) { Access::full() } else { Access::none().and(prefix("s/"), Right::See) }
    });
    world.run(async |guide| {
        let provider = guide.visitor(1, 0).await;
        let mut held = Vec::new();
        for number in 0..25 {
            let called = format!("{}/{}", if number % 5 == 0 { "hidden" } else { "s" }, number * 7 % 25);
            held.push(provider.register(&called, number).await.unwrap());
        }
        let mut all: Vec<String> = Vec::new();
        for number in 0..25 {
            if number % 5 != 0 {
                all.push(format!("s/{}", number * 7 % 25));
            }
        }
        all.sort();
        let caller = guide.visitor(2, 1).await;
        for (asked, limit, pages) in [("", 4, 5), ("s", 1, 20), ("s", 0, 20), ("s/", 20, 1), ("", 1_000, 1)] {
            let (mut listed, mut after, mut asked_for) = (Vec::new(), None, 0);
            loop {
                let page = caller.client.list(&prefix(asked), after.as_ref(), limit).await.unwrap();
                asked_for += 1;
                assert!(page.services.len() <= limit.max(1) as usize);
                assert!(page.services.iter().all(|service| service.node == node(1).to_string()));
                listed.extend(page.services.into_iter().map(|service| service.name));
                match page.next {
                    Some(next) => after = Some(next),
                    None => break,
                }
            }
            assert_eq!(listed, all, "{asked} by {limit}");
            assert_eq!(asked_for, pages, "{asked} by {limit}");
        }
        let owner = provider.client.list(&prefix("vatmux."), None, 100).await.unwrap();
        let own: Vec<_> = owner.services.iter().map(|service| (&*service.name, service.local)).collect();
        assert_eq!(own, [("vatmux.health", true), ("vatmux.samgr", true)]);
        let health = &owner.services[0];
        assert_eq!(health.schema_digest, HEALTH_DESCRIPTOR.digest.0);
        assert_eq!(health.priority, HEALTH_DESCRIPTOR.priority.get());
    });
}

#[test]
fn a_page_has_no_more_services_than_the_bound_whatever_is_asked_for() {
    let mut world = World::open();
    world.run(async |guide| {
        let mut held = Vec::new();
        for number in [1, 2] {
            let provider = guide.visitor(number, 0).await;
            for service in 0..150 {
                held.push(provider.register(&format!("s/{number}/{service}"), 1).await.unwrap());
            }
            held.push(provider.register(&format!("t/{number}"), 1).await.unwrap());
        }
        let caller = guide.visitor(3, 1).await;
        let page = caller.client.list(&prefix("s/"), None, u32::MAX).await.unwrap();
        assert_eq!(page.services.len(), MAX_PAGE_SERVICES);
        let rest = caller.client.list(&prefix("s/"), page.next.as_ref(), u32::MAX).await.unwrap();
        assert_eq!(rest.services.len(), 300 - MAX_PAGE_SERVICES);
        assert_eq!(rest.next, None);
    });
}

#[test]
fn the_capability_of_a_provider_is_let_go_of_with_its_registration() {
    let mut world = World::open();
    world.run(async |guide| {
        let provider = guide.visitor(1, 0).await;
        let kept = Rc::new(1);
        let addend = kept.clone();
        let service = Health::serve(HealthDouble::default().on_ping(move |nonce| Ok(nonce + *addend)));
        let (called, policy) = (name("a"), Policy::default());
        let registered = provider.client.register(&called, &service, "1", policy).await.unwrap();
        drop(service);
        guide.handle.sleep(ROUND_TRIP).await;
        assert_eq!(Rc::strong_count(&kept), 2, "the registry has it");
        drop(registered);
        guide.handle.sleep(2 * ROUND_TRIP).await;
        assert_eq!(Rc::strong_count(&kept), 1);
    });
}

#[test]
fn what_is_resolved_twice_is_the_same_and_is_let_go_of_when_nobody_has_it() {
    let mut world = World::new(2, Limits { ways_per_peer: 1, ..Limits::default() }, |_| Access::full());
    world.run(async |guide| {
        let provider = guide.visitor(1, 0).await;
        let _a = provider.register("a", 1).await.unwrap();
        let _b = provider.register("b", 2).await.unwrap();
        let caller = guide.visitor(2, 1).await;
        let first = caller.client.resolve::<Health>(&name("a")).await.unwrap();
        let second = caller.client.resolve::<Health>(&name("a")).await.unwrap();
        let other = caller.client.resolve::<Health>(&name("b")).await;
        assert_eq!(other.unwrap_err().status(), Some(&Status::TooMany));
        drop(first);
        assert_eq!(second.service.ping(0).await.unwrap(), 1);
        drop(second);
        guide.handle.sleep(ROUND_TRIP).await;
        assert_eq!(caller.ping("b", 0).await, Ok(2));
    });
}
