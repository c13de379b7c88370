//! The server of one vat: a [`Tree`] behind the interface of `schema/packagefs.capnp`.
//!
//! Files are read where the call arrives, on the vat's thread: what is served is in the page cache or on a
//! disk of this machine, and a read of one chunk takes some tens of microseconds, verified or not. Other tasks of the thread
//! have their turn between the chunks of a stream, as soon as its flow control makes it wait, and while a
//! large directory is read. Long streams of what is verified are read ahead, on threads of their own.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use futures::lock::Mutex;
use vatmux_rpc::service::{self, Call, Stub};

use super::attributes::Attributes;
use super::listing::{self, Ahead};
use super::path::TreePath;
#[cfg(feature = "host")]
use super::readers::{Range, Reader};
use super::tree::{MAX_OPEN_FILES, MAX_PEER_OPEN_FILES, Refusal, Rights, Tree, TreeFile};
use crate::access::shares::Share;
use crate::schema::packagefs::{
    self as wire, BYTE_SINK_INTERFACE, ByteSink, FileServer, PackageFsOpenResults, PackageFsServer, Status,
};
use crate::schema::packagefs_capnp::{file, package_fs};

/// The most bytes that one `read` carries.
pub const MAX_READ_BYTES: u32 = 1024 * 1024;

/// The most bytes that one `readSmall` carries.
pub const MAX_SMALL_BYTES: u32 = 256 * 1024;

/// The largest chunk that a stream writes at once.
pub const MAX_STREAM_CHUNK_BYTES: u32 = 1024 * 1024;

/// The shortest chunks that a caller can ask for: each costs what a call does, and it is the caller who says how many there are.
const MIN_STREAM_CHUNK_BYTES: u32 = 4096;

/// A chunk of a stream.
const WRITE: &service::Method = &BYTE_SINK_INTERFACE.methods[0];

/// What one vat may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Files open at once, 256 unless said otherwise. Each costs the process a descriptor, of which a system
    /// may allow no more than 1,024 in all.
    pub open_files: u32,
    /// The most bytes in one chunk of a stream, 255 KiB unless said otherwise; from 1 to [`MAX_STREAM_CHUNK_BYTES`]. The caller
    /// may ask for less, and has 127 KiB where it says nothing. A stream in progress holds as many of them in memory as its
    /// flow control lets be under way, and one more: 1 MiB at most unless the flow control's window or this is set otherwise.
    pub stream_chunk_bytes: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { open_files: 256, stream_chunk_bytes: 255 * 1024 }
    }
}

/// The packagefs service of one vat.
///
/// Besides its open files it holds at most 4.5 MiB: the names that follow the last page of the last listing
/// of a large directory. Listings of one vat are answered one after the other.
#[derive(Debug)]
pub struct Server {
    tree: Arc<Tree>,
    /// Of bundles.
    rights: Arc<Rights>,
    limits: Limits,
    open_files: Rc<Cell<u32>>,
    ahead: Mutex<Option<Ahead>>,
}

impl Server {
    /// A server of `tree` for one vat.
    #[must_use]
    pub fn new(tree: Arc<Tree>, limits: Limits) -> Self {
        let rights = Arc::new(Rights::all());
        Self { tree, rights, limits, open_files: Rc::default(), ahead: Mutex::new(None) }
    }

    /// Of bundles, those only of which `rights` let somebody read the files: the tree is as if there were no others. A
    /// directory is served whole whatever they are.
    #[cfg(feature = "host")]
    #[must_use]
    pub fn narrowed(self, rights: Rights) -> Self {
        Self { rights: Arc::new(rights), ..self }
    }

    fn serve_file(&self, call: &Call, file: TreeFile) -> Result<wire::File, Refusal> {
        let permit = OpenPermit::take(&self.tree, call, &self.open_files, self.limits.open_files)?;
        let most_chunk_bytes = self.limits.stream_chunk_bytes.clamp(1, MAX_STREAM_CHUNK_BYTES);
        Ok(wire::File::serve(OpenFile { file, most_chunk_bytes, permit }))
    }

    fn open_file(&self, path: &str) -> Result<(TreeFile, Attributes), Refusal> {
        self.tree.file(TreePath::parse(path.as_bytes())?, &self.rights)
    }
}

impl PackageFsServer for Server {
    async fn stat(
        &self,
        _call: &Call,
        path: &str,
        follow_links: bool,
    ) -> Result<wire::Attributes, service::Refusal<Status>> {
        let path = TreePath::parse(path.as_bytes()).map_err(Refusal::from)?;
        Ok(self.tree.attributes(path, follow_links, &self.rights)?.into())
    }

    async fn list(
        &self,
        _call: &Call,
        path: &str,
        cursor: &[u8],
        limit: u32,
        mut results: package_fs::list_results::Builder<'_>,
    ) -> Result<(), service::Refusal<Status>> {
        let path = TreePath::parse(path.as_bytes()).map_err(Refusal::from)?;
        let mut ahead = self.ahead.lock().await;
        let page = listing::page(&self.tree, &self.rights, &mut ahead, path, cursor, limit as usize);
        let page = page.await?;
        results.set_next(page.next.unwrap_or_default().as_bytes());
        results.set_omitted(page.omitted);
        let mut entries = results.init_entries(page.entries.len() as u32);
        for (at, entry) in (0..).zip(&page.entries) {
            entry.write(entries.reborrow().get(at));
        }
        Ok(())
    }

    async fn open(&self, call: &Call, path: &str) -> Result<PackageFsOpenResults, service::Refusal<Status>> {
        let (file, attributes) = self.open_file(path)?;
        Ok(PackageFsOpenResults { file: self.serve_file(call, file)?, attributes: attributes.into() })
    }

    async fn read_small(
        &self,
        call: &Call,
        path: &str,
        limit: u32,
        mut results: package_fs::read_small_results::Builder<'_>,
    ) -> Result<(), service::Refusal<Status>> {
        if limit > MAX_SMALL_BYTES {
            return Err(Status::TooLarge.into());
        }
        let (file, attributes) = self.open_file(path)?;
        let bytes = attributes.size_bytes.min(limit.into()) as u32;
        let read = file.read_at(0, results.reborrow().init_content(bytes));
        let rest = match read {
            Ok(()) if u64::from(bytes) < attributes.size_bytes => self.serve_file(call, file).map(Some),
            Ok(()) => Ok(None),
            Err(refusal) => Err(refusal),
        };
        match rest {
            Ok(Some(file)) => results.set_file(file.capability().client().clone()),
            Ok(None) => {}
            Err(refusal) => {
                // Bytes that nobody may have are not sent with the refusal.
                results.init_content(0);
                return Err(refusal.into());
            }
        }
        attributes.write(results.init_attributes());
        Ok(())
    }
}

/// A file that a caller holds.
struct OpenFile {
    file: TreeFile,
    most_chunk_bytes: u32,
    #[cfg_attr(not(feature = "host"), allow(dead_code, reason = "it is held"))]
    permit: OpenPermit,
}

impl OpenFile {
    /// Writes the bytes from `offset` to `end` to the sink, in chunks that are read into the messages themselves, and counts in
    /// `sent_bytes` those that it took.
    #[cfg_attr(not(feature = "host"), allow(unused_variables, reason = "without threads nobody reads ahead"))]
    async fn send(
        &self,
        call: &Call,
        offset: u64,
        end: u64,
        chunk_bytes: u32,
        sink: &ByteSink,
        sent_bytes: &mut u64,
    ) -> Result<(), Refusal> {
        #[cfg(feature = "host")]
        let reader = self.reader(call, Range { offset, end, chunk_bytes });
        while offset + *sent_bytes < end {
            let at = offset + *sent_bytes;
            let bytes = (end - at).min(chunk_bytes.into()) as u32;
            let mut request = sink.capability().client().write_request();
            let chunk = request.get().init_bytes(bytes);
            #[cfg(feature = "host")]
            match &reader {
                Some(reader) => reader.next(chunk).await?,
                None => self.file.read_at(at, chunk)?,
            }
            #[cfg(not(feature = "host"))]
            self.file.read_at(at, chunk)?;
            sink.capability().stream(WRITE, request).await.map_err(sink_failed)?;
            *sent_bytes += u64::from(bytes);
        }
        sink.end(*sent_bytes).await.map_err(sink_failed)
    }

    /// Whoever reads ahead of this stream. Only what is verified takes long enough to be read elsewhere.
    #[cfg(feature = "host")]
    fn reader(&self, call: &Call, range: Range) -> Option<Reader> {
        match &self.file {
            TreeFile::Bundled { file, .. } => self.permit.tree.readers().begin(call.peer(), file, range),
            TreeFile::Plain(_) | TreeFile::Memory(_) => None,
        }
    }
}

impl FileServer for OpenFile {
    async fn stat(&self, _call: &Call) -> Result<wire::Attributes, service::Refusal<Status>> {
        Ok(self.file.attributes()?.into())
    }

    async fn read(
        &self,
        _call: &Call,
        offset: u64,
        length: u32,
        mut results: file::read_results::Builder<'_>,
    ) -> Result<(), service::Refusal<Status>> {
        if length > MAX_READ_BYTES {
            return Err(Status::TooLarge.into());
        }
        let bytes = self.file.size_bytes()?.saturating_sub(offset).min(length.into()) as u32;
        if let Err(refusal) = self.file.read_at(offset, results.reborrow().init_data(bytes)) {
            results.init_data(0);
            return Err(refusal.into());
        }
        Ok(())
    }

    async fn stream(
        &self,
        call: &Call,
        offset: u64,
        length: u64,
        sink: ByteSink,
        chunk_bytes: u32,
        mut results: file::stream_results::Builder<'_>,
    ) -> Result<(), service::Refusal<Status>> {
        let end = offset.saturating_add(length).min(self.file.size_bytes()?);
        let chunk_bytes = chunk_bytes.max(MIN_STREAM_CHUNK_BYTES).min(self.most_chunk_bytes);
        let mut sent_bytes = 0;
        let sent = self.send(call, offset, end, chunk_bytes, &sink, &mut sent_bytes).await;
        // How far it came is told with a refusal as well.
        results.set_sent_bytes(sent_bytes);
        Ok(sent?)
    }
}

fn sink_failed(error: service::Error) -> Refusal {
    Refusal { status: Status::SinkFailed, detail: capnp::Error::from(error).extra }
}

/// One of the files that a vat, a peer, and the tree may have open, until it is dropped.
struct OpenPermit {
    tree: Arc<Tree>,
    of_vat: Rc<Cell<u32>>,
    _of_peer: Share,
}

impl OpenPermit {
    fn take(tree: &Arc<Tree>, call: &Call, of_vat: &Rc<Cell<u32>>, limit: u32) -> Result<Self, Refusal> {
        let refused = |detail| Err(Refusal { status: Status::TooManyOpen, detail });
        if of_vat.get() >= limit {
            return refused(format!("{limit} files are open"));
        }
        let Some(of_peer) = tree.shares().take(call.peer(), MAX_PEER_OPEN_FILES as usize) else {
            return refused(format!("this node has {MAX_PEER_OPEN_FILES} files open, over all its streams"));
        };
        if !tree.count_open_file() {
            return refused(format!("{MAX_OPEN_FILES} files are open here, those of others included"));
        }
        of_vat.set(of_vat.get() + 1);
        Ok(Self { tree: tree.clone(), of_vat: of_vat.clone(), _of_peer: of_peer })
    }
}

impl Drop for OpenPermit {
    fn drop(&mut self) {
        self.of_vat.set(self.of_vat.get() - 1);
        self.tree.count_closed_file();
    }
}
