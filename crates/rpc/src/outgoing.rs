//! Messages on their way out of capnp-rpc: each passes here before it is queued.

use std::rc::Rc;

use capnp::any_pointer;
use capnp::capability::Promise;
use capnp::message::{Builder, HeapAllocator};
use capnp::traits::ImbueMut;
use capnp_rpc::rpc_capnp::{
    cap_descriptor, disembargo, exception, message, message_target, payload, resolve, return_,
};

use crate::answers::{AnswerId, PeerId};
use crate::guard::sent;
use crate::questions::{Asked, QuestionId, Questions, WireId};
use crate::shared::Shared;
use crate::sight::Outcome;
use crate::stand_ins::StandIns;

/// capnp-rpc asks for 8 KiB for each call, zeroed. A call is a few hundred bytes; a larger one gets a second
/// segment that fits it. From 1 KiB on glibc counts a block as large, and tidies up before it gives one.
const MAX_FIRST_SEGMENT_WORDS: u32 = 64;

/// What it asks for for a request of the program's. All other messages it builds by itself, in one go or over a call that
/// is served, and asks for 100 words at most.
const REQUEST_WORDS: u32 = 1024;

/// A message that capnp-rpc fills in and sends.
pub(crate) struct OutgoingMessage {
    message: Builder<HeapAllocator>,
    /// Of a request, which may be sent to another target than it was made for.
    stand_ins: Option<StandIns>,
    shared: Rc<Shared>,
}

impl OutgoingMessage {
    pub(crate) fn new(shared: Rc<Shared>, first_segment_words: u32) -> Self {
        let words = match first_segment_words {
            0 => MAX_FIRST_SEGMENT_WORDS,
            hint => hint.min(MAX_FIRST_SEGMENT_WORDS),
        };
        let stand_ins = (first_segment_words >= REQUEST_WORDS)
            .then(|| StandIns::new(shared.options.limits.capabilities_per_message() as usize));
        Self { message: Builder::new(HeapAllocator::new().first_segment_words(words)), stand_ins, shared }
    }
}

impl capnp_rpc::OutgoingMessage for OutgoingMessage {
    fn get_body(&mut self) -> capnp::Result<any_pointer::Builder<'_>> {
        let mut body: any_pointer::Builder<'_> = self.message.get_root()?;
        if let Some(stand_ins) = &mut self.stand_ins {
            // Where capnp-rpc knows the capabilities it attaches them instead.
            body.imbue_mut(stand_ins.table());
        }
        Ok(body)
    }

    fn get_body_as_reader(&self) -> capnp::Result<any_pointer::Reader<'_>> {
        self.message.get_root_as_reader()
    }

    fn send(self: Box<Self>) -> (Promise<(), capnp::Error>, Rc<Builder<HeapAllocator>>) {
        let Self { message, shared, .. } = *self;
        // Whoever waits for room waits for the vat's queue as a whole, never for one message.
        (Promise::ok(()), shared.send(message))
    }

    fn take(self: Box<Self>) -> Builder<HeapAllocator> {
        self.message
    }

    fn size_in_words(&self) -> usize {
        self.message.size_in_words()
    }
}

/// What a message is to the vat that sends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It opens a question.
    Question(QuestionId, Asked),
    /// It ends one.
    Finish(QuestionId),
    /// It answers the peer's call that capnp-rpc knows by this id.
    Return { answer: AnswerId, needs_finish: bool, outcome: Outcome },
    /// It says why the vat ends.
    Abort,
    /// It says what a promise of ours became.
    Resolve { promise: u32, resolution: Option<sent::Cap> },
    /// It gives capabilities of the peer's back.
    Release { id: u32, count: u32 },
    /// It has the peer lift an embargo.
    Embargo(u32),
    /// It answers a message of the peer's that is no call.
    Reply,
}

/// Reads what a message is.
pub(crate) fn kind_of(message: &Builder<HeapAllocator>) -> capnp::Result<Kind> {
    let root = message.get_root_as_reader::<message::Reader<'_>>()?;
    Ok(match root.which()? {
        message::Bootstrap(bootstrap) => {
            Kind::Question(QuestionId(bootstrap?.get_question_id()), Asked::Bootstrap)
        }
        message::Call(call) => {
            let call = call?;
            let asked = Asked::Call { interface: call.get_interface_id(), method: call.get_method_id() };
            Kind::Question(QuestionId(call.get_question_id()), asked)
        }
        message::Finish(finish) => Kind::Finish(QuestionId(finish?.get_question_id())),
        message::Return(answer) => {
            let answer = answer?;
            Kind::Return {
                answer: AnswerId(answer.get_answer_id()),
                needs_finish: !answer.get_no_finish_needed(),
                outcome: match answer.which()? {
                    return_::Exception(exception) => {
                        exception?.get_type().map_or(Outcome::Exception, Outcome::from)
                    }
                    return_::Canceled(()) => Outcome::Canceled,
                    return_::Results(_)
                    | return_::ResultsSentElsewhere(())
                    | return_::TakeFromOtherQuestion(_)
                    | return_::AcceptFromThirdParty(_) => Outcome::Ok,
                },
            }
        }
        message::Abort(_) => Kind::Abort,
        message::Resolve(resolve) => {
            let resolve = resolve?;
            Kind::Resolve { promise: resolve.get_promise_id(), resolution: sent::resolution(resolve)? }
        }
        message::Release(release) => {
            let release = release?;
            Kind::Release { id: release.get_id(), count: release.get_reference_count() }
        }
        message::Disembargo(disembargo) => match sent::embargo(disembargo?)? {
            Some(id) => Kind::Embargo(id),
            None => Kind::Reply,
        },
        message::Unimplemented(_)
        | message::Provide(_)
        | message::Accept(_)
        | message::Join(_)
        | message::ObsoleteSave(_)
        | message::ObsoleteDelete(_) => Kind::Reply,
    })
}

/// Addresses a Finish to the question that the peer knows as `wire`, and, where `release` says so, has the peer
/// release whatever its answer carries.
pub(crate) fn address_finish(
    message: &mut Builder<HeapAllocator>,
    wire: WireId,
    release: bool,
) -> capnp::Result<()> {
    if let message::Finish(finish) = message.get_root::<message::Builder<'_>>()?.which()? {
        let mut finish = finish?;
        finish.set_question_id(wire.0);
        if release {
            finish.set_release_result_caps(true);
        }
    }
    Ok(())
}

/// Addresses a Return to the call that the peer knows by this id.
pub(crate) fn address_return(message: &mut Builder<HeapAllocator>, call: PeerId) -> capnp::Result<()> {
    if let message::Return(answer) = message.get_root::<message::Builder<'_>>()?.which()? {
        answer?.set_answer_id(call.0);
    }
    Ok(())
}

/// The Return that the peer is owed for a call that it finished before we returned.
pub(crate) fn canceled_return(call: PeerId) -> Builder<HeapAllocator> {
    let mut builder = Builder::new(HeapAllocator::new().first_segment_words(8));
    let mut answer = builder.init_root::<message::Builder<'_>>().init_return();
    answer.set_answer_id(call.0);
    answer.set_release_param_caps(false);
    answer.set_canceled(());
    builder
}

/// The Return that stands in for one that cannot be sent.
pub(crate) fn failed_return(answer_id: u32, reason: &str) -> Builder<HeapAllocator> {
    exception_return(answer_id, exception::Type::Failed, reason)
}

/// The Return to a call that capnp-rpc never sees. The peer need not finish it, and gets what the call carried
/// back in Releases, because not every implementation heeds `releaseParamCaps`.
pub(crate) fn refusal(call: PeerId, kind: exception::Type, reason: &str) -> Builder<HeapAllocator> {
    let mut builder = exception_return(call.0, kind, reason);
    if let Ok(root) = builder.get_root::<message::Builder<'_>>()
        && let Ok(message::Return(Ok(mut answer))) = root.which()
    {
        answer.set_no_finish_needed(true);
    }
    builder
}

/// Gives back references to a capability of the peer's.
pub(crate) fn release(id: u32, count: u32) -> Builder<HeapAllocator> {
    let mut builder = Builder::new(HeapAllocator::new().first_segment_words(8));
    let mut release = builder.init_root::<message::Builder<'_>>().init_release();
    release.set_id(id);
    release.set_reference_count(count);
    builder
}

/// A Return that says that the call failed.
pub(crate) fn exception_return(
    answer_id: u32,
    kind: exception::Type,
    reason: &str,
) -> Builder<HeapAllocator> {
    let words = 16 + reason.len() as u32 / 8;
    let mut builder = Builder::new(HeapAllocator::new().first_segment_words(words));
    let mut answer = builder.init_root::<message::Builder<'_>>().init_return();
    answer.set_answer_id(answer_id);
    // What the call carried is released one by one, as capnp-rpc does it.
    answer.set_release_param_caps(false);
    let mut exception = answer.init_exception();
    exception.set_type(kind);
    exception.set_reason(reason);
    builder
}

/// Puts wire ids in place of capnp-rpc's ids wherever a message names one of **our** questions.
///
/// rpc.capnp gives every `QuestionId` to the sender's question table, with the exception of those that are
/// called `AnswerId`, and so of these: `Bootstrap.questionId`, `Call.questionId`, `Finish.questionId`,
/// `Return.takeFromOtherQuestion` (a Call that the sender of the Return has made), and the
/// `PromisedAnswer.questionId` of every target and every `receiverAnswer`.
pub(crate) fn translate(message: &mut Builder<HeapAllocator>, questions: &Questions) -> capnp::Result<()> {
    let wire = |id: u32| questions.wire_id(QuestionId(id)).0;
    match message.get_root::<message::Builder<'_>>()?.which()? {
        message::Bootstrap(bootstrap) => {
            let mut bootstrap = bootstrap?;
            let id = wire(bootstrap.reborrow().get_question_id());
            bootstrap.set_question_id(id);
        }
        message::Call(call) => {
            let mut call = call?;
            let id = wire(call.reborrow().get_question_id());
            call.set_question_id(id);
            if call.has_target() {
                translate_target(call.reborrow().get_target()?, &wire)?;
            }
            if call.has_params() {
                translate_caps(call.get_params()?, &wire)?;
            }
        }
        message::Return(answer) => {
            let mut answer = answer?;
            let taken_from = match answer.reborrow().which()? {
                return_::Results(results) => {
                    translate_caps(results?, &wire)?;
                    None
                }
                return_::TakeFromOtherQuestion(id) => Some(wire(id)),
                return_::Exception(_)
                | return_::Canceled(())
                | return_::ResultsSentElsewhere(())
                | return_::AcceptFromThirdParty(_) => None,
            };
            if let Some(id) = taken_from {
                answer.set_take_from_other_question(id);
            }
        }
        message::Resolve(resolve) => match resolve?.which()? {
            resolve::Cap(cap) => translate_cap(cap?, &wire)?,
            resolve::Exception(_) => {}
        },
        message::Disembargo(disembargo) => {
            let disembargo: disembargo::Builder<'_> = disembargo?;
            if disembargo.has_target() {
                translate_target(disembargo.get_target()?, &wire)?;
            }
        }
        // A Finish ends its question and is addressed where that happens. The others name no question, or
        // capnp-rpc never sends them.
        message::Finish(_)
        | message::Unimplemented(_)
        | message::Abort(_)
        | message::Release(_)
        | message::Provide(_)
        | message::Accept(_)
        | message::Join(_)
        | message::ObsoleteSave(_)
        | message::ObsoleteDelete(_) => {}
    }
    Ok(())
}

fn translate_target(target: message_target::Builder<'_>, wire: &impl Fn(u32) -> u32) -> capnp::Result<()> {
    match target.which()? {
        message_target::ImportedCap(_) => {}
        message_target::PromisedAnswer(answer) => {
            let mut answer = answer?;
            let id = wire(answer.reborrow().get_question_id());
            answer.set_question_id(id);
        }
    }
    Ok(())
}

fn translate_caps(payload: payload::Builder<'_>, wire: &impl Fn(u32) -> u32) -> capnp::Result<()> {
    if !payload.has_cap_table() {
        return Ok(());
    }
    let mut table = payload.get_cap_table()?;
    for index in 0..table.len() {
        translate_cap(table.reborrow().get(index), wire)?;
    }
    Ok(())
}

fn translate_cap(cap: cap_descriptor::Builder<'_>, wire: &impl Fn(u32) -> u32) -> capnp::Result<()> {
    match cap.which()? {
        cap_descriptor::ReceiverAnswer(answer) => {
            let mut answer = answer?;
            let id = wire(answer.reborrow().get_question_id());
            answer.set_question_id(id);
        }
        cap_descriptor::None(())
        | cap_descriptor::SenderHosted(_)
        | cap_descriptor::SenderPromise(_)
        | cap_descriptor::ReceiverHosted(_)
        | cap_descriptor::ThirdPartyHosted(_) => {}
    }
    Ok(())
}
