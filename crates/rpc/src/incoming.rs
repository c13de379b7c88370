//! Messages on their way to capnp-rpc: those that arrived, and answers that this side gives itself.
//!
//! [`inspect`] is the one place that reads an incoming message before capnp-rpc does.

use capnp::any_pointer;
use capnp::message::{Builder, HeapAllocator, Reader, ReaderOptions, ReaderSegments};
use capnp_rpc::rpc_capnp::{message, return_};

use crate::questions::{Answer, QuestionId, Questions, WireId};
use crate::segments::Segments;
use crate::{VatEnd, outgoing};

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
}

/// What is to be done with a received message.
pub(crate) enum Verdict {
    /// capnp-rpc gets it. A message that makes us reply is not read while too many replies wait.
    Deliver { message: Incoming, makes_reply: bool },
    /// It concerns nobody any more.
    Discard,
    /// It ends the vat.
    End(VatEnd),
}

/// What [`inspect`] found, free of borrows from the message.
enum Found {
    MakesReply,
    NoReply,
    Abort(String),
    Return(WireId, Outcome),
}

/// What a Return says, as far as it matters here.
enum Outcome {
    /// capnp-rpc passes it on to the caller.
    Usual,
    /// capnp-rpc would leave the caller waiting for ever.
    NoResult(&'static str),
}

/// Reads a received message: which of our questions it answers, under which id capnp-rpc knows that one,
/// and whether it may pass at all. Nothing has changed where it ends the vat.
pub(crate) fn inspect(segments: Segments, max_message_bytes: usize, questions: &mut Questions) -> Verdict {
    let message = reader(segments, max_message_bytes);
    match find(&message) {
        Err(error) => Verdict::End(VatEnd::Protocol(error.to_string())),
        Ok(Found::Abort(reason)) => Verdict::End(VatEnd::Aborted(reason)),
        Ok(Found::MakesReply) => Verdict::Deliver { message: Incoming::Received(message), makes_reply: true },
        Ok(Found::NoReply) => Verdict::Deliver { message: Incoming::Received(message), makes_reply: false },
        Ok(Found::Return(wire, outcome)) => match (questions.answer(wire), outcome) {
            (Answer::Unasked, _) => {
                Verdict::End(VatEnd::Protocol(format!("an answer to question {}, which is not open", wire.0)))
            }
            (Answer::TooLate, _) => Verdict::Discard,
            (Answer::Deliver(id), Outcome::NoResult(reason)) => {
                Verdict::Deliver { message: Incoming::failed_return(id, reason), makes_reply: false }
            }
            (Answer::Deliver(id), Outcome::Usual) => {
                match readdressed(message, wire, id, max_message_bytes) {
                    Some(message) => {
                        Verdict::Deliver { message: Incoming::Received(message), makes_reply: false }
                    }
                    None => Verdict::End(VatEnd::Protocol("an answer without an id".to_owned())),
                }
            }
        },
    }
}

fn find(message: &Reader<Segments>) -> capnp::Result<Found> {
    let root = message.get_root::<message::Reader<'_>>()?;
    Ok(match root.which() {
        Ok(message::Abort(abort)) => Found::Abort(abort?.get_reason()?.to_string()?),
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
        Ok(message::Finish(_) | message::Resolve(_) | message::Release(_)) => Found::NoReply,
        Ok(
            message::Unimplemented(_)
            | message::Bootstrap(_)
            | message::Call(_)
            | message::Disembargo(_)
            | message::Provide(_)
            | message::Accept(_)
            | message::Join(_)
            | message::ObsoleteSave(_)
            | message::ObsoleteDelete(_),
        )
        | Err(capnp::NotInSchema(_)) => Found::MakesReply,
    })
}

/// The same Return with capnp-rpc's id for the question in place of the alias. None where it has none to replace,
/// which an alias, being no zero, excludes.
fn readdressed(
    message: Reader<Segments>,
    wire: WireId,
    id: QuestionId,
    max_message_bytes: usize,
) -> Option<Reader<Segments>> {
    if wire.0 == id.0 {
        return Some(message);
    }
    let section = {
        let root = message.get_root::<message::Reader<'_>>().ok()?;
        let Ok(message::Return(Ok(answer))) = root.which() else { return None };
        // answerId is the first field of Return and fills the first four bytes of its data section.
        message.get_segments().locate(capnp::raw::get_struct_data_section(answer))?
    };
    let mut segments = message.into_segments();
    segments.overwrite_u32(section, id.0).then(|| reader(segments, max_message_bytes))
}

fn reader(segments: Segments, max_message_bytes: usize) -> Reader<Segments> {
    let limit = max_message_bytes.saturating_mul(TRAVERSALS) / crate::segments::WORD_BYTES;
    let mut options = ReaderOptions::new();
    options.traversal_limit_in_words(Some(limit)).nesting_limit(NESTING_LIMIT);
    debug_assert!(ReaderSegments::len(&segments) > 0, "a frame has a segment");
    Reader::new(segments, options)
}
