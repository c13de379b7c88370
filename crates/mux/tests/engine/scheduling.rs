//! Which stream is served: priorities, turns, and the bound on starvation as the formula it is stated as.

use std::collections::HashMap;

use vatmux_mux::wire::Frame;
use vatmux_mux::{Hello, Limits, MAX_CREDIT_BYTES, MAX_DATA_BYTES, Role, Session, StreamId, Ticks};

use crate::support::{Fresh, LIMITS, RECORD_BYTES, Random, frames, name, on_every_storage, priority};

on_every_storage! {
    a_higher_priority_goes_first,
    one_output_carries_data_of_one_priority,
    streams_of_one_priority_take_turns,
    a_small_window_asks_for_two_outputs,
    an_output_is_bounded_only_where_a_small_window_is_all_there_is,
    a_ready_stream_is_served_within_the_bound,
    a_low_priority_gets_no_more_than_the_bound_gives_it,
    a_level_that_was_empty_was_not_starved,
}

const SENDER: Limits = Limits { max_outgoing_streams: 16, max_incoming_streams: 0, ..LIMITS };

/// A sender that never runs out of credit.
fn sender<S: Fresh>(limits: Limits) -> Session<S> {
    let peer = Hello { version: 1, initial_window_bytes: MAX_CREDIT_BYTES, max_streams: 100 };
    Session::new(Role::Dialer, limits, peer, S::fresh(), Ticks::ZERO).unwrap()
}

fn open<S: Fresh>(session: &mut Session<S>, level: u8) -> StreamId {
    session.open(&name("scheduled"), priority(level)).unwrap()
}

fn top_up<S: Fresh>(session: &mut Session<S>, stream: StreamId) {
    let payload = vec![level_of(stream); 65_536];
    let _ = session.write(stream, &payload);
}

fn level_of(stream: StreamId) -> u8 {
    stream.get() as u8
}

/// The DATA frames of one transmit, as stream and length.
fn data<S: Fresh>(session: &mut Session<S>, room: usize) -> Vec<(StreamId, usize)> {
    let mut record = vec![0; room];
    let bytes = session.transmit(&mut record);
    frames(&record[..bytes])
        .iter()
        .filter_map(|frame| match frame {
            Frame::Data { stream, payload } => Some((*stream, payload.len())),
            _ => None,
        })
        .collect()
}

/// MUX-8.2.
fn a_higher_priority_goes_first<S: Fresh>() {
    let mut session = sender::<S>(SENDER);
    let streams: Vec<_> = [5, 0, 7, 2].map(|level| open(&mut session, level)).into();
    for stream in &streams {
        session.write(*stream, b"x").unwrap();
    }
    let served: Vec<_> = streams.iter().flat_map(|_| data(&mut session, RECORD_BYTES)).collect();
    let served: Vec<_> = served.iter().map(|(stream, _)| *stream).collect();
    assert_eq!(served, [streams[1], streams[3], streams[0], streams[2]]);
}

/// MUX-8.5.
fn one_output_carries_data_of_one_priority<S: Fresh>() {
    let mut session = sender::<S>(SENDER);
    let [bulk, urgent, as_urgent] = [7, 0, 0].map(|level| open(&mut session, level));
    crate::support::transmitted(&mut session);
    for stream in [bulk, urgent, as_urgent] {
        session.write(stream, &[1; 100]).unwrap();
    }
    assert_eq!(data(&mut session, RECORD_BYTES), [(urgent, 100), (as_urgent, 100)]);
    assert_eq!(data(&mut session, RECORD_BYTES), [(bulk, 100)]);
}

/// A sender to a peer that gives `window` bytes of credit, with two streams of which `writers` have 64 KiB to send.
fn sender_into<S: Fresh>(window: u32, writers: usize) -> (Session<S>, [StreamId; 2]) {
    let peer = Hello { version: 1, initial_window_bytes: window, max_streams: 100 };
    let mut session = Session::new(Role::Dialer, SENDER, peer, S::fresh(), Ticks::ZERO).unwrap();
    let streams = [0; 2].map(|level| open(&mut session, level));
    crate::support::transmitted(&mut session);
    for stream in &streams[..writers] {
        session.write(*stream, &vec![1; 65_536]).unwrap();
    }
    (session, streams)
}

/// The peer can grant the first half anew while the second is under way.
fn a_small_window_asks_for_two_outputs<S: Fresh>() {
    for window in [32_768, 40_000, 65_536] {
        let (mut session, [stream, _]) = sender_into::<S>(window, 1);
        assert_eq!(session.output_bytes(), session.output_bytes_for(stream));
        let half = window as usize / 2;
        let outputs = [0; 3].map(|_| {
            let room = session.output_bytes().min(RECORD_BYTES);
            data(&mut session, room).iter().map(|(_, bytes)| bytes).sum()
        });
        assert!((half..half + 512).contains(&outputs[0]), "{window}: {outputs:?}");
        assert_eq!(outputs, [outputs[0], window as usize - outputs[0], 0]);
    }
    // A stream of 32 KiB frames gets one of them into an output, not one and a few bytes.
    let (mut session, _) = sender_into::<S>(65_536, 1);
    let room = session.output_bytes();
    assert_eq!(data(&mut session, room).len(), 1);
}

fn an_output_is_bounded_only_where_a_small_window_is_all_there_is<S: Fresh>() {
    let (session, _) = sender_into::<S>(65_536, 0);
    assert_eq!(session.output_bytes(), usize::MAX, "nobody is ready");
    let (session, _) = sender_into::<S>(65_536, 2);
    assert_eq!(session.output_bytes(), usize::MAX, "the other stream waits for nobody's credit but its own");
    for window in [MAX_CREDIT_BYTES, 131_072, 32_767, 2] {
        let (session, [stream, _]) = sender_into::<S>(window, 1);
        let most = window as usize / 2;
        assert!(
            session.output_bytes() > RECORD_BYTES.max(most),
            "{window}: large, or too small to be worth it"
        );
        assert_eq!(session.output_bytes_for(stream), session.output_bytes());
    }
    let (mut session, [stream, _]) = sender_into::<S>(65_536, 1);
    for frame in [Frame::OpenAck { stream }, Frame::WindowUpdate { stream, increment: 1 }] {
        session.receive(&crate::support::encoded(&frame), Ticks::ZERO).unwrap();
    }
    assert_eq!(session.output_bytes(), usize::MAX, "a window that grows is not small");
}

/// MUX-8.2.
fn streams_of_one_priority_take_turns<S: Fresh>() {
    let mut session = sender::<S>(SENDER);
    let streams: Vec<_> = (0..3).map(|_| open(&mut session, 4)).collect();
    crate::support::transmitted(&mut session);
    let mut served = Vec::new();
    for _ in 0..9 {
        for stream in &streams {
            top_up(&mut session, *stream);
        }
        served.extend(data(&mut session, 8 + MAX_DATA_BYTES));
    }
    for (turn, (stream, length)) in served.iter().enumerate() {
        assert_eq!((*stream, *length), (streams[turn % 3], MAX_DATA_BYTES));
    }
}

/// However many streams are ready at whatever levels, and whatever room each transmit has.
///
/// MUX-8.3.
fn a_ready_stream_is_served_within_the_bound<S: Fresh>() {
    let mut worst_of_all = 0;
    for seed in 0..40 {
        let mut random = Random(seed);
        let limits = Limits { starvation_bytes: random.pick(&[1, 1000, 40_000, 256 * 1024]), ..SENDER };
        let mut session = sender::<S>(limits);
        let mut streams = Vec::new();
        let mut ready_at = HashMap::new();
        for _ in 0..=random.below(15) {
            let level = random.below(8) as u8;
            streams.push((open(&mut session, level), level));
            *ready_at.entry(level).or_insert(0_u32) += 1;
        }
        for (stream, _) in &streams {
            top_up(&mut session, *stream);
        }
        let mut waited: HashMap<StreamId, u64> = HashMap::new();
        for _ in 0..500 {
            let room = random.pick(&[300, 5000, 8 + MAX_DATA_BYTES, RECORD_BYTES]);
            for (served, length) in data(&mut session, room) {
                for (stream, level) in &streams {
                    let waited = waited.entry(*stream).or_default();
                    *waited += length as u64;
                    let bound = limits.starvation_bound_bytes(ready_at[level]);
                    assert!(*waited <= bound, "seed {seed}: {stream} waited for {waited}, bound {bound}");
                    worst_of_all = worst_of_all.max(*waited * 100 / bound);
                }
                waited.insert(served, 0);
            }
            for (stream, _) in &streams {
                top_up(&mut session, *stream);
            }
        }
    }
    assert!(worst_of_all > 50, "a bound that nothing comes near says nothing: {worst_of_all} %");
}

/// MUX-8.2.
fn a_low_priority_gets_no_more_than_the_bound_gives_it<S: Fresh>() {
    let mut session = sender::<S>(SENDER);
    let (high, low) = (open(&mut session, 0), open(&mut session, 7));
    let mut sent = HashMap::new();
    for _ in 0..1000 {
        top_up(&mut session, high);
        top_up(&mut session, low);
        for (stream, length) in data(&mut session, RECORD_BYTES) {
            *sent.entry(stream).or_insert(0) += length;
        }
    }
    let share = sent[&high] / sent[&low];
    assert!(share >= SENDER.starvation_bytes as usize / MAX_DATA_BYTES, "{share}");
    let statistics = session.statistics();
    assert_eq!(statistics.data_bytes_sent, (sent[&high] + sent[&low]) as u64);
    assert!(statistics.frames_owed > 0);
}

/// MUX-8.4.
fn a_level_that_was_empty_was_not_starved<S: Fresh>() {
    let mut session = sender::<S>(SENDER);
    let (high, low) = (open(&mut session, 0), open(&mut session, 7));
    for _ in 0..100 {
        top_up(&mut session, high);
        data(&mut session, RECORD_BYTES);
    }
    session.write(low, b"just arrived").unwrap();
    top_up(&mut session, high);
    assert!(data(&mut session, RECORD_BYTES).iter().all(|(stream, _)| *stream == high));
}
