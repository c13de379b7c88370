//! Hellos that cannot be: authenticated like any other, and refused before a frame is sent.

use futures::future::join;
use vatmux_driver::{HandshakeFailure, OpenError, SessionOptions, pipe, virtual_time};
use vatmux_mux::{Hello, HelloError, LimitsError, Priority, StreamName};

use crate::peer::{Foreign, OURS, Ours, THEIRS, good_hello};

/// A good hello with `bytes` written over it at `offset`.
fn with(offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut hello = good_hello().encode().to_vec();
    hello[offset..offset + bytes.len()].copy_from_slice(bytes);
    hello
}

/// MUX-2.2.
#[test]
fn each_wrong_field_of_a_hello_is_named_and_the_link_ends_without_a_frame() {
    let good = good_hello().encode();
    let cases: [(Vec<u8>, HelloError); 14] = [
        (Vec::new(), HelloError::Length { bytes: 0 }),
        (good[..11].to_vec(), HelloError::Length { bytes: 11 }),
        ([&good[..], &[0]].concat(), HelloError::Length { bytes: 13 }),
        (vec![1; 128], HelloError::Length { bytes: 128 }),
        (with(0, &[0, 0]), HelloError::Version { version: 0 }),
        (with(0, &[2, 0]), HelloError::Version { version: 2 }),
        (with(0, &[0, 1]), HelloError::Version { version: 256 }),
        (with(2, &[1, 0]), HelloError::Reserved),
        (with(2, &[0, 0x80]), HelloError::Reserved),
        (with(4, &[0; 4]), HelloError::Window { bytes: 0 }),
        (with(4, &[0, 0, 0, 0x80]), HelloError::Window { bytes: 1 << 31 }),
        (with(4, &[0xff; 4]), HelloError::Window { bytes: u32::MAX }),
        (with(8, &[0, 0, 1, 0]), HelloError::Streams { streams: 65_536 }),
        (with(8, &[0xff; 4]), HelloError::Streams { streams: u32::MAX }),
    ];
    for ours in Ours::EITHER {
        for (hello, expected) in &cases {
            let (mut driver, clock) = virtual_time::driver();
            let handle = driver.handle();
            let (near, far) = pipe(4096);
            let started = vatmux_driver::Clock::now(&clock);
            let outcome = driver
                .drive_until(join(ours.start(&handle, near, SessionOptions::default()), async {
                    let mut foreign = Foreign::start(ours, far, hello).await;
                    foreign.read_to_end().await
                }))
                .unwrap();
            let (session, sent) = outcome;
            match session.err().expect("no session") {
                HandshakeFailure::Hello(error) => assert_eq!(error, *expected, "{ours:?}"),
                other => panic!("{ours:?}, {expected:?}: {other:?}"),
            }
            assert_eq!(sent, [], "{ours:?}, {expected:?}: no frame");
            assert_eq!(vatmux_driver::Clock::now(&clock), started, "and at once");
        }
    }
}

/// MUX-2.1, MUX-2.4.
#[test]
fn the_outermost_hellos_that_can_be_are_taken() {
    for ours in Ours::EITHER {
        for (initial_window_bytes, max_streams) in [(1, 0), (i32::MAX.cast_unsigned(), 65_535)] {
            let (mut driver, _) = virtual_time::driver();
            let handle = driver.handle();
            let (near, far) = pipe(4096);
            let hello = Hello { initial_window_bytes, max_streams, ..good_hello() }.encode();
            let both =
                join(ours.start(&handle, near, SessionOptions::default()), Foreign::start(ours, far, &hello));
            let (session, _foreign) = driver.drive_until(both).unwrap();
            let opened = session.unwrap().open(&StreamName::new("one").unwrap(), Priority::FIRST);
            match opened {
                Ok(_) => assert_ne!(max_streams, 0),
                Err(OpenError::Engine(vatmux_mux::OpenError::PeerLimit { maximum })) => {
                    assert_eq!((max_streams, maximum), (0, 0));
                }
                Err(other) => panic!("{other}"),
            }
        }
    }
}

/// MUX-2.2, MUX-10.2.
#[test]
fn an_end_whose_hello_would_be_wrong_says_none() {
    for wrong in Ours::EITHER {
        let (mut driver, _) = virtual_time::driver();
        let handle = driver.handle();
        let (near, far) = pipe(4096);
        let right = if wrong == Ours::Dials { Ours::Accepts } else { Ours::Dials };
        let mut impossible = SessionOptions::default();
        impossible.limits.initial_window_bytes = 0;
        let (ours, theirs) = driver
            .drive_until(join(
                wrong.start_as(OURS, THEIRS, &handle, near, impossible),
                right.start_as(THEIRS, OURS, &handle, far, SessionOptions::default()),
            ))
            .unwrap();
        let (ours, theirs) = (ours.err().unwrap(), theirs.err().unwrap());
        assert!(matches!(ours, HandshakeFailure::Limits(LimitsError::Window { .. })), "{ours:?}");
        assert!(
            matches!(theirs, HandshakeFailure::Handshake(_) | HandshakeFailure::Link(_)),
            "{wrong:?} hung up: {theirs:?}"
        );
    }
}
