//! What can go wrong when content is fetched, worded for the person who asked for it.

use std::fmt;
use std::io;
use std::path::PathBuf;

use vatmux_rpc::{Disconnected, deadline};

use crate::schema::packagefs_capnp::Status;

/// How much of a peer's words is repeated to a person, in bytes.
const MAX_PEER_WORDS_BYTES: usize = 300;

/// A request to a packagefs server, or what was to be made of its answer, failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server answered that it cannot.
    #[error("cannot {operation} {}: {}", Shown(path), Refused(*status, detail))]
    Refused {
        /// What was tried.
        operation: Operation,
        /// On which path of the server.
        path: String,
        /// Why not.
        status: Status,
        /// More about it, in the server's words.
        detail: String,
    },
    /// The server did not answer: the link, a deadline or a limit of the vat.
    #[error("cannot {operation} {}: {}", Shown(path), CallFailed(source))]
    Call {
        /// What was tried.
        operation: Operation,
        /// On which path of the server.
        path: String,
        /// What the vat said.
        source: capnp::Error,
    },
    /// The server answered what no honest server answers.
    #[error("cannot {operation} {}: the server breaks the protocol: {violation}", Shown(path))]
    Violation {
        /// What was tried.
        operation: Operation,
        /// On which path of the server.
        path: String,
        /// What is wrong with the answer.
        violation: Violation,
    },
    /// The directory or the tree has more entries than the caller would take.
    #[error(
        "cannot {operation} {}: it has more than {limit} entries; take a part of it, or allow for more",
        Shown(path)
    )]
    TooManyEntries {
        /// What was tried.
        operation: Operation,
        /// On which path of the server.
        path: String,
        /// How many were allowed.
        limit: u64,
    },
    /// What was fetched could not be written out.
    #[error("cannot write what was read from {}: {}", Shown(path), LocalFailed(source))]
    Output {
        /// The path of the server that was read.
        path: String,
        /// What the output said.
        source: io::Error,
    },
    /// Something of this machine failed.
    #[error("cannot {operation} `{}`: {}", path.display(), LocalFailed(source))]
    Local {
        /// What was tried.
        operation: LocalOperation,
        /// On which path of this machine.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The destination is something that fetching would destroy.
    #[error("cannot fetch to `{}`: {}", path.display(), state)]
    Destination {
        /// The destination.
        path: PathBuf,
        /// What is there.
        state: DestinationState,
    },
}

/// What was asked of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Asking what a path names.
    Stat,
    /// Listing a directory.
    List,
    /// Reading a file.
    Read,
    /// Fetching a tree.
    FetchTree,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stat => "stat",
            Self::List => "list",
            Self::Read => "read",
            Self::FetchTree => "fetch",
        })
    }
}

/// What was asked of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalOperation {
    /// Making a file, a directory or a link.
    Create,
    /// Writing to a file.
    Write,
    /// Looking at a file, or at what was written.
    Inspect,
    /// Giving a finished file or tree its name.
    Rename,
    /// Removing what could not be finished.
    Remove,
}

impl fmt::Display for LocalOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::Write => "write",
            Self::Inspect => "look at",
            Self::Rename => "give its name to",
            Self::Remove => "remove",
        })
    }
}

/// Why a destination is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DestinationState {
    /// Something that is not a regular file has the name of the file to write.
    NotAFile,
    /// Something that is not an empty directory has the name of the tree to write.
    NotEmpty,
    /// The path ends in no name.
    Nameless,
}

impl fmt::Display for DestinationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAFile => "there is something that is not a regular file; name another destination",
            Self::NotEmpty => {
                "there is something already, and it is not an empty directory; name another destination"
            }
            Self::Nameless => "the path does not end in a name; add one",
        })
    }
}

/// What is wrong with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// More bytes came than the file has.
    #[error("it sent more than the {expected} bytes that it announced")]
    TooManyBytes {
        /// How many there should have been.
        expected: u64,
    },
    /// Success was reported and bytes are missing.
    #[error("it announced {expected} bytes, sent {received}, and called that complete")]
    TooFewBytes {
        /// How many there should have been.
        expected: u64,
        /// How many came.
        received: u64,
    },
    /// A stream carried a chunk without bytes.
    #[error("it sent an empty chunk")]
    EmptyChunk,
    /// A file is longer than what came of it, and there is no capability to read the rest.
    #[error("it sent a part of the file and no way to read the rest")]
    NoFile,
    /// A listing has a name that is not one valid segment.
    #[error("it listed a name that is no name, such as one with `/` in it")]
    InvalidName,
    /// The names of a listing do not ascend.
    #[error("it listed names out of order, or one twice")]
    UnorderedListing,
    /// A listing does not advance.
    #[error("it goes on and on with a listing that lists nothing")]
    EndlessListing,
}

/// A path of the server, as a person may see it.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("the root") } else { write!(f, "`{}`", Words(self.0)) }
    }
}

/// A peer's words: shortened, and without what a terminal would obey.
pub(super) struct Words<'a>(pub(super) &'a str);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.floor_char_boundary(MAX_PEER_WORDS_BYTES);
        for character in self.0[..end].chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                write!(f, "{character}")?;
            }
        }
        if end < self.0.len() { f.write_str("…") } else { Ok(()) }
    }
}

/// A status with its detail.
pub(super) struct Refused<'a>(pub(super) Status, pub(super) &'a str);

impl fmt::Display for Refused<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Status::Ok => "the server says that all is well",
            Status::NotFound => "there is nothing at this path",
            Status::NotADirectory => "a name on this path that must be a directory is something else",
            Status::IsADirectory => "it is a directory",
            Status::NotAFile => "it is a FIFO, a socket or a device, and those are never opened",
            Status::OutsideRoot => "a symbolic link on this path leads out of what is served",
            Status::LinkLoop => "there are too many symbolic links on this path",
            Status::InvalidPath => "this is not a valid path",
            Status::InvalidCursor => "the server does not know the place at which to go on; list again",
            Status::AccessDenied => "the server has no permission to read it",
            Status::TooLarge => "more was asked for than one call may carry",
            Status::TooManyOpen => "too many files are open on this connection; close some",
            Status::Changed => "it became shorter while it was read; try again",
            Status::SinkFailed => "the bytes could not be delivered",
            Status::IoError => "the server's storage failed",
            Status::IntegrityViolation => "what the server has stored is damaged",
        })?;
        if self.1.is_empty() { Ok(()) } else { write!(f, " ({})", Words(self.1)) }
    }
}

/// Why a call had no result.
struct CallFailed<'a>(&'a capnp::Error);

impl fmt::Display for CallFailed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0.kind {
            _ if deadline::is_exceeded(self.0) => "the server did not answer in time",
            capnp::ErrorKind::Disconnected => "the connection ended",
            capnp::ErrorKind::Overloaded => "the server is overloaded, try again later",
            capnp::ErrorKind::Unimplemented => "the server does not offer this",
            _ => "the call failed",
        })?;
        if self.0.extra.is_empty() {
            write!(f, ": {}", self.0.kind)
        } else {
            let reason = match self.0.kind {
                capnp::ErrorKind::Disconnected => Disconnected::reason(self.0),
                _ => &self.0.extra,
            };
            write!(f, ": {}", Words(reason))
        }
    }
}

/// Why this machine could not.
struct LocalFailed<'a>(&'a io::Error);

impl fmt::Display for LocalFailed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.kind() {
            io::ErrorKind::StorageFull => {
                f.write_str("the disk is full; make room there, or name another destination")
            }
            io::ErrorKind::QuotaExceeded => {
                f.write_str("the disk quota is used up; make room there, or name another destination")
            }
            io::ErrorKind::NotFound => f.write_str("its directory does not exist; create that first"),
            _ => write!(f, "{}", self.0),
        }
    }
}
