//! `bench services`: state over a link beside a database in process, bundles beside raw bytes, and one beside the other.
//!
//! What is durable lies in a directory for temporary files, and that has to be on a disk: in memory a flush costs nothing, and
//! there would be nothing to compare. Bundles are installed in memory where there is a file system for it. In either place
//! nothing is acknowledged before it was synced.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use tempfile::TempDir;

use super::rpc::{CALL_COLUMNS, IN_FLIGHT, SEQUENTIAL_SHARE, measure};
use crate::arguments::Arguments;
use crate::contestants::raw;
use crate::contestants::rpc::{Called, Calls};
use crate::contestants::services::{
    BUNDLE, Call, Caller, Database, Engine, Guest, Installer, Packed, Puts, Resolved, Resolver, Server,
    VALUE_BYTES,
};
use crate::contestants::vatmux::Reader;
use crate::figures::{self, Contestant, Figures};
use crate::files::{Files, LARGE_NAME};
use crate::machine::Machine;
use crate::noise::{Cipher, Contact};
use crate::payload::Source;
use crate::relay::Relay;
use crate::report::{Column, Goal, Ratio, Report, Table};
use crate::roles::Role;
use crate::side::{DONE_WITHIN, READY_WITHIN, Side};
use crate::transfer::{self, Connected};

/// Who takes part.
pub(super) const CONTESTANTS: &[&str] = &[
    "sqlite_local",
    "statefs_local",
    "put",
    "get",
    "null_call",
    "get_one_thread",
    "null_one_thread",
    "noise_raw",
    "bundle_read",
    "bundle_install",
    "under_install",
    "under_install_disk",
    "resolve_10ms",
];

/// Of the calls that are asked for, one in so many is one that waits for the disk.
const PUT_SHARE: u64 = 4;

/// Puts of each half of a round beside an install.
const PUTS_BESIDE: u64 = 1000;

/// What the path to the registry adds, each way.
const PATH_DELAY: Duration = Duration::from_millis(5);

/// Services found over it in a run.
const RESOLVES: u64 = 50;

const CIPHER: Cipher = Cipher::ChaChaPoly;

const BESIDE_COLUMNS: &[Column] = &[
    Column { figure: "idle_p50_us", heading: "idle p50 µs", decimals: 0 },
    Column { figure: "idle_p99_us", heading: "idle p99 µs", decimals: 0 },
    Column { figure: "loaded_p50_us", heading: "loaded p50 µs", decimals: 0 },
    Column { figure: "loaded_p99_us", heading: "loaded p99 µs", decimals: 0 },
    Column { figure: "install_gb_per_s", heading: "install GB/s", decimals: 2 },
];

const RESOLVE_COLUMNS: &[Column] = &[
    Column { figure: "call_ms", heading: "call ms", decimals: 2 },
    Column { figure: "resolve_then_call_ms", heading: "resolve, then call ms", decimals: 2 },
];

pub(super) fn run(arguments: &Arguments) -> Result<Report> {
    let before = Machine::now();
    let disk = TempDir::new()?;
    let state = state(arguments, disk.path())?;
    let files = Files::create(arguments.bytes, 0, 0)?;
    let place = tempfile::tempdir_in(files.root())?;
    let packed = pack(&files, place.path())?;
    let bundles = bundles(arguments, &files, &packed, disk.path(), place.path())?;
    let beside = beside(arguments, &packed, disk.path(), place.path())?;
    let registry = resolve(arguments, disk.path())?;

    let over = |table: &Table, figure: &str, ours: &str, theirs: &str| {
        Some(table.median(ours, figure)? / table.median(theirs, figure)?)
    };
    let one_by_one = |ours, theirs| over(&state, "sequential_p50_us", ours, theirs);
    let raw = |ours| over(&bundles, "gb_per_s", ours, "noise_raw");
    let slowdown = |name| Some(beside.median(name, "loaded_p99_us")? / beside.median(name, "idle_p99_us")?);
    let found = |figure| registry.median("resolve_10ms", figure);
    let round_trips = found("resolve_then_call_ms").zip(found("call_ms")).map(|(both, one)| both / one);
    let ratios = [
        Ratio::new("statefs.put1_local.vs_sqlite_local", one_by_one("statefs_local", "sqlite_local"), None),
        Ratio::new(
            "statefs.put1.vs_sqlite_local",
            one_by_one("put", "sqlite_local"),
            Some(Goal::AtMost(2.5)),
        ),
        Ratio::new(
            "statefs.put64.vs_sqlite_local",
            over(&state, "inflight_calls_per_s", "put", "sqlite_local"),
            Some(Goal::AtLeast(6.0)),
        ),
        Ratio::new("statefs.get_p50.vs_null_call", one_by_one("get", "null_call"), Some(Goal::AtMost(1.4))),
        Ratio::new(
            "statefs.one_thread.get_p50.vs_null_call",
            one_by_one("get_one_thread", "null_one_thread"),
            None,
        ),
        Ratio::new("packagefs.read_vs_noise_raw", raw("bundle_read"), Some(Goal::AtLeast(0.75))),
        Ratio::new("bundle.install_vs_noise_raw", raw("bundle_install"), Some(Goal::AtLeast(0.4))),
        Ratio::new("samgr.resolve_then_call_rtts", round_trips, Some(Goal::AtMost(1.1))),
        Ratio::new("services.state_p99_under_install", slowdown("under_install"), Some(Goal::AtMost(5.0))),
        Ratio::new("services.state_p99_under_install.same_disk", slowdown("under_install_disk"), None),
    ];
    Ok(Report {
        suite: "services",
        runs: arguments.runs,
        before,
        after: Machine::now(),
        ratios: ratios.into_iter().flatten().collect(),
        tables: [state, bundles, beside, registry]
            .into_iter()
            .filter(|table| !table.rows.is_empty())
            .collect(),
    })
}

/// Calls that wait for a disk, and calls that do not.
fn state(arguments: &Arguments, disk: &Path) -> Result<Table> {
    let calls = |concurrent: u64, in_flight| Calls {
        sequential: (concurrent / SEQUENTIAL_SHARE).max(1),
        concurrent: concurrent.max(1),
        in_flight,
    };
    let puts = arguments.calls / PUT_SHARE;
    let in_process = |name, engine| {
        let file = disk.join(name);
        Contestant::new(name, move |_| {
            // A database in process is called by one at a time.
            let calls = calls(puts, 1);
            let mut side = Side::start(&Role::Database(Database { engine, file: file.clone(), calls }))?;
            measure(&mut side, None, calls)
        })
    };
    let remote = |name, call, concurrent| {
        let server = node(disk, &disk.join("bundles"));
        Contestant::new(name, move |_| {
            let calls = calls(concurrent, IN_FLIGHT);
            let mut server = Side::start(&server)?;
            let contact = server.hear(READY_WITHIN)?;
            let mut caller = Side::start(&Role::ServicesCaller(Caller { server: contact, call, calls }))?;
            measure(&mut caller, Some(&server), calls)
        })
    };
    let one_thread = |name, call| {
        let state = disk.join(name);
        Contestant::new(name, move |_| {
            let calls = calls(arguments.calls, IN_FLIGHT);
            let mut side = Side::start(&Role::ServicesGuest(Guest { state: state.clone(), call, calls }))?;
            measure(&mut side, None, calls)
        })
    };
    let contestants = vec![
        in_process("sqlite_local", Engine::Sqlite),
        in_process("statefs_local", Engine::Statefs),
        remote("put", Call::Put, puts),
        remote("get", Call::Get, arguments.calls),
        remote("null_call", Call::Ping, arguments.calls),
        one_thread("get_one_thread", Call::Get),
        one_thread("null_one_thread", Call::Ping),
    ];
    Ok(Table {
        title: format!(
            "state in {}: durable puts of {VALUE_BYTES} bytes by a library in process (sqlite_local: write-ahead log, \
             synchronous=FULL) and over loopback TCP, gets of as many and calls that ask nothing, between processes and on \
             one thread: one after the other, then {IN_FLIGHT} in flight (in process: one): medians (least–greatest)",
            disk.display()
        ),
        columns: CALL_COLUMNS,
        rows: figures::interleave(contestants, arguments.runs, &arguments.only)?,
    })
}

/// Packs the large file, alone in its directory.
fn pack(files: &Files, place: &Path) -> Result<Packed> {
    let content = place.join("content");
    fs::create_dir(&content)?;
    fs::rename(files.large(), content.join(LARGE_NAME))?;
    let packed = Packed::pack(&content, place.join("packed"))?;
    fs::rename(content.join(LARGE_NAME), files.large())?;
    Ok(packed)
}

/// A node with its state in `disk` and its bundles in `bundles`.
fn node(disk: &Path, bundles: &Path) -> Role {
    Role::ServicesServer(Server { state: disk.join("state"), bundles: bundles.to_owned() })
}

fn bundles(
    arguments: &Arguments,
    files: &Files,
    packed: &Packed,
    disk: &Path,
    place: &Path,
) -> Result<Table> {
    let bytes = arguments.bytes;
    let checksum = Source::File { path: files.large() }.checksum(1 << 20)?;
    let store = place.join("store");
    packed.unpack(&store)?;
    let contestants = vec![
        raw::contestant("noise_raw", Source::Memory { bytes }, CIPHER)?,
        Contestant::new("bundle_read", |purpose| {
            let server = node(disk, &store);
            let path = format!("{BUNDLE}/{LARGE_NAME}");
            let client = |server, order| Role::VatmuxReader(Reader { server, path: path.clone(), order });
            transfer::run(&server, client, bytes, checksum, purpose)
        }),
        Contestant::new("bundle_install", |purpose| {
            let store = tempfile::tempdir_in(place)?;
            let server = node(disk, store.path());
            let client = |server, _| Role::ServicesInstaller(Installer { server, packed: packed.clone() });
            transfer::run(&server, client, packed.bytes, 0, purpose)
        }),
    ];
    Ok(Table {
        title: format!(
            "a bundle with one file of {bytes} bytes over loopback TCP, in {}: read, its content verified by the server, and \
             installed, which is to upload, verify and store it; beside raw bytes in Noise records: medians \
             (least–greatest)",
            place.display()
        ),
        columns: transfer::COLUMNS,
        rows: figures::interleave(contestants, arguments.runs, &arguments.only)?,
    })
}

fn beside(arguments: &Arguments, packed: &Packed, disk: &Path, place: &Path) -> Result<Table> {
    let contestant = |name, place: PathBuf| {
        Contestant::new(name, move |_| {
            let store = tempfile::tempdir_in(&place)?;
            let mut server = Side::start(&node(disk, store.path()))?;
            let contact: Contact = server.hear(READY_WITHIN)?;
            let puts = Puts { server: contact, puts: PUTS_BESIDE, packed: packed.clone() };
            let mut client = Side::start(&Role::ServicesPuts(puts))?;
            let _: Connected = client.hear(READY_WITHIN)?;
            client.go()?;
            let idle: Called = client.hear(DONE_WITHIN)?;
            let loaded: Called = client.hear(DONE_WITHIN)?;
            let installed_bytes: u64 = client.hear(DONE_WITHIN)?;
            Ok(Figures::default()
                .with("idle_p50_us", idle.p50_seconds * 1e6)
                .with("idle_p99_us", idle.p99_seconds * 1e6)
                .with("loaded_p50_us", loaded.p50_seconds * 1e6)
                .with("loaded_p99_us", loaded.p99_seconds * 1e6)
                .with("install_gb_per_s", installed_bytes as f64 / loaded.seconds / 1e9))
        })
    };
    let contestants = vec![
        contestant("under_install", place.to_owned()),
        contestant("under_install_disk", disk.to_owned()),
    ];
    Ok(Table {
        title: format!(
            "{PUTS_BESIDE} durable puts one after the other, idle and then while the same session installs a bundle of {} \
             bytes, over and over, in {} or on the disk of the state: medians (least–greatest)",
            packed.bytes,
            place.display()
        ),
        columns: BESIDE_COLUMNS,
        rows: figures::interleave(contestants, arguments.runs, &arguments.only)?,
    })
}

fn resolve(arguments: &Arguments, disk: &Path) -> Result<Table> {
    let contestants = vec![Contestant::new("resolve_10ms", |_| {
        let mut server = Side::start(&node(disk, &disk.join("bundles")))?;
        let mut contact: Contact = server.hear(READY_WITHIN)?;
        let mut relay = Side::start(&Role::Relay(Relay { target: contact.address, delay: PATH_DELAY }))?;
        contact.address = relay.hear(READY_WITHIN)?;
        let resolver = Resolver { server: contact, rounds: RESOLVES };
        let mut client = Side::start(&Role::ServicesResolver(resolver))?;
        let _: Connected = client.hear(READY_WITHIN)?;
        client.go()?;
        let resolved: Resolved = client.hear(DONE_WITHIN)?;
        Ok(Figures::default()
            .with("call_ms", resolved.call_seconds * 1e3)
            .with("resolve_then_call_ms", resolved.resolve_then_call_seconds * 1e3))
    })];
    Ok(Table {
        title: format!(
            "a call of a known service, and of one that a registry is asked for first, over a path that adds {PATH_DELAY:?} each \
             way: medians (least–greatest) of the medians of {RESOLVES}"
        ),
        columns: RESOLVE_COLUMNS,
        rows: figures::interleave(contestants, arguments.runs, &arguments.only)?,
    })
}
