//! What the service refuses, by the schema's words, of clients that do not keep to our client's manners.

use vatmux::schema::statefs_capnp::condition;
use vatmux::service;
use vatmux::statefs::{Limits, Operation, Step};

use super::*;

fn refusal<T>(answer: Result<T, service::Error<Status>>) -> Option<Status> {
    answer.err().and_then(|error| error.status().copied())
}

#[test]
fn test_reject_invalid_key_and_key_too_long_in_every_method() {
    let kept = Kept::new();
    let stub = kept.stub(Access::full());
    let long = "k".repeat(256);
    for (name, expected) in [
        ("", Status::InvalidKey),
        ("/a", Status::InvalidKey),
        ("a/../b", Status::InvalidKey),
        ("a\0b", Status::InvalidKey),
        ("a\\b", Status::InvalidKey),
        (&long, Status::KeyTooLong),
    ] {
        assert_eq!(refusal(block_on(stub.get(name, 10))), Some(expected), "{name:?}");
        let put = stub.put(|mut params| params.set_key(name));
        assert_eq!(refusal(block_on(put)), Some(expected), "{name:?}");
        let delete = stub.delete(|mut params| params.set_key(name));
        assert_eq!(refusal(block_on(delete)), Some(expected), "{name:?}");
        let begun = stub.write(|mut params| params.set_key(name));
        assert_eq!(refusal(block_on(async { begun.await })), Some(expected), "{name:?}");
        let transact = stub.transact(|params| params.init_operations(1).get(0).set_key(name));
        assert_eq!(refusal(block_on(transact)), Some(expected), "{name:?}");
        if !name.is_empty() {
            assert_eq!(refusal(block_on(stub.list(name, b"", 1))), Some(expected), "{name:?}");
            assert_eq!(refusal(block_on(stub.usage(name))), Some(expected), "{name:?}");
        }
    }
}

#[test]
fn test_reject_value_too_large_in_one_call() {
    let kept = Kept::new();
    let stub = kept.stub(Access::full());
    let put = |bytes: usize| {
        refusal(block_on(stub.put(|mut params| {
            params.set_key("a");
            params.set_value(&vec![1; bytes]);
        })))
    };
    assert_eq!(put(65_536), None);
    assert_eq!(put(65_537), Some(Status::ValueTooLarge));
    assert_eq!(refusal(block_on(stub.get("a", 65_537))), Some(Status::ValueTooLarge));
    assert_eq!(refusal(block_on(stub.get("a", 65_535))), Some(Status::ValueTooLarge));
    let begun = stub.write(|mut params| {
        params.set_key("a");
        params.set_size_bytes(64 * 1024 * 1024 + 1);
    });
    assert_eq!(refusal(block_on(async { begun.await })), Some(Status::ValueTooLarge));
}

#[test]
fn test_reject_version_mismatch_with_the_version_that_there_is() {
    let kept = Kept::new();
    let client = kept.client(Access::full());
    let absent = block_on(client.put(&key("a"), b"", Condition::Present));
    assert!(matches!(absent, Err(RequestError::VersionMismatch { found: None })), "{absent:?}");
    let version = put(&client, "a", b"").unwrap();
    for value in [&b"small"[..], &vec![0; 100_000]] {
        let present = block_on(client.put(&key("a"), value, Condition::Absent));
        assert_eq!(status(present), Some(Status::VersionMismatch));
    }
    let deleted = block_on(client.delete(&key("a"), Condition::Absent));
    assert!(
        matches!(deleted, Err(RequestError::VersionMismatch { found: Some(found) }) if found.get() == version)
    );
}

#[test]
fn test_reject_transaction_limit_and_malformed_and_blame_the_operation() {
    let kept = Kept::new();
    let client = kept.client(Access::full());
    let operation = |name: String, step| Operation { key: key(&name), condition: Condition::Any, step };
    let many: Vec<_> = (0..65).map(|at| operation(format!("{at}"), Step::Check)).collect();
    assert_eq!(status(block_on(client.transact(&many))), Some(Status::TransactionLimit));
    let twice = [operation("a".into(), Step::Delete), operation("a".into(), Step::Delete)];
    let refused = block_on(client.transact(&twice));
    assert!(
        matches!(refused, Err(RequestError::Operation { operation: 1, status: Status::Malformed, .. })),
        "{refused:?}"
    );
}

#[test]
fn test_reject_malformed_uploads_that_are_longer_or_shorter_than_announced() {
    let kept = Kept::new();
    let stub = kept.stub(Access::full());
    for bytes in [9, 11, 3_000_000] {
        let begun = stub.write(|mut params| {
            params.set_key("a");
            params.set_size_bytes(10);
        });
        block_on(async {
            let upload = begun.await.unwrap();
            for piece in vec![0; bytes].chunks(100_000) {
                upload.write(piece).await.unwrap();
            }
            assert_eq!(refusal(upload.commit().await), Some(Status::Malformed), "{bytes}");
            assert_eq!(refusal(upload.commit().await), Some(Status::Malformed), "{bytes}");
        });
    }
    assert_eq!(get(&kept.client(Access::full()), "a"), None);
}

#[test]
fn test_reject_quota_exceeded_by_puts_and_uploads() {
    let limits = Limits { value_bytes: 100_000, keys: 10 };
    let kept = Kept::with(OpenOptions { limits, ..OpenOptions::default() });
    let client = kept.client(Access::full());
    put(&client, "a", &vec![0; 60_000]).unwrap();
    assert_eq!(status(put(&client, "b", &vec![0; 60_000])), Some(Status::QuotaExceeded));
    assert_eq!(status(put(&client, "b", &vec![0; 3_000_000])), Some(Status::QuotaExceeded));
    assert_eq!(get(&client, "b"), None);
}

#[test]
fn test_reject_invalid_cursor_that_is_no_key() {
    let kept = Kept::new();
    let stub = kept.stub(Access::full());
    for cursor in [&b"/"[..], b"\xff", &[b'k'; 300]] {
        assert_eq!(refusal(block_on(stub.list("", cursor, 10))), Some(Status::InvalidCursor));
    }
}

#[test]
fn test_reject_busy_uploads_beyond_the_limit() {
    let kept = Kept::new();
    let stub = kept.stub(Access::full());
    block_on(async {
        let mut uploads = Vec::new();
        let refused = loop {
            let begun = stub.write(|mut params| {
                params.set_key("a");
                params.set_size_bytes(10);
            });
            match begun.await {
                Ok(upload) => uploads.push(upload),
                Err(error) => break error,
            }
        };
        assert_eq!((uploads.len(), refused.status()), (vatmux::statefs::MAX_UPLOADS, Some(&Status::Busy)));
    });
}

#[test]
fn test_reject_rollback_detected_by_the_mark_of_another_store() {
    let (one, two) = (Kept::new(), Kept::new());
    let (first, second) = (one.client(Access::full()), two.client(Access::full()));
    put(&first, "a", b"1").unwrap();
    let (_, mark) = block_on(first.since(&vatmux::statefs::Mark::default())).unwrap();
    for _ in 0..2 {
        // As far as the other and further: its versions alone would pass.
        let refused = block_on(second.since(&mark));
        assert_eq!(status(refused), Some(Status::RollbackDetected));
        put(&second, "a", b"2").unwrap();
    }
    let stub = StateFs::serve(Server::new(one.store.clone(), Access::full()));
    for bytes in [&[0][..], &[0; 23], &[0; 25], &[0; 1000]] {
        let error = block_on(stub.since(bytes).into_future()).err().unwrap();
        assert_eq!(error.status(), Some(&Status::Malformed), "{} bytes", bytes.len());
    }
}

#[test]
fn test_reject_unsupported_conditions_of_a_later_schema() {
    let kept = Kept::new();
    let stub = kept.stub(Access::full());
    // A condition whose discriminant is none that this schema has.
    let mut message = capnp::message::Builder::new_default();
    message.init_root::<condition::Builder<'_>>().set_version(u64::MAX);
    let mut words = capnp::serialize::write_message_to_words(&message);
    let discriminant = if words[16..24] == [0xff; 8] { 24 } else { 16 };
    words[discriminant] = 99;
    let later =
        capnp::serialize::read_message(&mut &words[..], capnp::message::ReaderOptions::new()).unwrap();
    let later: condition::Reader<'_> = later.get_root().unwrap();

    let put = stub.put(|mut params| {
        params.set_key("a");
        params.set_condition(later).unwrap();
    });
    assert_eq!(refusal(block_on(put)), Some(Status::Unsupported));
    let delete = stub.delete(|mut params| {
        params.set_key("a");
        params.set_condition(later).unwrap();
    });
    assert_eq!(refusal(block_on(delete)), Some(Status::Unsupported));
    let transact = stub.transact(|params| {
        let mut operation = params.init_operations(1).get(0);
        operation.set_key("a");
        operation.set_put(b"");
        operation.set_condition(later).unwrap();
    });
    assert_eq!(refusal(block_on(transact)), Some(Status::Unsupported));
    assert_eq!(get(&kept.client(Access::full()), "a"), None);
}
