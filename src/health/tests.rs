//! Asking nodes that lie, and nodes that say nothing.

use std::rc::Rc;

use capnp::Error;
use futures::executor::block_on;
use vatmux_noise::{Entropy, SecretKey};

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
