//! One command's session with the node that it was pointed at.

use std::future::Future;
use std::time::{Duration, Instant};

use vatmux::bundlemgr::BundleMgr;
use vatmux::schema::health_capnp::health;
use vatmux::{health as health_service, packagefs, statefs};
use vatmux_driver::{Handle, SessionEnd, SessionOptions};
use vatmux_host::{Dialer, Local, NodeAddress};
use vatmux_mux::{CloseCode, Priority};
use vatmux_rpc::{ConnectError, Options, Peer, Remote};

use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::home;
use crate::interrupt::Interruptible;

/// Content goes behind everything that somebody waits for.
pub(crate) const FILES_PRIORITY: Priority = Priority::LAST;

/// A call that carries a whole file is bounded by its [pulse](crate::pulse), and its vat must not cut it off before: the
/// longest time that a transfer may take.
pub(crate) const TRANSFER_DEADLINE: Duration = Duration::from_hours(30 * 24);

/// What a command's calls wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Calls {
    /// Answers that come at once: each call has the default deadline.
    Short,
    /// Transfers: the command watches over them itself, with a [`Pulse`](crate::pulse::Pulse).
    Transfers,
}

/// A session with a node, while a command runs.
pub(crate) struct Visit {
    /// The node.
    pub(crate) peer: Peer,
    /// What was dialed.
    pub(crate) address: NodeAddress,
    /// The driver.
    pub(crate) handle: Handle,
    /// How long dialing took, with the handshake.
    pub(crate) dial_time: Duration,
}

impl Visit {
    /// The node's content.
    pub(crate) fn files(&self) -> Result<packagefs::Client, Failure> {
        packagefs::Client::connect(&self.peer, FILES_PRIORITY).map_err(|error| self.unconnected(error))
    }

    /// The node's bundles.
    pub(crate) fn bundles(&self) -> Result<BundleMgr, Failure> {
        self.peer.connect().map_err(|error| self.unconnected(error))
    }

    /// The node's keys and values.
    pub(crate) fn state(&self) -> Result<statefs::Client, Failure> {
        statefs::Client::connect(&self.peer).map_err(|error| self.unconnected(error))
    }

    /// The node's health.
    pub(crate) fn health(&self) -> Result<Remote<health::Client>, Failure> {
        self.peer
            .connect_named(health_service::SERVICE_NAME, health_service::PRIORITY)
            .map_err(|error| self.unconnected(error))
    }

    pub(crate) fn unconnected(&self, error: ConnectError) -> Failure {
        Failure::Connect { endpoint: self.address.endpoint.clone(), error }
    }
}

/// Dials `address`, does `work` there, and takes leave. Where there is an `interruptible`, a request to end drops all of
/// that at once.
pub(crate) fn pay<T, W>(
    arguments: &Arguments,
    address: &NodeAddress,
    calls: Calls,
    interruptible: Option<Interruptible>,
    work: impl FnOnce(Visit) -> W,
) -> Result<T, Failure>
where
    W: Future<Output = Result<T, Failure>>,
{
    let (key, _) = home::key(arguments)?;
    let mut local = Local::new(key).map_err(Failure::system("what a node needs"))?;
    let dialer = prepare(local.dialer(), arguments.timeout, calls);
    let visiting = dial_and_work(dialer, local.handle(), address, interruptible, work);
    local.drive_until(visiting).map_err(Failure::system("to wait for sockets"))?
}

/// Gives a dialer the times of a command.
pub(crate) fn prepare(dialer: Dialer, timeout: Option<Duration>, calls: Calls) -> Dialer {
    let dialer = match timeout {
        None => dialer,
        Some(timeout) => dialer
            .connect_deadline(timeout)
            .session_options(SessionOptions { handshake_deadline: timeout, ..SessionOptions::default() }),
    };
    match calls {
        Calls::Short => dialer,
        Calls::Transfers => {
            dialer.vat_options(Options { call_deadline: TRANSFER_DEADLINE, ..Options::default() })
        }
    }
}

/// The part of [`pay`] that runs on the driver. Taking leave is not interrupted: by then the work is done and must be
/// reported as done, and it takes no longer than the session lingers.
pub(crate) async fn dial_and_work<T, W>(
    dialer: Dialer,
    handle: Handle,
    address: &NodeAddress,
    mut interruptible: Option<Interruptible>,
    work: impl FnOnce(Visit) -> W,
) -> Result<T, Failure>
where
    W: Future<Output = Result<T, Failure>>,
{
    let started = Instant::now();
    let dialing = async { Ok(dialer.dial(address).await?) };
    let peer = unless_interrupted(&mut interruptible, dialing).await?;
    let dial_time = started.elapsed();
    let visit = Visit { peer: peer.clone(), address: address.clone(), handle, dial_time };
    let outcome = unless_interrupted(&mut interruptible, work(visit)).await;
    let not_allowed = Some(SessionEnd::ClosedByPeer(CloseCode::NOT_ALLOWED));
    if outcome.is_err() && peer.session().end() == not_allowed {
        return Err(Failure::NotAllowed { endpoint: address.endpoint.clone(), node: dialer.node_id() });
    }
    peer.close(CloseCode::DONE);
    peer.closed().await;
    outcome
}

async fn unless_interrupted<T>(
    interruptible: &mut Option<Interruptible>,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    match interruptible {
        None => work.await,
        Some(interruptible) => interruptible.run(work).await,
    }
}
