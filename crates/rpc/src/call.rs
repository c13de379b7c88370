//! The call that a server's method runs for: who calls, and how long anybody waits.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use capnp::capability::Params;
use capnp::traits::Owned;
use vatmux_driver::Instant;
use vatmux_noise::NodeId;

use crate::guard::{Account, HeldWork};

thread_local! {
    /// Whether the message of the call is read only to learn which one it is.
    static ASKING: Cell<bool> = const { Cell::new(false) };
    static ANSWER: RefCell<Option<CallContext>> = const { RefCell::new(None) };
}

/// A call that came through a vat, as its server sees it.
///
/// ```
/// use capnp::capability::Params;
/// use capnp::traits::Owned;
/// use vatmux_rpc::CallContext;
///
/// /// What a method does first that is for known nodes only.
/// fn caller<T: Owned>(params: &Params<T>) -> capnp::Result<CallContext> {
///     CallContext::of(params).ok_or_else(|| capnp::Error::failed("for peers only".to_owned()))
/// }
/// ```
#[derive(Clone)]
pub struct CallContext {
    caller: Rc<Caller>,
    interface: u64,
    method: u16,
    arrived: Instant,
    deadline: Instant,
}

/// What all calls of a vat have in common.
pub(crate) struct Caller {
    pub(crate) peer: Option<NodeId>,
    pub(crate) service: String,
    account: RefCell<Account>,
}

impl Caller {
    pub(crate) fn new(peer: Option<NodeId>, service: &str) -> Self {
        Self { peer, service: service.to_owned(), account: RefCell::default() }
    }

    /// The vat shares the bounds of its peer.
    pub(crate) fn join(&self, account: &Account) {
        *self.account.borrow_mut() = account.clone();
    }
}

impl CallContext {
    pub(crate) fn new(
        caller: Rc<Caller>,
        (interface, method): (u64, u16),
        arrived: Instant,
        deadline: Instant,
    ) -> Self {
        Self { caller, interface, method, arrived, deadline }
    }

    /// The call whose parameters these are; `None` where it was made inside of this process, without a vat.
    ///
    /// It holds wherever the parameters go, also for a call that waited for the result of another, and through any
    /// number of capabilities: it is the message that is asked. The context may outlive the parameters.
    #[must_use]
    pub fn of<T: Owned>(params: &Params<T>) -> Option<Self> {
        let asking = Asking::begin();
        // Whether they can be read is for the method to find out.
        let _ = params.get();
        drop(asking);
        ANSWER.take()
    }

    /// Who calls: the key that the handshake of the session has proved. `None` on a vat of no session.
    #[must_use]
    pub fn peer(&self) -> Option<NodeId> {
        self.caller.peer
    }

    /// The service that the stream was opened for.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.caller.service
    }

    /// The id of the interface that is called.
    #[must_use]
    pub fn interface(&self) -> u64 {
        self.interface
    }

    /// The ordinal of the method in it.
    #[must_use]
    pub fn method(&self) -> u16 {
        self.method
    }

    /// When the call arrived.
    #[must_use]
    pub fn arrived(&self) -> Instant {
        self.arrived
    }

    /// When this side stops serving the call: the method's future is dropped where it waits, and the caller gets an error
    /// that [`deadline::is_exceeded`](crate::deadline::is_exceeded) knows. The caller itself may wait less, and cancels
    /// then; what it will do is not in the message.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What is left of that at `now`, for calls that are made on behalf of this one.
    #[must_use]
    pub fn remaining(&self, now: Instant) -> Duration {
        self.deadline.saturating_since(now)
    }

    /// Counts work for this call as a call of its peer's, also when the call and its vat are over.
    pub(crate) fn hold_work(&self) -> HeldWork {
        self.caller.account.borrow().hold_work()
    }

    /// The message of the call is read: says so to whoever asks.
    pub(crate) fn is_read(&self) {
        if ASKING.get() {
            ANSWER.set(Some(self.clone()));
        }
    }
}

impl fmt::Debug for CallContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallContext")
            .field("peer", &self.caller.peer)
            .field("service", &self.caller.service)
            .field("interface", &format_args!("{:#018x}", self.interface))
            .field("method", &self.method)
            .field("arrived", &self.arrived)
            .field("deadline", &self.deadline)
            .finish()
    }
}

/// Asks for as long as it lives.
struct Asking;

impl Asking {
    fn begin() -> Self {
        ANSWER.set(None);
        ASKING.set(true);
        Self
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        ASKING.set(false);
    }
}
