//! A node with a registry and others that visit it, in one process under virtual time.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use futures::channel::mpsc;
use futures::future::join;
use futures::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use futures::{SinkExt as _, StreamExt as _};
use vatmux::schema::health::{Health, HealthDouble};
use vatmux::service::Stub;
use vatmux::{
    AllowList, Entropy, Handle, NodeId, Peer, SecretKey, Services, SessionOptions, VatOptions, health, samgr,
};
use vatmux_driver::virtual_time::VirtualClock;
use vatmux_driver::{Clock as _, Driver, Instant, PipeEnd, accept, dial, pipe, virtual_time};
use vatmux_mux::HeapStorage;

use samgr::{Access, Client, Limits, Name, Policy, Prefix, Registered, Registry, RequestError, Status};

/// What a byte takes to the other end.
pub(crate) const ONE_WAY: Duration = Duration::from_millis(5);

pub(crate) const ROUND_TRIP: Duration = Duration::from_millis(10);

/// The number of the node that has the registry.
const REGISTRAR: u8 = 200;

/// What may be on the way between two reads of a link.
const PIECES: usize = 1024;

pub(crate) fn key(number: u8) -> SecretKey {
    SecretKey::generate(Entropy::from_bytes([number; 32]).unwrap())
}

pub(crate) fn node(number: u8) -> NodeId {
    key(number).node_id()
}

pub(crate) fn name(name: &str) -> Name {
    name.parse().unwrap()
}

pub(crate) fn prefix(prefix: &str) -> Prefix {
    prefix.parse().unwrap()
}

pub(crate) fn status<T>(answer: Result<T, RequestError>) -> Option<Status> {
    answer.err().and_then(|error| error.status())
}

/// A service that adds to what it is pinged with.
pub(crate) fn adder(addend: u64) -> Health {
    Health::serve(HealthDouble::default().on_ping(move |nonce| Ok(nonce + addend)))
}

pub(crate) struct World {
    driver: Driver,
    pub(crate) clock: VirtualClock,
    pub(crate) handle: Handle,
    pub(crate) registry: Registry,
    /// The services of each thread of the node. All run on the thread of the test.
    threads: Vec<Services>,
    options: VatOptions,
}

/// One that visits the node.
pub(crate) struct Visitor {
    pub(crate) peer: Peer,
    pub(crate) client: Client,
    cut: Rc<Cell<bool>>,
}

impl World {
    /// Everybody may do everything.
    pub(crate) fn open() -> Self {
        Self::new(2, Limits::default(), |_| Access::full())
    }

    pub(crate) fn new(threads: usize, limits: Limits, access: fn(NodeId) -> Access) -> Self {
        let (driver, clock) = virtual_time::driver();
        let registry = Registry::new(limits);
        let services = || {
            let mut services = Services::default();
            samgr::offer_among(&mut services, &registry, node(REGISTRAR), access).unwrap();
            // Later than the registry that tells of it.
            health::offer_among(&mut services).unwrap();
            services
        };
        let threads = (0..threads).map(|_| services()).collect();
        let handle = driver.handle();
        Self { driver, clock, handle, registry, threads, options: VatOptions::default() }
    }

    /// Keeps services of the node from peers.
    pub(crate) fn permit(&mut self, permits: fn(&NodeId, &str) -> bool) {
        self.threads.iter_mut().for_each(|services| services.permit(permits));
    }

    /// Once.
    pub(crate) fn run<T>(&mut self, test: impl AsyncFnOnce(&Guide) -> T) -> T {
        let guide = Guide {
            clock: self.clock.clone(),
            handle: self.handle.clone(),
            threads: self.threads.drain(..).map(Rc::new).collect(),
            options: self.options.clone(),
            registry: self.registry.clone(),
        };
        self.driver.drive_until(test(&guide)).unwrap()
    }
}

/// The world as those see it who are in it.
pub(crate) struct Guide {
    clock: VirtualClock,
    pub(crate) handle: Handle,
    threads: Vec<Rc<Services>>,
    options: VatOptions,
    pub(crate) registry: Registry,
}

impl Guide {
    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// A node that has a session on a thread of the node.
    pub(crate) async fn visitor(&self, number: u8, thread: usize) -> Visitor {
        let (near, far, cut) = link(&self.handle);
        let (dialer, acceptor, allow) = (key(number), key(REGISTRAR), AllowList::Anyone);
        let entropy = |salt: u8| Entropy::from_bytes([number ^ salt; 32]).unwrap();
        let options = SessionOptions::default;
        let dialing = dial(
            &self.handle,
            near,
            &dialer,
            node(REGISTRAR),
            entropy(0xa5),
            HeapStorage::default(),
            options(),
        );
        let accepting =
            accept(&self.handle, far, &acceptor, &allow, entropy(0x5a), HeapStorage::default(), options());
        let (dialed, accepted) = join(dialing, accepting).await;
        let accepted = Peer::new(accepted.unwrap(), self.threads[thread].clone(), self.options.clone());
        self.handle.spawn(async move { drop(accepted.closed().await) });
        let peer = Peer::new(dialed.unwrap(), Rc::default(), VatOptions::default());
        let client = Client::connect(&peer).unwrap();
        Visitor { peer, client, cut }
    }
}

impl Visitor {
    /// Not a byte passes any more, and nobody is told.
    pub(crate) fn cut(&self) {
        self.cut.set(true);
    }

    pub(crate) async fn register(&self, called: &str, addend: u64) -> Result<Registered, RequestError> {
        self.client.register(&name(called), &adder(addend), "1", Policy::default()).await
    }

    pub(crate) async fn ping(&self, called: &str, nonce: u64) -> Result<u64, String> {
        let found = self.client.resolve::<Health>(&name(called)).await.map_err(|error| error.to_string())?;
        found.service.ping(nonce).await.map_err(|error| error.to_string())
    }
}

/// Two ends of a link that takes its time.
fn link(handle: &Handle) -> (PipeEnd, PipeEnd, Rc<Cell<bool>>) {
    let (near, near_inner) = pipe(1 << 20);
    let (far, far_inner) = pipe(1 << 20);
    let cut = Rc::new(Cell::new(false));
    let (near_reads, near_writes) = near_inner.split();
    let (far_reads, far_writes) = far_inner.split();
    carry(handle, near_reads, far_writes, &cut);
    carry(handle, far_reads, near_writes, &cut);
    (near, far, cut)
}

fn carry(
    handle: &Handle,
    mut from: impl AsyncRead + Unpin + 'static,
    mut to: impl futures::io::AsyncWrite + Unpin + 'static,
    cut: &Rc<Cell<bool>>,
) {
    let (mut send, mut sent) = mpsc::channel::<(Instant, Vec<u8>)>(PIECES);
    let (clock, cut) = (handle.clone(), cut.clone());
    handle.spawn(async move {
        let mut piece = vec![0; 1 << 16];
        while let Ok(read @ 1..) = from.read(&mut piece).await {
            if !cut.get() && send.send((clock.now() + ONE_WAY, piece[..read].to_vec())).await.is_err() {
                return;
            }
        }
    });
    let clock = handle.clone();
    handle.spawn(async move {
        while let Some((due, piece)) = sent.next().await {
            clock.sleep_until(due).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
        let _ = to.close().await;
    });
}
