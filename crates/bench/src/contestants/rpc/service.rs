//! The service of `bench.capnp`, which vatmux and plain capnp-rpc serve alike.

use std::cell::RefCell;
use std::future::pending;
use std::rc::Rc;

use super::bench_capnp::bench;
use crate::HEAP;
use crate::payload::Sink;

/// Serves one caller.
pub(super) struct Service {
    pushed: RefCell<Sink>,
}

/// A capability of the service.
pub(super) fn capability() -> bench::Client {
    capnp_rpc::new_client(Service { pushed: RefCell::new(Sink::new(false)) })
}

impl bench::Server for Service {
    async fn increment(
        self: Rc<Self>,
        params: bench::IncrementParams,
        mut results: bench::IncrementResults,
    ) -> capnp::Result<()> {
        results.get().set_value(params.get()?.get_value() + 1);
        Ok(())
    }

    async fn push(self: Rc<Self>, params: bench::PushParams) -> capnp::Result<()> {
        self.pushed.borrow_mut().take(params.get()?.get_chunk()?);
        Ok(())
    }

    async fn pushed(
        self: Rc<Self>,
        _: bench::PushedParams,
        mut results: bench::PushedResults,
    ) -> capnp::Result<()> {
        let pushed = self.pushed.borrow();
        results.get().set_bytes(pushed.bytes);
        results.get().set_checksum(pushed.checksum);
        Ok(())
    }

    async fn watch(self: Rc<Self>, _: bench::WatchParams, _: bench::WatchResults) -> capnp::Result<()> {
        *self.pushed.borrow_mut() = Sink::new(true);
        Ok(())
    }

    async fn hold(self: Rc<Self>, _: bench::HoldParams, _: bench::HoldResults) -> capnp::Result<()> {
        pending().await
    }

    async fn heap(
        self: Rc<Self>,
        _: bench::HeapParams,
        mut results: bench::HeapResults,
    ) -> capnp::Result<()> {
        HEAP.count();
        results.get().set_live_bytes(HEAP.live_bytes());
        Ok(())
    }
}
