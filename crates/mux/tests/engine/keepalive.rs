//! Whether the peer is there, on the caller's clock.

use vatmux_mux::wire::Frame;
use vatmux_mux::{CloseCode, End, Event, Ticks};

use crate::support::{
    Fresh, LIMITS, Pair, Victim, carry, encoded, events, frames, on_every_storage, transmitted,
};

on_every_storage! {
    silence_is_answered_by_a_ping_after_three_ticks,
    a_peer_that_stays_silent_is_dead_after_nine_ticks,
    any_received_byte_is_life,
    a_machine_that_slept_asks_before_it_gives_up,
    an_end_that_only_receives_still_says_something,
    two_idle_ends_keep_each_other_alive,
    a_deadline_is_never_in_the_past_while_the_link_is_stuck,
    time_does_not_run_backwards,
    bytes_that_no_record_has_proved_are_life_for_a_while,
    a_record_that_decrypts_starts_the_while_anew,
}

fn pings(bytes: &[u8]) -> usize {
    frames(bytes).iter().filter(|frame| matches!(frame, Frame::Ping(_))).count()
}

/// MUX-9.2.
fn silence_is_answered_by_a_ping_after_three_ticks<S: Fresh>() {
    let mut victim = Victim::<S>::dialer(LIMITS);
    assert_eq!(victim.session.next_deadline(), Some(Ticks(3)));
    victim.session.handle_timeout(Ticks(2));
    assert!(!victim.session.wants_transmit());
    victim.session.handle_timeout(Ticks(3));
    let bytes = transmitted(&mut victim.session);
    assert_eq!(pings(&bytes), 1);
    victim.session.handle_timeout(Ticks(4));
    assert!(!victim.session.wants_transmit(), "one silence, one ping");
}

/// MUX-9.4.
fn a_peer_that_stays_silent_is_dead_after_nine_ticks<S: Fresh>() {
    let mut victim = Victim::<S>::dialer(LIMITS);
    while let Some(deadline) = victim.session.next_deadline() {
        assert!(deadline <= Ticks(9));
        victim.session.handle_timeout(deadline);
        if deadline < Ticks(9) {
            assert_eq!(victim.session.end(), None);
            transmitted(&mut victim.session);
        }
    }
    assert_eq!(victim.session.end(), Some(End::KeepaliveTimeout));
    assert_eq!(events(&mut victim.session), [Event::Ended]);
    let bytes = transmitted(&mut victim.session);
    assert_eq!(frames(&bytes), [Frame::CloseSession(CloseCode::KEEPALIVE_TIMEOUT)]);
}

/// MUX-9.1.
fn any_received_byte_is_life<S: Fresh>() {
    let mut victim = Victim::<S>::dialer(LIMITS);
    // One byte of a frame per eight ticks, and never an answer to a PING.
    let frame = encoded(&Frame::Ping(1));
    for (step, byte) in frame.iter().enumerate() {
        for tick in 0..8 {
            victim.session.handle_timeout(Ticks(8 * step as u64 + tick));
            transmitted(&mut victim.session);
        }
        victim.now = Ticks(8 * step as u64 + 8);
        victim.send_bytes(&[*byte]).unwrap();
        victim.session.handle_timeout(victim.now);
        assert_eq!(victim.session.end(), None);
    }
    victim.session.handle_timeout(victim.now.after(Ticks(8)));
    assert_eq!(victim.session.end(), None);
    victim.session.handle_timeout(victim.now.after(Ticks(14)));
    assert_eq!(victim.session.end(), Some(End::KeepaliveTimeout));
}

/// MUX-9.4.
fn a_machine_that_slept_asks_before_it_gives_up<S: Fresh>() {
    for answers in [true, false] {
        let mut pair = Pair::<S>::new(LIMITS);
        pair.now = Ticks(1_000_000);
        pair.dialer.handle_timeout(pair.now);
        pair.dialer.handle_timeout(Ticks(1_000_005));
        assert_eq!(pair.dialer.end(), None, "it has been asked five ticks ago");
        if answers {
            pair.settle();
        }
        pair.dialer.handle_timeout(Ticks(1_000_006));
        assert_eq!(pair.dialer.end(), (!answers).then_some(End::KeepaliveTimeout));
    }
}

/// The peer may be waiting for any byte of ours behind a long queue of its own: a busy, healthy link is never killed.
///
/// MUX-9.3.
fn an_end_that_only_receives_still_says_something<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let stream = pair.stream(7);
    for tick in 1..30 {
        pair.now = Ticks(tick);
        pair.dialer.write(stream, b"x").unwrap();
        carry(&mut pair.dialer, &mut pair.acceptor, pair.now);
        pair.acceptor.handle_timeout(pair.now);
        carry(&mut pair.acceptor, &mut pair.dialer, pair.now);
        // The dialer never sends its own PING: it is never silent for long enough.
        pair.dialer.handle_timeout(pair.now);
        assert_eq!(pair.dialer.end(), None, "at tick {tick}");
    }
}

/// MUX-9.3.
fn two_idle_ends_keep_each_other_alive<S: Fresh>() {
    let mut pair = Pair::<S>::new(LIMITS);
    let mut wakeups = 0;
    while pair.now < Ticks(1000) {
        let next = pair.dialer.next_deadline().min(pair.acceptor.next_deadline()).expect("both live");
        assert!(next > pair.now);
        pair.now = next;
        pair.dialer.handle_timeout(next);
        pair.acceptor.handle_timeout(next);
        pair.settle();
        wakeups += 1;
    }
    assert_eq!((pair.dialer.end(), pair.acceptor.end()), (None, None));
    assert!(wakeups <= 334, "a wake-up in three ticks: {wakeups}");
}

fn a_deadline_is_never_in_the_past_while_the_link_is_stuck<S: Fresh>() {
    let mut victim = Victim::<S>::dialer(LIMITS);
    let mut now = Ticks(0);
    while let Some(deadline) = victim.session.next_deadline() {
        assert!(deadline > now, "a deadline that does not move is a busy loop");
        now = deadline;
        victim.session.handle_timeout(now);
        // Nothing is ever transmitted.
    }
    assert_eq!(now, Ticks(9));
}

/// MUX-9.5.
fn time_does_not_run_backwards<S: Fresh>() {
    let mut victim = Victim::<S>::dialer(LIMITS);
    victim.session.receive(&[], Ticks(100)).unwrap();
    victim.now = Ticks(5);
    victim.send(&Frame::Ping(1)).unwrap();
    victim.session.handle_timeout(Ticks(0));
    transmitted(&mut victim.session);
    assert_eq!(victim.session.next_deadline(), Some(Ticks(103)));
}

/// A link of one byte per `gap` ticks, none of which any record has proved; until when the session lives.
fn lifetime_on_unproven_bytes<S: Fresh>(victim: &mut Victim<S>, gap: u64) -> Ticks {
    for tick in victim.now.0 + 1..victim.now.0 + 500 {
        victim.now = Ticks(tick);
        if tick % gap == 0 {
            victim.session.heard(victim.now);
        }
        victim.session.handle_timeout(victim.now);
        transmitted(&mut victim.session);
        if victim.session.end() == Some(End::KeepaliveTimeout) {
            break;
        }
        assert_eq!(victim.session.end(), None);
    }
    victim.now
}

/// MUX-9.1, MUX-9.6.
fn bytes_that_no_record_has_proved_are_life_for_a_while<S: Fresh>() {
    for gap in 1..9 {
        let mut victim = Victim::<S>::dialer(LIMITS);
        let last_heard = 71 / gap * gap;
        assert_eq!(lifetime_on_unproven_bytes(&mut victim, gap), Ticks(last_heard + 9), "every {gap} ticks");
    }
    let mut victim = Victim::<S>::dialer(LIMITS);
    assert_eq!(lifetime_on_unproven_bytes(&mut victim, 1000), Ticks(9), "nothing at all");
}

/// MUX-9.6.
fn a_record_that_decrypts_starts_the_while_anew<S: Fresh>() {
    let mut victim = Victim::<S>::dialer(LIMITS);
    for tick in 1..=1000 {
        victim.now = Ticks(tick);
        victim.session.heard(victim.now);
        if tick % 70 == 0 {
            victim.send(&Frame::Pong(0)).unwrap();
        }
        victim.session.handle_timeout(victim.now);
        transmitted(&mut victim.session);
        assert_eq!(victim.session.end(), None, "at {tick}");
    }
    // The last was at 980.
    assert_eq!(lifetime_on_unproven_bytes(&mut victim, 1), Ticks(980 + 71 + 9));
}
