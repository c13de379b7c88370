//! A watch: what there is, a marker, and then each change.

use std::sync::Arc;
use std::time::Duration;

use vatmux_rpc::deadline;
use vatmux_rpc::service::Error;

use super::access::View;
use super::name::{Name, Prefix};
use super::registry::{Place, Registry};
use super::table::{Change, Entry};
use crate::schema::samgr::Watcher;
use crate::schema::samgr_capnp::change;

/// The most changes in one call of a watcher.
pub const MAX_BATCH: usize = 64;

/// How long a watcher may leave a call unanswered. It is found out when there is something more to tell.
pub const WATCHER_PATIENCE: Duration = Duration::from_secs(30);

/// What somebody watches.
pub(super) struct Watched {
    pub(super) registry: Registry,
    pub(super) place: Place,
    pub(super) view: View,
    pub(super) prefix: Prefix,
    pub(super) watcher: Watcher,
}

impl Watched {
    fn sees(&self, name: &Name) -> bool {
        self.prefix.begins(name) && self.view.sees(name)
    }

    /// Tells the watcher all there is and will be, until it does not take it any more. A watcher that knows the state at
    /// `since` is told what happened since, where that is known.
    pub(super) async fn tell(&self, since: Option<u64>) {
        // It learns nothing from the words: what it was told last, it has.
        let _ = self.tell_until_refused(since).await;
    }

    async fn tell_until_refused(&self, since: Option<u64>) -> Result<(), Error> {
        let mut revision = match since {
            None => self.tell_state().await?,
            Some(since) => match self.catch_up(since).await? {
                Some(revision) => revision,
                None => self.tell_anew().await?,
            },
        };
        loop {
            let see = |change: &Change| self.sees(change.name());
            revision = match self.registry.changes(&self.place, revision, MAX_BATCH, see).await {
                Some((changes, upto)) => {
                    self.changes(&changes).await?;
                    upto
                }
                None => self.tell_anew().await?,
            };
        }
    }

    /// All that happened since a revision, and that this was all. None where it is not known any more.
    async fn catch_up(&self, since: u64) -> Result<Option<u64>, Error> {
        let mut revision = since;
        loop {
            let see = |change: &Change| self.sees(change.name());
            match self.registry.changes_now(revision, MAX_BATCH, see) {
                None => return Ok(None),
                Some((changes, upto)) => {
                    if changes.is_empty() {
                        patiently(|| self.watcher.current(upto)).await?;
                        return Ok(Some(upto));
                    }
                    self.changes(&changes).await?;
                    revision = upto;
                }
            }
        }
    }

    /// What there is, and that this was all.
    async fn tell_state(&self) -> Result<u64, Error> {
        let (state, _, revision) =
            self.registry.page(&self.prefix, None, usize::MAX, |name| self.view.sees(name));
        self.state(&state, revision).await
    }

    /// That changes were missed, and what there is now.
    async fn tell_anew(&self) -> Result<u64, Error> {
        let (state, _, revision) =
            self.registry.page(&self.prefix, None, usize::MAX, |name| self.view.sees(name));
        patiently(|| self.watcher.compacted(revision)).await?;
        self.state(&state, revision).await
    }

    async fn state(&self, state: &[Arc<Entry>], revision: u64) -> Result<u64, Error> {
        for entries in state.chunks(MAX_BATCH) {
            let told = patiently(|| {
                self.watcher.changes(|params| {
                    let mut list = params.init_changes(entries.len() as u32);
                    for (at, entry) in (0..).zip(entries) {
                        write_registered(list.reborrow().get(at), entry);
                    }
                })
            });
            told.await?;
        }
        patiently(|| self.watcher.current(revision)).await?;
        Ok(revision)
    }

    async fn changes(&self, changes: &[Arc<Change>]) -> Result<(), Error> {
        let told = patiently(|| {
            self.watcher.changes(|params| {
                let mut list = params.init_changes(changes.len() as u32);
                for (at, change) in (0..).zip(changes) {
                    write_change(list.reborrow().get(at), change);
                }
            })
        });
        told.await
    }
}

/// A call of the watcher's waits less than those that are passed on in the same vat.
fn patiently<T>(call: impl FnOnce() -> T) -> T {
    deadline::with(WATCHER_PATIENCE, call)
}

fn write_registered(mut to: change::Builder<'_>, entry: &Entry) {
    to.set_revision(entry.descriptor.revision);
    entry.descriptor.write(to.init_registered());
}

fn write_change(mut to: change::Builder<'_>, change: &Change) {
    match change {
        Change::Registered(entry) => write_registered(to, entry),
        Change::Unregistered { revision, entry, reason } => {
            to.set_revision(*revision);
            let mut unregistered = to.init_unregistered();
            unregistered.set_name(entry.name.as_str());
            unregistered.set_generation(entry.descriptor.generation);
            unregistered.set_reason(*reason);
        }
    }
}
