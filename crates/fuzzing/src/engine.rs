//! One session of the mux, a peer that sends any bytes in any pieces, and an application that does anything in between.
//!
//! The same script is played over both storages, and what arrives is cut in another way each time: none of that may make
//! a difference.

use std::collections::BTreeMap;

use vatmux_mux::wire::Frame;
use vatmux_mux::{
    CloseCode, End, Event, ExclusiveNames, HeapStorage, MIN_TRANSMIT_BYTES, OpenError, Priority, ReadError,
    ResetCode, Session, SessionStatistics, StaticStorage, Storage, StreamId, StreamName, Ticks, Violation,
};

use crate::script::{MOST_TICKS, RECORD_BYTES, RING_BYTES, STREAMS, Script, Step, chosen, encoded};
use crate::witness::{Stop, Witness, written};

type NoHeap = Box<StaticStorage<{ 2 * STREAMS as usize }, { RING_BYTES as usize }>>;

/// Plays the script that `bytes` are.
pub(crate) fn run(bytes: &[u8]) {
    let script = Script::read(bytes);
    let on_the_heap = Play::run(&script, HeapStorage::new(), false);
    let without_heap = Play::run(&script, NoHeap::new(StaticStorage::new()), true);
    assert_eq!(on_the_heap, without_heap, "storage or fragmentation made a difference");
}

/// What one play of a script came to. Another play must come to the same.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    end: Option<End>,
    events: Vec<Event>,
    transmitted: Vec<u8>,
    read: BTreeMap<StreamId, usize>,
    statistics: SessionStatistics,
}

/// A script being played.
struct Play<S: Storage> {
    session: Session<S>,
    witness: Witness,
    now: Ticks,
    /// What arrives, arrives in one piece, whatever the script says.
    joined: bool,
    /// Streams that the application knows, in the order in which it heard of them; whether it holds them, or they wait
    /// to be accepted.
    known: Vec<(StreamId, bool)>,
    written: BTreeMap<StreamId, u64>,
    /// What the session may have reason to say: a few frames for each thing that happened.
    reasons: u64,
    told_of_end: bool,
    exclusive: ExclusiveNames,
    /// When bytes last arrived, and when there was last a sign of life.
    proven_at: Ticks,
    heard_at: Ticks,
    record: Vec<u8>,
    outcome: Outcome,
}

impl<S: Storage> Play<S> {
    fn run(script: &Script, storage: S, joined: bool) -> Outcome {
        let Script { role, limits, peer, steps } = script;
        let session = Session::new(*role, *limits, *peer, storage, Ticks::ZERO).expect("limits that agree");
        let statistics = session.statistics();
        let mut play = Self {
            session,
            witness: Witness::new(*role, peer.initial_window_bytes),
            now: Ticks::ZERO,
            joined,
            known: Vec::new(),
            written: BTreeMap::new(),
            reasons: 0,
            told_of_end: false,
            exclusive: ExclusiveNames::new(),
            proven_at: Ticks::ZERO,
            heard_at: Ticks::ZERO,
            record: vec![0; RECORD_BYTES],
            outcome: Outcome {
                end: None,
                events: Vec::new(),
                transmitted: Vec::new(),
                read: BTreeMap::new(),
                statistics,
            },
        };
        for step in steps {
            play.step(step);
            play.check();
        }
        play.let_go();
        play.outcome.end = play.session.end();
        play.outcome.statistics = play.session.statistics();
        play.outcome
    }

    fn step(&mut self, step: &Step) {
        self.reasons += 1;
        match step {
            Step::Arrive(bytes, piece) => self.arrive(bytes, *piece),
            Step::Answer => {
                if let Some(nonce) = self.witness.newest_ping_sent {
                    self.arrive(&encoded(&Frame::Pong(nonce)), 16);
                }
            }
            Step::Open(priority) => self.open(*priority),
            Step::Poll => self.poll(),
            Step::Accept(nth) => self.answer(*nth, true),
            Step::Refuse(nth) => self.answer(*nth, false),
            Step::Write(nth, most) => self.write(*nth, *most),
            Step::Read(nth, most) => self.read(*nth, *most as usize),
            Step::Finish(nth) => {
                if let Some((stream, held)) = self.nth(*nth) {
                    let outcome = self.session.finish(stream);
                    assert!(held || outcome.is_err(), "stream {stream} was not accepted");
                }
            }
            Step::Reset(nth) => {
                if let Some((stream, _)) = self.nth(*nth) {
                    self.session.reset(stream, ResetCode::INTERNAL).expect("a known stream");
                }
            }
            Step::Release(nth) => {
                if let Some((stream, _)) = self.nth(*nth) {
                    self.release(stream);
                }
            }
            Step::Close => {
                let before = self.session.end();
                self.session.close(CloseCode::GOING_AWAY);
                let ours = End::Closed(CloseCode::GOING_AWAY);
                assert_eq!(self.session.end(), Some(before.unwrap_or(ours)), "a session ends once");
            }
            Step::KeepExclusive(bits) => {
                self.exclusive = chosen(*bits);
                self.session.set_exclusive_names(&self.exclusive);
                // Those that wait and are turned away have no name any more.
                let session = &self.session;
                self.known.retain(|(stream, held)| *held || session.name(*stream).is_some());
            }
            Step::Trickle => self.trickle(),
            Step::Transmit(room) => _ = self.transmit(*room),
            Step::Wait(ticks) => {
                self.now = self.now.after(Ticks(*ticks));
                self.session.handle_timeout(self.now);
                self.assert_silence_ends();
            }
        }
    }

    /// Bytes that nothing has proved yet are life for a while, and change nothing else.
    fn trickle(&mut self) {
        let before = (self.session.end(), self.session.statistics());
        self.session.heard(self.now);
        assert_eq!((self.session.end(), self.session.statistics()), before, "nothing has arrived");
        let patience = Ticks(8 * self.session.limits().dead_after_ticks.0);
        if before.0.is_none() && self.now.since(self.proven_at) < patience {
            self.heard_at = self.now;
        }
    }

    /// A silent peer is dead when it should be, and not before. Time passes by up to ten ticks at once.
    fn assert_silence_ends(&self) {
        let (limits, silence) = (self.session.limits(), self.now.since(self.heard_at));
        let (ping_after, dead_after) = (limits.ping_after_ticks.0, limits.dead_after_ticks.0);
        match self.session.end() {
            None => {
                // Noticed, asked, and waited for as long as a PING is given.
                let most = ping_after + MOST_TICKS + (dead_after - ping_after) + MOST_TICKS;
                assert!(silence.0 < most, "silent for {silence:?}, and alive");
            }
            Some(End::KeepaliveTimeout) => assert!(silence.0 >= dead_after, "silent for {silence:?} only"),
            Some(End::Closed(_) | End::PeerClosed(_) | End::Violation(_)) => {}
        }
    }

    fn nth(&self, nth: u32) -> Option<(StreamId, bool)> {
        self.known.get((nth as usize).checked_rem(self.known.len())?).copied()
    }

    /// Bytes arrive. Every one that arrives before the end has its effect, and none that arrives after it.
    fn arrive(&mut self, bytes: &[u8], piece: usize) {
        let before = self.session.end();
        let statistics = self.session.statistics();
        if before.is_none() {
            self.witness.arrives(bytes);
            if !bytes.is_empty() {
                (self.heard_at, self.proven_at) = (self.now, self.now);
            }
        }
        for piece in bytes.chunks(if self.joined { usize::MAX } else { piece }) {
            let was = self.session.end();
            let outcome = self.session.receive(piece, self.now);
            let is = self.session.end();
            assert!(was.is_none() || is == was, "a session ends once");
            match is {
                Some(End::Violation(violation)) => assert_eq!(outcome, Err(violation), "the first is final"),
                _ => assert_eq!(outcome, Ok(())),
            }
        }
        match (before, self.session.end()) {
            (Some(_), _) => assert_eq!(self.session.statistics(), statistics, "what follows is ignored"),
            (None, None) => assert_eq!(self.witness.stop, None, "nobody saw it"),
            (None, Some(End::PeerClosed(code))) => assert_eq!(self.witness.stop, Some(Stop::Closed(code))),
            (None, Some(End::Violation(violation))) if is_wrong_by_itself(&violation) => {
                assert_eq!(self.witness.stop, Some(Stop::Wrong(violation)));
            }
            (None, Some(End::Violation(_))) => {}
            (None, Some(end @ (End::Closed(_) | End::KeepaliveTimeout))) => {
                panic!("bytes made it end: {end}")
            }
        }
    }

    fn open(&mut self, priority: Priority) {
        let name = StreamName::new("own").expect("a legal name");
        let before = self.session.statistics();
        match self.session.open(&name, priority) {
            Ok(stream) => {
                assert!(self.session.role().opens(stream) && self.session.end().is_none());
                assert_eq!(
                    (self.session.name(stream), self.session.priority(stream)),
                    (Some(&name), Some(priority))
                );
                self.known.push((stream, true));
            }
            Err(error) => {
                assert_eq!(self.session.statistics(), before, "an error changes nothing");
                match error {
                    OpenError::Ended(end) => assert_eq!(self.session.end(), Some(end)),
                    OpenError::PeerLimit { maximum } => {
                        assert_eq!(maximum, self.session.peer().max_streams);
                    }
                    OpenError::LocalLimit => assert!(before.streams > 0),
                    OpenError::IdsExhausted => panic!("{error}"),
                }
            }
        }
    }

    fn answer(&mut self, nth: u32, accepts: bool) {
        let Some((stream, held)) = self.nth(nth) else { return };
        let outcome = if accepts {
            self.session.accept(stream)
        } else {
            self.session.refuse(stream, ResetCode::NO_SUCH_SERVICE)
        };
        assert_eq!(outcome.is_ok(), !held, "stream {stream}: {outcome:?}");
        match (held, accepts) {
            (true, _) => {}
            (false, true) => {
                for known in self.known.iter_mut().filter(|(known, _)| *known == stream) {
                    known.1 = true;
                }
            }
            (false, false) => self.forget(stream),
        }
    }

    fn write(&mut self, nth: u32, most: u32) {
        let Some((stream, held)) = self.nth(nth) else { return };
        let from = self.written.get(&stream).copied().unwrap_or(0);
        let bytes: Vec<u8> = (from..from + u64::from(most)).map(|offset| written(stream, offset)).collect();
        if let Ok(count) = self.session.write(stream, &bytes) {
            assert!(held && (1..=bytes.len()).contains(&count));
            *self.written.entry(stream).or_default() += count as u64;
        }
    }

    /// What is read is what arrived, in order and without a gap.
    fn read(&mut self, nth: u32, most: usize) {
        let Some((stream, held)) = self.nth(nth) else { return };
        let read = self.outcome.read.entry(stream).or_default();
        let carried = self.witness.streams.entry(stream).or_default();
        match self.session.readable(stream) {
            Ok((first, second)) => {
                let bytes = [first, second].concat();
                assert!(held && !bytes.is_empty());
                assert_eq!(
                    carried.arrived.get(*read..*read + bytes.len()),
                    Some(&bytes[..]),
                    "stream {stream}"
                );
                let count = bytes.len().min(most);
                assert!(self.session.consume(stream, bytes.len() + 1).is_err());
                self.session.consume(stream, count).expect("it was readable");
                *read += count;
            }
            Err(ReadError::Finished) => {
                assert_eq!(carried.complete, Some(*read), "stream {stream} has a gap");
            }
            Err(ReadError::Blocked) => assert!(held && self.session.end().is_none()),
            Err(ReadError::Ended(end)) => assert_eq!(self.session.end(), Some(end)),
            Err(ReadError::NotAccepted) => assert!(!held),
            Err(ReadError::Reset(_)) => assert!(held),
            Err(ReadError::Unknown) => panic!("stream {stream} is known"),
        }
    }

    fn release(&mut self, stream: StreamId) {
        self.session.release(stream);
        self.forget(stream);
        assert_eq!(self.session.readable(stream), Err(ReadError::Unknown));
        assert_eq!(self.session.name(stream), None);
    }

    fn forget(&mut self, stream: StreamId) {
        self.known.retain(|(known, _)| *known != stream);
    }

    fn poll(&mut self) {
        while let Some(event) = self.session.poll_event() {
            assert!(!self.told_of_end, "the end is told last and once");
            self.outcome.events.push(event);
            match event {
                Event::Incoming { id, .. } => {
                    assert!(self.known.iter().all(|(known, _)| *known != id));
                    self.known.push((id, false));
                    let waiting = self.known.iter().filter(|(_, held)| !held).count();
                    assert!(waiting <= self.session.limits().max_unaccepted_streams as usize);
                }
                Event::Opened(id) | Event::Readable(id) | Event::Writable(id) | Event::Reset(id, _) => {
                    assert!(
                        self.known.iter().any(|(known, _)| *known == id),
                        "{event:?} of an unknown stream"
                    );
                }
                Event::Ended => self.told_of_end = true,
            }
        }
        assert_eq!(self.told_of_end, self.session.end().is_some(), "an end is told");
        if self.session.end().is_none() {
            for name in self.exclusive.iter() {
                let waits = |(stream, held): &&(StreamId, bool)| {
                    let carried = self.witness.streams.get(stream);
                    !held && carried.is_some_and(|one| one.name.as_ref() == Some(name) && !one.is_reset())
                };
                assert!(self.known.iter().filter(waits).count() <= 1, "{name} is exclusive");
            }
        }
    }

    fn transmit(&mut self, room: usize) -> usize {
        let wanted = self.session.wants_transmit();
        let bytes = self.session.transmit(&mut self.record[..room]);
        assert!(bytes == 0 || wanted, "nobody said that there was something to send");
        assert!(bytes > 0 || room < MIN_TRANSMIT_BYTES || !self.session.wants_transmit());
        self.witness.leaves(&self.record[..bytes]);
        self.outcome.transmitted.extend_from_slice(&self.record[..bytes]);
        bytes
    }

    /// What holds at any time.
    fn check(&self) {
        let limits = self.session.limits();
        let statistics = self.session.statistics();
        assert!(statistics.streams <= limits.max_incoming_streams + limits.max_outgoing_streams);
        let mut grown_bytes = 0;
        for (stream, _) in &self.known {
            let one = self.session.stream_statistics(*stream).expect("a known stream");
            assert!(
                one.window_bytes <= limits.max_window_bytes && one.unsent_bytes <= limits.send_buffer_bytes
            );
            assert!(one.granted_bytes + one.unread_bytes + one.owed_bytes <= one.window_bytes);
            grown_bytes += one.window_bytes - limits.initial_window_bytes;
            assert_eq!(one.sent_bytes, self.witness.sent_bytes(*stream));
            if let Some(carried) = self.witness.streams.get(stream) {
                let granted_bytes = u64::from(limits.initial_window_bytes) + carried.granted_bytes;
                assert!(one.received_bytes <= granted_bytes, "stream {stream} took more than it granted");
                assert!(one.received_bytes <= carried.arrived.len() as u64);
            }
        }
        assert!(grown_bytes + statistics.window_budget_bytes <= limits.session_window_budget_bytes);
        assert_eq!(self.session.end().is_some(), self.session.next_deadline().is_none());
        // An answer for each frame that arrived, three frames for what an application does, and no more.
        let most = self.witness.frames_arrived + 3 * self.reasons + 1;
        let sent = self.witness.control_frames_sent;
        assert!(sent <= most, "{sent} control frames were sent, with reason for {most}");
    }

    /// The application lets go of everything, the link takes everything, and the session ends as it should.
    fn let_go(&mut self) {
        self.poll();
        for (stream, _) in std::mem::take(&mut self.known) {
            self.reasons += 1;
            self.release(stream);
        }
        while self.transmit(RECORD_BYTES) > 0 {}
        self.poll();
        self.check();
        let expected = match self.session.end() {
            None | Some(End::PeerClosed(_)) => None,
            Some(End::Closed(code)) => Some(code),
            Some(End::Violation(violation)) => Some(violation.close_code()),
            Some(End::KeepaliveTimeout) => Some(CloseCode::KEEPALIVE_TIMEOUT),
        };
        assert_eq!(self.witness.closed, expected, "an end is said once, with its code");
        if self.session.end().is_some() {
            assert_eq!(self.session.statistics().streams, 0, "nothing is left behind");
        }
    }
}

/// Whether a frame shows the violation without the session's state.
fn is_wrong_by_itself(violation: &Violation) -> bool {
    match violation {
        Violation::UnknownKind { .. }
        | Violation::ReservedFlags { .. }
        | Violation::FrameOversize { .. }
        | Violation::FrameTooShort { .. }
        | Violation::MisplacedFrame { .. }
        | Violation::InvalidPriority { .. }
        | Violation::InvalidStreamName(_)
        | Violation::EmptyWindowUpdate { .. } => true,
        Violation::InvalidOpen { .. }
        | Violation::InvalidStreamState { .. }
        | Violation::UnknownStream { .. }
        | Violation::CreditExceeded { .. }
        | Violation::CreditOverflow { .. }
        | Violation::StreamLimitExceeded { .. }
        | Violation::Flood(_) => false,
    }
}
