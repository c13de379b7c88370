//! Asking nodes that lie, and nodes that say nothing.

use std::rc::Rc;
use std::time::Duration;

use capnp::Error;
use futures::executor::block_on;
use vatmux_driver::TrafficSnapshot;
use vatmux_mux::{SessionStatistics, StreamId};
use vatmux_noise::{Entropy, SecretKey};
use vatmux_rpc::{
    CallStatistics, MethodStatistics, PeerStatistics, Refusals, ServiceStatistics, SessionSnapshot,
    StreamSnapshot,
};

use super::*;
use crate::schema::health_capnp::{health, session};

/// Fills in a session.
type Lie = fn(session::Builder<'_>);

/// Answers with another's nonce, and with the sessions that it is made of.
struct Liar {
    sessions: Vec<Lie>,
    more: bool,
}

impl Liar {
    fn client(sessions: &[Lie], more: bool) -> health::Client {
        capnp_rpc::new_client(Self { sessions: sessions.to_vec(), more })
    }
}

impl health::Server for Liar {
    async fn ping(
        self: Rc<Self>,
        params: health::PingParams,
        mut results: health::PingResults,
    ) -> Result<(), Error> {
        results.get().set_nonce(params.get()?.get_nonce() ^ 1);
        Ok(())
    }

    async fn sessions(
        self: Rc<Self>,
        _: health::SessionsParams,
        mut results: health::SessionsResults,
    ) -> Result<(), Error> {
        results.get().set_more(self.more);
        let mut list = results.get().init_sessions(self.sessions.len() as u32);
        for (index, fill) in (0..).zip(&self.sessions) {
            fill(list.reborrow().get(index));
        }
        Ok(())
    }
}

/// Does not answer.
struct Dead;

impl health::Server for Dead {}

fn honest(mut session: session::Builder<'_>) {
    let key = SecretKey::generate(Entropy::from_bytes([1; 32]).unwrap());
    session.set_id(1);
    session.set_peer(key.node_id().to_string());
}

#[test]
fn test_reject_the_answer_to_another_ping() {
    let error = block_on(ping(&Liar::client(&[], false), 6)).unwrap_err();
    assert!(matches!(error, PingError::WrongNonce { sent: 6, received: 7 }), "{error}");
}

#[test]
fn a_node_without_an_answer_says_why() {
    let dead: health::Client = capnp_rpc::new_client(Dead);
    let error = block_on(ping(&dead, 6)).unwrap_err();
    assert!(matches!(error, PingError::Call(_)), "{error}");
    assert!(matches!(block_on(node(&dead)), Err(AskError::Call(_))));
    assert!(matches!(block_on(sessions(&dead, 0, 16)), Err(AskError::Call(_))));
}

#[test]
fn a_session_that_makes_sense_is_read() {
    let page = block_on(sessions(&Liar::client(&[honest], true), 0, 16)).unwrap();
    assert_eq!((page.sessions.len(), page.more), (1, true));
}

#[test]
fn test_reject_sessions_that_make_no_sense() {
    let cases: [(Lie, &str); 5] = [
        (|mut session| session.set_peer("somebody"), "node id"),
        (|mut session| session.set_peer(capnp::text::Reader(b"\xff")), "UTF-8"),
        (
            |mut session| {
                honest(session.reborrow());
                session.init_streams(1);
            },
            "id 0",
        ),
        (
            |mut session| {
                honest(session.reborrow());
                let mut stream = session.init_streams(1).get(0);
                stream.set_id(1);
                stream.set_priority(8);
            },
            "priority",
        ),
        (
            |mut session| {
                honest(session.reborrow());
                let mut method = session.init_services(1).get(0).init_methods(1).get(0);
                method.set_name(capnp::text::Reader(b"\xff"));
            },
            "UTF-8",
        ),
    ];
    for (case, reason) in cases {
        let error = block_on(sessions(&Liar::client(&[case], false), 0, 16)).unwrap_err();
        assert!(matches!(error, AskError::Answer(what) if what.contains(reason)), "{error}");
    }
}

/// As many calls as there can be to tell of: some of each time that is told apart.
fn all_kinds_of_calls() -> CallStatistics {
    let mut calls = CallStatistics::of_started(u64::MAX);
    let mut nanos: u64 = 1_000;
    while nanos < 3_600_000_000_000 {
        calls.latency.record(Duration::from_nanos(nanos));
        nanos += nanos / 64;
    }
    calls
}

#[test]
fn a_session_takes_no_more_of_a_message_than_is_reckoned() {
    let method = |number: usize| MethodStatistics {
        method: format!("{number}{}", "m".repeat(1_000)),
        asked: CallStatistics::of_started(1),
        served: CallStatistics::of_started(1),
    };
    let service = |number: usize| ServiceStatistics {
        service: format!("{number:064}"),
        asked: all_kinds_of_calls(),
        served: all_kinds_of_calls(),
        methods: (0..64).map(method).collect(),
        ..ServiceStatistics::default()
    };
    let stream = |number: u32| StreamSnapshot {
        id: StreamId::new(number).unwrap(),
        service: format!("{number:064}"),
        priority: Priority::FIRST,
        opened_here: true,
        statistics: None,
        queued_bytes: 0,
        calls_asked: 0,
        calls_served: 0,
    };
    // The peer's that are counted by name and all others, and a few of the node's own.
    let statistics = PeerStatistics {
        node_id: SecretKey::generate(Entropy::from_bytes([1; 32]).unwrap()).node_id(),
        age: Duration::ZERO,
        traffic: TrafficSnapshot::default(),
        session: SessionStatistics::default(),
        streams: (1..=128).map(stream).collect(),
        services: (0..65 + 8).map(service).collect(),
        refusals: Refusals::default(),
    };
    let mut message = capnp::message::Builder::new_default();
    wire::write_session(message.init_root(), &SessionSnapshot { id: 1, statistics: statistics.clone() });
    let segments = message.get_segments_for_output();
    let bytes: usize = segments.iter().map(|segment| segment.len()).sum();
    let reckoned = wire::bytes_of(&statistics);
    assert!(bytes <= reckoned && reckoned <= 4 << 20, "{bytes} of {reckoned}");
}

#[test]
fn test_reject_pages_that_have_no_end() {
    let cases: [(&[Lie], u64); 4] = [(&[honest, honest], 0), (&[honest], 1), (&[honest], 9), (&[], 0)];
    for (sessions_told, after) in cases {
        let told = block_on(sessions(&Liar::client(sessions_told, true), after, 16));
        assert!(matches!(told, Err(AskError::Answer(_))), "{told:?}");
    }
}

#[test]
fn counts_that_are_made_up_do_no_harm() {
    let lies = Liar::client(
        &[|mut session| {
            honest(session.reborrow());
            let service = session.init_services(1).get(0);
            let mut calls = service.init_served();
            calls.set_ok(u64::MAX);
            calls.set_exception(u64::MAX);
            let mut latency = calls.init_latency(2);
            for index in 0..2 {
                latency.reborrow().get(index).set_nanos(u64::MAX);
                latency.reborrow().get(index).set_count(u64::MAX);
            }
        }],
        false,
    );
    let page = block_on(sessions(&lies, 0, 16)).unwrap();
    let served = &page.sessions[0].statistics.services[0].served;
    assert_eq!(served.open(), 0);
    assert!(served.latency.quantile(0.5).is_some());
}
