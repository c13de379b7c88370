//! TCP/IP, by smoltcp: what links are made of. Nothing here waits; the driver's park moves the frames (`park.rs`).

mod link;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::task::Poll;

use smoltcp::iface::{Interface, PollIngressSingleResult, PollResult, SocketHandle, SocketSet};
use smoltcp::socket::tcp;
use smoltcp::time::{Duration, Instant as Moment};
use smoltcp::wire::{EthernetAddress, IpCidr};
use vatmux_driver::Instant;
use vatmux_os_disk::Network as Place;

pub(crate) use self::link::TcpLink;
use crate::devices::card::Card;
use crate::devices::entropy;
use crate::machine::timer;

/// What a connection buffers in each direction. Twelve connections are 1.5 MiB.
const BUFFER_BYTES: usize = 64 * 1024;

/// The most connections of one network, those that wait to be accepted and those that are ending included.
const MAX_CONNECTIONS: usize = 12;

/// How many connections may come before the first of them is accepted.
const BACKLOG: usize = 2;

/// Frames that are taken before anything else has its turn: a storm of packets costs this much and no more at a time.
const FRAMES_PER_TURN: usize = 64;

/// For how long a connection may have bytes under way that nobody acknowledges.
const SILENCE: Duration = Duration::from_secs(15);

/// A network as the image sees it. Clones are the same.
#[derive(Clone)]
pub(crate) struct Network(Rc<RefCell<Stack>>);

/// All networks that the image has a place in: the first leads to others, a second one to whoever is at the other end of it.
#[derive(Clone, Default)]
pub(crate) struct Networks(Vec<Network>);

struct Stack {
    card: Card,
    interface: Interface,
    sockets: SocketSet<'static>,
    /// Sockets that nobody holds any more, and that have something to say before they go.
    ending: Vec<SocketHandle>,
    connections: Rc<Cell<usize>>,
    next_port: u16,
}

fn moment(instant: Instant) -> Moment {
    Moment::from_micros(i64::try_from(instant.as_nanos() / 1000).unwrap_or(i64::MAX))
}

impl Network {
    /// Brings `card` up at its place in the network.
    pub(crate) fn new(mut card: Card, place: Place) -> Self {
        let mut config = smoltcp::iface::Config::new(EthernetAddress(card.address()).into());
        let mut seed = [0; 10];
        entropy::fill(&mut seed);
        let (random_seed, port) = seed.split_at(8);
        config.random_seed = random_seed.iter().fold(0, |seed, byte| (seed << 8) | u64::from(*byte));
        let mut interface = Interface::new(config, &mut card, moment(timer::now()));
        interface.update_ip_addrs(|addresses| {
            // There is room for more than this one.
            let _ = addresses.push(IpCidr::new(place.address.into(), place.prefix_bits));
        });
        if let Some(gateway) = place.gateway {
            let _ = interface.routes_mut().add_default_ipv4_route(gateway);
        }
        let next_port = port.iter().fold(0_u16, |port, byte| (port << 8) | u16::from(*byte)) | 0xc000;
        Self(Rc::new(RefCell::new(Stack {
            card,
            interface,
            sockets: SocketSet::new(Vec::new()),
            ending: Vec::new(),
            connections: Rc::default(),
            next_port,
        })))
    }

    /// Whether `address` is in this network, and not beyond it.
    fn holds(&self, address: Ipv4Addr) -> bool {
        self.0.borrow().interface.ip_addrs().iter().any(|place| place.contains_addr(&address.into()))
    }

    /// Moves what there is to move, in both directions, and wakes whom it concerns. Takes a bounded number of frames.
    pub(crate) fn turn(&self, now: Instant) {
        let Stack { card, interface, sockets, ending, connections, .. } = &mut *self.0.borrow_mut();
        let now = moment(now);
        for _ in 0..FRAMES_PER_TURN {
            if let PollIngressSingleResult::None = interface.poll_ingress_single(now, card, sockets) {
                break;
            }
        }
        while let PollResult::SocketStateChanged = interface.poll_egress(now, card, sockets) {}
        interface.poll_maintenance(now);
        ending.retain(|&handle| {
            let open = sockets.get::<tcp::Socket<'_>>(handle).is_active();
            if !open {
                sockets.remove(handle);
                connections.set(connections.get() - 1);
            }
            open
        });
    }

    /// When it wants its next turn, if nothing arrives before; at once where frames wait.
    pub(crate) fn next_turn(&self, now: Instant) -> Option<Instant> {
        let Stack { card, interface, sockets, .. } = &mut *self.0.borrow_mut();
        if card.has_received() {
            return Some(now);
        }
        let at = interface.poll_at(moment(now), sockets)?;
        Some(Instant::from_nanos(u64::try_from(at.total_micros()).unwrap_or(0).saturating_mul(1000)))
    }

    /// Deals with the interrupt of the device at `place`, if that is the network's card.
    pub(crate) fn acknowledge(&self, place: usize) {
        self.0.borrow().card.acknowledge(place);
    }

    /// Connects to a port of a node.
    async fn connect(&self, address: Ipv4Addr, port: u16) -> io::Result<TcpLink> {
        let link = self.socket()?;
        {
            let Stack { interface, sockets, next_port, .. } = &mut *self.0.borrow_mut();
            let local = *next_port;
            *next_port = next_port.wrapping_add(1) | 0xc000;
            sockets
                .get_mut::<tcp::Socket<'_>>(link.handle())
                .connect(interface.context(), (address, port), local)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error.to_string()))?;
        }
        poll_fn(|cx| {
            link.with(|socket| match socket.state() {
                tcp::State::SynSent | tcp::State::SynReceived => {
                    socket.register_send_waker(cx.waker());
                    Poll::Pending
                }
                tcp::State::Closed => Poll::Ready(Err(io::Error::from(io::ErrorKind::ConnectionRefused))),
                _ => Poll::Ready(Ok(())),
            })
        })
        .await?;
        Ok(link)
    }

    /// Listens on a port.
    fn listen(&self, port: u16) -> io::Result<Listener> {
        let waiting = (0..BACKLOG).map(|_| self.listening(port)).collect::<io::Result<_>>()?;
        Ok(Listener { network: self.clone(), port, waiting })
    }

    fn listening(&self, port: u16) -> io::Result<TcpLink> {
        let link = self.socket()?;
        link.with(|socket| socket.listen(port))
            .map_err(|error| io::Error::new(io::ErrorKind::AddrInUse, error.to_string()))?;
        Ok(link)
    }

    /// A socket that does nothing yet.
    fn socket(&self) -> io::Result<TcpLink> {
        let stack = &mut *self.0.borrow_mut();
        if stack.connections.get() >= MAX_CONNECTIONS {
            return Err(io::Error::other(format!("{MAX_CONNECTIONS} connections are open")));
        }
        stack.connections.set(stack.connections.get() + 1);
        let buffer = || tcp::SocketBuffer::new(vec![0; BUFFER_BYTES]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        // What is written together leaves together: the session writes whole records.
        socket.set_nagle_enabled(false);
        socket.set_timeout(Some(SILENCE));
        let handle = stack.sockets.add(socket);
        Ok(TcpLink::new(self.clone(), handle))
    }
}

impl Networks {
    /// Adds a network.
    pub(crate) fn add(&mut self, network: Network) {
        self.0.push(network);
    }

    /// Each of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Network> {
        self.0.iter()
    }

    /// Connects to a port of a node: by the network that it is in, and by the first one where it is in none.
    pub(crate) async fn connect(&self, address: Ipv4Addr, port: u16) -> io::Result<TcpLink> {
        let network = self.0.iter().find(|network| network.holds(address)).or(self.0.first());
        network.ok_or(io::ErrorKind::NetworkUnreachable)?.connect(address, port).await
    }

    /// Listens on a port, in every network.
    pub(crate) fn listen(&self, port: u16) -> io::Result<Vec<Listener>> {
        self.0.iter().map(|network| network.listen(port)).collect()
    }
}

/// What accepts connections on one port.
pub(crate) struct Listener {
    network: Network,
    port: u16,
    waiting: Vec<TcpLink>,
}

impl Listener {
    /// The next connection.
    pub(crate) async fn accept(&mut self) -> TcpLink {
        let arrived = poll_fn(|cx| {
            let arrived = self.waiting.iter().position(|link| {
                link.with(|socket| {
                    socket.register_send_waker(cx.waker());
                    socket.register_recv_waker(cx.waker());
                    // One that came and went before anybody looked is taken as well, and found to be closed.
                    !matches!(socket.state(), tcp::State::Listen | tcp::State::SynReceived)
                })
            });
            arrived.map_or(Poll::Pending, Poll::Ready)
        })
        .await;
        let link = self.waiting.swap_remove(arrived);
        self.refill();
        link
    }

    /// Has as many connections wait as there is room for. With none left, whoever dials is refused until one ends.
    pub(crate) fn refill(&mut self) {
        while self.waiting.len() < BACKLOG
            && let Ok(link) = self.network.listening(self.port)
        {
            self.waiting.push(link);
        }
    }
}
