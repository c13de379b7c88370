//! `cargo xtask bench`: builds the bench for release and runs one of its suites, or counts instructions.

use std::ffi::OsString;

use crate::instructions;
use crate::os;
use crate::repository::{Repository, succeed};

/// The suites that run the command `vatmux`, which is built beside the bench.
const COMMAND_SUITES: [&str; 2] = ["schema", "template"];

/// Builds quietly, then runs the bench in the caller's directory, so that `--json FILE` means what the caller means.
/// The bench reads `arguments` itself and prints its table, and after it the `ratio` lines.
pub(crate) fn run(repository: &Repository, arguments: &[OsString]) -> Result<(), String> {
    if let [suite, arguments @ ..] = arguments
        && suite == instructions::SUITE
    {
        return instructions::run(repository, arguments);
    }
    if let [suite] = arguments
        && suite == os::SUITE
    {
        return os::bench(repository);
    }
    if arguments.first().is_some_and(|suite| COMMAND_SUITES.iter().any(|name| suite == name)) {
        succeed(&mut repository.cargo(&["build", "--release", "--quiet", "--package", "vatmux-cli"]))?;
    }
    let mut cargo =
        repository.cargo(&["run", "--release", "--quiet", "--package", "vatmux-bench", "--manifest-path"]);
    cargo.arg(repository.root().join("Cargo.toml")).arg("--").args(arguments);
    cargo.current_dir(
        std::env::current_dir().map_err(|error| format!("the current directory is gone: {error}"))?,
    );
    succeed(&mut cargo)
}
