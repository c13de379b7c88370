//! One thread's part of a registry: the capabilities whose sessions it has.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use capnp::capability::Client;
use futures::StreamExt;
use futures::channel::mpsc;
use vatmux_driver::Handle;
use vatmux_noise::NodeId;
use vatmux_rpc::{Directory, Options, Peer};

use super::registry::{Kind, Registry, TooMany};
use super::road::{Visit, Way};
use super::table::{By, Entry, Home};
use crate::schema::samgr::Descriptor;
use crate::schema::samgr_capnp::Conflict;

/// What a thread offers of a registry.
pub(super) struct Desk {
    pub(super) registry: Registry,
    home: Home,
    /// The node's own services, and who it is.
    pub(super) directory: Directory,
    node: NodeId,
    /// What peers of this thread offer, by generation.
    offered: RefCell<BTreeMap<u64, Client>>,
    /// Those who come from other threads, until somebody lets them in.
    visits: RefCell<Option<mpsc::UnboundedReceiver<Visit>>>,
    handle: OnceCell<Handle>,
}

impl Desk {
    pub(super) fn new(registry: Registry, directory: Directory, node: NodeId) -> Self {
        let (home, visits) = registry.add_home();
        Self {
            registry,
            home,
            directory,
            node,
            offered: RefCell::default(),
            visits: RefCell::new(Some(visits)),
            handle: OnceCell::new(),
        }
    }

    /// The first peer of this thread is here: there is a driver, and the node's services are all known.
    pub(super) fn open(self: &Rc<Self>, peer: &Peer) {
        let handle = self.handle.get_or_init(|| peer.session().handle().clone()).clone();
        let Some(mut visits) = self.visits.borrow_mut().take() else { return };
        self.register_own();
        let desk = Rc::downgrade(self);
        let own_handle = handle.clone();
        handle.spawn(async move {
            while let Some(visit) = visits.next().await {
                let Some(capability) = desk.upgrade().and_then(|desk| desk.offered(visit.generation)) else {
                    // Their pipe ends, and so they learn that it is gone.
                    continue;
                };
                visit.serve(capability, &own_handle);
            }
        });
    }

    /// Registers the node's own services, where another thread has not.
    fn register_own(&self) {
        for entry in self.directory.entries() {
            let Ok(name) = entry.name.as_str().parse() else { continue };
            let descriptor = Descriptor {
                name: entry.name.to_string(),
                interface_id: entry.descriptor.map_or(0, |descriptor| descriptor.interface.id),
                schema_digest: entry
                    .descriptor
                    .map_or_else(Vec::new, |descriptor| descriptor.digest.0.to_vec()),
                version: String::new(),
                node: self.node.to_string(),
                generation: 0,
                revision: 0,
                priority: entry.priority.get(),
                local: true,
            };
            // The name is taken where another thread was here first.
            let _ = self.registry.register(name, descriptor, By::Node, Conflict::Refuse);
        }
    }

    pub(super) fn home(&self) -> Home {
        self.home
    }

    pub(super) fn offered(&self, generation: u64) -> Option<Client> {
        self.offered.borrow().get(&generation).cloned()
    }

    pub(super) fn offer(&self, generation: u64, capability: Client) {
        self.offered.borrow_mut().insert(generation, capability);
    }

    pub(super) fn withdraw(&self, generation: u64) {
        let withdrawn = self.offered.borrow_mut().remove(&generation);
        // What its destructor does is anybody's code: nothing is borrowed here.
        drop(withdrawn);
    }

    /// The bounds of a vat on which the node's services, and those of its peers, are called.
    ///
    /// A call that is passed on waits as long as it is served: whoever made it has a deadline, and the provider as well. The
    /// node's own services have those that their schemas say.
    pub(super) fn bounds(directory: &Directory, all: &Options) -> Options {
        let mut bounds = Options { call_deadline: all.served_call_deadline, ..all.clone() };
        bounds.stream_window_bytes = bounds.stream_window_bytes.min(STREAM_WINDOW_BYTES);
        for descriptor in directory.entries().into_iter().filter_map(|entry| entry.descriptor) {
            bounds = descriptor.bounds(&bounds);
        }
        bounds
    }
}

/// What a watcher has not taken, beside one batch of changes.
const STREAM_WINDOW_BYTES: usize = 64 << 10;

impl Drop for Desk {
    fn drop(&mut self) {
        self.registry.remove_home(self.home);
    }
}

/// What one vat of a peer's has resolved and still holds: who resolves a service twice is given the same.
#[derive(Default)]
pub(super) struct Ways(RefCell<BTreeMap<u64, Weak<Way>>>);

impl Ways {
    /// The capability of a registration, for `peer`. None where it is gone.
    pub(super) fn to(&self, entry: &Arc<Entry>, desk: &Desk, peer: &Peer) -> Result<Option<Client>, TooMany> {
        let home = match entry.by {
            By::Node => return Ok(desk.directory.capability(entry.name.as_str(), peer)),
            By::Peer { home, .. } => home,
        };
        let generation = entry.descriptor.generation;
        if let Some(way) = self.open(generation) {
            return Ok(Some(way.capability()));
        }
        let way = if home == desk.home() {
            let Some(capability) = desk.offered(generation) else { return Ok(None) };
            Way::here(capability)
        } else {
            let place = desk.registry.claim(peer.node_id(), Kind::Way)?;
            let bounds = Desk::bounds(&desk.directory, peer.options());
            let (visit, way) = Visit::begin(generation, peer.session().handle(), &bounds, place);
            desk.registry.visit(home, visit);
            way
        };
        let way = Rc::new(way);
        self.remember(generation, &way);
        Ok(Some(way.capability()))
    }

    /// A way that somebody holds, and by which calls can still arrive.
    fn open(&self, generation: u64) -> Option<Rc<Way>> {
        self.0.borrow().get(&generation).and_then(Weak::upgrade).filter(|way| way.is_open())
    }

    /// Keeps one in mind, and none of those that nobody holds any more.
    fn remember(&self, generation: u64, way: &Rc<Way>) {
        let mut ways = self.0.borrow_mut();
        ways.retain(|_, way| way.strong_count() > 0);
        ways.insert(generation, Rc::downgrade(way));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use vatmux_driver::virtual_time;
    use vatmux_noise::{Entropy, SecretKey};
    use vatmux_rpc::Services;

    use super::*;

    #[test]
    fn a_way_is_given_again_while_it_is_open_and_forgotten_when_nobody_holds_it() {
        let (mut driver, _) = virtual_time::driver();
        let handle = driver.handle();
        let node = SecretKey::generate(Entropy::from_bytes([1; 32]).unwrap()).node_id();
        let ways = Ways::default();
        let begin = |generation| {
            let place = Registry::default().claim(node, Kind::Way).unwrap();
            let (visit, way) = Visit::begin(generation, &handle, &Options::default(), place);
            let way = Rc::new(way);
            ways.remember(generation, &way);
            (visit, way)
        };
        let (visit, way) = begin(1);
        assert!(ways.open(1).is_some_and(|open| Rc::ptr_eq(&open, &way)));
        // Nobody lets them in at the other end, which shows a moment later.
        drop(visit);
        driver.drive_until(handle.sleep(Duration::from_secs(1))).unwrap();
        assert!(ways.open(1).is_none());
        for generation in 2..100 {
            drop(begin(generation));
        }
        assert_eq!(ways.0.borrow().keys().copied().collect::<Vec<_>>(), [1, 99]);
        drop(way);
    }

    #[test]
    fn a_call_that_is_passed_on_waits_as_long_as_it_is_served_and_a_watcher_has_a_small_window() {
        let directory = Services::default().directory();
        let all = Options { served_call_deadline: Duration::from_secs(77), ..Options::default() };
        let bounds = Desk::bounds(&directory, &all);
        assert_eq!(bounds.call_deadline, Duration::from_secs(77));
        assert_eq!(bounds.stream_window_bytes, 64 << 10);
        let small = Desk::bounds(&directory, &Options { stream_window_bytes: 1, ..all.clone() });
        assert_eq!(small, Options { stream_window_bytes: 1, ..bounds });
    }
}
