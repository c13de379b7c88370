//! Interfaces: their methods, and the structs that the parameters and results of methods are.

use std::rc::Rc;

use super::{Body, Collecting, OutField, OutFieldKind, OutMethod, OutNode, STREAM};
use crate::compiler::Compiler;
use crate::diagnostics::{Kind as ErrorKind, Report};
use crate::ids;
use crate::model::{Brand, FieldKind, NodeId, NodeKind, Type};
use crate::names::Name;
use crate::resolve::{Implicit, Scope};
use crate::syntax::{Declaration, DeclarationId, ExpressionId, File, Kind, Method, Number, Parameters};

impl Compiler<'_> {
    pub(super) fn superclass(
        &mut self,
        out: &mut Collecting,
        scope: &Scope,
        expression: ExpressionId,
        own: NodeId,
    ) -> Option<(u64, Rc<Brand>)> {
        let file = self.file(scope.file);
        let span = file.expression(expression).span;
        let ty = self.resolve_type(scope, expression)?;
        let Type::Interface { node, ref brand } = ty else {
            let shown = self.snippet(scope.file, span);
            let message = format!("`{shown}` is not an interface");
            let label = "an interface extends only interfaces".into();
            let kind = ErrorKind::Mismatch;
            self.report(scope.file, Report { kind, span, message, label, ..Report::default() });
            return None;
        };
        if node == own {
            let message = "an interface cannot extend itself".into();
            self.report(scope.file, Report { kind: ErrorKind::Cycle, span, message, ..Report::default() });
            return None;
        }
        self.need(out, &ty);
        Some((self.node(node).id, Rc::clone(brand)))
    }

    pub(super) fn methods(
        &mut self,
        out: &mut Collecting,
        scope: &Scope,
        id: NodeId,
        file: &Rc<File>,
        declaration: &Declaration,
        display_name: &str,
    ) -> (Vec<OutMethod>, Vec<Vec<u8>>) {
        let children = declaration.children.iter().map(|child| file.declaration(*child));
        let methods = children.filter_map(|child| match &child.kind {
            Kind::Method(method) => Some((child, &**method, child.ordinal?)),
            _ => None,
        });
        let mut methods: Vec<_> = methods
            .enumerate()
            .map(|(index, (child, method, ordinal))| (ordinal, child, method, index))
            .collect();
        methods.sort_by_key(|(ordinal, ..)| ordinal.value);
        let numbers: Vec<Number> = methods.iter().map(|(ordinal, ..)| *ordinal).collect();
        let usable = self.check_ordinals(self.node(id).file, &numbers, declaration.incomplete, "method");
        let mut written = Vec::with_capacity(methods.len());
        let mut docs = Vec::with_capacity(methods.len());
        for ((ordinal, child, method, index), usable) in methods.into_iter().zip(usable) {
            let (true, Ok(ordinal)) = (usable, u16::try_from(ordinal.value)) else { continue };
            let name = self.name_of(child);
            let prefix = format!("{display_name}.{name}");
            let parameters = self.side(out, scope, id, method, &method.parameters, (ordinal, false), &prefix);
            let results = self.side(out, scope, id, method, &method.results, (ordinal, true), &prefix);
            let annotations = self.annotations(out, scope, &child.annotations, "method");
            docs.push(self.doc(scope.file, file, child));
            let (Some(parameters), Some(results)) = (parameters, results) else { continue };
            written.push(OutMethod {
                name,
                code_order: index as u16,
                implicit: method.implicit.iter().map(|named| self.names.shared(named.name)).collect(),
                parameters,
                results,
                annotations,
            });
        }
        (written, docs)
    }

    /// The struct that one side of a method's arrow is, by its id and brand.
    #[expect(clippy::too_many_arguments, reason = "one step of `methods`")]
    pub(super) fn side(
        &mut self,
        out: &mut Collecting,
        scope: &Scope,
        interface: NodeId,
        method: &Method,
        side: &Parameters,
        (ordinal, results): (u16, bool),
        prefix: &str,
    ) -> Option<(u64, Rc<Brand>)> {
        let implicit: Rc<[Name]> = method.implicit.iter().map(|named| named.name).collect();
        match side {
            Parameters::List { fields } => {
                let id = ids::of_parameters(self.node(interface).id, ordinal, results);
                let implicit = Implicit { names: implicit, structure: Some(id) };
                let inner = Scope { implicit: Some(implicit), ..scope.clone() };
                self.emit_parameters(out, &inner, interface, id, method, fields, prefix, results);
                Some((id, Rc::clone(&scope.brand)))
            }
            Parameters::Stream(span) => {
                let file = self.import(scope.file, STREAM, *span)?;
                let root = self.units.get(file.0 as usize)?.as_ref()?.node;
                let name = self.names.intern("StreamResult");
                let node = self
                    .members
                    .get(&(root, name))
                    .copied()
                    .filter(|node| self.node(*node).kind == NodeKind::Struct);
                let Some(node) = node else {
                    let message = format!("{STREAM} declares no struct `StreamResult`");
                    self.report(
                        scope.file,
                        Report { kind: ErrorKind::Unknown, span: *span, message, ..Report::default() },
                    );
                    return None;
                };
                out.queue.add(node);
                let brand = self.scope_of(node).brand;
                Some((self.node(node).id, brand))
            }
            Parameters::Type(expression) => {
                let inner =
                    Scope { implicit: Some(Implicit { names: implicit, structure: None }), ..scope.clone() };
                let ty = self.resolve_type(&inner, *expression)?;
                let file = self.file(scope.file);
                let span = file.expression(*expression).span;
                match &ty {
                    Type::Struct { node, brand } => {
                        self.need(out, &ty);
                        Some((self.node(*node).id, Rc::clone(brand)))
                    }
                    Type::Parameter { .. } | Type::Implicit { .. } => {
                        let message = "a generic parameter cannot be all that a method takes or gives".into();
                        let label = "expected a struct or a list of parameters".into();
                        let help = Some("make it a field: `(value :T)`".into());
                        let kind = ErrorKind::Generic;
                        self.report(
                            scope.file,
                            Report { kind, span, message, label, help, ..Report::default() },
                        );
                        None
                    }
                    _ => {
                        let shown = self.snippet(scope.file, span);
                        let message = format!("`{shown}` is not a struct");
                        let label = "expected a struct or a list of parameters".into();
                        let help = Some(format!("make it a field: `(value :{shown})`"));
                        let kind = ErrorKind::Mismatch;
                        self.report(
                            scope.file,
                            Report { kind, span, message, label, help, ..Report::default() },
                        );
                        None
                    }
                }
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one step of `side`")]
    pub(super) fn emit_parameters(
        &mut self,
        out: &mut Collecting,
        scope: &Scope,
        interface: NodeId,
        id: u64,
        method: &Method,
        members: &[DeclarationId],
        prefix: &str,
        results: bool,
    ) {
        let file = self.file(scope.file);
        let shape = self.lay_out(scope, id, None, members);
        let mut fields = Vec::with_capacity(members.len());
        let Some(group) = shape.groups.first() else { return };
        for (index, field) in group.fields.iter().enumerate() {
            let FieldKind::Slot { offset, ty } = &field.kind else { continue };
            let member = file.declaration(field.declaration);
            self.need(out, ty);
            let default = self.state_default(scope, &shape, 0, index);
            let annotations = self.annotations(out, scope, &member.annotations, "param");
            fields.push(OutField {
                name: self.names.shared(field.name),
                code_order: field.code_order,
                annotations,
                discriminant: None,
                ordinal: field.ordinal,
                kind: OutFieldKind::Slot { offset: *offset, ty: ty.clone(), default },
            });
        }
        let suffix = if results { "$Results" } else { "$Params" };
        let name = format!("{prefix}{suffix}");
        if !self.has_room_for_name(name.len()) {
            return;
        }
        // The method's name counts as the struct's, and its interface's as the prefix.
        let method_start = prefix.rfind('.').map_or(0, |dot| dot + 1);
        out.nodes.push(OutNode {
            id,
            prefix_length: method_start as u32,
            display_name: name,
            scope_id: 0,
            parameters: method.implicit.iter().map(|named| self.names.shared(named.name)).collect(),
            generic: self.node(interface).generic || !method.implicit.is_empty(),
            nested: None,
            annotations: Vec::new(),
            body: Body::Struct {
                data_words: shape.data_words,
                pointers: shape.pointers,
                is_group: false,
                discriminants: 0,
                discriminant_offset: 0,
                fields,
            },
            source: None,
        });
    }
}
