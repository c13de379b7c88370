//! Messages on their way to capnp-rpc: those that arrived, and those that this side makes in their place.
//!
//! [`inspect`] is the one place that reads an incoming message before capnp-rpc does.

use capnp::any_pointer;
use capnp::message::{Builder, HeapAllocator, Reader, ReaderOptions};
use capnp_rpc::rpc_capnp::{message, return_};

use crate::answers::{AnswerId, Answers, FinishOrder, InUse, PeerId};
use crate::questions::{Answer, QuestionId, Questions, WireId};
use crate::segments::{Segments, WORD_BYTES};
use crate::{VatEnd, outgoing, references};

/// Reading a message counts every struct and list that is touched, each time that it is touched. This many
/// times its largest size may be touched in one message: enough for code that gets the same field again.
const TRAVERSALS: usize = 8;

/// As capnp's default. It bounds the stack that recursive readers use.
const NESTING_LIMIT: i32 = 64;

/// A message for capnp-rpc.
pub(crate) enum Incoming {
    Received(Reader<Segments>),
    /// Made here.
    Local(Box<Builder<HeapAllocator>>),
}

impl capnp_rpc::IncomingMessage for Incoming {
    fn get_body(&self) -> capnp::Result<any_pointer::Reader<'_>> {
        match self {
            Self::Received(reader) => reader.get_root(),
            Self::Local(builder) => builder.get_root_as_reader(),
        }
    }
}

impl Incoming {
    /// The answer to one of capnp-rpc's questions that says that it failed.
    pub(crate) fn failed_return(id: QuestionId, reason: &str) -> Self {
        Self::Local(Box::new(outgoing::failed_return(id.0, reason)))
    }

    fn finish(id: AnswerId, release: bool) -> Self {
        Self::local(8, |root| {
            let mut finish = root.init_finish();
            finish.set_question_id(id.0);
            finish.set_release_result_caps(release);
            finish.set_require_early_cancellation_workaround(false);
        })
    }

    fn local(words: u32, build: impl FnOnce(message::Builder<'_>)) -> Self {
        let mut builder = Box::new(Builder::new(HeapAllocator::new().first_segment_words(words)));
        build(builder.init_root());
        Self::Local(builder)
    }
}

/// What is to be done with a received message.
pub(crate) enum Verdict {
    /// capnp-rpc gets it. A message that makes us reply is not read while too many replies wait.
    Deliver { message: Incoming, makes_reply: bool },
    /// capnp-rpc gets it, and the peer gets a Return that says that the call was canceled.
    Cancel { message: Incoming, call: PeerId },
    /// It concerns nobody any more.
    Discard,
    /// It ends the vat.
    End(VatEnd),
}

impl Verdict {
    fn violation(what: impl std::fmt::Display) -> Self {
        Self::End(VatEnd::Protocol(what.to_string()))
    }

    fn in_use(call: PeerId) -> Self {
        Self::violation(format!("a call with id {}, which another call has", call.0))
    }
}

/// What a message is, free of borrows from it.
enum Found {
    Bootstrap(PeerId),
    Call(PeerId),
    Finish {
        call: PeerId,
        release: bool,
    },
    Return(WireId, Outcome),
    Abort(VatEnd),
    /// Resolve, or Release.
    News,
    /// What we answer with the same, or with the word that we do not know it.
    Other,
}

/// What a Return says, as far as it matters here.
enum Outcome {
    /// capnp-rpc passes it on to the caller.
    Usual,
    /// capnp-rpc would leave the caller waiting for ever.
    NoResult(&'static str),
}

/// Reads a received message: whether it may pass at all, which calls of ours or of the peer's it concerns, and
/// under which ids capnp-rpc knows those.
pub(crate) fn inspect(
    segments: Segments,
    max_message_bytes: usize,
    questions: &mut Questions,
    answers: &mut Answers,
) -> Verdict {
    let message = reader(segments, max_message_bytes);
    let mut patches = Vec::new();
    let found = find(&message).and_then(|found| {
        // What refers to calls of the peer's is looked up before this message changes which ones are open.
        if !answers.untranslated() {
            patches = references::find(&message, |id| answers.answer_id(PeerId(id)).0)?;
        }
        Ok(found)
    });
    let makes_reply = match found {
        Err(error) => return Verdict::violation(error),
        Ok(Found::Abort(end)) => return Verdict::End(end),
        Ok(Found::Bootstrap(call)) => match answers.call(call) {
            Err(InUse) => return Verdict::in_use(call),
            Ok(answer) if answer.0 != call.0 => {
                let message = Incoming::local(8, |root| root.init_bootstrap().set_question_id(answer.0));
                return Verdict::Deliver { message, makes_reply: true };
            }
            Ok(_) => true,
        },
        Ok(Found::Call(call)) => match answers.call(call) {
            Err(InUse) => return Verdict::in_use(call),
            Ok(answer) => {
                if answer.0 != call.0 {
                    patches.push(references::own_id(&message, answer.0));
                }
                true
            }
        },
        Ok(Found::Finish { call, release }) => match answers.finish(call) {
            FinishOrder::Discard => return Verdict::Discard,
            FinishOrder::Deliver(answer) if answer.0 == call.0 => false,
            FinishOrder::Deliver(answer) => {
                return Verdict::Deliver { message: Incoming::finish(answer, release), makes_reply: false };
            }
            FinishOrder::DeliverReleasing(answer) => {
                return Verdict::Deliver { message: Incoming::finish(answer, true), makes_reply: false };
            }
            FinishOrder::Cancel(answer) => {
                return Verdict::Cancel { message: Incoming::finish(answer, true), call };
            }
        },
        Ok(Found::Return(wire, outcome)) => match (questions.answer(wire), outcome) {
            (Answer::Unasked, _) => {
                return Verdict::violation(format!("an answer to question {}, which is not open", wire.0));
            }
            (Answer::TooLate, _) => return Verdict::Discard,
            (Answer::Deliver(id), Outcome::NoResult(reason)) => {
                return Verdict::Deliver { message: Incoming::failed_return(id, reason), makes_reply: false };
            }
            (Answer::Deliver(id), Outcome::Usual) => {
                if id.0 != wire.0 {
                    patches.push(references::own_id(&message, id.0));
                }
                false
            }
        },
        Ok(Found::News) => false,
        Ok(Found::Other) => true,
    };
    if patches.is_empty() {
        return Verdict::Deliver { message: Incoming::Received(message), makes_reply };
    }
    let mut segments = message.into_segments();
    if !patches.into_iter().all(|patch| patch.apply(&mut segments)) {
        return Verdict::violation("a message that leaves out an id");
    }
    Verdict::Deliver { message: Incoming::Received(reader(segments, max_message_bytes)), makes_reply }
}

fn find(message: &Reader<Segments>) -> capnp::Result<Found> {
    let root = message.get_root::<message::Reader<'_>>()?;
    Ok(match root.which() {
        Ok(message::Bootstrap(bootstrap)) => Found::Bootstrap(PeerId(bootstrap?.get_question_id())),
        Ok(message::Call(call)) => Found::Call(PeerId(call?.get_question_id())),
        Ok(message::Finish(finish)) => {
            let finish = finish?;
            Found::Finish {
                call: PeerId(finish.get_question_id()),
                release: finish.get_release_result_caps(),
            }
        }
        Ok(message::Return(answer)) => {
            let answer = answer?;
            let outcome = match answer.which()? {
                return_::Results(_) | return_::Exception(_) | return_::TakeFromOtherQuestion(_) => {
                    Outcome::Usual
                }
                return_::Canceled(()) => Outcome::NoResult("the peer canceled the call"),
                return_::ResultsSentElsewhere(()) => {
                    Outcome::NoResult("the peer sent the results elsewhere, which was not asked of it")
                }
                return_::AcceptFromThirdParty(_) => {
                    Outcome::NoResult("the peer left the results with a third party, which is not supported")
                }
            };
            Found::Return(WireId(answer.get_answer_id()), outcome)
        }
        Ok(message::Abort(abort)) => {
            Found::Abort(VatEnd::aborted(&String::from_utf8_lossy(abort?.get_reason()?.as_bytes())))
        }
        Ok(message::Resolve(_) | message::Release(_)) => Found::News,
        Ok(
            message::Unimplemented(_)
            | message::Disembargo(_)
            | message::Provide(_)
            | message::Accept(_)
            | message::Join(_)
            | message::ObsoleteSave(_)
            | message::ObsoleteDelete(_),
        )
        | Err(capnp::NotInSchema(_)) => Found::Other,
    })
}

fn reader(segments: Segments, max_message_bytes: usize) -> Reader<Segments> {
    let mut options = ReaderOptions::new();
    options
        .traversal_limit_in_words(Some(max_message_bytes.saturating_mul(TRAVERSALS) / WORD_BYTES))
        .nesting_limit(NESTING_LIMIT);
    Reader::new(segments, options)
}
