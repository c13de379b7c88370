//! The bridge with the C++ implementation of Cap'n Proto at its ends, which `pycapnp` brings along, and once in C++ itself: the
//! program of docs/guide/bridge.md.
//!
//! `pycapnp` is kept in a Python environment of its own beside this program, made from the committed requirements: pinned, each
//! file by its digest.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::check::Skipped;
use crate::repository::{Repository, call_of, succeed};

/// What is installed, relative to the checkout.
const REQUIREMENTS: &str = "crates/cli/tests/interop/requirements.txt";

/// Says where its Python is, to the tests.
pub(crate) const VARIABLE: &str = "VATMUX_INTEROP_PYTHON";

/// The environment, whether or not it is there.
pub(crate) struct Environment {
    directory: PathBuf,
    requirements: PathBuf,
}

impl Environment {
    pub(crate) fn of(repository: &Repository) -> Result<Self, String> {
        let program =
            std::env::current_exe().map_err(|error| format!("cannot tell where this program is: {error}"))?;
        Ok(Self {
            directory: program.with_file_name("interop"),
            requirements: repository.root().join(REQUIREMENTS),
        })
    }

    pub(crate) fn python(&self) -> PathBuf {
        self.directory.join("bin/python")
    }

    /// A copy of the requirements that were met last.
    fn stamp(&self) -> PathBuf {
        self.directory.join("requirements.txt")
    }

    /// Whether it is there, has what is required now, and works.
    pub(crate) fn is_ready(&self) -> bool {
        let is_current = match (fs::read(self.stamp()), fs::read(&self.requirements)) {
            (Ok(met), Ok(required)) => met == required,
            _ => false,
        };
        is_current && imports_capnp(&self.python())
    }

    /// Makes it anew.
    pub(crate) fn make(&self) -> Result<(), String> {
        announced(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&self.directory))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"];
        let pinned = ["--only-binary", ":all:", "--require-hashes", "--requirement"];
        announced(Command::new(self.python()).args(pip).args(pinned).arg(&self.requirements))?;
        fs::copy(&self.requirements, self.stamp())
            .map_err(|error| format!("cannot write {}: {error}", self.stamp().display()))?;
        Ok(())
    }
}

fn imports_capnp(python: &Path) -> bool {
    let mut call = Command::new(python);
    call.args(["-c", "import capnp"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    call.status().is_ok_and(|status| status.success())
}

fn announced(call: &mut Command) -> Result<(), String> {
    println!("== set-up: {}", call_of(call));
    succeed(call.stdin(Stdio::null()))
}

/// Runs the tests that the others leave out; without Python, only the program of the guide.
pub(crate) fn check(repository: &Repository) -> Result<Skipped, String> {
    let environment = Environment::of(repository)?;
    let tests = ["test", "--package", "vatmux-cli", "--test", "interop", "--", "--ignored"];
    if environment.is_ready() {
        let mut tests = repository.cargo(&tests);
        return succeed(tests.env(VARIABLE, environment.python())).map(|()| Skipped::new());
    }
    succeed(&mut repository.cargo(&[&tests[..], &["guide::"]].concat()))?;
    Ok(vec![
        "the bridge with the C++ implementation, but for the guide's program: pycapnp is not here".to_owned(),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_that_is_missing_or_was_made_for_other_requirements_is_not_ready() {
        let directory = tempfile::tempdir().unwrap();
        let environment = Environment {
            directory: directory.path().join("environment"),
            requirements: directory.path().join("required"),
        };
        fs::create_dir_all(environment.directory.join("bin")).unwrap();
        assert!(!environment.is_ready());
        fs::write(&environment.requirements, "a==2").unwrap();
        assert!(!environment.is_ready());
        // A Python that succeeds in whatever it is asked.
        std::os::unix::fs::symlink("/bin/true", environment.python()).unwrap();
        assert!(!environment.is_ready());
        fs::write(environment.stamp(), "a==1").unwrap();
        assert!(!environment.is_ready());
        fs::write(environment.stamp(), "a==2").unwrap();
        assert!(environment.is_ready());
    }

    #[test]
    fn every_requirement_is_pinned_by_digest() {
        let repository = Repository::locate().unwrap();
        let text = repository.text(Path::new(REQUIREMENTS)).unwrap().unwrap();
        let joined = text.replace("\\\n", " ");
        let requirements: Vec<_> = joined.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(!requirements.is_empty());
        for line in requirements {
            assert!(line.contains("==") && line.contains("--hash=sha256:"), "{line}");
        }
    }
}
