//! Work that goes on when the call that asked for it is canceled.

use std::cell::Cell;
use std::rc::Rc;

use capnp::Error;
use futures::channel::oneshot;
use vatmux_driver::Handle;

use crate::CallContext;

/// Runs work of a server that must not stop half-way.
///
/// A call that its caller gives up, whose deadline comes, or whose vat ends, is dropped wherever it waits at that moment.
/// That is right for most, and wrong for one that has begun to change something: it wraps that part in
/// [`run`](Self::run). The caller hears nothing of it any more, and what it came to is dropped.
///
/// Whoever cancels is no longer counted by the limits on calls, so there is a limit here: of all that runs at a time, for
/// whichever call, canceled or not. Clones share it. So that one peer cannot take all of that, [`run_for`](Self::run_for)
/// counts the work as a call of the peer's as well.
///
/// ```
/// use vatmux_rpc::{CallContext, MustFinish};
///
/// async fn put(
///     journal: MustFinish,
///     call: Option<CallContext>,
///     store: impl Future<Output = capnp::Result<u64>> + 'static,
/// ) -> capnp::Result<u64> {
///     // Until here the call may be canceled.
///     let version = journal.run_for(call.as_ref(), store).await?;
///     Ok(version)
/// }
/// ```
#[derive(Clone)]
pub struct MustFinish {
    handle: Handle,
    most: usize,
    running: Rc<Cell<usize>>,
}

impl MustFinish {
    /// At most `most` at a time, on the driver of `handle`, which drops what is not finished when it is dropped itself.
    #[must_use]
    pub fn new(handle: &Handle, most: usize) -> Self {
        Self { handle: handle.clone(), most, running: Rc::default() }
    }

    /// Runs `work` to its end, which is also the end of this future. When that is dropped before, the work goes on.
    ///
    /// It fails as overloaded, without having begun, where too much is under way already; otherwise as the work does.
    pub async fn run<T: 'static>(
        &self,
        work: impl Future<Output = capnp::Result<T>> + 'static,
    ) -> capnp::Result<T> {
        self.run_for(None, work).await
    }

    /// As [`run`](Self::run), for a call of a peer's: until the work is done it counts as one call more of that peer's
    /// ([`Limits::max_peer_calls`](crate::Limits::max_peer_calls)), over all its sessions, also when the call, its vat and
    /// its session are over.
    pub async fn run_for<T: 'static>(
        &self,
        call: Option<&CallContext>,
        work: impl Future<Output = capnp::Result<T>> + 'static,
    ) -> capnp::Result<T> {
        let Some(place) = Place::take(&self.running, self.most) else {
            let most = self.most;
            return Err(Error::overloaded(format!(
                "{most} calls that must finish are under way; try again later"
            )));
        };
        let held = call.map(CallContext::hold_work);
        let (tell, told) = oneshot::channel();
        self.handle.spawn(async move {
            let outcome = work.await;
            drop((place, held));
            // Where the call was canceled nobody listens.
            let _ = tell.send(outcome);
        });
        told.await.unwrap_or_else(|_| Err(Error::failed("what the call asked for did not finish".to_owned())))
    }

    /// How much is under way.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.get()
    }
}

/// One of a bounded number, also where the work panics.
struct Place(Rc<Cell<usize>>);

impl Place {
    fn take(running: &Rc<Cell<usize>>, most: usize) -> Option<Self> {
        (running.get() < most).then(|| {
            running.set(running.get() + 1);
            Self(running.clone())
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
