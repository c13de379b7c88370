//! A small session, in every order that things can happen in.

use vatmux_sim::{Range, explore};

#[test]
fn two_streams_keep_every_promise_in_every_order_of_twelve_moves() {
    let explored = explore(Range::Everything, 12).unwrap_or_else(|trace| panic!("{trace}"));
    assert!(explored.depth == 12 && explored.states > 200_000, "{explored:?}");
}

#[test]
fn one_way_streams_keep_every_promise_in_every_order_to_the_end() {
    let explored = explore(Range::OneWay, usize::MAX).unwrap_or_else(|trace| panic!("{trace}"));
    assert!(explored.complete && explored.states > 50_000, "{explored:?}");
}

#[test]
fn one_name_has_one_stream_in_every_order_of_twelve_moves() {
    let explored = explore(Range::Names, 12).unwrap_or_else(|trace| panic!("{trace}"));
    assert!(explored.depth == 12 && explored.states > 100_000, "{explored:?}");
}
