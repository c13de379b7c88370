//! What is claimed of statefs.
//!
//! Changes are held where their device syncs, a read where its sink takes bytes. What is answered from memory has no place where it
//! could wait, and is held at the door of the service.

use vatmux::capnp::capability::Response;
use vatmux::schema::statefs::{
    STATE_FS_DESCRIPTOR, STATE_FS_INTERFACE, StateFs, Status, UPLOAD_INTERFACE, Upload,
};
use vatmux::schema::statefs_capnp::{condition, operation, state_fs};
use vatmux::service::{Calling, Error};
use vatmux::statefs::{
    MARK_BYTES, MAX_OPERATIONS, MAX_PEER_READINGS, MAX_PEER_UPLOADS, MAX_PUT_BYTES, MAX_READINGS,
    MAX_VALUE_BYTES, MAX_WRITE_BYTES,
};

use crate::claim::{Asked, Claim, Hold, Interrupted, Pending, good, interrupted, refused};
use crate::list::Contract;
use crate::scene::Scene;
use crate::sink::{self, sink};
use crate::visit::Visit;

const GET: Asked = Asked::of(&STATE_FS_INTERFACE, "get");
const READ: Asked = Asked::of(&STATE_FS_INTERFACE, "read");
const PUT: Asked = Asked::of(&STATE_FS_INTERFACE, "put");
const WRITE: Asked = Asked::of(&STATE_FS_INTERFACE, "write");
const DELETE: Asked = Asked::of(&STATE_FS_INTERFACE, "delete");
const LIST: Asked = Asked::of(&STATE_FS_INTERFACE, "list");
const TRANSACT: Asked = Asked::of(&STATE_FS_INTERFACE, "transact");
const SYNC: Asked = Asked::of(&STATE_FS_INTERFACE, "sync");
const USAGE: Asked = Asked::of(&STATE_FS_INTERFACE, "usage");
const NARROW: Asked = Asked::of(&STATE_FS_INTERFACE, "narrow");
const SINCE: Asked = Asked::of(&STATE_FS_INTERFACE, "since");
const UPLOAD_WRITE: Asked = Asked::of(&UPLOAD_INTERFACE, "write");
const COMMIT: Asked = Asked::of(&UPLOAD_INTERFACE, "commit");

/// What its schema says of refusals.
pub(crate) fn contract() -> Contract {
    use Status::{
        AccessDenied, Busy, IntegrityViolation, InvalidCursor, InvalidKey, IoError, KeyTooLong, Malformed,
        NotFound, QuotaExceeded, RollbackDetected, TransactionLimit, Unsupported, ValueTooLarge,
        VersionMismatch,
    };

    const KEY: &[Status] = &[InvalidKey, KeyTooLong];
    const STORAGE: &[Status] = &[IoError, IntegrityViolation];
    const CHANGE: &[Status] = &[AccessDenied, VersionMismatch, Unsupported];
    Contract::new(
        &STATE_FS_DESCRIPTOR,
        &[
            (GET, &[KEY, STORAGE, &[NotFound, ValueTooLarge, Busy]]),
            (READ, &[KEY, STORAGE, &[NotFound, Busy]]),
            (PUT, &[KEY, STORAGE, CHANGE, &[ValueTooLarge, QuotaExceeded]]),
            (WRITE, &[KEY, &[AccessDenied, Unsupported, ValueTooLarge, Busy]]),
            (DELETE, &[KEY, STORAGE, CHANGE, &[NotFound]]),
            (LIST, &[KEY, STORAGE, &[InvalidCursor]]),
            (TRANSACT, &[KEY, STORAGE, CHANGE, &[Malformed, ValueTooLarge, TransactionLimit, QuotaExceeded]]),
            (SYNC, &[STORAGE]),
            (USAGE, &[KEY, STORAGE]),
            (NARROW, &[KEY]),
            (SINCE, &[STORAGE, &[Malformed, RollbackDetected]]),
            (COMMIT, &[STORAGE, &[VersionMismatch, Malformed, ValueTooLarge, QuotaExceeded]]),
        ],
        Vec::new(),
    )
}

/// What every store begins with.
pub(crate) const BEFORE: [(&str, &[u8]); 5] =
    [("a", b"1"), ("guest/a", b"2"), ("large", &[7; 10_000]), ("secret", b"3"), ("shared/a", b"4")];

/// A key that is too long by one byte.
const LONG: &str = match str::from_utf8(&[b'k'; 256]) {
    Ok(key) => key,
    Err(_) => panic!("it is ASCII"),
};

fn state(visit: &Visit) -> StateFs {
    visit.peer.connect().unwrap()
}

/// What must hold for a change to be made.
#[derive(Clone, Copy)]
enum If {
    Any,
    Absent,
    /// A condition of a later schema.
    Unknown,
}

impl If {
    fn write(self, set: impl FnOnce(condition::Reader<'_>)) {
        let mut message = capnp::message::Builder::new_default();
        let mut condition: condition::Builder<'_> = message.init_root();
        match self {
            Self::Any => condition.set_any(()),
            Self::Absent => condition.set_absent(()),
            Self::Unknown => condition.set_version(u64::MAX),
        }
        let mut bytes = capnp::serialize::write_message_to_words(&message);
        if let Self::Unknown = self {
            // Behind the header and the pointer: two words, of which one is the version, and the other says that it is one.
            let word = if bytes[16..24] == [0xff; 8] { 24 } else { 16 };
            bytes[word] = 99;
        }
        let message = capnp::serialize::read_message(&mut &bytes[..], capnp::message::ReaderOptions::new());
        set(message.unwrap().get_root().unwrap());
    }
}

type Put = Calling<Response<state_fs::put_results::Owned>, Status>;
type Deleted = Calling<Response<state_fs::delete_results::Owned>, Status>;
type Transacted = Calling<Response<state_fs::transact_results::Owned>, Status>;

fn put(state: &StateFs, key: &str, value: &[u8], condition: If) -> Put {
    state.put(|mut params| {
        params.set_key(key);
        params.set_value(value);
        condition.write(|condition| params.set_condition(condition).unwrap());
    })
}

fn delete(state: &StateFs, key: &str, condition: If) -> Deleted {
    state.delete(|mut params| {
        params.set_key(key);
        condition.write(|condition| params.set_condition(condition).unwrap());
    })
}

async fn begin(state: &StateFs, key: &str, size_bytes: u64, condition: If) -> Result<Upload, Error<Status>> {
    let begun = state.write(|mut params| {
        params.set_key(key);
        params.set_size_bytes(size_bytes);
        condition.write(|condition| params.set_condition(condition).unwrap());
    });
    begun.await
}

/// A transaction of puts, each with the same value.
fn transact(state: &StateFs, keys: &[&str], value: &[u8], condition: If) -> Transacted {
    state.transact(|params| {
        let mut operations = params.init_operations(keys.len() as u32);
        for (at, key) in (0..).zip(keys) {
            let mut operation: operation::Builder<'_> = operations.reborrow().get(at);
            operation.set_key(*key);
            operation.set_put(value);
            condition.write(|condition| operation.set_condition(condition).unwrap());
        }
    })
}

async fn value(state: &StateFs, key: &str) -> Option<Vec<u8>> {
    match state.get(key, MAX_PUT_BYTES as u32).await {
        Ok(response) => Some(response.get().unwrap().get_value().unwrap().to_vec()),
        Err(error) => {
            assert_eq!(error.status(), Some(&Status::NotFound), "{error}");
            None
        }
    }
}

pub(crate) fn claims() -> Vec<Claim> {
    [good_calls(), of_keys(), of_requests(), of_limits(), of_storage(), interruptions()]
        .into_iter()
        .flatten()
        .collect()
}

fn good_calls() -> Vec<Claim> {
    vec![
        good(GET, Scene::State, |visit| async move {
            let response = state(&visit).get("a", 10).await.unwrap();
            let found = response.get().unwrap();
            assert_eq!((found.get_value().unwrap(), found.get_size_bytes()), (&b"1"[..], 1));
            assert!(found.get_version() > 0);
        }),
        good(READ, Scene::State, |visit| async move {
            let (sink, written) = sink(&visit);
            let read = state(&visit).read("large", &sink).await.unwrap();
            assert_eq!(read.size_bytes, 10_000);
            assert_eq!(written.whole().unwrap(), [7; 10_000]);
        }),
        good(PUT, Scene::State, |visit| async move {
            let state = state(&visit);
            let first = put(&state, "new", b"x", If::Absent).await.unwrap();
            let second = put(&state, "new", b"y", If::Any).await.unwrap();
            assert!(second.get().unwrap().get_version() > first.get().unwrap().get_version());
            assert_eq!(value(&state, "new").await.unwrap(), b"y");
        }),
        good(WRITE, Scene::State, |visit| async move {
            let state = state(&visit);
            drop(begin(&state, "new", 3, If::Absent).await.unwrap());
            assert_eq!(value(&state, "new").await, None);
        }),
        good(UPLOAD_WRITE, Scene::State, |visit| async move {
            let state = state(&visit);
            let upload = begin(&state, "new", 3_000_000, If::Absent).await.unwrap();
            for piece in vec![3; 3_000_000].chunks(100_000) {
                upload.write(piece).await.unwrap();
            }
            assert_eq!(value(&state, "new").await, None, "it is not committed");
            upload.commit().await.unwrap();
            let (sink, written) = sink(&visit);
            assert_eq!(state.read("new", &sink).await.unwrap().size_bytes, 3_000_000);
            assert!(written.whole().unwrap() == vec![3; 3_000_000]);
        }),
        good(COMMIT, Scene::State, |visit| async move {
            let state = state(&visit);
            let upload = begin(&state, "new", 3, If::Absent).await.unwrap();
            upload.write(b"xyz").await.unwrap();
            let version = upload.commit().await.unwrap();
            let response = state.get("new", 10).await.unwrap();
            assert_eq!(response.get().unwrap().get_version(), version);
            assert_eq!(response.get().unwrap().get_value().unwrap(), b"xyz");
        }),
        good(DELETE, Scene::State, |visit| async move {
            let state = state(&visit);
            let version = state.get("a", 10).await.unwrap().get().unwrap().get_version();
            let deleted = delete(&state, "a", If::Any).await.unwrap();
            assert_eq!(deleted.get().unwrap().get_version(), version);
            assert_eq!(value(&state, "a").await, None);
        }),
        good(LIST, Scene::State, |visit| async move {
            let state = state(&visit);
            let (mut names, mut cursor) = (Vec::new(), Vec::new());
            loop {
                let response = state.list("", &cursor, 2).await.unwrap();
                let page = response.get().unwrap();
                let entries = page.get_entries().unwrap();
                names.extend(entries.iter().map(|entry| entry.get_key().unwrap().to_string().unwrap()));
                cursor = page.get_next().unwrap().to_vec();
                if cursor.is_empty() {
                    break;
                }
            }
            assert_eq!(names, BEFORE.map(|(name, _)| name));
        }),
        good(TRANSACT, Scene::State, |visit| async move {
            let state = state(&visit);
            let made = transact(&state, &["x", "y"], b"both", If::Absent).await.unwrap();
            let versions = made.get().unwrap().get_versions().unwrap();
            assert!(versions.len() == 2 && versions.get(0) == versions.get(1));
            assert_eq!(value(&state, "x").await, value(&state, "y").await);
        }),
        good(SYNC, Scene::State, |visit| async move {
            let state = state(&visit);
            let made = put(&state, "new", b"x", If::Any).await.unwrap();
            assert_eq!(state.sync().await.unwrap(), made.get().unwrap().get_version());
        }),
        good(USAGE, Scene::State, |visit| async move {
            let usage = state(&visit).usage("").await.unwrap();
            assert_eq!((usage.keys, usage.value_bytes), (5, 10_004));
            let usage = state(&visit).usage("s").await.unwrap();
            assert_eq!((usage.keys, usage.value_bytes), (2, 2));
        }),
        good(SINCE, Scene::State, |visit| async move {
            let begun = state(&visit).since(b"").await.unwrap();
            put(&begun.state, "new", b"x", If::Any).await.unwrap();
            let went_on = state(&visit).since(&begun.mark).await.unwrap();
            assert_ne!(went_on.mark, begun.mark);
            assert_eq!(value(&went_on.state, "new").await.unwrap(), b"x");
        }),
        good(NARROW, Scene::State, |visit| async move {
            let narrow = state(&visit).narrow("guest/", true).await.unwrap();
            assert_eq!(value(&narrow, "guest/a").await.unwrap(), b"2");
            assert_eq!(value(&narrow, "secret").await, None);
            let denied = put(&narrow, "guest/a", b"x", If::Any).await.err().unwrap();
            assert_eq!(denied.status(), Some(&Status::AccessDenied));
        }),
    ]
}

/// Keys that are none, that are not there, or that are others'.
fn of_keys() -> Vec<Claim> {
    let mut claims = Vec::new();
    for (key, status) in [("a/../b", Status::InvalidKey), (LONG, Status::KeyTooLong)] {
        let on = Scene::State;
        claims.extend([
            refused(GET, status, on, move |visit| async move { state(&visit).get(key, 10).await }),
            refused(
                READ,
                status,
                on,
                move |visit| async move { state(&visit).read(key, &sink(&visit).0).await },
            ),
            refused(
                PUT,
                status,
                on,
                move |visit| async move { put(&state(&visit), key, b"", If::Any).await },
            ),
            refused(
                WRITE,
                status,
                on,
                move |visit| async move { begin(&state(&visit), key, 1, If::Any).await },
            ),
            refused(
                DELETE,
                status,
                on,
                move |visit| async move { delete(&state(&visit), key, If::Any).await },
            ),
            refused(LIST, status, on, move |visit| async move { state(&visit).list(key, b"", 1).await }),
            refused(TRANSACT, status, on, move |visit| async move {
                transact(&state(&visit), &["x", key], b"", If::Any).await
            }),
            refused(USAGE, status, on, move |visit| async move { state(&visit).usage(key).await }),
            refused(NARROW, status, on, move |visit| async move { state(&visit).narrow(key, false).await }),
        ]);
    }
    // What is not there, and what may not be seen.
    for (scene, key) in [(Scene::State, "nothing"), (Scene::StateOfAGuest, "secret")] {
        claims.extend([
            refused(
                GET,
                Status::NotFound,
                scene,
                move |visit| async move { state(&visit).get(key, 10).await },
            ),
            refused(READ, Status::NotFound, scene, move |visit| async move {
                state(&visit).read(key, &sink(&visit).0).await
            }),
            refused(DELETE, Status::NotFound, scene, move |visit| async move {
                delete(&state(&visit), key, If::Any).await
            }),
        ]);
    }
    let guest = Scene::StateOfAGuest;
    claims.extend([
        refused(PUT, Status::AccessDenied, guest, |visit| async move {
            put(&state(&visit), "secret", b"", If::Any).await
        }),
        refused(WRITE, Status::AccessDenied, guest, |visit| async move {
            begin(&state(&visit), "shared/a", 1, If::Any).await
        }),
        refused(DELETE, Status::AccessDenied, guest, |visit| async move {
            delete(&state(&visit), "shared/a", If::Any).await
        }),
        refused(TRANSACT, Status::AccessDenied, guest, |visit| async move {
            let state = state(&visit);
            let refused = transact(&state, &["guest/a", "secret"], b"x", If::Any).await;
            assert_eq!(value(&state, "guest/a").await.unwrap(), b"2", "all or nothing");
            refused
        }),
    ]);
    claims
}

/// Requests that make no sense, or that come too late.
fn of_requests() -> Vec<Claim> {
    let on = Scene::State;
    vec![
        refused(PUT, Status::VersionMismatch, on, |visit| async move {
            put(&state(&visit), "a", b"", If::Absent).await
        }),
        refused(DELETE, Status::VersionMismatch, on, |visit| async move {
            delete(&state(&visit), "a", If::Absent).await
        }),
        refused(TRANSACT, Status::VersionMismatch, on, |visit| async move {
            let state = state(&visit);
            let refused = transact(&state, &["x", "a"], b"", If::Absent).await;
            assert_eq!(value(&state, "x").await, None, "all or nothing");
            refused
        }),
        refused(COMMIT, Status::VersionMismatch, on, |visit| async move {
            let state = state(&visit);
            let upload = begin(&state, "new", 1, If::Absent).await.unwrap();
            upload.write(b"x").await.unwrap();
            put(&state, "new", b"sooner", If::Any).await.unwrap();
            let refused = upload.commit().await;
            assert_eq!(value(&state, "new").await.unwrap(), b"sooner");
            refused
        }),
        refused(PUT, Status::Unsupported, on, |visit| async move {
            put(&state(&visit), "x", b"", If::Unknown).await
        }),
        refused(WRITE, Status::Unsupported, on, |visit| async move {
            begin(&state(&visit), "x", 1, If::Unknown).await
        }),
        refused(DELETE, Status::Unsupported, on, |visit| async move {
            delete(&state(&visit), "a", If::Unknown).await
        }),
        refused(TRANSACT, Status::Unsupported, on, |visit| async move {
            transact(&state(&visit), &["x"], b"", If::Unknown).await
        }),
        refused(TRANSACT, Status::Malformed, on, |visit| async move {
            transact(&state(&visit), &["x", "x"], b"", If::Any).await
        }),
        refused(COMMIT, Status::Malformed, on, |visit| async move {
            let upload = begin(&state(&visit), "x", 10, If::Any).await.unwrap();
            upload.write(b"less").await.unwrap();
            upload.commit().await
        }),
        refused(SINCE, Status::Malformed, on, |visit| async move { state(&visit).since(&[1; 23]).await }),
        refused(SINCE, Status::RollbackDetected, on, |visit| async move {
            // Of an opening that this store does not know.
            state(&visit).since(&[1; MARK_BYTES]).await
        }),
        refused(
            LIST,
            Status::InvalidCursor,
            on,
            |visit| async move { state(&visit).list("a", b"/", 10).await },
        ),
    ]
}

/// More than there may be.
fn of_limits() -> Vec<Claim> {
    let on = Scene::State;
    vec![
        refused(
            GET,
            Status::ValueTooLarge,
            on,
            |visit| async move { state(&visit).get("large", 9_999).await },
        ),
        refused(PUT, Status::ValueTooLarge, on, |visit| async move {
            put(&state(&visit), "x", &vec![0; MAX_PUT_BYTES + 1], If::Any).await
        }),
        refused(WRITE, Status::ValueTooLarge, on, |visit| async move {
            begin(&state(&visit), "x", MAX_VALUE_BYTES + 1, If::Any).await
        }),
        refused(COMMIT, Status::ValueTooLarge, on, |visit| async move {
            let upload = begin(&state(&visit), "x", MAX_VALUE_BYTES, If::Any).await.unwrap();
            upload.write(&vec![0; MAX_WRITE_BYTES + 1]).await.unwrap();
            upload.commit().await
        }),
        refused(TRANSACT, Status::ValueTooLarge, on, |visit| async move {
            transact(&state(&visit), &["x"], &vec![0; MAX_PUT_BYTES + 1], If::Any).await
        }),
        refused(TRANSACT, Status::TransactionLimit, on, |visit| async move {
            let keys: Vec<_> = (0..=MAX_OPERATIONS).map(|at| at.to_string()).collect();
            let keys: Vec<_> = keys.iter().map(String::as_str).collect();
            transact(&state(&visit), &keys, b"", If::Any).await
        }),
        refused(TRANSACT, Status::TransactionLimit, on, |visit| async move {
            transact(&state(&visit), &["1", "2", "3", "4", "5"], &vec![0; MAX_PUT_BYTES], If::Any).await
        }),
        refused(PUT, Status::QuotaExceeded, Scene::SmallState, |visit| async move {
            let state = state(&visit);
            put(&state, "x", &vec![0; 60_000], If::Any).await.unwrap();
            put(&state, "y", &vec![0; 60_000], If::Any).await
        }),
        refused(TRANSACT, Status::QuotaExceeded, Scene::SmallState, |visit| async move {
            let state = state(&visit);
            let refused = transact(&state, &["x", "y"], &vec![0; 60_000], If::Any).await;
            assert_eq!(value(&state, "x").await, None, "all or nothing");
            refused
        }),
        refused(COMMIT, Status::QuotaExceeded, Scene::SmallState, |visit| async move {
            let upload = begin(&state(&visit), "x", 100_000, If::Any).await.unwrap();
            upload.write(&vec![0; 100_000]).await.unwrap();
            upload.commit().await
        }),
        refused(WRITE, Status::Busy, on, |visit| async move {
            let state = state(&visit);
            let mut uploads = Vec::new();
            for at in 0..MAX_PEER_UPLOADS {
                uploads.push(begin(&state, &at.to_string(), 1, If::Any).await.unwrap());
            }
            begin(&state, "x", 1, If::Any).await
        }),
        refused(GET, Status::Busy, on, |visit| async move {
            let mut readings = Vec::new();
            for _ in 0..MAX_READINGS / MAX_PEER_READINGS {
                readings.extend(as_many_readings_as_may_be(&visit.as_a_stranger().await).await);
            }
            state(&visit).get("large", 10_000).await
        }),
        refused(READ, Status::Busy, on, |visit| async move {
            let _readings = as_many_readings_as_may_be(&visit).await;
            state(&visit).read("large", &sink(&visit).0).await
        }),
    ]
}

/// Reads of values whose sinks take nothing: as many as one peer may have.
async fn as_many_readings_as_may_be(visit: &Visit) -> Vec<impl Sized + use<>> {
    // As many as the schema allows a vat.
    const OF_ONE_VAT: usize = 16;
    visit.stage.hold(sink::WRITE.held());
    let mut readings = Vec::new();
    for _ in 0..MAX_PEER_READINGS / OF_ONE_VAT {
        let state = state(visit);
        readings.extend((0..OF_ONE_VAT).map(|_| (state.read("large", &sink(visit).0), state.clone())));
    }
    visit.stage.so_many_under_way(sink::WRITE.key(), MAX_PEER_READINGS as u32).await;
    readings
}

/// Storage that is full, takes nothing, fails, or forgets.
fn of_storage() -> Vec<Claim> {
    let mut claims = vec![refused(PUT, Status::QuotaExceeded, Scene::State, |visit| async move {
        let state = state(&visit);
        visit.backstage.cue("device full").await;
        for at in 0..1_000 {
            if let Err(error) = put(&state, &format!("fill/{at}"), &vec![1; 60_000], If::Any).await {
                assert!(error.to_string().contains("the disk is full"), "{error}");
                assert_eq!(value(&state, "a").await.unwrap(), b"1", "what was there is there");
                visit.backstage.cue("device nothing").await;
                put(&state, "fill/again", &vec![1; 60_000], If::Any).await.expect("there is room again");
                return Err::<(), _>(error);
            }
        }
        panic!("the disk is never full")
    })];
    for trouble in ["read-only", "dead"] {
        let on = Scene::State;
        let cue = move |visit: Visit| async move {
            visit.backstage.cue(format!("device {trouble}")).await;
            state(&visit)
        };
        claims.extend([
            refused(PUT, Status::IoError, on, move |visit| async move {
                put(&cue(visit).await, "x", b"", If::Any).await
            }),
            refused(DELETE, Status::IoError, on, move |visit| async move {
                delete(&cue(visit).await, "a", If::Any).await
            }),
            refused(TRANSACT, Status::IoError, on, move |visit| async move {
                transact(&cue(visit).await, &["x"], b"", If::Any).await
            }),
            refused(COMMIT, Status::IoError, on, move |visit| async move {
                let upload = begin(&state(&visit), "x", 1, If::Any).await.unwrap();
                upload.write(b"x").await.unwrap();
                cue(visit).await;
                upload.commit().await
            }),
        ]);
    }
    for (trouble, status) in [("dead", Status::IoError), ("forgetful", Status::IntegrityViolation)] {
        let on = Scene::UncachedState;
        // What the store has in memory is right still; after a change that fails it looks at its storage again.
        let cue = move |visit: Visit| async move {
            visit.backstage.cue(format!("device {trouble}")).await;
            let state = state(&visit);
            let _ = put(&state, "x", b"", If::Any).await;
            state
        };
        claims.extend([
            refused(GET, status, on, move |visit| async move { cue(visit).await.get("a", 10).await }),
            refused(READ, status, on, move |visit| async move {
                let (sink, _) = sink(&visit);
                cue(visit).await.read("large", &sink).await
            }),
            refused(LIST, status, on, move |visit| async move { cue(visit).await.list("", b"", 10).await }),
            refused(USAGE, status, on, move |visit| async move { cue(visit).await.usage("").await }),
            refused(SINCE, status, on, move |visit| async move { cue(visit).await.since(b"").await }),
            refused(SYNC, status, on, move |visit| async move { cue(visit).await.sync().await }),
            refused(
                PUT,
                status,
                on,
                move |visit| async move { put(&cue(visit).await, "y", b"", If::Any).await },
            ),
            refused(
                DELETE,
                status,
                on,
                move |visit| async move { delete(&cue(visit).await, "a", If::Any).await },
            ),
            refused(TRANSACT, status, on, move |visit| async move {
                transact(&cue(visit).await, &["y"], b"", If::Any).await
            }),
            refused(COMMIT, status, on, move |visit| async move {
                let upload = begin(&state(&visit), "y", 1, If::Any).await.unwrap();
                upload.write(b"x").await.unwrap();
                cue(visit).await;
                upload.commit().await
            }),
        ]);
    }
    claims
}

fn interruptions() -> Vec<Claim> {
    let mut claims = Vec::new();
    for asked in [GET, LIST, USAGE, NARROW, SINCE, WRITE] {
        claims.extend(interrupted(Interrupted {
            asked,
            scene: Scene::State,
            hold: Hold::AtTheDoor,
            attempt: move |visit: Visit| async move {
                let state = state(&visit);
                match asked.method.name {
                    "get" => Pending::new(state.clone(), visit.send(|| state.get("a", 10))),
                    "list" => Pending::new(state.clone(), visit.send(|| state.list("", b"", 10))),
                    "usage" => Pending::new(state.clone(), visit.send(|| state.usage(""))),
                    "since" => {
                        let call = visit.send(|| state.since(b"")).into_future();
                        Pending::new(state, call)
                    }
                    "narrow" => {
                        let call = visit.send(|| state.narrow("a", false)).into_future();
                        Pending::new(state, call)
                    }
                    _ => {
                        let call = visit.send(|| state.write(|mut params| params.set_key("x")));
                        Pending::new(state, call.into_future())
                    }
                }
            },
            aftermath: |visit: Visit| async move {
                nothing_is_left_but(&visit, &BEFORE).await;
            },
        }));
    }
    claims.extend(interrupted(Interrupted {
        asked: READ,
        scene: Scene::State,
        hold: Hold::Nowhere,
        attempt: |visit: Visit| async move {
            visit.stage.hold(sink::WRITE.held());
            let (state, (sink, _)) = (state(&visit), sink(&visit));
            Pending::new((state.clone(), sink.clone()), visit.send(|| state.read("large", &sink)))
        },
        aftermath: |visit: Visit| async move {
            // None of those that were given up keeps its place.
            drop(as_many_readings_as_may_be(&visit).await);
            nothing_is_left_but(&visit.again().await, &BEFORE).await;
        },
    }));
    claims.extend(changes());
    claims.extend(interrupted(Interrupted {
        asked: UPLOAD_WRITE,
        scene: Scene::State,
        hold: Hold::AtTheDevice,
        attempt: |visit: Visit| async move {
            let state = state(&visit);
            let upload = begin(&state, "x", MAX_VALUE_BYTES, If::Any).await.unwrap();
            // To give up a stream is to let go of what it leads to.
            let writing = async move {
                let piece = vec![0; 256 * 1024];
                loop {
                    visit.send(|| upload.write(&piece)).await?;
                }
                #[expect(unreachable_code, reason = "it says what the loop ends with")]
                Ok::<(), Error>(())
            };
            Pending::new(state, writing)
        },
        aftermath: |visit: Visit| async move {
            nothing_is_left_but(&visit, &BEFORE).await;
        },
    }));
    claims
}

/// Changes that are given up while the device syncs: each was made, or was not, as a whole.
fn changes() -> Vec<Claim> {
    let mut claims = Vec::new();
    for asked in [PUT, DELETE, TRANSACT, SYNC, COMMIT] {
        claims.extend(interrupted(Interrupted {
            asked,
            scene: Scene::State,
            hold: Hold::AtTheDevice,
            attempt: move |visit: Visit| async move {
                let state = state(&visit);
                match asked.method.name {
                    "put" => Pending::new(
                        state.clone(),
                        visit.send(|| put(&state, "x", &vec![1; 50_000], If::Any)),
                    ),
                    "delete" => Pending::new(state.clone(), visit.send(|| delete(&state, "a", If::Any))),
                    "transact" => {
                        let call = visit.send(|| transact(&state, &["x", "y"], &vec![1; 50_000], If::Any));
                        Pending::new(state, call)
                    }
                    "sync" => {
                        // It waits for what was asked for before it.
                        let before = put(&state, "x", &vec![1; 50_000], If::Any);
                        let call = visit.send(|| state.sync());
                        Pending::new((state, before), call)
                    }
                    _ => {
                        let upload = begin(&state, "x", 50_000, If::Any).await.unwrap();
                        upload.write(&vec![1; 50_000]).await.unwrap();
                        let call = visit.send(|| upload.commit());
                        Pending::new((state, upload), call)
                    }
                }
            },
            aftermath: move |visit: Visit| async move {
                let state = state(&visit);
                // What was taken before this is durable, or is not going to be.
                state.sync().await.unwrap();
                let (x, y) = (value(&state, "x").await, value(&state, "y").await);
                match asked.method.name {
                    "delete" => {
                        assert_eq!((&x, &y), (&None, &None));
                        delete(&state, "x", If::Absent).await.err().expect("it is not there");
                    }
                    "transact" => assert_eq!(x, y, "both, or none"),
                    _ => assert_eq!(y, None),
                }
                assert!(x.is_none_or(|x| x == vec![1; 50_000]), "the whole value, or none");
                put(&state, "x", b"again", If::Any).await.unwrap();
                assert_eq!(value(&state, "x").await.unwrap(), b"again");
                as_many_uploads_as_ever(&state).await;
            },
        }));
    }
    claims
}

/// No key but these is there, no bytes but theirs count, and every place for an upload of this peer is free.
async fn nothing_is_left_but(visit: &Visit, expected: &[(&str, &[u8])]) {
    let state = state(visit);
    let response = state.list("", b"", 1_000).await.unwrap();
    let entries = response.get().unwrap().get_entries().unwrap();
    let names: Vec<_> = entries.iter().map(|entry| entry.get_key().unwrap().to_string().unwrap()).collect();
    assert_eq!(names, expected.iter().map(|(name, _)| *name).collect::<Vec<_>>());
    let usage = state.usage("").await.unwrap();
    assert_eq!(usage.value_bytes, expected.iter().map(|(_, value)| value.len() as u64).sum::<u64>());
    as_many_uploads_as_ever(&state).await;
}

async fn as_many_uploads_as_ever(state: &StateFs) {
    let mut uploads = Vec::new();
    for at in 0..MAX_PEER_UPLOADS {
        uploads.push(begin(state, &format!("upload/{at}"), 1, If::Any).await.expect("there is a place"));
    }
}
