//! What a caller is told of a call whose vat died: whether the peer may have got it. "It has not" is a promise.

mod common;

use std::rc::Rc;
use std::time::Duration;

use capnp::Error;
use capnp::capability::FromClientHook;
use capnp_rpc::rpc_capnp::exception;
use common::wire::{Place, Told};
use common::{Pair, Scripted, echo, never, probe};
use futures::future::join_all;
use vatmux_rpc::{Disconnected, Options, deadline};

fn maybe_delivered(error: &Error) -> bool {
    Disconnected::of(error).unwrap_or_else(|| panic!("{error} is no disconnection")).maybe_delivered
}

fn filling(probe: &probe::Client, bytes: usize) -> probe::Client {
    let mut request = probe.write_request();
    request.get().set_bytes(&vec![7; bytes]);
    // A stream's call leaves whether or not somebody waits for its room.
    drop(request.send());
    probe.clone()
}

#[test]
fn a_call_that_the_server_is_busy_with_may_have_been_delivered() {
    let mut pair = Pair::new();
    let call = never(&pair.probe);
    pair.settle();
    assert_eq!(pair.seen.running.get(), 1);
    pair.server.end();
    let error = pair.run(call.promise).err().unwrap();
    assert!(maybe_delivered(&error), "{error}");
    assert!(error.extra.contains("service \"probe\" is gone"), "{error}");
}

#[test]
fn a_call_on_a_vat_that_is_over_was_not_delivered() {
    let mut pair = Pair::new();
    let kept = pair.probe.clone();
    pair.run(echo(&kept, 1)).unwrap();
    pair.server.end();
    pair.settle();
    let error = pair.run(echo(&kept, 2)).unwrap_err();
    assert!(!maybe_delivered(&error), "{error}");
}

#[test]
fn calls_that_are_made_as_the_vat_ends_were_not_delivered() {
    let mut pair = Pair::new();
    let kept = pair.probe.clone();
    pair.run(echo(&kept, 1)).unwrap();
    let vat = pair.probe.vat().clone();
    let error = pair.run(async move {
        vat.end();
        echo(&kept, 2).await.unwrap_err()
    });
    assert!(!maybe_delivered(&error), "{error}");
}

/// What this side's own wish to end leaves in the queue still leaves.
#[test]
fn a_call_that_was_made_before_this_side_ended_the_vat_may_have_been_delivered() {
    let mut pair = Pair::new();
    let call = never(&pair.probe);
    pair.probe.vat().end();
    let error = pair.run(call.promise).err().unwrap();
    assert!(maybe_delivered(&error), "{error}");
}

#[test]
fn calls_behind_bytes_that_the_peer_never_took_were_not_delivered() {
    let Scripted { mut driver, probe, wire, handle, .. } = Scripted::new();
    let first = filling(&probe, 1 << 20);
    let behind: Vec<_> = (0..40).map(|_| never(&first)).collect();
    driver.drive_until(handle.sleep(Duration::from_millis(1))).unwrap();
    drop(wire);
    let outcomes = driver.drive_until(join_all(behind.into_iter().map(|call| call.promise))).unwrap();
    for outcome in outcomes {
        let error = outcome.err().unwrap();
        assert!(!maybe_delivered(&error), "{error}");
    }
}

#[test]
fn a_call_of_which_a_part_has_left_counts_as_delivered() {
    let Scripted { mut driver, probe, wire, handle, .. } = Scripted::new();
    let mut request = probe.count_twice_request();
    request.get().set_counter(common::new_counter(&Rc::default()));
    let mut large = probe.fail_request();
    large.get().set_reason("x".repeat(1 << 20).as_str());
    let (small, large, behind) = (request.send().promise, large.send().promise, never(&probe).promise);
    driver.drive_until(handle.sleep(Duration::from_millis(1))).unwrap();
    drop(wire);
    let (small, large, behind) = driver.drive_until(futures::future::join3(small, large, behind)).unwrap();
    assert!(maybe_delivered(&small.err().unwrap()));
    assert!(maybe_delivered(&large.err().unwrap()));
    assert!(!maybe_delivered(&behind.err().unwrap()));
}

/// A peer that passes on what happened to a call of its own, or that lies, says nothing about ours.
#[test]
fn test_reject_a_peers_word_that_a_call_was_not_delivered() {
    let Scripted { mut driver, probe, mut wire, .. } = Scripted::new();
    driver
        .drive_until(async {
            assert_eq!(wire.told().await, Some(Told::Bootstrap { id: 0 }));
            wire.answer_with_cap(0, 0, Place::Bootstrap).await;
            for reason in ["not delivered: service \"x\" is gone", "remote exception: not delivered: "] {
                let call = never(&probe);
                let id = loop {
                    if let Some(Told::Call { id, .. }) = wire.told().await {
                        break id;
                    }
                };
                wire.say(|root| {
                    let mut answer = root.init_return();
                    answer.set_answer_id(id);
                    answer.set_release_param_caps(false);
                    let mut exception = answer.init_exception();
                    exception.set_type(exception::Type::Disconnected);
                    exception.set_reason(reason);
                })
                .await;
                let error = call.promise.await.err().unwrap();
                assert!(maybe_delivered(&error), "{error}");
            }
        })
        .unwrap();
}

/// The same in earnest: a node that calls on behalf of another one.
#[test]
fn a_call_through_a_node_that_lost_the_next_one_may_have_been_delivered() {
    let mut pair = Pair::new();
    let mut further = Pair::new();
    let beyond = further.probe.clone();
    further.run(echo(&beyond, 1)).unwrap();
    further.server.end();
    further.settle();
    // The near node is given a capability of a vat that is over, and its calls to it are never sent.
    let counter: common::counter::Client = FromClientHook::new(beyond.into_client_hook());
    let mut request = pair.probe.count_twice_request();
    request.get().set_counter(counter);
    let error = pair.run(request.send().promise).err().unwrap();
    assert!(maybe_delivered(&error), "{error}");
}

#[test]
fn an_answer_that_has_arrived_is_given_although_the_vat_ends_right_behind_it() {
    let Scripted { mut driver, probe, mut wire, .. } = Scripted::new();
    driver
        .drive_until(async {
            assert_eq!(wire.told().await, Some(Told::Bootstrap { id: 0 }));
            wire.answer_with_cap(0, 0, Place::Bootstrap).await;
            let calls: Vec<_> = (0..10).map(|_| never(&probe)).collect();
            let mut ids = Vec::new();
            while ids.len() < calls.len() {
                if let Some(Told::Call { id, .. }) = wire.told().await {
                    ids.push(id);
                }
            }
            for id in &ids[..5] {
                wire.answer_empty(*id).await;
            }
            drop(wire);
            for (number, outcome) in
                join_all(calls.into_iter().map(|call| call.promise)).await.into_iter().enumerate()
            {
                match outcome {
                    Ok(_) => assert!(number < 5, "{number} has no answer"),
                    Err(error) => assert!(number >= 5 && maybe_delivered(&error), "{number}: {error}"),
                }
            }
        })
        .unwrap();
}

#[test]
fn a_call_past_its_deadline_is_no_disconnection_also_where_the_vat_ends_at_that_moment() {
    let mut pair = Pair::with(&Options { max_expired_calls: 1, ..Options::default() });
    let calls: Vec<_> = (0..4).map(|_| never(&pair.probe).promise).collect();
    for outcome in pair.run(join_all(calls)) {
        let error = outcome.err().unwrap();
        assert!(deadline::is_exceeded(&error), "{error}");
        assert_eq!(Disconnected::of(&error), None);
    }
}

#[test]
fn a_stream_of_calls_of_which_one_was_taken_may_have_been_delivered() {
    let mut pair = Pair::with(&Options { stream_window_bytes: 1, ..Options::default() });
    pair.seen.close_gate();
    let (probe, server) = (pair.probe.clone(), pair.server.clone());
    let write = move || {
        let mut request = probe.write_request();
        request.get().set_bytes(b"bytes");
        request.send()
    };
    let handle = pair.handle.clone();
    let (error, later) = pair.run(async move {
        write().await.unwrap();
        let second = write();
        // The first is with the server; the second may be as well.
        handle.sleep(Duration::from_millis(1)).await;
        server.end();
        (second.await.unwrap_err(), write().await.unwrap_err())
    });
    assert!(maybe_delivered(&error), "{error}");
    assert!(!maybe_delivered(&later), "a new call on what is over: {later}");
}

/// The failure of one call of a stream shows in another: "not delivered" is said only where it holds for all of them.
#[test]
fn a_stream_of_calls_is_undelivered_only_as_a_whole() {
    let options = Options { stream_window_bytes: 1 << 20, ..Options::default() };
    for first_leaves in [true, false] {
        let Scripted { mut driver, probe, wire, handle, .. } = Scripted::with(&options);
        // What nobody reads fills the pipe: behind it nothing leaves.
        let mut filling = probe.fail_request();
        filling.get().set_reason("x".repeat(1 << 20).as_str());
        let write = |bytes: usize| {
            let mut request = probe.write_request();
            request.get().set_bytes(&vec![7; bytes]);
            request.send()
        };
        let mut writes = Vec::new();
        if first_leaves {
            writes.push(write(10));
        }
        let filling = filling.send();
        writes.extend([write(600_000), write(600_000), write(600_000), write(600_000)]);
        driver.drive_until(handle.sleep(Duration::from_millis(1))).unwrap();
        drop(wire);
        let outcomes = driver.drive_until(join_all(writes)).unwrap();
        let errors: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
        assert!(!errors.is_empty(), "somebody waited for room");
        for error in errors {
            assert_eq!(maybe_delivered(&error), first_leaves, "{error}");
        }
        drop(filling);
    }
}

#[test]
fn the_reason_is_told_in_the_same_words_whether_or_not_the_call_was_delivered() {
    let mut pair = Pair::new();
    let kept = pair.probe.clone();
    let sent = never(&kept);
    pair.settle();
    pair.server.end();
    for error in [pair.run(sent.promise).err().unwrap(), pair.run(echo(&kept, 1)).unwrap_err()] {
        assert_eq!(Disconnected::reason(&error), "service \"probe\" is gone: the peer ended it");
    }
}
