//! `vatmux policy`

use std::fmt::Write as _;

use serde_json::{Value, json};
use vatmux::access::{Grant, NamePattern, Policy};
use vatmux::bundle::Rule;
use vatmux::samgr;
use vatmux::statefs::Right;
use vatmux_noise::NodeId;

use crate::arguments::{Arguments, PolicyCommand};
use crate::failure::Failure;
use crate::output;
use crate::text::Harmless;

pub(crate) fn run(arguments: &Arguments, command: &PolicyCommand) -> Result<(), Failure> {
    match command {
        PolicyCommand::Check(check) => show(&Policy::read(&check.file)?, arguments.json),
    }
}

/// Prints what each node may do.
pub(super) fn show(policy: &Policy, json: bool) -> Result<(), Failure> {
    let named = policy.nodes().map(|(node, grant)| (Some(node), grant));
    let all: Vec<_> = named.chain(policy.of_anyone().map(|grant| (None, grant))).collect();
    if json {
        return all
            .into_iter()
            .try_for_each(|(node, grant)| output::print_line(&value(node, grant).to_string()));
    }
    if all.is_empty() {
        return output::print_line("nobody may connect");
    }
    all.into_iter().try_for_each(|(node, grant)| output::print_line(paragraph(node, grant).trim_end()))
}

/// A node, and line by line what it may do.
fn paragraph(node: Option<&NodeId>, grant: &Grant) -> String {
    let mut text = node.map_or_else(|| "anyone else".to_owned(), ToString::to_string);
    if let Some(name) = &grant.name {
        let _ = write!(text, " ({})", Harmless(name));
    }
    let mut may: Vec<String> = Vec::new();
    may.push(if grant.operator { "sees the whole node" } else { "sees its own session" }.to_owned());
    if grant.files {
        may.push("reads the directory that is served".to_owned());
    }
    for (prefix, right) in grant.state.rules() {
        let does = match right {
            Right::Read => "reads",
            Right::Write => "reads and changes",
        };
        may.push(if prefix.is_empty() {
            format!("{does} all keys")
        } else {
            format!("{does} the keys that begin with {}", Harmless(prefix.as_str()))
        });
    }
    may.extend(grant.bundles.rules().iter().map(bundles));
    for (right, does) in [(samgr::Right::See, "finds"), (samgr::Right::Register, "finds and registers")] {
        let names = registry(grant, right);
        if !names.is_empty() {
            may.push(format!("{does} in the registry {}", Harmless(&names.join(", "))));
        }
    }
    if !grant.services.is_empty() {
        may.push(format!("uses the services {}", list(&grant.services)));
    }
    for line in may {
        let _ = write!(text, "\n  {line}");
    }
    text
}

/// The names with which somebody may do this, and no more.
fn registry(grant: &Grant, of: samgr::Right) -> Vec<String> {
    let rules = grant.registry.iter().filter(|(_, right)| *right == of);
    rules.map(|(pattern, _)| pattern.to_string()).collect()
}

fn bundles(rule: &Rule) -> String {
    let words: Vec<_> = rule.may.iter().map(|right| right.word()).collect();
    let mut line = format!("may {} the bundles {}", words.join(", "), list(&rule.names));
    if let Some(publishers) = &rule.publishers {
        let publishers: Vec<_> = publishers.iter().map(ToString::to_string).collect();
        let _ = write!(line, " of {}", publishers.join(", "));
    }
    line
}

fn list(patterns: &[NamePattern]) -> String {
    let texts: Vec<_> = patterns.iter().map(|pattern| Harmless(&pattern.to_string()).to_string()).collect();
    texts.join(", ")
}

fn value(node: Option<&NodeId>, grant: &Grant) -> Value {
    let prefixes = |of: Right| -> Vec<&str> {
        let rules = grant.state.rules().iter();
        rules.filter(|(_, right)| *right == of).map(|(prefix, _)| prefix.as_str()).collect()
    };
    let patterns =
        |patterns: &[NamePattern]| -> Vec<String> { patterns.iter().map(ToString::to_string).collect() };
    let rule = |rule: &Rule| {
        let publishers = rule.publishers.as_ref();
        json!({
            "names": patterns(&rule.names),
            "publishers": publishers.map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>()),
            "may": rule.may.iter().map(|right| right.word()).collect::<Vec<_>>(),
        })
    };
    json!({
        "node_id": node.map(ToString::to_string),
        "name": grant.name,
        "operator": grant.operator,
        "files": grant.files,
        "state": { "read": prefixes(Right::Read), "write": prefixes(Right::Write) },
        "bundles": grant.bundles.rules().iter().map(rule).collect::<Vec<_>>(),
        "samgr": {
            "see": registry(grant, samgr::Right::See),
            "register": registry(grant, samgr::Right::Register),
        },
        "services": patterns(&grant.services),
    })
}
