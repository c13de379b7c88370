//! Large writes go straight into the next record, and wait where it is full: what that means for order, priorities, busy
//! links and endings.

use std::time::Duration;

use futures::FutureExt;
use futures::future::{join, join_all};
use futures::io::{AsyncReadExt, AsyncWriteExt};
use vatmux_driver::{
    Clock, Driver, Instant, Session, SessionEnd, SessionOptions, Stream, StreamEnd, pipe, virtual_time,
};
use vatmux_mux::wire::Frame;
use vatmux_mux::{CloseCode, Hello, Priority, ResetCode, StreamId, StreamName};

use crate::peer::{Foreign, OURS, Ours, THEIRS, bytes_of, connected_to, frames_in};

/// Two of these do not fit one record.
const WRITE: usize = 32 * 1024;
/// What is left of the second: a record has 65,519 bytes, and each frame a header of 8.
const REST: usize = 65_519 - 8 - WRITE - 8;

const BULK: u8 = 7;

/// Our session, and a peer that gives each stream `window` bytes of credit.
fn session_with(driver: &mut Driver, capacity_bytes: usize, window: u32) -> (Session, Foreign) {
    let hello = Hello { version: 1, initial_window_bytes: window, max_streams: 8 };
    connected_to(driver, Ours::Dials, capacity_bytes, SessionOptions::default(), hello)
}

/// A session with credit for everything that these tests write.
fn session(driver: &mut Driver, capacity_bytes: usize) -> (Session, Foreign) {
    session_with(driver, capacity_bytes, 1 << 24)
}

/// Opens a stream of each priority. The peer knows of them: nothing is left to be sent.
fn streams<const N: usize>(
    driver: &mut Driver,
    (session, foreign): (&Session, &mut Foreign),
    priorities: [u8; N],
) -> [Stream; N] {
    let name = StreamName::new("written").unwrap();
    let streams = priorities.map(|level| session.open(&name, Priority::new(level).unwrap()).unwrap());
    let opened = driver.drive_until(foreign.record()).unwrap();
    assert_eq!(frames_in(&opened).len(), N);
    streams
}

/// Writes at once, without anything else getting to run; None where the writer is to wait.
fn write(stream: &mut Stream, bytes: usize) -> Option<usize> {
    stream.write(&vec![stream.id().get() as u8; bytes]).now_or_never().map(Result::unwrap)
}

fn unsent(stream: &Stream) -> u32 {
    stream.statistics().unwrap().unsent_bytes
}

/// Whose DATA a record carries, and how much in each frame.
fn data_in(record: &[u8]) -> Vec<(StreamId, usize)> {
    let data = |frame: &Frame<'_>| match frame {
        Frame::Data { stream, payload } => {
            assert!(payload.iter().all(|byte| *byte == stream.get() as u8), "another stream's bytes");
            (*stream, payload.len())
        }
        other => panic!("{other:?}"),
    };
    frames_in(record).iter().map(data).collect()
}

/// The DATA of the next `N` records.
fn next_records<const N: usize>(driver: &mut Driver, foreign: &mut Foreign) -> [Vec<(StreamId, usize)>; N] {
    [(); N].map(|()| data_in(&driver.drive_until(foreign.record()).unwrap()))
}

#[test]
fn large_writes_fill_a_record_and_wait_for_the_next() {
    let (mut driver, clock) = virtual_time::driver();
    let (session, mut foreign) = session(&mut driver, 1 << 20);
    let [mut bulk] = streams(&mut driver, (&session, &mut foreign), [BULK]);
    let id = bulk.id();
    for _ in 0..3 {
        assert_eq!(write(&mut bulk, WRITE), Some(WRITE));
        assert_eq!(write(&mut bulk, WRITE), Some(REST), "as far as the record goes");
        assert_eq!(write(&mut bulk, WRITE), None, "the rest waits for the next");
        assert_eq!(unsent(&bulk), 0, "and not in the ring");
        assert_eq!(next_records(&mut driver, &mut foreign), [[(id, WRITE), (id, REST)]]);
    }
    assert_eq!(clock.now(), Instant::ORIGIN, "no record waited for a tick");
}

#[test]
fn a_writer_that_waits_is_woken_for_each_record() {
    let (mut driver, clock) = virtual_time::driver();
    let (session, mut foreign) = session(&mut driver, 1 << 17);
    let [mut bulk] = streams(&mut driver, (&session, &mut foreign), [BULK]);
    let id = bulk.id();
    // A task of its own: nothing else has it polled.
    driver.handle().spawn(async move {
        bulk.write_all(&vec![id.get() as u8; 1_000_000]).await.unwrap();
        bulk.close().await.unwrap();
        bulk.read_to_end(&mut Vec::new()).await.unwrap();
    });
    for _ in 0..1_000_000 / (WRITE + REST) {
        assert_eq!(next_records(&mut driver, &mut foreign), [[(id, WRITE), (id, REST)]]);
    }
    let rest = 1_000_000 % (WRITE + REST);
    assert_eq!(next_records(&mut driver, &mut foreign), [[(id, rest)]]);
    let record = driver.drive_until(foreign.record()).unwrap();
    assert_eq!(frames_in(&record), [Frame::Close { stream: id }]);
    assert_eq!(clock.now(), Instant::ORIGIN, "nobody was rescued");
}

#[test]
fn a_record_of_another_priority_follows_at_once() {
    let (mut driver, _) = virtual_time::driver();
    let (session, mut foreign) = session(&mut driver, 1 << 20);
    let [mut bulk, mut urgent] = streams(&mut driver, (&session, &mut foreign), [BULK, 0]);
    for _ in 0..2 {
        for stream in [&mut bulk, &mut urgent] {
            assert_eq!(write(stream, WRITE), Some(WRITE));
            assert_eq!(unsent(stream), 0, "straight into the record");
            assert_eq!(next_records(&mut driver, &mut foreign), [[(stream.id(), WRITE)]]);
        }
    }
}

#[test]
fn the_rest_of_a_write_leaves_in_front_of_the_next() {
    let (mut driver, _) = virtual_time::driver();
    let (session, mut foreign) = session(&mut driver, 1 << 20);
    let [mut bulk] = streams(&mut driver, (&session, &mut foreign), [BULK]);
    let id = bulk.id();
    assert_eq!(write(&mut bulk, WRITE), Some(WRITE));
    assert_eq!(write(&mut bulk, WRITE), Some(REST));
    assert_eq!(write(&mut bulk, 33), Some(33), "a small write never waits for a record");
    assert_eq!(write(&mut bulk, WRITE), None);
    assert_eq!(next_records(&mut driver, &mut foreign), [[(id, WRITE), (id, REST)]]);
    assert_eq!(next_records(&mut driver, &mut foreign), [[(id, 33)]], "nobody has written since");
    assert_eq!(write(&mut bulk, 33), Some(33));
    assert_eq!(write(&mut bulk, 5000), Some(5000));
    assert_eq!(next_records(&mut driver, &mut foreign), [[(id, 5033)]], "one frame for both");
}

#[test]
fn an_urgent_write_is_overtaken_by_no_more_than_the_record_that_is_open() {
    let (mut driver, _) = virtual_time::driver();
    let (session, mut foreign) = session(&mut driver, 1 << 20);
    for length in [1, 5000] {
        let [mut bulk, mut urgent] = streams(&mut driver, (&session, &mut foreign), [BULK, 0]);
        let (low, high) = (bulk.id(), urgent.id());
        assert_eq!(write(&mut bulk, WRITE), Some(WRITE));
        assert_eq!(write(&mut urgent, length), Some(length), "a record carries DATA of one priority");
        assert_eq!(write(&mut bulk, WRITE), Some(WRITE), "in the schedule, behind it");
        assert_eq!((unsent(&urgent), unsent(&bulk)), (length as u32, WRITE as u32));
        assert_eq!(
            next_records(&mut driver, &mut foreign),
            [[(low, WRITE)], [(high, length)], [(low, WRITE)]]
        );
        drop((bulk, urgent));
        driver.drive_until(foreign.record()).unwrap();
    }
}

#[test]
fn while_the_link_is_busy_large_writes_wait_and_small_ones_keep_their_turn() {
    let (mut driver, _) = virtual_time::driver();
    let (session, mut foreign) = session(&mut driver, 1000);
    let [mut bulk, mut urgent] = streams(&mut driver, (&session, &mut foreign), [BULK, 0]);
    let (low, high) = (bulk.id(), urgent.id());
    assert_eq!(write(&mut bulk, WRITE), Some(WRITE));
    // The record is longer than the link, and the peer does not read.
    let handle = driver.handle();
    driver.drive_until(handle.sleep(Duration::from_millis(1))).unwrap();
    assert_eq!(write(&mut bulk, WRITE), None);
    assert_eq!(write(&mut bulk, 100), Some(100));
    assert_eq!(write(&mut bulk, WRITE), None, "not before what was written");
    assert_eq!((unsent(&bulk), unsent(&urgent)), (100, 0));
    assert_eq!(write(&mut urgent, 10), Some(10));
    assert_eq!(next_records(&mut driver, &mut foreign), [[(low, WRITE)], [(high, 10)], [(low, 100)]]);
    assert_eq!(write(&mut bulk, WRITE), Some(WRITE), "the link is free again");
}

#[test]
fn small_writes_beside_a_large_one_become_one_frame() {
    let (mut driver, _) = virtual_time::driver();
    let (session, mut foreign) = session(&mut driver, 1 << 20);
    let [mut bulk, mut chat] = streams(&mut driver, (&session, &mut foreign), [4, 4]);
    let (large, small) = (bulk.id(), chat.id());
    assert_eq!(write(&mut bulk, WRITE), Some(WRITE));
    for _ in 0..10 {
        assert_eq!(write(&mut chat, 7), Some(7));
    }
    assert_eq!(next_records(&mut driver, &mut foreign), [[(large, WRITE)], [(small, 70)]]);
}

#[test]
fn where_one_large_writer_waits_another_takes_turns_with_it() {
    let (mut driver, clock) = virtual_time::driver();
    let (session, mut foreign) = session(&mut driver, 1 << 17);
    let [mut one, mut other] = streams(&mut driver, (&session, &mut foreign), [4, 4]);
    let first = one.id();
    assert_eq!(write(&mut one, WRITE), Some(WRITE));
    assert_eq!(write(&mut one, WRITE), Some(REST));
    assert_eq!(write(&mut one, WRITE), None);
    assert_eq!(write(&mut other, WRITE), Some(WRITE), "one waits at a time: the other's is in the schedule");
    assert_eq!(unsent(&other), WRITE as u32);
    assert_eq!(next_records(&mut driver, &mut foreign), [[(first, WRITE), (first, REST)]]);

    let payloads = [&one, &other].map(|stream| vec![stream.id().get() as u8; 2_000_000]);
    let reading = async {
        let (mut ones, mut others) = (0, WRITE);
        while ones + others < 3_000_000 {
            for (stream, length) in data_in(&foreign.record().await) {
                *(if stream == first { &mut ones } else { &mut others }) += length;
            }
        }
        (ones, others)
    };
    let writing = join(one.write_all(&payloads[0]), other.write_all(&payloads[1]));
    let shared = futures::future::select(Box::pin(reading), Box::pin(writing));
    let futures::future::Either::Left(((ones, others), _)) = driver.drive_until(shared).unwrap() else {
        panic!("more was written than was read");
    };
    assert!(ones.abs_diff(others) < 300_000, "{ones} and {others} bytes");
    assert_eq!(clock.now(), Instant::ORIGIN, "nobody was rescued");
}

#[test]
fn a_small_window_is_sent_in_two_records() {
    let (mut driver, _) = virtual_time::driver();
    let (session, mut foreign) = session_with(&mut driver, 1 << 20, 65_536);
    let [mut bulk] = streams(&mut driver, (&session, &mut foreign), [BULK]);
    let id = bulk.id();
    assert_eq!(write(&mut bulk, 2 * WRITE), Some(WRITE), "half the window");
    assert_eq!(write(&mut bulk, WRITE), None);
    assert_eq!(next_records(&mut driver, &mut foreign), [[(id, WRITE)]]);
    assert_eq!(write(&mut bulk, WRITE), Some(WRITE), "the other half");
    assert_eq!(write(&mut bulk, WRITE), Some(WRITE), "without credit it writes ahead");
    assert_eq!(unsent(&bulk), WRITE as u32);
    assert_eq!(next_records(&mut driver, &mut foreign), [[(id, WRITE)]]);
    // The same from the ring.
    assert_eq!(write(&mut bulk, WRITE), Some(WRITE));
    let grant = bytes_of(&[
        Frame::OpenAck { stream: id },
        Frame::WindowUpdate { stream: id, increment: 2 * WRITE as u32 },
    ]);
    driver.drive_until(foreign.send(&grant)).unwrap().unwrap();
    assert_eq!(next_records(&mut driver, &mut foreign), [[(id, WRITE)], [(id, WRITE)]]);
}

/// How a stream, or its session, comes to its end.
enum Ending {
    Finish,
    Reset,
    Drop,
    CloseSession,
}

#[test]
fn what_is_in_the_open_record_leaves_before_the_end() {
    for ending in [Ending::Finish, Ending::Reset, Ending::Drop, Ending::CloseSession] {
        let (mut driver, _) = virtual_time::driver();
        let (session, mut foreign) = session(&mut driver, 1 << 20);
        let [mut bulk] = streams(&mut driver, (&session, &mut foreign), [BULK]);
        let id = bulk.id();
        assert_eq!(write(&mut bulk, WRITE), Some(WRITE));
        let mut kept = None;
        let last = match ending {
            Ending::Finish => {
                bulk.close().now_or_never().expect("at once").unwrap();
                kept = Some(bulk);
                Frame::Close { stream: id }
            }
            Ending::Reset => {
                bulk.reset(ResetCode::INTERNAL);
                Frame::Reset { stream: id, code: ResetCode::INTERNAL }
            }
            Ending::Drop => {
                drop(bulk);
                Frame::Reset { stream: id, code: ResetCode::CANCELLED }
            }
            Ending::CloseSession => {
                session.close(CloseCode::DONE);
                Frame::CloseSession(CloseCode::DONE)
            }
        };
        assert_eq!(next_records(&mut driver, &mut foreign), [[(id, WRITE)]]);
        let record = driver.drive_until(foreign.record()).unwrap();
        assert_eq!(frames_in(&record), [last]);
        drop(kept);
    }
}

#[test]
fn a_writer_that_waits_hears_of_the_end() {
    for session_ends in [false, true] {
        let (mut driver, clock) = virtual_time::driver();
        // The link never becomes free.
        let (session, mut foreign) = session(&mut driver, 1000);
        let [mut bulk] = streams(&mut driver, (&session, &mut foreign), [BULK]);
        assert_eq!(write(&mut bulk, WRITE), Some(WRITE));
        let last = if session_ends {
            Frame::CloseSession(CloseCode::GOING_AWAY)
        } else {
            Frame::Reset { stream: bulk.id(), code: ResetCode::NO_SUCH_SERVICE }
        };
        let last = bytes_of(&[last]);
        let handle = driver.handle();
        let ending = async {
            handle.sleep(Duration::from_millis(1)).await;
            foreign.send(&last).await.unwrap();
        };
        let payload = vec![0; 3 * WRITE];
        let (written, ()) = driver.drive_until(join(bulk.write_all(&payload), ending)).unwrap();
        let error = written.unwrap_err();
        let end = error.get_ref().and_then(|inner| inner.downcast_ref::<StreamEnd>());
        let expected = if session_ends {
            StreamEnd::Session(SessionEnd::ClosedByPeer(CloseCode::GOING_AWAY))
        } else {
            StreamEnd::Reset(ResetCode::NO_SUCH_SERVICE)
        };
        assert_eq!(end, Some(&expected));
        assert_eq!(clock.now().as_nanos(), 1_000_000, "at once");
    }
}

#[test]
fn a_writer_that_left_while_it_waited_holds_up_nobody() {
    let (mut driver, clock) = virtual_time::driver();
    let (session, mut foreign) = session(&mut driver, 1000);
    let [mut gone, mut bulk] = streams(&mut driver, (&session, &mut foreign), [BULK, BULK]);
    assert_eq!(write(&mut gone, WRITE), Some(WRITE));
    let handle = driver.handle();
    driver.drive_until(handle.sleep(Duration::from_millis(1))).unwrap();
    assert_eq!(write(&mut gone, WRITE), None);
    drop(gone);
    let payload = vec![bulk.id().get() as u8; 500_000];
    let reading = async {
        let mut bytes = 0;
        while bytes < WRITE + payload.len() {
            let record = foreign.record().await;
            bytes += frames_in(&record).iter().map(|frame| frame.bytes().saturating_sub(8)).sum::<usize>();
        }
    };
    let (written, ()) = driver.drive_until(join(bulk.write_all(&payload), reading)).unwrap();
    written.unwrap();
    assert_eq!(clock.now().as_nanos(), 1_000_000);
}

/// Numbers that depend on nothing but the seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// Writes of every size on streams of several priorities, readers that dawdle, links of every length.
#[test]
fn bytes_keep_their_order_across_direct_and_ring_writes() {
    for seed in 0..16 {
        let mut random = Random(seed);
        let (mut driver, _) = virtual_time::driver();
        let handle = driver.handle();
        let (near, far) = pipe([300, 5000, 65_536, 1 << 18][random.below(4)]);
        let (dialed, accepted) = driver
            .drive_until(join(
                Ours::Dials.start_as(OURS, THEIRS, &handle, near, SessionOptions::default()),
                Ours::Accepts.start_as(THEIRS, OURS, &handle, far, SessionOptions::default()),
            ))
            .unwrap();
        let (dialed, accepted) = (dialed.unwrap(), accepted.unwrap());
        let name = StreamName::new("mixed").unwrap();
        let payload = |which: usize| -> Vec<u8> {
            (0..200_000_usize).map(|at| (at * (which * 2 + 3) % 251) as u8).collect()
        };
        let writers = (0..3).map(|which| {
            let mut stream = dialed.open(&name, Priority::new([4, 4, 0][which]).unwrap()).unwrap();
            let mut random = Random(seed * 3 + which as u64);
            let handle = handle.clone();
            async move {
                stream.write_all(&[which as u8]).await.unwrap();
                let payload = payload(which);
                let mut rest = &payload[..];
                while !rest.is_empty() {
                    let most = [10, 3000, 5000, 40_000, 100_000][random.below(5)];
                    let length = (1 + random.below(most)).min(rest.len());
                    stream.write_all(&rest[..length]).await.unwrap();
                    rest = &rest[length..];
                    if random.below(4) == 0 {
                        handle.sleep(Duration::from_micros(1)).await;
                    }
                }
                stream.close().await.unwrap();
                stream.read_to_end(&mut Vec::new()).await.unwrap();
            }
        });
        let readers = (0..3).map(|reader| {
            let mut incoming = accepted.incoming();
            let mut random = Random(seed * 5 + reader);
            let handle = handle.clone();
            async move {
                let mut stream = incoming.next().await.unwrap().accept();
                let mut received = Vec::new();
                let mut buffer = vec![0; 100_000];
                loop {
                    let most = 1 + random.below(buffer.len());
                    match stream.read(&mut buffer[..most]).await.unwrap() {
                        0 => break,
                        read => received.extend_from_slice(&buffer[..read]),
                    }
                    if random.below(8) == 0 {
                        handle.sleep(Duration::from_micros(3)).await;
                    }
                }
                stream.close().await.unwrap();
                let (which, received) = received.split_first().expect("which it is");
                assert!(received == payload(usize::from(*which)), "seed {seed}: stream {which}");
            }
        });
        driver.drive_until(join(join_all(writers), join_all(readers))).unwrap();
        assert_eq!(handle.rescues(), 0, "seed {seed}");
    }
}
