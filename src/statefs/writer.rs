//! The one thread that changes a store: whatever waits is applied in one transaction, and flushed once.
//!
//! Requests of one batch are applied in the order in which they came, each to what those before it left. One that is refused
//! changes nothing, and takes nothing from its neighbours. Then the transaction is made durable, and each is
//! answered: small changes are appended to the [log](super::log), and committed in the engine's memory alone; anything else, or a log
//! that is full, has the engine commit for good. When the storage fails, nothing of the batch was made: the engine is opened anew, and the
//! requests are tried once more, one by one, so that only those fail that must.

use std::collections::{BTreeMap, HashSet};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use futures::channel::oneshot;
use redb::{Database, Durability, ReadableTable as _, ReadableTableMetadata as _, Table, WriteTransaction};

use super::changes::Changes;
use super::error::{Error, engine};
use super::key::Key;
use super::log::{Log, LogKey};
use super::mark::MAX_OPENINGS;
use super::record::{
    CHUNK_BYTES, CHUNKS, COUNTERS, Content, Counters, ENTRIES, EntryRecord, MAX_INLINE_BYTES, OPENINGS,
    STAGED, encode_chunk, encode_opening,
};
use super::request::{Condition, Operation, Step, TransactError};
use super::store::{Limits, Shared, Version, caught, locked};
pub(super) use super::value::MAX_PUT_BYTES;

/// The most operations in a transaction.
pub const MAX_OPERATIONS: usize = 64;

/// The most bytes of values in a transaction.
pub const MAX_TRANSACTION_BYTES: usize = 256 * 1024;

/// How many requests wait for the writer at most; whoever comes later waits for room. With uploads under way they hold up
/// to 64 MiB.
pub const MAX_WAITING: usize = 128;

pub(super) type Queue = async_channel::Sender<Pending>;
type Requests = async_channel::Receiver<Pending>;

/// A request, and who waits for its answer.
pub(super) struct Pending {
    request: Request,
    reply: oneshot::Sender<Result<Reply, TransactError>>,
}

enum Request {
    Change(Vec<(Key, Condition, Change)>),
    /// Bytes for a blob that no entry names yet: whole chunks.
    Stage {
        at: Staged,
        bytes: Vec<u8>,
    },
    Sync,
}

pub(super) enum Change {
    None,
    Put(Source),
    /// `or`: of a key that is not there, it fails.
    Delete {
        or: bool,
    },
}

/// Where a value comes from: chunks that are staged already, and what follows them.
pub(super) struct Source {
    pub(super) size_bytes: u64,
    pub(super) staged: Option<Staged>,
    pub(super) tail: Vec<u8>,
}

impl Source {
    pub(super) fn whole(value: Vec<u8>) -> Self {
        Self { size_bytes: value.len() as u64, staged: None, tail: value }
    }
}

/// So many chunks of a blob.
#[derive(Clone, Copy)]
pub(super) struct Staged {
    pub(super) blob: u64,
    pub(super) chunks: u32,
}

enum Reply {
    Changed(Vec<Applied>),
    Staged(Staged),
    Synced(u64),
}

/// What became of a key.
#[derive(Clone, Copy)]
pub(super) struct Applied {
    pub(super) before: Option<Version>,
    pub(super) after: Option<Version>,
}

/// Refuses a transaction that no store would make.
pub(super) fn check(operations: &[Operation]) -> Result<(), TransactError> {
    if operations.len() > MAX_OPERATIONS {
        let (count, limit) = (operations.len(), MAX_OPERATIONS);
        return Err(Error::TransactionLimit { what: "operations", count, limit }.into());
    }
    let mut keys = HashSet::new();
    let mut value_bytes = 0;
    for (at, operation) in operations.iter().enumerate() {
        let blame = |error| TransactError { operation: Some(at), error };
        if !keys.insert(&operation.key) {
            return Err(blame(Error::Malformed("another operation has the same key")));
        }
        if let Step::Put(value) = &operation.step {
            let bytes = value.len();
            if bytes > MAX_PUT_BYTES {
                let (bytes, limit_bytes) = (bytes as u64, MAX_PUT_BYTES as u64);
                return Err(blame(Error::ValueTooLarge { bytes, limit_bytes }));
            }
            value_bytes += bytes;
        }
    }
    if value_bytes > MAX_TRANSACTION_BYTES {
        let (count, limit) = (value_bytes, MAX_TRANSACTION_BYTES);
        return Err(Error::TransactionLimit { what: "bytes of values", count, limit }.into());
    }
    Ok(())
}

pub(super) async fn transact(
    queue: &Queue,
    changes: Vec<(Key, Condition, Change)>,
) -> Result<Vec<Applied>, TransactError> {
    match ask(queue, Request::Change(changes)).await? {
        Reply::Changed(applied) => Ok(applied),
        Reply::Staged(_) | Reply::Synced(_) => Err(Error::Closed.into()),
    }
}

pub(super) async fn change(
    queue: &Queue,
    key: Key,
    condition: Condition,
    change: Change,
) -> Result<Applied, Error> {
    let applied = transact(queue, vec![(key, condition, change)]).await.map_err(|refused| refused.error)?;
    applied.first().copied().ok_or(Error::Closed)
}

/// Stages what follows `at`; ends with how much is staged then.
pub(super) async fn stage(queue: &Queue, at: Staged, bytes: Vec<u8>) -> Result<Staged, Error> {
    match ask(queue, Request::Stage { at, bytes }).await.map_err(|refused| refused.error)? {
        Reply::Staged(staged) => Ok(staged),
        Reply::Changed(_) | Reply::Synced(_) => Err(Error::Closed),
    }
}

pub(super) async fn sync(queue: &Queue) -> Result<u64, Error> {
    match ask(queue, Request::Sync).await.map_err(|refused| refused.error)? {
        Reply::Synced(version) => Ok(version),
        Reply::Changed(_) | Reply::Staged(_) => Err(Error::Closed),
    }
}

async fn ask(queue: &Queue, request: Request) -> Result<Reply, TransactError> {
    let (reply, answer) = oneshot::channel();
    queue.send(Pending { request, reply }).await.map_err(|_| Error::Closed)?;
    answer.await.map_err(|_| Error::Closed)?
}

/// The writer's life: until the store is closed and nothing waits any more.
pub(super) fn run(shared: &Shared, requests: &Requests) {
    let mut writer = Writer { shared, staged_bytes: BTreeMap::new() };
    while let Ok(first) = requests.recv_blocking() {
        let mut batch = vec![first];
        while batch.len() < MAX_WAITING
            && let Ok(next) = requests.try_recv()
        {
            batch.push(next);
        }
        writer.serve(batch);
    }
    writer.settle();
}

/// A transaction of the engine: durable when it is committed, by two phases.
pub(super) fn begin(database: &Database) -> Result<WriteTransaction, Error> {
    let mut transaction = database.begin_write().map_err(engine)?;
    transaction.set_durability(Durability::Immediate).map_err(engine)?;
    transaction.set_two_phase_commit(true);
    transaction.set_quick_repair(true);
    Ok(transaction)
}

struct Writer<'a> {
    shared: &'a Shared,
    /// How many bytes of each blob are staged.
    staged_bytes: BTreeMap<u64, u64>,
}

type Answer = Result<Reply, TransactError>;

impl Writer<'_> {
    fn serve(&mut self, batch: Vec<Pending>) {
        let answers = match self.attempt(&batch, OldBlobs::Remove) {
            Ok(answers) => answers,
            Err(failure) => self.again(&batch, &failure),
        };
        for (pending, answer) in batch.into_iter().zip(answers) {
            // Who does not wait for it any more does not miss it.
            let _ = pending.reply.send(answer);
        }
    }

    /// What became of a batch whose storage failed: after that the engine is opened anew.
    fn again(&mut self, batch: &[Pending], failure: &Failure) -> Vec<Answer> {
        let all = |error: &Error| batch.iter().map(|_| Err(error.clone().into())).collect();
        if let Err(error) = self.reopen(failure.generation) {
            return all(&error);
        }
        // The device may know all of it.
        if failure.committing {
            return all(&failure.error);
        }
        batch.iter().map(|pending| self.alone(pending)).collect()
    }

    /// A request whose batch had failed, once more; and if what it replaces is damaged, without touching that.
    fn alone(&mut self, pending: &Pending) -> Answer {
        let batch = std::slice::from_ref(pending);
        for old_blobs in [OldBlobs::Remove, OldBlobs::Leave] {
            match self.attempt(batch, old_blobs) {
                Ok(mut answers) => return answers.pop().unwrap_or_else(|| Err(Error::Closed.into())),
                Err(failure) => {
                    self.reopen(failure.generation)?;
                    let damaged = matches!(failure.error, Error::Integrity(_));
                    if !damaged || failure.committing || old_blobs == OldBlobs::Leave {
                        return Err(failure.error.into());
                    }
                }
            }
        }
        Err(Error::Closed.into())
    }

    fn reopen(&mut self, failed: u64) -> Result<(), Error> {
        // What was staged is gone.
        self.staged_bytes.clear();
        self.shared.reopen(failed)
    }

    /// Applies and commits all requests, or fails as a whole.
    fn attempt(&mut self, batch: &[Pending], old_blobs: OldBlobs) -> Result<Vec<Answer>, Failure> {
        let (generation, engine_now) = self.shared.engine();
        let mut failure = Failure { error: Error::Closed, generation, committing: false };
        let attempt = caught(|| {
            let engine_now = engine_now?;
            let mut log = locked(&engine_now.log);
            let mut transaction = begin(&engine_now.database)?;
            let (answers, outcome, noted) = {
                let mut batch_of = Batch::open(&transaction, self.shared, &mut self.staged_bytes, old_blobs)?;
                let answers =
                    batch.iter().map(|pending| batch_of.apply(pending)).collect::<Result<_, _>>()?;
                batch_of.discard()?;
                let noted = batch_of.notes_opening;
                (answers, batch_of.close(&log)?, noted)
            };
            match outcome {
                Outcome::Nothing => transaction.abort().map_err(engine)?,
                Outcome::Small(payload) => {
                    failure.committing = true;
                    log.append(&payload)?;
                    // Readers may see it from here on: it is durable.
                    transaction.set_durability(Durability::None).map_err(engine)?;
                    transaction.commit().map_err(engine)?;
                }
                Outcome::Whole(key) => {
                    failure.committing = true;
                    transaction.commit().map_err(engine)?;
                    log.restart(key);
                }
            }
            if noted {
                self.shared.opening_noted.store(true, Ordering::Relaxed);
            }
            Ok(answers)
        });
        attempt.map_err(|error| Failure { error, ..failure })
    }

    /// Has the engine commit what is in the log, so that opening the store has nothing to do.
    fn settle(&self) {
        // What cannot be committed is still in the log.
        let _ = caught(|| {
            let engine_now = self.shared.engine().1?;
            let mut log = locked(&engine_now.log);
            if !log.is_empty() {
                let transaction = begin(&engine_now.database)?;
                let key = settle(&transaction, log.key())?;
                transaction.commit().map_err(engine)?;
                log.restart(key);
            }
            Ok(())
        });
    }
}

/// Has the counters name the next log, which begins when this is committed. Returns its key.
fn settle(transaction: &WriteTransaction, key: LogKey) -> Result<LogKey, Error> {
    let mut table = transaction.open_table(COUNTERS).map_err(engine)?;
    let counters = read_counters(&table)?;
    let counters = Counters { log: key.next(), ..counters };
    table.insert((), &*counters.encode()).map_err(engine)?;
    Ok(counters.log)
}

pub(super) fn read_counters(table: &impl redb::ReadableTable<(), &'static [u8]>) -> Result<Counters, Error> {
    let record = table.get(()).map_err(engine)?;
    let record = record.ok_or_else(|| Error::integrity("its counters are missing"))?;
    Counters::decode(record.value())
}

/// How a batch is made durable.
enum Outcome {
    /// It changed nothing.
    Nothing,
    /// By the log: this is what goes there.
    Small(Vec<u8>),
    /// By a commit of the engine's, after which the log with this key begins.
    Whole(LogKey),
}

/// What becomes of a large value that is replaced or deleted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OldBlobs {
    Remove,
    /// Its blocks are damaged, so that the engine cannot give them back: they stay, and nothing names them.
    Leave,
}

struct Failure {
    error: Error,
    generation: u64,
    /// It failed when the device may know of it.
    committing: bool,
}

/// The tables of one transaction.
struct Batch<'txn, 'a> {
    shared: &'a Shared,
    staged_bytes: &'a mut BTreeMap<u64, u64>,
    old_blobs: OldBlobs,
    entries: Table<'txn, &'static [u8], &'static [u8]>,
    chunks: Table<'txn, (u64, u32), &'static [u8]>,
    staged: Table<'txn, u64, ()>,
    table: Table<'txn, (), &'static [u8]>,
    counters: Counters,
    changed: bool,
    /// Where the opening is noted before the first version that it gives out, until it is.
    openings: Option<Table<'txn, u64, &'static [u8]>>,
    notes_opening: bool,
    /// What changed, as long as all of it is small.
    small: Option<Changes>,
}

impl<'txn, 'a> Batch<'txn, 'a> {
    fn open(
        transaction: &'txn WriteTransaction,
        shared: &'a Shared,
        staged_bytes: &'a mut BTreeMap<u64, u64>,
        old_blobs: OldBlobs,
    ) -> Result<Self, Error> {
        let table = transaction.open_table(COUNTERS).map_err(engine)?;
        let counters = read_counters(&table)?;
        Ok(Self {
            shared,
            staged_bytes,
            old_blobs,
            entries: transaction.open_table(ENTRIES).map_err(engine)?,
            chunks: transaction.open_table(CHUNKS).map_err(engine)?,
            staged: transaction.open_table(STAGED).map_err(engine)?,
            table,
            counters,
            changed: false,
            openings: if shared.opening_noted.load(Ordering::Relaxed) {
                None
            } else {
                Some(transaction.open_table(OPENINGS).map_err(engine)?)
            },
            notes_opening: false,
            small: Some(Changes::default()),
        })
    }

    /// One request: the outer error is the storage's.
    fn apply(&mut self, pending: &Pending) -> Result<Answer, Error> {
        match &pending.request {
            Request::Change(changes) => Ok(self.change(changes)?.map(Reply::Changed)),
            // Its upload was dropped, and maybe discarded: what was staged now would stay.
            Request::Stage { .. } if pending.reply.is_canceled() => Ok(Err(Error::Closed.into())),
            Request::Stage { at, bytes } => {
                Ok(self.stage(*at, bytes)?.map(Reply::Staged).map_err(Into::into))
            }
            Request::Sync => Ok(Ok(Reply::Synced(self.counters.last_version))),
        }
    }

    fn change(
        &mut self,
        changes: &[(Key, Condition, Change)],
    ) -> Result<Result<Vec<Applied>, TransactError>, Error> {
        let mut found = Vec::with_capacity(changes.len());
        let mut after = self.counters;
        for (at, (key, condition, change)) in changes.iter().enumerate() {
            let current = self.current(key)?;
            match self.consider(&mut after, current, *condition, change)? {
                Ok(()) => found.push(current),
                Err(error) => return Ok(Err(TransactError { operation: Some(at), error })),
            }
        }
        let committed = changes.iter().filter_map(|(_, _, change)| match change {
            Change::Put(source) => self.staged_bytes.get(&source.staged?.blob),
            Change::None | Change::Delete { .. } => None,
        });
        if let Err(error) = self.check_room(&after, committed.sum()) {
            return Ok(Err(error.into()));
        }
        let changes_any = changes.iter().zip(&found).any(|((_, _, change), found)| match change {
            Change::None => false,
            Change::Put(_) => true,
            Change::Delete { .. } => found.is_some(),
        });
        if changes_any {
            after.last_version = after.last_version.checked_add(1).ok_or_else(no_more_versions)?;
            self.changed = true;
            self.note_opening()?;
        }
        self.counters = after;
        let mut applied = Vec::with_capacity(changes.len());
        for ((key, _, change), found) in changes.iter().zip(found) {
            let before = found.map(|found| found.version);
            let after = match change {
                Change::None => before,
                Change::Put(source) => Some(self.put(key, source, found)?),
                Change::Delete { .. } => {
                    if let Some(found) = found {
                        self.entries.remove(key.as_bytes()).map_err(engine)?;
                        if let Some(small) = &mut self.small {
                            small.remove(key.as_bytes());
                        }
                        self.remove_blob(found)?;
                    }
                    None
                }
            };
            applied.push(Applied { before, after });
        }
        Ok(Ok(applied))
    }

    /// Has the store know which opening gave out the versions from here on, from which marks can be checked.
    fn note_opening(&mut self) -> Result<(), Error> {
        let Some(mut openings) = self.openings.take() else { return Ok(()) };
        let after = self.counters.last_version;
        let record = encode_opening(after, &self.shared.opening);
        self.small = None;
        openings.insert(after, &*record).map_err(engine)?;
        while openings.len().map_err(engine)? > MAX_OPENINGS {
            openings.pop_first().map_err(engine)?;
        }
        self.notes_opening = true;
        Ok(())
    }

    /// What a key has, without its value.
    fn current(&self, key: &Key) -> Result<Option<Current>, Error> {
        let Some(record) = self.entries.get(key.as_bytes()).map_err(engine)? else { return Ok(None) };
        let entry = EntryRecord::decode(key.as_bytes(), record.value())?;
        let blob = match entry.content {
            Content::Inline(_) => None,
            Content::Blob(blob) => Some(blob),
        };
        Ok(Some(Current { version: entry.version, size_bytes: entry.size_bytes, blob }))
    }

    /// Whether a change may be made, and what it makes of the counters.
    fn consider(
        &self,
        counters: &mut Counters,
        current: Option<Current>,
        condition: Condition,
        change: &Change,
    ) -> Result<Result<(), Error>, Error> {
        if let Err(error) = condition.check(current.map(|current| current.version)) {
            return Ok(Err(error));
        }
        let (old_keys, old_bytes) = current.map_or((0, 0), |current| (1, current.size_bytes));
        let (new_keys, new_bytes) = match change {
            Change::None => (old_keys, old_bytes),
            Change::Put(source) => {
                if let Some(staged) = source.staged
                    && self.staged.get(staged.blob).map_err(engine)?.is_none()
                {
                    return Ok(Err(lost_upload()));
                }
                (1, source.size_bytes)
            }
            Change::Delete { or: true } if current.is_none() => return Ok(Err(Error::NotFound)),
            Change::Delete { .. } => (0, 0),
        };
        counters.keys = counters.keys.saturating_add(new_keys).saturating_sub(old_keys);
        counters.value_bytes = counters.value_bytes.saturating_add(new_bytes).saturating_sub(old_bytes);
        Ok(Ok(()))
    }

    /// Whether the store may hold so much, of which `committed_bytes` were staged. Less than before it always may.
    fn check_room(&self, after: &Counters, committed_bytes: u64) -> Result<(), Error> {
        let Limits { value_bytes, keys } = self.shared.options.limits;
        let staged = self.staged_bytes.values().sum::<u64>().saturating_sub(committed_bytes);
        if after.keys > keys && after.keys > self.counters.keys {
            return Err(Error::QuotaExceeded { what: "keys", limit: keys });
        }
        if after.value_bytes.saturating_add(staged) > value_bytes
            && after.value_bytes > self.counters.value_bytes
        {
            return Err(Error::QuotaExceeded { what: "bytes of values", limit: value_bytes });
        }
        Ok(())
    }

    fn put(&mut self, key: &Key, source: &Source, found: Option<Current>) -> Result<Version, Error> {
        let version = Version::new(self.counters.last_version).ok_or_else(no_more_versions)?;
        let content = if source.size_bytes <= MAX_INLINE_BYTES as u64 {
            Content::Inline(&source.tail)
        } else {
            let at = source.staged.unwrap_or_else(|| Staged {
                blob: self.shared.next_blob.fetch_add(1, Ordering::SeqCst),
                chunks: 0,
            });
            self.append(at, &source.tail)?;
            self.unstage(at.blob)?;
            Content::Blob(at.blob)
        };
        let record = EntryRecord { version, size_bytes: source.size_bytes, content }.encode(key);
        self.entries.insert(key.as_bytes(), &*record).map_err(engine)?;
        if let Some(small) = &mut self.small {
            small.put(key.as_bytes(), &record);
        }
        if let Some(found) = found {
            self.remove_blob(found)?;
        }
        Ok(version)
    }

    fn stage(&mut self, at: Staged, bytes: &[u8]) -> Result<Result<Staged, Error>, Error> {
        if at.chunks > 0 && self.staged.get(at.blob).map_err(engine)?.is_none() {
            return Ok(Err(lost_upload()));
        }
        let mut after = self.counters;
        after.value_bytes = after.value_bytes.saturating_add(bytes.len() as u64);
        if let Err(error) = self.check_room(&after, 0) {
            return Ok(Err(error));
        }
        if at.chunks == 0 {
            self.staged.insert(at.blob, ()).map_err(engine)?;
        }
        *self.staged_bytes.entry(at.blob).or_default() += bytes.len() as u64;
        self.changed = true;
        Ok(Ok(self.append(at, bytes)?))
    }

    fn append(&mut self, mut at: Staged, bytes: &[u8]) -> Result<Staged, Error> {
        self.small = None;
        for chunk in bytes.chunks(CHUNK_BYTES) {
            let record = encode_chunk(at.blob, at.chunks, chunk);
            self.chunks.insert((at.blob, at.chunks), &*record).map_err(engine)?;
            at.chunks += 1;
        }
        self.counters.next_blob = self.counters.next_blob.max(at.blob.saturating_add(1));
        Ok(at)
    }

    /// From now on an entry names the blob, or nothing does.
    fn unstage(&mut self, blob: u64) -> Result<bool, Error> {
        self.staged_bytes.remove(&blob);
        self.small = None;
        Ok(self.staged.remove(blob).map_err(engine)?.is_some())
    }

    fn remove_blob(&mut self, of: Current) -> Result<(), Error> {
        let Some(blob) = of.blob else { return Ok(()) };
        self.small = None;
        match self.old_blobs {
            OldBlobs::Remove => remove_chunks(&mut self.chunks, blob),
            OldBlobs::Leave => Ok(()),
        }
    }

    /// Removes what dropped uploads have left.
    fn discard(&mut self) -> Result<(), Error> {
        let mut list = self.shared.discarded.lock().unwrap_or_else(PoisonError::into_inner);
        let discarded = std::mem::take(&mut *list);
        drop(list);
        for blob in discarded {
            if self.unstage(blob)? {
                remove_chunks(&mut self.chunks, blob)?;
                self.changed = true;
            }
        }
        Ok(())
    }

    fn close(mut self, log: &Log) -> Result<Outcome, Error> {
        if !self.changed {
            return Ok(Outcome::Nothing);
        }
        let payload = self.small.map(|small| small.payload(&self.counters));
        let outcome = if let Some(payload) = payload.filter(|payload| log.has_room(payload.len())) {
            Outcome::Small(payload)
        } else {
            self.counters.log = log.key().next();
            Outcome::Whole(self.counters.log)
        };
        self.table.insert((), &*self.counters.encode()).map_err(engine)?;
        Ok(outcome)
    }
}

#[derive(Clone, Copy)]
struct Current {
    version: Version,
    size_bytes: u64,
    blob: Option<u64>,
}

fn no_more_versions() -> Error {
    Error::integrity("its versions have come to their end")
}

fn lost_upload() -> Error {
    std::io::Error::other("the store was opened anew after it had failed, and this upload was lost").into()
}

/// Removes all chunks of a blob.
pub(super) fn remove_chunks(
    chunks: &mut Table<'_, (u64, u32), &'static [u8]>,
    blob: u64,
) -> Result<(), Error> {
    chunks.retain_in((blob, 0)..=(blob, u32::MAX), |_, _| false).map_err(engine)
}
