//! What stands in for the capabilities of a request that goes elsewhere than it was made for.
//!
//! When a request is sent, capnp-rpc 0.27.3 looks once more what its target is. Where that was the result of a call and has
//! become an error, or an object of this process, a new request is made of what it became, and the parameters are copied
//! (`Request::send`, `Request::send_streaming`): out of the message, to which their capabilities are not attached. A copy
//! of a capability that is not there fails, and capnp-rpc panics: in the task of whoever called, or, where the call was
//! passed on for a peer, in a vat's own.
//!
//! So requests are messages that have a capability attached at each place, one on which every call fails and says why. A
//! request that went to an error fails as it should, then, and one that went to an object of this process reaches that
//! without its capabilities. Who makes requests by [`resolved`](crate::resolved), as generated stubs do, loses none.

use std::cell::Cell;

use capnp::capability::{Promise, Request};
use capnp::private::capability::{ClientHook, ParamsHook, ResultsHook};
use capnp::{Error, MessageSize, any_pointer};

/// A capability at each place of a request's table.
type Table = Vec<Option<Box<dyn ClientHook>>>;

thread_local! {
    /// The table of the last request, for the next one: 16 bytes for each place.
    static SPARE: Cell<Table> = const { Cell::new(Vec::new()) };
}

/// The stand-ins of one request.
pub(crate) struct StandIns(Table);

impl StandIns {
    /// Stand-ins for as many capabilities as there may be in a message.
    pub(crate) fn new(count: usize) -> Self {
        let mut table = SPARE.take();
        if table.len() < count {
            table.resize_with(count, || Some(Box::new(StandIn)));
        }
        Self(table)
    }

    pub(crate) fn table(&mut self) -> &mut Table {
        &mut self.0
    }
}

impl Drop for StandIns {
    fn drop(&mut self) {
        let table = std::mem::take(&mut self.0);
        // On a thread that ends there is no next one.
        let _ = SPARE.try_with(|spare| spare.set(table));
    }
}

/// All of them are one.
struct StandIn;

const REASON: &str = "a capability that was lost on its way: the request that carried it was made of the result of a call, \
    which became an object of this process before the request was sent (take vatmux_rpc::resolved of it first)";

impl StandIn {
    fn error() -> Error {
        Error::failed(REASON.to_owned())
    }
}

impl ClientHook for StandIn {
    fn add_ref(&self) -> Box<dyn ClientHook> {
        Box::new(Self)
    }

    fn new_call(
        &self,
        interface_id: u64,
        method_id: u16,
        size_hint: Option<MessageSize>,
    ) -> Request<any_pointer::Owned, any_pointer::Owned> {
        capnp_rpc::new_broken_cap(Self::error()).hook.new_call(interface_id, method_id, size_hint)
    }

    fn call(&self, _: u64, _: u16, _: Box<dyn ParamsHook>, _: Box<dyn ResultsHook>) -> Promise<(), Error> {
        Promise::err(Self::error())
    }

    fn get_brand(&self) -> usize {
        0
    }

    fn get_ptr(&self) -> usize {
        REASON.as_ptr().addr()
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
