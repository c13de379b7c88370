//! Of each node, what it may do.

use std::collections::BTreeMap;
use std::sync::Arc;

use vatmux_host::NodeBuilder;
use vatmux_noise::{AllowList, NodeId};

use super::grant::{Files, Grant};
use crate::{bundle, health, samgr, statefs};

/// What each node may do: those that it names, what their [`Grant`] says, and all others nothing; they may not even connect, unless
/// [`anyone`](Self::anyone) may.
///
/// A policy does not change while a node runs: what is to be different is there when the node is started again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    nodes: BTreeMap<NodeId, Grant>,
    anyone: Option<Grant>,
    nothing: Grant,
}

impl Policy {
    /// Nobody may do anything.
    #[must_use]
    pub fn nobody() -> Self {
        Self::default()
    }

    /// Grants this to a node, instead of what it was granted before.
    #[must_use]
    pub fn and(mut self, node: NodeId, grant: Grant) -> Self {
        self.nodes.insert(node, grant);
        self
    }

    /// Lets every node connect, and grants this to those that are not named.
    #[must_use]
    pub fn anyone(mut self, grant: Grant) -> Self {
        self.anyone = Some(grant);
        self
    }

    /// What a node is granted.
    #[must_use]
    pub fn of(&self, node: &NodeId) -> &Grant {
        self.nodes.get(node).or(self.anyone.as_ref()).unwrap_or(&self.nothing)
    }

    /// The nodes that it names.
    pub fn nodes(&self) -> impl Iterator<Item = (&NodeId, &Grant)> {
        self.nodes.iter()
    }

    /// What every other node is granted; `None` where no other may connect.
    #[must_use]
    pub fn of_anyone(&self) -> Option<&Grant> {
        self.anyone.as_ref()
    }

    /// Whether no node may connect.
    #[must_use]
    pub fn is_nobody(&self) -> bool {
        self.nodes.is_empty() && self.anyone.is_none()
    }

    /// Who may connect.
    #[must_use]
    pub fn allow_list(&self) -> AllowList {
        match self.anyone {
            Some(_) => AllowList::Anyone,
            None => self.nodes.keys().copied().collect(),
        }
    }

    /// Who sees all of the node.
    #[must_use]
    pub fn operators(&self) -> AllowList {
        if self.anyone.as_ref().is_some_and(|grant| grant.operator) {
            return AllowList::Anyone;
        }
        self.nodes.iter().filter(|(_, grant)| grant.operator).map(|(node, _)| *node).collect()
    }

    /// Has a node let in whom this lets in, offer each of them [`health`] as it is granted, and of all that it offers besides
    /// only what is granted. What is behind a service is narrowed where the service is offered.
    pub fn guard(self: &Arc<Self>, builder: NodeBuilder, files: Files) -> NodeBuilder {
        let policy = self.clone();
        health::offer(builder.allow(self.allow_list()), self.operators())
            .permit(move |node, service| policy.of(node).offers(service, files))
    }

    /// For [`statefs::offer`].
    pub fn state(self: &Arc<Self>) -> impl Fn(NodeId) -> statefs::Access + Clone + Send + Sync + use<> {
        let policy = self.clone();
        move |node| policy.of(&node).state.clone()
    }

    /// For [`samgr::offer`].
    pub fn registry(self: &Arc<Self>) -> impl Fn(NodeId) -> samgr::Access + Clone + Send + Sync + use<> {
        let policy = self.clone();
        move |node| policy.of(&node).registry_access()
    }

    /// For [`bundlemgr::offer_narrowed`](crate::bundlemgr::offer_narrowed) and
    /// [`packagefs::offer_narrowed`](crate::packagefs::offer_narrowed).
    pub fn bundles(self: &Arc<Self>) -> impl Fn(NodeId) -> bundle::Rights + Clone + Send + Sync + use<> {
        let policy = self.clone();
        move |node| policy.of(&node).bundles.clone()
    }
}
