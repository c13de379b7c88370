//! What a node offers: services by name.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::{Rc, Weak};

use capnp::capability::{Client, FromClientHook};
use vatmux_mux::{ExclusiveNames, NameError, Priority, StreamName, TooManyExclusiveNames};
use vatmux_noise::NodeId;

use crate::service::{Descriptor, ServedBy, Service};
use crate::sight::Meters;
use crate::{Options, Peer, ServiceStatistics};

/// Makes the capability that one stream of one peer starts with.
type Factory = Box<dyn Fn(&Peer) -> Client>;

/// Which peer may use which service.
type Permit = Box<dyn Fn(&NodeId, &str) -> bool>;

/// Makes the bounds of a service's vats of those that all have.
type Bounds = Box<dyn Fn(&Options) -> Options>;

/// The services of a node, on one thread.
#[derive(Default)]
pub struct Services {
    offers: Rc<Offers>,
    exclusive: ExclusiveNames,
    meters: Rc<Meters>,
}

/// What is offered, and to whom.
#[derive(Default)]
struct Offers {
    by_name: RefCell<BTreeMap<StreamName, Rc<Offered>>>,
    permits: RefCell<Vec<Permit>>,
}

impl Offers {
    fn permit(&self, peer: &NodeId, name: &str) -> bool {
        self.permits.borrow().iter().all(|permits| permits(peer, name))
    }
}

/// One of them.
pub(crate) struct Offered {
    /// The most urgent that a stream for it may be.
    pub(crate) priority: Priority,
    pub(crate) factory: Factory,
    /// What its schema says of it, where it is known.
    pub(crate) descriptor: Option<&'static Descriptor>,
    /// Where they are not those of all vats.
    bounds: Option<Bounds>,
    /// A session may use it through one stream at a time.
    is_exclusive: bool,
}

impl Offered {
    fn named(priority: Priority, factory: impl Fn(&Peer) -> Client + 'static) -> Self {
        Self { priority, factory: Box::new(factory), descriptor: None, bounds: None, is_exclusive: false }
    }

    /// The bounds of its vats: None where they are those of all.
    pub(crate) fn bounds(&self, all: &Options) -> Option<Options> {
        let own = self.bounds.as_ref().map(|bounds| bounds(all));
        match self.descriptor {
            Some(descriptor) => Some(descriptor.bounds(own.as_ref().unwrap_or(all))),
            None => own,
        }
    }
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
        self.offer::<S, T>(factory, None)
    }

    /// As [`serve`](Self::serve), each vat within what `bounds` makes of the bounds that all have. The schema's deadlines come on
    /// top.
    pub fn serve_within<S, T>(
        &mut self,
        factory: impl Fn(&Peer) -> T + 'static,
        bounds: impl Fn(&Options) -> Options + 'static,
    ) -> Result<(), ServeError>
    where
        S: Service + ServedBy<T>,
    {
        self.offer::<S, T>(factory, Some(Box::new(bounds)))
    }

    fn offer<S, T>(
        &mut self,
        factory: impl Fn(&Peer) -> T + 'static,
        bounds: Option<Bounds>,
    ) -> Result<(), ServeError>
    where
        S: Service + ServedBy<T>,
    {
        let descriptor = S::DESCRIPTOR;
        let name = self.free(descriptor.name)?;
        let factory: Factory =
            Box::new(move |peer| Client::new(S::client_of(factory(peer)).into_client_hook()));
        let (priority, descriptor) = (descriptor.priority, Some(descriptor));
        self.add(name, Offered { priority, factory, descriptor, bounds, is_exclusive: false });
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
        self.add(name, Offered::named(priority, factory));
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
        self.add(name, Offered { is_exclusive: true, ..Offered::named(priority, factory) });
        Ok(())
    }

    /// Offers the services only to those peers for which `permits` says so, whatever is offered before or after. To all others
    /// there is no such service: they are refused with the same code, at the same moment, and before anything else is looked at.
    ///
    /// Said more than once, a peer needs the permission of each. Without it, every peer is offered everything.
    pub fn permit(&mut self, permits: impl Fn(&NodeId, &str) -> bool + 'static) {
        self.offers.permits.borrow_mut().push(Box::new(permits));
    }

    /// Whether a peer is offered what has this name, if there is such a service.
    pub(crate) fn permits(&self, peer: &NodeId, name: &StreamName) -> bool {
        self.offers.permit(peer, name.as_str())
    }

    fn add(&mut self, name: StreamName, offered: Offered) {
        self.offers.by_name.borrow_mut().insert(name, Rc::new(offered));
    }

    /// What is offered here, for a service that tells of the others or passes them on.
    #[must_use]
    pub fn directory(&self) -> Directory {
        Directory(Rc::downgrade(&self.offers))
    }

    /// A name that a service can have and none has.
    fn free(&self, name: &str) -> Result<StreamName, ServeError> {
        let name =
            StreamName::new(name).map_err(|reason| ServeError::Name { name: name.to_owned(), reason })?;
        if self.offers.by_name.borrow().contains_key(&name) { Err(ServeError::Taken(name)) } else { Ok(name) }
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
    pub(crate) fn find(&self, name: &StreamName) -> Option<Rc<Offered>> {
        self.offers.by_name.borrow().get(name).cloned()
    }
}

/// What a node offers on one thread, also what it came to offer after this was made. It is empty once the [`Services`] are
/// gone.
///
/// A service that a session may use through one stream at a time is not in it.
#[derive(Clone)]
pub struct Directory(Weak<Offers>);

/// One of the services of a [`Directory`].
#[derive(Clone, Debug)]
pub struct DirectoryEntry {
    /// Its name.
    pub name: StreamName,
    /// The most urgent that its streams may be.
    pub priority: Priority,
    /// What its schema says of it, where it is known.
    pub descriptor: Option<&'static Descriptor>,
}

impl Directory {
    /// All services, ordered by name.
    #[must_use]
    pub fn entries(&self) -> Vec<DirectoryEntry> {
        let Some(offers) = self.0.upgrade() else { return Vec::new() };
        let entry = |(name, offered): (&StreamName, &Rc<Offered>)| DirectoryEntry {
            name: name.clone(),
            priority: offered.priority,
            descriptor: offered.descriptor,
        };
        offers.by_name.borrow().iter().filter(|(_, offered)| !offered.is_exclusive).map(entry).collect()
    }

    /// Whether a service of this name is kept from a peer: there is one, and the peer is not [permitted](Services::permit) to
    /// know.
    #[must_use]
    pub fn hides(&self, name: &str, peer: &NodeId) -> bool {
        let Some(offers) = self.0.upgrade() else { return false };
        let there = StreamName::new(name).is_ok_and(|name| offers.by_name.borrow().contains_key(&name));
        there && !offers.permit(peer, name)
    }

    /// What a stream of `peer` for this service would start with. None where there is none for it.
    ///
    /// Whoever passes it on does so at the priority, and within the bounds, of its own vat.
    #[must_use]
    pub fn capability(&self, name: &str, peer: &Peer) -> Option<Client> {
        let offers = self.0.upgrade()?;
        let offered = offers.by_name.borrow().get(&StreamName::new(name).ok()?)?.clone();
        // A factory is anybody's code: nothing is borrowed here.
        (!offered.is_exclusive && offers.permit(&peer.node_id(), name)).then(|| (offered.factory)(peer))
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries()).finish()
    }
}
