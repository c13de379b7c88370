//! What others fell to, and what a peer may try: each ends in a typed violation or in correct behaviour, within bounds.

use vatmux_mux::wire::Frame;
use vatmux_mux::{
    BudgetKind, CloseCode, End, Limits, MAX_CREDIT_BYTES, NameError, ResetCode, Session, Storage, Ticks,
    Violation,
};

use crate::support::{
    Fresh, LIMITS, Pair, Random, Victim, encoded, events, frames, id, label, name, next_incoming,
    on_every_storage, priority, read, transmitted, write,
};

on_every_storage! {
    replies_to_a_peer_that_does_not_read_do_not_grow,
    a_peer_that_does_not_read_does_not_stop_our_reading,
    two_congested_peers_do_not_wait_for_each_other,
    credit_beyond_the_maximum_is_a_violation,
    data_beyond_the_credit_is_a_violation_from_its_header,
    an_oversized_frame_on_a_new_stream_registers_nothing,
    a_flood_of_tiny_data_ends_the_session,
    interactive_traffic_is_no_flood,
    a_window_full_of_single_bytes_that_nobody_reads_is_no_flood,
    empty_data_is_a_violation,
    rapid_resets_end_the_session,
    resets_that_a_peer_makes_us_send_end_the_session,
    cancelling_streams_that_moved_data_is_no_flood,
    streams_beyond_the_announced_limit_are_a_violation,
    streams_that_nobody_accepts_are_reset_beyond_a_cap,
    refusals_that_nobody_reads_are_a_violation,
    opening_all_that_was_announced_at_once_is_never_a_violation,
    giving_up_at_both_ends_at_once_frees_the_stream,
    a_ping_flood_ends_the_session,
    unasked_pongs_end_the_session,
    window_updates_out_of_proportion_end_the_session,
    a_session_without_streams_grants_no_credit,
    a_frame_on_a_stream_that_never_was_is_a_violation,
    a_frame_on_a_stream_that_is_gone_is_ignored,
    data_on_a_stream_that_is_gone_is_bounded_by_its_credit,
    strays_on_streams_that_are_gone_have_a_budget,
    a_frame_on_a_stream_whose_open_is_not_sent_is_a_violation,
    an_open_with_a_wrong_id_is_a_violation,
    an_open_with_a_bad_name_or_priority_is_a_violation,
    frames_out_of_their_streams_state_are_violations,
    frames_before_open_ack_are_violations,
    malformed_headers_are_violations,
    a_budget_is_full_again_after_a_tick,
    an_acceptor_that_never_writes_does_not_block_the_opener,
    random_frames_never_panic_and_stay_in_bounds,
    random_bytes_never_panic,
}

/// Whether the session takes no more than its limits say.
fn assert_within_bounds<S: Storage>(session: &Session<S>) {
    let limits = session.limits();
    let statistics = session.statistics();
    assert!(statistics.streams <= limits.max_incoming_streams + limits.max_outgoing_streams);
    for raw in 1..64 {
        if let Some(stream) = session.stream_statistics(id(raw)) {
            assert!(stream.unread_bytes <= stream.window_bytes);
            assert!(stream.window_bytes <= limits.max_window_bytes);
            assert!(stream.unsent_bytes <= limits.send_buffer_bytes);
            assert!(stream.send_credit_bytes <= MAX_CREDIT_BYTES);
        }
    }
}

fn flood(kind: BudgetKind) -> Violation {
    Violation::Flood(kind)
}

/// rust-yamux CVE-2024-32984, quic-go, quiche.
///
/// MUX-3.7, MUX-4.8, MUX-10.4.
fn replies_to_a_peer_that_does_not_read_do_not_grow<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(LIMITS);
    let stream = victim.accepted(1);
    for step in 0..1000 {
        victim.send(&Frame::Ping(step)).unwrap();
        victim.data(1, &[1; 40]).unwrap();
        read(&mut victim.session, stream).unwrap();
    }
    let bytes = transmitted(&mut victim.session);
    assert!(bytes.len() < 100, "a PONG, an OPEN_ACK and a window update: {} bytes", bytes.len());
    assert_eq!(frames(&bytes)[0], Frame::Pong(999));
}

/// MUX-3.7.
fn a_peer_that_does_not_read_does_not_stop_our_reading<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.stream(0);
    write(&mut pair.acceptor, stream, &vec![1; 65_536]);
    // The acceptor can send nothing from here on; it still takes in a whole window.
    write(&mut pair.dialer, stream, &vec![2; 65_536]);
    crate::support::carry(&mut pair.dialer, &mut pair.acceptor, pair.now);
    assert_eq!(pair.acceptor.stream_statistics(stream).unwrap().unread_bytes, 65_536);
}

/// rust-yamux #227.
///
/// MUX-3.7.
fn two_congested_peers_do_not_wait_for_each_other<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.stream(0);
    // Neither end gets to write while both ends fill up with data and pings.
    write(&mut pair.dialer, stream, &vec![1; 65_536]);
    write(&mut pair.acceptor, stream, &vec![2; 65_536]);
    let (there, back) = (transmitted(&mut pair.dialer), transmitted(&mut pair.acceptor));
    for step in 0..100 {
        pair.dialer.receive(&encoded(&Frame::Ping(step)), pair.now).unwrap();
        pair.acceptor.receive(&encoded(&Frame::Ping(step)), pair.now).unwrap();
    }
    pair.dialer.receive(&back, pair.now).unwrap();
    pair.acceptor.receive(&there, pair.now).unwrap();
    assert_eq!(read(&mut pair.dialer, stream).unwrap().len(), 65_536);
    assert_eq!(read(&mut pair.acceptor, stream).unwrap().len(), 65_536);
}

/// GHSA-4w32-2493-32g7.
///
/// MUX-4.6, MUX-6.3.
fn credit_beyond_the_maximum_is_a_violation<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(LIMITS);
    let stream = victim.accepted(1);
    let most = MAX_CREDIT_BYTES - LIMITS.initial_window_bytes;
    victim.send(&Frame::WindowUpdate { stream, increment: most }).unwrap();
    let outcome = victim.send(&Frame::WindowUpdate { stream, increment: 1 });
    assert_eq!(outcome, Err(Violation::CreditOverflow { stream }));
    assert_eq!(label(outcome), "window_credit_overflow_or_underflow");

    let mut victim = Victim::<S>::acceptor(LIMITS);
    let stream = victim.accepted(1);
    let outcome = victim.send(&Frame::WindowUpdate { stream, increment: u32::MAX });
    assert_eq!(outcome, Err(Violation::CreditOverflow { stream }));
    assert_eq!(
        victim.session.stream_statistics(stream).unwrap().send_credit_bytes,
        LIMITS.initial_window_bytes
    );

    let mut victim = Victim::<S>::acceptor(LIMITS);
    let stream = victim.accepted(1);
    let outcome = victim.send(&Frame::WindowUpdate { stream, increment: 0 });
    assert_eq!(label(outcome), "window_credit_overflow_or_underflow");
}

/// MUX-6.1.
fn data_beyond_the_credit_is_a_violation_from_its_header<S: Fresh>() {
    let window = Limits { initial_window_bytes: 1000, max_window_bytes: 1000, ..LIMITS };
    let mut victim = Victim::<S>::acceptor(window);
    let stream = victim.accepted(1);
    victim.data(1, &[1; 999]).unwrap();
    let frame = encoded(&Frame::Data { stream, payload: &[2, 2] });
    let outcome = victim.send_bytes(&frame[..8]);
    assert_eq!(outcome, Err(Violation::CreditExceeded { stream, length: 2, credit: 1 }));
    assert_eq!(read(&mut victim.session, stream).unwrap(), [1; 999]);
}

/// CVE-2026-32314: validated before it is registered.
///
/// MUX-3.4, MUX-3.5.
fn an_oversized_frame_on_a_new_stream_registers_nothing<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(LIMITS);
    let header = [3, 0, 0x01, 0x80, 1, 0, 0, 0];
    assert_eq!(label(victim.send_bytes(&header)), "frame_oversize");
    assert_eq!(victim.session.statistics().streams, 0);

    let mut victim = Victim::<S>::acceptor(LIMITS);
    let mut open =
        encoded(&Frame::Open { stream: id(1), priority: priority(0), name: name(&"n".repeat(64)) });
    open[2] += 1;
    open.push(b'n');
    assert_eq!(label(victim.send_bytes(&open)), "frame_oversize");
    assert_eq!(victim.session.statistics().streams, 0);
    assert_eq!(events(&mut victim.session), [vatmux_mux::Event::Ended]);
}

/// h2 GHSA-q83h-524g-xf6h, yamux.
///
/// MUX-11.2.
fn a_flood_of_tiny_data_ends_the_session<S: Fresh>() {
    let limits = Limits { small_data_budget: 1000, ..LIMITS };
    let mut victim = Victim::<S>::acceptor(limits);
    victim.accepted(1);
    for _ in 0..1000 {
        victim.data(1, b"x").unwrap();
    }
    assert_eq!(victim.data(1, b"x"), Err(flood(BudgetKind::SmallData)));
    // Without a flood, 262,144 single bytes cost their own room and nothing else: the window says stop.
    let mut victim = Victim::<S>::acceptor(LIMITS);
    victim.accepted(1);
    let outcome = (0..262_144).try_for_each(|_| victim.data(1, b"x"));
    assert_eq!(label(outcome), "window_credit_overflow_or_underflow");
    assert_within_bounds(&victim.session);
}

/// MUX-11.2, MUX-11.7.
fn interactive_traffic_is_no_flood<S: Fresh>() {
    let limits = Limits { small_data_budget: 10, window_update_budget: 10, ..LIMITS };
    let mut pair = Pair::<S>::new(limits);
    let stream = pair.stream(0);
    for step in 0..100_000_u32 {
        let byte = step as u8;
        pair.dialer.write(stream, &[byte]).unwrap();
        pair.settle();
        assert_eq!(read(&mut pair.acceptor, stream).unwrap(), [byte]);
        pair.acceptor.write(stream, &[byte]).unwrap();
        pair.settle();
        assert_eq!(read(&mut pair.dialer, stream).unwrap(), [byte]);
    }
}

/// MUX-11.2.
fn a_window_full_of_single_bytes_that_nobody_reads_is_no_flood<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(LIMITS);
    for raw in [1, 3, 5, 7] {
        victim.accepted(raw);
        for _ in 0..LIMITS.initial_window_bytes {
            victim.data(raw, b"x").unwrap();
        }
    }
}

/// MUX-3.2.
fn empty_data_is_a_violation<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(LIMITS);
    victim.accepted(1);
    assert_eq!(label(victim.data(1, b"")), "frame_too_short");
}

/// MUX-11.3.
fn rapid_resets_end_the_session<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(LIMITS);
    let outcome = (0..10_000).try_for_each(|step| {
        let raw = 1 + 2 * step;
        victim.open(raw)?;
        victim.send(&Frame::Reset { stream: id(raw), code: ResetCode::CANCELLED })
    });
    assert_eq!(outcome, Err(flood(BudgetKind::Resets)));
    assert_eq!(victim.session.statistics().resets_received, 1024);
    assert_within_bounds(&victim.session);

    // The same, with an application that sees each stream and lets go of it only much later: it never holds more than
    // the limit.
    let mut victim = Victim::<S>::acceptor(LIMITS);
    let mut held = 0;
    let outcome = (0..10_000).try_for_each(|step| {
        let raw = 1 + 2 * step;
        victim.open(raw)?;
        if next_incoming(&mut victim.session).is_some() {
            held += 1;
        }
        victim.send(&Frame::Reset { stream: id(raw), code: ResetCode::CANCELLED })
    });
    assert!(outcome.is_err());
    assert!(held <= LIMITS.max_incoming_streams, "{held}");
}

/// `MadeYouReset`: the RSTs that we send ourselves count as well.
///
/// MUX-11.3.
fn resets_that_a_peer_makes_us_send_end_the_session<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(LIMITS);
    let mut refused = 0;
    for step in 0..10_000 {
        if victim.open(1 + 2 * step).is_err() {
            break;
        }
        while let Some(stream) = next_incoming(&mut victim.session) {
            victim.session.refuse(stream, ResetCode::NO_SUCH_SERVICE).unwrap();
            refused += 1;
        }
        transmitted(&mut victim.session);
    }
    assert_eq!(refused, 1025);
    assert_eq!(victim.session.end(), Some(End::Violation(flood(BudgetKind::Resets))));
}

/// MUX-11.3, MUX-11.7.
fn cancelling_streams_that_moved_data_is_no_flood<S: Fresh>() {
    let mut pair = Pair::<S>::new(Limits { reset_budget: 4, stray_frame_budget: 4, ..LIMITS });
    for _ in 0..200 {
        let stream = pair.stream(0);
        write(&mut pair.dialer, stream, &[1; 4000]);
        pair.settle();
        read(&mut pair.acceptor, stream).unwrap();
        // Both give up at once, with data under way.
        write(&mut pair.dialer, stream, &[1; 4000]);
        let there = transmitted(&mut pair.dialer);
        pair.acceptor.release(stream);
        pair.dialer.release(stream);
        let there_too = transmitted(&mut pair.dialer);
        pair.settle();
        pair.acceptor.receive(&there, pair.now).unwrap();
        pair.acceptor.receive(&there_too, pair.now).unwrap();
        pair.settle();
        let _ = (events(&mut pair.dialer), events(&mut pair.acceptor));
    }
}

/// MUX-5.9.
fn streams_beyond_the_announced_limit_are_a_violation<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(LIMITS);
    for step in 0..8 {
        victim.open(1 + 2 * step).unwrap();
    }
    assert_eq!(victim.open(17), Err(Violation::StreamLimitExceeded { maximum: 8 }));
    assert_eq!(victim.session.statistics().streams, 8);
}

/// MUX-5.10.
fn streams_that_nobody_accepts_are_reset_beyond_a_cap<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(Limits { max_unaccepted_streams: 2, ..LIMITS });
    for raw in [1, 3, 5] {
        victim.open(raw).unwrap();
        victim.data(raw, b"early").unwrap();
    }
    let bytes = transmitted(&mut victim.session);
    assert_eq!(frames(&bytes), [Frame::Reset { stream: id(5), code: ResetCode::STREAM_LIMIT }]);
    assert_eq!(victim.session.statistics().streams, 2);
    assert_eq!(next_incoming(&mut victim.session), Some(id(1)));
    victim.session.accept(id(1)).unwrap();
    victim.open(7).unwrap();
    assert_eq!(victim.session.statistics().streams, 3);
}

/// MUX-5.10, MUX-10.4.
fn refusals_that_nobody_reads_are_a_violation<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(Limits { max_unaccepted_streams: 0, ..LIMITS });
    for step in 0..8 {
        victim.open(1 + 2 * step).unwrap();
    }
    // The peer cannot know that the first eight are refused: to it they are open.
    assert_eq!(victim.open(17), Err(Violation::StreamLimitExceeded { maximum: 8 }));
}

/// MUX-5.10, MUX-11.7.
fn opening_all_that_was_announced_at_once_is_never_a_violation<S: Fresh>() {
    let mut pair = Pair::<S>::new(Limits { max_unaccepted_streams: 1, ..LIMITS });
    for _ in 0..50 {
        let mut opened = Vec::new();
        while let Ok(stream) = pair.dialer.open(&name("burst"), priority(0)) {
            opened.push(stream);
        }
        assert_eq!(opened.len(), 8);
        pair.settle();
        assert_eq!(next_incoming(&mut pair.acceptor), Some(opened[0]));
        pair.acceptor.release(opened[0]);
        pair.settle();
        assert_eq!(events(&mut pair.dialer).len(), 8, "each was reset");
        for stream in opened {
            pair.dialer.release(stream);
        }
    }
}

/// Whatever crosses on the link, a stream that the peer knows to be over does not count against its limit.
///
/// MUX-5.11.
fn giving_up_at_both_ends_at_once_frees_the_stream<S: Fresh>() {
    let one = Limits { max_incoming_streams: 1, max_unaccepted_streams: 1, ..LIMITS };
    let reset = |raw| Frame::Reset { stream: id(raw), code: ResetCode::CANCELLED };

    let mut victim = Victim::<S>::acceptor(one);
    victim.accepted(1);
    victim.session.release(id(1));
    victim.send(&reset(1)).unwrap();
    victim.open(3).unwrap();
    assert!(!frames(&transmitted(&mut victim.session)).contains(&reset(1)));

    let mut victim = Victim::<S>::acceptor(one);
    victim.accepted(1);
    victim.session.finish(id(1)).unwrap();
    transmitted(&mut victim.session);
    victim.session.release(id(1));
    victim.send(&Frame::Close { stream: id(1) }).unwrap();
    victim.open(3).unwrap();

    let mut victim = Victim::<S>::acceptor(Limits { max_unaccepted_streams: 0, ..one });
    victim.open(1).unwrap();
    victim.send(&reset(1)).unwrap();
    victim.open(3).unwrap();
}

/// MUX-11.4.
fn a_ping_flood_ends_the_session<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(LIMITS);
    let outcome = (0..10_000).try_for_each(|step| victim.send(&Frame::Ping(step)));
    assert_eq!(outcome, Err(flood(BudgetKind::Pings)));
}

/// MUX-4.9, MUX-11.4.
fn unasked_pongs_end_the_session<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(LIMITS);
    let outcome = (0..10_000).try_for_each(|step| victim.send(&Frame::Pong(step)));
    assert_eq!(outcome, Err(flood(BudgetKind::Pings)));
}

/// MUX-11.5.
fn window_updates_out_of_proportion_end_the_session<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(LIMITS);
    let stream = victim.accepted(1);
    let outcome = (0..10_000).try_for_each(|_| victim.send(&Frame::WindowUpdate { stream, increment: 1 }));
    assert_eq!(outcome, Err(flood(BudgetKind::WindowUpdates)));
}

/// h2 #863: there is no credit but a stream's own.
///
/// MUX-6.2.
fn a_session_without_streams_grants_no_credit<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(LIMITS);
    assert_eq!(label(victim.data(1, b"x")), "unknown_stream_frame");
}

/// MUX-5.6.
fn a_frame_on_a_stream_that_never_was_is_a_violation<S: Fresh>() {
    for raw in [1, 2, 5, 6, u32::MAX] {
        for frame in on_stream(raw) {
            let mut victim = Victim::<S>::acceptor(LIMITS);
            let outcome = victim.send(&frame);
            assert_eq!(label(outcome), "unknown_stream_frame", "{frame:?}");
        }
    }
}

/// One frame of each kind that belongs to a stream which is open.
fn on_stream(raw: u32) -> [Frame<'static>; 5] {
    let stream = id(raw);
    [
        Frame::OpenAck { stream },
        Frame::Data { stream, payload: b"x" },
        Frame::WindowUpdate { stream, increment: 1 },
        Frame::Reset { stream, code: ResetCode::CANCELLED },
        Frame::Close { stream },
    ]
}

/// MUX-5.7.
fn a_frame_on_a_stream_that_is_gone_is_ignored<S: Fresh>() {
    for frame in on_stream(1) {
        let mut victim = Victim::<S>::acceptor(LIMITS);
        victim.accepted(1);
        victim.session.release(id(1));
        // Our RST may not have been sent yet, or may be under way.
        victim.send(&frame).unwrap();
        transmitted(&mut victim.session);
        assert_eq!(victim.session.statistics().streams, 0);
        victim.send(&frame).unwrap();
        assert_eq!(victim.session.statistics().stray_frames, 2);
        assert!(!victim.session.wants_transmit());
    }
}

/// MUX-5.7.
fn data_on_a_stream_that_is_gone_is_bounded_by_its_credit<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(LIMITS);
    victim.accepted(1);
    victim.session.release(id(1));
    transmitted(&mut victim.session);
    let payload = vec![1; 32_768];
    victim.data(1, &payload).unwrap();
    victim.data(1, &payload).unwrap();
    assert_eq!(label(victim.data(1, b"x")), "window_credit_overflow_or_underflow");
}

/// MUX-5.7, MUX-11.6.
fn strays_on_streams_that_are_gone_have_a_budget<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(LIMITS);
    victim.accepted(1);
    victim.session.release(id(1));
    transmitted(&mut victim.session);
    let outcome = (0..10_000).try_for_each(|_| victim.send(&Frame::Close { stream: id(1) }));
    assert_eq!(outcome, Err(flood(BudgetKind::StrayFrames)));
}

/// MUX-5.6.
fn a_frame_on_a_stream_whose_open_is_not_sent_is_a_violation<S: Fresh>() {
    for frame in on_stream(2) {
        let mut victim = Victim::<S>::acceptor(LIMITS);
        victim.session.open(&name("unsent"), priority(0)).unwrap();
        assert_eq!(label(victim.send(&frame)), "unknown_stream_frame", "{frame:?}");
    }
}

/// MUX-5.1, MUX-5.2.
fn an_open_with_a_wrong_id_is_a_violation<S: Fresh>() {
    for raw in [2, 1, 5, 7] {
        let mut victim = Victim::<S>::acceptor(LIMITS);
        victim.open(7).unwrap();
        let outcome = victim.open(raw);
        assert_eq!(outcome, Err(Violation::InvalidOpen { stream: id(raw) }));
        assert_eq!(label(outcome), "invalid_stream_state_transition");
    }
    let mut victim = Victim::<S>::dialer(LIMITS);
    assert_eq!(label(victim.open(1)), "invalid_stream_state_transition");
    let mut victim = Victim::<S>::acceptor(LIMITS);
    victim.open(u32::MAX).unwrap();
    assert_eq!(label(victim.open(1)), "invalid_stream_state_transition");
}

/// MUX-4.1, MUX-4.2.
fn an_open_with_a_bad_name_or_priority_is_a_violation<S: Fresh>() {
    let open = encoded(&Frame::Open { stream: id(1), priority: priority(7), name: name("good") });
    let changed = |position: usize, byte: u8| {
        let mut victim = Victim::<S>::acceptor(LIMITS);
        let mut bytes = open.clone();
        bytes[position] = byte;
        let outcome = victim.send_bytes(&bytes);
        assert_eq!(victim.session.statistics().streams, u32::from(outcome.is_ok()));
        outcome
    };
    assert_eq!(changed(8, 0), Ok(()));
    assert_eq!(changed(8, 8), Err(Violation::InvalidPriority { priority: 8 }));
    for byte in [0, b' ', 0x7f, 0xff] {
        let error = NameError::Byte { position: 2, byte };
        assert_eq!(changed(11, byte), Err(Violation::InvalidStreamName(error)));
        assert_eq!(label(changed(11, byte)), "invalid_stream_name");
    }
    let mut victim = Victim::<S>::acceptor(LIMITS);
    assert_eq!(label(victim.send_bytes(&[1, 0, 1, 0, 1, 0, 0, 0, 0])), "frame_too_short");
}

/// MUX-4.4, MUX-4.10, MUX-5.5.
fn frames_out_of_their_streams_state_are_violations<S: Fresh>() {
    let outcome = |history: &[Frame<'_>], frame: &Frame<'_>| {
        let mut victim = Victim::<S>::acceptor(LIMITS);
        victim.accepted(1);
        for frame in history {
            victim.send(frame).unwrap();
        }
        victim.send(frame)
    };
    let stream = id(1);
    let (close, data) = (Frame::Close { stream }, Frame::Data { stream, payload: b"x" });
    for (history, frame) in [
        (vec![close.clone()], data.clone()),
        (vec![data.clone(), close.clone()], close.clone()),
        (vec![], Frame::OpenAck { stream }),
        (vec![close.clone()], Frame::OpenAck { stream }),
    ] {
        assert_eq!(label(outcome(&history, &frame)), "invalid_stream_state_transition", "{frame:?}");
    }
    assert_eq!(outcome(&[data, close], &Frame::WindowUpdate { stream, increment: 1 }), Ok(()));
}

/// MUX-4.4, MUX-5.4.
fn frames_before_open_ack_are_violations<S: Fresh>() {
    for frame in on_stream(2) {
        let mut victim = Victim::<S>::acceptor(LIMITS);
        victim.session.open(&name("ours"), priority(0)).unwrap();
        transmitted(&mut victim.session);
        let outcome = victim.send(&frame);
        match frame {
            Frame::OpenAck { .. } => {
                outcome.unwrap();
                assert_eq!(label(victim.send(&frame)), "invalid_stream_state_transition");
            }
            Frame::Reset { .. } => outcome.unwrap(),
            _ => assert_eq!(label(outcome), "invalid_stream_state_transition", "{frame:?}"),
        }
    }
}

/// MUX-3.3, MUX-3.4.
fn malformed_headers_are_violations<S: Fresh>() {
    for (header, expected, code) in [
        ([0, 0, 0, 0, 0, 0, 0, 0], "unknown_frame_kind", CloseCode::MALFORMED_FRAME),
        ([9, 0, 0, 0, 1, 0, 0, 0], "unknown_frame_kind", CloseCode::MALFORMED_FRAME),
        (*b"GET / HT", "unknown_frame_kind", CloseCode::MALFORMED_FRAME),
        ([3, 1, 1, 0, 1, 0, 0, 0], "reserved_flags", CloseCode::MALFORMED_FRAME),
        ([3, 0, 1, 0, 0, 0, 0, 0], "misplaced_frame", CloseCode::MALFORMED_FRAME),
        ([1, 0, 9, 0, 0, 0, 0, 0], "misplaced_frame", CloseCode::MALFORMED_FRAME),
        ([6, 0, 8, 0, 1, 0, 0, 0], "misplaced_frame", CloseCode::MALFORMED_FRAME),
        ([6, 0, 7, 0, 0, 0, 0, 0], "frame_too_short", CloseCode::MALFORMED_FRAME),
        ([6, 0, 9, 0, 0, 0, 0, 0], "frame_oversize", CloseCode::FRAME_OVERSIZE),
        ([7, 0, 255, 255, 0, 0, 0, 0], "frame_oversize", CloseCode::FRAME_OVERSIZE),
        ([4, 0, 3, 0, 1, 0, 0, 0], "frame_too_short", CloseCode::MALFORMED_FRAME),
        ([5, 0, 5, 0, 1, 0, 0, 0], "frame_oversize", CloseCode::FRAME_OVERSIZE),
        ([2, 0, 1, 0, 1, 0, 0, 0], "frame_oversize", CloseCode::FRAME_OVERSIZE),
        ([8, 0, 4, 0, 1, 0, 0, 0], "frame_oversize", CloseCode::FRAME_OVERSIZE),
        ([8, 0, 0, 0, 0, 0, 0, 0], "frame_too_short", CloseCode::MALFORMED_FRAME),
    ] {
        let mut victim = Victim::<S>::acceptor(LIMITS);
        // Byte by byte: the header is judged by its last byte and not before.
        for byte in &header[..7] {
            victim.send_bytes(&[*byte]).unwrap();
        }
        assert_eq!(label(victim.send_bytes(&header[7..])), expected, "{header:?}");
        assert_eq!(frames(&transmitted(&mut victim.session)), [Frame::CloseSession(code)]);
    }
}

/// MUX-11.1.
fn a_budget_is_full_again_after_a_tick<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(LIMITS);
    for tick in 0..20 {
        victim.now = Ticks(tick);
        for step in 0..1024 {
            victim.send(&Frame::Ping(step)).unwrap();
        }
    }
    assert_eq!(victim.send(&Frame::Ping(0)), Err(flood(BudgetKind::Pings)));
}

/// What blocks yamux: an acceptor that reads but never writes.
fn an_acceptor_that_never_writes_does_not_block_the_opener<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.dialer.open(&name("sink"), priority(0)).unwrap();
    pair.settle();
    assert_eq!(next_incoming(&mut pair.acceptor), Some(stream));
    pair.acceptor.accept(stream).unwrap();
    for _ in 0..50 {
        assert_eq!(write(&mut pair.dialer, stream, &vec![1; 30_000]), 30_000);
        pair.settle();
        assert_eq!(read(&mut pair.acceptor, stream).unwrap().len(), 30_000);
        pair.settle();
    }
}

/// A peer that mostly keeps to the rules, so that the rules it breaks are broken in every state.
struct Rogue {
    random: Random,
    next: u32,
    opened: Vec<u32>,
    accepted: Vec<u32>,
}

impl Rogue {
    fn frame<'a>(&mut self, mine: &[u32], payload: &'a [u8]) -> Frame<'a> {
        let random = &mut self.random;
        if random.one_in(300) {
            return anything(random, payload);
        }
        let unaccepted = mine.iter().find(|raw| !self.accepted.contains(raw));
        let stream = match self.opened.len() + self.accepted.len() {
            0 => None,
            count => {
                let position = random.below(count);
                self.opened.get(position).or(self.accepted.get(position.saturating_sub(self.opened.len())))
            }
        };
        match (random.below(20), unaccepted, stream) {
            (0..2, Some(raw), _) => {
                self.accepted.push(*raw);
                Frame::OpenAck { stream: id(*raw) }
            }
            (0..4, ..) => {
                self.next = self.next.wrapping_add(2 * (1 + random.below(2) as u32));
                self.opened.push(self.next);
                Frame::Open {
                    stream: id(self.next),
                    priority: priority(random.below(8) as u8),
                    name: name("r"),
                }
            }
            (4..13, _, Some(raw)) => {
                let most = random.pick(&[1, 100, 5000]);
                Frame::Data { stream: id(*raw), payload: &payload[..=random.below(most)] }
            }
            (13..16, _, Some(raw)) => {
                let increment = 1 + (random.next() as u32 >> (8 + random.below(23)));
                Frame::WindowUpdate { stream: id(*raw), increment }
            }
            (16..18, _, Some(raw)) => {
                let raw = *raw;
                self.opened.retain(|opened| *opened != raw);
                self.accepted.retain(|accepted| *accepted != raw);
                match random.below(4) {
                    0 => Frame::Close { stream: id(raw) },
                    _ => Frame::Reset { stream: id(raw), code: ResetCode(random.next() as u32) },
                }
            }
            (18, ..) => Frame::Pong(random.next() % 4),
            _ => Frame::Ping(random.next()),
        }
    }
}

fn anything<'a>(random: &mut Random, payload: &'a [u8]) -> Frame<'a> {
    let stream = id(1 + random.below(20) as u32);
    match random.below(6) {
        0 => Frame::Open { stream, priority: priority(random.below(8) as u8), name: name("anything") },
        1 => Frame::OpenAck { stream },
        2 => Frame::Data { stream, payload },
        3 => Frame::WindowUpdate { stream, increment: random.next() as u32 },
        4 => Frame::Close { stream },
        _ => Frame::CloseSession(CloseCode(0)),
    }
}

/// MUX-10.4.
fn random_frames_never_panic_and_stay_in_bounds<S: Fresh>() {
    let payload = [0xa5; 5000];
    let mut ends = [0_u32; 2];
    for seed in 0..500 {
        let mut random = Random(seed);
        let dialer = random.one_in(2);
        let mut victim = if dialer { Victim::<S>::dialer(LIMITS) } else { Victim::<S>::acceptor(LIMITS) };
        // Ids start at 1 or 2 and leave gaps.
        let first = if dialer { 0 } else { u32::MAX };
        let mut rogue =
            Rogue { random: Random(!seed), next: first, opened: Vec::new(), accepted: Vec::new() };
        let mut mine = Vec::new();
        for _ in 0..150 {
            let frame = rogue.frame(&mine, &payload);
            let mut bytes = encoded(&frame);
            if random.one_in(500) {
                let position = random.below(bytes.len());
                bytes[position] ^= 1 << random.below(8);
            }
            let cut = random.below(bytes.len() + 1);
            let outcome = victim.send_bytes(&bytes[..cut]).and_then(|()| victim.send_bytes(&bytes[cut..]));
            let known = rogue.opened.iter().chain(&mine).copied().collect::<Vec<_>>();
            let stream = id(if known.is_empty() { 1 } else { random.pick(&known) });
            let session = &mut victim.session;
            match random.below(12) {
                0 => {
                    let opened = session.open(&name("mine"), priority(random.below(8) as u8));
                    let _ = transmitted(session);
                    mine.extend(opened.map(vatmux_mux::StreamId::get));
                }
                1 => drop(session.accept(stream)),
                2 => drop(session.refuse(stream, ResetCode::NO_SUCH_SERVICE)),
                3 => drop(session.write(stream, &payload)),
                4 => drop(session.finish(stream)),
                5 => drop(read(session, stream)),
                6 => drop(session.reset(stream, ResetCode::CANCELLED)),
                7 => session.release(stream),
                8 => drop(transmitted(session)),
                9 => drop(events(session)),
                10 => {
                    victim.now = victim.now.after(Ticks(random.below(2) as u64));
                    session.handle_timeout(victim.now);
                }
                _ => {}
            }
            assert_within_bounds(&victim.session);
            if let Err(violation) = outcome {
                assert_eq!(victim.session.end(), Some(End::Violation(violation)));
                break;
            }
        }
        ends[usize::from(victim.session.end().is_some())] += 1;
    }
    assert!(ends[0] > 100 && ends[1] > 100, "both kinds of ends are reached: {ends:?}");
}

fn random_bytes_never_panic<S: Fresh>() {
    for seed in 0..300 {
        let mut random = Random(seed);
        let mut victim = Victim::<S>::acceptor(LIMITS);
        victim.accepted(1);
        for _ in 0..100 {
            let bytes: Vec<u8> =
                (0..random.below(40)).map(|_| (random.next() as u8) % random.pick(&[4, 9, 255])).collect();
            if victim.send_bytes(&bytes).is_err() {
                break;
            }
        }
        assert_within_bounds(&victim.session);
        transmitted(&mut victim.session);
    }
}
