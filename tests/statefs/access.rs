//! Who sees what: denied looks like absent.

use vatmux::statefs::{Operation, Right, Step};

use super::*;

fn guest() -> Access {
    Access::none().and(prefix("shared/"), Right::Read).and(prefix("guest/"), Right::Write)
}

fn prepared() -> (Kept, Client, Client) {
    let kept = Kept::new();
    let (owner, guest) = (kept.client(Access::full()), kept.client(guest()));
    for name in ["guest/a", "secret", "shared/a", "shared/b", "zoo"] {
        put(&owner, name, name.as_bytes()).unwrap();
    }
    (kept, owner, guest)
}

#[test]
fn test_reject_access_denied_write_outside_the_allowed_prefix() {
    let (_kept, owner, guest) = prepared();
    for name in ["shared/a", "shared/new", "secret", "new", "guest", "guestbook"] {
        assert_eq!(status(put(&guest, name, b"x")), Some(Status::AccessDenied), "{name}");
        assert_eq!(status(put(&guest, name, &vec![0; 100_000])), Some(Status::AccessDenied), "{name}");
        let transaction =
            [Operation { key: key(name), condition: Condition::Any, step: Step::Put(b"x".to_vec()) }];
        assert_eq!(status(block_on(guest.transact(&transaction))), Some(Status::AccessDenied), "{name}");
    }
    assert_eq!(get(&owner, "secret").unwrap(), b"secret");
    put(&guest, "guest/b", b"mine").unwrap();
}

#[test]
fn test_reject_not_found_what_may_not_be_seen_as_if_it_were_not_there() {
    let (_kept, _owner, guest) = prepared();
    for name in ["secret", "zoo", "nothing"] {
        assert_eq!(get(&guest, name), None, "{name}");
        let deleted = block_on(guest.delete(&key(name), Condition::Any));
        assert_eq!(status(deleted), Some(Status::NotFound), "{name}");
        let check = [Operation { key: key(name), condition: Condition::Present, step: Step::Check }];
        assert_eq!(status(block_on(guest.transact(&check))), Some(Status::AccessDenied), "{name}");
    }
    let deleted = block_on(guest.delete(&key("shared/a"), Condition::Any));
    assert_eq!(status(deleted), Some(Status::AccessDenied));
    let page = block_on(guest.list(&prefix(""), None, 1000)).unwrap();
    let listed: Vec<_> = page.entries.iter().map(|entry| entry.key.as_str()).collect();
    assert_eq!(listed, ["guest/a", "shared/a", "shared/b"]);
    for limit in 1..4 {
        let (mut listed, mut after) = (0, None);
        loop {
            let page = block_on(guest.list(&prefix(""), after.as_ref(), limit)).unwrap();
            listed += page.entries.len();
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        assert_eq!(listed, 3, "{limit} to a page");
    }
    assert_eq!(block_on(guest.usage(&prefix(""))).unwrap().0.keys, 3);
    assert_eq!(block_on(guest.usage(&prefix("se"))).unwrap().0.keys, 0);
    let beyond = block_on(guest.list(&prefix(""), Some(&key("secret")), 10));
    assert_eq!(status(beyond), Some(Status::InvalidCursor));
}

#[test]
fn test_reject_prefix_escape_of_a_narrowed_capability() {
    let (_kept, owner, guest) = prepared();
    let narrow = block_on(owner.narrow(&prefix("guest/"), false)).unwrap();
    put(&narrow, "guest/c", b"1").unwrap();
    assert_eq!(status(put(&narrow, "shared/a", b"1")), Some(Status::AccessDenied));
    assert_eq!(get(&narrow, "secret"), None);
    let narrower = block_on(narrow.narrow(&prefix("guest/c"), true)).unwrap();
    assert_eq!(status(put(&narrower, "guest/c", b"1")), Some(Status::AccessDenied));
    assert_eq!(get(&narrower, "guest/a"), None);
    let wider = block_on(narrower.narrow(&prefix(""), false)).unwrap();
    assert_eq!(status(put(&wider, "guest/c", b"1")), Some(Status::AccessDenied));
    assert_eq!(get(&wider, "guest/c").unwrap(), b"1");
    let nothing = block_on(guest.narrow(&prefix("secret"), false)).unwrap();
    assert_eq!(get(&nothing, "secret"), None);
}
