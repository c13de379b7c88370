//! The values of structs, and the defaults of their fields.

use std::rc::Rc;

use super::shortened;
use crate::compiler::Compiler;
use crate::diagnostics::{Kind as ErrorKind, Report, most_similar};
use crate::model::{FieldKind, NodeId, Storage, StructShape, StructValue, Type, Value};
use crate::names::Name;
use crate::resolve::Scope;
use crate::syntax::{Argument, ExpressionKind, Kind};

impl Compiler<'_> {
    /// Puts what `arguments` state into the fields of the group `group` of a struct. Whether all of it could be.
    pub(super) fn fill(
        &mut self,
        scope: &Scope,
        ty: &Type,
        shape: &Rc<StructShape>,
        group: usize,
        arguments: &[Argument],
        out: &mut StructValue,
    ) -> bool {
        let Type::Struct { node, brand } = ty else { return false };
        let mut complete = true;
        for argument in arguments {
            complete &= self.fill_field(scope, ty, (*node, brand), shape, group, argument, out).is_some();
        }
        complete
    }

    #[expect(clippy::too_many_arguments, reason = "one step of `fill`")]
    pub(super) fn fill_field(
        &mut self,
        scope: &Scope,
        ty: &Type,
        (node, brand): (NodeId, &Rc<crate::model::Brand>),
        shape: &Rc<StructShape>,
        group: usize,
        argument: &Argument,
        out: &mut StructValue,
    ) -> Option<()> {
        let file = self.file(scope.file);
        let Some(named) = argument.name else {
            let span = file.expression(argument.value).span;
            let message = "expected the name of a field".into();
            let label = "a value without a name".into();
            let help = Some("a struct's fields are named: `(name = …, …)`".into());
            let kind = ErrorKind::Value;
            self.report(scope.file, Report { kind, span, message, label, help, ..Report::default() });
            return None;
        };
        let this = shape.groups.get(group)?;
        let Some(index) = self.field_index(node, shape, group, named.name) else {
            let text = self.names.text(named.name).to_owned();
            let fields = if self.may_suggest(this.fields.len()) { &this.fields[..] } else { &[] };
            let fields = fields.iter();
            let names: Vec<String> = fields.map(|field| self.names.text(field.name).to_owned()).collect();
            let help = match most_similar(&text, names.iter().map(String::as_str)) {
                Some(similar) => Some(format!("did you mean `{similar}`?")),
                None if names.is_empty() => None,
                None => Some(format!("its fields are {}", shortened(&names))),
            };
            let message = format!("the struct `{}` has no field `{text}` here", self.path_of(node));
            let kind = ErrorKind::Unknown;
            self.report(scope.file, Report { kind, span: named.span, message, help, ..Report::default() });
            return None;
        };
        let field = this.fields.get(index)?;
        if let Some(discriminant) = field.discriminant {
            put_bits(&mut out.data, 4, this.discriminant_offset, u64::from(discriminant));
        }
        match &field.kind {
            FieldKind::Group(inner) => {
                let expression = file.expression(argument.value);
                if let ExpressionKind::Tuple(arguments) = &expression.kind {
                    self.spend(scope, expression.span, 1)?;
                    return self.fill(scope, ty, shape, *inner, arguments, out).then_some(());
                }
                let message = "expected the fields of a group".into();
                let label = "expected `(name = …)`".into();
                let kind = ErrorKind::Value;
                self.report(
                    scope.file,
                    Report { kind, span: expression.span, message, label, ..Report::default() },
                );
                None
            }
            FieldKind::Slot { offset, ty } => {
                let value = self.value(scope, &ty.within(brand), argument.value)?;
                match ty.storage() {
                    Storage::None => {}
                    Storage::Data { size } => {
                        let default = self.default_bits(node, group, index);
                        put_bits(&mut out.data, size, *offset, value.bits() ^ default);
                    }
                    Storage::Pointer => {
                        if let Some(pointer) = out.pointers.get_mut(*offset as usize) {
                            *pointer = value;
                        }
                    }
                }
                Some(())
            }
        }
    }

    pub(super) fn field_index(
        &mut self,
        node: NodeId,
        shape: &StructShape,
        group: usize,
        name: Name,
    ) -> Option<usize> {
        let fields = self.field_indexes.entry(node).or_insert_with(|| {
            let groups = shape.groups.iter().enumerate();
            groups
                .flat_map(|(group, this)| {
                    this.fields.iter().enumerate().map(move |(index, field)| ((group, field.name), index))
                })
                .collect()
        });
        fields.get(&(group, name)).copied()
    }

    /// The default of a field that lies in the data section, as bits.
    pub(super) fn default_bits(&mut self, node: NodeId, group: usize, index: usize) -> u64 {
        self.default(node, group, index).map_or(0, |value| value.bits())
    }

    /// The default that a field of a struct states. A broken one is none, and has been reported.
    pub(crate) fn default(&mut self, node: NodeId, group: usize, index: usize) -> Option<Value> {
        if let Some(known) = self.defaults.get(&(node, group, index)) {
            return known.clone();
        }
        let shape = self.shape(node);
        let scope = self.scope_of(node);
        let value = self.state_default(&scope, &shape, group, index);
        self.defaults.insert((node, group, index), value.clone());
        value
    }

    /// The default of a field of any struct, parameters too, whose types are looked up in `scope`.
    pub(crate) fn state_default(
        &mut self,
        scope: &Scope,
        shape: &StructShape,
        group: usize,
        index: usize,
    ) -> Option<Value> {
        let field = shape.groups.get(group)?.fields.get(index)?;
        let FieldKind::Slot { ty, .. } = &field.kind else { return None };
        let file = self.file(scope.file);
        let Kind::Field { default, ty: stated } = file.declaration(field.declaration).kind else {
            return None;
        };
        let default = default?;
        // A parameter, but no field, may say that leaving it out means no pointer.
        if let (Some(_), ExpressionKind::Name(name)) = (&scope.implicit, &file.expression(default).kind)
            && self.names.text(*name) == "null"
        {
            if ty.storage() == Storage::Pointer {
                return Some(Value::Null);
            }
            let span = file.expression(default).span;
            return self.mismatch(scope, ty, span, "`null`, which only pointers can be");
        }
        // A type that could not be resolved stands in as Void: no second complaint about its default.
        if *ty == Type::Void && self.collector.has_errors_at(scope.file, file.expression(stated).span) {
            return None;
        }
        self.value(scope, ty, default)
    }
}

/// Puts the low bits of `value` at `offset`, counted in values of `size`.
fn put_bits(data: &mut [u64], size: u32, offset: u32, value: u64) {
    let bits = 1_u32 << size;
    let position = u64::from(offset) << size;
    let mask = if bits == 64 { !0 } else { (1_u64 << bits) - 1 };
    let shift = (position % 64) as u32;
    if let Some(word) = data.get_mut((position / 64) as usize) {
        *word = *word & !(mask << shift) | (value & mask) << shift;
    }
}
