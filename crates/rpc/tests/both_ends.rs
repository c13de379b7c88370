//! A call that is over for its caller is over for its server: the deadline, and a caller that gives up, reach the server's
//! future. Work that must finish does, and its result is dropped.

mod common;

use std::time::Duration;

use capnp::ErrorKind;
use capnp::capability::RemotePromise;
use common::{Pair, echo, never, probe};
use vatmux_rpc::{MustFinish, Options, VatEnd, deadline};

const SECOND: Duration = Duration::from_secs(1);

fn after(pair: &Pair, takes: Duration) -> RemotePromise<probe::after_results::Owned> {
    let mut request = pair.probe.after_request();
    request.get().set_millis(takes.as_millis() as u64);
    request.send()
}

/// A pair whose server finishes what `after` begins, up to `most` calls at a time.
fn finishing(most: usize) -> (Pair, MustFinish) {
    let pair = Pair::new();
    let must_finish = MustFinish::new(&pair.handle, most);
    *pair.seen.must_finish.borrow_mut() = Some(must_finish.clone());
    (pair, must_finish)
}

#[test]
fn a_call_that_nobody_awaits_ends_at_its_deadline_at_the_server_as_well() {
    let mut pair = Pair::new();
    let unawaited = never(&pair.probe);
    let only_pipeline = never(&pair.probe).pipeline;
    pair.settle();
    assert_eq!(pair.seen.running.get(), 2);
    pair.run(pair.handle.sleep(SECOND * 31));
    assert_eq!(pair.seen.running.get(), 0);
    drop((unawaited, only_pipeline));
}

#[test]
fn a_caller_that_lets_go_of_its_call_stops_it_at_the_server() {
    let mut pair = Pair::new();
    let call = never(&pair.probe);
    pair.settle();
    assert_eq!(pair.seen.running.get(), 1);
    drop(call);
    pair.settle();
    assert_eq!(pair.seen.running.get(), 0);
    let call = after(&pair, SECOND);
    pair.settle();
    drop(call);
    pair.run(pair.handle.sleep(SECOND * 2));
    assert_eq!(pair.seen.finished.get(), 0, "it was dropped where it waited");
}

#[test]
fn a_streaming_call_past_its_deadline_stops_at_the_server() {
    let mut pair = Pair::with(&Options { stream_window_bytes: 1, ..Options::default() });
    pair.seen.close_gate();
    let mut request = pair.probe.write_request();
    request.get().set_bytes(b"bytes");
    let written = request.send();
    pair.settle();
    assert_eq!(pair.seen.waiting(), 1);
    pair.run(pair.handle.sleep(SECOND * 31));
    // The server does not wait at the gate any more: opening it for the call does nothing.
    pair.seen.let_through(1);
    pair.settle();
    assert_eq!(pair.seen.written.get(), 0);
    drop(written);
}

/// A Finish that cannot get through, because the peer reads nothing, is made good by the end of the vat.
#[test]
fn a_server_whose_caller_does_not_read_stops_as_well() {
    let options = Options { send_queue_soft_bytes: 1, ..Options::default() };
    let common::Served { mut driver, handle, seen, server, mut wire, .. } = common::Served::with(&options);
    let end = driver.drive_until(async {
        for id in 0..3 {
            wire.say(|root| {
                if id == 0 {
                    root.init_bootstrap().set_question_id(0);
                    return;
                }
                let mut call = root.init_call();
                call.set_question_id(id);
                call.set_interface_id(<probe::Client as capnp::traits::HasTypeId>::TYPE_ID);
                let mut params = call.reborrow().init_params().get_content();
                if id == 1 {
                    call.set_method_id(1);
                } else {
                    params.reborrow().init_as::<probe::blob_params::Builder<'_>>().set_bytes(4 << 20);
                    call.set_method_id(7);
                }
                call.init_target().set_imported_cap(0);
            })
            .await;
        }
        // From here on nothing is read, and what the caller says of its first call is not heard.
        handle.sleep(SECOND).await;
        assert_eq!(seen.running.get(), 1);
        server.wait_for_end().await
    });
    assert_eq!(end.unwrap(), VatEnd::SendStalled(options.send_stall));
    driver.drive_until(handle.sleep(SECOND)).unwrap();
    assert_eq!(seen.running.get(), 0);
}

#[test]
fn what_must_finish_answers_like_any_call() {
    let (mut pair, must_finish) = finishing(1);
    let answer = pair.run(after(&pair, SECOND).promise).unwrap();
    assert!(answer.get().unwrap().has_counter());
    assert_eq!((pair.elapsed(), must_finish.running(), pair.seen.finished.get()), (SECOND, 0, 1));
}

#[test]
fn what_must_finish_goes_on_after_its_caller_gave_up_and_its_result_is_dropped() {
    let (mut pair, must_finish) = finishing(1);
    let call = after(&pair, SECOND);
    pair.settle();
    drop(call);
    pair.settle();
    assert_eq!((must_finish.running(), pair.seen.finished.get()), (1, 0));
    pair.run(pair.handle.sleep(SECOND));
    assert_eq!((must_finish.running(), pair.seen.finished.get()), (0, 1));
    assert_eq!(pair.seen.counters.get(), 0, "what it made for its caller is gone");
    assert_eq!(pair.run(echo(&pair.probe.clone(), 1)).unwrap(), 1);
}

#[test]
fn what_must_finish_goes_on_past_the_deadline() {
    let (mut pair, _) = finishing(1);
    let error = pair.run(deadline::with(SECOND, || after(&pair, SECOND * 2)).promise).err().unwrap();
    assert!(deadline::is_exceeded(&error), "{error}");
    assert_eq!(pair.seen.finished.get(), 0);
    pair.run(pair.handle.sleep(SECOND * 2));
    assert_eq!((pair.seen.finished.get(), pair.seen.counters.get()), (1, 0));
    assert_eq!(pair.server.ended(), None);
}

#[test]
fn what_must_finish_goes_on_after_the_vat_is_gone() {
    let (mut pair, _) = finishing(1);
    let call = after(&pair, SECOND);
    pair.settle();
    pair.server.end();
    assert!(pair.run(call.promise).is_err());
    pair.run(pair.handle.sleep(SECOND * 2));
    assert_eq!((pair.seen.finished.get(), pair.seen.counters.get(), pair.seen.probes.get()), (1, 0, 0));
}

/// Whoever cancels is not counted by the limits on calls any more: a caller could have a server do anything at once.
#[test]
fn test_reject_more_that_must_finish_than_the_limit() {
    let (mut pair, must_finish) = finishing(3);
    for _ in 0..3 {
        let call = after(&pair, SECOND);
        pair.settle();
        drop(call);
    }
    pair.settle();
    assert_eq!(must_finish.running(), 3);
    for _ in 0..10 {
        let error = pair.run(after(&pair, SECOND).promise).err().unwrap();
        assert_eq!(error.kind, ErrorKind::Overloaded, "{error}");
    }
    assert_eq!(must_finish.running(), 3);
    pair.run(pair.handle.sleep(SECOND));
    assert!(pair.run(after(&pair, SECOND).promise).is_ok());
    assert_eq!(pair.seen.finished.get(), 4);
}
