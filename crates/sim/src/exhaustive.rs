//! Every order of things in a small session: two streams, windows of four bytes, frames of one byte.
//!
//! Breadth first, from nothing. A state is reached by replaying the moves that lead to it, and is known again by all that
//! can be seen of both ends and the link, what each end would still transmit included. After each move the oracle
//! checks what it checks in a simulation; from each new state everything that can still move is let go, and must
//! come to its end.

use std::collections::HashSet;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use vatmux_mux::{Limits, Role, StaticStorage, StreamId};

use crate::case::{Clock, Setting};
use crate::digest::Digest;
use crate::run::{Complaint, caught};
use crate::world::World;

/// One stream of each end's.
const STREAMS: u32 = 2;
const WINDOW_BYTES: u32 = 4;
/// What each end writes to its streams at most: to the first more than a window, so that credit must come back.
const WRITTEN_BYTES: [u64; 2] = [5, 2];
/// How many streams of one name are opened at most, one after the other.
const MOST_CLAIMS: u64 = 3;

type Small = World<Box<StaticStorage<{ STREAMS as usize }, { WINDOW_BYTES as usize }>>>;

/// What one search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Explored {
    /// How many different states there were.
    pub states: usize,
    /// How many moves were made from them.
    pub moves: usize,
    /// After how many moves the last state was reached.
    pub depth: usize,
    /// Whether there is no other state, at any depth.
    pub complete: bool,
}

/// What the applications of a search may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    /// Anything: open, accept, write, read, finish, reset and release, at both ends.
    Everything,
    /// The dialer writes to both streams and finishes them, the acceptor reads; both streams are there.
    OneWay,
    /// The dialer opens streams of one name, which the acceptor keeps exclusive from some time on; either end finishes,
    /// resets and releases, and nothing is written.
    Names,
}

/// One move: an end, and what happens there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    Open(usize),
    KeepExclusive(usize),
    Accept(usize, StreamId),
    Write(usize, StreamId),
    Read(usize, StreamId),
    Finish(usize, StreamId),
    Reset(usize, StreamId),
    Release(usize, StreamId),
    /// One frame leaves.
    Transmit(usize),
    /// The next header arrives, or what is left of its frame.
    Deliver(usize),
    /// The next frame arrives.
    DeliverFrame(usize),
}

/// Searches all states that are at most `depth` moves away.
///
/// # Errors
/// The moves that break a promise, one per line, and the promise. No shorter way to break one exists.
pub fn explore(range: Range, depth: usize) -> Result<Explored, String> {
    let mut seen = HashSet::new();
    let mut frontier: Vec<Vec<Move>> = vec![Vec::new()];
    let mut explored = Explored { states: 1, moves: 0, depth: 0, complete: false };
    while !frontier.is_empty() && explored.depth < depth {
        let (reached, moves) = step(range, &frontier)?;
        explored.moves += moves;
        let fresh: Vec<_> =
            reached.into_iter().filter(|(state, _)| seen.insert(*state)).map(|(_, path)| path).collect();
        every(&fresh, |path| {
            told(path, caught(|| replay(range, path).finish_all())).map(|()| Vec::<()>::new())
        })?;
        explored.states += fresh.len();
        explored.depth += usize::from(!fresh.is_empty());
        frontier = fresh;
    }
    explored.complete = frontier.is_empty();
    Ok(explored)
}

type Reached = Vec<(u128, Vec<Move>)>;

/// All that is one move away from the states in `frontier`.
fn step(range: Range, frontier: &[Vec<Move>]) -> Result<(Reached, usize), String> {
    let reached = every(frontier, |path| {
        let next = replay(range, path).moves(range);
        let mut reached = Vec::new();
        for one in next {
            let path = [&path[..], &[one]].concat();
            let mut state = 0;
            let outcome = caught(|| {
                let mut world = replay(range, &path);
                world.check();
                state = world.state();
            });
            told(&path, outcome)?;
            reached.push((state, path));
        }
        Ok(reached)
    })?;
    let moves = reached.len();
    Ok((reached, moves))
}

/// Does `work` for each path on all cores; the results are in the order of the paths.
fn every<T: Send>(
    paths: &[Vec<Move>],
    work: impl Fn(&Vec<Move>) -> Result<Vec<T>, String> + Sync,
) -> Result<Vec<T>, String> {
    const CHUNK: usize = 64;
    let next = AtomicUsize::new(0);
    let run = || {
        let mut done = Vec::new();
        loop {
            let first = next.fetch_add(1, Ordering::Relaxed);
            let Some(chunk) = paths.chunks(CHUNK).nth(first) else { return Ok(done) };
            let mut results = Vec::new();
            for path in chunk {
                results.extend(work(path)?);
            }
            done.push((first, results));
        }
    };
    let mut chunks = thread::scope(|scope| {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(run)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err("a search thread died".to_owned())))
            .collect::<Result<Vec<Vec<_>>, String>>()
    })?
    .into_iter()
    .flatten()
    .collect::<Vec<_>>();
    chunks.sort_by_key(|(first, _)| *first);
    Ok(chunks.into_iter().flat_map(|(_, results)| results).collect())
}

fn told(path: &[Move], outcome: Result<(), Complaint>) -> Result<(), String> {
    outcome.map_err(|complaint| {
        let moves: Vec<String> = path.iter().map(|one| format!("{one:?}")).collect();
        let moves = moves.join("\n");
        format!("{moves}\nbroken at {}: {}", complaint.place, complaint.text)
    })
}

fn replay(range: Range, path: &[Move]) -> Small {
    // The link takes a frame while it holds less than so many bytes.
    let (outgoing, incoming, link_bytes) = match range {
        Range::Everything => ([1, 1], [1, 1], 16),
        Range::OneWay => ([2, 0], [0, 2], 9),
        Range::Names => ([2, 0], [0, 2], 20),
    };
    let limits = [0, 1].map(|end| Limits {
        max_outgoing_streams: outgoing[end],
        max_incoming_streams: incoming[end],
        initial_window_bytes: WINDOW_BYTES,
        max_window_bytes: WINDOW_BYTES,
        send_buffer_bytes: 1,
        ..Limits::FIXED
    });
    let setting =
        Setting { limits, link_bytes, victim: Role::Acceptor, clock: Clock::Ticks, appetite: [0; 2] };
    let mut world = Small::new(&setting);
    if range == Range::OneWay {
        for level in [0, 7] {
            world.open(0, level, 0);
        }
        world.pump();
        world.events(1);
        for stream in world.known(1) {
            world.accept(1, stream);
        }
        world.pump();
    }
    for one in path {
        world.make(*one);
    }
    world
}

impl Small {
    fn make(&mut self, one: Move) {
        match one {
            Move::Open(end) => self.open(end, 4, 0),
            Move::KeepExclusive(end) => self.keep_exclusive(end, 1),
            Move::Accept(end, stream) => self.accept(end, stream),
            Move::Write(end, stream) => self.write(end, stream, 1),
            Move::Read(end, stream) => self.read(end, stream, 1),
            Move::Finish(end, stream) => self.finish(end, stream),
            Move::Reset(end, stream) => self.reset(end, stream),
            Move::Release(end, stream) => self.release(end, stream),
            Move::Transmit(end) => {
                // The room that fits one frame and no second one.
                let _ = [9, 12, 18, 73].into_iter().find(|room| self.transmit(end, *room) > 0);
            }
            Move::Deliver(end) => {
                let piece = self.next_piece(end);
                self.deliver(end, piece);
            }
            Move::DeliverFrame(end) => {
                let header = self.next_piece(end);
                self.deliver(end, header);
                let payload = self.next_payload(end);
                self.deliver(end, payload);
            }
        }
        for end in 0..2 {
            self.events(end);
        }
    }

    /// All moves that change something.
    fn moves(&self, range: Range) -> Vec<Move> {
        let mut moves = Vec::new();
        for (end, party) in self.parties.iter().enumerate() {
            if party.session.wants_transmit() && self.has_room(end) {
                moves.push(Move::Transmit(end));
            }
            if self.next_piece(end) > 0 {
                moves.push(match range {
                    Range::Everything => Move::Deliver(end),
                    Range::OneWay | Range::Names => Move::DeliverFrame(end),
                });
            }
            let most_opened = match range {
                Range::Everything => 1,
                Range::OneWay => 0,
                Range::Names => MOST_CLAIMS * (1 - end as u64),
            };
            let statistics = party.session.statistics();
            if statistics.streams_opened < most_opened && statistics.streams < STREAMS {
                moves.push(Move::Open(end));
            }
            if range == Range::Names && end == 1 && !party.names.any_are_exclusive() {
                moves.push(Move::KeepExclusive(end));
            }
            for (position, (stream, application)) in party.streams.iter().enumerate() {
                let truth = &self.truth[stream];
                let most = WRITTEN_BYTES[position.min(1)];
                let (all, held) = (range != Range::OneWay, application.held);
                let writes = held && (all || end == 0) && !truth.finished[end] && !application.reset;
                let reads = held && (all || end == 1) && !application.read_to_end && range != Range::Names;
                moves.extend((!held).then_some(Move::Accept(end, *stream)));
                moves.extend(writes.then_some(Move::Finish(end, *stream)));
                let most = if range == Range::Names { 0 } else { most };
                let writes = writes && !application.writer_parked && truth.written[end] < most;
                moves.extend(writes.then_some(Move::Write(end, *stream)));
                let reads = reads && !application.reader_parked;
                moves.extend(reads.then_some(Move::Read(end, *stream)));
                if all {
                    moves.extend((!application.reset).then_some(Move::Reset(end, *stream)));
                    moves.push(Move::Release(end, *stream));
                }
            }
        }
        moves
    }

    /// What stands for this state. Looks at everything, and lets both ends say all that they have to say.
    fn state(&mut self) -> u128 {
        let mut digests = [Digest::new(), Digest::salted()];
        for digest in &mut digests {
            self.describe(digest);
        }
        for end in 0..2 {
            let said = self.say_everything(end);
            for digest in &mut digests {
                digest.bytes(&said);
            }
        }
        u128::from(digests[0].value()) << 64 | u128::from(digests[1].value())
    }

    fn describe(&self, digest: &mut Digest) {
        let flags = |flags: &[bool]| flags.iter().fold(1, |word, flag| word << 1 | u64::from(*flag));
        for (end, party) in self.parties.iter().enumerate() {
            let total = party.session.statistics();
            for word in [
                total.frames_received,
                total.frames_sent,
                total.data_bytes_received,
                total.data_bytes_sent,
                total.resets_received,
                total.resets_sent,
                total.stray_frames,
                u64::from(total.streams),
            ] {
                digest.word(word);
            }
            digest.bytes(self.backlog(end));
            party.names.describe(digest);
            digest.word(self.next_piece(end) as u64);
            for (stream, truth) in &self.truth {
                let [written, read] = [truth.written[end], truth.granting[end]];
                digest.word(written << 32 | read << 16 | u64::from(stream.get()));
                digest.word(flags(&[truth.finished[end], truth.cut[end], truth.accepted]));
                if let Some(application) = party.streams.get(stream) {
                    digest.word(application.read);
                    digest.word(flags(&[
                        application.held,
                        application.opened,
                        application.read_to_end,
                        application.reader_parked,
                        application.writer_parked,
                        application.reset,
                    ]));
                }
                if let Some(one) = party.session.stream_statistics(*stream) {
                    for word in [
                        one.unsent_bytes,
                        one.unread_bytes,
                        one.send_credit_bytes,
                        one.granted_bytes,
                        one.owed_bytes,
                    ] {
                        digest.word(u64::from(word));
                    }
                }
            }
        }
    }
}
