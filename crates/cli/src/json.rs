//! Values in the form that programs read.

use std::time::Duration;

use serde_json::{Value, json};
use vatmux::packagefs::{Attributes, Skipped};

use crate::text;

/// A time as a number of seconds.
pub(crate) fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

/// What a path or an entry is; `label` is `path` or `name`.
pub(crate) fn attributes(label: &str, name: &str, attributes: &Attributes) -> Value {
    let mut value = json!({
        "kind": text::kind(attributes.kind),
        "mode": format!("{:04o}", attributes.mode),
        "size_bytes": attributes.size_bytes,
        "modified_ns": (attributes.modified_ns != 0).then_some(attributes.modified_ns),
        "link_target": attributes.link_target,
    });
    value[label] = json!(name);
    value
}

/// What was left out of a tree, and why.
pub(crate) fn skipped(skipped: &[Skipped]) -> Value {
    skipped
        .iter()
        .map(|skipped| json!({ "path": skipped.path, "reason": skipped.reason.to_string() }))
        .collect()
}
