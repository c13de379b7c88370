//! Why a call of a service came to nothing: as its caller hears it, and as its server says it.

use std::error;
use std::fmt;

use capnp::ErrorKind;

use super::{Description, Descriptor, Method};
use crate::{Disconnected, deadline};

/// The words with which a service says how a call ended: an enum of its schema that is annotated as `status`.
pub trait Status: Copy + fmt::Debug + PartialEq + 'static {
    /// All is well: it is the enum's first word.
    fn is_ok(self) -> bool;

    /// What the schema says of the word.
    fn meaning(self) -> &'static str;
}

/// The status of a method that has none: nobody can have one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoStatus {}

impl Status for NoStatus {
    fn is_ok(self) -> bool {
        match self {}
    }

    fn meaning(self) -> &'static str {
        match self {}
    }
}

impl From<NoStatus> for capnp::Error {
    fn from(none: NoStatus) -> Self {
        match none {}
    }
}

/// Why a call through a stub has no results. `S` is the schema's own enum of errors, where the method has one.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error<S = NoStatus> {
    /// The service answered that it cannot.
    Refused {
        /// What was called.
        method: &'static Method,
        /// Why not.
        status: S,
        /// More about it, in the server's words; often none.
        detail: String,
    },
    /// The service answered with a status that this side's schema does not have.
    UnknownStatus {
        /// What was called.
        method: &'static Method,
        /// Its number in the peer's schema.
        number: u16,
        /// More about it, in the server's words.
        detail: String,
    },
    /// There was no answer: the link, a deadline, a limit, or a defect of the server.
    Call {
        /// What was called.
        method: &'static Method,
        /// What the vat said.
        source: capnp::Error,
    },
    /// The two sides were built from schemas that do not fit.
    Mismatch {
        /// What was called.
        method: &'static Method,
        /// What this side took the service for, and what it is.
        mismatch: Box<Mismatch>,
    },
    /// The answer is not what the schema says.
    Answer {
        /// What was called.
        method: &'static Method,
        /// What is wrong with it.
        source: capnp::Error,
    },
}

/// A service is not what this side takes it for.
#[derive(Debug)]
pub struct Mismatch {
    /// What this side was built with.
    pub ours: &'static Descriptor,
    /// What the peer says that it serves.
    pub theirs: Description,
}

/// Why a server does not do what a call asks for.
///
/// A server that writes its results in their message may refuse after it began: what it wrote leaves with the refusal, and no
/// stub shows it to its caller.
#[derive(Debug)]
pub enum Refusal<S> {
    /// As the schema has it. It is a result: the caller reads it, with the detail.
    Status {
        /// Why not.
        status: S,
        /// More about it, for people; empty where the status says it all.
        detail: String,
    },
    /// Something is broken: the call ends with an exception.
    Failed(capnp::Error),
}

impl<S: Status> Refusal<S> {
    /// A status with more about it.
    pub fn new(status: S, detail: impl Into<String>) -> Self {
        Self::Status { status, detail: detail.into() }
    }
}

impl<S: Status> From<S> for Refusal<S> {
    fn from(status: S) -> Self {
        Self::Status { status, detail: String::new() }
    }
}

impl<S> From<capnp::Error> for Refusal<S> {
    fn from(error: capnp::Error) -> Self {
        Self::Failed(error)
    }
}

/// What a call came to for whom it was made on somebody else's behalf.
impl<S> From<Error<S>> for Refusal<S> {
    fn from(error: Error<S>) -> Self {
        match error {
            Error::Refused { status, detail, .. } => Self::Status { status, detail },
            Error::Call { source, .. } => Self::Failed(source),
            other => Self::Failed(capnp::Error::failed(other.reason())),
        }
    }
}

impl From<Error> for capnp::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused { status, .. } => status.into(),
            Error::Call { source, .. } => source,
            other => Self::failed(other.reason()),
        }
    }
}

impl<S> Error<S> {
    /// What was called.
    #[must_use]
    pub fn method(&self) -> &'static Method {
        match self {
            Self::Refused { method, .. }
            | Self::UnknownStatus { method, .. }
            | Self::Call { method, .. }
            | Self::Mismatch { method, .. }
            | Self::Answer { method, .. } => method,
        }
    }

    /// The service's own reason, where it gave one.
    #[must_use]
    pub fn status(&self) -> Option<&S> {
        match self {
            Self::Refused { status, .. } => Some(status),
            _ => None,
        }
    }

    /// The call's deadline came before its answer.
    #[must_use]
    pub fn is_deadline(&self) -> bool {
        matches!(self, Self::Call { source, .. } if deadline::is_exceeded(source))
    }

    /// The session or the vat died under the call.
    #[must_use]
    pub fn disconnected(&self) -> Option<Disconnected> {
        match self {
            Self::Call { source, .. } => Disconnected::of(source),
            _ => None,
        }
    }

    /// Whether to make the call again can do no harm: it was not delivered, or the schema calls it idempotent and it may
    /// succeed another time.
    #[must_use]
    pub fn may_be_repeated(&self) -> bool {
        match self {
            Self::Call { method, source } => match Disconnected::of(source) {
                Some(lost) => method.idempotent || !lost.maybe_delivered,
                None if source.kind == ErrorKind::Overloaded => true,
                None => method.idempotent && deadline::is_exceeded(source),
            },
            _ => false,
        }
    }

    /// Everything but the method, and the status that is none of the caller's.
    fn reason(&self) -> String {
        match self {
            Self::Refused { detail, .. } => detail.clone(),
            Self::UnknownStatus { number, detail, .. } if detail.is_empty() => {
                format!("refused with status {number}, which this side's schema does not have")
            }
            Self::UnknownStatus { number, detail, .. } => {
                format!("refused with status {number}, which this side's schema does not have: {detail}")
            }
            Self::Call { source, .. } if source.extra.is_empty() => source.kind.to_string(),
            Self::Call { source, .. } if source.kind == ErrorKind::Disconnected => {
                format!("disconnected: {}", Disconnected::reason(source))
            }
            Self::Call { source, .. } => source.extra.clone(),
            Self::Mismatch { mismatch, .. } => mismatch.to_string(),
            Self::Answer { source, .. } => format!("the answer is not what the schema says: {source}"),
        }
    }
}

impl<S: Status> fmt::Display for Error<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.method())?;
        match self {
            Self::Refused { status, detail, .. } => {
                match status.meaning() {
                    "" => write!(f, "{status:?}")?,
                    meaning => f.write_str(meaning)?,
                }
                if detail.is_empty() { Ok(()) } else { write!(f, " ({detail})") }
            }
            other => f.write_str(&other.reason()),
        }
    }
}

impl<S: Status> error::Error for Error<S> {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Call { source, .. } | Self::Answer { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ours, theirs } = self;
        write!(
            f,
            "the peer's service {:?} has another schema: here it is {} {:#018x} with digest {}, there {} {:#018x} with digest {}; build both from the same schema",
            ours.name,
            ours.interface.name,
            ours.interface.id,
            ours.digest,
            theirs.interface_name,
            theirs.interface_id,
            theirs.digest
        )
    }
}

/// What is wrong with results, before it is known whose they are.
#[derive(Debug)]
pub enum Fault<S> {
    /// They say that there are none.
    Refused {
        /// Why not.
        status: S,
        /// More about it.
        detail: String,
    },
    /// They say so by a status that this side does not know.
    UnknownStatus {
        /// Its number.
        number: u16,
        /// More about it.
        detail: String,
    },
    /// They cannot be read.
    Unreadable(capnp::Error),
}

impl<S> From<capnp::Error> for Fault<S> {
    fn from(error: capnp::Error) -> Self {
        Self::Unreadable(error)
    }
}

impl<S> From<capnp::NotInSchema> for Fault<S> {
    fn from(error: capnp::NotInSchema) -> Self {
        Self::Unreadable(error.into())
    }
}

impl<S> From<std::str::Utf8Error> for Fault<S> {
    fn from(error: std::str::Utf8Error) -> Self {
        Self::Unreadable(error.into())
    }
}

impl<S> Fault<S> {
    pub(super) fn of(self, method: &'static Method) -> Error<S> {
        match self {
            Self::Refused { status, detail } => Error::Refused { method, status, detail },
            Self::UnknownStatus { number, detail } => Error::UnknownStatus { method, number, detail },
            Self::Unreadable(source) => Error::Answer { method, source },
        }
    }
}

/// The longest detail that is kept of a peer's words, in bytes.
const MAX_DETAIL_BYTES: usize = 1_000;

/// Turns a status into a fault, unless it is the one that says that all is well. For generated code.
pub fn accept<S: Status>(
    status: Result<S, capnp::NotInSchema>,
    detail: capnp::Result<capnp::text::Reader<'_>>,
) -> Result<(), Fault<S>> {
    if status.is_ok_and(S::is_ok) {
        return Ok(());
    }
    let mut detail = String::from_utf8_lossy(detail?.as_bytes()).into_owned();
    detail.truncate(detail.floor_char_boundary(MAX_DETAIL_BYTES));
    Err(match status {
        Ok(status) => Fault::Refused { status, detail },
        Err(capnp::NotInSchema(number)) => Fault::UnknownStatus { number, detail },
    })
}
