//! Mutations are told: who, what, and what came of it, with nothing of what was in them.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Registry;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use vatmux::access::MUTATIONS;
use vatmux::schema::bundle::Version;
use vatmux::schema::statefs::StateFs;
use vatmux::statefs::{Condition, Operation, Step};

use super::*;

/// An event's fields.
type Told = BTreeMap<&'static str, String>;

static TOLD: Mutex<Vec<Told>> = Mutex::new(Vec::new());

struct Listener;

struct Fields(Told);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name(), value.to_owned());
    }
}

impl<S: Subscriber> Layer<S> for Listener {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == MUTATIONS {
            assert_eq!(*event.metadata().level(), Level::INFO);
            let mut fields = Fields(Told::new());
            event.record(&mut fields);
            TOLD.lock().unwrap().push(fields.0);
        }
    }
}

/// A world whose mutations by the nodes `numbers` are told: theirs alone, since tests run side by side.
fn world() -> World {
    static LISTENING: Once = Once::new();
    LISTENING.call_once(|| {
        tracing::subscriber::set_global_default(Registry::default().with(Listener)).unwrap();
    });
    let rights =
        Rights::none().and(rule(&["org.a"], None, &[Right::Install, Right::Activate, Right::Remove]));
    let grant = |number| Grant {
        state: own(1).and(prefix("shared/"), statefs::Right::Read),
        bundles: if number == 51 { Rights::looking() } else { rights.clone() },
        ..Grant::none()
    };
    World::new((50..60).fold(Policy::nobody(), |policy, number| policy.and(id(number), grant(number))))
}

/// What was told of a node: service, method, target and outcome of each; as soon as there are so many.
#[track_caller]
fn told(number: u8, count: usize) -> Vec<[String; 4]> {
    let peer = id(number).to_string();
    let patience = Instant::now() + Duration::from_secs(30);
    loop {
        let told: Vec<_> = TOLD
            .lock()
            .unwrap()
            .iter()
            .filter(|told| told["peer"] == peer)
            .map(|told| ["service", "method", "target", "outcome"].map(|field| told[field].clone()))
            .collect();
        if told.len() >= count {
            assert_eq!(told.len(), count, "{told:#?}");
            return told;
        }
        assert!(Instant::now() < patience, "{told:#?}");
        std::thread::yield_now();
    }
}

fn state_lines<const N: usize>(lines: [[&str; 3]; N]) -> Vec<[String; 4]> {
    lines.map(|[method, target, outcome]| ["vatmux.state", method, target, outcome].map(str::to_owned)).into()
}

#[test]
fn each_change_of_state_is_told_with_what_came_of_it() {
    let world = world();
    world.visit(50, async |peer| {
        let state = state_of(peer);
        let put = |name: &str, step| Operation { key: key(name), condition: Condition::Any, step };
        state.put(&key("1/a"), b"confidential", Condition::Any).await.unwrap();
        state.put(&key("1/a"), b"confidential", Condition::Absent).await.unwrap_err();
        state.put(&key("shared/a"), b"confidential", Condition::Any).await.unwrap_err();
        state.put(&key("2/a"), b"confidential", Condition::Any).await.unwrap_err();
        let transaction = [
            Operation { key: key("1/x"), condition: Condition::Absent, step: Step::Check },
            put("1/b", Step::Put(b"confidential".into())),
            put("1/a", Step::Delete),
        ];
        state.transact(&transaction).await.unwrap();
        state.transact(&[put("1/c", Step::Put(b"1".into())), put("9/a", Step::Delete)]).await.unwrap_err();
        state.delete(&key("1/b"), Condition::Any).await.unwrap();
        state.delete(&key("1/b"), Condition::Any).await.unwrap_err();
        state.delete(&key("shared/a"), Condition::Any).await.unwrap_err();
        // Reads are no mutations.
        state.get(&key("1/a")).await.unwrap();
        state.list(&prefix(""), None, 10).await.unwrap();
        state.sync().await.unwrap();
    });
    let lines = [
        ["put", "1/a", "ok"],
        ["put", "1/a", "versionMismatch"],
        ["put", "shared/a", "accessDenied"],
        ["put", "2/a", "accessDenied"],
        ["transact", "1/b", "ok"],
        ["transact", "1/a", "ok"],
        ["transact", "1/c", "accessDenied"],
        ["transact", "9/a", "accessDenied"],
        ["delete", "1/b", "ok"],
        ["delete", "1/b", "notFound"],
        ["delete", "shared/a", "accessDenied"],
    ];
    assert_eq!(told(50, lines.len()), state_lines(lines));
    assert!(!format!("{:?}", TOLD.lock().unwrap()).contains("confidential"), "values are nobody's business");
}

#[test]
fn an_upload_is_told_when_it_is_over_however_that_comes() {
    let world = world();
    world.visit(52, async |peer| {
        let state = state_of(peer);
        let large = vec![1; 100_000];
        state.put(&key("1/large"), &large, Condition::Any).await.unwrap();
        state.put(&key("9/large"), &large, Condition::Any).await.unwrap_err();
        state.put(&key("1/large"), &large, Condition::Absent).await.unwrap_err();
        let stub: StateFs = peer.connect().unwrap();
        let begin = |name: &'static str, size_bytes| {
            stub.write(move |mut params| {
                params.set_key(name);
                params.set_size_bytes(size_bytes);
            })
        };
        let dropped = begin("1/dropped", 10).await.unwrap();
        dropped.write(b"five.").await.unwrap();
        drop(dropped);
        let endless = begin("1/endless", 10).await.unwrap();
        endless.write(&[0; 11]).await.unwrap();
        endless.commit().await.unwrap_err();
        let short = begin("1/short", 10).await.unwrap();
        short.commit().await.unwrap_err();
    });
    let mut lines = told(52, 6);
    lines.sort();
    let mut wanted = state_lines([
        ["write", "1/large", "ok"],
        ["write", "9/large", "accessDenied"],
        ["write", "1/large", "versionMismatch"],
        ["write", "1/dropped", "abandoned"],
        ["write", "1/endless", "malformed"],
        ["write", "1/short", "malformed"],
    ]);
    wanted.sort();
    assert_eq!(lines, wanted);
}

#[test]
fn what_is_refused_is_told_no_longer_than_a_line_is() {
    let world = world();
    world.visit(53, async |peer| {
        let stub: StateFs = peer.connect().unwrap();
        let name = format!("1/\n{}", "ü".repeat(1_000_000));
        let deleted = stub.delete(|mut params| params.set_key(name.as_str()));
        deleted.await.err().unwrap();
        let many = stub.transact(|params| {
            let mut operations = params.init_operations(5000);
            for at in 0..5000 {
                let mut operation = operations.reborrow().get(at);
                operation.set_key("1/a");
                operation.set_delete(());
            }
        });
        many.await.err().unwrap();
    });
    let lines = told(53, 2);
    assert!(lines[0][2].len() < vatmux::access::MAX_TARGET_BYTES + 8 && lines[0][2].ends_with('…'));
    assert_eq!((lines[0][3].as_str(), lines[1][3].as_str()), ("keyTooLong", "transactionLimit"));
    assert_eq!(lines[1][2], "5000 operations");
}

#[test]
fn each_change_of_bundles_is_told_with_what_came_of_it() {
    let world = world();
    let one = Version { major: 1, minor: 0, patch: 0 };
    let key = publisher(1);
    let install = async |peer: &Peer, name: &str, cut: usize| {
        let bytes = packed(name, "1.0.0", &key, b"confidential");
        let mut input = futures::io::Cursor::new(&bytes[..bytes.len() - cut]);
        let options = InstallOptions::default();
        bundlemgr::install(&bundles_of(peer), &mut input, bytes.len() as u64, options, &|_| {}).await
    };
    world.visit(54, async |peer| {
        let bundles = bundles_of(peer);
        install(peer, "org.a", 0).await.unwrap();
        install(peer, "org.b", 0).await.unwrap_err();
        install(peer, "org.a", 3).await.unwrap_err();
        bundles.activate("org.a", &one, false).await.unwrap();
        bundles.activate("org.b", &one, false).await.unwrap_err();
        bundles.uninstall("org.a", &one, false).await.unwrap_err();
        bundles.uninstall("org.a", &one, true).await.unwrap();
        bundles.collect().await.unwrap_err();
    });
    let lines = [
        ["install", "org.a@1.0.0", "ok"],
        ["install", "org.b@1.0.0", "accessDenied"],
        ["install", "org.a@1.0.0", "sizeMismatch"],
        ["activate", "org.a@1.0.0", "ok"],
        ["activate", "org.b@1.0.0", "accessDenied"],
        ["uninstall", "org.a@1.0.0", "inUse"],
        ["uninstall", "org.a@1.0.0", "ok"],
        ["collect", "", "accessDenied"],
    ];
    let wanted =
        lines.map(|[method, target, outcome]| ["vatmux.bundles", method, target, outcome].map(str::to_owned));
    assert_eq!(told(54, lines.len()), wanted);

    world.visit(51, async |peer| install(peer, "org.a", 0).await.unwrap_err());
    assert_eq!(told(51, 1), [["vatmux.bundles", "install", "", "accessDenied"].map(str::to_owned)]);
    // An upload that nobody finishes.
    world.visit(55, async |peer| {
        let bytes = packed("org.a", "1.0.0", &key, b"confidential");
        let bundles = bundles_of(peer);
        let upload = bundles.install(bytes.len() as u64, false, false).await.unwrap();
        upload.write(&bytes[..bytes.len() - 1]).await.unwrap();
        // Answered after what came before it on the same stream.
        bundles.usage().await.unwrap();
    });
    assert_eq!(told(55, 1), [["vatmux.bundles", "install", "org.a@1.0.0", "abandoned"].map(str::to_owned)]);
    assert!(!format!("{:?}", TOLD.lock().unwrap()).contains("confidential"));
}
