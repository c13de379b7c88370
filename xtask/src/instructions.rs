//! `cargo xtask bench instructions`: what the workloads cost, counted and compared with the committed baseline.

use std::ffi::OsString;

use crate::check::Skipped;
use crate::repository::{Repository, succeed};
use crate::setup::Need;

/// What it is called among the suites of the bench.
pub(crate) const SUITE: &str = "instructions";

/// Where the committed counts were taken, and nowhere else do they mean anything.
const IS_COUNTED_HERE: bool = cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu"));

/// The counter reads `arguments` itself.
pub(crate) fn run(repository: &Repository, arguments: &[OsString]) -> Result<(), String> {
    let package = ["--package", "vatmux-instructions", "--"];
    let mut cargo = repository.cargo(&["run", "--quiet", "--profile", "instructions"]);
    succeed(cargo.args(package).args(arguments))
}

/// Fails where something costs more than it did, unless nothing can be counted on this machine.
pub(crate) fn check(repository: &Repository) -> Result<Skipped, String> {
    match cannot_count(IS_COUNTED_HERE, Need::InstructionCounter.is_met()) {
        Some(reason) => Ok(vec![reason.to_owned()]),
        None => run(repository, &[]).map(|()| Skipped::new()),
    }
}

fn cannot_count(is_counted_here: bool, has_counter: bool) -> Option<&'static str> {
    match (is_counted_here, has_counter) {
        (false, _) => Some("instructions are counted on x86-64 Linux with glibc only"),
        (true, false) => Some("instructions are counted by valgrind, which is not here"),
        (true, true) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_nothing_can_be_counted_the_check_says_so() {
        assert!(cannot_count(false, true).is_some_and(|reason| reason.contains("x86-64")));
        assert!(cannot_count(true, false).is_some_and(|reason| reason.contains("valgrind")));
        assert_eq!(cannot_count(true, true), None);
    }
}
