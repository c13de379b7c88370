//! What a server is told of a call, and the limits of its methods.

use std::cell::RefCell;
use std::rc::Rc;

use capnp::Error;
use capnp::capability::Params;
use capnp::traits::Owned;
use vatmux_driver::Instant;
use vatmux_noise::NodeId;

use super::Method;
use crate::CallContext;

/// A call that a server works on.
///
/// When the future of its handler is dropped, nobody waits for it any more: the caller gave it up, its deadline came, or the
/// vat is over. What must not stop half-way is wrapped in [`MustFinish`](crate::MustFinish).
#[derive(Debug)]
pub struct Call {
    method: &'static Method,
    context: Option<CallContext>,
    _place: Option<Place>,
}

impl Call {
    /// Who calls: the key that the handshake of the session has proved. None for a call from within this process.
    #[must_use]
    pub fn peer(&self) -> Option<NodeId> {
        self.context.as_ref().and_then(CallContext::peer)
    }

    /// When the call is dropped if it is not answered by then. The caller may wait less. None for a call from within this
    /// process.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.context.as_ref().map(CallContext::deadline)
    }

    /// What the vat knows of it. None for a call from within this process.
    #[must_use]
    pub fn context(&self) -> Option<&CallContext> {
        self.context.as_ref()
    }

    /// What was called.
    #[must_use]
    pub fn method(&self) -> &'static Method {
        self.method
    }
}

/// Reads the parameters of a call, in one go. For generated code.
pub fn taken<T>(read: impl FnOnce() -> capnp::Result<T>) -> capnp::Result<T> {
    read()
}

/// Counts the calls of one server for which its schema has a limit. Clones are the same count.
#[derive(Clone, Debug, Default)]
pub struct Meter(Rc<RefCell<Vec<(&'static Method, u32)>>>);

impl Meter {
    /// A call arrives: it is within the limits of its method, or fails as overloaded.
    pub fn begin<P: Owned>(&self, method: &'static Method, params: &Params<P>) -> capnp::Result<Call> {
        if let Some(most) = method.limit.params_bytes {
            let bytes = params.hook.get()?.target_size()?.word_count.saturating_mul(8);
            if bytes > most {
                return Err(Error::overloaded(format!(
                    "{method}: parameters of {bytes} bytes, and {most} are the limit"
                )));
            }
        }
        let place = method.limit.calls.map(|most| self.take(method, most)).transpose()?;
        Ok(Call { method, context: CallContext::of(params), _place: place })
    }

    fn take(&self, method: &'static Method, most: u32) -> capnp::Result<Place> {
        let mut counts = self.0.borrow_mut();
        let at = counts.iter().position(|(counted, _)| std::ptr::eq(*counted, method));
        let at = at.unwrap_or_else(|| {
            counts.push((method, 0));
            counts.len() - 1
        });
        let count = &mut counts[at].1;
        if *count >= most {
            return Err(Error::overloaded(format!(
                "{method}: {most} calls are under way, and that is the limit; try again later"
            )));
        }
        *count += 1;
        Ok(Place { meter: self.clone(), method })
    }
}

/// One of the calls of a method that may be under way.
#[derive(Debug)]
struct Place {
    meter: Meter,
    method: &'static Method,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.meter.0.borrow_mut();
        if let Some((_, count)) = counts.iter_mut().find(|(counted, _)| std::ptr::eq(*counted, self.method)) {
            *count -= 1;
        }
    }
}
