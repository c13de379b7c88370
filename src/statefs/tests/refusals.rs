//! What a store refuses, and that it changes nothing then.

use super::*;

fn operation(name: &str, step: Step) -> Operation {
    Operation { key: key(name), condition: Condition::Any, step }
}

fn transact(store: &Store, operations: Vec<Operation>) -> Result<Vec<Option<Version>>, TransactError> {
    block_on(store.transact(operations))
}

#[test]
fn test_reject_not_found() {
    let (_, store) = fresh();
    assert_eq!(get(&store, "a").unwrap(), None);
    assert!(matches!(delete(&store, "a"), Err(Error::NotFound)));
    assert_eq!(store.last_version().unwrap(), 0);
}

#[test]
fn test_reject_value_too_large() {
    let (_, store) = fresh();
    put(&store, "a", vec![1; MAX_PUT_BYTES]).unwrap();
    let limit_bytes = MAX_PUT_BYTES as u64;
    let refused = put(&store, "a", vec![2; MAX_PUT_BYTES + 1]);
    assert!(matches!(refused, Err(Error::ValueTooLarge { bytes, limit_bytes: limit })
        if bytes == limit_bytes + 1 && limit == limit_bytes));
    let refused = transact(&store, vec![operation("b", Step::Put(vec![2; MAX_PUT_BYTES + 1]))]).unwrap_err();
    assert!(matches!(refused, TransactError { operation: Some(0), error: Error::ValueTooLarge { .. } }));
    let refused = store.upload(key("a"), MAX_VALUE_BYTES + 1, Condition::Any);
    assert!(matches!(refused, Err(Error::ValueTooLarge { .. })));
    assert_eq!(get(&store, "a").unwrap().unwrap(), vec![1; MAX_PUT_BYTES]);
}

#[test]
fn test_reject_version_mismatch_and_say_which_it_is() {
    let (_, store) = fresh();
    let conditional = |condition| block_on(store.put(key("a"), b"x".to_vec(), condition));
    assert!(matches!(conditional(Condition::Present), Err(Error::VersionMismatch { found: None })));
    let first = conditional(Condition::Absent).unwrap();
    assert!(
        matches!(conditional(Condition::Absent), Err(Error::VersionMismatch { found: Some(is) }) if is == first)
    );
    let second = conditional(Condition::Version(first)).unwrap();
    for condition in [Condition::Version(first), Condition::Absent] {
        let refused = conditional(condition).unwrap_err();
        assert!(matches!(refused, Error::VersionMismatch { found: Some(is) } if is == second));
        let refused = block_on(store.delete(key("a"), condition)).unwrap_err();
        assert!(matches!(refused, Error::VersionMismatch { found: Some(is) } if is == second));
    }
    assert_eq!(block_on(store.delete(key("a"), Condition::Version(second))).unwrap(), second);
    let third = conditional(Condition::Absent).unwrap();
    assert!(third > second, "versions of what was deleted are not given out again");
}

#[test]
fn test_reject_transaction_limit() {
    let (_, store) = fresh();
    let many =
        |count: usize| (0..count).map(|at| operation(&format!("{at}"), Step::Put(vec![0; 8]))).collect();
    assert_eq!(transact(&store, many(MAX_OPERATIONS)).unwrap().len(), MAX_OPERATIONS);
    let refused = transact(&store, many(MAX_OPERATIONS + 1)).unwrap_err();
    assert!(matches!(refused.error, Error::TransactionLimit { count: 65, limit: 64, .. }));
    let large = |last: usize| {
        ["a", "b", "c", "d", "e"]
            .iter()
            .zip([MAX_PUT_BYTES, MAX_PUT_BYTES, MAX_PUT_BYTES, MAX_PUT_BYTES - 1, last])
            .map(|(name, bytes)| operation(name, Step::Put(vec![1; bytes])))
            .collect()
    };
    transact(&store, large(1)).unwrap();
    let refused = transact(&store, large(2)).unwrap_err();
    assert!(matches!(refused.error, Error::TransactionLimit { limit: MAX_TRANSACTION_BYTES, .. }));
    assert_eq!(get(&store, "e").unwrap().unwrap(), [1]);
}

#[test]
fn test_reject_malformed_transaction_that_names_a_key_twice() {
    let (_, store) = fresh();
    let twice =
        vec![operation("a", Step::Put(vec![1])), operation("b", Step::Check), operation("a", Step::Delete)];
    let refused = transact(&store, twice).unwrap_err();
    assert!(matches!(refused, TransactError { operation: Some(2), error: Error::Malformed(_) }), "{refused}");
    assert_eq!(get(&store, "a").unwrap(), None);
    assert_eq!(transact(&store, Vec::new()).unwrap(), []);
}

#[test]
fn test_reject_invalid_cursor() {
    let (_, store) = fresh();
    put(&store, "b/1", "").unwrap();
    for cursor in ["a", "c", "b"] {
        let refused = store.list(&prefix("b/"), Some(&key(cursor)), 10);
        assert!(matches!(refused, Err(Error::InvalidCursor)), "{cursor}");
    }
    // One that was given, of a key that was deleted since.
    assert_eq!(store.list(&prefix("b/"), Some(&key("b/0")), 10).unwrap().entries.len(), 1);
}

#[test]
fn test_reject_quota_exceeded_for_bytes_and_for_keys() {
    let device = Arc::new(SimulatedDevice::default());
    let limits = Limits { value_bytes: 10_000, keys: 3 };
    let store = Store::open(device, OpenOptions { limits, ..OpenOptions::default() }).unwrap();
    put(&store, "a", vec![0; 4000]).unwrap();
    put(&store, "b", vec![0; 6000]).unwrap();
    let refused = put(&store, "c", vec![0; 1]).unwrap_err();
    assert!(matches!(refused, Error::QuotaExceeded { limit: 10_000, .. }), "{refused}");
    put(&store, "a", vec![0; 3999]).unwrap();
    put(&store, "c", vec![0; 1]).unwrap();
    let refused = put(&store, "d", vec![]).unwrap_err();
    assert!(matches!(refused, Error::QuotaExceeded { limit: 3, .. }), "{refused}");
    let swap = vec![operation("a", Step::Delete), operation("d", Step::Put(vec![1]))];
    transact(&store, swap).unwrap();
    assert_eq!(store.usage(&Prefix::default()).unwrap(), Usage { keys: 3, value_bytes: 6002 });
}

#[test]
fn uploads_count_against_the_quota_while_they_are_under_way() {
    let device = Arc::new(SimulatedDevice::default());
    let limits = Limits { value_bytes: 4_000_000, ..Limits::default() };
    let store = Store::open(device, OpenOptions { limits, ..OpenOptions::default() }).unwrap();
    let value = vec![3; 2_500_000];
    let mut one = store.upload(key("one"), 2_500_000, Condition::Any).unwrap();
    block_on(one.write(&value)).unwrap();
    let mut two = store.upload(key("two"), 2_500_000, Condition::Any).unwrap();
    assert!(matches!(block_on(two.write(&value)), Err(Error::QuotaExceeded { .. })));
    assert!(matches!(block_on(two.commit()), Err(Error::Malformed(_))));
    block_on(one.commit()).unwrap();
    delete(&store, "one").unwrap();
    let mut two = store.upload(key("two"), 2_500_000, Condition::Any).unwrap();
    block_on(two.write(&value)).unwrap();
    block_on(two.commit()).unwrap();
}
