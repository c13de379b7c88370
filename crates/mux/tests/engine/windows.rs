//! Receive windows that grow by what a round trip carries.

use std::collections::VecDeque;

use vatmux_mux::{Limits, Role, Session, StreamId, Ticks};

use crate::support::{Fresh, LIMITS, Pair, name, next_incoming, on_every_storage, priority, read, write};

on_every_storage! {
    a_long_round_trip_and_a_fast_reader_grow_the_window,
    a_grown_window_moves_more_per_round_trip,
    a_short_round_trip_leaves_the_window_as_it_is,
    a_slow_reader_leaves_the_window_as_it_is,
    fixed_windows_stay_fixed_and_send_no_pings,
    all_windows_share_one_budget_and_give_it_back,
    a_peer_that_never_answers_a_ping_gets_no_more_than_it_had,
}

const GROWING: Limits = Limits {
    initial_window_bytes: 4096,
    max_window_bytes: 65_536,
    session_window_budget_bytes: 1 << 20,
    ..LIMITS
};

/// Two ends with a link that delivers after `delay` steps and carries any amount per step.
struct Far<S: vatmux_mux::Storage> {
    pair: Pair<S>,
    there: VecDeque<Vec<u8>>,
    back: VecDeque<Vec<u8>>,
    delay: usize,
}

fn step<S: Fresh>(from: &mut Session<S>, to: &mut Session<S>, line: &mut VecDeque<Vec<u8>>, delay: usize) {
    line.push_back(crate::support::transmitted(from));
    if line.len() > delay {
        let bytes = line.pop_front().unwrap_or_default();
        to.receive(&bytes, Ticks::ZERO).unwrap();
    }
}

impl<S: Fresh> Far<S> {
    fn new(limits: Limits, delay: usize) -> Self {
        Self { pair: Pair::new(limits), there: VecDeque::new(), back: VecDeque::new(), delay }
    }

    /// Sends as much as goes on `streams` for `steps`, reading at most `reads` bytes per step; returns the bytes read.
    fn run(&mut self, streams: &[StreamId], steps: usize, reads: usize) -> usize {
        let mut moved = 0;
        for _ in 0..steps {
            for stream in streams {
                write(&mut self.pair.dialer, *stream, &vec![1; 65_536]);
            }
            step(&mut self.pair.dialer, &mut self.pair.acceptor, &mut self.there, self.delay);
            for stream in streams {
                let unread = self.pair.acceptor.stream_statistics(*stream).unwrap().unread_bytes as usize;
                let bytes = unread.min(reads);
                self.pair.acceptor.consume(*stream, bytes).unwrap();
                moved += bytes;
            }
            step(&mut self.pair.acceptor, &mut self.pair.dialer, &mut self.back, self.delay);
        }
        moved
    }

    fn window(&self, stream: StreamId) -> u32 {
        self.pair.acceptor.stream_statistics(stream).unwrap().window_bytes
    }
}

/// MUX-7.3.
fn a_long_round_trip_and_a_fast_reader_grow_the_window<S: Fresh>() {
    let mut far = Far::<S>::new(GROWING, 10);
    let stream = far.pair.stream(0);
    far.run(&[stream], 300, usize::MAX);
    assert_eq!(far.window(stream), 65_536);
    assert_eq!(far.pair.acceptor.statistics().windows_grown, 4);
    assert_eq!(far.pair.acceptor.statistics().window_budget_bytes, (1 << 20) - 61_440);
}

fn a_grown_window_moves_more_per_round_trip<S: Fresh>() {
    let [fixed, grown] = [4096, 65_536].map(|max_window_bytes| {
        let mut far = Far::<S>::new(Limits { max_window_bytes, ..GROWING }, 10);
        let stream = far.pair.stream(0);
        far.run(&[stream], 1000, usize::MAX)
    });
    assert!(grown > 10 * fixed, "{grown} against {fixed}");
}

/// MUX-7.3.
fn a_short_round_trip_leaves_the_window_as_it_is<S: Fresh>() {
    let mut far = Far::<S>::new(GROWING, 0);
    let stream = far.pair.stream(0);
    // The writer is what limits this stream: an eighth of a window per round trip.
    for _ in 0..1000 {
        write(&mut far.pair.dialer, stream, &[1; 512]);
        step(&mut far.pair.dialer, &mut far.pair.acceptor, &mut far.there, 0);
        read(&mut far.pair.acceptor, stream).unwrap();
        step(&mut far.pair.acceptor, &mut far.pair.dialer, &mut far.back, 0);
    }
    assert_eq!(far.window(stream), 4096);
}

/// MUX-7.3.
fn a_slow_reader_leaves_the_window_as_it_is<S: Fresh>() {
    let mut far = Far::<S>::new(GROWING, 10);
    let stream = far.pair.stream(0);
    far.run(&[stream], 2000, 100);
    assert_eq!(far.window(stream), 4096);
}

/// MUX-7.4.
fn fixed_windows_stay_fixed_and_send_no_pings<S: Fresh>() {
    let mut far = Far::<S>::new(Limits { max_window_bytes: 4096, ..GROWING }, 10);
    let stream = far.pair.stream(0);
    let before = far.pair.acceptor.statistics().frames_sent;
    let moved = far.run(&[stream], 500, usize::MAX);
    assert_eq!(far.window(stream), 4096);
    let updates = far.pair.acceptor.statistics().frames_sent - before;
    assert!(updates <= moved as u64 / 2048 + 1, "{updates} frames for {moved} bytes");
}

/// MUX-7.1.
fn all_windows_share_one_budget_and_give_it_back<S: Fresh>() {
    let budget = 100_000;
    let mut far = Far::<S>::new(Limits { session_window_budget_bytes: budget, ..GROWING }, 10);
    let streams: Vec<_> = (0..6).map(|_| far.pair.stream(0)).collect();
    far.run(&streams, 500, usize::MAX);
    let grown: u32 = streams.iter().map(|stream| far.window(*stream) - 4096).sum();
    let left = far.pair.acceptor.statistics().window_budget_bytes;
    assert_eq!(grown + left, budget);
    assert!(grown > budget / 2, "{grown} of {budget}");
    for stream in &streams {
        far.pair.acceptor.release(*stream);
        far.pair.dialer.release(*stream);
    }
    far.run(&[], 30, 0);
    assert_eq!(far.pair.acceptor.statistics().streams, 0);
    assert_eq!(far.pair.acceptor.statistics().window_budget_bytes, budget);
}

/// MUX-7.5.
fn a_peer_that_never_answers_a_ping_gets_no_more_than_it_had<S: Fresh>() {
    let mut acceptor =
        Session::<S>::new(Role::Acceptor, GROWING, GROWING.hello(), S::fresh(), Ticks::ZERO).unwrap();
    let mut dialer =
        Session::<S>::new(Role::Dialer, GROWING, GROWING.hello(), S::fresh(), Ticks::ZERO).unwrap();
    let stream = dialer.open(&name("mute"), priority(0)).unwrap();
    for round in 0..1000 {
        write(&mut dialer, stream, &[1; 4096]);
        let bytes = crate::support::transmitted(&mut dialer);
        // The peer's PONGs are lost on purpose.
        for frame in crate::support::frames(&bytes) {
            if !matches!(frame, vatmux_mux::wire::Frame::Pong(_)) {
                acceptor.receive(&crate::support::encoded(&frame), Ticks::ZERO).unwrap();
            }
        }
        if round == 0 {
            assert_eq!(next_incoming(&mut acceptor), Some(stream));
            acceptor.accept(stream).unwrap();
        }
        read(&mut acceptor, stream).unwrap();
        crate::support::carry(&mut acceptor, &mut dialer, Ticks::ZERO);
    }
    assert_eq!(acceptor.stream_statistics(stream).unwrap().window_bytes, 4096);
}
