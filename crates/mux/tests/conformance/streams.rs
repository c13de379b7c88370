//! MUX-2, MUX-4 and MUX-5: what hellos promise, and the states of a stream.

use vatmux_mux::wire::Frame;
use vatmux_mux::{Event, Limits, OpenError, ResetCode, WriteError};

use crate::support::{
    Fresh, LIMITS, Pair, Victim, events, frames, id, label, name, next_incoming, on_every_storage, priority,
    transmitted, write,
};

on_every_storage! {
    the_initial_window_of_a_hello_holds_for_every_stream_whoever_opens_it,
    a_hello_without_streams_means_that_none_may_be_opened,
    a_name_that_is_taken_is_refused_and_no_violation,
    a_direction_is_ended_by_its_own_close_alone,
    every_frame_in_every_state_is_what_the_table_of_states_says,
    ids_that_are_skipped_are_used,
    a_reset_is_not_answered_by_a_reset,
    an_end_that_keeps_to_its_count_never_exceeds_the_limit,
    a_close_that_crosses_a_close_ends_both_counts,
    credit_is_taken_in_after_either_close,
    an_end_that_let_go_sends_everything_then_close_then_reset,
}

/// DATA payload in what a session transmits now.
fn payload_bytes(bytes: &[u8]) -> usize {
    let payload = |frame: &Frame<'_>| if let Frame::Data { payload, .. } = frame { payload.len() } else { 0 };
    frames(bytes).iter().map(payload).sum()
}

/// MUX-2.3.
fn the_initial_window_of_a_hello_holds_for_every_stream_whoever_opens_it<S: Fresh>() {
    let small = Limits { initial_window_bytes: 1000, max_window_bytes: 1000, ..LIMITS };
    let large = Limits { initial_window_bytes: 5000, max_window_bytes: 5000, ..LIMITS };
    let mut pair = Pair::<S>::with(small, large);
    for _ in 0..2 {
        let stream = pair.stream(0);
        write(&mut pair.dialer, stream, &[1; 10_000]);
        assert_eq!(payload_bytes(&transmitted(&mut pair.dialer)), 5000);
        write(&mut pair.acceptor, stream, &[1; 10_000]);
        assert_eq!(payload_bytes(&transmitted(&mut pair.acceptor)), 1000);
    }
    let stream = pair.acceptor.open(&name("back"), priority(0)).unwrap();
    write(&mut pair.acceptor, stream, &[1; 10_000]);
    assert_eq!(payload_bytes(&transmitted(&mut pair.acceptor)), 1000);
}

/// MUX-2.4.
fn a_hello_without_streams_means_that_none_may_be_opened<S: Fresh>() {
    let mut pair = Pair::<S>::with(LIMITS, Limits { max_incoming_streams: 0, ..LIMITS });
    assert_eq!(pair.dialer.open(&name("no"), priority(0)), Err(OpenError::PeerLimit { maximum: 0 }));
    assert!(pair.acceptor.open(&name("yes"), priority(0)).is_ok());
    let mut victim = Victim::<S>::acceptor(Limits { max_incoming_streams: 0, ..LIMITS });
    assert_eq!(label(victim.open(1)), "stream_limit_exceeded");
}

/// MUX-4.3.
fn a_name_that_is_taken_is_refused_and_no_violation<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let first = pair.stream(0);
    let second = pair.dialer.open(pair.acceptor.name(first).unwrap(), priority(0)).unwrap();
    pair.settle();
    assert_eq!(next_incoming(&mut pair.acceptor), Some(second));
    pair.acceptor.refuse(second, ResetCode::DUPLICATE_NAME).unwrap();
    pair.settle();
    assert_eq!(events(&mut pair.dialer), [Event::Reset(second, ResetCode::DUPLICATE_NAME)]);
    assert_eq!(pair.dialer.write(first, b"the first lives on"), Ok(18));
    pair.settle();
    assert_eq!((pair.dialer.end(), pair.acceptor.end()), (None, None));
}

/// MUX-4.10.
fn a_direction_is_ended_by_its_own_close_alone<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.stream(0);
    pair.dialer.finish(stream).unwrap();
    pair.settle();
    assert_eq!(pair.dialer.write(stream, b"x"), Err(WriteError::Finished));
    for _ in 0..3 {
        assert_eq!(write(&mut pair.acceptor, stream, &vec![2; 60_000]), 60_000);
        pair.settle();
        assert_eq!(crate::support::read(&mut pair.dialer, stream).unwrap().len(), 60_000);
        pair.settle();
    }
}

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Taken,
    Ignored,
    InvalidState,
    Unknown,
}

/// The states of MUX-5.5, as an acceptor comes into them on stream 1, or on stream 2 where it is the opener.
#[derive(Clone, Copy, Debug)]
enum State {
    NeverOpened,
    OpenedByUs,
    OpenedAndClosedByUs,
    Open,
    OpenByUs,
    ClosedByPeer,
    ClosedByUs,
    GoneByClose,
    GoneByOurReset,
    GoneByTheirReset,
}

fn in_state<S: Fresh>(state: State) -> (Victim<S>, u32) {
    let mut victim = Victim::<S>::acceptor(LIMITS);
    let stream = match state {
        State::NeverOpened => 3,
        State::OpenedByUs | State::OpenedAndClosedByUs | State::OpenByUs => {
            victim.session.open(&name("ours"), priority(0)).unwrap();
            transmitted(&mut victim.session);
            if matches!(state, State::OpenByUs) {
                victim.send(&Frame::OpenAck { stream: id(2) }).unwrap();
            }
            2
        }
        _ => victim.accepted(1).get(),
    };
    let session = &mut victim.session;
    match state {
        State::ClosedByUs | State::GoneByClose => session.finish(id(1)).unwrap(),
        State::OpenedAndClosedByUs => session.finish(id(2)).unwrap(),
        State::GoneByOurReset => session.reset(id(1), ResetCode::CANCELLED).unwrap(),
        _ => {}
    }
    transmitted(session);
    match state {
        State::ClosedByPeer | State::GoneByClose => victim.send(&Frame::Close { stream: id(1) }).unwrap(),
        State::GoneByTheirReset => {
            victim.send(&Frame::Reset { stream: id(1), code: ResetCode::CANCELLED }).unwrap();
        }
        _ => {}
    }
    if matches!(state, State::GoneByClose | State::GoneByTheirReset | State::GoneByOurReset) {
        victim.session.release(id(1));
    }
    let _ = (transmitted(&mut victim.session), events(&mut victim.session));
    (victim, stream)
}

/// MUX-4.4, MUX-4.10, MUX-5.4, MUX-5.5, MUX-5.6, MUX-5.7.
fn every_frame_in_every_state_is_what_the_table_of_states_says<S: Fresh>() {
    use Fate::{Ignored, InvalidState, Taken, Unknown};
    // DATA, CLOSE, WINDOW_UPDATE, OPEN_ACK, RST.
    for (state, fates) in [
        (State::NeverOpened, [Unknown; 5]),
        (State::OpenedByUs, [InvalidState, InvalidState, InvalidState, Taken, Taken]),
        (State::OpenedAndClosedByUs, [InvalidState, InvalidState, InvalidState, Taken, Taken]),
        (State::Open, [Taken, Taken, Taken, InvalidState, Taken]),
        (State::OpenByUs, [Taken, Taken, Taken, InvalidState, Taken]),
        (State::ClosedByPeer, [InvalidState, InvalidState, Taken, InvalidState, Taken]),
        (State::ClosedByUs, [Taken, Taken, Taken, InvalidState, Taken]),
        (State::GoneByOurReset, [Ignored; 5]),
    ] {
        for (position, fate) in fates.into_iter().enumerate() {
            assert_fate::<S>(state, position, fate);
        }
    }
    // Nothing is left of the credit of these: DATA is not ignored but beyond it.
    for state in [State::GoneByClose, State::GoneByTheirReset] {
        for position in 1..5 {
            assert_fate::<S>(state, position, Ignored);
        }
        let (mut victim, stream) = in_state::<S>(state);
        assert_eq!(label(victim.data(stream, b"x")), "window_credit_overflow_or_underflow", "{state:?}");
    }
}

fn assert_fate<S: Fresh>(state: State, position: usize, fate: Fate) {
    let (mut victim, raw) = in_state::<S>(state);
    let stream = id(raw);
    let frame = [
        Frame::Data { stream, payload: b"x" },
        Frame::Close { stream },
        Frame::WindowUpdate { stream, increment: 1 },
        Frame::OpenAck { stream },
        Frame::Reset { stream, code: ResetCode::INTERNAL },
    ][position]
        .clone();
    let strays = victim.session.statistics().stray_frames;
    let found = match victim.send(&frame) {
        Ok(()) if victim.session.statistics().stray_frames > strays => Fate::Ignored,
        Ok(()) => Fate::Taken,
        Err(violation) => match violation.label() {
            "invalid_stream_state_transition" => Fate::InvalidState,
            "unknown_stream_frame" => Fate::Unknown,
            other => panic!("{frame:?} in {state:?}: {other}"),
        },
    };
    assert_eq!(found, fate, "{frame:?} in {state:?}");
}

/// MUX-5.2, MUX-5.7.
fn ids_that_are_skipped_are_used<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(LIMITS);
    victim.open(7).unwrap();
    victim.send(&Frame::Close { stream: id(5) }).unwrap();
    assert_eq!(victim.session.statistics().stray_frames, 1);
    assert_eq!(label(victim.open(5)), "invalid_stream_state_transition");
}

/// MUX-5.8.
fn a_reset_is_not_answered_by_a_reset<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.stream(0);
    write(&mut pair.acceptor, stream, &[1; 1000]);
    pair.dialer.reset(stream, ResetCode::INTERNAL).unwrap();
    crate::support::carry(&mut pair.dialer, &mut pair.acceptor, pair.now);
    pair.acceptor.release(stream);
    assert!(!pair.acceptor.wants_transmit());
}

/// Whatever crosses on the link. MUX-5.9, MUX-5.10, MUX-5.11.
fn an_end_that_keeps_to_its_count_never_exceeds_the_limit<S: Fresh>() {
    let mut random = crate::support::Random(5);
    let mut pair = Pair::<S>::new(Limits { max_incoming_streams: 2, ..LIMITS });
    let mut mine = Vec::new();
    let mut theirs = Vec::new();
    let (mut opened, mut refused) = (0, 0);
    for step in 0..20_000_u64 {
        match random.below(8) {
            0 | 1 => match pair.dialer.open(&name("churn"), priority(0)) {
                Ok(stream) => {
                    opened += 1;
                    mine.push(stream);
                }
                Err(OpenError::PeerLimit { maximum: 2 }) => refused += 1,
                Err(OpenError::LocalLimit) => {}
                Err(other) => panic!("{other}"),
            },
            2 => drop(mine.pop().map(|stream| pair.dialer.release(stream))),
            3 => {
                if let Some(stream) = mine.first() {
                    let _ = pair.dialer.finish(*stream);
                }
            }
            4 => {
                if let Some(stream) = next_incoming(&mut pair.acceptor) {
                    pair.acceptor.accept(stream).unwrap();
                    theirs.push(stream);
                }
            }
            5 => drop(theirs.pop().map(|stream| pair.acceptor.release(stream))),
            6 => {
                if let Some(stream) = theirs.first() {
                    let _ = pair.acceptor.finish(*stream);
                }
            }
            _ => {
                pair.now = vatmux_mux::Ticks(step);
                let (from, to) = if random.one_in(2) {
                    (&mut pair.dialer, &mut pair.acceptor)
                } else {
                    (&mut pair.acceptor, &mut pair.dialer)
                };
                crate::support::carry(from, to, pair.now);
            }
        }
    }
    assert_eq!((pair.dialer.end(), pair.acceptor.end()), (None, None));
    assert!(opened > 200 && refused > 200, "{opened} opened, {refused} beyond the limit");
}

/// MUX-5.9.
fn a_close_that_crosses_a_close_ends_both_counts<S: Fresh>() {
    let mut pair = Pair::<S>::new(Limits { max_incoming_streams: 1, ..LIMITS });
    let stream = pair.stream(0);
    pair.dialer.finish(stream).unwrap();
    pair.acceptor.finish(stream).unwrap();
    let (there, back) = (transmitted(&mut pair.dialer), transmitted(&mut pair.acceptor));
    pair.acceptor.receive(&there, pair.now).unwrap();
    assert_eq!(pair.dialer.open(&name("early"), priority(0)), Err(OpenError::PeerLimit { maximum: 1 }));
    pair.dialer.receive(&back, pair.now).unwrap();
    pair.acceptor.release(stream);
    pair.stream(0);
}

/// MUX-6.8.
fn credit_is_taken_in_after_either_close<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(LIMITS);
    let stream = victim.accepted(1);
    let update = Frame::WindowUpdate { stream, increment: 7 };
    let credit = |victim: &Victim<S>| victim.session.stream_statistics(stream).unwrap().send_credit_bytes;
    victim.session.finish(stream).unwrap();
    transmitted(&mut victim.session);
    victim.send(&update).unwrap();
    assert_eq!(credit(&victim), LIMITS.initial_window_bytes + 7);

    let mut victim = Victim::<S>::acceptor(LIMITS);
    victim.accepted(1);
    victim.send(&Frame::Close { stream }).unwrap();
    victim.send(&update).unwrap();
    assert_eq!(credit(&victim), LIMITS.initial_window_bytes + 7);
}

/// MUX-6.7, MUX-8.1.
fn an_end_that_let_go_sends_everything_then_close_then_reset<S: Fresh>() {
    let mut pair = Pair::<S>::new(Limits { initial_window_bytes: 10, max_window_bytes: 10, ..LIMITS });
    let stream = pair.stream(0);
    write(&mut pair.acceptor, stream, &[1; 15]);
    pair.acceptor.finish(stream).unwrap();
    pair.acceptor.release(stream);
    let bytes = transmitted(&mut pair.acceptor);
    assert_eq!(frames(&bytes), [Frame::Data { stream, payload: &[1; 10] }]);
    pair.dialer.receive(&bytes, pair.now).unwrap();
    // What the other end says meanwhile is worth its credit at once.
    write(&mut pair.dialer, stream, &[2; 10]);
    crate::support::carry(&mut pair.dialer, &mut pair.acceptor, pair.now);
    let bytes = transmitted(&mut pair.acceptor);
    assert_eq!(frames(&bytes), [Frame::WindowUpdate { stream, increment: 10 }]);
    pair.dialer.receive(&bytes, pair.now).unwrap();
    pair.dialer.consume(stream, 10).unwrap();
    crate::support::carry(&mut pair.dialer, &mut pair.acceptor, pair.now);
    let bytes = transmitted(&mut pair.acceptor);
    let expected = [
        Frame::Data { stream, payload: &[1; 5] },
        Frame::Close { stream },
        Frame::Reset { stream, code: ResetCode::CANCELLED },
    ];
    assert_eq!(frames(&bytes), expected);
    pair.dialer.receive(&bytes, pair.now).unwrap();
    assert_eq!(crate::support::read(&mut pair.dialer, stream).unwrap(), [1; 5], "CLOSE came before RST");
}
