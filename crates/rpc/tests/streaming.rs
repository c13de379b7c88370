//! `-> stream` methods: how far a caller runs ahead of a slow server.

mod common;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use common::{Pair, probe};
use vatmux_rpc::Options;

const CHUNK_BYTES: usize = 10_000;

async fn write(probe: &probe::Client) -> Result<(), capnp::Error> {
    let mut request = probe.write_request();
    request.get().set_bytes(&[7; CHUNK_BYTES]);
    request.send().await
}

/// Writes `count` chunks one after the other; the cell says how many of them the window took.
fn start_writing(pair: &Pair, count: usize) -> Rc<Cell<usize>> {
    let taken = Rc::new(Cell::new(0));
    let (probe, counted) = (pair.probe.clone(), taken.clone());
    pair.handle.spawn(async move {
        for _ in 0..count {
            write(&probe).await.unwrap();
            counted.set(counted.get() + 1);
        }
    });
    taken
}

#[test]
fn a_caller_runs_ahead_by_its_window_and_one_call_and_no_more() {
    let mut pair = Pair::with(&Options { stream_window_bytes: 10 * CHUNK_BYTES, ..Options::default() });
    pair.seen.close_gate();
    let taken = start_writing(&pair, 1_000);
    pair.run(pair.handle.sleep(Duration::from_secs(1)));
    let ahead = taken.get();
    assert!((9..=11).contains(&ahead), "{ahead}");
    assert_eq!(pair.seen.waiting(), 1, "capnp-rpc serves the calls of a stream one by one");
    for let_through in 1..=20 {
        pair.seen.let_through(1);
        pair.run(pair.handle.sleep(Duration::from_millis(1)));
        assert_eq!(taken.get(), ahead + let_through);
    }
}

#[test]
fn a_chunk_larger_than_the_window_does_not_stop_the_stream() {
    let mut pair = Pair::with(&Options { stream_window_bytes: 1, ..Options::default() });
    let taken = start_writing(&pair, 50);
    pair.run(pair.handle.sleep(Duration::from_secs(1)));
    assert_eq!(taken.get(), 50);
    assert_eq!(pair.seen.written.get(), 50 * CHUNK_BYTES as u64);
}

#[test]
fn calls_of_a_stream_arrive_in_order_and_before_the_call_after_them() {
    let mut pair = Pair::new();
    let probe = pair.probe.clone();
    let written = pair.run(async move {
        for _ in 0..200 {
            write(&probe).await.unwrap();
        }
        probe.written_request().send().promise.await.unwrap().get().unwrap().get_bytes()
    });
    assert_eq!(written, 200 * CHUNK_BYTES as u64);
}

#[test]
fn a_stream_fails_with_its_vat() {
    let mut pair = Pair::with(&Options { stream_window_bytes: 1, ..Options::default() });
    pair.seen.close_gate();
    let probe = pair.probe.clone();
    let vat = pair.probe.vat().clone();
    let handle = pair.handle.clone();
    let error = pair.run(async move {
        write(&probe).await.unwrap();
        handle.spawn(async move { vat.end() });
        write(&probe).await.unwrap_err()
    });
    assert_eq!(error.extra, "remote exception: service \"probe\" is gone: this side ended it");
}
