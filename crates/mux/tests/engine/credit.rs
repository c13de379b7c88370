//! Credit: what a sender may send, and what a receiver grants.

use vatmux_mux::wire::Frame;
use vatmux_mux::{Limits, Session, Storage, StreamId, WriteError};

use crate::support::{Fresh, LIMITS, Pair, frames, on_every_storage, read, transmitted, write};

on_every_storage! {
    a_sender_stops_when_its_credit_is_used,
    credit_is_granted_once_half_a_window_is_consumed,
    one_window_update_stands_for_many_reads,
    a_reader_that_stops_holds_at_most_its_window,
    a_stream_that_is_stuck_does_not_hold_up_another,
    windows_of_one_byte_work,
    no_credit_is_granted_to_a_direction_that_has_ended,
    credit_is_conserved,
}

const WINDOW: u32 = LIMITS.initial_window_bytes;

/// MUX-6.1.
fn a_sender_stops_when_its_credit_is_used<S: Fresh>() {
    let mut pair =
        Pair::<S>::with(Limits { initial_window_bytes: 1000, max_window_bytes: 1000, ..LIMITS }, LIMITS);
    let stream = pair.stream(0);
    write(&mut pair.acceptor, stream, &[1; 5000]);
    let sent: usize = frames(&transmitted(&mut pair.acceptor))
        .iter()
        .map(|frame| if let Frame::Data { payload, .. } = frame { payload.len() } else { 0 })
        .sum();
    assert_eq!(sent, 1000);
    assert!(!pair.acceptor.wants_transmit());
}

/// MUX-6.4, MUX-6.5.
fn credit_is_granted_once_half_a_window_is_consumed<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.stream(0);
    write(&mut pair.dialer, stream, &vec![1; WINDOW as usize]);
    pair.settle();
    pair.acceptor.consume(stream, WINDOW as usize / 2 - 1).unwrap();
    assert!(!pair.acceptor.wants_transmit());
    pair.acceptor.consume(stream, 1).unwrap();
    let bytes = transmitted(&mut pair.acceptor);
    assert_eq!(frames(&bytes), [Frame::WindowUpdate { stream, increment: WINDOW / 2 }]);
}

/// MUX-6.5.
fn one_window_update_stands_for_many_reads<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.stream(0);
    write(&mut pair.dialer, stream, &vec![1; WINDOW as usize]);
    pair.settle();
    for _ in 0..WINDOW {
        pair.acceptor.consume(stream, 1).unwrap();
    }
    let bytes = transmitted(&mut pair.acceptor);
    assert_eq!(frames(&bytes), [Frame::WindowUpdate { stream, increment: WINDOW }]);
}

/// MUX-6.4.
fn a_reader_that_stops_holds_at_most_its_window<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.stream(0);
    for _ in 0..100 {
        write(&mut pair.dialer, stream, &[1; 10_000]);
        pair.settle();
    }
    let held = pair.acceptor.stream_statistics(stream).unwrap();
    assert_eq!(held.unread_bytes, WINDOW);
    assert_eq!(pair.dialer.stream_statistics(stream).unwrap().unsent_bytes, LIMITS.send_buffer_bytes);
    assert_eq!(pair.dialer.write(stream, b"x"), Err(WriteError::Blocked));
}

/// MUX-6.2.
fn a_stream_that_is_stuck_does_not_hold_up_another<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let (stuck, moving) = (pair.stream(0), pair.stream(7));
    write(&mut pair.dialer, stuck, &vec![1; 65_536]);
    pair.settle();
    write(&mut pair.dialer, stuck, &vec![1; 65_536]);
    for _ in 0..50 {
        assert_eq!(write(&mut pair.dialer, moving, &vec![2; 20_000]), 20_000);
        pair.settle();
        assert_eq!(read(&mut pair.acceptor, moving).unwrap().len(), 20_000);
        pair.settle();
    }
}

/// MUX-6.5.
fn windows_of_one_byte_work<S: Fresh>() {
    let tiny = Limits { initial_window_bytes: 1, max_window_bytes: 1, send_buffer_bytes: 1, ..LIMITS };
    let mut pair = Pair::<S>::new(tiny);
    let stream = pair.stream(0);
    for byte in 0..=255 {
        assert_eq!(pair.dialer.write(stream, &[byte, byte]), Ok(1));
        pair.settle();
        assert_eq!(read(&mut pair.acceptor, stream).unwrap(), [byte]);
        pair.settle();
    }
}

/// MUX-6.6.
fn no_credit_is_granted_to_a_direction_that_has_ended<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.stream(0);
    write(&mut pair.dialer, stream, &vec![1; WINDOW as usize]);
    pair.dialer.finish(stream).unwrap();
    pair.settle();
    assert_eq!(read(&mut pair.acceptor, stream).unwrap().len(), WINDOW as usize);
    assert!(!pair.acceptor.wants_transmit());
}

/// Credit is conserved to the byte: what the receiver has granted is what the sender still has; and that, what is unread
/// and what is owed make the window. Nothing is under way; the simulator checks the same where something is.
fn assert_conserved<S: Storage>(from: &Session<S>, to: &Session<S>, stream: StreamId) {
    let sender = from.stream_statistics(stream).unwrap();
    let receiver = to.stream_statistics(stream).unwrap();
    let accounted = receiver.granted_bytes + receiver.unread_bytes + receiver.owed_bytes;
    assert_eq!(accounted, receiver.window_bytes, "{stream}: {receiver:?}");
    assert_eq!(sender.sent_bytes, receiver.received_bytes);
    assert_eq!(sender.send_credit_bytes, receiver.granted_bytes, "{stream}: {sender:?} {receiver:?}");
}

/// MUX-6.4.
fn credit_is_conserved<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.stream(0);
    for step in 0..500 {
        write(&mut pair.dialer, stream, &vec![1; step * 97 % 5000]);
        pair.settle();
        if step % 3 == 0 {
            let unread = pair.acceptor.stream_statistics(stream).unwrap().unread_bytes as usize;
            pair.acceptor.consume(stream, unread * (step % 7) / 6).unwrap();
        }
        pair.settle();
        assert_conserved(&pair.dialer, &pair.acceptor, stream);
    }
}
