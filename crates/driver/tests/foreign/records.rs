//! Frames that lie in records as another implementation likes.

use futures::future::join;
use futures::io::AsyncReadExt;
use vatmux_driver::{SessionOptions, virtual_time};
use vatmux_mux::wire::Frame;
use vatmux_mux::{Priority, StreamName};

use crate::peer::{Ours, bytes_of, connected, id};

/// Lengths that depend on nothing but the seed.
fn lengths(seed: u64, most: u64) -> impl Iterator<Item = usize> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % most + 1) as usize
    })
}

fn arrives_whole(cuts: impl Iterator<Item = usize>, what: &str) {
    let (mut driver, _) = virtual_time::driver();
    let (session, mut foreign) = connected(&mut driver, Ours::Accepts, 1 << 16, SessionOptions::default());
    let payload: Vec<u8> = (0..=250).cycle().take(5000).collect();
    let name = StreamName::new("across").unwrap();
    let frames = bytes_of(&[
        Frame::Open { stream: id(1), priority: Priority::FIRST, name },
        Frame::Ping(7),
        Frame::Data { stream: id(1), payload: &payload[..1] },
        Frame::Data { stream: id(1), payload: &payload[1..4000] },
        Frame::WindowUpdate { stream: id(1), increment: 9 },
        Frame::Data { stream: id(1), payload: &payload[4000..] },
        Frame::Close { stream: id(1) },
    ]);
    let sending = async {
        let mut rest = &frames[..];
        for cut in cuts {
            let (record, after) = rest.split_at(cut.min(rest.len()));
            if record.is_empty() {
                return;
            }
            foreign.send(record).await.unwrap();
            rest = after;
        }
    };
    let reading = async {
        let incoming = session.incoming().next().await.expect("a stream");
        assert_eq!(incoming.name().as_str(), "across");
        let mut received = Vec::new();
        incoming.accept().read_to_end(&mut received).await.expect("all of it");
        received
    };
    let ((), received) = driver.drive_until(join(sending, reading)).unwrap();
    assert!(received == payload, "{what}");
    assert_eq!(session.end(), None, "{what}");
}

/// MUX-1.6, MUX-3.6.
#[test]
fn frames_that_lie_across_records_arrive_whole() {
    for length in [1, 2, 3, 7, 8, 9, 11, 13, 1000, 4007, 60_000] {
        arrives_whole(std::iter::repeat(length), &format!("records of {length} bytes"));
    }
    for seed in 0..50 {
        arrives_whole(lengths(seed, 40), &format!("seed {seed}, up to 40 bytes"));
        arrives_whole(lengths(seed, 3000), &format!("seed {seed}, up to 3,000 bytes"));
    }
}
