//! What a node offers: services by name.

use std::collections::BTreeMap;

use capnp::capability::Client;
use vatmux_mux::{NameError, Priority, StreamName};

use crate::Peer;

/// Makes the capability that one stream of one peer starts with.
type Factory = Box<dyn Fn(&Peer) -> Client>;

/// The services of a node, on one thread.
#[derive(Default)]
pub struct Services(BTreeMap<StreamName, Service>);

/// One of them.
pub(crate) struct Service {
    /// The most urgent that a stream for it may be.
    pub(crate) priority: Priority,
    pub(crate) factory: Factory,
}

/// Why a service cannot be offered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServeError {
    /// Its name is no name of a stream.
    #[error("{name:?} cannot name a service: {reason}")]
    Name {
        /// What was given.
        name: String,
        /// What is wrong with it.
        reason: NameError,
    },
    /// Another service has the name.
    #[error("two services are named {0}")]
    Taken(StreamName),
}

impl Services {
    /// Offers a service. Each stream that a peer opens under `name` is a vat of its own, and starts with what
    /// `factory` makes for it; `factory` sees who the peer is, by the key that its handshake proved.
    ///
    /// `priority` is the most urgent that a peer may ask for: a stream that wants to be served before that is
    /// refused.
    pub fn serve<F>(&mut self, name: &str, priority: Priority, factory: F) -> Result<(), ServeError>
    where
        F: Fn(&Peer) -> Client + 'static,
    {
        let name =
            StreamName::new(name).map_err(|reason| ServeError::Name { name: name.to_owned(), reason })?;
        if self.0.contains_key(&name) {
            return Err(ServeError::Taken(name));
        }
        self.0.insert(name, Service { priority, factory: Box::new(factory) });
        Ok(())
    }

    /// What a peer gets that opens a stream: None where there is no such service.
    pub(crate) fn find(&self, name: &StreamName) -> Option<&Service> {
        self.0.get(name)
    }
}
