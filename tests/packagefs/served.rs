//! A temporary directory behind a packagefs server.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

pub(crate) use futures::executor::block_on;
use tempfile::TempDir;
use vatmux::packagefs::{Client, Limits, Progress, Server, Tree};
use vatmux::schema::packagefs::PackageFs;
use vatmux::schema::packagefs_capnp::{byte_sink, package_fs};
use vatmux::service::ServedBy;

/// `root` is served; `.` is around it and must stay unknown to everyone who asks.
pub(crate) struct Served {
    around: TempDir,
    pub(crate) limits: Limits,
}

impl Served {
    pub(crate) fn new() -> Self {
        let around = tempfile::tempdir().unwrap();
        fs::create_dir(around.path().join("root")).unwrap();
        fs::write(around.path().join("secret"), "not served").unwrap();
        Self { around, limits: Limits::default() }
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.around.path().join("root")
    }

    /// Where a path of the server is on disk.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    /// Somewhere to fetch to.
    pub(crate) fn destination(&self) -> PathBuf {
        let downloads = self.around.path().join("downloads");
        let _ = fs::create_dir(&downloads);
        downloads.join("it")
    }

    /// Writes a file, and the directories that it is in.
    pub(crate) fn write(&self, path: &str, content: &[u8]) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn make_fifo(&self, path: &str) {
        let mode = rustix::fs::Mode::from_raw_mode(0o644);
        rustix::fs::mknodat(rustix::fs::CWD, self.path(path), rustix::fs::FileType::Fifo, mode, 0).unwrap();
    }

    /// The capability that a peer gets: another one, with its own limits, for each.
    pub(crate) fn capability(&self) -> package_fs::Client {
        let tree = Arc::new(Tree::open(self.root()).unwrap());
        PackageFs::client_of(Server::new(tree, self.limits))
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.capability())
    }
}

/// Progress that nobody follows.
pub(crate) fn quietly(_: Progress) {}

/// The names in a directory, sorted.
pub(crate) fn names_in(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// That a failed fetch left nothing where it was to go: not the thing, and no temporary one.
pub(crate) fn assert_nothing_left(destination: &Path) {
    assert_eq!(names_in(destination.parent().unwrap()), [""; 0]);
}

/// A sink that keeps what it is given.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) bytes: Vec<u8>,
    pub(crate) chunks: usize,
    pub(crate) longest_chunk: usize,
    pub(crate) ended_at: Option<u64>,
    /// Called at each chunk.
    pub(crate) on_chunk: Option<Box<dyn FnMut() -> capnp::Result<()>>>,
}

pub(crate) struct KeepingSink(pub(crate) Rc<RefCell<Kept>>);

impl byte_sink::Server for KeepingSink {
    async fn write(self: Rc<Self>, params: byte_sink::WriteParams) -> capnp::Result<()> {
        let mut kept = self.0.borrow_mut();
        let bytes = params.get()?.get_bytes()?;
        kept.bytes.extend_from_slice(bytes);
        kept.chunks += 1;
        kept.longest_chunk = kept.longest_chunk.max(bytes.len());
        match &mut kept.on_chunk {
            Some(on_chunk) => on_chunk(),
            None => Ok(()),
        }
    }

    async fn end(
        self: Rc<Self>,
        params: byte_sink::EndParams,
        _: byte_sink::EndResults,
    ) -> capnp::Result<()> {
        self.0.borrow_mut().ended_at = Some(params.get()?.get_total_bytes());
        Ok(())
    }
}
