//! Services that are looked up instead of connected to.

use std::future::IntoFuture;

use futures::future::join;
use vatmux::samgr::{Client, Prefix};
use vatmux::schema::health::{HEALTH_DESCRIPTOR, Health};
use vatmux_rpc::Peer;

use super::{Complaint, said};

/// The most services that are listed at once.
const PAGE: u32 = 64;

/// Resolves a service by name and calls it before the answer is there; then asks whether it was listed under that name, and that
/// nobody has one that nobody registered.
pub(super) async fn resolve(peer: &Peer) -> Result<String, Complaint> {
    const NONCE: u64 = 0x7265_736f_6c76;
    let registry = Client::connect(peer).map_err(said)?;
    let name = HEALTH_DESCRIPTOR.name.parse().map_err(said)?;
    let resolving = registry.resolve::<Health>(&name);
    let called = resolving.service();
    let (found, answer) = join(resolving.into_future(), called.ping(NONCE)).await;
    let (found, answer) = (found.map_err(said)?, answer.map_err(said)?);
    if answer != NONCE {
        return Err(format!("what was resolved answers {answer:#x} to {NONCE:#x}"));
    }
    let listed = registry.list(&Prefix::default(), None, PAGE).await.map_err(said)?;
    if !listed.services.contains(&found.descriptor) {
        return Err(format!("{name} was resolved, and is not listed so"));
    }
    let nobody = "org.example.nobody".parse().map_err(said)?;
    if registry.resolve::<Health>(&nobody).await.is_ok() {
        return Err("a name that nobody registered leads somewhere".to_owned());
    }
    Ok(format!("services={} revision={}", listed.services.len(), listed.seen.revision))
}
