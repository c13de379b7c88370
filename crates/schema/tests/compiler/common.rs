//! Schemas in memory, and short ways to look at requests.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use capnp::schema_capnp::{code_generator_request, field, node, type_};
use vatmux_schema::{Compiled, Diagnostics, Files, Kind, Options, compile_from};

/// Files by their paths.
#[derive(Default)]
pub(crate) struct Memory(HashMap<PathBuf, Vec<u8>>);

impl Memory {
    pub(crate) fn with(mut self, path: &str, contents: impl Into<Vec<u8>>) -> Self {
        self.0.insert(path.into(), contents.into());
        self
    }
}

impl Files for Memory {
    fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        Ok(self.0.get(path).cloned())
    }
}

pub(crate) const ID: &str = "@0xbf5147cbbecf40c1;\n";

/// Compiles `body` behind an id, as `test.capnp`.
pub(crate) fn try_compile(body: &str) -> Result<Compiled, Diagnostics> {
    let files = Memory::default().with("test.capnp", format!("{ID}{body}"));
    compile_from(&files, &["test.capnp"], &Options::default())
}

pub(crate) fn compile(body: &str) -> Compiled {
    try_compile(body).unwrap_or_else(|errors| panic!("{body}\n{errors}"))
}

/// The errors of `body`: the kind, the text at the place and the message of each. `body` begins on line 2.
pub(crate) fn errors(body: &str) -> Vec<(Kind, String, String)> {
    let Err(errors) = try_compile(body) else { panic!("compiled: {body}") };
    let text = format!("{ID}{body}");
    errors
        .iter()
        .map(|error| (error.kind, text[error.span.bytes.clone()].to_owned(), error.message.clone()))
        .collect()
}

/// The only error of `body`.
pub(crate) fn error(body: &str) -> (Kind, String, String) {
    let mut errors = errors(body);
    assert_eq!(errors.len(), 1, "{body}\n{errors:#?}");
    errors.remove(0)
}

pub(crate) fn node<'a>(request: code_generator_request::Reader<'a>, name: &str) -> node::Reader<'a> {
    let nodes = request.get_nodes().unwrap();
    let is = |node: &node::Reader<'_>| node.get_display_name().unwrap().to_str().unwrap() == name;
    nodes.iter().find(is).unwrap_or_else(|| panic!("no node {name}"))
}

pub(crate) fn names(request: code_generator_request::Reader<'_>) -> Vec<String> {
    let nodes = request.get_nodes().unwrap();
    let mut names: Vec<_> =
        nodes.iter().map(|node| node.get_display_name().unwrap().to_string().unwrap()).collect();
    names.sort();
    names
}

/// The layout of the struct `A` in `body`: words and pointers, and each field with its offset; of unions the number of
/// members and the offset of the discriminant, and of their members the discriminant behind `#`.
pub(crate) fn layout(body: &str) -> String {
    let compiled = compile(body);
    let request = compiled.request().unwrap();
    let node::Struct(top) = node(request, "test.capnp:A").which().unwrap() else { panic!("A is no struct") };
    let sizes = format!("{}w {}p ", top.get_data_word_count(), top.get_pointer_count());
    sizes + &group(request, node(request, "test.capnp:A"))
}

fn group(request: code_generator_request::Reader<'_>, node: node::Reader<'_>) -> String {
    let node::Struct(this) = node.which().unwrap() else { panic!("no struct") };
    let mut out = String::new();
    if this.get_discriminant_count() > 0 {
        let (count, offset) = (this.get_discriminant_count(), this.get_discriminant_offset());
        write!(out, "<{count}@{offset}>").unwrap();
    }
    out.push('{');
    for (index, field) in this.get_fields().unwrap().iter().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        out += field.get_name().unwrap().to_str().unwrap();
        match field.which().unwrap() {
            field::Slot(slot) => match slot.get_type().unwrap().which().unwrap() {
                type_::Void(()) => {}
                _ => write!(out, "@{}", slot.get_offset()).unwrap(),
            },
            field::Group(inner) => {
                let id = inner.get_type_id();
                let inner = request.get_nodes().unwrap().iter().find(|node| node.get_id() == id).unwrap();
                out += &group(request, inner);
            }
        }
        if field.get_discriminant_value() != 0xffff {
            write!(out, "#{}", field.get_discriminant_value()).unwrap();
        }
    }
    out.push('}');
    out
}
