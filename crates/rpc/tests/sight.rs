//! What is counted and told of sessions, streams and calls.

mod common;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::rc::Rc;
use std::sync::Once;
use std::time::Duration;

use capnp::Error;
use capnp::capability::{Client, FromClientHook};
use common::{ProbeServer, Seen, echo, never, probe};
use futures::future::join;
use futures::io::AsyncWriteExt;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Scope};
use vatmux_driver::{Driver, Handle, Session, SessionOptions, Stream, accept, dial, pipe, virtual_time};
use vatmux_mux::{CloseCode, HeapStorage, Priority, StreamName};
use vatmux_noise::{AllowList, Entropy, SecretKey};
use vatmux_rpc::{
    CallStatistics, Limits, Options, Outcome, Peer, Remote, ServiceStatistics, Services, deadline,
};

fn key(number: u8) -> SecretKey {
    SecretKey::generate(Entropy::from_bytes([number; 32]).unwrap())
}

/// Two sessions over an in-process link.
fn sessions(driver: &mut Driver) -> (Session, Session) {
    let handle = driver.handle();
    let (near, far) = pipe(1 << 20);
    let (dialer, acceptor, allow) = (key(1), key(2), AllowList::Anyone);
    let entropy = |number| Entropy::from_bytes([number; 32]).unwrap();
    let options = SessionOptions::default;
    let node = acceptor.node_id();
    let dialing = dial(&handle, near, &dialer, node, entropy(3), HeapStorage::default(), options());
    let accepting = accept(&handle, far, &acceptor, &allow, entropy(4), HeapStorage::default(), options());
    let (dialed, accepted) = driver.drive_until(join(dialing, accepting)).unwrap();
    (dialed.unwrap(), accepted.unwrap())
}

/// Two nodes, of which one offers a probe, and both count.
struct Nodes {
    driver: Driver,
    handle: Handle,
    seen: Rc<Seen>,
    caller: Peer,
    callee: Peer,
    called: Rc<Services>,
}

impl Nodes {
    fn new() -> Self {
        Self::with(&Options::default())
    }

    fn with(options: &Options) -> Self {
        let (mut driver, _) = virtual_time::driver();
        let handle = driver.handle();
        let seen = Rc::new(Seen::default());
        let (dialed, accepted) = sessions(&mut driver);
        let (offered, offered_with) = (seen.clone(), handle.clone());
        let mut services = Services::default();
        services
            .serve_named("probe", Priority::default(), move |_| {
                let client: probe::Client = capnp_rpc::new_client(ProbeServer::new(&offered, &offered_with));
                Client::new(client.into_client_hook())
            })
            .unwrap();
        let called = Rc::new(services);
        let caller = Peer::new(dialed, Rc::default(), options.clone());
        let callee = Peer::new(accepted, called.clone(), options.clone());
        Self { driver, handle, seen, caller, callee, called }
    }

    fn run<F: Future>(&mut self, future: F) -> F::Output {
        self.driver.drive_until(future).expect("something always goes on")
    }

    fn probe(&self) -> Remote<probe::Client> {
        self.caller.connect_named("probe", Priority::default()).unwrap()
    }

    /// Lets everything happen that will.
    fn settle(&mut self) {
        let handle = self.handle.clone();
        self.run(handle.sleep(Duration::from_secs(1)));
    }

    /// Opens a stream for the probe and sends what is no message.
    fn send_nonsense(&mut self) -> Stream {
        let session = self.caller.session().clone();
        let name = StreamName::new("probe").unwrap();
        let mut stream = session.open(&name, Priority::default()).unwrap();
        self.run(stream.write_all(&[0xff; 64])).unwrap();
        self.settle();
        stream
    }

    /// What the caller counts as asked, and the callee as served.
    fn counted(&self) -> (CallStatistics, CallStatistics) {
        let of = |peer: &Peer| the_probe(&peer.statistics().services);
        (of(&self.caller).asked, of(&self.callee).served)
    }
}

fn the_probe(services: &[ServiceStatistics]) -> ServiceStatistics {
    let [service] = services else { panic!("{services:?}") };
    assert_eq!(service.service, "probe");
    service.clone()
}

fn fail(probe: &probe::Client, reason: &str) -> impl Future<Output = Result<(), Error>> + use<> {
    let mut request = probe.fail_request();
    request.get().set_reason(reason);
    let promise = request.send().promise;
    async move { promise.await.map(drop) }
}

/// How many calls ended in each way.
fn ends(calls: &CallStatistics) -> Vec<(Outcome, u64)> {
    let ended = Outcome::ALL.map(|outcome| (outcome, calls.ended(outcome)));
    ended.into_iter().filter(|(_, count)| *count > 0).collect()
}

#[test]
fn each_call_is_counted_at_both_ends_by_how_it_ended() {
    let mut nodes =
        Nodes::with(&Options { limits: Limits { max_calls: 2, ..Limits::default() }, ..Options::default() });
    let probe = nodes.probe();
    nodes.run(echo(&probe, 1)).unwrap();
    nodes.run(fail(&probe, "words")).unwrap_err();
    let late = deadline::with(Duration::from_millis(10), || never(&probe));
    assert!(deadline::is_exceeded(&nodes.run(late.promise).err().unwrap()));
    drop(late.pipeline);
    drop(never(&probe));
    nodes.settle();
    let _open = [never(&probe), never(&probe)];
    nodes.run(echo(&probe, 1)).unwrap_err();
    let (asked, served) = nodes.counted();
    assert_eq!((asked.started, asked.open(), served.started, served.open()), (7, 2, 7, 2));
    drop(probe);
    nodes.settle();
    let (asked, served) = nodes.counted();
    assert_eq!(
        ends(&asked),
        [
            (Outcome::Ok, 1),
            (Outcome::Exception, 1),
            (Outcome::Deadline, 1),
            (Outcome::Canceled, 1),
            (Outcome::Overloaded, 1),
            (Outcome::Disconnected, 2)
        ]
    );
    assert_eq!(
        ends(&served),
        [
            (Outcome::Ok, 1),
            (Outcome::Exception, 1),
            // The callee does not hear why.
            (Outcome::Canceled, 2),
            (Outcome::Overloaded, 1),
            (Outcome::Disconnected, 2)
        ]
    );
    assert_eq!((asked.open(), served.open()), (0, 0));
    assert_eq!((asked.latency.count(), served.latency.count()), (4, 3), "of those that tell of the service");
}

#[test]
fn a_latency_is_what_the_clock_says() {
    let mut nodes = Nodes::new();
    let probe = nodes.probe();
    for millis in [10, 20, 400] {
        let mut request = probe.after_request();
        request.get().set_millis(millis);
        nodes.run(request.send().promise).unwrap();
    }
    let (asked, served) = nodes.counted();
    for latency in [&asked.latency, &served.latency] {
        for (share, millis) in [(0.0, 10.0), (0.5, 20.0), (1.0, 400.0)] {
            let told = latency.quantile(share).unwrap().as_secs_f64() * 1e3;
            assert!((told / millis - 1.0_f64).abs() < 0.07, "{told} for {millis}");
        }
    }
}

#[test]
fn calls_in_the_other_direction_are_counted_as_such() {
    let mut nodes = Nodes::new();
    let probe = nodes.probe();
    let mut request = probe.count_twice_request();
    request.get().set_counter(common::new_counter(&nodes.seen));
    nodes.run(request.send().promise).unwrap();
    let caller = the_probe(&nodes.caller.statistics().services);
    let callee = the_probe(&nodes.callee.statistics().services);
    assert_eq!((caller.asked.started, caller.served.ended(Outcome::Ok)), (1, 2));
    assert_eq!((callee.served.started, callee.asked.ended(Outcome::Ok)), (1, 2));
}

#[test]
fn what_sessions_counted_outlives_them() {
    let mut nodes = Nodes::new();
    let probe = nodes.probe();
    nodes.run(echo(&probe, 1)).unwrap();
    let open = never(&probe);
    nodes.settle();
    nodes.callee.close(CloseCode::GOING_AWAY);
    nodes.run(open.promise).err().unwrap();
    nodes.settle();
    let total = the_probe(&nodes.called.statistics());
    assert_eq!((total.vats_opened, total.vats_open, total.violations), (1, 0, 0));
    assert_eq!(ends(&total.served), [(Outcome::Ok, 1), (Outcome::Disconnected, 1)]);
}

#[test]
fn streams_that_are_turned_away_are_counted_by_the_reason() {
    let mut nodes = Nodes::with(&Options { max_served_vats: 1, ..Options::default() });
    let served = nodes.probe();
    nodes.run(echo(&served, 1)).unwrap();
    for (service, priority) in
        [("probe", Priority::default()), ("missing", Priority::LAST), ("probe", Priority::FIRST)]
    {
        let refused: Remote<probe::Client> = nodes.caller.connect_named(service, priority).unwrap();
        nodes.run(echo(&refused, 1)).unwrap_err();
    }
    let refusals = nodes.callee.statistics().refusals;
    assert_eq!((refusals.overloaded, refusals.no_such_service, refusals.not_allowed), (1, 1, 1));
}

#[test]
fn a_peer_that_breaks_the_rules_is_counted() {
    let mut nodes = Nodes::new();
    let _stream = nodes.send_nonsense();
    let statistics = the_probe(&nodes.callee.statistics().services);
    assert_eq!((statistics.vats_opened, statistics.vats_open, statistics.violations), (1, 0, 1));
}

#[test]
fn an_open_stream_shows_its_calls_and_its_credit() {
    let mut nodes = Nodes::new();
    let probe = nodes.probe();
    nodes.run(echo(&probe, 1)).unwrap();
    let _open = [never(&probe), never(&probe)];
    nodes.settle();
    let (caller, callee) = (nodes.caller.statistics(), nodes.callee.statistics());
    let ([ours], [theirs]) = (&caller.streams[..], &callee.streams[..]) else { panic!() };
    assert_eq!((ours.id, &ours.service, ours.opened_here), (theirs.id, &theirs.service, true));
    assert_eq!((ours.calls_asked, ours.calls_served), (2, 0));
    assert_eq!((theirs.calls_asked, theirs.calls_served, theirs.opened_here), (0, 2, false));
    let (ours, theirs) = (ours.statistics.unwrap(), theirs.statistics.unwrap());
    assert_eq!((ours.sent_bytes, ours.send_credit_bytes), (theirs.received_bytes, theirs.granted_bytes));
    assert!(caller.traffic.bytes_sent > 0 && caller.age >= Duration::from_secs(1));
    drop(probe);
    nodes.settle();
    assert!(nodes.caller.statistics().streams.is_empty());
}

#[test]
fn streams_that_are_over_take_no_place() {
    let mut nodes = Nodes::new();
    for _ in 0..1_000 {
        let probe = nodes.probe();
        nodes.run(echo(&probe, 1)).unwrap();
    }
    nodes.settle();
    let statistics = nodes.callee.statistics();
    assert!(statistics.streams.is_empty());
    assert_eq!(the_probe(&statistics.services).vats_opened, 1_000);
}

/// A span or an event, as a subscriber sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Told {
    name: String,
    /// The names of the spans that it is in, from the outermost.
    within: Vec<String>,
    fields: BTreeMap<&'static str, String>,
}

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.fields.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name(), value.to_owned());
    }
}

thread_local! {
    /// The spans that have closed, and the events.
    static TOLD: RefCell<Vec<Told>> = const { RefCell::new(Vec::new()) };
}

/// Keeps what it is told apart by the threads, which are tests.
struct Listener;

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for Listener {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut told = Told { name: attributes.metadata().name().to_owned(), ..Told::default() };
        attributes.record(&mut told);
        let span = context.span(id).unwrap();
        told.within = span.scope().from_root().map(|span| span.name().to_owned()).collect();
        told.within.pop();
        span.extensions_mut().insert(told);
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let span = context.span(id).unwrap();
        values.record(span.extensions_mut().get_mut::<Told>().unwrap());
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut told = Told::default();
        event.record(&mut told);
        told.name = told.fields.remove("message").unwrap();
        let scope = context.event_scope(event).into_iter().flat_map(Scope::from_root);
        told.within = scope.map(|span| span.name().to_owned()).collect();
        TOLD.with_borrow_mut(|all| all.push(told));
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let told = context.span(&id).unwrap().extensions_mut().remove::<Told>().unwrap();
        TOLD.with_borrow_mut(|all| all.push(told));
    }
}

/// What is told while `work` is done and everything is dropped.
fn told(work: impl FnOnce()) -> Vec<Told> {
    static LISTENING: Once = Once::new();
    LISTENING.call_once(|| {
        tracing::subscriber::set_global_default(Registry::default().with(Listener)).unwrap();
    });
    TOLD.take();
    work();
    TOLD.take()
}

fn with<'a>(told: &'a [Told], name: &str, field: &str, value: &str) -> Vec<&'a Told> {
    let is_meant = |told: &&Told| told.name == name && told.fields.get(field).is_some_and(|is| is == value);
    told.iter().filter(is_meant).collect()
}

#[test]
fn sessions_streams_and_calls_have_spans_that_say_how_they_ended() {
    let told = told(|| {
        let mut nodes = Nodes::new();
        let probe = nodes.probe();
        nodes.run(echo(&probe, 1)).unwrap();
        nodes.run(fail(&probe, "words of a secret")).unwrap_err();
        let _late = nodes.run(deadline::with(Duration::from_millis(10), || never(&probe)).promise);
        drop(never(&probe));
        let _open = never(&probe);
        nodes.settle();
        drop(probe);
        nodes.settle();
        nodes.caller.close(CloseCode::DONE);
        nodes.settle();
    });
    let (dialer, acceptor) = (key(1).node_id().to_string(), key(2).node_id().to_string());
    for (peer, caller, ends) in [
        (&acceptor, "us", ["ok", "exception", "deadline", "canceled", "disconnected"]),
        (&dialer, "peer", ["ok", "exception", "canceled", "canceled", "disconnected"]),
    ] {
        let calls = with(&told, "call", "caller", caller);
        let mut outcomes: Vec<_> = calls.iter().map(|call| call.fields["outcome"].as_str()).collect();
        let (mut methods, mut ends) = (Vec::new(), ends.to_vec());
        for call in &calls {
            assert_eq!((&call.fields["peer"], call.fields["service"].as_str()), (peer, "probe"));
            assert_eq!(call.within, ["session", "stream"]);
            assert!(call.fields["interface"].starts_with("0x"), "{call:?}");
            methods.push(call.fields["method"].as_str());
        }
        outcomes.sort_unstable();
        ends.sort_unstable();
        methods.sort_unstable();
        assert_eq!(outcomes, ends);
        assert_eq!(methods, ["0", "1", "1", "1", "9"]);
        assert_eq!(with(&told, "session", "peer", peer).len(), 1);
        assert_eq!(with(&told, "stream", "peer", peer).len(), 1);
        assert_eq!(with(&told, "a session is up", "peer", peer).len(), 1);
        assert_eq!(with(&told, "a session is over", "peer", peer).len(), 1);
    }
    assert!(!format!("{told:?}").contains("secret"), "what a call carries is its own business");
}

#[test]
fn whom_this_side_turns_away_is_told() {
    let told = told(|| {
        let mut nodes = Nodes::new();
        let missing: Remote<probe::Client> = nodes.caller.connect_named("missing", Priority::LAST).unwrap();
        nodes.run(echo(&missing, 1)).unwrap_err();
        let _stream = nodes.send_nonsense();
    });
    let dialer = key(1).node_id().to_string();
    let [refused] = with(&told, "refused a stream", "service", "missing")[..] else { panic!("{told:?}") };
    assert_eq!((refused.fields["peer"].as_str(), &refused.within), (&*dialer, &vec!["session".to_owned()]));
    let [ended] = with(&told, "ended a vat because of its peer", "peer", &dialer)[..] else {
        panic!("{told:?}")
    };
    assert!(ended.fields["reason"].contains("segments"), "{ended:?}");
}
