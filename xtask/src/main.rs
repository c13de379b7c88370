//! `cargo xtask …`: everything of the project that is not `cargo build`, `cargo run` or `cargo test`.
//!
//! A command exits with 0 only when all that it promises was done. It exits with 1 when something failed, and says what
//! and why; with 2 when it was asked for something that it does not know. What could not be checked is called skipped,
//! with the reason.

mod bare;
mod bench;
mod check;
mod fuzz;
mod instructions;
mod interop;
mod links;
mod marks;
mod os;
mod portable;
mod reference;
mod repository;
mod request;
mod retries;
mod schema;
mod setup;
mod sim;
mod usage;
mod without_capnp;

use std::process::ExitCode;

use repository::Repository;
use usage::Command;

fn main() -> ExitCode {
    let command = match usage::parse(std::env::args_os().skip(1)) {
        Ok(command) => command,
        Err(complaint) => {
            eprintln!("xtask: {complaint}; `cargo xtask --help` says what there is");
            return ExitCode::from(2);
        }
    };
    match run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(complaint) => {
            eprintln!("xtask: {complaint}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), String> {
    match command {
        Command::Help => {
            print!("{}", usage::text());
            Ok(())
        }
        Command::Test { install, checks } => {
            let repository = Repository::locate()?;
            setup::prepare(&checks, install)?;
            check::run_all(&repository, &checks)
        }
        Command::Schema => schema::check(&Repository::locate()?).map(drop),
        Command::Sim { arguments } => sim::run(&Repository::locate()?, &arguments),
        Command::Fuzz(fuzz) => fuzz.run(&Repository::locate()?),
        Command::Os { install, os } => os.run(&Repository::locate()?, install),
        Command::Bench { arguments } => bench::run(&Repository::locate()?, &arguments),
    }
}
