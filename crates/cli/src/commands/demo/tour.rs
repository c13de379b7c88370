//! The part of the demo that goes through the services: a node that has all four, and what a visitor does there.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use vatmux::bundle::{Access, InstallOptions, PublisherKey, Source, Store, StoreOptions, Trust};
use vatmux::bundlemgr::{self, InstallError};
use vatmux::packagefs::Tree;
use vatmux::samgr::{self, Prefix};
use vatmux::statefs::{self, Condition, Key, RequestError};
use vatmux_host::{Node, NodeAddress};
use vatmux_noise::{AllowList, NodeId, SecretKey};

use crate::commands::serve;
use crate::failure::Failure;
use crate::visit::Visit;

/// How many values are put at once, and how large each is.
const VALUES: usize = 64;
const VALUE_BYTES: usize = 1024;

/// What the bundle is made of.
const FILES: usize = 16;
const FILE_BYTES: usize = 256 * 1024;

/// The node, and what it is to be given.
pub(super) struct Host {
    /// It runs until this is dropped.
    _node: Node,
    pub(super) address: NodeAddress,
    /// A bundle, packed and signed by a publisher whom the node trusts.
    packed: Vec<u8>,
}

/// What the visitor did, and found to be so.
pub(super) struct Tour {
    /// What the registry lists.
    pub(super) services: Vec<String>,
    /// From the request for a service to the answer of the first call on it.
    pub(super) resolved_and_called: Duration,
    pub(super) values: usize,
    pub(super) value_bytes: usize,
    /// Until all of them were durable.
    pub(super) put: Duration,
    pub(super) files: u32,
    pub(super) content_bytes: u64,
    pub(super) packed_bytes: u64,
    /// Until it was verified, durable and active.
    pub(super) installed: Duration,
    pub(super) read_back: Duration,
}

/// The bytes of one of the files, which are those of no other.
fn content(file: usize) -> Vec<u8> {
    (0..FILE_BYTES).map(|offset| (offset / 251 + offset * 7 + file * 13) as u8).collect()
}

fn name(file: usize) -> String {
    format!("part-{file:02}")
}

/// Starts a node with all services in directories under `workspace`.
pub(super) fn host(key: SecretKey, visitor: NodeId, workspace: &Path) -> Result<Host, Failure> {
    let directory = |name: &str| {
        let path = workspace.join(name);
        fs::create_dir(&path).map_err(Failure::local("make the directory", &path))?;
        Ok::<_, Failure>(path)
    };
    let source = directory("site")?;
    for file in 0..FILES {
        let path = source.join(name(file));
        fs::write(&path, content(file)).map_err(Failure::local("write", &path))?;
    }
    let publisher = PublisherKey::generate(super::random()?);
    let source = Source::scan(&source, &mut |_| ())?;
    let named = ("demo".parse(), "1.0.0".parse());
    let (Ok(bundle), Ok(version)) = named else { return Err(differs("a name of the demo's own is refused")) };
    let mut packed = Vec::new();
    source.write(&source.sign(bundle, version, &publisher)?, &mut packed, &mut |_| ())?;

    let options = StoreOptions { trust: Trust::Only(vec![publisher.id()]), ..StoreOptions::default() };
    let store = Arc::new(Store::open(&directory("bundles")?, Access::ReadWrite, options)?);
    let tree = Arc::new(Tree::of_bundles(store.clone()));
    let allowed: AllowList = [visitor].into_iter().collect();
    let builder = serve::node(key, allowed.clone(), allowed.clone(), &tree);
    let builder = bundlemgr::offer(builder, store, allowed);
    let state = serve::open_state(&directory("state")?)?;
    let builder = statefs::offer(builder, state, |_| statefs::Access::full());
    let builder = samgr::offer(builder, samgr::Registry::default(), |_| samgr::Access::full());
    let (node, address) = super::start(builder)?;
    Ok(Host { _node: node, address, packed })
}

/// Uses each service, and compares what it gives with what it was given.
pub(super) async fn visit(visit: Visit, host: &Host) -> Result<Tour, Failure> {
    let registry = samgr::Client::connect(&visit.peer).map_err(|error| visit.unconnected(error))?;
    let listed = registry.list(&Prefix::default(), None, samgr::MAX_PAGE_SERVICES as u32).await;
    let listed = listed.map_err(|error| Failure::Services { doing: "list the services".into(), error })?;
    let services = listed.services.into_iter().map(|service| service.name).collect();

    // The service comes from the registry, and the call on it leaves before the registry has answered.
    let (key, began) = (key(0)?, Instant::now());
    let state_name = statefs::SERVICE_NAME.parse();
    let state_name = state_name.map_err(|_| differs("the registry cannot name the state service"))?;
    let state = statefs::Client::new(registry.resolve(&state_name).service());
    let nothing = state.get(&key).await.map_err(state_failure("get", &key))?;
    let resolved_and_called = began.elapsed();
    if nothing.is_some() {
        return Err(differs("there is a value that nobody has put"));
    }

    let began = Instant::now();
    let puts = (0..VALUES).map(|number| put(&state, number));
    try_join_all(puts).await?;
    let durable = began.elapsed();
    try_join_all((0..VALUES).map(|number| check(&state, number))).await?;

    let (bundles, files) = (visit.bundles()?, visit.files()?);
    let (packed_bytes, began) = (host.packed.len() as u64, Instant::now());
    let options = InstallOptions::default();
    let installed = bundlemgr::install(&bundles, &mut &host.packed[..], packed_bytes, options, &|_| ()).await;
    let installed = installed.map_err(|error: InstallError| Failure::Bundles {
        doing: "install the demo's bundle".into(),
        error: Box::new(error),
    })?;
    let installing = began.elapsed();

    let began = Instant::now();
    for file in 0..FILES {
        let (path, mut read) = (format!("demo/{}", name(file)), Vec::with_capacity(FILE_BYTES));
        files.read_to(&path, &mut read, &|_| ()).await?;
        if read != content(file) {
            return Err(differs(&format!("`{path}` is not what was packed")));
        }
    }
    Ok(Tour {
        services,
        resolved_and_called,
        values: VALUES,
        value_bytes: VALUE_BYTES,
        put: durable,
        files: installed.bundle.files,
        content_bytes: installed.bundle.content_bytes,
        packed_bytes,
        installed: installing,
        read_back: began.elapsed(),
    })
}

fn key(number: usize) -> Result<Key, Failure> {
    format!("demo/{number}").parse().map_err(|_| differs("a key of the demo's own is refused"))
}

async fn put(state: &statefs::Client, number: usize) -> Result<(), Failure> {
    let key = key(number)?;
    let value = vec![number as u8; VALUE_BYTES];
    state.put(&key, &value, Condition::Absent).await.map_err(state_failure("put", &key))?;
    Ok(())
}

async fn check(state: &statefs::Client, number: usize) -> Result<(), Failure> {
    let key = key(number)?;
    let found = state.get(&key).await.map_err(state_failure("get", &key))?;
    match found {
        Some(value) if value.bytes == vec![number as u8; VALUE_BYTES] => Ok(()),
        _ => Err(differs(&format!("`{key}` is not what was put"))),
    }
}

fn state_failure(what: &str, key: &Key) -> impl FnOnce(RequestError) -> Failure {
    let doing = format!("{what} `{key}`");
    move |error| Failure::State { doing, error }
}

fn differs(what: &str) -> Failure {
    Failure::Differs { directory: "the services".into(), what: what.to_owned() }
}
