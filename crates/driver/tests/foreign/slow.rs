//! Links so slow that one record takes longer than a peer may be silent.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::future::join;
use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use vatmux_driver::{
    Clock, Driver, Handle, Instant, Link, PipeEnd, Session, SessionEnd, SessionOptions, Sleep, pipe,
    virtual_time,
};
use vatmux_mux::{Priority, StreamName};

use crate::peer::{OURS, Ours, THEIRS};

/// How fast a link is.
#[derive(Clone, Copy)]
struct Pace {
    bytes: usize,
    per: Duration,
    /// From here on nothing arrives.
    stops_at: usize,
}

/// A link whose reads are slow.
struct Slow {
    link: PipeEnd,
    handle: Handle,
    pace: Rc<RefCell<Pace>>,
    pause: Option<Sleep>,
    room: usize,
    read_bytes: usize,
}

impl Link for Slow {}

impl AsyncRead for Slow {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let slow = &mut *self;
        let pace = *slow.pace.borrow();
        slow.room = slow.room.min(pace.bytes);
        if slow.room == 0 {
            let pause = slow.pause.get_or_insert_with(|| slow.handle.sleep(pace.per));
            ready!(Pin::new(pause).poll(cx));
            slow.pause = None;
            slow.room = pace.bytes;
        }
        let most = slow.room.min(buf.len()).min(pace.stops_at.saturating_sub(slow.read_bytes));
        if most == 0 {
            return Poll::Pending;
        }
        let read = ready!(Pin::new(&mut slow.link).poll_read(cx, &mut buf[..most]))?;
        slow.room -= read;
        slow.read_bytes += read;
        Poll::Ready(Ok(read))
    }
}

impl AsyncWrite for Slow {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.link).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.link).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.link).poll_close(cx)
    }
}

/// More than nine ticks' worth at the pace of these tests, and one record.
const RECORD: usize = 65_000;

/// Two sessions of ours, of which the dialer reads at `pace` once both are there; a record is on its way to it.
fn with_a_record_on_its_way(driver: &mut Driver, pace: Pace) -> (Session, Session, vatmux_driver::Stream) {
    let handle = driver.handle();
    let (near, far) = pipe(1 << 17);
    let swift = Pace { bytes: 1 << 20, per: Duration::ZERO, stops_at: usize::MAX };
    let slowness = Rc::new(RefCell::new(swift));
    let link = Slow {
        link: near,
        handle: handle.clone(),
        pace: slowness.clone(),
        pause: None,
        room: 1,
        read_bytes: 0,
    };
    let (dialed, accepted) = driver
        .drive_until(join(
            Ours::Dials.start_as(OURS, THEIRS, &handle, link, SessionOptions::default()),
            Ours::Accepts.start_as(THEIRS, OURS, &handle, far, SessionOptions::default()),
        ))
        .unwrap();
    let (dialed, accepted) = (dialed.unwrap(), accepted.unwrap());
    *slowness.borrow_mut() = pace;
    let mut stream = accepted.open(&StreamName::new("slow").unwrap(), Priority::FIRST).unwrap();
    driver.drive_until(stream.write_all(&vec![7; RECORD])).unwrap().unwrap();
    (dialed, accepted, stream)
}

/// MUX-9.1, MUX-9.6.
#[test]
fn a_link_of_two_kilobytes_per_second_carries_the_longest_record_and_stays() {
    let (mut driver, clock) = virtual_time::driver();
    let pace = Pace { bytes: 200, per: Duration::from_millis(100), stops_at: usize::MAX };
    let (dialed, accepted, mut stream) = with_a_record_on_its_way(&mut driver, pace);
    let received = driver
        .drive_until(async {
            stream.close().await.unwrap();
            let mut received = Vec::new();
            let mut incoming = dialed.incoming();
            let incoming = incoming.next().await.expect("the session lives");
            incoming.accept().read_to_end(&mut received).await.unwrap();
            received
        })
        .unwrap();
    assert_eq!(received.len(), RECORD);
    let took = clock.now().saturating_since(Instant::ORIGIN);
    assert!(took > Duration::from_secs(30), "as slow as it was meant to be: {took:?}");
    assert_eq!((dialed.end(), accepted.end()), (None, None));
}

/// MUX-9.4.
#[test]
fn a_link_that_falls_silent_in_the_middle_of_a_record_is_dead_after_nine_ticks() {
    let (mut driver, clock) = virtual_time::driver();
    // 10,000 bytes at this pace: five seconds.
    let pace = Pace { bytes: 200, per: Duration::from_millis(100), stops_at: 10_000 };
    let (dialed, _accepted, _stream) = with_a_record_on_its_way(&mut driver, pace);
    let end = driver.drive_until(dialed.closed()).unwrap();
    assert_eq!(end, SessionEnd::Silent(Duration::from_secs(9)));
    let took = clock.now().saturating_since(Instant::ORIGIN);
    // Nine ticks, what a tick is coarse by, and a second of linger.
    assert!(took > Duration::from_secs(12) && took < Duration::from_secs(16), "{took:?}");
}

/// MUX-9.6.
#[test]
fn a_link_that_trickles_is_given_up_all_the_same() {
    let (mut driver, clock) = virtual_time::driver();
    let pace = Pace { bytes: 1, per: Duration::from_secs(5), stops_at: usize::MAX };
    let (dialed, _accepted, _stream) = with_a_record_on_its_way(&mut driver, pace);
    let end = driver.drive_until(dialed.closed()).unwrap();
    let SessionEnd::Trickling(length) = end else { panic!("it was not silent: {end:?}") };
    let took = clock.now().saturating_since(Instant::ORIGIN);
    assert!(took > Duration::from_secs(72) && took < Duration::from_secs(83), "{took:?}");
    assert!(length >= Duration::from_secs(72) && length <= took, "{length:?}");
}
