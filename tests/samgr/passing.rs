//! Capabilities that are passed on: in parameters and results, from thread to thread, and back again.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use capnp::capability::FromClientHook;
use vatmux::samgr::{Access, Limits, Policy, Status};
use vatmux::schema::health::Health;
use vatmux::schema::samgr::{
    Samgr, SamgrDouble, SamgrRegisterResults, SamgrServer, SamgrWatchResults, Watch, WatchDouble, Watcher,
    WatcherDouble,
};
use vatmux::schema::samgr_capnp::samgr;
use vatmux::service::{Call, Capability, Refusal, Stub};

use crate::world::{ROUND_TRIP, World, name, prefix};

/// A service that takes a capability with a call, and keeps it.
fn taker(taken: &Rc<RefCell<Vec<Watcher>>>) -> Samgr {
    let taken = taken.clone();
    Samgr::serve(SamgrDouble::default().on_watch(move |_, watcher, _, _| {
        taken.borrow_mut().push(watcher);
        Ok(SamgrWatchResults { watch: Watch::serve(WatchDouble::default()), epoch: 1 })
    }))
}

#[test]
fn capabilities_in_parameters_and_results_reach_the_other_side_and_lead_back() {
    for thread in 0..2 {
        let mut world = World::open();
        world.run(async |guide| {
            let provider = guide.visitor(1, 0).await;
            let taken = Rc::default();
            let service = taker(&taken);
            let _registered =
                provider.client.register(&name("taker"), &service, "", Policy::default()).await.unwrap();
            let caller = guide.visitor(2, thread).await;
            let resolving = caller.client.resolve::<Samgr>(&name("taker"));

            let told = Rc::new(RefCell::new(Vec::new()));
            let tell = told.clone();
            let watcher = Watcher::serve(WatcherDouble::default().on_current(move |revision| {
                tell.borrow_mut().push(revision);
                Ok(())
            }));
            // Before the answer is there, and after it.
            resolving.service().watch("", &watcher, 0, 0).await.unwrap();
            let found = resolving.await.unwrap().service;
            let kept = found.watch("", &watcher, 0, 0).await.unwrap();
            let watchers = taken.borrow().clone();
            for (watcher, revision) in watchers.iter().zip(7..) {
                watcher.current(revision).await.unwrap();
            }
            guide.handle.sleep(2 * ROUND_TRIP).await;
            assert_eq!(*told.borrow(), [7, 8]);
            drop(kept);

            // The provider's own, by the way that it came.
            let hook = found.capability().client().clone().into_client_hook();
            let own = Watcher::of(Capability::of(FromClientHook::new(hook)));
            found.watch("", &own, 0, 0).await.unwrap();
            let own = taken.borrow().last().cloned().unwrap();
            // It is no watcher, as whoever calls it finds out.
            let called = async {
                own.current(1).await?;
                guide.handle.sleep(4 * ROUND_TRIP).await;
                own.current(2).await
            };
            let error = called.await.unwrap_err().to_string();
            assert!(error.contains("not implemented"), "{error}");
        });
    }
}

#[test]
fn a_session_that_dies_gives_back_all_that_it_held() {
    let limits = Limits {
        registrations_per_peer: 2,
        waits_per_peer: 2,
        watches_per_peer: 2,
        ways_per_peer: 1,
        ..Limits::default()
    };
    let mut world = World::new(2, limits, |_| Access::full());
    world.run(async |guide| {
        let provider = guide.visitor(1, 0).await;
        let _adder = provider.register("adder", 1).await.unwrap();
        for _ in 0..3 {
            let visitor = guide.visitor(2, 1).await;
            let found = visitor.client.resolve::<Health>(&name("adder")).await.unwrap();
            let calling = found.service.ping(1);
            let mut held = Vec::new();
            let mut watches = Vec::new();
            let mut waits = Vec::new();
            for number in 0..2 {
                held.push(visitor.register(&format!("s/{number}"), 1).await.unwrap());
                watches.push(visitor.client.watch(&prefix(""), None).await.unwrap());
                let patience = Duration::from_mins(10);
                waits.push(visitor.client.wait_for::<Health>(&name("nothing"), patience).into_future());
            }
            assert_eq!(calling.await.unwrap(), 2);
            visitor.cut();
            guide.handle.sleep(Duration::from_secs(15)).await;
            assert_eq!(guide.registry.len(), 3, "the provider's, and the node's own");
            for waiting in waits {
                assert!(waiting.await.unwrap_err().disconnected().is_some());
            }
            for watching in &mut watches {
                while watching.next().await.is_ok() {}
            }
        }
    });
}

#[test]
fn a_call_that_its_caller_gives_up_is_given_up_at_the_provider() {
    for thread in 0..2 {
        let mut world = World::open();
        world.run(async |guide| {
            let provider = guide.visitor(1, 0).await;
            // The registry that it offers in turn has nothing for who waits.
            let own = Samgr::serve(Forwarding(provider.client.clone(), Rc::default()));
            let _registered =
                provider.client.register(&name("other"), &own, "", Policy::default()).await.unwrap();
            let caller = guide.visitor(2, thread).await;
            let other = caller.client.resolve::<Samgr>(&name("other")).await.unwrap().service;
            let error = vatmux::deadline::with(Duration::from_secs(2), || other.wait_for("nothing", 60_000));
            assert!(error.await.is_err_and(|error| error.is_deadline()));
            drop(other.wait_for("nothing", 60_000));
            guide.handle.sleep(4 * ROUND_TRIP).await;
            let again = other.wait_for("nothing", 1).await;
            assert_eq!(again.err().and_then(|error| error.status().copied()), Some(Status::TimedOut));
        });
    }
}

/// Waits at another registry, for one caller at a time.
struct Forwarding(vatmux::samgr::Client, Rc<RefCell<()>>);

impl SamgrServer for Forwarding {
    async fn register(
        &self,
        _call: &Call,
        _params: samgr::register_params::Reader<'_>,
    ) -> Result<SamgrRegisterResults, Refusal<Status>> {
        Err(Status::AccessDenied.into())
    }

    async fn resolve(
        &self,
        _call: &Call,
        _name: &str,
        _results: samgr::resolve_results::Builder<'_>,
    ) -> Result<(), Refusal<Status>> {
        Err(Status::NotFound.into())
    }

    #[allow(clippy::await_holding_refcell_ref, reason = "that it is held is what is looked at")]
    async fn wait_for(
        &self,
        _call: &Call,
        called: &str,
        timeout_millis: u32,
        _results: samgr::wait_for_results::Builder<'_>,
    ) -> Result<(), Refusal<Status>> {
        let Ok(_alone) = self.1.try_borrow_mut() else { return Err(Status::TooMany.into()) };
        let patience = Duration::from_millis(timeout_millis.into());
        self.0.wait_for::<Health>(&name(called), patience).await?;
        Ok(())
    }

    async fn list(
        &self,
        _call: &Call,
        _prefix: &str,
        _cursor: &[u8],
        _limit: u32,
        _results: samgr::list_results::Builder<'_>,
    ) -> Result<(), Refusal<Status>> {
        Err(Status::InvalidCursor.into())
    }

    async fn watch(
        &self,
        _call: &Call,
        _prefix: &str,
        _watcher: Watcher,
        _since: u64,
        _epoch: u64,
    ) -> Result<SamgrWatchResults, Refusal<Status>> {
        Err(Status::TooMany.into())
    }
}
