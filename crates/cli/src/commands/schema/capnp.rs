//! What this program is when it is called `capnp`: the C++ tool, as far as building with schemas takes it.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use vatmux_schema::{Files, Options};

use super::compile;
use crate::arguments::{CapnpArguments, CapnpCommand};
use crate::failure::Failure;
use crate::output::print_line;

/// Whether that is its name.
pub(crate) fn is_called() -> bool {
    env::args_os().next().is_some_and(|name| Path::new(&name).file_stem() == Some(OsStr::new("capnp")))
}

/// All of the program. It exits with 1 whatever is wrong, as the C++ tool does.
pub(crate) fn main() -> ExitCode {
    let outcome = match CapnpArguments::try_parse() {
        Ok(arguments) => run(&arguments),
        Err(answer) if !answer.use_stderr() => answer.print().map_err(Failure::output),
        Err(error) => Err(Failure::usage_of("capnp", &error)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report(false);
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &CapnpArguments) -> Result<(), Failure> {
    match &arguments.command {
        _ if arguments.version => print_line(&format!("Cap'n Proto version {}", version()?)),
        Some(CapnpCommand::Compile(compile)) => compile::run(false, &compile.compile),
        Some(CapnpCommand::Id) => print_line(&format!("@{:#x}", new_id()?)),
        None => Err(Failure::Usage("a command is missing; see: capnp --help".into())),
    }
}

/// A random number with the highest bit set, which says that somebody made it so.
fn new_id() -> Result<u64, Failure> {
    match getrandom::u64() {
        Ok(id) => Ok(id | 1 << 63),
        Err(error) => Err(Failure::System { what: "random numbers", error: error.into() }),
    }
}

/// The version that our requests name: some build scripts refuse old ones.
fn version() -> Result<String, Failure> {
    struct Nothing;
    impl Files for Nothing {
        fn read(&self, _: &Path) -> io::Result<Option<Vec<u8>>> {
            Ok(Some(b"@0xbf5147cbbecf40c1;".to_vec()))
        }
    }
    let compiled = vatmux_schema::compile_from(&Nothing, &["nothing.capnp"], &Options::default())
        .map_err(|found| Failure::Schema { errors: found.iter().count() as u64 })?;
    let version = compiled.request()?.get_capnp_version()?;
    Ok(format!("{}.{}.{}", version.get_major(), version.get_minor(), version.get_micro()))
}
