//! `vatmux schema describe`: the interfaces of schemas, as those who call them want to know them.

use std::fmt::Write as _;

use capnp::schema_capnp::{annotation, method, node};
use capnp::struct_list;
use serde_json::{Value, json};

use super::options;
use super::value::Nodes;
use crate::arguments::Describe;
use crate::failure::Failure;
use crate::output::print_line;
use crate::text::Harmless;

pub(crate) fn run(json: bool, describe: &Describe) -> Result<(), Failure> {
    let compiled = super::compile(json, &describe.files, &options(&describe.imports))?;
    for interface in interfaces(compiled.request()?)? {
        if json {
            print_line(&interface.json().to_string())?;
        } else {
            for line in interface.text().lines() {
                print_line(&Harmless(line).to_string())?;
            }
        }
    }
    Ok(())
}

/// An interface and all that it says of itself.
struct Interface {
    name: String,
    id: u64,
    file: String,
    doc: String,
    parameters: Vec<String>,
    extends: Vec<String>,
    annotations: Vec<Annotation>,
    methods: Vec<Method>,
}

struct Method {
    name: String,
    ordinal: usize,
    doc: String,
    annotations: Vec<Annotation>,
    implicit_parameters: Vec<String>,
    parameters: Signature,
    results: Signature,
}

struct Annotation {
    name: String,
    /// None of one that is only there.
    value: Option<String>,
}

/// What goes in, or comes out.
enum Signature {
    Fields(Vec<Field>),
    Struct(String),
    Stream,
}

struct Field {
    name: String,
    type_name: String,
    default: Option<String>,
    annotations: Vec<Annotation>,
}

/// What a streaming method is said to return.
const STREAM_RESULT: u64 = 0x995f_9a33_77c0_b16e;

/// The interfaces of the files that were asked for, in the order in which they are written.
fn interfaces(
    request: capnp::schema_capnp::code_generator_request::Reader<'_>,
) -> capnp::Result<Vec<Interface>> {
    let nodes = Nodes::new(request.get_nodes()?);
    let documentation = request.get_source_info()?;
    let mut found = Vec::new();
    let mut pending: Vec<(String, u64)> = Vec::new();
    for file in request.get_requested_files()? {
        pending.push((file.get_filename()?.to_string()?, file.get_id()));
    }
    pending.reverse();
    while let Some((file, id)) = pending.pop() {
        let Some(node) = nodes.get(id) else { continue };
        if let node::Interface(methods) = node.which()? {
            let info = documentation.iter().find(|info| info.get_id() == id);
            let reading = Reading { nodes: &nodes, info };
            found.push(reading.interface(file.clone(), node, methods)?);
        }
        for nested in node.get_nested_nodes()?.iter().rev() {
            pending.push((file.clone(), nested.get_id()));
        }
    }
    Ok(found)
}

/// What one interface is read from.
struct Reading<'a> {
    nodes: &'a Nodes<'a>,
    info: Option<node::source_info::Reader<'a>>,
}

impl Reading<'_> {
    fn interface(
        &self,
        file: String,
        node: node::Reader<'_>,
        interface: node::interface::Reader<'_>,
    ) -> capnp::Result<Interface> {
        let mut extends = Vec::new();
        for superclass in interface.get_superclasses()? {
            extends.push(self.nodes.branded(superclass.get_id(), superclass.get_brand()?)?);
        }
        let methods = interface.get_methods()?;
        let mut described = Vec::new();
        for (ordinal, method) in methods.iter().enumerate() {
            described.push(self.method(ordinal, method)?);
        }
        Ok(Interface {
            name: self.nodes.name(node.get_id())?,
            id: node.get_id(),
            file,
            doc: match self.info {
                Some(info) => info.get_doc_comment()?.to_string()?,
                None => String::new(),
            },
            parameters: names(node.get_parameters()?)?,
            extends,
            annotations: self.annotations(node.get_annotations()?)?,
            methods: described,
        })
    }

    fn method(&self, ordinal: usize, method: method::Reader<'_>) -> capnp::Result<Method> {
        let members = self.info.map(node::source_info::Reader::get_members).transpose()?;
        let doc = match members {
            Some(members) if (ordinal as u32) < members.len() => {
                members.get(ordinal as u32).get_doc_comment()?.to_string()?
            }
            _ => String::new(),
        };
        let (parameters, results) = (method.get_param_struct_type(), method.get_result_struct_type());
        Ok(Method {
            name: method.get_name()?.to_string()?,
            ordinal,
            doc,
            annotations: self.annotations(method.get_annotations()?)?,
            implicit_parameters: names(method.get_implicit_parameters()?)?,
            parameters: self.signature(parameters, method.get_param_brand()?)?,
            results: self.signature(results, method.get_result_brand()?)?,
        })
    }

    /// A struct of its own that a method's list of parameters or results is has no scope.
    fn signature(&self, id: u64, brand: capnp::schema_capnp::brand::Reader<'_>) -> capnp::Result<Signature> {
        if id == STREAM_RESULT {
            return Ok(Signature::Stream);
        }
        let is_list = |node: &node::Reader<'_>| node.get_scope_id() == 0;
        let Some(node) = self.nodes.get(id).filter(is_list) else {
            return Ok(Signature::Struct(self.nodes.branded(id, brand)?));
        };
        let node::Struct(layout) = node.which()? else {
            return Ok(Signature::Struct(self.nodes.name(id)?));
        };
        let mut fields = Vec::new();
        for field in layout.get_fields()? {
            let capnp::schema_capnp::field::Slot(slot) = field.which()? else { continue };
            let ty = slot.get_type()?;
            let has_default = slot.get_had_explicit_default();
            let default = if has_default { self.nodes.value(ty, slot.get_default_value()?)? } else { None };
            fields.push(Field {
                name: field.get_name()?.to_string()?,
                type_name: self.nodes.type_name(ty)?,
                default,
                annotations: self.annotations(field.get_annotations()?)?,
            });
        }
        Ok(Signature::Fields(fields))
    }

    fn annotations(
        &self,
        list: struct_list::Reader<'_, annotation::Owned>,
    ) -> capnp::Result<Vec<Annotation>> {
        let mut annotations = Vec::new();
        for applied in list {
            let name = self.nodes.name(applied.get_id())?;
            let value = match self.nodes.get(applied.get_id()).map(node::Reader::which).transpose()? {
                Some(node::Annotation(declared)) => {
                    self.nodes.value(declared.get_type()?, applied.get_value()?)?
                }
                _ => None,
            };
            annotations.push(Annotation { name, value });
        }
        Ok(annotations)
    }
}

fn names(parameters: struct_list::Reader<'_, node::parameter::Owned>) -> capnp::Result<Vec<String>> {
    parameters.iter().map(|parameter| Ok(parameter.get_name()?.to_string()?)).collect()
}

impl Interface {
    /// As one would write it in a schema, with the documentation in front.
    fn text(&self) -> String {
        let mut text = format!("{}: interface {} @{:#018x}", self.file, self.name, self.id);
        if !self.parameters.is_empty() {
            // Writing to a string cannot fail.
            let _ = write!(text, " ({})", self.parameters.join(", "));
        }
        if !self.extends.is_empty() {
            let _ = write!(text, " extends({})", self.extends.join(", "));
        }
        text.push_str(&applied(&self.annotations));
        text.push('\n');
        indented(&mut text, "    ", &self.doc);
        for method in &self.methods {
            let _ = write!(text, "  {} @{}", method.name, method.ordinal);
            if !method.implicit_parameters.is_empty() {
                let _ = write!(text, " [{}]", method.implicit_parameters.join(", "));
            }
            let _ = write!(text, " {}", method.parameters.text());
            let _ = write!(text, " -> {}", method.results.text());
            let _ = writeln!(text, "{}", applied(&method.annotations));
            indented(&mut text, "      ", &method.doc);
        }
        text
    }

    fn json(&self) -> Value {
        json!({
            "interface": self.name,
            "id": format!("{:#018x}", self.id),
            "file": self.file,
            "doc": self.doc,
            "parameters": self.parameters,
            "extends": self.extends,
            "annotations": annotations_json(&self.annotations),
            "methods": self.methods.iter().map(Method::json).collect::<Vec<_>>(),
        })
    }
}

impl Method {
    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "ordinal": self.ordinal,
            "doc": self.doc,
            "annotations": annotations_json(&self.annotations),
            "implicit_parameters": self.implicit_parameters,
            "parameters": self.parameters.json(),
            "results": self.results.json(),
        })
    }
}

impl Signature {
    fn text(&self) -> String {
        match self {
            Self::Struct(name) => name.clone(),
            Self::Stream => "stream".into(),
            Self::Fields(fields) => {
                let fields: Vec<_> = fields
                    .iter()
                    .map(|field| {
                        let default =
                            field.default.as_ref().map(|value| format!(" = {value}")).unwrap_or_default();
                        format!("{} :{}{default}{}", field.name, field.type_name, applied(&field.annotations))
                    })
                    .collect();
                format!("({})", fields.join(", "))
            }
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Struct(name) => json!(name),
            Self::Stream => json!("stream"),
            Self::Fields(fields) => fields
                .iter()
                .map(|field| {
                    json!({
                        "name": field.name,
                        "type": field.type_name,
                        "default": field.default,
                        "annotations": annotations_json(&field.annotations),
                    })
                })
                .collect(),
        }
    }
}

fn applied(annotations: &[Annotation]) -> String {
    annotations.iter().fold(String::new(), |text, annotation| match &annotation.value {
        // The parentheses of a struct are those of the annotation.
        Some(value) if value.starts_with('(') => format!("{text} ${}{value}", annotation.name),
        Some(value) => format!("{text} ${}({value})", annotation.name),
        None => format!("{text} ${}", annotation.name),
    })
}

fn annotations_json(annotations: &[Annotation]) -> Value {
    annotations
        .iter()
        .map(|annotation| json!({ "name": annotation.name, "value": annotation.value }))
        .collect()
}

fn indented(text: &mut String, indentation: &str, doc: &str) {
    for line in doc.lines() {
        let _ = writeln!(text, "{}", format!("{indentation}{line}").trim_end());
    }
}
