//! Constants, and values that are stated by naming one.

use super::shortened;
use crate::compiler::Compiler;
use crate::diagnostics::{Kind as ErrorKind, Report, most_similar};
use crate::model::{Entity, Node, NodeId, NodeKind, Type, Value};
use crate::resolve::Scope;
use crate::source::Span;
use crate::syntax::{ExpressionId, ExpressionKind, Kind};

/// A constant, while and after its value is found.
#[derive(Clone, Debug)]
pub(crate) enum Constant {
    /// Its value is being found: whoever asks for it now depends on itself.
    Open,
    /// It has none, which has been reported.
    Broken,
    Known {
        ty: Type,
        value: Value,
        /// What writing out the value costs, as counted against [`crate::limits::VALUES`].
        cost: usize,
    },
}

impl Compiler<'_> {
    /// The type and the value of a constant, and what it costs.
    pub(crate) fn constant(&mut self, id: NodeId) -> Constant {
        if let Some(known) = self.constants.get(&id) {
            return known.clone();
        }
        self.constants.insert(id, Constant::Open);
        let known = self.find_constant(*self.node(id)).unwrap_or(Constant::Broken);
        self.constants.insert(id, known.clone());
        known
    }

    pub(super) fn find_constant(&mut self, node: Node) -> Option<Constant> {
        let scope = self.scope_of(node.parent?);
        let file = self.file(node.file);
        let Kind::Const { ty, value } = file.declaration(node.declaration).kind else { return None };
        let ty = self.resolve_type(&scope, ty)?;
        let before = self.value_cost;
        let value = self.value(&scope, &ty, value)?;
        let cost = self.value_cost - before;
        Some(Constant::Known { ty, value, cost })
    }

    /// The value of the constant that the expression names.
    pub(super) fn referenced(
        &mut self,
        scope: &Scope,
        ty: &Type,
        id: ExpressionId,
        span: Span,
    ) -> Option<Value> {
        let file = self.file(scope.file);
        let bare = match &file.expression(id).kind {
            ExpressionKind::Name(name) => Some(*name),
            _ => None,
        };
        if let (Some(name), Type::Enum { node, .. }) = (bare, ty)
            && !self.is_declared(scope, name)
        {
            let names = self.enumerant_names(*node);
            let text = self.names.text(name).to_owned();
            let enumeration = self.path_of(*node);
            let help = match most_similar(&text, names.iter().map(String::as_str)) {
                Some(similar) => Some(format!("did you mean `{similar}`?")),
                None if names.is_empty() => None,
                None => Some(format!("its enumerants are {}", shortened(&names))),
            };
            let message = format!("the enum `{enumeration}` has no enumerant `{text}`");
            let kind = ErrorKind::Unknown;
            self.report(scope.file, Report { kind, span, message, help, ..Report::default() });
            return None;
        }
        let word = bare.map(|name| self.names.text(name).to_owned()).unwrap_or_default();
        if matches!(&*word, "void" | "true" | "false" | "inf" | "nan")
            && bare.is_some_and(|name| !self.is_declared(scope, name))
        {
            return self.mismatch(scope, ty, span, &format!("`{word}`"));
        }
        let entity = self.resolve(scope, id)?;
        let constant = match entity {
            Entity::Node { node, .. } if self.node(node).kind == NodeKind::Const => node,
            Entity::Node { .. } | Entity::List | Entity::Type(_) => {
                let shown = self.snippet(scope.file, span);
                let message = format!("`{shown}` is not a constant");
                let label = "expected a value".into();
                let help = match ty {
                    Type::Enum { .. } => {
                        Some("an enumerant stands alone, without the name of its enum".into())
                    }
                    _ => None,
                };
                let kind = ErrorKind::Mismatch;
                self.report(scope.file, Report { kind, span, message, label, help, ..Report::default() });
                return None;
            }
        };
        if bare.is_some() {
            let path = self.path_of(constant);
            let path = if path.contains('.') { path } else { format!(".{path}") };
            let message = "a constant is named with its scope here".into();
            let label = "could be mistaken for an enumerant".into();
            let help = Some(format!("write `{path}`"));
            let kind = ErrorKind::Value;
            self.report(scope.file, Report { kind, span, message, label, help, ..Report::default() });
            return None;
        }
        match self.constant(constant) {
            Constant::Broken => None,
            Constant::Open => {
                let name = self.path_of(constant);
                let message = format!("the constant `{name}` depends on itself");
                let label = "its value is needed to find its value".into();
                let kind = ErrorKind::Cycle;
                self.report(scope.file, Report { kind, span, message, label, ..Report::default() });
                None
            }
            Constant::Known { ty: found, value, cost } => {
                self.spend(scope, span, cost)?;
                self.convert(scope, ty, &found, value, span)
            }
        }
    }

    /// `value`, which is of type `found`, as one of type `ty`: numbers become each other if they fit.
    pub(super) fn convert(
        &mut self,
        scope: &Scope,
        ty: &Type,
        found: &Type,
        value: Value,
        span: Span,
    ) -> Option<Value> {
        if ty == found {
            return Some(value);
        }
        let converted = match (&value, ty) {
            (Value::Signed(number), Type::Float32) => Some(Value::Float32(*number as f32)),
            (Value::Signed(number), Type::Float64) => Some(Value::Float64(*number as f64)),
            (Value::Unsigned(number), Type::Float32) if !matches!(found, Type::Enum { .. }) => {
                Some(Value::Float32(*number as f32))
            }
            (Value::Unsigned(number), Type::Float64) if !matches!(found, Type::Enum { .. }) => {
                Some(Value::Float64(*number as f64))
            }
            (Value::Float32(number), Type::Float64) => Some(Value::Float64(f64::from(*number))),
            (Value::Float64(number), Type::Float32) => Some(Value::Float32(*number as f32)),
            (Value::Signed(number), _) if ty.range().is_some() => {
                return self.in_range(scope, ty, i128::from(*number), span);
            }
            (Value::Unsigned(number), _) if ty.range().is_some() && !matches!(found, Type::Enum { .. }) => {
                return self.in_range(scope, ty, i128::from(*number), span);
            }
            (Value::Struct(_) | Value::Raw(_), Type::AnyPointer | Type::AnyStruct)
            | (Value::List(_), Type::AnyPointer | Type::AnyList) => Some(value.clone()),
            _ => None,
        };
        if converted.is_none() {
            let name = self.type_name(found);
            return self.mismatch(scope, ty, span, &format!("one of type {name}"));
        }
        converted
    }
}
