//! What a node shows of itself, and to whom.

use std::rc::Rc;
use std::sync::mpsc;
use std::time::Duration;

use capnp::any_pointer;
use vatmux::health::{self, NodeReport, Scope};
use vatmux::schema::health_capnp::health as schema;
use vatmux::{
    AllowList, Entropy, Local, Node, NodeAddress, NodeBuilder, NodeEvent, NodeId, Outcome, Peer, Priority,
    Remote, SecretKey, SessionSnapshot,
};

/// Nothing here takes this long; a test that hangs should say so.
const PATIENCE: Duration = Duration::from_secs(30);

fn key() -> SecretKey {
    SecretKey::generate(Entropy::from_system().unwrap())
}

fn only(id: NodeId) -> AllowList {
    [id].into_iter().collect()
}

/// A node that offers health, all of it to `operator`, and its events.
fn node(
    operator: NodeId,
    configure: impl FnOnce(NodeBuilder) -> NodeBuilder,
) -> (Node, mpsc::Receiver<NodeEvent>) {
    let (tell, events) = mpsc::channel();
    let builder = Node::builder(key())
        .allow(AllowList::Anyone)
        .listen(&"127.0.0.1:0".parse().unwrap())
        .unwrap()
        .on_event(move |event| drop(tell.send(event)));
    (configure(health::offer(builder, only(operator))).start().unwrap(), events)
}

/// Somebody on a session with a node.
struct Caller {
    local: Local,
    peer: Peer,
    health: Remote<schema::Client>,
}

impl Caller {
    fn new(node: &Node, key: SecretKey) -> Self {
        let address =
            NodeAddress { node: node.node_id(), endpoint: node.endpoints()[0].clone(), path: String::new() };
        let mut local = Local::new(key).unwrap();
        let dialer = local.dialer();
        let peer = local.drive_until(dialer.dial(&address)).unwrap().unwrap();
        let health = peer.connect_named(health::SERVICE_NAME, health::PRIORITY).unwrap();
        Self { local, peer, health }
    }

    fn id(&self) -> NodeId {
        self.local.dialer().node_id()
    }

    fn ping(&mut self) {
        self.local.drive_until(health::ping(&self.health, 6)).unwrap().unwrap();
    }

    fn node(&mut self) -> NodeReport {
        self.local.drive_until(health::node(&self.health)).unwrap().unwrap()
    }

    /// All sessions that it may see, so many at a time.
    fn sessions(&mut self, at_a_time: u16) -> Vec<SessionSnapshot> {
        let mut all: Vec<SessionSnapshot> = Vec::new();
        loop {
            let after = all.last().map_or(0, |session| session.id);
            let page =
                self.local.drive_until(health::sessions(&self.health, after, at_a_time)).unwrap().unwrap();
            assert!(page.sessions.len() <= at_a_time.into());
            all.extend(page.sessions);
            if !page.more {
                return all;
            }
        }
    }
}

#[test]
fn a_stranger_sees_its_own_session_and_nothing_else() {
    let (node, _events) = node(key().node_id(), |builder| builder);
    let mut other = Caller::new(&node, key());
    other.ping();
    let mut stranger = Caller::new(&node, key());
    stranger.ping();
    let report = stranger.node();
    assert_eq!(report.scope, Scope::OwnSession);
    assert!(report.software.is_none() && report.counters.is_none() && report.rescues.is_none());
    assert!(report.uptime > Duration::ZERO);
    assert_eq!(report.limits.max_message_bytes, 8 << 20);
    let [service] = &report.services[..] else { panic!("{report:?}") };
    assert_eq!((service.service.as_str(), service.vats_opened), (health::SERVICE_NAME, 1));
    assert_eq!(service.served.ended(Outcome::Ok), 1, "its own ping, and not the other's");
    let methods: Vec<_> = service.methods.iter().map(|method| method.method.as_str()).collect();
    assert_eq!(methods, ["Health.node", "Health.ping"]);
    let [session] = &stranger.sessions(16)[..] else { panic!() };
    assert_eq!(session.statistics.node_id, stranger.id());
    let [stream] = &session.statistics.streams[..] else { panic!() };
    assert_eq!((stream.service.as_str(), stream.opened_here), (health::SERVICE_NAME, false));
    assert_eq!(stream.calls_served, 1, "the call that asks");
    let beyond = stranger.local.drive_until(health::sessions(&stranger.health, 1, 16)).unwrap().unwrap();
    assert!(beyond.sessions.is_empty() && !beyond.more);
}

#[test]
fn an_operator_sees_every_session_however_it_turns_the_pages() {
    let key = key();
    let (node, _events) = node(key.node_id(), |builder| builder.workers(3));
    let mut callers: Vec<_> = (0..7).map(|_| Caller::new(&node, self::key())).collect();
    callers.iter_mut().for_each(Caller::ping);
    let mut operator = Caller::new(&node, key);
    let report = operator.node();
    assert_eq!(report.scope, Scope::WholeNode);
    assert!(report.software.unwrap().starts_with("vatmux "));
    let counters = report.counters.unwrap();
    assert_eq!((counters.sessions, counters.connected, counters.refused), (8, 8, 0));
    assert_eq!((counters.panics, report.rescues), (0, Some(0)));
    let [service] = &report.services[..] else { panic!() };
    assert_eq!((service.vats_open, service.served.ended(Outcome::Ok)), (8, 7));
    let ping = service.methods.iter().find(|method| method.method == "Health.ping").unwrap();
    assert_eq!((ping.served.started, ping.served.ended(Outcome::Ok), ping.asked.started), (7, 7, 0));
    let mut expected: Vec<_> = callers.iter().map(Caller::id).chain([operator.id()]).collect();
    expected.sort_unstable();
    for at_a_time in [1, 2, 3, 8, 500] {
        let sessions = operator.sessions(at_a_time);
        let mut seen: Vec<_> = sessions.iter().map(|session| session.statistics.node_id).collect();
        seen.sort_unstable();
        assert_eq!(seen, expected, "{at_a_time} at a time");
    }
    drop(callers);
}

#[test]
fn methods_that_a_peer_makes_up_are_counted_by_their_service_alone() {
    let (node, _events) = node(key().node_id(), |builder| builder);
    let mut caller = Caller::new(&node, key());
    for ordinal in 1_000..1_200 {
        let health: &schema::Client = &caller.health;
        let call = health.client.new_call::<any_pointer::Owned, any_pointer::Owned>(
            u64::from(ordinal),
            ordinal,
            None,
        );
        assert!(caller.local.drive_until(call.send().promise).unwrap().is_err());
    }
    let report = caller.node();
    let [service] = &report.services[..] else { panic!("{report:?}") };
    assert_eq!(service.served.ended(Outcome::Exception), 200);
    let methods: Vec<_> = service.methods.iter().map(|method| method.method.as_str()).collect();
    assert_eq!(methods, ["Health.node"]);
}

#[test]
fn what_is_over_stays_counted() {
    let key = key();
    let (node, events) = node(key.node_id(), |builder| builder);
    for _ in 0..3 {
        let mut caller = Caller::new(&node, self::key());
        caller.ping();
    }
    let mut ended = 0;
    while ended < 3 {
        let event = events.recv_timeout(PATIENCE).expect("the node tells");
        ended += usize::from(matches!(event, NodeEvent::Ended(..)));
    }
    let mut operator = Caller::new(&node, key);
    let report = operator.node();
    let counters = report.counters.unwrap();
    assert_eq!((counters.sessions, counters.connected), (1, 4));
    let [service] = &report.services[..] else { panic!() };
    assert_eq!((service.vats_opened, service.vats_open), (4, 1));
    assert_eq!(service.served.ended(Outcome::Ok), 3);
    assert_eq!(service.served.latency.count(), 3);
}

/// A server with a defect.
struct Defective;

impl schema::Server for Defective {
    async fn ping(self: Rc<Self>, _: schema::PingParams, _: schema::PingResults) -> capnp::Result<()> {
        panic!("six is not seven")
    }
}

#[test]
fn a_task_that_panics_is_told_and_counted() {
    let key = key();
    let (node, events) = node(key.node_id(), |builder| {
        builder.serve_named("defect", Priority::FIRST, |_| {
            capnp_rpc::new_client::<schema::Client, _>(Defective).client
        })
    });
    let mut caller = Caller::new(&node, key);
    let defect: Remote<schema::Client> = caller.peer.connect_named("defect", Priority::FIRST).unwrap();
    caller.local.drive_until(health::ping(&defect, 6)).unwrap().unwrap_err();
    let message = loop {
        if let NodeEvent::TaskPanicked(message) = events.recv_timeout(PATIENCE).expect("the node tells") {
            break message;
        }
    };
    assert_eq!(message, "six is not seven");
    assert_eq!(caller.node().counters.unwrap().panics, 1);
}

#[test]
fn an_observer_outlives_its_node() {
    let (node, _events) = node(key().node_id(), |builder| builder);
    let mut caller = Caller::new(&node, key());
    caller.ping();
    let observer = node.observer();
    let seen = caller.local.drive_until(observer.snapshot()).unwrap();
    assert_eq!((seen.sessions.len(), seen.silent_workers), (1, 0));
    drop(node);
    let gone = caller.local.drive_until(observer.snapshot()).unwrap();
    assert!(gone.sessions.is_empty() && gone.silent_workers > 0);
    assert_eq!(gone.counters.connected, 1);
}

#[test]
fn a_node_that_dials_can_be_asked_as_well() {
    let (tell, told) = mpsc::channel();
    let (node, _events) = node(key().node_id(), |builder| {
        builder.serve_named("ask-back", Priority::default(), move |peer| {
            let back: Remote<schema::Client> =
                peer.connect_named(health::SERVICE_NAME, health::PRIORITY).unwrap();
            let tell = tell.clone();
            peer.session().handle().spawn(async move {
                let report = health::node(&back).await.map(|report| report.scope);
                let _ = tell.send(report.ok());
            });
            capnp_rpc::new_client::<schema::Client, _>(Defective).client
        })
    });
    let address =
        NodeAddress { node: node.node_id(), endpoint: node.endpoints()[0].clone(), path: String::new() };
    let mut services = vatmux::Services::default();
    health::offer_among(&mut services).unwrap();
    let mut local = Local::with_services(key(), services).unwrap();
    let (dialer, handle) = (local.dialer(), local.handle());
    let scope = local
        .drive_until(async {
            let peer = dialer.dial(&address).await.unwrap();
            let _asked: Remote<schema::Client> = peer.connect_named("ask-back", Priority::default()).unwrap();
            loop {
                // What the other thread has sent wakes nobody here.
                match told.try_recv() {
                    Ok(scope) => return scope,
                    Err(_) => handle.sleep(Duration::from_millis(1)).await,
                }
            }
        })
        .unwrap();
    assert_eq!(scope, Some(Scope::OwnSession));
}
