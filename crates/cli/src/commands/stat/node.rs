//! `vatmux stat` of a node.

use std::fmt::Write;

use indicatif::{HumanBytes, HumanCount, HumanDuration};
use serde_json::{Value, json};
use vatmux::health::{self, NodeReport, Scope};
use vatmux::{
    CallStatistics, MethodStatistics, NodeCounters, NodeId, Outcome, PeerStatistics, ServiceStatistics,
    SessionSnapshot,
};
use vatmux_host::NodeAddress;

use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::json::seconds;
use crate::latency;
use crate::output::Output;
use crate::text::{self, Harmless};
use crate::visit::{self, Calls, Visit};

/// Sessions that are asked for at a time.
const PAGE: u16 = 16;

pub(super) fn run(arguments: &Arguments, address: &NodeAddress) -> Result<(), Failure> {
    visit::pay(arguments, address, Calls::Short, None, |visit| tell(visit, arguments.json))
}

/// Prints each page as it comes: a node with any number of sessions takes the memory of one page.
async fn tell(visit: Visit, json: bool) -> Result<(), Failure> {
    let health = visit.health()?;
    let node_id = visit.peer.node_id();
    let report = health::node(&health).await?;
    let mut output = Output::standard()?;
    let text = if json { lines([node_to_json(node_id, &report)]) } else { node_to_text(node_id, &report) };
    output.print(&text).await?;
    let mut after = 0;
    loop {
        let page = health::sessions(&health, after, PAGE).await?;
        let text = if json {
            lines(page.sessions.iter().map(session_to_json))
        } else {
            page.sessions.iter().map(session_to_text).collect()
        };
        output.print(&text).await?;
        match page.sessions.last() {
            Some(last) if page.more => after = last.id,
            Some(_) | None => break,
        }
    }
    output.finish().await
}

fn lines(values: impl IntoIterator<Item = Value>) -> String {
    values.into_iter().fold(String::new(), |mut text, value| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{value}");
        text
    })
}

fn node_to_json(node_id: NodeId, report: &NodeReport) -> Value {
    let limits = &report.limits;
    json!({
        "node_id": node_id.to_string(),
        "scope": match report.scope {
            Scope::OwnSession => "own_session",
            Scope::WholeNode => "whole_node",
        },
        "software": report.software,
        "uptime_seconds": seconds(report.uptime),
        "limits": {
            "max_message_bytes": limits.max_message_bytes,
            "max_calls": limits.max_calls,
            "max_served_vats": limits.max_served_vats,
            "call_deadline_seconds": seconds(limits.call_deadline),
            "max_streams": limits.max_streams,
            "initial_window_bytes": limits.initial_window_bytes,
            "max_window_bytes": limits.max_window_bytes,
            "tick_seconds": seconds(limits.tick),
            "ping_after_ticks": limits.ping_after_ticks,
            "dead_after_ticks": limits.dead_after_ticks,
        },
        "counters": report.counters.as_ref().map(|counters| counters_to_json(counters, report.rescues)),
        "services": services_to_json(&report.services),
    })
}

fn counters_to_json(counters: &NodeCounters, rescues: Option<u64>) -> Value {
    json!({
        "unauthenticated": counters.unauthenticated,
        "sessions": counters.sessions,
        "connected": counters.connected,
        "refused": counters.refused,
        "not_allowed": counters.not_allowed,
        "dropped": counters.dropped,
        "accept_failures": counters.accept_failures,
        "violations": counters.violations,
        "panics": counters.panics,
        "workers_died": counters.workers_died,
        "rescues": rescues,
    })
}

fn services_to_json(services: &[ServiceStatistics]) -> Value {
    let service = |service: &ServiceStatistics| {
        json!({
            "service": service.service,
            "vats_opened": service.vats_opened,
            "vats_open": service.vats_open,
            "violations": service.violations,
            "asked": calls_to_json(&service.asked),
            "served": calls_to_json(&service.served),
            "methods": service.methods.iter().map(method_to_json).collect::<Vec<_>>(),
        })
    };
    services.iter().map(service).collect()
}

fn method_to_json(method: &MethodStatistics) -> Value {
    json!({
        "method": method.method,
        "asked": counts_to_json(&method.asked),
        "served": counts_to_json(&method.served),
    })
}

fn calls_to_json(calls: &CallStatistics) -> Value {
    let quantile = |share| calls.latency.quantile(share).map(seconds);
    let mut value = counts_to_json(calls);
    value["median_seconds"] = json!(quantile(0.5));
    value["p99_seconds"] = json!(quantile(0.99));
    value["max_seconds"] = json!(quantile(1.0));
    value
}

fn counts_to_json(calls: &CallStatistics) -> Value {
    let mut value = json!({ "started": calls.started, "open": calls.open() });
    for outcome in Outcome::ALL {
        value[outcome.name()] = json!(calls.ended(outcome));
    }
    value
}

fn session_to_json(session: &SessionSnapshot) -> Value {
    let PeerStatistics { node_id, age, traffic, session: mux, streams, services, refusals } =
        &session.statistics;
    let streams: Vec<Value> = streams
        .iter()
        .map(|stream| {
            let mut value = json!({
                "id": stream.id.get(),
                "service": stream.service,
                "priority": stream.priority.get(),
                "opened_here": stream.opened_here,
                "queued_bytes": stream.queued_bytes,
                "calls_asked": stream.calls_asked,
                "calls_served": stream.calls_served,
            });
            if let Some(statistics) = &stream.statistics {
                value["sent_bytes"] = json!(statistics.sent_bytes);
                value["received_bytes"] = json!(statistics.received_bytes);
                value["unsent_bytes"] = json!(statistics.unsent_bytes);
                value["unread_bytes"] = json!(statistics.unread_bytes);
                value["send_credit_bytes"] = json!(statistics.send_credit_bytes);
                value["granted_bytes"] = json!(statistics.granted_bytes);
                value["owed_bytes"] = json!(statistics.owed_bytes);
                value["window_bytes"] = json!(statistics.window_bytes);
            }
            value
        })
        .collect();
    json!({
        "session": session.id,
        "peer": node_id.to_string(),
        "age_seconds": seconds(*age),
        "traffic": {
            "records_sent": traffic.records_sent,
            "bytes_sent": traffic.bytes_sent,
            "records_received": traffic.records_received,
            "bytes_received": traffic.bytes_received,
        },
        "frames": {
            "sent": mux.frames_sent,
            "received": mux.frames_received,
            "data_bytes_sent": mux.data_bytes_sent,
            "data_bytes_received": mux.data_bytes_received,
            "streams_opened": mux.streams_opened,
            "streams_received": mux.streams_received,
            "resets_sent": mux.resets_sent,
            "resets_received": mux.resets_received,
            "stray": mux.stray_frames,
            "owed": mux.frames_owed,
            "windows_grown": mux.windows_grown,
            "window_budget_bytes": mux.window_budget_bytes,
        },
        "rejections": {
            "no_such_service": refusals.no_such_service,
            "not_allowed": refusals.not_allowed,
            "overloaded": refusals.overloaded,
        },
        "streams": streams,
        "services": services_to_json(services),
    })
}

fn node_to_text(node_id: NodeId, report: &NodeReport) -> String {
    let mut text = format!("node      {node_id}\n");
    let mut field = |label: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{label:10}{value}");
    };
    if let Some(software) = &report.software {
        field("software", Harmless(software).to_string());
    }
    field("up", HumanDuration(report.uptime).to_string());
    let limits = &report.limits;
    field(
        "limits",
        format!(
            "messages of {}; {} and {} at once; {} open on a stream; windows of {}, growing to {}",
            HumanBytes(limits.max_message_bytes),
            text::count(limits.max_streams.into(), "stream", "streams"),
            text::count(limits.max_served_vats, "vat", "vats"),
            text::count(limits.max_calls, "call", "calls"),
            HumanBytes(limits.initial_window_bytes.into()),
            HumanBytes(limits.max_window_bytes.into()),
        ),
    );
    match &report.counters {
        None => field("shows", "this node's own session; to its operators, all of them".into()),
        Some(counters) => {
            field(
                "sessions",
                format!(
                    "{} now, {} in all; {} in their handshake",
                    HumanCount(counters.sessions as u64),
                    HumanCount(counters.connected),
                    text::count(counters.unauthenticated as u64, "link", "links"),
                ),
            );
            field(
                "rejected",
                format!(
                    "{} not allowed, {} refused, {} dropped, {}",
                    text::count(counters.not_allowed, "peer", "peers"),
                    text::count(counters.refused, "link", "links"),
                    HumanCount(counters.dropped),
                    text::count(counters.violations, "violation", "violations"),
                ),
            );
            let rescues = report.rescues.unwrap_or(0);
            let defects = [counters.panics, counters.workers_died, counters.accept_failures, rescues];
            if defects.iter().any(|count| *count > 0) {
                field(
                    "defects",
                    format!(
                        "{}, {} died, {} not accepted, {}",
                        text::count(counters.panics, "panic", "panics"),
                        text::count(counters.workers_died, "thread", "threads"),
                        text::count(counters.accept_failures, "link", "links"),
                        text::count(rescues, "missed wake-up", "missed wake-ups"),
                    ),
                );
            }
        }
    }
    text.push_str(&services_to_text(&report.services));
    text
}

fn session_to_text(session: &SessionSnapshot) -> String {
    let PeerStatistics { node_id, age, traffic, session: mux, streams, services, refusals } =
        &session.statistics;
    let mut text = format!("\nsession   {node_id}\n");
    let mut field = |label: &str, value: String| {
        let _ = writeln!(text, "{label:10}{value}");
    };
    field("age", HumanDuration(*age).to_string());
    field(
        "link",
        format!(
            "{} sent, {} received; {} and {}",
            HumanBytes(traffic.bytes_sent),
            HumanBytes(traffic.bytes_received),
            text::count(traffic.records_sent, "record", "records"),
            HumanCount(traffic.records_received),
        ),
    );
    field(
        "streams",
        format!(
            "{} opened by it, {} by its peer; {} grew; {} left to grow by",
            HumanCount(mux.streams_opened),
            HumanCount(mux.streams_received),
            text::count(mux.windows_grown, "window", "windows"),
            HumanBytes(mux.window_budget_bytes.into()),
        ),
    );
    field(
        "rejected",
        format!(
            "{} of no service, {} out of turn, {} too many; {} sent, {} received",
            text::count(refusals.no_such_service, "stream", "streams"),
            HumanCount(refusals.not_allowed),
            HumanCount(refusals.overloaded),
            text::count(mux.resets_sent, "reset", "resets"),
            HumanCount(mux.resets_received),
        ),
    );
    text.push_str(&table(
        &[
            "stream", "priority", "opened", "credit", "granted", "queued", "unread", "asked", "served",
            "service",
        ],
        streams.iter().map(|stream| {
            let statistics = stream.statistics;
            let unsent = statistics.map_or(0, |statistics| u64::from(statistics.unsent_bytes));
            let queued = (stream.queued_bytes as u64).saturating_add(unsent);
            let of = |bytes: fn(&vatmux_mux::StreamStatistics) -> u32| {
                statistics.as_ref().map_or_else(|| "-".into(), |statistics| bytes(statistics).to_string())
            };
            vec![
                stream.id.get().to_string(),
                stream.priority.get().to_string(),
                if stream.opened_here { "here".into() } else { "by peer".into() },
                of(|statistics| statistics.send_credit_bytes),
                of(|statistics| statistics.granted_bytes),
                queued.to_string(),
                of(|statistics| statistics.unread_bytes),
                stream.calls_asked.to_string(),
                stream.calls_served.to_string(),
                Harmless(&stream.service).to_string(),
            ]
        }),
    ));
    text.push_str(&services_to_text(services));
    text
}

/// A line for each direction of each service in which there were calls, and below it one for each method that was called.
fn services_to_text(services: &[ServiceStatistics]) -> String {
    let rows = services.iter().flat_map(|service| {
        let asked = service.methods.iter().map(|method| (&method.method, &method.asked));
        let served = service.methods.iter().map(|method| (&method.method, &method.served));
        let asked = direction("asked", service, &service.asked, asked);
        asked.into_iter().chain(direction("served", service, &service.served, served))
    });
    let heads = ["calls", "all", "open"].into_iter();
    let heads: Vec<&str> =
        heads.chain(Outcome::ALL.map(Outcome::name)).chain(["median", "p99", "service"]).collect();
    table(&heads, rows)
}

fn direction<'a>(
    name: &str,
    service: &ServiceStatistics,
    calls: &CallStatistics,
    methods: impl Iterator<Item = (&'a String, &'a CallStatistics)>,
) -> Vec<Vec<String>> {
    let row = |calls: &CallStatistics, of: String| {
        let time = |share| calls.latency.quantile(share).map_or_else(|| "-".into(), latency::shown);
        let mut row = vec![name.to_owned(), calls.started.to_string(), calls.open().to_string()];
        row.extend(Outcome::ALL.map(|outcome| calls.ended(outcome).to_string()));
        row.extend([time(0.5), time(0.99), of]);
        row
    };
    let methods = methods.map(|(method, calls)| (calls, format!("  {}", Harmless(method))));
    let all = [(calls, Harmless(&service.service).to_string())].into_iter().chain(methods);
    all.filter(|(calls, _)| calls.started > 0).map(|(calls, of)| row(calls, of)).collect()
}

/// Columns that are as wide as what is in them, aligned to the right; the last one, of any width, to the left. Nothing
/// where there are no rows.
fn table(heads: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let rows: Vec<Vec<String>> = rows.collect();
    if rows.is_empty() {
        return String::new();
    }
    let heads = heads.iter().map(|head| (*head).to_owned()).collect();
    let rows: Vec<Vec<String>> = [heads].into_iter().chain(rows).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        text.push_str("  ");
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            // Writing to a string cannot fail.
            let _ = if column + 1 == row.len() {
                writeln!(text, "{cell}")
            } else {
                write!(text, "{cell:>width$}  ")
            };
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_stand_below_their_service_in_each_direction_in_which_they_were_called() {
        let calls = CallStatistics::of_started;
        let method = |method: &str, asked, served| MethodStatistics {
            method: method.into(),
            asked: calls(asked),
            served: calls(served),
        };
        let service = ServiceStatistics {
            service: "store".into(),
            asked: calls(2),
            served: calls(5),
            methods: vec![method("Store.get", 2, 1), method("Store.\u{1b}", 0, 3)],
            ..ServiceStatistics::default()
        };
        let text = services_to_text(&[service]);
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        let shown: Vec<_> = rows.iter().map(|row| (row[0], row[1], *row.last().unwrap())).collect();
        let wanted = [
            ("calls", "all", "service"),
            ("asked", "2", "store"),
            ("asked", "2", "Store.get"),
            ("served", "5", "store"),
            ("served", "1", "Store.get"),
            ("served", "3", "Store.\\u{1b}"),
        ];
        assert_eq!(shown, wanted);
        assert!(text.contains("  store\n") && text.contains("    Store.get\n"), "{text}");
    }

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let rows = [["1", "23456", "name"], ["234", "5", "another"]];
        let rows = rows.into_iter().map(|row| row.map(str::to_owned).to_vec());
        assert_eq!(
            table(&["a", "b", "c"], rows),
            "    a      b  c\n    1  23456  name\n  234      5  another\n"
        );
        assert_eq!(table(&["a", "b", "c"], std::iter::empty()), "");
    }
}
