//! Running `vatmux`, and looking at what it did.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// The longest that a process of a test may take.
const LIMIT: Duration = Duration::from_mins(1);

/// Two homes and a directory to serve.
pub(crate) struct World {
    folder: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        for directory in ["tree", "here"] {
            fs::create_dir(world.path(directory)).unwrap();
        }
        world
    }

    /// A path that is this test's own.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What is served.
    pub(crate) fn tree(&self) -> PathBuf {
        self.path("tree")
    }

    /// Where clients run, empty at first.
    pub(crate) fn here(&self) -> PathBuf {
        self.path("here")
    }

    /// The names in the directory where clients run, hidden ones included.
    pub(crate) fn names_here(&self) -> Vec<String> {
        names(&self.here())
    }

    /// The command with the home of a client.
    pub(crate) fn vatmux<I: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = I>) -> Command {
        self.vatmux_of("client", words)
    }

    /// The command with the home of somebody.
    pub(crate) fn vatmux_of<I: AsRef<OsStr>>(
        &self,
        whose: &str,
        words: impl IntoIterator<Item = I>,
    ) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vatmux"));
        command
            .args(words)
            .env("VATMUX_HOME", self.path(whose))
            .current_dir(self.here())
            .stdin(Stdio::null());
        command
    }

    /// The node id of somebody's home.
    pub(crate) fn id_of(&self, whose: &str) -> String {
        finish(self.vatmux_of(whose, ["id"])).succeeded().trim_end().to_owned()
    }

    /// Serves the tree to the client's node.
    pub(crate) fn serve(&self) -> Serving {
        self.serve_on("127.0.0.1:0")
    }

    /// Serves the tree on `endpoint` to the client's node.
    pub(crate) fn serve_on(&self, endpoint: &str) -> Serving {
        let client = self.id_of("client");
        Serving::start(self.vatmux_of(
            "server",
            ["serve", self.tree().to_str().unwrap(), "--listen", endpoint, "--allow", &client],
        ))
    }
}

/// The names in a directory, sorted.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Kills a process that takes too long, unless it is dropped before.
struct Watchdog {
    _call_off: mpsc::Sender<()>,
}

impl Watchdog {
    fn watch(child: &Child) -> Self {
        let pid = Pid::from_child(child);
        let (call_off, called_off) = mpsc::channel();
        thread::spawn(move || {
            if called_off.recv_timeout(LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
                let _ = kill_process(pid, Signal::KILL);
            }
        });
        Self { _call_off: call_off }
    }
}

/// What a process left behind.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

/// Runs a command to its end.
pub(crate) fn finish(command: Command) -> Outcome {
    Running::start(command).wait()
}

/// A command under way, whose standard output nobody has read yet.
pub(crate) struct Running {
    child: Child,
    stdout: Option<ChildStdout>,
    stderr: JoinHandle<String>,
    watchdog: Watchdog,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = child.stderr.take().map(read_all).unwrap();
        Self { stdout: child.stdout.take(), stderr, watchdog: Watchdog::watch(&child), child }
    }

    /// Its standard output, to be read piece by piece.
    pub(crate) fn stdout(&mut self) -> ChildStdout {
        self.stdout.take().unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Reads what is left of its output and waits for its end.
    pub(crate) fn wait(mut self) -> Outcome {
        let mut stdout = Vec::new();
        if let Some(mut pipe) = self.stdout.take() {
            pipe.read_to_end(&mut stdout).unwrap();
        }
        let status = self.child.wait().unwrap();
        drop(self.watchdog);
        Outcome { status, stdout, stderr: self.stderr.join().unwrap() }
    }
}

fn read_all(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    })
}

impl Outcome {
    /// The output of a command that did what it was asked, without a word on standard error.
    #[track_caller]
    pub(crate) fn succeeded(&self) -> &str {
        assert!(self.status.success() && self.stderr.is_empty(), "{self:?}");
        std::str::from_utf8(&self.stdout).unwrap()
    }

    /// Checks that the command failed with `code`, printed nothing, and said why in one line with all of `words`.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32, words: &[&str]) -> &Self {
        assert_eq!(self.status.code(), Some(code), "{self:?}");
        assert!(self.stdout.is_empty(), "{self:?}");
        let line = self.stderr.strip_suffix('\n').unwrap();
        assert!(line.starts_with("vatmux: ") && !line.contains('\n'), "{self:?}");
        for word in words {
            assert!(line.contains(word), "no {word:?} in {line:?}");
        }
        self
    }
}

/// A `vatmux serve` that listens.
pub(crate) struct Serving {
    running: Option<Running>,
    stdout: BufReader<ChildStdout>,
    address: String,
}

impl Serving {
    /// Starts it and waits until it says where it listens.
    pub(crate) fn start(command: Command) -> Self {
        let mut running = Running::start(command);
        let mut stdout = BufReader::new(running.stdout());
        let mut address = String::new();
        stdout.read_line(&mut address).unwrap();
        assert!(!address.is_empty(), "it does not serve: {:?}", running.wait());
        Self { running: Some(running), stdout, address: address.trim_end().to_owned() }
    }

    /// The first line that it printed.
    pub(crate) fn line(&self) -> &str {
        &self.address
    }

    /// A further line.
    pub(crate) fn next_line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The address of something on it.
    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    /// The address of something on it, over another port of this machine.
    pub(crate) fn at_port(&self, port: u16, path: &str) -> String {
        let (node, _) = self.address.split_once('@').unwrap();
        format!("{node}@127.0.0.1:{port}/{path}")
    }

    /// Its TCP port.
    pub(crate) fn port(&self) -> u16 {
        self.address.trim_end_matches('/').rsplit_once(':').unwrap().1.parse().unwrap()
    }

    /// Asks it to end.
    pub(crate) fn stop(mut self, signal: Signal) -> Outcome {
        let running = self.running.take().unwrap();
        running.signal(signal);
        let mut rest = Vec::new();
        self.stdout.read_to_end(&mut rest).unwrap();
        let mut outcome = running.wait();
        outcome.stdout = rest;
        outcome
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
    }
}
