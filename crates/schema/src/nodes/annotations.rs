//! The uses of annotations.

use super::{Collecting, OutAnnotation};
use crate::compiler::Compiler;
use crate::diagnostics::{Kind as ErrorKind, Report};
use crate::model::{Entity, NodeKind, Type, Value};
use crate::resolve::Scope;
use crate::source::Place;
use crate::syntax::{Annotation, AnnotationValue, Kind, TARGETS};

impl Compiler<'_> {
    /// The annotations `uses`, applied to something that is a `target`.
    pub(super) fn annotations(
        &mut self,
        out: &mut Collecting,
        scope: &Scope,
        uses: &[Annotation],
        target: &str,
    ) -> Vec<OutAnnotation> {
        let mut applied = Vec::with_capacity(uses.len());
        for annotation in uses {
            applied.extend(self.annotation(out, scope, annotation, target));
        }
        applied
    }

    pub(super) fn annotation(
        &mut self,
        out: &mut Collecting,
        scope: &Scope,
        annotation: &Annotation,
        target: &str,
    ) -> Option<OutAnnotation> {
        let file = self.file(scope.file);
        let span = file.expression(annotation.name).span;
        let entity = self.resolve(scope, annotation.name)?;
        let shown = || self.snippet(scope.file, span);
        let (node, brand) = match entity {
            Entity::Node { node, brand } if self.node(node).kind == NodeKind::Annotation => (node, brand),
            Entity::Node { .. } | Entity::List | Entity::Type(_) => {
                let message = format!("`{}` is not an annotation", shown());
                let label = "expected the name of an annotation".into();
                let kind = ErrorKind::Mismatch;
                self.report(scope.file, Report { kind, span, message, label, ..Report::default() });
                return None;
            }
        };
        let shown = shown();
        let declared = *self.node(node);
        let declared_file = self.file(declared.file);
        let declaration = declared_file.declaration(declared.declaration);
        let Kind::Annotation { ty, targets } = declaration.kind else { return None };
        let place = declaration.name.map(|named| Place { file: declared.file, span: named.span });
        let bit = TARGETS.iter().position(|known| *known == target).unwrap_or_default();
        if targets & (1 << bit) == 0 {
            let allowed = TARGETS.iter().enumerate().filter(|(bit, _)| targets & (1 << bit) != 0);
            let allowed: Vec<&str> = allowed.map(|(_, name)| *name).collect();
            let article = |word: &str| {
                if word.starts_with(['a', 'e', 'i', 'u']) && word != "union" { "an" } else { "a" }
            };
            let message = format!("`{shown}` cannot be applied to {} {target}", article(target));
            let related = place.map(|place| (place, format!("applies to: {}", allowed.join(", "))));
            let label = format!("on {} {target}", article(target));
            let related = related.into_iter().collect();
            self.report(
                scope.file,
                Report { kind: ErrorKind::Annotation, span, message, label, help: None, related },
            );
        }
        // Its type is stated in the scope of its declaration, whose generic parameters its user may have bound.
        let parent = declared.parent?;
        let around = brand.parent.clone()?;
        let declared_scope = Scope { node: parent, file: declared.file, brand: around, implicit: None };
        let ty = self.resolve_type(&declared_scope, ty)?;
        out.queue.add(node);
        self.need_brand(out, &brand);
        let value = match annotation.value {
            AnnotationValue::Expression(value) => self.value(scope, &ty, value)?,
            AnnotationValue::None if ty == Type::Void => Value::Void,
            AnnotationValue::None => {
                let name = self.type_name(&ty);
                let message = format!("`{shown}` needs a value");
                let label = format!("expected a value of type {name} in parentheses");
                let related = place.map(|place| (place, "declared here".into())).into_iter().collect();
                let kind = ErrorKind::Annotation;
                self.report(scope.file, Report { kind, span, message, label, help: None, related });
                return None;
            }
        };
        Some(OutAnnotation { id: declared.id, brand, ty, value })
    }
}
