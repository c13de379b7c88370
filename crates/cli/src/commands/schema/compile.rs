//! `vatmux schema compile`, and the same as `capnp compile` for whoever calls that.

use std::io::{self, Write};

use super::{options, plugin};
use crate::arguments::{Compile, Generator};
use crate::failure::Failure;

pub(crate) fn run(json: bool, compile: &Compile) -> Result<(), Failure> {
    let mut options = options(&compile.imports);
    for prefix in &compile.src_prefix {
        options = options.source_prefix(prefix);
    }
    // What cannot work is said before anything is generated.
    let mut plugins = Vec::new();
    for output in &compile.output {
        plugins.push(match &output.generator {
            Generator::Dump => None,
            Generator::Plugin(name) => Some(plugin::Plugin::find(name, output.directory.as_deref())?),
        });
    }
    let request = super::compile(json, &compile.files, &options)?.to_bytes();
    for plugin in plugins {
        match plugin {
            Some(plugin) => plugin.run(&request)?,
            None => dump(&request).map_err(Failure::output)?,
        }
    }
    Ok(())
}

fn dump(request: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(request)?;
    stdout.flush()
}
