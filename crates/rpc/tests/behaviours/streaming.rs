//! A stream of calls to somebody who takes his time.

use std::cell::Cell;

use futures::future::join;
use vatmux_rpc::Options;

use crate::heap;
use crate::station;
use crate::world::World;

const CHUNK_BYTES: usize = 64 << 10;
const CHUNKS: u64 = 512;
const TOTAL_BYTES: u64 = CHUNKS * CHUNK_BYTES as u64;

/// What either process may hold of it, the stream's own window and the buffers on the way among it.
const MOST_BYTES: u64 = 3 << 20;

async fn heap_of(station: &station::Client) -> (u64, u64) {
    let response = station.heap_request().send().promise.await.unwrap();
    let results = response.get().unwrap();
    (results.get_used(), results.get_most())
}

#[test]
fn a_slow_consumer_slows_the_sender_and_fills_no_memory() {
    let mut world = World::new();
    let (station, control) = (world.station.clone(), world.control.clone());
    let window = Options::default().stream_window_bytes as u64;
    let (sent, written) = (Cell::new(0_u64), Cell::new(0_u64));
    let furthest_ahead = Cell::new(0);
    world.run(async {
        let (their_base, _) = heap_of(&control).await;
        let our_base = heap::used() as u64;
        heap::most();
        let sending = async {
            let chunk = vec![7; CHUNK_BYTES];
            while sent.get() < TOTAL_BYTES {
                let mut request = station.write_request();
                request.get().set_bytes(&chunk);
                request.send().await.unwrap();
                sent.set(sent.get() + CHUNK_BYTES as u64);
                furthest_ahead.set(furthest_ahead.get().max(sent.get() - written.get()));
            }
        };
        let consuming = async {
            while written.get() < TOTAL_BYTES {
                let mut request = control.let_through_request();
                request.get().set_writes(1);
                let response = request.send().promise.await.unwrap();
                written.set(response.get().unwrap().get_written());
            }
        };
        join(sending, consuming).await;
        assert_eq!(written.get(), TOTAL_BYTES);
        let (_, their_most) = heap_of(&control).await;
        let (theirs, ours) = (their_most - their_base, heap::most() as u64 - our_base);
        println!(
            "{} MiB in chunks of {CHUNK_BYTES}: at most {theirs} bytes at the consumer, {ours} at the sender, \
             {} sent ahead",
            TOTAL_BYTES >> 20,
            furthest_ahead.get()
        );
        assert!(theirs < MOST_BYTES, "the consumer held {theirs} bytes");
        assert!(ours < MOST_BYTES, "the sender held {ours} bytes");
    });
    // The window, one chunk over it, and the one whose answer has not been seen.
    let most = window + 2 * CHUNK_BYTES as u64;
    assert!(furthest_ahead.get() <= most, "{} bytes ahead of the consumer", furthest_ahead.get());
    assert!(furthest_ahead.get() >= window / 2, "it waits for no single answer");
}
