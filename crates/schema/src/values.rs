//! Expressions into values of a type: defaults, constants and what annotations are given.

use std::rc::Rc;

use crate::compiler::Compiler;
use crate::diagnostics::{Kind as ErrorKind, Report, most_similar};
use crate::limits::{RESOLUTION_DEPTH, VALUES};
use crate::model::{
    ElementLayout, Entity, FieldKind, ListValue, Node, NodeId, NodeKind, Storage, StructShape, StructValue,
    Type, Value,
};
use crate::names::Name;
use crate::resolve::Scope;
use crate::source::Span;
use crate::syntax::{Argument, ExpressionId, ExpressionKind, Kind};

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
        /// What writing out the value costs, as counted against [`VALUES`].
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

    fn find_constant(&mut self, node: Node) -> Option<Constant> {
        let scope = self.scope_of(node.parent?);
        let file = self.file(node.file);
        let Kind::Const { ty, value } = file.declaration(node.declaration).kind else { return None };
        let ty = self.resolve_type(&scope, ty)?;
        let before = self.value_cost;
        let value = self.value(&scope, &ty, value)?;
        let cost = self.value_cost - before;
        Some(Constant::Known { ty, value, cost })
    }

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
            self.report(scope.file, Report { kind: ErrorKind::Limit, span, message, label, ..Report::default() });
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
            _ => match self.in_range(scope, ty, value, span) {
                Some(value) => value,
                None => self.mismatch(scope, ty, span, "an integer"),
            },
        }
    }

    /// `value` as one of the integer type `ty`: `None` if that is none, `Some(None)` if it does not fit, which has been
    /// reported.
    fn in_range(&mut self, scope: &Scope, ty: &Type, value: i128, span: Span) -> Option<Option<Value>> {
        let (low, high) = match ty {
            Type::Int8 => (i128::from(i8::MIN), i128::from(i8::MAX)),
            Type::Int16 => (i128::from(i16::MIN), i128::from(i16::MAX)),
            Type::Int32 => (i128::from(i32::MIN), i128::from(i32::MAX)),
            Type::Int64 => (i128::from(i64::MIN), i128::from(i64::MAX)),
            Type::UInt8 => (0, i128::from(u8::MAX)),
            Type::UInt16 => (0, i128::from(u16::MAX)),
            Type::UInt32 => (0, i128::from(u32::MAX)),
            Type::UInt64 => (0, i128::from(u64::MAX)),
            _ => return None,
        };
        if value < low || value > high {
            let name = self.type_name(ty);
            let message = format!("{value} is out of the range of {name}");
            let label = format!("{name} goes from {low} to {high}");
            let kind = ErrorKind::Value;
            self.report(scope.file, Report { kind, span, message, label, ..Report::default() });
            return Some(None);
        }
        Some(Some(if low < 0 { Value::Signed(value as i64) } else { Value::Unsigned(value as u64) }))
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

    /// The value of the constant that the expression names.
    fn referenced(&mut self, scope: &Scope, ty: &Type, id: ExpressionId, span: Span) -> Option<Value> {
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
                Some(similar) => format!("did you mean `{similar}`?"),
                None => format!("its enumerants are {}", shortened(&names)),
            };
            let message = format!("the enum `{enumeration}` has no enumerant `{text}`");
            let kind = ErrorKind::Unknown;
            self.report(scope.file, Report { kind, span, message, help: Some(help), ..Report::default() });
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
    fn convert(&mut self, scope: &Scope, ty: &Type, found: &Type, value: Value, span: Span) -> Option<Value> {
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
            (Value::Signed(number), _) => {
                if let Some(value) = self.in_range(scope, ty, i128::from(*number), span) {
                    return value;
                }
                None
            }
            (Value::Unsigned(number), _) if !matches!(found, Type::Enum { .. }) => {
                if let Some(value) = self.in_range(scope, ty, i128::from(*number), span) {
                    return value;
                }
                None
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

    /// Puts what `arguments` state into the fields of the group `group` of a struct. Whether all of it could be.
    fn fill(
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
    fn fill_field(
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
            let names: Vec<String> =
                this.fields.iter().map(|field| self.names.text(field.name).to_owned()).collect();
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

    fn field_index(&mut self, node: NodeId, shape: &StructShape, group: usize, name: Name) -> Option<usize> {
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
    fn default_bits(&mut self, node: NodeId, group: usize, index: usize) -> u64 {
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

    /// A message that was embedded, as a value; checked to be one.
    fn message(&mut self, scope: &Scope, contents: &[u8], span: Span) -> Option<Value> {
        match crate::request::flatten_message(&contents) {
            Ok(words) => Some(Value::Raw(words)),
            Err(error) => {
                let message = format!("the embedded file is no Cap'n Proto message: {error}");
                self.report(scope.file, Report { kind: ErrorKind::File, span, message, ..Report::default() });
                None
            }
        }
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

/// The first few of many names.
fn shortened(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let mut text = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(", …");
    }
    text
}
