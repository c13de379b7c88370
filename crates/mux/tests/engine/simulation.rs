//! Two engines, random applications and a link that cuts, joins and delays, each run given by its seed.
//!
//! After every step an oracle checks that bytes arrive in order and complete, that credit is conserved to the byte,
//! that no bound is exceeded and that neither end finds fault with the other. In the end everything is let go: what can
//! move must arrive, guided by events alone, so that a lost wake-up shows as a stream that never finishes.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use vatmux_mux::wire::Frame;
use vatmux_mux::{
    CloseCode, End, Event, Limits, ReadError, ResetCode, Role, Session, Storage, StreamId, Ticks, WriteError,
};

use crate::credit::assert_conserved;
use crate::support::{Fresh, RECORD_BYTES, Random, SmallNoHeap, frames, id, name, priority, with_room};

/// The seeds of an ordinary run. `VATMUX_SIM_SEEDS=FIRST..LAST` runs others, such as the one that failed.
const SEEDS: Range<u64> = 0..1200;
const STEPS: usize = 300;

/// What the applications of both ends have done to a stream, by writing end.
#[derive(Clone, Copy, Default)]
struct Truth {
    written: [u64; 2],
    finished: [bool; 2],
    /// Somebody gave up: what this end writes need not arrive.
    cut: [bool; 2],
}

impl Truth {
    /// `end` was told of a reset: somebody gave up, or there was no room for the stream at its acceptor.
    fn assert_reset(&mut self, end: usize, code: ResetCode) {
        if code == ResetCode::STREAM_LIMIT {
            self.cut = [true; 2];
        }
        assert!(self.cut[end], "nobody gave up on the stream");
    }
}

/// What one application knows of one stream.
#[derive(Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other")]
struct Application {
    accepted: bool,
    read: u64,
    read_to_end: bool,
    /// Waits for an event before it reads or writes again.
    reader_parked: bool,
    writer_parked: bool,
    reset: bool,
}

/// A DATA or `WINDOW_UPDATE` frame on its way, by its place in all that its sender ever transmitted.
struct InFlight {
    stream: StreamId,
    start: u64,
    end: u64,
    granted: u64,
}

struct Party<S: Storage> {
    session: Session<S>,
    streams: BTreeMap<StreamId, Application>,
    /// Transmitted and not delivered.
    link: VecDeque<u8>,
    in_flight: VecDeque<InFlight>,
    transmitted: u64,
    delivered: u64,
}

struct World<S: Storage> {
    random: Random,
    now: Ticks,
    parties: [Party<S>; 2],
    truth: BTreeMap<StreamId, Truth>,
    record: Vec<u8>,
}

/// What end `writer` writes at `offset` of `stream`.
fn byte(stream: StreamId, writer: usize, offset: u64) -> u8 {
    let mixed =
        (offset + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(stream.get()) << 7 ^ writer as u64;
    (mixed >> 24) as u8
}

impl<S: Fresh> World<S> {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let mut limits = || {
            let initial_window_bytes = random.pick(&[1, 2, 7, 100, 1000, 2048]);
            Limits {
                initial_window_bytes,
                max_window_bytes: random.pick(&[initial_window_bytes, 2048]),
                session_window_budget_bytes: random.pick(&[0, 500, 10_000]),
                send_buffer_bytes: random.pick(&[1, 10, 500, 2048]),
                max_incoming_streams: 5,
                max_outgoing_streams: 5,
                max_unaccepted_streams: random.pick(&[1, 2, 5]),
                starvation_bytes: random.pick(&[1, 1000]),
                ..Limits::FIXED
            }
        };
        let limits = [limits(), limits()];
        let party = |role, mine: usize| Party {
            session: Session::new(role, limits[mine], limits[1 - mine].hello(), S::fresh(), Ticks::ZERO)
                .expect("limits"),
            streams: BTreeMap::new(),
            link: VecDeque::new(),
            in_flight: VecDeque::new(),
            transmitted: 0,
            delivered: 0,
        };
        let parties = [party(Role::Dialer, 0), party(Role::Acceptor, 1)];
        Self { random, now: Ticks::ZERO, parties, truth: BTreeMap::new(), record: vec![0; RECORD_BYTES] }
    }

    /// One thing happens somewhere.
    fn step(&mut self) {
        let end = self.random.below(2);
        let known: Vec<_> = self.parties[end].streams.keys().copied().collect();
        let stream = (!known.is_empty()).then(|| self.random.pick(&known));
        match (self.random.below(100), stream) {
            (0..6, _) => self.open(end),
            (6..16, _) => self.events(end),
            (16..24, Some(stream)) => self.answer(end, stream),
            (24..42, Some(stream)) => self.write(end, stream),
            (42..60, Some(stream)) => self.read(end, stream, false),
            (60..63, Some(stream)) => self.finish(end, stream),
            (63, Some(stream)) => self.reset(end, stream),
            (64..66, Some(stream)) => self.release(end, stream),
            (66..80, _) => self.transmit(end),
            (80..98, _) => {
                let most = self.random.pick(&[1, 9, 100, 10_000]);
                self.deliver(end, most);
            }
            (98, _) => self.tick(),
            _ => {}
        }
    }

    fn open(&mut self, end: usize) {
        let level = self.random.below(8) as u8;
        let party = &mut self.parties[end];
        if let Ok(stream) = party.session.open(&name("simulated"), priority(level)) {
            party.streams.insert(stream, Application { accepted: true, ..Application::default() });
            self.truth.insert(stream, Truth::default());
        }
    }

    fn events(&mut self, end: usize) {
        let party = &mut self.parties[end];
        while let Some(event) = party.session.poll_event() {
            let known = &mut party.streams;
            match event {
                Event::Incoming { id, .. } => {
                    assert!(known.insert(id, Application::default()).is_none());
                }
                Event::Opened(_) => {}
                Event::Readable(id) => known.get_mut(&id).expect("a known stream").reader_parked = false,
                Event::Writable(id) => known.get_mut(&id).expect("a known stream").writer_parked = false,
                Event::Reset(id, code) => {
                    self.truth.get_mut(&id).expect("an opened stream").assert_reset(end, code);
                    let stream = known.get_mut(&id).expect("a known stream");
                    (stream.reset, stream.reader_parked, stream.writer_parked) = (true, false, false);
                }
                Event::Ended => assert!(party.session.end().is_some()),
            }
        }
        // No wake-up is lost: whoever still waits has reason to.
        for (stream, application) in &party.streams {
            let statistics =
                party.session.stream_statistics(*stream).expect("a stream that is held is known");
            if application.reader_parked {
                assert_eq!(statistics.unread_bytes, 0, "the reader of stream {stream} was not woken");
            }
            if application.writer_parked {
                let full = party.session.limits().send_buffer_bytes;
                assert_eq!(statistics.unsent_bytes, full, "the writer of stream {stream} was not woken");
            }
        }
    }

    /// Accepts or refuses a stream that waits for it.
    fn answer(&mut self, end: usize, stream: StreamId) {
        let refuses = self.random.one_in(8);
        let party = &mut self.parties[end];
        let application = party.streams.get_mut(&stream).expect("a known stream");
        if application.accepted {
            return;
        }
        if refuses {
            party.session.refuse(stream, ResetCode::NO_SUCH_SERVICE).expect("it was offered");
            party.streams.remove(&stream);
            self.truth.get_mut(&stream).expect("an opened stream").cut = [true; 2];
        } else {
            party.session.accept(stream).expect("it was offered");
            application.accepted = true;
        }
    }

    fn write(&mut self, end: usize, stream: StreamId) {
        let most = self.random.pick(&[1, 10, 3000]);
        let length = 1 + self.random.below(most) as u64;
        let party = &mut self.parties[end];
        let application = party.streams.get_mut(&stream).expect("a known stream");
        let truth = self.truth.get_mut(&stream).expect("an opened stream");
        if application.writer_parked || !application.accepted || truth.finished[end] {
            return;
        }
        let from = truth.written[end];
        let bytes: Vec<u8> = (from..from + length).map(|offset| byte(stream, end, offset)).collect();
        match party.session.write(stream, &bytes) {
            Ok(written) => {
                assert!((1..=bytes.len()).contains(&written));
                truth.written[end] += written as u64;
            }
            Err(WriteError::Blocked) => application.writer_parked = true,
            Err(WriteError::Reset(code)) => truth.assert_reset(end, code),
            Err(WriteError::Ended(_)) => {}
            Err(error) => panic!("stream {stream}: {error}"),
        }
    }

    fn read(&mut self, end: usize, stream: StreamId, everything: bool) {
        let party = &mut self.parties[end];
        let application = party.streams.get_mut(&stream).expect("a known stream");
        if application.reader_parked || application.read_to_end || !application.accepted {
            return;
        }
        let writer = 1 - end;
        let truth = self.truth.get_mut(&stream).expect("an opened stream");
        match party.session.readable(stream) {
            Ok((first, second)) => {
                let mut offset = application.read;
                for read in first.iter().chain(second) {
                    assert_eq!(*read, byte(stream, writer, offset), "stream {stream} at {offset}");
                    offset += 1;
                }
                assert!(offset <= truth.written[writer]);
                let readable = first.len() + second.len();
                let consumed = if everything { readable } else { 1 + self.random.below(readable) };
                party.session.consume(stream, consumed).expect("it was readable");
                application.read += consumed as u64;
            }
            Err(ReadError::Blocked) => application.reader_parked = true,
            Err(ReadError::Finished) => {
                assert!(truth.finished[writer]);
                assert_eq!(application.read, truth.written[writer], "stream {stream} is not complete");
                application.read_to_end = true;
            }
            Err(ReadError::Reset(code)) => {
                truth.assert_reset(writer, code);
                application.read_to_end = true;
            }
            Err(ReadError::Ended(_)) => application.read_to_end = true,
            Err(error) => panic!("stream {stream}: {error}"),
        }
    }

    fn finish(&mut self, end: usize, stream: StreamId) {
        let party = &mut self.parties[end];
        let truth = self.truth.get_mut(&stream).expect("an opened stream");
        if party.streams[&stream].accepted && party.session.finish(stream).is_ok() {
            assert!(!truth.finished[end]);
            truth.finished[end] = true;
        }
    }

    fn reset(&mut self, end: usize, stream: StreamId) {
        self.parties[end].session.reset(stream, ResetCode::INTERNAL).expect("a known stream");
        self.truth.get_mut(&stream).expect("an opened stream").cut = [true; 2];
        let application = self.parties[end].streams.get_mut(&stream).expect("a known stream");
        (application.reset, application.reader_parked, application.writer_parked) = (true, false, false);
    }

    fn release(&mut self, end: usize, stream: StreamId) {
        let party = &mut self.parties[end];
        party.session.release(stream);
        party.streams.remove(&stream);
        let truth = self.truth.get_mut(&stream).expect("an opened stream");
        truth.cut[1 - end] = true;
        // What was finished is still delivered.
        truth.cut[end] |= !truth.finished[end];
        assert_eq!(party.session.readable(stream), Err(ReadError::Unknown));
    }

    fn transmit(&mut self, end: usize) {
        let room = self.random.pick(&[10, 73, 100, 1000, RECORD_BYTES]);
        let party = &mut self.parties[end];
        let record = &mut self.record[..room];
        let bytes = party.session.transmit(record);
        if room >= vatmux_mux::MIN_TRANSMIT_BYTES && bytes == 0 {
            assert!(!party.session.wants_transmit(), "there is room and something to send");
        }
        for frame in frames(&record[..bytes]) {
            let (start, end) = (party.transmitted, party.transmitted + frame.bytes() as u64);
            party.transmitted = end;
            match frame {
                Frame::Data { stream, .. } => {
                    party.in_flight.push_back(InFlight { stream, start, end, granted: 0 });
                }
                Frame::WindowUpdate { stream, increment } => {
                    party.in_flight.push_back(InFlight { stream, start, end, granted: u64::from(increment) });
                }
                _ => {}
            }
        }
        party.link.extend(&record[..bytes]);
    }

    /// The link from `end` delivers up to `most` bytes; returns how many.
    fn deliver(&mut self, end: usize, most: usize) -> usize {
        let now = self.now;
        let [first, second] = &mut self.parties;
        let (from, to) = if end == 0 { (first, second) } else { (second, first) };
        let count = most.min(from.link.len());
        let bytes: Vec<u8> = from.link.drain(..count).collect();
        from.delivered += count as u64;
        while from.in_flight.front().is_some_and(|frame| frame.end <= from.delivered) {
            from.in_flight.pop_front();
        }
        if let Err(violation) = to.session.receive(&bytes, now) {
            panic!("an honest peer was accused: {violation}");
        }
        count
    }

    fn tick(&mut self) {
        self.pump();
        self.now = self.now.after(Ticks(1 + self.random.below(4) as u64));
        for party in &mut self.parties {
            party.session.handle_timeout(self.now);
        }
        self.pump();
    }

    /// Moves bytes until there are none; returns how many.
    fn pump(&mut self) -> usize {
        let mut moved = 0;
        loop {
            let mut now = 0;
            for end in 0..2 {
                self.transmit(end);
                now += self.deliver(end, usize::MAX);
            }
            if now == 0 && self.parties.iter().all(|party| !party.session.wants_transmit()) {
                return moved;
            }
            moved += now;
        }
    }

    fn check(&self) {
        for (receiver, party) in self.parties.iter().enumerate() {
            let sender = &self.parties[1 - receiver];
            assert_eq!(party.session.end(), None);
            let limits = party.session.limits();
            let mut grown = 0;
            for stream in party.streams.keys() {
                let Some(statistics) = party.session.stream_statistics(*stream) else {
                    panic!("a stream that is held is known")
                };
                assert!(statistics.unread_bytes <= statistics.window_bytes);
                assert!(statistics.window_bytes <= limits.max_window_bytes);
                assert!(statistics.unsent_bytes <= limits.send_buffer_bytes);
                grown += statistics.window_bytes - limits.initial_window_bytes;
                let truth = &self.truth[stream];
                if truth.cut[0] || truth.cut[1] || !sender.streams.contains_key(stream) {
                    continue;
                }
                let granted_in_flight = party
                    .in_flight
                    .iter()
                    .filter(|frame| frame.stream == *stream)
                    .map(|frame| frame.granted)
                    .sum();
                let partial = sender
                    .in_flight
                    .front()
                    .filter(|frame| {
                        frame.stream == *stream && frame.granted == 0 && frame.start + 8 <= sender.delivered
                    })
                    .map_or(0, |frame| frame.end - sender.delivered);
                assert_conserved(&sender.session, &party.session, *stream, granted_in_flight, partial);
            }
            assert!(grown <= limits.session_window_budget_bytes);
            assert!(party.session.statistics().streams <= 10);
        }
    }

    /// Nothing new begins, and everything that can move does, woken by events alone.
    fn drain(&mut self) {
        loop {
            let moved = self.pump();
            let mut read = 0;
            for end in 0..2 {
                self.events(end);
                let known: Vec<_> = self.parties[end].streams.keys().copied().collect();
                for stream in known {
                    let application = self.parties[end].streams.get_mut(&stream).expect("a known stream");
                    if !application.accepted {
                        application.accepted = true;
                        self.parties[end].session.accept(stream).expect("it was offered");
                    }
                    self.finish(end, stream);
                    let before = self.parties[end].streams[&stream].read;
                    self.read(end, stream, true);
                    read += self.parties[end].streams[&stream].read - before;
                }
            }
            if moved == 0 && read == 0 && self.parties.iter().all(|party| !party.session.wants_transmit()) {
                break;
            }
        }
        for (end, party) in self.parties.iter().enumerate() {
            for (stream, application) in &party.streams {
                let truth = &self.truth[stream];
                assert!(
                    application.read_to_end || application.reset || truth.cut[1 - end],
                    "stream {stream} is stuck at {} of {}",
                    application.read,
                    truth.written[1 - end]
                );
            }
        }
    }

    /// Everything is let go, and nothing is left behind.
    fn finish_all(&mut self) {
        for end in 0..2 {
            let known: Vec<_> = self.parties[end].streams.keys().copied().collect();
            for stream in known {
                self.release(end, stream);
            }
        }
        loop {
            let moved = self.pump();
            for end in 0..2 {
                self.events(end);
                let late: Vec<_> = self.parties[end].streams.keys().copied().collect();
                for stream in late {
                    self.release(end, stream);
                }
            }
            if moved == 0 {
                break;
            }
        }
        for party in &self.parties {
            let statistics = party.session.statistics();
            assert_eq!(statistics.streams, 0);
            assert_eq!(statistics.window_budget_bytes, party.session.limits().session_window_budget_bytes);
            assert!(!party.session.wants_transmit());
        }
    }
}

fn run<S: Fresh>(seed: u64) {
    let mut world = World::<S>::new(seed);
    for _ in 0..STEPS {
        world.step();
        world.check();
    }
    world.drain();
    world.check();
    if world.random.one_in(4) {
        let end = world.random.below(2);
        world.parties[end].session.close(CloseCode(seed as u32));
        world.pump();
        assert_eq!(world.parties[1 - end].session.end(), Some(End::PeerClosed(CloseCode(seed as u32))));
        return;
    }
    world.finish_all();
}

fn seeds() -> Range<u64> {
    let Ok(asked) = std::env::var("VATMUX_SIM_SEEDS") else { return SEEDS };
    let (first, last) = asked.split_once("..").expect("FIRST..LAST");
    first.parse().expect("a seed")..last.parse().expect("a seed")
}

fn every_seed<S: Fresh>() {
    for seed in seeds() {
        let outcome = std::panic::catch_unwind(|| run::<S>(seed));
        assert!(outcome.is_ok(), "seed {seed} failed");
    }
}

#[test]
fn every_seed_keeps_the_promises_without_a_heap() {
    with_room(every_seed::<SmallNoHeap>);
}

#[test]
fn every_seed_keeps_the_promises_on_the_heap() {
    every_seed::<vatmux_mux::HeapStorage>();
}

/// The oracle itself: a stream whose reader is never woken is found.
#[test]
#[should_panic(expected = "was not woken")]
fn a_lost_wake_up_is_found() {
    let mut world = World::<SmallNoHeap>::new(3);
    world.open(0);
    world.pump();
    world.events(1);
    let stream = id(1);
    world.parties[1].session.accept(stream).expect("it was offered");
    world.parties[1].streams.insert(stream, Application { accepted: true, ..Application::default() });
    world.write(0, stream);
    world.finish(0, stream);
    world.pump();
    while world.parties[1].session.poll_event().is_some() {}
    world.parties[1].streams.get_mut(&stream).expect("a known stream").reader_parked = true;
    world.drain();
}
