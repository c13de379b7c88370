//! The nodes of a request: those of the files that were asked for, and all that they depend on.

mod annotations;
mod interfaces;

use std::collections::HashSet;
use std::rc::Rc;

use crate::compiler::Compiler;
use crate::diagnostics::{Kind as ErrorKind, Report};
use crate::lexer::comment_text;
use crate::limits::NODE_NAMES_BYTES;
use crate::model::{Bindings, Brand, FieldKind, Node, NodeId, NodeKind, StructShape, Type, Value};
use crate::resolve::Scope;
use crate::source::{FileId, Span};
use crate::syntax::{Declaration, File, Kind};
use crate::values::Constant;

/// A node as the request has it.
#[derive(Debug)]
pub(crate) struct OutNode {
    pub(crate) id: u64,
    pub(crate) display_name: String,
    pub(crate) prefix_length: u32,
    pub(crate) scope_id: u64,
    pub(crate) parameters: Vec<Rc<str>>,
    pub(crate) generic: bool,
    /// `None` for groups and lists of parameters, which cannot have any.
    pub(crate) nested: Option<Vec<(Rc<str>, u64)>>,
    pub(crate) annotations: Vec<OutAnnotation>,
    pub(crate) body: Body,
    /// `None` for lists of parameters, which no comment belongs to.
    pub(crate) source: Option<SourceInfo>,
}

/// The doc comments of a node and its members.
#[derive(Debug, Default)]
pub(crate) struct SourceInfo {
    pub(crate) doc: Vec<u8>,
    pub(crate) members: Option<Vec<Vec<u8>>>,
}

/// What only nodes of one kind have.
#[derive(Debug)]
pub(crate) enum Body {
    File,
    Struct {
        data_words: u16,
        pointers: u16,
        is_group: bool,
        discriminants: u16,
        discriminant_offset: u32,
        fields: Vec<OutField>,
    },
    Enum(Vec<OutEnumerant>),
    Interface {
        methods: Vec<OutMethod>,
        superclasses: Vec<(u64, Rc<Brand>)>,
    },
    Const {
        ty: Type,
        value: Value,
    },
    Annotation {
        ty: Type,
        targets: u16,
    },
}

#[derive(Debug)]
pub(crate) struct OutField {
    pub(crate) name: Rc<str>,
    pub(crate) code_order: u16,
    pub(crate) annotations: Vec<OutAnnotation>,
    pub(crate) discriminant: Option<u16>,
    pub(crate) ordinal: Option<u16>,
    pub(crate) kind: OutFieldKind,
}

#[derive(Debug)]
pub(crate) enum OutFieldKind {
    Slot { offset: u32, ty: Type, default: Option<Value> },
    Group(u64),
}

#[derive(Debug)]
pub(crate) struct OutEnumerant {
    pub(crate) name: Rc<str>,
    pub(crate) code_order: u16,
    pub(crate) annotations: Vec<OutAnnotation>,
}

#[derive(Debug)]
pub(crate) struct OutMethod {
    pub(crate) name: Rc<str>,
    pub(crate) code_order: u16,
    pub(crate) implicit: Vec<Rc<str>>,
    pub(crate) parameters: (u64, Rc<Brand>),
    pub(crate) results: (u64, Rc<Brand>),
    pub(crate) annotations: Vec<OutAnnotation>,
}

#[derive(Debug)]
pub(crate) struct OutAnnotation {
    pub(crate) id: u64,
    pub(crate) brand: Rc<Brand>,
    pub(crate) ty: Type,
    pub(crate) value: Value,
}

/// A file that was asked for, as the request has it.
#[derive(Debug)]
pub(crate) struct OutFile {
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) imports: Vec<(u64, String)>,
}

/// What is still to be written.
#[derive(Default)]
struct Queue {
    seen: HashSet<NodeId>,
    waiting: Vec<NodeId>,
    done: usize,
}

/// Builds nodes one after the other.
struct Collecting {
    queue: Queue,
    nodes: Vec<OutNode>,
}

impl Queue {
    fn add(&mut self, node: NodeId) {
        if self.seen.insert(node) {
            self.waiting.push(node);
        }
    }

    fn next(&mut self) -> Option<NodeId> {
        let next = self.waiting.get(self.done).copied();
        self.done += 1;
        next
    }
}

impl Compiler<'_> {
    /// All nodes of the files in `requested`, and those that they depend on.
    pub(crate) fn collect_nodes(&mut self, requested: &[FileId]) -> Vec<OutNode> {
        let files: HashSet<FileId> = requested.iter().copied().collect();
        let mut out = Collecting { queue: Queue::default(), nodes: Vec::new() };
        for node in 0..self.nodes.len() {
            let id = NodeId(node as u32);
            if files.contains(&self.node(id).file) && self.node(id).kind != NodeKind::Alias {
                out.queue.add(id);
            }
        }
        // Aliases are in no node; what is wrong with them is found by following them.
        for index in 0..self.nodes.len() {
            let id = NodeId(index as u32);
            let node = *self.node(id);
            if node.kind == NodeKind::Alias && files.contains(&node.file) {
                self.check_alias(id);
            }
        }
        while let Some(node) = out.queue.next() {
            if let Some(parent) = self.node(node).parent {
                out.queue.add(parent);
            }
            self.emit(&mut out, node);
            if self.node_name_bytes > NODE_NAMES_BYTES {
                let Node { file, declaration, .. } = *self.node(node);
                let span = self.file(file).declaration(declaration).span;
                let message = "the names of all nodes together are too long".into();
                let label = format!("more than {NODE_NAMES_BYTES} bytes up to here");
                let help =
                    Some("each begins with the names of the declarations around it: shorten those".into());
                let kind = ErrorKind::Limit;
                self.report(file, Report { kind, span, message, label, help, ..Report::default() });
                break;
            }
        }
        out.nodes
    }

    /// Whether a node can have a name of `bytes` as well. Where it cannot, no request is made.
    pub(super) fn has_room_for_name(&mut self, bytes: usize) -> bool {
        self.node_name_bytes += bytes;
        self.node_name_bytes <= NODE_NAMES_BYTES
    }

    fn check_alias(&mut self, id: NodeId) {
        let node = *self.node(id);
        let Some(parent) = node.parent else { return };
        let file = self.file(node.file);
        let Some(name) = file.declaration(node.declaration).name else { return };
        let around = self.scope_of(parent).brand;
        self.enter(id, &around, name.span, node.file);
    }

    /// The files in `requested` with what they import.
    pub(crate) fn requested_files(&mut self, requested: &[FileId]) -> Vec<OutFile> {
        let mut files = Vec::new();
        for id in requested {
            let file = self.file(*id);
            let Some(unit) = self.units.get(id.0 as usize).and_then(Option::as_ref) else { continue };
            let (node, name) = (unit.node, unit.name.clone());
            let mut paths: Vec<(String, Span)> = Vec::new();
            for (path, span) in &file.imports {
                paths.extend(std::str::from_utf8(file.string(*path)).map(|path| (path.to_owned(), *span)));
            }
            paths.extend(file.stream.map(|span| (STREAM.to_owned(), span)));
            paths.sort_unstable();
            paths.dedup_by(|(path, _), (other, _)| path == other);
            let mut imports = Vec::new();
            for (path, span) in paths {
                if let Some(imported) = self.import(*id, &path, span)
                    && let Some(unit) = self.units.get(imported.0 as usize).and_then(Option::as_ref)
                {
                    imports.push((self.node(unit.node).id, path));
                }
            }
            files.push(OutFile { id: self.node(node).id, name, imports });
        }
        files
    }

    fn emit(&mut self, out: &mut Collecting, id: NodeId) {
        let node = *self.node(id);
        let file = self.file(node.file);
        let declaration = file.declaration(node.declaration);
        let display_name = self.display_name(id);
        if !self.has_room_for_name(display_name.len()) {
            return;
        }
        let own_name = declaration.name.map(|named| self.names.text(named.name).len());
        let prefix_length = match own_name {
            Some(length) => display_name.len() - length,
            None => display_name.rfind(['.', '/']).map_or(0, |end| end + 1),
        };
        let scope = self.scope_of(id);
        let mut members = None;
        let body = match &declaration.kind {
            Kind::File => Body::File,
            Kind::Struct => {
                let shape = self.shape(id);
                self.emit_struct(out, id, &scope, &shape, &display_name);
                return;
            }
            Kind::Enum => {
                let shape = self.enum_shape(id);
                let mut enumerants = Vec::with_capacity(shape.enumerants.len());
                let mut docs = Vec::with_capacity(shape.enumerants.len());
                for (enumerant, code_order) in &shape.enumerants {
                    let enumerant = file.declaration(*enumerant);
                    docs.push(self.doc(node.file, &file, enumerant));
                    enumerants.push(OutEnumerant {
                        name: self.name_of(enumerant),
                        code_order: *code_order,
                        annotations: self.annotations(out, &scope, &enumerant.annotations, "enumerant"),
                    });
                }
                members = Some(docs);
                Body::Enum(enumerants)
            }
            Kind::Interface { superclasses } => {
                let mut supers = Vec::with_capacity(superclasses.len());
                for superclass in superclasses {
                    supers.extend(self.superclass(out, &scope, *superclass, id));
                }
                let (methods, docs) = self.methods(out, &scope, id, &file, declaration, &display_name);
                members = Some(docs);
                Body::Interface { methods, superclasses: supers }
            }
            Kind::Const { .. } => {
                let Constant::Known { ty, value, .. } = self.constant(id) else { return };
                self.need(out, &ty);
                Body::Const { ty, value }
            }
            Kind::Annotation { ty, targets } => {
                let Some(ty) = self.resolve_type(&scope, *ty) else { return };
                self.need(out, &ty);
                Body::Annotation { ty, targets: *targets }
            }
            Kind::Using { .. }
            | Kind::Enumerant
            | Kind::Field { .. }
            | Kind::Union
            | Kind::Group
            | Kind::Method(_) => {
                return;
            }
        };
        let target = match body {
            Body::File => "file",
            Body::Struct { .. } => "struct",
            Body::Enum(_) => "enum",
            Body::Interface { .. } => "interface",
            Body::Const { .. } => "const",
            Body::Annotation { .. } => "annotation",
        };
        let annotations = self.annotations(out, &scope, &declaration.annotations, target);
        let doc = self.doc(node.file, &file, declaration);
        let node = OutNode {
            id: node.id,
            display_name,
            prefix_length: prefix_length as u32,
            scope_id: node.parent.map_or(0, |parent| self.node(parent).id),
            parameters: declaration.parameters.iter().map(|named| self.names.shared(named.name)).collect(),
            generic: node.generic,
            nested: Some(self.nested(id, &file, declaration)),
            annotations,
            body,
            source: Some(SourceInfo { doc, members }),
        };
        out.nodes.push(node);
    }

    fn nested(&self, id: NodeId, file: &File, declaration: &Declaration) -> Vec<(Rc<str>, u64)> {
        let children = declaration.children.iter().filter_map(|child| file.declaration(*child).name);
        let nodes = children.filter_map(|named| Some((named.name, *self.members.get(&(id, named.name))?)));
        let nodes = nodes.filter(|(_, node)| self.node(*node).kind != NodeKind::Alias);
        nodes.map(|(name, node)| (self.names.shared(name), self.node(node).id)).collect()
    }

    fn name_of(&self, declaration: &Declaration) -> Rc<str> {
        self.names.shared(declaration.name.map_or(self.empty_name, |named| named.name))
    }

    fn display_name(&self, id: NodeId) -> String {
        let file = self.node(id).file;
        let unit = self.units.get(file.0 as usize).and_then(Option::as_ref);
        let name = unit.map_or("", |unit| &unit.name);
        let path = self.path_of(id);
        if path.is_empty() { name.to_owned() } else { format!("{name}:{path}") }
    }

    fn doc(&self, id: FileId, file: &File, declaration: &Declaration) -> Vec<u8> {
        let span = file.docs.get(declaration.doc as usize).copied().unwrap_or_default();
        let text = self.sources.get(id.0 as usize).map_or(&[][..], |source| &source.text);
        if span == Span::default() { Vec::new() } else { comment_text(text, span) }
    }

    /// Writes a struct and its groups.
    fn emit_struct(
        &mut self,
        out: &mut Collecting,
        id: NodeId,
        scope: &Scope,
        shape: &StructShape,
        display_name: &str,
    ) {
        let node = *self.node(id);
        let file = self.file(node.file);
        let declaration = file.declaration(node.declaration);
        let mut names: Vec<String> = Vec::with_capacity(shape.groups.len());
        for (index, group) in shape.groups.iter().enumerate() {
            let own = group.declaration.map(|declaration| file.declaration(declaration));
            let own_name = own.map(|own| self.name_of(own)).unwrap_or_default();
            let name = match group.parent.and_then(|parent| names.get(parent)) {
                Some(parent) => format!("{parent}.{own_name}"),
                None => display_name.to_owned(),
            };
            let is_group = index > 0;
            if is_group && !self.has_room_for_name(name.len()) {
                return;
            }
            let mut fields = Vec::with_capacity(group.fields.len());
            let mut docs = Vec::with_capacity(group.fields.len());
            for (field_index, field) in group.fields.iter().enumerate() {
                let member = file.declaration(field.declaration);
                docs.push(self.doc(node.file, &file, member));
                let (kind, target) = match &field.kind {
                    FieldKind::Group(inner) => {
                        let target = if matches!(member.kind, Kind::Union) { "union" } else { "group" };
                        (OutFieldKind::Group(shape.groups.get(*inner).map_or(0, |inner| inner.id)), target)
                    }
                    FieldKind::Slot { offset, ty } => {
                        self.need(out, ty);
                        let default = self.default(id, index, field_index);
                        (OutFieldKind::Slot { offset: *offset, ty: ty.clone(), default }, "field")
                    }
                };
                let annotations = self.annotations(out, scope, &member.annotations, target);
                fields.push(OutField {
                    name: self.names.shared(field.name),
                    code_order: field.code_order,
                    annotations,
                    discriminant: field.discriminant,
                    ordinal: field.ordinal,
                    kind,
                });
            }
            let annotations = if is_group {
                Vec::new()
            } else {
                self.annotations(out, scope, &declaration.annotations, "struct")
            };
            let has_members = !docs.is_empty();
            let doc = own.map(|own| self.doc(node.file, &file, own)).unwrap_or_default();
            let scope_id = match group.parent {
                Some(parent) => shape.groups.get(parent).map_or(0, |parent| parent.id),
                None => node.parent.map_or(0, |parent| self.node(parent).id),
            };
            let parameters = declaration.parameters.iter().filter(|_| !is_group);
            let parameters = parameters.map(|named| self.names.shared(named.name)).collect();
            out.nodes.push(OutNode {
                id: group.id,
                prefix_length: (name.len() - own_name.len()) as u32,
                display_name: name.clone(),
                scope_id,
                parameters,
                generic: node.generic,
                nested: (!is_group).then(|| self.nested(id, &file, declaration)),
                annotations,
                body: Body::Struct {
                    data_words: shape.data_words,
                    pointers: shape.pointers,
                    is_group,
                    discriminants: group.discriminants,
                    discriminant_offset: group.discriminant_offset,
                    fields,
                },
                source: Some(SourceInfo { doc, members: has_members.then_some(docs) }),
            });
            names.push(name);
        }
    }

    /// Notes that the request needs the nodes that `ty` names.
    fn need(&self, out: &mut Collecting, ty: &Type) {
        match ty {
            Type::List(element) => self.need(out, element),
            Type::Enum { node, brand } | Type::Struct { node, brand } | Type::Interface { node, brand } => {
                out.queue.add(*node);
                self.need_brand(out, brand);
            }
            _ => {}
        }
    }

    fn need_brand(&self, out: &mut Collecting, brand: &Brand) {
        for scope in brand.stated() {
            if let Bindings::To(types) = &scope.bindings {
                for ty in types {
                    self.need(out, ty);
                }
            }
        }
    }
}

/// Where the struct is declared that a streaming method gives.
const STREAM: &str = "/capnp/stream.capnp";
