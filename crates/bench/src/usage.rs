//! What a process costs: its peak memory and its processor time, as Linux counts them.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// Ticks per second in `/proc/PID/stat`: fixed in Linux's interface, whatever the kernel's own rate.
const TICKS_PER_SECOND: f64 = 100.0;

/// What one side of a contestant has cost so far, all its processes together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Usage {
    /// The sum of the processes' peaks of resident memory, in bytes.
    pub(crate) peak_rss_bytes: u64,
    /// Processor time in user and system mode, in seconds; it is counted in hundredths.
    pub(crate) cpu_seconds: f64,
}

impl Usage {
    /// The usage of process `pid` and of all its living descendants.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let mut processes = HashMap::new();
        for entry in
            fs::read_dir("/proc").context("cannot list the processes: the bench needs Linux's /proc")?
        {
            let entry = entry?;
            let Some(number) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            // A process that ended meanwhile is none of ours: those are kept alive until they are measured.
            if let Some(process) = Process::read(&entry.path()) {
                processes.insert(number, process);
            }
        }
        anyhow::ensure!(processes.contains_key(&pid), "process {pid} ended before it was measured");
        let belongs = |mut number: u32| loop {
            if number == pid {
                return true;
            }
            match processes.get(&number) {
                Some(process) => number = process.parent,
                None => return false,
            }
        };
        let mut total = Self::default();
        for (number, process) in &processes {
            if belongs(*number) {
                total.peak_rss_bytes += process.usage.peak_rss_bytes;
                total.cpu_seconds += process.usage.cpu_seconds;
            }
        }
        Ok(total)
    }
}

/// The processor time of those children of this process that have ended, and of theirs, in seconds.
pub(crate) fn cpu_seconds_of_ended_children() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat").context("the bench needs Linux's /proc")?;
    cpu_seconds_of_ended(&stat).context("/proc/self/stat is not what it was")
}

fn cpu_seconds_of_ended(stat: &str) -> Option<f64> {
    // As below, two fields further on.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let user: f64 = fields.nth(13)?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

struct Process {
    parent: u32,
    usage: Usage,
}

impl Process {
    fn read(directory: &Path) -> Option<Self> {
        let stat = fs::read_to_string(directory.join("stat")).ok()?;
        let status = fs::read_to_string(directory.join("status")).ok()?;
        Self::parse(&stat, &status)
    }

    fn parse(stat: &str, status: &str) -> Option<Self> {
        // The second field is the command's name in parentheses, which may hold spaces and parentheses itself.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let parent = fields.nth(1)?.parse().ok()?;
        let user: f64 = fields.nth(9)?.parse().ok()?;
        let system: f64 = fields.next()?.parse().ok()?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let kibibytes: u64 = peak.trim().strip_suffix("kB")?.trim().parse().ok()?;
        let usage =
            Usage { peak_rss_bytes: kibibytes * 1024, cpu_seconds: (user + system) / TICKS_PER_SECOND };
        Some(Self { parent, usage })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_cannot_shift_the_fields() {
        let stat = "42 (a) b (c) S 7 42 42 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 5 6 7";
        let process = Process::parse(stat, "Name:\ta\nVmHWM:\t    2048 kB\nVmRSS:\t 1 kB\n").unwrap();
        assert_eq!(process.parent, 7);
        assert_eq!(process.usage, Usage { peak_rss_bytes: 2048 * 1024, cpu_seconds: 3.0 });
    }

    #[test]
    fn the_time_of_ended_children_is_not_the_processs_own() {
        let stat = "42 (a) b) S 7 42 42 0 -1 4194304 100 0 0 0 250 50 300 25 20 0 1 0 5 6 7";
        assert_eq!(cpu_seconds_of_ended(stat), Some(3.25));
    }

    #[test]
    fn a_process_without_memory_of_its_own_is_left_out() {
        assert!(Process::parse("2 (kthreadd) S 0 0 0 0 -1 0 0 0 0 0 0 0 0 0", "Name:\tkthreadd\n").is_none());
    }

    #[test]
    fn this_process_has_used_memory() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.peak_rss_bytes > 100 * 1024);
    }
}
