//! A program under callgrind.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

/// glibc copies with loops over vectors and nothing else.
///
/// It would copy larger blocks by `rep movsb`, which callgrind counts once for each byte, and which block counts as
/// large depends on the processor's caches. So the thresholds are out of reach: a copy costs about 0.1 instructions per
/// byte, on every processor that has AVX2.
const TUNABLES: &str = "glibc.cpu.x86_rep_movsb_threshold=0x40000000:\
                        glibc.cpu.x86_rep_stosb_threshold=0x40000000:\
                        glibc.cpu.x86_non_temporal_threshold=0x40000000";

/// Runs programs under callgrind, one after the other, and says how many instructions each executed.
#[derive(Debug)]
pub struct Counter {
    directory: TempDir,
}

impl Counter {
    /// Fails where instructions cannot be counted, and says what is missing.
    pub fn find() -> Result<Self> {
        ensure!(
            cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")),
            "instructions are counted on x86-64 Linux with glibc only"
        );
        let mut valgrind = Command::new("valgrind");
        valgrind.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let status = valgrind.status().context("valgrind is not installed")?;
        ensure!(status.success(), "valgrind does not run: {status}");
        Ok(Self { directory: tempfile::tempdir().context("there is no place for callgrind's output")? })
    }

    /// What starts `program` to be counted; the caller adds its arguments. Its environment is empty but for what pins
    /// the way glibc copies: the environment lies on the stack, and moves what lies behind it.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        self.command_inside(program, &[])
    }

    /// As [`command`](Self::command), to be counted only while one of `functions` runs, or what it calls. Each is a path
    /// that may end in `*`, and none may call another; those that the compiler has put into their callers are not seen.
    #[must_use]
    pub fn command_inside(&self, program: &Path, functions: &[&str]) -> Command {
        let output = self.output();
        let mut command = Command::new("valgrind");
        command
            .args(["--tool=callgrind", "--quiet"])
            .arg(format!("--callgrind-out-file={}", output.display()))
            .args(functions.iter().map(|function| format!("--toggle-collect={function}")))
            .arg(program);
        let path = std::env::var_os("PATH");
        command.env_clear().envs(path.map(|path| ("PATH", path))).env("GLIBC_TUNABLES", TUNABLES);
        command
    }

    /// What the program that was started last has executed. It must have ended.
    pub fn instructions(&self) -> Result<u64> {
        let path = self.output();
        let text = fs::read_to_string(&path).context("callgrind wrote nothing")?;
        // Nobody takes it for the next program's.
        fs::remove_file(&path)?;
        total(&text).context("callgrind wrote no total")
    }

    fn output(&self) -> std::path::PathBuf {
        self.directory.path().join("callgrind.out")
    }
}

/// The total in what callgrind writes.
fn total(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("totals:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_found_in_what_callgrind_writes() {
        let text = "version: 1\nevents: Ir\nsummary: 7\n\nfn=(1) main\n1 7\n\ntotals: 1234567\n";
        assert_eq!(total(text), Some(1_234_567));
        assert_eq!(total("events: Ir\n"), None);
        assert_eq!(total("totals: many\n"), None);
    }
}
