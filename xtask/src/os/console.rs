//! What an image prints: kept in a file, and read line by line with a deadline.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

/// A console under way.
pub(crate) struct Console {
    lines: Receiver<String>,
    /// Everything that was read so far.
    seen: Vec<String>,
    log: PathBuf,
}

impl Console {
    /// Reads `output` to its end, on a thread of its own, and keeps it in the file `log`.
    pub(crate) fn follow(output: impl Read + Send + 'static, log: PathBuf) -> Result<Self, String> {
        let mut file =
            File::create(&log).map_err(|error| format!("cannot write {}: {error}", log.display()))?;
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            while output.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                // A log that cannot be written must not stop the machine.
                let _ = file.write_all(&line);
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                if sender.send(text).is_err() {
                    break;
                }
                line.clear();
            }
        });
        Ok(Self { lines, seen: Vec::new(), log })
    }

    /// The first line with `text` in it, whether it came before or comes within `patience`. Fails at once where a line says
    /// that something failed.
    pub(crate) fn wait_for(&mut self, text: &str, patience: Duration) -> Result<String, String> {
        let deadline = Instant::now() + patience;
        let mut read = 0;
        loop {
            for line in &self.seen[read..] {
                if line.contains(text) {
                    return Ok(line.clone());
                }
                if is_failure(line) {
                    return Err(self.complaint(&format!("waiting for {text:?}: it says {line:?}")));
                }
            }
            read = self.seen.len();
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Timeout) => {
                    return Err(self.complaint(&format!("no {text:?} within {patience:?}")));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(self.complaint(&format!("it ended without {text:?}")));
                }
            }
        }
    }

    /// Waits for a further line. True where there is none, because the machine is off.
    pub(crate) fn wait_for_line(&mut self) -> bool {
        self.lines.recv().map(|line| self.seen.push(line)).is_err()
    }

    /// All lines so far.
    pub(crate) fn seen(&mut self) -> &[String] {
        self.seen.extend(self.lines.try_iter());
        &self.seen
    }

    /// Reads on until the machine is off.
    pub(crate) fn wait_for_end(&mut self, patience: Duration) -> Result<&[String], String> {
        let deadline = Instant::now() + patience;
        loop {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => return Ok(&self.seen),
                Err(RecvTimeoutError::Timeout) => {
                    return Err(self.complaint(&format!("it did not power off within {patience:?}")));
                }
            }
        }
    }

    /// What went wrong, with the last lines and where all of them are.
    pub(crate) fn complaint(&self, what: &str) -> String {
        let last = self.seen.iter().rev().take(8).rev().map(|line| format!("\n    | {line}"));
        format!(
            "{what}\n  the console, whole in {}, ended with:{}",
            self.log.display(),
            last.collect::<String>()
        )
    }
}

/// Whether a line says that a test failed, or that the machine gave up.
pub(crate) fn is_failure(line: &str) -> bool {
    ["SELFTEST: FAIL", "vatmux-os: FAULT:", "vatmux-os: SETUP:", " panicked at "]
        .iter()
        .any(|failure| line.contains(failure))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console(text: &'static str) -> (Console, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let console = Console::follow(text.as_bytes(), directory.path().join("log")).unwrap();
        (console, directory)
    }

    const PATIENCE: Duration = Duration::from_secs(20);

    #[test]
    fn a_line_is_found_whether_or_not_it_was_read_before() {
        let (mut console, _directory) = console("one\ntwo ok (n=1)\nthree\n");
        assert_eq!(console.wait_for("three", PATIENCE).unwrap(), "three");
        assert_eq!(console.wait_for("two ok", PATIENCE).unwrap(), "two ok (n=1)");
        assert_eq!(console.wait_for_end(PATIENCE).unwrap().len(), 3);
    }

    #[test]
    fn a_failure_ends_the_wait_and_is_told() {
        let (mut console, _directory) = console("one\nSELFTEST: FAIL x: y\nthree\n");
        let complaint = console.wait_for("three", PATIENCE).unwrap_err();
        assert!(complaint.contains("FAIL x: y"), "{complaint}");
    }

    #[test]
    fn an_end_without_the_line_is_told_with_what_came() {
        let (mut console, directory) = console("one\n");
        let complaint = console.wait_for("two", PATIENCE).unwrap_err();
        assert!(complaint.contains("ended without \"two\"") && complaint.contains("| one"), "{complaint}");
        assert_eq!(std::fs::read_to_string(directory.path().join("log")).unwrap(), "one\n");
    }
}
