//! Between what is counted and what `schema/health.capnp` says of it.

use std::time::Duration;

use capnp::struct_list;
use vatmux_driver::TrafficSnapshot;
#[cfg(feature = "host")]
use vatmux_host::NodeCounters;
use vatmux_mux::{Priority, SessionStatistics, StreamId, StreamStatistics};
use vatmux_rpc::{
    CallStatistics, Latency, MethodStatistics, Outcome, Peer, PeerStatistics, Refusals, ServiceStatistics,
    SessionSnapshot, StreamSnapshot,
};

use super::AskError;
#[cfg(feature = "host")]
use super::PeerLimits;
#[cfg(feature = "host")]
use crate::schema::health_capnp::counters;
use crate::schema::health_capnp::{bucket, calls, limits, method, service, session, stream};

/// The longest name of a method that is told: a schema's may have any length.
const MAX_METHOD_NAME_BYTES: usize = 255;

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

pub(super) fn read_text(text: capnp::Result<capnp::text::Reader<'_>>) -> Result<String, AskError> {
    text?.to_string().map_err(|_| AskError::Answer("a name that is not UTF-8"))
}

pub(super) fn write_limits(mut limits: limits::Builder<'_>, peer: &Peer) {
    let (vat, session) = (peer.options(), peer.session().options());
    limits.set_max_message_bytes(vat.max_message_bytes as u64);
    limits.set_max_calls(vat.limits.max_calls as u64);
    limits.set_max_served_vats(vat.max_served_vats as u64);
    limits.set_call_deadline_nanos(nanos(vat.call_deadline));
    limits.set_max_streams(session.limits.max_incoming_streams);
    limits.set_initial_window_bytes(session.limits.initial_window_bytes);
    limits.set_max_window_bytes(session.limits.max_window_bytes);
    limits.set_tick_nanos(nanos(session.tick));
    limits.set_ping_after_ticks(session.limits.ping_after_ticks.0);
    limits.set_dead_after_ticks(session.limits.dead_after_ticks.0);
}

#[cfg(feature = "host")]
pub(super) fn read_limits(limits: limits::Reader<'_>) -> PeerLimits {
    PeerLimits {
        max_message_bytes: limits.get_max_message_bytes(),
        max_calls: limits.get_max_calls(),
        max_served_vats: limits.get_max_served_vats(),
        call_deadline: Duration::from_nanos(limits.get_call_deadline_nanos()),
        max_streams: limits.get_max_streams(),
        initial_window_bytes: limits.get_initial_window_bytes(),
        max_window_bytes: limits.get_max_window_bytes(),
        tick: Duration::from_nanos(limits.get_tick_nanos()),
        ping_after_ticks: limits.get_ping_after_ticks(),
        dead_after_ticks: limits.get_dead_after_ticks(),
    }
}

#[cfg(feature = "host")]
pub(super) fn write_counters(mut to: counters::Builder<'_>, counters: &NodeCounters, rescues: u64) {
    to.set_unauthenticated(counters.unauthenticated as u64);
    to.set_sessions(counters.sessions as u64);
    to.set_connected(counters.connected);
    to.set_refused(counters.refused);
    to.set_not_allowed(counters.not_allowed);
    to.set_dropped(counters.dropped);
    to.set_accept_failures(counters.accept_failures);
    to.set_violations(counters.violations);
    to.set_panics(counters.panics);
    to.set_workers_died(counters.workers_died);
    to.set_rescues(rescues);
}

#[cfg(feature = "host")]
pub(super) fn read_counters(from: counters::Reader<'_>) -> NodeCounters {
    NodeCounters {
        unauthenticated: from.get_unauthenticated() as usize,
        sessions: from.get_sessions() as usize,
        connected: from.get_connected(),
        refused: from.get_refused(),
        not_allowed: from.get_not_allowed(),
        dropped: from.get_dropped(),
        accept_failures: from.get_accept_failures(),
        violations: from.get_violations(),
        panics: from.get_panics(),
        workers_died: from.get_workers_died(),
    }
}

pub(super) fn write_services<'a>(
    services: &[ServiceStatistics],
    init: impl FnOnce(u32) -> struct_list::Builder<'a, service::Owned>,
) {
    let mut list = init(services.len() as u32);
    for (index, statistics) in (0..).zip(services) {
        let mut service = list.reborrow().get(index);
        service.set_name(&statistics.service);
        service.set_vats_opened(statistics.vats_opened);
        service.set_vats_open(statistics.vats_open);
        service.set_violations(statistics.violations);
        write_calls(service.reborrow().init_asked(), &statistics.asked);
        write_calls(service.reborrow().init_served(), &statistics.served);
        write_methods(service.init_methods(statistics.methods.len() as u32), &statistics.methods);
    }
}

fn write_methods(mut list: struct_list::Builder<'_, method::Owned>, methods: &[MethodStatistics]) {
    for (index, statistics) in (0..).zip(methods) {
        let mut method = list.reborrow().get(index);
        method.set_name(shortened(&statistics.method));
        if statistics.asked.started > 0 {
            write_calls(method.reborrow().init_asked(), &statistics.asked);
        }
        if statistics.served.started > 0 {
            write_calls(method.init_served(), &statistics.served);
        }
    }
}

/// As much of a method's name as is told.
fn shortened(name: &str) -> &str {
    name.get(..name.floor_char_boundary(MAX_METHOD_NAME_BYTES)).unwrap_or_default()
}

pub(super) fn read_services(
    list: struct_list::Reader<'_, service::Owned>,
) -> Result<Vec<ServiceStatistics>, AskError> {
    let read = |service: service::Reader<'_>| {
        Ok(ServiceStatistics {
            service: read_text(service.get_name())?,
            vats_opened: service.get_vats_opened(),
            vats_open: service.get_vats_open(),
            violations: service.get_violations(),
            asked: read_calls(service.get_asked()?)?,
            served: read_calls(service.get_served()?)?,
            methods: read_methods(service.get_methods()?)?,
        })
    };
    list.iter().map(read).collect()
}

fn read_methods(list: struct_list::Reader<'_, method::Owned>) -> Result<Vec<MethodStatistics>, AskError> {
    let read = |method: method::Reader<'_>| {
        Ok(MethodStatistics {
            method: read_text(method.get_name())?,
            asked: read_calls(method.get_asked()?)?,
            served: read_calls(method.get_served()?)?,
        })
    };
    list.iter().map(read).collect()
}

fn write_calls(mut calls: calls::Builder<'_>, statistics: &CallStatistics) {
    calls.set_started(statistics.started);
    calls.set_ok(statistics.ended(Outcome::Ok));
    calls.set_exception(statistics.ended(Outcome::Exception));
    calls.set_deadline(statistics.ended(Outcome::Deadline));
    calls.set_canceled(statistics.ended(Outcome::Canceled));
    calls.set_overloaded(statistics.ended(Outcome::Overloaded));
    calls.set_disconnected(statistics.ended(Outcome::Disconnected));
    let buckets: Vec<_> = statistics.latency.buckets().collect();
    let mut list = calls.init_latency(buckets.len() as u32);
    for (index, (time, count)) in (0..).zip(buckets) {
        let mut bucket: bucket::Builder<'_> = list.reborrow().get(index);
        bucket.set_nanos(nanos(time));
        bucket.set_count(count);
    }
}

fn read_calls(calls: calls::Reader<'_>) -> Result<CallStatistics, AskError> {
    let mut statistics = CallStatistics::of_started(calls.get_started());
    for outcome in Outcome::ALL {
        let count = match outcome {
            Outcome::Ok => calls.get_ok(),
            Outcome::Exception => calls.get_exception(),
            Outcome::Deadline => calls.get_deadline(),
            Outcome::Canceled => calls.get_canceled(),
            Outcome::Overloaded => calls.get_overloaded(),
            Outcome::Disconnected => calls.get_disconnected(),
        };
        statistics.add_ended(outcome, count);
    }
    let mut latency = Latency::default();
    for bucket in calls.get_latency()? {
        latency.record_many(Duration::from_nanos(bucket.get_nanos()), bucket.get_count());
    }
    statistics.latency = latency;
    Ok(statistics)
}

pub(super) fn write_session(mut to: session::Builder<'_>, session: &SessionSnapshot) {
    let PeerStatistics { node_id, age, traffic, session: mux, streams, services, refusals } =
        &session.statistics;
    to.set_id(session.id);
    to.set_peer(node_id.to_string());
    to.set_age_nanos(nanos(*age));
    to.set_records_sent(traffic.records_sent);
    to.set_bytes_sent(traffic.bytes_sent);
    to.set_records_received(traffic.records_received);
    to.set_bytes_received(traffic.bytes_received);
    to.set_frames_sent(mux.frames_sent);
    to.set_frames_received(mux.frames_received);
    to.set_data_bytes_sent(mux.data_bytes_sent);
    to.set_data_bytes_received(mux.data_bytes_received);
    to.set_streams_opened(mux.streams_opened);
    to.set_streams_received(mux.streams_received);
    to.set_resets_sent(mux.resets_sent);
    to.set_resets_received(mux.resets_received);
    to.set_stray_frames(mux.stray_frames);
    to.set_frames_owed(mux.frames_owed);
    to.set_windows_grown(mux.windows_grown);
    to.set_window_budget_bytes(mux.window_budget_bytes.into());
    to.set_refused_no_such_service(refusals.no_such_service);
    to.set_refused_not_allowed(refusals.not_allowed);
    to.set_refused_overloaded(refusals.overloaded);
    let mut list = to.reborrow().init_streams(streams.len() as u32);
    for (index, stream) in (0..).zip(streams) {
        write_stream(list.reborrow().get(index), stream);
    }
    write_services(services, |count| to.init_services(count));
}

pub(super) fn read_session(from: session::Reader<'_>) -> Result<SessionSnapshot, AskError> {
    let streams: Vec<_> = from.get_streams()?.iter().map(read_stream).collect::<Result<_, _>>()?;
    let statistics = PeerStatistics {
        node_id: read_text(from.get_peer())?
            .parse()
            .map_err(|_| AskError::Answer("a session with nobody who has a node id"))?,
        age: Duration::from_nanos(from.get_age_nanos()),
        traffic: TrafficSnapshot {
            records_sent: from.get_records_sent(),
            bytes_sent: from.get_bytes_sent(),
            records_received: from.get_records_received(),
            bytes_received: from.get_bytes_received(),
        },
        session: SessionStatistics {
            frames_received: from.get_frames_received(),
            frames_sent: from.get_frames_sent(),
            data_bytes_received: from.get_data_bytes_received(),
            data_bytes_sent: from.get_data_bytes_sent(),
            streams_opened: from.get_streams_opened(),
            streams_received: from.get_streams_received(),
            resets_received: from.get_resets_received(),
            resets_sent: from.get_resets_sent(),
            stray_frames: from.get_stray_frames(),
            frames_owed: from.get_frames_owed(),
            windows_grown: from.get_windows_grown(),
            streams: streams.len() as u32,
            window_budget_bytes: u32::try_from(from.get_window_budget_bytes()).unwrap_or(u32::MAX),
        },
        streams,
        services: read_services(from.get_services()?)?,
        refusals: Refusals {
            no_such_service: from.get_refused_no_such_service(),
            not_allowed: from.get_refused_not_allowed(),
            overloaded: from.get_refused_overloaded(),
        },
    };
    Ok(SessionSnapshot { id: from.get_id(), statistics })
}

fn write_stream(mut to: stream::Builder<'_>, stream: &StreamSnapshot) {
    to.set_id(stream.id.get());
    to.set_service(&stream.service);
    to.set_priority(stream.priority.get());
    to.set_opened_here(stream.opened_here);
    to.set_queued_bytes(stream.queued_bytes as u64);
    to.set_calls_asked(stream.calls_asked as u32);
    to.set_calls_served(stream.calls_served as u32);
    if let Some(statistics) = &stream.statistics {
        to.set_sent_bytes(statistics.sent_bytes);
        to.set_received_bytes(statistics.received_bytes);
        to.set_unsent_bytes(statistics.unsent_bytes);
        to.set_unread_bytes(statistics.unread_bytes);
        to.set_send_credit_bytes(statistics.send_credit_bytes);
        to.set_granted_bytes(statistics.granted_bytes);
        to.set_owed_bytes(statistics.owed_bytes);
        to.set_window_bytes(statistics.window_bytes);
        to.set_supplied(statistics.supplied);
    }
}

fn read_stream(from: stream::Reader<'_>) -> Result<StreamSnapshot, AskError> {
    Ok(StreamSnapshot {
        id: StreamId::new(from.get_id()).ok_or(AskError::Answer("a stream with the id 0"))?,
        service: read_text(from.get_service())?,
        priority: Priority::new(from.get_priority()).ok_or(AskError::Answer("a priority above 7"))?,
        opened_here: from.get_opened_here(),
        statistics: Some(StreamStatistics {
            sent_bytes: from.get_sent_bytes(),
            received_bytes: from.get_received_bytes(),
            unsent_bytes: from.get_unsent_bytes(),
            unread_bytes: from.get_unread_bytes(),
            send_credit_bytes: from.get_send_credit_bytes(),
            granted_bytes: from.get_granted_bytes(),
            owed_bytes: from.get_owed_bytes(),
            window_bytes: from.get_window_bytes(),
            supplied: from.get_supplied(),
        }),
        queued_bytes: usize::try_from(from.get_queued_bytes()).unwrap_or(usize::MAX),
        calls_asked: from.get_calls_asked() as usize,
        calls_served: from.get_calls_served() as usize,
    })
}

/// How many sessions, from the first on, take no more than `most` bytes in a message; one at least.
pub(super) fn how_many_fit(sessions: &[SessionSnapshot], most: usize) -> usize {
    let mut total = 0;
    let fitting = sessions.iter().take_while(|session| {
        total += bytes_of(&session.statistics);
        total <= most
    });
    fitting.count().max(1)
}

/// What a session takes in a message, or a little more.
pub(super) fn bytes_of(statistics: &PeerStatistics) -> usize {
    const SESSION: usize = 512;
    const STREAM: usize = 256;
    const SERVICE: usize = 512;
    const BUCKET: usize = 16;
    // Its calls in both directions, and what a text takes besides its bytes.
    const METHOD: usize = 192;
    let service = |service: &ServiceStatistics| {
        let buckets = service.asked.latency.buckets().count() + service.served.latency.buckets().count();
        let methods = service.methods.iter().map(|method| METHOD + shortened(&method.method).len());
        SERVICE + buckets * BUCKET + methods.sum::<usize>()
    };
    SESSION + statistics.streams.len() * STREAM + statistics.services.iter().map(service).sum::<usize>()
}
