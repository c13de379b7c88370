//! The server of one vat: a [`Registry`](super::Registry) behind the interface of `schema/samgr.capnp`, as far as its peer's
//! [`Access`] reaches.
//!
//! What the peer may not see is answered as if it were not there.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use capnp::any_pointer;
use capnp::capability::Client;
use futures::channel::oneshot;
use futures::future::{Either, select};
use vatmux_driver::{Instant, Session};
use vatmux_rpc::service::{Call, Refusal, Stub};
use vatmux_rpc::{Peer, settled};

use super::SERVICE_NAME;
use super::access::{Access, View};
use super::desk::{Desk, Ways};
use super::name::{Name, NameError, Prefix};
use super::registry::{Kind, Place, TooMany};
use super::road;
use super::table::{By, Entry, Taken};
use super::watch::Watched;
use crate::access::Mutation;
use crate::schema::samgr::{
    Descriptor, Policy, Registration, RegistrationServer, SamgrRegisterResults, SamgrServer,
    SamgrWatchResults, Status, Watch, WatchServer, Watcher,
};
use crate::schema::samgr_capnp::{Reason, descriptor, samgr};

/// The most services on one page of a list.
pub const MAX_PAGE_SERVICES: usize = 256;

/// The longest version that a provider may say, in bytes.
pub const MAX_VERSION_BYTES: usize = 64;

/// The longest that a call may wait for somebody to register.
pub const MAX_WAIT: Duration = Duration::from_mins(10);

/// The bytes of a schema's digest.
const DIGEST_BYTES: usize = 32;

/// The samgr service of one vat.
pub(super) struct Server {
    desk: Rc<Desk>,
    peer: Peer,
    view: View,
    ways: Ways,
}

impl Server {
    /// What `access` lets a peer see and register.
    pub(super) fn new(desk: Rc<Desk>, peer: &Peer, access: Access) -> Self {
        desk.open(peer);
        let view = View::new(access, desk.directory.clone(), peer.node_id());
        Self { desk, peer: peer.clone(), view, ways: Ways::default() }
    }

    fn place(&self, kind: Kind) -> Result<Place, Refusal<Status>> {
        self.desk.registry.claim(self.peer.node_id(), kind).map_err(too_many)
    }

    async fn registered(
        &self,
        params: samgr::register_params::Reader<'_>,
    ) -> Result<SamgrRegisterResults, Refusal<Status>> {
        let name: Name = text(params.get_name())?.parse().map_err(invalid_name)?;
        if !self.view.registers(&name) {
            return Err(Status::AccessDenied.into());
        }
        let policy = Policy::read(params.get_policy()?)?;
        let descriptor = described(&name, params.get_descriptor()?, &self.peer)?;
        if !params.has_service() {
            return Err(Refusal::new(Status::Malformed, "no capability was given"));
        }
        let place = self.place(Kind::Registration)?;
        // What the caller pipelines may be anything, until it is there.
        let capability = settled(params.get_service().get_as_capability::<Client>()?).await;
        if road::is_local(&capability) {
            let detail = "the capability is not one of the caller's own";
            return Err(Refusal::new(Status::Malformed, detail));
        }
        let by =
            By::Peer { node: self.peer.node_id(), replaceable: policy.replaceable, home: self.desk.home() };
        let registry = &self.desk.registry;
        let entry = registry.register(name, descriptor, by, policy.conflict).map_err(taken)?;
        let (generation, revision) = (entry.descriptor.generation, entry.descriptor.revision);
        self.desk.offer(generation, capability);
        let held = Rc::new(Held {
            desk: self.desk.clone(),
            session: self.peer.session().clone(),
            entry,
            heard: Cell::new(self.peer.session().handle().now()),
            _place: place,
        });
        if policy.heartbeat_millis > 0 {
            let every = Duration::from_millis(policy.heartbeat_millis.into());
            expire_without_heartbeat(&held, &self.peer, every);
        }
        let registration = Registration::serve(Holding(held));
        Ok(SamgrRegisterResults { registration, generation, revision })
    }

    /// Puts what was found into the results: `None` where it is gone already.
    fn give(&self, entry: &Arc<Entry>) -> Result<Client, Refusal<Status>> {
        let capability = self.ways.to(entry, &self.desk, &self.peer).map_err(too_many)?;
        capability.ok_or_else(|| Status::NotFound.into())
    }
}

impl SamgrServer for Server {
    async fn register(
        &self,
        call: &Call,
        params: samgr::register_params::Reader<'_>,
    ) -> Result<SamgrRegisterResults, Refusal<Status>> {
        let name = params.get_name().map_or(&[][..], |name| name.as_bytes());
        let mutation = Mutation::asked(SERVICE_NAME, call, name);
        let outcome = self.registered(params).await;
        mutation.end(&outcome);
        outcome
    }

    async fn resolve(
        &self,
        _call: &Call,
        name: &str,
        mut results: samgr::resolve_results::Builder<'_>,
    ) -> Result<(), Refusal<Status>> {
        let name: Name = name.parse().map_err(invalid_name)?;
        let entry = self.desk.registry.find(&name).filter(|_| self.view.sees(&name));
        let entry = entry.ok_or(Status::NotFound)?;
        set(results.reborrow().init_service(), self.give(&entry)?);
        entry.descriptor.write(results.init_descriptor());
        Ok(())
    }

    async fn wait_for(
        &self,
        _call: &Call,
        name: &str,
        timeout_millis: u32,
        mut results: samgr::wait_for_results::Builder<'_>,
    ) -> Result<(), Refusal<Status>> {
        let name: Name = name.parse().map_err(invalid_name)?;
        let patience = Duration::from_millis(timeout_millis.into());
        if patience > MAX_WAIT {
            return Err(Refusal::new(Status::Malformed, format!("nobody waits longer than {MAX_WAIT:?}")));
        }
        let place = self.place(Kind::Wait)?;
        let handle = self.peer.session().handle();
        let waiting = async {
            if self.view.sees(&name) {
                let _forget = Forget { server: self, place: &place, name: &name };
                self.desk.registry.registered(&place, &name).await
            } else {
                // As long as for a name that nobody offers.
                std::future::pending().await
            }
        };
        let entry = handle.timeout(patience, waiting).await.map_err(|_| Status::TimedOut)?;
        set(results.reborrow().init_service(), self.give(&entry)?);
        entry.descriptor.write(results.init_descriptor());
        Ok(())
    }

    async fn list(
        &self,
        _call: &Call,
        prefix: &str,
        cursor: &[u8],
        limit: u32,
        mut results: samgr::list_results::Builder<'_>,
    ) -> Result<(), Refusal<Status>> {
        let prefix: Prefix = prefix.parse().map_err(invalid_name)?;
        let after = match cursor {
            [] => None,
            cursor => {
                let after = std::str::from_utf8(cursor).ok().and_then(|after| after.parse::<Name>().ok());
                let after = after.filter(|after| prefix.begins(after) && self.view.sees(after));
                Some(after.ok_or(Status::InvalidCursor)?)
            }
        };
        let limit = (limit as usize).clamp(1, MAX_PAGE_SERVICES);
        let see = |name: &Name| self.view.sees(name);
        let (page, more, revision) = self.desk.registry.page(&prefix, after.as_ref(), limit, see);
        results.set_revision(revision);
        results.set_epoch(self.desk.registry.epoch());
        if let Some(last) = page.last().filter(|_| more) {
            results.set_next(last.name.as_str().as_bytes());
        }
        let mut services = results.init_services(page.len() as u32);
        for (at, entry) in (0..).zip(&page) {
            entry.descriptor.write(services.reborrow().get(at));
        }
        Ok(())
    }

    async fn watch(
        &self,
        _call: &Call,
        prefix: &str,
        watcher: Watcher,
        since: u64,
        epoch: u64,
    ) -> Result<SamgrWatchResults, Refusal<Status>> {
        let prefix = prefix.parse().map_err(invalid_name)?;
        let place = self.place(Kind::Watch)?;
        let registry = self.desk.registry.clone();
        let own_epoch = registry.epoch();
        // Of another registry nothing is known, whatever its revisions were.
        let since = (since > 0).then_some(if epoch == own_epoch { since } else { u64::MAX });
        let watched = Watched { registry, place, view: self.view.clone(), prefix, watcher };
        let (dropped, ended) = oneshot::channel();
        self.peer.session().handle().spawn(async move {
            let telling = watched.tell(since);
            // Either end of it: the watch is dropped, or the watcher does not take what it is told.
            match select(std::pin::pin!(telling), ended).await {
                Either::Left(((), _)) | Either::Right(_) => {}
            }
        });
        Ok(SamgrWatchResults { watch: Watch::serve(Watching { _dropped: dropped }), epoch: own_epoch })
    }
}

/// Dropping it ends the watch.
struct Watching {
    _dropped: oneshot::Sender<()>,
}

impl WatchServer for Watching {}

/// What a wait leaves behind that came to nothing.
struct Forget<'a> {
    server: &'a Server,
    place: &'a Place,
    name: &'a Name,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.server.desk.registry.forget(self.place, self.name);
    }
}

/// The handle of a registration.
struct Holding(Rc<Held>);

struct Held {
    desk: Rc<Desk>,
    session: Session,
    entry: Arc<Entry>,
    /// When the provider was last heard.
    heard: Cell<Instant>,
    _place: Place,
}

impl Held {
    fn is_registered(&self) -> bool {
        let there = self.desk.registry.find(&self.entry.name);
        there.is_some_and(|there| there.descriptor.generation == self.entry.descriptor.generation)
    }

    fn end(&self, reason: Reason) {
        let generation = self.entry.descriptor.generation;
        if self.desk.registry.unregister(&self.entry.name, generation, reason) {
            let (peer, name) = (self.session.peer(), self.entry.name.as_str());
            tracing::info!(%peer, name, ?reason, "a service is gone");
        }
        self.desk.withdraw(generation);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.end(if self.session.end().is_some() { Reason::Disconnected } else { Reason::Dropped });
    }
}

impl RegistrationServer for Holding {
    async fn heartbeat(&self, call: &Call) -> Result<(), Refusal<Status>> {
        if !self.0.is_registered() {
            return Err(Status::Gone.into());
        }
        if let Some(context) = call.context() {
            self.0.heard.set(context.arrived());
        }
        Ok(())
    }
}

/// Ends a registration when nothing was heard for so long.
fn expire_without_heartbeat(held: &Rc<Held>, peer: &Peer, every: Duration) {
    let handle = peer.session().handle().clone();
    let (held, timers) = (Rc::downgrade(held), handle.clone());
    handle.spawn(async move {
        loop {
            let Some(heard) = held.upgrade().map(|held| held.heard.get()) else { return };
            timers.sleep_until(heard + every).await;
            let Some(held) = held.upgrade() else { return };
            if held.heard.get() == heard {
                held.end(Reason::Expired);
                return;
            }
        }
    });
}

/// What the provider says of its service, and what the channel says of the provider.
fn described(name: &Name, said: descriptor::Reader<'_>, peer: &Peer) -> Result<Descriptor, Refusal<Status>> {
    let schema_digest = said.get_schema_digest()?;
    if !matches!(schema_digest.len(), 0 | DIGEST_BYTES) {
        return Err(Refusal::new(Status::Malformed, format!("a digest has {DIGEST_BYTES} bytes")));
    }
    let version = text(said.get_version())?;
    if version.len() > MAX_VERSION_BYTES || version.chars().any(char::is_control) {
        let detail = format!("a version has at most {MAX_VERSION_BYTES} bytes, and no control characters");
        return Err(Refusal::new(Status::Malformed, detail));
    }
    Ok(Descriptor {
        name: name.to_string(),
        interface_id: said.get_interface_id(),
        schema_digest: schema_digest.to_vec(),
        version: version.to_owned(),
        node: peer.node_id().to_string(),
        generation: 0,
        revision: 0,
        priority: 0,
        local: false,
    })
}

fn text(text: capnp::Result<capnp::text::Reader<'_>>) -> Result<&str, Refusal<Status>> {
    text?.to_str().map_err(|_| Refusal::new(Status::Malformed, "it is not UTF-8"))
}

fn set(mut to: any_pointer::Builder<'_>, capability: Client) {
    to.set_as_capability(capability.hook);
}

fn invalid_name(error: NameError) -> Refusal<Status> {
    Refusal::new(Status::InvalidName, error.to_string())
}

fn too_many(error: TooMany) -> Refusal<Status> {
    let TooMany { kind, most, of_one } = error;
    let whose = if of_one { "of one node" } else { "of all nodes together" };
    Refusal::new(Status::TooMany, format!("there may be {most} {} {whose}", kind.plural()))
}

fn taken(taken: Taken) -> Refusal<Status> {
    let detail = match taken {
        Taken::ByOther => "another node offers it",
        Taken::ByOwn => "this node offers it, and one of the two refuses the replacement",
    };
    Refusal::new(Status::AlreadyRegistered, detail)
}
