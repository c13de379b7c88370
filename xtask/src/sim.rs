//! `cargo xtask sim`: builds the simulator and runs seeds, many at once or one that failed.

use std::ffi::OsString;

use crate::repository::{Repository, succeed};

/// How many seeds the test command runs: about a minute on two cores.
const SEEDS: &str = "100000";

/// The simulator reads `arguments` itself. It is built as tests are, but optimised: the engine's own assertions stay on.
pub(crate) fn run(repository: &Repository, arguments: &[OsString]) -> Result<(), String> {
    let mut cargo = repository.cargo(&["run", "--quiet", "--package", "vatmux-sim", "--"]);
    succeed(cargo.args(arguments))
}

/// As many seeds as every change of the engine must pass.
pub(crate) fn check(repository: &Repository) -> Result<(), String> {
    run(repository, &["--seeds".into(), SEEDS.into()])
}
