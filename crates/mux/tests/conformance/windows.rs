//! MUX-7: rounds, to the frame.

use vatmux_mux::wire::Frame;
use vatmux_mux::{Limits, StreamId};

use crate::support::{Fresh, LIMITS, Victim, frames, on_every_storage, transmitted};

on_every_storage! {
    a_round_goes_from_pong_to_pong_and_the_next_update_grants_the_growth,
    a_round_needs_half_a_window_and_a_reader_who_keeps_up,
    a_window_does_not_grow_beyond_its_maximum_nor_by_part_of_what_the_budget_lacks,
    rounds_that_change_nothing_become_rarer,
}

const WINDOW: u32 = 4096;
const GROWING: Limits = Limits {
    initial_window_bytes: WINDOW,
    max_window_bytes: 16_384,
    session_window_budget_bytes: 1 << 20,
    ..LIMITS
};

/// A receiver with one stream, and the bytes that its peer sends and its application reads.
struct Receiver<S: Fresh> {
    victim: Victim<S>,
    stream: StreamId,
}

/// What a receiver had to say: the nonce of a PING, and what it granted.
type Said = (Option<u64>, Option<u32>);

impl<S: Fresh> Receiver<S> {
    fn new(limits: Limits) -> Self {
        let mut victim = Victim::acceptor(limits);
        let stream = victim.accepted(1);
        transmitted(&mut victim.session);
        Self { victim, stream }
    }

    fn arrives(&mut self, bytes: usize) {
        self.victim.data(1, &vec![7; bytes]).expect("within the credit");
    }

    fn reads(&mut self, bytes: usize) {
        self.victim.session.consume(self.stream, bytes).expect("that much has arrived");
    }

    fn pong(&mut self, nonce: u64) {
        self.victim.send(&Frame::Pong(nonce)).expect("a PONG that was asked for");
    }

    fn says(&mut self) -> Said {
        let mut said = (None, None);
        for frame in frames(&transmitted(&mut self.victim.session)) {
            match frame {
                Frame::Ping(nonce) => assert_eq!(said.0.replace(nonce), None),
                Frame::WindowUpdate { increment, .. } => assert_eq!(said.1.replace(increment), None),
                other => panic!("{other:?}"),
            }
        }
        said
    }

    /// Half a window arrives and is read.
    fn half(&mut self) -> Said {
        self.arrives(WINDOW as usize / 2);
        self.reads(WINDOW as usize / 2);
        self.says()
    }

    /// A round in which `bytes` arrive and all but `unread` are read, and the update that comes next.
    fn round(&mut self, bytes: usize, unread: usize) -> Option<u32> {
        assert_eq!(self.half(), (Some(1), Some(WINDOW / 2)));
        self.pong(1);
        assert_eq!(self.says(), (Some(2), None));
        self.arrives(bytes);
        self.reads(bytes.saturating_sub(unread));
        self.says();
        self.pong(2);
        assert_eq!(self.says(), (None, None));
        self.arrives(WINDOW as usize / 2);
        self.reads(WINDOW as usize / 2);
        self.says().1
    }
}

/// MUX-7.2, MUX-7.3.
fn a_round_goes_from_pong_to_pong_and_the_next_update_grants_the_growth<S: Fresh>() {
    let half = WINDOW / 2;
    let mut receiver = Receiver::<S>::new(GROWING);
    assert_eq!(receiver.half(), (Some(1), Some(half)), "the first update begins a round");
    assert_eq!(receiver.half(), (None, Some(half)), "before the first PONG nothing is counted");
    receiver.pong(1);
    assert_eq!(receiver.says(), (Some(2), None));
    assert_eq!(receiver.half(), (None, Some(half)), "counted, and not yet a reason");
    receiver.pong(2);
    assert_eq!(receiver.says(), (None, None), "growth comes with an update that is due");
    assert_eq!(receiver.half(), (Some(3), Some(half + WINDOW)), "and the next round begins at once");
    let statistics = receiver.victim.session.stream_statistics(receiver.stream).unwrap();
    assert_eq!(statistics.window_bytes, 2 * WINDOW);
    assert_eq!(statistics.granted_bytes, 2 * WINDOW);
    receiver.arrives(WINDOW as usize);
    receiver.reads(WINDOW as usize);
    assert_eq!(receiver.says(), (None, Some(WINDOW)), "one round, one growth");
}

/// MUX-7.3.
fn a_round_needs_half_a_window_and_a_reader_who_keeps_up<S: Fresh>() {
    let half = WINDOW as usize / 2;
    for (arrives, unread, grows) in [
        (half, 0, true),
        (half - 1, 0, false),
        (half, half / 2, true),
        (half, half / 2 + 1, false),
        (1, 0, false),
    ] {
        let mut receiver = Receiver::<S>::new(GROWING);
        let granted = receiver.round(arrives, unread).expect("an update");
        assert_eq!(granted > WINDOW, grows, "{arrives} arrive and {unread} are unread: {granted} granted");
    }
}

/// MUX-7.1, MUX-7.3.
fn a_window_does_not_grow_beyond_its_maximum_nor_by_part_of_what_the_budget_lacks<S: Fresh>() {
    let half = WINDOW / 2;
    for (max_window_bytes, session_window_budget_bytes, growth) in [
        (WINDOW + 100, 1 << 20, 100),
        (4 * WINDOW, WINDOW, WINDOW),
        (4 * WINDOW, WINDOW - 1, 0),
        (4 * WINDOW, 0, 0),
        (WINDOW, 1 << 20, 0),
    ] {
        let limits = Limits { max_window_bytes, session_window_budget_bytes, ..GROWING };
        let mut receiver = Receiver::<S>::new(limits);
        if growth == 0 {
            for _ in 0..100 {
                assert_eq!(receiver.half(), (None, Some(half)), "no PING where nothing can grow");
            }
        } else {
            assert_eq!(receiver.round(half as usize, 0), Some(half + growth));
        }
    }
}

/// MUX-7.4.
fn rounds_that_change_nothing_become_rarer<S: Fresh>() {
    let mut receiver = Receiver::<S>::new(GROWING);
    let mut pauses = Vec::new();
    let mut updates = 0;
    while pauses.len() < 9 {
        updates += 1;
        if let (Some(first), Some(_)) = receiver.half() {
            pauses.push(updates);
            updates = 0;
            receiver.pong(first);
            let (second, _) = receiver.says();
            receiver.pong(second.expect("the second PING of a round"));
        }
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 64, 64]);
}
