//! The objects of the caller's own process.

use std::cell::RefCell;

use vatmux_rpc::service::{Call, Capability, Stub};

use crate::linked::chain::{Link, LinkLargeResults, LinkServer};
use crate::linked::chain_capnp::link;

/// A link that knows its number.
pub(crate) struct Own {
    number: u8,
    /// Whether it keeps what it is given, which may be itself.
    keeps: bool,
    kept: RefCell<Option<Link>>,
    pipelines: RefCell<Vec<link::next_results::Pipeline>>,
}

impl Own {
    pub(crate) fn new(number: u8, keeps: bool) -> Self {
        Self { number, keeps, kept: RefCell::default(), pipelines: RefCell::default() }
    }

    pub(crate) fn link(number: u8) -> Link {
        Link::serve(Self::new(number, true))
    }
}

impl LinkServer for Own {
    async fn next(&self, _: &Call) -> capnp::Result<Link> {
        Ok(Link::serve(Self::new(self.number, self.keeps)))
    }

    async fn nested(&self, call: &Call, mut results: link::nested_results::Builder<'_>) -> capnp::Result<()> {
        let next = self.next(call).await?;
        let client = next.capability().client().clone();
        results.reborrow().init_inner().set_link(client);
        Ok(())
    }

    /// The number of the link that it is given.
    async fn give(&self, _: &Call, link: Link) -> capnp::Result<u64> {
        let number = link.large(1).await?.bytes;
        Ok(number.first().copied().unwrap_or_default().into())
    }

    async fn pour(&self, _: &Call, link: Link) -> capnp::Result<()> {
        link.large(0).await?;
        *self.kept.borrow_mut() = Some(link).filter(|_| self.keeps);
        Ok(())
    }

    async fn after(&self, _: &Call, link: Link) -> capnp::Result<Link> {
        let call = link.capability().client().next_request().send();
        let next = call.pipeline.get_link();
        // While somebody has this, the promise becomes what is answered.
        if self.keeps {
            self.pipelines.borrow_mut().push(call.pipeline);
        }
        Ok(Link::of(Capability::of(next)))
    }

    async fn large(&self, call: &Call, bytes: u32) -> capnp::Result<LinkLargeResults> {
        Ok(LinkLargeResults { link: self.next(call).await?, bytes: vec![self.number; bytes as usize] })
    }
}
