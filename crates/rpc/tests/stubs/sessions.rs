//! Services over sessions: offered and connected to by their types, and seen by their names.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join;
use tracing::Subscriber;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use vatmux_driver::{Driver, SessionOptions, accept, dial, pipe, virtual_time};
use vatmux_liveness::{Attempted, Jitter};
use vatmux_mux::{HeapStorage, Priority};
use vatmux_noise::{AllowList, Entropy, SecretKey};
use vatmux_rpc::service::Service;
use vatmux_rpc::{Options, Peer, ReconnectOptions, ReconnectingPeer, ServeError, Services};

use crate::schema::notes::Notes;
use crate::server::Server;

fn key(number: u8) -> SecretKey {
    SecretKey::generate(Entropy::from_bytes([number; 32]).unwrap())
}

/// The peer of a node that is offered what the other one offers, and how it looks from there.
fn sessions(driver: &mut Driver, services: Services) -> (Peer, Peer) {
    let handle = driver.handle();
    let (near, far) = pipe(1 << 20);
    let (dialer, acceptor, allow) = (key(1), key(2), AllowList::Anyone);
    let entropy = |number| Entropy::from_bytes([number; 32]).unwrap();
    let options = SessionOptions::default;
    let node = acceptor.node_id();
    let dialing = dial(&handle, near, &dialer, node, entropy(3), HeapStorage::default(), options());
    let accepting = accept(&handle, far, &acceptor, &allow, entropy(4), HeapStorage::default(), options());
    let (dialed, accepted) = driver.drive_until(join(dialing, accepting)).unwrap();
    let callee = Peer::new(accepted.unwrap(), Rc::new(services), Options::default());
    (Peer::new(dialed.unwrap(), Rc::default(), Options::default()), callee)
}

fn notes() -> Services {
    let mut services = Services::default();
    services.serve::<Notes, _>(|_| Server::default()).unwrap();
    services
}

#[test]
fn a_service_is_reached_by_its_type_and_its_server_knows_who_calls() {
    let (mut driver, _) = virtual_time::driver();
    let (peer, _callee) = sessions(&mut driver, notes());
    let identity = driver.drive_until(async { peer.connect::<Notes>().unwrap().identity().await });
    let identity = identity.unwrap().unwrap();
    assert_eq!((identity.peer, identity.remaining_millis), (key(1).node_id().to_string(), 5_000));
}

#[test]
fn a_stream_ends_with_the_last_stub_and_not_before() {
    let (mut driver, _) = virtual_time::driver();
    let handle = driver.handle();
    let (peer, callee) = sessions(&mut driver, notes());
    let notes: Notes = peer.connect().unwrap();
    let page = driver.drive_until(notes.open("x").into_future()).unwrap().unwrap();
    drop(notes);
    let settle = async || handle.sleep(Duration::from_secs(1)).await;
    driver.drive_until(settle()).unwrap();
    assert_eq!(callee.statistics().streams.len(), 1);
    drop(page);
    driver.drive_until(settle()).unwrap();
    assert_eq!(callee.statistics().streams.len(), 0);
}

#[test]
fn a_peer_without_the_service_or_with_another_priority_says_so_in_the_first_call() {
    let (mut driver, _) = virtual_time::driver();
    let (peer, _callee) = sessions(&mut driver, Services::default());
    let error = driver.drive_until(async { peer.connect::<Notes>().unwrap().get("x").await });
    let error = error.unwrap().unwrap_err().to_string();
    assert_eq!(error, "Notes.get: the peer offers no service named \"test.notes\"");

    let (peer, _callee) = sessions(&mut driver, notes());
    let too_urgent = async { peer.connect_at::<Notes>(Priority::FIRST).unwrap().get("x").await };
    let error = driver.drive_until(too_urgent).unwrap().unwrap_err();
    assert!(error.disconnected().is_some() && error.to_string().contains("not allowed"), "{error}");
    let behind =
        driver.drive_until(async { peer.connect_at::<Notes>(Priority::LAST).unwrap().whole("x").await });
    assert_eq!(behind.unwrap().unwrap().text, "X");
}

#[test]
fn two_services_of_one_name_are_refused() {
    let mut services = notes();
    let taken = services.serve::<Notes, _>(|_| Server::default());
    assert!(matches!(taken, Err(ServeError::Taken(name)) if name.as_str() == Notes::DESCRIPTOR.name));
}

#[test]
fn a_peer_that_is_dialed_again_gives_clients_as_well() {
    let (mut driver, _) = virtual_time::driver();
    let (peer, _callee) = sessions(&mut driver, notes());
    let dialed = move |_| {
        let peer = peer.clone();
        async move { Attempted::<_, String>::Success(peer) }
    };
    let jitter = || Jitter::new(0);
    let reconnecting = ReconnectingPeer::new(&driver.handle(), ReconnectOptions::default(), jitter, dialed);
    let asked = async { reconnecting.connect::<Notes>().await.unwrap().whole("again").await };
    assert_eq!(driver.drive_until(asked).unwrap().unwrap().text, "AGAIN");
}

/// The fields of every span of a call that was begun.
struct Seen(Arc<Mutex<Vec<BTreeMap<&'static str, String>>>>);

struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl<S: Subscriber> Layer<S> for Seen {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        if attributes.metadata().name() == "call" {
            let mut fields = Fields(BTreeMap::new());
            attributes.record(&mut fields);
            self.0.lock().unwrap().push(fields.0);
        }
    }
}

#[test]
fn the_span_of_a_call_has_its_method_s_name_at_both_ends() {
    let seen = Arc::default();
    let subscriber = Registry::default().with(Seen(Arc::clone(&seen)));
    // While there is a single one, what other threads meet first is asked of theirs, who have none, and never told again.
    let _second = tracing::Dispatch::new(Registry::default());
    tracing::subscriber::with_default(subscriber, || {
        let (mut driver, _) = virtual_time::driver();
        let (peer, _callee) = sessions(&mut driver, notes());
        driver
            .drive_until(async {
                let page = peer.connect::<Notes>().unwrap().open("x").page();
                page.as_named().name().await
            })
            .unwrap()
            .unwrap();
    });
    let mut names: Vec<_> =
        seen.lock().unwrap().iter().map(|span| (span["name"].clone(), span["caller"].clone())).collect();
    names.sort();
    let expected = [
        ("Named.name", "\"peer\""),
        ("Named.name", "\"us\""),
        ("Notes.open", "\"peer\""),
        ("Notes.open", "\"us\""),
    ];
    assert_eq!(names, expected.map(|(name, caller)| (name.to_owned(), caller.to_owned())));
}
