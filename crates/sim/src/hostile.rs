//! The hostile run: one engine, and a peer that sends anything.
//!
//! Most of the time the peer keeps to the rules, so that the rules it breaks are broken in every state.

use std::collections::BTreeMap;

use vatmux_mux::wire::Frame;
use vatmux_mux::{CloseCode, End, Event, Priority, ResetCode, Session, Storage, StreamId, Ticks, Violation};

use crate::case::{Act, Attack, Setting};
use crate::digest::Digest;
use crate::frames::frames;
use crate::fresh::{Fresh, STREAMS};
use crate::names;
use crate::world::{byte, index};

/// A stream as the peer sees it.
#[derive(Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other")]
struct Seen {
    /// The victim's application may take what the peer sends: it was opened by the peer, or the peer acknowledged it.
    established: bool,
    /// The peer has not finished its direction.
    sending: bool,
    /// The victim has not finished its own.
    receiving: bool,
    /// Neither end has reset it.
    alive: bool,
    /// What the peer may still send.
    credit_bytes: u64,
    sent_bytes: u64,
    /// All that the victim ever granted.
    granted_bytes: u64,
    /// All that the peer ever granted.
    grants_bytes: u64,
}

struct Siege<S: Storage> {
    victim: Session<S>,
    /// Which end the peer is.
    writer: usize,
    now: Ticks,
    link_bytes: usize,
    seen: BTreeMap<StreamId, Seen>,
    next_id: u32,
    /// What the victim's application holds, with how much it has read.
    held: BTreeMap<StreamId, u64>,
    offered: Vec<StreamId>,
    /// The peer has sent what is no frame: where frames begin is anybody's guess.
    garbled: bool,
    violation: Option<Violation>,
    /// PINGs sent; the last one's nonce.
    pings: u64,
    is_owed_a_pong: bool,
    told_of_end: bool,
    /// The names that the victim's application has ever kept exclusive, a bit for each.
    exclusive: u32,
    closes_sent: u32,
    record: Vec<u8>,
    digest: Digest,
}

/// Runs the case and returns the digest of all that was transmitted and told.
pub(crate) fn run<S: Fresh>(setting: &Setting, attacks: &[Attack]) -> u64 {
    let mut siege = Siege::<S>::new(setting);
    for attack in attacks {
        siege.step(attack);
        siege.check();
    }
    siege.raise();
    siege.digest.value()
}

impl<S: Fresh> Siege<S> {
    fn new(setting: &Setting) -> Self {
        let mine = index(setting.victim);
        let (limits, peer) = (setting.limits[mine], setting.limits[1 - mine].hello());
        let now = Ticks::ZERO;
        Self {
            victim: Session::new(setting.victim, limits, peer, S::fresh(), now).expect("limits"),
            writer: 1 - mine,
            now,
            link_bytes: setting.link_bytes as usize,
            seen: BTreeMap::new(),
            // Before the first of the peer's own ids, odd for a dialer.
            next_id: [u32::MAX, 0][1 - mine],
            held: BTreeMap::new(),
            offered: Vec::new(),
            garbled: false,
            violation: None,
            pings: 0,
            is_owed_a_pong: false,
            told_of_end: false,
            exclusive: 0,
            closes_sent: 0,
            record: vec![0; 65_519],
            digest: Digest::new(),
        }
    }

    fn step(&mut self, attack: &Attack) {
        let code = |nth: u32| ResetCode(nth % 9);
        match attack {
            Attack::Use(act) => self.act(*act),
            Attack::Transmit => self.transmit(),
            Attack::Wait(ticks) => {
                self.now = self.now.after(Ticks(u64::from(*ticks)));
                self.victim.handle_timeout(self.now);
            }
            Attack::Trickle => self.victim.heard(self.now),
            Attack::Open { skip, level, name } => {
                let theirs = self.seen.iter().filter(|(stream, _)| !self.victim.role().opens(**stream));
                let open = theirs.filter(|(_, seen)| seen.alive && (seen.sending || seen.receiving)).count();
                if open as u32 >= self.victim.limits().max_incoming_streams && *skip != Attack::RUDE_SKIP {
                    return;
                }
                self.next_id = self.next_id.wrapping_add(2 * skip);
                let Some(stream) = StreamId::new(self.next_id) else { return };
                let name = names::name(*name);
                let priority = Priority::new(*level).unwrap_or_default();
                let credit_bytes = u64::from(self.victim.limits().initial_window_bytes);
                let seen = Seen {
                    established: true,
                    sending: true,
                    receiving: true,
                    alive: true,
                    credit_bytes,
                    sent_bytes: 0,
                    granted_bytes: credit_bytes,
                    grants_bytes: u64::from(self.victim.peer().initial_window_bytes),
                };
                self.seen.insert(stream, seen);
                self.send(&Frame::Open { stream, priority, name });
            }
            Attack::Acknowledge(nth) => {
                if let Some(stream) = self.choose(*nth, |seen| !seen.established && seen.alive) {
                    self.note(stream, |seen| seen.established = true);
                    self.send(&Frame::OpenAck { stream });
                }
            }
            Attack::Data { nth, bytes } => self.data(*nth, *bytes),
            Attack::Grant { nth, bytes } => {
                if let Some(stream) = self.choose(*nth, |seen| seen.established && seen.alive) {
                    self.note(stream, |seen| seen.grants_bytes += u64::from(*bytes));
                    self.send(&Frame::WindowUpdate { stream, increment: *bytes });
                }
            }
            Attack::Finish(nth) => {
                if let Some(stream) = self.choose(*nth, |seen| seen.established && seen.alive && seen.sending)
                {
                    self.note(stream, |seen| seen.sending = false);
                    self.send(&Frame::Close { stream });
                }
            }
            Attack::Reset(nth) => {
                if let Some(stream) = self.choose(*nth, |seen| seen.alive) {
                    self.note(stream, |seen| seen.alive = false);
                    self.send(&Frame::Reset { stream, code: code(*nth) });
                }
            }
            Attack::Ping => {
                self.pings += 1;
                self.send(&Frame::Ping(self.pings));
                // Inside of what the victim takes for another frame, it is no PING.
                self.is_owed_a_pong = !self.garbled;
            }
            Attack::Pong(nonce) => self.send(&Frame::Pong(*nonce)),
            Attack::Close(nth) => self.send(&Frame::CloseSession(CloseCode(*nth))),
            Attack::Bytes(bytes) => {
                self.garbled = true;
                self.send_bytes(bytes);
            }
        }
    }

    /// A stream for a frame: one on which it is legal, or now and then any.
    fn choose(&self, nth: u32, legal: impl Fn(&Seen) -> bool) -> Option<StreamId> {
        let position = nth as usize / 2;
        if nth.is_multiple_of(Attack::RUDE) {
            let any = self.seen.keys().nth(position % (self.seen.len() + 1)).copied();
            return any.or(StreamId::new(self.next_id.wrapping_add(1 + nth % 5)));
        }
        let legal = || self.seen.iter().filter(|(_, seen)| legal(seen));
        legal().nth(position.checked_rem(legal().count())?).map(|(stream, _)| *stream)
    }

    fn note(&mut self, stream: StreamId, note: impl FnOnce(&mut Seen)) {
        if let Some(seen) = self.seen.get_mut(&stream) {
            note(seen);
        }
    }

    fn data(&mut self, nth: u32, bytes: u32) {
        let able = |seen: &Seen| seen.established && seen.alive && seen.sending && seen.credit_bytes > 0;
        let Some(stream) = self.choose(nth, able) else { return };
        let seen = self.seen.get(&stream).copied();
        let rude = (nth / 7).is_multiple_of(Attack::RUDE);
        let most = seen.filter(|seen| able(seen) && !rude).map_or(u32::MAX, |seen| seen.credit_bytes as u32);
        let length = bytes.min(most);
        let from = seen.map_or(0, |seen| seen.sent_bytes);
        let payload: Vec<u8> =
            (from..from + u64::from(length)).map(|offset| byte(stream, self.writer, offset)).collect();
        self.note(stream, |seen| {
            seen.credit_bytes = seen.credit_bytes.saturating_sub(u64::from(length));
            seen.sent_bytes += u64::from(length);
        });
        self.send(&Frame::Data { stream, payload: &payload });
    }

    fn send(&mut self, frame: &Frame<'_>) {
        let mut bytes = vec![0; frame.bytes()];
        frame.emit(&mut bytes).expect("room for the frame");
        self.send_bytes(&bytes);
    }

    fn send_bytes(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(self.link_bytes.max(8)) {
            let before = self.victim.end();
            let outcome = self.victim.receive(piece, self.now);
            match (before, outcome) {
                (Some(End::Violation(first)), again) => {
                    assert_eq!(again, Err(first), "the first violation is the last");
                }
                (Some(_), outcome) => assert_eq!(outcome, Ok(()), "input after the end is ignored"),
                (None, Ok(())) => {}
                (None, Err(violation)) => {
                    assert_eq!(self.victim.end(), Some(End::Violation(violation)));
                    self.violation = Some(violation);
                }
            }
        }
    }

    fn act(&mut self, act: Act) {
        let known: Vec<StreamId> = self.held.keys().chain(&self.offered).copied().collect();
        let nth = |nth: u32| (nth as usize).checked_rem(known.len()).map(|position| known[position]);
        match act {
            Act::Open(level, number) => {
                let name = names::name(number);
                if let Ok(stream) = self.victim.open(&name, Priority::new(level).unwrap_or_default()) {
                    self.held.insert(stream, 0);
                }
            }
            Act::KeepExclusive(bits) => {
                self.victim.set_exclusive_names(&names::chosen(bits));
                self.exclusive |= bits;
                // Those that were turned away have no name any more.
                self.offered.retain(|stream| self.victim.name(*stream).is_some());
            }
            Act::Poll => self.events(),
            Act::Accept(chosen) => {
                if let Some(stream) = nth(chosen) {
                    let offered = self.offered.contains(&stream);
                    assert_eq!(self.victim.accept(stream).is_ok(), offered);
                    if offered {
                        self.offered.retain(|other| *other != stream);
                        self.held.insert(stream, 0);
                    }
                }
            }
            Act::Refuse(chosen) => {
                if let Some(stream) = nth(chosen).filter(|stream| self.offered.contains(stream)) {
                    self.victim.refuse(stream, ResetCode::NOT_ALLOWED).expect("it was offered");
                    self.offered.retain(|other| *other != stream);
                }
            }
            Act::Write { nth: chosen, bytes } | Act::WriteThrough { nth: chosen, bytes } => {
                if let Some(stream) = nth(chosen) {
                    let _ = self.victim.write(stream, &vec![0x5a; bytes as usize]);
                }
            }
            Act::Supply { nth: chosen, .. } => {
                // Without a source: it is dry when its turn comes.
                if let Some(stream) = nth(chosen) {
                    let _ = self.victim.supply(stream);
                }
            }
            Act::Read { nth: chosen, bytes } => {
                if let Some(stream) = nth(chosen) {
                    self.read(stream, bytes);
                }
            }
            Act::Finish(chosen) => {
                if let Some(stream) = nth(chosen) {
                    let _ = self.victim.finish(stream);
                }
            }
            Act::Reset(chosen) => {
                if let Some(stream) = nth(chosen) {
                    self.victim.reset(stream, ResetCode::CANCELLED).expect("a known stream");
                }
            }
            Act::Release(chosen) => {
                if let Some(stream) = nth(chosen) {
                    self.release(stream);
                }
            }
            Act::Misuse(chosen) => {
                let stream = StreamId::new(chosen + 1).expect("not 0");
                if !known.contains(&stream) {
                    assert!(self.victim.write(stream, b"x").is_err());
                    assert!(self.victim.readable(stream).is_err());
                    assert!(self.victim.consume(stream, 1).is_err());
                }
            }
            // A session that its own end closed has nothing to fear.
            Act::Close(_) => {}
        }
    }

    fn release(&mut self, stream: StreamId) {
        self.victim.release(stream);
        self.held.remove(&stream);
        self.offered.retain(|other| *other != stream);
    }

    fn read(&mut self, stream: StreamId, most: u32) {
        let Some(read) = self.held.get_mut(&stream) else {
            assert!(self.victim.readable(stream).is_err(), "stream {stream} was not accepted");
            return;
        };
        let Ok((first, second)) = self.victim.readable(stream) else { return };
        if !self.garbled {
            for (offset, byte_read) in (*read..).zip(first.iter().chain(second)) {
                assert_eq!(*byte_read, byte(stream, self.writer, offset), "stream {stream} at {offset}");
            }
        }
        let consumed = (first.len() + second.len()).min(most as usize);
        self.victim.consume(stream, consumed).expect("it was readable");
        *read += consumed as u64;
    }

    fn events(&mut self) {
        while let Some(event) = self.victim.poll_event() {
            assert!(!self.told_of_end, "the end of the session is told last and once");
            self.digest.event(&event);
            match event {
                Event::Incoming { id, .. } => {
                    assert!(!self.held.contains_key(&id) && !self.offered.contains(&id));
                    self.offered.push(id);
                    assert!(self.offered.len() as u32 <= self.victim.limits().max_unaccepted_streams);
                }
                Event::Opened(id) => assert!(self.held.contains_key(&id)),
                Event::Readable(id) | Event::Writable(id) | Event::Reset(id, _) => {
                    assert!(self.held.contains_key(&id) || self.offered.contains(&id));
                }
                Event::Ended => self.told_of_end = true,
            }
        }
        assert_eq!(self.told_of_end, self.victim.end().is_some(), "an end is told");
    }

    /// Everything leaves, and however long that was not so, it is not much.
    fn transmit(&mut self) {
        let mut control_bytes = 0;
        loop {
            let bytes = self.victim.transmit(&mut self.record);
            if bytes == 0 {
                break;
            }
            self.digest.bytes(&self.record[..bytes]);
            for frame in frames(&self.record[..bytes]) {
                assert_eq!(self.closes_sent, 0, "nothing follows the CLOSE of a session");
                match frame {
                    Frame::Data { .. } => continue,
                    Frame::Open { stream, .. } => {
                        let credit_bytes = u64::from(self.victim.limits().initial_window_bytes);
                        let grants_bytes = u64::from(self.victim.peer().initial_window_bytes);
                        let (established, sending, alive) = (false, true, true);
                        let granted_bytes = credit_bytes;
                        let sent_bytes = 0;
                        let seen = Seen {
                            established,
                            sending,
                            receiving: true,
                            alive,
                            credit_bytes,
                            sent_bytes,
                            granted_bytes,
                            grants_bytes,
                        };
                        self.seen.insert(stream, seen);
                    }
                    Frame::WindowUpdate { stream, increment } => {
                        if let Some(seen) = self.seen.get_mut(&stream) {
                            seen.credit_bytes += u64::from(increment);
                            seen.granted_bytes += u64::from(increment);
                        }
                    }
                    Frame::Reset { stream, code } => {
                        let duplicate = code == ResetCode::DUPLICATE_NAME;
                        assert!(!duplicate || self.exclusive != 0, "no name was ever exclusive");
                        assert!(!duplicate || !self.held.contains_key(&stream), "it was accepted");
                        if let Some(seen) = self.seen.get_mut(&stream) {
                            seen.alive = false;
                        }
                    }
                    Frame::CloseSession(code) => {
                        self.closes_sent += 1;
                        match self.victim.end() {
                            Some(End::Violation(violation)) => assert_eq!(code, violation.close_code()),
                            Some(End::KeepaliveTimeout) => assert_eq!(code, CloseCode::KEEPALIVE_TIMEOUT),
                            end => panic!("CLOSE {code:?} without a reason: {end:?}"),
                        }
                    }
                    Frame::Pong(nonce) => {
                        assert!(self.garbled || nonce == self.pings, "the newest PING is answered");
                        self.is_owed_a_pong = false;
                    }
                    Frame::Close { stream } => {
                        if let Some(seen) = self.seen.get_mut(&stream) {
                            seen.receiving = false;
                        }
                    }
                    Frame::OpenAck { .. } | Frame::Ping(_) => {}
                }
                control_bytes += frame.bytes();
            }
        }
        assert!(!self.victim.wants_transmit(), "there is room and something to send");
        let lives = self.victim.end().is_none();
        assert!(!self.is_owed_a_pong || !lives, "a PING is answered as soon as there is room");
        // OPEN, OPEN_ACK, WINDOW_UPDATE, CLOSE and RST of each stream, a refusal for each, PING, PONG and CLOSE.
        let most = STREAMS as usize * (8 + 65 + 8 + 12 + 8 + 12) + STREAMS as usize * 12 + 16 + 16 + 12;
        assert!(control_bytes <= most, "{control_bytes} bytes of control had piled up");
    }

    fn check(&self) {
        let limits = self.victim.limits();
        let statistics = self.victim.statistics();
        assert!(statistics.streams <= STREAMS);
        assert!(statistics.window_budget_bytes <= limits.session_window_budget_bytes);
        let mut grown = 0;
        for stream in self.held.keys().chain(&self.offered) {
            let Some(one) = self.victim.stream_statistics(*stream) else {
                panic!("stream {stream} is held and unknown")
            };
            assert!(one.unread_bytes <= one.window_bytes && one.window_bytes <= limits.max_window_bytes);
            assert!(one.unsent_bytes <= limits.send_buffer_bytes);
            assert!(one.granted_bytes + one.unread_bytes + one.owed_bytes <= one.window_bytes);
            grown += one.window_bytes - limits.initial_window_bytes;
            if let Some(seen) = self.seen.get(stream) {
                assert!(
                    one.received_bytes <= seen.granted_bytes,
                    "stream {stream} took more than it granted"
                );
                assert!(
                    self.garbled || one.sent_bytes <= seen.grants_bytes,
                    "stream {stream} sent more than it was granted"
                );
            }
        }
        assert!(grown + statistics.window_budget_bytes <= limits.session_window_budget_bytes);
        assert!(self.violation.is_none_or(|violation| self.victim.end() == Some(End::Violation(violation))));
    }

    /// The siege ends: the victim lets go of everything, and its session goes as it should.
    fn raise(&mut self) {
        self.events();
        self.transmit();
        let all: Vec<StreamId> = self.held.keys().chain(&self.offered).copied().collect();
        for stream in all {
            self.release(stream);
        }
        self.events();
        self.transmit();
        match self.victim.end() {
            None | Some(End::PeerClosed(_) | End::Closed(_)) => assert_eq!(self.closes_sent, 0),
            Some(End::Violation(_) | End::KeepaliveTimeout) => assert_eq!(self.closes_sent, 1),
        }
    }
}
