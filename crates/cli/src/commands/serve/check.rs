//! `vatmux serve --check`: what would be served.

use serde_json::{Value, json};

use crate::arguments::Serve;
use crate::failure::Failure;
use crate::output;
use crate::text::Harmless;

/// Prints it.
pub(super) fn show(serve: &Serve, json: bool) -> Result<(), Failure> {
    if json {
        return output::print_line(&value(serve).to_string());
    }
    lines(serve).iter().try_for_each(|line| output::print_line(&Harmless(line).to_string()))
}

fn lines(serve: &Serve) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(directory) = &serve.dir {
        lines.push(format!("serves the directory {}", directory.display()));
    }
    if let Some(store) = &serve.bundles {
        let quota = serve.bundle_quota.map(|bytes| format!(", {bytes} bytes at most"));
        lines.push(format!("serves the bundles in {}{}", store.display(), quota.unwrap_or_default()));
        lines.extend(serve.publisher.iter().map(|publisher| format!("  signed by {publisher}")));
    }
    if let Some(directory) = &serve.state {
        lines.push(format!("keeps keys and values in {}", directory.display()));
    }
    for import in &serve.import {
        lines.push(format!("offers {}, which is at {}", import.name, import.server));
    }
    lines.extend(serve.listen.iter().map(|endpoint| format!("listens on {endpoint}")));
    lines
}

fn value(serve: &Serve) -> Value {
    let import = |import: &crate::arguments::Import| json!({ "name": import.name, "server": import.server.to_string() });
    json!({
        "dir": serve.dir.as_ref().map(|path| path.display().to_string()),
        "bundles": serve.bundles.as_ref().map(|path| path.display().to_string()),
        "publishers": serve.publisher.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "bundle_quota_bytes": serve.bundle_quota,
        "state": serve.state.as_ref().map(|path| path.display().to_string()),
        "imports": serve.import.iter().map(import).collect::<Vec<_>>(),
        "listen": serve.listen.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "workers": serve.workers,
    })
}
