//! The bootstrap capability of a vat, which ends with the vat.

use std::cell::RefCell;
use std::rc::Rc;

use capnp::capability::{Client, Promise, Request};
use capnp::private::capability::{ClientHook, ParamsHook, ResultsHook};
use capnp::{Error, MessageSize, any_pointer};

/// A capability that can be taken back.
///
/// capnp-rpc keeps a vat's bootstrap capability for as long as anybody holds a capability that came from the
/// peer. A server that keeps one of those (somebody who watches it, say) would so keep itself alive for ever after
/// the peer is gone. This stands between the two, and lets go when the vat is over.
#[derive(Clone)]
pub(crate) struct Revocable(Rc<RefCell<Rc<dyn ClientHook>>>);

impl Revocable {
    pub(crate) fn new(client: Client) -> Self {
        Self(Rc::new(RefCell::new(client.hook.into())))
    }

    pub(crate) fn as_client(&self) -> Client {
        Client::new(Box::new(self.clone()))
    }

    /// Whoever still has it finds a capability on which everything fails with `error`.
    pub(crate) fn revoke(&self, error: Error) {
        let broken = capnp_rpc::new_broken_cap(error);
        let revoked = self.0.replace(broken.hook.into());
        // Its destructor may be anybody's code: nothing is borrowed here.
        drop(revoked);
    }

    /// Nothing is borrowed while it is used: it may be anybody's code.
    fn inner(&self) -> Rc<dyn ClientHook> {
        self.0.borrow().clone()
    }
}

impl ClientHook for Revocable {
    fn add_ref(&self) -> Box<dyn ClientHook> {
        Box::new(self.clone())
    }

    fn new_call(
        &self,
        interface_id: u64,
        method_id: u16,
        size_hint: Option<MessageSize>,
    ) -> Request<any_pointer::Owned, any_pointer::Owned> {
        self.inner().new_call(interface_id, method_id, size_hint)
    }

    fn call(
        &self,
        interface_id: u64,
        method_id: u16,
        params: Box<dyn ParamsHook>,
        results: Box<dyn ResultsHook>,
    ) -> Promise<(), Error> {
        self.inner().call(interface_id, method_id, params, results)
    }

    fn get_brand(&self) -> usize {
        self.inner().get_brand()
    }

    fn get_ptr(&self) -> usize {
        self.inner().get_ptr()
    }

    // A resolved promise: what is exported is the capability behind it.

    fn get_resolved(&self) -> Option<Box<dyn ClientHook>> {
        Some(self.inner().add_ref())
    }

    fn when_more_resolved(&self) -> Option<Promise<Box<dyn ClientHook>, Error>> {
        Some(Promise::ok(self.inner().add_ref()))
    }

    fn when_resolved(&self) -> Promise<(), Error> {
        self.inner().when_resolved()
    }
}
