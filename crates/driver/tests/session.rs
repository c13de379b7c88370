//! Sessions over an in-process link, under virtual time: what works, and how each thing that can go wrong ends.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::join;
use futures::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use vatmux_driver::{
    Clock, Driver, Handle, HandshakeFailure, Instant, Link, PipeEnd, Session, SessionEnd, SessionOptions,
    StreamEnd, accept, dial, pipe, virtual_time,
};
use vatmux_mux::{CloseCode, HeapStorage, LimitsError, Priority, ResetCode, StaticStorage, StreamName};
use vatmux_noise::{AllowList, Entropy, HandshakeError, NodeId, SecretKey};

fn entropy(number: u8) -> Entropy {
    Entropy::from_bytes([number; 32]).unwrap()
}

fn key(number: u8) -> SecretKey {
    SecretKey::generate(entropy(number))
}

const DIALER: u8 = 1;
const ACCEPTOR: u8 = 2;

fn name(name: &str) -> StreamName {
    StreamName::new(name).unwrap()
}

async fn dial_over(handle: &Handle, link: impl Link + 'static) -> Result<Session, HandshakeFailure> {
    let peer = key(ACCEPTOR).node_id();
    dial_node(handle, link, peer).await
}

async fn dial_node(
    handle: &Handle,
    link: impl Link + 'static,
    peer: NodeId,
) -> Result<Session, HandshakeFailure> {
    dial(handle, link, &key(DIALER), peer, entropy(3), HeapStorage::default(), SessionOptions::default())
        .await
}

async fn accept_from(handle: &Handle, link: impl Link + 'static) -> Result<Session, HandshakeFailure> {
    accept_if(handle, link, &AllowList::Anyone).await
}

async fn accept_if(
    handle: &Handle,
    link: impl Link + 'static,
    allow: &AllowList,
) -> Result<Session, HandshakeFailure> {
    let (key, storage) = (key(ACCEPTOR), HeapStorage::default());
    accept(handle, link, &key, allow, entropy(4), storage, SessionOptions::default()).await
}

/// Two sessions over a pipe of `capacity_bytes`.
fn connected(driver: &mut Driver, capacity_bytes: usize) -> (Session, Session) {
    let handle = driver.handle();
    let (ours, theirs) = pipe(capacity_bytes);
    let (dialed, accepted) =
        driver.drive_until(join(dial_over(&handle, ours), accept_from(&handle, theirs))).unwrap();
    (dialed.unwrap(), accepted.unwrap())
}

fn some_bytes(count: usize) -> Vec<u8> {
    (0..count).map(|number| (number * 7 % 251) as u8).collect()
}

fn stream_end(error: &io::Error) -> &StreamEnd {
    error.get_ref().and_then(|inner| inner.downcast_ref()).expect("streams fail with a StreamEnd")
}

#[test]
fn each_side_learns_who_the_other_is() {
    let (mut driver, _) = virtual_time::driver();
    let (dialed, accepted) = connected(&mut driver, 4096);
    assert_eq!(dialed.peer(), key(ACCEPTOR).node_id());
    assert_eq!(accepted.peer(), key(DIALER).node_id());
}

#[test]
fn bytes_cross_a_stream_in_order_and_complete_over_links_of_any_size() {
    for capacity_bytes in [1, 7, 1000, 65_536, 1 << 20] {
        let (mut driver, _) = virtual_time::driver();
        let (dialed, accepted) = connected(&mut driver, capacity_bytes);
        let sent = some_bytes(if capacity_bytes < 100 { 5_000 } else { 1_000_000 });
        let expected = sent.clone();
        let writing = async {
            let mut stream = dialed.open(&name("echo"), Priority::FIRST).unwrap();
            stream.write_all(&sent).await.unwrap();
            stream.close().await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            answer
        };
        let echoing = async {
            let incoming = accepted.incoming().next().await.unwrap();
            assert_eq!(incoming.name().as_str(), "echo");
            let mut stream = incoming.accept();
            let mut received = Vec::new();
            stream.read_to_end(&mut received).await.unwrap();
            assert!(received == expected);
            stream.write_all(&received).await.unwrap();
            stream.close().await.unwrap();
        };
        let (answer, ()) = driver.drive_until(join(writing, echoing)).unwrap();
        assert!(answer == expected, "capacity {capacity_bytes}");
        assert_eq!(driver.handle().rescues(), 0);
    }
}

#[test]
fn the_driver_runs_over_static_storage_as_well() {
    let (mut driver, _) = virtual_time::driver();
    let handle = driver.handle();
    let (ours, theirs) = pipe(4096);
    let mut options = SessionOptions::default();
    options.limits.max_incoming_streams = 2;
    options.limits.max_outgoing_streams = 2;
    options.limits.initial_window_bytes = 1024;
    options.limits.max_window_bytes = 1024;
    options.limits.send_buffer_bytes = 1024;
    let (dialer_key, acceptor_key) = (key(DIALER), key(ACCEPTOR));
    let dialing = dial(
        &handle,
        ours,
        &dialer_key,
        acceptor_key.node_id(),
        entropy(3),
        StaticStorage::<4, 1024>::new(),
        options.clone(),
    );
    let accepting = accept(
        &handle,
        theirs,
        &acceptor_key,
        &AllowList::Anyone,
        entropy(4),
        StaticStorage::<4, 1024>::new(),
        options.clone(),
    );
    let (dialed, accepted) = driver.drive_until(join(dialing, accepting)).unwrap();
    let (dialed, accepted) = (dialed.unwrap(), accepted.unwrap());
    let sent = some_bytes(100_000);
    let expected = sent.clone();
    let writing = async {
        let mut stream = dialed.open(&name("bulk"), Priority::LAST).unwrap();
        stream.write_all(&sent).await.unwrap();
        stream.close().await.unwrap();
        let mut end = Vec::new();
        stream.read_to_end(&mut end).await.unwrap();
    };
    let reading = async {
        let mut stream = accepted.incoming().next().await.unwrap().accept();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).await.unwrap();
        stream.close().await.unwrap();
        received
    };
    let ((), received) = driver.drive_until(join(writing, reading)).unwrap();
    assert!(received == expected);
}

#[test]
fn a_refused_stream_fails_with_the_code_of_the_refusal() {
    let (mut driver, _) = virtual_time::driver();
    let (dialed, accepted) = connected(&mut driver, 4096);
    let refused = driver
        .drive_until(async {
            let mut stream = dialed.open(&name("nothing"), Priority::FIRST).unwrap();
            stream.write_all(b"written before anybody could say no").await.unwrap();
            accepted.incoming().next().await.unwrap().refuse(ResetCode::NO_SUCH_SERVICE);
            stream.read(&mut [0; 1]).await.unwrap_err()
        })
        .unwrap();
    assert_eq!(stream_end(&refused), &StreamEnd::Reset(ResetCode::NO_SUCH_SERVICE));
}

#[test]
fn a_dropped_stream_is_reset_and_the_session_lives_on() {
    let (mut driver, _) = virtual_time::driver();
    let (dialed, accepted) = connected(&mut driver, 4096);
    driver
        .drive_until(async {
            let mut incoming = accepted.incoming();
            let stream = dialed.open(&name("one"), Priority::FIRST).unwrap();
            let mut theirs = incoming.next().await.unwrap().accept();
            drop(stream);
            let error = theirs.read(&mut [0; 1]).await.unwrap_err();
            assert_eq!(stream_end(&error), &StreamEnd::Reset(ResetCode::CANCELLED));

            let mut stream = dialed.open(&name("two"), Priority::FIRST).unwrap();
            stream.write_all(b"still here").await.unwrap();
            stream.close().await.unwrap();
            let mut text = String::new();
            incoming.next().await.unwrap().accept().read_to_string(&mut text).await.unwrap();
            assert_eq!(text, "still here");
        })
        .unwrap();
}

#[test]
fn a_node_with_another_key_is_not_taken_for_the_one_that_was_dialed() {
    let (mut driver, _) = virtual_time::driver();
    let handle = driver.handle();
    let (ours, theirs) = pipe(4096);
    let somebody_else = key(9).node_id();
    let (dialed, accepted) = driver
        .drive_until(join(dial_node(&handle, ours, somebody_else), accept_from(&handle, theirs)))
        .unwrap();
    assert!(matches!(
        dialed.err().unwrap(),
        HandshakeFailure::Handshake(HandshakeError::Refused(vatmux_noise::Refusal::Key))
    ));
    assert!(matches!(
        accepted.err().unwrap(),
        HandshakeFailure::Handshake(HandshakeError::Authentication(_))
    ));
}

#[test]
fn a_dialer_that_is_not_on_the_list_is_told_so() {
    let (mut driver, _) = virtual_time::driver();
    let handle = driver.handle();
    let (ours, theirs) = pipe(4096);
    let allow = AllowList::Only([key(7).node_id()].into());
    let (dialed, accepted) =
        driver.drive_until(join(dial_over(&handle, ours), accept_if(&handle, theirs, &allow))).unwrap();
    let dialer = key(DIALER).node_id();
    assert!(matches!(accepted.err().unwrap(), HandshakeFailure::NotAllowed(peer) if peer == dialer));
    let end = driver.drive_until(dialed.unwrap().closed()).unwrap();
    assert_eq!(end, SessionEnd::ClosedByPeer(CloseCode::NOT_ALLOWED));
}

/// MUX-10.2.
#[test]
fn limits_that_the_storage_cannot_hold_are_refused_before_a_byte_is_sent() {
    for dials in [true, false] {
        let (mut driver, _) = virtual_time::driver();
        let handle = driver.handle();
        let (ours, mut theirs) = pipe(4096);
        let (me, peer) = (key(DIALER), key(ACCEPTOR).node_id());
        let options = SessionOptions::default();
        let storage = StaticStorage::<4, 1024>::new();
        let outcome = driver
            .drive_until(async {
                if dials {
                    Box::pin(dial(&handle, ours, &me, peer, entropy(3), storage, options)).await
                } else {
                    let anyone = AllowList::Anyone;
                    Box::pin(accept(&handle, ours, &me, &anyone, entropy(3), storage, options)).await
                }
            })
            .unwrap();
        assert!(matches!(outcome.err().unwrap(), HandshakeFailure::Limits(LimitsError::Window { .. })));
        let mut said = Vec::new();
        driver.drive_until(theirs.read_to_end(&mut said)).unwrap().unwrap();
        assert_eq!(said, b"", "the peer is told nothing");
    }
}

#[test]
fn a_silent_peer_is_given_up_at_the_handshake_deadline() {
    for dials in [true, false] {
        let (mut driver, clock) = virtual_time::driver();
        let handle = driver.handle();
        let (ours, _theirs) = pipe(4096);
        let outcome = driver
            .drive_until(async {
                if dials { dial_over(&handle, ours).await } else { accept_from(&handle, ours).await }
            })
            .unwrap();
        assert!(matches!(outcome.err().unwrap(), HandshakeFailure::Deadline { .. }));
        assert_eq!(clock.now(), Instant::ORIGIN + Duration::from_secs(5));
    }
}

#[test]
fn a_byte_per_second_buys_no_time() {
    let (mut driver, clock) = virtual_time::driver();
    let handle = driver.handle();
    let (ours, mut theirs) = pipe(4096);
    let slow = handle.clone();
    handle.spawn(async move {
        for byte in b"vatmux" {
            if theirs.write_all(&[*byte]).await.is_err() {
                return;
            }
            slow.sleep(Duration::from_secs(1)).await;
        }
    });
    let outcome = driver.drive_until(accept_from(&handle, ours)).unwrap();
    assert!(matches!(outcome.err().unwrap(), HandshakeFailure::Deadline { .. }));
    assert_eq!(clock.now(), Instant::ORIGIN + Duration::from_secs(5));
}

#[test]
fn another_protocol_is_recognised_at_once() {
    for hello in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 64], &[0xff; 64], b"SSH-2.0-x\r\n"] {
        let (mut driver, clock) = virtual_time::driver();
        let handle = driver.handle();
        let (ours, mut theirs) = pipe(4096);
        let sent = hello.to_vec();
        handle.spawn(async move {
            let _ = theirs.write_all(&sent).await;
            let _ = theirs.read_to_end(&mut Vec::new()).await;
        });
        let outcome = driver.drive_until(accept_from(&handle, ours)).unwrap();
        assert!(matches!(outcome.err().unwrap(), HandshakeFailure::Handshake(HandshakeError::NotVatmux)));
        assert_eq!(clock.now(), Instant::ORIGIN);
    }
}

/// Wraps a link, counts what crosses it and interferes.
struct Meddler {
    link: PipeEnd,
    meddling: Rc<RefCell<Meddling>>,
}

#[derive(Default)]
struct Meddling {
    read_bytes: usize,
    /// Reads end, without an end of file, at this many bytes.
    stall_reads_at: Option<usize>,
    /// Reads report the end of the link at this many bytes.
    cut_reads_at: Option<usize>,
    /// The byte read at this position has a bit flipped.
    flip_at: Option<usize>,
    /// Writes are never ready.
    block_writes: bool,
    /// Reads that are not ready wake nobody when they become so.
    forget_wakers: bool,
}

impl Link for Meddler {}

impl AsyncRead for Meddler {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let meddling = self.meddling.clone();
        let mut meddling = meddling.borrow_mut();
        let mut room = buf.len();
        if let Some(limit) = meddling.stall_reads_at {
            room = room.min(limit - meddling.read_bytes);
            if room == 0 {
                return Poll::Pending;
            }
        }
        if let Some(limit) = meddling.cut_reads_at {
            room = room.min(limit - meddling.read_bytes);
            if room == 0 {
                return Poll::Ready(Ok(0));
            }
        }
        let nobody = std::task::Waker::noop();
        let mut deaf = Context::from_waker(nobody);
        let cx = if meddling.forget_wakers { &mut deaf } else { cx };
        let read = std::task::ready!(Pin::new(&mut self.link).poll_read(cx, &mut buf[..room]))?;
        if let Some(position) = meddling.flip_at
            && (meddling.read_bytes..meddling.read_bytes + read).contains(&position)
        {
            buf[position - meddling.read_bytes] ^= 0x10;
        }
        meddling.read_bytes += read;
        Poll::Ready(Ok(read))
    }
}

impl AsyncWrite for Meddler {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.meddling.borrow().block_writes {
            return Poll::Pending;
        }
        Pin::new(&mut self.link).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.link).poll_close(cx)
    }
}

/// As [`connected`], with a meddler on the dialer's side of the link.
fn meddled(driver: &mut Driver) -> (Session, Session, Rc<RefCell<Meddling>>) {
    let handle = driver.handle();
    let (link, theirs) = pipe(1 << 16);
    let meddling = Rc::<RefCell<Meddling>>::default();
    let ours = Meddler { link, meddling: meddling.clone() };
    let (dialed, accepted) =
        driver.drive_until(join(dial_over(&handle, ours), accept_from(&handle, theirs))).unwrap();
    (dialed.unwrap(), accepted.unwrap(), meddling)
}

/// Has the acceptor send a record to the dialer.
fn one_record(driver: &mut Driver, accepted: &Session) -> vatmux_driver::Stream {
    let mut stream = accepted.open(&name("from-the-acceptor"), Priority::FIRST).unwrap();
    driver.drive_until(stream.write_all(&[7; 100])).unwrap().unwrap();
    stream
}

#[test]
fn a_link_that_is_cut_between_records_says_so_and_so_do_its_streams() {
    let (mut driver, _) = virtual_time::driver();
    let (dialed, accepted, meddling) = meddled(&mut driver);
    let mut stream = dialed.open(&name("cut"), Priority::FIRST).unwrap();
    let so_far = meddling.borrow().read_bytes;
    meddling.borrow_mut().cut_reads_at = Some(so_far);
    let _kept = one_record(&mut driver, &accepted);
    let error = driver.drive_until(stream.read(&mut [0; 1])).unwrap().unwrap_err();
    let end = SessionEnd::LinkCut { mid_record: false };
    assert_eq!(stream_end(&error), &StreamEnd::Session(end.clone()));
    assert_eq!(driver.drive_until(dialed.closed()).unwrap(), end);
}

#[test]
fn a_link_that_is_cut_in_the_middle_of_a_record_says_that() {
    for cut in (1..100).step_by(7) {
        let (mut driver, _) = virtual_time::driver();
        let (dialed, accepted, meddling) = meddled(&mut driver);
        let so_far = meddling.borrow().read_bytes;
        meddling.borrow_mut().cut_reads_at = Some(so_far + cut);
        let _kept = one_record(&mut driver, &accepted);
        let end = driver.drive_until(dialed.closed()).unwrap();
        assert_eq!(end, SessionEnd::LinkCut { mid_record: true }, "cut after {cut} bytes");
    }
}

#[test]
fn a_bit_that_flips_on_the_way_ends_the_session_and_nothing_of_the_record_is_used() {
    for flip in (0..100).step_by(7) {
        let (mut driver, _) = virtual_time::driver();
        let (dialed, accepted, meddling) = meddled(&mut driver);
        let so_far = meddling.borrow().read_bytes;
        meddling.borrow_mut().flip_at = Some(so_far + flip);
        let mut incoming = dialed.incoming();
        let _kept = one_record(&mut driver, &accepted);
        // The length in front is not authenticated: a longer one waits for bytes that never come, and what does come
        // looks like a record on a slow link for a while.
        let handle = driver.handle();
        let arrived = driver.drive_until(handle.timeout(Duration::from_secs(82), incoming.next())).unwrap();
        assert!(matches!(arrived, Ok(None)), "bit flipped in byte {flip}");
        match dialed.end() {
            Some(SessionEnd::Trickling(_)) => assert_eq!(flip, 0, "only the length has no tag"),
            end => assert!(flip > 0 && matches!(end, Some(SessionEnd::Record(_))), "{flip}: {end:?}"),
        }
    }
}

#[test]
fn a_session_that_nobody_holds_closes_with_its_last_byte_and_not_later() {
    let (mut driver, clock) = virtual_time::driver();
    let (dialed, accepted) = connected(&mut driver, 1 << 16);
    let began = clock.now();
    driver
        .drive_until(async {
            let mut stream = dialed.open(&name("last"), Priority::FIRST).unwrap();
            let mut theirs = accepted.incoming().next().await.unwrap().accept();
            stream.write_all(b"the last").await.unwrap();
            stream.close().await.unwrap();
            theirs.close().await.unwrap();
            let mut text = String::new();
            theirs.read_to_string(&mut text).await.unwrap();
            drop((stream, dialed, theirs));
            assert_eq!(accepted.closed().await, SessionEnd::ClosedByPeer(CloseCode::GOING_AWAY));
        })
        .unwrap();
    assert_eq!(clock.now(), began, "no timer had to fire");
}

#[test]
fn a_peer_that_falls_silent_is_dead_after_nine_ticks() {
    let (mut driver, clock) = virtual_time::driver();
    let (dialed, _accepted, meddling) = meddled(&mut driver);
    let so_far = meddling.borrow().read_bytes;
    meddling.borrow_mut().stall_reads_at = Some(so_far);
    let end = driver.drive_until(dialed.closed()).unwrap();
    assert_eq!(end, SessionEnd::Silent(Duration::from_secs(9)));
    let lingered = clock.now().saturating_since(Instant::ORIGIN + Duration::from_secs(9));
    assert!(lingered <= Duration::from_secs(1), "{lingered:?}");
}

#[test]
fn an_idle_session_lives_for_a_day_on_pings_alone() {
    let (mut driver, _) = virtual_time::driver();
    let (dialed, accepted) = connected(&mut driver, 4096);
    let handle = driver.handle();
    driver.drive_until(handle.sleep(Duration::from_hours(24))).unwrap();
    assert_eq!((dialed.end(), accepted.end()), (None, None));
    assert!(dialed.traffic().records_sent > 10_000);
    assert_eq!(handle.rescues(), 0);
}

#[test]
fn reading_goes_on_while_writing_is_blocked() {
    let (mut driver, _) = virtual_time::driver();
    let (dialed, accepted, meddling) = meddled(&mut driver);
    meddling.borrow_mut().block_writes = true;
    let mut ours = dialed.open(&name("stuck"), Priority::FIRST).unwrap();
    driver.drive_until(ours.write_all(&[1; 1000])).unwrap().unwrap();
    let mut sender = accepted.open(&name("flowing"), Priority::FIRST).unwrap();
    let received = driver
        .drive_until(async {
            sender.write_all(&some_bytes(60_000)).await.unwrap();
            sender.close().await.unwrap();
            let mut received = Vec::new();
            let mut stream = dialed.incoming().next().await.unwrap().accept();
            stream.read_to_end(&mut received).await.unwrap();
            received
        })
        .unwrap();
    assert!(received == some_bytes(60_000));
}

#[test]
fn a_session_closes_when_its_last_handle_and_stream_are_gone() {
    let (mut driver, _) = virtual_time::driver();
    let (dialed, accepted) = connected(&mut driver, 4096);
    let stream = dialed.open(&name("last"), Priority::FIRST).unwrap();
    drop(dialed);
    let handle = driver.handle();
    driver.drive_until(handle.sleep(Duration::from_mins(1))).unwrap();
    assert_eq!(accepted.end(), None, "a stream keeps its session");
    drop(stream);
    let end = driver.drive_until(accepted.closed()).unwrap();
    assert_eq!(end, SessionEnd::ClosedByPeer(CloseCode::GOING_AWAY));
}

#[test]
fn what_arrived_before_the_end_can_still_be_read() {
    let (mut driver, _) = virtual_time::driver();
    let (dialed, accepted) = connected(&mut driver, 4096);
    driver
        .drive_until(async {
            let mut stream = dialed.open(&name("last-words"), Priority::FIRST).unwrap();
            stream.write_all(b"the end").await.unwrap();
            stream.close().await.unwrap();
            let mut theirs = accepted.incoming().next().await.unwrap().accept();
            dialed.close(CloseCode::DONE);
            assert_eq!(accepted.closed().await, SessionEnd::ClosedByPeer(CloseCode::DONE));
            let mut text = String::new();
            theirs.read_to_string(&mut text).await.unwrap();
            assert_eq!(text, "the end");
            let error = theirs.write(b"too late").await.unwrap_err();
            assert!(matches!(stream_end(&error), StreamEnd::Session(SessionEnd::ClosedByPeer(_))));
        })
        .unwrap();
}

#[test]
fn nothing_can_be_opened_on_a_session_that_is_over() {
    let (mut driver, _) = virtual_time::driver();
    let (dialed, accepted) = connected(&mut driver, 4096);
    accepted.close(CloseCode::DONE);
    driver.drive_until(dialed.closed()).unwrap();
    assert!(dialed.open(&name("late"), Priority::FIRST).is_err());
    assert!(driver.drive_until(dialed.incoming().next()).unwrap().is_none());
}

#[test]
fn a_wake_up_that_a_link_forgets_is_made_good_by_a_tick_and_counted() {
    let (mut driver, clock) = virtual_time::driver();
    let (dialed, accepted, meddling) = meddled(&mut driver);
    let handle = driver.handle();
    // The dialer's pump has read all there is, and waits for the link to announce more.
    driver.drive_until(handle.sleep(Duration::ZERO)).unwrap();
    meddling.borrow_mut().forget_wakers = true;
    driver.drive_until(handle.sleep(Duration::from_millis(3500))).unwrap();
    meddling.borrow_mut().forget_wakers = false;
    let before = handle.rescues();
    let _kept = one_record(&mut driver, &accepted);
    let arrived = driver.drive_until(dialed.incoming().next()).unwrap();
    assert!(arrived.is_some());
    assert!(handle.rescues() > before, "nobody announced it, so a tick must have found it");
    assert!(clock.now() < Instant::ORIGIN + Duration::from_secs(9), "and did so while the session lived");
}

#[test]
fn no_more_than_four_kibibytes_are_read_from_a_stranger() {
    // What a stranger can send that looks right for longest: a good preamble and then lengths that fit.
    for flood in [vec![0; 1 << 20], b"vatmux\x01\x00".repeat(1 << 17), {
        let mut flood = b"vatmux\x01\x00\x00\x30".to_vec();
        flood.resize(1 << 20, 7);
        flood
    }] {
        let (mut driver, _) = virtual_time::driver();
        let handle = driver.handle();
        let (link, mut theirs) = pipe(1 << 21);
        let meddling = Rc::<RefCell<Meddling>>::default();
        let ours = Meddler { link, meddling: meddling.clone() };
        driver.drive_until(theirs.write_all(&flood)).unwrap().unwrap();
        let outcome = driver.drive_until(accept_from(&handle, ours)).unwrap();
        assert!(outcome.is_err());
        assert!(meddling.borrow().read_bytes <= 4096, "{} bytes", meddling.borrow().read_bytes);
    }
}

#[test]
fn a_session_that_its_own_refusals_end_is_over_for_everybody() {
    let (mut driver, _) = virtual_time::driver();
    let (dialed, accepted, meddling) = meddled(&mut driver);
    let handle = driver.handle();
    let unwanted = name("unwanted");
    driver
        .drive_until(async {
            let mut incoming = accepted.incoming();
            let mut offers = Vec::new();
            // As many resets as a tick allows, and a few that are refused when the peer has fallen silent.
            for round in 0..18 {
                let count = if round < 17 { 60 } else { 10 };
                let mut streams: Vec<_> =
                    (0..count).map(|_| dialed.open(&unwanted, Priority::FIRST).unwrap()).collect();
                for _ in 0..count {
                    offers.push(incoming.next().await.unwrap());
                }
                if round < 17 {
                    offers.drain(..).for_each(|offer| offer.refuse(ResetCode::NO_SUCH_SERVICE));
                    for stream in &mut streams {
                        stream.read(&mut [0; 1]).await.unwrap_err();
                    }
                } else {
                    let so_far = meddling.borrow().read_bytes;
                    meddling.borrow_mut().stall_reads_at = Some(so_far);
                    meddling.borrow_mut().block_writes = true;
                    offers.drain(..).for_each(|offer| offer.refuse(ResetCode::NO_SUCH_SERVICE));
                    handle.sleep(Duration::from_secs(5)).await;
                }
            }
        })
        .unwrap();
    assert!(matches!(accepted.end(), Some(SessionEnd::Violation(_))), "{:?}", accepted.end());
}

#[test]
fn what_was_finished_arrives_although_everything_was_dropped() {
    let (mut driver, _) = virtual_time::driver();
    // More than the first window: some of it has to wait for credit.
    let sent = some_bytes(200_000);
    let (dialed, accepted) = connected(&mut driver, 4096);
    let received = driver
        .drive_until(async {
            let mut stream = dialed.open(&name("last-words"), Priority::FIRST).unwrap();
            stream.write_all(&sent).await.unwrap();
            stream.close().await.unwrap();
            drop(stream);
            drop(dialed);
            let mut theirs = accepted.incoming().next().await.unwrap().accept();
            let mut received = Vec::new();
            theirs.read_to_end(&mut received).await.unwrap();
            received
        })
        .unwrap();
    assert!(received == some_bytes(200_000));
    let end = driver.drive_until(accepted.closed()).unwrap();
    assert_eq!(end, SessionEnd::ClosedByPeer(CloseCode::GOING_AWAY));
}

#[test]
fn nothing_can_be_opened_on_a_link_that_was_cut() {
    let (mut driver, _) = virtual_time::driver();
    let (dialed, accepted, meddling) = meddled(&mut driver);
    let so_far = meddling.borrow().read_bytes;
    meddling.borrow_mut().cut_reads_at = Some(so_far);
    let _kept = one_record(&mut driver, &accepted);
    let end = driver.drive_until(dialed.closed()).unwrap();
    let error = dialed.open(&name("late"), Priority::FIRST).err().unwrap();
    assert_eq!(error, vatmux_driver::OpenError::Session(end));
}

#[test]
fn a_session_and_its_streams_count_what_they_do() {
    let (mut driver, _) = virtual_time::driver();
    let (dialed, accepted) = connected(&mut driver, 4096);
    let (mut ours, theirs) = driver
        .drive_until(async {
            let mut ours = dialed.open(&name("counted"), Priority::FIRST).unwrap();
            ours.write_all(&[1; 1000]).await.unwrap();
            let mut theirs = accepted.incoming().next().await.unwrap().accept();
            theirs.read_exact(&mut [0; 400]).await.unwrap();
            (ours, theirs)
        })
        .unwrap();
    let (sent, received) = (ours.statistics().unwrap(), theirs.statistics().unwrap());
    assert_eq!((sent.sent_bytes, sent.unsent_bytes), (1000, 0));
    assert_eq!((received.received_bytes, received.unread_bytes, received.owed_bytes), (1000, 600, 400));
    assert_eq!(sent.send_credit_bytes, received.granted_bytes);
    drop(theirs);
    driver.drive_until(ours.read(&mut [0; 1])).unwrap().unwrap_err();
    let (dialer, acceptor) = (dialed.statistics(), accepted.statistics());
    assert_eq!((dialer.streams_opened, dialer.data_bytes_sent, dialer.resets_received), (1, 1000, 1));
    assert_eq!((acceptor.streams_received, acceptor.data_bytes_received, acceptor.resets_sent), (1, 1000, 1));
    assert_eq!((dialer.streams, acceptor.streams), (1, 0));
}
