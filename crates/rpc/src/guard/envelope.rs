//! What a message says, as far as the guard decides on it: read once, and free of borrows from the message.

use capnp::message::Reader;
use capnp::raw::get_struct_data_section;
use capnp_rpc::rpc_capnp::{
    cap_descriptor, disembargo, exception, message, message_target, payload, promised_answer, resolve,
    return_,
};

use super::{Limits, Malformed, Violation};
use crate::VatEnd;
use crate::answers::PeerId;
use crate::questions::WireId;
use crate::references::Patch;
use crate::segments::Segments;
use crate::sight;

/// A received message.
#[derive(Debug)]
pub(crate) enum Message {
    Bootstrap(PeerId),
    Call {
        id: PeerId,
        interface: u64,
        method: u16,
        target: Target,
        redirected: bool,
        caps: Caps,
    },
    Finish {
        call: PeerId,
        release: bool,
    },
    Return {
        question: WireId,
        outcome: Outcome,
        release_params: bool,
    },
    /// A capability that the peer gives, in place of a promise that it gave before.
    Resolve(Caps),
    Release {
        id: u32,
        count: u32,
    },
    Disembargo(Disembargo),
    Abort(VatEnd),
    /// The peer does not know the Resolve that brought it this capability.
    UnimplementedResolve(Option<u32>),
    /// Of no concern: it is returned as unimplemented.
    Unknown,
}

/// Where a Call or a Disembargo goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// A capability of ours.
    Export(u32),
    /// The result of a call of the peer's.
    Answer(PeerId),
}

/// What a Return says.
#[derive(Debug)]
pub(crate) enum Outcome {
    Results(Caps),
    Exception(exception::Type),
    /// An exception with more to say than callers are told.
    LongException(exception::Type, String),
    /// capnp-rpc would leave the caller waiting for ever.
    NoResult(&'static str),
}

impl Outcome {
    /// What the caller of it sees.
    pub(crate) fn seen(&self) -> sight::Outcome {
        match self {
            Self::Results(_) => sight::Outcome::Ok,
            Self::Exception(kind) | Self::LongException(kind, _) => (*kind).into(),
            Self::NoResult(_) => sight::Outcome::Exception,
        }
    }
}

#[derive(Debug)]
pub(crate) enum Disembargo {
    /// The peer wants it back, once what it sent to the target before has arrived there.
    Echo(Target),
    /// The answer to one of ours.
    Lift(u32),
}

/// The capabilities in one message, by whose they are.
#[derive(Debug, Default)]
pub(crate) struct Caps {
    /// The peer's.
    pub(crate) imports: Vec<u32>,
    /// Ours.
    pub(crate) exports: Vec<u32>,
    /// Results of the peer's calls.
    pub(crate) answers: Vec<PeerId>,
    /// Each promise of the peer's is taken for the capability that it stands for: see [`super`].
    pub(crate) patches: Vec<Patch>,
}

/// What the words of an exception that is passed on may take. Each caller gets a copy.
const MAX_EXCEPTION_BYTES: usize = 16 << 10;

/// What is kept of the words of a longer one.
const KEPT_EXCEPTION_BYTES: usize = 1_000;

pub(crate) fn read(message: &Reader<Segments>, limits: &Limits) -> Result<Message, Violation> {
    let root = message.get_root::<message::Reader<'_>>()?;
    Ok(match root.which() {
        Ok(message::Call(call)) => {
            let call = call?;
            let redirected = match call.get_send_results_to().which()? {
                capnp_rpc::rpc_capnp::call::send_results_to::Caller(()) => false,
                capnp_rpc::rpc_capnp::call::send_results_to::Yourself(())
                | capnp_rpc::rpc_capnp::call::send_results_to::ThirdParty(_) => true,
            };
            Message::Call {
                id: PeerId(call.get_question_id()),
                interface: call.get_interface_id(),
                method: call.get_method_id(),
                target: target(call.get_target()?, limits)?,
                redirected,
                caps: table(message, call.get_params()?, limits)?,
            }
        }
        Ok(message::Return(answer)) => {
            let answer = answer?;
            Message::Return {
                question: WireId(answer.get_answer_id()),
                outcome: outcome(message, answer, limits)?,
                release_params: answer.get_release_param_caps(),
            }
        }
        Ok(message::Finish(finish)) => {
            let finish = finish?;
            Message::Finish {
                call: PeerId(finish.get_question_id()),
                release: finish.get_release_result_caps(),
            }
        }
        Ok(message::Bootstrap(bootstrap)) => Message::Bootstrap(PeerId(bootstrap?.get_question_id())),
        Ok(message::Release(release)) => {
            let release = release?;
            Message::Release { id: release.get_id(), count: release.get_reference_count() }
        }
        Ok(message::Resolve(resolve)) => {
            let mut caps = Caps::default();
            match resolve?.which()? {
                resolve::Cap(cap) => caps.add(message, cap?, limits)?,
                resolve::Exception(exception) => {
                    exception?;
                }
            }
            Message::Resolve(caps)
        }
        Ok(message::Disembargo(disembargo)) => {
            let disembargo = disembargo?;
            Message::Disembargo(match disembargo.get_context().which()? {
                disembargo::context::SenderLoopback(_) => {
                    Disembargo::Echo(target(disembargo.get_target()?, limits)?)
                }
                disembargo::context::ReceiverLoopback(id) => Disembargo::Lift(id),
                disembargo::context::Accept(()) | disembargo::context::Provide(_) => {
                    return Err(Violation::ThreeParties);
                }
            })
        }
        Ok(message::Abort(abort)) => {
            let reason = abort?.get_reason()?;
            Message::Abort(VatEnd::aborted(&String::from_utf8_lossy(reason.as_bytes())))
        }
        Ok(message::Unimplemented(echoed)) => unimplemented(echoed?)?,
        Ok(
            message::Provide(_)
            | message::Accept(_)
            | message::Join(_)
            | message::ObsoleteSave(_)
            | message::ObsoleteDelete(_),
        )
        | Err(capnp::NotInSchema(_)) => Message::Unknown,
    })
}

impl From<capnp::Error> for Violation {
    fn from(_: capnp::Error) -> Self {
        // The pointers have been checked: what is left is a field of another type than the protocol has.
        Self::Malformed(Malformed::Unreadable)
    }
}

impl From<capnp::NotInSchema> for Violation {
    fn from(_: capnp::NotInSchema) -> Self {
        Self::Malformed(Malformed::Unreadable)
    }
}

fn outcome(
    message: &Reader<Segments>,
    answer: return_::Reader<'_>,
    limits: &Limits,
) -> Result<Outcome, Violation> {
    Ok(match answer.which()? {
        return_::Results(results) => Outcome::Results(table(message, results?, limits)?),
        return_::Exception(exception) => {
            let exception = exception?;
            let reason = exception.get_reason()?.as_bytes();
            let kind = exception.get_type().unwrap_or(exception::Type::Failed);
            if reason.len() <= MAX_EXCEPTION_BYTES {
                return Ok(Outcome::Exception(kind));
            }
            let kept = reason.get(..KEPT_EXCEPTION_BYTES).unwrap_or_default();
            Outcome::LongException(kind, format!("{}…", String::from_utf8_lossy(kept)))
        }
        return_::Canceled(()) => Outcome::NoResult("the peer canceled the call"),
        return_::ResultsSentElsewhere(()) => {
            Outcome::NoResult("the peer sent the results elsewhere, which was not asked of it")
        }
        return_::TakeFromOtherQuestion(_) => {
            Outcome::NoResult("the peer passed the call back to this side, which is not supported")
        }
        return_::AcceptFromThirdParty(_) => {
            Outcome::NoResult("the peer left the results with a third party, which is not supported")
        }
    })
}

/// A message of ours that comes back. A Resolve may; the peer then wants to be rid of what came with it.
fn unimplemented(echoed: message::Reader<'_>) -> Result<Message, Violation> {
    let Ok(message::Resolve(resolve)) = echoed.which() else {
        return Err(Violation::EssentialUnimplemented);
    };
    Ok(Message::UnimplementedResolve(match resolve?.which()? {
        resolve::Cap(cap) => match cap?.which()? {
            cap_descriptor::SenderHosted(id) | cap_descriptor::SenderPromise(id) => Some(id),
            cap_descriptor::None(())
            | cap_descriptor::ReceiverHosted(_)
            | cap_descriptor::ReceiverAnswer(_) => None,
            cap_descriptor::ThirdPartyHosted(_) => return Err(Violation::ThreeParties),
        },
        resolve::Exception(_) => None,
    }))
}

fn target(target: message_target::Reader<'_>, limits: &Limits) -> Result<Target, Violation> {
    Ok(match target.which()? {
        message_target::ImportedCap(id) => Target::Export(id),
        message_target::PromisedAnswer(answer) => Target::Answer(promised(answer?, limits)?),
    })
}

fn promised(answer: promised_answer::Reader<'_>, limits: &Limits) -> Result<PeerId, Violation> {
    let transform = answer.get_transform()?;
    let steps = transform.len();
    if steps > limits.max_transform {
        return Err(Violation::TransformTooLong { steps, limit: limits.max_transform });
    }
    for step in transform {
        step.which()?;
    }
    Ok(PeerId(answer.get_question_id()))
}

fn table(
    message: &Reader<Segments>,
    payload: payload::Reader<'_>,
    limits: &Limits,
) -> Result<Caps, Violation> {
    let mut caps = Caps::default();
    let table = payload.get_cap_table()?;
    let (count, limit) = (table.len(), limits.capabilities_per_message());
    if count > limit {
        return Err(Violation::TooManyCapabilities { count, limit });
    }
    for cap in table {
        caps.add(message, cap, limits)?;
    }
    Ok(caps)
}

impl Caps {
    fn add(
        &mut self,
        message: &Reader<Segments>,
        cap: cap_descriptor::Reader<'_>,
        limits: &Limits,
    ) -> Result<(), Violation> {
        match cap.which()? {
            cap_descriptor::None(()) => {}
            cap_descriptor::SenderHosted(id) => self.imports.push(id),
            cap_descriptor::SenderPromise(id) => {
                self.imports.push(id);
                self.patches.push(Patch::hosted_for_promise(message, cap));
            }
            cap_descriptor::ReceiverHosted(id) => self.exports.push(id),
            cap_descriptor::ReceiverAnswer(answer) => self.answers.push(promised(answer?, limits)?),
            cap_descriptor::ThirdPartyHosted(_) => return Err(Violation::ThreeParties),
        }
        Ok(())
    }
}

/// What a message that this side sends gives to the peer, and what comes back with it.
pub(crate) mod sent {
    use capnp::message::{Builder, HeapAllocator};

    use super::{cap_descriptor, disembargo, message, payload, resolve, return_};

    /// A capability in a message of ours.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Cap {
        /// Ours.
        Export(u32),
        /// Ours, not settled yet.
        Promise(u32),
        /// The result of one of our calls to the peer.
        Question,
        /// The peer's own, or none.
        Other,
    }

    impl Cap {
        /// The id of a capability of ours.
        pub(crate) fn export(self) -> Option<u32> {
            match self {
                Self::Export(id) | Self::Promise(id) => Some(id),
                Self::Question | Self::Other => None,
            }
        }
    }

    /// The capabilities of a Call's parameters or a Return's results.
    pub(crate) fn caps(message: &Builder<HeapAllocator>) -> capnp::Result<Vec<Cap>> {
        let root = message.get_root_as_reader::<message::Reader<'_>>()?;
        let payload: payload::Reader<'_> = match root.which()? {
            message::Call(call) => call?.get_params()?,
            message::Return(answer) => match answer?.which()? {
                return_::Results(results) => results?,
                _ => return Ok(Vec::new()),
            },
            _ => return Ok(Vec::new()),
        };
        payload.get_cap_table()?.iter().map(cap).collect()
    }

    /// What a Resolve says that a promise of ours became; None for an exception.
    pub(crate) fn resolution(resolve: resolve::Reader<'_>) -> capnp::Result<Option<Cap>> {
        match resolve.which()? {
            resolve::Cap(resolved) => cap(resolved?).map(Some),
            resolve::Exception(_) => Ok(None),
        }
    }

    /// The embargo that a Disembargo asks the peer to lift.
    pub(crate) fn embargo(disembargo: disembargo::Reader<'_>) -> capnp::Result<Option<u32>> {
        Ok(match disembargo.get_context().which()? {
            disembargo::context::SenderLoopback(id) => Some(id),
            _ => None,
        })
    }

    fn cap(cap: cap_descriptor::Reader<'_>) -> capnp::Result<Cap> {
        Ok(match cap.which()? {
            cap_descriptor::SenderHosted(id) => Cap::Export(id),
            cap_descriptor::SenderPromise(id) => Cap::Promise(id),
            cap_descriptor::ReceiverAnswer(_) => Cap::Question,
            cap_descriptor::None(())
            | cap_descriptor::ReceiverHosted(_)
            | cap_descriptor::ThirdPartyHosted(_) => Cap::Other,
        })
    }
}

impl Patch {
    /// The data section of a descriptor begins with what kind it is.
    fn hosted_for_promise(message: &Reader<Segments>, cap: cap_descriptor::Reader<'_>) -> Self {
        const SENDER_HOSTED: u16 = 1;
        let place = message.get_segments().locate::<2>(get_struct_data_section(cap), 0);
        Self::new_kind(place, SENDER_HOSTED)
    }
}
