//! Declarations into nodes: their names, scopes and ids, and what is wrong with them by themselves.

use std::collections::HashMap;

use crate::compiler::Compiler;
use crate::diagnostics::{Kind as ErrorKind, Report};
use crate::ids;
use crate::model::{Node, NodeId, NodeKind};
use crate::names::Name;
use crate::source::{FileId, Place, Span};
use crate::syntax::{Declaration, DeclarationId, File, Kind, Named};

impl Compiler<'_> {
    pub(crate) fn declare_file(&mut self, id: FileId, file: &File) {
        let declaration = file.declaration(File::ROOT);
        let own = if let Some(number) = declaration.id {
            number.value
        } else {
            let random = ids::new_id();
            let help = format!("put this in front, with a new id made for this file: `@{random:#018x};`");
            self.report(
                id,
                Report {
                    kind: ErrorKind::Id,
                    message: "the file has no id".into(),
                    label: "expected an id before the first declaration".into(),
                    help: Some(help),
                    ..Report::default()
                },
            );
            random
        };
        let node = Node {
            kind: NodeKind::File,
            file: id,
            declaration: File::ROOT,
            parent: None,
            id: own,
            own_id: true,
            parameters: 0,
            generic: false,
        };
        let node = self.add_node(node, Some(declaration.id.map(|number| number.span).unwrap_or_default()));
        self.declare_children(id, file, node, File::ROOT);
    }

    /// Adds a node, and claims its id for the place `claimed`.
    pub(crate) fn add_node(&mut self, mut node: Node, claimed: Option<Span>) -> NodeId {
        let id = NodeId(self.nodes.len() as u32);
        if node.kind != NodeKind::Alias {
            node.own_id = claimed.is_some_and(|span| self.claim_id(node.id, Place { file: node.file, span }));
        }
        self.nodes.push(node);
        id
    }

    /// Notes that `id` is used at `place`, and complains if it is used elsewhere. Whether it is used there alone.
    pub(crate) fn claim_id(&mut self, id: u64, place: Place) -> bool {
        if let Some(first) = self.ids.get(&id).copied() {
            if first == place {
                return true;
            }
            let related = vec![(first, "first used here".into())];
            let message = format!("the id @{id:#018x} is used twice");
            let label = "used again here".into();
            let help = Some(
                "an id belongs to one declaration: leave it out to have one derived, or make a new one"
                    .into(),
            );
            self.report(
                place.file,
                Report { kind: ErrorKind::Id, span: place.span, message, label, help, related },
            );
            false
        } else {
            self.ids.insert(id, place);
            true
        }
    }

    /// Declares what stands in the block of `declaration`, which is `node` or a part of it.
    pub(crate) fn declare_children(
        &mut self,
        id: FileId,
        file: &File,
        node: NodeId,
        declaration: DeclarationId,
    ) {
        let mut seen = HashMap::new();
        let mut unnamed = None;
        self.declare_scope(id, file, node, declaration, &mut seen, &mut unnamed);
    }

    pub(crate) fn declare_scope(
        &mut self,
        id: FileId,
        file: &File,
        node: NodeId,
        declaration: DeclarationId,
        seen: &mut HashMap<Name, Span>,
        unnamed: &mut Option<Span>,
    ) {
        for child_id in &file.declaration(declaration).children {
            let child = file.declaration(*child_id);
            let Some(named) = child.name else {
                let at = Span { start: child.span.start, end: child.span.start + "union".len() as u32 };
                if matches!(file.declaration(declaration).kind, Kind::Union) {
                    let message = "a union cannot contain an unnamed union".into();
                    let help = Some("give the inner one a name: `name :union {`".into());
                    let label = "unnamed union in a union".into();
                    let kind = ErrorKind::Members;
                    self.report(id, Report { kind, span: at, message, label, help, ..Report::default() });
                } else if let Some(first) = unnamed.replace(at) {
                    self.report(
                        id,
                        Report {
                            kind: ErrorKind::Duplicate,
                            span: at,
                            message: "this scope has two unnamed unions".into(),
                            label: "a second unnamed union".into(),
                            help: Some("give one of them a name: `name :union {`".into()),
                            related: vec![(Place { file: id, span: first }, "the first one".into())],
                        },
                    );
                }
                // Its members are members of the scope around it.
                self.declare_scope(id, file, node, *child_id, seen, unnamed);
                continue;
            };
            self.check_name(id, file, child, named, seen);
            let kind = match child.kind {
                Kind::Using { .. } => NodeKind::Alias,
                Kind::Const { .. } => NodeKind::Const,
                Kind::Enum => NodeKind::Enum,
                Kind::Struct => NodeKind::Struct,
                Kind::Interface { .. } => NodeKind::Interface,
                Kind::Annotation { .. } => NodeKind::Annotation,
                Kind::Union | Kind::Group => {
                    self.declare_children(id, file, node, *child_id);
                    continue;
                }
                Kind::Method(ref method) => {
                    self.declare_parameters(id, file, method);
                    continue;
                }
                Kind::File | Kind::Enumerant | Kind::Field { .. } => continue,
            };
            let parent = self.nodes[node.0 as usize];
            let own = match (kind, child.id) {
                (NodeKind::Alias, _) => 0,
                (_, Some(number)) => number.value,
                (_, None) => ids::of_child(parent.id, self.names.text(named.name)),
            };
            let parameters = child.parameters.len();
            let added = Node {
                kind,
                file: id,
                declaration: *child_id,
                parent: Some(node),
                id: own,
                own_id: true,
                parameters,
                generic: parent.generic || parameters > 0,
            };
            let at = child.id.map_or(named.span, |number| number.span);
            // A second one of the same name has been reported as that; that its derived id is the same as well is no news, nor
            // that those are the same which are derived of an id that is there twice.
            let known = !parent.own_id || self.members.contains_key(&(node, named.name));
            let added = self.add_node(added, (child.id.is_some() || !known).then_some(at));
            self.members.entry((node, named.name)).or_insert(added);
            let parameters = child.parameters.iter().map(|named| named.name).collect::<Vec<_>>();
            if !parameters.is_empty() {
                self.parameters.insert(added, parameters.into());
                let mut seen = HashMap::new();
                for parameter in &child.parameters {
                    self.check_duplicate(id, *parameter, &mut seen);
                }
            }
            if !matches!(kind, NodeKind::Alias | NodeKind::Const | NodeKind::Annotation) {
                self.declare_children(id, file, added, *child_id);
            }
        }
    }

    pub(crate) fn declare_parameters(&mut self, id: FileId, file: &File, method: &crate::syntax::Method) {
        for side in [&method.parameters, &method.results] {
            if let crate::syntax::Parameters::List { fields } = side {
                let mut seen = HashMap::new();
                for field in fields {
                    let field = file.declaration(*field);
                    if let Some(named) = field.name {
                        self.check_duplicate(id, named, &mut seen);
                    }
                }
            }
        }
    }

    pub(crate) fn check_duplicate(&mut self, id: FileId, named: Named, seen: &mut HashMap<Name, Span>) {
        if let Some(first) = seen.get(&named.name).copied() {
            let text = self.names.text(named.name).to_owned();
            self.report(
                id,
                Report {
                    kind: ErrorKind::Duplicate,
                    span: named.span,
                    message: format!("`{text}` is already defined in this scope"),
                    label: "defined again here".into(),
                    help: None,
                    related: vec![(
                        Place { file: id, span: first },
                        format!("`{text}` is first defined here"),
                    )],
                },
            );
        } else {
            seen.insert(named.name, named.span);
        }
    }

    pub(crate) fn check_name(
        &mut self,
        id: FileId,
        file: &File,
        declaration: &Declaration,
        named: Named,
        seen: &mut HashMap<Name, Span>,
    ) {
        self.check_duplicate(id, named, seen);
        let text = self.names.text(named.name).to_owned();
        let first = text.chars().next().unwrap_or('a');
        let is_type = match &declaration.kind {
            Kind::Enum | Kind::Struct | Kind::Interface { .. } => Some(true),
            Kind::Using { target } => self.alias_is_type(file, *target),
            _ => Some(false),
        };
        let (what, wanted) = match is_type {
            Some(true) => ("a type", first.to_ascii_uppercase()),
            Some(false) => ("anything but a type", first.to_ascii_lowercase()),
            None => ("an alias", first),
        };
        let better = || camel_case(&text, wanted);
        let (message, help) = if text.contains('_') {
            let message = format!("`{text}` has an underscore: names are written in camelCase");
            let help = "code generators write names in the style of their language";
            (message, format!("write `{}`; {help}", better()))
        } else if wanted != first {
            let case = if wanted.is_ascii_uppercase() { "a capital" } else { "a lower-case" };
            (format!("the name of {what} starts with {case} letter"), format!("write `{}`", better()))
        } else {
            return;
        };
        let label = String::new();
        let report = Report {
            kind: ErrorKind::NameStyle,
            span: named.span,
            message,
            label,
            help: Some(help),
            ..Report::default()
        };
        self.report(id, report);
    }

    /// Whether what an alias stands for is written as a type: `None` if its name says nothing.
    pub(crate) fn alias_is_type(&self, file: &File, target: crate::syntax::ExpressionId) -> Option<bool> {
        use crate::syntax::ExpressionKind as Expression;
        let name = match &file.expression(target).kind {
            Expression::Name(name) | Expression::Absolute(name) => *name,
            Expression::Member { member, .. } => member.name,
            Expression::Apply { base, .. } => return self.alias_is_type(file, *base),
            Expression::Import(_) => return Some(true),
            _ => return None,
        };
        Some(self.names.text(name).starts_with(|first: char| first.is_ascii_uppercase()))
    }
}

fn camel_case(text: &str, first: char) -> String {
    let mut out = String::with_capacity(text.len());
    let mut upper = false;
    for character in text.chars() {
        if character == '_' {
            upper = !out.is_empty();
        } else if out.is_empty() {
            out.push(if first.is_ascii_uppercase() {
                character.to_ascii_uppercase()
            } else {
                character.to_ascii_lowercase()
            });
        } else if std::mem::take(&mut upper) {
            out.push(character.to_ascii_uppercase());
        } else {
            out.push(character);
        }
    }
    out
}
