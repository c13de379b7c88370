//! What every other process offers, and what this one gives to it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use capnp::capability::{Client, FromClientHook};
use capnp::{Error, ErrorKind};
use capnp_rpc::CapabilityServerSet;
use futures::future::try_join_all;
use vatmux_driver::Handle;
use vatmux_rpc::{CallContext, settled};

use crate::common::behaviours_capnp::station::What;
use crate::{counter, heap, recorder, station};

/// More than the tests ask for.
const MAX_BLOB_BYTES: u64 = 62 << 20;

/// Wakes those who wait for something to become true.
#[derive(Default)]
pub(crate) struct Signal(RefCell<Vec<Waker>>);

impl Signal {
    /// Something has changed.
    pub(crate) fn raise(&self) {
        self.0.take().into_iter().for_each(Waker::wake);
    }

    pub(crate) async fn until(&self, holds: impl Fn() -> bool) {
        poll_fn(|cx| {
            if holds() {
                return Poll::Ready(());
            }
            self.0.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// A number that somebody may wait for.
#[derive(Default)]
pub(crate) struct Count {
    count: Cell<u64>,
    changed: Signal,
}

impl Count {
    pub(crate) fn get(&self) -> u64 {
        self.count.get()
    }

    fn set(&self, count: u64) {
        self.count.set(count);
        self.changed.raise();
    }

    pub(crate) async fn until(&self, count: u64) {
        self.changed.until(|| self.count.get() == count).await;
    }
}

/// Counts itself for as long as it lives.
struct Alive(Rc<Count>);

impl Alive {
    fn new(count: &Rc<Count>) -> Self {
        count.set(count.get() + 1);
        Self(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// What the stations of one process have in common.
#[derive(Default)]
pub(crate) struct State {
    counters: Rc<Count>,
    holding: Rc<Count>,
    own: RefCell<CapabilityServerSet<CounterServer, counter::Client>>,
    gates: RefCell<BTreeSet<String>>,
    opened: Signal,
    /// Writes that may go on.
    permits: Cell<u64>,
    permitted: Signal,
    writes: Count,
    written_bytes: Cell<u64>,
}

impl State {
    async fn opened(&self, gate: &str) {
        self.opened.until(|| self.gates.borrow().contains(gate)).await;
    }

    fn new_counter(self: &Rc<Self>) -> counter::Client {
        let alive = Alive::new(&self.counters);
        let server = CounterServer { total: Cell::new(0), state: self.clone(), _alive: alive };
        self.own.borrow_mut().new_client(server)
    }
}

/// A station, as the service that it is.
pub(crate) fn capability(state: &Rc<State>, handle: &Handle) -> Client {
    let server = StationServer { state: state.clone(), handle: handle.clone() };
    let station: station::Client = capnp_rpc::new_client(server);
    Client::new(station.into_client_hook())
}

struct StationServer {
    state: Rc<State>,
    handle: Handle,
}

impl station::Server for StationServer {
    async fn echo(
        self: Rc<Self>,
        params: station::EchoParams,
        mut results: station::EchoResults,
    ) -> Result<(), Error> {
        results.get().set_n(params.get()?.get_n());
        Ok(())
    }

    async fn counter(
        self: Rc<Self>,
        _: station::CounterParams,
        mut results: station::CounterResults,
    ) -> Result<(), Error> {
        results.get().set_counter(self.state.new_counter());
        Ok(())
    }

    async fn gated(
        self: Rc<Self>,
        params: station::GatedParams,
        mut results: station::GatedResults,
    ) -> Result<(), Error> {
        self.state.opened(params.get()?.get_gate()?.to_str()?).await;
        results.get().set_counter(self.state.new_counter());
        Ok(())
    }

    async fn open(
        self: Rc<Self>,
        params: station::OpenParams,
        mut results: station::OpenResults,
    ) -> Result<(), Error> {
        self.state.gates.borrow_mut().insert(params.get()?.get_gate()?.to_string()?);
        self.state.opened.raise();
        results.get().set_nanos(self.handle.now().as_nanos());
        Ok(())
    }

    async fn give_back(
        self: Rc<Self>,
        params: station::GiveBackParams,
        mut results: station::GiveBackResults,
    ) -> Result<(), Error> {
        let params = params.get()?;
        self.state.opened(params.get_gate()?.to_str()?).await;
        results.get().set_recorder(params.get_recorder()?);
        Ok(())
    }

    async fn promise(
        self: Rc<Self>,
        params: station::PromiseParams,
        mut results: station::PromiseResults,
    ) -> Result<(), Error> {
        let promise = async move {
            let params = params.get()?;
            self.state.opened(params.get_gate()?.to_str()?).await;
            params.get_recorder()
        };
        results.get().set_recorder(capnp_rpc::new_future_client(promise));
        Ok(())
    }

    async fn hold(self: Rc<Self>, params: station::HoldParams, _: station::HoldResults) -> Result<(), Error> {
        let _held = params.get()?.get_recorder();
        let _alive = Alive::new(&self.state.holding);
        std::future::pending().await
    }

    async fn is_own(
        self: Rc<Self>,
        params: station::IsOwnParams,
        mut results: station::IsOwnResults,
    ) -> Result<(), Error> {
        let counter = settled(params.get()?.get_counter()?).await;
        let own = self.state.own.borrow().get_local_server_of_resolved(&counter).is_some();
        results.get().set_own(own);
        Ok(())
    }

    async fn fail(self: Rc<Self>, params: station::FailParams, _: station::FailResults) -> Result<(), Error> {
        let params = params.get()?;
        let kind = match params.get_kind() {
            0 => ErrorKind::Failed,
            1 => ErrorKind::Overloaded,
            2 => ErrorKind::Disconnected,
            _ => ErrorKind::Unimplemented,
        };
        Err(Error { kind, extra: params.get_reason()?.to_string()? })
    }

    async fn take(
        self: Rc<Self>,
        params: station::TakeParams,
        mut results: station::TakeResults,
    ) -> Result<(), Error> {
        results.get().set_length(params.get()?.get_bytes()?.len() as u64);
        Ok(())
    }

    async fn give(
        self: Rc<Self>,
        params: station::GiveParams,
        mut results: station::GiveResults,
    ) -> Result<(), Error> {
        let length = params.get()?.get_length();
        if length > MAX_BLOB_BYTES {
            return Err(Error::failed(format!("a blob of {length} bytes")));
        }
        results.get().init_bytes(length as u32);
        Ok(())
    }

    async fn write(self: Rc<Self>, params: station::WriteParams) -> Result<(), Error> {
        let state = &self.state;
        state.permitted.until(|| state.permits.get() > 0).await;
        state.permits.set(state.permits.get() - 1);
        let bytes = params.get()?.get_bytes()?.len() as u64;
        state.written_bytes.set(state.written_bytes.get() + bytes);
        state.writes.set(state.writes.get() + 1);
        Ok(())
    }

    async fn let_through(
        self: Rc<Self>,
        params: station::LetThroughParams,
        mut results: station::LetThroughResults,
    ) -> Result<(), Error> {
        let state = &self.state;
        let writes = u64::from(params.get()?.get_writes());
        state.permits.set(state.permits.get() + writes);
        let until = state.writes.get() + state.permits.get();
        state.permitted.raise();
        state.writes.until(until).await;
        results.get().set_written(state.written_bytes.get());
        Ok(())
    }

    async fn note(self: Rc<Self>, params: station::NoteParams, _: station::NoteResults) -> Result<(), Error> {
        let params = params.get()?;
        let recorder = params.get_recorder()?;
        try_join_all((params.get_from()..params.get_to()).map(|n| note(&recorder, n))).await?;
        Ok(())
    }

    async fn until(
        self: Rc<Self>,
        params: station::UntilParams,
        _: station::UntilResults,
    ) -> Result<(), Error> {
        let params = params.get()?;
        let count = match params.get_what()? {
            What::Counters => &self.state.counters,
            What::Holding => &self.state.holding,
        };
        count.until(params.get_count()).await;
        Ok(())
    }

    async fn heap(
        self: Rc<Self>,
        _: station::HeapParams,
        mut results: station::HeapResults,
    ) -> Result<(), Error> {
        results.get().set_used(heap::used() as u64);
        results.get().set_most(heap::most() as u64);
        Ok(())
    }
}

pub(crate) struct CounterServer {
    total: Cell<u64>,
    state: Rc<State>,
    _alive: Alive,
}

impl counter::Server for CounterServer {
    async fn add(
        self: Rc<Self>,
        params: counter::AddParams,
        mut results: counter::AddResults,
    ) -> Result<(), Error> {
        self.total.set(self.total.get() + params.get()?.get_n());
        results.get().set_total(self.total.get());
        let arrived = CallContext::of(&params).map_or(0, |call| call.arrived().as_nanos());
        results.get().set_arrived(arrived);
        Ok(())
    }

    async fn add_once(
        self: Rc<Self>,
        params: counter::AddOnceParams,
        mut results: counter::AddOnceResults,
    ) -> Result<(), Error> {
        let params = params.get()?;
        self.state.opened(params.get_gate()?.to_str()?).await;
        self.total.set(self.total.get() + params.get_n());
        results.get().set_total(self.total.get());
        Ok(())
    }
}

/// Remembers what it was told, in order.
pub(crate) struct Recorder {
    pub(crate) notes: RefCell<Vec<u64>>,
    _alive: Alive,
}

impl Recorder {
    /// `alive` counts it for as long as somebody has it.
    pub(crate) fn new(alive: &Rc<Count>) -> Rc<Self> {
        Rc::new(Self { notes: RefCell::default(), _alive: Alive::new(alive) })
    }

    pub(crate) fn client(self: &Rc<Self>) -> recorder::Client {
        capnp_rpc::new_client_from_rc(self.clone())
    }
}

impl recorder::Server for Recorder {
    async fn note(
        self: Rc<Self>,
        params: recorder::NoteParams,
        _: recorder::NoteResults,
    ) -> Result<(), Error> {
        self.notes.borrow_mut().push(params.get()?.get_n());
        Ok(())
    }
}

/// A note, on its way already.
pub(crate) fn note(recorder: &recorder::Client, n: u64) -> impl Future<Output = Result<(), Error>> + use<> {
    let mut request = recorder.note_request();
    request.get().set_n(n);
    let sent = request.send();
    async move { sent.promise.await.map(drop) }
}
