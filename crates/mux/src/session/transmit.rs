//! Bytes for the link: control first, then DATA by the scheduler, pulled from the rings as late as possible.

use super::lending::{Output, Rings, Source};
use super::{Session, WriteError};
use crate::code::ResetCode;
use crate::id::StreamId;
use crate::list::{List, READY};
use crate::ring::Ring;
use crate::storage::Storage;
use crate::stream::{Handle, Receiving, Reset, Sending, Writer, control};
use crate::wire::{Frame, HEADER_BYTES, Header, Kind, MAX_CONTROL_BYTES, MAX_DATA_BYTES};

/// The shortest output in bytes that [`Session::transmit`] can always make progress with: the longest control frame.
pub const MIN_TRANSMIT_BYTES: usize = HEADER_BYTES + MAX_CONTROL_BYTES;

/// A DATA frame shorter than this is not squeezed into the end of an output when more is ready to go.
const MIN_SPLIT_BYTES: usize = 512;

/// Half a window of fewer bytes than this is not worth an output of its own.
const MIN_HALF_BYTES: u32 = 16 * 1024;

/// What one call of [`Session::transmit_to`] writes.
struct Batch<'a, O> {
    output: &'a mut O,
    written: usize,
    /// The priority level of the DATA in it.
    level: Option<usize>,
}

impl<O: Output> Batch<'_, O> {
    fn put(&mut self, bytes: &[u8]) {
        self.output.put(bytes);
        self.written += bytes.len();
    }

    /// Writes the first `bytes` of two pieces, or all that they are.
    fn put_both(&mut self, one: &[u8], other: &[u8], bytes: usize) {
        let straight = one.len().min(bytes);
        self.put(&one[..straight]);
        let rest = other.len().min(bytes - straight);
        if rest > 0 {
            self.put(&other[..rest]);
        }
    }

    /// Writes a whole control frame; false when there is no room for it.
    fn frame(&mut self, frame: &Frame<'_>) -> bool {
        let mut bytes = [0; MIN_TRANSMIT_BYTES];
        let length = frame.emit(&mut bytes).filter(|length| *length <= self.output.room());
        if let Some(length) = length {
            self.put(&bytes[..length]);
        }
        length.is_some()
    }
}

/// What became of a [`write_through`](Session::write_through).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// So many of its bytes are in the output: at least one, unless it had none.
    Sent(usize),
    /// It is the stream's turn, but the output is full. [Write](Session::write) ahead, or wait for the next output.
    Full,
    /// Something else is to be sent first, or the stream has no credit. What is [written](Session::write) takes its
    /// place in the schedule; a writer that waits has none.
    Waits,
}

/// The bytes of one write, for the one stream that is supplied.
struct OneWrite<'a> {
    bytes: &'a [u8],
    sent: usize,
}

impl Source for OneWrite<'_> {
    fn lend(&mut self, _: StreamId) -> (&[u8], &[u8]) {
        (&self.bytes[self.sent..], &[])
    }

    fn sent(&mut self, _: StreamId, bytes: usize) -> bool {
        self.sent += bytes;
        self.sent < self.bytes.len()
    }
}

impl<S: Storage> Session<S> {
    /// Whether [`transmit`](Self::transmit) has something to send.
    #[must_use]
    pub fn wants_transmit(&self) -> bool {
        if self.end.is_some() {
            return self.close.is_some();
        }
        self.pong.is_some()
            || self.keepalive.queued().is_some()
            || !self.storage.refusals().is_empty()
            || !self.control.is_empty()
            || !self.scheduler.is_empty()
    }

    /// Fills `output` with whole frames and returns how many bytes it wrote; 0 when there is nothing to send, or when
    /// the next frame needs more room than `output` has, which [`MIN_TRANSMIT_BYTES`] rules out.
    ///
    /// Everything but DATA goes first. Give it as much room as the link takes at once, such as a whole record: DATA is
    /// chosen when it leaves, so what waits in front of it is only what the caller has taken. One output carries DATA of
    /// one priority: an urgent answer is not held up by the sealing, sending and opening of bulk that shares its record.
    pub fn transmit(&mut self, mut output: &mut [u8]) -> usize {
        self.transmit_to(&mut output, &mut Rings)
    }

    /// [`transmit`](Self::transmit) into whatever `output` is, with the DATA of [supplied](Self::supply) streams from
    /// `source`.
    pub fn transmit_to(&mut self, output: &mut impl Output, source: &mut impl Source) -> usize {
        let mut batch = Batch { output, written: 0, level: None };
        if let Some(code) = self.close
            && batch.frame(&Frame::CloseSession(code))
        {
            self.close = None;
            self.statistics.frames_sent += 1;
        }
        if self.end.is_none() {
            while self.transmit_control(&mut batch) && self.transmit_data(&mut batch, source) {}
            if batch.written > 0 {
                self.keepalive.sent(self.now);
            }
        }
        batch.written
    }

    /// [`write`](Self::write), straight into `output` instead of the send buffer, while no other stream waits to be sent.
    ///
    /// What goes into `output` is what [`transmit`](Self::transmit) would put there, in whole frames: what was written
    /// on the stream before, and behind it as much of `bytes` as there is room and credit for. Where that is nothing,
    /// the [`Passage`] says what a writer can do instead.
    pub fn write_through(
        &mut self,
        id: StreamId,
        bytes: &[u8],
        output: &mut impl Output,
    ) -> Result<Passage, WriteError> {
        let slot = self.writable_slot(id)?;
        let stream = self.slot(slot);
        if stream.writer == Writer::Supplied {
            return Err(WriteError::Supplied);
        }
        if bytes.is_empty() {
            return Ok(Passage::Sent(0));
        }
        let turn = self.control.is_empty() && self.scheduler.has_no_other(slot);
        if !turn || stream.send_credit == 0 {
            return Ok(Passage::Waits);
        }
        self.slot_mut(slot).writer = Writer::Supplied;
        self.schedule(slot);
        let mut writer = OneWrite { bytes, sent: 0 };
        self.transmit_to(output, &mut writer);
        let slots = self.storage.slots_mut();
        let stream = &mut slots[usize::from(slot)];
        stream.writer = Writer::Free;
        let has_credit = stream.send_credit > 0;
        if !stream.is_ready() && List::<READY>::contains(slots, slot) {
            self.scheduler.remove(slots, slot);
        }
        Ok(match writer.sent {
            0 if has_credit => Passage::Full,
            0 => Passage::Waits,
            sent => Passage::Sent(sent),
        })
    }

    /// How long the next output of [`transmit`](Self::transmit) should be at most, in bytes, where an output is opened as a
    /// whole by the peer: [`output_bytes_for`](Self::output_bytes_for) the stream whose turn it is, without a bound where
    /// others are ready as well.
    #[must_use]
    pub fn output_bytes(&self) -> usize {
        match self.scheduler.next() {
            Some((slot, _)) if self.scheduler.has_no_other(slot) => self.output_bytes_at(slot),
            _ => usize::MAX,
        }
    }

    /// How long an output should be at most, in bytes, that carries DATA of this stream alone.
    ///
    /// That is about half a window where the peer gives little credit: it can read the one half and grant it anew while
    /// the other is under way. With all of the credit in one output, both ends would sleep in turn.
    #[must_use]
    pub fn output_bytes_for(&self, id: StreamId) -> usize {
        self.find(id).map_or(usize::MAX, |slot| self.output_bytes_at(slot))
    }

    fn output_bytes_at(&self, slot: u16) -> usize {
        let (window, half) = (self.peer.initial_window_bytes, self.peer.initial_window_bytes / 2);
        if self.slot(slot).send_credit > window || half < MIN_HALF_BYTES {
            return usize::MAX;
        }
        // Headers come on top, and what is left then is too short for one more frame.
        half as usize + MIN_SPLIT_BYTES - 1
    }

    /// Writes everything but DATA; false when the room ended before.
    fn transmit_control(&mut self, output: &mut Batch<'_, impl Output>) -> bool {
        if let Some(nonce) = self.pong {
            if !output.frame(&Frame::Pong(nonce)) {
                return false;
            }
            self.pong = None;
            self.statistics.frames_sent += 1;
        }
        if let Some(nonce) = self.keepalive.queued() {
            if !output.frame(&Frame::Ping(nonce)) {
                return false;
            }
            self.keepalive.ping_sent();
            self.statistics.frames_sent += 1;
        }
        while let Some((refusal, rest)) = self.storage.refusals().split_last() {
            if !output.frame(&Frame::Reset { stream: refusal.id, code: refusal.code }) {
                return false;
            }
            let last = rest.len();
            self.storage.swap_remove_refusal(last);
            self.incoming.open -= 1;
            self.statistics.frames_sent += 1;
            self.statistics.resets_sent += 1;
        }
        while let Some(slot) = self.control.front() {
            if !self.transmit_stream_control(slot, output) {
                return false;
            }
        }
        true
    }

    /// Writes one control frame of a stream, and takes it off the list after its last; false when there is no room.
    fn transmit_stream_control(&mut self, slot: u16, output: &mut Batch<'_, impl Output>) -> bool {
        let stream = self.slot(slot);
        let frame_bit = stream.control & stream.control.wrapping_neg();
        let Some(id) = StreamId::new(stream.id).filter(|_| frame_bit != 0) else {
            self.control.remove(self.storage.slots_mut(), slot);
            return true;
        };
        let frame = match frame_bit {
            control::OPEN => {
                Some(Frame::Open { stream: id, priority: stream.priority, name: stream.name.clone() })
            }
            control::OPEN_ACK => Some(Frame::OpenAck { stream: id }),
            control::WINDOW_UPDATE if stream.owed > 0 && stream.receiving == Receiving::Open => {
                Some(Frame::WindowUpdate { stream: id, increment: stream.owed })
            }
            control::CLOSE => Some(Frame::Close { stream: id }),
            control::RESET => stream.reset_code().map(|code| Frame::Reset { stream: id, code }),
            // Credit for a direction that has ended since.
            _ => None,
        };
        if frame.as_ref().is_some_and(|frame| !output.frame(frame)) {
            return false;
        }
        let slots = self.storage.slots_mut();
        let stream = &mut slots[usize::from(slot)];
        stream.control &= !frame_bit;
        if stream.control == 0 {
            self.control.remove(slots, slot);
        }
        if frame.is_some() {
            self.statistics.frames_sent += 1;
            self.control_sent(slot, frame_bit);
        }
        true
    }

    fn control_sent(&mut self, slot: u16, frame_bit: u8) {
        let stream = self.slot_mut(slot);
        match frame_bit {
            control::OPEN => self.schedule(slot),
            control::WINDOW_UPDATE => {
                stream.outstanding += stream.owed;
                stream.owed = 0;
            }
            control::CLOSE => {
                stream.sending = Sending::Finished;
                if stream.handle == Handle::Released && stream.receiving == Receiving::Open {
                    // Nobody will read what the peer still has to say. A flood shows as the session's end.
                    let _ = self.reset_slot(slot, ResetCode::CANCELLED);
                }
                self.settle(slot);
            }
            control::RESET => {
                if let Reset::Queued(code) = stream.reset {
                    stream.reset = Reset::Sent(code);
                }
                self.statistics.resets_sent += 1;
                self.settle(slot);
            }
            _ => {}
        }
    }

    /// Serves the stream whose turn it is, with one DATA frame (what was written, and behind it what is lent) or, when its
    /// source is dry, by taking it off the schedule; false when there is none, or no room worth using.
    fn transmit_data(&mut self, batch: &mut Batch<'_, impl Output>, source: &mut impl Source) -> bool {
        let Some((slot, owed)) = self.scheduler.next() else { return false };
        let slots = self.storage.slots_mut();
        let stream = &mut slots[usize::from(slot)];
        let Some(id) = StreamId::new(stream.id) else { return false };
        if batch.level.is_some_and(|level| level != stream.level()) {
            return false;
        }
        let (front, back) = stream.send.slices();
        let buffered = front.len() + back.len();
        let most = (stream.send_credit as usize).min(MAX_DATA_BYTES);
        let asks = stream.writer == Writer::Supplied && buffered < most;
        let (first, second) = if asks { source.lend(id) } else { (&[][..], &[][..]) };
        let at_hand = buffered + first.len() + second.len();
        let ready = at_hand.min(most);
        let length = ready.min(batch.output.room().saturating_sub(HEADER_BYTES));
        if at_hand > 0 && (length == 0 || (length < ready && length < MIN_SPLIT_BYTES && batch.written > 0)) {
            return false;
        }
        if length > 0 {
            batch.level = Some(stream.level());
            batch.put(&Header { kind: Kind::Data, length: length as u16, stream: Some(id) }.emit());
            let (one, other) = if buffered == 0 { (first, second) } else { (front, back) };
            batch.put_both(one, other, length);
            if buffered > 0 && length > buffered {
                batch.put_both(first, second, length - buffered);
            }
        }

        let is_dry = asks && first.len() + second.len() == 0;
        let lent = length.saturating_sub(buffered);
        if is_dry || lent > 0 && !source.sent(id, lent) {
            stream.writer = Writer::Free;
        }
        stream.send.consume(length.min(buffered));
        stream.send_credit -= length as u32;
        stream.sent_bytes += length as u64;
        let (stays_ready, drained) = (stream.is_ready(), !stream.has_output());
        let finishes = drained && stream.sending == Sending::Finishing;
        let blocked = stream.writer == Writer::Blocked;
        if stays_ready {
            self.scheduler.served(slots, slot, length as u32);
        } else {
            self.scheduler.served_last(slots, slot, length as u32);
        }
        if length > 0 {
            self.budgets.sent(length as u32);
            self.statistics.frames_sent += 1;
            self.statistics.data_bytes_sent += length as u64;
            self.statistics.frames_owed += u64::from(owed);
        }
        if finishes {
            self.queue_control(slot, control::CLOSE);
        }
        if blocked {
            self.writable(slot);
        }
        true
    }
}
