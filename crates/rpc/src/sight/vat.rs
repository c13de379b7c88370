//! The calls of one vat, while they are open.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use tracing::{Level, Span, debug_span, field, level_enabled, trace_span};
use vatmux_driver::{Handle, Instant};
use vatmux_noise::NodeId;

use crate::VatEnd;
use crate::answers::PeerId;
use crate::by_id::ById;
use crate::call;
use crate::questions::{Asked, QuestionId};
use crate::service::{Descriptor, Method};
use crate::sight::{Caller, Meter, Outcome};

/// What a received message means for the calls that are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The peer calls.
    Call { id: PeerId, interface: u64, method: u16 },
    /// The peer calls, and is told at once that it comes to nothing.
    RefusedCall { interface: u64, method: u16, outcome: Outcome },
    /// The peer answers.
    Return { question: QuestionId, outcome: Outcome },
    /// The peer gives a call up.
    Canceled(PeerId),
}

/// What a call calls.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Called {
    Known(&'static Method),
    Unknown { interface: u64, ordinal: u16 },
}

impl fmt::Display for Called {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(method) => method.fmt(f),
            Self::Unknown { interface, ordinal } => {
                write!(f, "method {ordinal} of interface {interface:#018x}")
            }
        }
    }
}

/// Watches one vat.
pub(crate) struct Sight {
    caller: Rc<call::Caller>,
    meter: Rc<Meter>,
    /// The span of the stream.
    span: Span,
    /// What the service's schema says, where it is known.
    descriptor: Option<&'static Descriptor>,
    /// By question. capnp-rpc's ids are the lowest that are free.
    asked: RefCell<Vec<Option<Open>>>,
    served: RefCell<ById<PeerId, Open>>,
}

struct Open {
    since: Instant,
    method: Option<&'static Method>,
    /// Apart, and only where somebody listens: each call that is open holds one of these, and a span is as large as all the rest.
    span: Option<Box<Span>>,
}

impl Sight {
    pub(crate) fn new(
        peer: Option<NodeId>,
        service: &str,
        meter: Rc<Meter>,
        span: Span,
        descriptor: Option<&'static Descriptor>,
    ) -> Self {
        meter.vat_opened();
        Self {
            caller: Rc::new(call::Caller::new(peer, service)),
            meter,
            span,
            descriptor,
            asked: RefCell::default(),
            served: RefCell::default(),
        }
    }

    /// The sight of a vat on a stream that is of no session.
    pub(crate) fn alone(service: &str) -> Self {
        Self::new(None, service, Rc::default(), debug_span!("stream", service), None)
    }

    /// The name of the service.
    pub(crate) fn service(&self) -> &str {
        &self.caller.service
    }

    /// Who calls, for those who are called.
    pub(crate) fn caller(&self) -> &Rc<call::Caller> {
        &self.caller
    }

    /// What a call calls, in words: by its name where that is known.
    pub(crate) fn method(&self, interface: u64, ordinal: u16) -> Called {
        match self.known(interface, ordinal) {
            Some(method) => Called::Known(method),
            None => Called::Unknown { interface, ordinal },
        }
    }

    fn known(&self, interface: u64, ordinal: u16) -> Option<&'static Method> {
        self.descriptor.and_then(|descriptor| descriptor.method(interface, ordinal))
    }

    /// The span of the stream, for whatever the vat does.
    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    /// Calls of this side's, and of the peer's, that are open.
    pub(crate) fn open_calls(&self) -> (usize, usize) {
        (self.asked.borrow().iter().flatten().count(), self.served.borrow().len())
    }

    /// This side calls. Requests for the bootstrap capability are not counted.
    pub(crate) fn asked(&self, id: QuestionId, asked: Asked, now: Instant) {
        let Asked::Call { interface, method } = asked else { return };
        let open = self.begin(Caller::Us, interface, method, now);
        let mut calls = self.asked.borrow_mut();
        let index = id.0 as usize;
        if index >= calls.len() {
            calls.resize_with(index + 1, || None);
        }
        if let Some(place) = calls.get_mut(index) {
            *place = Some(open);
        }
    }

    /// A call of this side's is over, if it was not before.
    pub(crate) fn answered(&self, id: QuestionId, outcome: Outcome, now: Instant) {
        let open = self.asked.borrow_mut().get_mut(id.0 as usize).and_then(Option::take);
        self.finish(Caller::Us, open, outcome, now);
    }

    /// This side is done with a call, and gives it up if it is not over.
    pub(crate) fn finished(&self, id: QuestionId, clock: &Handle) {
        if self.asked.borrow().get(id.0 as usize).is_some_and(Option::is_some) {
            self.answered(id, Outcome::Canceled, clock.now());
        }
    }

    /// A call of the peer's is over, if it was not before.
    pub(crate) fn returned(&self, id: PeerId, outcome: Outcome, now: Instant) {
        let open = self.served.borrow_mut().remove(id);
        self.finish(Caller::Peer, open, outcome, now);
    }

    /// A message came from the peer.
    pub(crate) fn saw(&self, seen: Seen, now: Instant) {
        match seen {
            Seen::Call { id, interface, method } => {
                let open = self.begin(Caller::Peer, interface, method, now);
                self.served.borrow_mut().insert(id, open);
            }
            Seen::RefusedCall { interface, method, outcome } => {
                let open = self.begin(Caller::Peer, interface, method, now);
                self.finish(Caller::Peer, Some(open), outcome, now);
            }
            Seen::Return { question, outcome } => self.answered(question, outcome, now),
            Seen::Canceled(id) => self.returned(id, Outcome::Canceled, now),
        }
    }

    /// The vat is over, and with it every call.
    pub(crate) fn ended(&self, end: &VatEnd, now: Instant) {
        for open in self.asked.take() {
            self.finish(Caller::Us, open, Outcome::Disconnected, now);
        }
        for open in self.served.take().into_values() {
            self.finish(Caller::Peer, Some(open), Outcome::Disconnected, now);
        }
        // An Abort says that the other side found fault with this one: that may be anybody's words.
        let violated = end.worth_an_abort();
        self.meter.vat_ended(violated);
        if violated {
            tracing::warn!(
                parent: &self.span,
                peer = self.caller.peer.map(field::display),
                service = self.caller.service,
                reason = ?end.to_string(),
                "ended a vat because of its peer"
            );
        } else {
            tracing::debug!(parent: &self.span, reason = ?end.to_string(), "a vat is over");
        }
    }

    fn begin(&self, caller: Caller, interface: u64, method: u16, now: Instant) -> Open {
        let known = self.known(interface, method);
        self.meter.call_started(caller, known);
        // The macro would ask the same, but makes up a span to be asked by, and one for the crate `log` where that is linked.
        if !level_enabled!(Level::TRACE) {
            return Open { since: now, method: known, span: None };
        }
        let span = trace_span!(
            parent: &self.span,
            "call",
            peer = self.caller.peer.map(field::display),
            service = self.caller.service,
            interface = format_args!("{interface:#018x}"),
            method,
            name = known.map(field::display),
            caller = match caller {
                Caller::Us => "us",
                Caller::Peer => "peer",
            },
            outcome = field::Empty,
        );
        Open { since: now, method: known, span: Some(Box::new(span)) }
    }

    fn finish(&self, caller: Caller, open: Option<Open>, outcome: Outcome, now: Instant) {
        if let Some(Open { since, method, span }) = open {
            if let Some(span) = span {
                span.record("outcome", outcome.name());
            }
            self.meter.call_ended(caller, method, outcome, now.saturating_since(since));
        }
    }
}
