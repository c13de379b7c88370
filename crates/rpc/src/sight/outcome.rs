//! What becomes of calls.

use capnp_rpc::rpc_capnp::exception;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// With results.
    Ok,
    /// With an exception of another kind than the ones below.
    Exception,
    /// Its deadline came, at the caller or, where that waits longer, at the callee. Where it is the caller's, the callee
    /// sees the call as canceled; where it is the callee's, the caller sees an exception.
    Deadline,
    /// The caller gave it up.
    Canceled,
    /// The callee had no room for it.
    Overloaded,
    /// Its vat ended first, or the callee lost somebody whom it needed.
    Disconnected,
}

impl Outcome {
    /// Each of them, in the order in which they are declared.
    pub const ALL: [Self; 6] =
        [Self::Ok, Self::Exception, Self::Deadline, Self::Canceled, Self::Overloaded, Self::Disconnected];

    /// Its name in spans and in what programs read.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Exception => "exception",
            Self::Deadline => "deadline",
            Self::Canceled => "canceled",
            Self::Overloaded => "overloaded",
            Self::Disconnected => "disconnected",
        }
    }

    /// True where the time that the call took says something about the service: the caller had not gone, and neither had
    /// the link.
    pub(crate) fn is_timed(self) -> bool {
        match self {
            Self::Ok | Self::Exception | Self::Deadline | Self::Overloaded => true,
            Self::Canceled | Self::Disconnected => false,
        }
    }
}

impl From<exception::Type> for Outcome {
    fn from(kind: exception::Type) -> Self {
        match kind {
            exception::Type::Failed | exception::Type::Unimplemented => Self::Exception,
            exception::Type::Overloaded => Self::Overloaded,
            exception::Type::Disconnected => Self::Disconnected,
        }
    }
}
