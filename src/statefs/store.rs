//! The store: its options, how it is opened, and what is read from it.

use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::{fmt, io, thread};

use redb::{Database, Durability, ReadOnlyTable, ReadableDatabase as _, ReadableTableMetadata as _};

use super::blocks::{Backend, Blocks};
use super::changes;
use super::device::{BlockDevice, FileDevice};
use super::error::{Error, engine};
use super::key::{Key, Prefix};
use super::log::{Log, LogKey};
use super::mark::{Mark, OpeningId};
use super::record::{
    CHUNKS, COUNTERS, Content, Counters, ENTRIES, EntryRecord, OPENINGS, STAGED, decode_chunk,
    decode_opening, missing_chunk,
};
use super::request::{Condition, Operation, Step, TransactError};
use super::upload::Upload;
pub(super) use super::value::{Entry, MAX_VALUE_BYTES, Page, Usage, Value, Version};
use super::writer::{self, Change, MAX_PUT_BYTES, MAX_WAITING, Queue, Source};
use crate::access::shares::Shares;

/// The most keys in one page of a listing.
pub const MAX_PAGE_ENTRIES: usize = 1000;

/// How many values of more than 2 KiB may be in the middle of being read. Each keeps the store as it was when it
/// began: what is deleted since then keeps its room until it ends.
pub const MAX_READINGS: usize = 256;

/// How many of them one peer may have at a node, over all its streams and sessions.
pub const MAX_PEER_READINGS: usize = 64;

/// How much a store may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of values, those of uploads under way included; 1 GiB unless said otherwise.
    ///
    /// On the device a small value takes about twice its size, a large one some percent more than it has. For each
    /// gigabyte that is in use the store holds up to 4 MiB of checksums in memory.
    pub value_bytes: u64,
    /// Keys, 1,000,000 unless said otherwise.
    pub keys: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { value_bytes: 1024 * 1024 * 1024, keys: 1_000_000 }
    }
}

/// How a store is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    /// How much it may hold.
    pub limits: Limits,
    /// How many bytes of it are kept in memory, 32 MiB unless said otherwise.
    pub cache_bytes: usize,
    /// A version that its owner knows to have been given out, 0 if none: [`Store::last_version`] of some time ago, kept where whoever
    /// could put an old store back cannot reach. An older store is refused as [`Error::Rollback`].
    pub seen_version: u64,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { limits: Limits::default(), cache_bytes: 32 * 1024 * 1024, seen_version: 0 }
    }
}

/// Durable keys and values; a clone is the same store.
///
/// Changes are futures that any executor may poll. They end when the change is durable. One that is dropped
/// before it ended may have been made, or not, as a whole.
///
/// When the last clone is dropped, what was asked for before is done first.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    queue: Queue,
    writer: Option<JoinHandle<()>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.queue.close();
        if let Some(writer) = self.writer.take() {
            // It catches what it may panic of; and there is nobody left to tell.
            let _ = writer.join();
        }
    }
}

impl Store {
    /// Opens the store in this file, and makes it if it is not there.
    pub fn open_file(path: &Path, options: OpenOptions) -> Result<Self, Error> {
        Self::open(Arc::new(FileDevice::open(path)?), options)
    }

    /// Opens the store on this device; on an empty one, begins it.
    ///
    /// Uploads that were not committed are removed.
    pub fn open(device: Arc<dyn BlockDevice>, options: OpenOptions) -> Result<Self, Error> {
        let shared = Arc::new(Shared::open(device, options)?);
        let found = shared.counters()?.last_version;
        if found < options.seen_version {
            return Err(Error::Rollback { seen: options.seen_version, found });
        }
        let (queue, requests) = async_channel::bounded(MAX_WAITING);
        let writer = thread::Builder::new().name("vatmux-statefs".into()).spawn({
            let shared = shared.clone();
            move || writer::run(&shared, &requests)
        })?;
        Ok(Self { inner: Arc::new(Inner { shared, queue, writer: Some(writer) }) })
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.inner.shared
    }

    /// How much it may hold.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.shared().options.limits
    }

    /// A key's value, as it is now; `None` where there is no such key.
    pub fn get(&self, key: &Key) -> Result<Option<Reading>, Error> {
        self.shared().reading(|snapshot, generation| {
            let entries = snapshot.open_table(ENTRIES).map_err(engine)?;
            let Some(record) = entries.get(key.as_bytes()).map_err(engine)? else { return Ok(None) };
            let entry = EntryRecord::decode(key.as_bytes(), record.value())?;
            let rest = match entry.content {
                Content::Inline(value) => Rest::Inline(value.to_vec()),
                Content::Blob(blob) => Rest::Blob(BlobReading {
                    chunks: snapshot.open_table(CHUNKS).map_err(engine)?,
                    generation,
                    blob,
                    next: 0,
                    end: entry.chunks(),
                    permit: Permit::take(&self.inner.shared, |shared| &shared.readings, MAX_READINGS)
                        .ok_or(Error::Busy("reads of large values"))?,
                }),
            };
            Ok(Some(Reading { version: entry.version, size_bytes: entry.size_bytes, rest }))
        })
    }

    /// One page of the keys that begin with `prefix`, ordered by their bytes, from the one that follows `after` on.
    ///
    /// A page has at most `limit` keys, and no more than [`MAX_PAGE_ENTRIES`]; at least one, if there is one.
    pub fn list(&self, prefix: &Prefix, after: Option<&Key>, limit: usize) -> Result<Page, Error> {
        if after.is_some_and(|after| !prefix.begins(after)) {
            return Err(Error::InvalidCursor);
        }
        let limit = limit.clamp(1, MAX_PAGE_ENTRIES);
        let first = match after {
            Some(after) => Bound::Excluded(after.as_bytes()),
            None => Bound::Included(prefix.as_bytes()),
        };
        self.shared().reading(|snapshot, _| {
            let table = snapshot.open_table(ENTRIES).map_err(engine)?;
            let mut page = Page { entries: Vec::new(), next: None };
            for found in table.range::<&[u8]>((first, Bound::Unbounded)).map_err(engine)? {
                let (key, record) = found.map_err(engine)?;
                let bytes = key.value();
                if !bytes.starts_with(prefix.as_bytes()) {
                    break;
                }
                if page.entries.len() == limit {
                    page.next = page.entries.last().map(|entry: &Entry| entry.key.clone());
                    break;
                }
                let entry = EntryRecord::decode(bytes, record.value())?;
                let key = Key::parse(bytes)
                    .map_err(|error| Error::integrity(format!("{}: {error}", bytes.escape_ascii())))?;
                page.entries.push(Entry { key, version: entry.version, size_bytes: entry.size_bytes });
            }
            Ok(page)
        })
    }

    /// How many keys begin with `prefix`, and how many bytes their values have.
    ///
    /// For the empty prefix the answer is at hand; for any other, all its keys are read.
    pub fn usage(&self, prefix: &Prefix) -> Result<Usage, Error> {
        if prefix.is_empty() {
            let counters = self.shared().counters()?;
            return Ok(Usage { keys: counters.keys, value_bytes: counters.value_bytes });
        }
        let mut usage = Usage::default();
        let mut after = None;
        loop {
            let page = self.list(prefix, after.as_ref(), MAX_PAGE_ENTRIES)?;
            usage.keys += page.entries.len() as u64;
            usage.value_bytes += page.entries.iter().map(|entry| entry.size_bytes).sum::<u64>();
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(usage),
            }
        }
    }

    /// The last version that was given out, 0 before the first; durable.
    pub fn last_version(&self) -> Result<u64, Error> {
        Ok(self.shared().counters()?.last_version)
    }

    /// What the store has given out by now, durable: to be checked later by [`check`](Self::check).
    pub fn mark(&self) -> Result<Mark, Error> {
        self.shared().reading(|snapshot, _| {
            let counters = read_counters(snapshot)?;
            let Some(opening) = opening_of(snapshot, counters.last_version)? else {
                return Ok(Mark::default());
            };
            Ok(Mark { opening, version: counters.last_version })
        })
    }

    /// Whether this is still the store that gave `mark`, with all that it had given out then: [`Error::Rollback`] and
    /// [`Error::Diverged`] say that it is not.
    pub fn check(&self, mark: &Mark) -> Result<(), Error> {
        if mark.version == 0 {
            return Ok(());
        }
        self.shared().reading(|snapshot, _| {
            let found = read_counters(snapshot)?.last_version;
            if found < mark.version {
                return Err(Error::Rollback { seen: mark.version, found });
            }
            match opening_of(snapshot, mark.version)? {
                Some(opening) if opening == mark.opening => Ok(()),
                Some(_) | None => Err(Error::Diverged { version: mark.version }),
            }
        })
    }

    /// Gives a key a value of at most [`MAX_PUT_BYTES`]; ends with its version.
    pub async fn put(&self, key: Key, value: Vec<u8>, condition: Condition) -> Result<Version, Error> {
        if value.len() > MAX_PUT_BYTES {
            return Err(Error::ValueTooLarge {
                bytes: value.len() as u64,
                limit_bytes: MAX_PUT_BYTES as u64,
            });
        }
        self.put_source(key, Source::whole(value), condition).await
    }

    pub(super) async fn put_source(
        &self,
        key: Key,
        source: Source,
        condition: Condition,
    ) -> Result<Version, Error> {
        let applied = writer::change(&self.inner.queue, key, condition, Change::Put(source)).await?;
        applied.after.ok_or(Error::Closed)
    }

    /// Removes a key; ends with the version that its value had. A key that is not there is [`Error::NotFound`].
    pub async fn delete(&self, key: Key, condition: Condition) -> Result<Version, Error> {
        let applied = writer::change(&self.inner.queue, key, condition, Change::Delete { or: true }).await?;
        applied.before.ok_or(Error::NotFound)
    }

    /// Makes several changes or none, of at most [`MAX_OPERATIONS`](super::MAX_OPERATIONS) different keys and
    /// [`MAX_TRANSACTION_BYTES`](super::MAX_TRANSACTION_BYTES) of values; ends with each key's version after it.
    ///
    /// All values that it puts get the same version.
    pub async fn transact(&self, operations: Vec<Operation>) -> Result<Vec<Option<Version>>, TransactError> {
        writer::check(&operations)?;
        let steps = operations.into_iter().map(|Operation { key, condition, step }| {
            let change = match step {
                Step::Check => Change::None,
                Step::Put(value) => Change::Put(Source::whole(value)),
                Step::Delete => Change::Delete { or: false },
            };
            (key, condition, change)
        });
        let applied = writer::transact(&self.inner.queue, steps.collect()).await?;
        Ok(applied.into_iter().map(|applied| applied.after).collect())
    }

    /// Begins a value of `size_bytes` that comes in pieces. Nobody sees any of it before it is committed.
    pub fn upload(&self, key: Key, size_bytes: u64, condition: Condition) -> Result<Upload, Error> {
        Upload::begin(self, key, size_bytes, condition)
    }

    /// Ends when all that was asked for before is durable, with the last version that was given out.
    pub async fn sync(&self) -> Result<u64, Error> {
        writer::sync(&self.inner.queue).await
    }

    pub(super) fn permit(&self, count: fn(&Shared) -> &AtomicUsize, limit: usize) -> Option<Permit> {
        Permit::take(&self.inner.shared, count, limit)
    }

    pub(super) fn queue(&self) -> &Queue {
        &self.inner.queue
    }
}

/// A value that is being read, as it was when that began.
pub struct Reading {
    version: Version,
    size_bytes: u64,
    rest: Rest,
}

enum Rest {
    Inline(Vec<u8>),
    Blob(BlobReading),
}

struct BlobReading {
    chunks: Chunks,
    /// The opening of the engine that the table is of.
    generation: u64,
    blob: u64,
    next: u32,
    end: u32,
    permit: Permit,
}

type Chunks = ReadOnlyTable<(u64, u32), &'static [u8]>;

impl BlobReading {
    fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, Error> {
        if self.next == self.end {
            return Ok(None);
        }
        let place = (self.blob, self.next);
        let chunk = match caught(|| read_chunk(&self.chunks, place)) {
            Err(error) if error.is_of_storage() => {
                // The engine has failed, maybe over something else. No other blob ever gets this one's number, so
                // that it can be read on if it is still there.
                let shared = &self.permit.shared;
                shared.reopen(self.generation)?;
                let (generation, database) = shared.database();
                let database = database?;
                let found = caught(|| {
                    let snapshot = database.begin_read().map_err(engine)?;
                    let chunks = snapshot.open_table(CHUNKS).map_err(engine)?;
                    Ok((read_chunk(&chunks, place)?, chunks))
                });
                match found {
                    Ok((chunk, chunks)) => {
                        (self.chunks, self.generation) = (chunks, generation);
                        chunk.ok_or(error)?
                    }
                    Err(error) => {
                        shared.reopen(generation)?;
                        return Err(error);
                    }
                }
            }
            read => read?.ok_or_else(|| missing_chunk(self.blob, self.next))?,
        };
        self.next += 1;
        Ok(Some(chunk))
    }
}

fn read_chunk(chunks: &Chunks, (blob, index): (u64, u32)) -> Result<Option<Vec<u8>>, Error> {
    let Some(record) = chunks.get((blob, index)).map_err(engine)? else { return Ok(None) };
    Ok(Some(decode_chunk(blob, index, record.value())?.to_vec()))
}

impl Reading {
    /// The value's version.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// How many bytes it has.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// The next bytes, at most 64 KiB and at least one; `None` at the end.
    pub fn next_chunk(&mut self) -> Result<Option<Vec<u8>>, Error> {
        match &mut self.rest {
            Rest::Inline(value) => Ok(Some(std::mem::take(value)).filter(|value| !value.is_empty())),
            Rest::Blob(blob) => blob.next_chunk(),
        }
    }

    /// All that is left of it.
    pub fn read(mut self) -> Result<Value, Error> {
        let mut bytes = self.next_chunk()?.unwrap_or_default();
        if bytes.len() as u64 != self.size_bytes {
            bytes.reserve_exact((self.size_bytes.saturating_sub(bytes.len() as u64)) as usize);
            while let Some(chunk) = self.next_chunk()? {
                bytes.extend(chunk);
            }
        }
        Ok(Value { version: self.version, bytes })
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading")
            .field("version", &self.version)
            .field("size_bytes", &self.size_bytes)
            .finish_non_exhaustive()
    }
}

/// One of so many, until it is dropped.
pub(super) struct Permit {
    shared: Arc<Shared>,
    count: fn(&Shared) -> &AtomicUsize,
}

impl Permit {
    fn take(shared: &Arc<Shared>, count: fn(&Shared) -> &AtomicUsize, limit: usize) -> Option<Self> {
        if count(shared).fetch_add(1, Ordering::Relaxed) >= limit {
            count(shared).fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Self { shared: shared.clone(), count })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        (self.count)(&self.shared).fetch_sub(1, Ordering::Relaxed);
    }
}

/// What readers and the writer share.
pub(super) struct Shared {
    pub(super) options: OpenOptions,
    device: Arc<dyn BlockDevice>,
    opened: RwLock<Opened>,
    /// The blob that is given out next.
    pub(super) next_blob: AtomicU64,
    /// Blobs whose uploads were dropped.
    pub(super) discarded: Mutex<Vec<u64>>,
    pub(super) uploads: AtomicUsize,
    readings: AtomicUsize,
    /// Which opening of the store this is.
    pub(super) opening: OpeningId,
    /// Whether the store knows of it: from the first version on that it gives out.
    pub(super) opening_noted: AtomicBool,
    /// What each peer has of the uploads.
    pub(super) uploads_by_peer: Shares,
    /// And of the readings.
    pub(super) readings_by_peer: Shares,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("device", &self.device).finish_non_exhaustive()
    }
}

/// The engine as it was opened last. It gives up for good when its storage fails once, and is then opened anew.
struct Opened {
    generation: u64,
    engine: Result<Engine, Error>,
}

#[derive(Clone)]
pub(super) struct Engine {
    pub(super) database: Arc<Database>,
    blocks: Arc<Blocks>,
    /// The writer's.
    pub(super) log: Arc<Mutex<Log>>,
}

/// A lock that a panic left is as good as any: what it guards is given up with its engine.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn open(device: Arc<dyn BlockDevice>, options: OpenOptions) -> Result<Self, Error> {
        let next_blob = AtomicU64::new(0);
        let engine = open_engine(&device, options, &next_blob)?;
        Ok(Self {
            options,
            device,
            opened: RwLock::new(Opened { generation: 0, engine: Ok(engine) }),
            next_blob,
            discarded: Mutex::default(),
            uploads: AtomicUsize::new(0),
            readings: AtomicUsize::new(0),
            opening: super::mark::fresh_opening()?,
            opening_noted: AtomicBool::new(false),
            uploads_by_peer: Shares::default(),
            readings_by_peer: Shares::default(),
        })
    }

    /// The engine, and which opening of it this is.
    pub(super) fn engine(&self) -> (u64, Result<Engine, Error>) {
        let opened = self.opened.read().unwrap_or_else(PoisonError::into_inner);
        (opened.generation, opened.engine.clone())
    }

    pub(super) fn database(&self) -> (u64, Result<Arc<Database>, Error>) {
        let (generation, engine) = self.engine();
        (generation, engine.map(|engine| engine.database))
    }

    /// Opens the engine anew, unless that was done since the opening that failed.
    pub(super) fn reopen(&self, failed: u64) -> Result<(), Error> {
        let mut opened = self.opened.write().unwrap_or_else(PoisonError::into_inner);
        if opened.generation == failed {
            opened.generation += 1;
            let closed = std::mem::replace(&mut opened.engine, Err(Error::Closed));
            if let Ok(engine) = &closed {
                // Whoever reads a snapshot of it gets errors from here on, and nothing that is not of the snapshot.
                engine.blocks.fence();
            }
            // It may have work to do when it is dropped, which the fence keeps from the device.
            let _ = caught(move || {
                drop(closed);
                Ok(())
            });
            opened.engine = open_engine(&self.device, self.options, &self.next_blob);
        }
        opened.engine.as_ref().map(|_| ()).map_err(Clone::clone)
    }

    /// Reads from the last state that is durable. An engine that has failed before, for whatever was read or written then, is
    /// opened anew first.
    fn reading<T>(&self, work: impl Fn(&redb::ReadTransaction, u64) -> Result<T, Error>) -> Result<T, Error> {
        let attempt = || {
            let (generation, database) = self.database();
            let read = caught(|| work(&database?.begin_read().map_err(engine)?, generation));
            (generation, read)
        };
        match attempt() {
            (generation, Err(error)) if error.is_of_storage() => {
                self.reopen(generation)?;
                attempt().1
            }
            (_, read) => read,
        }
    }

    pub(super) fn counters(&self) -> Result<Counters, Error> {
        self.reading(|snapshot, _| read_counters(snapshot))
    }
}

/// The opening that gave out a version, where the store knows it.
fn opening_of(snapshot: &redb::ReadTransaction, version: u64) -> Result<Option<OpeningId>, Error> {
    let openings = match snapshot.open_table(OPENINGS) {
        Ok(openings) => openings,
        // Nothing has been given out yet.
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(engine(error)),
    };
    let found = openings.range(..version).map_err(engine)?.next_back().transpose().map_err(engine)?;
    found.map(|(after, record)| decode_opening(after.value(), record.value())).transpose()
}

fn read_counters(snapshot: &redb::ReadTransaction) -> Result<Counters, Error> {
    writer::read_counters(&snapshot.open_table(COUNTERS).map_err(engine)?)
}

fn open_engine(
    device: &Arc<dyn BlockDevice>,
    options: OpenOptions,
    next_blob: &AtomicU64,
) -> Result<Engine, Error> {
    caught(|| {
        let blocks = Arc::new(Blocks::open(device.clone())?);
        let database = redb::Builder::new()
            .set_cache_size(options.cache_bytes)
            .create_with_backend(Backend(blocks.clone()))
            .map_err(engine)?;
        let (counters, log) = tidy(&database, &blocks)?;
        next_blob.fetch_max(counters.next_blob, Ordering::SeqCst);
        Ok(Engine { database: Arc::new(database), blocks, log: Arc::new(Mutex::new(log)) })
    })
}

/// Makes the tables of a new store; in an old one, makes the changes of the log, and removes the uploads that were not committed.
fn tidy(database: &Database, blocks: &Arc<Blocks>) -> Result<(Counters, Log), Error> {
    let mut transaction = writer::begin(database)?;
    let mut entries = transaction.open_table(ENTRIES).map_err(engine)?;
    let mut chunks = transaction.open_table(CHUNKS).map_err(engine)?;
    let mut staged = transaction.open_table(STAGED).map_err(engine)?;
    let mut table = transaction.open_table(COUNTERS).map_err(engine)?;
    let new = table.is_empty().map_err(engine)?;
    let mut counters = if new {
        if !entries.is_empty().map_err(engine)? {
            return Err(Error::integrity("its counters are missing"));
        }
        Counters { log: LogKey::random()?, ..Counters::default() }
    } else {
        writer::read_counters(&table)?
    };
    let (mut log, payloads) = if new {
        (Log::begin(blocks.clone(), counters.log), Vec::new())
    } else {
        Log::open(blocks.clone(), counters.log)?
    };
    for payload in &payloads {
        counters = changes::apply(payload, &mut entries)?;
    }
    let whole = new || !staged.is_empty().map_err(engine)?;
    if whole {
        while let Some((blob, ())) =
            staged.pop_first().map_err(engine)?.map(|(blob, nothing)| (blob.value(), nothing.value()))
        {
            writer::remove_chunks(&mut chunks, blob)?;
        }
        counters.log = counters.log.next();
    }
    table.insert((), &*counters.encode()).map_err(engine)?;
    drop((entries, chunks, staged, table));
    if whole {
        transaction.commit().map_err(engine)?;
        log.restart(counters.log);
    } else if payloads.is_empty() {
        transaction.abort().map_err(engine)?;
    } else {
        // They are in the log, and go on being there.
        transaction.set_durability(Durability::None).map_err(engine)?;
        transaction.commit().map_err(engine)?;
    }
    Ok((counters, log))
}

/// The engine is not to take us along, should it stumble over what it reads.
pub(super) fn caught<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Error::integrity("the engine could make nothing of what it read")))
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::other(error)
    }
}
