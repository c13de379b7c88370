//! `cargo xtask os …`: the image for a machine without an operating system, built, run and tested under QEMU.

mod alone;
mod bench;
mod console;
mod image;
mod machine;
mod markers;
mod squeeze;
mod storm;
mod test;
mod trials;
mod world;

use std::path::PathBuf;

use crate::check::Skipped;
use crate::repository::Repository;
use crate::setup::{self, Install, Need};

pub(crate) use self::bench::{SUITE, run as bench};
pub(crate) use self::image::MANIFEST;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Os {
    /// Build the image.
    Build,
    /// Boot it with a console here, until it is interrupted.
    Run,
    /// Boot it, have it test itself with a host, and check from outside what it says.
    Test {
        /// With a second image beside it.
        two: bool,
    },
}

/// What building and running it needs.
pub(crate) const NEEDS: &[Need] = &[Need::StdCompiler, Need::Linker, Need::Emulator];

impl Os {
    pub(crate) fn run(self, repository: &Repository, install: Install) -> Result<(), String> {
        setup::provide_for(NEEDS, install)?;
        match self {
            Os::Build => image::build(repository).map(drop),
            Os::Run => world::run(repository),
            Os::Test { two } => test::run(repository, two),
        }
    }
}

/// All that `cargo xtask os test --two` tests. Skipped where what it takes cannot be had.
pub(crate) fn check(repository: &Repository) -> Result<Skipped, String> {
    let missing: Vec<_> = NEEDS.iter().filter(|need| !need.is_met()).map(|need| need.describe()).collect();
    if missing.is_empty() {
        return test::run(repository, true).map(|()| Skipped::new());
    }
    Ok(vec![format!("every test of an image: this machine has not {}", missing.join(", nor "))])
}

/// A directory beside this program: what is built and run for the image.
fn scratch() -> Result<PathBuf, String> {
    let program =
        std::env::current_exe().map_err(|error| format!("cannot tell where this program is: {error}"))?;
    Ok(program.with_file_name("os"))
}
