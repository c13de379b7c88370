//! `vatmux demo`: nodes in one process, and what passes between them.

mod report;
mod tour;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use futures::channel::oneshot;
use futures::future::join;
use vatmux::health;
use vatmux::packagefs::{FetchOptions, OutsideLinks, SkipReason, Skipped, Summary, Tree};
use vatmux::schema::health_capnp;
use vatmux_host::{Endpoint, Local, Node, NodeAddress, NodeBuilder};
use vatmux_noise::{AllowList, Entropy, NodeId, SecretKey};

use crate::arguments::{Arguments, Demo};
use crate::commands::serve;
use crate::compare::{self, Difference, Equal};
use crate::failure::Failure;
use crate::interrupt::Interruptible;
use crate::latency::Latencies;
use crate::output;
use crate::pulse::Pulse;
use crate::text;
use crate::visit::{self, Calls, Visit};
use report::Report;
use tour::Tour;

/// A load shorter than this says nothing; a directory is fetched again until it lasted as long.
const LOAD_TIME: Duration = Duration::from_millis(1500);

/// A load of this many bytes is enough, however short.
const LOAD_BYTES: u64 = 256 << 20;

/// The longest that fetching again may go on, with what is compared and removed in between.
const PATIENCE: Duration = Duration::from_secs(20);

/// How many pings show what the link takes when nothing else is on it.
const IDLE_PINGS: u64 = 500;

/// The most entries of the root that are listed.
const MAX_ENTRIES: u64 = 1_000_000;

pub(crate) fn run(arguments: &Arguments, demo: &Demo) -> Result<(), Failure> {
    let directory = directory(demo)?;
    let tree = Arc::new(Tree::open(&directory)?);
    let workspace = tempfile::tempdir().map_err(Failure::system("a temporary directory"))?;
    let interruptible = Some(Interruptible::new()?);

    let (server, client) = (fresh_key()?, fresh_key()?);
    let only_the_client = [client.node_id()].into_iter().collect();
    let (_node, address) =
        start(serve::node(server, only_the_client, AllowList::Only(BTreeSet::new()), &tree))?;
    let tour = tour::host(fresh_key()?, client.node_id(), workspace.path())?;

    let mut local = Local::new(client).map_err(Failure::system("what a node needs"))?;
    let dialer = visit::prepare(local.dialer(), arguments.timeout, Calls::Transfers);
    let (handle, me) = (local.handle(), dialer.node_id());
    let touring = visit::dial_and_work(dialer.clone(), handle.clone(), &tour.address, None, |visit| {
        tour::visit(visit, &tour)
    });
    let showing = visit::dial_and_work(dialer, handle, &address, interruptible, |visit| {
        show(visit, me, &directory, workspace.path(), touring)
    });
    let report = local.drive_until(showing).map_err(Failure::system("to wait for sockets"))??;
    output::print_line(&if arguments.json { report.to_json().to_string() } else { report.to_string() })
}

/// The directory that was named, or the project's documentation: here, or where this program was built.
fn directory(demo: &Demo) -> Result<PathBuf, Failure> {
    if let Some(directory) = &demo.dir {
        return Ok(directory.clone());
    }
    let places = [Path::new("docs"), Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs"))];
    let found = places.into_iter().find(|place| place.is_dir()).ok_or(Failure::NothingToShow)?;
    Ok(fs::canonicalize(found).unwrap_or_else(|_| found.to_owned()))
}

/// Starts a node of one thread on this machine's own network: the node, which runs until it is dropped, and where it is.
fn start(builder: NodeBuilder) -> Result<(Node, NodeAddress), Failure> {
    let loopback = Endpoint::Tcp { host: "127.0.0.1".into(), port: 0 };
    let node = builder.workers(1).listen(&loopback)?.start()?;
    let endpoint = node.endpoints().first().cloned().unwrap_or(loopback);
    let address = NodeAddress { node: node.node_id(), endpoint, path: String::new() };
    Ok((node, address))
}

fn fresh_key() -> Result<SecretKey, Failure> {
    Ok(SecretKey::generate(random()?))
}

fn random() -> Result<Entropy, Failure> {
    Entropy::from_system()
        .map_err(|error| Failure::System { what: "random bytes", error: std::io::Error::other(error) })
}

/// Everything that is shown, from the first call to the last comparison.
async fn show(
    visit: Visit,
    client: NodeId,
    directory: &Path,
    workspace: &Path,
    touring: impl Future<Output = Result<Tour, Failure>>,
) -> Result<Report, Failure> {
    let pulse = Pulse::new(&visit.handle, Rc::new(Cell::new(false)));
    let (files, health) = (visit.files()?, visit.health()?);
    let entries = pulse.guard("listing", async { Ok(files.list("", MAX_ENTRIES).await?) }).await?;
    let idle = RefCell::new(Vec::new());
    let pinging = async {
        for _ in 0..IDLE_PINGS {
            ping(&health, &idle, &pulse).await?;
        }
        Ok(())
    };
    pulse.guard("pinging", pinging).await?;

    let mut rounds = Rounds::default();
    let loaded = RefCell::new(Vec::new());
    let started = Instant::now();
    while !rounds.suffice() && started.elapsed() < PATIENCE {
        let copy = workspace.join("copy");
        let fetching = Cell::new(true);
        let fetch = async {
            let options = FetchOptions { outside_links: OutsideLinks::Recreate, ..FetchOptions::default() };
            let began = Instant::now();
            let fetched = files.fetch_tree("", &copy, options, &|_| pulse.beat()).await;
            fetching.set(false);
            fetched.map(|summary| (summary, began.elapsed()))
        };
        let ping_beside = async {
            while fetching.get() {
                ping(&health, &loaded, &pulse).await?;
            }
            Ok::<_, Failure>(())
        };
        let both = async {
            let (fetched, pinged) = join(fetch, ping_beside).await;
            pinged?;
            Ok(fetched?)
        };
        let (summary, time) = pulse.guard("fetching", both).await?;
        check_nothing_is_missing(&summary, directory)?;
        let equal = compare_and_remove(directory, &copy).await?;
        pulse.beat();
        rounds.add(summary, time, equal, directory)?;
    }
    let tour = touring.await?;
    let nothing_measured =
        || Failure::Differs { directory: directory.to_owned(), what: "nothing was measured".into() };
    Ok(Report {
        directory: directory.to_owned(),
        server: visit.peer.node_id(),
        client,
        handshake: visit.dial_time,
        entries: entries.len(),
        idle: Latencies::of(idle.into_inner()).ok_or_else(nothing_measured)?,
        loaded: Latencies::of(loaded.into_inner()).ok_or_else(nothing_measured)?,
        rounds,
        tour,
        traffic: visit.peer.session().traffic(),
    })
}

async fn ping(
    health: &health_capnp::health::Client,
    times: &RefCell<Vec<Duration>>,
    pulse: &Pulse,
) -> Result<(), Failure> {
    let nonce = times.borrow().len() as u64;
    let sent = Instant::now();
    health::ping(health, nonce).await?;
    times.borrow_mut().push(sent.elapsed());
    pulse.beat();
    Ok(())
}

/// Refuses a copy that lacks anything with bytes in it.
fn check_nothing_is_missing(summary: &Summary, directory: &Path) -> Result<(), Failure> {
    let missing = summary.skipped.iter().find(|skipped| match skipped.reason {
        SkipReason::NotAFile => false,
        SkipReason::Refused { .. }
        | SkipReason::LinkLeavesTree { .. }
        | SkipReason::LinkClimbs { .. }
        | SkipReason::LinkInvalid
        | SkipReason::PathTooLong
        | SkipReason::Unnameable { .. } => true,
    });
    match missing {
        None => Ok(()),
        Some(Skipped { path, reason }) => {
            let what = format!("`{}` was left out: {reason}", text::shown_path(path));
            Err(Failure::Differs { directory: directory.to_owned(), what })
        }
    }
}

/// Compares the copy with what was served, and removes it, on a thread of its own: the session goes on meanwhile.
async fn compare_and_remove(directory: &Path, copy: &Path) -> Result<Equal, Failure> {
    let (done, compared) = oneshot::channel();
    let (original, copy) = (directory.to_owned(), copy.to_owned());
    thread::Builder::new()
        .name("vatmux-compare".into())
        .spawn(move || {
            let outcome = compare::directories(&original, &copy);
            // What stays goes with the directory that it is in.
            let _ = fs::remove_dir_all(&copy);
            // Nobody waits where the demo was interrupted.
            let _ = done.send(outcome);
        })
        .map_err(Failure::system("a thread"))?;
    let outcome = compared.await.unwrap_or(Err(Difference::Unfinished));
    outcome.map_err(|difference| Failure::Differs {
        directory: directory.to_owned(),
        what: difference.to_string(),
    })
}

/// What all fetches came to.
#[derive(Default)]
pub(crate) struct Rounds {
    count: u64,
    /// Of the last round; each finds the same.
    summary: Summary,
    bytes: u64,
    time: Duration,
}

impl Rounds {
    fn suffice(&self) -> bool {
        self.time >= LOAD_TIME || self.bytes >= LOAD_BYTES
    }

    /// Counts a round, if as much was compared in it as was fetched.
    fn add(
        &mut self,
        summary: Summary,
        time: Duration,
        equal: Equal,
        directory: &Path,
    ) -> Result<(), Failure> {
        if (summary.files, summary.bytes) != (equal.files, equal.bytes) {
            let what = format!(
                "{} files of {} bytes were fetched, and {} of {} compared",
                summary.files, summary.bytes, equal.files, equal.bytes
            );
            return Err(Failure::Differs { directory: directory.to_owned(), what });
        }
        self.count += 1;
        self.bytes += summary.bytes;
        self.time += time;
        self.summary = summary;
        Ok(())
    }
}
