//! What a node holds for one peer, over all vats of all its sessions.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use vatmux_noise::NodeId;

use super::calls::CALL_BYTES;

/// What each peer of a node has under way, by its key. Clones are the same accounts: all sessions whose options have
/// clones of one, on whatever thread, share the bounds of their peers.
///
/// There is an account for as long as the peer has a session, work of its is not finished
/// ([`MustFinish::run_for`](crate::MustFinish::run_for)), or a service keeps the [`CallContext`](crate::CallContext) of a
/// call of its; and so as many at most as the node has of all these, at 200 bytes each.
#[derive(Clone, Default)]
pub struct PeerAccounts(Arc<Mutex<Table>>);

type Table = BTreeMap<NodeId, Weak<Totals>>;

impl PeerAccounts {
    /// The account of a peer, a new one where there is none.
    pub(crate) fn of(&self, peer: NodeId) -> Account {
        let mut table = lock(&self.0);
        if let Some(totals) = table.get(&peer).and_then(Weak::upgrade) {
            return Account(totals);
        }
        let totals = Arc::new(Totals::of(Some((peer, Arc::downgrade(&self.0)))));
        table.insert(peer, Arc::downgrade(&totals));
        Account(totals)
    }

    /// How many peers have one.
    #[must_use]
    pub fn open(&self) -> usize {
        lock(&self.0).len()
    }
}

/// Nothing that is done under the lock can panic half-way.
fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

impl fmt::Debug for PeerAccounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerAccounts").field("open", &self.open()).finish()
    }
}

impl PartialEq for PeerAccounts {
    /// What is counted is no setting.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for PeerAccounts {}

/// The account of one peer. Clones are the same account: each vat of the peer has one.
#[derive(Clone, Default)]
pub(crate) struct Account(Arc<Totals>);

#[derive(Default)]
struct Totals {
    calls: AtomicUsize,
    bytes: AtomicUsize,
    /// Whose it is, and where it is found.
    of: Option<(NodeId, Weak<Mutex<Table>>)>,
}

impl Totals {
    fn of(of: Option<(NodeId, Weak<Mutex<Table>>)>) -> Self {
        Self { calls: AtomicUsize::new(0), bytes: AtomicUsize::new(0), of }
    }
}

impl Account {
    /// Calls that are not over, requests for the bootstrap capability not among them.
    pub(crate) fn calls(&self) -> usize {
        self.0.calls.load(Ordering::Relaxed)
    }

    /// Bytes that are held for calls.
    pub(crate) fn bytes(&self) -> usize {
        self.0.bytes.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, calls: usize, bytes: usize) {
        self.0.calls.fetch_add(calls, Ordering::Relaxed);
        self.0.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes away what was added before.
    pub(super) fn subtract(&self, calls: usize, bytes: usize) {
        self.0.calls.fetch_sub(calls, Ordering::Relaxed);
        self.0.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Counts what is done for the peer as a call of its, whatever becomes of the vat that asked for it.
    pub(crate) fn hold_work(&self) -> HeldWork {
        self.add(1, CALL_BYTES);
        HeldWork(self.clone())
    }
}

impl Drop for Totals {
    fn drop(&mut self) {
        let Some((peer, table)) = &self.of else { return };
        let Some(table) = table.upgrade() else { return };
        let mut table = lock(&table);
        // The peer may have come back, and have another by now.
        if table.get(peer).is_some_and(|totals| totals.strong_count() == 0) {
            table.remove(peer);
        }
    }
}

/// Work that counts as a call of a peer's.
pub(crate) struct HeldWork(Account);

impl Drop for HeldWork {
    fn drop(&mut self) {
        self.0.subtract(1, CALL_BYTES);
    }
}
