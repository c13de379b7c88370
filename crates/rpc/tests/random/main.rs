//! A vat under a million random messages: each of them is a valid message, and most of them make sense where they come.
//!
//! The served vat is a real one, with capabilities, promises, pipelining and streams. What must hold: nothing panics (no
//! panic is contained here), every call gets one answer unless the vat ends, a vat ends by a reason that names the message or
//! the bound, everything is let go of afterwards, and the heap stays within a bound all the time.
//!
//! Every run prints its first seed; `VATMUX_RPC_SEED` and `VATMUX_RPC_SEEDS` choose others.

mod caller;
#[path = "../common/mod.rs"]
mod common;
mod corrupt;
mod costs;
mod heap;
mod peer;
mod quiet;

use std::time::Duration;

use common::Served;
use corrupt::{is_named, options};
use futures::FutureExt;
use peer::{Peer, Random};
use vatmux_rpc::VatEnd;

/// Messages in one run of the test.
const MESSAGES: u64 = 1_000_000;

/// Messages to one vat, unless it ends before.
const MESSAGES_PER_VAT: u64 = 2_000;

/// What the vat, the peer and the driver of one session may take together, with the limits that are set here.
const HEAP_BYTES: usize = 2 << 20;

struct Outcome {
    said: u64,
    end: Option<VatEnd>,
    heap_peak: usize,
}

/// One vat, until it ends or has had its messages.
fn session(seed: u64) -> Outcome {
    let heap_before = heap::used();
    let mut heap_peak = 0;
    let Served { mut driver, mut wire, server, seen, handle, .. } = Served::with(&options());
    let mut peer = Peer::new(seed);
    seen.keeps.set(seed.is_multiple_of(10));
    driver
        .drive_until(async {
            while peer.said < MESSAGES_PER_VAT && server.ended().is_none() {
                let batch = peer.next_batch();
                // It is read while it is written: neither pipe is as long as this.
                let mut saying = std::pin::pin!(async {
                    let _ = futures::io::AsyncWriteExt::write_all(&mut wire.stream, &batch).await;
                });
                while saying.as_mut().now_or_never().is_none() && server.ended().is_none() {
                    handle.sleep(Duration::from_nanos(1)).await;
                }
                handle.sleep(peer.pause()).await;
                while let Some(Some(message)) = wire.read().now_or_never() {
                    peer.told(&message);
                }
                let heap = heap::used().saturating_sub(heap_before);
                assert!(heap < HEAP_BYTES, "{heap} bytes of heap");
                heap_peak = heap_peak.max(heap);
            }
            if server.ended().is_some() {
                return;
            }
            // Whoever waits gets its answer when the peer gives everything up, and answers what it was asked.
            let last = peer.give_up();
            futures::io::AsyncWriteExt::write_all(&mut wire.stream, &last).await.unwrap();
            for _ in 0..50 {
                handle.sleep(Duration::from_millis(100)).await;
                while let Some(Some(message)) = wire.read().now_or_never() {
                    peer.told(&message);
                }
                let answers = peer.give_up();
                futures::io::AsyncWriteExt::write_all(&mut wire.stream, &answers).await.unwrap();
            }
            assert_eq!(server.ended(), None);
            assert!(peer.unanswered().is_empty(), "calls without an answer: {:?}", peer.unanswered());
            assert!(seen.keeps.get() || seen.running.get() == 0, "calls go on that were given up");
        })
        .unwrap();
    let end = server.ended();
    if end.is_none() {
        server.end();
    }
    drop(wire);
    driver.drive_until(async { handle.sleep(Duration::from_mins(2)).await }).unwrap();
    // One that keeps what it is given may have been given itself, or the result of a call to itself.
    if !seen.keeps.get() {
        assert_eq!((seen.probes.get(), seen.running.get()), (0, 0), "something is held after the end");
    }
    Outcome { said: peer.said, end, heap_peak }
}

/// As a fuzzer would, from valid conversations.
fn corrupted(seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    let mut peer = Peer::new(seed);
    let mut bytes = peer.opening();
    for _ in 0..=random.below(3) {
        bytes.extend(peer.next_batch());
    }
    for _ in 0..random.below(6) {
        let at = random.below(bytes.len() as u64) as usize;
        match random.below(8) {
            0..5 => bytes[at] ^= 1 << random.below(8),
            5 => bytes[at] = random.below(256) as u8,
            6 => bytes[at..].iter_mut().take(8).for_each(|byte| *byte = 0xff),
            _ => bytes.truncate(at.max(8)),
        }
    }
    bytes
}

#[test]
fn a_vat_withstands_corrupted_conversations() {
    let first = setting("VATMUX_RPC_SEED").unwrap_or(1);
    let seeds = setting("VATMUX_RPC_SEEDS").unwrap_or(50_000);
    println!("first seed: {first}");
    for seed in first..first + seeds {
        let fed = std::panic::catch_unwind(|| corrupt::feed(&corrupted(seed), heap::used));
        fed.unwrap_or_else(|_| panic!("VATMUX_RPC_SEED={seed} VATMUX_RPC_SEEDS=1"));
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().expect("a number"))
}

#[test]
fn a_vat_withstands_a_million_random_messages() {
    let first = setting("VATMUX_RPC_SEED").unwrap_or(1);
    let seeds = setting("VATMUX_RPC_SEEDS").unwrap_or(u64::MAX);
    println!("first seed: {first}");
    let (mut said, mut ended, mut seed, mut heap) = (0, 0, first, 0);
    while said < MESSAGES && seed - first < seeds {
        let outcome = std::panic::catch_unwind(|| session(seed));
        let outcome = outcome.unwrap_or_else(|_| panic!("VATMUX_RPC_SEED={seed} VATMUX_RPC_SEEDS=1"));
        if let Some(end) = &outcome.end {
            assert!(is_named(end), "seed {seed}: {end:?}");
            ended += 1;
        }
        said += outcome.said;
        heap = heap.max(outcome.heap_peak);
        seed += 1;
    }
    println!("{said} messages to {} vats, of which {ended} ended; {heap} bytes at most", seed - first);
}
