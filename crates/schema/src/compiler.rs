//! The state of one run.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::compiled::Compiled;
use crate::diagnostics::{Collector, Diagnostics, Report};
use crate::files::Files;
use crate::load::Unit;
use crate::model::{Brand, Entity, Node, NodeId, StructShape, Value};
use crate::names::{Name, Names};
use crate::options::Options;
use crate::parser::Words;
use crate::source::{FileId, Place, Source};
use crate::structs::EnumShape;
use crate::syntax::File;
use crate::values::Constant;

/// All that a run knows.
///
/// Each thing is found when it is first needed, and kept: what nothing depends on is never looked at, so that an
/// import costs only what is used of it.
pub(crate) struct Compiler<'a> {
    pub(crate) files: &'a dyn Files,
    pub(crate) options: &'a Options,
    pub(crate) working_directory: PathBuf,
    pub(crate) names: Names,
    pub(crate) words: Words,
    pub(crate) empty_name: Name,
    pub(crate) collector: Collector,
    /// What is left of [`crate::limits::SIMILAR_NAMES`].
    pub(crate) similar_names: usize,

    pub(crate) sources: Vec<Source>,
    /// The parsed files, by [`FileId`]; a file that could not be read has a source but no unit.
    pub(crate) units: Vec<Option<Unit>>,
    pub(crate) by_path: HashMap<(bool, PathBuf), FileId>,
    pub(crate) imports: HashMap<(FileId, String), Option<FileId>>,
    pub(crate) embedded: HashMap<PathBuf, Rc<[u8]>>,
    pub(crate) read_paths: Vec<PathBuf>,
    pub(crate) total_bytes: usize,

    pub(crate) nodes: Vec<Node>,
    pub(crate) members: HashMap<(NodeId, Name), NodeId>,
    pub(crate) parameters: HashMap<NodeId, Rc<[Name]>>,
    pub(crate) ids: HashMap<u64, Place>,
    pub(crate) brands: HashMap<NodeId, Rc<Brand>>,

    /// What aliases stand for, seen from within their scope.
    pub(crate) aliases: HashMap<NodeId, Option<Entity>>,
    pub(crate) open_aliases: HashSet<NodeId>,
    pub(crate) depth: usize,
    pub(crate) resolutions: usize,

    /// What the structs so far took of [`crate::limits::LAYOUT_STEPS`].
    pub(crate) layout_steps: u64,
    pub(crate) shapes: HashMap<NodeId, Rc<StructShape>>,
    pub(crate) enum_shapes: HashMap<NodeId, Rc<EnumShape>>,
    pub(crate) field_indexes: HashMap<NodeId, HashMap<(usize, Name), usize>>,
    pub(crate) constants: HashMap<NodeId, Constant>,
    pub(crate) defaults: HashMap<(NodeId, usize, usize), Option<Value>>,
    pub(crate) value_cost: usize,
    /// How many bytes the names of nodes have so far.
    pub(crate) node_name_bytes: usize,
}

impl<'a> Compiler<'a> {
    pub(crate) fn new(files: &'a dyn Files, options: &'a Options) -> Self {
        let mut names = Names::default();
        let words = Words::new(&mut names);
        let empty_name = names.intern("");
        Self {
            files,
            options,
            working_directory: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            names,
            words,
            empty_name,
            collector: Collector::default(),
            similar_names: crate::limits::SIMILAR_NAMES,
            sources: Vec::new(),
            units: Vec::new(),
            by_path: HashMap::new(),
            imports: HashMap::new(),
            embedded: HashMap::new(),
            read_paths: Vec::new(),
            total_bytes: 0,
            nodes: Vec::new(),
            members: HashMap::new(),
            parameters: HashMap::new(),
            ids: HashMap::new(),
            brands: HashMap::new(),
            aliases: HashMap::new(),
            open_aliases: HashSet::new(),
            depth: 0,
            resolutions: 0,
            layout_steps: 0,
            shapes: HashMap::new(),
            enum_shapes: HashMap::new(),
            field_indexes: HashMap::new(),
            constants: HashMap::new(),
            defaults: HashMap::new(),
            value_cost: 0,
            node_name_bytes: 0,
        }
    }

    pub(crate) fn run<P: AsRef<Path>>(mut self, paths: &[P]) -> Result<Compiled, Diagnostics> {
        let (mut requested, mut seen) = (Vec::new(), HashSet::new());
        for path in paths {
            if let Some(file) = self.load_requested(path.as_ref())
                && seen.insert(file)
            {
                requested.push(file);
            }
        }
        let nodes = self.collect_nodes(&requested);
        let files = self.requested_files(&requested);
        if !self.collector.is_empty() {
            return Err(self.collector.finish(&self.sources));
        }
        match crate::request::write(&nodes, &files, &self.nodes) {
            Ok(message) => Ok(Compiled { message, files: self.read_paths }),
            Err(error) => {
                let message = format!("the request cannot be written: {error}");
                let report = Report { kind: crate::Kind::Limit, message, ..Report::default() };
                self.collector.add(FileId(0), report);
                Err(self.collector.finish(&self.sources))
            }
        }
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    pub(crate) fn file(&self, id: FileId) -> Rc<File> {
        match self.units.get(id.0 as usize).and_then(Option::as_ref) {
            Some(unit) => Rc::clone(&unit.file),
            None => Rc::default(),
        }
    }

    pub(crate) fn report(&mut self, file: FileId, report: Report) {
        self.collector.add(file, report);
    }

    /// Whether to look at `count` names for one that may have been meant: not for errors that are only counted, nor for
    /// ever.
    pub(crate) fn may_suggest(&mut self, count: usize) -> bool {
        if self.collector.is_full() {
            return false;
        }
        let left = self.similar_names.checked_sub(count);
        self.similar_names = left.unwrap_or(0);
        left.is_some()
    }
}
