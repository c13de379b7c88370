//! Why a command did not do what it was asked, in one line for the person or the program that asked.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use serde_json::json;
use vatmux::bundle::{ExtractError, OpenStoreError, PackError};
use vatmux::bundlemgr::InstallError;
use vatmux::health::{AskError, PingError};
use vatmux::packagefs::{self, OpenTreeError, Operation, Status};
use vatmux::samgr;
use vatmux::statefs::{self, Key, RequestError};
use vatmux::toml_file::ReadFileError;
use vatmux_host::bridge::{BridgeError, LeavesThisMachine};
use vatmux_host::keys::KeyError;
use vatmux_host::{DialError, Endpoint, ListenError, StartError};
use vatmux_noise::NodeId;
use vatmux_rpc::ConnectError;

use crate::text::{self, Harmless};

/// The longest line that is printed, in bytes: enough for any of ours, and for the most part of an argument of 100 KB
/// that clap repeats.
const MAX_LINE_BYTES: usize = 2_000;

/// How a process is said to have ended that wrote to a pipe which nobody reads: 128 and the number of SIGPIPE.
const BROKEN_PIPE_EXIT_CODE: u8 = 141;

/// How a process is said to have ended that was interrupted: 128 and the number of SIGINT.
const INTERRUPTED_EXIT_CODE: u8 = 130;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command line makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A node that nobody may dial.
    #[error(
        "nobody may connect: name nodes with --allow NODE-ID or in --policy FILE, or let every node in with \
         --allow-anyone"
    )]
    NobodyAllowed,
    /// A policy or a config that is none.
    #[error(transparent)]
    File(#[from] ReadFileError),
    /// No place for the key.
    #[error("cannot find this user's configuration directory; say where to keep the key: --home DIR")]
    NoHome,
    /// No key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No session.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// A session, and a peer that does not want us.
    #[error(
        "the node at {endpoint} does not allow this node; ask its owner to serve with --allow {node} (this node's id)"
    )]
    NotAllowed {
        /// The node's.
        endpoint: Endpoint,
        /// Ours.
        node: NodeId,
    },
    /// No stream in the session.
    #[error("cannot reach a service of the node at {endpoint}: {error}")]
    Connect {
        /// The node's.
        endpoint: Endpoint,
        /// What the vat said.
        error: ConnectError,
    },
    /// A bridge.
    #[error(transparent)]
    Bridge(BridgeError),
    /// Plain text would leave this machine.
    #[error("{0}; or, where nobody is on the way who should not be, add --insecure-plain-tcp")]
    LeavesThisMachine(#[from] LeavesThisMachine),
    /// The node lives and nothing comes of it.
    #[error("gave up {doing}: nothing has moved for {after:?}")]
    Stalled {
        /// What was under way.
        doing: String,
        /// How long.
        after: Duration,
    },
    /// A packagefs request.
    #[error("{0}{hint}", hint = hint(.0))]
    Files(#[from] packagefs::Error),
    /// A statefs request.
    #[error("cannot {doing}: {error}")]
    State {
        /// What was tried, on what.
        doing: String,
        /// What came of it.
        error: RequestError,
    },
    /// A samgr request.
    #[error("cannot {doing}: {error}")]
    Services {
        /// What was tried, on what.
        doing: String,
        /// What came of it.
        error: samgr::RequestError,
    },
    /// A watch that came to an end.
    #[error("cannot go on watching the services: {0}")]
    Watch(samgr::WatchError),
    /// There is no such key.
    #[error("there is no key `{0}`, or this node may not see it")]
    NoKey(Key),
    /// A store that is not served.
    #[error("cannot serve the state in `{}`: {error}", directory.display())]
    OpenState {
        /// Where it is.
        directory: PathBuf,
        /// Why not.
        error: statefs::Error,
    },
    /// There is something by the name of what would be written.
    #[error("cannot fetch to `{}`: there is a file of this name; add --force to replace it", path.display())]
    Exists {
        /// The destination.
        path: PathBuf,
    },
    /// The root has no name of its own.
    #[error("the root of a node has no name to be called by here; say what to call the copy")]
    NoName,
    /// A tree came, but not all of it.
    #[error(
        "fetched `{}`, but left out {} of it (told above)",
        path.display(), text::count(*left_out, "entry", "entries")
    )]
    Incomplete {
        /// The destination.
        path: PathBuf,
        /// How many entries are missing.
        left_out: u64,
    },
    /// A ping.
    #[error(transparent)]
    Ping(#[from] PingError),
    /// A look at a node.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// A directory to serve.
    #[error(transparent)]
    Tree(#[from] OpenTreeError),
    /// A directory that was to be packed.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// No key to sign with.
    #[error("there is no publisher's key at {}; make one: vatmux bundle keygen", path.display())]
    NoPublisherKey {
        /// Where it should be.
        path: PathBuf,
    },
    /// A packed bundle.
    #[error("`{}` is refused: {error}", path.display())]
    Bundle {
        /// The file.
        path: PathBuf,
        /// Why.
        error: ExtractError,
    },
    /// A store of bundles.
    #[error(transparent)]
    Store(#[from] OpenStoreError),
    /// A request to a node's bundles.
    #[error("cannot {doing}: {error}")]
    Bundles {
        /// What was tried, on what.
        doing: String,
        /// What came of it.
        error: Box<InstallError>,
    },
    /// A listener.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// A node.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Schemas that are wrong, which was told at length before.
    #[error("cannot compile: {} (told above)", text::count(*errors, "thing is wrong", "things are wrong"))]
    Schema {
        /// How many things were told.
        errors: u64,
    },
    /// What was compiled cannot be understood by us.
    #[error("cannot read what was compiled: {0}")]
    Request(#[from] capnp::Error),
    /// No code generator of that name.
    #[error(
        "there is no plugin `{name}`: no program `capnpc-{name}` is on the PATH; install it, or name the program by a \
         path with a slash in it"
    )]
    NoPlugin {
        /// How it was asked for.
        name: String,
    },
    /// No code generator at that path.
    #[error("there is no plugin at `{}`", path.display())]
    NoPluginAt {
        /// The path.
        path: PathBuf,
    },
    /// A code generator that did not do it.
    #[error("the plugin `{}` {what}", program.display())]
    Plugin {
        /// Which.
        program: PathBuf,
        /// What became of it.
        what: String,
    },
    /// No directory for the demo.
    #[error("there is no directory to show: `docs` is not here; name one: vatmux demo DIR")]
    NothingToShow,
    /// The demo found a difference.
    #[error("what was fetched differs from `{}`: {what}", directory.display())]
    Differs {
        /// What was served.
        directory: PathBuf,
        /// The first difference.
        what: String,
    },
    /// A file of this machine.
    #[error("cannot {what} `{}`: {error}", path.display())]
    Local {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A call of a method had no answer.
    #[error("cannot call {method}: {}", Harmless(reason))]
    Call {
        /// Of which service.
        method: String,
        /// Why.
        reason: String,
    },
    /// A call of a method was answered with a status that says no.
    #[error(
        "{method} is refused: {}{}",
        Harmless(status),
        if detail.is_empty() { String::new() } else { format!(" ({})", Harmless(detail)) }
    )]
    RefusedCall {
        /// Of which service.
        method: String,
        /// The word for it in the schema.
        status: String,
        /// More about it, in the server's words.
        detail: String,
    },
    /// Standard output.
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
    /// Nobody reads standard output any more, which is no news to whoever stopped.
    #[error("nobody reads standard output")]
    OutputClosed,
    /// Somebody asked the process to end.
    #[error("interrupted; nothing has been changed")]
    Interrupted,
    /// Something that every program needs of its system.
    #[error("the system refused {what}: {error}")]
    System {
        /// What.
        what: &'static str,
        /// What it said.
        error: io::Error,
    },
}

impl Failure {
    /// What clap says in several paragraphs, in one line.
    pub(crate) fn usage(error: &clap::Error) -> Self {
        Self::usage_of("vatmux", error)
    }

    /// The same of the command line of `program`.
    pub(crate) fn usage_of(program: &str, error: &clap::Error) -> Self {
        if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
            return Self::Usage(format!("a command is missing; see: {program} --help"));
        }
        let text = error.to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        let end = ["\n\nUsage:", "\n\nFor more information", "\nUsage:"]
            .iter()
            .filter_map(|mark| text.find(mark))
            .min()
            .unwrap_or(text.len());
        let paragraphs = text[..end].split("\n\n").map(|paragraph| {
            let words: Vec<_> = paragraph.split_whitespace().collect();
            words.join(" ")
        });
        Self::Usage(format!("{}; see: {program} --help", paragraphs.collect::<Vec<_>>().join("; ")))
    }

    /// What failing to write to standard output comes to.
    pub(crate) fn output(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::OutputClosed,
            _ => Self::Output(error),
        }
    }

    /// For [`Result::map_err`] of what the system is asked for.
    pub(crate) fn system(what: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::System { what, error }
    }

    /// For [`Result::map_err`] of what was tried on a file.
    pub(crate) fn local(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Local { what, path: path.to_owned(), error }
    }

    /// Says it on standard error, in one line without anything that a terminal would obey.
    pub(crate) fn report(&self, json: bool) {
        if matches!(self, Self::OutputClosed) {
            return;
        }
        let mut message = self.to_string();
        if message.len() > MAX_LINE_BYTES {
            message.truncate(message.floor_char_boundary(MAX_LINE_BYTES));
            message.push('…');
        }
        let line = if json {
            json!({ "error": message, "exit_code": self.code() }).to_string()
        } else {
            format!("vatmux: {}", Harmless(&message))
        };
        // There is nowhere left to say that standard error is closed.
        let _ = writeln!(io::stderr(), "{line}");
    }

    /// What the process exits with.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    fn code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::NobodyAllowed | Self::LeavesThisMachine(_) => 2,
            Self::OutputClosed => BROKEN_PIPE_EXIT_CODE,
            Self::Interrupted => INTERRUPTED_EXIT_CODE,
            _ => 1,
        }
    }
}

/// What to do about it, where the library cannot know the command line.
fn hint(error: &packagefs::Error) -> &'static str {
    match error {
        packagefs::Error::Refused { operation: Operation::Read, status: Status::IsADirectory, .. } => {
            "; list it with `vatmux ls`, or fetch it with `vatmux get -r`"
        }
        packagefs::Error::Refused { status: Status::InvalidPath, .. } => {
            "; paths are relative to what is served: up to 4,096 bytes of UTF-8, without `..`, `.`, empty names or NUL"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::Arguments;

    fn usage(words: &[&str]) -> String {
        let error = Arguments::try_parse_from(["vatmux"].iter().chain(words)).unwrap_err();
        Failure::usage(&error).to_string()
    }

    #[test]
    fn a_usage_error_is_one_line_that_names_what_is_wrong() {
        for (words, named) in [
            (&[][..], "a command is missing"),
            (&["ls"], "<ADDRESS>"),
            (&["frobnicate"], "frobnicate"),
            (&["ls", "--frobnicate"], "--frobnicate"),
            (&["ls", "http://x"], "vat://"),
            (&["ping", "-c", "0", "vat://"], "for '--count"),
        ] {
            let line = usage(words);
            assert!(line.contains(named) && !line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn a_closed_pipe_is_no_error_of_standard_output() {
        assert!(matches!(Failure::output(io::ErrorKind::BrokenPipe.into()), Failure::OutputClosed));
        assert!(matches!(Failure::output(io::ErrorKind::StorageFull.into()), Failure::Output(_)));
    }
}
