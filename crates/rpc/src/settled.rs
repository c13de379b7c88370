//! What a capability has become.

use capnp::capability::FromClientHook;

/// Waits until a capability that is a promise is kept, and gives what it became: where that is an object of this process,
/// the object itself, which a [`CapabilityServerSet`](capnp_rpc::CapabilityServerSet) knows by its
/// `get_local_server_of_resolved`, and which lives on when the vat is over that it came through. A capability that is no
/// promise is given back at once; a broken promise gives a capability on which every call fails.
///
/// It is here because `capnp::capability::get_resolved_cap`, and with it `CapabilityServerSet::get_local_server`, waits for
/// ever for the result of a call that has its answer already (capnp-rpc 0.27.3). There is no deadline but that of the call
/// whose result the capability is.
///
/// A capability that a **peer** sent as a promise counts as kept: calls on it go to the peer for good, who passes them on
/// (docs/spec/rpc-limits.md, "Promises of the peer's are not followed").
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
    let mut hook = capability.into_client_hook();
    loop {
        while let Some(resolved) = hook.get_resolved() {
            hook = resolved;
        }
        let Some(promise) = hook.when_more_resolved() else { break };
        match promise.await {
            Ok(resolved) => hook = resolved,
            Err(error) => return FromClientHook::new(capnp_rpc::new_broken_cap(error).hook),
        }
    }
    FromClientHook::new(hook)
}
