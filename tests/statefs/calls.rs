//! What each method does.

use vatmux::statefs::{Mark, Operation, Step, Usage, Version};

use super::*;

#[test]
fn a_value_of_any_size_comes_back_as_it_was_put() {
    let kept = Kept::new();
    let client = kept.client(Access::full());
    let mut last = 0;
    for size in [0, 1, 2048, 2049, 65_536, 65_537, 1_000_000, 5_000_000] {
        let value: Vec<u8> = (0..size).map(|at: u32| (at % 251) as u8).collect();
        let version = put(&client, "a/b", &value).unwrap();
        assert!(version > last);
        last = version;
        let found = block_on(client.get(&key("a/b"))).unwrap().unwrap();
        assert_eq!((found.version.get(), found.bytes == value), (version, true), "{size} bytes");
    }
    assert_eq!(get(&client, "other"), None);
    assert_eq!(block_on(client.sync()).unwrap(), last);
    assert_eq!(block_on(client.delete(&key("a/b"), Condition::Any)).unwrap().get(), last);
    assert_eq!(get(&client, "a/b"), None);
}

#[test]
fn a_listing_has_every_key_once_and_in_order_page_by_page() {
    let kept = Kept::new();
    let client = kept.client(Access::full());
    let mut names: Vec<String> = (0..25).map(|at| format!("k/{}", at * 7 % 25)).collect();
    for name in &names {
        put(&client, name, name.as_bytes()).unwrap();
    }
    put(&client, "other", b"").unwrap();
    names.sort();
    let mut listed = Vec::new();
    let mut after = None;
    loop {
        let page = block_on(client.list(&prefix("k/"), after.as_ref(), 4)).unwrap();
        assert!(page.entries.len() <= 4);
        listed.extend(page.entries.into_iter().map(|entry| entry.key.to_string()));
        match page.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(listed, names);
    let value_bytes = names.iter().map(|name| name.len() as u64).sum();
    let (usage, quota_bytes) = block_on(client.usage(&prefix("k/"))).unwrap();
    assert_eq!(usage, Usage { keys: 25, value_bytes });
    assert_eq!(quota_bytes, kept.store.limits().value_bytes);
    assert_eq!(block_on(client.usage(&prefix(""))).unwrap().0.keys, 26);
}

#[test]
fn a_transaction_is_made_whole_and_tells_the_versions() {
    let kept = Kept::new();
    let client = kept.client(Access::full());
    let first = Version::new(put(&client, "a", b"1").unwrap());
    put(&client, "b", b"1").unwrap();
    let operation = |name: &str, condition, step| Operation { key: key(name), condition, step };
    let versions = block_on(client.transact(&[
        operation("a", Condition::Version(first.unwrap()), Step::Check),
        operation("b", Condition::Present, Step::Delete),
        operation("c", Condition::Absent, Step::Put(b"2".to_vec())),
    ]))
    .unwrap();
    assert_eq!((versions[0], versions[1]), (first, None));
    assert!(versions[2] > first);
    assert_eq!((get(&client, "b"), get(&client, "c")), (None, Some(b"2".to_vec())));
}

#[test]
fn a_mark_is_good_for_the_store_that_gave_it_and_leads_to_the_same_keys() {
    let kept = Kept::new();
    let client = kept.client(Access::none().and(prefix("a/"), vatmux::statefs::Right::Write));
    let (client, nothing) = block_on(client.since(&Mark::default())).unwrap();
    assert_eq!((nothing, nothing.version()), (Mark::default(), 0));
    let version = put(&client, "a/b", b"1").unwrap();
    let (client, mark) = block_on(client.since(&nothing)).unwrap();
    assert_eq!(mark.version(), version);
    put(&client, "a/b", b"2").unwrap();
    let (same, _) = block_on(client.since(&mark)).unwrap();
    assert_eq!(get(&same, "a/b"), Some(b"2".to_vec()));
    assert_eq!(status(put(&same, "b", b"1")), Some(Status::AccessDenied), "it is no wider");
}
