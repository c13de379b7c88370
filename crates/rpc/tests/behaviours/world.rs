//! This process and another, with a session between them.

use std::rc::Rc;

use capnp::Error;
use capnp::capability::RemotePromise;
use vatmux_host::Local;
use vatmux_mux::Priority;
use vatmux_rpc::{Options, Peer, Remote};

use crate::common::behaviours_capnp::station::What;
use crate::process::{Process, Role, SERVICE, key};
use crate::server::{Count, Recorder};
use crate::{counter, recorder, station};

pub(crate) struct World {
    pub(crate) process: Process,
    pub(crate) peer: Peer,
    /// The other process, on a stream of the tests' own.
    pub(crate) station: Remote<station::Client>,
    /// The same, on another stream: what it says and hears passes by everything on the first.
    pub(crate) control: Remote<station::Client>,
    /// Recorders of this process that somebody has.
    pub(crate) recorders: Rc<Count>,
    pub(crate) local: Local,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Role::Station, Options::default())
    }

    pub(crate) fn with(role: Role<'_>, options: Options) -> Self {
        let process = Process::start(role);
        let mut local = Local::new(key()).unwrap();
        let dialer = local.dialer().vat_options(options);
        let peer = local.drive_until(dialer.dial(process.address())).unwrap().unwrap();
        let (station, control) = (connect(&peer), connect(&peer));
        Self { process, peer, station, control, recorders: Rc::default(), local }
    }

    pub(crate) fn run<F: Future>(&mut self, future: F) -> F::Output {
        self.local.drive_until(future).unwrap()
    }

    pub(crate) fn recorder(&self) -> Rc<Recorder> {
        Recorder::new(&self.recorders)
    }
}

pub(crate) fn connect(peer: &Peer) -> Remote<station::Client> {
    peer.connect_named(SERVICE, Priority::default()).unwrap()
}

pub(crate) async fn echo(station: &station::Client, n: u64) -> Result<u64, Error> {
    let mut request = station.echo_request();
    request.get().set_n(n);
    Ok(request.send().promise.await?.get()?.get_n())
}

/// A call that is on its way already.
pub(crate) fn gated(station: &station::Client, gate: &str) -> RemotePromise<station::gated_results::Owned> {
    let mut request = station.gated_request();
    request.get().set_gate(gate);
    request.send()
}

/// Opens a gate, and says when that was on the other process's clock. The call is on its way already.
pub(crate) fn open(
    station: &station::Client,
    gate: &str,
) -> impl Future<Output = Result<u64, Error>> + use<> {
    let mut request = station.open_request();
    request.get().set_gate(gate);
    let sent = request.send();
    async move { Ok(sent.promise.await?.get()?.get_nanos()) }
}

/// A call that is on its way already: gives the total, and when it arrived.
pub(crate) fn add(
    counter: &counter::Client,
    n: u64,
) -> impl Future<Output = Result<(u64, u64), Error>> + use<> {
    let mut request = counter.add_request();
    request.get().set_n(n);
    let sent = request.send();
    async move {
        let response = sent.promise.await?;
        let results = response.get()?;
        Ok((results.get_total(), results.get_arrived()))
    }
}

pub(crate) fn give_back(
    station: &station::Client,
    gate: &str,
    recorder: recorder::Client,
) -> RemotePromise<station::give_back_results::Owned> {
    let mut request = station.give_back_request();
    request.get().set_gate(gate);
    request.get().set_recorder(recorder);
    request.send()
}

/// The other process's promise of what it is given.
pub(crate) fn promise(
    station: &station::Client,
    gate: &str,
    recorder: recorder::Client,
) -> RemotePromise<station::promise_results::Owned> {
    let mut request = station.promise_request();
    request.get().set_gate(gate);
    request.get().set_recorder(recorder);
    request.send()
}

pub(crate) fn hold(
    station: &station::Client,
    recorder: recorder::Client,
) -> RemotePromise<station::hold_results::Owned> {
    let mut request = station.hold_request();
    request.get().set_recorder(recorder);
    request.send()
}

/// Waits until the other process has so many of something.
pub(crate) async fn until(station: &station::Client, what: What, count: u64) -> Result<(), Error> {
    let mut request = station.until_request();
    request.get().set_what(what);
    request.get().set_count(count);
    request.send().promise.await.map(drop)
}
