//! How a capability is passed on, also from one thread to another.
//!
//! A capability stays on the thread of its session. Whoever resolves it on another thread gets a vat of its own to it, over a
//! pipe between the two: the capability is that vat's bootstrap capability. What the caller may have under way is bounded by its
//! own vat; what ends either side ends the pipe, and nothing else.

use std::rc::Rc;

use capnp::capability::{Client, Promise, Request};
use capnp::private::capability::{ClientHook, ParamsHook, ResultsHook};
use capnp::{Error, MessageSize, any_pointer};
use vatmux_driver::{Handle, PipeEnd, pipe};
use vatmux_rpc::{Options, Remote, Vat};

use super::SERVICE_NAME;
use super::registry::Place;

/// Bytes that a pipe holds in each direction.
const PIPE_BYTES: usize = 32 * 1024;

/// Somebody who comes from another thread for a registration.
pub(super) struct Visit {
    pub(super) generation: u64,
    pipe: PipeEnd,
    options: Options,
}

/// A capability on its way to somebody.
pub(super) struct Way(To);

enum To {
    /// It is of this thread.
    Here(Client),
    There {
        remote: Remote<Client>,
        _place: Place,
    },
}

impl Visit {
    /// Somebody who wants the registration of this generation, and the way that they will have come by.
    pub(super) fn begin(generation: u64, handle: &Handle, options: &Options, place: Place) -> (Self, Way) {
        let (ours, theirs) = pipe(PIPE_BYTES);
        let remote = Vat::connect(ours, SERVICE_NAME, handle, options);
        (
            Self { generation, pipe: theirs, options: options.clone() },
            Way(To::There { remote, _place: place }),
        )
    }

    /// They get what they came for.
    pub(super) fn serve(self, capability: Client, handle: &Handle) {
        // It runs until either side lets go.
        let _ = Vat::serve(self.pipe, SERVICE_NAME, capability, handle, &self.options);
    }
}

impl Way {
    /// To a capability of the same thread.
    pub(super) fn here(capability: Client) -> Self {
        Self(To::Here(capability))
    }

    /// Whether calls can still arrive.
    pub(super) fn is_open(&self) -> bool {
        match &self.0 {
            To::Here(_) => true,
            To::There { remote, .. } => remote.vat().ended().is_none(),
        }
    }

    /// What is given away. The way lasts as long as anybody has it.
    pub(super) fn capability(self: &Rc<Self>) -> Client {
        Client::new(Box::new(Passed(self.clone())))
    }

    fn hook(&self) -> &dyn ClientHook {
        match &self.0 {
            To::Here(capability) => &*capability.hook,
            To::There { remote, .. } => &*remote.hook,
        }
    }
}

/// A capability that was passed on.
///
/// To capnp-rpc it is an object of this process like any other: it resolves to nothing else, so that what holds the way open
/// is held where it was passed to.
struct Passed(Rc<Way>);

impl ClientHook for Passed {
    fn add_ref(&self) -> Box<dyn ClientHook> {
        Box::new(Self(self.0.clone()))
    }

    fn new_call(
        &self,
        interface_id: u64,
        method_id: u16,
        size_hint: Option<MessageSize>,
    ) -> Request<any_pointer::Owned, any_pointer::Owned> {
        self.0.hook().new_call(interface_id, method_id, size_hint)
    }

    fn call(
        &self,
        interface_id: u64,
        method_id: u16,
        params: Box<dyn ParamsHook>,
        results: Box<dyn ResultsHook>,
    ) -> Promise<(), Error> {
        self.0.hook().call(interface_id, method_id, params, results)
    }

    fn get_brand(&self) -> usize {
        LOCAL
    }

    fn get_ptr(&self) -> usize {
        Rc::as_ptr(&self.0).addr()
    }

    fn get_resolved(&self) -> Option<Box<dyn ClientHook>> {
        None
    }

    fn when_more_resolved(&self) -> Option<Promise<Box<dyn ClientHook>, Error>> {
        None
    }

    fn when_resolved(&self) -> Promise<(), Error> {
        self.0.hook().when_resolved()
    }
}

/// The brand of what no vat brought.
const LOCAL: usize = 0;

/// Whether a capability is an object of this process, one that was passed on included. A promise must be settled first.
pub(super) fn is_local(capability: &Client) -> bool {
    capability.hook.get_brand() == LOCAL
}
