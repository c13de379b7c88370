//! `--verbose` and `--log`: what goes on in this process, on standard error. A node that serves tells of mutations unless it is
//! told otherwise.

use std::io;

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use vatmux::access::MUTATIONS;

use crate::arguments::{Arguments, Command};

/// How many lines wait to be written; with more, further ones are dropped: whoever does not read must not keep this
/// node from answering its peers.
const LINES: usize = 4_096;

/// Tells what was asked for until the guard is dropped, which waits a moment for the last lines. Nothing unless it was
/// asked for.
pub(crate) fn start(arguments: &Arguments) -> Option<WorkerGuard> {
    let targets = match (&arguments.log, arguments.verbose) {
        (Some(targets), _) => targets.clone(),
        (None, 0) if matches!(arguments.command, Command::Serve(_)) => {
            Targets::new().with_target(MUTATIONS, LevelFilter::INFO)
        }
        (None, 0) => return None,
        (None, verbose) => Targets::new().with_target("vatmux", level(verbose)),
    };
    let (writer, guard) =
        NonBlockingBuilder::default().lossy(true).buffered_lines_limit(LINES).finish(io::stderr());
    let lines = fmt::layer().with_writer(writer).with_ansi(false).with_span_events(FmtSpan::CLOSE);
    let lines = if arguments.json { lines.json().boxed() } else { lines.boxed() };
    // Nobody else in this process subscribes.
    let _ = tracing_subscriber::registry().with(lines.with_filter(targets)).try_init();
    Some(guard)
}

fn level(verbose: u8) -> LevelFilter {
    match verbose {
        0 => LevelFilter::OFF,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        3.. => LevelFilter::TRACE,
    }
}
