//! The life of a stream, from OPEN to its last byte.

use vatmux_mux::wire::Frame;
use vatmux_mux::{
    AcceptError, ConsumeError, Event, FinishError, Limits, OpenError, ReadError, ResetCode, UnknownStream,
    WriteError,
};

use crate::support::{
    Fresh, LIMITS, Pair, Victim, carry, events, frames, id, name, next_incoming, on_every_storage, priority,
    read, transmitted, write,
};

on_every_storage! {
    a_stream_carries_data_before_the_peer_has_answered,
    bytes_arrive_in_order_however_the_link_cuts_them,
    the_opener_is_told_when_the_stream_is_accepted,
    the_acceptor_learns_name_and_priority,
    ids_are_odd_for_the_dialer_and_even_for_the_acceptor,
    many_streams_may_carry_one_name,
    a_finished_direction_leaves_the_other_open,
    close_follows_the_data,
    a_refusal_carries_its_code,
    a_reset_drops_what_was_buffered_at_both_ends,
    a_reset_after_close_leaves_what_was_received_readable,
    releasing_a_finished_stream_still_delivers_it,
    two_ends_that_let_go_do_not_wait_for_each_others_credit,
    releasing_an_unfinished_stream_cancels_it,
    a_stream_reset_before_it_was_announced_sends_nothing,
    a_stream_reset_before_it_was_seen_costs_the_application_nothing,
    accepting_a_stream_that_was_reset_meanwhile_is_told_on_the_first_read,
    a_reset_in_the_middle_of_a_frame_skips_the_rest,
    a_blocked_writer_is_told_when_it_can_go_on,
    readable_is_told_once_for_many_arrivals,
    wrong_use_is_a_typed_error_that_changes_nothing,
    opening_beyond_the_peers_limit_is_an_error_until_a_stream_is_over,
    opening_beyond_our_own_limit_is_an_error_until_a_stream_is_released,
}

/// MUX-5.3.
fn a_stream_carries_data_before_the_peer_has_answered<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.dialer.open(&name("early"), priority(0)).unwrap();
    assert_eq!(pair.dialer.write(stream, b"no round trip"), Ok(13));
    carry(&mut pair.dialer, &mut pair.acceptor, pair.now);
    assert_eq!(next_incoming(&mut pair.acceptor), Some(stream));
    pair.acceptor.accept(stream).unwrap();
    assert_eq!(read(&mut pair.acceptor, stream).unwrap(), b"no round trip");
}

/// MUX-1.6, MUX-3.6.
fn bytes_arrive_in_order_however_the_link_cuts_them<S: Fresh>() {
    let payload: Vec<u8> = (0..50_000_u32).map(|byte| (byte * 7 / 3) as u8).collect();
    for piece in [1, 2, 3, 7, 8, 9, 64, 4096, 65_519] {
        let mut pair = Pair::<S>::new(LIMITS);
        let stream = pair.dialer.open(&name("pieces"), priority(3)).unwrap();
        assert_eq!(write(&mut pair.dialer, stream, &payload), payload.len());
        pair.dialer.finish(stream).unwrap();
        let bytes = transmitted(&mut pair.dialer);
        for piece in bytes.chunks(piece) {
            pair.acceptor.receive(piece, pair.now).unwrap();
        }
        assert_eq!(next_incoming(&mut pair.acceptor), Some(stream));
        pair.acceptor.accept(stream).unwrap();
        assert!(read(&mut pair.acceptor, stream).unwrap() == payload, "in pieces of {piece}");
        assert_eq!(read(&mut pair.acceptor, stream), Err(ReadError::Finished));
    }
}

/// MUX-4.4.
fn the_opener_is_told_when_the_stream_is_accepted<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.dialer.open(&name("asked"), priority(0)).unwrap();
    pair.settle();
    assert_eq!(events(&mut pair.dialer), []);
    assert_eq!(next_incoming(&mut pair.acceptor), Some(stream));
    pair.settle();
    assert_eq!(events(&mut pair.dialer), []);
    pair.acceptor.accept(stream).unwrap();
    pair.settle();
    assert_eq!(events(&mut pair.dialer), [Event::Opened(stream)]);
}

/// MUX-4.1.
fn the_acceptor_learns_name_and_priority<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.dialer.open(&name("vatmux.packagefs"), priority(6)).unwrap();
    pair.settle();
    assert_eq!(pair.acceptor.poll_event(), Some(Event::Incoming { id: stream, priority: priority(6) }));
    assert_eq!(pair.acceptor.name(stream), Some(&name("vatmux.packagefs")));
    assert_eq!(pair.acceptor.priority(stream), Some(priority(6)));
}

/// MUX-5.1.
fn ids_are_odd_for_the_dialer_and_even_for_the_acceptor<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    for step in 0..4 {
        assert_eq!(pair.dialer.open(&name("d"), priority(0)), Ok(id(1 + 2 * step)));
        assert_eq!(pair.acceptor.open(&name("a"), priority(0)), Ok(id(2 + 2 * step)));
    }
    pair.settle();
}

/// MUX-4.3.
fn many_streams_may_carry_one_name<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let (one, two) = (pair.stream(1), pair.stream(1));
    assert_ne!(one, two);
    assert_eq!(pair.acceptor.name(one), pair.acceptor.name(two));
}

/// MUX-4.10.
fn a_finished_direction_leaves_the_other_open<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.stream(0);
    pair.dialer.finish(stream).unwrap();
    pair.settle();
    assert_eq!(read(&mut pair.acceptor, stream), Err(ReadError::Finished));
    pair.acceptor.write(stream, b"still here").unwrap();
    pair.acceptor.finish(stream).unwrap();
    pair.settle();
    assert_eq!(read(&mut pair.dialer, stream).unwrap(), b"still here");
    assert_eq!(read(&mut pair.dialer, stream), Err(ReadError::Finished));
    pair.dialer.release(stream);
    pair.acceptor.release(stream);
    pair.settle();
    assert_eq!((pair.dialer.statistics().streams, pair.acceptor.statistics().streams), (0, 0));
    assert_eq!(pair.dialer.statistics().resets_sent + pair.acceptor.statistics().resets_sent, 0);
}

/// MUX-8.1.
fn close_follows_the_data<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.stream(0);
    pair.dialer.write(stream, b"last").unwrap();
    pair.dialer.finish(stream).unwrap();
    let bytes = transmitted(&mut pair.dialer);
    assert_eq!(frames(&bytes), [Frame::Data { stream, payload: b"last" }, Frame::Close { stream }]);
}

fn a_refusal_carries_its_code<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.dialer.open(&name("nobody.home"), priority(0)).unwrap();
    pair.dialer.write(stream, b"hello?").unwrap();
    pair.settle();
    assert_eq!(next_incoming(&mut pair.acceptor), Some(stream));
    pair.acceptor.refuse(stream, ResetCode::NO_SUCH_SERVICE).unwrap();
    pair.settle();
    assert_eq!(events(&mut pair.dialer), [Event::Reset(stream, ResetCode::NO_SUCH_SERVICE)]);
    assert_eq!(read(&mut pair.dialer, stream), Err(ReadError::Reset(ResetCode::NO_SUCH_SERVICE)));
    assert_eq!(pair.dialer.write(stream, b"x"), Err(WriteError::Reset(ResetCode::NO_SUCH_SERVICE)));
    pair.dialer.release(stream);
    assert_eq!((pair.dialer.statistics().streams, pair.acceptor.statistics().streams), (0, 0));
}

/// MUX-5.8.
fn a_reset_drops_what_was_buffered_at_both_ends<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.stream(0);
    pair.dialer.write(stream, b"arrived").unwrap();
    pair.settle();
    pair.dialer.write(stream, b"never sent").unwrap();
    pair.dialer.reset(stream, ResetCode(4711)).unwrap();
    let bytes = transmitted(&mut pair.dialer);
    assert_eq!(frames(&bytes), [Frame::Reset { stream, code: ResetCode(4711) }]);
    pair.acceptor.receive(&bytes, pair.now).unwrap();
    assert!(events(&mut pair.acceptor).contains(&Event::Reset(stream, ResetCode(4711))));
    assert_eq!(read(&mut pair.acceptor, stream), Err(ReadError::Reset(ResetCode(4711))));
    assert_eq!(read(&mut pair.dialer, stream), Err(ReadError::Reset(ResetCode(4711))));
    assert_eq!(pair.dialer.finish(stream), Err(FinishError::Reset(ResetCode(4711))));
}

/// MUX-5.8.
fn a_reset_after_close_leaves_what_was_received_readable<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.stream(0);
    pair.dialer.write(stream, b"whole").unwrap();
    pair.dialer.finish(stream).unwrap();
    pair.settle();
    pair.dialer.reset(stream, ResetCode::CANCELLED).unwrap();
    pair.settle();
    assert_eq!(pair.acceptor.write(stream, b"x"), Err(WriteError::Reset(ResetCode::CANCELLED)));
    assert_eq!(read(&mut pair.acceptor, stream).unwrap(), b"whole");
    assert_eq!(read(&mut pair.acceptor, stream), Err(ReadError::Finished));
}

/// MUX-6.7.
fn releasing_a_finished_stream_still_delivers_it<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.stream(0);
    pair.dialer.write(stream, b"fire and forget").unwrap();
    pair.dialer.finish(stream).unwrap();
    pair.dialer.release(stream);
    assert_eq!(pair.dialer.write(stream, b"x"), Err(WriteError::Unknown));
    let bytes = transmitted(&mut pair.dialer);
    assert_eq!(
        frames(&bytes),
        [
            Frame::Data { stream, payload: b"fire and forget" },
            Frame::Close { stream },
            Frame::Reset { stream, code: ResetCode::CANCELLED },
        ]
    );
    assert_eq!(pair.dialer.statistics().streams, 0);
    pair.acceptor.receive(&bytes, pair.now).unwrap();
    assert_eq!(read(&mut pair.acceptor, stream).unwrap(), b"fire and forget");
    assert_eq!(read(&mut pair.acceptor, stream), Err(ReadError::Finished));
}

/// MUX-6.7.
fn two_ends_that_let_go_do_not_wait_for_each_others_credit<S: Fresh>() {
    let mut pair = Pair::<S>::new(Limits { initial_window_bytes: 1000, max_window_bytes: 1000, ..LIMITS });
    let stream = pair.stream(0);
    for end in [&mut pair.dialer, &mut pair.acceptor] {
        assert_eq!(write(end, stream, &vec![1; 50_000]), 50_000);
        end.finish(stream).unwrap();
        end.release(stream);
    }
    pair.settle();
    assert_eq!((pair.dialer.statistics().streams, pair.acceptor.statistics().streams), (0, 0));
}

fn releasing_an_unfinished_stream_cancels_it<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.stream(0);
    pair.acceptor.release(stream);
    pair.settle();
    assert!(events(&mut pair.dialer).contains(&Event::Reset(stream, ResetCode::CANCELLED)));
    pair.dialer.release(stream);
    pair.dialer.release(stream);
    assert_eq!((pair.dialer.statistics().streams, pair.acceptor.statistics().streams), (0, 0));
}

/// MUX-5.12.
fn a_stream_reset_before_it_was_announced_sends_nothing<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.dialer.open(&name("regretted"), priority(0)).unwrap();
    pair.dialer.write(stream, b"x").unwrap();
    pair.dialer.release(stream);
    assert!(transmitted(&mut pair.dialer).is_empty());
    assert_eq!(pair.dialer.statistics().streams, 0);
    let next = pair.stream(0);
    assert!(next > stream, "its id is not used again");
}

/// MUX-5.12.
fn a_stream_reset_before_it_was_seen_costs_the_application_nothing<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(LIMITS);
    victim.open(1).unwrap();
    victim.data(1, b"x").unwrap();
    victim.send(&Frame::Reset { stream: id(1), code: ResetCode::CANCELLED }).unwrap();
    assert_eq!(events(&mut victim.session), []);
    assert_eq!(victim.session.statistics().streams, 0);
}

fn accepting_a_stream_that_was_reset_meanwhile_is_told_on_the_first_read<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(LIMITS);
    victim.open(1).unwrap();
    assert_eq!(next_incoming(&mut victim.session), Some(id(1)));
    victim.send(&Frame::Reset { stream: id(1), code: ResetCode::CANCELLED }).unwrap();
    assert_eq!(victim.session.accept(id(1)), Ok(()));
    assert!(transmitted(&mut victim.session).is_empty());
    assert_eq!(read(&mut victim.session, id(1)), Err(ReadError::Reset(ResetCode::CANCELLED)));
    victim.session.release(id(1));
    assert_eq!(victim.session.statistics().streams, 0);
}

fn a_reset_in_the_middle_of_a_frame_skips_the_rest<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(LIMITS);
    victim.accepted(1);
    let frame = crate::support::encoded(&Frame::Data { stream: id(1), payload: &[7; 1000] });
    victim.send_bytes(&frame[..500]).unwrap();
    victim.session.reset(id(1), ResetCode::CANCELLED).unwrap();
    victim.session.release(id(1));
    transmitted(&mut victim.session);
    assert_eq!(victim.session.statistics().streams, 0);
    // The slot goes to another stream before the rest of the frame arrives.
    let other = victim.session.open(&name("other"), priority(0)).unwrap();
    victim.send_bytes(&frame[500..]).unwrap();
    assert_eq!(read(&mut victim.session, other), Err(ReadError::Blocked));
    let ping = crate::support::encoded(&Frame::Ping(3));
    victim.send_bytes(&ping).unwrap();
    assert!(frames(&transmitted(&mut victim.session)).contains(&Frame::Pong(3)));
}

fn a_blocked_writer_is_told_when_it_can_go_on<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.stream(0);
    let buffer = vec![1; LIMITS.send_buffer_bytes as usize];
    assert_eq!(pair.dialer.write(stream, &buffer), Ok(buffer.len()));
    assert_eq!(pair.dialer.write(stream, b"x"), Err(WriteError::Blocked));
    assert_eq!(events(&mut pair.dialer), []);
    pair.settle();
    assert_eq!(events(&mut pair.dialer), [Event::Writable(stream)]);
    assert_eq!(pair.dialer.write(stream, b"x"), Ok(1));
    pair.settle();
    assert_eq!(events(&mut pair.dialer), [], "only a writer that was turned away is told");
}

fn readable_is_told_once_for_many_arrivals<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.stream(0);
    for _ in 0..100 {
        pair.dialer.write(stream, b"x").unwrap();
        pair.settle();
    }
    assert_eq!(events(&mut pair.acceptor), [Event::Readable(stream)]);
}

/// MUX-12.7.
fn wrong_use_is_a_typed_error_that_changes_nothing<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let unknown = id(99);
    let end = &mut pair.dialer;
    assert_eq!(end.write(unknown, b"x"), Err(WriteError::Unknown));
    assert_eq!(end.readable(unknown), Err(ReadError::Unknown));
    assert_eq!(end.consume(unknown, 0), Err(ConsumeError::Unknown));
    assert_eq!(end.finish(unknown), Err(FinishError::Unknown));
    assert_eq!(end.accept(unknown), Err(AcceptError::Unknown));
    assert_eq!(end.refuse(unknown, ResetCode::CANCELLED), Err(AcceptError::Unknown));
    assert_eq!(end.reset(unknown, ResetCode::CANCELLED), Err(UnknownStream));
    end.release(unknown);
    assert_eq!((end.name(unknown), end.priority(unknown)), (None, None));
    assert_eq!(end.stream_statistics(unknown), None);

    let stream = pair.stream(0);
    assert_eq!(pair.dialer.accept(stream), Err(AcceptError::NotOffered), "it is our own");
    assert_eq!(pair.acceptor.accept(stream), Err(AcceptError::NotOffered), "it was accepted before");
    assert_eq!(pair.acceptor.refuse(stream, ResetCode::CANCELLED), Err(AcceptError::NotOffered));
    assert_eq!(pair.dialer.write(stream, b""), Ok(0));
    pair.dialer.write(stream, b"abc").unwrap();
    pair.settle();
    assert_eq!(pair.acceptor.consume(stream, 4), Err(ConsumeError::Beyond { readable: 3 }));
    assert_eq!(pair.acceptor.readable(stream), Ok((&b"abc"[..], &b""[..])));
    pair.dialer.finish(stream).unwrap();
    assert_eq!(pair.dialer.finish(stream), Err(FinishError::Finished));
    assert_eq!(pair.dialer.write(stream, b"x"), Err(WriteError::Finished));
    assert_eq!(pair.dialer.write(stream, b""), Err(WriteError::Finished));

    let offered = pair.dialer.open(&name("offered"), priority(0)).unwrap();
    pair.settle();
    assert_eq!(pair.acceptor.write(offered, b"x"), Err(WriteError::Unknown), "not seen yet");
    assert_eq!(next_incoming(&mut pair.acceptor), Some(offered));
    assert_eq!(pair.acceptor.write(offered, b"x"), Err(WriteError::NotAccepted));
    assert_eq!(pair.acceptor.readable(offered), Err(ReadError::NotAccepted));
    assert_eq!(pair.acceptor.finish(offered), Err(FinishError::NotAccepted));
    pair.settle();
    assert_eq!(pair.dialer.end(), None);
    assert_eq!(pair.acceptor.end(), None);
}

/// MUX-5.9, MUX-5.10.
fn opening_beyond_the_peers_limit_is_an_error_until_a_stream_is_over<S: Fresh>() {
    let mut pair = Pair::<S>::with(LIMITS, Limits { max_incoming_streams: 1, ..LIMITS });
    let stream = pair.stream(0);
    let refused = Err(OpenError::PeerLimit { maximum: 1 });
    assert_eq!(pair.dialer.open(&name("more"), priority(0)), refused);
    pair.dialer.finish(stream).unwrap();
    pair.acceptor.finish(stream).unwrap();
    assert_eq!(pair.dialer.open(&name("more"), priority(0)), refused, "not before both ends know");
    pair.settle();
    assert_eq!(pair.acceptor.statistics().streams, 1, "the application still holds it");
    // The peer counts frames on the wire, not handles: this one is within its limit, yet there is no room.
    let second = pair.dialer.open(&name("more"), priority(0)).unwrap();
    pair.settle();
    assert!(events(&mut pair.dialer).contains(&Event::Reset(second, ResetCode::STREAM_LIMIT)));
    pair.acceptor.release(stream);
    pair.dialer.release(second);
    pair.stream(0);
}

fn opening_beyond_our_own_limit_is_an_error_until_a_stream_is_released<S: Fresh>() {
    let mut pair = Pair::<S>::with(Limits { max_outgoing_streams: 1, ..LIMITS }, LIMITS);
    let stream = pair.stream(0);
    assert_eq!(pair.dialer.open(&name("more"), priority(0)), Err(OpenError::LocalLimit));
    pair.dialer.reset(stream, ResetCode::CANCELLED).unwrap();
    pair.settle();
    assert_eq!(pair.dialer.open(&name("more"), priority(0)), Err(OpenError::LocalLimit));
    pair.dialer.release(stream);
    pair.stream(0);
}
