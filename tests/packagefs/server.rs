//! What the server answers, method by method and status by status, asked through its capability as any peer
//! may.

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::rc::Rc;

use vatmux::packagefs::{Kind, MAX_READ_BYTES, MAX_SMALL_BYTES, Status, Tree};
use vatmux::schema::packagefs_capnp::{file, package_fs};

use crate::served::{KeepingSink, Kept, Served, block_on};

/// A directory with one of everything.
fn zoo() -> Served {
    let served = Served::new();
    served.write("a.txt", b"content of a");
    served.write("sub/b.txt", b"content of b");
    served.write("sub/deep/c", b"c");
    served.write("big", &vec![7; 300_000]);
    symlink("a.txt", served.path("to-a")).unwrap();
    symlink("sub", served.path("to-sub")).unwrap();
    symlink("../a.txt", served.path("sub/up-to-a")).unwrap();
    symlink("../secret", served.path("escape-relative")).unwrap();
    symlink("/etc/passwd", served.path("escape-absolute")).unwrap();
    symlink("..", served.path("escape-parent")).unwrap();
    symlink("nowhere", served.path("dangling")).unwrap();
    symlink("loop-b", served.path("loop-a")).unwrap();
    symlink("loop-a", served.path("loop-b")).unwrap();
    served.make_fifo("fifo");
    drop(std::os::unix::net::UnixListener::bind(served.path("socket")).unwrap());
    served
}

type Opened = capnp::capability::Response<package_fs::open_results::Owned>;
type Small = capnp::capability::Response<package_fs::read_small_results::Owned>;

fn open(fs: &package_fs::Client, path: &[u8]) -> Opened {
    let mut request = fs.open_request();
    request.get().set_path(capnp::text::Reader(path));
    block_on(request.send().promise).unwrap()
}

fn open_file(fs: &package_fs::Client, path: &str) -> file::Client {
    let opened = open(fs, path.as_bytes());
    assert_eq!(opened.get().unwrap().get_status(), Ok(Status::Ok));
    opened.get().unwrap().get_file().unwrap()
}

fn stat_status(fs: &package_fs::Client, path: &[u8], follow_links: bool) -> (Status, Kind) {
    let mut request = fs.stat_request();
    request.get().set_path(capnp::text::Reader(path));
    request.get().set_follow_links(follow_links);
    let response = block_on(request.send().promise).unwrap();
    let results = response.get().unwrap();
    (results.get_status().unwrap(), results.get_attributes().unwrap().get_kind().unwrap())
}

fn list_status(fs: &package_fs::Client, path: &[u8], cursor: &[u8]) -> Status {
    let mut request = fs.list_request();
    request.get().set_path(capnp::text::Reader(path));
    request.get().set_cursor(cursor);
    let response = block_on(request.send().promise).unwrap();
    response.get().unwrap().get_status().unwrap()
}

fn read_small(fs: &package_fs::Client, path: &[u8], limit: u32) -> Small {
    let mut request = fs.read_small_request();
    request.get().set_path(capnp::text::Reader(path));
    request.get().set_limit(limit);
    block_on(request.send().promise).unwrap()
}

fn read(file: &file::Client, offset: u64, length: u32) -> (Status, Vec<u8>) {
    let mut request = file.read_request();
    request.get().set_offset(offset);
    request.get().set_length(length);
    let response = block_on(request.send().promise).unwrap();
    let results = response.get().unwrap();
    (results.get_status().unwrap(), results.get_data().unwrap().to_vec())
}

fn stream(file: &file::Client, offset: u64, length: u64, kept: &Rc<RefCell<Kept>>) -> (Status, u64) {
    let mut request = file.stream_request();
    request.get().set_offset(offset);
    request.get().set_length(length);
    request.get().set_sink(capnp_rpc::new_client(KeepingSink(Rc::clone(kept))));
    let response = block_on(request.send().promise).unwrap();
    let results = response.get().unwrap();
    (results.get_status().unwrap(), results.get_sent_bytes())
}

#[test]
fn stat_says_what_a_path_names_and_follows_a_last_link_only_on_request() {
    let served = zoo();
    fs::set_permissions(served.path("a.txt"), fs::Permissions::from_mode(0o754)).unwrap();
    let fs = served.capability();
    for (path, follow_links, kind) in [
        ("", false, Kind::Directory),
        ("", true, Kind::Directory),
        ("a.txt", false, Kind::File),
        ("sub", false, Kind::Directory),
        ("sub/deep/c", false, Kind::File),
        ("to-a", false, Kind::Symlink),
        ("to-a", true, Kind::File),
        ("to-sub", true, Kind::Directory),
        ("to-sub/b.txt", false, Kind::File),
        ("sub/up-to-a", true, Kind::File),
        ("escape-absolute", false, Kind::Symlink),
        ("dangling", false, Kind::Symlink),
        ("loop-a", false, Kind::Symlink),
        ("fifo", false, Kind::Other),
        ("socket", true, Kind::Other),
    ] {
        assert_eq!(stat_status(&fs, path.as_bytes(), follow_links), (Status::Ok, kind), "{path}");
    }

    let mut request = fs.stat_request();
    request.get().set_path("a.txt");
    let response = block_on(request.send().promise).unwrap();
    let attributes = response.get().unwrap().get_attributes().unwrap();
    assert_eq!((attributes.get_size_bytes(), attributes.get_mode()), (12, 0o754));
    let modified = fs::metadata(served.path("a.txt")).unwrap().modified().unwrap();
    let since_1970 = modified.duration_since(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(attributes.get_modified(), i64::try_from(since_1970.as_nanos()).unwrap());

    let mut request = fs.stat_request();
    request.get().set_path("escape-absolute");
    let response = block_on(request.send().promise).unwrap();
    let target = response.get().unwrap().get_attributes().unwrap().get_link_target().unwrap();
    assert_eq!(target, "/etc/passwd");
}

/// Paths at which nothing can be opened, with the reason.
const UNREACHABLE: [(&str, Status); 14] = [
    ("missing", Status::NotFound),
    ("sub/missing", Status::NotFound),
    ("missing/b.txt", Status::NotFound),
    ("dangling", Status::NotFound),
    ("a.txt/b", Status::NotADirectory),
    ("to-a/b", Status::NotADirectory),
    ("escape-relative", Status::OutsideRoot),
    ("escape-absolute", Status::OutsideRoot),
    ("escape-parent", Status::OutsideRoot),
    ("escape-parent/secret", Status::OutsideRoot),
    ("escape-parent/root/a.txt", Status::OutsideRoot),
    ("loop-a", Status::LinkLoop),
    ("loop-a/x", Status::LinkLoop),
    ("to-sub/missing", Status::NotFound),
];

#[test]
fn test_reject_path_traversal_and_paths_that_lead_nowhere_by_every_method() {
    let served = zoo();
    let fs = served.capability();
    for (path, status) in UNREACHABLE {
        assert_eq!(stat_status(&fs, path.as_bytes(), true).0, status, "stat {path}");
        assert_eq!(list_status(&fs, path.as_bytes(), b""), status, "list {path}");
        assert_eq!(open(&fs, path.as_bytes()).get().unwrap().get_status(), Ok(status), "open {path}");
        let small = read_small(&fs, path.as_bytes(), 100);
        assert_eq!(small.get().unwrap().get_status(), Ok(status), "readSmall {path}");
        assert!(small.get().unwrap().get_content().unwrap().is_empty());
    }
}

#[test]
fn test_reject_paths_that_break_the_rules_by_every_method() {
    let served = zoo();
    let fs = served.capability();
    let long = vec![b'x'; 100 * 1024];
    let long_name = vec![b'x'; 256];
    let invalid: [&[u8]; 13] = [
        b"..",
        b"../secret",
        b"sub/../../secret",
        b"sub/..",
        b".",
        b"/etc/passwd",
        b"/",
        b"sub//b.txt",
        b"sub/",
        b"a.txt\0.jpg",
        b"sub\\b.txt",
        b"\xff\xfe",
        &long_name,
    ];
    for path in invalid.into_iter().chain([long.as_slice()]) {
        let shown = &path[..path.len().min(40)].escape_ascii().to_string();
        assert_eq!(stat_status(&fs, path, false).0, Status::InvalidPath, "stat {shown}");
        assert_eq!(list_status(&fs, path, b""), Status::InvalidPath, "list {shown}");
        let opened = open(&fs, path);
        assert_eq!(opened.get().unwrap().get_status(), Ok(Status::InvalidPath), "open {shown}");
        assert!(!opened.get().unwrap().get_detail().unwrap().is_empty(), "open {shown} says why");
        let small = read_small(&fs, path, 100);
        assert_eq!(small.get().unwrap().get_status(), Ok(Status::InvalidPath), "readSmall {shown}");
    }
}

#[test]
fn test_reject_opening_what_is_no_file_without_touching_it() {
    let served = zoo();
    let fs = served.capability();
    for (path, status) in [
        ("", Status::IsADirectory),
        ("sub", Status::IsADirectory),
        ("to-sub", Status::IsADirectory),
        // Nobody writes to this FIFO: to open it for reading would never return.
        ("fifo", Status::NotAFile),
        ("socket", Status::NotAFile),
    ] {
        let opened = open(&fs, path.as_bytes());
        assert_eq!(opened.get().unwrap().get_status(), Ok(status), "open {path}");
        assert!(!opened.get().unwrap().has_file());
        assert_eq!(read_small(&fs, path.as_bytes(), 1).get().unwrap().get_status(), Ok(status), "{path}");
    }
}

#[test]
fn test_reject_listing_what_is_no_directory() {
    let served = zoo();
    let fs = served.capability();
    for path in ["a.txt", "to-a", "fifo"] {
        assert_eq!(list_status(&fs, path.as_bytes(), b""), Status::NotADirectory, "{path}");
    }
}

#[test]
fn test_reject_cursors_that_no_listing_gave() {
    let served = zoo();
    let fs = served.capability();
    for cursor in [b"..".as_slice(), b"a/b", b"\0", b"\xff", &[b'x'; 256]] {
        assert_eq!(list_status(&fs, b"", cursor), Status::InvalidCursor, "{}", cursor.escape_ascii());
    }
}

#[test]
fn the_root_stays_the_same_when_its_name_is_taken_by_another() {
    let served = zoo();
    let fs = served.capability();
    fs::rename(served.root(), served.root().with_file_name("moved")).unwrap();
    symlink("/etc", served.root()).unwrap();
    assert_eq!(stat_status(&fs, b"passwd", false).0, Status::NotFound);
    assert_eq!(stat_status(&fs, b"a.txt", false).0, Status::Ok);
}

#[test]
fn test_reject_a_root_that_is_no_directory() {
    let served = zoo();
    let missing = Tree::open(served.path("missing")).unwrap_err();
    assert!(missing.to_string().starts_with("cannot serve `"), "{missing}");
    assert!(Tree::open(served.path("a.txt")).is_err());
}

#[test]
fn read_small_gives_a_small_file_whole_and_a_larger_one_with_the_way_to_its_rest() {
    let served = zoo();
    served.write("empty", b"");
    let fs = served.capability();
    for (path, limit) in [("a.txt", 12), ("a.txt", 100), ("to-a", 100), ("empty", 0), ("empty", 10)] {
        let small = read_small(&fs, path.as_bytes(), limit);
        let small = small.get().unwrap();
        assert_eq!(small.get_status(), Ok(Status::Ok));
        assert_eq!(small.get_content().unwrap(), fs::read(served.path(path)).unwrap());
        assert_eq!(
            small.get_attributes().unwrap().get_size_bytes(),
            small.get_content().unwrap().len() as u64
        );
        assert!(!small.has_file());
    }
    let small = read_small(&fs, b"a.txt", 7);
    let small = small.get().unwrap();
    assert_eq!(small.get_content().unwrap(), b"content");
    assert_eq!(small.get_attributes().unwrap().get_size_bytes(), 12);
    assert_eq!(read(&small.get_file().unwrap(), 7, 100), (Status::Ok, b" of a".to_vec()));
}

#[test]
fn test_reject_oversized_read() {
    let served = zoo();
    let fs = served.capability();
    assert_eq!(read_small(&fs, b"a.txt", MAX_SMALL_BYTES).get().unwrap().get_status(), Ok(Status::Ok));
    let too_large = read_small(&fs, b"a.txt", MAX_SMALL_BYTES + 1);
    assert_eq!(too_large.get().unwrap().get_status(), Ok(Status::TooLarge));

    let file = open_file(&fs, "a.txt");
    assert_eq!(read(&file, 0, MAX_READ_BYTES).0, Status::Ok);
    assert_eq!(read(&file, 0, MAX_READ_BYTES + 1).0, Status::TooLarge);
    assert_eq!(read(&file, 0, u32::MAX).0, Status::TooLarge);
}

#[test]
fn read_gives_the_bytes_asked_for_and_none_past_the_end() {
    let served = zoo();
    let fs = served.capability();
    let file = open_file(&fs, "a.txt");
    assert_eq!(read(&file, 0, 7), (Status::Ok, b"content".to_vec()));
    assert_eq!(read(&file, 8, 2), (Status::Ok, b"of".to_vec()));
    assert_eq!(read(&file, 11, 5), (Status::Ok, b"a".to_vec()));
    assert_eq!(read(&file, 12, 5), (Status::Ok, vec![]));
    assert_eq!(read(&file, u64::MAX, 5), (Status::Ok, vec![]));
    assert_eq!(read(&file, 3, 0), (Status::Ok, vec![]));
}

#[test]
fn an_open_file_stays_readable_when_its_name_is_removed() {
    let served = zoo();
    let file = open_file(&served.capability(), "a.txt");
    fs::remove_file(served.path("a.txt")).unwrap();
    assert_eq!(read(&file, 0, 100), (Status::Ok, b"content of a".to_vec()));
    let stat = block_on(file.stat_request().send().promise).unwrap();
    assert_eq!(stat.get().unwrap().get_attributes().unwrap().get_size_bytes(), 12);
}

#[test]
fn a_file_can_be_read_on_the_answer_to_its_opening_before_that_came() {
    let served = zoo();
    let fs = served.capability();
    let mut request = fs.open_request();
    request.get().set_path("a.txt");
    let file = request.send().pipeline.get_file();
    assert_eq!(read(&file, 0, 7), (Status::Ok, b"content".to_vec()));
}

#[test]
fn the_caller_of_stream_says_how_long_its_chunks_may_be_and_the_server_how_long_at_most() {
    let served = zoo();
    let content: Vec<u8> = (0..=250).cycle().take(600_000).collect();
    served.write("big", &content);
    let file = open_file(&served.capability(), "big");
    let longest = |asked: Option<u32>| {
        let kept = Rc::new(RefCell::new(Kept::default()));
        let mut request = file.stream_request();
        request.get().set_sink(capnp_rpc::new_client(KeepingSink(Rc::clone(&kept))));
        if let Some(asked) = asked {
            request.get().set_chunk_bytes(asked);
        }
        block_on(request.send().promise).unwrap();
        let kept = kept.borrow();
        assert!(kept.bytes == content, "{asked:?}");
        kept.longest_chunk
    };
    assert_eq!(longest(None), 127 * 1024);
    assert_eq!(longest(Some(10_000)), 10_000);
    assert_eq!(longest(Some(u32::MAX)), 255 * 1024);
    for tiny in [0, 1] {
        assert_eq!(longest(Some(tiny)), 4096, "whoever asks for a call for each byte gets fewer");
    }
}

#[test]
fn stream_sends_the_range_in_chunks_and_ends_it() {
    let mut served = zoo();
    served.limits.stream_chunk_bytes = 100_000;
    let content: Vec<u8> = (0..=250).cycle().take(300_000).collect();
    served.write("big", &content);
    let file = open_file(&served.capability(), "big");
    for (offset, length, expected, chunks) in [
        (0, u64::MAX, 0..300_000, 3),
        (1, u64::MAX, 1..300_000, 3),
        (299_999, 1, 299_999..300_000, 1),
        (50_000, 100_001, 50_000..150_001, 2),
        (300_000, 10, 0..0, 0),
        (u64::MAX, u64::MAX, 0..0, 0),
        (5, 0, 0..0, 0),
    ] {
        let kept = Rc::new(RefCell::new(Kept::default()));
        let sent_bytes = expected.len() as u64;
        assert_eq!(stream(&file, offset, length, &kept), (Status::Ok, sent_bytes));
        let kept = kept.borrow();
        assert_eq!(kept.ended_at, Some(sent_bytes));
        assert_eq!(kept.chunks, chunks);
        assert!(kept.bytes == content[expected], "the bytes from {offset} on");
    }
}

#[test]
fn test_reject_a_file_that_shrinks_while_it_is_streamed() {
    let mut served = zoo();
    served.limits.stream_chunk_bytes = 100_000;
    let file = open_file(&served.capability(), "big");
    let path = served.path("big");
    let kept = Rc::new(RefCell::new(Kept::default()));
    kept.borrow_mut().on_chunk = Some(Box::new(move || {
        fs::File::options().write(true).open(&path)?.set_len(150_000)?;
        Ok(())
    }));
    assert_eq!(stream(&file, 0, u64::MAX, &kept), (Status::Changed, 100_000));
    assert_eq!(kept.borrow().ended_at, None, "what is not whole is not ended");
}

#[test]
fn a_sink_that_fails_ends_the_stream_with_its_words() {
    let mut served = zoo();
    served.limits.stream_chunk_bytes = 100_000;
    let file = open_file(&served.capability(), "big");
    let kept = Rc::new(RefCell::new(Kept::default()));
    kept.borrow_mut().on_chunk = Some(Box::new(|| Err(capnp::Error::failed("my disk is full".into()))));
    let mut request = file.stream_request();
    request.get().set_sink(capnp_rpc::new_client(KeepingSink(Rc::clone(&kept))));
    let response = block_on(request.send().promise).unwrap();
    let results = response.get().unwrap();
    assert_eq!(results.get_status(), Ok(Status::SinkFailed));
    assert_eq!(results.get_detail().unwrap(), "my disk is full");
    assert_eq!(kept.borrow().chunks, 1, "nothing is sent after the failure");
}

#[test]
fn test_reject_more_open_files_than_the_limit_until_one_is_dropped() {
    let mut served = zoo();
    served.limits.open_files = 2;
    let fs = served.capability();
    let _one = open_file(&fs, "a.txt");
    let two = open_file(&fs, "a.txt");
    assert_eq!(open(&fs, b"a.txt").get().unwrap().get_status(), Ok(Status::TooManyOpen));
    assert_eq!(read_small(&fs, b"a.txt", 1).get().unwrap().get_status(), Ok(Status::TooManyOpen));
    assert_eq!(
        read_small(&fs, b"a.txt", 100).get().unwrap().get_status(),
        Ok(Status::Ok),
        "a file that comes whole is not held open"
    );
    drop(two);
    open_file(&fs, "a.txt");
}

#[test]
fn one_vat_s_open_files_are_not_another_s() {
    let mut served = zoo();
    served.limits.open_files = 1;
    let _mine = open_file(&served.capability(), "a.txt");
    let _theirs = open_file(&served.capability(), "a.txt");
}
