//! Files into nodes: finding and parsing what is imported, ids, and what is wrong with declarations by themselves.

use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use crate::compiler::Compiler;
use crate::diagnostics::{Kind as ErrorKind, Report};
use crate::limits::{EMBED_BYTES, FILE_BYTES, FILES, TOTAL_BYTES};
use crate::model::NodeId;
use crate::parser::parse;
use crate::source::{FileId, Source, Span};
use crate::standard;
use crate::syntax::File;

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

/// The root that an absolute path starts at.
fn root_of(path: &Path) -> PathBuf {
    path.components().take_while(|part| matches!(part, Component::Prefix(_) | Component::RootDir)).collect()
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
                Err(_) => (root_of(&normal), with_slashes(&normal)),
            }
        } else {
            match normal.components().next() {
                Some(Component::ParentDir) => (root_of(&absolute), with_slashes(&absolute)),
                _ => (PathBuf::new(), with_slashes(&normal)),
            }
        };
        let location = (Some(root), name);
        match self.load(&location) {
            Ok(Some(file)) => Some(file),
            Ok(None) => {
                self.report_path(path, "there is no such file");
                None
            }
            Err(message) => {
                self.report_path(path, &message);
                None
            }
        }
    }

    /// Something is wrong with a path that the caller gave: there is no text to point at.
    fn report_path(&mut self, path: &Path, message: &str) {
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
        self.total_bytes += text.len();
        if self.total_bytes > TOTAL_BYTES {
            return Err(format!("all files together have more than {TOTAL_BYTES} bytes"));
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
}
