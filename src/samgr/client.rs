//! The client: the registry of another node.
//!
//! The server is not believed: what it answers is checked against what was asked.

use std::collections::VecDeque;
use std::fmt;
use std::future::IntoFuture;
use std::time::Duration;

use capnp::any_pointer;
use capnp::capability::FromClientHook;
use futures::StreamExt;
use futures::channel::{mpsc, oneshot};
use vatmux_noise::NodeId;
use vatmux_rpc::service::{self, Call, Calling, Capability, Digest, Fault, Service, Stub};
use vatmux_rpc::{ConnectError, Peer};

use super::name::{Name, Prefix};
use crate::schema::samgr::{
    Descriptor, Registration, SAMGR_INTERFACE, Samgr, Status, Watch, Watcher, WatcherServer,
};
use crate::schema::samgr_capnp::{self, Conflict, Reason, descriptor, watcher};

/// A request to a registry came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The registry refused, or did not answer.
    #[error(transparent)]
    Call(#[from] service::Error<Status>),
    /// The answer does not fit what was asked.
    #[error("the registry's answer makes no sense: {0}")]
    Answer(&'static str),
}

impl RequestError {
    /// The registry's reason, where it gave one.
    #[must_use]
    pub fn status(&self) -> Option<Status> {
        match self {
            Self::Call(error) => error.status().copied(),
            Self::Answer(_) => None,
        }
    }
}

/// How a registration gets along with others of its name. By default it refuses to replace, and to be replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Where the name is taken by a registration of the same node that may be replaced, that one is gone.
    pub replace: bool,
    /// Whether a later registration of the same node may replace this one.
    pub replaceable: bool,
    /// The registration is gone when so much time passes without a [`heartbeat`](Registered::heartbeat), though its session
    /// lives. In milliseconds, at most 49 days.
    pub heartbeat: Option<Duration>,
}

/// What a node lets this one see and register of who offers what.
#[derive(Clone)]
pub struct Client {
    remote: Samgr,
}

/// A registration, for as long as this is held.
#[derive(Clone)]
pub struct Registered {
    registration: Registration,
    /// Which registration it is, of all that the registry has seen.
    pub generation: u64,
    /// The change that registered it.
    pub revision: u64,
}

/// A service that was found.
#[derive(Clone)]
pub struct Found<S> {
    /// The service itself.
    pub service: S,
    /// What is known of it.
    pub descriptor: Descriptor,
}

/// One page of a listing.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// What is registered, ordered by name.
    pub services: Vec<Descriptor>,
    /// The name that the next page follows; none where this was the last one.
    pub next: Option<Name>,
    /// The registry, and the revision at which it was so.
    pub seen: Seen,
}

/// A state of a registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The registry: another one when its node starts anew.
    pub epoch: u64,
    /// The last change that made it.
    pub revision: u64,
}

/// A name that is being looked up: what comes of it, when it is awaited, or what can be called before.
#[must_use = "a call that nobody waits for is canceled"]
pub struct Resolving<S> {
    answer: Calling<Found<S>, Status>,
    service: S,
}

impl<S: Clone> Resolving<S> {
    /// The service: what is called on it leaves at once, and waits at the registry until that knows where to.
    #[must_use]
    pub fn service(&self) -> S {
        self.service.clone()
    }
}

impl<S: 'static> IntoFuture for Resolving<S> {
    type Output = Result<Found<S>, service::Error<Status>>;

    type IntoFuture = Calling<Found<S>, Status>;

    fn into_future(self) -> Self::IntoFuture {
        self.answer
    }
}

impl Client {
    /// The registry of a peer. It costs no round trip: that there is none, the first call says.
    pub fn connect(peer: &Peer) -> Result<Self, ConnectError> {
        Ok(Self { remote: peer.connect()? })
    }

    /// A client of a capability.
    #[must_use]
    pub fn new(remote: Samgr) -> Self {
        Self { remote }
    }

    /// Offers a service under a name for as long as what this gives is held. `version` is for people, and has at most
    /// [`MAX_VERSION_BYTES`](super::MAX_VERSION_BYTES).
    pub async fn register<S: Service>(
        &self,
        name: &Name,
        service: &S,
        version: &str,
        policy: Policy,
    ) -> Result<Registered, RequestError> {
        let client = service.capability().client().clone();
        let digest = Some(S::DESCRIPTOR.digest);
        self.offer(name, client, (S::INTERFACE.id, digest), version, policy).await
    }

    /// As [`register`](Self::register), for a capability of any interface.
    pub async fn register_capability<S: Stub>(
        &self,
        name: &Name,
        capability: &S,
        version: &str,
        policy: Policy,
    ) -> Result<Registered, RequestError> {
        let client = capability.capability().client().clone();
        self.offer(name, client, (S::INTERFACE.id, None), version, policy).await
    }

    async fn offer(
        &self,
        name: &Name,
        client: impl FromClientHook,
        (interface_id, digest): (u64, Option<Digest>),
        version: &str,
        policy: Policy,
    ) -> Result<Registered, RequestError> {
        let registered = self.remote.register(|mut params| {
            params.set_name(name.as_str());
            params.reborrow().init_service().set_as_capability(client.into_client_hook());
            let mut agreed = params.reborrow().init_policy();
            agreed.set_conflict(if policy.replace { Conflict::Replace } else { Conflict::Refuse });
            agreed.set_replaceable(policy.replaceable);
            let heartbeat = policy.heartbeat.map_or(0, |every| every.as_millis().max(1));
            agreed.set_heartbeat_millis(u32::try_from(heartbeat).unwrap_or(u32::MAX));
            let mut descriptor = params.init_descriptor();
            descriptor.set_interface_id(interface_id);
            descriptor.set_version(version);
            if let Some(digest) = digest {
                descriptor.set_schema_digest(&digest.0);
            }
        });
        let registered = registered.await?;
        Ok(Registered {
            registration: registered.registration,
            generation: registered.generation,
            revision: registered.revision,
        })
    }

    /// Looks a name up. Calls on what this gives may be sent at once.
    pub fn resolve<S: Stub + 'static>(&self, name: &Name) -> Resolving<S> {
        let capability = self.remote.capability();
        let mut request = capability.client().resolve_request();
        request.get().set_name(name.as_str());
        let sent = capability.send(&SAMGR_INTERFACE.methods[1], request);
        let service = self.of(sent.pipeline.get_service().as_cap());
        let (asked, origin) = (name.clone(), capability.clone());
        let answer = sent.read(move |results| {
            service::accept(results.get_status(), results.get_detail())?;
            looked_up(&asked, &origin, results.get_descriptor(), results.get_service())
        });
        Resolving { answer, service }
    }

    /// As [`resolve`](Self::resolve), as soon as somebody offers the name: within `patience`, which has at most
    /// [`MAX_WAIT`](super::MAX_WAIT).
    pub fn wait_for<S: Stub + 'static>(&self, name: &Name, patience: Duration) -> Resolving<S> {
        let capability = self.remote.capability();
        let mut request = capability.client().wait_for_request();
        let mut params = request.get();
        params.set_name(name.as_str());
        params.set_timeout_millis(u32::try_from(patience.as_millis()).unwrap_or(u32::MAX));
        let sent = capability.send(&SAMGR_INTERFACE.methods[2], request);
        let service = self.of(sent.pipeline.get_service().as_cap());
        let (asked, origin) = (name.clone(), capability.clone());
        let answer = sent.read(move |results| {
            service::accept(results.get_status(), results.get_detail())?;
            looked_up(&asked, &origin, results.get_descriptor(), results.get_service())
        });
        Resolving { answer, service }
    }

    fn of<S: Stub>(&self, hook: Box<dyn capnp::private::capability::ClientHook>) -> S {
        S::of(self.remote.capability().derive(FromClientHook::new(hook)))
    }

    /// One page of what is registered under names that begin with `prefix`, ordered by name, from the one that follows
    /// `after` on: at most `limit`, and no more than [`MAX_PAGE_SERVICES`](super::MAX_PAGE_SERVICES).
    pub async fn list(
        &self,
        prefix: &Prefix,
        after: Option<&Name>,
        limit: u32,
    ) -> Result<Page, RequestError> {
        let cursor = after.map_or(&[][..], |after| after.as_str().as_bytes());
        let response = self.remote.list(prefix.as_str(), cursor, limit).await?;
        let results = response.get().map_err(|_| UNREADABLE)?;
        let seen = Seen { epoch: results.get_epoch(), revision: results.get_revision() };
        let mut page = Page { seen, ..Page::default() };
        let mut last = after.cloned();
        for service in results.get_services().map_err(|_| UNREADABLE)? {
            let service = Descriptor::read(service).map_err(|_| UNREADABLE)?;
            let name = check(&service).map_err(RequestError::Answer)?;
            if !prefix.begins(&name) || last.is_some_and(|last| name <= last) {
                return Err(RequestError::Answer("a listing is out of order, or of other names"));
            }
            last = Some(name);
            page.services.push(service);
        }
        let next = results.get_next().map_err(|_| UNREADABLE)?;
        if !next.is_empty() {
            let last = last.filter(|last| !page.services.is_empty() && last.as_str().as_bytes() == next);
            page.next = Some(last.ok_or(UNREADABLE)?);
        }
        Ok(page)
    }

    /// Watches the names that begin with `prefix`, until what this gives is dropped. Who knows the state that was `seen`
    /// is told what happened since.
    pub async fn watch(&self, prefix: &Prefix, seen: Option<Seen>) -> Result<Watching, RequestError> {
        let (tell, told) = mpsc::unbounded();
        let watcher = Watcher::serve(Told { tell });
        let Seen { epoch, revision } = seen.unwrap_or_default();
        let watch = self.remote.watch(prefix.as_str(), &watcher, revision, epoch).await?;
        let phase = if revision > 0 { Phase::CatchingUp { revision } } else { Phase::State { last: None } };
        Ok(Watching {
            told,
            ready: VecDeque::new(),
            taken: None,
            prefix: prefix.clone(),
            epoch: watch.epoch,
            phase,
            _watch: watch.watch,
        })
    }
}

impl Registered {
    /// Says that the provider is alive and well. It fails as [`Status::Gone`] when the registration is no more.
    pub async fn heartbeat(&self) -> Result<(), RequestError> {
        Ok(self.registration.heartbeat().await?)
    }
}

const UNREADABLE: RequestError = RequestError::Answer("it is not what the schema says");

/// What a lookup gave, if it is what was asked for.
fn looked_up<S: Stub>(
    asked: &Name,
    origin: &Capability<samgr_capnp::samgr::Client>,
    descriptor: capnp::Result<descriptor::Reader<'_>>,
    service: any_pointer::Reader<'_>,
) -> Result<Found<S>, Fault<Status>> {
    let descriptor = found(asked, descriptor)?;
    Ok(Found { service: S::of(origin.derive(given(service)?)), descriptor })
}

/// A descriptor of what was asked for.
fn found(asked: &Name, reader: capnp::Result<descriptor::Reader<'_>>) -> Result<Descriptor, Fault<Status>> {
    let descriptor = Descriptor::read(reader?)?;
    match check(&descriptor) {
        Ok(name) if name == *asked => Ok(descriptor),
        Ok(_) => Err(capnp::Error::failed("it is not the service that was asked for".to_owned()).into()),
        Err(wrong) => Err(capnp::Error::failed(wrong.to_owned()).into()),
    }
}

fn given<C: FromClientHook>(service: any_pointer::Reader<'_>) -> Result<C, Fault<Status>> {
    if service.is_null() {
        return Err(capnp::Error::failed("a service was found, and not given".to_owned()).into());
    }
    Ok(service.get_as_capability()?)
}

/// The name of a descriptor that can be one.
fn check(descriptor: &Descriptor) -> Result<Name, &'static str> {
    if !matches!(descriptor.schema_digest.len(), 0 | 32) {
        return Err("a digest has another length");
    }
    if descriptor.node.parse::<NodeId>().is_err() {
        return Err("a service of nobody who has a node id");
    }
    descriptor.name.parse().map_err(|_| "a service has a name that is none")
}

/// What a watch tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A service is there: before the first [`Current`](Self::Current), and after a [`Compacted`](Self::Compacted) until the next
    /// one, it was; otherwise it has come.
    Registered(Descriptor),
    /// A service is gone.
    Unregistered {
        /// Its name.
        name: Name,
        /// Which registration of the name.
        generation: u64,
        /// Of the change.
        revision: u64,
        /// Why.
        reason: Reason,
    },
    /// What was told is the state at this revision.
    Current(u64),
    /// Changes up to this revision were missed: what was told before counts no more.
    Compacted(u64),
}

/// Why a watch tells nothing more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// The registry let go of it, because what it told was not taken for too long, or the session ended.
    #[error(
        "the registry does not tell anything more: the session is over, or what it told was not taken in time"
    )]
    Ended,
    /// What it told makes no sense.
    #[error("what the registry tells makes no sense: {0}")]
    Answer(&'static str),
}

/// A watch, which ends when it is dropped.
///
/// What is not taken with [`next`](Self::next) waits at the registry; whoever takes nothing for
/// [`WATCHER_PATIENCE`](super::WATCHER_PATIENCE) is let go of.
pub struct Watching {
    told: mpsc::UnboundedReceiver<Delivery>,
    /// Of the last delivery, what was not taken.
    ready: VecDeque<Event>,
    /// Whom to tell when it is.
    taken: Option<oneshot::Sender<()>>,
    prefix: Prefix,
    epoch: u64,
    phase: Phase,
    _watch: Watch,
}

enum Phase {
    /// It is told what there is.
    State { last: Option<Name> },
    /// It is told what happened since a revision.
    CatchingUp { revision: u64 },
    /// It is told what happens.
    Changes { revision: u64 },
}

struct Delivery {
    events: capnp::Result<Vec<Event>>,
    taken: oneshot::Sender<()>,
}

impl Watching {
    /// What comes next.
    pub async fn next(&mut self) -> Result<Event, WatchError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.follow(&event).map_err(WatchError::Answer)?;
                return Ok(event);
            }
            if let Some(taken) = self.taken.take() {
                // Nobody waits where the registry gave up.
                let _ = taken.send(());
            }
            let Delivery { events, taken } = self.told.next().await.ok_or(WatchError::Ended)?;
            let unreadable = |_| WatchError::Answer("it is not what the schema says");
            self.ready = events.map_err(unreadable)?.into();
            self.taken = Some(taken);
        }
    }

    /// The state that was told in full, for another watch that goes on where this one ended.
    #[must_use]
    pub fn seen(&self) -> Option<Seen> {
        match self.phase {
            Phase::State { .. } => None,
            Phase::CatchingUp { revision } | Phase::Changes { revision } => {
                Some(Seen { epoch: self.epoch, revision })
            }
        }
    }

    /// Whether an event can follow those before it.
    fn follow(&mut self, event: &Event) -> Result<(), &'static str> {
        let name = match event {
            Event::Registered(descriptor) => Some(check(descriptor)?),
            Event::Unregistered { name, .. } => Some(name.clone()),
            Event::Current(_) | Event::Compacted(_) => None,
        };
        if name.as_ref().is_some_and(|name| !self.prefix.begins(name)) {
            return Err("it was not asked for");
        }
        match (&mut self.phase, event) {
            (Phase::State { last }, Event::Registered(_)) => {
                if *last >= name {
                    return Err("the state is out of order");
                }
                *last = name;
            }
            (Phase::State { .. }, Event::Current(revision)) => {
                self.phase = Phase::Changes { revision: *revision };
            }
            (Phase::State { .. }, Event::Unregistered { .. } | Event::Compacted(_)) => {
                return Err("the state is of what there is");
            }
            (
                Phase::CatchingUp { revision: last } | Phase::Changes { revision: last },
                Event::Registered(Descriptor { revision, .. }) | Event::Unregistered { revision, .. },
            ) => {
                if revision <= last {
                    return Err("a change is out of order");
                }
                *last = *revision;
            }
            (Phase::CatchingUp { .. }, Event::Compacted(_)) => self.phase = Phase::State { last: None },
            (Phase::Changes { revision: last }, Event::Compacted(revision)) => {
                if revision <= last {
                    return Err("what was told counts no more, for no change");
                }
                self.phase = Phase::State { last: None };
            }
            (Phase::CatchingUp { revision: last }, Event::Current(revision)) => {
                if revision < last {
                    return Err("the state is older than what was told");
                }
                self.phase = Phase::Changes { revision: *revision };
            }
            (Phase::Changes { .. }, Event::Current(_)) => return Err("a state that nobody told"),
        }
        Ok(())
    }
}

/// Takes what a registry tells, in the order in which it arrives.
struct Told {
    tell: mpsc::UnboundedSender<Delivery>,
}

impl Told {
    /// Done when it was taken: what is on its way meanwhile, the registry bounds, and so do the vat's limits on calls.
    async fn deliver(&self, events: capnp::Result<Vec<Event>>) -> capnp::Result<()> {
        let (taken, when_taken) = oneshot::channel();
        let gone = || capnp::Error::disconnected("nobody watches any more".to_owned());
        self.tell.unbounded_send(Delivery { events, taken }).map_err(|_| gone())?;
        when_taken.await.map_err(|_| gone())
    }
}

impl WatcherServer for Told {
    async fn changes(&self, _call: &Call, params: watcher::changes_params::Reader<'_>) -> capnp::Result<()> {
        let events = params.get_changes().and_then(|changes| changes.iter().filter_map(event).collect());
        self.deliver(events).await
    }

    async fn current(&self, _call: &Call, revision: u64) -> capnp::Result<()> {
        self.deliver(Ok(vec![Event::Current(revision)])).await
    }

    async fn compacted(&self, _call: &Call, revision: u64) -> capnp::Result<()> {
        self.deliver(Ok(vec![Event::Compacted(revision)])).await
    }
}

/// A change, unless it is of a kind that only later schemas know.
fn event(change: samgr_capnp::change::Reader<'_>) -> Option<capnp::Result<Event>> {
    let revision = change.get_revision();
    let read = match change.which() {
        Ok(samgr_capnp::change::Registered(descriptor)) => registered(descriptor, revision),
        Ok(samgr_capnp::change::Unregistered(gone)) => unregistered(gone, revision),
        Err(capnp::NotInSchema(_)) => return None,
    };
    Some(read)
}

fn registered(descriptor: capnp::Result<descriptor::Reader<'_>>, revision: u64) -> capnp::Result<Event> {
    let descriptor = Descriptor::read(descriptor?)?;
    if descriptor.revision != revision {
        return Err(capnp::Error::failed("a change has two revisions".to_owned()));
    }
    Ok(Event::Registered(descriptor))
}

fn unregistered(gone: samgr_capnp::change::unregistered::Reader<'_>, revision: u64) -> capnp::Result<Event> {
    let name = gone.get_name()?.to_str()?.parse();
    Ok(Event::Unregistered {
        name: name.map_err(|error: super::NameError| capnp::Error::failed(error.to_string()))?,
        generation: gone.get_generation(),
        revision,
        reason: gone.get_reason().unwrap_or(Reason::Other),
    })
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registered").field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl<S> fmt::Debug for Found<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Found").field("descriptor", &self.descriptor).finish_non_exhaustive()
    }
}

impl fmt::Debug for Watching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watching").field("seen", &self.seen()).finish_non_exhaustive()
    }
}
