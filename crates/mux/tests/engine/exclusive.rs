//! Names that one open stream at a time may carry.

use vatmux_mux::wire::Frame;
use vatmux_mux::{
    BudgetKind, End, Event, ExclusiveNames, Limits, OpenError, ResetCode, Session, StreamId, Ticks,
    Violation, WriteError,
};

use crate::support::{
    Fresh, LIMITS, Pair, Random, Victim, carry, events, frames, id, label, name, next_incoming,
    on_every_storage, priority, read, transmitted, write,
};

on_every_storage! {
    a_second_stream_of_an_exclusive_name_is_refused_before_the_application_hears_of_it,
    an_exclusive_name_is_free_when_its_stream_is_over,
    an_exclusive_name_stays_taken_while_one_direction_is_open,
    an_opener_that_waits_for_its_own_count_is_never_refused,
    an_exclusive_name_is_refused_even_where_there_is_no_room,
    a_stream_that_got_no_room_has_no_name,
    names_that_are_not_exclusive_are_not_concerned,
    what_is_opened_from_the_other_side_is_not_concerned,
    a_name_that_becomes_exclusive_later_goes_to_one_of_its_streams,
    a_name_is_no_longer_exclusive_when_the_set_is_replaced,
    ten_thousand_duplicates_take_a_slot_no_more_and_end_in_the_budget_of_resets,
    ten_thousand_duplicates_within_the_budget_leave_nothing_behind,
    duplicates_whose_refusals_nobody_reads_are_bounded_by_the_limit_of_streams,
}

fn only(exclusive: &str) -> ExclusiveNames {
    let mut names = ExclusiveNames::new();
    names.insert(name(exclusive)).expect("room for one");
    names
}

/// Two ends, of which the acceptor keeps "claim" exclusive; it is the name of [`Pair::stream`].
fn pair<S: Fresh>() -> Pair<S> {
    let mut pair = Pair::<S>::new(LIMITS);
    pair.acceptor.set_exclusive_names(&only("claim"));
    pair
}

/// Opens another one and says what became of it.
fn second<S: Fresh>(pair: &mut Pair<S>) -> Result<StreamId, ResetCode> {
    let stream = pair.dialer.open(&name("claim"), priority(0)).expect("room for a stream");
    pair.settle();
    match next_incoming(&mut pair.acceptor) {
        Some(incoming) => {
            assert_eq!(incoming, stream);
            Ok(stream)
        }
        None => match events(&mut pair.dialer).last() {
            Some(Event::Reset(reset, code)) if *reset == stream => Err(*code),
            other => panic!("neither there nor refused: {other:?}"),
        },
    }
}

/// MUX-5.13.
fn a_second_stream_of_an_exclusive_name_is_refused_before_the_application_hears_of_it<S: Fresh>() {
    let mut pair = pair::<S>();
    let first = pair.stream(0);
    let refused = pair.dialer.open(&name("claim"), priority(0)).unwrap();
    pair.dialer.write(refused, b"may follow at once, and is ignored").unwrap();
    carry(&mut pair.dialer, &mut pair.acceptor, pair.now);
    assert_eq!(events(&mut pair.acceptor), []);
    assert_eq!(pair.acceptor.statistics().streams, 1, "no slot is taken");
    let answer = transmitted(&mut pair.acceptor);
    assert_eq!(frames(&answer), [Frame::Reset { stream: refused, code: ResetCode::DUPLICATE_NAME }]);
    pair.dialer.receive(&answer, pair.now).unwrap();
    assert_eq!(events(&mut pair.dialer), [Event::Reset(refused, ResetCode::DUPLICATE_NAME)]);
    assert_eq!(pair.dialer.write(refused, b"x"), Err(WriteError::Reset(ResetCode::DUPLICATE_NAME)));

    write(&mut pair.dialer, first, b"the first lives on");
    pair.settle();
    assert_eq!(read(&mut pair.acceptor, first).unwrap(), b"the first lives on");
    assert_eq!((pair.dialer.end(), pair.acceptor.end()), (None, None));
}

/// MUX-5.14.
fn an_exclusive_name_is_free_when_its_stream_is_over<S: Fresh>() {
    type Ending<S> = fn(&mut Pair<S>, StreamId);
    let endings: [Ending<S>; 4] = [
        |pair, stream| pair.dialer.reset(stream, ResetCode::CANCELLED).unwrap(),
        |pair, stream| pair.acceptor.reset(stream, ResetCode::CANCELLED).unwrap(),
        |pair, stream| pair.dialer.release(stream),
        |pair, stream| {
            pair.dialer.finish(stream).unwrap();
            pair.acceptor.finish(stream).unwrap();
        },
    ];
    for end in endings {
        let mut pair = pair::<S>();
        for _ in 0..3 {
            let stream = pair.stream(0);
            assert_eq!(second(&mut pair), Err(ResetCode::DUPLICATE_NAME));
            end(&mut pair, stream);
            // The acceptor's application need not have let go of it.
            pair.settle();
        }
    }
}

/// MUX-5.14.
fn an_exclusive_name_stays_taken_while_one_direction_is_open<S: Fresh>() {
    for dialer_first in [true, false] {
        let mut pair = pair::<S>();
        let stream = pair.stream(0);
        let (one, other) = if dialer_first {
            (&mut pair.dialer, &mut pair.acceptor)
        } else {
            (&mut pair.acceptor, &mut pair.dialer)
        };
        one.finish(stream).unwrap();
        carry(one, other, Ticks::ZERO);
        assert_eq!(second(&mut pair), Err(ResetCode::DUPLICATE_NAME));
        let last = if dialer_first { &mut pair.acceptor } else { &mut pair.dialer };
        last.finish(stream).unwrap();
        pair.settle();
        assert!(second(&mut pair).is_ok());
    }
}

/// Whatever crosses on the link. MUX-5.14.
fn an_opener_that_waits_for_its_own_count_is_never_refused<S: Fresh>() {
    let seed = 11;
    let mut random = Random(seed);
    // With room for one stream at a time, the opener's count says when the next one may be opened.
    let mut pair = Pair::<S>::new(Limits { max_incoming_streams: 1, ..LIMITS });
    pair.acceptor.set_exclusive_names(&only("claim"));
    let (mut mine, mut theirs, mut opened) = (None, None, 0);
    for step in 0..20_000_u64 {
        pair.now = Ticks(step / 4);
        match random.below(9) {
            0 | 1 => match pair.dialer.open(&name("claim"), priority(0)) {
                Ok(stream) => {
                    mine.replace(stream).into_iter().for_each(|old| pair.dialer.release(old));
                    opened += 1;
                }
                Err(OpenError::PeerLimit { .. }) => {}
                Err(other) => panic!("{other}"),
            },
            2 => drop(mine.take().map(|stream| pair.dialer.release(stream))),
            3 => drop(mine.map(|stream| pair.dialer.finish(stream))),
            4 => {
                if let Some(stream) = next_incoming(&mut pair.acceptor) {
                    theirs.replace(stream).into_iter().for_each(|old| pair.acceptor.release(old));
                    pair.acceptor.accept(stream).unwrap();
                }
            }
            5 => drop(theirs.take().map(|stream| pair.acceptor.release(stream))),
            6 => drop(theirs.map(|stream| pair.acceptor.finish(stream))),
            7 => drop(carry(&mut pair.dialer, &mut pair.acceptor, pair.now)),
            _ => drop(carry(&mut pair.acceptor, &mut pair.dialer, pair.now)),
        }
        for event in events(&mut pair.dialer) {
            let refused = matches!(event, Event::Reset(_, ResetCode::DUPLICATE_NAME));
            assert!(!refused, "seed {seed}, step {step}: {event:?}");
        }
    }
    assert!(opened > 500, "{opened} opened");
}

/// MUX-5.13.
fn an_exclusive_name_is_refused_even_where_there_is_no_room<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(Limits { max_unaccepted_streams: 1, ..LIMITS });
    victim.session.set_exclusive_names(&only("hostile"));
    victim.open(1).unwrap();
    victim.open(3).unwrap();
    let answer = transmitted(&mut victim.session);
    assert_eq!(frames(&answer), [Frame::Reset { stream: id(3), code: ResetCode::DUPLICATE_NAME }]);
}

/// MUX-5.14.
fn a_stream_that_got_no_room_has_no_name<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(Limits { max_unaccepted_streams: 1, ..LIMITS });
    victim.session.set_exclusive_names(&only("hostile"));
    victim.send(&Frame::Open { stream: id(1), priority: priority(0), name: name("in-the-way") }).unwrap();
    victim.open(3).unwrap();
    let answer = transmitted(&mut victim.session);
    assert_eq!(frames(&answer), [Frame::Reset { stream: id(3), code: ResetCode::STREAM_LIMIT }]);
    assert_eq!(next_incoming(&mut victim.session), Some(id(1)));
    victim.session.accept(id(1)).unwrap();
    victim.accepted(5);
}

/// MUX-4.3, MUX-5.14.
fn names_that_are_not_exclusive_are_not_concerned<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(LIMITS);
    victim.session.set_exclusive_names(&only("hostile"));
    victim.accepted(1);
    for (raw, other) in [(3, "hostil"), (5, "hostile2"), (7, "Hostile"), (9, "hostil")] {
        victim.send(&Frame::Open { stream: id(raw), priority: priority(0), name: name(other) }).unwrap();
        assert_eq!(next_incoming(&mut victim.session), Some(id(raw)), "{other}");
    }
}

/// MUX-5.14.
fn what_is_opened_from_the_other_side_is_not_concerned<S: Fresh>() {
    let mut pair = pair::<S>();
    for _ in 0..2 {
        let ours = pair.acceptor.open(&name("claim"), priority(0)).unwrap();
        pair.settle();
        assert_eq!(next_incoming(&mut pair.dialer), Some(ours));
    }
    pair.stream(0);
    assert_eq!(second(&mut pair), Err(ResetCode::DUPLICATE_NAME));
}

/// MUX-5.15.
fn a_name_that_becomes_exclusive_later_goes_to_one_of_its_streams<S: Fresh>() {
    let resets = |session: &mut Session<S>| -> Vec<_> {
        let answer = transmitted(session);
        let reset = |frame: &Frame<'_>| match frame {
            Frame::Reset { stream, code: ResetCode::DUPLICATE_NAME } => Some(stream.get()),
            _ => None,
        };
        frames(&answer).iter().filter_map(reset).collect()
    };
    // None is accepted: the first has it, whether the application was told of it or not.
    for told in 0..=3 {
        let mut victim = Victim::<S>::acceptor(LIMITS);
        for raw in [1, 3, 5] {
            victim.open(raw).unwrap();
        }
        for _ in 0..told {
            victim.session.poll_event().unwrap();
        }
        victim.session.set_exclusive_names(&only("hostile"));
        assert_eq!(resets(&mut victim.session), [3, 5]);
        let left = events(&mut victim.session);
        assert!(left.len() <= 1, "{left:?}");
        assert!(victim.session.name(id(1)).is_some());
        assert_eq!((victim.session.name(id(3)), victim.session.name(id(5))), (None, None));
        victim.session.accept(id(1)).unwrap();
        victim.open(7).unwrap();
        assert_eq!(resets(&mut victim.session), [7]);
    }
    // Two are: both stay, and the last has it.
    let mut victim = Victim::<S>::acceptor(LIMITS);
    let (one, two) = (victim.accepted(1), victim.accepted(3));
    victim.open(5).unwrap();
    victim.session.set_exclusive_names(&only("hostile"));
    assert_eq!(resets(&mut victim.session), [5]);
    victim.session.reset(one, ResetCode::CANCELLED).unwrap();
    victim.open(7).unwrap();
    assert_eq!(resets(&mut victim.session), [7]);
    victim.session.reset(two, ResetCode::CANCELLED).unwrap();
    transmitted(&mut victim.session);
    victim.accepted(9);
    assert_eq!(victim.session.end(), None);
}

/// MUX-5.15.
fn a_name_is_no_longer_exclusive_when_the_set_is_replaced<S: Fresh>() {
    let mut pair = pair::<S>();
    pair.stream(0);
    assert_eq!(second(&mut pair), Err(ResetCode::DUPLICATE_NAME));
    pair.acceptor.set_exclusive_names(&only("another"));
    assert!(second(&mut pair).is_ok());
    pair.acceptor.set_exclusive_names(&ExclusiveNames::new());
    assert!(second(&mut pair).is_ok());
}

/// CVE-2025-8671, by name.
///
/// MUX-5.13, MUX-11.3.
fn ten_thousand_duplicates_take_a_slot_no_more_and_end_in_the_budget_of_resets<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(LIMITS);
    victim.session.set_exclusive_names(&only("hostile"));
    victim.accepted(1);
    let mut refused = 0;
    for number in 1..=10_000 {
        if let Err(violation) = victim.open(2 * number + 1) {
            assert_eq!(violation, Violation::Flood(BudgetKind::Resets));
            break;
        }
        refused += 1;
        assert_eq!(victim.session.statistics().streams, 1);
        assert!(transmitted(&mut victim.session).len() < 64);
    }
    assert_eq!(refused, LIMITS.reset_budget);
    assert_eq!(victim.session.end(), Some(End::Violation(Violation::Flood(BudgetKind::Resets))));
}

/// MUX-5.13, MUX-10.4.
fn ten_thousand_duplicates_within_the_budget_leave_nothing_behind<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(LIMITS);
    victim.session.set_exclusive_names(&only("hostile"));
    let stream = victim.accepted(1);
    transmitted(&mut victim.session);
    for number in 1..=10_000_u32 {
        victim.now = Ticks(u64::from(number / LIMITS.reset_budget));
        victim.open(2 * number + 1).unwrap();
        assert_eq!(events(&mut victim.session), []);
        let answer = transmitted(&mut victim.session);
        let refusal = Frame::Reset { stream: id(2 * number + 1), code: ResetCode::DUPLICATE_NAME };
        assert!(frames(&answer).contains(&refusal));
    }
    assert_eq!(victim.session.statistics().streams, 1);
    assert_eq!(victim.session.write(stream, b"and the first lives on"), Ok(22));
}

/// MUX-5.13, MUX-5.9.
fn duplicates_whose_refusals_nobody_reads_are_bounded_by_the_limit_of_streams<S: Fresh>() {
    let mut victim = Victim::<S>::acceptor(LIMITS);
    victim.session.set_exclusive_names(&only("hostile"));
    victim.accepted(1);
    for number in 1..LIMITS.max_incoming_streams {
        victim.open(2 * number + 1).unwrap();
    }
    assert_eq!(label(victim.open(101)), "stream_limit_exceeded");
}
