//! The engine: one end of a session.

mod application;
mod clock;
mod errors;
mod exclusive;
mod lending;
mod receive;
mod statistics;
#[cfg(test)]
mod tests;
mod transmit;

pub use self::errors::{
    AcceptError, ConsumeError, End, Event, FinishError, OpenError, ReadError, UnknownStream, WriteError,
};
pub use self::lending::{Output, Sink, Source};
use self::receive::Decoder;
pub use self::statistics::{SessionStatistics, StreamStatistics};
pub use self::transmit::{MIN_TRANSMIT_BYTES, Passage};
use crate::budget::{BudgetKind, Budgets};
use crate::code::{CloseCode, ResetCode};
use crate::growth::{Growth, Round};
use crate::hello::Hello;
use crate::id::{Role, StreamId, Ticks};
use crate::keepalive::Keepalive;
use crate::limits::{Limits, LimitsError};
use crate::list::{CONTROL, EVENTS, List, NONE, READY};
use crate::name::{Priority, StreamName};
use crate::ring::Ring;
use crate::scheduler::Scheduler;
use crate::storage::{IndexEntry, Storage};
use crate::stream::{Handle, Receiving, Reset, Sending, Slot, Writer, control, event};
use crate::violation::Violation;

/// The streams that one end opened.
#[derive(Clone, Copy, Default)]
struct Census {
    /// Those with a slot.
    slots: u32,
    /// Those that count against the limit of the end that did not open them. Refused ones without a slot count until
    /// their RST is sent, as the end that opened them cannot know before.
    open: u32,
}

/// Where `id` is in an index, which is in ascending order. Ids are used up one after the other: where all streams since the
/// oldest are still there, the distance to it tells.
fn position(index: &[IndexEntry], id: StreamId) -> Option<usize> {
    let distance = id.get().checked_sub(index.first()?.id)? as usize / 2;
    if index.get(distance).is_some_and(|entry| entry.id == id.get()) {
        return Some(distance);
    }
    index.binary_search_by_key(&id.get(), |entry| entry.id).ok()
}

/// One end of a multiplexed session over a link that carries bytes in order.
///
/// See the [crate docs](crate) for the loop around it.
pub struct Session<S: Storage> {
    role: Role,
    limits: Limits,
    peer: Hello,
    storage: S,
    /// The latest time we were told.
    now: Ticks,
    end: Option<End>,
    /// A CLOSE of the session that waits to be sent.
    close: Option<CloseCode>,
    /// The application has not been told that the session ended.
    end_untold: bool,

    vacant: List<READY>,
    control: List<CONTROL>,
    eventful: List<EVENTS>,
    scheduler: Scheduler,
    incoming: Census,
    outgoing: Census,
    /// Incoming streams that the application has neither accepted nor refused.
    unaccepted: u32,
    /// The id of the next stream that we open; `None` when all are used.
    next_id: Option<StreamId>,
    /// The highest id that the peer has opened, 0 when none.
    highest_incoming: u32,
    /// The slot of the stream that was looked up last.
    recent: u16,

    decoder: Decoder,
    pong: Option<u64>,
    keepalive: Keepalive,
    growth: Growth,
    budgets: Budgets,
    /// Credit that streams had left when they went: DATA that the peer may have had under way.
    stray_credit_bytes: u64,
    /// When rings and slots were last looked through for idle memory; `None` when there is none to be given back.
    swept: Option<Ticks>,
    statistics: SessionStatistics,
}

impl<S: Storage> Session<S> {
    /// A session at its start: the handshake is done, `peer` is what the peer's hello said, and ours was
    /// [`limits.hello()`](Limits::hello).
    pub fn new(role: Role, limits: Limits, peer: Hello, storage: S, now: Ticks) -> Result<Self, LimitsError> {
        limits.check(&storage)?;
        Ok(Self {
            role,
            limits,
            peer,
            storage,
            now,
            end: None,
            close: None,
            end_untold: false,
            vacant: List::EMPTY,
            control: List::EMPTY,
            eventful: List::EMPTY,
            scheduler: Scheduler::new(limits.starvation_bytes),
            incoming: Census::default(),
            outgoing: Census::default(),
            unaccepted: 0,
            next_id: StreamId::new(role.first_id()),
            highest_incoming: 0,
            recent: NONE,
            decoder: Decoder::START,
            pong: None,
            keepalive: Keepalive::new(&limits, now),
            growth: Growth::new(&limits),
            budgets: Budgets::new(&limits),
            stray_credit_bytes: 0,
            swept: None,
            statistics: SessionStatistics::default(),
        })
    }

    /// Which end this is.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The bounds of this session.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What the peer's hello said.
    #[must_use]
    pub const fn peer(&self) -> &Hello {
        &self.peer
    }

    /// Why the session ended; `None` while it goes on.
    #[must_use]
    pub const fn end(&self) -> Option<End> {
        self.end
    }

    /// Whether no stream is left: none open, none with something still to be sent, none held by the application.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.incoming.slots == 0 && self.outgoing.slots == 0
    }

    /// Ends the session. CLOSE with `code` is the next and last thing to be transmitted: what streams have buffered is
    /// dropped, so finish them, and wait for the peer to finish its side, where it matters. What has arrived can still
    /// be read. Does nothing when the session has ended already.
    pub fn close(&mut self, code: CloseCode) {
        self.end_with(End::Closed(code), Some(code));
    }

    fn end_with(&mut self, end: End, close: Option<CloseCode>) {
        if self.end.is_some() {
            return;
        }
        self.end = Some(end);
        self.end_untold = true;
        self.close = close;
        // What was still to be delivered of streams that the application has let go of never will be.
        for slot in 0..self.storage.slots().len() as u16 {
            if self.slot(slot).handle == Handle::Released {
                self.forget(slot);
            }
        }
    }

    fn fail(&mut self, violation: Violation) -> Violation {
        self.end_with(End::Violation(violation), Some(violation.close_code()));
        violation
    }

    fn slot(&self, slot: u16) -> &Slot<S::Ring> {
        &self.storage.slots()[usize::from(slot)]
    }

    fn slot_mut(&mut self, slot: u16) -> &mut Slot<S::Ring> {
        &mut self.storage.slots_mut()[usize::from(slot)]
    }

    fn opener(&self, id: StreamId) -> Role {
        if self.role.opens(id) { self.role } else { self.role.peer() }
    }

    /// Whether `id` belongs to a stream that is or was.
    fn has_existed(&self, id: StreamId) -> bool {
        if self.role.opens(id) {
            self.next_id.is_none_or(|next| id < next)
        } else {
            id.get() <= self.highest_incoming
        }
    }

    fn find(&self, id: StreamId) -> Option<u16> {
        if self.storage.slots().get(usize::from(self.recent)).is_some_and(|slot| slot.id == id.get()) {
            return Some(self.recent);
        }
        let index = self.storage.index(self.opener(id));
        index.get(position(index, id)?).map(|entry| entry.slot)
    }

    fn find_mut(&mut self, id: StreamId) -> Option<u16> {
        let slot = self.find(id)?;
        self.recent = slot;
        Some(slot)
    }

    fn census(&mut self, opener: Role) -> &mut Census {
        if opener == self.role { &mut self.outgoing } else { &mut self.incoming }
    }

    /// Gives a stream a slot; `None` when the storage is full. `id` is above all others of its opener.
    fn occupy(&mut self, id: StreamId, name: StreamName, priority: Priority, handle: Handle) -> Option<u16> {
        let slot = match self.vacant.front() {
            Some(slot) => slot,
            None => self.storage.add_slot()?,
        };
        let opener = self.opener(id);
        if !self.storage.index_push(opener, IndexEntry { id: id.get(), slot }) {
            self.vacant.push_back(self.storage.slots_mut(), slot);
            return None;
        }
        self.vacant.remove(self.storage.slots_mut(), slot);
        let (send_credit, window) = (self.peer.initial_window_bytes, self.limits.initial_window_bytes);
        let active_at = self.now.0 as u32;
        let stream = self.slot_mut(slot);
        stream.id = id.get();
        stream.send_credit = send_credit;
        stream.window = window;
        stream.outstanding = window;
        stream.owed = 0;
        stream.control = 0;
        stream.events = 0;
        stream.priority = priority;
        stream.sending = Sending::Open;
        stream.receiving = Receiving::Open;
        stream.handle = handle;
        stream.acknowledged = false;
        stream.writer = Writer::Free;
        stream.settled = false;
        stream.reset = Reset::No;
        stream.round = Round::NONE;
        stream.active_at = active_at;
        stream.sent_bytes = 0;
        stream.received_bytes = 0;
        stream.name = name;
        let census = self.census(opener);
        census.slots += 1;
        census.open += 1;
        Some(slot)
    }

    /// Notes that the stream has frames to send.
    fn queue_control(&mut self, slot: u16, frames: u8) {
        let slots = self.storage.slots_mut();
        slots[usize::from(slot)].control |= frames;
        self.control.push_back(slots, slot);
    }

    /// Notes that the stream has events for the application.
    fn raise(&mut self, slot: u16, events: u8) {
        let slots = self.storage.slots_mut();
        slots[usize::from(slot)].events |= events;
        self.eventful.push_back(slots, slot);
    }

    /// Puts the stream into the scheduler when it has become ready.
    fn schedule(&mut self, slot: u16) {
        let slots = self.storage.slots_mut();
        if slots[usize::from(slot)].is_ready() && !List::<READY>::contains(slots, slot) {
            self.scheduler.insert(slots, slot);
        }
    }

    /// Nothing more is sent on the stream but what is queued from now on.
    fn drop_output(&mut self, slot: u16) {
        let slots = self.storage.slots_mut();
        if List::<READY>::contains(slots, slot) {
            self.scheduler.remove(slots, slot);
        }
        self.control.remove(slots, slot);
        let stream = &mut slots[usize::from(slot)];
        stream.control = 0;
        if stream.writer == Writer::Supplied {
            stream.writer = Writer::Free;
        }
        stream.send.release();
    }

    /// Nothing that has arrived on the stream, or is arriving, will be read: it is as good as consumed.
    fn drop_input(&mut self, slot: u16) {
        let arriving = self.decoder.skip_data_of(slot);
        let stream = self.slot_mut(slot);
        stream.owed += (stream.receive.len() + arriving) as u32;
        stream.receive.release();
    }

    /// Resets the stream for our own reasons. Nothing happens when it is over already.
    fn reset_slot(&mut self, slot: u16, code: ResetCode) -> Result<(), Violation> {
        let stream = self.slot(slot);
        if stream.reset != Reset::No || stream.is_over() {
            return Ok(());
        }
        let incoming = StreamId::new(stream.id).is_some_and(|id| !self.role.opens(id));
        let announced = stream.control & control::OPEN == 0;
        self.drop_output(slot);
        self.drop_input(slot);
        if announced {
            self.slot_mut(slot).reset = Reset::Queued(code);
            self.queue_control(slot, control::RESET);
        } else {
            self.slot_mut(slot).reset = Reset::Sent(code);
        }
        if incoming && !self.budgets.charge(BudgetKind::Resets) {
            return Err(self.fail(Violation::Flood(BudgetKind::Resets)));
        }
        Ok(())
    }

    /// Draws the consequences when a stream may have come to its end: it stops counting against the limits, and its
    /// slot becomes vacant once the application has let go as well.
    fn settle(&mut self, slot: u16) {
        let stream = self.slot(slot);
        let Some(id) = StreamId::new(stream.id) else { return };
        if !stream.is_over() {
            return;
        }
        let (settled, released) = (stream.settled, stream.handle == Handle::Released);
        let opener = self.opener(id);
        if !settled {
            self.slot_mut(slot).settled = true;
            self.census(opener).open -= 1;
        }
        if released {
            self.forget(slot);
        }
    }

    /// Frees the slot of a stream that neither the application nor, as far as we can know, the peer will name again.
    fn forget(&mut self, slot: u16) {
        let Some(id) = StreamId::new(self.slot(slot).id) else { return };
        self.drop_output(slot);
        self.drop_input(slot);
        let opener = self.opener(id);
        let stream = self.slot(slot);
        let clean = stream.reset == Reset::No;
        let stray = if stream.may_still_receive() { stream.outstanding } else { 0 };
        let grown = stream.window - self.limits.initial_window_bytes;
        self.budgets.stream_gone(clean);
        self.growth.give_back(grown);
        self.stray_credit_bytes = self.stray_credit_bytes.saturating_add(u64::from(stray));

        if let Some(position) = position(self.storage.index(opener), id) {
            self.storage.index_remove(opener, position);
        }
        let settled = self.slot(slot).settled;
        let census = self.census(opener);
        census.slots -= 1;
        census.open -= u32::from(!settled);
        let slots = self.storage.slots_mut();
        self.eventful.remove(slots, slot);
        slots[usize::from(slot)].vacate();
        self.vacant.push_back(slots, slot);
        self.holds_memory();
    }

    /// The next thing that happened, in order per stream; `None` when the application has been told everything.
    ///
    /// Events are hints, each a bit per stream: several arrivals make one [`Event::Readable`]. Nothing is lost when
    /// they are polled late, and nothing grows.
    pub fn poll_event(&mut self) -> Option<Event> {
        while let Some(slot) = self.eventful.front() {
            let slots = self.storage.slots_mut();
            let stream = &mut slots[usize::from(slot)];
            let bit = stream.events & stream.events.wrapping_neg();
            stream.events &= !bit;
            let event = StreamId::new(stream.id).and_then(|id| {
                Some(match bit {
                    event::INCOMING => {
                        stream.handle = Handle::Offered;
                        Event::Incoming { id, priority: stream.priority }
                    }
                    event::OPENED => Event::Opened(id),
                    event::READABLE => Event::Readable(id),
                    event::WRITABLE => Event::Writable(id),
                    event::RESET => Event::Reset(id, stream.reset_code()?),
                    _ => return None,
                })
            });
            if stream.events == 0 {
                self.eventful.remove(slots, slot);
            }
            if event.is_some() {
                return event;
            }
        }
        core::mem::take(&mut self.end_untold).then_some(Event::Ended)
    }
}
