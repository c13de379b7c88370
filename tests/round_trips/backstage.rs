//! The serving side's end of the way behind the stage, and the services that are on it.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};

use capnp::any_pointer;
use capnp::capability::{Client, Promise, Request};
use capnp::private::capability::{ClientHook, ParamsHook, ResultsHook};
use capnp::{Error, MessageSize};
use vatmux::schema::bundlemgr::BundleMgr;
use vatmux::schema::health::Health;
use vatmux::schema::packagefs::PackageFs;
use vatmux::schema::samgr::Samgr;
use vatmux::schema::statefs::StateFs;
use vatmux::{Priority, ServeError, Services, bundlemgr, health, packagefs, samgr, statefs};

use crate::scene::{Scene, Set};
use crate::stage::{Held, OnStage, Stage};
use crate::visit::CUES;

/// The name of the way.
pub(crate) const NAME: &str = "test.backstage";

/// What a serving node has: a stage, and what is on it.
#[derive(Clone, Default)]
pub(crate) struct House {
    stage: Stage,
    set: Arc<Mutex<Option<Arc<Set>>>>,
}

impl House {
    fn set(&self) -> Arc<Set> {
        let set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        set.clone().expect("a scene was begun")
    }

    /// Offers every service, as it is on the stage when a stream begins, and the way behind it.
    pub(crate) fn serve(&self, services: &mut Services) -> Result<(), ServeError> {
        let house = self.clone();
        services.serve::<Health, _>(move |peer| OnStage::new(&house.stage, health::capability(peer)))?;
        let house = self.clone();
        services.serve::<PackageFs, _>(move |_| {
            let set = house.set();
            let tree = set.tree.clone().expect("a scene with files");
            OnStage::of::<PackageFs, _>(&house.stage, packagefs::Server::new(tree, set.limits))
        })?;
        let house = self.clone();
        services.serve::<StateFs, _>(move |_| {
            let set = house.set();
            let store = set.state.clone().expect("a scene with state");
            OnStage::of::<StateFs, _>(&house.stage, statefs::Server::new(store, set.access.clone()))
        })?;
        let house = self.clone();
        services.serve::<BundleMgr, _>(move |_| {
            let set = house.set();
            let store = set.bundles.clone().expect("a scene with bundles");
            let server = bundlemgr::Server::new(store, set.rights.clone()).sharing(set.installs.clone());
            OnStage::of::<BundleMgr, _>(&house.stage, server)
        })?;
        let house = self.clone();
        // A thread has one desk of a registry, and it can be had from services alone.
        let desk: RefCell<Option<(Arc<Set>, Services)>> = RefCell::default();
        services.serve::<Samgr, _>(move |peer| {
            let set = house.set();
            let mut desk = desk.borrow_mut();
            if desk.as_ref().is_none_or(|(of, _)| !Arc::ptr_eq(of, &set)) {
                let (registry, access) = set.registry.clone().expect("a scene with a registry");
                let mut services = Services::default();
                samgr::offer_among(&mut services, &registry, peer.node_id(), move |_| access.clone())
                    .expect("no name is taken");
                *desk = Some((set, services));
            }
            let directory = desk.as_ref().map(|(_, services)| services.directory()).expect("it is there");
            drop(desk);
            let server = directory.capability(samgr::SERVICE_NAME, peer).expect("it is offered");
            OnStage::new(&house.stage, server)
        })?;
        let house = self.clone();
        services.serve_named(NAME, Priority::FIRST, move |_| Client::new(Box::new(Prompter(house.clone()))))
    }

    async fn take(&self, cue: &str) -> String {
        let (what, rest) = cue.split_once(' ').unwrap_or((cue, ""));
        let held = || {
            let (interface, ordinal) = rest.split_once(' ').expect("an interface and an ordinal");
            Held { interface: interface.parse().expect("an id"), method: ordinal.parse().ok() }
        };
        let key = || {
            let Held { interface, method } = held();
            (interface, method.expect("an ordinal"))
        };
        match what {
            "scene" => {
                // What was there is gone before what comes, and with it its folder and its threads.
                self.stage.clear();
                let before = self.set.lock().unwrap_or_else(PoisonError::into_inner).take();
                drop(before);
                let set = Arc::new(Set::build(Scene::named(rest)));
                *self.set.lock().unwrap_or_else(PoisonError::into_inner) = Some(set);
            }
            "hold" => self.stage.hold(held()),
            "open" => {
                self.stage.open();
                self.set().open();
            }
            "under-way" => self.stage.under_way(key()).await,
            "over" => self.stage.over(key()).await,
            "seen" => return self.stage.seen(key()).to_string(),
            _ => return self.set().take(what, rest),
        }
        String::new()
    }
}

/// Takes cues.
#[derive(Clone)]
struct Prompter(House);

impl ClientHook for Prompter {
    fn add_ref(&self) -> Box<dyn ClientHook> {
        Box::new(self.clone())
    }

    fn new_call(
        &self,
        _interface: u64,
        _method: u16,
        _size: Option<MessageSize>,
    ) -> Request<any_pointer::Owned, any_pointer::Owned> {
        unreachable!("cues come by a link")
    }

    fn call(
        &self,
        interface: u64,
        method: u16,
        params: Box<dyn ParamsHook>,
        mut results: Box<dyn ResultsHook>,
    ) -> Promise<(), Error> {
        let house = self.0.clone();
        Promise::from_future(async move {
            if (interface, method) != (CUES, 0) {
                return Err(Error::unimplemented("it takes cues".to_owned()));
            }
            let cue = params.get()?.get_as::<capnp::text::Reader<'_>>()?.to_string()?;
            let answer = house.take(&cue).await;
            results.get()?.set_as(answer.as_str())
        })
    }

    fn get_brand(&self) -> usize {
        0
    }

    fn get_ptr(&self) -> usize {
        0
    }

    fn get_resolved(&self) -> Option<Box<dyn ClientHook>> {
        None
    }

    fn when_more_resolved(&self) -> Option<Promise<Box<dyn ClientHook>, Error>> {
        None
    }

    fn when_resolved(&self) -> Promise<(), Error> {
        Promise::ok(())
    }
}
