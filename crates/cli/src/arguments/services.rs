//! What can be said of the services of a node.

use std::time::Duration;

use clap::{Args, Subcommand};
use vatmux::samgr::{MAX_WAIT, Name, Prefix};
use vatmux_host::NodeAddress;

use super::{node, pause};

#[derive(Debug, Subcommand)]
pub(crate) enum Services {
    /// List what nodes offer through a node, and what it offers itself
    #[command(after_long_help = help::LIST)]
    List(ServicesBelow),
    /// Say who offers a service, and what it is
    #[command(after_long_help = help::RESOLVE)]
    Resolve(ServicesName),
    /// Wait until somebody offers a service
    #[command(after_long_help = help::WAIT)]
    Wait(ServicesWait),
    /// Tell what is offered, and then what comes and goes, until interrupted
    #[command(after_long_help = help::WATCH)]
    Watch(ServicesBelow),
}

#[derive(Debug, Args)]
pub(crate) struct ServicesBelow {
    /// The node
    #[arg(value_parser = node)]
    pub(crate) address: NodeAddress,

    /// What the names begin with; all of them unless given
    #[arg(default_value = "")]
    pub(crate) prefix: Prefix,
}

#[derive(Debug, Args)]
pub(crate) struct ServicesName {
    /// The node
    #[arg(value_parser = node)]
    pub(crate) address: NodeAddress,

    /// The name of the service
    pub(crate) name: Name,
}

#[derive(Debug, Args)]
pub(crate) struct ServicesWait {
    #[command(flatten)]
    pub(crate) of: ServicesName,

    /// How long, at most 600
    #[arg(long = "for", value_name = "SECONDS", default_value = "60", value_parser = patience)]
    pub(crate) patience: Duration,
}

/// As long as a registry lets anybody wait.
fn patience(text: &str) -> Result<Duration, String> {
    match pause(text)? {
        patience if patience > MAX_WAIT => Err(format!("it must be at most {}", MAX_WAIT.as_secs())),
        patience => Ok(patience),
    }
}

/// Examples, and what `--json` prints.
mod help {
    pub(super) const LIST: &str = "\
Example:
  vatmux services list vat://vat1…@127.0.0.1:7070 org.example.

Each line has a name and the node that offers it; a star marks what the node that was asked offers itself.

JSON: one object per service: {\"name\", \"node\", \"local\", \"priority\", \"interface_id\", \"schema_digest\", \"version\", \
\"generation\", \"revision\"}; the priority is null where the service has no stream of its own there, and what the provider did \
not say is null";

    pub(super) const RESOLVE: &str = "\
Example:
  vatmux services resolve vat://vat1…@127.0.0.1:7070 org.example.clock

JSON: {\"name\", \"node\", \"local\", \"priority\", \"interface_id\", \"schema_digest\", \"version\", \"generation\", \"revision\"}";

    pub(super) const WAIT: &str = "\
Example:
  vatmux services wait vat://vat1…@127.0.0.1:7070 org.example.clock --for 10

It prints what `resolve` prints, as soon as there is such a service.";

    pub(super) const WATCH: &str = "\
Example:
  vatmux services watch vat://vat1…@127.0.0.1:7070 org.example.

First a line with + for each service that there is, then one with = that this was all, and then one with + or - for each that comes \
or goes. A line with ! says that changes were missed: what there is now follows, and another =.

JSON: one object per line: {\"event\": \"registered\", \"revision\", \"service\"}, {\"event\": \"unregistered\", \"revision\", \
\"name\", \"generation\", \"reason\"}, {\"event\": \"current\", \"revision\"}, {\"event\": \"compacted\", \"revision\"}; a service is as \
`resolve` prints it";
}
