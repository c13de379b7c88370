//! Which dialers an acceptor serves.

use alloc::collections::BTreeSet;

use crate::NodeId;

/// The dialers that an acceptor serves, asked once the handshake has proved who is calling.
///
/// A refused dialer has an authenticated session already: tell it so in a record (the mux has a close code for
/// it), then end the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowList {
    /// Every node, each still with an identity of its own.
    Anyone,
    /// These nodes and no others; an empty set permits nobody. 32 bytes a node, and the set's own overhead.
    Only(BTreeSet<NodeId>),
}

impl AllowList {
    /// Whether the node `dialer` is served.
    #[must_use]
    pub fn permits(&self, dialer: &NodeId) -> bool {
        match self {
            Self::Anyone => true,
            Self::Only(nodes) => nodes.contains(dialer),
        }
    }
}

impl FromIterator<NodeId> for AllowList {
    /// [`AllowList::Only`] these nodes. No nodes means nobody, never anyone.
    fn from_iter<I: IntoIterator<Item = NodeId>>(nodes: I) -> Self {
        Self::Only(nodes.into_iter().collect())
    }
}
