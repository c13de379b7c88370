//! What a request says, by node.

use std::collections::HashMap;
use std::path::Path;

use capnp::schema_capnp::{code_generator_request, field, node, type_};

use crate::Error;
use crate::names;
use crate::types::Type;

/// The nodes of a request, and where capnpc puts what it makes of them.
pub(crate) struct Schema<'a> {
    /// Those that code is to be generated for.
    pub(crate) files: Vec<File>,
    nodes: HashMap<u64, node::Reader<'a>>,
    comments: HashMap<u64, node::source_info::Reader<'a>>,
    places: HashMap<u64, Place>,
}

/// A schema.
pub(crate) struct File {
    pub(crate) id: u64,
    /// As the request has it.
    pub(crate) name: String,
    /// What its module is called.
    pub(crate) module: String,
}

/// Where a node is.
#[derive(Clone)]
pub(crate) struct Place {
    /// The file that it is in.
    pub(crate) file: u64,
    /// capnpc's path to it, below the parent module.
    pub(crate) path: String,
    /// Its name with those of its scopes, in one word.
    pub(crate) word: String,
    /// Its name with those of its scopes, as in `Outer.Inner`.
    pub(crate) name: String,
}

/// A field of a struct, or a parameter.
pub(crate) struct Field {
    pub(crate) name: String,
    /// None for a group, and for a member of a union.
    pub(crate) kind: Option<Type>,
    pub(crate) docs: String,
}

/// A method.
pub(crate) struct Method<'a> {
    pub(crate) name: String,
    pub(crate) ordinal: u16,
    pub(crate) docs: String,
    pub(crate) params: Message,
    /// None for `-> stream`.
    pub(crate) results: Option<Message>,
    pub(crate) reader: capnp::schema_capnp::method::Reader<'a>,
}

/// The struct of a method's parameters or results.
pub(crate) struct Message {
    pub(crate) id: u64,
    /// capnpc's module of it, below the parent module.
    pub(crate) path: String,
    /// Its name in the schema.
    pub(crate) name: String,
}

/// What `-> stream` returns.
const STREAM_RESULT: u64 = 0x995f_9a33_77c0_b16e;

impl<'a> Schema<'a> {
    pub(crate) fn new(request: code_generator_request::Reader<'a>) -> Result<Self, Error> {
        let nodes: HashMap<_, _> = request.get_nodes()?.iter().map(|node| (node.get_id(), node)).collect();
        let comments = request.get_source_info()?.iter().map(|info| (info.get_id(), info)).collect();
        let mut schema = Self { files: Vec::new(), nodes, comments, places: HashMap::new() };
        for file in request.get_requested_files()? {
            let name = file.get_filename()?.to_string()?;
            let module = module_of_file(&name);
            if schema.files.iter().any(|other| other.module == module) {
                return Err(Error::Files(module));
            }
            schema.files.push(File { id: file.get_id(), name, module });
        }
        let files: Vec<u64> =
            schema.nodes.values().filter(|node| node.get_scope_id() == 0).map(|node| node.get_id()).collect();
        for id in files {
            if let Ok(node::File(())) = schema.node(id)?.which() {
                let name = schema.node(id)?.get_display_name()?.to_str()?;
                let path = format!("{}_capnp", module_of_file(name));
                schema.place(id, &Place { file: id, path, word: String::new(), name: String::new() })?;
            }
        }
        Ok(schema)
    }

    /// Places a node and all that are in it.
    fn place(&mut self, id: u64, place: &Place) -> Result<(), Error> {
        // Nodes of imported files are there only where they are used.
        let Some(&node) = self.nodes.get(&id) else { return Ok(()) };
        self.places.insert(id, place.clone());
        for nested in node.get_nested_nodes()? {
            let name = nested.get_name()?.to_str()?;
            let is_enum = self
                .nodes
                .get(&nested.get_id())
                .is_some_and(|node| matches!(node.which(), Ok(node::Enum(_))));
            let module = if is_enum { name.to_owned() } else { names::module(name) };
            self.place(nested.get_id(), &place.join(&module, name))?;
        }
        if let node::Struct(structure) = node.which()? {
            for member in structure.get_fields()? {
                if let field::Group(group) = member.which()? {
                    let name = member.get_name()?.to_str()?;
                    self.place(group.get_type_id(), &place.join(&names::module(name), name))?;
                }
            }
        }
        Ok(())
    }

    pub(crate) fn node(&self, id: u64) -> Result<node::Reader<'a>, Error> {
        self.nodes.get(&id).copied().ok_or_else(|| {
            Error::Request(capnp::Error::failed(format!("node {id:#018x} is used and not there")))
        })
    }

    pub(crate) fn place_of(&self, id: u64) -> Option<&Place> {
        self.places.get(&id)
    }

    /// The nodes of a file and where capnpc puts them, by name.
    pub(crate) fn places_in(&self, file: &File) -> Vec<(u64, &Place)> {
        let places = self.places.iter().filter(|(_, place)| place.file == file.id);
        let mut places: Vec<_> = places.map(|(id, place)| (*id, place)).collect();
        places.sort_by(|(_, a), (_, b)| a.path.cmp(&b.path));
        places
    }

    pub(crate) fn file(&self, id: u64) -> Option<&File> {
        self.files.iter().find(|file| file.id == id)
    }

    /// The nodes of a file, in the order in which it has them, outer ones first.
    pub(crate) fn nodes_of(&self, file: &File) -> Result<Vec<node::Reader<'a>>, Error> {
        let mut nodes = Vec::new();
        self.collect(file.id, &mut nodes)?;
        Ok(nodes)
    }

    fn collect(&self, id: u64, nodes: &mut Vec<node::Reader<'a>>) -> Result<(), Error> {
        for nested in self.node(id)?.get_nested_nodes()? {
            if let Some(node) = self.nodes.get(&nested.get_id()) {
                nodes.push(*node);
                self.collect(nested.get_id(), nodes)?;
            }
        }
        Ok(())
    }

    /// What a schema says of a node.
    pub(crate) fn docs(&self, id: u64) -> Result<String, Error> {
        Ok(match self.comments.get(&id) {
            Some(info) => info.get_doc_comment()?.to_string()?,
            None => String::new(),
        })
    }

    /// What it says of a field, an enumerant or a method.
    pub(crate) fn member_docs(&self, id: u64, index: usize) -> Result<String, Error> {
        let Some(info) = self.comments.get(&id) else { return Ok(String::new()) };
        let members = info.get_members()?;
        match u32::try_from(index) {
            Ok(index) if index < members.len() => Ok(members.get(index).get_doc_comment()?.to_string()?),
            _ => Ok(String::new()),
        }
    }

    /// The fields of a struct, in the order of their ordinals.
    pub(crate) fn fields(&self, id: u64) -> Result<Vec<Field>, Error> {
        let node::Struct(structure) = self.node(id)?.which()? else { return Ok(Vec::new()) };
        let mut fields = Vec::new();
        for (index, member) in structure.get_fields()?.iter().enumerate() {
            let in_union = member.get_discriminant_value() != field::NO_DISCRIMINANT;
            let kind = match member.which()? {
                field::Slot(slot) if !in_union => Some(Type::read(slot.get_type()?)?),
                field::Slot(_) | field::Group(_) => None,
            };
            let name = member.get_name()?.to_string()?;
            fields.push(Field { name, kind, docs: self.member_docs(id, index)? });
        }
        Ok(fields)
    }

    /// The methods of an interface itself, by ordinal, that are not generic.
    pub(crate) fn methods(&self, id: u64) -> Result<Vec<Method<'a>>, Error> {
        let node::Interface(interface) = self.node(id)?.which()? else { return Ok(Vec::new()) };
        let mut methods = Vec::new();
        for (index, method) in interface.get_methods()?.iter().enumerate() {
            let name = method.get_name()?.to_string()?;
            let results = method.get_result_struct_type();
            methods.push(Method {
                ordinal: u16::try_from(index).unwrap_or(u16::MAX),
                docs: self.member_docs(id, index)?,
                params: self.message(id, &name, "Params", method.get_param_struct_type())?,
                results: match results {
                    STREAM_RESULT => None,
                    _ => Some(self.message(id, &name, "Results", results)?),
                },
                reader: method,
                name,
            });
        }
        Ok(methods)
    }

    fn message(&self, interface: u64, method: &str, suffix: &str, id: u64) -> Result<Message, Error> {
        if self.node(id)?.get_scope_id() != 0
            && let Some(place) = self.place_of(id)
        {
            return Ok(Message { id, path: place.path.clone(), name: place.name.clone() });
        }
        let (path, name) = match self.place_of(interface) {
            Some(place) => (place.path.clone(), format!("{}.{method}${suffix}", place.name)),
            None => (String::new(), format!("{method}${suffix}")),
        };
        Ok(Message { id, path: format!("{path}::{}", names::module(&format!("{method}{suffix}"))), name })
    }

    /// The ancestors of an interface, nearest first, each once; itself not among them.
    pub(crate) fn ancestors(&self, id: u64) -> Result<Vec<u64>, Error> {
        let mut ancestors = Vec::new();
        self.collect_ancestors(id, &mut ancestors)?;
        Ok(ancestors)
    }

    fn collect_ancestors(&self, id: u64, ancestors: &mut Vec<u64>) -> Result<(), Error> {
        let node::Interface(interface) = self.node(id)?.which()? else { return Ok(()) };
        for superclass in interface.get_superclasses()? {
            if !ancestors.contains(&superclass.get_id()) {
                ancestors.push(superclass.get_id());
                self.collect_ancestors(superclass.get_id(), ancestors)?;
            }
        }
        Ok(())
    }

    /// Whether stubs know an interface: it is in one of the files, and nothing about it is generic.
    pub(crate) fn has_stub(&self, id: u64) -> Result<bool, Error> {
        let Some(place) = self.place_of(id) else { return Ok(false) };
        if self.file(place.file).is_none() || self.node(id)?.get_is_generic() {
            return Ok(false);
        }
        let node::Interface(interface) = self.node(id)?.which()? else { return Ok(false) };
        for superclass in interface.get_superclasses()? {
            if !self.has_stub(superclass.get_id())? {
                return Ok(false);
            }
        }
        for method in self.methods(id)? {
            let generic = |message: &Message| Ok::<_, Error>(self.node(message.id)?.get_is_generic());
            if !method.reader.get_implicit_parameters()?.is_empty()
                || generic(&method.params)?
                || method.results.as_ref().map_or(Ok(false), generic)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Place {
    fn join(&self, module: &str, name: &str) -> Self {
        Self {
            file: self.file,
            path: format!("{}::{module}", self.path),
            word: format!("{}{}", self.word, names::capitalized(name)),
            name: if self.name.is_empty() { name.to_owned() } else { format!("{}.{name}", self.name) },
        }
    }
}

/// What the module of a schema is called.
fn module_of_file(name: &str) -> String {
    let stem = Path::new(name).file_stem().unwrap_or_default().to_string_lossy();
    stem.replace('-', "_")
}

impl Type {
    /// A type of a schema.
    pub(crate) fn read(reader: type_::Reader<'_>) -> Result<Self, Error> {
        Ok(match reader.which()? {
            type_::Void(()) | type_::AnyPointer(_) => Self::Other,
            type_::Bool(()) => Self::Plain("bool"),
            type_::Int8(()) => Self::Plain("i8"),
            type_::Int16(()) => Self::Plain("i16"),
            type_::Int32(()) => Self::Plain("i32"),
            type_::Int64(()) => Self::Plain("i64"),
            type_::Uint8(()) => Self::Plain("u8"),
            type_::Uint16(()) => Self::Plain("u16"),
            type_::Uint32(()) => Self::Plain("u32"),
            type_::Uint64(()) => Self::Plain("u64"),
            type_::Float32(()) => Self::Plain("f32"),
            type_::Float64(()) => Self::Plain("f64"),
            type_::Text(()) => Self::Text,
            type_::Data(()) => Self::Data,
            type_::List(list) => Self::List(Box::new(Self::read(list.get_element_type()?)?)),
            type_::Enum(kind) => Self::Enum(kind.get_type_id()),
            type_::Struct(kind) => Self::Struct(kind.get_type_id()),
            type_::Interface(kind) => Self::Interface(kind.get_type_id()),
        })
    }
}
