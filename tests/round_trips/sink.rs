//! The caller's own capability that services write to, on the caller's stage.

use std::cell::RefCell;
use std::rc::Rc;

use vatmux::schema::packagefs::{BYTE_SINK_INTERFACE, ByteSink, ByteSinkServer};
use vatmux::service::{Call, Stub};

use crate::claim::Asked;
use crate::stage::OnStage;
use crate::visit::Visit;

pub(crate) const WRITE: Asked = Asked::of(&BYTE_SINK_INTERFACE, "write");
pub(crate) const END: Asked = Asked::of(&BYTE_SINK_INTERFACE, "end");

/// What was written.
#[derive(Clone, Default)]
pub(crate) struct Written(Rc<RefCell<(Vec<u8>, Option<u64>)>>);

impl Written {
    /// All of it, once it was ended, and with the length that was told.
    pub(crate) fn whole(&self) -> Option<Vec<u8>> {
        let (bytes, ended) = &*self.0.borrow();
        ended.is_some_and(|total| total == bytes.len() as u64).then(|| bytes.clone())
    }
}

impl ByteSinkServer for Written {
    async fn write(&self, _call: &Call, bytes: &[u8]) -> capnp::Result<()> {
        self.0.borrow_mut().0.extend(bytes);
        Ok(())
    }

    async fn end(&self, _call: &Call, total_bytes: u64) -> capnp::Result<()> {
        self.0.borrow_mut().1 = Some(total_bytes);
        Ok(())
    }
}

/// A sink on the stage of a visit.
pub(crate) fn sink(visit: &Visit) -> (ByteSink, Written) {
    let written = Written::default();
    let sink = ByteSink::serve(OnStage::of::<ByteSink, _>(&visit.stage, written.clone()));
    (sink, written)
}

/// A sink that takes nothing.
struct Failing;

impl ByteSinkServer for Failing {
    async fn write(&self, _call: &Call, _bytes: &[u8]) -> capnp::Result<()> {
        Err(capnp::Error::failed("my disk is full".to_owned()))
    }

    async fn end(&self, _call: &Call, _total_bytes: u64) -> capnp::Result<()> {
        panic!("a stream that failed has no end")
    }
}

/// A sink that takes nothing, on the stage of a visit.
pub(crate) fn failing_sink(visit: &Visit) -> ByteSink {
    ByteSink::serve(OnStage::of::<ByteSink, _>(&visit.stage, Failing))
}
