//! The client: keys and values of another node.
//!
//! The server is not believed: what it answers is checked against what was asked.

use std::cell::RefCell;
use std::rc::Rc;

use vatmux_rpc::service::{self, Call, Fault, Stub};
use vatmux_rpc::{ConnectError, Peer};

use super::key::{Key, Prefix};
use super::mark::Mark;
use super::request::{Condition, Operation, Step};
use super::value::{Entry, MAX_PUT_BYTES, MAX_VALUE_BYTES, Page, Usage, Value, Version};
use crate::schema::packagefs::{ByteSink, ByteSinkServer};
use crate::schema::statefs::{STATE_FS_INTERFACE, StateFs, Status};
use crate::schema::statefs_capnp::{condition, operation};

/// What one write of an upload carries, in bytes.
const PIECE_BYTES: usize = 128 * 1024;

/// A request to a statefs server came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The key's version is not the one that was asked for.
    #[error("the key is not as the condition has it: {}", found.map_or_else(|| "it does not exist".to_owned(), |found| format!("its version is {found}")))]
    VersionMismatch {
        /// The version that the key has; `None` where there is no such key.
        found: Option<Version>,
    },
    /// A transaction was refused because of one of its operations.
    #[error("operation {operation}: {}", if detail.is_empty() { service::Status::meaning(*status) } else { detail })]
    Operation {
        /// Which one, counted from 0.
        operation: usize,
        /// Why.
        status: Status,
        /// More about it, in the server's words.
        detail: String,
    },
    /// The server refused, or did not answer.
    #[error(transparent)]
    Call(#[from] service::Error<Status>),
    /// The answer does not fit what was asked.
    #[error("the server's answer makes no sense: {0}")]
    Answer(&'static str),
}

impl RequestError {
    /// The server's reason, where it gave one.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        match self {
            Self::VersionMismatch { .. } => Some(Status::VersionMismatch),
            Self::Operation { status, .. } => Some(*status),
            Self::Call(error) => error.status().copied(),
            Self::Answer(_) => None,
        }
    }
}

/// What a node lets this one see and change of its keys and values.
///
/// Who waits for an answer no longer may drop its future; the change may then have been made, or not, as a whole.
#[derive(Clone)]
pub struct Client {
    remote: StateFs,
}

impl Client {
    /// The statefs of a peer. It costs no round trip: that there is none, the first call says.
    pub fn connect(peer: &Peer) -> Result<Self, ConnectError> {
        Ok(Self { remote: peer.connect()? })
    }

    /// A client of a capability.
    #[must_use]
    pub fn new(remote: StateFs) -> Self {
        Self { remote }
    }

    /// A key's value, of any size; `None` where there is no such key. One round trip for up to 64 KiB.
    pub async fn get(&self, key: &Key) -> Result<Option<Value>, RequestError> {
        enum Found {
            Whole(u64, Vec<u8>),
            Large,
            Nothing,
        }

        let mut request = self.remote.capability().client().get_request();
        request.get().set_key(key.as_str());
        let sent = self.remote.capability().send(&STATE_FS_INTERFACE.methods[0], request);
        let found = sent.read(|results| match service::accept(results.get_status(), results.get_detail()) {
            Ok(()) => Ok(Found::Whole(results.get_version(), results.get_value()?.to_vec())),
            Err(Fault::Refused { status: Status::NotFound, .. }) => Ok(Found::Nothing),
            Err(Fault::Refused { status: Status::ValueTooLarge, .. }) => Ok(Found::Large),
            Err(fault) => Err(fault),
        });
        match found.await? {
            Found::Whole(version, bytes) => Ok(Some(Value { version: given(version)?, bytes })),
            Found::Large => self.read(key).await,
            Found::Nothing => Ok(None),
        }
    }

    async fn read(&self, key: &Key) -> Result<Option<Value>, RequestError> {
        let collected = Rc::new(RefCell::new(Vec::new()));
        let sink = ByteSink::serve(Collecting(collected.clone()));
        match self.remote.read(key.as_str(), &sink).await {
            Ok(read) => {
                let bytes = collected.take();
                if bytes.len() as u64 != read.size_bytes {
                    return Err(RequestError::Answer("a value is not as long as it was said to be"));
                }
                Ok(Some(Value { version: given(read.version)?, bytes }))
            }
            Err(error) if error.status() == Some(&Status::NotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives a key a value of up to 64 MiB; returns its version when it is durable. One round trip for up to 64 KiB.
    pub async fn put(&self, key: &Key, value: &[u8], condition: Condition) -> Result<Version, RequestError> {
        if value.len() > MAX_PUT_BYTES {
            return self.write(key, value, condition).await;
        }
        let mut request = self.remote.capability().client().put_request();
        let mut params = request.get();
        params.set_key(key.as_str());
        params.set_value(value);
        write_condition(params.init_condition(), condition);
        let sent = self.remote.capability().send(&STATE_FS_INTERFACE.methods[2], request);
        let put = sent.read(|results| {
            mismatch(service::accept(results.get_status(), results.get_detail()), results.get_version())
        });
        given(put.await?.map_err(|found| RequestError::VersionMismatch { found })?)
    }

    async fn write(&self, key: &Key, value: &[u8], condition: Condition) -> Result<Version, RequestError> {
        let begun = self.remote.write(|mut params| {
            params.set_key(key.as_str());
            params.set_size_bytes(value.len() as u64);
            write_condition(params.init_condition(), condition);
        });
        let upload = begun.await?;
        for piece in value.chunks(PIECE_BYTES) {
            upload.write(piece).await.map_err(|error| RequestError::Call(without_status(error)))?;
        }
        given(upload.commit().await?)
    }

    /// Removes a key; returns the version that its value had, when it is durable.
    pub async fn delete(&self, key: &Key, condition: Condition) -> Result<Version, RequestError> {
        let mut request = self.remote.capability().client().delete_request();
        let mut params = request.get();
        params.set_key(key.as_str());
        write_condition(params.init_condition(), condition);
        let sent = self.remote.capability().send(&STATE_FS_INTERFACE.methods[4], request);
        let deleted = sent.read(|results| {
            mismatch(service::accept(results.get_status(), results.get_detail()), results.get_version())
        });
        given(deleted.await?.map_err(|found| RequestError::VersionMismatch { found })?)
    }

    /// One page of the keys that begin with `prefix`, ordered by their bytes, from the one that follows `after` on: at
    /// most `limit`, and no more than 1,000.
    pub async fn list(&self, prefix: &Prefix, after: Option<&Key>, limit: u32) -> Result<Page, RequestError> {
        let cursor = after.map_or(&[][..], Key::as_bytes);
        let response = self.remote.list(prefix.as_str(), cursor, limit).await?;
        let results = response.get().map_err(|_| UNREADABLE)?;
        let mut page = Page::default();
        for entry in results.get_entries().map_err(|_| UNREADABLE)? {
            let key = entry.get_key().map_err(|_| UNREADABLE)?.as_bytes();
            let key = Key::parse(key).map_err(|_| RequestError::Answer("it lists what is no key"))?;
            let last = page.entries.last().map(|entry: &Entry| &entry.key).or(after);
            if !prefix.begins(&key) || last.is_some_and(|last| key <= *last) {
                return Err(RequestError::Answer("a listing is out of order, or of other keys"));
            }
            let (version, size_bytes) = (given(entry.get_version())?, entry.get_size_bytes());
            page.entries.push(Entry { key, version, size_bytes });
        }
        let next = results.get_next().map_err(|_| UNREADABLE)?;
        if !next.is_empty() {
            let last = page.entries.last().map(|entry| entry.key.clone());
            page.next = Some(last.filter(|last| last.as_bytes() == next).ok_or(UNREADABLE)?);
        }
        Ok(page)
    }

    /// Makes several changes or none; returns each key's version after it.
    pub async fn transact(&self, operations: &[Operation]) -> Result<Vec<Option<Version>>, RequestError> {
        let mut request = self.remote.capability().client().transact_request();
        let mut list = request.get().init_operations(operations.len() as u32);
        for (at, operation) in (0..).zip(operations) {
            write_operation(list.reborrow().get(at), operation);
        }
        let sent = self.remote.capability().send(&STATE_FS_INTERFACE.methods[6], request);
        let made = sent.read(|results| match service::accept(results.get_status(), results.get_detail()) {
            Ok(()) => Ok(Ok(results.get_versions()?.iter().map(Version::new).collect::<Vec<_>>())),
            Err(Fault::Refused { status, detail }) if results.get_failed() > 0 => {
                Ok(Err((results.get_failed() as usize - 1, status, detail)))
            }
            Err(fault) => Err(fault),
        });
        let versions = made.await?.map_err(|(operation, status, detail)| RequestError::Operation {
            operation,
            status,
            detail,
        })?;
        if versions.len() != operations.len() {
            return Err(RequestError::Answer("a transaction has other versions than operations"));
        }
        Ok(versions)
    }

    /// Returns the last version that the store gave out, when all that it has taken before is durable.
    pub async fn sync(&self) -> Result<u64, RequestError> {
        Ok(self.remote.sync().await?)
    }

    /// How much there is of the keys that begin with `prefix`, and how many bytes of values the store may hold; 0
    /// where nobody bounds it.
    pub async fn usage(&self, prefix: &Prefix) -> Result<(Usage, u64), RequestError> {
        let usage = self.remote.usage(prefix.as_str()).await?;
        Ok((Usage { keys: usage.keys, value_bytes: usage.value_bytes }, usage.quota_bytes))
    }

    /// The same, if the store still has all that it had given out when it gave `mark`, and a new mark of all that was acknowledged
    /// before this call. [`Status::RollbackDetected`] says that it has not: it went back, or is another one.
    ///
    /// A mark of nothing, [`Mark::default`], is always good. Once on each new session is enough.
    pub async fn since(&self, mark: &Mark) -> Result<(Self, Mark), RequestError> {
        let found = self.remote.since(&mark.to_bytes()).await?;
        let mark =
            Mark::from_bytes(&found.mark).map_err(|_| RequestError::Answer("it gives what is no mark"))?;
        Ok((Self { remote: found.state }, mark))
    }

    /// The same, seen through a prefix; its capability may be given to others.
    pub async fn narrow(&self, prefix: &Prefix, read_only: bool) -> Result<Self, RequestError> {
        Ok(Self { remote: self.remote.narrow(prefix.as_str(), read_only).await? })
    }
}

const UNREADABLE: RequestError = RequestError::Answer("it is not what the schema says");

fn given(version: u64) -> Result<Version, RequestError> {
    Version::new(version).ok_or(RequestError::Answer("a value without a version"))
}

/// A call's version; or the one that was in its way.
fn mismatch(
    accepted: Result<(), Fault<Status>>,
    version: u64,
) -> Result<Result<u64, Option<Version>>, Fault<Status>> {
    match accepted {
        Ok(()) => Ok(Ok(version)),
        Err(Fault::Refused { status: Status::VersionMismatch, .. }) => Ok(Err(Version::new(version))),
        Err(fault) => Err(fault),
    }
}

/// A call that has no status failed otherwise.
fn without_status(error: service::Error) -> service::Error<Status> {
    let method = error.method();
    service::Error::Call { method, source: error.into() }
}

fn write_condition(mut builder: condition::Builder<'_>, condition: Condition) {
    match condition {
        Condition::Any => builder.set_any(()),
        Condition::Absent => builder.set_absent(()),
        Condition::Present => builder.set_present(()),
        Condition::Version(version) => builder.set_version(version.get()),
    }
}

fn write_operation(mut builder: operation::Builder<'_>, operation: &Operation) {
    builder.set_key(operation.key.as_str());
    write_condition(builder.reborrow().init_condition(), operation.condition);
    match &operation.step {
        Step::Check => builder.set_check(()),
        Step::Put(value) => builder.set_put(value),
        Step::Delete => builder.set_delete(()),
    }
}

/// Takes the bytes of a value, and no more than a value may have.
struct Collecting(Rc<RefCell<Vec<u8>>>);

impl ByteSinkServer for Collecting {
    async fn write(&self, _call: &Call, bytes: &[u8]) -> capnp::Result<()> {
        let mut collected = self.0.borrow_mut();
        if (collected.len() + bytes.len()) as u64 > MAX_VALUE_BYTES {
            return Err(capnp::Error::failed("more bytes than a value may have".to_owned()));
        }
        collected.extend(bytes);
        Ok(())
    }

    async fn end(&self, _call: &Call, _total_bytes: u64) -> capnp::Result<()> {
        Ok(())
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
