//! What two requests say, side by side.

use std::collections::BTreeMap;
use std::fmt;

use capnp::message::{Builder, HeapAllocator, ReaderOptions};
use capnp::schema_capnp::{code_generator_request, node};
use capnp::serialize;
use capnp::traits::{Owned, SetterInput};

use crate::tree::Tree;

/// What two requests that mean the same may differ in, each with its reason.
pub const MAY_DIFFER: [(&str, &str); 6] = [
    (
        "capnpVersion",
        "it says who compiled, and no code generator that we know reads it for more than to refuse one",
    ),
    (
        "the order of nodes",
        "generators look nodes up by id; the order of what is generated is that of nestedNodes",
    ),
    ("the order of sourceInfo", "it is looked up by id as well"),
    (
        "sourceInfo of id 0",
        "the C++ tool leaves one behind for the lists of parameters, and no comment is in it",
    ),
    ("null or empty", "a reader cannot tell a list, text or struct that was left out from an empty one"),
    (
        "layout",
        "where in its segments a message keeps its parts, and with how many trailing zeros, says nothing",
    ),
];

/// One thing that two requests say differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The node, its documentation, or the file asked for.
    pub part: String,
    /// The field of it, with dots between the names of fields and brackets around those of list elements.
    pub field: String,
    /// What the reference says; `None` where it says nothing.
    pub theirs: Option<String>,
    /// What we say.
    pub ours: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.part)?;
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        let side = |text: &Option<String>| text.clone().unwrap_or_else(|| "nothing".into());
        write!(f, "\n    theirs: {}\n    ours:   {}", side(&self.theirs), side(&self.ours))
    }
}

/// Everything that two framed requests say differently but [`MAY_DIFFER`]; nothing when they mean the same.
///
/// # Errors
/// When one of them is no request.
pub fn difference(theirs: &[u8], ours: &[u8]) -> capnp::Result<Vec<Difference>> {
    let (theirs, ours) = (Request::read(theirs)?, Request::read(ours)?);
    let mut found = Vec::new();
    compare_parts("node", &theirs.nodes()?, &ours.nodes()?, &mut found)?;
    compare_parts("documentation of", &theirs.documentation()?, &ours.documentation()?, &mut found)?;
    let files = |request: &Request| Tree::of(request.root()?.get_requested_files()?.into());
    compare_trees(
        Place { part: "requested files", field: String::new() },
        &files(&theirs)?,
        &files(&ours)?,
        &mut found,
    );
    Ok(found)
}

/// A request in memory.
struct Request {
    message: capnp::message::Reader<serialize::OwnedSegments>,
}

/// A part of a request, and what it is called.
struct Part<R> {
    name: String,
    value: R,
    /// How much room it takes.
    words: u64,
}

impl Request {
    fn read(bytes: &[u8]) -> capnp::Result<Self> {
        // A request of thousands of nodes is read several times over.
        let options = *ReaderOptions::new().traversal_limit_in_words(None).nesting_limit(256);
        Ok(Self { message: serialize::read_message(bytes, options)? })
    }

    fn root(&self) -> capnp::Result<code_generator_request::Reader<'_>> {
        self.message.get_root()
    }

    fn nodes(&self) -> capnp::Result<BTreeMap<u64, Part<node::Reader<'_>>>> {
        let mut nodes = BTreeMap::new();
        for value in self.root()?.get_nodes()? {
            let name = format!("{} (@{:#018x})", value.get_display_name()?.to_str()?, value.get_id());
            insert(&mut nodes, value.get_id(), Part { name, value, words: value.total_size()?.word_count })?;
        }
        Ok(nodes)
    }

    fn documentation(&self) -> capnp::Result<BTreeMap<u64, Part<node::source_info::Reader<'_>>>> {
        let names = self.nodes()?;
        let mut documentation = BTreeMap::new();
        for value in self.root()?.get_source_info()? {
            let id = value.get_id();
            if id == 0 && !has_comment(value)? {
                continue;
            }
            let name = names.get(&id).map_or_else(|| format!("{id:#018x}"), |node| node.name.clone());
            insert(&mut documentation, id, Part { name, value, words: value.total_size()?.word_count })?;
        }
        Ok(documentation)
    }
}

fn has_comment(info: node::source_info::Reader<'_>) -> capnp::Result<bool> {
    for member in info.get_members()? {
        if !member.get_doc_comment()?.is_empty() {
            return Ok(true);
        }
    }
    Ok(!info.get_doc_comment()?.is_empty())
}

fn insert<R>(parts: &mut BTreeMap<u64, Part<R>>, id: u64, part: Part<R>) -> capnp::Result<()> {
    let name = part.name.clone();
    match parts.insert(id, part) {
        None => Ok(()),
        Some(other) => Err(capnp::Error::failed(format!("{name} is there twice, also as {}", other.name))),
    }
}

/// Compares what has the same id.
fn compare_parts<'a, R, O>(
    kind: &str,
    theirs: &BTreeMap<u64, Part<R>>,
    ours: &BTreeMap<u64, Part<R>>,
    found: &mut Vec<Difference>,
) -> capnp::Result<()>
where
    R: Copy + SetterInput<O> + Into<capnp::dynamic_value::Reader<'a>>,
    O: Owned,
{
    for (id, part) in theirs {
        let name = format!("{kind} {}", part.name);
        let Some(our) = ours.get(id) else {
            let theirs = Some("it is there".into());
            found.push(Difference { part: name, field: String::new(), theirs, ours: None });
            continue;
        };
        // Most are equal to the bit, which is seen sooner than by their trees.
        if canonical(part.value, part.words)? != canonical(our.value, our.words)? {
            let place = Place { part: &name, field: String::new() };
            compare_trees(place, &Tree::of(part.value.into())?, &Tree::of(our.value.into())?, found);
        }
    }
    for part in ours.iter().filter(|(id, _)| !theirs.contains_key(id)).map(|(_, part)| part) {
        let part = format!("{kind} {}", part.name);
        found.push(Difference { part, field: String::new(), theirs: None, ours: Some("it is there".into()) });
    }
    Ok(())
}

/// The canonical form of a struct that takes so many words, which must find room in one segment.
fn canonical<O: Owned>(value: impl SetterInput<O>, words: u64) -> capnp::Result<Vec<u8>> {
    let first_segment = u32::try_from(words + 1).unwrap_or(u32::MAX);
    let mut message = Builder::new(HeapAllocator::new().first_segment_words(first_segment));
    message.set_root_canonical(value)?;
    Ok(message.get_segments_for_output().first().copied().unwrap_or_default().to_vec())
}

/// Where in a request a value is.
struct Place<'a> {
    part: &'a str,
    field: String,
}

impl Place<'_> {
    fn below(&self, name: &str) -> Self {
        let field = match self.field.as_str() {
            "" => name.to_owned(),
            above if name.starts_with('[') => format!("{above}{name}"),
            above => format!("{above}.{name}"),
        };
        Self { part: self.part, field }
    }
}

fn compare_trees(place: Place<'_>, theirs: &Tree, ours: &Tree, found: &mut Vec<Difference>) {
    match (theirs, ours) {
        (Tree::Struct(theirs), Tree::Struct(ours)) => {
            let names = theirs.iter().chain(ours).map(|(name, _)| name.as_str());
            let fields: Vec<_> = distinct(names).collect();
            for name in fields {
                let of = |fields: &'_ [(String, Tree)]| {
                    fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.clone())
                };
                compare_sides(place.below(name), of(theirs), of(ours), found);
            }
        }
        (Tree::List(theirs), Tree::List(ours)) => compare_lists(&place, theirs, ours, found),
        (theirs, ours) if theirs == ours => {}
        (theirs, ours) => found.push(Difference {
            part: place.part.to_owned(),
            field: place.field,
            theirs: Some(brief(theirs)),
            ours: Some(brief(ours)),
        }),
    }
}

/// Elements that have names are compared by name, and their order for itself; others by their place.
fn compare_lists(place: &Place<'_>, theirs: &[Tree], ours: &[Tree], found: &mut Vec<Difference>) {
    let labels = |list: &[Tree]| -> Option<Vec<String>> {
        let labels: Vec<_> =
            list.iter().map(|tree| tree.label().map(str::to_owned)).collect::<Option<_>>()?;
        (distinct(labels.iter().map(String::as_str)).count() == labels.len()).then_some(labels)
    };
    if let (Some(their_labels), Some(our_labels)) = (labels(theirs), labels(ours)) {
        let all: Vec<_> =
            distinct(their_labels.iter().chain(&our_labels).map(String::as_str)).map(str::to_owned).collect();
        for label in &all {
            let of = |labels: &[String], list: &[Tree]| {
                labels.iter().position(|other| other == label).and_then(|at| list.get(at).cloned())
            };
            let sides = (of(&their_labels, theirs), of(&our_labels, ours));
            compare_sides(place.below(&format!("[{label}]")), sides.0, sides.1, found);
        }
        if their_labels != our_labels
            && their_labels.len() == our_labels.len()
            && all.len() == our_labels.len()
        {
            let Place { part, field } = place.below("order");
            let (theirs, ours) = (Some(their_labels.join(", ")), Some(our_labels.join(", ")));
            found.push(Difference { part: part.to_owned(), field, theirs, ours });
        }
        return;
    }
    for index in 0..theirs.len().max(ours.len()) {
        let place = place.below(&format!("[{index}]"));
        compare_sides(place, theirs.get(index).cloned(), ours.get(index).cloned(), found);
    }
}

fn compare_sides(place: Place<'_>, theirs: Option<Tree>, ours: Option<Tree>, found: &mut Vec<Difference>) {
    match (theirs, ours) {
        (Some(theirs), Some(ours)) => compare_trees(place, &theirs, &ours, found),
        (theirs, ours) => found.push(Difference {
            part: place.part.to_owned(),
            field: place.field,
            theirs: theirs.as_ref().map(brief),
            ours: ours.as_ref().map(brief),
        }),
    }
}

/// In the order of their first appearance.
fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> impl Iterator<Item = &'a str> {
    let mut seen = std::collections::HashSet::new();
    names.filter(move |name| seen.insert(*name))
}

/// A value in one line.
fn brief(tree: &Tree) -> String {
    match tree {
        Tree::Leaf(text) => text.clone(),
        Tree::Struct(fields) => {
            let fields: Vec<_> =
                fields.iter().map(|(name, value)| format!("{name} = {}", brief(value))).collect();
            format!("({})", fields.join(", "))
        }
        Tree::List(elements) => {
            format!("[{}]", elements.iter().map(brief).collect::<Vec<_>>().join(", "))
        }
    }
}
