//! What a capability has become.
//!
//! A capability that is the result of a call may be used before the call is answered: it is a promise, and turns into
//! what the answer has. Whoever goes on using the promise after that goes through capnp-rpc 0.27.3 where it is not
//! sound, and does better to take what it has become:
//!
//! * A request **with capabilities in its parameters** loses them, where the promise has become an object of the caller's
//!   own process: that gets stand-ins, on which every call fails. (Vats see to it that a bootstrap capability never does.)
//! * `capnp::capability::get_resolved_cap`, and with it `CapabilityServerSet::get_local_server`, waits for ever.
//! * Every call fails once the vat is over, also where the promise has become an object of the caller's own process.

use capnp::capability::FromClientHook;
use capnp::private::capability::ClientHook;

/// What a capability has become by now: itself, where it is no promise or is not kept yet.
///
/// Generated stubs do this by themselves. Others ask it for each request with capabilities in it, on a capability that came
/// from a pipeline, and build and send that request without waiting in between:
///
/// ```
/// use capnp::capability::FromClientHook;
/// use vatmux_rpc::resolved;
///
/// fn send_to<C: FromClientHook>(promise: &C, send: impl FnOnce(C)) {
///     send(resolved(promise));
/// }
/// ```
pub fn resolved<C: FromClientHook>(capability: &C) -> C {
    FromClientHook::new(innermost(capability.as_client_hook().add_ref()))
}

/// Waits until a capability that is a promise is kept, and gives what it became. A capability that is no promise is given
/// back at once; a broken promise gives a capability on which every call fails.
///
/// There is no deadline but that of the call whose result the capability is. A capability that a **peer** sent as a promise
/// counts as kept: calls on it go to the peer for good, who passes them on (docs/spec/rpc-limits.md, "Promises of the
/// peer's").
///
/// ```
/// use std::rc::Rc;
///
/// use capnp::capability::{FromClientHook, FromServer};
/// use capnp_rpc::CapabilityServerSet;
/// use vatmux_rpc::settled;
///
/// /// The server behind a capability, where it is one of ours.
/// async fn own<S, C>(set: &CapabilityServerSet<S, C>, capability: C) -> Option<Rc<S>>
/// where
///     C: FromClientHook + FromServer<S>,
/// {
///     set.get_local_server_of_resolved(&settled(capability).await)
/// }
/// ```
pub async fn settled<C: FromClientHook>(capability: C) -> C {
    let mut hook = innermost(capability.into_client_hook());
    // In this order: a promise that is kept already tells nobody any more.
    while let Some(promise) = hook.when_more_resolved() {
        match promise.await {
            Ok(became) => hook = innermost(became),
            Err(error) => hook = capnp_rpc::new_broken_cap(error).hook,
        }
    }
    FromClientHook::new(hook)
}

pub(crate) fn innermost(mut hook: Box<dyn ClientHook>) -> Box<dyn ClientHook> {
    while let Some(became) = hook.get_resolved() {
        hook = became;
    }
    hook
}
