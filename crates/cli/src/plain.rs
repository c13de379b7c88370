//! Addresses of plain text, as the command line names them.

use vatmux_host::Endpoint;
use vatmux_host::bridge::PlainEndpoint;
use vatmux_mux::Priority;

use crate::failure::Failure;

/// The most urgent that a stream for an imported service may be: behind health and whatever else must always answer, before
/// content.
pub(crate) const IMPORT_PRIORITY: Priority = match Priority::new(4) {
    Some(priority) => priority,
    None => Priority::LAST,
};

/// An address for plain text, where `insecure` says whether it may leave this machine.
pub(crate) fn endpoint(endpoint: &Endpoint, insecure: bool) -> Result<PlainEndpoint, Failure> {
    let endpoint = absolute(endpoint)?;
    if insecure {
        return Ok(PlainEndpoint::anywhere(endpoint));
    }
    Ok(PlainEndpoint::on_this_machine(endpoint)?)
}

/// A socket's path as it is called from anywhere.
pub(crate) fn absolute(endpoint: &Endpoint) -> Result<Endpoint, Failure> {
    match endpoint {
        Endpoint::Tcp { .. } => Ok(endpoint.clone()),
        Endpoint::Unix(path) => std::path::absolute(path)
            .map(Endpoint::Unix)
            .map_err(|error| Failure::Local { what: "find", path: path.clone(), error }),
    }
}
