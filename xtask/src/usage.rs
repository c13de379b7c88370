//! The command line: what can be asked, and how it is told.

use std::ffi::OsString;

use lexopt::{Arg, Parser, ValueExt};

use crate::check::Check;
use crate::setup::Install;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Print the usage.
    Help,
    /// Set the machine up and run checks, in the order given.
    Test { install: Install, checks: Vec<Check> },
    /// Compile the schemas anew.
    Schema,
    /// Run the simulator, which reads the arguments itself.
    Sim { arguments: Vec<OsString> },
    /// Run a suite of the bench, which reads the arguments itself. There is at least one: its name.
    Bench { arguments: Vec<OsString> },
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
            Some("bench") => parse_bench(parser),
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

fn parse_bench(mut parser: Parser) -> Result<Command, String> {
    let arguments: Vec<OsString> = parser.raw_args().map_err(text_of)?.collect();
    if arguments.is_empty() { Err("bench which suite?".to_owned()) } else { Ok(Command::Bench { arguments }) }
}

// By value, because that is the shape `map_err` asks for.
#[allow(clippy::needless_pass_by_value)]
fn text_of(error: lexopt::Error) -> String {
    error.to_string()
}

/// The usage, whole lines.
pub(crate) fn text() -> String {
    let checks = Check::ALL.map(|check| format!("  {:<9} {}\n", check.name(), check.promise()));
    format!("{COMMANDS}\nChecks:\n{}", checks.concat())
}

const COMMANDS: &str = "\
Usage:
  cargo xtask test [--no-install] [CHECK…]
      Installs what a Debian or Ubuntu machine lacks (as root or with sudo; it says what),
      then runs every check, or only the ones named. --no-install forbids installing.
  cargo xtask schema
      Compiles the schemas with the capnp tool and rewrites the committed requests that are stale.
  cargo xtask sim [--seed N] [--seeds K]
      Simulates K sessions of the mux, 100,000 when not told; --seed N replays one that failed, or begins there.
  cargo xtask bench NAME [--json FILE] [--runs N]
      Builds the bench for release and runs the suite NAME.
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
