//! Listings: whole, ordered, bounded, and right while the directory changes.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use vatmux::packagefs::{Error, Kind, Status};
use vatmux::schema::packagefs_capnp::package_fs;

use crate::served::{Served, block_on};

struct Page {
    names: Vec<String>,
    next: Vec<u8>,
    omitted: u32,
}

fn page(fs: &package_fs::Client, cursor: &[u8], limit: u32) -> Page {
    let mut request = fs.list_request();
    request.get().set_cursor(cursor);
    request.get().set_limit(limit);
    let response = block_on(request.send().promise).unwrap();
    let results = response.get().unwrap();
    assert_eq!(results.get_status(), Ok(Status::Ok));
    Page {
        names: results
            .get_entries()
            .unwrap()
            .iter()
            .map(|entry| entry.get_name().unwrap().to_string().unwrap())
            .collect(),
        next: results.get_next().unwrap().to_vec(),
        omitted: results.get_omitted(),
    }
}

/// Lists the root in pages of `limit`, and calls `between` after each.
fn list_all(fs: &package_fs::Client, limit: u32, mut between: impl FnMut(usize)) -> Vec<String> {
    let mut names = Vec::new();
    let mut cursor = Vec::new();
    for at in 0.. {
        let page = page(fs, &cursor, limit);
        assert!(page.names.len() <= limit as usize);
        names.extend(page.names);
        if page.next.is_empty() {
            break;
        }
        cursor = page.next;
        between(at);
    }
    names
}

#[test]
fn a_listing_has_every_entry_once_in_the_order_of_the_bytes() {
    let served = Served::new();
    for name in ["b", "a", "Z", "ä", "a.b", "a-b", "日", ".hidden"] {
        served.write(name, name.as_bytes());
    }
    fs::create_dir(served.path("dir")).unwrap();
    symlink("/nowhere", served.path("link")).unwrap();
    served.make_fifo("pipe");

    let entries = block_on(served.client().list("", 100)).unwrap();
    let names: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, [".hidden", "Z", "a", "a-b", "a.b", "b", "dir", "link", "pipe", "ä", "日"]);
    let of = |name: &str| &entries.iter().find(|entry| entry.name == name).unwrap().attributes;
    assert_eq!((of("日").kind, of("日").size_bytes), (Kind::File, 3));
    assert_eq!(of("dir").kind, Kind::Directory);
    assert_eq!((of("link").kind, of("link").link_target.as_deref()), (Kind::Symlink, Some("/nowhere")));
    assert_eq!(of("pipe").kind, Kind::Other);
}

#[test]
fn an_empty_directory_is_one_empty_page() {
    let page = page(&Served::new().capability(), b"", 10);
    assert_eq!((page.names.len(), page.next.len(), page.omitted), (0, 0, 0));
}

#[test]
fn pages_of_any_size_make_the_same_listing() {
    let served = Served::new();
    let names: Vec<_> = (0..50).map(|at| format!("{at:02}")).collect();
    for name in &names {
        served.write(name, b"");
    }
    let fs = served.capability();
    for limit in [1, 7, 25, 50, 51, 1000] {
        assert_eq!(list_all(&fs, limit, |_| {}), names, "in pages of {limit}");
    }
    assert_eq!(page(&fs, b"", 0).names.len(), 1, "a page of none would never end");
}

#[test]
fn a_page_has_at_most_a_thousand_entries_whatever_is_asked_for() {
    let served = Served::new();
    for at in 0..1001 {
        served.write(&format!("{at:04}"), b"");
    }
    let fs = served.capability();
    let first = page(&fs, b"", u32::MAX);
    assert_eq!(first.names.len(), 1000);
    assert_eq!(page(&fs, &first.next, u32::MAX).names, ["1000"]);
}

#[test]
fn a_page_of_long_links_ends_at_its_bytes() {
    let served = Served::new();
    let target = "t/".repeat(2000);
    for at in 0..200 {
        symlink(&target, served.path(&format!("{at:03}"))).unwrap();
    }
    let fs = served.capability();
    let first = page(&fs, b"", 1000).names.len();
    assert!((100..150).contains(&first), "{first} entries of 4 KiB in a page of 512 KiB");
    assert_eq!(list_all(&fs, 1000, |_| {}).len(), 200);
}

#[test]
fn what_stays_is_listed_once_whatever_comes_and_goes_between_pages() {
    let served = Served::new();
    let staying: BTreeSet<_> = (0..300).map(|at| format!("stays-{at:03}")).collect();
    for name in &staying {
        served.write(name, b"");
    }
    for at in 0..300 {
        served.write(&format!("goes-{at:03}"), b"");
    }
    for at in 0..300 {
        served.write(&format!("tgoes-{at:03}"), b"");
    }

    let listed = list_all(&served.capability(), 50, |at| {
        for gone in at * 20..(at + 1) * 20 {
            let _ = fs::remove_file(served.path(&format!("goes-{gone:03}")));
            let _ = fs::remove_file(served.path(&format!("tgoes-{gone:03}")));
        }
        served.write(&format!("a-comes-{at}"), b"");
        served.write(&format!("u-comes-{at}"), b"");
    });
    let once: BTreeSet<_> = listed.iter().cloned().collect();
    assert_eq!(once.len(), listed.len(), "nothing is listed twice");
    assert!(once.is_superset(&staying), "nothing that stays is missed");
}

#[test]
fn the_entry_that_a_cursor_names_may_be_removed() {
    let served = Served::new();
    for name in ["a", "b", "c"] {
        served.write(name, b"");
    }
    let first = page(&served.capability(), b"", 2);
    fs::remove_file(served.path("b")).unwrap();
    assert_eq!(page(&served.capability(), &first.next, 2).names, ["c"]);
}

#[test]
fn a_directory_larger_than_one_reading_keeps_is_listed_whole_while_two_take_turns() {
    let served = Served::new();
    let names: Vec<_> = (0..17_000).map(|at| format!("{at:05}")).collect();
    for name in &names {
        drop(fs::File::create(served.path(name)).unwrap());
    }
    let fs = served.capability();
    assert_eq!(list_all(&fs, 1000, |_| {}), names);
    // Another listing of the same directory in between takes what the first one's reading kept.
    assert_eq!(list_all(&fs, 1000, |_| drop(page(&fs, b"", 10))), names);
}

#[test]
fn names_that_no_path_can_hold_are_counted_once() {
    let served = Served::new();
    for name in [b"back\\slash".as_slice(), b"\xff\xfe"] {
        fs::write(served.root().join(std::ffi::OsStr::from_bytes(name)), "").unwrap();
    }
    for at in 0..10 {
        served.write(&format!("{at}"), b"");
    }
    let fs = served.capability();
    let first = page(&fs, b"", 5);
    assert_eq!((first.names.len(), first.omitted), (5, 2));
    assert_eq!(page(&served.capability(), &first.next, 5).omitted, 0);

    let client = served.client();
    let mut listing = client.listing("");
    while block_on(listing.next_page()).unwrap().is_some() {}
    assert_eq!(listing.omitted(), 2);
}

#[test]
fn test_reject_a_listing_longer_than_the_caller_takes() {
    let served = Served::new();
    for at in 0..11 {
        served.write(&format!("{at}"), b"");
    }
    let client = served.client();
    assert_eq!(block_on(client.list("", 11)).unwrap().len(), 11);
    let error = block_on(client.list("", 10)).unwrap_err();
    assert!(matches!(error, Error::TooManyEntries { limit: 10, .. }), "{error}");
}
