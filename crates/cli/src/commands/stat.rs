//! `vatmux stat`: of a path here, of a node in a module of its own.

mod node;

use std::fmt::Write;

use indicatif::HumanCount;
use vatmux::packagefs::{Attributes, Links};

use crate::arguments::{Arguments, Stat};
use crate::failure::Failure;
use crate::text::{self, Harmless};
use crate::visit::{self, Calls};
use crate::{json, output};

pub(crate) fn run(arguments: &Arguments, stat: &Stat) -> Result<(), Failure> {
    if stat.address.path.is_empty() && !stat.files && !stat.follow {
        return node::run(arguments, &stat.address);
    }
    let links = if stat.follow { Links::Follow } else { Links::Inspect };
    let path = &stat.address.path;
    let attributes = visit::pay(arguments, &stat.address, Calls::Short, None, async |visit| {
        Ok(visit.files()?.stat(path, links).await?)
    })?;
    output::print_line(&if arguments.json {
        json::attributes("path", path, &attributes).to_string()
    } else {
        described(path, &attributes)
    })
}

fn described(path: &str, attributes: &Attributes) -> String {
    let mut text = format!("path      {}\nkind      {}", text::shown_path(path), text::kind(attributes.kind));
    let mut field = |label: &str, value: &dyn std::fmt::Display| {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n{label:10}{value}");
    };
    if let Some(target) = &attributes.link_target {
        field("target", &Harmless(target));
    }
    field("size", &format_args!("{} bytes", HumanCount(attributes.size_bytes)));
    field("mode", &format_args!("{:04o} ({})", attributes.mode, text::mode(attributes)));
    match text::modified(attributes) {
        Some(time) => field("modified", &format_args!("{time} UTC")),
        None => field("modified", &"not known"),
    }
    text
}
