//! What `cargo xtask test` checks, and how it tells the outcome.

use std::env;
use std::ffi::OsStr;
use std::time::{Duration, Instant};

use crate::repository::{Repository, succeed};
use crate::setup::Need;
use crate::{
    fuzz, instructions, interop, links, marks, os, portable, reference, retries, schema, sim, without_capnp,
};

/// One thing that must hold for the project to be in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    Format,
    Marks,
    Links,
    Retries,
    Schema,
    Lint,
    Quiet,
    Test,
    WithoutCapnp,
    Interop,
    Reference,
    Sim,
    Fuzz,
    Instructions,
    Doc,
    NoStd,
    Os,
}

/// What a check that found nothing wrong could not look at, each with its reason; empty when it looked at everything.
pub(crate) type Skipped = Vec<String>;

impl Check {
    /// Every check; the quick ones come first.
    pub(crate) const ALL: [Check; 17] = [
        Check::Format,
        Check::Marks,
        Check::Links,
        Check::Retries,
        Check::Schema,
        Check::Lint,
        Check::Quiet,
        Check::Test,
        Check::WithoutCapnp,
        Check::Interop,
        Check::Reference,
        Check::Sim,
        Check::Fuzz,
        Check::Instructions,
        Check::Doc,
        Check::NoStd,
        Check::Os,
    ];

    /// The name on the command line and in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Check::Format => "format",
            Check::Marks => "marks",
            Check::Links => "links",
            Check::Retries => "retries",
            Check::Schema => "schema",
            Check::Lint => "lint",
            Check::Quiet => "quiet",
            Check::Test => "test",
            Check::WithoutCapnp => "without-capnp",
            Check::Interop => "interop",
            Check::Reference => "reference",
            Check::Sim => "sim",
            Check::Fuzz => "fuzz",
            Check::Instructions => "instructions",
            Check::Doc => "doc",
            Check::NoStd => "no-std",
            Check::Os => "os",
        }
    }

    /// What holds when the check passes.
    pub(crate) fn promise(self) -> &'static str {
        match self {
            Check::Format => "the source is formatted as rustfmt does it",
            Check::Marks => "no source file carries a mark of unfinished work",
            Check::Links => "every link from a document into the project leads somewhere",
            Check::Retries => "nothing is tried again but by crates/liveness",
            Check::Schema => "the schemas mean the same to our compiler and to the C++ tool",
            Check::Lint => "the compiler and clippy have nothing to say about any target",
            Check::Quiet => "no library prints",
            Check::Test => {
                "every test passes: units, documentation examples, processes that talk to each other"
            }
            Check::WithoutCapnp => {
                "the build scripts write the same where there is no C++ tool, as a crate of `vatmux new` builds there"
            }
            Check::Interop => {
                "the C++ implementation of Cap'n Proto uses our services and offers its own through the bridge"
            }
            Check::Reference => {
                "our schema compiler means what the C++ one means, on the schemas of others and on 10,000 random ones"
            }
            Check::Sim => "100,000 simulated sessions of the mux keep every promise",
            Check::Fuzz => {
                "under the address sanitizer no fuzz target finds anything in its corpus, or in what it makes of it"
            }
            Check::Instructions => "no workload costs 2 % more instructions than in the committed baseline",
            Check::Doc => "the documentation builds without a warning",
            Check::NoStd => "the protocol cores build where there is no standard library",
            Check::Os => {
                "images without an operating system, alone, with a host and with each other, do what they say"
            }
        }
    }

    /// What the machine must have for the check to run.
    pub(crate) fn needs(self) -> &'static [Need] {
        match self {
            Check::Format => &[Need::Rustfmt],
            // The tests of the schema check compile schemas.
            Check::Schema | Check::Test => &[Need::SchemaCompiler, Need::StandardSchemas],
            Check::Lint | Check::Quiet => &[Need::Clippy],
            Check::Interop => {
                &[Need::Python, Need::CppPeer, Need::CppCompiler, Need::CppLibrary, Need::SchemaCompiler]
            }
            Check::Reference => &[Need::SchemaCompiler, Need::StandardSchemas, Need::Python, Need::CppPeer],
            Check::Fuzz => &[Need::CppCompiler],
            Check::NoStd => &[Need::BareCompiler],
            Check::Os => os::NEEDS,
            Check::Instructions => &[Need::InstructionCounter],
            Check::Marks | Check::Links | Check::Retries | Check::WithoutCapnp | Check::Sim | Check::Doc => {
                &[]
            }
        }
    }

    fn run(self, repository: &Repository) -> Result<Skipped, String> {
        let cargo = |arguments: &[&str]| succeed(&mut repository.cargo(arguments)).map(|()| Skipped::new());
        match self {
            Check::Format => {
                cargo(&["fmt", "--all", "--check"])?;
                cargo(&["fmt", "--manifest-path", fuzz::MANIFEST, "--check"])?;
                cargo(&["fmt", "--manifest-path", os::MANIFEST, "--check"])
            }
            Check::Marks => marks::check(repository),
            Check::Links => links::check(repository),
            Check::Retries => retries::check(repository),
            Check::Schema => schema::check(repository),
            Check::Lint => {
                cargo(&["clippy", "--workspace", "--all-targets", "--", "-Dwarnings"])?;
                // For this machine: what differs on the image's is assembly, of which nothing is looked at here.
                cargo(&["clippy", "--locked", "--manifest-path", os::MANIFEST, "--", "-Dwarnings"])
            }
            Check::Quiet => {
                // Warnings are for the lint check to show.
                let lints = ["--", "-Awarnings", "-Dclippy::print_stdout", "-Dclippy::print_stderr"];
                cargo(&[&["clippy", "--workspace", "--lib"], &lints[..]].concat())
            }
            Check::Test => cargo(&["test", "--workspace", "--no-fail-fast"]),
            Check::WithoutCapnp => without_capnp::check(repository),
            Check::Interop => interop::check(repository),
            Check::Reference => reference::check(repository),
            Check::Sim => sim::check(repository).map(|()| Skipped::new()),
            Check::Fuzz => fuzz::check(repository),
            Check::Instructions => instructions::check(repository),
            Check::Doc => {
                // Only libraries: the command `vatmux` has the library's name, and its pages would overwrite the library's.
                let mut doc = repository.cargo(&["doc", "--workspace", "--no-deps", "--lib"]);
                succeed(doc.env("RUSTDOCFLAGS", "-Dwarnings")).map(|()| Skipped::new())
            }
            Check::NoStd => portable::check(repository),
            Check::Os => os::check(repository),
        }
    }
}

/// Runs the checks, all of them even when one fails, and says at the end how each came out. In continuous integration,
/// which sets `CI`, a check that skipped something has failed: nobody reads there what was skipped.
pub(crate) fn run_all(repository: &Repository, checks: &[Check]) -> Result<(), String> {
    let may_skip = !is_continuous_integration(env::var_os("CI").as_deref());
    let mut outcomes = Vec::new();
    for &check in checks {
        println!("\n== {}: {}", check.name(), check.promise());
        let start = Instant::now();
        let result = check.run(repository).and_then(|skipped| judge(skipped, may_skip));
        let outcome = Outcome { check, result, time: start.elapsed() };
        println!("== {}", outcome.headline());
        outcomes.push(outcome);
    }
    println!("\n== cargo xtask test");
    for outcome in &outcomes {
        println!("{}", outcome.report());
    }
    match outcomes.iter().filter(|outcome| outcome.result.is_err()).count() {
        0 => Ok(()),
        failures => Err(format!("{failures} of {} checks failed", outcomes.len())),
    }
}

fn is_continuous_integration(variable: Option<&OsStr>) -> bool {
    variable.is_some_and(|value| !value.is_empty() && value != "false")
}

fn judge(skipped: Skipped, may_skip: bool) -> Result<Skipped, String> {
    if may_skip || skipped.is_empty() {
        return Ok(skipped);
    }
    Err(format!("nothing may be skipped where CI is set, and this was: {}", skipped.join("\n")))
}

/// How a check came out.
struct Outcome {
    check: Check,
    result: Result<Skipped, String>,
    time: Duration,
}

impl Outcome {
    /// One line.
    fn headline(&self) -> String {
        let word = match &self.result {
            Ok(skipped) if skipped.is_empty() => "ok",
            Ok(_) => "ok but for what was SKIPPED,",
            Err(_) => "FAILED",
        };
        format!("{:<12} {word} in {:.1} s", self.check.name(), self.time.as_secs_f64())
    }

    /// The headline, and below it what was skipped or what went wrong.
    fn report(&self) -> String {
        let remarks = match &self.result {
            Ok(skipped) => skipped.iter().map(|reason| format!("SKIPPED: {reason}")).collect(),
            Err(complaint) => vec![complaint.clone()],
        };
        let mut report = self.headline();
        for line in remarks.iter().flat_map(|remark| remark.lines()) {
            report.push_str("\n             ");
            report.push_str(line);
        }
        report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_has_its_own_name() {
        let mut names = Check::ALL.map(Check::name).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Check::ALL.len());
    }

    #[test]
    fn what_was_skipped_is_told_with_the_outcome() {
        let result = Ok(vec!["no such target".to_owned()]);
        let outcome = Outcome { check: Check::NoStd, result, time: Duration::from_millis(1_260) };
        assert_eq!(
            outcome.report(),
            "no-std       ok but for what was SKIPPED, in 1.3 s\n             SKIPPED: no such target"
        );
    }

    #[test]
    fn what_was_skipped_is_a_failure_in_continuous_integration_only() {
        let skipped = vec!["no such target".to_owned()];
        assert_eq!(judge(skipped.clone(), true), Ok(skipped.clone()));
        assert!(judge(skipped, false).unwrap_err().contains("no such target"));
        assert_eq!(judge(Skipped::new(), false), Ok(Skipped::new()));
    }

    #[test]
    fn continuous_integration_is_known_by_its_variable() {
        let is_ci = |value: &str| is_continuous_integration(Some(OsStr::new(value)));
        assert!(is_ci("true") && is_ci("1"));
        assert!(!is_ci("") && !is_ci("false") && !is_continuous_integration(None));
    }

    #[test]
    fn a_failure_is_told_whole() {
        let result = Err("a.md: gone\nb.md: gone".to_owned());
        let outcome = Outcome { check: Check::Links, result, time: Duration::ZERO };
        assert_eq!(
            outcome.report(),
            "links        FAILED in 0.0 s\n             a.md: gone\n             b.md: gone"
        );
    }

    #[test]
    fn every_check_runs_even_after_one_that_fails() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("a.md"), "[gone](gone.md)").unwrap();
        let checks = [Check::Links, Check::Marks];
        let outcome = run_all(&Repository::at(directory.path()), &checks);
        assert_eq!(outcome, Err("1 of 2 checks failed".to_owned()));
    }
}
