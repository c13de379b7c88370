//! Who may do what on a node, over links to it: what is denied, what is told of it, and what one peer may take.

mod bounds;
mod denied;
mod told;

use std::sync::Arc;

use tempfile::TempDir;
use vatmux::access::{Files, Grant, NamePattern, Policy};
use vatmux::bundle::{self, InstallOptions, PublisherKey, Right, Rights, Rule, Source, StoreOptions, Trust};
use vatmux::packagefs::{Limits, Tree};
use vatmux::statefs::{self, Access, Key, OpenOptions, Prefix};
use vatmux::{
    CloseCode, Entropy, Local, Node, NodeAddress, NodeId, Peer, SecretKey, bundlemgr, packagefs, samgr,
};

/// A node's key, the same for the same number.
fn secret(number: u8) -> SecretKey {
    SecretKey::generate(Entropy::from_bytes([number; 32]).unwrap())
}

fn id(number: u8) -> NodeId {
    secret(number).node_id()
}

fn publisher(number: u8) -> PublisherKey {
    PublisherKey::generate(Entropy::from_bytes([number; 32]).unwrap())
}

fn key(text: &str) -> Key {
    text.parse().unwrap()
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

/// What may be done with bundles of these names, and of this publisher where it is given.
fn rule(names: &[&str], publisher: Option<&PublisherKey>, may: &[Right]) -> Rule {
    Rule {
        names: names.iter().map(|name| name.parse::<NamePattern>().unwrap()).collect(),
        publishers: publisher.map(|publisher| vec![publisher.id()]),
        may: may.into(),
    }
}

/// A bundle with one file.
fn packed(name: &str, version: &str, key: &PublisherKey, content: &[u8]) -> Vec<u8> {
    let tree = tempfile::tempdir().unwrap();
    std::fs::write(tree.path().join("file"), content).unwrap();
    let source = Source::scan(tree.path(), &mut |_| {}).unwrap();
    let signed = source.sign(name.parse().unwrap(), version.parse().unwrap(), key).unwrap();
    let mut bytes = Vec::new();
    source.write(&signed, &mut bytes, &mut |_| {}).unwrap();
    bytes
}

/// A node that offers state and bundles by a policy.
struct World {
    address: NodeAddress,
    state: statefs::Store,
    bundles: Arc<bundle::Store>,
    node: Node,
    _folder: TempDir,
}

impl World {
    fn new(policy: Policy) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let state = statefs::Store::open_file(&folder.path().join("state"), OpenOptions::default()).unwrap();
        let options = StoreOptions { trust: Trust::Anyone, ..StoreOptions::default() };
        let bundles =
            bundle::Store::open(&folder.path().join("bundles"), bundle::Access::ReadWrite, options).unwrap();
        let bundles = Arc::new(bundles);
        let policy = Arc::new(policy);
        let mut builder = policy.guard(Node::builder(secret(200)), Files::Bundles).workers(2);
        builder = statefs::offer(builder, state.clone(), policy.state());
        builder = bundlemgr::offer_narrowed(builder, bundles.clone(), policy.bundles());
        let registry = samgr::Registry::new(samgr::Limits::default());
        builder = samgr::offer(builder, registry, policy.registry());
        let tree = Arc::new(Tree::of_bundles(bundles.clone()));
        builder = packagefs::offer_narrowed(builder, tree, Limits::default(), policy.bundles());
        let node = builder.listen(&"127.0.0.1:0".parse().unwrap()).unwrap().start().unwrap();
        let endpoint = node.endpoints()[0].clone();
        let address = NodeAddress { node: node.node_id(), endpoint, path: String::new() };
        Self { address, state, bundles, node, _folder: folder }
    }

    /// Installs a bundle of one file, as the node's owner.
    fn install(&self, name: &str, version: &str, key: &PublisherKey) {
        let mut install = self.bundles.install(InstallOptions::default()).unwrap();
        install.write(&packed(name, version, key, name.as_bytes())).unwrap();
        install.finish().unwrap();
    }

    /// Runs `work` with a session of the node with this number.
    fn visit<T>(&self, number: u8, work: impl AsyncFnOnce(&Peer) -> T) -> T {
        let mut local = Local::new(secret(number)).unwrap();
        let dialer = local.dialer();
        let visiting = async {
            let peer = dialer.dial(&self.address).await.unwrap();
            let outcome = work(&peer).await;
            peer.close(CloseCode::DONE);
            outcome
        };
        local.drive_until(visiting).unwrap()
    }
}

/// What may be done with the keys of its own.
fn own(number: u8) -> Access {
    Access::none().and(prefix(&format!("{number}/")), statefs::Right::Write)
}

/// Node 1 may change its own keys, see what is shared, and read and install one publisher's bundles; node 2 has its own keys alone;
/// node 3 may do everything.
fn policy() -> Policy {
    let state = own(1).and(prefix("shared/"), statefs::Right::Read);
    let bundles = Rights::none().and(rule(&["org.a.*"], None, &[Right::Read])).and(rule(
        &["org.a.*", "org.b"],
        Some(&publisher(1)),
        &[Right::Install, Right::Remove],
    ));
    let all = (NamePattern::all(), samgr::Right::See);
    let registry = vec![all, ("org.a.*".parse().unwrap(), samgr::Right::Register)];
    Policy::nobody()
        .and(id(1), Grant { state, bundles, registry, ..Grant::none() })
        .and(id(2), Grant { state: own(2), ..Grant::none() })
        .and(id(3), Grant { bundles: Rights::all(), ..Grant::guest() })
}

fn state_of(peer: &Peer) -> statefs::Client {
    statefs::Client::connect(peer).unwrap()
}

fn bundles_of(peer: &Peer) -> bundlemgr::BundleMgr {
    peer.connect::<bundlemgr::BundleMgr>().unwrap()
}

/// What there is to say of an error when a name in it may be another.
fn without(name: &str, error: impl std::fmt::Display) -> String {
    error.to_string().replace(name, "NAME")
}
