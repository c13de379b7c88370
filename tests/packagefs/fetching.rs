//! The client's fetching: equal to the source, or not there at all.

use std::cell::{Cell, RefCell};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::rc::Rc;
use std::task::Poll;

use futures::executor::LocalPool;
use futures::task::LocalSpawnExt;
use vatmux::packagefs::{
    Client, DestinationState, Error, FetchOptions, LocalOperation, OutsideLinks, Progress, SkipReason,
    Skipped, Status,
};
use vatmux::schema::packagefs_capnp::package_fs;

use crate::served::{Served, assert_nothing_left, block_on, names_in, quietly};

fn content(bytes: usize) -> Vec<u8> {
    (0..=250).cycle().take(bytes).collect()
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).unwrap().permissions().mode() & 0o100 != 0
}

#[test]
fn a_fetched_file_is_equal_and_may_be_run_if_the_original_may() {
    let served = Served::new();
    let client = served.client();
    let destination = served.destination();
    for (bytes, mode) in [(0, 0o644), (10, 0o755), (1_000_000, 0o600), (70_000, 0o500)] {
        served.write("file", &content(bytes));
        fs::set_permissions(served.path("file"), fs::Permissions::from_mode(mode)).unwrap();
        // The second time on, a file is there already and is replaced.
        assert_eq!(block_on(client.fetch_file("file", &destination, &quietly)).unwrap(), bytes as u64);
        assert!(fs::read(&destination).unwrap() == content(bytes));
        assert_eq!(is_executable(&destination), mode & 0o100 != 0, "{mode:o}");
        assert_eq!(names_in(destination.parent().unwrap()), ["it"]);
        fs::remove_file(served.path("file")).unwrap();
    }
}

#[test]
fn a_fetch_that_fails_leaves_the_file_that_was_there() {
    let served = Served::new();
    served.write("file", &content(1_000_000));
    let destination = served.destination();
    fs::write(&destination, "old").unwrap();
    let shrink = |progress| {
        if let Progress::Received { .. } = progress {
            fs::File::options().write(true).open(served.path("file")).unwrap().set_len(300_000).unwrap();
        }
    };
    let error = block_on(served.client().fetch_file("file", &destination, &shrink)).unwrap_err();
    assert!(matches!(error, Error::Refused { status: Status::Changed, .. }), "{error}");
    assert_eq!(fs::read(&destination).unwrap(), b"old");
    assert_eq!(names_in(destination.parent().unwrap()), ["it"]);
}

#[test]
fn a_fetch_that_is_dropped_half_way_leaves_nothing() {
    let served = Served::new();
    served.write("file", &content(1_000_000));
    let destination = served.destination();
    let client = served.client();
    let received = Cell::new(0);
    let count = |progress| {
        if let Progress::Received { bytes } = progress {
            received.set(received.get() + bytes);
        }
    };
    block_on(async {
        let fetch = client.fetch_file("file", &destination, &count);
        let mut fetch = std::pin::pin!(fetch);
        let mut turns = 0;
        std::future::poll_fn(|context| {
            turns += 1;
            let ended = fetch.as_mut().poll(context).is_ready();
            if ended || turns == 3 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    });
    assert!(
        (1..1_000_000).contains(&received.get()),
        "{} bytes were there when it was dropped",
        received.get()
    );
    assert_nothing_left(&destination);
}

#[test]
fn test_reject_destinations_that_fetching_would_destroy() {
    let served = Served::new();
    served.write("file", b"1");
    let client = served.client();
    let destination = served.destination();
    let state = |destination: &Path| match block_on(client.fetch_file("file", destination, &quietly)) {
        Err(Error::Destination { state, .. }) => state,
        other => panic!("{other:?}"),
    };
    fs::create_dir(&destination).unwrap();
    assert_eq!(state(&destination), DestinationState::NotAFile);
    fs::remove_dir(&destination).unwrap();
    symlink("/dev/null", &destination).unwrap();
    assert_eq!(state(&destination), DestinationState::NotAFile);
    assert_eq!(state(Path::new("/dev/null")), DestinationState::NotAFile);
    assert_eq!(state(Path::new("/")), DestinationState::Nameless);
    assert_eq!(state(Path::new("..")), DestinationState::Nameless);
}

#[test]
fn test_reject_a_destination_in_a_directory_that_does_not_exist() {
    let served = Served::new();
    served.write("file", b"1");
    let destination = served.destination().join("missing/it");
    let error = block_on(served.client().fetch_file("file", &destination, &quietly)).unwrap_err();
    assert!(matches!(error, Error::Local { operation: LocalOperation::Create, .. }));
    assert!(error.to_string().ends_with("its directory does not exist; create that first"), "{error}");
}

/// A tree of every kind and size, with files in numbers that take several pages and more than one round.
fn forest() -> Served {
    let served = Served::new();
    for at in 0..1200 {
        served.write(&format!("many/{at:04}"), format!("file {at}").repeat(at % 50).as_bytes());
    }
    for at in 0..40 {
        served.write(&format!("nested/{at}/a/b/c"), &content(at * 100));
    }
    served.write("deep/1/2/3/4/5/6/7/8/9/10/file", b"deep");
    for (name, bytes) in [("limit", 262_144), ("over", 262_145), ("large-1", 3_000_000), ("large-2", 700_000)]
    {
        served.write(name, &content(bytes));
    }
    served.write("ümläut ✓", b"name");
    served.write("run", b"#!/bin/sh\n");
    fs::set_permissions(served.path("run"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(served.path("empty")).unwrap();
    symlink("run", served.path("to-run")).unwrap();
    symlink("../many/0001", served.path("nested/to-one")).unwrap();
    symlink("not-there", served.path("dangling")).unwrap();
    served
}

/// That two trees hold the same names, kinds, contents, targets and executable bits. Returns how many files
/// there are.
fn assert_equal_trees(one: &Path, other: &Path) -> u64 {
    assert_eq!(names_in(one), names_in(other), "in {}", one.display());
    let mut files = 0;
    for name in names_in(one) {
        let (one, other) = (one.join(&name), other.join(&name));
        let kind = fs::symlink_metadata(&one).unwrap().file_type();
        assert_eq!(kind, fs::symlink_metadata(&other).unwrap().file_type(), "{name}");
        if kind.is_dir() {
            files += assert_equal_trees(&one, &other);
        } else if kind.is_symlink() {
            assert_eq!(fs::read_link(one).unwrap(), fs::read_link(other).unwrap());
        } else {
            files += 1;
            assert!(fs::read(&one).unwrap() == fs::read(&other).unwrap(), "{name}");
            assert_eq!(is_executable(&one), is_executable(&other), "{name}");
        }
    }
    files
}

#[test]
fn a_fetched_tree_is_equal_and_its_summary_is_true() {
    let served = forest();
    let destination = served.destination();
    let (found, received, done) = (Cell::new((0, 0)), Cell::new(0), Cell::new(0));
    let progress = |progress| match progress {
        Progress::Found { files, bytes } => found.set((found.get().0 + files, found.get().1 + bytes)),
        Progress::Received { bytes } => received.set(received.get() + bytes),
        Progress::FileDone => done.set(done.get() + 1),
    };
    let fetch = served.client();
    let fetch = fetch.fetch_tree("", &destination, FetchOptions::default(), &progress);
    let summary = block_on(fetch).unwrap();
    let files = assert_equal_trees(&served.root(), &destination);
    assert_eq!(summary.files, files);
    assert_eq!(summary.links, 3);
    assert_eq!(summary.skipped, []);
    assert_eq!(found.get(), (summary.files, summary.bytes));
    assert_eq!(received.get(), summary.bytes);
    assert_eq!(done.get(), summary.files);
    assert_eq!(names_in(destination.parent().unwrap()), ["it"]);
}

#[test]
fn a_part_of_a_tree_is_fetched_as_a_tree_of_its_own() {
    let served = forest();
    let destination = served.destination();
    // An empty directory is as good as none.
    fs::create_dir(&destination).unwrap();
    let options = FetchOptions::default();
    let summary = block_on(served.client().fetch_tree("nested/7", &destination, options, &quietly)).unwrap();
    assert_eq!((summary.files, summary.bytes, summary.directories), (1, 700, 3));
    assert_equal_trees(&served.path("nested/7"), &destination);
}

#[test]
fn what_cannot_be_had_is_left_out_and_reported() {
    let served = Served::new();
    served.write("here", b"1");
    fs::create_dir(served.path("sub")).unwrap();
    served.make_fifo("pipe");
    symlink("/etc/passwd", served.path("absolute")).unwrap();
    symlink("../..", served.path("sub/up")).unwrap();
    symlink("../sub/../..", served.path("sub/winding")).unwrap();
    fs::write(served.path("back\\slash"), "").unwrap();
    let destination = served.destination();
    let mut options = FetchOptions::default();
    let client = served.client();
    let mut skipped = block_on(client.fetch_tree("", &destination, options, &quietly)).unwrap().skipped;
    skipped.sort_by(|one, other| one.path.cmp(&other.path));
    let skip = |path: &str, reason| Skipped { path: path.into(), reason };
    let expected = [
        skip("", SkipReason::Unnameable { count: 1 }),
        skip("absolute", SkipReason::LinkLeavesTree { target: "/etc/passwd".into() }),
        skip("pipe", SkipReason::NotAFile),
        skip("sub/up", SkipReason::LinkLeavesTree { target: "../..".into() }),
        skip("sub/winding", SkipReason::LinkClimbs { target: "../sub/../..".into() }),
    ];
    assert_eq!(skipped, expected);
    assert_eq!(names_in(&destination), ["here", "sub"]);

    fs::remove_dir_all(&destination).unwrap();
    options.outside_links = OutsideLinks::Recreate;
    let summary = block_on(client.fetch_tree("", &destination, options, &quietly)).unwrap();
    assert_eq!((summary.links, summary.skipped.len()), (3, 2));
    assert_eq!(fs::read_link(destination.join("absolute")).unwrap(), Path::new("/etc/passwd"));
    assert_eq!(fs::read_link(destination.join("sub/winding")).unwrap(), Path::new("../sub/../.."));
}

#[test]
fn a_file_that_vanishes_or_shrinks_on_the_way_is_left_out_and_the_rest_is_whole() {
    let served = Served::new();
    served.write("a", &content(2_000_000));
    served.write("b", &content(2_000_000));
    served.write("small", b"s");
    let (destination, vanished) = (served.destination(), Cell::new(false));
    let change = |progress| match progress {
        Progress::Found { .. } => {
            vanished.set(fs::remove_file(served.path("small")).is_ok() || vanished.get());
        }
        Progress::Received { .. } => {
            fs::File::options().write(true).open(served.path("a")).unwrap().set_len(500_000).unwrap();
        }
        Progress::FileDone => {}
    };
    let client = served.client();
    let fetch = client.fetch_tree("", &destination, FetchOptions::default(), &change);
    let mut summary = block_on(fetch).unwrap();
    summary.skipped.sort_by(|one, other| one.path.cmp(&other.path));
    let statuses: Vec<_> = summary
        .skipped
        .iter()
        .map(|skipped| match &skipped.reason {
            SkipReason::Refused { status, .. } => (skipped.path.as_str(), *status),
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(statuses, [("a", Status::Changed), ("small", Status::NotFound)]);
    assert_eq!(names_in(&destination), ["b"], "not even a part of what was left out");
}

#[test]
fn a_tree_that_is_none_makes_nothing() {
    let served = forest();
    let destination = served.destination();
    let client = served.client();
    for (path, expected) in
        [("run", Status::NotADirectory), ("nowhere", Status::NotFound), ("..", Status::InvalidPath)]
    {
        match block_on(client.fetch_tree(path, &destination, FetchOptions::default(), &quietly)) {
            Err(Error::Refused { status, .. }) => assert_eq!(status, expected),
            other => panic!("{other:?}"),
        }
        assert_nothing_left(&destination);
    }
}

#[test]
fn test_reject_a_destination_with_something_in_it() {
    let served = forest();
    let destination = served.destination();
    let client = served.client();
    let state =
        || match block_on(client.fetch_tree("nested", &destination, FetchOptions::default(), &quietly)) {
            Err(Error::Destination { state, .. }) => state,
            other => panic!("{other:?}"),
        };
    fs::write(&destination, "a file").unwrap();
    assert_eq!(state(), DestinationState::NotEmpty);
    fs::remove_file(&destination).unwrap();
    fs::create_dir_all(destination.join("inside")).unwrap();
    assert_eq!(state(), DestinationState::NotEmpty);
    fs::remove_dir_all(&destination).unwrap();
    symlink("/tmp", &destination).unwrap();
    assert_eq!(state(), DestinationState::NotEmpty);
}

#[test]
fn test_reject_a_tree_with_more_entries_than_allowed() {
    let served = forest();
    let destination = served.destination();
    let options = FetchOptions { max_entries: 1000, ..FetchOptions::default() };
    let error = block_on(served.client().fetch_tree("", &destination, options, &quietly)).unwrap_err();
    assert!(matches!(error, Error::TooManyEntries { limit: 1000, .. }), "{error}");
    assert_nothing_left(&destination);
}

/// Passes everything on, and answers `readSmall` only when it is told to.
struct Slow {
    behind: package_fs::Client,
    waiting: RefCell<Vec<futures::channel::oneshot::Sender<()>>>,
}

impl package_fs::Server for Slow {
    async fn list(
        self: Rc<Self>,
        params: package_fs::ListParams,
        mut results: package_fs::ListResults,
    ) -> capnp::Result<()> {
        let mut request = self.behind.list_request();
        request.set(params.get()?)?;
        results.set(request.send().promise.await?.get()?)
    }

    async fn read_small(
        self: Rc<Self>,
        params: package_fs::ReadSmallParams,
        mut results: package_fs::ReadSmallResults,
    ) -> capnp::Result<()> {
        let (answer, told) = futures::channel::oneshot::channel();
        self.waiting.borrow_mut().push(answer);
        let mut request = self.behind.read_small_request();
        request.set(params.get()?)?;
        let _ = told.await;
        results.set(request.send().promise.await?.get()?)
    }
}

/// Fetches everything from `served` through [`Slow`], and answers what has been asked whenever nothing else
/// can go on. Says how many files were asked for at once, each time.
fn asked_at_once(served: &Served) -> Vec<usize> {
    let slow = Rc::new(Slow { behind: served.capability(), waiting: RefCell::default() });
    let client = Client::new(capnp_rpc::new_client_from_rc(Rc::clone(&slow)));
    let destination = served.destination();
    let mut pool = LocalPool::new();
    let fetch =
        async move { client.fetch_tree("", &destination, FetchOptions::default(), &quietly).await.unwrap() };
    let fetched = pool.spawner().spawn_local_with_handle(fetch).unwrap();
    let mut asked = Vec::new();
    loop {
        pool.run_until_stalled();
        let waiting = slow.waiting.take();
        if waiting.is_empty() {
            break;
        }
        asked.push(waiting.len());
        for answer in waiting {
            answer.send(()).unwrap();
        }
    }
    assert_eq!(pool.run_until(fetched).files, asked.iter().sum::<usize>() as u64);
    asked
}

#[test]
fn small_files_are_asked_for_64_at_a_time() {
    let served = Served::new();
    for at in 0..150 {
        served.write(&format!("{at:03}"), &content(2048));
    }
    assert_eq!(asked_at_once(&served), [64, 64, 22]);
}

#[test]
fn no_more_than_two_mebibytes_of_small_files_are_on_their_way_at_once() {
    let served = Served::new();
    for at in 0..20 {
        served.write(&format!("{at:03}"), &content(256 * 1024));
    }
    assert_eq!(asked_at_once(&served), [8, 8, 4]);
}

#[test]
fn large_files_are_streamed_two_at_a_time() {
    let served = Served::new();
    for at in 0..5 {
        served.write(&format!("{at:03}"), &content(256 * 1024 + 1));
    }
    assert_eq!(asked_at_once(&served), [2, 2, 1]);
}
