//! `vatmux serve`

mod check;
mod config;

use std::collections::BTreeSet;
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, mpsc};

use serde_json::json;
use vatmux::access::{Files, Grant, NamePattern, Policy};
use vatmux::bundle::{Access, Rights, Store, StoreOptions, Trust};
use vatmux::packagefs::Tree;
use vatmux::{bundlemgr, health, packagefs, samgr, statefs};
use vatmux_host::bridge::PlainLimits;
use vatmux_host::{Endpoint, Node, NodeAddress, NodeBuilder, NodeEvent};
use vatmux_noise::{AllowList, NodeId, SecretKey};

use super::policy::show as show_policy;
use crate::arguments::{Arguments, Serve};
use crate::failure::Failure;
use crate::reporter::Reporter;
use crate::text::Harmless;
use crate::{home, interrupt, output, plain};

pub(crate) fn run(arguments: &Arguments, flags: &Serve) -> Result<(), Failure> {
    let serve = config::settled(flags)?;
    let policy = Arc::new(policy(&serve)?);
    if policy.is_nobody() {
        return Err(Failure::NobodyAllowed);
    }
    let directory = serve.dir.as_ref().map(Tree::open).transpose()?;
    let imports = serve.import.iter().map(|import| plain::endpoint(&import.server, serve.insecure_plain_tcp));
    let imports: Vec<_> = imports.collect::<Result<_, _>>()?;
    if serve.check {
        check::show(&serve, arguments.json)?;
        return show_policy(&policy, arguments.json);
    }
    let (key, _) = home::key(arguments)?;
    let bundles = serve.bundles.as_ref().map(|path| open_bundles(path, &serve)).transpose()?;
    let tree = directory.or_else(|| bundles.clone().map(Tree::of_bundles)).map(Arc::new);
    let (stop, stopped) = mpsc::channel();
    interrupt::on_request(move || {
        // The second request finds the process ending.
        let _ = stop.send(());
    })?;

    let files = if bundles.is_some() { Files::Bundles } else { Files::Directory };
    let mut builder = policy.guard(Node::builder(key), files);
    if let Some(tree) = tree {
        builder = packagefs::offer_narrowed(builder, tree, packagefs::Limits::default(), policy.bundles());
    }
    if let Some(store) = bundles {
        builder = bundlemgr::offer_narrowed(builder, store, policy.bundles());
    }
    if let Some(directory) = &serve.state {
        builder = statefs::offer(builder, open_state(directory)?, policy.state());
    }
    builder = samgr::offer(builder, samgr::Registry::default(), policy.registry());
    for (import, server) in serve.import.iter().zip(imports) {
        builder = builder.import(&import.name, plain::IMPORT_PRIORITY, server, PlainLimits::default());
    }
    for endpoint in &serve.listen {
        builder = builder.listen(&plain::absolute(endpoint)?)?;
    }
    if let Some(workers) = serve.workers {
        builder = builder.workers(workers.into());
    }
    let reporter = Reporter::start(arguments.json, line)?;
    let node = builder.on_event(reporter.listener()).start()?;
    announce(&node, arguments.json)?;

    if !arguments.json && node.endpoints().iter().any(is_everywhere) {
        output::tell(
            "vatmux: it listens on every address of this machine: peers write its name there instead",
        );
    }

    // The other end is the handler's, which lasts as long as the process.
    let _ = stopped.recv();
    drop(node);
    reporter.finish();
    Ok(())
}

/// Who may do what: as the file has it, or as the flags do, which are short for a policy.
fn policy(serve: &Serve) -> Result<Policy, Failure> {
    if let Some(path) = &serve.policy {
        return Ok(Policy::read(path)?);
    }
    let mut policy = Policy::nobody();
    let mut named: BTreeSet<NodeId> = serve.allow.iter().copied().collect();
    if serve.allow_anyone {
        policy = policy.anyone(Grant::guest());
        named.extend(serve.installer.iter().chain(&serve.operator).chain(&serve.registrar));
    }
    for node in named {
        let mut grant = Grant { operator: serve.operator.contains(&node), ..Grant::guest() };
        if serve.installer.contains(&node) {
            grant.bundles = Rights::all();
        }
        if serve.registrar.contains(&node) {
            grant.registry = vec![(NamePattern::all(), samgr::Right::Register)];
        }
        policy = policy.and(node, grant);
    }
    Ok(policy)
}

/// Opens the store, and tells what is damaged in it.
fn open_bundles(path: &Path, serve: &Serve) -> Result<Arc<Store>, Failure> {
    let options = StoreOptions {
        trust: Trust::Only(serve.publisher.clone()),
        quota_bytes: serve.bundle_quota.unwrap_or(u64::MAX),
        ..StoreOptions::default()
    };
    let store = Store::open(path, Access::ReadWrite, options)?;
    for damaged in store.damaged() {
        output::tell(&format!("vatmux: `{}` is damaged; install its bundle again", Harmless(&damaged)));
    }
    Ok(Arc::new(store))
}

/// The store in this directory, which is nobody else's business.
pub(crate) fn open_state(directory: &Path) -> Result<statefs::Store, Failure> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(directory).map_err(Failure::local("make the directory", directory))?;
    statefs::Store::open_file(&directory.join("statefs"), statefs::OpenOptions::default())
        .map_err(|error| Failure::OpenState { directory: directory.to_owned(), error })
}

/// A node that offers `tree`, and health: all of it to `operators`.
pub(crate) fn node(key: SecretKey, allow: AllowList, operators: AllowList, tree: &Arc<Tree>) -> NodeBuilder {
    let builder = health::offer(Node::builder(key).allow(allow), operators);
    packagefs::offer(builder, tree.clone(), packagefs::Limits::default())
}

/// Whether it is no address that can be dialed from elsewhere, but stands for all that can.
fn is_everywhere(endpoint: &Endpoint) -> bool {
    match endpoint {
        Endpoint::Tcp { host, .. } => host.parse().is_ok_and(|address: IpAddr| address.is_unspecified()),
        Endpoint::Unix(_) => false,
    }
}

/// Tells where the node listens, now that it does.
fn announce(node: &Node, json: bool) -> Result<(), Failure> {
    let addresses = node.endpoints().iter().map(|endpoint| {
        NodeAddress { node: node.node_id(), endpoint: endpoint.clone(), path: String::new() }.to_string()
    });
    output::print_line(&if json {
        json!({ "node_id": node.node_id().to_string(), "listening": addresses.collect::<Vec<_>>() })
            .to_string()
    } else {
        addresses.collect::<Vec<_>>().join("\n")
    })
}

fn line(event: &NodeEvent, json: bool) -> String {
    if !json {
        return Harmless(&event.to_string()).to_string();
    }
    let (kind, peer, detail) = match event {
        NodeEvent::Connected(peer) => ("connected", Some(peer), None),
        NodeEvent::Ended(peer, end) => ("left", Some(peer), Some(end.to_string())),
        NodeEvent::Refused(failure) => ("refused", None, Some(failure.to_string())),
        NodeEvent::Dropped(_) => ("dropped", None, Some(event.to_string())),
        NodeEvent::TaskPanicked(message) => ("task_panicked", None, Some(message.clone())),
        NodeEvent::WorkerDied => ("worker_died", None, Some(event.to_string())),
        NodeEvent::AcceptFailed(error) => ("accept_failed", None, Some(error.to_string())),
        NodeEvent::ImportFailed { .. } => ("import_failed", None, Some(event.to_string())),
    };
    json!({ "event": kind, "peer": peer.map(ToString::to_string), "detail": detail }).to_string()
}
