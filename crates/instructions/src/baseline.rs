//! The committed counts, and what is said of counts that differ from them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

/// By how much a count may rise, in per cent. Counts of one binary are the same to a few instructions; this leaves room
/// for a change elsewhere that moves code.
const TOLERANCE_PERCENT: u64 = 2;

/// How a person takes the baseline anew.
pub(crate) const UPDATE: &str = "`cargo xtask bench instructions --update`";

/// Instructions per operation, and what they were counted with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Baseline {
    /// The compiler, as it calls itself.
    pub(crate) compiler: String,
    /// The C library, whose copying is counted as well.
    pub(crate) libc: String,
    /// Instructions per operation, by workload.
    pub(crate) instructions: BTreeMap<String, u64>,
}

impl Baseline {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("there is no baseline at {}; take one by {UPDATE}", path.display()))?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is no baseline; take one by {UPDATE}", path.display()))
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// What must not be in `now`: counts that rose by more than the tolerance, and workloads that only one of the two
    /// knows. Empty when all is well.
    pub(crate) fn complaints(&self, now: &Self) -> Vec<String> {
        let mut complaints = Vec::new();
        for (name, &count) in &now.instructions {
            match self.instructions.get(name) {
                None => complaints.push(format!("{name} is not in the baseline")),
                Some(&before) if count * 100 > before * (100 + TOLERANCE_PERCENT) => {
                    complaints.push(format!(
                        "{name} rose by {:.1} %, from {before} to {count} instructions",
                        rise_percent(before, count)
                    ));
                }
                Some(_) => {}
            }
        }
        let gone = self.instructions.keys().filter(|name| !now.instructions.contains_key(*name));
        complaints.extend(gone.map(|name| format!("{name} is in the baseline, and no workload any more")));
        if complaints.is_empty() {
            return complaints;
        }
        if (&self.compiler, &self.libc) != (&now.compiler, &now.libc) {
            complaints.push(format!(
                "the baseline was taken with {} and {}, this with {} and {}: that may be all of it",
                self.compiler, self.libc, now.compiler, now.libc
            ));
        }
        complaints.push(format!("what is meant to cost more is committed with a new baseline, by {UPDATE}"));
        complaints
    }

    /// A table of `now` beside this baseline.
    pub(crate) fn compare(&self, now: &Self, unit: impl Fn(&str) -> &'static str) -> String {
        let width = now.instructions.keys().map(String::len).max().unwrap_or(0);
        let mut text = String::new();
        for (name, &count) in &now.instructions {
            let change = self
                .instructions
                .get(name)
                .map_or_else(|| "new".to_owned(), |&before| format!("{:+.2} %", rise_percent(before, count)));
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<width$} {count:>10} {change:>9}  per {}", unit(name));
        }
        text
    }
}

fn rise_percent(before: u64, now: u64) -> f64 {
    (now as f64 / before as f64 - 1.0) * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline(counts: &[(&str, u64)]) -> Baseline {
        let instructions = counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        Baseline { compiler: "rustc 1".to_owned(), libc: "glibc 2".to_owned(), instructions }
    }

    #[test]
    fn two_per_cent_more_is_taken_and_anything_less() {
        let before = baseline(&[("echo", 1000), ("bulk", 1000)]);
        assert!(before.complaints(&baseline(&[("echo", 1020), ("bulk", 10)])).is_empty());
    }

    #[test]
    fn a_rise_is_named_with_its_size_and_with_how_to_allow_it() {
        let before = baseline(&[("echo", 1000), ("bulk", 1000)]);
        let complaints = before.complaints(&baseline(&[("echo", 1031), ("bulk", 1000)])).join("\n");
        assert!(
            complaints.starts_with("echo rose by 3.1 %, from 1000 to 1031 instructions\n"),
            "{complaints}"
        );
        assert!(complaints.contains(UPDATE) && !complaints.contains("bulk"), "{complaints}");
        assert!(!complaints.contains("rustc"), "the compiler is the same: {complaints}");
    }

    #[test]
    fn a_rise_under_another_compiler_says_so() {
        let before = baseline(&[("echo", 1000)]);
        let mut now = baseline(&[("echo", 1010)]);
        now.compiler = "rustc 2".to_owned();
        assert!(before.complaints(&now).is_empty(), "another compiler alone is no reason to complain");
        now.instructions.insert("echo".to_owned(), 1100);
        let complaints = before.complaints(&now).join("\n");
        assert!(complaints.contains("taken with rustc 1 and glibc 2, this with rustc 2"), "{complaints}");
    }

    #[test]
    fn baseline_and_workloads_must_be_the_same() {
        let (before, now) = (baseline(&[("old", 1)]), baseline(&[("new", 1)]));
        let complaints = before.complaints(&now).join("\n");
        assert!(complaints.contains("new is not in the baseline"), "{complaints}");
        assert!(complaints.contains("old is in the baseline, and no workload any more"), "{complaints}");
    }

    #[test]
    fn a_count_of_nothing_that_became_something_is_a_rise() {
        assert!(!baseline(&[("free", 0)]).complaints(&baseline(&[("free", 1)])).is_empty());
    }

    #[test]
    fn what_was_written_is_read_and_nonsense_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("baseline.json");
        assert!(format!("{:#}", Baseline::read(&path).unwrap_err()).contains(UPDATE));
        let written = baseline(&[("echo", 1000)]);
        written.write(&path).unwrap();
        assert_eq!(Baseline::read(&path).unwrap(), written);
        for nonsense in ["", "{}", r#"{"compiler":"","libc":"","instructions":{"echo":-1}}"#] {
            fs::write(&path, nonsense).unwrap();
            assert!(Baseline::read(&path).is_err(), "{nonsense:?} was taken");
        }
    }
}
