//! What all contestants of vatmux's begin with: a node that serves, and somebody who dials it.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use futures::future::try_join;
use vatmux_driver::{Driver, SessionOptions};
use vatmux_host::{
    Dialer, Endpoint, Local, MonotonicClock, Node, NodeAddress, NodeBuilder, Reactor, SocketLink,
};
use vatmux_mux::HeapStorage;
use vatmux_noise::{AllowList, Entropy, NodeId, SecretKey};
use vatmux_rpc::{Options, Peer, Services};

use crate::noise::Contact;
use crate::side::Bench;

/// Serves anyone from one thread, on loopback, until the bench ends.
pub(crate) fn serve(bench: &Bench, offer: impl FnOnce(NodeBuilder) -> NodeBuilder) -> Result<()> {
    let node = offer(Node::builder(fresh_key()?).allow(AllowList::Anyone).workers(1))
        .listen(&Endpoint::Tcp { host: "127.0.0.1".to_owned(), port: 0 })?
        .start()?;
    let Some(Endpoint::Tcp { host, port }) = node.endpoints().first() else {
        bail!("the node listens nowhere");
    };
    let address = format!("{host}:{port}").parse()?;
    bench.say(&Contact { address, key: *node.node_id().as_bytes() })?;
    bench.wait_for_end();
    Ok(())
}

/// Dials `server` from this thread, and does `work` with the peer; the moment is that before the dial.
pub(crate) fn dial<T>(server: &Contact, work: impl AsyncFnOnce(Instant, Peer) -> Result<T>) -> Result<T> {
    dial_by(|dialer| dialer, server, work)
}

/// The same, with other than the default options.
pub(crate) fn dial_by<T>(
    options: impl FnOnce(Dialer) -> Dialer,
    server: &Contact,
    work: impl AsyncFnOnce(Instant, Peer) -> Result<T>,
) -> Result<T> {
    let mut local = Local::new(fresh_key()?)?;
    let dialer = options(local.dialer());
    let address = NodeAddress {
        node: NodeId::from_bytes(server.key)?,
        endpoint: Endpoint::Tcp { host: server.address.ip().to_string(), port: server.address.port() },
        path: String::new(),
    };
    local.drive_until(async {
        let dialed = Instant::now();
        work(dialed, dialer.dial(&address).await?).await
    })?
}

/// Does `work` with a peer that serves `services` from this thread as well, over loopback.
///
/// A node cannot be had without threads of its own, so this is what a node's worker and a dialer run on, on one driver.
pub(crate) fn on_one_thread<T>(
    services: Services,
    work: impl AsyncFnOnce(Instant, Peer) -> Result<T>,
) -> Result<T> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot listen on loopback")?;
    let clock = MonotonicClock::default();
    let reactor = Reactor::new(clock)?;
    let calling = SocketLink::new(&reactor, TcpStream::connect(listener.local_addr()?)?)?;
    let serving = SocketLink::new(&reactor, listener.accept()?.0)?;
    let mut driver = Driver::new(clock, reactor.into_park()).contain_panics();
    let handle = driver.handle();
    let (server_key, caller_key) = (fresh_key()?, fresh_key()?);
    driver.drive_until(async {
        let dialed = Instant::now();
        let (served, called) = try_join(
            vatmux_driver::accept(
                &handle,
                serving,
                &server_key,
                &AllowList::Anyone,
                Entropy::from_system()?,
                HeapStorage::new(),
                SessionOptions::default(),
            ),
            vatmux_driver::dial(
                &handle,
                calling,
                &caller_key,
                server_key.node_id(),
                Entropy::from_system()?,
                HeapStorage::new(),
                SessionOptions::default(),
            ),
        )
        .await?;
        let _served = Peer::new(served, Rc::new(services), Options::default());
        let peer = Peer::new(called, Rc::default(), Options::default());
        work(dialed, peer).await
    })?
}

pub(crate) fn fresh_key() -> Result<SecretKey> {
    Ok(SecretKey::generate(Entropy::from_system()?))
}
