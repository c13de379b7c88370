//! What a node offers: services by name.

use std::collections::BTreeMap;
use std::rc::Rc;

use capnp::capability::{Client, FromClientHook};
use vatmux_mux::{ExclusiveNames, NameError, Priority, StreamName, TooManyExclusiveNames};
use vatmux_noise::NodeId;

use crate::service::{Descriptor, ServedBy, Service};
use crate::sight::Meters;
use crate::{Peer, ServiceStatistics};

/// Makes the capability that one stream of one peer starts with.
type Factory = Box<dyn Fn(&Peer) -> Client>;

/// Which peer may use which service.
type Permit = Box<dyn Fn(&NodeId, &str) -> bool>;

/// The services of a node, on one thread.
#[derive(Default)]
pub struct Services {
    by_name: BTreeMap<StreamName, Offered>,
    exclusive: ExclusiveNames,
    permits: Vec<Permit>,
    meters: Rc<Meters>,
}

/// One of them.
pub(crate) struct Offered {
    /// The most urgent that a stream for it may be.
    pub(crate) priority: Priority,
    pub(crate) factory: Factory,
    /// What its schema says of it, where it is known.
    pub(crate) descriptor: Option<&'static Descriptor>,
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
    /// It cannot be exclusive: too many are.
    #[error("service {name} cannot be exclusive: {reason}")]
    Exclusive {
        /// The service.
        name: StreamName,
        /// How many may be.
        reason: TooManyExclusiveNames,
    },
}

impl Services {
    /// Offers a service as its schema has it: under its name, at its priority. Each stream that a peer opens is a vat of its
    /// own, served by what `factory` makes for it; `factory` sees who the peer is, by the key that its handshake proved.
    pub fn serve<S, T>(&mut self, factory: impl Fn(&Peer) -> T + 'static) -> Result<(), ServeError>
    where
        S: Service + ServedBy<T>,
    {
        let descriptor = S::DESCRIPTOR;
        let name = self.free(descriptor.name)?;
        let factory: Factory =
            Box::new(move |peer| Client::new(S::client_of(factory(peer)).into_client_hook()));
        let offered = Offered { priority: descriptor.priority, factory, descriptor: Some(descriptor) };
        self.by_name.insert(name, offered);
        Ok(())
    }

    /// Offers a service. Each stream that a peer opens under `name` is a vat of its own, and starts with what
    /// `factory` makes for it; `factory` sees who the peer is, by the key that its handshake proved.
    ///
    /// `priority` is the most urgent that a peer may ask for: a stream that wants to be served before that is
    /// refused.
    pub fn serve_named<F>(&mut self, name: &str, priority: Priority, factory: F) -> Result<(), ServeError>
    where
        F: Fn(&Peer) -> Client + 'static,
    {
        let name = self.free(name)?;
        self.by_name.insert(name, Offered { priority, factory: Box::new(factory), descriptor: None });
        Ok(())
    }

    /// As [`serve_named`](Self::serve_named), for a service that each session of a peer may use through one stream at a time.
    ///
    /// While a stream under `name` is open, a second one of the same session is refused before `factory` is called:
    /// its calls fail with [`VatEnd::NameInUse`](crate::VatEnd::NameInUse) at the peer's. A stream is open until both
    /// ends have finished it, so a peer that lets go of one and asks again at once may be a moment too early. At most
    /// [`MAX_EXCLUSIVE_NAMES`](vatmux_mux::MAX_EXCLUSIVE_NAMES) services are exclusive.
    pub fn serve_named_exclusive<F>(
        &mut self,
        name: &str,
        priority: Priority,
        factory: F,
    ) -> Result<(), ServeError>
    where
        F: Fn(&Peer) -> Client + 'static,
    {
        let name = self.free(name)?;
        self.exclusive
            .insert(name.clone())
            .map_err(|reason| ServeError::Exclusive { name: name.clone(), reason })?;
        self.by_name.insert(name, Offered { priority, factory: Box::new(factory), descriptor: None });
        Ok(())
    }

    /// Offers the services only to those peers for which `permits` says so, whatever is offered before or after. To all others
    /// there is no such service: they are refused with the same code, at the same moment, and before anything else is looked at.
    ///
    /// Said more than once, a peer needs the permission of each. Without it, every peer is offered everything.
    pub fn permit(&mut self, permits: impl Fn(&NodeId, &str) -> bool + 'static) {
        self.permits.push(Box::new(permits));
    }

    /// Whether a peer is offered what has this name, if there is such a service.
    pub(crate) fn permits(&self, peer: &NodeId, name: &StreamName) -> bool {
        self.permits.iter().all(|permits| permits(peer, name.as_str()))
    }

    /// A name that a service can have and none has.
    fn free(&self, name: &str) -> Result<StreamName, ServeError> {
        let name =
            StreamName::new(name).map_err(|reason| ServeError::Name { name: name.to_owned(), reason })?;
        if self.by_name.contains_key(&name) { Err(ServeError::Taken(name)) } else { Ok(name) }
    }

    /// What has been counted by service, in the order of their names, over all sessions that were offered these: those
    /// that are over, too.
    #[must_use]
    pub fn statistics(&self) -> Vec<ServiceStatistics> {
        self.meters.statistics()
    }

    pub(crate) fn meters(&self) -> &Rc<Meters> {
        &self.meters
    }

    /// The names of the services that are exclusive, as far as a peer is offered them: a second stream of any other must not
    /// be refused as such, which would say that there is such a service.
    pub(crate) fn exclusive_for(&self, peer: &NodeId) -> ExclusiveNames {
        let mut names = ExclusiveNames::new();
        for name in self.exclusive.iter().filter(|name| self.permits(peer, name)) {
            // They had room in the set that they come from.
            let _ = names.insert(name.clone());
        }
        names
    }

    /// What a peer gets that opens a stream: None where there is no such service.
    pub(crate) fn find(&self, name: &StreamName) -> Option<&Offered> {
        self.by_name.get(name)
    }
}
