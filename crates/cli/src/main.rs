//! The command `vatmux`: serve a directory to nodes that are allowed, read from nodes that serve, and bridge to programs
//! that speak plain Cap'n Proto RPC.
//!
//! Results go to standard output, everything else to standard error. It exits with 0 when all that was asked for
//! was done, with 2 when it was asked in a way that makes no sense, and with 1 when it could not be done; then one
//! line on standard error says what was tried, on what, what went wrong and, where that is known, what to do.

mod arguments;
mod commands;
mod compare;
mod failure;
mod home;
mod interrupt;
mod json;
mod latency;
mod log;
mod output;
mod plain;
mod progress;
mod pulse;
mod reporter;
mod text;
mod visit;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Arguments, Command};
use crate::failure::Failure;

fn main() -> ExitCode {
    if commands::schema::capnp::is_called() {
        return commands::schema::capnp::main();
    }
    let (outcome, json) = match Arguments::try_parse() {
        Ok(arguments) => {
            // What was told is on its way to standard error until this is dropped.
            let _log = log::start(&arguments);
            (run(&arguments), arguments.json)
        }
        // Help and version were asked for; clap knows where they go.
        Err(answer) if !answer.use_stderr() => {
            return if answer.print().is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
        // What was said is not understood, so whether a program asked is read from the words themselves.
        Err(error) => (Err(Failure::usage(&error)), std::env::args_os().any(|word| word == "--json")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report(json);
            failure.exit_code()
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.command {
        Command::Id => commands::id::run(arguments),
        Command::Serve(serve) => commands::serve::run(arguments, serve),
        Command::Ls(ls) => commands::ls::run(arguments, ls),
        Command::Stat(stat) => commands::stat::run(arguments, stat),
        Command::Cat(cat) => commands::cat::run(arguments, cat),
        Command::Get(get) => commands::get::run(arguments, get),
        Command::Bridge(bridge) => commands::bridge::run(arguments, bridge),
        Command::Ping(ping) => commands::ping::run(arguments, ping),
        Command::State(state) => commands::state::run(arguments, state),
        Command::Services(services) => commands::services::run(arguments, services),
        Command::Policy(policy) => commands::policy::run(arguments, policy),
        Command::Schema(schema) => commands::schema::run(arguments, schema),
        Command::Call(call) => commands::call::run(arguments, call),
        Command::New(new) => commands::new::run(arguments, new),
        Command::Bundle(bundle) => commands::bundle::run(arguments, bundle),
        Command::Demo(demo) => commands::demo::run(arguments, demo),
    }
}
