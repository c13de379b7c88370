//! Names into what they stand for.

mod types;

use std::rc::Rc;

use crate::compiler::Compiler;
use crate::diagnostics::{Kind as ErrorKind, Report, most_similar};
use crate::limits::{RESOLUTION_DEPTH, RESOLUTIONS};
use crate::model::{Bindings, Brand, Entity, Node, NodeId, NodeKind, Type};
use crate::names::Name;
use crate::source::{FileId, Place, Span};
use crate::syntax::{ExpressionId, ExpressionKind, Kind};

/// From where a name is looked up.
#[derive(Clone)]
pub(crate) struct Scope {
    pub(crate) node: NodeId,
    /// The file that the expression stands in.
    pub(crate) file: FileId,
    /// What the generic parameters of `node` and the scopes around it are bound to.
    pub(crate) brand: Rc<Brand>,
    pub(crate) implicit: Option<Implicit>,
}

/// The generic parameters in the brackets of a method.
#[derive(Clone)]
pub(crate) struct Implicit {
    pub(crate) names: Rc<[Name]>,
    /// The id of the struct that has them as its own, where the parameters of a method are listed; `None` where
    /// they are named.
    pub(crate) structure: Option<u64>,
}

const BUILT_IN: [(&str, Type); 18] = [
    ("Void", Type::Void),
    ("Bool", Type::Bool),
    ("Int8", Type::Int8),
    ("Int16", Type::Int16),
    ("Int32", Type::Int32),
    ("Int64", Type::Int64),
    ("UInt8", Type::UInt8),
    ("UInt16", Type::UInt16),
    ("UInt32", Type::UInt32),
    ("UInt64", Type::UInt64),
    ("Float32", Type::Float32),
    ("Float64", Type::Float64),
    ("Text", Type::Text),
    ("Data", Type::Data),
    ("AnyPointer", Type::AnyPointer),
    ("AnyStruct", Type::AnyStruct),
    ("AnyList", Type::AnyList),
    ("Capability", Type::Capability),
];

/// What a person may write who comes from another language, and what it is called here.
const FOREIGN: [(&str, &str); 22] = [
    ("Object", "AnyPointer"),
    ("Any", "AnyPointer"),
    ("String", "Text"),
    ("Str", "Text"),
    ("Bytes", "Data"),
    ("Blob", "Data"),
    ("Boolean", "Bool"),
    ("Int", "Int32"),
    ("Integer", "Int32"),
    ("Long", "Int64"),
    ("UInt", "UInt32"),
    ("Byte", "UInt8"),
    ("Float", "Float32"),
    ("Double", "Float64"),
    ("Array", "List"),
    ("Vector", "List"),
    ("Sequence", "List"),
    ("Unit", "Void"),
    ("Empty", "Void"),
    ("Uint8", "UInt8"),
    ("Uint32", "UInt32"),
    ("Uint64", "UInt64"),
];

impl Compiler<'_> {
    /// The scope of a node, seen from within it.
    pub(crate) fn scope_of(&mut self, node: NodeId) -> Scope {
        let brand = self.inner_brand(node);
        Scope { node, file: self.node(node).file, brand, implicit: None }
    }

    fn inner_brand(&mut self, id: NodeId) -> Rc<Brand> {
        if let Some(brand) = self.brands.get(&id) {
            return Rc::clone(brand);
        }
        let node = *self.node(id);
        let parent = node.parent.map(|parent| self.inner_brand(parent));
        let brand =
            Brand { scope: node.id, parameters: node.parameters, bindings: Bindings::Inherited, parent };
        let brand = Rc::new(brand);
        self.brands.insert(id, Rc::clone(&brand));
        brand
    }

    /// What the expression names. `None` if that is nothing, which has been reported.
    pub(crate) fn resolve(&mut self, scope: &Scope, expression: ExpressionId) -> Option<Entity> {
        self.resolutions += 1;
        if self.depth >= RESOLUTION_DEPTH || self.resolutions > RESOLUTIONS {
            let file = self.file(scope.file);
            let span = file.expression(expression).span;
            let message = "this name leads to too many others".into();
            let label =
                format!("followed {} names, {} of them inside each other", self.resolutions, self.depth);
            self.report(
                scope.file,
                Report { kind: ErrorKind::Limit, span, message, label, ..Report::default() },
            );
            return None;
        }
        self.depth += 1;
        let entity = self.resolve_kind(scope, expression);
        self.depth -= 1;
        entity
    }

    fn resolve_kind(&mut self, scope: &Scope, id: ExpressionId) -> Option<Entity> {
        let file = self.file(scope.file);
        let expression = file.expression(id);
        let span = expression.span;
        match &expression.kind {
            ExpressionKind::Invalid => None,
            ExpressionKind::Name(name) => self.lookup(scope, *name, span),
            ExpressionKind::Absolute(name) => {
                let mut top = scope.node;
                while let Some(parent) = self.node(top).parent {
                    top = parent;
                }
                let brand = self.inner_brand(top);
                let Some(found) = self.members.get(&(top, *name)).copied() else {
                    self.unknown(scope, *name, span, Some(top));
                    return None;
                };
                self.enter(found, &brand, span, scope.file)
            }
            ExpressionKind::Import(path) => {
                let path = self.path_text(scope.file, &file, *path, span)?;
                let imported = self.import(scope.file, &path, span)?;
                let node = self.units.get(imported.0 as usize)?.as_ref()?.node;
                let brand = self.inner_brand(node);
                Some(Entity::Node { node, brand })
            }
            ExpressionKind::Member { base, member } => {
                let entity = self.resolve(scope, *base)?;
                let base_span = file.expression(*base).span;
                let found = match &entity {
                    Entity::Node { node, brand } => {
                        self.members.get(&(*node, member.name)).map(|found| (*found, Rc::clone(brand)))
                    }
                    Entity::List | Entity::Type(_) => None,
                };
                let Some((found, brand)) = found else {
                    let shown = self.snippet(scope.file, base_span);
                    let name = self.names.text(member.name).to_owned();
                    let help = match entity {
                        Entity::Node { node, .. } => self.similar_member(node, &name),
                        Entity::List | Entity::Type(_) => None,
                    };
                    let message = format!("`{shown}` has no member named `{name}`");
                    let label = "not declared there".into();
                    let kind = ErrorKind::Unknown;
                    self.report(
                        scope.file,
                        Report { kind, span: member.span, message, label, help, ..Report::default() },
                    );
                    return None;
                };
                self.enter(found, &brand, member.span, scope.file)
            }
            ExpressionKind::Apply { base, arguments } => {
                let entity = self.resolve(scope, *base)?;
                self.apply(scope, entity, arguments, span)
            }
            _ => {
                let message = "expected a name".into();
                let label = "this is a value".into();
                let kind = ErrorKind::Mismatch;
                self.report(scope.file, Report { kind, span, message, label, ..Report::default() });
                None
            }
        }
    }

    pub(crate) fn path_text(
        &mut self,
        file: FileId,
        syntax: &crate::syntax::File,
        path: u32,
        span: Span,
    ) -> Option<String> {
        match std::str::from_utf8(syntax.string(path)) {
            Ok(path) if !path.is_empty() && !path.contains('\0') => Some(path.to_owned()),
            _ => {
                let message = "this is no path".into();
                self.report(file, Report { kind: ErrorKind::File, span, message, ..Report::default() });
                None
            }
        }
    }

    /// What `found` is, declared in the scope whose brand is `around`: the node, or what the alias stands for.
    pub(crate) fn enter(
        &mut self,
        found: NodeId,
        around: &Rc<Brand>,
        at: Span,
        from: FileId,
    ) -> Option<Entity> {
        let node = *self.node(found);
        if node.kind != NodeKind::Alias {
            let brand = Brand {
                scope: node.id,
                parameters: node.parameters,
                bindings: Bindings::Unbound,
                parent: Some(Rc::clone(around)),
            };
            return Some(Entity::Node { node: found, brand: Rc::new(brand) });
        }
        let parent = node.parent?;
        // From within its own scope an alias always stands for the same.
        let inherited = Rc::ptr_eq(around, &self.inner_brand(parent));
        if let Some(known) = self.aliases.get(&found).filter(|_| inherited) {
            return known.clone();
        }
        let file = self.file(node.file);
        let Kind::Using { target } = file.declaration(node.declaration).kind else { return None };
        if !self.open_aliases.insert(found) {
            self.report_circle(node, at, from);
            return None;
        }
        let scope = Scope { node: parent, file: node.file, brand: Rc::clone(around), implicit: None };
        let entity = self.resolve(&scope, target);
        self.open_aliases.remove(&found);
        let entity = entity.map(|entity| match entity {
            // What says nothing about its own parameters is seen through the scope of the alias, whose parameters the
            // reference states beside it.
            Entity::Node { node, brand }
                if brand.stated().next().is_none() && around.stated().next().is_some() =>
            {
                let brand = Brand {
                    scope: brand.scope,
                    parameters: brand.parameters,
                    bindings: Bindings::Unbound,
                    parent: Some(Rc::clone(around)),
                };
                Entity::Node { node, brand: Rc::new(brand) }
            }
            entity => entity,
        });
        if inherited {
            self.aliases.insert(found, entity.clone());
        }
        entity
    }

    fn report_circle(&mut self, node: Node, at: Span, from: FileId) {
        let file = self.file(node.file);
        let name = file.declaration(node.declaration).name;
        let text = name.map_or("", |named| self.names.text(named.name)).to_owned();
        let related = name.map(|named| Place { file: node.file, span: named.span });
        let related = related.map(|place| (place, "declared here".into())).into_iter().collect();
        let message = format!("the alias `{text}` stands for itself");
        let label = "this leads back to the alias".into();
        self.report(from, Report { kind: ErrorKind::Cycle, span: at, message, label, help: None, related });
    }

    fn lookup(&mut self, scope: &Scope, name: Name, span: Span) -> Option<Entity> {
        if let Some(implicit) = &scope.implicit
            && let Some(index) = implicit.names.iter().position(|known| *known == name)
        {
            let index = index as u16;
            return Some(Entity::Type(match implicit.structure {
                Some(scope) => Type::Parameter { scope, index },
                None => Type::Implicit { index },
            }));
        }
        let mut node = Some(scope.node);
        let mut circle = None;
        while let Some(id) = node {
            let found = self.members.get(&(id, name)).copied();
            // Within `using Name = Name`, the second is the one further out.
            if let Some(found) = found.filter(|found| self.open_aliases.contains(found)) {
                circle = circle.or(Some(found));
            } else if let Some(found) = found {
                let around = self.node(id).id;
                let around = match scope.brand.around(around) {
                    Some(brand) => brand,
                    None => self.inner_brand(id),
                };
                return self.enter(found, &around, span, scope.file);
            }
            let parameters = self.parameters.get(&id);
            if let Some(index) = parameters.and_then(|names| names.iter().position(|known| *known == name)) {
                return Some(Entity::Type(scope.brand.binding(self.node(id).id, index as u16)));
            }
            node = self.node(id).parent;
        }
        let text = self.names.text(name);
        if text == "List" {
            return Some(Entity::List);
        }
        if let Some((_, ty)) = BUILT_IN.iter().find(|(known, _)| *known == text) {
            return Some(Entity::Type(ty.clone()));
        }
        match circle {
            Some(alias) => self.report_circle(*self.node(alias), span, scope.file),
            None => self.unknown(scope, name, span, None),
        }
        None
    }

    /// Whether a name is declared in `scope` or around it.
    pub(crate) fn is_declared(&self, scope: &Scope, name: Name) -> bool {
        let mut node = Some(scope.node);
        while let Some(id) = node {
            if self.members.contains_key(&(id, name)) {
                return true;
            }
            node = self.node(id).parent;
        }
        let text = self.names.text(name);
        text == "List" || BUILT_IN.iter().any(|(known, _)| *known == text)
    }

    /// Reports a name that is not declared, and what may have been meant.
    fn unknown(&mut self, scope: &Scope, name: Name, span: Span, only: Option<NodeId>) {
        let text = self.names.text(name).to_owned();
        let message = format!("`{text}` is not defined");
        let label = "not defined in this scope or one around it".into();
        if !self.may_suggest(self.members.len()) {
            let kind = ErrorKind::Unknown;
            self.report(scope.file, Report { kind, span, message, label, ..Report::default() });
            return;
        }
        let mut scopes = Vec::new();
        let mut node = Some(only.unwrap_or(scope.node));
        while let Some(id) = node {
            scopes.push(id);
            node = self.node(id).parent;
        }
        let declared: Vec<&str> = self
            .members
            .keys()
            .filter(|(scope, _)| scopes.contains(scope))
            .map(|(_, name)| self.names.text(*name))
            .chain(BUILT_IN.iter().map(|(name, _)| *name).chain(["List"]).filter(|_| only.is_none()))
            .collect();
        let foreign = FOREIGN.iter().find(|(foreign, _)| *foreign == text).map(|(_, ours)| *ours);
        let elsewhere = || {
            let somewhere = self.members.iter().find(|((scope, known), _)| {
                *known == name && self.node(*scope).file == self.node(scopes[0]).file
            });
            somewhere.map(|(_, node)| format!("write `{}`, where it is declared", self.path_of(*node)))
        };
        let mut declared = declared;
        declared.sort_unstable();
        let help = foreign
            .or_else(|| most_similar(&text, declared.into_iter()))
            .map(|similar| format!("did you mean `{similar}`?"))
            .or_else(elsewhere);
        self.report(
            scope.file,
            Report { kind: ErrorKind::Unknown, span, message, label, help, ..Report::default() },
        );
    }

    fn similar_member(&mut self, node: NodeId, name: &str) -> Option<String> {
        if !self.may_suggest(self.members.len()) {
            return None;
        }
        let mut members: Vec<&str> = self
            .members
            .keys()
            .filter(|(scope, _)| *scope == node)
            .map(|(_, name)| self.names.text(*name))
            .collect();
        members.sort_unstable();
        most_similar(name, members.into_iter()).map(|similar| format!("did you mean `{similar}`?"))
    }

    /// The name of a node with those of the scopes around it, without the file's.
    pub(crate) fn path_of(&self, id: NodeId) -> String {
        let mut parts = Vec::new();
        let mut node = Some(id);
        while let Some(id) = node {
            let this = self.node(id);
            let file = self.file(this.file);
            if let Some(named) = file.declaration(this.declaration).name {
                parts.push(self.names.text(named.name).to_owned());
            }
            node = this.parent;
        }
        parts.reverse();
        parts.join(".")
    }

    /// What the text says at `span`, for a message: shortened if it is long.
    pub(crate) fn snippet(&self, file: FileId, span: Span) -> String {
        const LONGEST: usize = 60;
        let text = self.sources.get(file.0 as usize).map_or(&[][..], |source| &source.text);
        let text = text.get(span.start as usize..span.end as usize).unwrap_or_default();
        let text = String::from_utf8_lossy(text);
        let mut shown: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if shown.chars().count() > LONGEST {
            shown = shown.chars().take(LONGEST).chain(['…']).collect();
        }
        shown
    }
}
