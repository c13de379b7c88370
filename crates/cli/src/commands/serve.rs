//! `vatmux serve`

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use serde_json::json;
use vatmux::packagefs::Tree;
use vatmux::{health, packagefs};
use vatmux_host::{Endpoint, Node, NodeAddress, NodeBuilder, NodeEvent};
use vatmux_noise::{AllowList, SecretKey};

use crate::arguments::{Arguments, Serve};
use crate::failure::Failure;
use crate::text::Harmless;
use crate::{home, interrupt, output};

/// How many events wait to be printed; more are dropped.
const EVENTS: usize = 1024;

/// How long the last events have to be printed.
const LAST_WORDS: Duration = Duration::from_secs(1);

pub(crate) fn run(arguments: &Arguments, serve: &Serve) -> Result<(), Failure> {
    if serve.allow.is_empty() && !serve.allow_anyone {
        return Err(Failure::NobodyAllowed);
    }
    let (key, _) = home::key(arguments)?;
    let tree = Arc::new(Tree::open(&serve.dir)?);
    let allow = if serve.allow_anyone { AllowList::Anyone } else { serve.allow.iter().copied().collect() };
    let (stop, stopped) = mpsc::channel();
    interrupt::on_request(move || {
        // The second request finds the process ending.
        let _ = stop.send(());
    })?;

    let mut builder = node(key, allow, &tree);
    for endpoint in &serve.listen {
        builder = builder.listen(&absolute(endpoint)?)?;
    }
    if let Some(workers) = serve.workers {
        builder = builder.workers(workers.into());
    }
    let reporter = Reporter::start(arguments.json)?;
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

/// A node that offers `tree`, and health.
pub(crate) fn node(key: SecretKey, allow: AllowList, tree: &Arc<Tree>) -> NodeBuilder {
    let tree = tree.clone();
    Node::builder(key)
        .allow(allow)
        .serve(health::SERVICE_NAME, health::PRIORITY, |_| health::capability())
        .serve(packagefs::SERVICE_NAME, packagefs::PRIORITY, move |_| {
            packagefs::capability(tree.clone(), packagefs::Limits::default())
        })
}

/// A socket's path as it is called from anywhere.
fn absolute(endpoint: &Endpoint) -> Result<Endpoint, Failure> {
    match endpoint {
        Endpoint::Tcp { .. } => Ok(endpoint.clone()),
        Endpoint::Unix(path) => std::path::absolute(path)
            .map(Endpoint::Unix)
            .map_err(|error| Failure::Local { what: "find", path: path.clone(), error }),
    }
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

/// Prints a node's events on a thread that may wait for whoever reads them; the node's threads must not.
struct Reporter {
    events: mpsc::SyncSender<NodeEvent>,
    done: mpsc::Receiver<()>,
    /// Events that there was no room for since the last line.
    untold: Arc<AtomicU64>,
}

impl Reporter {
    fn start(json: bool) -> Result<Self, Failure> {
        let (events, told) = mpsc::sync_channel(EVENTS);
        let (finished, done) = mpsc::channel();
        let untold = Arc::new(AtomicU64::new(0));
        let counted = untold.clone();
        thread::Builder::new()
            .name("vatmux-events".into())
            .spawn(move || {
                for event in told {
                    output::tell(&line(&event, json));
                    let untold = counted.swap(0, Ordering::Relaxed);
                    if untold > 0 {
                        output::tell(&gap(untold, json));
                    }
                }
                // Nobody waits where the last words took too long.
                let _ = finished.send(());
            })
            .map_err(Failure::system("a thread"))?;
        Ok(Self { events, done, untold })
    }

    /// What hears of events and never waits.
    fn listener(&self) -> impl Fn(NodeEvent) + Send + Sync + 'static {
        let (events, untold) = (self.events.clone(), self.untold.clone());
        move |event| {
            // With a thousand lines unread, one more is worth less than the node's time. It is counted.
            if events.try_send(event).is_err() {
                untold.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn finish(self) {
        drop(self.events);
        let _ = self.done.recv_timeout(LAST_WORDS);
    }
}

/// Says that there were more events than anybody read.
fn gap(untold: u64, json: bool) -> String {
    if json {
        json!({ "event": "untold", "peer": null, "detail": format!("{untold} events") }).to_string()
    } else {
        format!("{untold} events were not shown: they came faster than they were read")
    }
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
        NodeEvent::WorkerDied => ("worker_died", None, Some(event.to_string())),
        NodeEvent::AcceptFailed(error) => ("accept_failed", None, Some(error.to_string())),
    };
    json!({ "event": kind, "peer": peer.map(ToString::to_string), "detail": detail }).to_string()
}
