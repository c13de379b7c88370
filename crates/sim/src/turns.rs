//! The oracle of scheduling, which sees nothing but the frames: strict between priorities, round robin inside one, and
//! no stream that stays ready waits for more than the starvation bound.

use vatmux_mux::{Limits, Priority, Session, Storage, StreamId};

use crate::lending::Lender;

/// A stream that this end may have to send from.
struct Turn {
    stream: StreamId,
    level: u8,
    /// Its OPEN has left, or has come.
    announced: bool,
    /// The engine knew it once.
    seen: bool,
    /// Bytes that it could send when it was last looked at.
    ready_bytes: u32,
    waiting: Option<Waiting>,
    /// The number of the last DATA frame that it sent.
    served: u64,
}

/// A stream that has been ready without a break.
struct Waiting {
    /// How many DATA frames had been sent when it became ready.
    since: u64,
    /// Bytes of DATA that others sent meanwhile.
    passed_over_bytes: u64,
    /// The most streams of its level that were ready at once.
    mates: u32,
}

pub(crate) struct Turns {
    turns: Vec<Turn>,
    /// DATA frames sent.
    frames: u64,
    /// At least the bytes that other levels have sent since a level was served or became ready.
    passed_over_bytes: [u64; Priority::LEVELS],
    starvation_bytes: u64,
    /// Of those sent so far: the bound holds for any link, and the tighter it is the more it says.
    longest_frame_bytes: u64,
    /// The level of the DATA in this output.
    level: Option<u8>,
}

impl Turns {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            turns: Vec::new(),
            frames: 0,
            passed_over_bytes: [0; Priority::LEVELS],
            starvation_bytes: u64::from(limits.starvation_bytes),
            longest_frame_bytes: 0,
            level: None,
        }
    }

    /// One of the ends opened a stream.
    pub(crate) fn opened(&mut self, stream: StreamId, level: u8, announced: bool) {
        let (ready_bytes, waiting, served) = (0, None, 0);
        self.turns.push(Turn { stream, level, announced, seen: false, ready_bytes, waiting, served });
    }

    /// The OPEN of a stream of ours has left.
    pub(crate) fn announced(&mut self, stream: StreamId) {
        if let Some(turn) = self.turns.iter_mut().find(|turn| turn.stream == stream) {
            turn.announced = true;
        }
    }

    /// The engine is about to transmit: who is ready?
    pub(crate) fn before<S: Storage>(&mut self, session: &Session<S>, lender: &Lender) {
        let mut ready = [0; Priority::LEVELS];
        let frames = self.frames;
        self.turns.retain_mut(|turn| {
            let Some(statistics) = session.stream_statistics(turn.stream) else { return !turn.seen };
            turn.seen = true;
            let lent = if statistics.supplied { lender.left(turn.stream) as u32 } else { 0 };
            turn.ready_bytes = (statistics.unsent_bytes + lent).min(statistics.send_credit_bytes);
            if turn.ready_bytes == 0 || !turn.announced {
                turn.waiting = None;
            } else {
                ready[usize::from(turn.level)] += 1;
                turn.waiting.get_or_insert(Waiting { since: frames, passed_over_bytes: 0, mates: 0 });
            }
            true
        });
        for turn in &mut self.turns {
            if let Some(waiting) = &mut turn.waiting {
                waiting.mates = waiting.mates.max(ready[usize::from(turn.level)]);
            }
        }
        for (passed_over, ready) in self.passed_over_bytes.iter_mut().zip(ready) {
            if ready == 0 {
                *passed_over = 0;
            }
        }
        self.level = None;
    }

    /// A DATA frame of `bytes` has left.
    pub(crate) fn served(&mut self, stream: StreamId, bytes: u32) {
        self.frames += 1;
        let frames = self.frames;
        let Some(position) = self.turns.iter().position(|turn| turn.stream == stream) else {
            panic!("stream {stream} sends and was never opened");
        };
        let (level, served_before) = (self.turns[position].level, self.turns[position].served);
        assert_eq!(*self.level.get_or_insert(level), level, "one output carries DATA of one priority");
        assert!(self.turns[position].announced, "stream {stream} sends DATA before OPEN");
        self.longest_frame_bytes = self.longest_frame_bytes.max(u64::from(bytes));
        let bound = self.starvation_bytes + 8 * self.longest_frame_bytes;
        let is_owed = self.passed_over_bytes[usize::from(level)] >= self.starvation_bytes;
        for other in self.turns.iter_mut().filter(|turn| turn.stream != stream) {
            let Some(waiting) = &mut other.waiting else { continue };
            assert!(
                other.level != level || served_before <= waiting.since,
                "stream {stream} had two turns while stream {} waited",
                other.stream
            );
            assert!(
                other.level >= level || is_owed,
                "stream {stream} of priority {level} overtook stream {} of priority {}",
                other.stream,
                other.level
            );
            waiting.passed_over_bytes += u64::from(bytes);
            assert!(
                waiting.passed_over_bytes <= u64::from(waiting.mates) * bound,
                "stream {} starves: {} bytes passed it by",
                other.stream,
                waiting.passed_over_bytes
            );
        }
        for passed_over in &mut self.passed_over_bytes {
            *passed_over += u64::from(bytes);
        }
        self.passed_over_bytes[usize::from(level)] = 0;
        let turn = &mut self.turns[position];
        turn.served = frames;
        turn.ready_bytes = turn.ready_bytes.saturating_sub(bytes);
        turn.waiting = (turn.ready_bytes > 0).then_some(Waiting {
            since: frames,
            passed_over_bytes: 0,
            mates: turn.waiting.as_ref().map_or(1, |waiting| waiting.mates),
        });
    }
}
