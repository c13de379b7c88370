//! The end of a session on the link: what is said last, what is still read, and how long it takes.

use std::time::Duration;

use futures::future::join;
use futures::io::{AsyncReadExt, AsyncWriteExt};
use vatmux_driver::{Clock, SessionEnd, SessionOptions, StreamEnd, virtual_time};
use vatmux_mux::wire::Frame;
use vatmux_mux::{CloseCode, Priority, StreamName};

use crate::peer::{Ours, bytes_of, connected, frames_in, id};

const LINGER: Duration = Duration::from_millis(2500);

fn options() -> SessionOptions {
    SessionOptions { linger: LINGER, ..SessionOptions::default() }
}

fn open_one() -> Frame<'static> {
    Frame::Open { stream: id(1), priority: Priority::FIRST, name: StreamName::new("last").unwrap() }
}

/// MUX-4.11.
#[test]
fn what_follows_a_close_of_the_session_is_not_looked_at() {
    let close = Frame::CloseSession(CloseCode::DONE);
    let before = [open_one(), Frame::Data { stream: id(1), payload: b"before" }];
    let after = bytes_of(&[
        Frame::Data { stream: id(1), payload: b"after" },
        Frame::Close { stream: id(1) },
        Frame::CloseSession(CloseCode::INTERNAL),
    ]);
    let garbage = vec![0xff; 1000];
    for rest in [&after, &garbage] {
        for in_one_record in [true, false] {
            let (mut driver, _) = virtual_time::driver();
            let (session, mut foreign) = connected(&mut driver, Ours::Accepts, 1 << 16, options());
            let first = bytes_of(&before);
            driver.drive_until(foreign.send(&first)).unwrap().unwrap();
            let mut stream =
                driver.drive_until(async { session.incoming().next().await.unwrap().accept() }).unwrap();
            let last = bytes_of(std::slice::from_ref(&close));
            let sent = driver
                .drive_until(async {
                    if in_one_record {
                        foreign.send(&[&last, &rest[..]].concat()).await
                    } else {
                        foreign.send(&last).await?;
                        foreign.send(rest).await
                    }
                })
                .unwrap();
            sent.unwrap();
            drop(foreign);
            let end = driver.drive_until(session.closed()).unwrap();
            assert_eq!(end, SessionEnd::ClosedByPeer(CloseCode::DONE));
            let mut text = Vec::new();
            let error = driver.drive_until(stream.read_to_end(&mut text)).unwrap().unwrap_err();
            assert_eq!(text, b"before");
            let reason = error.get_ref().and_then(|inner| inner.downcast_ref::<StreamEnd>());
            assert_eq!(reason, Some(&StreamEnd::Session(end)));
        }
    }
}

/// MUX-12.6.
#[test]
fn an_end_that_closes_says_why_last_and_hangs_up() {
    let (mut driver, clock) = virtual_time::driver();
    let (session, mut foreign) = connected(&mut driver, Ours::Accepts, 1 << 16, options());
    let mut stream = session.open(&StreamName::new("cut").unwrap(), Priority::FIRST).unwrap();
    driver.drive_until(stream.write_all(&vec![1; 200_000])).unwrap().unwrap();
    session.close(CloseCode::GOING_AWAY);
    // The peer knows nothing of it yet and goes on.
    let busy = bytes_of(&[open_one(), Frame::Data { stream: id(1), payload: &vec![2; 30_000] }]);
    let (end, sent) = driver
        .drive_until(join(session.closed(), async {
            foreign.send(&busy).await.unwrap();
            let sent = foreign.read_to_end().await;
            foreign.link.close().await.unwrap();
            sent
        }))
        .unwrap();
    assert_eq!(end, SessionEnd::ClosedHere(CloseCode::GOING_AWAY));
    let frames = frames_in(&sent);
    assert_eq!(frames.last(), Some(&Frame::CloseSession(CloseCode::GOING_AWAY)));
    assert_eq!(frames.iter().filter(|frame| matches!(frame, Frame::CloseSession(_))).count(), 1);
    assert_eq!(clock.now(), vatmux_driver::Instant::ORIGIN, "a peer that hangs up is not waited for");
}

#[test]
fn a_peer_that_never_hangs_up_is_left_when_the_linger_is_over() {
    for peer_closes in [true, false] {
        let (mut driver, clock) = virtual_time::driver();
        let (session, mut foreign) = connected(&mut driver, Ours::Dials, 1 << 16, options());
        if peer_closes {
            let last = bytes_of(&[Frame::CloseSession(CloseCode::DONE)]);
            driver.drive_until(foreign.send(&last)).unwrap().unwrap();
        } else {
            session.close(CloseCode::DONE);
        }
        driver.drive_until(session.closed()).unwrap();
        assert_eq!(clock.now().as_nanos(), LINGER.as_nanos() as u64);
    }
}

#[test]
fn a_reason_that_cannot_leave_is_given_up_when_the_linger_is_over() {
    let (mut driver, clock) = virtual_time::driver();
    // The peer reads nothing, and the link is too short for what was under way.
    let (session, _foreign) = connected(&mut driver, Ours::Dials, 200, options());
    let mut stream = session.open(&StreamName::new("stuck").unwrap(), Priority::FIRST).unwrap();
    driver.drive_until(stream.write_all(&[1; 1000])).unwrap().unwrap();
    let handle = driver.handle();
    driver.drive_until(handle.sleep(Duration::from_millis(1))).unwrap();
    let closed_at = clock.now();
    session.close(CloseCode::DONE);
    assert_eq!(driver.drive_until(session.closed()).unwrap(), SessionEnd::ClosedHere(CloseCode::DONE));
    assert_eq!(clock.now().saturating_since(closed_at), LINGER);
}

#[test]
fn a_peer_that_sends_on_and_on_is_left_after_a_mebibyte() {
    const MEBIBYTE: usize = 1 << 20;
    let (mut driver, clock) = virtual_time::driver();
    let (session, mut foreign) = connected(&mut driver, Ours::Accepts, 4096, options());
    session.close(CloseCode::DONE);
    let (end, taken) = driver
        .drive_until(join(session.closed(), async {
            let mut taken = 0;
            while foreign.link.write_all(&[0; 1024]).await.is_ok() {
                taken += 1024;
            }
            taken
        }))
        .unwrap();
    assert_eq!(end, SessionEnd::ClosedHere(CloseCode::DONE));
    assert_eq!(clock.now(), vatmux_driver::Instant::ORIGIN, "no time has passed");
    assert!((MEBIBYTE..MEBIBYTE + 300_000).contains(&taken), "{taken} bytes");
}
