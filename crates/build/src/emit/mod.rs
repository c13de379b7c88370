//! The code for one schema.

mod client;
mod descriptor;
mod double;
mod method;
mod server;
mod values;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use capnp::schema_capnp::node;

use crate::Error;
use crate::annotations;
use crate::names;
use crate::schema::{File, Schema};
use crate::types::Types;
use method::Shape;

/// An interface that code is generated for.
struct Interface<'a> {
    id: u64,
    /// Its name in the schema.
    name: String,
    /// What its stub is called.
    word: String,
    /// capnpc's module of it.
    path: String,
    docs: String,
    service: Option<annotations::Service>,
    shapes: Vec<Shape<'a>>,
    /// Those that it inherits from.
    ancestors: Vec<u64>,
}

/// What is generated, and the types that it uses.
pub(crate) struct Emitter<'s, 'a> {
    types: Types<'s, 'a>,
    out: String,
    /// What each generated item stands for, by its name in Rust.
    items: BTreeMap<String, String>,
}

/// The file for one schema.
pub(crate) fn file(schema: &Schema<'_>, file: &File, runtime: &str, doubles: bool) -> Result<String, Error> {
    let mut emitter = Emitter { types: Types { schema, file }, out: String::new(), items: BTreeMap::new() };
    emitter.statuses_and_enums()?;
    for node in schema.nodes_of(file)? {
        if let node::Struct(structure) = node.which()?
            && !structure.get_is_group()
            && emitter.types.is_value_struct(node.get_id())?
        {
            emitter.value_struct(node.get_id())?;
        }
    }
    for node in schema.nodes_of(file)? {
        let service = annotations::service(node)?;
        if !schema.has_stub(node.get_id())? {
            if service.is_some() {
                let name = node.get_display_name()?.to_string()?;
                let reason = "a generic interface, or one with generic methods, cannot be a service: its stub would not \
                    know of what. Leave the annotation out, and have a method of a service return it"
                    .to_owned();
                return Err(Error::Annotation { name, reason });
            }
            continue;
        }
        let interface = emitter.interface(node.get_id(), service)?;
        emitter.client(&interface)?;
        emitter.server(&interface)?;
        if doubles {
            emitter.double(&interface)?;
        }
        emitter.descriptors(&interface)?;
    }
    emitter.finish(runtime)
}

/// The file that a crate includes: a module for each schema, and one for what capnpc makes of it.
pub(crate) fn entry(schema: &Schema<'_>) -> Result<String, Error> {
    let mut out = String::new();
    for file in &schema.files {
        let module = &file.module;
        let _ = writeln!(
            out,
            r#"
            /// The readers, builders and clients of `{name}`.
            #[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, clippy::pedantic, clippy::unimplemented,
                reason = "lints are for people")]
            pub mod {module}_capnp {{
                include!(concat!(env!("OUT_DIR"), "/{module}_capnp.rs"));
            }}
            "#,
            name = file.name,
        );
        let docs = schema.docs(file.id)?;
        if docs.is_empty() {
            let _ = writeln!(out, "/// The services of `{}`.", file.name);
        }
        out.push_str(&documented(&docs, ""));
        let _ = writeln!(
            out,
            r#"#[allow(unreachable_pub, clippy::doc_markdown, reason = "who includes it is not known here, and the words are the schema's")]
            pub mod {module} {{
                include!(concat!(env!("OUT_DIR"), "/{module}.rs"));
            }}"#,
        );
    }
    format("schema", &out)
}

/// Comments of a schema as documentation, or `otherwise` where it has none.
fn documented(docs: &str, otherwise: &str) -> String {
    let mut lines = names::documentation(docs);
    if lines.is_empty() && !otherwise.is_empty() {
        lines.push(otherwise.to_owned());
    }
    let mut out = String::new();
    for line in lines {
        let _ = if line.is_empty() { writeln!(out, "///") } else { writeln!(out, "/// {line}") };
    }
    out
}

fn format(name: &str, text: &str) -> Result<String, Error> {
    let parsed = syn::parse_file(text)
        .map_err(|error| Error::Generated { file: name.to_owned(), reason: error.to_string() })?;
    let formatted = prettyplease::unparse(&parsed);
    // An empty line between items, as people have it.
    let mut out = String::with_capacity(formatted.len());
    let mut previous = "";
    for line in formatted.lines() {
        let ends = matches!(previous, "}" | "    }") || previous.ends_with(';');
        let is_deeper = |line: &str| line.starts_with("     ");
        let begins =
            !is_deeper(line) && !line.trim_start().starts_with(['}', ')', ']']) && !line.starts_with("use ");
        let same_depth = line.starts_with(' ') == previous.starts_with(' ');
        if begins && ends && same_depth && !is_deeper(previous) {
            out.push('\n');
        }
        out.push_str(line);
        out.push('\n');
        previous = line;
    }
    Ok(out)
}

impl<'a> Emitter<'_, 'a> {
    fn interface(&self, id: u64, service: Option<annotations::Service>) -> Result<Interface<'a>, Error> {
        let schema = self.types.schema;
        let Some(place) = schema.place_of(id) else {
            return Err(Error::Request(capnp::Error::failed("an interface without a place".to_owned())));
        };
        let shapes = schema
            .methods(id)?
            .into_iter()
            .map(|method| Shape::of(&self.types, id, method))
            .collect::<Result<_, _>>()?;
        Ok(Interface {
            id,
            name: place.name.clone(),
            word: self.types.word(id),
            path: self.types.path(id),
            docs: schema.docs(id)?,
            service,
            shapes,
            ancestors: schema.ancestors(id)?,
        })
    }

    /// Takes a name for an item.
    fn claim(&mut self, name: &str, of: &str) -> Result<(), Error> {
        match self.items.insert(name.to_owned(), of.to_owned()) {
            None => Ok(()),
            Some(first) => Err(Error::Names {
                file: self.types.file.name.clone(),
                first,
                second: of.to_owned(),
                name: name.to_owned(),
            }),
        }
    }

    /// Enums are capnpc's, under their own names; those that are statuses say so.
    fn statuses_and_enums(&mut self) -> Result<(), Error> {
        let schema = self.types.schema;
        for node in schema.nodes_of(self.types.file)? {
            let node::Enum(enumeration) = node.which()? else { continue };
            let id = node.get_id();
            let Some(place) = schema.place_of(id).cloned() else { continue };
            let path = self.types.path(id);
            if !place.name.contains('.') && !names::is_taken(&place.word) {
                self.claim(&place.word, &place.name)?;
                let _ = writeln!(self.out, "pub use super::{path};");
            }
            annotations::unknown(node)?;
            annotations::malformed(node)?;
            if !annotations::is_status(node)? {
                continue;
            }
            let mut arms = String::new();
            for (index, enumerant) in enumeration.get_enumerants()?.iter().enumerate() {
                let docs = schema.member_docs(id, index)?.split_whitespace().collect::<Vec<_>>().join(" ");
                let variant = names::capitalized(enumerant.get_name()?.to_str()?);
                let _ = writeln!(arms, "Self::{variant} => {:?},", docs.trim_end_matches('.'));
                if index == 0 {
                    let _ = writeln!(
                        self.out,
                        "impl service::Status for {} {{
                            fn is_ok(self) -> bool {{ self == Self::{variant} }}
                            fn meaning(self) -> &'static str {{ match self {{",
                        self.types.enumeration(id)
                    );
                }
            }
            let _ = writeln!(self.out, "{arms} }} }} }}");
        }
        Ok(())
    }

    fn finish(self, runtime: &str) -> Result<String, Error> {
        let used: Vec<&str> = ["capnp", "capnp_rpc", "service"]
            .into_iter()
            .filter(|name| self.out.contains(&format!("{name}::")))
            .collect();
        let mut text = String::new();
        // What capnpc makes of a schema is beside what is made of it here.
        let files = self.types.schema.files.iter().map(|file| format!("{}_capnp", file.module));
        let capnpc: Vec<String> = files.filter(|module| self.out.contains(&format!("{module}::"))).collect();
        if !capnpc.is_empty() {
            let _ = writeln!(text, "use super::{{{}}};", capnpc.join(", "));
        }
        if !used.is_empty() {
            let _ = writeln!(text, "use {runtime}::{{{}}};", used.join(", "));
        }
        text.push_str(&self.out);
        format(&self.types.file.name, &text)
    }
}
