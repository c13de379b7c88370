//! What happens in one run. All choices are made here: a case runs the same each time, and so does any part of it.

use std::{fmt, iter};

use vatmux_mux::{Limits, Role, Ticks};

use crate::fresh::{RING_BYTES, STREAMS};
use crate::random::{Bytes, Choices, Random};

/// Steps of a run that its seed gives, before everything is let go.
const STEPS: usize = 260;
/// The most steps of a run that bytes give.
const MOST_STEPS: usize = 2 * STEPS;

/// One run, as its seed or somebody's bytes give it.
#[derive(Clone, Debug)]
pub enum Case {
    /// Two engines and a link between them.
    Honest(Setting, Vec<Step>),
    /// One engine, and a peer that sends anything.
    Hostile(Setting, Vec<Attack>),
}

/// What holds for the whole run.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The bounds of the dialer and of the acceptor.
    pub limits: [Limits; 2],
    /// How many bytes the link takes from an engine, and gives to one, at once.
    pub link_bytes: u32,
    /// The end that is attacked in a hostile run.
    pub victim: Role,
    /// When the engines are told the time.
    pub clock: Clock,
    /// How many bytes of each piece of DATA an application takes where it arrives, at either end; 0 where all of it goes
    /// through the rings.
    pub appetite: [u32; 2],
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limits, link_bytes, victim, clock, appetite } = self;
        writeln!(f, "link of {link_bytes} bytes, clock told at {clock:?}, victim if any {victim:?}")?;
        writeln!(f, "takes {appetite:?} bytes of each piece where it arrives")?;
        for (limits, end) in limits.iter().zip([Role::Dialer, Role::Acceptor]) {
            let grown = limits.max_window_bytes;
            writeln!(f, "{end:?}: windows {} to {grown}", limits.initial_window_bytes)?;
            writeln!(f, "    within {} bytes of growth", limits.session_window_budget_bytes)?;
            writeln!(f, "    send buffer {}", limits.send_buffer_bytes)?;
            writeln!(f, "    unaccepted streams {}", limits.max_unaccepted_streams)?;
            writeln!(f, "    starvation after {} bytes", limits.starvation_bytes)?;
            writeln!(f, "    ping after {} ticks", limits.ping_after_ticks.0)?;
            writeln!(f, "    budget of RSTs {}", limits.reset_budget)?;
        }
        Ok(())
    }
}

/// When an engine is told the time in an honest run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// At each tick.
    Ticks,
    /// When a deadline of its own has come, and never else. Storage that gives memory back has more deadlines.
    Deadlines,
}

/// One thing that happens in an honest run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// An application does something.
    Use(Role, Act),
    /// The link takes what this end transmits into so much room, unless it is full.
    Transmit(Role, u32),
    /// The link delivers up to so many bytes of what this end transmitted.
    Deliver(Role, u32),
    /// The link delivers nothing of this end's for so many ticks.
    Stall(Role, u32),
    /// For so many ticks the link delivers nothing of this end's but parts of a record that is not whole.
    Trickle(Role, u32),
    /// Ticks pass, and both ends are told of each.
    Wait(u32),
    /// The link carries all that it can.
    Settle,
}

/// One thing that an application does. `nth` chooses among the streams that it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Opens a stream of this priority, under the name of this number.
    Open(u8, u32),
    /// Keeps the names exclusive whose bits are set, and no others.
    KeepExclusive(u32),
    /// Polls all events.
    Poll,
    /// Accepts a stream that waits for it.
    Accept(u32),
    /// Refuses a stream that waits for it.
    Refuse(u32),
    /// Writes up to `bytes`.
    Write {
        /// The stream.
        nth: u32,
        /// How many bytes it offers.
        bytes: u32,
    },
    /// Writes up to `bytes`, straight into what the link takes where it is the stream's turn.
    WriteThrough {
        /// The stream.
        nth: u32,
        /// How many bytes it offers.
        bytes: u32,
    },
    /// Lends `bytes`, whenever they are asked for.
    Supply {
        /// The stream.
        nth: u32,
        /// How many bytes it has.
        bytes: u32,
    },
    /// Reads up to `bytes`.
    Read {
        /// The stream.
        nth: u32,
        /// How many bytes it consumes at most.
        bytes: u32,
    },
    /// Finishes its direction.
    Finish(u32),
    /// Resets a stream.
    Reset(u32),
    /// Releases a stream.
    Release(u32),
    /// Uses what it may not use.
    Misuse(u32),
    /// Closes the session.
    Close(u32),
}

/// One thing that happens in a hostile run. `nth` chooses among the streams on which the frame is legal; one in
/// [`RUDE`](Self::RUDE) among all streams there were, and one that never was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attack {
    /// The victim's application does something.
    Use(Act),
    /// The victim transmits all that it has.
    Transmit,
    /// Ticks pass.
    Wait(u32),
    /// The link moves a part of a record that is not whole.
    Trickle,
    /// OPEN with the id `skip` places after the last one.
    Open {
        /// 1 is the next id.
        skip: u32,
        /// The priority.
        level: u8,
        /// The number of its name.
        name: u32,
    },
    /// `OPEN_ACK`.
    Acknowledge(u32),
    /// DATA.
    Data {
        /// The stream.
        nth: u32,
        /// The length of the payload.
        bytes: u32,
    },
    /// `WINDOW_UPDATE`.
    Grant {
        /// The stream.
        nth: u32,
        /// The increment.
        bytes: u32,
    },
    /// CLOSE on a stream.
    Finish(u32),
    /// RST.
    Reset(u32),
    /// PING.
    Ping,
    /// PONG.
    Pong(u64),
    /// CLOSE on the session.
    Close(u32),
    /// Bytes that need not be frames.
    Bytes(Vec<u8>),
}

impl Attack {
    /// How often the peer breaks the rules.
    pub const RUDE: u32 = 101;
    /// An OPEN that skips so many ids does not care for the limit of streams.
    pub const RUDE_SKIP: u32 = 9;
}

impl Case {
    /// The run that `seed` gives.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut left = STEPS;
        Self::chosen(&mut Random::new(seed), |_| {
            left = left.wrapping_sub(1);
            left < STEPS
        })
    }

    /// The run that `bytes` give: any bytes give one, and its steps end with them, or at the 520th. Runs like those
    /// of seeds, but where a seed spends its chance, a fuzzer decides.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut left = MOST_STEPS;
        Self::chosen(&mut Bytes::new(bytes), |bytes| {
            left = left.wrapping_sub(1);
            left < MOST_STEPS && !bytes.is_empty()
        })
    }

    /// The run that `choices` make, with steps for as long as it `goes_on`.
    fn chosen<C: Choices>(choices: &mut C, mut goes_on: impl FnMut(&C) -> bool) -> Self {
        let hostile = choices.one_in(4);
        let link_bytes = choices.pick(&[1, 2, 8, 9, 100, 5000, u32::MAX, u32::MAX]);
        let limits = [limits(choices), limits(choices)];
        let victim = choices.pick(&[Role::Dialer, Role::Acceptor]);
        let clock = choices.pick(&[Clock::Ticks, Clock::Deadlines]);
        let appetite = [0; 2].map(|_: u32| choices.pick(&[0, 0, 1, 50, u32::MAX]));
        let mut setting = Setting { limits, link_bytes, victim, clock, appetite };
        if hostile {
            if choices.one_in(6) {
                for limits in &mut setting.limits {
                    (limits.small_data_budget, limits.reset_budget, limits.ping_budget) = (20, 5, 5);
                    (limits.window_update_budget, limits.stray_frame_budget) = (20, 20);
                }
            }
            let attacks = iter::from_fn(|| goes_on(choices).then(|| attack(choices)));
            Self::Hostile(setting, attacks.collect())
        } else {
            let most = if link_bytes < 100 { 40 } else { 3000 };
            // Most sessions live long; in some the link stalls for longer than an end has patience.
            let mortal = choices.one_in(8);
            // In some the link takes a little at a time of much that waits.
            let busy = choices.one_in(4).then(|| choices.pick(&[9, 12, 40, 300]));
            let steps = iter::from_fn(|| {
                goes_on(choices).then(|| match busy {
                    Some(room) if choices.below(100) < 60 => busy_step(choices, room),
                    _ => step(choices, most, mortal),
                })
            });
            Self::Honest(setting, steps.collect())
        }
    }

    /// How many steps it has.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Honest(_, steps) => steps.len(),
            Self::Hostile(_, steps) => steps.len(),
        }
    }

    /// Whether it has no steps at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn limits(random: &mut impl Choices) -> Limits {
    let initial_window_bytes = random.pick(&[1, 2, 7, 100, 1000, RING_BYTES]);
    Limits {
        initial_window_bytes,
        max_window_bytes: random.pick(&[initial_window_bytes, RING_BYTES]),
        session_window_budget_bytes: random.pick(&[0, 500, 10_000]),
        send_buffer_bytes: random.pick(&[1, 10, 500, RING_BYTES]),
        max_incoming_streams: random.pick(&[1, 2, STREAMS / 2, STREAMS / 2]),
        max_outgoing_streams: STREAMS / 2,
        max_unaccepted_streams: random.pick(&[1, 2, 5]),
        starvation_bytes: random.pick(&[1, 50, 1000]),
        ping_after_ticks: Ticks(random.pick(&[1, 3])),
        dead_after_ticks: Ticks(9),
        ..Limits::FIXED
    }
}

fn step(random: &mut impl Choices, most: u32, mortal: bool) -> Step {
    let end = random.pick(&[Role::Dialer, Role::Acceptor]);
    match random.below(200) {
        0..140 => Step::Use(end, act(random, most, mortal)),
        140..164 => Step::Transmit(end, random.pick(&[10, 73, 100, 1000, 65_519])),
        164..196 => Step::Deliver(end, random.pick(&[1, 9, 100, 10_000])),
        196 if random.one_in(4) => Step::Trickle(end, random.pick(&[1, 10, 60, if mortal { 90 } else { 5 }])),
        196 => Step::Stall(end, 1 + random.below(if mortal { 20 } else { 4 })),
        197..199 => Step::Wait(1 + random.below(4)),
        _ => Step::Settle,
    }
}

/// Something waits to be sent all the time, and what is sent arrives and is read.
fn busy_step(random: &mut impl Choices, room: u32) -> Step {
    let end = random.pick(&[Role::Dialer, Role::Acceptor]);
    let nth = random.below(1 << 16);
    match random.below(20) {
        0 => Step::Use(end, Act::Write { nth, bytes: random.pick(&[3, 300]) }),
        1 => Step::Use(end, Act::Supply { nth, bytes: random.pick(&[3, 300]) }),
        2 => Step::Use(end, Act::Read { nth, bytes: 3000 }),
        3 => Step::Use(end, Act::Poll),
        4 => Step::Transmit(end, 100),
        5..8 => Step::Deliver(end, 10_000),
        _ => Step::Transmit(end, room),
    }
}

fn act(random: &mut impl Choices, most: u32, mortal: bool) -> Act {
    let nth = random.below(1 << 16);
    let mut amount = || {
        let most = random.pick(&[1, 10, most]);
        1 + random.below(most)
    };
    match nth % 137 {
        0..12 => {
            let chosen = random.below(32);
            // Half of all streams have one name.
            Act::Open((chosen % 8) as u8, (chosen / 8).saturating_sub(1))
        }
        12..30 => Act::Poll,
        30..44 => Act::Accept(nth / 137),
        44..46 => Act::Refuse(nth / 137),
        46..66 => Act::Write { nth: nth / 137, bytes: amount() },
        66..72 => Act::WriteThrough { nth: nth / 137, bytes: amount() },
        72..84 => Act::Supply { nth: nth / 137, bytes: amount() },
        84..122 => Act::Read { nth: nth / 137, bytes: amount() },
        122..128 => Act::Finish(nth / 137),
        128..130 => Act::Reset(nth / 137),
        130..134 => Act::Release(nth / 137),
        134 => Act::Close(nth / 137).only_if(mortal && random.one_in(4)),
        135 => Act::KeepExclusive(nth / 137 % 8),
        _ => Act::Misuse(nth / 137),
    }
}

impl Act {
    fn only_if(self, condition: bool) -> Self {
        if condition { self } else { Self::Poll }
    }
}

fn attack(random: &mut impl Choices) -> Attack {
    let nth = random.below(1 << 16);
    match random.below(400) {
        0..130 => Attack::Use(act(random, 3000, true)),
        130..160 => Attack::Transmit,
        160 => Attack::Trickle,
        161..163 => Attack::Wait(1 + random.below(4)),
        163 if random.one_in(2) => Attack::Open { skip: Attack::RUDE_SKIP, level: 0, name: 0 },
        163..200 => {
            let skip = 1 + random.pick(&[0, 0, 0, 1, 7]);
            let chosen = random.below(32);
            Attack::Open { skip, level: (chosen % 8) as u8, name: chosen / 8 }
        }
        200..220 => Attack::Acknowledge(nth),
        220..320 => {
            let most = random.pick(&[1, 10, 100, 3000]);
            Attack::Data { nth, bytes: 1 + random.below(most) }
        }
        320..345 => Attack::Grant { nth, bytes: 1 + (random.next() as u32 >> (3 + random.below(28))) },
        345..358 => Attack::Finish(nth),
        358..372 => Attack::Reset(nth),
        372..384 => Attack::Pong(random.next() % 4),
        384 if random.one_in(8) => Attack::Close(nth),
        384..399 => Attack::Ping,
        _ if random.one_in(2) => Attack::Ping,
        _ => {
            // Header bytes are more often right than chance would have them.
            let most = random.pick(&[4, 9, 255]);
            Attack::Bytes((0..random.below(40)).map(|_| random.below(most) as u8).collect())
        }
    }
}
