//! One side of a contestant, as a process of its own.
//!
//! The bench runs itself again for every side of every run, so that memory and processor time are counted for each
//! side alone and nobody starts with a heap that someone else has warmed. The two speak in lines of JSON: what a side
//! says goes to its standard output, and "go" comes in on its standard input. The end of its standard input ends it.

use std::env;
use std::io::{self, BufRead, BufReader, Stdout, Write};
use std::path::PathBuf;
use std::process::{self, Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use vatmux_instructions::Counter;

use crate::roles::Role;
use crate::usage::Usage;

/// The argument by which the bench knows that it is to be a side. What follows is the role, as JSON.
pub(crate) const SIDE_ARGUMENT: &str = "--side";

/// How long a side may take to be ready: keys, a listener, a handshake.
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(20);

/// How long one timed run may take.
pub(crate) const DONE_WITHIN: Duration = Duration::from_mins(3);

/// How long a side may take to end.
const END_WITHIN: Duration = Duration::from_secs(5);

/// What a side says: a report, or why it failed.
type Line = Result<Value, String>;

/// A running side, seen from the bench. Dropping it ends it.
pub(crate) struct Side {
    role: String,
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Side {
    /// Starts a process that plays `role`.
    pub(crate) fn start(role: &Role) -> Result<Self> {
        Self::start_by(Command::new(own_program()?), role)
    }

    /// Starts it under callgrind.
    pub(crate) fn start_counted(counter: &Counter, role: &Role) -> Result<Self> {
        Self::start_by(counter.command(&own_program()?), role)
    }

    /// Starts it under callgrind, to be counted inside of `functions` only.
    pub(crate) fn start_counted_inside(counter: &Counter, functions: &[&str], role: &Role) -> Result<Self> {
        Self::start_by(counter.command_inside(&own_program()?, functions), role)
    }

    fn start_by(mut command: Command, role: &Role) -> Result<Self> {
        let name = role.name().to_owned();
        let mut child = command
            .arg(SIDE_ARGUMENT)
            .arg(serde_json::to_string(role)?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start the side {name}"))?;
        let input = child.stdin.take();
        let output = child.stdout.take().context("a side has a standard output")?;
        Ok(Self { role: name, child, input, lines: lines_of(output) })
    }

    /// What the side says next, if it says it in time.
    pub(crate) fn hear<T: DeserializeOwned>(&mut self, within: Duration) -> Result<T> {
        let role = &self.role;
        let line = self.lines.recv_timeout(within).map_err(|error| match error {
            RecvTimeoutError::Timeout => anyhow!("{role} was not done within {within:?}"),
            RecvTimeoutError::Disconnected => anyhow!("{role} ended without a word"),
        })?;
        let line: Line = serde_json::from_str(&line).with_context(|| format!("{role} said {line:?}"))?;
        let value = line.map_err(|error| anyhow!("{role}: {error}"))?;
        serde_json::from_value(value).with_context(|| format!("{role} said something unexpected"))
    }

    /// Lets the side begin what is timed.
    pub(crate) fn go(&mut self) -> Result<()> {
        let input = self.input.as_mut().context("a side has a standard input")?;
        input.write_all(b"go\n").with_context(|| format!("{} does not listen any more", self.role))
    }

    pub(crate) fn usage(&self) -> Result<Usage> {
        Usage::of(self.child.id())
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        drop(self.input.take());
        end(&mut self.child);
    }
}

fn own_program() -> Result<PathBuf> {
    env::current_exe().context("cannot find the bench's own program")
}

/// Waits for a process that was told to end, and kills it when it does not.
pub(crate) fn end(child: &mut Child) {
    let deadline = Instant::now() + END_WITHIN;
    while Instant::now() < deadline {
        match child.try_wait() {
            Ok(None) => thread::sleep(Duration::from_millis(1)),
            Ok(Some(_)) | Err(_) => return,
        }
    }
    // It is gone already, or now.
    let _ = child.kill();
    let _ = child.wait();
}

/// The lines of `output`, read by a thread so that waiting for one can end.
pub(crate) fn lines_of(output: impl io::Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// The bench, seen from a side.
pub(crate) struct Bench {
    orders: Receiver<()>,
    output: Stdout,
}

impl Bench {
    /// Says `report`, one line.
    pub(crate) fn say(&self, report: &impl Serialize) -> Result<()> {
        self.say_line(&Ok(serde_json::to_value(report)?))
    }

    fn say_line(&self, line: &Line) -> Result<()> {
        let mut text = serde_json::to_string(line)?;
        text.push('\n');
        let mut output = self.output.lock();
        output
            .write_all(text.as_bytes())
            .and_then(|()| output.flush())
            .context("the bench does not listen any more")
    }

    /// Waits until the bench says "go".
    pub(crate) fn wait_for_go(&self) -> Result<()> {
        self.orders.recv().context("the bench is gone")
    }

    /// Stays alive, to be measured and to serve from other threads, until the bench ends this process.
    pub(crate) fn wait_for_end(&self) {
        while self.orders.recv().is_ok() {}
    }
}

/// Plays the role that `json` describes, until the bench has enough.
pub(crate) fn play(json: &str) -> Result<()> {
    let role: Role = serde_json::from_str(json).context("this is no role")?;
    let (sender, orders) = mpsc::channel();
    thread::spawn(move || {
        for _ in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(()).is_err() {
                break;
            }
        }
        // Whatever the other threads are blocked on, nobody waits for it any more.
        process::exit(0);
    });
    let bench = Bench { orders, output: io::stdout() };
    if let Err(error) = role.play(&bench) {
        bench.say_line(&Err(format!("{error:#}")))?;
        bail!("{error:#}");
    }
    bench.wait_for_end();
    Ok(())
}
