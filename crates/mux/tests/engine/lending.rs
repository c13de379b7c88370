//! Bytes that pass by the rings: from a source into the link's memory, and from there into a sink.

use std::collections::BTreeMap;

use vatmux_mux::wire::Frame;
use vatmux_mux::{
    Event, Limits, Output, Passage, ReadError, ResetCode, Session, Sink, Source, Storage, StreamId, Ticks,
    WriteError,
};

use crate::support::{
    Fresh, LIMITS, Pair, RECORD_BYTES, Random, Victim, carry, events, frames, id, name, on_every_storage,
    priority, read, write,
};

/// What each stream has still to send, lent in pieces of at most `piece` bytes.
struct Lender {
    left: BTreeMap<StreamId, Vec<u8>>,
    piece: usize,
    asked: usize,
}

impl Lender {
    fn new(streams: impl IntoIterator<Item = (StreamId, Vec<u8>)>, piece: usize) -> Self {
        Self { left: streams.into_iter().collect(), piece, asked: 0 }
    }
}

impl Source for Lender {
    fn lend(&mut self, stream: StreamId) -> (&[u8], &[u8]) {
        self.asked += 1;
        let left = self.left.get(&stream).map_or(&[][..], Vec::as_slice);
        let (front, rest) = left.split_at(left.len().min(self.piece));
        (front, &rest[..rest.len().min(self.piece / 2)])
    }

    fn sent(&mut self, stream: StreamId, bytes: usize) -> bool {
        let left = self.left.get_mut(&stream).expect("only what was lent is sent");
        left.drain(..bytes);
        !left.is_empty()
    }
}

/// Takes at most `appetite` bytes of each piece that it is shown.
struct Taker {
    taken: BTreeMap<StreamId, Vec<u8>>,
    appetite: usize,
}

impl Taker {
    fn new(appetite: usize) -> Self {
        Self { taken: BTreeMap::new(), appetite }
    }
}

impl Sink for Taker {
    fn take(&mut self, stream: StreamId, payload: &[u8]) -> usize {
        assert!(!payload.is_empty(), "nothing is not shown");
        let taken = payload.len().min(self.appetite);
        self.taken.entry(stream).or_default().extend_from_slice(&payload[..taken]);
        taken
    }
}

/// A link that lends its room.
struct Room {
    bytes: Vec<u8>,
    capacity: usize,
}

impl Output for Room {
    fn room(&self) -> usize {
        self.capacity - self.bytes.len()
    }

    fn put(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.room(), "more than there is room for");
        self.bytes.extend_from_slice(bytes);
    }
}

fn transmit(session: &mut Session<impl Storage>, source: &mut impl Source) -> Vec<u8> {
    let mut room = Room { bytes: Vec::new(), capacity: RECORD_BYTES };
    let written = session.transmit_to(&mut room, source);
    assert_eq!(written, room.bytes.len());
    room.bytes
}

/// Data that tells its place.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8).collect()
}

on_every_storage!(
    what_a_source_lends_arrives_in_order_and_ends,
    what_was_written_goes_before_what_is_supplied,
    a_supplied_stream_takes_no_writes,
    a_dry_source_holds_up_nobody,
    a_source_that_ran_dry_can_be_supplied_again,
    two_pieces_make_one_frame,
    a_source_is_asked_for_no_more_than_the_credit,
    a_reset_stream_is_not_lent_for,
    a_released_stream_still_sends_what_its_source_lends,
    supplying_a_stream_that_cannot_send_is_an_error,
    plain_transmit_withdraws_what_has_no_source,
    a_write_goes_straight_through_where_nothing_waits,
    a_write_goes_through_behind_what_was_written,
    a_write_waits_its_turn_behind_other_streams,
    credit_that_what_was_written_uses_up_is_none_for_a_write,
    a_write_goes_through_no_further_than_room_and_credit,
    writing_through_fails_as_writing_does,
    a_sink_earns_credit_for_what_it_takes,
    a_sink_is_shown_nothing_before_what_it_left_is_read,
    a_sink_that_claims_too_much_gets_no_credit_for_it,
    a_sink_is_not_shown_streams_that_nobody_accepted,
    lending_both_ways_moves_every_byte,
);

fn what_a_source_lends_arrives_in_order_and_ends<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.stream(4);
    let sent = pattern(40_000);
    let mut lender = Lender::new([(stream, sent.clone())], usize::MAX);
    pair.dialer.supply(stream).expect("an open stream");
    pair.dialer.finish(stream).expect("supplied streams can be finished");
    assert!(pair.dialer.wants_transmit());

    let bytes = transmit(&mut pair.dialer, &mut lender);
    pair.acceptor.receive(&bytes, pair.now).expect("two honest ends");
    assert_eq!(read(&mut pair.acceptor, stream), Ok(sent));
    assert_eq!(pair.acceptor.readable(stream), Err(ReadError::Finished), "CLOSE follows the last byte");
    assert!(!pair.dialer.wants_transmit());
}

fn what_was_written_goes_before_what_is_supplied<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.stream(4);
    pair.dialer.write(stream, b"written, ").expect("room");
    pair.dialer.supply(stream).expect("an open stream");
    let mut lender = Lender::new([(stream, b"lent".to_vec())], usize::MAX);
    let bytes = transmit(&mut pair.dialer, &mut lender);
    pair.acceptor.receive(&bytes, pair.now).expect("two honest ends");
    assert_eq!(read(&mut pair.acceptor, stream).as_deref(), Ok(&b"written, lent"[..]));
}

fn a_supplied_stream_takes_no_writes<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.stream(4);
    pair.dialer.supply(stream).expect("an open stream");
    pair.dialer.supply(stream).expect("twice is once");
    assert_eq!(pair.dialer.write(stream, b"late"), Err(WriteError::Supplied));
    let mut lender = Lender::new([(stream, b"lent".to_vec())], usize::MAX);
    let bytes = transmit(&mut pair.dialer, &mut lender);
    assert_eq!(frames(&bytes), [Frame::Data { stream, payload: b"lent" }], "the refused write left nothing");
    assert_eq!(pair.dialer.write(stream, b"dry"), Ok(3), "the source has run dry");
}

fn a_dry_source_holds_up_nobody<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let (dry, written) = (pair.stream(0), pair.stream(7));
    pair.dialer.supply(dry).expect("an open stream");
    pair.dialer.finish(dry).expect("an open stream");
    pair.dialer.write(written, b"still here").expect("room");
    let bytes = transmit(&mut pair.dialer, &mut Lender::new([], usize::MAX));
    assert_eq!(
        frames(&bytes),
        [Frame::Close { stream: dry }, Frame::Data { stream: written, payload: b"still here" }],
        "one output: the dry stream's level does not count"
    );
}

fn a_source_that_ran_dry_can_be_supplied_again<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.stream(4);
    for round in 0..3_u8 {
        pair.dialer.supply(stream).expect("an open stream");
        let mut lender = Lender::new([(stream, vec![round; 10])], 4);
        let bytes = transmit(&mut pair.dialer, &mut lender);
        assert!(!pair.dialer.wants_transmit());
        pair.acceptor.receive(&bytes, pair.now).expect("two honest ends");
        assert_eq!(read(&mut pair.acceptor, stream), Ok(vec![round; 10]));
    }
}

fn two_pieces_make_one_frame<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.stream(4);
    pair.dialer.supply(stream).expect("an open stream");
    let bytes = transmit(&mut pair.dialer, &mut Lender::new([(stream, b"abcdefgh".to_vec())], 4));
    assert_eq!(
        frames(&bytes),
        [Frame::Data { stream, payload: b"abcdef" }, Frame::Data { stream, payload: b"gh" }]
    );
}

fn a_source_is_asked_for_no_more_than_the_credit<S: Fresh>() {
    let limits = Limits { initial_window_bytes: 1000, max_window_bytes: 1000, ..LIMITS };
    let mut pair = Pair::<S>::new(limits);
    let stream = pair.stream(4);
    pair.dialer.supply(stream).expect("an open stream");
    let mut lender = Lender::new([(stream, pattern(1500))], usize::MAX);
    let bytes = transmit(&mut pair.dialer, &mut lender);
    assert_eq!(lender.left[&stream].len(), 500, "the window is 1,000 bytes");
    assert!(!pair.dialer.wants_transmit(), "without credit there is nothing to do");
    let asked = lender.asked;
    assert_eq!(transmit(&mut pair.dialer, &mut lender), [0_u8; 0]);
    assert_eq!(lender.asked, asked, "nobody is asked for bytes that cannot go");

    pair.acceptor.receive(&bytes, pair.now).expect("two honest ends");
    assert_eq!(read(&mut pair.acceptor, stream), Ok(pattern(1500)[..1000].to_vec()));
    carry(&mut pair.acceptor, &mut pair.dialer, pair.now);
    assert!(pair.dialer.wants_transmit(), "credit has come and the stream is still supplied");
    transmit(&mut pair.dialer, &mut lender);
    assert!(lender.left[&stream].is_empty());
}

fn a_reset_stream_is_not_lent_for<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let (ours, theirs) = (pair.stream(4), pair.stream(4));
    for stream in [ours, theirs] {
        pair.dialer.supply(stream).expect("an open stream");
    }
    pair.dialer.reset(ours, ResetCode::CANCELLED).expect("a stream");
    pair.acceptor.reset(theirs, ResetCode::CANCELLED).expect("a stream");
    carry(&mut pair.acceptor, &mut pair.dialer, pair.now);
    let mut lender = Lender::new([(ours, pattern(9)), (theirs, pattern(9))], usize::MAX);
    let bytes = transmit(&mut pair.dialer, &mut lender);
    assert_eq!(frames(&bytes), [Frame::Reset { stream: ours, code: ResetCode::CANCELLED }]);
    assert_eq!(lender.asked, 0);
}

fn a_released_stream_still_sends_what_its_source_lends<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.stream(4);
    pair.dialer.supply(stream).expect("an open stream");
    pair.dialer.finish(stream).expect("an open stream");
    pair.dialer.release(stream);
    let bytes = transmit(&mut pair.dialer, &mut Lender::new([(stream, b"farewell".to_vec())], 3));
    pair.acceptor.receive(&bytes, pair.now).expect("two honest ends");
    assert_eq!(read(&mut pair.acceptor, stream).as_deref(), Ok(&b"farewell"[..]));
    assert_eq!(pair.acceptor.readable(stream), Err(ReadError::Finished), "and then CLOSE");
    pair.settle();
    assert!(pair.dialer.is_idle());
}

fn supplying_a_stream_that_cannot_send_is_an_error<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    assert_eq!(pair.dialer.supply(id(1)), Err(WriteError::Unknown));
    let stream = pair.dialer.open(&name("claim"), priority(4)).expect("room");
    carry(&mut pair.dialer, &mut pair.acceptor, pair.now);
    assert!(matches!(events(&mut pair.acceptor)[..], [Event::Incoming { .. }]));
    assert_eq!(pair.acceptor.supply(stream), Err(WriteError::NotAccepted));
    pair.dialer.finish(stream).expect("an open stream");
    assert_eq!(pair.dialer.supply(stream), Err(WriteError::Finished));
    pair.acceptor.accept(stream).expect("it was offered");
    pair.acceptor.reset(stream, ResetCode::CANCELLED).expect("a stream");
    assert_eq!(pair.acceptor.supply(stream), Err(WriteError::Reset(ResetCode::CANCELLED)));
    let other = pair.stream(4);
    pair.dialer.close(vatmux_mux::CloseCode::GOING_AWAY);
    assert!(matches!(pair.dialer.supply(other), Err(WriteError::Ended(_))));
}

fn plain_transmit_withdraws_what_has_no_source<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.stream(4);
    pair.dialer.supply(stream).expect("an open stream");
    assert_eq!(pair.dialer.transmit(&mut [0; 100]), 0);
    assert!(!pair.dialer.wants_transmit(), "or its caller would ask for ever");
    assert_eq!(write(&mut pair.dialer, stream, b"free again"), 10);
}

fn write_through(
    session: &mut Session<impl Storage>,
    stream: StreamId,
    bytes: &[u8],
    capacity: usize,
) -> (Result<Passage, WriteError>, Vec<u8>) {
    let mut room = Room { bytes: Vec::new(), capacity };
    (session.write_through(stream, bytes, &mut room), room.bytes)
}

fn a_write_goes_straight_through_where_nothing_waits<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.stream(4);
    let (passage, sent) = write_through(&mut pair.dialer, stream, b"at once", 100);
    assert_eq!(passage, Ok(Passage::Sent(7)));
    assert_eq!(frames(&sent), [Frame::Data { stream, payload: b"at once" }]);
    assert!(!pair.dialer.wants_transmit(), "it left no trace in the schedule");
    assert_eq!(pair.dialer.write(stream, b"free"), Ok(4), "nor a source");
}

fn a_write_goes_through_behind_what_was_written<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.stream(4);
    pair.dialer.write(stream, b"first, ").expect("room");
    let (passage, sent) = write_through(&mut pair.dialer, stream, b"then this", 100);
    assert_eq!(passage, Ok(Passage::Sent(9)));
    assert_eq!(frames(&sent), [Frame::Data { stream, payload: b"first, then this" }], "in one frame");
    assert!(!pair.dialer.wants_transmit());
    pair.dialer.write(stream, b"long before").expect("room");
    let (passage, sent) = write_through(&mut pair.dialer, stream, b"too late", 8 + 11);
    assert_eq!(passage, Ok(Passage::Full), "what was written fills the output");
    assert_eq!(frames(&sent), [Frame::Data { stream, payload: b"long before" }]);
    assert!(!pair.dialer.wants_transmit(), "the write left nothing");
    pair.dialer.write(stream, b"still").expect("it can write");
    let (passage, sent) = write_through(&mut pair.dialer, stream, b"too late", 0);
    assert_eq!((passage, sent.len()), (Ok(Passage::Full), 0));
    assert!(pair.dialer.wants_transmit(), "what was written keeps its place in the schedule");
}

fn a_write_waits_its_turn_behind_other_streams<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    for (ours, theirs) in [(0, 7), (4, 4), (7, 0)] {
        let (stream, other) = (pair.stream(ours), pair.stream(theirs));
        pair.dialer.write(other, b"first").expect("room");
        for _ in 0..2 {
            let (passage, sent) = write_through(&mut pair.dialer, stream, b"second", 100);
            assert_eq!((passage, sent.len()), (Ok(Passage::Waits), 0));
            pair.dialer.write(stream, b"in the schedule").expect("room");
        }
        pair.settle();
    }
    // A stream whose OPEN waits is not announced by a write on another.
    let stream = pair.stream(0);
    let opened = pair.dialer.open(&name("claim"), priority(0)).expect("room");
    pair.dialer.write(opened, b"x").expect("room");
    let (passage, sent) = write_through(&mut pair.dialer, stream, b"third", 100);
    assert_eq!((passage, sent.len()), (Ok(Passage::Waits), 0));
}

fn a_write_goes_through_no_further_than_room_and_credit<S: Fresh>() {
    let limits = Limits { initial_window_bytes: 1000, max_window_bytes: 1000, ..LIMITS };
    let mut pair = Pair::<S>::new(limits);
    let stream = pair.stream(4);
    let (passage, sent) = write_through(&mut pair.dialer, stream, &pattern(5000), 8 + 600);
    assert_eq!((passage, sent.len()), (Ok(Passage::Sent(600)), 608));
    assert!(!pair.dialer.wants_transmit(), "the rest was not taken");
    let (passage, sent) = write_through(&mut pair.dialer, stream, &pattern(5000)[600..], 5000);
    assert_eq!((passage, sent.len()), (Ok(Passage::Sent(400)), 408), "the window is 1,000 bytes");
    let (passage, sent) = write_through(&mut pair.dialer, stream, &pattern(5000)[1000..], 5000);
    assert_eq!((passage, sent.len()), (Ok(Passage::Waits), 0), "without credit it is nobody's turn");
    let (passage, sent) = write_through(&mut pair.dialer, stream, b"", 5000);
    assert_eq!((passage, sent.len()), (Ok(Passage::Sent(0)), 0));
}

fn credit_that_what_was_written_uses_up_is_none_for_a_write<S: Fresh>() {
    let limits = Limits { initial_window_bytes: 1000, max_window_bytes: 1000, ..LIMITS };
    let mut pair = Pair::<S>::new(limits);
    let stream = pair.stream(4);
    pair.dialer.write(stream, &pattern(1000)).expect("room");
    let (passage, sent) = write_through(&mut pair.dialer, stream, b"more", 5000);
    assert_eq!((passage, sent.len()), (Ok(Passage::Waits), 1008));
    assert!(!pair.dialer.wants_transmit());
}

fn writing_through_fails_as_writing_does<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.stream(4);
    assert_eq!(write_through(&mut pair.dialer, id(999), b"x", 100).0, Err(WriteError::Unknown));
    pair.dialer.supply(stream).expect("an open stream");
    assert_eq!(write_through(&mut pair.dialer, stream, b"x", 100).0, Err(WriteError::Supplied));
    pair.dialer.finish(stream).expect("an open stream");
    assert_eq!(write_through(&mut pair.dialer, stream, b"x", 100).0, Err(WriteError::Finished));
    pair.dialer.close(vatmux_mux::CloseCode::GOING_AWAY);
    let other = write_through(&mut pair.dialer, stream, b"x", 100);
    assert!(other.0.is_err() && other.1.is_empty(), "CLOSE is not for a stream's write to send");
}

fn a_sink_earns_credit_for_what_it_takes<S: Fresh>() {
    let limits = Limits { initial_window_bytes: 1000, max_window_bytes: 1000, ..LIMITS };
    let mut pair = Pair::<S>::new(limits);
    let stream = pair.stream(4);
    let sent = pattern(10_000);
    let mut taker = Taker::new(usize::MAX);
    assert_eq!(write(&mut pair.dialer, stream, &sent), sent.len());
    for _ in 0..sent.len() / 500 {
        let bytes = transmit(&mut pair.dialer, &mut Lender::new([], 0));
        for byte in bytes.chunks(700) {
            pair.acceptor.receive_into(byte, pair.now, &mut taker).expect("two honest ends");
        }
        assert_eq!(events(&mut pair.acceptor), [], "nothing is left to be read");
        assert_eq!(pair.acceptor.readable(stream), Err(ReadError::Blocked));
        carry(&mut pair.acceptor, &mut pair.dialer, pair.now);
    }
    pair.dialer.finish(stream).expect("an open stream");
    let bytes = transmit(&mut pair.dialer, &mut Lender::new([], 0));
    pair.acceptor.receive_into(&bytes, pair.now, &mut taker).expect("two honest ends");
    assert!(taker.taken[&stream] == sent, "ten windows of bytes, in order");
    assert_eq!(events(&mut pair.acceptor), [Event::Readable(stream)], "the end is news");
    assert_eq!(pair.acceptor.readable(stream), Err(ReadError::Finished));
}

fn a_sink_is_shown_nothing_before_what_it_left_is_read<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(LIMITS);
    let stream = victim.accepted(1);
    let mut taker = Taker::new(2);
    let data = |payload| crate::support::encoded(&Frame::Data { stream: id(1), payload });
    let mut receive = |bytes: &[u8], session: &mut Session<S>| {
        session.receive_into(bytes, Ticks(0), &mut taker).expect("legal");
        taker.taken[&stream].clone()
    };
    assert_eq!(receive(&data(b"abcde"), &mut victim.session), b"ab");
    assert_eq!(receive(&data(b"fgh"), &mut victim.session), b"ab", "cde comes first");
    assert_eq!(read(&mut victim.session, stream).as_deref(), Ok(&b"cdefgh"[..]));
    assert_eq!(receive(&data(b"ijk"), &mut victim.session), b"abij");
    assert_eq!(read(&mut victim.session, stream).as_deref(), Ok(&b"k"[..]));
}

fn a_sink_that_claims_too_much_gets_no_credit_for_it<S: Fresh>() {
    struct Liar;
    impl Sink for Liar {
        fn take(&mut self, _: StreamId, _: &[u8]) -> usize {
            usize::MAX
        }
    }
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.stream(4);
    write(&mut pair.dialer, stream, &pattern(40_000));
    let bytes = transmit(&mut pair.dialer, &mut Lender::new([], 0));
    pair.acceptor.receive_into(&bytes, pair.now, &mut Liar).expect("two honest ends");
    let mut granted = vec![0; 100];
    let length = pair.acceptor.transmit(&mut granted);
    assert_eq!(
        frames(&granted[..length]),
        [Frame::WindowUpdate { stream, increment: 40_000 }],
        "the bytes that arrived, no more"
    );
}

fn a_sink_is_not_shown_streams_that_nobody_accepted<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(LIMITS);
    victim.open(1).expect("a legal stream");
    let mut taker = Taker::new(usize::MAX);
    let bytes = crate::support::encoded(&Frame::Data { stream: id(1), payload: b"early" });
    victim.session.receive_into(&bytes, victim.now, &mut taker).expect("legal");
    assert!(taker.taken.is_empty());
    assert!(matches!(events(&mut victim.session)[0], Event::Incoming { .. }));
    victim.session.accept(id(1)).expect("it was offered");
    assert_eq!(read(&mut victim.session, id(1)).as_deref(), Ok(&b"early"[..]));
}

/// Random pieces, rooms, appetites and fragments, with streams that are written to in between.
fn lending_both_ways_moves_every_byte<S: Fresh>() {
    for seed in 0..40 {
        let mut random = Random(seed);
        let window = random.pick(&[1, 7, 1000, 65_536]);
        let limits = Limits { initial_window_bytes: window, max_window_bytes: window, ..LIMITS };
        let mut pair = Pair::<S>::new(limits);
        let streams = [0, 4, 4, 7].map(|level| pair.stream(level));
        let sent = streams.map(|stream| (stream, pattern(random.below(window as usize * 5 + 10))));
        let mut lender = Lender::new(sent.clone(), 1 + random.below(50_000));
        let mut taker = Taker::new(random.pick(&[0, 1, 100, usize::MAX]));
        for (stream, bytes) in &sent {
            if random.one_in(3) {
                // Its beginning goes through the ring.
                let early = write(&mut pair.dialer, *stream, &bytes[..bytes.len() / 2]);
                lender.left.insert(*stream, bytes[early..].to_vec());
            }
            pair.dialer.supply(*stream).expect("an open stream");
            pair.dialer.finish(*stream).expect("an open stream");
        }
        let mut ended = 0;
        for step in 0.. {
            assert!(step < 1_000_000, "seed {seed} makes no progress");
            let mut room = Room { bytes: Vec::new(), capacity: 20 + random.below(RECORD_BYTES) };
            pair.dialer.transmit_to(&mut room, &mut lender);
            for fragment in room.bytes.chunks(1 + random.below(RECORD_BYTES)) {
                pair.acceptor.receive_into(fragment, pair.now, &mut taker).expect("two honest ends");
            }
            for event in events(&mut pair.acceptor) {
                let Event::Readable(stream) = event else { panic!("seed {seed}: {event:?}") };
                match read(&mut pair.acceptor, stream) {
                    Ok(bytes) => taker.taken.entry(stream).or_default().extend(bytes),
                    Err(error) => assert_eq!(error, ReadError::Finished, "seed {seed}"),
                }
                ended += usize::from(pair.acceptor.readable(stream) == Err(ReadError::Finished));
            }
            carry(&mut pair.acceptor, &mut pair.dialer, pair.now);
            if ended == streams.len() {
                break;
            }
        }
        for (stream, bytes) in sent {
            let taken = taker.taken.remove(&stream).unwrap_or_default();
            assert!(taken == bytes, "seed {seed}: stream {stream:?} of {} bytes", bytes.len());
        }
    }
}
