//! Reads each message of the peer's before capnp-rpc does, and keeps the peer inside its bounds.
//!
//! capnp-rpc believes its peer: it counts nothing, follows whatever it is told to follow, and panics, overflows its stack or
//! forgets a caller over messages that a hostile peer finds easily. The guard stands before it. What it lets through,
//! capnp-rpc handles; everything else it answers as a correct peer would, or ends the vat with a typed reason
//! ([`Violation`], [`Exceeded`]). Nothing it does touches another vat.
//!
//! To do that it keeps capnp-rpc's tables a second time, as the wire shows them: the peer's calls and what each holds
//! ([`calls`]), the capabilities in either direction ([`exports`], [`imports`]), embargoes ([`embargoes`]). Both
//! directions pass here, so the tables agree.
//!
//! **Promises of the peer's are never followed.** A capability that the peer sends as a promise is handed to capnp-rpc
//! as a plain one, and its Resolve is taken note of by giving back what came with it. Calls go to the peer
//! by the promise and the peer passes them on, which the protocol allows any vat to do and which keeps their order by
//! itself. capnp-rpc would go straight to what the promise became; for that it can be talked into cycles and chains of any
//! length, and it loses the capabilities of a request that finds that its target has become another. What
//! this costs is a way through the peer for calls on a promise that became an object of this side's; what following the
//! harmless ones would cost is told in docs/spec/rpc-limits.md.

mod account;
mod bootstrap;
mod calls;
mod embargoes;
mod envelope;
mod exports;
mod imports;
mod limits;
mod plain;
mod tree;
mod violation;

use std::collections::{BTreeMap, BTreeSet};

use capnp::message::{Builder, HeapAllocator};
use capnp_rpc::rpc_capnp::exception;
use vatmux_driver::Instant;

use self::calls::{Calls, What};
use self::embargoes::Embargoes;
use self::envelope::{Caps, Disembargo, Message, Outcome, Target};
use self::exports::{Exports, Nature};
use self::imports::Imports;
use self::tree::TreeCheck;
use crate::answers::{AnswerId, Answers, FinishOrder, PeerId};
use crate::incoming::{self, Incoming};
use crate::questions::{Answer, Questions, WireId};
use crate::references::{self, Patch};
use crate::segments::Segments;
use crate::sight::{self, Seen};
use crate::{VatEnd, outgoing};

pub use self::account::PeerAccounts;
pub(crate) use self::account::{Account, HeldWork};
pub(crate) use self::calls::Served;
pub(crate) use self::envelope::sent;
pub use self::limits::Limits;
pub(crate) use self::plain::read_sent;
pub(crate) use self::tree::MAX_DEPTH;
pub use self::tree::Malformed;
pub use self::violation::{Exceeded, Violation};

/// Refused calls that are remembered, so that calls on their results are refused as well.
const MAX_REFUSED: usize = 1_024;

/// What is to be done about a received message.
#[derive(Default)]
pub(crate) struct Orders {
    /// capnp-rpc gets this.
    pub(crate) deliver: Option<Incoming>,
    /// It makes us reply: it is not delivered while too many replies wait.
    pub(crate) makes_reply: bool,
    /// capnp-rpc gets these after it.
    pub(crate) then: Vec<Incoming>,
    /// The peer gets these.
    pub(crate) replies: Vec<Builder<HeapAllocator>>,
    /// What it means for the calls that are open, where it means something.
    pub(crate) seen: Option<Seen>,
    /// The call that is delivered, where it is one.
    pub(crate) served: Option<Served>,
    /// The vat ends once that is delivered.
    pub(crate) end: Option<VatEnd>,
}

/// A call of the peer's that is not served any longer.
pub(crate) struct Overdue {
    pub(crate) call: PeerId,
    pub(crate) answer: AnswerId,
    pub(crate) served: Served,
}

impl Orders {
    fn deliver(message: Incoming) -> Self {
        Self { deliver: Some(message), ..Self::default() }
    }

    fn deliver_for_reply(message: Incoming) -> Self {
        Self { deliver: Some(message), makes_reply: true, ..Self::default() }
    }

    fn seen(self, seen: Seen) -> Self {
        Self { seen: Some(seen), ..self }
    }
}

/// Why a call is not served.
struct Refusal {
    kind: exception::Type,
    reason: String,
}

impl Refusal {
    fn overloaded(reason: String) -> Self {
        Self { kind: exception::Type::Overloaded, reason }
    }
}

/// The guard of one vat.
pub(crate) struct Guard {
    limits: Limits,
    tree: TreeCheck,
    calls: Calls,
    exports: Exports,
    imports: Imports,
    embargoes: Embargoes,
    refused: BTreeSet<PeerId>,
    /// The capabilities that each of our questions gave to the peer, where it gave any.
    params: BTreeMap<WireId, Vec<u32>>,
}

impl Guard {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            tree: TreeCheck::default(),
            calls: Calls::default(),
            exports: Exports::default(),
            imports: Imports::default(),
            embargoes: Embargoes::default(),
            refused: BTreeSet::new(),
            params: BTreeMap::new(),
        }
    }

    /// Shares the bounds of a peer with its other vats.
    pub(crate) fn join(&mut self, account: &Account) {
        self.calls.join(account);
    }

    /// The vat is over, and nothing is held for the peer any more.
    pub(crate) fn forget_calls(&mut self) {
        self.calls.clear();
    }

    /// Judges a message from the peer. An error ends the vat. `serve` says how long a call of a method is served.
    pub(crate) fn received(
        &mut self,
        segments: Segments,
        questions: &mut Questions,
        answers: &mut Answers,
        serve: impl FnOnce(u64, u16) -> Served,
    ) -> Result<Orders, VatEnd> {
        self.tree.check(&segments).map_err(Violation::Malformed)?;
        // Whoever copies it has as many, whatever its table says.
        let (count, limit) = (self.tree.capabilities(), self.limits.capabilities_per_message());
        if count > limit {
            return Err(Violation::TooManyCapabilities { count, limit }.into());
        }
        let bytes = segments.total_bytes();
        let plain = segments.first().and_then(|segment| plain::read(segment, &self.limits));
        let message = incoming::reader(segments);
        let said = match plain {
            Some(said) => said,
            None => envelope::read(&message, &self.limits)?,
        };
        // What refers to calls of the peer's is looked up before this message changes which ones are open.
        let mut patches = if answers.untranslated() {
            Vec::new()
        } else {
            references::find(&message, |id| answers.answer_id(PeerId(id)).0).map_err(Violation::from)?
        };
        match said {
            Message::Call { id, interface, method, target, redirected, caps } => {
                check_vacant(id, answers)?;
                self.check_target(target)?;
                let on = self.results_awaited(target, &caps, answers);
                let depth = self.depth(target, &caps, &on);
                if let Some(refusal) = self.refusal(bytes, depth, target, redirected, &caps) {
                    let outcome = refusal.kind.into();
                    let seen = Seen::RefusedCall { interface, method, outcome };
                    return Ok(self.refuse(id, &refusal, &caps).seen(seen));
                }
                if !caps.imports.is_empty() {
                    self.imports.received(&caps.imports)?;
                }
                let answer = answers.call(id).map_err(|_| Violation::CallIdInUse(id.0))?;
                self.refused.remove(&id);
                let served = serve(interface, method);
                self.calls.begin(answer, What::Call(served), bytes, depth, &on);
                if answer.0 != id.0 {
                    patches.push(references::own_id(&message, answer.0));
                }
                let seen = Seen::Call { id, interface, method };
                Ok(Orders {
                    deliver: Some(patched(message, patches, caps.patches)?),
                    makes_reply: true,
                    seen: Some(seen),
                    served: Some(served),
                    ..Orders::default()
                })
            }
            Message::Return { question, outcome, release_params } => {
                let mut then = Vec::new();
                let given = self.params.remove(&question).filter(|_| release_params);
                for id in given.unwrap_or_default() {
                    self.exports.release(id, 1)?;
                    then.push(Incoming::release(id, 1));
                }
                let end =
                    if questions.asks_for_bootstrap(question) { bootstrap::check(&message)? } else { None };
                let answer = questions.answer(question);
                let mut outcome_seen = outcome.seen();
                let mut orders = match answer {
                    Answer::Unasked => return Err(Violation::UnaskedAnswer(question.0).into()),
                    Answer::TooLate => Orders::default(),
                    // capnp-rpc wants to know that it came, and the peer knows that nobody wants what came.
                    Answer::Canceled(id) => Orders::deliver(Incoming::failed_return(id, "canceled")),
                    Answer::Deliver(id) => match outcome {
                        Outcome::NoResult(reason) => Orders::deliver(Incoming::failed_return(id, reason)),
                        Outcome::LongException(kind, reason) => {
                            Orders::deliver(Incoming::exception(id, kind, &reason))
                        }
                        Outcome::Results(caps) if self.would_circle(&caps, answers) => {
                            outcome_seen = sight::Outcome::Exception;
                            Orders {
                                replies: releases(&caps.imports),
                                ..Orders::deliver(Incoming::failed_return(
                                    id,
                                    "the peer answered with a promise of this side's, which may be waiting for this answer",
                                ))
                            }
                        }
                        Outcome::Exception(_) => {
                            if id.0 != question.0 {
                                patches.push(references::own_id(&message, id.0));
                            }
                            Orders::deliver(patched(message, patches, Vec::new())?)
                        }
                        Outcome::Results(caps) => {
                            if !caps.imports.is_empty() {
                                let limit = self.limits.max_imports;
                                if self.imports.held() + self.imports.count_new(&caps.imports) > limit {
                                    return Err(Exceeded::Imports { limit }.into());
                                }
                                self.imports.received(&caps.imports)?;
                            }
                            if id.0 != question.0 {
                                patches.push(references::own_id(&message, id.0));
                            }
                            Orders::deliver(patched(message, patches, caps.patches)?)
                        }
                    },
                };
                orders.then = then;
                orders.end = end;
                if let Answer::Deliver(question) = answer {
                    orders.seen = Some(Seen::Return { question, outcome: outcome_seen });
                }
                Ok(orders)
            }
            Message::Finish { call, release } => self.finish(call, release, message, answers),
            Message::Bootstrap(call) => {
                check_vacant(call, answers)?;
                let limit = self.limits.max_bootstraps;
                if self.calls.bootstraps() >= limit {
                    let reason = format!("{limit} requests for the bootstrap capability are not finished");
                    return Ok(self.refuse(call, &Refusal::overloaded(reason), &Caps::default()));
                }
                let answer = answers.call(call).map_err(|_| Violation::CallIdInUse(call.0))?;
                self.refused.remove(&call);
                self.calls.begin(answer, What::Bootstrap, 0, 0, &[]);
                Ok(Orders::deliver_for_reply(if answer.0 == call.0 {
                    Incoming::Received(message)
                } else {
                    Incoming::bootstrap(answer)
                }))
            }
            Message::Release { id, count } => {
                self.exports.release(id, count)?;
                Ok(Orders::deliver(Incoming::Received(message)))
            }
            Message::Resolve(caps) => Ok(Orders { replies: releases(&caps.imports), ..Orders::default() }),
            Message::Disembargo(Disembargo::Echo(target)) => {
                self.check_target(target)?;
                Ok(Orders::deliver_for_reply(patched(message, patches, Vec::new())?))
            }
            Message::Disembargo(Disembargo::Lift(id)) => {
                if !self.embargoes.lift(id) {
                    return Err(Violation::UnknownEmbargo(id).into());
                }
                Ok(Orders::deliver(Incoming::Received(message)))
            }
            Message::UnimplementedResolve(None) => Ok(Orders::default()),
            Message::UnimplementedResolve(Some(id)) => {
                self.exports.release(id, 1)?;
                Ok(Orders::deliver(Incoming::release(id, 1)))
            }
            Message::Abort(end) => Err(end),
            // It cannot be returned as it came: nobody knows where its capabilities are described.
            Message::Unknown if self.tree.capabilities() > 0 => {
                Err(Violation::UnknownWithCapabilities.into())
            }
            Message::Unknown => Ok(Orders::deliver_for_reply(Incoming::Received(message))),
        }
    }

    fn finish(
        &mut self,
        call: PeerId,
        release: bool,
        message: capnp::message::Reader<Segments>,
        answers: &mut Answers,
    ) -> Result<Orders, VatEnd> {
        Ok(match answers.finish(call) {
            FinishOrder::Discard => {
                self.refused.remove(&call);
                Orders::default()
            }
            FinishOrder::Deliver(answer) => {
                let given = self.calls.finished(answer);
                for id in given.into_iter().filter(|_| release) {
                    self.exports.release(id, 1)?;
                }
                Orders::deliver(if answer.0 == call.0 {
                    Incoming::Received(message)
                } else {
                    Incoming::finish(answer, release)
                })
            }
            FinishOrder::DeliverReleasing(answer) => {
                self.calls.finished(answer);
                Orders::deliver(Incoming::finish(answer, true))
            }
            FinishOrder::Cancel(answer) => {
                self.calls.finished(answer);
                Orders {
                    replies: vec![outgoing::canceled_return(call)],
                    seen: Some(Seen::Canceled(call)),
                    ..Orders::deliver(Incoming::finish(answer, true))
                }
            }
        })
    }

    /// When a call of the peer's may be overdue next.
    pub(crate) fn next_overdue(&self) -> Option<Instant> {
        self.calls.next_deadline()
    }

    /// Takes the calls of the peer's that are served for as long as they may be, and have no answer. The caller answers
    /// and cancels them; calls on their results are refused.
    pub(crate) fn take_overdue(&mut self, now: Instant, answers: &mut Answers) -> Vec<Overdue> {
        let mut taken = Vec::new();
        for (answer, served) in self.calls.overdue(now) {
            let Some(call) = answers.give_up(answer) else { continue };
            self.calls.finished(answer);
            self.remember_refused(call);
            taken.push(Overdue { call, answer, served });
        }
        taken
    }

    fn remember_refused(&mut self, call: PeerId) {
        if self.refused.len() >= MAX_REFUSED {
            self.refused.pop_first();
        }
        self.refused.insert(call);
    }

    fn check_target(&self, target: Target) -> Result<(), Violation> {
        match target {
            Target::Export(id) if self.exports.get(id).is_none() => Err(Violation::UnknownExport(id)),
            Target::Export(_) | Target::Answer(_) => Ok(()),
        }
    }

    /// Why a call cannot be served, if it cannot.
    fn refusal(
        &self,
        bytes: usize,
        depth: u8,
        target: Target,
        redirected: bool,
        caps: &Caps,
    ) -> Option<Refusal> {
        let limits = &self.limits;
        if redirected {
            return Some(Refusal {
                kind: exception::Type::Unimplemented,
                reason: "results can be sent to the caller only".to_owned(),
            });
        }
        if let Target::Answer(call) = target
            && self.refused.contains(&call)
        {
            return Some(Refusal::overloaded("the call that this one waits for was not served".to_owned()));
        }
        let (held, account) = (self.calls.held_bytes(), self.calls.account());
        let (over, what, limit) = if self.calls.count() >= limits.max_calls {
            (true, "calls are under way or not finished", limits.max_calls)
        } else if held + bytes > limits.max_held_bytes {
            (true, "bytes are held for calls that are not over", limits.max_held_bytes)
        } else if account.calls() >= limits.max_peer_calls {
            (true, "calls are under way or not finished on all streams together", limits.max_peer_calls)
        } else if account.bytes() + bytes > limits.max_peer_held_bytes {
            (true, "bytes are held for the calls on all streams together", limits.max_peer_held_bytes)
        } else if self.exports.held() >= limits.max_exports {
            (true, "capabilities were given out and not released", limits.max_exports)
        } else {
            let given = self.imports.held() + self.imports.count_new(&caps.imports);
            (given > limits.max_imports, "capabilities of the caller's are held", limits.max_imports)
        };
        if over {
            return Some(Refusal::overloaded(format!("as many as {limit} {what}")));
        }
        let limit = limits.max_pipeline_depth;
        (depth > limit)
            .then(|| Refusal::overloaded(format!("more than {limit} calls wait for each other's results")))
    }

    /// The calls whose results a call refers to, where those are not there yet or may be promises.
    fn results_awaited(&self, target: Target, caps: &Caps, answers: &Answers) -> Vec<AnswerId> {
        let target = match target {
            Target::Answer(call) => Some(call),
            Target::Export(_) => None,
        };
        let mut awaited = Vec::new();
        for call in target.iter().chain(&caps.answers).filter(|call| answers.is_open(**call)) {
            let id = answers.answer_id(*call);
            if !self.calls.is_settled(id) {
                awaited.push(id);
            }
        }
        awaited
    }

    /// How deep a call waits for others: 0 where it needs nothing that is not there.
    fn depth(&self, target: Target, caps: &Caps, on: &[AnswerId]) -> u8 {
        let target = match target {
            Target::Export(id) => Some(id),
            Target::Answer(_) => None,
        };
        let promises = target.iter().chain(&caps.exports).filter_map(|id| match self.exports.get(*id) {
            Some(Nature::Promise { depth }) => Some(depth),
            Some(Nature::Settled | Nature::OfQuestion) | None => None,
        });
        let results = on.iter().map(|id| self.calls.depth(*id));
        let waits = !on.is_empty();
        let deepest = promises.map(|depth| depth.saturating_add(1)).max().unwrap_or(0);
        deepest.max(results.max().unwrap_or(0).saturating_add(u8::from(waits)))
    }

    /// The peer's call fails, as a correct peer has it fail, and capnp-rpc does not hear of it.
    fn refuse(&mut self, call: PeerId, refusal: &Refusal, caps: &Caps) -> Orders {
        self.remember_refused(call);
        let mut replies = vec![outgoing::refusal(call, refusal.kind, &refusal.reason)];
        replies.extend(releases(&caps.imports));
        Orders { replies, ..Orders::default() }
    }

    /// True where a capability in results may be a promise of ours that waits for these same results. capnp-rpc would
    /// have it wait for itself, and recurse, or look for what it has become, without end.
    fn would_circle(&self, caps: &Caps, answers: &Answers) -> bool {
        let unsettled = |call: &PeerId| !self.calls.is_settled(answers.answer_id(*call));
        let circular = |id: &u32| match self.exports.get(*id) {
            Some(Nature::OfQuestion | Nature::Promise { .. }) => true,
            Some(Nature::Settled) | None => false,
        };
        caps.answers.iter().any(unsettled) || caps.exports.iter().any(circular)
    }

    // What this side sends.

    /// A call of ours leaves with these capabilities.
    pub(crate) fn asked(&mut self, question: WireId, caps: &[sent::Cap]) -> Result<(), VatEnd> {
        if caps.is_empty() {
            return Ok(());
        }
        let given = self.give(caps)?;
        if !given.is_empty() {
            self.params.insert(question, given);
        }
        Ok(())
    }

    /// An answer of ours leaves with these capabilities. `held_bytes` is what capnp-rpc holds of it until the Finish,
    /// None where there will be none.
    pub(crate) fn answered(
        &mut self,
        call: AnswerId,
        held_bytes: Option<usize>,
        caps: &[sent::Cap],
    ) -> Result<(), VatEnd> {
        let given = if caps.is_empty() { Vec::new() } else { self.give(caps)? };
        let settled = caps.iter().all(|cap| match cap {
            sent::Cap::Export(id) => self.exports.get(*id) == Some(Nature::Settled),
            sent::Cap::Promise(_) | sent::Cap::Question | sent::Cap::Other => false,
        });
        self.calls.returned(call, held_bytes, given, settled);
        let (held, limit) = (self.calls.held_bytes(), self.limits.max_held_bytes);
        if held > limit.saturating_mul(2) {
            return Err(Exceeded::HeldBytes { held, limit }.into());
        }
        let (held, limit) = (self.calls.account().bytes(), self.limits.max_peer_held_bytes);
        if held > limit.saturating_mul(2) {
            return Err(Exceeded::PeerHeldBytes { held, limit }.into());
        }
        Ok(())
    }

    /// An answer of capnp-rpc's does not leave: the peer has given the call up.
    pub(crate) fn not_answered(&mut self, call: AnswerId) {
        self.calls.returned(call, None, Vec::new(), false);
    }

    /// The peer is told what a promise of ours became; None where it failed.
    pub(crate) fn resolved(&mut self, promise: u32, resolution: Option<sent::Cap>) -> Result<(), VatEnd> {
        self.give(resolution.as_slice())?;
        let nature = match resolution {
            Some(sent::Cap::Question) => Nature::OfQuestion,
            Some(sent::Cap::Export(id) | sent::Cap::Promise(id)) => self.exports.get(id).unwrap_or_default(),
            Some(sent::Cap::Other) | None => Nature::Settled,
        };
        self.exports.resolved(promise, nature);
        Ok(())
    }

    /// Capabilities of the peer's are given back to it.
    pub(crate) fn released(&mut self, id: u32, count: u32) {
        self.imports.released(id, count);
    }

    /// The peer is asked to lift an embargo.
    pub(crate) fn embargoed(&mut self, id: u32, until: Instant) -> Result<(), VatEnd> {
        self.embargoes.impose(id, until);
        let limit = self.limits.max_embargoes;
        if self.embargoes.in_force() > limit {
            return Err(Exceeded::Embargoes { limit }.into());
        }
        Ok(())
    }

    /// When the oldest embargo has to be lifted by.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.embargoes.next_deadline()
    }

    fn give(&mut self, caps: &[sent::Cap]) -> Result<Vec<u32>, Exceeded> {
        let mut given = Vec::new();
        for cap in caps {
            let (id, promise) = match *cap {
                sent::Cap::Export(id) => (id, None),
                // What it waits for is any of the calls that are open, as far as this can be known.
                sent::Cap::Promise(id) => (id, Some(self.calls.max_depth())),
                sent::Cap::Question | sent::Cap::Other => continue,
            };
            self.exports.sent(id, promise)?;
            given.push(id);
        }
        Ok(given)
    }
}

/// What it means that capnp-rpc gives a connection up for this reason.
///
/// Where a capability leads that is not settled only capnp-rpc knows, and whether that is back to the peer it says
/// in words alone: those of the one version that the workspace allows, which the tests hold it to.
pub(crate) fn end_of(error: &capnp::Error) -> VatEnd {
    if error.extra.starts_with("'Disembargo' of type 'senderLoopback' sent to an object") {
        return Violation::DisembargoAstray.into();
    }
    VatEnd::Protocol(error.to_string())
}

fn check_vacant(call: PeerId, answers: &Answers) -> Result<(), Violation> {
    if answers.is_open(call) { Err(Violation::CallIdInUse(call.0)) } else { Ok(()) }
}

fn releases(imports: &[u32]) -> Vec<Builder<HeapAllocator>> {
    imports.iter().map(|id| outgoing::release(*id, 1)).collect()
}

/// The message with the ids of both lists put in.
fn patched(
    message: capnp::message::Reader<Segments>,
    calls: Vec<Patch>,
    caps: Vec<Patch>,
) -> Result<Incoming, Violation> {
    if calls.is_empty() && caps.is_empty() {
        return Ok(Incoming::Received(message));
    }
    let mut segments = message.into_segments();
    if !calls.into_iter().chain(caps).all(|patch| patch.apply(&mut segments)) {
        // An id that is left out is zero.
        return Err(Violation::Malformed(Malformed::Unreadable));
    }
    Ok(Incoming::Received(incoming::reader(segments)))
}
