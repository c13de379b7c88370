//! Our schema compiler against the C++ one, on schemas that others wrote, our own, random ones and broken ones.

use crate::check::Skipped;
use crate::interop::{self, Environment};
use crate::repository::{Repository, succeed};

/// Runs the tests that the others leave out. Without `pycapnp` its schemas are left out of them.
pub(crate) fn check(repository: &Repository) -> Result<Skipped, String> {
    let mut tests =
        repository.cargo(&["test", "--package", "vatmux-schema-reference", "--test", "reference"]);
    tests.args(["--", "--ignored"]);
    let environment = Environment::of(repository)?;
    let mut skipped = Skipped::new();
    if environment.is_ready() {
        tests.env(interop::VARIABLE, environment.python());
    } else {
        skipped.push("the schemas of pycapnp: it is not here".to_owned());
    }
    succeed(&mut tests).map(|()| skipped)
}
