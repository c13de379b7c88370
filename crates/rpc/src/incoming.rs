//! Messages on their way to capnp-rpc: those that arrived, and those that this side makes in their place.

use capnp::any_pointer;
use capnp::message::{Builder, HeapAllocator, Reader, ReaderOptions};
use capnp_rpc::rpc_capnp::{exception, message};

use crate::answers::AnswerId;
use crate::call::CallContext;
use crate::guard::MAX_DEPTH;
use crate::outgoing;
use crate::questions::QuestionId;
use crate::segments::Segments;

const NESTING_LIMIT: i32 = MAX_DEPTH.cast_signed() * 2;

/// A message for capnp-rpc.
pub(crate) enum Incoming {
    Received(Reader<Segments>),
    /// A call of the peer's.
    Call(Reader<Segments>, CallContext),
    /// Made here.
    Local(Box<Builder<HeapAllocator>>),
}

impl capnp_rpc::IncomingMessage for Incoming {
    fn get_body(&self) -> capnp::Result<any_pointer::Reader<'_>> {
        match self {
            Self::Received(reader) => reader.get_root(),
            Self::Call(reader, context) => {
                context.is_read();
                reader.get_root()
            }
            Self::Local(builder) => builder.get_root_as_reader(),
        }
    }
}

impl Incoming {
    /// The message is a call.
    pub(crate) fn of_call(self, context: CallContext) -> Self {
        match self {
            Self::Received(reader) | Self::Call(reader, _) => Self::Call(reader, context),
            Self::Local(builder) => Self::Local(builder),
        }
    }

    /// The answer to one of capnp-rpc's questions that says that it failed.
    pub(crate) fn failed_return(id: QuestionId, reason: &str) -> Self {
        Self::exception(id, exception::Type::Failed, reason)
    }

    /// As [`failed_return`](Self::failed_return), for other kinds of failure.
    pub(crate) fn exception(id: QuestionId, kind: exception::Type, reason: &str) -> Self {
        Self::Local(Box::new(outgoing::exception_return(id.0, kind, reason)))
    }

    pub(crate) fn bootstrap(id: AnswerId) -> Self {
        Self::local(8, |root| root.init_bootstrap().set_question_id(id.0))
    }

    pub(crate) fn release(id: u32, count: u32) -> Self {
        Self::local(8, |root| {
            let mut release = root.init_release();
            release.set_id(id);
            release.set_reference_count(count);
        })
    }

    pub(crate) fn finish(id: AnswerId, release: bool) -> Self {
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

/// The pointers of the message are known to make a tree that is as deep as the guard allows: reading costs no more than
/// its size, and a list of structs counts twice as deep here.
pub(crate) fn reader(segments: Segments) -> Reader<Segments> {
    let mut options = ReaderOptions::new();
    options.traversal_limit_in_words(None).nesting_limit(NESTING_LIMIT);
    Reader::new(segments, options)
}
