//! `--verbose` and `--log`: what goes on in this process, on standard error. A node that serves tells of mutations unless it is
//! told otherwise.

use std::io;

use serde_json::json;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use vatmux::access::MUTATIONS;

use crate::arguments::{Arguments, Command};
use crate::{output, text};

/// How many lines wait to be written; with more, further ones are dropped: whoever does not read must not keep this
/// node from answering its peers.
const LINES: usize = 4_096;

/// The log of this process. Dropping it waits a moment for the last lines, and says how many there was no room for.
pub(crate) struct Log {
    writer: Option<WorkerGuard>,
    dropped: ErrorCounter,
    json: bool,
}

impl Drop for Log {
    fn drop(&mut self) {
        drop(self.writer.take());
        let dropped = self.dropped.dropped_lines();
        if dropped > 0 {
            let lines = text::count(dropped as u64, "line", "lines");
            let said = format!("{lines} of the log were not shown: they came faster than they were read");
            output::tell(&if self.json {
                json!({ "event": "untold", "peer": null, "detail": said }).to_string()
            } else {
                format!("vatmux: {said}")
            });
        }
    }
}

/// Tells what was asked for until it is dropped. Nothing unless it was asked for.
pub(crate) fn start(arguments: &Arguments) -> Option<Log> {
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
    let dropped = writer.error_counter();
    let lines = fmt::layer().with_writer(writer).with_ansi(false).with_span_events(FmtSpan::CLOSE);
    let lines = if arguments.json { lines.json().boxed() } else { lines.boxed() };
    // Nobody else in this process subscribes.
    let _ = tracing_subscriber::registry().with(lines.with_filter(targets)).try_init();
    Some(Log { writer: Some(guard), dropped, json: arguments.json })
}

fn level(verbose: u8) -> LevelFilter {
    match verbose {
        0 => LevelFilter::OFF,
        1 => LevelFilter::INFO,
        2 => LevelFilter::DEBUG,
        3.. => LevelFilter::TRACE,
    }
}
