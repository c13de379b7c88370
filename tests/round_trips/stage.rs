//! The serving side: real services, each call of which is seen, and those of one method held where a claim wants it.
//!
//! Every capability that a service gives is [`OnStage`]: it counts the calls that run, and has those of the method that is held wait
//! before the service sees them. What waits is a call that is under way at its server. The future of the service's own method is inside
//! of it, so that "no call runs any more" says that this was dropped as well.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use capnp::any_pointer;
use capnp::capability::{FromClientHook, Promise, Request};
use capnp::private::capability::{ClientHook, ParamsHook, PipelineHook, RequestHook, ResultsHook};
use capnp::{Error, MessageSize};
use vatmux::schema::bundlemgr::{BUNDLE_MGR_INTERFACE, BundleMgr};
use vatmux::schema::health::Health;
use vatmux::schema::packagefs::{ByteSink, PACKAGE_FS_INTERFACE, PackageFs};
use vatmux::schema::samgr::{SAMGR_INTERFACE, Samgr, Watcher};
use vatmux::schema::statefs::{STATE_FS_INTERFACE, StateFs};
use vatmux::schema::{bundlemgr_capnp, packagefs_capnp, samgr_capnp, statefs_capnp};
use vatmux::service::ServedBy;

/// What is seen of the calls of all capabilities on it, from any thread.
#[derive(Clone, Default)]
pub(crate) struct Stage(Arc<Mutex<Calls>>);

#[derive(Default)]
struct Calls {
    held: Option<Held>,
    running: BTreeMap<Key, u32>,
    seen: BTreeMap<Key, u32>,
    watchers: Vec<Waker>,
}

/// Whose calls wait.
#[derive(Clone, Copy)]
pub(crate) struct Held {
    pub(crate) interface: u64,
    /// Those of all methods, where there is none: what follows a call of a stream on its capability must not overtake it.
    pub(crate) method: Option<u16>,
}

impl Held {
    fn has(self, (interface, method): Key) -> bool {
        self.interface == interface && self.method.is_none_or(|held| held == method)
    }
}

/// An interface's id, and a method's ordinal.
pub(crate) type Key = (u64, u16);

impl Stage {
    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Calls)) {
        let watchers = {
            let mut calls = self.calls();
            change(&mut calls);
            std::mem::take(&mut calls.watchers)
        };
        watchers.into_iter().for_each(Waker::wake);
    }

    async fn until(&self, holds: impl Fn(&Calls) -> bool) {
        poll_fn(|cx| {
            let mut calls = self.calls();
            if holds(&calls) {
                return Poll::Ready(());
            }
            calls.watchers.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Has calls wait from now on.
    pub(crate) fn hold(&self, held: Held) {
        self.change(|calls| calls.held = Some(held));
    }

    /// Lets them go on.
    pub(crate) fn open(&self) {
        self.change(|calls| calls.held = None);
    }

    /// Until a call of the method is under way.
    pub(crate) async fn under_way(&self, method: Key) {
        self.so_many_under_way(method, 1).await;
    }

    /// Until so many are.
    pub(crate) async fn so_many_under_way(&self, method: Key, count: u32) {
        self.until(|calls| calls.running.get(&method).is_some_and(|running| *running >= count)).await;
    }

    /// Until none is.
    pub(crate) async fn over(&self, method: Key) {
        self.until(|calls| calls.running.get(&method).is_none_or(|running| *running == 0)).await;
    }

    /// Until there were so many.
    pub(crate) async fn seen_so_many(&self, method: Key, count: u32) {
        self.until(|calls| calls.seen.get(&method).is_some_and(|seen| *seen >= count)).await;
    }

    /// How many calls of the method there were since it was cleared.
    pub(crate) fn seen(&self, method: Key) -> u32 {
        self.calls().seen.get(&method).copied().unwrap_or(0)
    }

    /// Holds nothing, and has seen nothing. What runs still is counted still.
    pub(crate) fn clear(&self) {
        self.change(|calls| {
            calls.held = None;
            calls.seen.clear();
        });
    }
}

/// A call that runs.
struct Running(Stage, Key);

impl Running {
    fn begin(stage: &Stage, key: Key) -> Self {
        stage.change(|calls| {
            *calls.running.entry(key).or_default() += 1;
            *calls.seen.entry(key).or_default() += 1;
        });
        Self(stage.clone(), key)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.change(|calls| *calls.running.entry(self.1).or_insert(1) -= 1);
    }
}

/// A capability whose calls the stage sees, and those of what it gives.
pub(crate) struct OnStage {
    stage: Stage,
    inner: Rc<dyn ClientHook>,
}

impl OnStage {
    pub(crate) fn new(stage: &Stage, capability: impl FromClientHook) -> Self {
        Self { stage: stage.clone(), inner: capability.into_client_hook().into() }
    }

    /// The same, as somebody else's capability.
    pub(crate) fn into_client<C: FromClientHook>(self) -> C {
        C::new(Box::new(self))
    }

    /// A server, on a stage.
    pub(crate) fn of<S: ServedBy<T>, T>(stage: &Stage, server: T) -> Self {
        Self::new(stage, S::client_of(server))
    }
}

impl ClientHook for OnStage {
    fn add_ref(&self) -> Box<dyn ClientHook> {
        Box::new(Self { stage: self.stage.clone(), inner: self.inner.clone() })
    }

    fn new_call(
        &self,
        interface: u64,
        method: u16,
        size: Option<MessageSize>,
    ) -> Request<any_pointer::Owned, any_pointer::Owned> {
        self.inner.new_call(interface, method, size)
    }

    fn call(
        &self,
        interface: u64,
        method: u16,
        params: Box<dyn ParamsHook>,
        results: Box<dyn ResultsHook>,
    ) -> Promise<(), Error> {
        let key = (interface, method);
        let running = Running::begin(&self.stage, key);
        let (stage, inner) = (self.stage.clone(), self.inner.clone());
        let back = Back::default();
        let lent = Lent { results: Some(results), back: back.clone() };
        Promise::from_future(async move {
            stage.until(|calls| !calls.held.is_some_and(|held| held.has(key))).await;
            inner.call(interface, method, params, Box::new(lent)).await?;
            let mut results = back.take();
            if let Some(results) = &mut results {
                put_on(&stage, key, &mut **results)?;
            }
            drop(running);
            Ok(())
        })
    }

    fn get_brand(&self) -> usize {
        0
    }

    fn get_ptr(&self) -> usize {
        // By this a vat knows what it gave already, and it must not take this for what is inside of it.
        Rc::as_ptr(&self.inner).cast::<()>() as usize
    }

    fn get_resolved(&self) -> Option<Box<dyn ClientHook>> {
        None
    }

    fn when_more_resolved(&self) -> Option<Promise<Box<dyn ClientHook>, Error>> {
        None
    }

    fn when_resolved(&self) -> Promise<(), Error> {
        Promise::ok(())
    }
}

/// Results that a service writes, and that come back when it is done.
struct Lent {
    results: Option<Box<dyn ResultsHook>>,
    back: Back,
}

type Back = Rc<RefCell<Option<Box<dyn ResultsHook>>>>;

impl Lent {
    fn results(&mut self) -> &mut Box<dyn ResultsHook> {
        self.results.as_mut().expect("they are lent until this is dropped")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        *self.back.borrow_mut() = self.results.take();
    }
}

impl ResultsHook for Lent {
    fn get(&mut self) -> capnp::Result<any_pointer::Builder<'_>> {
        self.results().get()
    }

    fn set_pipeline(&mut self) -> capnp::Result<()> {
        self.results().set_pipeline()
    }

    fn allow_cancellation(&self) {
        self.results.as_ref().expect("they are lent until this is dropped").allow_cancellation();
    }

    fn tail_call(mut self: Box<Self>, request: Box<dyn RequestHook>) -> Promise<(), Error> {
        self.results.take().expect("a call has one tail").tail_call(request)
    }

    fn direct_tail_call(
        mut self: Box<Self>,
        request: Box<dyn RequestHook>,
    ) -> (Promise<(), Error>, Box<dyn PipelineHook>) {
        self.results.take().expect("a call has one tail").direct_tail_call(request)
    }
}

/// Puts a capability of written results on the stage.
macro_rules! put_on {
    ($stage:expr, $results:expr, $type:path, $has:ident, $get:ident, $set:ident) => {{
        let mut results: $type = $results.get_as()?;
        if results.reborrow().into_reader().$has() {
            let given = results.reborrow().$get()?;
            results.$set(OnStage::new($stage, given).into_client());
        }
    }};
}

/// Puts the capabilities that a method gave on the stage, too.
fn put_on(stage: &Stage, (interface, method): Key, results: &mut dyn ResultsHook) -> capnp::Result<()> {
    let name = [&STATE_FS_INTERFACE, &PACKAGE_FS_INTERFACE, &BUNDLE_MGR_INTERFACE, &SAMGR_INTERFACE]
        .into_iter()
        .find(|known| known.id == interface)
        .and_then(|known| known.methods.get(usize::from(method)))
        .map(|method| (method.interface, method.name));
    match name {
        Some(("StateFs", "write")) => {
            use statefs_capnp::state_fs::write_results::Builder;
            put_on!(stage, results.get()?, Builder<'_>, has_upload, get_upload, set_upload);
        }
        Some(("StateFs", "narrow")) => {
            use statefs_capnp::state_fs::narrow_results::Builder;
            put_on!(stage, results.get()?, Builder<'_>, has_state, get_state, set_state);
        }
        Some(("StateFs", "since")) => {
            use statefs_capnp::state_fs::since_results::Builder;
            put_on!(stage, results.get()?, Builder<'_>, has_state, get_state, set_state);
        }
        Some(("PackageFs", "open")) => {
            use packagefs_capnp::package_fs::open_results::Builder;
            put_on!(stage, results.get()?, Builder<'_>, has_file, get_file, set_file);
        }
        Some(("PackageFs", "readSmall")) => {
            use packagefs_capnp::package_fs::read_small_results::Builder;
            put_on!(stage, results.get()?, Builder<'_>, has_file, get_file, set_file);
        }
        Some(("Samgr", "register")) => {
            use samgr_capnp::samgr::register_results::Builder;
            put_on!(stage, results.get()?, Builder<'_>, has_registration, get_registration, set_registration);
        }
        Some(("BundleMgr", "install")) => {
            use bundlemgr_capnp::bundle_mgr::install_results::Builder;
            put_on!(stage, results.get()?, Builder<'_>, has_upload, get_upload, set_upload);
        }
        _ => {}
    }
    Ok(())
}

impl ServedBy<OnStage> for Health {
    fn client_of(server: OnStage) -> Self::Client {
        server.into_client()
    }
}

impl ServedBy<OnStage> for PackageFs {
    fn client_of(server: OnStage) -> Self::Client {
        server.into_client()
    }
}

impl ServedBy<OnStage> for StateFs {
    fn client_of(server: OnStage) -> Self::Client {
        server.into_client()
    }
}

impl ServedBy<OnStage> for BundleMgr {
    fn client_of(server: OnStage) -> Self::Client {
        server.into_client()
    }
}

impl ServedBy<OnStage> for ByteSink {
    fn client_of(server: OnStage) -> Self::Client {
        server.into_client()
    }
}

impl ServedBy<OnStage> for Samgr {
    fn client_of(server: OnStage) -> Self::Client {
        server.into_client()
    }
}

impl ServedBy<OnStage> for Watcher {
    fn client_of(server: OnStage) -> Self::Client {
        server.into_client()
    }
}
