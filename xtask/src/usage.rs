//! The command line: what can be asked, and how it is told.

use std::ffi::OsString;
use std::num::NonZero;

use lexopt::{Arg, Parser, ValueExt};

use crate::check::Check;
use crate::fuzz::Fuzz;
use crate::os::Os;
use crate::setup::Install;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Print the usage.
    Help,
    /// Set the machine up and run checks, in the order given.
    Test { install: Install, checks: Vec<Check> },
    /// Hold our schema compiler against the C++ tool.
    Schema,
    /// Run the simulator, which reads the arguments itself.
    Sim { arguments: Vec<OsString> },
    /// Run a fuzz target, or say which there are.
    Fuzz(Fuzz),
    /// Run a suite of the bench, which reads the arguments itself. There is at least one: its name.
    Bench { arguments: Vec<OsString> },
    /// Build, run or test the image for a machine without an operating system.
    Os { install: Install, os: Os },
}

/// Reads the arguments that follow the program's name.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, String> {
    let mut parser = Parser::from_args(arguments);
    match parser.next().map_err(text_of)? {
        None => Err("which command?".to_owned()),
        Some(Arg::Short('h') | Arg::Long("help")) => Ok(Command::Help),
        Some(Arg::Value(name)) => match name.to_str() {
            Some("test") => parse_test(parser),
            Some("schema") => parse_schema(parser),
            Some("sim") => parse_sim(parser),
            Some("fuzz") => parse_fuzz(parser),
            Some("bench") => parse_bench(parser),
            Some("os") => parse_os(parser),
            _ => Err(format!("there is no command {}", name.display())),
        },
        Some(other) => Err(text_of(other.unexpected())),
    }
}

fn parse_test(mut parser: Parser) -> Result<Command, String> {
    let mut install = Install::Allowed;
    let mut checks = Vec::new();
    while let Some(argument) = parser.next().map_err(text_of)? {
        match argument {
            Arg::Long("no-install") => install = Install::Forbidden,
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help),
            Arg::Value(name) => {
                let name = name.string().map_err(text_of)?;
                let check = Check::ALL.into_iter().find(|check| check.name() == name);
                checks.push(check.ok_or_else(|| format!("there is no check {name}"))?);
            }
            other => return Err(text_of(other.unexpected())),
        }
    }
    if checks.is_empty() {
        checks.extend(Check::ALL);
    }
    Ok(Command::Test { install, checks })
}

fn parse_schema(mut parser: Parser) -> Result<Command, String> {
    match parser.next().map_err(text_of)? {
        None => Ok(Command::Schema),
        Some(Arg::Short('h') | Arg::Long("help")) => Ok(Command::Help),
        Some(other) => Err(text_of(other.unexpected())),
    }
}

fn parse_sim(mut parser: Parser) -> Result<Command, String> {
    Ok(Command::Sim { arguments: parser.raw_args().map_err(text_of)?.collect() })
}

fn parse_fuzz(mut parser: Parser) -> Result<Command, String> {
    let (mut target, mut seconds, mut merges, mut lists) = (None, None, false, false);
    while let Some(argument) = parser.next().map_err(text_of)? {
        match argument {
            Arg::Long("list") => lists = true,
            Arg::Long("merge") => merges = true,
            Arg::Long("seconds") => {
                let value: NonZero<u32> = parser.value().and_then(|value| value.parse()).map_err(text_of)?;
                seconds = Some(value);
            }
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help),
            Arg::Value(name) if target.is_none() => target = Some(name.string().map_err(text_of)?),
            other => return Err(text_of(other.unexpected())),
        }
    }
    Ok(Command::Fuzz(match (target, seconds, merges, lists) {
        (None, None, false, true) => Fuzz::List,
        (Some(target), None, true, false) => Fuzz::Merge { target },
        (Some(target), seconds, false, false) => {
            Fuzz::Run { target, seconds: seconds.unwrap_or(Fuzz::DEFAULT_SECONDS) }
        }
        (None, _, _, false) => {
            return Err("fuzz which target? `cargo xtask fuzz --list` names them".to_owned());
        }
        (_, _, true, false) => return Err("--merge takes no --seconds".to_owned()),
        (_, _, _, true) => return Err("--list stands alone".to_owned()),
    }))
}

fn parse_bench(mut parser: Parser) -> Result<Command, String> {
    let arguments: Vec<OsString> = parser.raw_args().map_err(text_of)?.collect();
    if arguments.is_empty() { Err("bench which suite?".to_owned()) } else { Ok(Command::Bench { arguments }) }
}

fn parse_os(mut parser: Parser) -> Result<Command, String> {
    let (mut what, mut two, mut install) = (None, false, Install::Allowed);
    while let Some(argument) = parser.next().map_err(text_of)? {
        match argument {
            Arg::Long("two") => two = true,
            Arg::Long("no-install") => install = Install::Forbidden,
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help),
            Arg::Value(name) if what.is_none() => what = Some(name.string().map_err(text_of)?),
            other => return Err(text_of(other.unexpected())),
        }
    }
    let os = match (what.as_deref(), two) {
        (Some("build"), false) => Os::Build,
        (Some("run"), false) => Os::Run,
        (Some("test"), two) => Os::Test { two },
        (Some("build" | "run"), true) => return Err("--two is for `os test`".to_owned()),
        (Some(other), _) => return Err(format!("there is no os {other}; there is build, run and test")),
        (None, _) => return Err("os what? build, run or test".to_owned()),
    };
    Ok(Command::Os { install, os })
}

// By value, because that is the shape `map_err` asks for.
#[allow(clippy::needless_pass_by_value)]
fn text_of(error: lexopt::Error) -> String {
    error.to_string()
}

/// The usage, whole lines.
pub(crate) fn text() -> String {
    let checks = Check::ALL.map(|check| format!("  {:<12} {}\n", check.name(), check.promise()));
    format!("{COMMANDS}\nChecks:\n{}", checks.concat())
}

const COMMANDS: &str = "\
Usage:
  cargo xtask test [--no-install] [CHECK…]
      Installs what a Debian or Ubuntu machine lacks (as root or with sudo; it says what),
      then runs every check, or only the ones named. --no-install forbids installing.
  cargo xtask schema
      Compiles the schemas with our compiler and with the capnp tool, and says where the two differ.
  cargo xtask sim [--seed N] [--seeds K]
      Simulates K sessions of the mux, 100,000 when not told; --seed N replays one that failed, or begins there.
  cargo xtask fuzz TARGET [--seconds N]
      Fuzzes under the address sanitizer, for a minute when not told how long.
  cargo xtask fuzz TARGET --merge
      Makes the committed corpus anew, from itself and what fuzzing has found, as small as covers the same.
  cargo xtask fuzz --list
      Says which targets there are.
  cargo xtask os build | run | test [--two] [--no-install]
      Builds the image for a machine without an operating system; boots it under QEMU; or has it test itself with
      a host, and with a second image where told, and checks from outside what it says.
  cargo xtask bench NAME [--json FILE] [--runs N]
      Builds the bench for release and runs the suite NAME.
  cargo xtask bench os
      Measures the image under QEMU, in instructions and in virtual time.
  cargo xtask bench instructions [--update]
      Counts the instructions of the workloads, and compares them with the committed baseline or makes them it.
";

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Command, String> {
        parse(arguments.iter().map(OsString::from))
    }

    #[test]
    fn test_alone_asks_for_every_check_and_may_install() {
        assert_eq!(
            parsed(&["test"]),
            Ok(Command::Test { install: Install::Allowed, checks: Check::ALL.to_vec() })
        );
    }

    #[test]
    fn named_checks_are_run_in_the_order_given() {
        let expected =
            Command::Test { install: Install::Forbidden, checks: vec![Check::Schema, Check::Format] };
        assert_eq!(parsed(&["test", "schema", "--no-install", "format"]), Ok(expected));
    }

    #[test]
    fn bench_arguments_reach_the_bench_untouched() {
        let arguments = ["link", "--json", "out.json", "--runs=7", "--help"];
        let expected = Command::Bench { arguments: arguments.map(OsString::from).to_vec() };
        assert_eq!(parsed(&[&["bench"][..], &arguments].concat()), Ok(expected));
    }

    #[test]
    fn sim_arguments_reach_the_simulator_untouched() {
        let arguments = ["--seed", "7", "--help"];
        let expected = Command::Sim { arguments: arguments.map(OsString::from).to_vec() };
        assert_eq!(parsed(&[&["sim"][..], &arguments].concat()), Ok(expected));
        assert_eq!(parsed(&["sim"]), Ok(Command::Sim { arguments: Vec::new() }));
    }

    #[test]
    fn a_fuzz_target_runs_for_a_minute_or_as_long_as_told() {
        let run = |seconds| {
            let seconds = NonZero::new(seconds).unwrap();
            Ok(Command::Fuzz(Fuzz::Run { target: "mux_engine".to_owned(), seconds }))
        };
        assert_eq!(parsed(&["fuzz", "mux_engine"]), run(60));
        assert_eq!(parsed(&["fuzz", "--seconds", "7", "mux_engine"]), run(7));
        assert_eq!(parsed(&["fuzz", "mux_engine", "--seconds=600"]), run(600));
    }

    #[test]
    fn a_corpus_is_merged_and_targets_are_listed_without_a_time() {
        let merge = Fuzz::Merge { target: "mux_engine".to_owned() };
        assert_eq!(parsed(&["fuzz", "mux_engine", "--merge"]), Ok(Command::Fuzz(merge)));
        assert_eq!(parsed(&["fuzz", "--list"]), Ok(Command::Fuzz(Fuzz::List)));
    }

    #[test]
    fn a_fuzz_run_that_makes_no_sense_is_refused() {
        for (arguments, named) in [
            (&["fuzz"][..], "--list"),
            (&["fuzz", "--seconds", "5"], "which target"),
            (&["fuzz", "mux_engine", "--seconds", "0"], "0"),
            (&["fuzz", "mux_engine", "--seconds", "soon"], "soon"),
            (&["fuzz", "mux_engine", "--seconds"], "--seconds"),
            (&["fuzz", "mux_engine", "noise_records"], "noise_records"),
            (&["fuzz", "mux_engine", "--merge", "--seconds", "5"], "--merge"),
            (&["fuzz", "mux_engine", "--list"], "--list"),
            (&["fuzz", "--dance"], "--dance"),
        ] {
            let complaint = parsed(arguments).expect_err("the arguments make no sense");
            assert!(complaint.contains(named), "{arguments:?} gave {complaint:?}");
        }
    }

    #[test]
    fn an_image_is_built_run_or_tested_alone_or_with_another() {
        let os = |install, os| Ok(Command::Os { install, os });
        assert_eq!(parsed(&["os", "build"]), os(Install::Allowed, Os::Build));
        assert_eq!(parsed(&["os", "run", "--no-install"]), os(Install::Forbidden, Os::Run));
        assert_eq!(parsed(&["os", "test"]), os(Install::Allowed, Os::Test { two: false }));
        assert_eq!(parsed(&["os", "--two", "test"]), os(Install::Allowed, Os::Test { two: true }));
        for (arguments, named) in
            [(&["os"][..], "os what"), (&["os", "dance"], "dance"), (&["os", "run", "--two"], "--two")]
        {
            let complaint = parsed(arguments).expect_err("the arguments make no sense");
            assert!(complaint.contains(named), "{arguments:?} gave {complaint:?}");
        }
    }

    #[test]
    fn what_is_not_known_is_refused_by_its_name() {
        for (arguments, named) in [
            (&["dance"][..], "dance"),
            (&["test", "dance"], "dance"),
            (&["test", "--dance"], "--dance"),
            (&["schema", "dance"], "dance"),
            (&["--dance"], "--dance"),
        ] {
            let complaint = parsed(arguments).expect_err("the arguments make no sense");
            assert!(complaint.contains(named), "{arguments:?} gave {complaint:?}");
        }
    }

    #[test]
    fn a_command_that_lacks_its_name_is_refused() {
        assert!(parsed(&[]).is_err());
        assert!(parsed(&["bench"]).is_err());
    }

    #[test]
    fn the_usage_names_every_check() {
        let text = text();
        assert!(Check::ALL.iter().all(|check| text.contains(check.name())));
    }
}
