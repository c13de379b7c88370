//! The honest run: two engines, two applications and a link that cuts, joins, stalls and fills up.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use vatmux_mux::wire::{Frame, HEADER_BYTES, Header};
use vatmux_mux::{
    CloseCode, End, Event, FinishError, MIN_TRANSMIT_BYTES, OpenError, Passage, Priority, ReadError,
    ResetCode, Role, Session, Storage, StreamId, StreamName, Ticks, WriteError,
};

use crate::case::{Act, Clock, Setting, Step};
use crate::digest::Digest;
use crate::frames::frames;
use crate::fresh::Fresh;
use crate::lending::{Lender, Taker};
use crate::names::{self, Claim, Names};
use crate::turns::Turns;

/// The plaintext of the largest Noise record.
const RECORD_BYTES: u32 = 65_519;
/// For how many times the longest silence parts of a record count as life (MUX-9.6).
const UNPROVEN_PATIENCE: u64 = 8;
const ENDS: [Role; 2] = [Role::Dialer, Role::Acceptor];

/// What the applications of both ends have done to a stream, by writing end.
#[derive(Clone, Copy, Default)]
pub(crate) struct Truth {
    pub(crate) written: [u64; 2],
    pub(crate) finished: [bool; 2],
    /// Somebody gave up: what this end writes need not arrive.
    pub(crate) cut: [bool; 2],
    /// The application of the end that did not open it took it.
    pub(crate) accepted: bool,
    /// It came under an exclusive name that another stream had.
    duplicate: bool,
    /// Bytes in window updates on their way, by the end that grants.
    pub(crate) granting: [u64; 2],
}

impl Truth {
    /// It is answered with `DUPLICATE_NAME`.
    fn refuse_duplicate(&mut self) {
        (self.duplicate, self.cut) = (true, [true; 2]);
    }

    /// `end` was told of a reset: somebody gave up, or there was no room for the stream at its acceptor, or another had
    /// its name.
    fn assert_reset(&mut self, end: usize, code: ResetCode) {
        assert!(self.duplicate || code != ResetCode::DUPLICATE_NAME, "no other stream had its name");
        if code == ResetCode::STREAM_LIMIT {
            self.cut = [true; 2];
        }
        assert!(self.cut[end], "nobody gave up on the stream");
    }
}

/// What one application knows of one stream.
#[derive(Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other")]
pub(crate) struct Application {
    /// Opened by itself, or accepted.
    pub(crate) held: bool,
    pub(crate) opened: bool,
    pub(crate) read: u64,
    pub(crate) read_to_end: bool,
    /// Waits for an event before it reads or writes again.
    pub(crate) reader_parked: bool,
    pub(crate) writer_parked: bool,
    pub(crate) reset: bool,
}

/// A DATA or `WINDOW_UPDATE` frame on its way, by its place in all that its sender ever transmitted.
pub(crate) struct InFlight {
    pub(crate) stream: StreamId,
    pub(crate) start: u64,
    pub(crate) end: u64,
    granted: u64,
}

impl InFlight {
    pub(crate) fn is_data(&self) -> bool {
        self.granted == 0
    }
}

/// What a frame that arrives means for the names of streams.
enum News {
    Open(StreamId, StreamName),
    Close(StreamId),
    Reset(StreamId),
}

pub(crate) struct Party<S: Storage> {
    pub(crate) session: Session<S>,
    pub(crate) streams: BTreeMap<StreamId, Application>,
    /// Transmitted; delivered up to `link_start`.
    link: Vec<u8>,
    link_start: usize,
    stalled_until: Ticks,
    pub(crate) in_flight: VecDeque<InFlight>,
    /// Frames on their way that open and end streams, by their ends.
    news: VecDeque<(u64, News)>,
    transmitted: u64,
    pub(crate) delivered: u64,
    /// Of the streams that the other end opens.
    pub(crate) names: Names,
    pub(crate) turns: Turns,
    lender: Lender,
    appetite: u32,
    /// When this end last received a byte, or part of a record that counts as life.
    pub(crate) heard: Ticks,
    /// When it last received a byte.
    proven: Ticks,
    /// The code that its application closed the session with.
    pub(crate) closed: Option<CloseCode>,
    told_of_end: bool,
    /// Streams of the other end's that the application has been told of.
    told: BTreeSet<StreamId>,
    /// Released, and not forgotten by the engine when last looked at.
    pub(crate) lingering: Vec<StreamId>,
}

impl<S: Storage> Party<S> {
    fn backlog(&self) -> usize {
        self.link.len() - self.link_start
    }

    fn nth(&self, nth: u32) -> Option<StreamId> {
        let position = (nth as usize).checked_rem(self.streams.len())?;
        self.streams.keys().nth(position).copied()
    }
}

pub(crate) struct World<S: Storage> {
    pub(crate) now: Ticks,
    pub(crate) parties: [Party<S>; 2],
    pub(crate) truth: BTreeMap<StreamId, Truth>,
    link_bytes: usize,
    clock: Clock,
    record: Vec<u8>,
    digest: Digest,
}

pub(crate) const fn index(role: Role) -> usize {
    match role {
        Role::Dialer => 0,
        Role::Acceptor => 1,
    }
}

/// What end `writer` writes at `offset` of `stream`.
pub(crate) fn byte(stream: StreamId, writer: usize, offset: u64) -> u8 {
    let mixed =
        (offset + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(stream.get()) << 7 ^ writer as u64;
    (mixed >> 24) as u8
}

/// Runs the case and returns the digest of all that was transmitted and told.
pub(crate) fn run<S: Fresh>(setting: &Setting, steps: &[Step]) -> u64 {
    let mut world = World::<S>::new(setting);
    for step in steps {
        world.step(*step);
        world.check();
    }
    world.finish_all();
    world.digest.value()
}

impl<S: Fresh> World<S> {
    pub(crate) fn new(setting: &Setting) -> Self {
        let limits = setting.limits;
        let party = |role| {
            let mine = index(role);
            let peer = limits[1 - mine].hello();
            Party {
                session: Session::new(role, limits[mine], peer, S::fresh(), Ticks::ZERO).expect("limits"),
                streams: BTreeMap::new(),
                link: Vec::new(),
                link_start: 0,
                stalled_until: Ticks::ZERO,
                in_flight: VecDeque::new(),
                news: VecDeque::new(),
                names: Names::default(),
                transmitted: 0,
                delivered: 0,
                turns: Turns::new(&limits[mine]),
                lender: Lender::new(mine),
                appetite: setting.appetite[mine],
                heard: Ticks::ZERO,
                proven: Ticks::ZERO,
                closed: None,
                told_of_end: false,
                told: BTreeSet::new(),
                lingering: Vec::new(),
            }
        };
        Self {
            now: Ticks::ZERO,
            parties: ENDS.map(party),
            truth: BTreeMap::new(),
            link_bytes: setting.link_bytes as usize,
            clock: setting.clock,
            record: vec![0; RECORD_BYTES as usize],
            digest: Digest::new(),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Use(role, act) => self.act(index(role), act),
            Step::Transmit(role, room) => {
                self.transmit(index(role), room);
            }
            Step::Deliver(role, most) => {
                self.deliver(index(role), most as usize);
            }
            Step::Stall(role, ticks) => {
                self.parties[index(role)].stalled_until = self.now.after(Ticks(u64::from(ticks)));
            }
            Step::Trickle(role, ticks) => self.trickle(index(role), ticks),
            Step::Wait(ticks) => self.wait(ticks),
            Step::Settle => {
                self.pump();
                self.assert_nothing_could_move();
            }
        }
    }

    fn act(&mut self, end: usize, act: Act) {
        match act {
            Act::Open(level, number) => self.open(end, level, number),
            Act::KeepExclusive(bits) => self.keep_exclusive(end, bits),
            Act::Poll => self.events(end),
            Act::Close(code) => self.close(end, code),
            Act::Accept(nth) => self.answer(end, nth, false),
            Act::Refuse(nth) => self.answer(end, nth, true),
            Act::Misuse(nth) => self.misuse(end, nth),
            Act::Write { nth, .. }
            | Act::WriteThrough { nth, .. }
            | Act::Supply { nth, .. }
            | Act::Read { nth, .. }
            | Act::Finish(nth)
            | Act::Reset(nth)
            | Act::Release(nth) => {
                let Some(stream) = self.parties[end].nth(nth) else { return };
                match act {
                    Act::Write { bytes, .. } => self.write(end, stream, bytes),
                    Act::WriteThrough { bytes, .. } => self.write_through(end, stream, bytes),
                    Act::Supply { bytes, .. } => self.supply(end, stream, bytes),
                    Act::Read { bytes, .. } => self.read(end, stream, bytes),
                    Act::Finish(_) => self.finish(end, stream),
                    Act::Reset(_) => self.reset(end, stream),
                    _ => self.release(end, stream),
                }
            }
        }
    }

    pub(crate) fn open(&mut self, end: usize, level: u8, number: u32) {
        let party = &mut self.parties[end];
        let name = names::name(number);
        match party.session.open(&name, Priority::new(level).unwrap_or_default()) {
            Ok(stream) => {
                party.streams.insert(stream, Application { held: true, ..Application::default() });
                party.turns.opened(stream, level, false);
                self.parties[1 - end].turns.opened(stream, level, true);
                self.truth.insert(stream, Truth::default());
            }
            Err(OpenError::Ended(ended)) => assert_eq!(party.session.end(), Some(ended)),
            Err(OpenError::PeerLimit { maximum }) => assert_eq!(maximum, party.session.peer().max_streams),
            // Streams that were released may still be on their way out.
            Err(OpenError::LocalLimit) => assert!(party.session.statistics().streams > 0),
            Err(error @ OpenError::IdsExhausted) => panic!("{error}"),
        }
    }

    pub(crate) fn keep_exclusive(&mut self, end: usize, bits: u32) {
        let party = &mut self.parties[end];
        if party.session.end().is_some() {
            return;
        }
        let exclusive = names::chosen(bits);
        party.session.set_exclusive_names(&exclusive);
        let (streams, told) = (&party.streams, &party.told);
        let turned_away = party.names.become_exclusive(exclusive, |stream| match streams.get(&stream) {
            Some(known) if known.held => Claim::Accepted,
            Some(known) if !known.reset => Claim::Waits,
            None if !told.contains(&stream) => Claim::Waits,
            Some(_) | None => Claim::GivenUp,
        });
        for stream in turned_away {
            assert_eq!(party.session.name(stream), None, "stream {stream} was turned away");
            party.streams.remove(&stream);
            self.truth.entry(stream).or_default().refuse_duplicate();
        }
    }

    pub(crate) fn events(&mut self, end: usize) {
        let party = &mut self.parties[end];
        while let Some(event) = party.session.poll_event() {
            assert!(!party.told_of_end, "the end of the session is told last and once");
            let known = &mut party.streams;
            self.digest.event(&event);
            match event {
                Event::Incoming { id, .. } => {
                    assert!(!self.truth[&id].duplicate, "nobody should hear of stream {id}");
                    party.told.insert(id);
                    assert!(known.insert(id, Application::default()).is_none());
                    let most = party.session.limits().max_unaccepted_streams as usize;
                    assert!(known.values().filter(|stream| !stream.held).count() <= most);
                }
                Event::Opened(id) => {
                    let stream = known.get_mut(&id).expect("a known stream");
                    assert!(self.truth[&id].accepted && !stream.opened, "nobody took stream {id}");
                    stream.opened = true;
                }
                Event::Readable(id) => known.get_mut(&id).expect("a known stream").reader_parked = false,
                Event::Writable(id) => known.get_mut(&id).expect("a known stream").writer_parked = false,
                Event::Reset(id, code) => {
                    self.truth.get_mut(&id).expect("an opened stream").assert_reset(end, code);
                    let stream = known.get_mut(&id).expect("a known stream");
                    (stream.reset, stream.reader_parked, stream.writer_parked) = (true, false, false);
                }
                Event::Ended => {
                    assert!(party.session.end().is_some());
                    party.told_of_end = true;
                    for stream in known.values_mut() {
                        (stream.reader_parked, stream.writer_parked) = (false, false);
                    }
                }
            }
        }
        assert_eq!(party.told_of_end, party.session.end().is_some(), "an end is told");
        self.assert_nobody_sleeps(end);
    }

    /// Accepts or refuses a stream that waits for it.
    fn answer(&mut self, end: usize, nth: u32, refuses: bool) {
        let party = &mut self.parties[end];
        let waiting = || party.streams.iter().filter(|(_, stream)| !stream.held).map(|(id, _)| *id);
        let Some(position) = (nth as usize).checked_rem(waiting().count()) else { return };
        let Some(stream) = waiting().nth(position) else { return };
        if refuses {
            party.session.refuse(stream, ResetCode::NO_SUCH_SERVICE).expect("it was offered");
            party.streams.remove(&stream);
            self.truth.entry(stream).or_default().cut = [true; 2];
        } else {
            self.accept(end, stream);
        }
    }

    pub(crate) fn accept(&mut self, end: usize, stream: StreamId) {
        let party = &mut self.parties[end];
        party.session.accept(stream).expect("it was offered");
        party.streams.entry(stream).or_default().held = true;
        self.truth.entry(stream).or_default().accepted = true;
    }

    pub(crate) fn write(&mut self, end: usize, stream: StreamId, bytes: u32) {
        self.write_by(end, stream, bytes, |session, payload, _| session.write(stream, payload));
    }

    /// The link, where it has room, gets what leaves at once.
    fn write_through(&mut self, end: usize, stream: StreamId, bytes: u32) {
        if !self.has_room(end) {
            return;
        }
        let party = &mut self.parties[end];
        party.turns.before(&party.session, &party.lender);
        let mut sent = 0;
        self.write_by(end, stream, bytes, |session, payload, record| {
            let before = record.len();
            let mut room = record;
            let passage = session.write_through(stream, payload, &mut room);
            sent = before - room.len();
            match passage? {
                Passage::Sent(written) => {
                    assert!(sent > written, "frames have headers");
                    Ok(written)
                }
                Passage::Full | Passage::Waits => session.write(stream, payload),
            }
        });
        self.put_on_the_link(end, sent);
    }

    fn write_by(
        &mut self,
        end: usize,
        stream: StreamId,
        bytes: u32,
        write: impl FnOnce(&mut Session<S>, &[u8], &mut [u8]) -> Result<usize, WriteError>,
    ) {
        let party = &mut self.parties[end];
        let application = party.streams.get_mut(&stream).expect("a known stream");
        let truth = self.truth.get_mut(&stream).expect("an opened stream");
        if application.writer_parked || !application.held || truth.finished[end] {
            return;
        }
        let from = truth.written[end];
        let payload: Vec<u8> =
            (from..from + u64::from(bytes)).map(|offset| byte(stream, end, offset)).collect();
        match write(&mut party.session, &payload, &mut self.record) {
            Ok(written) => {
                assert!((1..=payload.len()).contains(&written));
                truth.written[end] += written as u64;
            }
            Err(WriteError::Blocked) => application.writer_parked = true,
            Err(WriteError::Supplied) => assert!(party.lender.left(stream) > 0, "its source has run dry"),
            Err(WriteError::Reset(code)) => truth.assert_reset(end, code),
            Err(WriteError::Ended(ended)) => assert_eq!(party.session.end(), Some(ended)),
            Err(error) => panic!("stream {stream}: {error}"),
        }
    }

    fn supply(&mut self, end: usize, stream: StreamId, bytes: u32) {
        let party = &mut self.parties[end];
        let application = party.streams.get_mut(&stream).expect("a known stream");
        let truth = self.truth.get_mut(&stream).expect("an opened stream");
        if !application.held || truth.finished[end] {
            return;
        }
        match party.session.supply(stream) {
            Ok(()) => {
                party.lender.promise(stream, truth.written[end], bytes);
                truth.written[end] += u64::from(bytes);
                // A write that was turned away is not waited for any more.
                application.writer_parked = false;
            }
            Err(WriteError::Reset(code)) => {
                truth.assert_reset(end, code);
                party.lender.withdraw(stream);
            }
            Err(WriteError::Ended(ended)) => assert_eq!(party.session.end(), Some(ended)),
            Err(error) => panic!("stream {stream}: {error}"),
        }
    }

    pub(crate) fn read(&mut self, end: usize, stream: StreamId, most: u32) {
        let party = &mut self.parties[end];
        let application = party.streams.get_mut(&stream).expect("a known stream");
        if application.reader_parked || application.read_to_end || !application.held {
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
                let consumed = (first.len() + second.len()).min(most as usize);
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
            Err(ReadError::Ended(ended)) => {
                assert_eq!(party.session.end(), Some(ended));
                application.read_to_end = true;
            }
            Err(error) => panic!("stream {stream}: {error}"),
        }
    }

    pub(crate) fn finish(&mut self, end: usize, stream: StreamId) {
        let party = &mut self.parties[end];
        if !party.streams[&stream].held {
            return;
        }
        let truth = self.truth.get_mut(&stream).expect("an opened stream");
        match party.session.finish(stream) {
            Ok(()) => {
                assert!(!truth.finished[end]);
                truth.finished[end] = true;
            }
            Err(FinishError::Finished) => assert!(truth.finished[end]),
            Err(FinishError::Reset(code)) => truth.assert_reset(end, code),
            Err(FinishError::Ended(ended)) => assert_eq!(party.session.end(), Some(ended)),
            Err(error) => panic!("stream {stream}: {error}"),
        }
    }

    pub(crate) fn reset(&mut self, end: usize, stream: StreamId) {
        self.parties[end].session.reset(stream, ResetCode::INTERNAL).expect("a known stream");
        self.truth.get_mut(&stream).expect("an opened stream").cut = [true; 2];
        let application = self.parties[end].streams.get_mut(&stream).expect("a known stream");
        (application.reset, application.reader_parked, application.writer_parked) = (true, false, false);
    }

    pub(crate) fn release(&mut self, end: usize, stream: StreamId) {
        let party = &mut self.parties[end];
        party.session.release(stream);
        party.streams.remove(&stream);
        let session = &party.session;
        party.lingering.push(stream);
        party.lingering.retain(|stream| session.stream_statistics(*stream).is_some());
        let truth = self.truth.get_mut(&stream).expect("an opened stream");
        truth.cut[1 - end] = true;
        // What was finished is still delivered.
        truth.cut[end] |= !truth.finished[end];
        assert_eq!(party.session.readable(stream), Err(ReadError::Unknown));
    }

    fn close(&mut self, end: usize, code: u32) {
        let party = &mut self.parties[end];
        if party.session.end().is_none() {
            party.session.close(CloseCode(code));
            party.closed = Some(CloseCode(code));
            assert_eq!(party.session.end(), Some(End::Closed(CloseCode(code))));
        }
    }

    /// Wrong use is a typed error that changes nothing.
    fn misuse(&mut self, end: usize, nth: u32) {
        let party = &mut self.parties[end];
        let session = &mut party.session;
        let stranger = StreamId::new(1_000_000 + nth).expect("not 0");
        assert_eq!(session.write(stranger, b"x"), Err(WriteError::Unknown));
        assert_eq!(session.supply(stranger), Err(WriteError::Unknown));
        assert_eq!(session.readable(stranger), Err(ReadError::Unknown));
        assert_eq!(session.finish(stranger), Err(FinishError::Unknown));
        session.release(stranger);
        assert!(session.accept(stranger).is_err() && session.refuse(stranger, ResetCode(9)).is_err());
        assert!(session.consume(stranger, 0).is_err() && session.reset(stranger, ResetCode(9)).is_err());
        let Some(stream) = party.nth(nth) else { return };
        let held = party.streams[&stream].held;
        let session = &mut party.session;
        let before = (session.stream_statistics(stream), session.statistics(), session.wants_transmit());
        let unread = before.0.map_or(0, |statistics| statistics.unread_bytes);
        assert!(session.consume(stream, unread as usize + 1).is_err());
        if held {
            assert!(session.accept(stream).is_err() && session.refuse(stream, ResetCode(9)).is_err());
            if let Ok(written) = session.write(stream, b"") {
                assert_eq!(written, 0);
            }
        } else {
            assert_eq!(session.write(stream, b"x"), Err(WriteError::NotAccepted));
            assert_eq!(session.supply(stream), Err(WriteError::NotAccepted));
            assert_eq!(session.readable(stream), Err(ReadError::NotAccepted));
            assert_eq!(session.finish(stream), Err(FinishError::NotAccepted));
        }
        assert_eq!(
            before,
            (session.stream_statistics(stream), session.statistics(), session.wants_transmit()),
            "wrong use changes nothing"
        );
    }

    /// Whether the link takes anything from `end`.
    pub(crate) fn has_room(&self, end: usize) -> bool {
        self.parties[end].backlog() < self.link_bytes
    }

    /// What `end` transmitted and the link has not delivered.
    pub(crate) fn backlog(&self, end: usize) -> &[u8] {
        &self.parties[end].link[self.parties[end].link_start..]
    }

    /// How many bytes there are until the next header, or the frame that it begins, has arrived.
    pub(crate) fn next_piece(&self, end: usize) -> usize {
        match self.next_payload(end) {
            0 => self.backlog(end).len().min(HEADER_BYTES),
            payload => payload,
        }
    }

    /// How many bytes of a frame there are whose header is all that has arrived; 0 where the next frame begins.
    pub(crate) fn next_payload(&self, end: usize) -> usize {
        let party = &self.parties[end];
        let mut rest = &party.link[..];
        let mut arrived = party.link_start;
        while let Some((header, frames)) = rest.split_first_chunk::<HEADER_BYTES>().filter(|_| arrived > 0) {
            let length = usize::from(Header::parse(header).expect("our own header").length);
            if arrived == HEADER_BYTES {
                return length;
            }
            arrived -= HEADER_BYTES + length;
            rest = &frames[length..];
        }
        0
    }

    /// Everything that `end` has to transmit, which the link never sees.
    pub(crate) fn say_everything(&mut self, end: usize) -> Vec<u8> {
        let session = &mut self.parties[end].session;
        let mut said = Vec::new();
        let mut record = [0; 256];
        loop {
            let bytes = session.transmit(&mut record);
            if bytes == 0 {
                return said;
            }
            said.extend_from_slice(&record[..bytes]);
        }
    }

    /// Returns how many bytes `end` transmitted.
    pub(crate) fn transmit(&mut self, end: usize, room: u32) -> usize {
        if !self.has_room(end) {
            return 0;
        }
        let party = &mut self.parties[end];
        party.turns.before(&party.session, &party.lender);
        let record = &mut self.record[..room as usize];
        let bytes = party.session.transmit_to(&mut &mut *record, &mut party.lender);
        if room as usize >= MIN_TRANSMIT_BYTES && bytes == 0 {
            assert!(!party.session.wants_transmit(), "there is room and something to send");
        }
        self.put_on_the_link(end, bytes);
        bytes
    }

    /// `end` has transmitted the first `bytes` of the record.
    fn put_on_the_link(&mut self, end: usize, bytes: usize) {
        let party = &mut self.parties[end];
        let record = &self.record[..bytes];
        self.digest.bytes(record);
        for frame in frames(record) {
            let (start, end_of_frame) = (party.transmitted, party.transmitted + frame.bytes() as u64);
            party.transmitted = end_of_frame;
            let (stream, granted) = match frame {
                Frame::Data { stream, payload } => {
                    party.turns.served(stream, payload.len() as u32);
                    (stream, 0)
                }
                Frame::WindowUpdate { stream, increment } => {
                    let truth = self.truth.get_mut(&stream).expect("an opened stream");
                    truth.granting[end] += u64::from(increment);
                    (stream, u64::from(increment))
                }
                Frame::Open { stream, name, .. } => {
                    party.turns.announced(stream);
                    party.news.push_back((end_of_frame, News::Open(stream, name)));
                    continue;
                }
                Frame::Close { stream } => {
                    party.news.push_back((end_of_frame, News::Close(stream)));
                    party.names.finished(stream, false);
                    continue;
                }
                Frame::Reset { stream, code } => {
                    party.news.push_back((end_of_frame, News::Reset(stream)));
                    if party.session.role().opens(stream) {
                        assert_ne!(code, ResetCode::DUPLICATE_NAME, "stream {stream} is our own");
                    } else {
                        party.names.reset_by_us(stream, code);
                    }
                    continue;
                }
                _ => continue,
            };
            party.in_flight.push_back(InFlight { stream, start, end: end_of_frame, granted });
        }
        party.link.extend_from_slice(record);
    }

    /// The link from `end` delivers up to `most` bytes; returns how many.
    pub(crate) fn deliver(&mut self, end: usize, most: usize) -> usize {
        let now = self.now;
        let [first, second] = &mut self.parties;
        let (from, to) = if end == 0 { (first, second) } else { (second, first) };
        if from.stalled_until > now {
            return 0;
        }
        let mut count = most.min(from.backlog()).min(self.link_bytes);
        if to.names.any_are_exclusive() {
            // Whoever has a name is known after each OPEN.
            let opens = from.news.iter().find(|(_, news)| matches!(news, News::Open(..)));
            count = opens.map_or(count, |(open, _)| count.min((open - from.delivered) as usize));
        }
        if count == 0 {
            return 0;
        }
        let bytes = &from.link[from.link_start..from.link_start + count];
        let (appetite, streams) = (to.appetite, &mut to.streams);
        let mut taker = Taker { end: 1 - end, appetite, streams, truth: &self.truth };
        if let Err(violation) = to.session.receive_into(bytes, now, &mut taker) {
            panic!("an honest peer was accused: {violation}");
        }
        if to.session.end().is_none() {
            (to.heard, to.proven) = (now, now);
        }
        from.link_start += count;
        if from.link_start == from.link.len() {
            from.link.clear();
            from.link_start = 0;
        }
        from.delivered += count as u64;
        while let Some(frame) = from.in_flight.front().filter(|frame| frame.end <= from.delivered) {
            if !frame.is_data() {
                let truth = self.truth.get_mut(&frame.stream).expect("an opened stream");
                truth.granting[end] -= frame.granted;
            }
            from.in_flight.pop_front();
        }
        while let Some((_, news)) = from.news.pop_front_if(|(end, _)| *end <= from.delivered) {
            match news {
                News::Open(stream, name) if to.session.end().is_none() => {
                    let let_in = to.session.name(stream).is_some();
                    if to.names.opened(stream, &name, let_in) {
                        self.truth.entry(stream).or_default().refuse_duplicate();
                    }
                }
                News::Open(..) => {}
                News::Close(stream) => to.names.finished(stream, true),
                News::Reset(stream) => to.names.reset_by_peer(stream),
            }
        }
        count
    }

    /// For so many ticks `end`'s bytes wait for the rest of their record, of which a little arrives at each.
    fn trickle(&mut self, end: usize, ticks: u32) {
        for _ in 0..ticks {
            let now = self.now;
            if self.parties[end].backlog() == 0 {
                return;
            }
            self.parties[end].stalled_until = now.after(Ticks(2));
            let to = &mut self.parties[1 - end];
            to.session.heard(now);
            let patience = Ticks(to.session.limits().dead_after_ticks.0 * UNPROVEN_PATIENCE);
            if to.session.end().is_none() && now.since(to.proven) < patience {
                to.heard = now;
            }
            self.wait(1);
        }
        self.parties[end].stalled_until = self.now;
    }

    /// Ticks pass one by one.
    pub(crate) fn wait(&mut self, ticks: u32) {
        self.pump();
        for _ in 0..ticks {
            self.now = self.now.after(Ticks(1));
            for party in &mut self.parties {
                let due = party.session.next_deadline().is_some_and(|deadline| deadline <= self.now);
                if due || self.clock == Clock::Ticks {
                    party.session.handle_timeout(self.now);
                }
                let session = &party.session;
                assert!(
                    session.next_deadline().is_none_or(|deadline| deadline > self.now),
                    "a deadline that was met asks again"
                );
                let dead_after = session.limits().dead_after_ticks;
                assert!(
                    session.end().is_some() || self.now.since(party.heard) < dead_after,
                    "every wait ends"
                );
            }
            self.pump();
        }
    }

    /// Moves all the bytes that the link takes; returns how many arrived.
    pub(crate) fn pump(&mut self) -> usize {
        let mut arrived = 0;
        loop {
            let mut moved = 0;
            for end in 0..2 {
                moved += self.transmit(end, RECORD_BYTES);
                loop {
                    let delivered = self.deliver(end, usize::MAX);
                    if delivered == 0 {
                        break;
                    }
                    moved += delivered;
                    arrived += delivered;
                }
            }
            if moved == 0 {
                return arrived;
            }
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.parties.iter().any(|party| party.session.end().is_some())
    }

    pub(crate) fn is_stalled(&self) -> bool {
        self.parties.iter().any(|party| party.stalled_until > self.now)
    }

    /// Nothing new begins, everything that can move does, woken by events alone, and nothing is left behind.
    pub(crate) fn finish_all(&mut self) {
        for party in &mut self.parties {
            party.stalled_until = self.now;
        }
        self.drain();
        self.check();
        if self.is_over() {
            self.assert_the_end_is_known();
            return;
        }
        for end in 0..2 {
            for stream in self.known(end) {
                self.release(end, stream);
            }
        }
        loop {
            let moved = self.pump();
            for end in 0..2 {
                self.events(end);
                for stream in self.known(end) {
                    self.release(end, stream);
                }
            }
            if moved == 0 {
                break;
            }
        }
        for party in &self.parties {
            let statistics = party.session.statistics();
            assert_eq!(statistics.streams, 0, "nothing is left behind");
            assert_eq!(statistics.window_budget_bytes, party.session.limits().session_window_budget_bytes);
            assert!(!party.session.wants_transmit());
            party.names.assert_all_are_answered();
        }
        self.assert_there_is_room();
    }

    /// A session whose streams are all gone takes as many as a new one.
    fn assert_there_is_room(&mut self) {
        for end in 0..2 {
            let peer = 1 - end;
            self.keep_exclusive(peer, 0);
            let limits = self.parties[peer].session.limits();
            let room = limits.max_unaccepted_streams.min(limits.max_incoming_streams);
            let room = room.min(self.parties[end].session.limits().max_outgoing_streams);
            for _ in 0..room {
                self.open(end, 0, 0);
            }
            self.pump();
            self.events(peer);
            assert_eq!(self.known(peer).len(), room as usize, "there is no room for new streams");
            for stream in self.known(peer) {
                self.release(peer, stream);
            }
            for stream in self.known(end) {
                self.release(end, stream);
            }
            self.pump();
            for end in 0..2 {
                self.events(end);
            }
        }
    }

    pub(crate) fn known(&self, end: usize) -> Vec<StreamId> {
        self.parties[end].streams.keys().copied().collect()
    }

    pub(crate) fn drain(&mut self) {
        loop {
            let moved = self.pump();
            let mut read = 0;
            for end in 0..2 {
                self.events(end);
                for stream in self.known(end) {
                    if !self.parties[end].streams[&stream].held {
                        self.accept(end, stream);
                    }
                    self.finish(end, stream);
                    let before = self.parties[end].streams[&stream].read;
                    self.read(end, stream, u32::MAX);
                    read += self.parties[end].streams[&stream].read - before;
                }
            }
            if moved == 0 && read == 0 && self.parties.iter().all(|party| !party.session.wants_transmit()) {
                break;
            }
        }
        self.assert_nothing_could_move();
        if self.is_over() {
            return;
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
                let opener = party.session.role().opens(*stream);
                assert!(
                    !opener || !truth.accepted || application.opened || application.reset || truth.cut[end],
                    "nobody told the opener that stream {stream} was taken"
                );
            }
        }
    }

    /// Both ends know that the session is over, all that was transmitted having arrived.
    fn assert_the_end_is_known(&mut self) {
        for end in 0..2 {
            let party = &mut self.parties[end];
            assert!(party.session.end().is_some(), "one end is over and the other does not know");
            assert!(!party.session.wants_transmit());
            for stream in party.streams.keys() {
                party.session.release(*stream);
            }
            party.streams.clear();
            assert_eq!(party.session.statistics().streams, 0, "nothing is left behind");
        }
    }
}
