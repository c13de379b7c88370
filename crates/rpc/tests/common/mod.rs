//! What the tests share: the server that they call, and two vats on a pipe under virtual time.

#![allow(dead_code, reason = "each test file uses its own part")]

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::time::Duration;

use capnp::Error;
use capnp::capability::{Client, Params};
use capnp::traits::Owned;
use futures::channel::oneshot;
use vatmux_driver::virtual_time::VirtualClock;
use vatmux_driver::{Clock, Driver, Handle, Instant, PipeEnd, pipe, virtual_time};
use vatmux_rpc::{CallContext, MustFinish, Options, Remote, Vat};

#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::unimplemented,
    missing_docs,
    unused_qualifications,
    unreachable_pub
)]
pub(crate) mod probe_capnp {
    include!(concat!(env!("OUT_DIR"), "/probe_capnp.rs"));
}

pub(crate) mod wire;

pub(crate) use probe_capnp::{counter, probe};

/// Room in each direction of a pipe: as much as a mux stream starts with.
pub(crate) const PIPE_BYTES: usize = 64 << 10;

/// The largest blob that the server makes.
const MAX_BLOB_BYTES: u64 = 8 << 20;

/// Calls that are remembered: what many calls cost is measured.
const MAX_CONTEXTS: usize = 64;

/// What the test sees of its server.
#[derive(Default)]
pub(crate) struct Seen {
    /// Servers of `Probe` alive.
    pub(crate) probes: Cell<usize>,
    /// Servers of `Counter` alive.
    pub(crate) counters: Cell<usize>,
    /// Whether the server keeps the counters that it is given.
    pub(crate) keeps: Cell<bool>,
    /// Calls of `never` that run.
    pub(crate) running: Cell<usize>,
    /// Where `after` runs to its end, whoever cancels it.
    pub(crate) must_finish: RefCell<Option<MustFinish>>,
    /// Calls of `after` that ran to their end.
    pub(crate) finished: Cell<usize>,
    /// Bytes that `write` has taken.
    pub(crate) written: Cell<u64>,
    /// The numbers that `echo` was given, and those that the larger chunks of `write` begin with.
    pub(crate) numbers: RefCell<Vec<u64>>,
    /// What the first calls of `echo`, `never` and `add` were told of themselves, `None` where there was no vat.
    pub(crate) contexts: RefCell<Vec<Option<CallContext>>>,
    /// Calls of `write` that wait for the gate.
    pub(crate) gate: RefCell<Option<Vec<oneshot::Sender<()>>>>,
}

impl Seen {
    fn note<T: Owned>(&self, params: &Params<T>) {
        let context = CallContext::of(params);
        let mut contexts = self.contexts.borrow_mut();
        if contexts.len() < MAX_CONTEXTS {
            contexts.push(context);
        }
    }

    pub(crate) fn close_gate(&self) {
        *self.gate.borrow_mut() = Some(Vec::new());
    }

    /// Lets `count` waiting writes go on.
    pub(crate) fn let_through(&self, count: usize) {
        if let Some(waiting) = &mut *self.gate.borrow_mut() {
            for sender in waiting.drain(..count) {
                let _ = sender.send(());
            }
        }
    }

    pub(crate) fn waiting(&self) -> usize {
        self.gate.borrow().as_ref().map_or(0, Vec::len)
    }
}

/// Counts itself for as long as it lives.
pub(crate) struct Counted {
    seen: Rc<Seen>,
    which: fn(&Seen) -> &Cell<usize>,
}

impl Counted {
    fn new(seen: &Rc<Seen>, which: fn(&Seen) -> &Cell<usize>) -> Self {
        which(seen).set(which(seen).get() + 1);
        Self { seen: seen.clone(), which }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let cell = (self.which)(&self.seen);
        cell.set(cell.get() - 1);
    }
}

pub(crate) struct ProbeServer {
    seen: Rc<Seen>,
    handle: Handle,
    /// As a server that lets itself be watched would.
    pub(crate) keeps: RefCell<Vec<counter::Client>>,
    _alive: Counted,
}

impl ProbeServer {
    pub(crate) fn new(seen: &Rc<Seen>, handle: &Handle) -> Self {
        let alive = Counted::new(seen, |seen| &seen.probes);
        Self { seen: seen.clone(), handle: handle.clone(), keeps: RefCell::default(), _alive: alive }
    }

    fn new_counter(&self) -> counter::Client {
        new_counter(&self.seen)
    }
}

pub(crate) fn new_counter(seen: &Rc<Seen>) -> counter::Client {
    capnp_rpc::new_client(CounterServer {
        total: Cell::new(0),
        own: RefCell::new(None),
        alive: Counted::new(seen, |seen| &seen.counters),
    })
}

impl probe::Server for ProbeServer {
    async fn echo(
        self: Rc<Self>,
        params: probe::EchoParams,
        mut results: probe::EchoResults,
    ) -> Result<(), Error> {
        self.seen.note(&params);
        let n = params.get()?.get_n();
        self.seen.numbers.borrow_mut().push(n);
        results.get().set_n(n);
        Ok(())
    }

    async fn never(self: Rc<Self>, params: probe::NeverParams, _: probe::NeverResults) -> Result<(), Error> {
        self.seen.note(&params);
        let _running = Counted::new(&self.seen, |seen| &seen.running);
        let _held = params.get()?.get_held();
        std::future::pending().await
    }

    async fn after(
        self: Rc<Self>,
        params: probe::AfterParams,
        mut results: probe::AfterResults,
    ) -> Result<(), Error> {
        let must_finish = self.seen.must_finish.borrow().clone();
        let call = CallContext::of(&params);
        let work = async move {
            self.handle.sleep(Duration::from_millis(params.get()?.get_millis())).await;
            results.get().set_counter(self.new_counter());
            self.seen.finished.set(self.seen.finished.get() + 1);
            Ok(())
        };
        match must_finish {
            Some(must_finish) => must_finish.run_for(call.as_ref(), work).await,
            None => work.await,
        }
    }

    async fn counter(
        self: Rc<Self>,
        _: probe::CounterParams,
        mut results: probe::CounterResults,
    ) -> Result<(), Error> {
        results.get().set_counter(self.new_counter());
        Ok(())
    }

    async fn count_twice(
        self: Rc<Self>,
        params: probe::CountTwiceParams,
        mut results: probe::CountTwiceResults,
    ) -> Result<(), Error> {
        let counter = params.get()?.get_counter()?;
        if self.seen.keeps.get() {
            self.keeps.borrow_mut().push(counter.clone());
        }
        add(&counter, 1).await?;
        results.get().set_total(add(&counter, 1).await?);
        Ok(())
    }

    async fn write(self: Rc<Self>, params: probe::WriteParams) -> Result<(), Error> {
        let chunk = params.get()?.get_bytes()?;
        if let Some(number) = chunk.first_chunk() {
            self.seen.numbers.borrow_mut().push(u64::from_le_bytes(*number));
        }
        let bytes = chunk.len() as u64;
        let gate = self.seen.gate.borrow_mut().as_mut().map(|waiting| {
            let (open, opened) = oneshot::channel();
            waiting.push(open);
            opened
        });
        if let Some(opened) = gate {
            opened.await.map_err(|_| Error::failed("the gate is gone".to_owned()))?;
        }
        self.seen.written.set(self.seen.written.get() + bytes);
        Ok(())
    }

    async fn written(
        self: Rc<Self>,
        _: probe::WrittenParams,
        mut results: probe::WrittenResults,
    ) -> Result<(), Error> {
        results.get().set_bytes(self.seen.written.get());
        Ok(())
    }

    async fn blob(
        self: Rc<Self>,
        params: probe::BlobParams,
        mut results: probe::BlobResults,
    ) -> Result<(), Error> {
        results.get().init_blob(blob_bytes(params.get()?.get_bytes())?);
        Ok(())
    }

    async fn blob_and_counter(
        self: Rc<Self>,
        params: probe::BlobAndCounterParams,
        mut results: probe::BlobAndCounterResults,
    ) -> Result<(), Error> {
        let counter = self.new_counter();
        let mut results = results.get();
        results.reborrow().init_blob(blob_bytes(params.get()?.get_bytes())?);
        results.set_counter(counter);
        Ok(())
    }

    async fn fail(self: Rc<Self>, params: probe::FailParams, _: probe::FailResults) -> Result<(), Error> {
        Err(Error::failed(params.get()?.get_reason()?.to_string()?))
    }
}

/// What is asked for comes from the peer, as anywhere.
fn blob_bytes(asked: u64) -> Result<u32, Error> {
    if asked > MAX_BLOB_BYTES {
        return Err(Error::failed(format!("a blob of {asked} bytes")));
    }
    Ok(asked as u32)
}

struct CounterServer {
    total: Cell<u64>,
    own: RefCell<Option<counter::Client>>,
    alive: Counted,
}

impl counter::Server for CounterServer {
    async fn add(
        self: Rc<Self>,
        params: counter::AddParams,
        mut results: counter::AddResults,
    ) -> Result<(), Error> {
        self.alive.seen.note(&params);
        self.total.set(self.total.get() + params.get()?.get_n());
        results.get().set_total(self.total.get());
        Ok(())
    }

    async fn self_(
        self: Rc<Self>,
        _: counter::SelfParams,
        mut results: counter::SelfResults,
    ) -> Result<(), Error> {
        let own = self.own.borrow().clone();
        let own = own.unwrap_or_else(|| capnp_rpc::new_client_from_rc(self.clone()));
        results.get().set_counter(own);
        Ok(())
    }
}

pub(crate) async fn echo(probe: &probe::Client, n: u64) -> Result<u64, Error> {
    let mut request = probe.echo_request();
    request.get().set_n(n);
    Ok(request.send().promise.await?.get()?.get_n())
}

pub(crate) async fn add(counter: &counter::Client, n: u64) -> Result<u64, Error> {
    let mut request = counter.add_request();
    request.get().set_n(n);
    Ok(request.send().promise.await?.get()?.get_total())
}

/// A call of `never`, sent.
pub(crate) fn never(probe: &probe::Client) -> capnp::capability::RemotePromise<probe::never_results::Owned> {
    probe.never_request().send()
}

/// The caller's vat on a pipe, and a peer that says what the test has it say.
pub(crate) struct Scripted {
    pub(crate) driver: Driver,
    pub(crate) handle: Handle,
    pub(crate) clock: VirtualClock,
    pub(crate) probe: Remote<probe::Client>,
    pub(crate) wire: wire::Wire,
}

impl Scripted {
    pub(crate) fn new() -> Self {
        Self::with(&Options::default())
    }

    pub(crate) fn with(options: &Options) -> Self {
        let (driver, clock) = virtual_time::driver();
        let handle = driver.handle();
        let (near, far) = pipe(PIPE_BYTES);
        let probe = Vat::connect(near, "probe", &handle, options);
        Self { driver, handle, clock, probe, wire: wire::Wire::new(far) }
    }
}

/// The server's vat on a pipe, and a caller that says what the test has it say.
pub(crate) struct Served {
    pub(crate) driver: Driver,
    pub(crate) handle: Handle,
    pub(crate) clock: VirtualClock,
    pub(crate) seen: Rc<Seen>,
    pub(crate) server: Vat,
    pub(crate) wire: wire::Wire,
}

impl Served {
    pub(crate) fn new() -> Self {
        Self::with(&Options::default())
    }

    pub(crate) fn with(options: &Options) -> Self {
        let (driver, clock) = virtual_time::driver();
        let handle = driver.handle();
        let (near, far) = pipe(PIPE_BYTES);
        let seen = Rc::new(Seen::default());
        let server = serve(far, &seen, &handle, options);
        Self { driver, handle, clock, seen, server, wire: wire::Wire::new(near) }
    }
}

/// Two vats on a pipe.
pub(crate) struct Pair {
    pub(crate) driver: Driver,
    pub(crate) handle: Handle,
    pub(crate) clock: VirtualClock,
    pub(crate) seen: Rc<Seen>,
    pub(crate) probe: Remote<probe::Client>,
    pub(crate) server: Vat,
    pub(crate) started: Instant,
}

impl Pair {
    pub(crate) fn new() -> Self {
        Self::with(&Options::default())
    }

    pub(crate) fn with(options: &Options) -> Self {
        let (driver, clock) = virtual_time::driver();
        let handle = driver.handle();
        let (near, far) = pipe(PIPE_BYTES);
        let seen = Rc::new(Seen::default());
        let server = serve(far, &seen, &handle, options);
        let probe = Vat::connect(near, "probe", &handle, options);
        let started = clock.now();
        Self { driver, handle, clock, seen, probe, server, started }
    }

    pub(crate) fn run<F: Future>(&mut self, future: F) -> F::Output {
        self.driver.drive_until(future).expect("virtual time goes on")
    }

    /// Lets everything run that can run at this moment.
    pub(crate) fn settle(&mut self) {
        let handle = self.handle.clone();
        self.run(async move { handle.sleep(Duration::from_nanos(1)).await });
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.clock.now() - self.started
    }
}

pub(crate) fn serve(stream: PipeEnd, seen: &Rc<Seen>, handle: &Handle, options: &Options) -> Vat {
    let probe: probe::Client = capnp_rpc::new_client(ProbeServer::new(seen, handle));
    Vat::serve(
        stream,
        "probe",
        Client::new(capnp::capability::FromClientHook::into_client_hook(probe)),
        handle,
        options,
    )
}
