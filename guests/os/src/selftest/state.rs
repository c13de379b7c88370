//! Keys and values of the node.

use vatmux::statefs::{Client, Condition, Key, Prefix};
use vatmux_rpc::Peer;

use super::{Complaint, said};
use crate::node::Node;

/// Puts a value, reads it, lists its key, deletes it, and finds it gone. A second value stays, for whoever looks from outside.
pub(super) async fn read_and_write(node: &Node, peer: &Peer) -> Result<String, Complaint> {
    let state = Client::connect(peer).map_err(said)?;
    // Others test themselves with the same host at the same time.
    let ours = format!("os/{}", node.id());
    let key = Key::parse(format!("{ours}/scratch").as_bytes()).map_err(said)?;
    let value = format!("written at {:?}", peer.session().handle().now());
    state.put(&key, value.as_bytes(), Condition::Any).await.map_err(said)?;
    let read = state.get(&key).await.map_err(said)?.ok_or("what was put is not there")?;
    if read.bytes != value.as_bytes() {
        return Err(format!("{} bytes were put, and {} others read", value.len(), read.bytes.len()));
    }
    let prefix = Prefix::parse(format!("{ours}/").as_bytes()).map_err(said)?;
    let listed = state.list(&prefix, None, 100).await.map_err(said)?;
    if !listed.entries.iter().any(|entry| entry.key == key && entry.version == read.version) {
        return Err("what was put is not listed".to_owned());
    }
    state.delete(&key, Condition::Version(read.version)).await.map_err(said)?;
    if state.get(&key).await.map_err(said)?.is_some() {
        return Err("what was deleted is still there".to_owned());
    }
    let kept = Key::parse(format!("{ours}/kept").as_bytes()).map_err(said)?;
    let version = state.put(&kept, value.as_bytes(), Condition::Any).await.map_err(said)?;
    Ok(format!("kept={value:?} version={version}"))
}
