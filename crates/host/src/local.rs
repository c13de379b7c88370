//! A node on the calling thread: it dials others, and serves them what it is given.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use vatmux_driver::{Driver, Handle, SessionOptions};
use vatmux_liveness::Attempted;
use vatmux_mux::HeapStorage;
use vatmux_noise::{Entropy, NodeId, SecretKey, Suite};
use vatmux_rpc::{Options, Peer, ReconnectOptions, Services};

use crate::memory::keep_freed_buffers;
use crate::pace::system_jitter;
use crate::{DialError, MonotonicClock, NodeAddress, Reactor, ReconnectingPeer, dial};

/// A node that lives on the calling thread and runs while it is driven.
///
/// ```no_run
/// use vatmux_host::Local;
/// use vatmux_noise::{Entropy, SecretKey};
///
/// let mut local = Local::new(SecretKey::generate(Entropy::from_system()?))?;
/// let dialer = local.dialer();
/// let peer = local.drive_until(async move { dialer.dial(&"vat://…".parse()?).await.map_err(Into::into) })?;
/// # let _: Result<_, Box<dyn std::error::Error>> = peer;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Local {
    driver: Driver,
    dialer: Dialer,
}

impl Local {
    /// A node with `key` that offers nothing to whom it dials.
    pub fn new(key: SecretKey) -> io::Result<Self> {
        Self::with_services(key, Services::default())
    }

    /// A node with `key` that offers `services` to whom it dials.
    pub fn with_services(key: SecretKey, services: Services) -> io::Result<Self> {
        keep_freed_buffers();
        let clock = MonotonicClock::default();
        let reactor = Reactor::new(clock)?;
        let driver = Driver::new(clock, reactor.clone().into_park());
        let dialer = Dialer {
            handle: driver.handle(),
            reactor,
            key: Rc::new(key),
            services: Rc::new(services),
            session_options: SessionOptions::default(),
            vat_options: Options::default(),
            connect_deadline: Duration::from_secs(10),
        };
        Ok(Self { driver, dialer })
    }

    /// Has a task that panics end alone, as [`Driver::contain_panics`] does.
    #[must_use]
    pub fn contain_panics(self) -> Self {
        Self { driver: self.driver.contain_panics(), ..self }
    }

    /// What calls other nodes. Cheap to clone; it stays on this thread.
    #[must_use]
    pub fn dialer(&self) -> Dialer {
        self.dialer.clone()
    }

    /// The driver's handle: the time, timers, tasks.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.driver.handle()
    }

    /// Runs this node until `future` is done.
    ///
    /// Fails only where the operating system takes the poller away.
    pub fn drive_until<F: Future>(&mut self, future: F) -> io::Result<F::Output> {
        self.driver.drive_until(future)
    }
}

/// Calls other nodes from one thread.
#[derive(Clone)]
pub struct Dialer {
    handle: Handle,
    reactor: Reactor,
    key: Rc<SecretKey>,
    services: Rc<Services>,
    session_options: SessionOptions,
    vat_options: Options,
    connect_deadline: Duration,
}

impl Dialer {
    /// How long finding and reaching an address may take. Default: 10 s. The handshake has a deadline of its
    /// own, [`SessionOptions::handshake_deadline`].
    #[must_use]
    pub fn connect_deadline(self, deadline: Duration) -> Self {
        Self { connect_deadline: deadline, ..self }
    }

    /// Bounds and times of the sessions that are dialed from here on.
    #[must_use]
    pub fn session_options(self, options: SessionOptions) -> Self {
        Self { session_options: options, ..self }
    }

    /// The ciphers of the sessions that are dialed from here on. Default: [`Suite::ChaChaPoly`], which every node has.
    ///
    /// [`Suite::fastest`] picks AES-GCM on a machine with AES instructions, for about twice the speed of bulk data; a
    /// node that was built without it, such as one on bare metal, refuses the dial.
    #[must_use]
    pub fn suite(mut self, suite: Suite) -> Self {
        self.session_options.suite = suite;
        self
    }

    /// Bounds and times of their vats.
    #[must_use]
    pub fn vat_options(self, options: Options) -> Self {
        Self { vat_options: options, ..self }
    }

    /// The id that this node proves to whom it dials.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.key.node_id()
    }

    /// The driver's handle.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Where its thread's sockets are watched.
    pub(crate) fn reactor(&self) -> &Reactor {
        &self.reactor
    }

    /// Connects to `address` and proves both sides' keys. The path in the address plays no part.
    pub async fn dial(&self, address: &NodeAddress) -> Result<Peer, DialError> {
        let link =
            dial::connect(&self.handle, &self.reactor, &address.endpoint, self.connect_deadline).await?;
        self.dial_over(link, address).await
    }

    /// The node at `address`, over all the sessions that there will be with it: it is dialed when somebody asks for it,
    /// and again when its session is lost. What cannot succeed is not tried again: see [`DialError::is_lasting`].
    ///
    /// ```no_run
    /// # use vatmux_host::{Dialer, NodeAddress};
    /// # async fn example<C: capnp::capability::FromClientHook>(
    /// #     dialer: Dialer,
    /// #     address: NodeAddress,
    /// #     ask: impl Fn(&C) -> capnp::capability::Promise<u64, capnp::Error>,
    /// # ) {
    /// use vatmux_host::CallError;
    /// use vatmux_mux::Priority;
    ///
    /// let counter = dialer.reconnecting(&address, Default::default()).service::<C>("counter", Priority::default());
    /// match counter.call(&ask).await {
    ///     Ok(count) => println!("{count}"),
    ///     Err(CallError::Disconnected { lost, .. }) if lost.maybe_delivered => println!("it may have been counted"),
    ///     Err(error) => println!("it was not counted: {error}"),
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn reconnecting(&self, address: &NodeAddress, options: ReconnectOptions) -> ReconnectingPeer {
        self.redialing(None, address, options)
    }

    /// As [`reconnecting`](Self::reconnecting), of a peer that there is a session with: it is dialed when that was lost.
    pub(crate) fn reconnecting_from(
        &self,
        peer: Peer,
        address: &NodeAddress,
        options: ReconnectOptions,
    ) -> ReconnectingPeer {
        self.redialing(Some(peer), address, options)
    }

    fn redialing(
        &self,
        first: Option<Peer>,
        address: &NodeAddress,
        options: ReconnectOptions,
    ) -> ReconnectingPeer {
        let (dialer, address) = (self.clone(), address.clone());
        let first = Cell::new(first);
        let dial = move |within: Duration| {
            let first = first.take().filter(|peer| peer.session().end().is_none());
            let dialer = dialer.clone().connect_deadline(within.min(dialer.connect_deadline));
            let address = address.clone();
            async move {
                if let Some(first) = first {
                    return Attempted::Success(first);
                }
                match dialer.dial(&address).await {
                    Ok(peer) => Attempted::Success(peer),
                    Err(error) if error.is_lasting() => Attempted::Rejected(error),
                    Err(error) => Attempted::Failed(error),
                }
            }
        };
        ReconnectingPeer::new(&self.handle, options, system_jitter, dial)
    }

    /// As [`dial`](Self::dial), over a link that leads there already; `address` is who must be at its end.
    pub async fn dial_over(
        &self,
        link: impl vatmux_driver::Link + 'static,
        address: &NodeAddress,
    ) -> Result<Peer, DialError> {
        let session = vatmux_driver::dial(
            &self.handle,
            link,
            &self.key,
            address.node,
            Entropy::from_system()?,
            HeapStorage::default(),
            self.session_options.clone(),
        )
        .await
        .map_err(|failure| DialError::Handshake { endpoint: address.endpoint.clone(), failure })?;
        Ok(Peer::new(session, self.services.clone(), self.vat_options.clone()))
    }
}
