//! How much of something each peer has taken, so that no one peer takes all of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use vatmux_noise::NodeId;

/// What each peer has taken of something that is bounded, by its key: over all its sessions, on whatever threads. Clones are the
/// same account.
///
/// A peer is in it while it has something: 100 bytes each, and no more peers than there is of the thing.
#[derive(Clone, Default)]
pub(crate) struct Shares(Arc<Mutex<BTreeMap<NodeId, usize>>>);

/// One of what a peer may have, until it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    /// Nothing for what this process takes itself.
    of: Option<(Shares, NodeId)>,
}

impl Shares {
    /// One more for a peer; `None` where it has `most`. What is called from within this process is not counted.
    pub(crate) fn take(&self, peer: Option<NodeId>, most: usize) -> Option<Share> {
        let Some(peer) = peer else { return Some(Share { of: None }) };
        let mut taken = self.lock();
        let count = taken.get(&peer).copied().unwrap_or(0);
        if count >= most {
            return None;
        }
        taken.insert(peer, count + 1);
        Some(Share { of: Some((self.clone(), peer)) })
    }

    /// Nothing that is done under the lock can panic half-way.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shares {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shares").field("peers", &self.lock().len()).finish()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let Some((shares, peer)) = &self.of else { return };
        let mut taken = shares.lock();
        if let Some(count) = taken.get_mut(peer) {
            *count -= 1;
            if *count == 0 {
                taken.remove(peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use vatmux_noise::{Entropy, SecretKey};

    use super::*;

    fn peer(number: u8) -> NodeId {
        SecretKey::generate(Entropy::from_bytes([number; 32]).unwrap()).node_id()
    }

    #[test]
    fn a_peer_gets_its_share_and_leaves_the_others_theirs() {
        let shares = Shares::default();
        let first: Vec<_> = (0..2).map(|_| shares.take(Some(peer(1)), 2).unwrap()).collect();
        assert!(shares.clone().take(Some(peer(1)), 2).is_none());
        let other = shares.take(Some(peer(2)), 2).unwrap();
        let ours: Vec<_> = (0..10).map(|_| shares.take(None, 2).unwrap()).collect();
        drop(first);
        assert!(shares.take(Some(peer(1)), 1).is_some());
        drop((other, ours));
        assert!(shares.lock().is_empty(), "nobody is kept who has nothing");
    }
}
