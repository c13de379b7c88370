//! The registry that the threads of a node share.

use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use futures::channel::mpsc;
use vatmux_noise::NodeId;

use super::name::{Name, Prefix};
use super::road::Visit;
use super::table::{By, Change, Entry, Home, Table, Taken};
use crate::schema::samgr::Descriptor;
use crate::schema::samgr_capnp::{Conflict, Reason};

/// Who offers what, on all threads of a node. Clones are the same registry; it is empty when it is made, and nothing of it is
/// kept.
///
/// What is shared is what is said of a service, and who said it. The capabilities themselves stay on the threads of their
/// sessions.
#[derive(Clone)]
pub struct Registry(Arc<Shared>);

/// How much a registry holds. What is held for a peer is counted by its key, over all its sessions.
///
/// The worst case is about 1.5 KiB for each registration, 1 KiB for each change that is remembered, 0.2 KiB for each wait, and
/// for each watch 8 bytes for each registration and 128 KiB of changes that it was sent and has not taken: by default 6 MiB,
/// 1 MiB, 1 MiB and 160 MiB. A way between two threads holds two vats, at about 16 KiB when nothing is under way, and what is
/// under way on it is also counted by the vat of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Registrations whose handle one peer holds, those that were replaced or have expired included. Default: 256.
    pub registrations_per_peer: usize,
    /// Calls of one peer that wait for somebody to register. Default: 64.
    pub waits_per_peer: usize,
    /// Watches of one peer. Default: 16.
    pub watches_per_peer: usize,
    /// Services on other threads that one peer has resolved and not let go of. Default: 256.
    pub ways_per_peer: usize,
    /// Registrations of all peers. Default: 4,096.
    pub registrations: usize,
    /// Waits of all peers. Default: 4,096.
    pub waits: usize,
    /// Watches of all peers. Default: 1,024.
    pub watches: usize,
    /// Services on other threads that were resolved, of all peers. Default: 4,096.
    pub ways: usize,
    /// The last changes that are remembered. A watch that falls further behind is told that it missed some, and begins anew.
    /// Default: 1,024.
    pub changes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            registrations_per_peer: 256,
            waits_per_peer: 64,
            watches_per_peer: 16,
            ways_per_peer: 256,
            registrations: 4_096,
            waits: 4_096,
            watches: 1_024,
            ways: 4_096,
            changes: 1_024,
        }
    }
}

struct Shared {
    limits: Limits,
    epoch: u64,
    state: Mutex<State>,
}

struct State {
    table: Table,
    held: BTreeMap<NodeId, Held>,
    total: Held,
    next_key: u64,
    /// Those who wait for the next change, whichever it is.
    watching: BTreeMap<u64, Waker>,
    /// Those who wait for a name.
    waiting: BTreeMap<(Name, u64), Waker>,
    next_home: u64,
    homes: BTreeMap<Home, mpsc::UnboundedSender<Visit>>,
}

/// What there is a bounded number of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Registration,
    Wait,
    Watch,
    Way,
}

impl Kind {
    /// As somebody reads who has too many.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Registration => "registrations",
            Self::Wait => "calls that wait",
            Self::Watch => "watches",
            Self::Way => "services that were resolved",
        }
    }
}

/// How many of each kind.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Held([usize; 4]);

/// There are as many as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany {
    pub(super) kind: Kind,
    pub(super) most: usize,
    /// Of one peer, or of all.
    pub(super) of_one: bool,
}

/// One of a bounded number, given back when dropped.
pub(super) struct Place {
    registry: Registry,
    node: NodeId,
    kind: Kind,
    key: u64,
}

impl Registry {
    /// An empty one.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let state = State {
            table: Table::new(limits.changes),
            held: BTreeMap::new(),
            total: Held::default(),
            next_key: 0,
            watching: BTreeMap::new(),
            waiting: BTreeMap::new(),
            next_home: 0,
            homes: BTreeMap::new(),
        };
        // Only to be told from those before it: 0 says that somebody knows none.
        let epoch = RandomState::new().hash_one(std::process::id()).max(1);
        Self(Arc::new(Shared { limits, epoch, state: Mutex::new(state) }))
    }

    /// How many services are registered, the node's own included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state().table.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn epoch(&self) -> u64 {
        self.0.epoch
    }

    /// No holder leaves it half-changed, so a poisoned lock is as good as another.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for something that `node` wants to hold.
    pub(super) fn claim(&self, node: NodeId, kind: Kind) -> Result<Place, TooMany> {
        let (of_one, of_all) = self.0.limits.of(kind);
        let mut state = self.state();
        if state.total.0[kind as usize] >= of_all {
            return Err(TooMany { kind, most: of_all, of_one: false });
        }
        let held = state.held.get(&node).map_or(0, |held| held.0[kind as usize]);
        if held >= of_one {
            return Err(TooMany { kind, most: of_one, of_one: true });
        }
        state.total.0[kind as usize] += 1;
        state.held.entry(node).or_default().0[kind as usize] += 1;
        state.next_key += 1;
        let key = state.next_key;
        drop(state);
        Ok(Place { registry: self.clone(), node, kind, key })
    }

    pub(super) fn register(
        &self,
        name: Name,
        descriptor: Descriptor,
        by: By,
        conflict: Conflict,
    ) -> Result<Arc<Entry>, Taken> {
        let mut state = self.state();
        let entry = state.table.register(name, descriptor, by, conflict)?;
        let mut woken: Vec<Waker> = std::mem::take(&mut state.watching).into_values().collect();
        let waiting: Vec<(Name, u64)> = state
            .waiting
            .range((entry.name.clone(), 0)..=(entry.name.clone(), u64::MAX))
            .map(|(key, _)| key.clone())
            .collect();
        woken.extend(waiting.iter().filter_map(|key| state.waiting.remove(key)));
        drop(state);
        wake(woken);
        Ok(entry)
    }

    pub(super) fn unregister(&self, name: &Name, generation: u64, reason: Reason) -> bool {
        let mut state = self.state();
        if !state.table.unregister(name, generation, reason) {
            return false;
        }
        let woken = std::mem::take(&mut state.watching).into_values().collect();
        drop(state);
        wake(woken);
        true
    }

    pub(super) fn find(&self, name: &Name) -> Option<Arc<Entry>> {
        self.state().table.find(name).cloned()
    }

    /// The first `most` of what begins with `prefix` and for which `see` holds, from the one that follows `after` on; whether
    /// there are more; and the revision at which it is so.
    pub(super) fn page(
        &self,
        prefix: &Prefix,
        after: Option<&Name>,
        most: usize,
        see: impl Fn(&Name) -> bool,
    ) -> (Vec<Arc<Entry>>, bool, u64) {
        let state = self.state();
        let mut seen = state.table.range(prefix, after).filter(|entry| see(&entry.name));
        let page = seen.by_ref().take(most).cloned().collect();
        let more = seen.next().is_some();
        (page, more, state.table.revision())
    }

    /// Waits until `name` is registered.
    pub(super) async fn registered(&self, place: &Place, name: &Name) -> Arc<Entry> {
        poll_fn(|cx| {
            let mut state = self.state();
            if let Some(entry) = state.table.find(name) {
                return Poll::Ready(entry.clone());
            }
            state.waiting.insert((name.clone(), place.key), cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Takes back what [`registered`](Self::registered) left, where it was dropped before its end.
    pub(super) fn forget(&self, place: &Place, name: &Name) {
        let waker = self.state().waiting.remove(&(name.clone(), place.key));
        drop(waker);
    }

    /// Waits until there is a change after a revision for which `see` holds: the first `most` of them, and the revision up to
    /// which nothing else is to be seen. None where they are not all known any more.
    pub(super) async fn changes(
        &self,
        place: &Place,
        after: u64,
        most: usize,
        see: impl Fn(&Change) -> bool,
    ) -> Option<(Vec<Arc<Change>>, u64)> {
        let mut after = after;
        poll_fn(|cx| {
            let mut state = self.state();
            let Some((changes, upto)) = state.table.changes(after, most, &see) else {
                return Poll::Ready(None);
            };
            if !changes.is_empty() {
                return Poll::Ready(Some((changes, upto)));
            }
            // What is not to be seen does not make anybody late.
            after = upto;
            state.watching.insert(place.key, cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// As [`changes`](Self::changes), without waiting.
    pub(super) fn changes_now(
        &self,
        after: u64,
        most: usize,
        see: impl Fn(&Change) -> bool,
    ) -> Option<(Vec<Arc<Change>>, u64)> {
        self.state().table.changes(after, most, see)
    }

    /// A thread, and who comes to see it.
    pub(super) fn add_home(&self) -> (Home, mpsc::UnboundedReceiver<Visit>) {
        let (visit, visits) = mpsc::unbounded();
        let mut state = self.state();
        state.next_home += 1;
        let home = Home(state.next_home);
        state.homes.insert(home, visit);
        (home, visits)
    }

    pub(super) fn remove_home(&self, home: Home) {
        let removed = self.state().homes.remove(&home);
        drop(removed);
    }

    /// Sends somebody to a thread. Where that is gone, so is what they bring.
    pub(super) fn visit(&self, home: Home, visit: Visit) {
        let visits = self.state().homes.get(&home).cloned();
        if let Some(visits) = visits {
            let _ = visits.unbounded_send(visit);
        }
    }
}

fn wake(woken: Vec<Waker>) {
    for waker in woken {
        waker.wake();
    }
}

impl Limits {
    /// Of one peer, and of all.
    fn of(&self, kind: Kind) -> (usize, usize) {
        match kind {
            Kind::Registration => (self.registrations_per_peer, self.registrations),
            Kind::Wait => (self.waits_per_peer, self.waits),
            Kind::Watch => (self.watches_per_peer, self.watches),
            Kind::Way => (self.ways_per_peer, self.ways),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.registry.state();
        state.total.0[self.kind as usize] -= 1;
        if let Some(held) = state.held.get_mut(&self.node) {
            held.0[self.kind as usize] -= 1;
            if *held == Held::default() {
                state.held.remove(&self.node);
            }
        }
        let waker = state.watching.remove(&self.key);
        drop(state);
        drop(waker);
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("services", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use vatmux_noise::{Entropy, SecretKey};
    use vatmux_rpc::Services;

    use super::*;
    use crate::samgr::desk::Desk;

    fn node() -> NodeId {
        SecretKey::generate(Entropy::from_bytes([1; 32]).unwrap()).node_id()
    }

    #[test]
    fn who_waits_and_who_watches_leaves_nothing_behind() {
        let registry = Registry::default();
        let name: Name = "a".parse().unwrap();
        let waiting = registry.claim(node(), Kind::Wait).unwrap();
        let watching = registry.claim(node(), Kind::Watch).unwrap();
        assert!(registry.registered(&waiting, &name).now_or_never().is_none());
        assert!(registry.changes(&watching, 0, 1, |_| true).now_or_never().is_none());
        let left = || {
            let state = registry.state();
            (state.waiting.len(), state.watching.len(), state.held.len())
        };
        assert_eq!(left(), (1, 1, 1));
        registry.forget(&waiting, &name);
        assert_eq!(left(), (0, 1, 1));
        drop(watching);
        assert_eq!(left(), (0, 0, 1));
        drop(waiting);
        assert_eq!(left(), (0, 0, 0));
        assert!(registry.state().total == Held::default());
    }

    #[test]
    fn a_thread_that_is_gone_is_visited_by_nobody() {
        let (registry, services) = (Registry::default(), Services::default());
        let [gone, other] = [(); 2].map(|()| Desk::new(registry.clone(), services.directory(), node()));
        assert_ne!(gone.home(), other.home());
        drop(gone);
        assert_eq!(registry.state().homes.keys().copied().collect::<Vec<_>>(), [other.home()]);
    }
}
