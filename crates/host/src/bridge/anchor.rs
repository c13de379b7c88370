//! A capability that something else lives as long as.

use capnp::capability::{Client, Promise, Request};
use capnp::private::capability::{ClientHook, ParamsHook, ResultsHook};
use capnp::{Error, MessageSize, any_pointer};
use std::rc::Rc;

/// Gives a capability that is `client`, and drops `held` when it is dropped itself.
///
/// Whoever asks what it resolves to gets `client`: what is held is the vat's for which the capability was made, and
/// outlives no vat because somebody else still calls `client`.
pub(crate) fn anchored<H: 'static>(client: Client, held: H) -> Client {
    Client::new(Box::new(Anchor { client: client.hook, held: Rc::new(held) }))
}

struct Anchor<H> {
    client: Box<dyn ClientHook>,
    held: Rc<H>,
}

impl<H: 'static> ClientHook for Anchor<H> {
    fn add_ref(&self) -> Box<dyn ClientHook> {
        Box::new(Self { client: self.client.add_ref(), held: self.held.clone() })
    }

    fn new_call(
        &self,
        interface_id: u64,
        method_id: u16,
        size_hint: Option<MessageSize>,
    ) -> Request<any_pointer::Owned, any_pointer::Owned> {
        self.client.new_call(interface_id, method_id, size_hint)
    }

    fn call(
        &self,
        interface_id: u64,
        method_id: u16,
        params: Box<dyn ParamsHook>,
        results: Box<dyn ResultsHook>,
    ) -> Promise<(), Error> {
        self.client.call(interface_id, method_id, params, results)
    }

    fn get_brand(&self) -> usize {
        self.client.get_brand()
    }

    fn get_ptr(&self) -> usize {
        self.client.get_ptr()
    }

    fn get_resolved(&self) -> Option<Box<dyn ClientHook>> {
        Some(self.client.add_ref())
    }

    fn when_more_resolved(&self) -> Option<Promise<Box<dyn ClientHook>, Error>> {
        Some(Promise::ok(self.client.add_ref()))
    }

    fn when_resolved(&self) -> Promise<(), Error> {
        self.client.when_resolved()
    }
}
