//! What happens to a session under [`MuxEngine`](crate::Target::MuxEngine), read from bytes.

use vatmux_mux::wire::Frame;
use vatmux_mux::{
    ExclusiveNames, Hello, Limits, MAX_CREDIT_BYTES, MIN_TRANSMIT_BYTES, PROTOCOL_VERSION, Priority,
    ResetCode, Role, StreamId, StreamName,
};
use vatmux_sim::{Bytes, Choices};

/// How many streams of each end there may be.
pub(crate) const STREAMS: u32 = 3;
/// The longest ring in bytes. One on the heap begins with 4,096, and so has to grow twice.
pub(crate) const RING_BYTES: u32 = 9000;
/// The most steps of a script. It bounds the time that one input takes.
const MOST_STEPS: usize = 600;
/// The most ticks that pass at once.
pub(crate) const MOST_TICKS: u64 = 10;
/// The longest output in bytes: more than one stream ever has ready.
pub(crate) const RECORD_BYTES: usize = 10_000;

/// What happens, in order.
pub(crate) struct Script {
    pub(crate) role: Role,
    pub(crate) limits: Limits,
    pub(crate) peer: Hello,
    pub(crate) steps: Vec<Step>,
}

/// One thing that happens. A number chooses among the streams that the application knows.
pub(crate) enum Step {
    /// These bytes arrive, in pieces of so many bytes.
    Arrive(Vec<u8>, usize),
    /// A PONG to the newest PING arrives.
    Answer,
    Open(Priority),
    Poll,
    Accept(u32),
    Refuse(u32),
    Write(u32, u32),
    Read(u32, u32),
    Finish(u32),
    Reset(u32),
    Release(u32),
    Close,
    /// The names whose bits are set are exclusive from now on, and no others.
    KeepExclusive(u32),
    /// The link moves a part of a record that is not whole.
    Trickle,
    /// The link takes so many bytes.
    Transmit(usize),
    /// So many ticks pass.
    Wait(u64),
}

/// What streams are called.
const NAMES: [&str; 2] = ["fuzzed", "claimed"];

/// The name that a number stands for.
fn name(number: u32) -> StreamName {
    let name = NAMES[number as usize % NAMES.len()];
    StreamName::new(name).unwrap_or_else(|_| unreachable!("a legal name"))
}

/// The names whose bits are set.
pub(crate) fn chosen(bits: u32) -> ExclusiveNames {
    let mut names = ExclusiveNames::new();
    for number in (0..NAMES.len() as u32).filter(|number| bits >> number & 1 == 1) {
        names.insert(name(number)).unwrap_or_else(|_| unreachable!("room for a few"));
    }
    names
}

impl Script {
    /// The script that `bytes` are; any bytes are one.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let mut choices = Bytes::new(bytes);
        let role = choices.pick(&[Role::Acceptor, Role::Dialer]);
        let initial_window_bytes = choices.pick(&[RING_BYTES, 1, 16, 100]);
        let limits = Limits {
            initial_window_bytes,
            max_window_bytes: choices.pick(&[initial_window_bytes, RING_BYTES]),
            session_window_budget_bytes: choices.pick(&[0, 200, 10_000]),
            send_buffer_bytes: choices.pick(&[RING_BYTES, 1, 100]),
            max_incoming_streams: choices.pick(&[STREAMS, 0, 1]),
            max_outgoing_streams: choices.pick(&[STREAMS, 1]),
            max_unaccepted_streams: choices.pick(&[STREAMS, 0, 1]),
            starvation_bytes: choices.pick(&[1000, 1]),
            ..Limits::FIXED
        };
        let scarce = Limits {
            small_data_budget: 10,
            reset_budget: 3,
            ping_budget: 3,
            window_update_budget: 8,
            stray_frame_budget: 6,
            ..limits
        };
        let limits = choices.pick(&[limits, scarce]);
        let peer = Hello {
            version: PROTOCOL_VERSION,
            initial_window_bytes: choices.pick(&[RING_BYTES, 1, 100, MAX_CREDIT_BYTES]),
            max_streams: choices.pick(&[STREAMS, 0, 1, Hello::MAX_STREAMS]),
        };
        let mut steps = Vec::new();
        while !choices.is_empty() && steps.len() < MOST_STEPS {
            steps.push(Step::read(&mut choices));
        }
        Self { role, limits, peer, steps }
    }
}

impl Step {
    fn read(choices: &mut Bytes<'_>) -> Self {
        let amount = |choices: &mut Bytes<'_>| match choices.below(256) {
            small @ 0..200 => 1 + small,
            large => (large - 198) * 80,
        };
        match choices.below(24) {
            0..4 => {
                let length = choices.below(256) as usize;
                let piece = 1 + choices.below(256) as usize;
                Self::Arrive(choices.take(length).to_vec(), piece)
            }
            4..9 => {
                let piece = 1 + choices.below(16) as usize;
                Self::Arrive(frame(choices), piece)
            }
            9 => Self::Answer,
            10 => Self::Open(Priority::new(choices.below(8) as u8).unwrap_or_default()),
            11 => Self::Poll,
            12 | 13 => Self::Accept(choices.below(8)),
            14 => Self::Refuse(choices.below(8)),
            15 => Self::Write(choices.below(8), amount(choices)),
            16 => Self::Read(choices.below(8), amount(choices)),
            17 => Self::Finish(choices.below(8)),
            18 => Self::Reset(choices.below(8)),
            19 => Self::Release(choices.below(8)),
            20..22 => Self::Transmit(choices.pick(&[RECORD_BYTES, MIN_TRANSMIT_BYTES, 9, 12, 16, 300])),
            22 => Self::Wait(1 + u64::from(choices.below(MOST_TICKS as u32))),
            _ => match choices.below(16) {
                0 => Self::Close,
                1..4 => Self::KeepExclusive(choices.below(1 << NAMES.len())),
                4..6 => Self::Trickle,
                _ => Self::Poll,
            },
        }
    }
}

/// A frame that is legal by itself, on one of the first streams.
fn frame(choices: &mut Bytes<'_>) -> Vec<u8> {
    let kind = choices.below(9);
    let stream = StreamId::new(1 + choices.below(8)).unwrap_or_else(|| unreachable!("not 0"));
    let mut payload = Vec::new();
    let frame = match kind {
        0 => {
            let chosen = choices.below(16);
            Frame::Open {
                stream,
                priority: Priority::new((chosen % 8) as u8).unwrap_or_default(),
                name: name(chosen / 8),
            }
        }
        1 => Frame::OpenAck { stream },
        2 | 3 => {
            let length = 1 + choices.below(256) * if kind == 2 { 1 } else { 16 };
            let first = choices.below(256);
            payload.extend((first..first + length).map(|byte| byte as u8));
            Frame::Data { stream, payload: &payload }
        }
        4 => Frame::WindowUpdate { stream, increment: 1 + (choices.below(256) << choices.below(24)) },
        5 => Frame::Reset { stream, code: ResetCode(choices.below(9)) },
        6 => Frame::Ping(u64::from(choices.below(4))),
        7 => Frame::Pong(u64::from(choices.below(4))),
        _ => Frame::Close { stream },
    };
    encoded(&frame)
}

pub(crate) fn encoded(frame: &Frame<'_>) -> Vec<u8> {
    let mut bytes = vec![0; frame.bytes()];
    assert_eq!(frame.emit(&mut bytes), Some(bytes.len()));
    bytes
}
