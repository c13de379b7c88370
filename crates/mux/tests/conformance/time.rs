//! MUX-9: ends whose ticks differ.

use vatmux_mux::Ticks;

use crate::support::{Fresh, LIMITS, Pair, carry, on_every_storage};

on_every_storage! {
    ends_with_ticks_of_different_lengths_keep_each_other_alive,
}

/// MUX-9.5.
fn ends_with_ticks_of_different_lengths_keep_each_other_alive<S: Fresh>() {
    for slower in [1, 4, 60] {
        let mut pair = Pair::<S>::new(LIMITS);
        for moment in 0..2000 {
            let (fast, slow) = (Ticks(moment), Ticks(moment / slower));
            pair.dialer.handle_timeout(fast);
            pair.acceptor.handle_timeout(slow);
            // What crosses now arrives before the next moment.
            carry(&mut pair.dialer, &mut pair.acceptor, slow);
            carry(&mut pair.acceptor, &mut pair.dialer, fast);
            assert_eq!((pair.dialer.end(), pair.acceptor.end()), (None, None), "at {moment}, 1:{slower}");
        }
    }
}
