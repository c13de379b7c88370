//! `bench rpc`: calls beside those of others, what a stream of calls leaves of the link, and what open calls hold, and
//! what the guard costs.

mod guard;

use anyhow::Result;

use crate::arguments::Arguments;
use crate::contestants::raw;
use crate::contestants::rpc::{
    Both, CHUNK_BYTES, Called, Caller, Calls, Held, Holder, Pusher, Server, Stack,
};
use crate::contestants::stream::{self, Windows};
use crate::contestants::yamux::WRITE;
use crate::figures::{self, Contestant, Figures};
use crate::machine::Machine;
use crate::noise::{Cipher, Contact};
use crate::payload::Source;
use crate::report::{Column, Goal, Ratio, Report, Table};
use crate::roles::Role;
use crate::side::{DONE_WITHIN, READY_WITHIN, Side};
use crate::transfer::{self, Connected};

/// Who takes part, by name.
pub(super) const CONTESTANTS: &[&str] = &[
    "vatmux",
    "capnp_plain",
    "tonic",
    "tarpc",
    "noise_raw",
    "vatmux_stream",
    "vatmux_push",
    "held",
    "guard",
];

const STACKS: [(&str, Stack); 4] = [
    ("vatmux", Stack::Vatmux),
    ("capnp_plain", Stack::CapnpPlain),
    ("tonic", Stack::Tonic),
    ("tarpc", Stack::Tarpc),
];

/// Calls under way at a time.
pub(super) const IN_FLIGHT: u64 = 64;

/// Calls one after the other, among those that are asked for.
pub(super) const SEQUENTIAL_SHARE: u64 = 4;

/// The cipher of the bytes that are streamed: the default of vatmux.
const CIPHER: Cipher = Cipher::ChaChaPoly;

/// Calls that stay open: nearly as many as the guard lets a peer have by default.
const HELD_CALLS: u64 = 4_000;

pub(super) const CALL_COLUMNS: &[Column] = &[
    Column { figure: "sequential_p50_us", heading: "sequential p50 µs", decimals: 1 },
    Column { figure: "sequential_p10_us", heading: "p10 µs", decimals: 1 },
    Column { figure: "sequential_p99_us", heading: "p99 µs", decimals: 1 },
    Column { figure: "sequential_cpu_us", heading: "CPU µs", decimals: 1 },
    Column { figure: "inflight_calls_per_s", heading: "in flight calls/s", decimals: 0 },
    Column { figure: "inflight_p50_us", heading: "p50 µs", decimals: 0 },
    Column { figure: "inflight_cpu_us", heading: "CPU µs", decimals: 2 },
];

const HELD_COLUMNS: &[Column] = &[
    Column { figure: "server_bytes", heading: "server bytes", decimals: 0 },
    Column { figure: "caller_bytes", heading: "caller bytes", decimals: 0 },
];

pub(crate) fn run(arguments: &Arguments) -> Result<Report> {
    let before = Machine::now();
    let one_thread = call(arguments, Place::OneThread)?;
    let processes = call(arguments, Place::Processes)?;
    let streams = stream(arguments)?;
    let held = hold(arguments)?;
    let guard = guard::run(arguments)?;

    let over = |table: &Table, figure: &str, ours: &str, theirs: &str| {
        Some(table.median(ours, figure)? / table.median(theirs, figure)?)
    };
    let sequential = |table, theirs| over(table, "sequential_p50_us", "vatmux", theirs);
    let in_flight = |table, theirs| over(table, "inflight_calls_per_s", "vatmux", theirs);
    let stream = |ours| over(&streams, "gb_per_s", ours, "noise_raw");
    let ratios = [
        // The goals are those of one thread: between processes most of a call is the time that it takes to wake a core.
        Ratio::new(
            "rpc.sequential_p50.vs_capnp_plain",
            sequential(&one_thread, "capnp_plain"),
            Some(Goal::AtMost(1.15)),
        ),
        // Where something else takes the processor every fifty microseconds, as hosts of virtual machines do, half of the
        // calls have that in them, and more of the longer ones.
        Ratio::new(
            "rpc.sequential_p10.vs_capnp_plain",
            over(&one_thread, "sequential_p10_us", "vatmux", "capnp_plain"),
            None,
        ),
        Ratio::new(
            "rpc.inflight64_calls.vs_capnp_plain",
            in_flight(&one_thread, "capnp_plain"),
            Some(Goal::AtLeast(1.5)),
        ),
        Ratio::new(
            "rpc.inflight64_calls.vs_tonic",
            in_flight(&one_thread, "tonic"),
            Some(Goal::AtLeast(1.25)),
        ),
        Ratio::new("rpc.sequential_p50.vs_tonic", sequential(&one_thread, "tonic"), Some(Goal::AtMost(0.65))),
        Ratio::new("rpc.inflight64_calls.vs_tarpc", in_flight(&one_thread, "tarpc"), None),
        Ratio::new("rpc.sequential_p50.vs_tarpc", sequential(&one_thread, "tarpc"), None),
        Ratio::new(
            "rpc.processes.sequential_p50.vs_capnp_plain",
            sequential(&processes, "capnp_plain"),
            None,
        ),
        Ratio::new(
            "rpc.processes.inflight64_calls.vs_capnp_plain",
            in_flight(&processes, "capnp_plain"),
            None,
        ),
        Ratio::new("rpc.processes.inflight64_calls.vs_tonic", in_flight(&processes, "tonic"), None),
        Ratio::new("rpc.processes.sequential_p50.vs_tonic", sequential(&processes, "tonic"), None),
        Ratio::new("rpc.processes.inflight64_calls.vs_tarpc", in_flight(&processes, "tarpc"), None),
        Ratio::new("rpc.stream_throughput.vs_noise_raw", stream("vatmux_push"), Some(Goal::AtLeast(0.85))),
        Ratio::new("rpc.stream_throughput.of_the_mux_alone", stream("vatmux_stream"), None),
        Ratio::new("rpc.guard_cost", guard.median("guard", "cost"), Some(Goal::AtMost(1.05))),
        Ratio::new("rpc.memory_per_outstanding_call", held.median("held", "server_bytes"), None),
        Ratio::new("rpc.memory_per_outstanding_call.caller", held.median("held", "caller_bytes"), None),
    ];
    Ok(Report {
        suite: "rpc",
        runs: arguments.runs,
        before,
        after: Machine::now(),
        ratios: ratios.into_iter().flatten().collect(),
        // Whoever asks for some contestants only does not want to see the headings of the others.
        tables: [one_thread, processes, streams, held, guard]
            .into_iter()
            .filter(|table| !table.rows.is_empty())
            .collect(),
    })
}

/// Where a server and its caller run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    OneThread,
    Processes,
}

fn call(arguments: &Arguments, place: Place) -> Result<Table> {
    let sequential = (arguments.calls / SEQUENTIAL_SHARE).max(1);
    let calls = Calls { sequential, concurrent: arguments.calls, in_flight: IN_FLIGHT };
    let contestant = |(name, stack)| {
        Contestant::new(name, move |_| match place {
            Place::OneThread => call_on_one_thread(stack, calls),
            Place::Processes => call_between_processes(stack, calls),
        })
    };
    let who = match place {
        Place::OneThread => "both sides on one thread",
        Place::Processes => "a process and a thread each side",
    };
    Ok(Table {
        title: format!(
            "one number in, the next one out, over loopback TCP, {who}: {sequential} calls one after the other, then {} with \
             {IN_FLIGHT} in flight: medians (least–greatest). vatmux is encrypted and multiplexed, the others are neither \
             but for tonic's HTTP/2; CPU is that of both sides, per call",
            calls.concurrent
        ),
        columns: CALL_COLUMNS,
        rows: figures::interleave(STACKS.map(contestant).into(), arguments.runs, &arguments.only)?,
    })
}

fn call_on_one_thread(stack: Stack, calls: Calls) -> Result<Figures> {
    let mut both = Side::start(&Role::RpcBoth(Both { stack, calls }))?;
    measure(&mut both, None, calls)
}

fn call_between_processes(stack: Stack, calls: Calls) -> Result<Figures> {
    let mut server = Side::start(&Role::RpcServer(Server { stack }))?;
    let contact: Contact = server.hear(READY_WITHIN)?;
    let mut caller = Side::start(&Role::RpcCaller(Caller { stack, server: contact, calls }))?;
    measure(&mut caller, Some(&server), calls)
}

/// From the first call to the last.
pub(super) fn measure(caller: &mut Side, server: Option<&Side>, calls: Calls) -> Result<Figures> {
    let _: Connected = caller.hear(READY_WITHIN)?;
    let before = cpu_seconds(caller, server)?;
    caller.go()?;
    let sequential: Called = caller.hear(DONE_WITHIN)?;
    let between = cpu_seconds(caller, server)?;
    caller.go()?;
    let in_flight: Called = caller.hear(DONE_WITHIN)?;
    let after = cpu_seconds(caller, server)?;
    Ok(Figures::default()
        .with("sequential_p50_us", sequential.p50_seconds * 1e6)
        .with("sequential_p10_us", sequential.p10_seconds * 1e6)
        .with("sequential_p99_us", sequential.p99_seconds * 1e6)
        .with("sequential_cpu_us", (between - before) / calls.sequential as f64 * 1e6)
        .with("inflight_calls_per_s", calls.concurrent as f64 / in_flight.seconds)
        .with("inflight_p50_us", in_flight.p50_seconds * 1e6)
        .with("inflight_p99_us", in_flight.p99_seconds * 1e6)
        .with("inflight_cpu_us", (after - between) / calls.concurrent as f64 * 1e6))
}

fn cpu_seconds(caller: &Side, server: Option<&Side>) -> Result<f64> {
    let server = server.map_or(Ok(0.0), |server| server.usage().map(|usage| usage.cpu_seconds))?;
    Ok(server + caller.usage()?.cpu_seconds)
}

fn stream(arguments: &Arguments) -> Result<Table> {
    let bytes = arguments.bytes;
    let source = || Source::Memory { bytes };
    let writes_checksum = source().checksum(WRITE)?;
    let chunks_checksum = source().checksum(CHUNK_BYTES)?;
    let windows = Windows::Growing;
    let contestants = vec![
        raw::contestant("noise_raw", source(), CIPHER)?,
        Contestant::new("vatmux_stream", |purpose| {
            let server = Role::StreamServer(stream::Server { source: source(), windows });
            let client =
                |server, order| Role::StreamClient(stream::Client { server, cipher: CIPHER, windows, order });
            transfer::run(&server, client, bytes, writes_checksum, purpose)
        }),
        Contestant::new("vatmux_push", |purpose| {
            let server = Role::RpcServer(Server { stack: Stack::Vatmux });
            let client = |server, order| Role::RpcPusher(Pusher { server, order });
            transfer::run(&server, client, bytes, chunks_checksum, purpose)
        }),
    ];
    Ok(Table {
        title: format!(
            "{bytes} bytes from one process to another over loopback TCP under {}: raw in whole records, on a stream of \
             vatmux's without RPC, and pushed by the client through a method that streams, {CHUNK_BYTES} a call: medians \
             (least–greatest)",
            CIPHER.suite()
        ),
        columns: transfer::COLUMNS,
        rows: figures::interleave(contestants, arguments.runs, &arguments.only)?,
    })
}

fn hold(arguments: &Arguments) -> Result<Table> {
    let contestants = vec![Contestant::new("held", |_| {
        let mut server = Side::start(&Role::RpcServer(Server { stack: Stack::Vatmux }))?;
        let contact: Contact = server.hear(READY_WITHIN)?;
        let holder = Holder { server: contact, calls: HELD_CALLS };
        let held: Held = Side::start(&Role::RpcHolder(holder))?.hear(DONE_WITHIN)?;
        Ok(Figures::default().with("server_bytes", held.server_bytes).with("caller_bytes", held.caller_bytes))
    })];
    Ok(Table {
        title: format!("heap of each of {HELD_CALLS} calls of vatmux's that are not answered"),
        columns: HELD_COLUMNS,
        // The heap is the same each time.
        rows: figures::interleave(contestants, 1, &arguments.only)?,
    })
}
