//! The suites, one file each: who takes part, what is shown, which ratios count.

use std::env;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};

use crate::arguments::Arguments;
use crate::report::Report;

mod link;
mod mux;
mod packagefs;
mod rpc;
mod schema;
mod services;
mod template;

/// Every suite: what it is called, what it measures, who takes part.
pub(crate) const SUITES: [Suite; 7] = [
    Suite {
        name: "packagefs",
        about: "reading one large file, and many small ones over a path of 10 ms",
        contestants: &[
            "noise_raw",
            "noise_file",
            "yamux",
            "sftp",
            "packagefs",
            "fetch_loopback",
            "fetch_10ms",
        ],
        run: packagefs::run,
    },
    Suite {
        name: "link",
        about: "handshakes, and pings beside a bulk read of the same session",
        contestants: &["vatmux"],
        run: link::run,
    },
    Suite {
        name: "mux",
        about: "multiplexers in memory, both ends on one core",
        contestants: mux::CONTESTANTS,
        run: mux::run,
    },
    Suite {
        name: "rpc",
        about: "calls one by one and many at a time, streams of calls, and calls that stay open",
        contestants: rpc::CONTESTANTS,
        run: rpc::run,
    },
    Suite {
        name: "schema",
        about: "compiling every schema that this machine has, whole processes",
        contestants: schema::CONTESTANTS,
        run: schema::run,
    },
    Suite {
        name: "services",
        about: "durable state beside a database in process, bundles beside raw bytes, and one beside the other",
        contestants: services::CONTESTANTS,
        run: services::run,
    },
    Suite {
        name: "template",
        about: "building the crate of `vatmux new` from nothing, and the same with capnpc and the C++ tool",
        contestants: template::CONTESTANTS,
        run: template::run,
    },
];

/// Something that can be asked for by name.
pub(crate) struct Suite {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) contestants: &'static [&'static str],
    run: fn(&Arguments) -> Result<Report>,
}

/// Runs the suite that is asked for.
pub(crate) fn run(arguments: &Arguments) -> Result<Report> {
    let Some(suite) = SUITES.iter().find(|suite| suite.name == arguments.suite) else {
        let names: Vec<_> = SUITES.iter().map(|suite| suite.name).collect();
        bail!("there is no suite `{}`; there are: {}", arguments.suite, names.join(", "));
    };
    let unknown = arguments.only.iter().find(|name| !suite.contestants.contains(&name.as_str()));
    if let Some(unknown) = unknown {
        bail!("there is no contestant `{unknown}`; there are: {}", suite.contestants.join(", "));
    }
    (suite.run)(arguments)
}

/// The command that was built beside this program.
fn our_command() -> Result<PathBuf> {
    let program = env::current_exe().context("cannot tell where this program is")?;
    let command = program.with_file_name(format!("vatmux{}", env::consts::EXE_SUFFIX));
    ensure!(
        command.is_file(),
        "{} is not built; `cargo xtask bench` builds it where it is needed",
        command.display()
    );
    Ok(command)
}
