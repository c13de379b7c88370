//! Reading one file: its first bytes in one round trip, the rest through a sink.
//!
//! The server is not believed: the bytes that come are counted against the length that it announced.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use capnp::capability::Response;
use futures::channel::{mpsc, oneshot};
use futures::future::Either;
use futures::io::{AsyncWrite, AsyncWriteExt};
use futures::{SinkExt, StreamExt};
use vatmux_rpc::deadline;
use vatmux_rpc::service::{self, Capability, Stub};

use super::attributes::Attributes;
use super::error::{Error, Operation, Violation};
use crate::schema::packagefs::{ByteSink, File, PackageFs, Status};
use crate::schema::packagefs_capnp::{byte_sink, package_fs};

/// The slowest that a stream may be on average, in bytes per second, before its deadline ends it.
const SLOWEST_BYTES_PER_SECOND: u64 = 32 * 1024;

/// How much is asked for with each call of the server's, which costs both ends what a call does, whatever is in it. With what RPC
/// puts around it it fits four records …
const LONG_CHUNK_BYTES: u32 = 255 * 1024;

/// … or two, where it is not known that the vat takes a message so long.
pub(super) const SHORT_CHUNK_BYTES: u32 = 127 * 1024;

/// What RPC puts around a chunk is far less than this.
const AROUND_BYTES: u32 = 8 * 1024;

/// The longest chunks for a vat that takes messages of `max_message_bytes`.
pub(super) fn chunk_bytes(max_message_bytes: usize) -> u32 {
    let most = u32::try_from(max_message_bytes).unwrap_or(u32::MAX).saturating_sub(AROUND_BYTES);
    [LONG_CHUNK_BYTES, SHORT_CHUNK_BYTES].into_iter().find(|chunk| *chunk <= most).unwrap_or(most)
}

/// How far something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is more to do: so many more files, so many more bytes.
    Found {
        /// Files found since the last report.
        files: u64,
        /// The lengths of these files together.
        bytes: u64,
    },
    /// So many more bytes have been received and written.
    Received {
        /// Bytes received since the last report.
        bytes: u64,
    },
    /// One more file of a tree is complete.
    FileDone,
}

/// Who may make a stream wait, which decides how long it may last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// The link and the disks at both ends.
    #[cfg(feature = "host")]
    Machines,
    /// An output that may be someone who reads a page at a time.
    Person,
}

impl Pace {
    /// How long a stream of `length` bytes may last in all.
    fn patience(self, length: u64) -> Duration {
        let start = match self {
            #[cfg(feature = "host")]
            Self::Machines => Duration::from_secs(30),
            // As long as the sink may take for one chunk.
            Self::Person => Duration::from_hours(1),
        };
        start + Duration::from_secs(length / SLOWEST_BYTES_PER_SECOND)
    }
}

/// A file of which the first bytes are here.
pub(super) struct Opening {
    path: String,
    pub(super) attributes: Attributes,
    response: Response<package_fs::read_small_results::Owned>,
    /// What remains: the file. `None` when all of it is here.
    rest: Option<File>,
    chunk_bytes: u32,
}

impl Opening {
    /// Opens `path` and reads its first `limit` bytes, in one round trip. What is longer will be streamed in pieces of `chunk_bytes`.
    pub(super) async fn open(
        remote: &PackageFs,
        path: &str,
        limit: u32,
        chunk_bytes: u32,
    ) -> Result<Self, Error> {
        let response = remote.read_small(path, limit).await;
        let response = response.map_err(|error| failed(Operation::Read, path, error))?;
        let (attributes, rest) = Self::check(&response, path, limit)?;
        Ok(Self { path: path.to_owned(), attributes, response, rest, chunk_bytes })
    }

    fn check(
        response: &Response<package_fs::read_small_results::Owned>,
        path: &str,
        limit: u32,
    ) -> Result<(Attributes, Option<File>), Error> {
        let failed = |source| call_failed(path, source);
        let results = response.get().map_err(failed)?;
        let attributes = results.get_attributes().and_then(Attributes::read).map_err(failed)?;
        let received = results.get_content().map_err(failed)?.len() as u64;
        let expected = attributes.size_bytes.min(limit.into());
        if received > expected {
            return Err(violation(path, Violation::TooManyBytes { expected }));
        }
        if received < expected {
            return Err(violation(path, Violation::TooFewBytes { expected, received }));
        }
        if received == attributes.size_bytes {
            return Ok((attributes, None));
        }
        if !results.has_file() {
            return Err(violation(path, Violation::NoFile));
        }
        let file = results.get_file().map_err(failed)?;
        Ok((attributes, Some(File::of(Capability::of(file)))))
    }

    fn content(&self) -> Result<&[u8], Error> {
        let failed = |source| call_failed(&self.path, source);
        self.response.get().map_err(failed)?.get_content().map_err(failed)
    }

    /// Writes the whole file to `output`, and flushes it. Returns how many bytes that were: the length that
    /// was announced.
    pub(super) async fn copy_to<W: AsyncWrite + Unpin>(
        self,
        output: &mut W,
        pace: Pace,
        progress: &dyn Fn(Progress),
    ) -> Result<u64, Error> {
        let size_bytes = self.attributes.size_bytes;
        let not_written = |source| Error::Output { path: self.path.clone(), source };
        let content = self.content()?;
        let offset = content.len() as u64;
        output.write_all(content).await.map_err(not_written)?;
        progress(Progress::Received { bytes: offset });
        let Self { path, response, rest, chunk_bytes, .. } = self;
        drop(response);
        if let Some(file) = rest {
            stream(&file, &path, offset..size_bytes, chunk_bytes, output, pace, progress).await?;
        }
        output.flush().await.map_err(|source| Error::Output { path, source })?;
        Ok(size_bytes)
    }
}

/// Streams a range of `file` into `output`: all of it, and no more.
async fn stream<W: AsyncWrite + Unpin>(
    file: &File,
    path: &str,
    range: Range<u64>,
    chunk_bytes: u32,
    output: &mut W,
    pace: Pace,
    progress: &dyn Fn(Progress),
) -> Result<(), Error> {
    let length = range.end - range.start;
    let failed = |source| call_failed(path, source);
    let (chunks, mut arriving) = mpsc::channel(0);
    let sink: byte_sink::Client = capnp_rpc::new_client(Sink { chunks: RefCell::new(chunks) });
    let sink = ByteSink::of(Capability::of(sink));
    let mut call =
        deadline::with(pace.patience(length), || file.stream(range.start, length, &sink, chunk_bytes));

    let mut received = 0;
    let mut ended = false;
    let response = loop {
        let arrived = match futures::future::select(arriving.next(), call).await {
            Either::Left((Some(arrived), pending)) => {
                call = pending;
                arrived
            }
            Either::Left((None, pending)) => break pending.await,
            Either::Right((response, _)) => break response,
        };
        match arrived {
            Arrived::Bytes { params, taken } => {
                let bytes = params.get().map_err(failed)?.get_bytes().map_err(failed)?;
                if bytes.is_empty() {
                    return Err(violation(path, Violation::EmptyChunk));
                }
                received += bytes.len() as u64;
                if ended || received > length {
                    return Err(violation(path, Violation::TooManyBytes { expected: length }));
                }
                output
                    .write_all(bytes)
                    .await
                    .map_err(|source| Error::Output { path: path.to_owned(), source })?;
                progress(Progress::Received { bytes: bytes.len() as u64 });
                let _ = taken.send(());
            }
            Arrived::End { total_bytes, taken } => {
                if total_bytes != received {
                    return Err(violation(path, Violation::TooFewBytes { expected: total_bytes, received }));
                }
                ended = true;
                let _ = taken.send(());
            }
        }
    };
    let response = response.map_err(|error| self::failed(Operation::Read, path, error))?;
    let sent = response.get().map_err(failed)?.get_sent_bytes();
    if !ended || sent != received {
        return Err(violation(path, Violation::TooFewBytes { expected: length.max(sent), received }));
    }
    if received < length {
        // A file that was cut before the stream began is sent up to its new end, honestly.
        return Err(refused(path, Status::Changed));
    }
    Ok(())
}

/// What the server calls while it streams. capnp-rpc lets one streaming call in at a time, so that chunks
/// stay in order.
struct Sink {
    chunks: RefCell<mpsc::Sender<Arrived>>,
}

/// A call of the server's, and where to say that it is done with.
enum Arrived {
    Bytes { params: byte_sink::WriteParams, taken: oneshot::Sender<()> },
    End { total_bytes: u64, taken: oneshot::Sender<()> },
}

impl Sink {
    async fn hand_over(&self, arrived: Arrived, taken: oneshot::Receiver<()>) -> capnp::Result<()> {
        let mut chunks = self.chunks.borrow().clone();
        chunks.send(arrived).await.map_err(|_| reader_gone())?;
        taken.await.map_err(|_| reader_gone())
    }
}

impl byte_sink::Server for Sink {
    async fn write(self: Rc<Self>, params: byte_sink::WriteParams) -> capnp::Result<()> {
        let (taken, done) = oneshot::channel();
        self.hand_over(Arrived::Bytes { params, taken }, done).await
    }

    async fn end(
        self: Rc<Self>,
        params: byte_sink::EndParams,
        _results: byte_sink::EndResults,
    ) -> capnp::Result<()> {
        let total_bytes = params.get()?.get_total_bytes();
        let (taken, done) = oneshot::channel();
        self.hand_over(Arrived::End { total_bytes, taken }, done).await
    }
}

fn reader_gone() -> capnp::Error {
    capnp::Error::failed("the reader takes no more".into())
}

/// What became of a call, as whoever asked for `path` sees it.
pub(super) fn failed(operation: Operation, path: &str, error: service::Error<Status>) -> Error {
    let path = path.to_owned();
    match error {
        service::Error::Refused { status, detail, .. } => Error::Refused { operation, path, status, detail },
        service::Error::UnknownStatus { number, .. } => {
            let detail = format!("status {number}, unknown here");
            Error::Refused { operation, path, status: Status::IoError, detail }
        }
        service::Error::Call { source, .. } | service::Error::Answer { source, .. } => {
            Error::Call { operation, path, source }
        }
        other => Error::Call { operation, path, source: capnp::Error::unimplemented(other.to_string()) },
    }
}

fn refused(path: &str, status: Status) -> Error {
    Error::Refused { operation: Operation::Read, path: path.to_owned(), status, detail: String::new() }
}

fn call_failed(path: &str, source: capnp::Error) -> Error {
    Error::Call { operation: Operation::Read, path: path.to_owned(), source }
}

fn violation(path: &str, violation: Violation) -> Error {
    Error::Violation { operation: Operation::Read, path: path.to_owned(), violation }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::packagefs::PACKAGE_FS_INTERFACE;

    #[test]
    fn no_chunk_is_longer_than_the_vat_takes() {
        assert_eq!(chunk_bytes(8 << 20), LONG_CHUNK_BYTES);
        assert_eq!(chunk_bytes(192 << 10), SHORT_CHUNK_BYTES);
        assert_eq!(chunk_bytes(32 << 10), 24 << 10);
        assert_eq!(chunk_bytes(0), 0);
    }

    #[test]
    fn a_status_of_a_later_schema_is_a_failure_with_its_number() {
        let method = &PACKAGE_FS_INTERFACE.methods[0];
        let error = service::Error::UnknownStatus { method, number: 99, detail: String::new() };
        let error = failed(Operation::Read, "a", error);
        assert_eq!(
            error.to_string(),
            "cannot read `a`: the server's storage failed (status 99, unknown here)"
        );
    }

    #[test]
    fn a_server_s_words_are_shortened_and_cannot_control_a_terminal() {
        let words = format!("\x1b[2J{}", "long ".repeat(1000));
        let method = &PACKAGE_FS_INTERFACE.methods[0];
        let error = service::Error::Refused { method, status: Status::IoError, detail: words };
        let error = failed(Operation::Read, "a", error);
        let shown = error.to_string();
        assert!(shown.contains("(\\u{1b}[2Jlong long") && shown.ends_with("…)"), "{shown}");
        assert!(shown.len() < 400);
    }
}
