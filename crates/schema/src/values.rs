//! Expressions into values of a type: defaults, constants and what annotations are given.

mod constants;
mod structs;

pub(crate) use constants::Constant;

use std::rc::Rc;

use crate::compiler::Compiler;
use crate::diagnostics::{Kind as ErrorKind, Report};
use crate::limits::{RESOLUTION_DEPTH, VALUES};
use crate::model::{ElementLayout, ListValue, NodeId, StructValue, Type, Value};
use crate::names::Name;
use crate::resolve::Scope;
use crate::source::Span;
use crate::syntax::{ExpressionId, ExpressionKind};

impl Compiler<'_> {
    /// Counts `cost` against the bound of the run, and complains at `span` once it is reached.
    fn spend(&mut self, scope: &Scope, span: Span, cost: usize) -> Option<()> {
        self.value_cost = self.value_cost.saturating_add(cost);
        if self.value_cost <= VALUES {
            return Some(());
        }
        let message = format!("the values of this run take more than {VALUES} words");
        self.report(scope.file, Report { kind: ErrorKind::Limit, span, message, ..Report::default() });
        None
    }

    /// The value of type `ty` that the expression states. `None` if it states none, which has been reported.
    pub(crate) fn value(&mut self, scope: &Scope, ty: &Type, id: ExpressionId) -> Option<Value> {
        let span = self.file(scope.file).expression(id).span;
        self.spend(scope, span, 1)?;
        if self.depth >= RESOLUTION_DEPTH {
            let message = "this value leads to too many others".into();
            let label = format!("followed {} constants and literals, one inside the other", self.depth);
            self.report(
                scope.file,
                Report { kind: ErrorKind::Limit, span, message, label, ..Report::default() },
            );
            return None;
        }
        self.depth += 1;
        let value = self.stated(scope, ty, id, span);
        self.depth -= 1;
        value
    }

    fn stated(&mut self, scope: &Scope, ty: &Type, id: ExpressionId, span: Span) -> Option<Value> {
        let file = self.file(scope.file);
        let expression = file.expression(id);
        if matches!(ty, Type::Parameter { .. } | Type::Implicit { .. }) {
            let message = "a value of a generic parameter's type cannot be stated".into();
            let label = "its type is not known here".into();
            let kind = ErrorKind::Generic;
            self.report(scope.file, Report { kind, span, message, label, ..Report::default() });
            return None;
        }
        match &expression.kind {
            ExpressionKind::Invalid => None,
            ExpressionKind::Integer(value) => self.integer(scope, ty, *value, false, span),
            ExpressionKind::Negative(value) => self.integer(scope, ty, *value, true, span),
            ExpressionKind::Float(value) => match ty {
                Type::Float32 => Some(Value::Float32(*value as f32)),
                Type::Float64 => Some(Value::Float64(*value)),
                _ if ty.range().is_some() && value.abs() > u64::MAX as f64 && value.fract() == 0.0 => {
                    let shown = self.snippet(scope.file, span);
                    self.out_of_range(scope, ty, &shown, span)
                }
                _ => self.mismatch(scope, ty, span, "a floating-point number"),
            },
            ExpressionKind::Text(text) => {
                self.spend(scope, span, text.len() / 8)?;
                match ty {
                    Type::Text => Some(Value::Text(text.as_slice().into())),
                    Type::Data => Some(Value::Data(text.as_slice().into())),
                    _ => self.mismatch(scope, ty, span, "text"),
                }
            }
            ExpressionKind::Data(index) => {
                let data = file.string(*index);
                self.spend(scope, span, data.len() / 8)?;
                match ty {
                    Type::Data => Some(Value::Data(data.into())),
                    _ => self.mismatch(scope, ty, span, "data"),
                }
            }
            ExpressionKind::Embed(path) => {
                if !matches!(ty, Type::Text | Type::Data | Type::Struct { .. }) {
                    return self.mismatch(
                        scope,
                        ty,
                        span,
                        "the contents of a file, which can be Text, Data or a struct",
                    );
                }
                let path = self.path_text(scope.file, &file, *path, span)?;
                let contents = self.embed(scope.file, &path, span)?;
                self.spend(scope, span, contents.len() / 8)?;
                match ty {
                    Type::Text => Some(Value::Text(contents)),
                    Type::Data => Some(Value::Data(contents)),
                    _ => self.message(scope, &contents, span),
                }
            }
            ExpressionKind::List(elements) => {
                let Type::List(element) = ty else { return self.mismatch(scope, ty, span, "a list") };
                let layout = match &**element {
                    Type::Struct { node, .. } => {
                        let shape = self.shape(*node);
                        ElementLayout::Struct { data_words: shape.data_words, pointers: shape.pointers }
                    }
                    other => ElementLayout::Plain(other.storage()),
                };
                let mut values = Vec::with_capacity(elements.len());
                let mut complete = true;
                for expression in elements {
                    match self.value(scope, element, *expression) {
                        Some(value) => values.push(value),
                        None => complete = false,
                    }
                }
                complete.then(|| Value::List(Rc::new(ListValue { element: layout, values })))
            }
            ExpressionKind::Tuple(arguments) => {
                let Type::Struct { node, .. } = ty else {
                    return self.mismatch(scope, ty, span, "a struct");
                };
                let shape = self.shape(*node);
                self.spend(scope, span, usize::from(shape.data_words) + usize::from(shape.pointers))?;
                let mut out = StructValue {
                    data: vec![0; usize::from(shape.data_words)],
                    pointers: vec![Value::Null; usize::from(shape.pointers)],
                };
                self.fill(scope, ty, &shape, 0, arguments, &mut out).then(|| Value::Struct(Rc::new(out)))
            }
            ExpressionKind::Name(name) => match self.word(ty, *name) {
                Some(value) => Some(value),
                None => self.referenced(scope, ty, id, span),
            },
            ExpressionKind::Absolute(_)
            | ExpressionKind::Import(_)
            | ExpressionKind::Apply { .. }
            | ExpressionKind::Member { .. } => self.referenced(scope, ty, id, span),
        }
    }

    /// The value that a bare word states, if it states one of type `ty`.
    fn word(&mut self, ty: &Type, name: Name) -> Option<Value> {
        if let Type::Enum { node, .. } = ty {
            let shape = self.enum_shape(*node);
            return shape.by_name.get(&name).map(|number| Value::Unsigned(u64::from(*number)));
        }
        match (self.names.text(name), ty) {
            ("void", Type::Void) => Some(Value::Void),
            ("true", Type::Bool) => Some(Value::Bool(true)),
            ("false", Type::Bool) => Some(Value::Bool(false)),
            ("inf", Type::Float32) => Some(Value::Float32(f32::INFINITY)),
            ("inf", Type::Float64) => Some(Value::Float64(f64::INFINITY)),
            ("nan", Type::Float32) => Some(Value::Float32(f32::NAN)),
            ("nan", Type::Float64) => Some(Value::Float64(f64::NAN)),
            _ => None,
        }
    }

    fn integer(
        &mut self,
        scope: &Scope,
        ty: &Type,
        magnitude: u64,
        negative: bool,
        span: Span,
    ) -> Option<Value> {
        let value = if negative { -i128::from(magnitude) } else { i128::from(magnitude) };
        match ty {
            Type::Float32 => Some(Value::Float32(value as f32)),
            Type::Float64 => Some(Value::Float64(value as f64)),
            _ if ty.range().is_some() => self.in_range(scope, ty, value, span),
            _ => self.mismatch(scope, ty, span, "an integer"),
        }
    }

    /// `value` as one of the integer type `ty`. `None` if it does not fit, which has been reported.
    fn in_range(&mut self, scope: &Scope, ty: &Type, value: i128, span: Span) -> Option<Value> {
        let (low, high) = ty.range()?;
        if value < low || value > high {
            return self.out_of_range(scope, ty, &value.to_string(), span);
        }
        if low < 0 {
            i64::try_from(value).ok().map(Value::Signed)
        } else {
            u64::try_from(value).ok().map(Value::Unsigned)
        }
    }

    fn out_of_range<T>(&mut self, scope: &Scope, ty: &Type, value: &str, span: Span) -> Option<T> {
        let (low, high) = ty.range()?;
        let name = self.type_name(ty);
        let message = format!("{value} is out of the range of {name}");
        let label = format!("{name} goes from {low} to {high}");
        let kind = ErrorKind::Value;
        self.report(scope.file, Report { kind, span, message, label, ..Report::default() });
        None
    }

    fn mismatch<T>(&mut self, scope: &Scope, ty: &Type, span: Span, found: &str) -> Option<T> {
        let name = self.type_name(ty);
        let help = match ty {
            Type::Bool => Some("`true` or `false`".to_owned()),
            Type::Void => Some("`void`".to_owned()),
            Type::Text => Some("text stands in double quotes: \"…\"".to_owned()),
            Type::Data => Some("data is hexadecimal, `0x\"…\"`, or text in double quotes".to_owned()),
            Type::List(_) => Some("a list stands in brackets: `[…, …]`".to_owned()),
            Type::Struct { .. } => Some("a struct's fields stand in parentheses: `(name = …, …)`".to_owned()),
            Type::Interface { .. } | Type::Capability => {
                Some("an interface has no values that can be written".to_owned())
            }
            Type::AnyPointer | Type::AnyStruct | Type::AnyList => {
                Some("name a constant of a struct's or a list's type here".to_owned())
            }
            Type::Enum { node, .. } => {
                let names = self.enumerant_names(*node);
                (!names.is_empty()).then(|| format!("one of its enumerants: {}", shortened(&names)))
            }
            _ => None,
        };
        let message = format!("expected a value of type {name}, found {found}");
        let label = format!("expected {name}");
        let kind = ErrorKind::Value;
        self.report(scope.file, Report { kind, span, message, label, help, ..Report::default() });
        None
    }

    fn enumerant_names(&mut self, node: NodeId) -> Vec<String> {
        let shape = self.enum_shape(node);
        if !self.may_suggest(shape.enumerants.len()) {
            return Vec::new();
        }
        let file = self.file(self.node(node).file);
        let names = shape.enumerants.iter().filter_map(|(enumerant, _)| file.declaration(*enumerant).name);
        names.map(|named| self.names.text(named.name).to_owned()).collect()
    }

    /// A type as a person would write it.
    pub(crate) fn type_name(&self, ty: &Type) -> String {
        match ty {
            Type::List(element) => format!("List({})", self.type_name(element)),
            Type::Enum { node, .. } | Type::Struct { node, .. } | Type::Interface { node, .. } => {
                self.path_of(*node)
            }
            Type::Parameter { .. } | Type::Implicit { .. } => "a generic parameter".into(),
            plain => format!("{plain:?}"),
        }
    }

    /// A message that was embedded, as a value; checked to be one.
    fn message(&mut self, scope: &Scope, contents: &[u8], span: Span) -> Option<Value> {
        match crate::request::flatten_message(contents) {
            Ok(words) => Some(Value::Raw(words)),
            Err(error) => {
                let message = format!("the embedded file is no Cap'n Proto message: {error}");
                self.report(scope.file, Report { kind: ErrorKind::File, span, message, ..Report::default() });
                None
            }
        }
    }
}

/// The first few of many names.
fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let mut text = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(", …");
    }
    text
}
