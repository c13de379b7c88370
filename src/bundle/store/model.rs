//! A disk that can be stopped between any two steps, and that then loses what was not synced.
//!
//! It keeps two states: what programs see, and what is on disk for certain. A file's bytes become certain when the file is synced,
//! and a name when the directory that has it is.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use super::disk::{Disk, DiskFile, Whole};

/// What is left of what was not synced when power is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// Nothing.
    Everything,
    /// The names, and of the files' bytes none.
    Content,
    /// The first half of the unsynced bytes, and the names.
    HalfOfContent,
    /// All of it: only the process was lost.
    Nothing,
}

impl Loss {
    pub(super) const ALL: [Self; 4] = [Self::Everything, Self::Content, Self::HalfOfContent, Self::Nothing];
}

#[derive(Clone, Debug, Default)]
pub(super) struct ModelDisk(Arc<Mutex<Model>>);

#[derive(Debug, Default)]
struct Model {
    seen: BTreeMap<String, Node>,
    certain: BTreeMap<String, Node>,
    /// Steps that change something, so far.
    steps: u64,
    /// The step at which it stops.
    stop_at: Option<u64>,
    /// The step from which on it can only be read.
    read_only_from: Option<u64>,
    /// Bytes that may still be written.
    room_bytes: Option<u64>,
    /// It cannot be synced as a whole.
    only_one_by_one: bool,
    /// How often it was, and how often something of it.
    wholes: u64,
    singles: u64,
}

#[derive(Clone, Debug)]
enum Node {
    Directory,
    File(Arc<Mutex<Bytes>>),
}

#[derive(Debug, Default)]
struct Bytes {
    seen: Vec<u8>,
    certain: Vec<u8>,
}

impl ModelDisk {
    fn model(&self) -> MutexGuard<'_, Model> {
        self.0.lock().unwrap()
    }

    /// How many steps have changed something.
    pub(super) fn steps(&self) -> u64 {
        self.model().steps
    }

    /// Has it be one of which files and directories are synced one by one.
    pub(super) fn sync_one_by_one(&self) {
        self.model().only_one_by_one = true;
    }

    /// How often it was synced as a whole, and how often a file or a directory of it.
    pub(super) fn syncs(&self) -> (u64, u64) {
        let model = self.model();
        (model.wholes, model.singles)
    }

    /// Has every step fail from number `step` on.
    pub(super) fn stop_at(&self, step: u64) {
        self.model().stop_at = Some(step);
    }

    /// Lets it only be read from step `step` on, or again be changed.
    pub(super) fn set_read_only(&self, from: Option<u64>) {
        self.model().read_only_from = from;
    }

    /// Lets so many more bytes be written.
    pub(super) fn set_room(&self, bytes: u64) {
        self.model().room_bytes = Some(bytes);
    }

    /// The disk as the next process finds it.
    pub(super) fn after(&self, loss: Loss) -> Self {
        let model = self.model();
        let names = if loss == Loss::Everything { &model.certain } else { &model.seen };
        let mut there = BTreeMap::new();
        for (path, node) in names {
            let whole = parent(path).is_none_or(|parent| there.contains_key(parent));
            if !whole {
                continue;
            }
            let node = match node {
                Node::Directory => Node::Directory,
                Node::File(bytes) => {
                    let bytes = bytes.lock().unwrap();
                    let left = match loss {
                        Loss::Everything | Loss::Content => bytes.certain.clone(),
                        Loss::HalfOfContent => {
                            let half = usize::midpoint(bytes.certain.len(), bytes.seen.len());
                            bytes.seen[..half].to_vec()
                        }
                        Loss::Nothing => bytes.seen.clone(),
                    };
                    Node::File(Arc::new(Mutex::new(Bytes { seen: left.clone(), certain: left })))
                }
            };
            there.insert(path.clone(), node);
        }
        Self(Arc::new(Mutex::new(Model { seen: there.clone(), certain: there, ..Model::default() })))
    }

    /// The files, by path.
    pub(super) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let model = self.model();
        let files = model.seen.iter().filter_map(|(path, node)| match node {
            Node::Directory => None,
            Node::File(bytes) => Some((path.clone(), bytes.lock().unwrap().seen.clone())),
        });
        files.collect()
    }

    /// Changes a file behind the store's back.
    pub(super) fn tamper(&self, path: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let model = self.model();
        let Some(Node::File(bytes)) = model.seen.get(path) else { panic!("{path}") };
        change(&mut bytes.lock().unwrap().seen);
    }
}

impl Model {
    fn step(&mut self) -> io::Result<()> {
        if self.stop_at.is_some_and(|stop_at| self.steps >= stop_at) {
            return Err(io::Error::other("the power is gone"));
        }
        if self.read_only_from.is_some_and(|from| self.steps >= from) {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        self.steps += 1;
        Ok(())
    }

    fn is_directory(&self, path: &str) -> bool {
        path.is_empty() || matches!(self.seen.get(path), Some(Node::Directory))
    }

    fn add(&mut self, path: &str, node: Node) -> io::Result<()> {
        if !self.is_directory(parent(path).unwrap_or("")) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.seen.insert(path.to_owned(), node);
        Ok(())
    }
}

fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(parent, _)| parent)
}

fn is_in(path: &str, directory: &str) -> bool {
    parent(path).unwrap_or("") == directory
}

impl Disk for ModelDisk {
    fn create_directory(&self, path: &str) -> io::Result<bool> {
        let mut model = self.model();
        model.step()?;
        if model.is_directory(path) {
            return Ok(false);
        }
        model.add(path, Node::Directory)?;
        Ok(true)
    }

    fn names(&self, path: &str) -> io::Result<Vec<String>> {
        let model = self.model();
        if !model.is_directory(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let names = model.seen.keys().filter(|name| is_in(name, path));
        Ok(names.map(|name| name.rsplit('/').next().unwrap().to_owned()).collect())
    }

    fn create(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut model = self.model();
        model.step()?;
        if model.seen.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let bytes = Arc::<Mutex<Bytes>>::default();
        model.add(path, Node::File(bytes.clone()))?;
        Ok(Box::new(ModelFile { disk: self.clone(), bytes }))
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn DiskFile>> {
        match self.model().seen.get(path) {
            Some(Node::File(bytes)) => Ok(Box::new(ModelFile { disk: self.clone(), bytes: bytes.clone() })),
            Some(Node::Directory) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut model = self.model();
        model.step()?;
        let node = model.seen.remove(from).ok_or(io::ErrorKind::NotFound)?;
        model.add(to, node)
    }

    fn remove_file(&self, path: &str) -> io::Result<()> {
        let mut model = self.model();
        model.step()?;
        match model.seen.get(path) {
            Some(Node::File(_)) => model.seen.remove(path),
            Some(Node::Directory) => return Err(io::ErrorKind::IsADirectory.into()),
            None => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(())
    }

    fn remove_directory(&self, path: &str) -> io::Result<()> {
        let mut model = self.model();
        model.step()?;
        if model.seen.keys().any(|name| is_in(name, path)) {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        model.seen.remove(path).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_directory(&self, path: &str) -> io::Result<()> {
        let mut model = self.model();
        model.step()?;
        model.singles += 1;
        if !model.is_directory(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let seen: Vec<_> = model.seen.iter().filter(|(name, _)| is_in(name, path)).collect();
        let seen: Vec<_> = seen.into_iter().map(|(name, node)| (name.clone(), node.clone())).collect();
        let names: BTreeSet<_> = seen.iter().map(|(name, _)| name.clone()).collect();
        model.certain.retain(|name, _| !is_in(name, path) || names.contains(name));
        model.certain.extend(seen);
        Ok(())
    }

    fn whole(&self) -> io::Result<Option<Box<dyn Whole>>> {
        Ok((!self.model().only_one_by_one).then(|| Box::new(self.clone()) as Box<dyn Whole>))
    }
}

impl Whole for ModelDisk {
    fn sync(&self) -> io::Result<()> {
        let mut model = self.model();
        model.step()?;
        model.wholes += 1;
        for node in model.seen.values() {
            if let Node::File(bytes) = node {
                let mut bytes = bytes.lock().unwrap();
                bytes.certain = bytes.seen.clone();
            }
        }
        model.certain = model.seen.clone();
        Ok(())
    }
}

#[derive(Debug)]
struct ModelFile {
    disk: ModelDisk,
    bytes: Arc<Mutex<Bytes>>,
}

impl DiskFile for ModelFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut model = self.disk.model();
        model.step()?;
        if let Some(room) = &mut model.room_bytes {
            *room = room.checked_sub(bytes.len() as u64).ok_or(io::ErrorKind::StorageFull)?;
        }
        self.bytes.lock().unwrap().seen.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut model = self.disk.model();
        model.step()?;
        model.singles += 1;
        drop(model);
        let mut bytes = self.bytes.lock().unwrap();
        bytes.certain = bytes.seen.clone();
        Ok(())
    }

    fn size_bytes(&self) -> io::Result<u64> {
        Ok(self.bytes.lock().unwrap().seen.len() as u64)
    }

    fn modified_ns(&self) -> i64 {
        0
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let bytes = self.bytes.lock().unwrap();
        let offset = usize::try_from(offset).unwrap();
        let from = bytes.seen.get(offset..offset + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(from);
        Ok(())
    }
}
