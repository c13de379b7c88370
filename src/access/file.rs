//! Policies as files.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::str::FromStr;

use serde::Deserialize;
use toml::Spanned;
use vatmux_noise::NodeId;

use super::grant::{Grant, WITH_RIGHTS};
use super::pattern::NamePattern;
use super::policy::Policy;
use crate::bundle::{PublisherId, Right, Rights, Rule};
use crate::samgr;
use crate::statefs::{self, Access, Prefix};
use crate::toml_file::{self, Misplaced, ReadFileError};

/// The longest name of a node, in bytes.
const MAX_NAME_BYTES: usize = 64;

impl Policy {
    /// Reads the policy in a file; see `docs/guide/access.md` for what is in one.
    pub fn read(path: &Path) -> Result<Self, ReadFileError> {
        toml_file::read("policy", path, str::parse)
    }
}

impl FromStr for Policy {
    type Err = Misplaced;

    fn from_str(text: &str) -> Result<Self, Misplaced> {
        let file = toml::from_str(text).map_err(|error| Misplaced::parsing(text, &error))?;
        policy(text, file).map_err(|Wrong { at, problem }| Misplaced::new(text, at, problem))
    }
}

/// What is wrong, and with which bytes of the text.
struct Wrong {
    at: Range<usize>,
    problem: String,
}

impl Wrong {
    fn new(at: Range<usize>, problem: impl Into<String>) -> Self {
        Self { at, problem: problem.into() }
    }
}

type Text = Spanned<String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyFile {
    #[serde(default)]
    node: Vec<Spanned<NodeTable>>,
    anyone: Option<Spanned<NodeTable>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeTable {
    id: Option<Text>,
    name: Option<Text>,
    #[serde(default)]
    operator: bool,
    #[serde(default)]
    files: bool,
    #[serde(default)]
    services: Vec<Text>,
    #[serde(default)]
    state: StateTable,
    #[serde(default)]
    bundles: Vec<BundlesTable>,
    #[serde(default)]
    samgr: SamgrTable,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct StateTable {
    #[serde(default)]
    read: Vec<Text>,
    #[serde(default)]
    write: Vec<Text>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SamgrTable {
    #[serde(default)]
    see: Vec<Text>,
    #[serde(default)]
    register: Vec<Text>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BundlesTable {
    names: Vec<Text>,
    publishers: Option<Vec<Text>>,
    may: Vec<Text>,
}

fn policy(text: &str, file: PolicyFile) -> Result<Policy, Wrong> {
    let mut policy = Policy::nobody();
    let mut ids: BTreeMap<NodeId, usize> = BTreeMap::new();
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    let line_of = |at: usize| text.get(..at).unwrap_or_default().matches('\n').count() + 1;
    for table in file.node {
        let span = table.span();
        let table = table.into_inner();
        let Some(id) = &table.id else {
            return Err(Wrong::new(span, "a node without `id`, which `vatmux id` prints on that node"));
        };
        let node: NodeId = read(id)?;
        if let Some(first) = ids.insert(node, id.span().start) {
            let problem = format!("this node is in line {} already: say all of it there", line_of(first));
            return Err(Wrong::new(id.span(), problem));
        }
        if let Some(name) = &table.name {
            check_name(name)?;
            if let Some(first) = names.insert(name.get_ref().clone(), name.span().start) {
                let problem = format!("the node in line {} has this name already", line_of(first));
                return Err(Wrong::new(name.span(), problem));
            }
        }
        policy = policy.and(node, grant(table)?);
    }
    if let Some(table) = file.anyone {
        let table = table.into_inner();
        if let Some(named) = table.id.as_ref().or(table.name.as_ref()) {
            return Err(Wrong::new(
                named.span(),
                "anyone has neither `id` nor `name`: name nodes in [[node]]",
            ));
        }
        policy = policy.anyone(grant(table)?);
    }
    Ok(policy)
}

fn grant(table: NodeTable) -> Result<Grant, Wrong> {
    let mut state = Access::none();
    for (prefixes, right) in
        [(&table.state.read, statefs::Right::Read), (&table.state.write, statefs::Right::Write)]
    {
        for text in prefixes {
            state = state.and(prefix(text)?, right);
        }
    }
    let mut bundles = Rights::none();
    for rule in &table.bundles {
        bundles = bundles.and(bundle_rule(rule)?);
    }
    Ok(Grant {
        name: table.name.map(Text::into_inner),
        operator: table.operator,
        files: table.files,
        state,
        bundles,
        registry: registry(&table.samgr)?,
        services: table.services.iter().map(service).collect::<Result<_, _>>()?,
    })
}

fn registry(table: &SamgrTable) -> Result<Vec<(NamePattern, samgr::Right)>, Wrong> {
    let rights = [(&table.see, samgr::Right::See), (&table.register, samgr::Right::Register)];
    let all = rights.into_iter().flat_map(|(texts, right)| texts.iter().map(move |text| (text, right)));
    all.map(|(text, right)| {
        let pattern = pattern(text)?;
        let checked = match &pattern {
            NamePattern::Exactly(name) => name.parse::<samgr::Name>().map(drop),
            NamePattern::Begins(begin) => begin.parse::<samgr::Prefix>().map(drop),
        };
        checked.map_err(|error| Wrong::new(text.span(), error.to_string()))?;
        Ok((pattern, right))
    })
    .collect()
}

fn check_name(name: &Text) -> Result<(), Wrong> {
    let text = name.get_ref();
    if text.is_empty() || text.len() > MAX_NAME_BYTES || text.chars().any(char::is_control) {
        let problem = format!("a node's name has 1 to {MAX_NAME_BYTES} bytes, and no control characters");
        return Err(Wrong::new(name.span(), problem));
    }
    Ok(())
}

/// A text as what it is to be.
fn read<T: FromStr<Err: fmt::Display>>(text: &Text) -> Result<T, Wrong> {
    text.get_ref().parse().map_err(|error: T::Err| Wrong::new(text.span(), error.to_string()))
}

/// A prefix of keys that ends where a segment does: `log` would be about `login` as well.
fn prefix(text: &Text) -> Result<Prefix, Wrong> {
    let prefix: Prefix = read(text)?;
    if prefix.is_empty() || prefix.as_str().ends_with('/') {
        return Ok(prefix);
    }
    let problem = format!(
        "a prefix of keys ends with `/`, as `{prefix}/` does, or is empty, for all keys: \
         without it this would be about `{prefix}x` as well"
    );
    Err(Wrong::new(text.span(), problem))
}

fn pattern(text: &Text) -> Result<NamePattern, Wrong> {
    text.get_ref().parse().map_err(|error| Wrong::new(text.span(), format!("a pattern of names is {error}")))
}

fn service(text: &Text) -> Result<NamePattern, Wrong> {
    let pattern = pattern(text)?;
    if let NamePattern::Exactly(name) = &pattern {
        if let Some((_, instead)) = WITH_RIGHTS.iter().find(|(with_rights, _)| **with_rights == **name) {
            return Err(Wrong::new(text.span(), format!("{name} is not granted by its name: {instead}")));
        }
        vatmux_mux::StreamName::new(name).map_err(|error| Wrong::new(text.span(), error.to_string()))?;
    }
    Ok(pattern)
}

fn bundle_rule(table: &BundlesTable) -> Result<Rule, Wrong> {
    Ok(Rule {
        names: table.names.iter().map(bundle_pattern).collect::<Result<_, _>>()?,
        publishers: table
            .publishers
            .as_ref()
            .map(|publishers| publishers.iter().map(publisher).collect())
            .transpose()?,
        may: table.may.iter().map(right).collect::<Result<_, _>>()?,
    })
}

/// Names that a bundle can have.
fn bundle_pattern(text: &Text) -> Result<NamePattern, Wrong> {
    let pattern = pattern(text)?;
    let example = match &pattern {
        NamePattern::Exactly(name) => name.to_string(),
        NamePattern::Begins(begin) if begin.is_empty() => return Ok(pattern),
        // Whatever a name may go on with, it may go on with this.
        NamePattern::Begins(begin) => format!("{begin}x"),
    };
    match example.parse::<crate::bundle::BundleName>() {
        Ok(_) => Ok(pattern),
        Err(error) => Err(Wrong::new(text.span(), format!("no bundle has such a name: {error}"))),
    }
}

fn publisher(text: &Text) -> Result<PublisherId, Wrong> {
    read(text)
}

fn right(text: &Text) -> Result<Right, Wrong> {
    let found = Right::ALL.into_iter().find(|right| right.word() == text.get_ref());
    found.ok_or_else(|| {
        let words = Right::ALL.map(|right| format!("`{}`", right.word())).join(", ");
        Wrong::new(text.span(), format!("`{}` is no right: expected one of {words}", text.get_ref()))
    })
}
