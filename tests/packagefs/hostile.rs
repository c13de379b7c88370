//! A server that lies: every lie has its name, and nothing is left of what it said.

use std::cell::Cell;
use std::fs;
use std::rc::Rc;

use vatmux::packagefs::{Client, Error, FetchOptions, Kind, Status, Violation};
use vatmux::schema::packagefs_capnp::{byte_sink, file, package_fs};

use crate::served::{Served, assert_nothing_left, block_on, quietly};

/// The length of the one file that the liar has.
const SIZE_BYTES: u64 = 1_000_000;

const CHUNK_BYTES: u64 = 10_000;

/// What the liar lies about.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Lie {
    Nothing,
    TooManyFirstBytes,
    TooFewFirstBytes,
    NoFile,
    OneByteMore,
    EndlessBytes,
    ALastChunkMissing,
    AnEmptyChunk,
    NoEnd,
    AnEndInTheMiddle,
    TheEndsTotal,
    MoreAfterTheEnd,
    MoreSentThanWas,
    NothingSentAtAll,
}

struct Liar(Lie);

impl package_fs::Server for Liar {
    async fn list(
        self: Rc<Self>,
        _: package_fs::ListParams,
        mut results: package_fs::ListResults,
    ) -> capnp::Result<()> {
        let mut entry = results.get().init_entries(1).get(0);
        entry.set_name("file");
        let mut attributes = entry.init_attributes();
        attributes.set_kind(Kind::File);
        attributes.set_size_bytes(SIZE_BYTES);
        Ok(())
    }

    async fn read_small(
        self: Rc<Self>,
        params: package_fs::ReadSmallParams,
        mut results: package_fs::ReadSmallResults,
    ) -> capnp::Result<()> {
        let limit = params.get()?.get_limit();
        let mut results = results.get();
        results.reborrow().init_content(match self.0 {
            Lie::TooManyFirstBytes => limit + 1,
            Lie::TooFewFirstBytes => limit - 1,
            _ => limit,
        });
        if self.0 != Lie::NoFile {
            results.set_file(capnp_rpc::new_client(LiarFile(self.0)));
        }
        let mut attributes = results.init_attributes();
        attributes.set_kind(Kind::File);
        attributes.set_size_bytes(SIZE_BYTES);
        Ok(())
    }
}

struct LiarFile(Lie);

async fn end(sink: &byte_sink::Client, total_bytes: u64) -> capnp::Result<()> {
    let mut request = sink.end_request();
    request.get().set_total_bytes(total_bytes);
    request.send().promise.await.map(drop)
}

async fn write(sink: &byte_sink::Client, bytes: u64) -> capnp::Result<()> {
    let mut request = sink.write_request();
    request.get().init_bytes(bytes as u32);
    request.send().await
}

impl file::Server for LiarFile {
    async fn stream(
        self: Rc<Self>,
        params: file::StreamParams,
        mut results: file::StreamResults,
    ) -> capnp::Result<()> {
        let lie = self.0;
        let (sink, length) = (params.get()?.get_sink()?, params.get()?.get_length());
        let mut sent_bytes = 0;
        while sent_bytes < length && lie != Lie::NothingSentAtAll {
            let bytes = CHUNK_BYTES.min(length - sent_bytes);
            let is_last = sent_bytes + bytes == length;
            match lie {
                Lie::ALastChunkMissing if is_last => break,
                Lie::OneByteMore if is_last => write(&sink, bytes + 1).await?,
                Lie::AnEndInTheMiddle if is_last => {
                    end(&sink, sent_bytes).await?;
                    write(&sink, bytes).await?;
                }
                Lie::AnEmptyChunk if is_last => write(&sink, 0).await?,
                _ => write(&sink, bytes).await?,
            }
            sent_bytes += bytes;
        }
        if lie == Lie::EndlessBytes {
            loop {
                write(&sink, CHUNK_BYTES).await?;
            }
        }
        match lie {
            Lie::NoEnd | Lie::NothingSentAtAll => {}
            Lie::TheEndsTotal => end(&sink, length + 1).await?,
            _ => end(&sink, sent_bytes).await?,
        }
        if lie == Lie::MoreAfterTheEnd {
            write(&sink, 1).await?;
        }
        let claimed_bytes = matches!(lie, Lie::MoreSentThanWas | Lie::NothingSentAtAll);
        results.get().set_sent_bytes(if claimed_bytes { length + 1 } else { sent_bytes });
        Ok(())
    }
}

/// Fetches from the liar by every way there is, and says how each ended.
fn fetch_from(lie: Lie) -> Vec<Result<(), Error>> {
    let served = Served::new();
    let client = Client::new(capnp_rpc::new_client(Liar(lie)));
    let destination = served.destination();
    let read = block_on(client.read_to("file", &mut Vec::new(), &quietly)).map(drop);
    let file = block_on(client.fetch_file("file", &destination, &quietly)).map(drop);
    if file.is_err() {
        assert_nothing_left(&destination);
    } else {
        fs::remove_file(&destination).unwrap();
    }
    let tree = client.fetch_tree("", &destination, FetchOptions::default(), &quietly);
    let tree = block_on(tree).map(drop);
    if tree.is_err() {
        assert_nothing_left(&destination);
    }
    vec![read, file, tree]
}

#[test]
fn the_liar_who_does_not_lie_is_believed() {
    for ended in fetch_from(Lie::Nothing) {
        ended.unwrap();
    }
}

#[test]
fn test_reject_every_lie_about_a_file_by_its_name_and_keep_nothing_of_it() {
    type Named = fn(Violation) -> bool;
    let too_many: Named = |violation| matches!(violation, Violation::TooManyBytes { .. });
    let too_few: Named = |violation| matches!(violation, Violation::TooFewBytes { .. });
    let cases: [(Lie, Named); 12] = [
        (Lie::TooManyFirstBytes, too_many),
        (Lie::TooFewFirstBytes, too_few),
        (Lie::NoFile, |violation| violation == Violation::NoFile),
        (Lie::OneByteMore, too_many),
        (Lie::EndlessBytes, too_many),
        (Lie::AnEmptyChunk, |violation| violation == Violation::EmptyChunk),
        (Lie::NoEnd, too_few),
        (Lie::AnEndInTheMiddle, too_many),
        (Lie::TheEndsTotal, too_few),
        (Lie::MoreAfterTheEnd, too_many),
        (Lie::MoreSentThanWas, too_few),
        (Lie::NothingSentAtAll, too_few),
    ];
    for (lie, named) in cases {
        for ended in fetch_from(lie) {
            match ended {
                Err(Error::Violation { violation, .. }) => assert!(named(violation), "{lie:?}: {violation}"),
                other => panic!("{lie:?}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_stream_that_honestly_ends_early_is_of_a_file_that_changed() {
    let ended = fetch_from(Lie::ALastChunkMissing);
    for ended in &ended[..2] {
        assert!(matches!(ended, Err(Error::Refused { status: Status::Changed, .. })), "{ended:?}");
    }
    assert!(ended[2].is_ok(), "a tree is fetched without it");
}

/// A server whose every directory lists what `page` makes of a cursor: names, kinds, and the next cursor.
struct Lister<F>(F);

type Page = (Vec<(String, Kind)>, Vec<u8>);

impl<F: Fn(&[u8]) -> Page + 'static> package_fs::Server for Lister<F> {
    async fn list(
        self: Rc<Self>,
        params: package_fs::ListParams,
        mut results: package_fs::ListResults,
    ) -> capnp::Result<()> {
        let (names, next) = (self.0)(params.get()?.get_cursor()?);
        let mut results = results.get();
        results.set_next(&next);
        let mut entries = results.init_entries(names.len() as u32);
        for (at, (name, kind)) in (0..).zip(names) {
            let mut entry = entries.reborrow().get(at);
            entry.set_name(name.as_str());
            entry.init_attributes().set_kind(kind);
        }
        Ok(())
    }

    async fn read_small(
        self: Rc<Self>,
        _: package_fs::ReadSmallParams,
        _: package_fs::ReadSmallResults,
    ) -> capnp::Result<()> {
        Ok(())
    }
}

/// How listing and fetching such a server end. Where fetching fails, nothing is left of it.
fn list_from(page: impl Fn(&[u8]) -> Page + 'static) -> (Result<(), Error>, Result<(), Error>) {
    let served = Served::new();
    let client = Client::new(capnp_rpc::new_client(Lister(page)));
    let destination = served.destination();
    let options = FetchOptions { max_entries: 5000, ..FetchOptions::default() };
    let listed = block_on(client.list("", 5000)).map(drop);
    let fetched = block_on(client.fetch_tree("", &destination, options, &quietly)).map(drop);
    if fetched.is_err() {
        assert_nothing_left(&destination);
    }
    (listed, fetched)
}

fn assert_violations(ended: (Result<(), Error>, Result<(), Error>), expected: Violation, case: &str) {
    for ended in [ended.0, ended.1] {
        match ended {
            Err(Error::Violation { violation, .. }) => assert_eq!(violation, expected, "{case}"),
            other => panic!("{case}: {other:?}"),
        }
    }
}

#[test]
fn test_reject_names_that_would_lead_out_of_the_destination() {
    let long = "x".repeat(256);
    for name in
        ["..", ".", "", "/", "/etc/passwd", "../escaped", "sub/../../escaped", "a/b", "a\0b", "a\\b", &long]
    {
        for kind in [Kind::File, Kind::Directory, Kind::Symlink] {
            let entry = (name.to_owned(), kind);
            let ended = list_from(move |_| (vec![entry.clone()], Vec::new()));
            assert_violations(ended, Violation::InvalidName, &format!("{name:?}"));
        }
    }
}

#[test]
fn test_reject_names_out_of_order_or_twice_in_a_page_or_across_pages() {
    for names in [["b", "a"], ["a", "a"]] {
        let ended =
            list_from(move |_| (names.map(|name| (name.to_owned(), Kind::Directory)).into(), Vec::new()));
        assert_violations(ended, Violation::UnorderedListing, &format!("{names:?}"));
        let ended = list_from(move |cursor| match cursor {
            b"" => (vec![(names[0].to_owned(), Kind::Directory)], b"more".to_vec()),
            _ => (vec![(names[1].to_owned(), Kind::Directory)], Vec::new()),
        });
        assert_violations(ended, Violation::UnorderedListing, &format!("{names:?} across pages"));
    }
}

#[test]
fn test_reject_a_cursor_that_never_advances() {
    let asked = Rc::new(Cell::new(0));
    let ended = list_from({
        let asked = Rc::clone(&asked);
        move |_| {
            asked.set(asked.get() + 1);
            (Vec::new(), b"here".to_vec())
        }
    });
    assert_violations(ended, Violation::EndlessListing, "without entries");
    assert_eq!(asked.get(), 2 * 2, "the second page of each shows it");
    let ended = list_from(|_| (vec![("a".to_owned(), Kind::File)], b"here".to_vec()));
    assert_violations(ended, Violation::UnorderedListing, "with the same entries again");
}

#[test]
fn test_reject_pages_without_entries_that_go_on_and_on() {
    let (pages, asked) = (Rc::new(Cell::new(0_u64)), Rc::new(Cell::new(0)));
    let ended = list_from({
        let (pages, asked) = (Rc::clone(&pages), Rc::clone(&asked));
        move |_| {
            pages.set(pages.get() + 1);
            asked.set(asked.get() + 1);
            (Vec::new(), pages.get().to_be_bytes().to_vec())
        }
    });
    assert_violations(ended, Violation::EndlessListing, "");
    assert_eq!(asked.get(), 2 * 1000, "a bound for each of the two");
}

#[test]
fn test_reject_a_directory_without_end() {
    let at = Cell::new(0);
    let (listed, fetched) = list_from(move |_| {
        let names = (0..100).map(|offset| (format!("{:09}", at.get() + offset), Kind::Directory)).collect();
        at.set(at.get() + 100);
        (names, b"more".to_vec())
    });
    for ended in [listed, fetched] {
        assert!(matches!(ended, Err(Error::TooManyEntries { .. })), "{ended:?}");
    }
}

#[test]
fn a_tree_without_bottom_is_fetched_as_deep_as_paths_reach() {
    let name = "d".repeat(255);
    let (_, fetched) = list_from(move |_| (vec![(name.clone(), Kind::Directory)], Vec::new()));
    fetched.unwrap();
}

#[test]
fn sizes_that_no_disk_has_do_not_overflow() {
    let served = Served::new();
    let client = Client::new(capnp_rpc::new_client(Boaster));
    let destination = served.destination();
    let fetch = client.fetch_tree("", &destination, FetchOptions::default(), &quietly);
    let error = block_on(fetch).unwrap_err();
    assert!(matches!(error, Error::Violation { violation: Violation::TooFewBytes { .. }, .. }), "{error}");
    assert_nothing_left(&destination);
}

/// Has two files, each as long as a file can be said to be.
struct Boaster;

impl package_fs::Server for Boaster {
    async fn list(
        self: Rc<Self>,
        _: package_fs::ListParams,
        mut results: package_fs::ListResults,
    ) -> capnp::Result<()> {
        let mut entries = results.get().init_entries(2);
        for (at, name) in (0..).zip(["a", "b"]) {
            let mut entry = entries.reborrow().get(at);
            entry.set_name(name);
            let mut attributes = entry.init_attributes();
            attributes.set_kind(Kind::File);
            attributes.set_size_bytes(u64::MAX);
        }
        Ok(())
    }

    async fn read_small(
        self: Rc<Self>,
        _: package_fs::ReadSmallParams,
        mut results: package_fs::ReadSmallResults,
    ) -> capnp::Result<()> {
        results.get().init_attributes().set_size_bytes(u64::MAX);
        Ok(())
    }
}
