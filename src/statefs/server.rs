//! The server of one vat: a [`Store`] behind the interface of `schema/statefs.capnp`, as far as its peer's [`Access`]
//! reaches.
//!
//! What the peer may not see is answered as if it were not there. A change of what it may not change is denied, whether or
//! not there is such a key. Values are read where the call arrives, on the vat's thread; changes wait for the
//! store's writer, and other calls go on meanwhile.

use futures::lock::Mutex;
use vatmux_driver::yield_now;
use vatmux_rpc::service::{Call, Refusal, Stub};

use super::SERVICE_NAME;
use super::access::{Access, Right};
use super::error::Error;
use super::key::{Key, KeyError, Prefix};
use super::mark::Mark;
use super::request::{Condition, Operation, Step};
use super::store::{MAX_PAGE_ENTRIES, MAX_PEER_READINGS, Store, Usage, Version};
use super::upload::{MAX_PEER_UPLOADS, Upload};
use super::writer::{MAX_OPERATIONS, MAX_PUT_BYTES};
use crate::access::Mutation;
use crate::access::shares::Share;
use crate::schema::packagefs::ByteSink;
use crate::schema::statefs::{
    self as wire, StateFs, StateFsReadResults, StateFsServer, StateFsSinceResults, StateFsUsageResults,
    Status, UploadServer,
};
use crate::schema::statefs_capnp::{condition, operation, state_fs};

/// The most bytes that one write of an upload carries.
pub const MAX_WRITE_BYTES: usize = 1024 * 1024;

/// The statefs service of one vat, or a narrower view that it gave away.
#[derive(Clone, Debug)]
pub struct Server {
    store: Store,
    access: Access,
}

impl Server {
    /// A server of what `access` lets somebody see and change of `store`.
    #[must_use]
    pub fn new(store: Store, access: Access) -> Self {
        Self { store, access }
    }

    fn visible(&self, key: &[u8]) -> Result<Key, Refusal<Status>> {
        let key = Key::parse(key).map_err(refused_key)?;
        match self.access.of(&key) {
            Some(Right::Read | Right::Write) => Ok(key),
            None => Err(Status::NotFound.into()),
        }
    }

    fn changeable(&self, key: &[u8]) -> Result<Key, Refusal<Status>> {
        let key = Key::parse(key).map_err(refused_key)?;
        match self.access.of(&key) {
            Some(Right::Write) => Ok(key),
            Some(Right::Read) | None => Err(Status::AccessDenied.into()),
        }
    }

    fn begin_upload(
        &self,
        call: &Call,
        params: state_fs::write_params::Reader<'_>,
    ) -> Result<(Share, Upload), Refusal<Status>> {
        let key = self.changeable(params.get_key()?.as_bytes())?;
        let condition = read_condition(params.get_condition()?)?;
        let shares = &self.store.shared().uploads_by_peer;
        let share = shares
            .take(call.peer(), MAX_PEER_UPLOADS)
            .ok_or_else(|| refused(Error::Busy("uploads of this node's")))?;
        let upload = self.store.upload(key, params.get_size_bytes(), condition).map_err(refused)?;
        Ok((share, upload))
    }

    fn operation(&self, operation: operation::Reader<'_>) -> Result<Operation, Refusal<Status>> {
        let name = operation.get_key()?.as_bytes();
        let condition = read_condition(operation.get_condition()?)?;
        let (key, step) = match operation.which() {
            // What may not be seen cannot be checked: the answer would say whether it is there.
            Ok(operation::Check(())) => {
                let key = Key::parse(name).map_err(refused_key)?;
                if self.access.of(&key).is_none() {
                    return Err(Status::AccessDenied.into());
                }
                (key, Step::Check)
            }
            Ok(operation::Put(value)) => {
                let value = value?;
                check_put(value)?;
                (self.changeable(name)?, Step::Put(value.to_vec()))
            }
            Ok(operation::Delete(())) => (self.changeable(name)?, Step::Delete),
            Err(capnp::NotInSchema(_)) => {
                return Err(Refusal::new(Status::Unsupported, "an operation that this server does not know"));
            }
        };
        Ok(Operation { key, condition, step })
    }
}

impl StateFsServer for Server {
    async fn get(
        &self,
        _call: &Call,
        key: &str,
        limit: u32,
        mut results: state_fs::get_results::Builder<'_>,
    ) -> Result<(), Refusal<Status>> {
        if limit as usize > MAX_PUT_BYTES {
            return Err(Refusal::new(
                Status::ValueTooLarge,
                format!("at most {MAX_PUT_BYTES} bytes in one call"),
            ));
        }
        let key = self.visible(key.as_bytes())?;
        let found = self.store.get(&key).map_err(refused)?.ok_or(Status::NotFound)?;
        results.set_version(found.version().get());
        results.set_size_bytes(found.size_bytes());
        if found.size_bytes() > limit.into() {
            return Err(Status::ValueTooLarge.into());
        }
        results.set_value(&found.read().map_err(refused)?.bytes);
        Ok(())
    }

    async fn read(
        &self,
        call: &Call,
        key: &str,
        sink: ByteSink,
    ) -> Result<StateFsReadResults, Refusal<Status>> {
        let shares = &self.store.shared().readings_by_peer;
        let _share = shares
            .take(call.peer(), MAX_PEER_READINGS)
            .ok_or_else(|| refused(Error::Busy("reads of this node's")))?;
        let key = self.visible(key.as_bytes())?;
        let mut found = self.store.get(&key).map_err(refused)?.ok_or(Status::NotFound)?;
        let (version, size_bytes) = (found.version().get(), found.size_bytes());
        while let Some(chunk) = found.next_chunk().map_err(refused)? {
            sink.write(&chunk).await.map_err(capnp::Error::from)?;
        }
        sink.end(size_bytes).await.map_err(capnp::Error::from)?;
        Ok(StateFsReadResults { version, size_bytes })
    }

    async fn put(
        &self,
        call: &Call,
        params: state_fs::put_params::Reader<'_>,
        mut results: state_fs::put_results::Builder<'_>,
    ) -> Result<(), Refusal<Status>> {
        let name = params.get_key()?.as_bytes();
        let mutation = Mutation::asked(SERVICE_NAME, call, name);
        let outcome = async {
            let value = params.get_value()?;
            check_put(value)?;
            let key = self.changeable(name)?;
            let condition = read_condition(params.get_condition()?)?;
            let put = self.store.put(key, value.to_vec(), condition).await;
            results.set_version(version_of(put.as_ref()));
            put.map(drop).map_err(refused)
        };
        let outcome = outcome.await;
        mutation.end(&outcome);
        outcome
    }

    async fn write(
        &self,
        call: &Call,
        params: state_fs::write_params::Reader<'_>,
    ) -> Result<wire::Upload, Refusal<Status>> {
        let mutation = Mutation::asked(SERVICE_NAME, call, params.get_key()?.as_bytes());
        match self.begin_upload(call, params) {
            Ok((share, upload)) => {
                let receiving = Receiving { upload: Ok(upload), mutation: Some(mutation), _share: share };
                Ok(wire::Upload::serve(Mutex::new(receiving)))
            }
            Err(refusal) => {
                mutation.failed(&refusal);
                Err(refusal)
            }
        }
    }

    async fn delete(
        &self,
        call: &Call,
        params: state_fs::delete_params::Reader<'_>,
        mut results: state_fs::delete_results::Builder<'_>,
    ) -> Result<(), Refusal<Status>> {
        let name = params.get_key()?.as_bytes();
        let mutation = Mutation::asked(SERVICE_NAME, call, name);
        let outcome = async {
            self.visible(name)?;
            let key = self.changeable(name)?;
            let deleted = self.store.delete(key, read_condition(params.get_condition()?)?).await;
            results.set_version(version_of(deleted.as_ref()));
            deleted.map(drop).map_err(refused)
        };
        let outcome = outcome.await;
        mutation.end(&outcome);
        outcome
    }

    async fn list(
        &self,
        _call: &Call,
        prefix: &str,
        cursor: &[u8],
        limit: u32,
        mut results: state_fs::list_results::Builder<'_>,
    ) -> Result<(), Refusal<Status>> {
        let prefix = Prefix::parse(prefix.as_bytes()).map_err(refused_key)?;
        let after = match cursor {
            [] => None,
            cursor => Some(Key::parse(cursor).map_err(|_| Status::InvalidCursor)?),
        };
        let limit = (limit as usize).clamp(1, MAX_PAGE_ENTRIES);
        let page = self.access.list(&self.store, &prefix, after.as_ref(), limit).map_err(refused)?;
        if let Some(next) = &page.next {
            results.set_next(next.as_bytes());
        }
        let mut entries = results.init_entries(page.entries.len() as u32);
        for (at, found) in (0..).zip(&page.entries) {
            let mut entry = entries.reborrow().get(at);
            entry.set_key(found.key.as_str());
            entry.set_version(found.version.get());
            entry.set_size_bytes(found.size_bytes);
        }
        Ok(())
    }

    async fn transact(
        &self,
        call: &Call,
        params: state_fs::transact_params::Reader<'_>,
        mut results: state_fs::transact_results::Builder<'_>,
    ) -> Result<(), Refusal<Status>> {
        let asked = params.get_operations()?;
        let mutations = mutations(call, asked)?;
        let outcome = async {
            if asked.len() as usize > MAX_OPERATIONS {
                let (count, limit) = (asked.len() as usize, MAX_OPERATIONS);
                return Err(refused(Error::TransactionLimit { what: "operations", count, limit }));
            }
            let mut operations = Vec::with_capacity(asked.len() as usize);
            for (at, operation) in (1..).zip(asked) {
                operations.push(self.operation(operation).inspect_err(|_| results.set_failed(at))?);
            }
            self.store.transact(operations).await.map_err(|failed| {
                results.set_failed(failed.operation.map_or(0, |at| at as u32 + 1));
                refused(failed.error)
            })
        };
        let outcome = outcome.await;
        for mutation in mutations {
            mutation.end(&outcome);
        }
        let versions = outcome?;
        let mut list = results.init_versions(versions.len() as u32);
        for (at, version) in (0..).zip(versions) {
            list.set(at, version.map_or(0, Version::get));
        }
        Ok(())
    }

    async fn sync(&self, _call: &Call) -> Result<u64, Refusal<Status>> {
        self.store.sync().await.map_err(refused)
    }

    async fn usage(&self, _call: &Call, prefix: &str) -> Result<StateFsUsageResults, Refusal<Status>> {
        let asked = Prefix::parse(prefix.as_bytes()).map_err(refused_key)?;
        let mut usage = Usage::default();
        if asked.is_empty() && self.access == Access::full() {
            usage = self.store.usage(&asked).map_err(refused)?;
        } else {
            let mut after = None;
            loop {
                let page = self.access.list(&self.store, &asked, after.as_ref(), MAX_PAGE_ENTRIES);
                let page = page.map_err(refused)?;
                usage.keys += page.entries.len() as u64;
                usage.value_bytes += page.entries.iter().map(|entry| entry.size_bytes).sum::<u64>();
                match page.next {
                    Some(next) => after = Some(next),
                    None => break,
                }
                yield_now().await;
            }
        }
        let quota_bytes = self.store.limits().value_bytes;
        Ok(StateFsUsageResults { keys: usage.keys, value_bytes: usage.value_bytes, quota_bytes })
    }

    async fn narrow(&self, _call: &Call, prefix: &str, read_only: bool) -> Result<StateFs, Refusal<Status>> {
        let prefix = Prefix::parse(prefix.as_bytes()).map_err(refused_key)?;
        let access = self.access.narrowed(&prefix, read_only);
        Ok(StateFs::serve(Self::new(self.store.clone(), access)))
    }

    async fn since(&self, _call: &Call, mark: &[u8]) -> Result<StateFsSinceResults, Refusal<Status>> {
        let mark =
            Mark::from_bytes(mark).map_err(|error| Refusal::new(Status::Malformed, error.to_string()))?;
        self.store.check(&mark).map_err(refused)?;
        let mark = self.store.mark().map_err(refused)?.to_bytes();
        Ok(StateFsSinceResults { state: StateFs::serve(self.clone()), mark })
    }
}

/// The changes that a transaction is to make: as many as a transaction may have, or one for all of them where it has too many.
fn mutations(
    call: &Call,
    asked: capnp::struct_list::Reader<'_, operation::Owned>,
) -> Result<Vec<Mutation>, Refusal<Status>> {
    if asked.len() as usize > MAX_OPERATIONS {
        let target = format!("{} operations", asked.len());
        return Ok(vec![Mutation::asked(SERVICE_NAME, call, target.as_bytes())]);
    }
    let mut mutations = Vec::new();
    for operation in asked {
        match operation.which() {
            Ok(operation::Check(())) | Err(capnp::NotInSchema(_)) => {}
            Ok(operation::Put(_) | operation::Delete(())) => {
                mutations.push(Mutation::asked(SERVICE_NAME, call, operation.get_key()?.as_bytes()));
            }
        }
    }
    Ok(mutations)
}

/// An upload, or why it failed.
struct Receiving {
    upload: Result<Upload, Error>,
    /// Until its end is told.
    mutation: Option<Mutation>,
    _share: Share,
}

impl Receiving {
    /// What was staged goes at once; the rest of the bytes come to nothing.
    fn fail(&mut self, error: Error) {
        if let Some(mutation) = self.mutation.take() {
            mutation.failed(&refused(error.clone()));
        }
        self.upload = Err(error);
    }
}

impl UploadServer for Mutex<Receiving> {
    async fn write(&self, _call: &Call, bytes: &[u8]) -> capnp::Result<()> {
        let mut receiving = self.lock().await;
        if bytes.len() > MAX_WRITE_BYTES {
            let (bytes, limit_bytes) = (bytes.len() as u64, MAX_WRITE_BYTES as u64);
            receiving.fail(Error::ValueTooLarge { bytes, limit_bytes });
        }
        if let Ok(open) = &mut receiving.upload
            && let Err(error) = open.write(bytes).await
        {
            receiving.fail(error);
        }
        Ok(())
    }

    async fn commit(&self, _call: &Call) -> Result<u64, Refusal<Status>> {
        let mut receiving = self.lock().await;
        let over = Err(Error::Malformed("this upload was committed before"));
        let upload = std::mem::replace(&mut receiving.upload, over).map_err(refused)?;
        let mutation = receiving.mutation.take();
        let version = upload.commit().await.map_err(refused);
        if let Some(mutation) = mutation {
            mutation.end(&version);
        }
        Ok(version?.get())
    }
}

fn check_put(value: &[u8]) -> Result<(), Refusal<Status>> {
    if value.len() > MAX_PUT_BYTES {
        let (bytes, limit_bytes) = (value.len() as u64, MAX_PUT_BYTES as u64);
        return Err(refused(Error::ValueTooLarge { bytes, limit_bytes }));
    }
    Ok(())
}

fn read_condition(condition: condition::Reader<'_>) -> Result<Condition, Refusal<Status>> {
    Ok(match condition.which() {
        Ok(condition::Any(())) => Condition::Any,
        Ok(condition::Absent(())) => Condition::Absent,
        Ok(condition::Present(())) => Condition::Present,
        Ok(condition::Version(version)) => {
            Version::new(version).map_or(Condition::Absent, Condition::Version)
        }
        Err(capnp::NotInSchema(_)) => {
            return Err(Refusal::new(Status::Unsupported, "a condition that this server does not know"));
        }
    })
}

/// What is told of a change: the version that it made, or the one that was in its way.
fn version_of(changed: Result<&Version, &Error>) -> u64 {
    match changed {
        Ok(version) => version.get(),
        Err(Error::VersionMismatch { found }) => found.map_or(0, Version::get),
        Err(_) => 0,
    }
}

fn refused_key(error: KeyError) -> Refusal<Status> {
    refused(error.into())
}

/// For [`Result::map_err`].
#[allow(clippy::needless_pass_by_value)]
fn refused(error: Error) -> Refusal<Status> {
    let status = match &error {
        Error::NotFound => Status::NotFound,
        Error::VersionMismatch { .. } => Status::VersionMismatch,
        Error::ValueTooLarge { .. } => Status::ValueTooLarge,
        Error::Key(KeyError::TooLong { .. }) => Status::KeyTooLong,
        Error::Key(_) => Status::InvalidKey,
        Error::Malformed(_) => Status::Malformed,
        Error::InvalidCursor => Status::InvalidCursor,
        Error::TransactionLimit { .. } => Status::TransactionLimit,
        Error::QuotaExceeded { .. } | Error::DiskFull => Status::QuotaExceeded,
        Error::Busy(_) => Status::Busy,
        Error::Integrity(_) => Status::IntegrityViolation,
        Error::Rollback { .. } | Error::Diverged { .. } => Status::RollbackDetected,
        Error::Io(_) | Error::Closed => Status::IoError,
    };
    Refusal::new(status, error.to_string())
}
