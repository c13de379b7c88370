//! `cargo xtask bench instructions`: counts what each workload costs, and compares it with the committed baseline.

mod baseline;
mod workloads;

#[allow(
    clippy::all,
    clippy::pedantic,
    clippy::unimplemented,
    dead_code,
    missing_docs,
    unused_qualifications,
    unreachable_pub
)]
mod probe_capnp {
    include!(concat!(env!("OUT_DIR"), "/probe_capnp.rs"));
}

use std::collections::BTreeMap;
use std::env;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use lexopt::{Arg, Parser, ValueExt as _};
use vatmux_instructions::Counter;

use crate::baseline::Baseline;
use crate::workloads::{WORKLOADS, Workload};

const USAGE: &str = "\
usage: cargo xtask bench instructions [--update]

  counts the instructions of every workload by callgrind and fails if one rose by more than 2 %
  --update  makes what is counted now the baseline";

/// The committed counts.
const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/baseline.json");

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Task {
    Help,
    Check,
    Update,
    /// To be counted: this program, started by itself.
    Work {
        workload: String,
        operations: u64,
    },
}

fn main() -> ExitCode {
    match parse(Parser::from_env()).and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("instructions: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn parse(mut parser: Parser) -> Result<Task> {
    let mut task = Task::Check;
    while let Some(argument) = parser.next()? {
        task = match argument {
            Arg::Short('h') | Arg::Long("help") => return Ok(Task::Help),
            Arg::Long("update") => Task::Update,
            Arg::Long("work") => {
                let workload = parser.value()?.string()?;
                Task::Work { workload, operations: parser.value()?.parse()? }
            }
            other => return Err(other.unexpected().into()),
        };
    }
    Ok(task)
}

fn run(task: Task) -> Result<()> {
    let path = Path::new(BASELINE);
    match task {
        Task::Help => println!("{USAGE}"),
        Task::Work { workload, operations } => (Workload::find(&workload)?.run)(operations)?,
        Task::Update => {
            let now = count_all()?;
            let before = Baseline::read(path).unwrap_or_else(|_| now.clone());
            print!("{}", before.compare(&now, unit_of));
            now.write(path)?;
            println!("this is the baseline now: {}", path.display());
        }
        Task::Check => {
            let before = Baseline::read(path)?;
            let now = count_all()?;
            print!("{}", before.compare(&now, unit_of));
            let complaints = before.complaints(&now);
            ensure!(complaints.is_empty(), "{}", complaints.join("\n"));
        }
    }
    Ok(())
}

fn unit_of(name: &str) -> &'static str {
    WORKLOADS.iter().find(|workload| workload.name == name).map_or("operation", |workload| workload.unit)
}

fn count_all() -> Result<Baseline> {
    let counter = Counter::find()?;
    let mut instructions = BTreeMap::new();
    for workload in &WORKLOADS {
        let slope = slope(&counter, workload).with_context(|| workload.name)?;
        instructions.insert(workload.name.to_owned(), slope);
    }
    Ok(Baseline { compiler: env!("VATMUX_COMPILER").to_owned(), libc: libc(), instructions })
}

/// Instructions per operation.
fn slope(counter: &Counter, workload: &Workload) -> Result<u64> {
    let program = env::current_exe().context("cannot find this program")?;
    let count = |operations: u64| -> Result<u64> {
        let mut command = counter.command(&program);
        command.args(["--work", workload.name]).arg(operations.to_string()).stdin(Stdio::null());
        let output = command.output().context("cannot start valgrind")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{operations} operations: {}\n{}", output.status, said.trim());
        counter.instructions()
    };
    let operations = workload.operations;
    let (few, many) = (count(operations)?, count(3 * operations)?);
    let Some(difference) = many.checked_sub(few) else {
        bail!("{} operations took fewer instructions than {operations}", 3 * operations);
    };
    Ok((difference + operations) / (2 * operations))
}

/// The C library, as it calls itself.
fn libc() -> String {
    let output = Command::new("getconf").arg("GNU_LIBC_VERSION").stdin(Stdio::null()).output();
    let version = output.ok().filter(|output| output.status.success());
    let version = version.and_then(|output| String::from_utf8(output.stdout).ok());
    version.map_or_else(|| "an unknown C library".to_owned(), |version| version.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::UPDATE;

    fn parsed(line: &str) -> Result<Task> {
        parse(Parser::from_args(line.split_whitespace()))
    }

    #[test]
    fn the_command_line_is_read_and_nonsense_refused() {
        assert_eq!(parsed("").unwrap(), Task::Check);
        assert_eq!(parsed("--update").unwrap(), Task::Update);
        assert_eq!(parsed("--help").unwrap(), Task::Help);
        assert_eq!(
            parsed("--work echo 7").unwrap(),
            Task::Work { workload: "echo".to_owned(), operations: 7 }
        );
        for nonsense in ["more", "--work", "--work echo", "--work echo -1", "--updated"] {
            assert!(parsed(nonsense).is_err(), "{nonsense:?} was taken");
        }
    }

    #[test]
    fn every_workload_runs_and_is_in_the_committed_baseline() {
        let baseline = Baseline::read(Path::new(BASELINE)).unwrap();
        let names: Vec<_> = baseline.instructions.keys().map(String::as_str).collect();
        let mut workloads: Vec<_> = WORKLOADS.iter().map(|workload| workload.name).collect();
        workloads.sort_unstable();
        assert_eq!(names, workloads, "{UPDATE}");
        for workload in &WORKLOADS {
            (workload.run)(3).unwrap_or_else(|error| panic!("{}: {error:#}", workload.name));
        }
    }

    #[test]
    fn an_unknown_workload_is_refused() {
        assert!(Workload::find("dance").is_err());
    }
}
