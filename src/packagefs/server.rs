//! The server of one vat: a [`Tree`] behind the interface of `schema/packagefs.capnp`.
//!
//! Files are read where the call arrives, on the vat's thread: what is served is in the page cache or on a
//! disk of this machine, and a read of one chunk takes some tens of microseconds. Other tasks of the thread
//! have their turn between the chunks of a stream, as soon as its flow control makes it wait, and while a
//! large directory is read.

use std::cell::Cell;
use std::io::{self, Read, Seek, SeekFrom};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use cap_std::fs::File;
use futures::lock::Mutex;
use vatmux_rpc::deadline;

use super::attributes::Attributes;
use super::listing::{self, Ahead};
use super::path::TreePath;
use super::tree::{MAX_OPEN_FILES, Refusal, Tree};
use crate::schema::packagefs_capnp::{Status, byte_sink, file, package_fs};

/// The most bytes that one `read` carries.
pub const MAX_READ_BYTES: u32 = 1024 * 1024;

/// The most bytes that one `readSmall` carries.
pub const MAX_SMALL_BYTES: u32 = 256 * 1024;

/// The largest chunk that a stream writes at once.
pub const MAX_STREAM_CHUNK_BYTES: u32 = 1024 * 1024;

/// How long a sink may take to accept a chunk. At its other side may be a person who reads a page at a time;
/// that the peer itself is gone shows in its session much earlier.
pub(super) const SINK_PATIENCE: Duration = Duration::from_hours(1);

/// What one vat may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Files open at once, 256 unless said otherwise. Each costs the process a descriptor, of which a system
    /// may allow no more than 1,024 in all.
    pub open_files: u32,
    /// Bytes in one chunk of a stream, 128 KiB unless said otherwise; from 1 to [`MAX_STREAM_CHUNK_BYTES`]. A
    /// stream in progress holds as many of them in memory as its flow control lets be under way.
    pub stream_chunk_bytes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { open_files: 256, stream_chunk_bytes: 128 * 1024 }
    }
}

/// The packagefs service of one vat.
///
/// Besides its open files it holds at most 4.5 MiB: the names that follow the last page of the last listing
/// of a large directory. Listings of one vat are answered one after the other.
#[derive(Debug)]
pub struct Server {
    tree: Arc<Tree>,
    limits: Limits,
    open_files: Rc<Cell<u32>>,
    ahead: Mutex<Option<Ahead>>,
}

impl Server {
    /// A server of `tree` for one vat; `capnp_rpc::new_client` makes a capability of it.
    #[must_use]
    pub fn new(tree: Arc<Tree>, limits: Limits) -> Self {
        Self { tree, limits, open_files: Rc::default(), ahead: Mutex::new(None) }
    }

    fn serve_file(&self, file: File) -> Result<file::Client, Refusal> {
        let permit = OpenPermit::take(&self.tree, &self.open_files, self.limits.open_files)?;
        let chunk_bytes = self.limits.stream_chunk_bytes.clamp(1, MAX_STREAM_CHUNK_BYTES);
        Ok(capnp_rpc::new_client(OpenFile { file, chunk_bytes, _permit: permit }))
    }

    async fn page(
        &self,
        params: package_fs::list_params::Reader<'_>,
    ) -> capnp::Result<Result<listing::Page, Refusal>> {
        let (path, cursor, limit) =
            (params.get_path()?.as_bytes(), params.get_cursor()?, params.get_limit() as usize);
        let mut ahead = self.ahead.lock().await;
        Ok(match TreePath::parse(path) {
            Ok(path) => listing::page(&self.tree, &mut ahead, path, cursor, limit).await,
            Err(error) => Err(error.into()),
        })
    }
}

/// Answers with a refusal's status and detail, whichever method's results these are.
macro_rules! refuse {
    ($results:expr, $refusal:expr) => {{
        let refusal = $refusal;
        $results.set_status(refusal.status);
        if !refusal.detail.is_empty() {
            $results.set_detail(&refusal.detail);
        }
    }};
}

impl package_fs::Server for Server {
    async fn stat(
        self: Rc<Self>,
        params: package_fs::StatParams,
        mut results: package_fs::StatResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let found = TreePath::parse(params.get_path()?.as_bytes())
            .map_err(Refusal::from)
            .and_then(|path| self.tree.attributes(path, params.get_follow_links()));
        let mut results = results.get();
        match found {
            Ok(attributes) => attributes.write(results.init_attributes()),
            Err(refusal) => refuse!(results, refusal),
        }
        Ok(())
    }

    async fn list(
        self: Rc<Self>,
        params: package_fs::ListParams,
        mut results: package_fs::ListResults,
    ) -> capnp::Result<()> {
        let page = self.page(params.get()?).await?;
        let mut results = results.get();
        match page {
            Ok(page) => {
                results.set_next(page.next.unwrap_or_default().as_bytes());
                results.set_omitted(page.omitted);
                let mut entries = results.init_entries(page.entries.len() as u32);
                for (at, entry) in (0..).zip(&page.entries) {
                    entry.write(entries.reborrow().get(at));
                }
            }
            Err(refusal) => refuse!(results, refusal),
        }
        Ok(())
    }

    async fn open(
        self: Rc<Self>,
        params: package_fs::OpenParams,
        mut results: package_fs::OpenResults,
    ) -> capnp::Result<()> {
        let opened = TreePath::parse(params.get()?.get_path()?.as_bytes())
            .map_err(Refusal::from)
            .and_then(|path| self.tree.file(path))
            .and_then(|(file, attributes)| Ok((self.serve_file(file)?, attributes)));
        let mut results = results.get();
        match opened {
            Ok((file, attributes)) => {
                attributes.write(results.reborrow().init_attributes());
                results.set_file(file);
            }
            Err(refusal) => refuse!(results, refusal),
        }
        Ok(())
    }

    async fn read_small(
        self: Rc<Self>,
        params: package_fs::ReadSmallParams,
        mut results: package_fs::ReadSmallResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let mut results = results.get();
        let limit = params.get_limit();
        let opened = if limit > MAX_SMALL_BYTES {
            Err(Status::TooLarge.into())
        } else {
            TreePath::parse(params.get_path()?.as_bytes())
                .map_err(Refusal::from)
                .and_then(|path| self.tree.file(path))
        };
        let (mut file, attributes) = match opened {
            Ok(opened) => opened,
            Err(refusal) => {
                refuse!(results, refusal);
                return Ok(());
            }
        };
        let bytes = attributes.size_bytes.min(limit.into()) as u32;
        if let Err(refusal) = read_at(&mut file, 0, results.reborrow().init_content(bytes)) {
            results.reborrow().init_content(0);
            refuse!(results, refusal);
            return Ok(());
        }
        if u64::from(bytes) < attributes.size_bytes {
            match self.serve_file(file) {
                Ok(file) => results.set_file(file),
                Err(refusal) => {
                    results.reborrow().init_content(0);
                    refuse!(results, refusal);
                    return Ok(());
                }
            }
        }
        attributes.write(results.init_attributes());
        Ok(())
    }
}

/// A file that a caller holds.
struct OpenFile {
    file: File,
    chunk_bytes: u32,
    _permit: OpenPermit,
}

impl OpenFile {
    fn size_bytes(&self) -> Result<u64, Refusal> {
        Ok(self.file.metadata()?.len())
    }

    /// Writes the bytes from `offset` to `end` to the sink, and counts in `sent_bytes` those that it took.
    async fn send(
        &self,
        offset: u64,
        end: u64,
        sink: &byte_sink::Client,
        sent_bytes: &mut u64,
    ) -> Result<(), Refusal> {
        while offset + *sent_bytes < end {
            let at = offset + *sent_bytes;
            let bytes = (end - at).min(self.chunk_bytes.into()) as u32;
            let mut request = sink.write_request();
            read_at(&mut &self.file, at, request.get().init_bytes(bytes))?;
            deadline::with(SINK_PATIENCE, || request.send()).await.map_err(sink_failed)?;
            *sent_bytes += u64::from(bytes);
        }
        let mut request = sink.end_request();
        request.get().set_total_bytes(*sent_bytes);
        deadline::with(SINK_PATIENCE, || request.send()).promise.await.map_err(sink_failed)?;
        Ok(())
    }
}

impl file::Server for OpenFile {
    async fn stat(
        self: Rc<Self>,
        _params: file::StatParams,
        mut results: file::StatResults,
    ) -> capnp::Result<()> {
        let mut results = results.get();
        match self.file.metadata() {
            Ok(metadata) => Attributes::of(&metadata, None).write(results.init_attributes()),
            Err(error) => refuse!(results, Refusal::from(error)),
        }
        Ok(())
    }

    async fn read(
        self: Rc<Self>,
        params: file::ReadParams,
        mut results: file::ReadResults,
    ) -> capnp::Result<()> {
        let params = params.get()?;
        let (offset, length) = (params.get_offset(), params.get_length());
        let mut results = results.get();
        let read = if length > MAX_READ_BYTES {
            Err(Status::TooLarge.into())
        } else {
            self.size_bytes().and_then(|size_bytes| {
                let bytes = size_bytes.saturating_sub(offset).min(length.into()) as u32;
                read_at(&mut &self.file, offset, results.reborrow().init_data(bytes))
            })
        };
        if let Err(refusal) = read {
            results.reborrow().init_data(0);
            refuse!(results, refusal);
        }
        Ok(())
    }

    async fn stream(
        self: Rc<Self>,
        params: file::StreamParams,
        mut results: file::StreamResults,
    ) -> capnp::Result<()> {
        let (offset, length, sink) = {
            let params = params.get()?;
            (params.get_offset(), params.get_length(), params.get_sink()?)
        };
        drop(params);
        let mut sent_bytes = 0;
        let sent = match self.size_bytes() {
            Ok(size_bytes) => {
                let end = offset.saturating_add(length).min(size_bytes);
                self.send(offset, end, &sink, &mut sent_bytes).await
            }
            Err(refusal) => Err(refusal),
        };
        let mut results = results.get();
        results.set_sent_bytes(sent_bytes);
        if let Err(refusal) = sent {
            refuse!(results, refusal);
        }
        Ok(())
    }
}

/// Fills `buffer` from `offset` on; a file that ends before that has changed since its size was asked.
fn read_at(mut file: impl Read + Seek, offset: u64, buffer: &mut [u8]) -> Result<(), Refusal> {
    if buffer.is_empty() {
        return Ok(());
    }
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(buffer).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Status::Changed.into(),
        _ => error.into(),
    })
}

fn sink_failed(error: capnp::Error) -> Refusal {
    Refusal { status: Status::SinkFailed, detail: error.extra }
}

/// One of the files that a vat, and one of those that the tree, may have open, until it is dropped.
struct OpenPermit {
    tree: Arc<Tree>,
    of_vat: Rc<Cell<u32>>,
}

impl OpenPermit {
    fn take(tree: &Arc<Tree>, of_vat: &Rc<Cell<u32>>, limit: u32) -> Result<Self, Refusal> {
        let refused = |detail| Err(Refusal { status: Status::TooManyOpen, detail });
        if of_vat.get() >= limit {
            return refused(format!("{limit} files are open"));
        }
        if !tree.count_open_file() {
            return refused(format!("{MAX_OPEN_FILES} files are open here, those of others included"));
        }
        of_vat.set(of_vat.get() + 1);
        Ok(Self { tree: tree.clone(), of_vat: of_vat.clone() })
    }
}

impl Drop for OpenPermit {
    fn drop(&mut self) {
        self.of_vat.set(self.of_vat.get() - 1);
        self.tree.count_closed_file();
    }
}
