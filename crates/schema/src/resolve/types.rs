//! Names into types, and generic parameters into brands.

use std::rc::Rc;

use super::Scope;
use crate::compiler::Compiler;
use crate::diagnostics::{Kind as ErrorKind, Report};
use crate::limits::TYPE_PARTS;
use crate::model::{Bindings, Brand, Entity, NodeKind, Type};
use crate::source::{Place, Span};
use crate::syntax::{Argument, ExpressionId};

impl Compiler<'_> {
    /// Binds the generic parameters of `entity` to `arguments`.
    pub(super) fn apply(
        &mut self,
        scope: &Scope,
        entity: Entity,
        arguments: &[Argument],
        span: Span,
    ) -> Option<Entity> {
        let mut types = Vec::with_capacity(arguments.len());
        let list = matches!(entity, Entity::List);
        let mut complete = true;
        for argument in arguments {
            if let Some(name) = argument.name {
                let message = "generic parameters have no names here".into();
                let help = Some("leave out the name and the `=`".into());
                self.report(
                    scope.file,
                    Report { kind: ErrorKind::Generic, span: name.span, message, help, ..Report::default() },
                );
            }
            let Some(ty) = self.resolve_type(scope, argument.value) else {
                complete = false;
                continue;
            };
            if !list && !ty.is_bindable() {
                let file = self.file(scope.file);
                let span = file.expression(argument.value).span;
                let shown = self.snippet(scope.file, span);
                let message = format!("`{shown}` cannot be a generic parameter");
                let label = "only pointers can be: Text, Data, lists, structs, interfaces, AnyPointer".into();
                let help = Some("put the value into a struct, and use that".into());
                let kind = ErrorKind::Generic;
                self.report(scope.file, Report { kind, span, message, label, help, ..Report::default() });
                complete = false;
                continue;
            }
            types.push(ty);
        }
        let generic = |this: &mut Self, message: String, label: String| {
            let kind = ErrorKind::Generic;
            this.report(scope.file, Report { kind, span, message, label, ..Report::default() });
            None
        };
        let given = arguments.len();
        match entity {
            Entity::List => {
                if given != 1 {
                    return generic(
                        self,
                        "`List` takes exactly one type".into(),
                        format!("{given} are given"),
                    );
                }
                let element = types.pop()?;
                let refused = match element {
                    Type::AnyPointer | Type::Parameter { .. } | Type::Implicit { .. } => "AnyPointer",
                    Type::AnyStruct => "AnyStruct",
                    _ => return Some(Entity::Type(Type::List(Rc::new(element)))),
                };
                let kind = ErrorKind::Generic;
                let message = format!("`List({refused})` does not exist");
                let label = "the elements of a list all have one layout".into();
                let help = Some("use a list of a struct with an AnyPointer in it, or AnyList".into());
                self.report(scope.file, Report { kind, span, message, label, help, ..Report::default() });
                None
            }
            Entity::Type(_) => {
                let shown = self.snippet(scope.file, span);
                let message = format!("`{shown}`: this type takes no generic parameters");
                generic(self, message, "remove the parentheses".into())
            }
            Entity::Node { node, brand } => {
                if !matches!(brand.bindings, Bindings::Unbound) {
                    return generic(self, "generic parameters are given twice".into(), "given before".into());
                }
                let wanted = brand.parameters;
                if given != wanted {
                    let name = self.path_of(node);
                    let message = if wanted == 0 {
                        format!("`{name}` takes no generic parameters")
                    } else {
                        let plural = if wanted == 1 { "" } else { "s" };
                        format!("`{name}` takes {wanted} generic parameter{plural}, {given} given")
                    };
                    let declared = self.node(node);
                    let file = self.file(declared.file);
                    let declared_at = file
                        .declaration(declared.declaration)
                        .name
                        .map(|named| Place { file: declared.file, span: named.span });
                    let related =
                        declared_at.map(|place| (place, "declared here".into())).into_iter().collect();
                    let report =
                        Report { kind: ErrorKind::Generic, span, message, related, ..Report::default() };
                    self.report(scope.file, report);
                    return None;
                }
                if !complete {
                    return None;
                }
                let brand = Brand {
                    scope: brand.scope,
                    parameters: brand.parameters,
                    bindings: Bindings::To(types),
                    parent: brand.parent.clone(),
                };
                Some(Entity::Node { node, brand: Rc::new(brand) })
            }
        }
    }

    /// The type that the expression names. `None` if that is none, which has been reported.
    pub(crate) fn resolve_type(&mut self, scope: &Scope, expression: ExpressionId) -> Option<Type> {
        let entity = self.resolve(scope, expression)?;
        let file = self.file(scope.file);
        let span = file.expression(expression).span;
        match entity {
            Entity::Type(ty) => self.measured(scope, ty, span),
            Entity::List => {
                let message = "`List` takes exactly one type".into();
                let label = "none is given".into();
                let help = Some("write what it is a list of: `List(Text)`".into());
                let kind = ErrorKind::Generic;
                self.report(scope.file, Report { kind, span, message, label, help, ..Report::default() });
                None
            }
            Entity::Node { node, brand } => match self.node(node).kind {
                NodeKind::Enum => self.measured(scope, Type::Enum { node, brand }, span),
                NodeKind::Struct => self.measured(scope, Type::Struct { node, brand }, span),
                NodeKind::Interface => self.measured(scope, Type::Interface { node, brand }, span),
                kind => {
                    let shown = self.snippet(scope.file, span);
                    let is = match kind {
                        NodeKind::File => "a file",
                        NodeKind::Const => "a constant",
                        NodeKind::Annotation => "an annotation",
                        NodeKind::Alias | NodeKind::Enum | NodeKind::Struct | NodeKind::Interface => {
                            "something else"
                        }
                    };
                    let message = format!("`{shown}` is not a type");
                    let label = format!("this is {is}");
                    let kind = ErrorKind::Mismatch;
                    self.report(scope.file, Report { kind, span, message, label, ..Report::default() });
                    None
                }
            },
        }
    }

    /// Counts the parts of a type against the bounds: those of one type, and those of the run.
    pub(super) fn measured(&mut self, scope: &Scope, ty: Type, span: Span) -> Option<Type> {
        let mut parts = 0;
        count_parts(&ty, &mut parts);
        self.resolutions += parts;
        if parts <= TYPE_PARTS {
            return Some(ty);
        }
        let message = format!("this type has more than {TYPE_PARTS} parts");
        let label = "generic parameters, and theirs, written out".into();
        self.report(scope.file, Report { kind: ErrorKind::Limit, span, message, label, ..Report::default() });
        None
    }
}

/// Counts the generic parameters in a type, theirs too, up to what is too many.
fn count_parts(ty: &Type, parts: &mut usize) {
    *parts += 1;
    match ty {
        Type::List(element) if *parts <= TYPE_PARTS => count_parts(element, parts),
        Type::Enum { brand, .. } | Type::Struct { brand, .. } | Type::Interface { brand, .. } => {
            for scope in brand.stated() {
                let Bindings::To(types) = &scope.bindings else { continue };
                for ty in types {
                    if *parts > TYPE_PARTS {
                        return;
                    }
                    count_parts(ty, parts);
                }
            }
        }
        _ => {}
    }
}
