//! What capnp-rpc's side of a vat and the task that moves its bytes have in common.

use std::cell::{Cell, RefCell, RefMut};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use capnp::message::{Builder, HeapAllocator};
use capnp::{Error, ErrorKind};
use capnp_rpc::rpc_capnp::exception;
use vatmux_driver::{Handle, Instant, Taker};

use crate::answers::{Answers, ReturnOrder};
use crate::call::CallContext;
use crate::guard::{self, Account, Exceeded, Guard, Orders, Overdue, Served, sent};
use crate::incoming::Incoming;
use crate::inlet::Inlet;
use crate::outbox::{self, Outbox, Outgoing, Weight};
use crate::outgoing::{self, Kind};
use crate::questions::{Asked, Expired, FinishOrder, QuarantineFull, Questions};
use crate::segments::Segments;
use crate::sight::{Outcome, Sight};
use crate::{Options, VatEnd, deadline};

pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) sight: Sight,
    handle: Handle,
    questions: RefCell<Questions>,
    answers: RefCell<Answers>,
    guard: RefCell<Guard>,
    outbox: RefCell<Outbox>,
    /// From the stream, in order, not judged yet: that is done when capnp-rpc takes them, one after the other, as the
    /// bounds want to know what became of those before.
    inlet: RefCell<Inlet>,
    /// A message that makes us reply, judged while too many replies wait.
    held_back: RefCell<Option<Incoming>>,
    /// The last message was answered by ourselves, while too many replies wait: no other is taken.
    waits_for_room: Cell<bool>,
    /// For capnp-rpc, before anything that arrived: answers that we gave, and what belongs to the last message.
    inbox: RefCell<VecDeque<Incoming>>,
    /// capnp-rpc, waiting for a message.
    receiver: RefCell<Option<Waker>>,
    /// The vat's task.
    task: RefCell<Option<Waker>>,
    /// True while the task runs: it looks at everything before it rests, and needs no waking.
    task_runs: Cell<bool>,
    end: RefCell<Option<VatEnd>>,
    /// Those who wait for the end.
    waiting: RefCell<Vec<Waker>>,
    shut_down: Cell<bool>,
    /// When the clock was last looked at on behalf of this vat.
    looked: Cell<Instant>,
}

/// What became of a received message.
enum Received {
    /// It is for capnp-rpc.
    Deliver(Incoming),
    /// It makes us reply: it is for capnp-rpc as soon as there is room for that.
    Call(Incoming),
    /// All is done, and what capnp-rpc gets of it is in the inbox.
    Handled,
}

impl Shared {
    pub(crate) fn new(options: Options, handle: Handle, sight: Sight) -> Rc<Self> {
        Rc::new(Self {
            questions: RefCell::new(Questions::new(options.max_expired_calls)),
            guard: RefCell::new(Guard::new(options.limits.clone())),
            inlet: RefCell::new(Inlet::new(&options)),
            options,
            sight,
            looked: Cell::new(handle.now()),
            handle,
            answers: RefCell::default(),
            outbox: RefCell::default(),
            held_back: RefCell::default(),
            waits_for_room: Cell::new(false),
            inbox: RefCell::default(),
            receiver: RefCell::default(),
            task: RefCell::default(),
            task_runs: Cell::new(false),
            end: RefCell::default(),
            waiting: RefCell::default(),
            shut_down: Cell::new(false),
        })
    }

    /// Shares the bounds of a peer with its other vats.
    pub(crate) fn join(&self, account: &Account) {
        self.sight.caller().join(account);
        self.guard.borrow_mut().join(account);
    }

    /// The vat is over, and capnp-rpc has let go of everything.
    pub(crate) fn forget_calls(&self) {
        self.guard.borrow_mut().forget_calls();
        self.forget_input();
        let _held_back = self.held_back.take();
    }

    /// Nobody will look at what came any more.
    pub(crate) fn forget_input(&self) {
        self.inlet.borrow_mut().clear();
    }

    /// capnp-rpc sends a message. It is queued, or answered here where it cannot be sent.
    pub(crate) fn send(&self, mut message: Builder<HeapAllocator>) -> Outgoing {
        let mut instead = None;
        let queue = match self.admit(&mut message, &mut instead) {
            Ok(queue) => queue,
            Err(error) => {
                self.end(VatEnd::Protocol(format!("an outgoing message could not be read: {error}")));
                None
            }
        };
        let message = Rc::new(message);
        if let Some(weight) = queue {
            // What capnp-rpc gets is its own: it reads the results again for the calls on them.
            self.queue(instead.map_or_else(|| message.clone(), Rc::new), weight);
        }
        message
    }

    fn queue(&self, message: Outgoing, weight: Weight) {
        let queued_bytes = {
            let mut outbox = self.outbox.borrow_mut();
            outbox.push(message, weight);
            outbox.queued_bytes()
        };
        let limit = self.options.send_queue_hard_bytes;
        if queued_bytes > limit {
            self.end(VatEnd::SendQueueFull { queued_bytes, limit });
        }
        self.wake_task();
    }

    /// Registers what a message means for the table of questions and translates its ids. None where it must
    /// not be sent. What the peer gets in its place, where that is another, is put into `instead`.
    fn admit(
        &self,
        message: &mut Builder<HeapAllocator>,
        instead: &mut Option<Builder<HeapAllocator>>,
    ) -> capnp::Result<Option<Weight>> {
        let plain = message.get_segments_for_output().first().and_then(|segment| guard::read_sent(segment));
        let is_plain = plain.is_some();
        let kind = match plain {
            Some(kind) => kind,
            None => outgoing::kind_of(message)?,
        };
        if let Some(end) = &*self.end.borrow()
            && !(kind == Kind::Abort && end.worth_an_abort())
        {
            return Ok(None);
        }
        let mut weight = Weight::Own;
        let mut guard = self.guard.borrow_mut();
        let kept = match kind {
            Kind::Question(id, asked) => {
                let caps = if is_plain { Vec::new() } else { sent::caps(message)? };
                if let Some(reason) = self.too_large(outbox::content_bytes(message)) {
                    self.questions.borrow_mut().refuse(id);
                    let now = self.look();
                    self.sight.asked(id, asked, now);
                    self.sight.answered(id, Outcome::Exception, now);
                    self.answer_locally(Incoming::failed_return(id, &reason));
                    // What it carried was never given away.
                    for id in caps.into_iter().filter_map(sent::Cap::export) {
                        self.answer_locally(Incoming::release(id, 1));
                    }
                    return Ok(None);
                }
                let patience = match asked {
                    Asked::Call { interface, method } => self.options.patience(interface, method),
                    Asked::Bootstrap => deadline::overridden().unwrap_or(self.options.call_deadline),
                };
                let position = self.outbox.borrow().position();
                let mut questions = self.questions.borrow_mut();
                let now = self.look();
                questions.ask(id, asked, now, patience, position);
                self.sight.asked(id, asked, now);
                guard.asked(questions.wire_id(id), &caps)
            }
            Kind::Finish(id) => {
                self.sight.finished(id, &self.handle);
                let order = self.questions.borrow_mut().finish(id);
                match order {
                    Ok(FinishOrder::Send(wire)) if wire.0 == id.0 => {}
                    Ok(FinishOrder::Send(wire)) => outgoing::address_finish(message, wire, false)?,
                    Ok(FinishOrder::SendReleasing(wire)) => outgoing::address_finish(message, wire, true)?,
                    Ok(FinishOrder::Drop) => return Ok(None),
                    Err(QuarantineFull) => {
                        self.end(VatEnd::TooManyExpired { limit: self.options.max_expired_calls });
                        return Ok(None);
                    }
                }
                return Ok(Some(Weight::Own));
            }
            Kind::Return { answer, needs_finish, outcome } => {
                weight = Weight::Reply;
                let bytes = outbox::content_bytes(message);
                let held_bytes = needs_finish.then_some(bytes);
                let too_large = self.too_large(bytes);
                match self.answers.borrow_mut().returned(answer, needs_finish, too_large.is_some()) {
                    ReturnOrder::Drop => {
                        guard.not_answered(answer);
                        return Ok(None);
                    }
                    ReturnOrder::Send(call) => {
                        let outcome = if too_large.is_some() { Outcome::Exception } else { outcome };
                        self.sight.returned(call, outcome, self.look());
                        let mut caps = Vec::new();
                        if let Some(reason) = too_large {
                            *instead = Some(outgoing::failed_return(call.0, &reason));
                        } else {
                            // capnp-rpc wants no Finish for results without capabilities.
                            if needs_finish && !is_plain {
                                caps = sent::caps(message)?;
                            }
                            if call.0 != answer.0 {
                                outgoing::address_return(message, call)?;
                            }
                        }
                        guard.answered(answer, held_bytes, &caps)
                    }
                }
            }
            Kind::Resolve { promise, resolution } => guard.resolved(promise, resolution),
            Kind::Release { id, count } => {
                guard.released(id, count);
                Ok(())
            }
            Kind::Embargo(id) => {
                weight = Weight::Reply;
                guard.embargoed(id, self.look() + self.options.call_deadline)
            }
            Kind::Reply => {
                weight = Weight::Reply;
                Ok(())
            }
            Kind::Abort => Ok(()),
        };
        drop(guard);
        if let Err(end) = kept {
            self.end(end);
            return Ok(None);
        }
        let questions = self.questions.borrow();
        if !questions.untranslated() {
            outgoing::translate(message, &questions)?;
        }
        Ok(Some(weight))
    }

    fn too_large(&self, bytes: usize) -> Option<String> {
        let limit = self.options.max_message_bytes;
        (bytes > limit)
            .then(|| format!("a message of {bytes} bytes is over the limit of {limit} and was not sent"))
    }

    /// What messages are read into.
    pub(crate) fn inlet(&self) -> RefMut<'_, Inlet> {
        self.inlet.borrow_mut()
    }

    /// capnp-rpc may take what has arrived.
    pub(crate) fn offer(&self) {
        if !self.inlet.borrow().is_empty() {
            self.wake_receiver();
        }
    }

    /// True where all that arrived is capnp-rpc's, and more is welcome.
    pub(crate) fn wants_more(&self) -> bool {
        self.inlet.borrow().is_empty() && (!self.is_held_up() || self.replies_have_room())
    }

    /// True where messages wait for replies to leave.
    pub(crate) fn is_held_up(&self) -> bool {
        self.waits_for_room.get() || self.held_back.borrow().is_some()
    }

    pub(crate) fn replies_have_room(&self) -> bool {
        self.outbox.borrow().reply_bytes() <= self.options.send_queue_soft_bytes
    }

    /// Replies have left.
    pub(crate) fn go_on(&self) {
        self.wake_receiver();
    }

    /// The next message for capnp-rpc, if there is one that it may have now.
    fn next_message(&self) -> Option<Incoming> {
        loop {
            let waiting = self.inbox.borrow_mut().pop_front();
            if waiting.is_some() || self.has_ended() {
                return waiting;
            }
            if self.is_held_up() {
                if !self.replies_have_room() {
                    return None;
                }
                self.waits_for_room.set(false);
                let held_back = self.held_back.take();
                if held_back.is_some() {
                    return held_back;
                }
            }
            let segments = self.inlet.borrow_mut().pop()?;
            match self.received(segments) {
                Received::Deliver(message) => return Some(message),
                Received::Call(message) if self.replies_have_room() => return Some(message),
                Received::Call(message) => *self.held_back.borrow_mut() = Some(message),
                Received::Handled => {}
            }
        }
    }

    /// The present, as far as it is known without a look at the clock.
    fn about_now(&self) -> Instant {
        self.looked.get().max(self.handle.pass_began())
    }

    /// When the clock was last looked at.
    pub(crate) fn looked(&self) -> Instant {
        self.looked.get()
    }

    /// The present, or when it was looked for since it was `before` that.
    pub(crate) fn look_unless_looked_since(&self, before: Instant) -> Instant {
        let looked = self.looked.get();
        if looked > before { looked } else { self.look() }
    }

    /// The present.
    pub(crate) fn look(&self) -> Instant {
        let now = self.handle.now();
        self.looked.set(now);
        now
    }

    /// Judges a message of the peer's.
    fn received(&self, segments: Segments) -> Received {
        let orders = self.guard.borrow_mut().received(
            segments,
            &mut self.questions.borrow_mut(),
            &mut self.answers.borrow_mut(),
            |interface, method| {
                let until = self.about_now() + self.options.served_patience(interface, method);
                Served { interface, method, until }
            },
        );
        let Orders { mut deliver, makes_reply, then, replies, seen, served, end } = match orders {
            Ok(orders) => orders,
            Err(end) => {
                self.end(end);
                return Received::Handled;
            }
        };
        if let Some(seen) = seen {
            let now = self.about_now();
            self.sight.saw(seen, now);
            if let Some(Served { interface, method, until }) = served {
                let caller = self.sight.caller().clone();
                let context = CallContext::new(caller, (interface, method), now, until);
                deliver = deliver.map(|message| message.of_call(context));
            }
        }
        let replied = !replies.is_empty();
        for reply in replies {
            self.queue(Rc::new(reply), Weight::Reply);
        }
        self.bound_canceled();
        if let Some(message) = deliver.take_if(|_| makes_reply) {
            return Received::Call(message);
        }
        for message in then {
            self.deliver(message);
        }
        if let Some(end) = end {
            self.end(end);
        }
        let waits_for_room = replied && !self.replies_have_room();
        self.waits_for_room.set(waits_for_room);
        deliver.map_or(Received::Handled, Received::Deliver)
    }

    fn bound_canceled(&self) {
        let limit = self.options.max_canceled_calls;
        if self.answers.borrow().spent() > limit {
            self.end(VatEnd::TooManyCanceled { limit });
        }
    }

    /// Cancels every call of the peer's that is served for as long as it may be, and tells the peer. capnp-rpc must have
    /// got them all: no call is held back.
    pub(crate) fn give_up_overdue(&self) {
        let now = self.handle.now();
        let overdue = self.guard.borrow_mut().take_overdue(now, &mut self.answers.borrow_mut());
        for Overdue { call, answer, served: Served { interface, method, .. } } in overdue {
            self.sight.returned(call, Outcome::Deadline, now);
            let patience = self.options.served_patience(interface, method);
            let reason = deadline::reason(
                patience,
                &self.sight.method(interface, method).to_string(),
                self.sight.service(),
            );
            let refusal = outgoing::refusal(call, exception::Type::Failed, &reason);
            self.queue(Rc::new(refusal), Weight::Reply);
            self.deliver(Incoming::finish(answer, true));
        }
        self.bound_canceled();
    }

    /// When a call of the peer's may be overdue next.
    pub(crate) fn next_overdue(&self) -> Option<Instant> {
        self.guard.borrow().next_overdue()
    }

    /// Hands a message to capnp-rpc.
    pub(crate) fn deliver(&self, message: Incoming) {
        self.inbox.borrow_mut().push_back(message);
        self.wake_receiver();
    }

    /// Answers every question whose deadline has come, and ends the vat where an embargo's has.
    pub(crate) fn expire(&self) {
        let now = self.handle.now();
        let embargo = self.guard.borrow().next_deadline();
        if embargo.is_some_and(|until| until <= now) {
            self.end(Exceeded::EmbargoStalled(self.options.call_deadline).into());
        }
        let mut end = None;
        loop {
            let expired = self.questions.borrow_mut().take_expired(now);
            let Some(Expired { id, asked, patience }) = expired else { break };
            self.sight.answered(id, Outcome::Deadline, now);
            let what = match asked {
                Asked::Bootstrap => {
                    end = Some(VatEnd::BootstrapLate(patience));
                    "the request for the bootstrap capability".to_owned()
                }
                Asked::Call { interface, method } => self.sight.method(interface, method).to_string(),
            };
            let reason = deadline::reason(patience, &what, self.sight.service());
            self.deliver(Incoming::failed_return(id, &reason));
        }
        if let Some(end) = end {
            self.end(end);
        }
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        let question = self.questions.borrow().next_deadline();
        let embargo = self.guard.borrow().next_deadline();
        question.into_iter().chain(embargo).min()
    }

    fn answer_locally(&self, message: Incoming) {
        self.deliver(message);
        self.wake_task();
    }

    /// Waits for a message: what capnp-rpc's message loop does all the time.
    pub(crate) fn poll_receive(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<capnp::Result<Option<Box<dyn capnp_rpc::IncomingMessage>>>> {
        if let Some(message) = self.next_message() {
            return Poll::Ready(Ok(Some(Box::new(message))));
        }
        // What has an answer has it by now; what has none was not sent, nor is what follows.
        if let Some(end) = &*self.end.borrow() {
            return Poll::Ready(Err(end.to_undelivered(self.sight.service())));
        }
        *self.receiver.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }

    /// capnp-rpc has failed everything that was under way and wants the stream closed. `result` says why, and
    /// is what a peer's violation of the protocol is known by.
    pub(crate) fn shut_down(&self, result: capnp::Result<()>) {
        // The Abort that says why is in the queue by now: nothing is thrown away.
        self.record_end(match result {
            Ok(()) => VatEnd::EndedHere,
            Err(error) => guard::end_of(&error),
        });
        self.shut_down.set(true);
        self.wake_task();
    }

    pub(crate) fn is_shut_down(&self) -> bool {
        self.shut_down.get()
    }

    /// Ends the vat. The first reason counts. Nothing that the peer has not begun to get leaves any more, except
    /// where the end is this side's own wish.
    pub(crate) fn end(&self, end: VatEnd) {
        if self.end.borrow().is_none() {
            let (left_bytes, dropped) = if matches!(end, VatEnd::EndedHere | VatEnd::Closed(_)) {
                (u64::MAX, None)
            } else {
                let mut outbox = self.outbox.borrow_mut();
                (outbox.popped_bytes(), Some(outbox.take_all()))
            };
            self.fail_sent(&end, left_bytes);
            self.record_end(end);
            drop(dropped);
        }
    }

    /// Answers the calls that the peer may have got, each by itself: for all others there is one error.
    fn fail_sent(&self, end: &VatEnd, left_bytes: u64) {
        let Error { kind: ErrorKind::Disconnected, extra: reason } = end.to_error(self.sight.service())
        else {
            return;
        };
        for id in self.questions.borrow_mut().take_sent(left_bytes) {
            self.deliver(Incoming::exception(id, exception::Type::Disconnected, &reason));
        }
    }

    fn record_end(&self, end: VatEnd) {
        if self.end.borrow().is_some() {
            return;
        }
        self.sight.ended(&end, self.handle.now());
        *self.end.borrow_mut() = Some(end);
        let waiting = std::mem::take(&mut *self.waiting.borrow_mut());
        waiting.into_iter().for_each(Waker::wake);
        self.wake_receiver();
        self.wake_task();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.end.borrow().is_some()
    }

    pub(crate) fn ended(&self) -> Option<VatEnd> {
        self.end.borrow().clone()
    }

    pub(crate) async fn wait_for_end(&self) -> VatEnd {
        poll_fn(|cx| {
            if let Some(end) = self.ended() {
                return Poll::Ready(end);
            }
            let mut waiting = self.waiting.borrow_mut();
            if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                waiting.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await
    }

    pub(crate) fn outbox(&self) -> &RefCell<Outbox> {
        &self.outbox
    }

    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The vat's task begins to run.
    pub(crate) fn task_begins(&self, cx: &Context<'_>) {
        self.task_runs.set(true);
        let mut task = self.task.borrow_mut();
        match &mut *task {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *task = Some(cx.waker().clone()),
        }
    }

    pub(crate) fn task_rests(&self) {
        self.task_runs.set(false);
    }

    fn wake_task(&self) {
        if !self.task_runs.get()
            && let Some(task) = &*self.task.borrow()
        {
            task.wake_by_ref();
        }
    }

    fn wake_receiver(&self) {
        let receiver = self.receiver.borrow_mut().take();
        if let Some(receiver) = receiver {
            receiver.wake();
        }
    }
}

/// Messages are put together where the session opens its records, while few enough of them wait.
impl Taker for Shared {
    fn take(&self, payload: &[u8]) -> usize {
        if self.has_ended() {
            return 0;
        }
        let mut inlet = self.inlet.borrow_mut();
        let taken = inlet.take(payload);
        let is_over = inlet.is_over();
        drop(inlet);
        self.offer();
        if is_over {
            self.wake_task();
        }
        taken
    }
}
