//! Bytes from the link, in whatever pieces they come.
//!
//! A header is checked as soon as it is whole, a control frame when its payload is, and only then does anything change.
//! The payload of DATA goes straight into its stream's ring, once its header has been checked against the credit.

use super::lending::{Rings, Sink};
use super::{End, Session};
use crate::budget::{BudgetKind, SMALL_DATA_BYTES};
use crate::code::ResetCode;
use crate::id::{StreamId, Ticks};
use crate::name::{Priority, StreamName};
use crate::ring::Ring;
use crate::storage::{Refusal, Storage};
use crate::stream::{Handle, Receiving, Reset, Sending, control, event};
use crate::violation::Violation;
use crate::wire::{Frame, HEADER_BYTES, Header, Kind, MAX_CONTROL_BYTES, MAX_CREDIT_BYTES};

/// Where in the frame stream we are.
#[derive(Clone, Copy)]
enum State {
    /// In a header.
    Header,
    /// In the payload of a control frame.
    Control(Header),
    /// In the payload of DATA for the stream in this slot.
    Data { slot: u16, left: usize },
    /// In the payload of DATA that nobody will read.
    Skip { left: usize },
}

/// The part of the frame stream that has arrived but could not be used yet: less than one control frame.
pub(super) struct Decoder {
    state: State,
    /// The first `have` bytes of a header, or of a control frame's payload.
    held: [u8; MAX_CONTROL_BYTES],
    have: u8,
}

impl Decoder {
    pub(super) const START: Self = Self { state: State::Header, held: [0; MAX_CONTROL_BYTES], have: 0 };

    /// What is left of a DATA frame for this slot goes nowhere; returns how many bytes that are.
    pub(super) fn skip_data_of(&mut self, slot: u16) -> usize {
        match self.state {
            State::Data { slot: current, left } if current == slot => {
                self.state = State::Skip { left };
                left
            }
            State::Header | State::Control(_) | State::Data { .. } | State::Skip { .. } => 0,
        }
    }

    /// Adds from `input` until `needed` bytes are held; true once they are.
    fn hold(&mut self, input: &mut &[u8], needed: usize) -> bool {
        let have = usize::from(self.have);
        let (taken, rest) = input.split_at(input.len().min(needed - have));
        self.held[have..have + taken.len()].copy_from_slice(taken);
        self.have += taken.len() as u8;
        *input = rest;
        have + taken.len() == needed
    }
}

impl<S: Storage> Session<S> {
    /// Takes in bytes from the link: all of them, in any fragmentation, without waiting for anything.
    ///
    /// The first violation ends the session; it is returned by this call and all later ones. After any other end,
    /// input is ignored.
    pub fn receive(&mut self, input: &[u8], now: Ticks) -> Result<(), Violation> {
        self.receive_into(input, now, &mut Rings)
    }

    /// [`receive`](Self::receive), with the DATA of streams whose ring is empty shown to `sink` first.
    ///
    /// [`Event::Readable`](super::Event::Readable) comes only for what the sink leaves, and for the peer's end.
    pub fn receive_into(&mut self, input: &[u8], now: Ticks, sink: &mut impl Sink) -> Result<(), Violation> {
        self.advance(now);
        match self.end {
            Some(End::Violation(violation)) => return Err(violation),
            Some(End::PeerClosed(_) | End::Closed(_) | End::KeepaliveTimeout) => return Ok(()),
            None => {}
        }
        if !input.is_empty() {
            self.keepalive.received(self.now);
        }
        self.decode(input, sink).map_err(|violation| self.fail(violation))
    }

    fn decode(&mut self, mut input: &[u8], sink: &mut impl Sink) -> Result<(), Violation> {
        while !input.is_empty() {
            match self.decoder.state {
                State::Header => {
                    let header = match input.split_first_chunk::<HEADER_BYTES>() {
                        Some((bytes, rest)) if self.decoder.have == 0 => {
                            input = rest;
                            Header::parse(bytes)?
                        }
                        _ => {
                            if !self.decoder.hold(&mut input, HEADER_BYTES) {
                                return Ok(());
                            }
                            self.decoder.have = 0;
                            let Some(bytes) = self.decoder.held.first_chunk() else { return Ok(()) };
                            Header::parse(bytes)?
                        }
                    };
                    self.header(header)?;
                }
                State::Control(header) => {
                    let length = usize::from(header.length);
                    if self.decoder.have == 0 && input.len() >= length {
                        let (payload, rest) = input.split_at(length);
                        input = rest;
                        self.decoder.state = State::Header;
                        self.control(&Frame::parse(&header, payload)?)?;
                    } else if self.decoder.hold(&mut input, length) {
                        let held = self.decoder.held;
                        self.decoder.have = 0;
                        self.decoder.state = State::Header;
                        self.control(&Frame::parse(&header, &held[..length])?)?;
                    }
                }
                State::Data { slot, left } => {
                    let (payload, rest) = input.split_at(input.len().min(left));
                    input = rest;
                    let left = left - payload.len();
                    self.decoder.state = if left == 0 { State::Header } else { State::Data { slot, left } };
                    self.data(slot, payload, sink);
                }
                State::Skip { left } => {
                    let (payload, rest) = input.split_at(input.len().min(left));
                    input = rest;
                    let left = left - payload.len();
                    self.decoder.state = if left == 0 { State::Header } else { State::Skip { left } };
                }
            }
            if self.end.is_some() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// A header has arrived. Nothing about the frame is done before its header allows it.
    fn header(&mut self, header: Header) -> Result<(), Violation> {
        match (header.kind, header.stream) {
            (Kind::Data, Some(id)) => self.data_header(id, header.length),
            (Kind::OpenAck | Kind::Close, Some(_)) => self.control(&Frame::parse(&header, &[])?),
            (Kind::Open, Some(id)) if self.role.opens(id) || id.get() <= self.highest_incoming => {
                Err(Violation::InvalidOpen { stream: id })
            }
            _ => {
                self.decoder.state = State::Control(header);
                Ok(())
            }
        }
    }

    /// Finds the stream of a frame. `None` when it is gone, or over as far as the peer's frames are concerned.
    fn target(&mut self, kind: Kind, id: StreamId) -> Result<Option<u16>, Violation> {
        let Some(slot) = self.find_mut(id) else {
            let existed = self.has_existed(id);
            return if existed { Ok(None) } else { Err(Violation::UnknownStream { kind, stream: id }) };
        };
        let opener_is_us = self.role.opens(id);
        let stream = self.slot(slot);
        if stream.control & control::OPEN != 0 {
            return Err(Violation::UnknownStream { kind, stream: id });
        }
        if stream.reset != Reset::No {
            return Ok(None);
        }
        if opener_is_us && !stream.acknowledged {
            match kind {
                Kind::OpenAck | Kind::Reset => {}
                Kind::Open | Kind::Data | Kind::WindowUpdate | Kind::Ping | Kind::Pong | Kind::Close => {
                    return Err(Violation::InvalidStreamState { kind, stream: id });
                }
            }
        }
        Ok(Some(slot))
    }

    fn data_header(&mut self, id: StreamId, length: u16) -> Result<(), Violation> {
        if length < SMALL_DATA_BYTES && !self.budgets.charge(BudgetKind::SmallData) {
            return Err(Violation::Flood(BudgetKind::SmallData));
        }
        let left = usize::from(length);
        let Some(slot) = self.target(Kind::Data, id)? else {
            // The peer may have sent it before it knew; it cannot have sent more than it had credit for.
            let credit = match self.find(id) {
                Some(slot) => u64::from(self.slot(slot).outstanding),
                None => self.stray_credit_bytes,
            };
            let Some(rest) = credit.checked_sub(u64::from(length)) else {
                return Err(Violation::CreditExceeded { stream: id, length, credit: credit as u32 });
            };
            match self.find(id) {
                Some(slot) => self.slot_mut(slot).outstanding = rest as u32,
                None => self.stray_credit_bytes = rest,
            }
            self.statistics.stray_frames += 1;
            self.decoder.state = State::Skip { left };
            return Ok(());
        };
        let stream = &mut self.storage.slots_mut()[usize::from(slot)];
        if stream.receiving == Receiving::Finished {
            return Err(Violation::InvalidStreamState { kind: Kind::Data, stream: id });
        }
        let Some(outstanding) = stream.outstanding.checked_sub(u32::from(length)) else {
            return Err(Violation::CreditExceeded { stream: id, length, credit: stream.outstanding });
        };
        stream.outstanding = outstanding;
        self.growth.received(&mut stream.round, u32::from(length));
        self.statistics.frames_received += 1;
        if stream.handle == Handle::Released {
            // Nobody reads it, but the peer may need the credit to come to its end.
            stream.owed += u32::from(length);
            self.decoder.state = State::Skip { left };
            self.grant(slot);
        } else {
            self.decoder.state = State::Data { slot, left };
        }
        Ok(())
    }

    /// A part of a DATA payload has arrived.
    fn data(&mut self, slot: u16, payload: &[u8], sink: &mut impl Sink) {
        let now = self.now.0 as u32;
        let stream = &mut self.storage.slots_mut()[usize::from(slot)];
        stream.received_bytes += payload.len() as u64;
        stream.active_at = now;
        self.statistics.data_bytes_received += payload.len() as u64;
        let mut taken = 0;
        if stream.handle == Handle::Held
            && stream.receive.is_empty()
            && let Some(id) = StreamId::new(stream.id)
        {
            taken = sink.take(id, payload).min(payload.len());
            stream.owed += taken as u32;
        }
        let rest = &payload[taken..];
        if !rest.is_empty() {
            let stored = stream.receive.push(rest, stream.window as usize);
            debug_assert_eq!(stored, rest.len(), "credit never exceeds the room in the ring");
            self.holds_memory();
            self.raise(slot, event::READABLE);
        }
        if taken > 0 {
            self.budgets.consumed(taken as u32);
            self.grant(slot);
        }
    }

    /// A whole frame other than DATA has arrived.
    fn control(&mut self, frame: &Frame<'_>) -> Result<(), Violation> {
        match frame {
            Frame::Open { stream, priority, name } => self.peer_opens(*stream, *priority, name)?,
            Frame::OpenAck { stream } => self.peer_accepts(*stream)?,
            // DATA is dealt with by its header, before its payload is there.
            Frame::Data { .. } => {}
            Frame::WindowUpdate { stream, increment } => self.peer_grants(*stream, *increment)?,
            Frame::Reset { stream, code } => self.peer_resets(*stream, *code)?,
            Frame::Ping(nonce) => {
                if !self.budgets.charge(BudgetKind::Pings) {
                    return Err(Violation::Flood(BudgetKind::Pings));
                }
                self.pong = Some(*nonce);
            }
            Frame::Pong(nonce) => {
                if self.keepalive.pong(*nonce) {
                    if self.growth.pong() {
                        self.keepalive.ping();
                    }
                } else if !self.budgets.charge(BudgetKind::Pings) {
                    return Err(Violation::Flood(BudgetKind::Pings));
                }
            }
            Frame::Close { stream } => self.peer_finishes(*stream)?,
            Frame::CloseSession(code) => self.end_with(End::PeerClosed(*code), None),
        }
        self.statistics.frames_received += 1;
        Ok(())
    }

    fn peer_opens(&mut self, id: StreamId, priority: Priority, name: &StreamName) -> Result<(), Violation> {
        if self.incoming.open >= self.limits.max_incoming_streams {
            return Err(Violation::StreamLimitExceeded { maximum: self.limits.max_incoming_streams });
        }
        self.highest_incoming = id.get();
        self.statistics.streams_received += 1;
        let exclusive = self.exclusive_position(name);
        if exclusive.is_some_and(|position| self.is_held(position)) {
            return self.turn_away(id, ResetCode::DUPLICATE_NAME);
        }
        let has_room = self.unaccepted < self.limits.max_unaccepted_streams
            && self.incoming.slots < self.limits.max_incoming_streams;
        let slot = if has_room { self.occupy(id, name.clone(), priority, Handle::Unseen) } else { None };
        match slot {
            Some(slot) => {
                self.recent = slot;
                self.unaccepted += 1;
                self.raise(slot, event::INCOMING);
                if let Some(position) = exclusive {
                    self.storage.exclusive_mut()[position].holder = Some(id);
                }
                Ok(())
            }
            None => self.turn_away(id, ResetCode::STREAM_LIMIT),
        }
    }

    /// Answers an OPEN of which nothing is kept but its id.
    fn turn_away(&mut self, id: StreamId, code: ResetCode) -> Result<(), Violation> {
        if !self.budgets.charge(BudgetKind::Resets) {
            return Err(Violation::Flood(BudgetKind::Resets));
        }
        let credit = u64::from(self.limits.initial_window_bytes);
        self.stray_credit_bytes = self.stray_credit_bytes.saturating_add(credit);
        self.budgets.stream_gone(false);
        self.incoming.open += 1;
        if self.storage.push_refusal(Refusal { id, code }) {
            Ok(())
        } else {
            Err(Violation::StreamLimitExceeded { maximum: self.limits.max_incoming_streams })
        }
    }

    /// A frame on a stream that is over. It may have been under way; only a flood of them is wrong.
    fn stray(&mut self) -> Result<(), Violation> {
        self.statistics.stray_frames += 1;
        if self.budgets.charge(BudgetKind::StrayFrames) {
            Ok(())
        } else {
            Err(Violation::Flood(BudgetKind::StrayFrames))
        }
    }

    fn peer_accepts(&mut self, id: StreamId) -> Result<(), Violation> {
        let Some(slot) = self.target(Kind::OpenAck, id)? else { return self.stray() };
        let ours = self.role.opens(id);
        let stream = self.slot_mut(slot);
        if !ours || stream.acknowledged {
            return Err(Violation::InvalidStreamState { kind: Kind::OpenAck, stream: id });
        }
        stream.acknowledged = true;
        if stream.handle == Handle::Held {
            self.raise(slot, event::OPENED);
        }
        Ok(())
    }

    fn peer_grants(&mut self, id: StreamId, increment: u32) -> Result<(), Violation> {
        if !self.budgets.charge(BudgetKind::WindowUpdates) {
            return Err(Violation::Flood(BudgetKind::WindowUpdates));
        }
        let Some(slot) = self.target(Kind::WindowUpdate, id)? else { return self.stray() };
        let stream = self.slot_mut(slot);
        let credit = stream.send_credit.checked_add(increment).filter(|credit| *credit <= MAX_CREDIT_BYTES);
        stream.send_credit = credit.ok_or(Violation::CreditOverflow { stream: id })?;
        self.schedule(slot);
        Ok(())
    }

    fn peer_resets(&mut self, id: StreamId, code: ResetCode) -> Result<(), Violation> {
        let theirs = !self.role.opens(id);
        let Some(slot) = self.target(Kind::Reset, id)? else {
            self.both_gave_up(id);
            return self.stray();
        };
        if theirs && !self.budgets.charge(BudgetKind::Resets) {
            return Err(Violation::Flood(BudgetKind::Resets));
        }
        self.statistics.resets_received += 1;
        self.drop_output(slot);
        let stream = self.slot_mut(slot);
        stream.reset = Reset::Received(code);
        if stream.receiving == Receiving::Open {
            self.drop_input(slot);
        }
        match self.slot(slot).handle {
            Handle::Unseen => {
                // The application never hears of it: it costs it nothing.
                self.unaccepted -= 1;
                self.slot_mut(slot).handle = Handle::Released;
            }
            Handle::Offered | Handle::Held => self.raise(slot, event::RESET),
            Handle::Released => {}
        }
        self.settle(slot);
        Ok(())
    }

    /// The stream is over for the peer while our own RST still waits to be sent: it is over for us as well, or it would
    /// count against a limit that the peer rightly thinks is free.
    fn both_gave_up(&mut self, id: StreamId) {
        if let Some(slot) = self.find(id) {
            if let Reset::Queued(code) = self.slot(slot).reset {
                self.drop_output(slot);
                self.slot_mut(slot).reset = Reset::Sent(code);
                self.settle(slot);
            }
        } else if let Some(position) = self.storage.refusals().iter().position(|refusal| refusal.id == id) {
            self.storage.swap_remove_refusal(position);
            self.incoming.open -= 1;
        }
    }

    fn peer_finishes(&mut self, id: StreamId) -> Result<(), Violation> {
        let Some(slot) = self.target(Kind::Close, id)? else {
            if self.find(id).is_some_and(|slot| self.slot(slot).sending == Sending::Finished) {
                self.both_gave_up(id);
            }
            return self.stray();
        };
        let stream = self.slot_mut(slot);
        if stream.receiving == Receiving::Finished {
            return Err(Violation::InvalidStreamState { kind: Kind::Close, stream: id });
        }
        stream.receiving = Receiving::Finished;
        if stream.handle != Handle::Released {
            self.raise(slot, event::READABLE);
        }
        self.settle(slot);
        Ok(())
    }
}
