//! Two engines and a link, one engine and a peer that does as it likes, and a seeded source of randomness.

use std::fmt::Debug;

use vatmux_mux::wire::{Frame, HEADER_BYTES, Header};
use vatmux_mux::{
    Event, Limits, Priority, ReadError, Role, Session, StaticStorage, Storage, StreamId, StreamName, Ticks,
    Violation,
};

/// The plaintext of the largest Noise record.
pub(crate) const RECORD_BYTES: usize = 65_519;

/// Storage that a test can make.
pub(crate) trait Fresh: Storage {
    fn fresh() -> Self;
}

pub(crate) type NoHeap = Box<StaticStorage<16, 65_536>>;

impl<const STREAMS: usize, const RING: usize> Fresh for Box<StaticStorage<STREAMS, RING>> {
    fn fresh() -> Self {
        Box::new(StaticStorage::new())
    }
}

impl Fresh for vatmux_mux::HeapStorage {
    fn fresh() -> Self {
        Self::new()
    }
}

/// Runs a claim where there is room for storage without a heap on the stack.
pub(crate) fn with_room(claim: fn()) {
    let claim = std::thread::Builder::new().stack_size(32 << 20).spawn(claim);
    if let Err(panic) = claim.expect("a thread").join() {
        std::panic::resume_unwind(panic);
    }
}

/// Declares each claim, a function generic over its storage, as one test per storage.
macro_rules! on_every_storage {
    ($($claim:ident),+ $(,)?) => {
        mod without_heap {
            $(#[test] fn $claim() { $crate::support::with_room(super::$claim::<$crate::support::NoHeap>) })+
        }
        mod on_the_heap {
            $(#[test] fn $claim() { super::$claim::<vatmux_mux::HeapStorage>() })+
        }
    };
}
pub(crate) use on_every_storage;

/// Limits that both storages have room for.
pub(crate) const LIMITS: Limits =
    Limits { max_incoming_streams: 8, max_outgoing_streams: 8, ..Limits::FIXED };

pub(crate) fn name(name: &str) -> StreamName {
    StreamName::new(name).expect("a legal name")
}

pub(crate) fn id(raw: u32) -> StreamId {
    StreamId::new(raw).expect("not 0")
}

pub(crate) fn priority(level: u8) -> Priority {
    Priority::new(level).expect("at most 7")
}

/// A dialer and an acceptor with a link between them that carries what the test tells it to.
pub(crate) struct Pair<S: Storage> {
    pub(crate) dialer: Session<S>,
    pub(crate) acceptor: Session<S>,
    pub(crate) now: Ticks,
}

impl<S: Fresh> Pair<S> {
    pub(crate) fn new(limits: Limits) -> Self {
        Self::with(limits, limits)
    }

    pub(crate) fn with(dialer: Limits, acceptor: Limits) -> Self {
        let now = Ticks::ZERO;
        Self {
            dialer: Session::new(Role::Dialer, dialer, acceptor.hello(), S::fresh(), now).expect("limits"),
            acceptor: Session::new(Role::Acceptor, acceptor, dialer.hello(), S::fresh(), now)
                .expect("limits"),
            now,
        }
    }

    /// Carries everything both ends have to say, until neither has anything.
    pub(crate) fn settle(&mut self) {
        while carry(&mut self.dialer, &mut self.acceptor, self.now)
            + carry(&mut self.acceptor, &mut self.dialer, self.now)
            > 0
        {}
    }

    /// A stream that the dialer opened and the acceptor accepted.
    pub(crate) fn stream(&mut self, level: u8) -> StreamId {
        let stream = self.dialer.open(&name("claim"), priority(level)).expect("room for a stream");
        self.settle();
        assert_eq!(next_incoming(&mut self.acceptor), Some(stream));
        self.acceptor.accept(stream).expect("it was offered");
        self.settle();
        assert!(events(&mut self.dialer).contains(&Event::Opened(stream)));
        stream
    }
}

/// Carries what `from` has to say now; returns the bytes.
pub(crate) fn carry<S: Storage>(from: &mut Session<S>, to: &mut Session<S>, now: Ticks) -> usize {
    let mut record = vec![0; RECORD_BYTES];
    let mut total = 0;
    loop {
        let bytes = from.transmit(&mut record);
        if bytes == 0 {
            return total;
        }
        to.receive(&record[..bytes], now).expect("two honest ends");
        total += bytes;
    }
}

pub(crate) fn events<S: Storage>(session: &mut Session<S>) -> Vec<Event> {
    std::iter::from_fn(|| session.poll_event()).collect()
}

pub(crate) fn next_incoming<S: Storage>(session: &mut Session<S>) -> Option<StreamId> {
    std::iter::from_fn(|| session.poll_event()).find_map(|event| match event {
        Event::Incoming { id, .. } => Some(id),
        _ => None,
    })
}

/// Everything that can be read now, consumed.
pub(crate) fn read<S: Storage>(session: &mut Session<S>, stream: StreamId) -> Result<Vec<u8>, ReadError> {
    let (first, second) = session.readable(stream)?;
    let bytes = [first, second].concat();
    session.consume(stream, bytes.len()).expect("it was readable");
    Ok(bytes)
}

/// Writes as much of `bytes` as is taken.
pub(crate) fn write<S: Storage>(session: &mut Session<S>, stream: StreamId, bytes: &[u8]) -> usize {
    let mut written = 0;
    while written < bytes.len() {
        match session.write(stream, &bytes[written..]) {
            Ok(more) => written += more,
            Err(_) => break,
        }
    }
    written
}

/// The frames in what a session transmitted.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<Frame<'_>> {
    let mut frames = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() {
        let header = Header::parse(header).expect("our own header");
        let (payload, rest) = rest.split_at(usize::from(header.length));
        frames.push(Frame::parse(&header, payload).expect("our own frame"));
        bytes = rest;
    }
    assert!(bytes.is_empty(), "only whole frames");
    frames
}

/// Everything a session has to transmit now.
pub(crate) fn transmitted<S: Storage>(session: &mut Session<S>) -> Vec<u8> {
    let mut all = Vec::new();
    let mut record = vec![0; RECORD_BYTES];
    loop {
        let bytes = session.transmit(&mut record);
        if bytes == 0 {
            return all;
        }
        all.extend_from_slice(&record[..bytes]);
    }
}

/// One engine, and a peer made of frames.
pub(crate) struct Victim<S: Storage> {
    pub(crate) session: Session<S>,
    pub(crate) now: Ticks,
}

impl<S: Fresh> Victim<S> {
    pub(crate) fn acceptor(limits: Limits) -> Self {
        Self::new(Role::Acceptor, limits)
    }

    pub(crate) fn dialer(limits: Limits) -> Self {
        Self::new(Role::Dialer, limits)
    }

    fn new(role: Role, limits: Limits) -> Self {
        let now = Ticks::ZERO;
        let session = Session::new(role, limits, limits.hello(), S::fresh(), now).expect("limits");
        Self { session, now }
    }

    pub(crate) fn send(&mut self, frame: &Frame<'_>) -> Result<(), Violation> {
        self.send_bytes(&encoded(frame))
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), Violation> {
        self.session.receive(bytes, self.now)
    }

    pub(crate) fn open(&mut self, raw: u32) -> Result<(), Violation> {
        self.send(&Frame::Open { stream: id(raw), priority: priority(4), name: name("hostile") })
    }

    /// Opens a stream and has it accepted.
    pub(crate) fn accepted(&mut self, raw: u32) -> StreamId {
        self.open(raw).expect("a legal stream");
        assert_eq!(next_incoming(&mut self.session), Some(id(raw)));
        self.session.accept(id(raw)).expect("it was offered");
        id(raw)
    }

    pub(crate) fn data(&mut self, raw: u32, payload: &[u8]) -> Result<(), Violation> {
        self.send(&Frame::Data { stream: id(raw), payload })
    }
}

pub(crate) fn encoded(frame: &Frame<'_>) -> Vec<u8> {
    let mut bytes = vec![0; frame.bytes()];
    frame.emit(&mut bytes).expect("room for the frame");
    bytes
}

/// A violation, by its label.
pub(crate) fn label<T: Debug>(outcome: Result<T, Violation>) -> &'static str {
    outcome.expect_err("a violation").label()
}

/// Numbers that depend on nothing but the seed (`SplitMix64`).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    pub(crate) fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}
