//! Whoever reads a link in both directions: what each stream carried, and whether an honest peer could have taken it.

use std::collections::{BTreeMap, BTreeSet};

use vatmux_mux::wire::{Frame, HEADER_BYTES, Header, Kind};
use vatmux_mux::{CloseCode, ResetCode, Role, StreamId, StreamName, Violation};

/// The byte that the session's application writes at `offset` of `stream`.
pub(crate) fn written(stream: StreamId, offset: u64) -> u8 {
    (offset ^ (offset >> 8)) as u8 ^ stream.get() as u8
}

/// What the frames say of one stream.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other")]
pub(crate) struct Carried {
    /// The payloads of the peer's DATA, joined.
    pub(crate) arrived: Vec<u8>,
    /// How many there were when the peer sent CLOSE.
    pub(crate) complete: Option<usize>,
    /// The increments of the window updates that left: credit beyond the hello's.
    pub(crate) granted_bytes: u64,
    /// The increments of those that arrived.
    received_credit_bytes: u64,
    sent_bytes: u64,
    /// OPEN of its opener and, where that is the peer, our `OPEN_ACK` have been seen: the session may send on it.
    opened: bool,
    acknowledged: bool,
    finished: bool,
    reset: bool,
    reset_by_peer: bool,
    /// What the peer calls it, where the peer opened it.
    pub(crate) name: Option<StreamName>,
}

impl Carried {
    /// Whether somebody reset it.
    pub(crate) fn is_reset(&self) -> bool {
        self.reset || self.reset_by_peer
    }
}

/// Why nothing that arrives is looked at any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// A frame that is wrong by itself, whatever the state of its stream.
    Wrong(Violation),
    /// The peer closed the session.
    Closed(CloseCode),
}

/// One session's link.
pub(crate) struct Witness {
    role: Role,
    peer_window_bytes: u64,
    pub(crate) streams: BTreeMap<StreamId, Carried>,
    /// The beginning of a frame that is not DATA, or of any header.
    held: Vec<u8>,
    /// The DATA frame that is arriving, and what it lacks.
    arriving: Option<(StreamId, usize)>,
    pub(crate) stop: Option<Stop>,
    newest_id: Option<StreamId>,
    /// Nonces of PINGs that have arrived, and not been answered by a PONG since.
    pings: BTreeSet<u64>,
    pub(crate) newest_ping_sent: Option<u64>,
    pub(crate) frames_arrived: u64,
    pub(crate) control_frames_sent: u64,
    /// The CLOSE of the session that left.
    pub(crate) closed: Option<CloseCode>,
}

impl Witness {
    pub(crate) fn new(role: Role, peer_window_bytes: u32) -> Self {
        Self {
            role,
            peer_window_bytes: u64::from(peer_window_bytes),
            streams: BTreeMap::new(),
            held: Vec::new(),
            arriving: None,
            stop: None,
            newest_id: None,
            pings: BTreeSet::new(),
            newest_ping_sent: None,
            frames_arrived: 0,
            control_frames_sent: 0,
            closed: None,
        }
    }

    /// These bytes have arrived.
    pub(crate) fn arrives(&mut self, mut bytes: &[u8]) {
        while self.stop.is_none() && !bytes.is_empty() {
            if let Some((stream, left)) = self.arriving {
                let (payload, rest) = bytes.split_at(left.min(bytes.len()));
                bytes = rest;
                self.streams.entry(stream).or_default().arrived.extend_from_slice(payload);
                self.arriving = Some((stream, left - payload.len())).filter(|(_, left)| *left > 0);
            } else if let Err(stop) = self.arrives_at_frame(&mut bytes) {
                self.stop = Some(stop);
            }
        }
    }

    fn arrives_at_frame(&mut self, bytes: &mut &[u8]) -> Result<(), Stop> {
        let Some((byte, rest)) = bytes.split_first() else { return Ok(()) };
        self.held.push(*byte);
        *bytes = rest;
        let Some((header, payload)) = self.held.split_first_chunk::<HEADER_BYTES>() else { return Ok(()) };
        let header = Header::parse(header).map_err(Stop::Wrong)?;
        if let (Kind::Data, Some(stream)) = (header.kind, header.stream) {
            self.arriving = Some((stream, usize::from(header.length)));
        } else if payload.len() == usize::from(header.length) {
            let payload = payload.to_vec();
            self.frame_arrives(&Frame::parse(&header, &payload).map_err(Stop::Wrong)?)?;
        } else {
            return Ok(());
        }
        self.frames_arrived += 1;
        self.held.clear();
        Ok(())
    }

    fn frame_arrives(&mut self, frame: &Frame<'_>) -> Result<(), Stop> {
        match *frame {
            Frame::Open { stream, ref name, .. } => {
                let carried = self.streams.entry(stream).or_default();
                carried.opened = true;
                carried.name.get_or_insert_with(|| name.clone());
            }
            Frame::WindowUpdate { stream, increment } => {
                self.streams.entry(stream).or_default().received_credit_bytes += u64::from(increment);
            }
            Frame::Reset { stream, .. } => self.streams.entry(stream).or_default().reset_by_peer = true,
            Frame::Close { stream } => {
                let carried = self.streams.entry(stream).or_default();
                carried.complete.get_or_insert(carried.arrived.len());
            }
            Frame::Ping(nonce) => _ = self.pings.insert(nonce),
            Frame::CloseSession(code) => return Err(Stop::Closed(code)),
            Frame::Data { .. } | Frame::OpenAck { .. } | Frame::Pong(_) => {}
        }
        Ok(())
    }

    /// The session transmitted `bytes`: whole frames, each one that a peer which keeps to the rules would take.
    pub(crate) fn leaves(&mut self, mut bytes: &[u8]) {
        while let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() {
            let header = Header::parse(header).expect("only legal frames leave");
            let (payload, rest) =
                rest.split_at_checked(usize::from(header.length)).expect("only whole frames leave");
            bytes = rest;
            self.frame_leaves(&Frame::parse(&header, payload).expect("only legal frames leave"));
        }
        assert!(bytes.is_empty(), "only whole frames leave");
    }

    fn frame_leaves(&mut self, frame: &Frame<'_>) {
        assert_eq!(self.closed, None, "nothing follows the CLOSE of a session, and not {frame:?}");
        self.control_frames_sent += u64::from(!matches!(frame, Frame::Data { .. }));
        let role = self.role;
        match *frame {
            Frame::Open { stream, .. } => {
                assert!(role.opens(stream) && self.newest_id.is_none_or(|newest| newest < stream));
                self.newest_id = Some(stream);
                let carried = self.streams.entry(stream).or_default();
                (carried.opened, carried.acknowledged) = (true, true);
            }
            Frame::OpenAck { stream } => {
                let carried = self.known(stream);
                assert!(!role.opens(stream) && !carried.acknowledged, "stream {stream} is taken once");
                carried.acknowledged = true;
            }
            Frame::Data { stream, payload } => {
                let peer_window_bytes = self.peer_window_bytes;
                let carried = self.acknowledged(stream);
                assert!(!carried.finished, "DATA follows CLOSE on stream {stream}");
                for (offset, byte) in (carried.sent_bytes..).zip(payload) {
                    assert_eq!(*byte, written(stream, offset), "stream {stream} at {offset}");
                }
                carried.sent_bytes += payload.len() as u64;
                assert!(
                    carried.sent_bytes <= peer_window_bytes + carried.received_credit_bytes,
                    "stream {stream} sends more than it has credit for"
                );
            }
            Frame::WindowUpdate { stream, increment } => {
                self.acknowledged(stream).granted_bytes += u64::from(increment);
            }
            Frame::Reset { stream, code } => {
                let carried = self.known(stream);
                carried.reset = true;
                if code == ResetCode::DUPLICATE_NAME {
                    let (name, acknowledged) = (carried.name.clone(), carried.acknowledged);
                    let same = |other: &Carried| name.is_some() && other.name == name;
                    let another = self.streams.iter().any(|(id, other)| *id != stream && same(other));
                    assert!(another && !acknowledged, "no other stream can have the name of {stream}");
                }
            }
            Frame::Close { stream } => {
                let carried = self.acknowledged(stream);
                assert!(!carried.finished, "stream {stream} is finished once");
                carried.finished = true;
            }
            Frame::Ping(nonce) => self.newest_ping_sent = Some(nonce),
            Frame::Pong(nonce) => {
                assert!(self.pings.contains(&nonce), "nobody asked for PONG {nonce}");
                self.pings.clear();
            }
            Frame::CloseSession(code) => self.closed = Some(code),
        }
    }

    /// A stream that a frame may name.
    fn known(&mut self, stream: StreamId) -> &mut Carried {
        let carried = self.streams.get_mut(&stream).filter(|carried| carried.opened);
        let carried = carried.unwrap_or_else(|| panic!("nobody opened stream {stream}"));
        assert!(!carried.reset && !carried.reset_by_peer, "stream {stream} was reset");
        carried
    }

    /// A stream on which this end may send.
    fn acknowledged(&mut self, stream: StreamId) -> &mut Carried {
        let carried = self.known(stream);
        assert!(carried.acknowledged, "stream {stream} was not taken");
        carried
    }

    /// Bytes of DATA that have left on `stream`.
    pub(crate) fn sent_bytes(&self, stream: StreamId) -> u64 {
        self.streams.get(&stream).map_or(0, |carried| carried.sent_bytes)
    }
}

#[cfg(test)]
mod tests {
    use vatmux_mux::Priority;
    use vatmux_sim::{Choices, Random};

    use super::*;

    fn id(raw: u32) -> StreamId {
        StreamId::new(raw).unwrap()
    }

    fn open(raw: u32) -> Frame<'static> {
        Frame::Open { stream: id(raw), priority: Priority::default(), name: "witnessed".parse().unwrap() }
    }

    fn encoded(frames: &[Frame<'_>]) -> Vec<u8> {
        let mut all = Vec::new();
        for frame in frames {
            let mut bytes = vec![0; frame.bytes()];
            frame.emit(&mut bytes).unwrap();
            all.extend(bytes);
        }
        all
    }

    /// Why a dialer whose peer grants 4 bytes may not send `sent`, when `arrived` has arrived; `None` when it may.
    fn objection(arrived: &[Frame<'_>], sent: &[Frame<'_>]) -> Option<String> {
        let mut witness = Witness::new(Role::Dialer, 4);
        witness.arrives(&encoded(arrived));
        let sent = encoded(sent);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| witness.leaves(&sent)));
        outcome.err().map(|panic| panic.downcast_ref::<String>().cloned().unwrap_or_default())
    }

    fn data(raw: u32, payload: &[u8]) -> Frame<'_> {
        Frame::Data { stream: id(raw), payload }
    }

    #[test]
    fn what_an_honest_end_sends_is_taken() {
        let payload: Vec<u8> = (0..6).map(|offset| written(id(1), offset)).collect();
        let more = Frame::WindowUpdate { stream: id(1), increment: 2 };
        let arrived = [Frame::Ping(7), more, open(2), open(4)];
        let second = Frame::Reset { stream: id(4), code: ResetCode::DUPLICATE_NAME };
        let close = Frame::CloseSession(CloseCode::DONE);
        let taken = Frame::OpenAck { stream: id(2) };
        let finish = Frame::Close { stream: id(1) };
        let sent = [Frame::Pong(7), open(1), taken, second, data(1, &payload), finish, close];
        assert_eq!(objection(&arrived, &sent), None);
    }

    #[test]
    fn what_no_honest_peer_would_take_is_noticed() {
        let payload: Vec<u8> = (0..6).map(|offset| written(id(1), offset)).collect();
        let (four, two) = payload.split_at(4);
        let finish = || Frame::Close { stream: id(1) };
        let reset = || Frame::Reset { stream: id(1), code: ResetCode::CANCELLED };
        let taken = || Frame::OpenAck { stream: id(2) };
        let duplicate = |raw| Frame::Reset { stream: id(raw), code: ResetCode::DUPLICATE_NAME };
        let more = || Frame::WindowUpdate { stream: id(2), increment: 1 };
        for (arrived, sent, expected) in [
            (vec![], vec![open(1), data(1, &payload)], "more than it has credit for"),
            (vec![], vec![open(1), data(1, &four[1..])], "stream 1 at 0"),
            (vec![], vec![data(1, four)], "nobody opened stream 1"),
            (vec![], vec![open(1), finish(), data(1, two)], "DATA follows CLOSE"),
            (vec![], vec![open(1), finish(), finish()], "finished once"),
            (vec![], vec![open(1), reset(), finish()], "was reset"),
            (vec![reset()], vec![open(1), reset()], "was reset"),
            (vec![open(2)], vec![more()], "was not taken"),
            (vec![open(2)], vec![taken(), taken()], "taken once"),
            (vec![open(2)], vec![duplicate(2)], "no other stream"),
            (vec![open(2), open(4)], vec![taken(), duplicate(2)], "no other stream"),
            (vec![Frame::Ping(1)], vec![Frame::Pong(2)], "nobody asked"),
            (vec![Frame::Ping(1)], vec![Frame::Pong(1), Frame::Pong(1)], "nobody asked"),
            (vec![], vec![Frame::CloseSession(CloseCode::DONE), open(1)], "nothing follows"),
        ] {
            let objection = objection(&arrived, &sent).unwrap_or_else(|| panic!("{sent:?} was taken"));
            assert!(objection.contains(expected), "{sent:?}: {objection}");
        }
    }

    #[test]
    fn where_the_bytes_are_cut_makes_no_difference() {
        let frames = [open(2), data(2, b"some bytes"), Frame::Ping(3), data(2, b"and more")];
        let bytes = [&encoded(&frames)[..], &encoded(&[Frame::Close { stream: id(2) }]), &[9; 8]].concat();
        for seed in 0..50 {
            let mut random = Random::new(seed);
            let mut witness = Witness::new(Role::Dialer, 4);
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (piece, after) = rest.split_at(rest.len().min(1 + random.below(30) as usize));
                witness.arrives(piece);
                rest = after;
            }
            let carried = &witness.streams[&id(2)];
            assert_eq!(carried.arrived, b"some bytesand more", "seed {seed}");
            assert_eq!(carried.complete, Some(carried.arrived.len()), "seed {seed}");
            assert_eq!(witness.stop, Some(Stop::Wrong(Violation::UnknownKind { kind: 9 })), "seed {seed}");
            assert_eq!(witness.frames_arrived, 5, "seed {seed}");
        }
    }
}
