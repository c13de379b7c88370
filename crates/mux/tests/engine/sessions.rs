//! How a session begins and ends, and how it fills a link.

use vatmux_mux::wire::Frame;
use vatmux_mux::{
    CloseCode, End, Event, Hello, Limits, LimitsError, MIN_TRANSMIT_BYTES, OpenError, ReadError, ResetCode,
    Role, Session, Ticks, WriteError,
};

use crate::support::{
    Fresh, LIMITS, Pair, Victim, events, frames, id, name, on_every_storage, priority, read, transmitted,
    write,
};

on_every_storage! {
    either_end_closes_with_a_reason,
    what_arrived_before_the_end_can_still_be_read,
    a_closed_session_sends_its_close_and_nothing_else,
    a_violation_is_answered_by_one_close_and_repeated_to_every_receive,
    a_session_that_has_ended_keeps_nothing_of_streams_that_were_let_go,
    only_whole_frames_are_transmitted_into_any_room,
    the_smallest_promised_room_always_makes_progress,
    a_record_is_filled_to_the_brim,
    no_scrap_of_a_frame_is_squeezed_into_the_end_of_a_record,
    control_leaves_before_data,
    limits_that_do_not_agree_are_refused,
}

/// MUX-4.11, MUX-12.6.
fn either_end_closes_with_a_reason<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    pair.acceptor.close(CloseCode(77));
    pair.acceptor.close(CloseCode::DONE);
    pair.settle();
    assert_eq!(pair.acceptor.end(), Some(End::Closed(CloseCode(77))));
    assert_eq!(pair.dialer.end(), Some(End::PeerClosed(CloseCode(77))));
    assert_eq!(events(&mut pair.dialer), [Event::Ended]);
    assert_eq!(events(&mut pair.acceptor), [Event::Ended]);
    assert_eq!(pair.dialer.next_deadline(), None);
    let end = End::PeerClosed(CloseCode(77));
    assert_eq!(pair.dialer.open(&name("late"), priority(0)), Err(OpenError::Ended(end)));
}

/// MUX-4.11.
fn what_arrived_before_the_end_can_still_be_read<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let (whole, part) = (pair.stream(0), pair.stream(0));
    pair.dialer.write(whole, b"whole").unwrap();
    pair.dialer.finish(whole).unwrap();
    pair.dialer.write(part, b"part").unwrap();
    let mut bytes = transmitted(&mut pair.dialer);
    pair.dialer.close(CloseCode::DONE);
    bytes.extend(transmitted(&mut pair.dialer));
    pair.acceptor.receive(&bytes, pair.now).unwrap();
    assert_eq!(read(&mut pair.acceptor, whole).unwrap(), b"whole");
    assert_eq!(read(&mut pair.acceptor, whole), Err(ReadError::Finished));
    assert_eq!(read(&mut pair.acceptor, part).unwrap(), b"part");
    let end = End::PeerClosed(CloseCode::DONE);
    assert_eq!(read(&mut pair.acceptor, part), Err(ReadError::Ended(end)));
    assert_eq!(pair.acceptor.write(part, b"x"), Err(WriteError::Ended(end)));
    pair.acceptor.release(whole);
    pair.acceptor.release(part);
    assert_eq!(pair.acceptor.statistics().streams, 0);
}

/// MUX-4.11, MUX-12.6.
fn a_closed_session_sends_its_close_and_nothing_else<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.stream(0);
    pair.dialer.write(stream, b"too late").unwrap();
    pair.dialer.close(CloseCode::GOING_AWAY);
    assert!(pair.dialer.wants_transmit());
    let bytes = transmitted(&mut pair.dialer);
    assert_eq!(frames(&bytes), [Frame::CloseSession(CloseCode::GOING_AWAY)]);
    assert!(!pair.dialer.wants_transmit());
    assert_eq!(pair.dialer.receive(&[0xff; 100], pair.now), Ok(()), "input is ignored");
}

/// MUX-12.4.
fn a_violation_is_answered_by_one_close_and_repeated_to_every_receive<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(LIMITS);
    victim.accepted(1);
    victim.session.write(id(1), b"never sent").unwrap();
    let violation = victim.data(5, b"x").unwrap_err();
    assert_eq!(victim.send(&Frame::Ping(1)), Err(violation));
    assert_eq!(victim.send_bytes(&[]), Err(violation));
    assert_eq!(victim.session.end(), Some(End::Violation(violation)));
    let bytes = transmitted(&mut victim.session);
    assert_eq!(frames(&bytes), [Frame::CloseSession(CloseCode::UNKNOWN_STREAM)]);
    assert!(events(&mut victim.session).contains(&Event::Ended));
}

/// Found by the fuzz target `mux_engine`: what was still to be delivered of a released stream outlived the session.
fn a_session_that_has_ended_keeps_nothing_of_streams_that_were_let_go<S: Fresh>() {
    let ends: [fn(&mut Pair<S>); 4] = [
        |pair| pair.dialer.close(CloseCode::DONE),
        |pair| {
            pair.acceptor.close(CloseCode::DONE);
            pair.settle();
        },
        |pair| {
            pair.dialer.receive(&[0; 8], pair.now).expect_err("no such kind");
        },
        |pair| {
            for tick in [3, 12] {
                pair.dialer.handle_timeout(Ticks(tick));
            }
        },
    ];
    for end in ends {
        let mut pair = Pair::<S>::new(Limits { initial_window_bytes: 10, max_window_bytes: 10, ..LIMITS });
        let stream = pair.stream(0);
        write(&mut pair.dialer, stream, &[7; 20]);
        pair.dialer.finish(stream).expect("it was open");
        pair.dialer.release(stream);
        pair.settle();
        assert!(!pair.dialer.is_idle(), "half of it waits for credit");
        end(&mut pair);
        assert!(pair.dialer.end().is_some());
        assert!(pair.dialer.is_idle(), "after {:?}", pair.dialer.end());
        assert_eq!(pair.dialer.statistics().streams, 0);
    }
}

fn only_whole_frames_are_transmitted_into_any_room<S: Fresh>() {
    for room in 0..200 {
        let mut pair = Pair::<S>::new(LIMITS);
        let stream = pair.dialer.open(&name(&"n".repeat(64)), priority(0)).unwrap();
        pair.dialer.write(stream, &[5; 300]).unwrap();
        pair.dialer.finish(stream).unwrap();
        let mut output = vec![0xee; room];
        loop {
            let bytes = pair.dialer.transmit(&mut output);
            if bytes == 0 {
                break;
            }
            frames(&output[..bytes]);
        }
        assert_eq!(pair.dialer.wants_transmit(), room < MIN_TRANSMIT_BYTES, "room for {room}");
    }
}

fn the_smallest_promised_room_always_makes_progress<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let payload = vec![9; 5000];
    let stream = pair.dialer.open(&name(&"n".repeat(64)), priority(0)).unwrap();
    write(&mut pair.dialer, stream, &payload);
    pair.dialer.finish(stream).unwrap();
    let mut output = [0; MIN_TRANSMIT_BYTES];
    while pair.dialer.wants_transmit() {
        let bytes = pair.dialer.transmit(&mut output);
        assert!(bytes > 0);
        pair.acceptor.receive(&output[..bytes], pair.now).unwrap();
    }
    let _ = events(&mut pair.acceptor);
    pair.acceptor.accept(stream).unwrap();
    assert_eq!(read(&mut pair.acceptor, stream).unwrap(), payload);
}

/// MUX-8.6.
fn a_record_is_filled_to_the_brim<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.stream(0);
    write(&mut pair.dialer, stream, &vec![1; 65_536]);
    let mut record = vec![0; crate::support::RECORD_BYTES];
    assert_eq!(pair.dialer.transmit(&mut record), record.len());
}

/// MUX-8.6.
fn no_scrap_of_a_frame_is_squeezed_into_the_end_of_a_record<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.stream(0);
    write(&mut pair.dialer, stream, &vec![1; 65_536]);
    let mut output = vec![0; 8 + 32_768 + 8 + 511];
    assert_eq!(pair.dialer.transmit(&mut output), 8 + 32_768);
    let mut output = vec![0; 8 + 100];
    assert_eq!(pair.dialer.transmit(&mut output), 8 + 100, "but an empty output is always used");
}

/// MUX-8.1.
fn control_leaves_before_data<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let (bulk, other) = (pair.stream(0), pair.stream(7));
    write(&mut pair.acceptor, bulk, &vec![1; 60_000]);
    pair.acceptor.receive(&crate::support::encoded(&Frame::Ping(42)), pair.now).unwrap();
    pair.acceptor.reset(other, ResetCode::INTERNAL).unwrap();
    let bytes = transmitted(&mut pair.acceptor);
    let sent = frames(&bytes);
    assert_eq!(sent[0], Frame::Pong(42));
    assert_eq!(sent[1], Frame::Reset { stream: other, code: ResetCode::INTERNAL });
    assert!(matches!(sent[2], Frame::Data { .. }));
}

/// MUX-10.2.
fn limits_that_do_not_agree_are_refused<S: Fresh>() {
    let refused = |limits: Limits| {
        let hello = Hello { version: 1, initial_window_bytes: 1, max_streams: 1 };
        Session::new(Role::Dialer, limits, hello, S::fresh(), Ticks::ZERO).err()
    };
    assert_eq!(refused(LIMITS), None);
    for limits in [
        Limits { initial_window_bytes: 0, ..LIMITS },
        Limits { max_window_bytes: LIMITS.initial_window_bytes - 1, ..LIMITS },
        Limits { max_window_bytes: u32::MAX, ..LIMITS },
    ] {
        assert!(matches!(refused(limits), Some(LimitsError::Window { .. })), "{limits:?}");
    }
    for send_buffer_bytes in [0, u32::MAX] {
        let limits = Limits { send_buffer_bytes, ..LIMITS };
        assert!(matches!(refused(limits), Some(LimitsError::SendBuffer { .. })));
    }
    let limits = Limits { max_outgoing_streams: 65_535, ..LIMITS };
    assert!(matches!(refused(limits), Some(LimitsError::Streams { .. })));
    assert_eq!(refused(Limits { starvation_bytes: 0, ..LIMITS }), Some(LimitsError::Starvation));
    assert_eq!(refused(Limits { ping_after_ticks: Ticks(0), ..LIMITS }), Some(LimitsError::Keepalive));
    assert_eq!(refused(Limits { dead_after_ticks: Ticks(3), ..LIMITS }), Some(LimitsError::Keepalive));
}
