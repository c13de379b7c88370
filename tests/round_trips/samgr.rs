//! What is claimed of samgr, and of the watchers that it tells of changes.
//!
//! A wait waits by itself. Everything else is answered from memory, and is held at the door of the service. Watchers are the caller's:
//! their calls are the service's.

use std::cell::RefCell;
use std::rc::Rc;

use capnp::capability::FromClientHook;
use futures::channel::oneshot;
use futures::future::select;
use vatmux::schema::health::{Health, HealthDouble};
use vatmux::schema::samgr::{
    REGISTRATION_INTERFACE, SAMGR_DESCRIPTOR, SAMGR_INTERFACE, Samgr, SamgrRegisterResults, Status,
    WATCHER_INTERFACE, Watcher, WatcherServer,
};
use vatmux::schema::samgr_capnp::{Conflict, change, watcher};
use vatmux::service::{Call, Error, Stub};

use crate::claim::{Asked, Claim, Ended, Hold, Interrupted, Pending, good, interrupted, refused};
use crate::list::{Contract, Elsewhere};
use crate::scene::Scene;
use crate::stage::OnStage;
use crate::visit::Visit;

const REGISTER: Asked = Asked::of(&SAMGR_INTERFACE, "register");
const RESOLVE: Asked = Asked::of(&SAMGR_INTERFACE, "resolve");
const WAIT_FOR: Asked = Asked::of(&SAMGR_INTERFACE, "waitFor");
const LIST: Asked = Asked::of(&SAMGR_INTERFACE, "list");
const WATCH: Asked = Asked::of(&SAMGR_INTERFACE, "watch");
const HEARTBEAT: Asked = Asked::of(&REGISTRATION_INTERFACE, "heartbeat");
const CHANGES: Asked = Asked::of(&WATCHER_INTERFACE, "changes");
const CURRENT: Asked = Asked::of(&WATCHER_INTERFACE, "current");
const COMPACTED: Asked = Asked::of(&WATCHER_INTERFACE, "compacted");

/// A revision that no registry has had, and an epoch that is none's.
const UNKNOWN: (u64, u64) = (1 << 40, 0);

/// What its schema says of refusals.
pub(crate) fn contract() -> Contract {
    use Status::{
        AccessDenied, AlreadyRegistered, Gone, InvalidCursor, InvalidName, IoError, Malformed, NotFound,
        TimedOut, TooMany,
    };

    Contract::new(
        &SAMGR_DESCRIPTOR,
        &[
            (REGISTER, &[&[InvalidName, AccessDenied, AlreadyRegistered, Malformed, TooMany]]),
            (RESOLVE, &[&[InvalidName, NotFound]]),
            (WAIT_FOR, &[&[InvalidName, Malformed, TimedOut, TooMany]]),
            (LIST, &[&[InvalidName, InvalidCursor]]),
            (WATCH, &[&[InvalidName, TooMany]]),
            (HEARTBEAT, &[&[Gone]]),
        ],
        vec![(IoError, Elsewhere { why: "a registry is in memory, where nothing fails", tested: None })],
    )
}

fn samgr(visit: &Visit) -> Samgr {
    visit.peer.connect().unwrap()
}

/// A service that adds one to what it is pinged with.
fn adder() -> Health {
    Health::serve(HealthDouble::default().on_ping(|nonce| Ok(nonce + 1)))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Offer {
    /// A service that holds its name against others.
    Firm,
    /// One that takes the place of another, and lets others take its own.
    Loose,
    Nothing,
}

async fn register(samgr: &Samgr, name: &str, offer: Offer) -> Result<SamgrRegisterResults, Error<Status>> {
    let registered = samgr.register(|mut params| {
        params.set_name(name);
        if offer != Offer::Nothing {
            let client = adder().capability().client().clone();
            params.reborrow().init_service().set_as_capability(client.into_client_hook());
        }
        let mut policy = params.init_policy();
        policy.set_conflict(if offer == Offer::Loose { Conflict::Replace } else { Conflict::Refuse });
        policy.set_replaceable(offer == Offer::Loose);
    });
    registered.await
}

/// What a watcher was told, in words.
#[derive(Clone)]
struct Told {
    words: Rc<RefCell<Vec<String>>>,
    /// Dropped with the watcher.
    _held: Rc<oneshot::Sender<()>>,
}

impl WatcherServer for Told {
    async fn changes(&self, _: &Call, params: watcher::changes_params::Reader<'_>) -> capnp::Result<()> {
        for change in params.get_changes()? {
            let said = match change.which()? {
                change::Registered(descriptor) => format!("+{}", descriptor?.get_name()?.to_str()?),
                change::Unregistered(gone) => format!("-{}", gone.get_name()?.to_str()?),
            };
            self.words.borrow_mut().push(said);
        }
        Ok(())
    }

    async fn current(&self, _: &Call, _: u64) -> capnp::Result<()> {
        self.words.borrow_mut().push("current".to_owned());
        Ok(())
    }

    async fn compacted(&self, _: &Call, _: u64) -> capnp::Result<()> {
        self.words.borrow_mut().push("compacted".to_owned());
        Ok(())
    }
}

/// A watcher on the stage of a visit, what it is told, and when nobody has it any more.
fn watcher(visit: &Visit) -> (Watcher, Rc<RefCell<Vec<String>>>, oneshot::Receiver<()>) {
    let words = Rc::default();
    let (held, let_go) = oneshot::channel();
    let told = Told { words: Rc::clone(&words), _held: Rc::new(held) };
    (Watcher::serve(OnStage::of::<Watcher, _>(&visit.stage, told)), words, let_go)
}

pub(crate) fn claims() -> Vec<Claim> {
    [good_calls(), refusals(), interruptions(), of_watchers()].into_iter().flatten().collect()
}

fn good_calls() -> Vec<Claim> {
    let on = Scene::Registry;
    let registered_and_resolved = |visit: Visit| async move {
        let other = samgr(&visit.as_a_stranger().await);
        let registered = register(&other, "org.adder", Offer::Firm).await.unwrap();
        let samgr = samgr(&visit);
        let response = samgr.resolve("org.adder").await.unwrap();
        let found = response.get().unwrap();
        assert_eq!(found.get_descriptor().unwrap().get_generation(), registered.generation);
        let client = found.get_service().get_as_capability().unwrap();
        let adder = Health::of(samgr.capability().derive(client));
        assert_eq!(adder.ping(6).await.unwrap(), 7);
        drop(registered);
        // Its handle is let go of, and then the name.
        while samgr.resolve("org.adder").await.is_ok() {}
    };
    vec![
        good(REGISTER, on, registered_and_resolved),
        good(RESOLVE, on, registered_and_resolved),
        good(WAIT_FOR, on, |visit| async move {
            let samgr = samgr(&visit);
            let waiting = samgr.wait_for("org.adder", 600_000);
            visit.backstage.under_way(WAIT_FOR).await;
            let _registered = register(&samgr, "org.adder", Offer::Firm).await.unwrap();
            let response = waiting.await.unwrap();
            assert_eq!(response.get().unwrap().get_descriptor().unwrap().get_name().unwrap(), "org.adder");
        }),
        good(LIST, on, |visit| async move {
            let samgr = samgr(&visit);
            let (_one, _two) = (
                register(&samgr, "org.a", Offer::Firm).await.unwrap(),
                register(&samgr, "org.b", Offer::Firm).await.unwrap(),
            );
            let response = samgr.list("org.", b"", 1).await.unwrap();
            let page = response.get().unwrap();
            assert_eq!(page.get_services().unwrap().get(0).get_name().unwrap(), "org.a");
            let response = samgr.list("org.", page.get_next().unwrap(), 1).await.unwrap();
            let page = response.get().unwrap();
            assert_eq!(page.get_services().unwrap().get(0).get_name().unwrap(), "org.b");
            assert!(page.get_next().unwrap().is_empty());
        }),
        good(WATCH, on, |visit| async move {
            let (samgr, (watcher, words, _)) = (samgr(&visit), watcher(&visit));
            let watch = samgr.watch("org.", &watcher, 0, 0).await.unwrap();
            visit.stage.seen_so_many(CURRENT.key(), 1).await;
            let registered = register(&samgr, "org.a", Offer::Firm).await.unwrap();
            visit.stage.seen_so_many(CHANGES.key(), 1).await;
            drop(registered);
            visit.stage.seen_so_many(CHANGES.key(), 2).await;
            visit.stage.over(CHANGES.key()).await;
            assert_eq!(*words.borrow(), ["current", "+org.a", "-org.a"]);
            drop(watch);
        }),
        good(HEARTBEAT, on, |visit| async move {
            let registered = register(&samgr(&visit), "org.a", Offer::Firm).await.unwrap();
            registered.registration.heartbeat().await.unwrap();
        }),
    ]
}

fn refusals() -> Vec<Claim> {
    const BLANK: &str = "two words";
    let on = Scene::Registry;
    let (guest, full) = (Scene::RegistryOfAGuest, Scene::FullRegistry);
    vec![
        refused(REGISTER, Status::InvalidName, on, |visit| async move {
            register(&samgr(&visit), BLANK, Offer::Firm).await
        }),
        refused(REGISTER, Status::AccessDenied, guest, |visit| async move {
            register(&samgr(&visit), "shared.a", Offer::Firm).await
        }),
        refused(REGISTER, Status::AlreadyRegistered, on, |visit| async move {
            let samgr = samgr(&visit);
            let _first = register(&samgr, "org.a", Offer::Firm).await.unwrap();
            register(&samgr, "org.a", Offer::Loose).await
        }),
        refused(REGISTER, Status::Malformed, on, |visit| async move {
            register(&samgr(&visit), "org.a", Offer::Nothing).await
        }),
        refused(REGISTER, Status::TooMany, full, |visit| async move {
            let samgr = samgr(&visit);
            let _first = register(&samgr, "org.a", Offer::Firm).await.unwrap();
            register(&samgr, "org.b", Offer::Firm).await
        }),
        refused(RESOLVE, Status::InvalidName, on, |visit| async move { samgr(&visit).resolve(BLANK).await }),
        refused(RESOLVE, Status::NotFound, on, |visit| async move { samgr(&visit).resolve("org.a").await }),
        refused(RESOLVE, Status::NotFound, guest, |visit| async move {
            // It is there, and the caller may not see it.
            let samgr = samgr(&visit);
            samgr.resolve(SAMGR_DESCRIPTOR.name).await
        }),
        refused(
            WAIT_FOR,
            Status::InvalidName,
            on,
            |visit| async move { samgr(&visit).wait_for(BLANK, 1).await },
        ),
        refused(WAIT_FOR, Status::Malformed, on, |visit| async move {
            samgr(&visit).wait_for("org.a", 600_001).await
        }),
        refused(WAIT_FOR, Status::TimedOut, on, |visit| async move { waited_for(&visit, "org.a").await }),
        refused(WAIT_FOR, Status::TooMany, full, |visit| async move {
            let samgr = samgr(&visit);
            let _first = samgr.wait_for("org.a", 600_000);
            visit.backstage.under_way(WAIT_FOR).await;
            samgr.wait_for("org.a", 600_000).await
        }),
        refused(
            LIST,
            Status::InvalidName,
            on,
            |visit| async move { samgr(&visit).list(BLANK, b"", 1).await },
        ),
        refused(LIST, Status::InvalidCursor, on, |visit| async move {
            samgr(&visit).list("org.", b"com.a", 1).await
        }),
        refused(WATCH, Status::InvalidName, on, |visit| async move {
            samgr(&visit).watch(BLANK, &watcher(&visit).0, 0, 0).await
        }),
        refused(WATCH, Status::TooMany, full, |visit| async move {
            let (samgr, watcher) = (samgr(&visit), watcher(&visit).0);
            let _first = samgr.watch("", &watcher, 0, 0).await.unwrap();
            samgr.watch("", &watcher, 0, 0).await
        }),
        refused(HEARTBEAT, Status::Gone, on, |visit| async move {
            let samgr = samgr(&visit);
            let first = register(&samgr, "org.a", Offer::Loose).await.unwrap();
            let _second = register(&samgr, "org.a", Offer::Loose).await.unwrap();
            first.registration.heartbeat().await
        }),
    ]
}

/// What a wait comes to that is over soon.
async fn waited_for(visit: &Visit, name: &str) -> Result<(), Error<Status>> {
    const MILLIS: u32 = 5;
    let samgr = samgr(visit);
    let waiting = samgr.wait_for(name, MILLIS);
    visit.backstage.seen(WAIT_FOR).await;
    let passing = visit.time.pass(std::time::Duration::from_millis(u64::from(MILLIS) * 2));
    futures::join!(waiting, passing).0.map(drop)
}

/// Nobody is registered, and every place is free: for a registration, a wait and a watch. What was let go of is so for good when the
/// registry has heard of it.
async fn nothing_is_left(visit: Visit) {
    let samgr = samgr(&visit);
    let listed =
        async || samgr.list("org.", b"", 9).await.unwrap().get().unwrap().get_services().unwrap().len();
    while listed().await > 0 {}
    let is_free = |status: Option<&Status>| {
        assert!(matches!(status, None | Some(Status::TooMany)), "{status:?}");
        status.is_none()
    };
    while !is_free(register(&samgr, "org.a", Offer::Firm).await.err().as_ref().and_then(Error::status)) {}
    while !is_free(samgr.watch("", &watcher(&visit).0, 0, 0).await.err().as_ref().and_then(Error::status)) {}
    loop {
        let waited = waited_for(&visit, "org.nobody").await.unwrap_err();
        match waited.status() {
            Some(Status::TimedOut) => break,
            other => assert_eq!(other, Some(&Status::TooMany), "{waited}"),
        }
    }
}

fn interruptions() -> Vec<Claim> {
    let mut claims = Vec::new();
    for asked in [REGISTER, RESOLVE, LIST, WATCH, HEARTBEAT] {
        claims.extend(interrupted(Interrupted {
            asked,
            scene: Scene::FullRegistry,
            hold: Hold::AtTheDoor,
            attempt: move |visit: Visit| async move {
                let samgr = samgr(&visit);
                let kept = samgr.clone();
                match asked.method.name {
                    "register" => {
                        let call = visit.send(|| {
                            samgr.register(|mut params| {
                                params.set_name("org.a");
                                let client = adder().capability().client().clone();
                                params.init_service().set_as_capability(client.into_client_hook());
                            })
                        });
                        Pending::new(kept, call.into_future())
                    }
                    "resolve" => Pending::new(kept, visit.send(|| samgr.resolve("org.a"))),
                    "list" => Pending::new(kept, visit.send(|| samgr.list("", b"", 1))),
                    "watch" => {
                        let watcher = watcher(&visit).0;
                        Pending::new(kept, visit.send(|| samgr.watch("", &watcher, 0, 0)).into_future())
                    }
                    _ => {
                        let registered = loop {
                            // Of an attempt before this one the handle may not be gone yet.
                            if let Ok(registered) = register(&samgr, "org.a", Offer::Firm).await {
                                break registered;
                            }
                        };
                        let call = visit.send(|| registered.registration.heartbeat());
                        Pending::new((kept, registered.registration), call)
                    }
                }
            },
            aftermath: nothing_is_left,
        }));
    }
    claims.extend(interrupted(Interrupted {
        asked: WAIT_FOR,
        scene: Scene::FullRegistry,
        hold: Hold::Nowhere,
        attempt: |visit: Visit| async move {
            let samgr = samgr(&visit);
            let call = visit.send(|| samgr.wait_for("org.nobody", 600_000));
            Pending::new(samgr, call)
        },
        aftermath: nothing_is_left,
    }));
    claims
}

/// The calls that the service makes.
fn of_watchers() -> Vec<Claim> {
    let mut claims = Vec::new();
    for asked in [CHANGES, CURRENT, COMPACTED] {
        let told = good(asked, Scene::Registry, |visit| async move {
            let (samgr, (watcher, words, _)) = (samgr(&visit), watcher(&visit));
            let _registered = register(&samgr, "org.a", Offer::Firm).await.unwrap();
            let (since, epoch) = UNKNOWN;
            let _watch = samgr.watch("org.", &watcher, since, epoch).await.unwrap();
            visit.stage.seen_so_many(CURRENT.key(), 1).await;
            visit.stage.over(CURRENT.key()).await;
            assert_eq!(*words.borrow(), ["compacted", "+org.a", "current"]);
        });
        claims.push(Claim { here: true, ..told });
        claims.extend(interrupted(Interrupted {
            asked,
            scene: Scene::FullRegistry,
            hold: Hold::AtTheCallersDoor,
            attempt: |visit: Visit| async move {
                let (samgr, (watcher, _, let_go)) = (samgr(&visit), watcher(&visit));
                let (since, epoch) = UNKNOWN;
                let watch = samgr.watch("", &watcher, since, epoch).await.unwrap();
                drop(watcher);
                let peer = visit.peer.clone();
                let (registrar, handle) = (samgr.clone(), visit.peer.session().handle().clone());
                let changing = async move {
                    // That a watcher takes nothing shows when there is something to tell.
                    loop {
                        handle.sleep(visit.time.patience()).await;
                        drop(register(&registrar, "org.change", Offer::Firm).await);
                    }
                };
                let watching = async move {
                    let _watch = watch;
                    // Nobody says that a watch is over: its watcher is let go of.
                    select(let_go, Box::pin(changing)).await;
                    match peer.session().end() {
                        Some(_) => Ended::Disconnected,
                        None => Ended::Failed("the watcher was let go of".to_owned()),
                    }
                };
                Pending::of(samgr, watching)
            },
            aftermath: nothing_is_left,
        }));
    }
    claims
}
