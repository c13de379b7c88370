//! Files into nodes: finding and parsing what is imported, ids, and what is wrong with declarations by themselves.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use crate::compiler::Compiler;
use crate::diagnostics::{Kind as ErrorKind, Report};
use crate::limits::{EMBED_BYTES, FILE_BYTES, FILES};
use crate::model::{Node, NodeId, NodeKind};
use crate::names::Name;
use crate::parser::parse;
use crate::source::{FileId, Place, Source, Span};
use crate::standard;
use crate::syntax::{Declaration, DeclarationId, File, Kind, Named};

/// A file that takes part.
#[derive(Debug)]
pub(crate) struct Unit {
    /// The directory that its name counts from; `None` for a built-in file.
    root: Option<PathBuf>,
    /// Its name in that directory, with slashes.
    pub(crate) name: String,
    pub(crate) file: Rc<File>,
    pub(crate) node: NodeId,
}

/// Where something was looked for: the root and the name in it.
type Location = (Option<PathBuf>, String);

/// Makes `a/./b/../c` to `a/c`. What leads out of the start stays in front.
fn normalize(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => match out.components().next_back() {
                Some(Component::Normal(_)) => {
                    out.pop();
                }
                Some(Component::RootDir | Component::Prefix(_)) => {}
                _ => out.push(".."),
            },
            other => out.push(other),
        }
    }
    out
}

fn with_slashes(path: &Path) -> String {
    let parts: Vec<_> = path
        .components()
        .filter_map(|component| match component {
            Component::Normal(part) => Some(part.to_string_lossy()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect();
    parts.join("/")
}

impl Compiler<'_> {
    /// Loads a file that the caller named.
    pub(crate) fn load_requested(&mut self, path: &Path) -> Option<FileId> {
        let normal = normalize(path);
        let absolute = self.absolute(&normal);
        let prefix = self
            .options
            .source_prefixes
            .iter()
            .filter(|prefix| absolute.starts_with(self.absolute(prefix)) && absolute != self.absolute(prefix))
            .max_by_key(|prefix| self.absolute(prefix).components().count());
        let (root, name) = if let Some(prefix) = prefix {
            let name = absolute.strip_prefix(self.absolute(prefix)).unwrap_or(&absolute);
            (prefix.clone(), with_slashes(name))
        } else if normal.is_absolute() {
            match normal.strip_prefix(&self.working_directory) {
                Ok(name) => (PathBuf::new(), with_slashes(name)),
                Err(_) => (PathBuf::from("/"), with_slashes(&normal)),
            }
        } else {
            match normal.components().next() {
                Some(Component::ParentDir) => (PathBuf::from("/"), with_slashes(&absolute)),
                _ => (PathBuf::new(), with_slashes(&normal)),
            }
        };
        let location = (Some(root), name);
        match self.load(&location) {
            Ok(Some(file)) => Some(file),
            Ok(None) => {
                self.report_path(path, "there is no such file".into());
                None
            }
            Err(message) => {
                self.report_path(path, message);
                None
            }
        }
    }

    /// Something is wrong with a path that the caller gave: there is no text to point at.
    fn report_path(&mut self, path: &Path, message: String) {
        let file = FileId(self.sources.len() as u32);
        self.sources.push(Source { path: path.to_path_buf(), text: Vec::new() });
        let message = format!("cannot compile {}: {message}", path.display());
        self.collector.add(file, Report { kind: ErrorKind::File, message, ..Report::default() });
    }

    fn absolute(&self, path: &Path) -> PathBuf {
        if path.is_absolute() { normalize(path) } else { normalize(&self.working_directory.join(path)) }
    }

    /// The file that `path` names when `from` imports it. What is wrong is told at `span`.
    pub(crate) fn import(&mut self, from: FileId, path: &str, span: Span) -> Option<FileId> {
        if let Some(known) = self.imports.get(&(from, path.to_owned())) {
            return *known;
        }
        let locations = self.locations(from, path);
        let mut found = None;
        let mut problem = None;
        for location in locations {
            match self.load(&location) {
                Ok(None) => {}
                Ok(Some(file)) => {
                    found = Some(file);
                    break;
                }
                Err(message) => {
                    problem = Some(message);
                    break;
                }
            }
        }
        if found.is_none() {
            let message = match problem {
                Some(problem) => format!("cannot import \"{path}\": {problem}"),
                None => format!("cannot import \"{path}\": there is no such file"),
            };
            let help = if !path.starts_with('/') {
                "the path counts from the directory of this file; one that starts with a slash is looked for in the \
                 import paths"
            } else if self.options.import_paths.is_empty() {
                "a path that starts with a slash is looked for in the import paths, and none are given"
            } else {
                "a path that starts with a slash is looked for in the import paths"
            };
            let help = Some(help.into());
            self.report(from, Report { kind: ErrorKind::File, span, message, help, ..Report::default() });
        }
        self.imports.insert((from, path.to_owned()), found);
        found
    }

    /// Where to look for what `from` calls `path`.
    fn locations(&self, from: FileId, path: &str) -> Vec<Location> {
        if let Some(name) = path.strip_prefix('/') {
            let name = with_slashes(&normalize(Path::new(name)));
            let roots = self.options.import_paths.iter().map(|root| Some(root.clone()));
            return roots.chain([None]).map(|root| (root, name.clone())).collect();
        }
        let Some(unit) = self.units.get(from.0 as usize).and_then(Option::as_ref) else { return Vec::new() };
        let directory = Path::new(&unit.name).parent().unwrap_or(Path::new(""));
        vec![(unit.root.clone(), with_slashes(&normalize(&directory.join(path))))]
    }

    /// Reads what is at `location`, unless it is there already. `Ok(None)` if nothing is there.
    fn load(&mut self, location: &Location) -> Result<Option<FileId>, String> {
        let (root, name) = location;
        let shown = match root {
            Some(root) => root.join(name),
            None => PathBuf::from(format!("/{name}")),
        };
        let key = (root.is_none(), if root.is_none() { shown.clone() } else { self.absolute(&shown) });
        if let Some(file) = self.by_path.get(&key) {
            return Ok(Some(*file));
        }
        let text = match root {
            Some(_) => match self.files.read(&shown) {
                Ok(Some(text)) => text,
                Ok(None) => return Ok(None),
                Err(error) => return Err(error.to_string()),
            },
            None => match self.built_in(&shown) {
                Some(text) => text.as_bytes().to_vec(),
                None => return Ok(None),
            },
        };
        if root.is_some() {
            self.read_paths.push(shown.clone());
        }
        if text.len() > FILE_BYTES {
            return Err(format!("it has {} bytes, and a schema may have {FILE_BYTES}", text.len()));
        }
        if self.sources.len() >= FILES {
            return Err(format!("more than {FILES} files take part"));
        }
        let file = FileId(self.sources.len() as u32);
        self.by_path.insert(key, file);
        self.parse(file, root.clone(), name.clone(), shown, text);
        Ok(Some(file))
    }

    fn built_in(&self, name: &Path) -> Option<&str> {
        let given = self.options.built_in.iter().find(|(known, _)| Path::new(known) == name);
        let given = given.map(|(_, text)| text.as_str());
        let standard = || self.options.standard_imports.then(|| standard::text(name)).flatten();
        given.or_else(standard)
    }

    /// The contents of what `from` embeds as `path`.
    pub(crate) fn embed(&mut self, from: FileId, path: &str, span: Span) -> Option<Rc<[u8]>> {
        let mut problem = "there is no such file".to_owned();
        for (root, name) in self.locations(from, path) {
            let Some(root) = root else { continue };
            let shown = root.join(name);
            if let Some(known) = self.embedded.get(&shown) {
                return Some(Rc::clone(known));
            }
            match self.files.read(&shown) {
                Ok(None) => {}
                Ok(Some(contents)) if contents.len() > EMBED_BYTES => {
                    problem = format!("it has {} bytes, and {EMBED_BYTES} may be embedded", contents.len());
                    break;
                }
                Ok(Some(contents)) => {
                    let contents: Rc<[u8]> = contents.into();
                    self.read_paths.push(shown.clone());
                    self.embedded.insert(shown, Rc::clone(&contents));
                    return Some(contents);
                }
                Err(error) => {
                    problem = error.to_string();
                    break;
                }
            }
        }
        let message = format!("cannot embed \"{path}\": {problem}");
        self.report(from, Report { kind: ErrorKind::File, span, message, ..Report::default() });
        None
    }

    fn parse(&mut self, id: FileId, root: Option<PathBuf>, name: String, path: PathBuf, text: Vec<u8>) {
        let collector = &mut self.collector;
        let mut report = |report| collector.add(id, report);
        let file = Rc::new(parse(&text, &mut self.names, &self.words, &mut report));
        self.sources.push(Source { path, text });
        let node = NodeId(self.nodes.len() as u32);
        self.units.resize_with(id.0 as usize, || None);
        self.units.push(Some(Unit { root, name, file: Rc::clone(&file), node }));
        self.declare_file(id, &file);
    }

    fn declare_file(&mut self, id: FileId, file: &File) {
        let declaration = file.declaration(file.root());
        let own = match declaration.id {
            Some(number) => number.value,
            None => {
                // Anything that is different next time.
                let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), id.0) | 1 << 63;
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
            }
        };
        let node = Node {
            kind: NodeKind::File,
            file: id,
            declaration: file.root(),
            parent: None,
            id: own,
            parameters: 0,
            generic: false,
        };
        let node = self.add_node(node, Some(declaration.id.map(|number| number.span).unwrap_or_default()));
        self.declare_children(id, file, node, file.root());
    }

    /// Adds a node, and claims its id for the place `claimed`.
    fn add_node(&mut self, node: Node, claimed: Option<Span>) -> NodeId {
        let id = NodeId(self.nodes.len() as u32);
        self.nodes.push(node);
        if let Some(span) = claimed.filter(|_| node.kind != NodeKind::Alias) {
            self.claim_id(node.id, Place { file: node.file, span });
        }
        id
    }

    /// Notes that `id` is used at `place`, and complains if it is used elsewhere.
    pub(crate) fn claim_id(&mut self, id: u64, place: Place) {
        if let Some(first) = self.ids.get(&id).copied() {
            if first == place {
                return;
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
        } else {
            self.ids.insert(id, place);
        }
    }

    /// Declares what stands in the block of `declaration`, which is `node` or a part of it.
    fn declare_children(&mut self, id: FileId, file: &File, node: NodeId, declaration: DeclarationId) {
        let mut seen = HashMap::new();
        let mut unnamed = None;
        self.declare_scope(id, file, node, declaration, &mut seen, &mut unnamed);
    }

    fn declare_scope(
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
            match child.name {
                Some(named) => self.check_name(id, file, child, named, seen),
                // The members of an unnamed union are members of the scope around it.
                None => {
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
                    self.declare_scope(id, file, node, *child_id, seen, unnamed);
                    continue;
                }
            }
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
            let Some(named) = child.name else { continue };
            let parent = self.nodes[node.0 as usize];
            let own = match (kind, child.id) {
                (NodeKind::Alias, _) => 0,
                (_, Some(number)) => number.value,
                (_, None) => crate::ids::of_child(parent.id, self.names.text(named.name)),
            };
            let parameters = child.parameters.len();
            let added = Node {
                kind,
                file: id,
                declaration: *child_id,
                parent: Some(node),
                id: own,
                parameters,
                generic: parent.generic || parameters > 0,
            };
            let at = child.id.map_or(named.span, |number| number.span);
            // A second one of the same name has been reported as that; that its derived id is the same as well is no news.
            let again = child.id.is_none() && self.members.contains_key(&(node, named.name));
            let added = self.add_node(added, (!again).then_some(at));
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

    fn declare_parameters(&mut self, id: FileId, file: &File, method: &crate::syntax::Method) {
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

    fn check_duplicate(&mut self, id: FileId, named: Named, seen: &mut HashMap<Name, Span>) {
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

    fn check_name(
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
    fn alias_is_type(&self, file: &File, target: crate::syntax::ExpressionId) -> Option<bool> {
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
