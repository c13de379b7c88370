//! What the application does with streams. Wrong use is a typed error that changes nothing.

use super::{
    AcceptError, ConsumeError, FinishError, OpenError, ReadError, Session, UnknownStream, WriteError,
};
use crate::code::ResetCode;
use crate::id::StreamId;
use crate::name::{Priority, StreamName};
use crate::ring::Ring;
use crate::storage::Storage;
use crate::stream::{Handle, Receiving, Reset, Sending, Writer, control, event};

impl<S: Storage> Session<S> {
    /// Opens a stream. It can be written to at once, within the credit that the peer's hello gave;
    /// [`Event::Opened`](super::Event::Opened) follows when the peer's application takes it.
    pub fn open(&mut self, name: &StreamName, priority: Priority) -> Result<StreamId, OpenError> {
        if let Some(end) = self.end {
            return Err(OpenError::Ended(end));
        }
        let id = self.next_id.ok_or(OpenError::IdsExhausted)?;
        if self.outgoing.open >= self.peer.max_streams {
            return Err(OpenError::PeerLimit { maximum: self.peer.max_streams });
        }
        if self.outgoing.slots >= self.limits.max_outgoing_streams {
            return Err(OpenError::LocalLimit);
        }
        let slot = self.occupy(id, name.clone(), priority, Handle::Held).ok_or(OpenError::LocalLimit)?;
        self.next_id = id.get().checked_add(2).and_then(StreamId::new);
        self.recent = slot;
        self.queue_control(slot, control::OPEN);
        self.statistics.streams_opened += 1;
        Ok(id)
    }

    /// Takes a stream that the peer opened, and tells it so. Succeeds when the peer has reset the stream meanwhile:
    /// the first read or write says so.
    pub fn accept(&mut self, id: StreamId) -> Result<(), AcceptError> {
        let slot = self.offered(id)?;
        self.unaccepted -= 1;
        let stream = self.slot_mut(slot);
        stream.handle = Handle::Held;
        stream.acknowledged = true;
        if stream.reset == Reset::No {
            self.queue_control(slot, control::OPEN_ACK);
        }
        Ok(())
    }

    /// Turns away a stream that the peer opened. It is gone for the application.
    ///
    /// Refusals are charged to [`Limits::reset_budget`](crate::Limits::reset_budget), so a peer that goes on opening
    /// what is refused ends the session.
    pub fn refuse(&mut self, id: StreamId, code: ResetCode) -> Result<(), AcceptError> {
        let slot = self.offered(id)?;
        self.unaccepted -= 1;
        self.let_go(slot, code);
        Ok(())
    }

    fn offered(&mut self, id: StreamId) -> Result<u16, AcceptError> {
        let slot = self.find_mut(id).ok_or(AcceptError::Unknown)?;
        match self.slot(slot).handle {
            Handle::Offered => Ok(slot),
            Handle::Unseen | Handle::Held => Err(AcceptError::NotOffered),
            Handle::Released => Err(AcceptError::Unknown),
        }
    }

    /// Buffers as many of `bytes` as there is room for, and says how many: at least one, unless `bytes` is empty.
    pub fn write(&mut self, id: StreamId, bytes: &[u8]) -> Result<usize, WriteError> {
        let slot = self.writable_slot(id)?;
        let now = self.now;
        let limit = self.limits.send_buffer_bytes as usize;
        let stream = self.slot_mut(slot);
        if stream.writer == Writer::Supplied {
            return Err(WriteError::Supplied);
        }
        if bytes.is_empty() {
            return Ok(0);
        }
        let written = stream.send.push(bytes, limit);
        if written == 0 {
            stream.writer = Writer::Blocked;
            return Err(WriteError::Blocked);
        }
        stream.active_at = now.0 as u32;
        self.holds_memory();
        self.schedule(slot);
        Ok(written)
    }

    /// Tells that the [`Source`](super::Source) of [`transmit_to`](Self::transmit_to) has bytes for the stream: they are
    /// asked for whenever the stream's turn comes, behind what was written before, until the source has none. Meanwhile
    /// nothing can be written. Does nothing on a stream that is supplied already.
    pub fn supply(&mut self, id: StreamId) -> Result<(), WriteError> {
        let slot = self.writable_slot(id)?;
        self.slot_mut(slot).writer = Writer::Supplied;
        self.schedule(slot);
        Ok(())
    }

    /// The slot of a stream on which the application may send.
    #[inline]
    pub(super) fn writable_slot(&mut self, id: StreamId) -> Result<u16, WriteError> {
        let slot = self.find_mut(id).ok_or(WriteError::Unknown)?;
        let stream = self.slot(slot);
        match stream.handle {
            Handle::Held => {}
            Handle::Offered => return Err(WriteError::NotAccepted),
            Handle::Unseen | Handle::Released => return Err(WriteError::Unknown),
        }
        if let Some(code) = stream.reset_code() {
            return Err(WriteError::Reset(code));
        }
        if stream.sending != Sending::Open {
            return Err(WriteError::Finished);
        }
        self.end.map_or(Ok(slot), |end| Err(WriteError::Ended(end)))
    }

    /// Finishes our direction: CLOSE follows what is buffered and supplied. The peer's direction stays as it is.
    pub fn finish(&mut self, id: StreamId) -> Result<(), FinishError> {
        let slot = self.find_mut(id).ok_or(FinishError::Unknown)?;
        let end = self.end;
        let stream = self.slot_mut(slot);
        match stream.handle {
            Handle::Held => {}
            Handle::Offered => return Err(FinishError::NotAccepted),
            Handle::Unseen | Handle::Released => return Err(FinishError::Unknown),
        }
        if let Some(code) = stream.reset_code() {
            return Err(FinishError::Reset(code));
        }
        if stream.sending != Sending::Open {
            return Err(FinishError::Finished);
        }
        if let Some(end) = end {
            return Err(FinishError::Ended(end));
        }
        stream.sending = Sending::Finishing;
        if !stream.has_output() {
            self.queue_control(slot, control::CLOSE);
        }
        Ok(())
    }

    /// What has arrived and is not consumed, in order; never empty. The second slice is empty unless the ring wraps.
    pub fn readable(&self, id: StreamId) -> Result<(&[u8], &[u8]), ReadError> {
        let stream = self.slot(self.find(id).ok_or(ReadError::Unknown)?);
        match stream.handle {
            Handle::Held => {}
            Handle::Offered => return Err(ReadError::NotAccepted),
            Handle::Unseen | Handle::Released => return Err(ReadError::Unknown),
        }
        if !stream.receive.is_empty() {
            return Ok(stream.receive.slices());
        }
        match (stream.reset, stream.receiving) {
            (Reset::Queued(code) | Reset::Sent(code), _) | (Reset::Received(code), Receiving::Open) => {
                Err(ReadError::Reset(code))
            }
            (Reset::No | Reset::Received(_), Receiving::Finished) => Err(ReadError::Finished),
            (Reset::No, Receiving::Open) => Err(self.end.map_or(ReadError::Blocked, ReadError::Ended)),
        }
    }

    /// Drops the first `bytes` of what is [`readable`](Self::readable), which earns the peer new credit.
    pub fn consume(&mut self, id: StreamId, bytes: usize) -> Result<(), ConsumeError> {
        let slot = self.find_mut(id).ok_or(ConsumeError::Unknown)?;
        let now = self.now;
        let stream = self.slot_mut(slot);
        if stream.handle != Handle::Held {
            return Err(ConsumeError::Unknown);
        }
        let readable = stream.receive.len();
        if bytes > readable {
            return Err(ConsumeError::Beyond { readable });
        }
        stream.receive.consume(bytes);
        stream.owed += bytes as u32;
        stream.active_at = now.0 as u32;
        self.budgets.consumed(bytes as u32);
        self.grant(slot);
        Ok(())
    }

    /// Grants credit once half a window is owed, and lets the window grow.
    pub(super) fn grant(&mut self, slot: u16) {
        let stream = &mut self.storage.slots_mut()[usize::from(slot)];
        let due = stream.owed >= (stream.window / 2).max(1);
        if !due || stream.receiving == Receiving::Finished || stream.reset != Reset::No || self.end.is_some()
        {
            return;
        }
        if stream.handle == Handle::Held {
            let increase = self.growth.grow(&mut stream.round, stream.window, stream.receive.len() as u32);
            stream.window += increase;
            stream.owed += increase;
            self.statistics.windows_grown += u64::from(increase > 0);
            if !self.keepalive.is_waiting() && self.growth.wants_round(stream.window) {
                self.keepalive.ping();
            }
        }
        self.queue_control(slot, control::WINDOW_UPDATE);
    }

    /// Ends both directions of a stream at once. What is buffered is dropped, here and at the peer; what the peer had
    /// received in full, CLOSE included, it can still read. Does nothing when the stream is over already. The stream
    /// must still be released.
    pub fn reset(&mut self, id: StreamId, code: ResetCode) -> Result<(), UnknownStream> {
        let slot = self.find_mut(id).ok_or(UnknownStream)?;
        match self.slot(slot).handle {
            Handle::Held | Handle::Offered => {}
            Handle::Unseen | Handle::Released => return Err(UnknownStream),
        }
        // A flood that this makes the session see has ended the session: that is where it is told.
        let _ = self.reset_slot(slot, code);
        self.settle(slot);
        Ok(())
    }

    /// The application will not come back to this stream: its id is unknown from now on.
    ///
    /// A stream that we have not finished is reset as [`ResetCode::CANCELLED`]. Where we have, what is buffered or supplied
    /// and CLOSE are still delivered, and the stream counts against the limits until then; where the peer has not, what it
    /// sends is dropped, and it is told by RST after our CLOSE. Does nothing on a stream that is unknown.
    pub fn release(&mut self, id: StreamId) {
        let Some(slot) = self.find_mut(id) else { return };
        match self.slot(slot).handle {
            Handle::Offered => self.unaccepted -= 1,
            Handle::Held => {}
            Handle::Unseen | Handle::Released => return,
        }
        self.let_go(slot, ResetCode::CANCELLED);
    }

    pub(super) fn let_go(&mut self, slot: u16, code: ResetCode) {
        self.eventful.remove(self.storage.slots_mut(), slot);
        let ended = self.end.is_some();
        let stream = self.slot_mut(slot);
        stream.events = 0;
        if stream.writer == Writer::Blocked {
            stream.writer = Writer::Free;
        }
        stream.handle = Handle::Released;
        if ended {
            self.forget(slot);
            return;
        }
        match (stream.sending, stream.receiving) {
            (Sending::Finishing, _) => {
                self.drop_input(slot);
                self.grant(slot);
            }
            (Sending::Open, _) | (Sending::Finished, Receiving::Open) => {
                let _ = self.reset_slot(slot, code);
            }
            (Sending::Finished, Receiving::Finished) => {}
        }
        self.settle(slot);
    }

    /// The name that a stream was opened with, until it is released.
    #[must_use]
    pub fn name(&self, id: StreamId) -> Option<&StreamName> {
        let stream = self.slot(self.find(id)?);
        (stream.handle != Handle::Released).then_some(&stream.name)
    }

    /// The priority that a stream was opened with, until it is released.
    #[must_use]
    pub fn priority(&self, id: StreamId) -> Option<Priority> {
        let stream = self.slot(self.find(id)?);
        (stream.handle != Handle::Released).then_some(stream.priority)
    }

    /// Room has become free in the send buffer.
    pub(super) fn writable(&mut self, slot: u16) {
        let stream = self.slot_mut(slot);
        if stream.writer == Writer::Blocked {
            stream.writer = Writer::Free;
            self.raise(slot, event::WRITABLE);
        }
    }
}
