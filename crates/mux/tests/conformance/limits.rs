//! MUX-10 and MUX-11: the tables of limits and budgets, as numbers.

use vatmux_mux::wire::Frame;
use vatmux_mux::{Hello, Limits, LimitsError, MAX_CREDIT_BYTES, ResetCode, Role, Session, Ticks};

use crate::spec::{number, rows, specification, table};
use crate::support::{Fresh, LIMITS, Victim, id, label, on_every_storage, transmitted};

on_every_storage! {
    limits_at_their_bounds_are_taken_and_beyond_are_not,
    budgets_have_the_sizes_of_the_table,
    a_refused_open_takes_from_the_budget_of_resets,
    progress_puts_back_what_the_table_says,
    a_stream_that_both_ends_closed_puts_back_a_reset,
    data_that_is_sent_puts_back_window_updates,
    a_stream_that_goes_puts_back_four_strays,
    a_byte_that_is_consumed_puts_back_one_small_frame,
}

/// The column of one set of limits.
fn column(limits: &Limits) -> [u64; 10] {
    [
        limits.initial_window_bytes.into(),
        limits.max_window_bytes.into(),
        limits.session_window_budget_bytes.into(),
        limits.send_buffer_bytes.into(),
        limits.max_incoming_streams.into(),
        limits.max_outgoing_streams.into(),
        limits.max_unaccepted_streams.into(),
        limits.starvation_bytes.into(),
        limits.ping_after_ticks.0,
        limits.dead_after_ticks.0,
    ]
}

/// MUX-10.1.
#[test]
fn the_table_of_limits_is_the_limits() {
    let rows = table("MUX-10.1");
    for (at, limits) in [(1, Limits::FIXED), (2, Limits::HOST)] {
        let written: Vec<_> = rows.iter().map(|row| number(&row[at]).expect("a number")).collect();
        assert_eq!(written, column(&limits));
    }
    assert_eq!(Limits::default(), Limits::FIXED);
    assert_eq!(number(&rows[0][4]), Some(MAX_CREDIT_BYTES.into()));
    assert_eq!(number(&rows[4][4]), Some(Hello::MAX_STREAMS.into()));
}

/// MUX-10.3.
#[test]
fn the_worst_case_is_the_formula() {
    for (limits, tenths_of_mib, peer_mib) in [(Limits::FIXED, 160, 8), (Limits::HOST, 1761, 48)] {
        let [window, _, budget, send_buffer, incoming, outgoing, ..] = column(&limits);
        let formula = (incoming + outgoing) * (window + send_buffer + 256) + budget + 2048;
        assert_eq!(limits.worst_case_bytes(), formula);
        assert_eq!((formula * 10) >> 20, tenths_of_mib);
        assert_eq!(((incoming + outgoing) * window + budget) >> 20, peer_mib);
        let text = specification();
        assert!(text.contains(&format!("{}.{} MiB", tenths_of_mib / 10, tenths_of_mib % 10)));
    }
}

/// MUX-10.1, MUX-10.2.
fn limits_at_their_bounds_are_taken_and_beyond_are_not<S: Fresh>() {
    let hello = Hello { version: 1, initial_window_bytes: 1, max_streams: 1 };
    let refused = |limits| Session::new(Role::Dialer, limits, hello, S::fresh(), Ticks::ZERO).err();
    let least = Limits {
        initial_window_bytes: 1,
        max_window_bytes: 1,
        session_window_budget_bytes: 0,
        send_buffer_bytes: 1,
        max_incoming_streams: 0,
        max_outgoing_streams: 0,
        max_unaccepted_streams: 0,
        starvation_bytes: 1,
        ping_after_ticks: Ticks(1),
        dead_after_ticks: Ticks(2),
        ..LIMITS
    };
    assert_eq!(refused(least), None);
    let most = Limits {
        session_window_budget_bytes: u32::MAX,
        max_unaccepted_streams: u32::MAX,
        starvation_bytes: u32::MAX,
        ping_after_ticks: Ticks(u64::MAX - 1),
        dead_after_ticks: Ticks(u64::MAX),
        ..LIMITS
    };
    assert_eq!(refused(most), None);
    let beyond = Limits { max_window_bytes: MAX_CREDIT_BYTES + 1, ..LIMITS };
    assert!(matches!(refused(beyond), Some(LimitsError::Window { .. })));
    let beyond = Limits { max_incoming_streams: 65_536, max_outgoing_streams: 0, ..LIMITS };
    assert!(matches!(refused(beyond), Some(LimitsError::Streams { .. })));
    let beyond = Limits { dead_after_ticks: Ticks(1), ..least };
    assert_eq!(refused(beyond), Some(LimitsError::Keepalive));
}

/// The budgets in the order of their table.
fn budgets(limits: &Limits) -> [u64; 5] {
    [
        limits.small_data_budget.into(),
        limits.reset_budget.into(),
        limits.ping_budget.into(),
        limits.window_update_budget.into(),
        limits.stray_frame_budget.into(),
    ]
}

/// MUX-11.1, MUX-11.4, MUX-11.5.
fn budgets_have_the_sizes_of_the_table<S: Fresh>() {
    let specification = specification();
    let section = specification.split("## 11. Budgets").nth(1).expect("a section on budgets");
    let written: Vec<_> = rows(section).iter().map(|row| number(&row[1]).expect("a number")).collect();
    assert_eq!(written, budgets(&Limits::FIXED));
    assert_eq!(written, budgets(&Limits::HOST));

    // Each frame takes one: the budget allows that many and not one more, and a tick makes it full again.
    for (budget, frame) in
        [(written[2], Frame::Ping(1)), (written[3], Frame::WindowUpdate { stream: id(1), increment: 1 })]
    {
        let mut victim = Victim::<S>::acceptor(LIMITS);
        victim.accepted(1);
        for tick in [0, 1] {
            victim.now = Ticks(tick);
            for _ in 0..budget {
                victim.send(&frame).unwrap();
            }
        }
        assert_eq!(label(victim.send(&frame)), "flood");
    }
}

/// MUX-11.3.
fn a_refused_open_takes_from_the_budget_of_resets<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(Limits { max_unaccepted_streams: 0, reset_budget: 5, ..LIMITS });
    for step in 0..5 {
        victim.open(1 + 2 * step).unwrap();
        transmitted(&mut victim.session);
    }
    assert_eq!(label(victim.open(11)), "flood");
}

/// MUX-11.3, MUX-11.4.
fn progress_puts_back_what_the_table_says<S: Fresh>() {
    // Consumed: a KiB, and not a byte less.
    for (consumed, outcome) in [(1023, Err("flood")), (1024, Ok(()))] {
        let mut victim = Victim::<S>::acceptor(Limits { ping_budget: 1, reset_budget: 1, ..LIMITS });
        let stream = victim.accepted(1);
        victim.open(3).unwrap();
        victim.open(5).unwrap();
        let reset = |raw| Frame::Reset { stream: id(raw), code: ResetCode::CANCELLED };
        victim.send(&Frame::Ping(1)).unwrap();
        victim.send(&reset(3)).unwrap();
        victim.data(1, &[7; 2000]).unwrap();
        victim.session.consume(stream, consumed).unwrap();
        assert_eq!(victim.send(&Frame::Ping(2)).map_err(|violation| violation.label()), outcome);
        if outcome.is_ok() {
            victim.send(&reset(5)).unwrap();
        }
    }
    // Sent: single bytes, each in a frame of its own, count as 65.
    for (sent, outcome) in [(15, Err("flood")), (16, Ok(()))] {
        let mut victim = Victim::<S>::acceptor(Limits { ping_budget: 1, ..LIMITS });
        let stream = victim.accepted(1);
        victim.send(&Frame::Ping(1)).unwrap();
        for _ in 0..sent {
            victim.session.write(stream, b"x").unwrap();
            transmitted(&mut victim.session);
        }
        assert_eq!(victim.send(&Frame::Ping(2)).map_err(|violation| violation.label()), outcome);
    }
}

/// MUX-11.3.
fn a_stream_that_both_ends_closed_puts_back_a_reset<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(Limits { reset_budget: 1, ..LIMITS });
    for step in 0..100 {
        let [reset, clean] = [1 + 4 * step, 3 + 4 * step];
        victim.open(reset).unwrap();
        victim.send(&Frame::Reset { stream: id(reset), code: ResetCode::CANCELLED }).unwrap();
        victim.accepted(clean);
        victim.session.finish(id(clean)).unwrap();
        victim.send(&Frame::Close { stream: id(clean) }).unwrap();
        transmitted(&mut victim.session);
        victim.session.release(id(clean));
    }
    victim.open(401).unwrap();
    victim.send(&Frame::Reset { stream: id(401), code: ResetCode::CANCELLED }).unwrap();
    victim.open(403).unwrap();
    let reset = Frame::Reset { stream: id(403), code: ResetCode::CANCELLED };
    assert_eq!(label(victim.send(&reset)), "flood", "two in a row");
}

/// MUX-11.5.
fn data_that_is_sent_puts_back_window_updates<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(Limits { window_update_budget: 20, ..LIMITS });
    let stream = victim.accepted(1);
    let update = Frame::WindowUpdate { stream, increment: 1 };
    for _ in 0..20 {
        victim.send(&update).unwrap();
    }
    victim.session.write(stream, &[1; 2047]).unwrap();
    transmitted(&mut victim.session);
    for _ in 0..=4 {
        victim.send(&update).unwrap();
    }
    assert_eq!(label(victim.send(&update)), "flood");
}

/// MUX-11.6.
fn a_stream_that_goes_puts_back_four_strays<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(Limits { stray_frame_budget: 10, ..LIMITS });
    let gone = |victim: &mut Victim<S>, raw| {
        victim.accepted(raw);
        victim.session.release(id(raw));
        transmitted(&mut victim.session);
    };
    gone(&mut victim, 1);
    let stray = Frame::Close { stream: id(1) };
    for _ in 0..10 {
        victim.send(&stray).unwrap();
    }
    gone(&mut victim, 3);
    for _ in 0..4 {
        victim.send(&stray).unwrap();
    }
    assert_eq!(label(victim.send(&stray)), "flood");
}

/// MUX-11.2.
fn a_byte_that_is_consumed_puts_back_one_small_frame<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(Limits { small_data_budget: 10, ..LIMITS });
    let stream = victim.accepted(1);
    for _ in 0..10 {
        victim.data(1, &[1; 31]).unwrap();
    }
    victim.data(1, &[1; 32]).expect("no small frame");
    victim.session.consume(stream, 3).unwrap();
    for _ in 0..3 {
        victim.data(1, &[1; 31]).unwrap();
    }
    assert_eq!(label(victim.data(1, &[1; 31])), "flood");
}
