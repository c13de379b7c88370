//! What is claimed of packagefs, and of the sinks that it writes to.
//!
//! Files are read where the call arrives, in one go: there is no place where such a call could wait, and it is held at the door of the
//! service. A stream is held in its sink. Sinks are the caller's: their calls are the service's.

use vatmux::packagefs::{MAX_READ_BYTES, MAX_SMALL_BYTES};
use vatmux::schema::packagefs::{
    ByteSink, FILE_INTERFACE, File, Kind, PACKAGE_FS_DESCRIPTOR, PACKAGE_FS_INTERFACE, PackageFs, Status,
};
use vatmux::service::{Calling, Error};

use crate::claim::{Asked, Claim, Hold, Interrupted, Pending, good, interrupted, refused};
use crate::list::{Contract, Elsewhere};
use crate::packed;
use crate::scene::Scene;
use crate::sink::{self, failing_sink, sink};
use crate::visit::Visit;

const STAT: Asked = Asked::of(&PACKAGE_FS_INTERFACE, "stat");
const LIST: Asked = Asked::of(&PACKAGE_FS_INTERFACE, "list");
const OPEN: Asked = Asked::of(&PACKAGE_FS_INTERFACE, "open");
const READ_SMALL: Asked = Asked::of(&PACKAGE_FS_INTERFACE, "readSmall");
const FILE_STAT: Asked = Asked::of(&FILE_INTERFACE, "stat");
const FILE_READ: Asked = Asked::of(&FILE_INTERFACE, "read");
const FILE_STREAM: Asked = Asked::of(&FILE_INTERFACE, "stream");

/// What the directory has, beside links, a socket and what is too large to be listed here.
pub(crate) const BEFORE: [(&str, &str); 3] =
    [("a.txt", "content of a"), ("sub/b.txt", "content of b"), ("sub/deep/c", "c")];

/// More than a stream has under way at a time.
pub(crate) const BIG_BYTES: usize = 2 << 20;

/// What its schema says of refusals.
///
/// `changed` is for streams alone: what a read gives was looked at and read in one go.
pub(crate) fn contract() -> Contract {
    use Status::{
        AccessDenied, Changed, IntegrityViolation, InvalidCursor, InvalidPath, IoError, IsADirectory,
        LinkLoop, NotADirectory, NotAFile, NotFound, OutsideRoot, SinkFailed, TooLarge, TooManyOpen,
    };

    const PATH: &[Status] = &[NotFound, NotADirectory, OutsideRoot, LinkLoop, InvalidPath];
    const FILE: &[Status] = &[IsADirectory, NotAFile, TooManyOpen, IoError, IntegrityViolation];
    Contract::new(
        &PACKAGE_FS_DESCRIPTOR,
        &[
            (STAT, &[PATH]),
            (LIST, &[PATH, &[InvalidCursor]]),
            (OPEN, &[PATH, FILE]),
            (READ_SMALL, &[PATH, FILE, &[TooLarge]]),
            (FILE_READ, &[&[TooLarge, IntegrityViolation]]),
            (FILE_STREAM, &[&[SinkFailed, Changed, IntegrityViolation]]),
        ],
        vec![(
            AccessDenied,
            Elsewhere {
                why: "tests may run as somebody from whom no file is kept",
                tested: Some((
                    "src/packagefs/directory.rs",
                    "what_the_system_says_becomes_a_status_and_words_only_where_the_status_does_not_say_it",
                )),
            },
        )],
    )
}

fn files(visit: &Visit) -> PackageFs {
    visit.peer.connect().unwrap()
}

async fn open(visit: &Visit, path: &str) -> File {
    files(visit).open(path).await.unwrap().file
}

fn stream(file: &File, sink: &ByteSink) -> Calling<u64, Status> {
    file.stream(0, u64::MAX, sink, 127 * 1024).map(|response| response.get().unwrap().get_sent_bytes())
}

pub(crate) fn claims() -> Vec<Claim> {
    [good_calls(), of_paths(), of_files(), of_storage(), interruptions(), of_sinks()]
        .into_iter()
        .flatten()
        .collect()
}

fn good_calls() -> Vec<Claim> {
    let on = Scene::Directory;
    vec![
        good(STAT, on, |visit| async move {
            let attributes = files(&visit).stat("a.txt", false).await.unwrap();
            assert_eq!((attributes.kind, attributes.size_bytes), (Kind::File, 12));
            let attributes = files(&visit).stat("to-sub", false).await.unwrap();
            assert_eq!((attributes.kind, attributes.link_target.as_str()), (Kind::Symlink, "sub"));
        }),
        good(LIST, on, |visit| async move {
            let (files, mut names, mut cursor) = (files(&visit), Vec::new(), Vec::new());
            loop {
                let response = files.list("", &cursor, 3).await.unwrap();
                let page = response.get().unwrap();
                let entries = page.get_entries().unwrap();
                names.extend(entries.iter().map(|entry| entry.get_name().unwrap().to_string().unwrap()));
                cursor = page.get_next().unwrap().to_vec();
                if cursor.is_empty() {
                    break;
                }
            }
            let there = ["a.txt", "big", "dangling", "escape", "round", "socket", "sub", "to-sub"];
            assert_eq!(names, there);
        }),
        good(OPEN, on, |visit| async move {
            let opened = files(&visit).open("to-sub/b.txt").await.unwrap();
            assert_eq!(opened.attributes.size_bytes, 12);
        }),
        good(READ_SMALL, on, |visit| async move {
            let response = files(&visit).read_small("a.txt", 100).await.unwrap();
            let small = response.get().unwrap();
            assert_eq!((small.get_content().unwrap(), small.has_file()), (&b"content of a"[..], false));
            let response = files(&visit).read_small("a.txt", 7).await.unwrap();
            assert!(response.get().unwrap().has_file());
        }),
        good(FILE_STAT, on, |visit| async move {
            assert_eq!(open(&visit, "a.txt").await.stat().await.unwrap().size_bytes, 12);
        }),
        good(FILE_READ, on, |visit| async move {
            let response = open(&visit, "a.txt").await.read(8, 100).await.unwrap();
            assert_eq!(response.get().unwrap().get_data().unwrap(), b"of a");
        }),
        good(FILE_READ, Scene::Bundled, |visit| async move {
            let path = format!("{}@1.0.0/sub/up", packed::NAME);
            let response = open(&visit, &path).await.read(0, 1_000).await.unwrap();
            assert_eq!(response.get().unwrap().get_data().unwrap(), packed::content("1.0.0"));
        }),
        good(FILE_STREAM, on, |visit| async move {
            let (sink, written) = sink(&visit);
            let sent = stream(&open(&visit, "big").await, &sink).await.unwrap();
            assert_eq!(sent, BIG_BYTES as u64);
            assert!(written.whole().unwrap() == vec![7; BIG_BYTES]);
        }),
    ]
}

/// Asks by a path, by any method that takes one.
async fn ask(asked: Asked, visit: Visit, path: &'static str) -> Result<(), Error<Status>> {
    let files = files(&visit);
    match asked.method.name {
        "stat" => files.stat(path, true).await.map(drop),
        "list" => files.list(path, b"", 10).await.map(drop),
        "open" => files.open(path).await.map(drop),
        "readSmall" => files.read_small(path, 100).await.map(drop),
        other => panic!("{other} takes no path"),
    }
}

fn of_paths() -> Vec<Claim> {
    let mut claims = Vec::new();
    let leads_nowhere = [
        ("missing", Status::NotFound),
        ("dangling", Status::NotFound),
        ("a.txt/b", Status::NotADirectory),
        ("escape", Status::OutsideRoot),
        ("round", Status::LinkLoop),
        ("../secret", Status::InvalidPath),
        ("sub/../../secret", Status::InvalidPath),
        ("/etc/passwd", Status::InvalidPath),
        // No scheme is understood: it is a path with an empty segment.
        ("file:///etc/passwd", Status::InvalidPath),
    ];
    for (path, status) in leads_nowhere {
        for asked in [STAT, LIST, OPEN, READ_SMALL] {
            claims.push(refused(asked, status, Scene::Directory, move |visit| ask(asked, visit, path)));
        }
    }
    for (path, status) in [("sub", Status::IsADirectory), ("socket", Status::NotAFile)] {
        for asked in [OPEN, READ_SMALL] {
            claims.push(refused(asked, status, Scene::Directory, move |visit| ask(asked, visit, path)));
        }
    }
    claims.push(refused(LIST, Status::InvalidCursor, Scene::Directory, |visit| async move {
        files(&visit).list("", b"a/b", 10).await
    }));
    claims
}

/// More than may be, and what goes wrong while it is under way.
fn of_files() -> Vec<Claim> {
    let one = Scene::DirectoryOfOneFile;
    vec![
        refused(OPEN, Status::TooManyOpen, one, |visit| async move {
            let files = files(&visit);
            let held = files.open("a.txt").await.unwrap();
            let refused = files.open("a.txt").await;
            drop(held);
            files.open("a.txt").await.expect("one is open at a time");
            refused
        }),
        refused(READ_SMALL, Status::TooManyOpen, one, |visit| async move {
            let files = files(&visit);
            let _held = files.open("a.txt").await.unwrap();
            files.read_small("a.txt", 1).await
        }),
        refused(READ_SMALL, Status::TooLarge, Scene::Directory, |visit| async move {
            files(&visit).read_small("a.txt", MAX_SMALL_BYTES + 1).await
        }),
        refused(FILE_READ, Status::TooLarge, Scene::Directory, |visit| async move {
            open(&visit, "a.txt").await.read(0, MAX_READ_BYTES + 1).await
        }),
        refused(FILE_STREAM, Status::SinkFailed, Scene::Directory, |visit| async move {
            stream(&open(&visit, "big").await, &failing_sink(&visit)).await
        }),
        refused(FILE_STREAM, Status::Changed, Scene::Directory, |visit| async move {
            let file = open(&visit, "big").await;
            visit.stage.hold(sink::WRITE.held());
            let (sink, written) = sink(&visit);
            let streaming = stream(&file, &sink);
            visit.stage.under_way(sink::WRITE.key()).await;
            visit.backstage.cue("shorten big").await;
            visit.stage.open();
            let changed = streaming.await;
            assert_eq!(written.whole(), None, "what is not whole has no end");
            changed
        }),
    ]
}

/// What is stored is not what was stored, or cannot be read.
fn of_storage() -> Vec<Claim> {
    const PATH: &str = "org.example/readme";
    let on = Scene::Bundled;
    let mut claims = vec![
        refused(FILE_READ, Status::IntegrityViolation, on, |visit| async move {
            let file = open(&visit, PATH).await;
            visit.backstage.cue("flip").await;
            file.read(0, 10).await
        }),
        refused(FILE_STREAM, Status::IntegrityViolation, on, |visit| async move {
            let file = open(&visit, PATH).await;
            visit.backstage.cue("flip").await;
            let (sink, written) = sink(&visit);
            let refused = stream(&file, &sink).await;
            assert_eq!(written.whole(), None);
            refused
        }),
    ];
    for (cue, status) in [("cut-short", Status::IntegrityViolation), ("replace", Status::IoError)] {
        for asked in [OPEN, READ_SMALL] {
            claims.push(refused(asked, status, on, move |visit| async move {
                visit.backstage.cue(cue).await;
                ask(asked, visit, PATH).await
            }));
        }
    }
    claims
}

/// All is as it was: whoever comes next opens, reads and lists.
async fn serves_on(visit: Visit) {
    let response = files(&visit).read_small("sub/deep/c", 1).await.unwrap();
    assert_eq!(response.get().unwrap().get_content().unwrap(), b"c");
    let file = open(&visit, "a.txt").await;
    assert_eq!(file.stat().await.unwrap().size_bytes, 12);
    let (sink, written) = sink(&visit);
    stream(&file, &sink).await.unwrap();
    assert_eq!(written.whole().unwrap(), b"content of a");
}

fn interruptions() -> Vec<Claim> {
    let mut claims = Vec::new();
    for asked in [STAT, LIST, OPEN, READ_SMALL, FILE_STAT, FILE_READ] {
        claims.extend(interrupted(Interrupted {
            asked,
            scene: Scene::DirectoryOfOneFile,
            hold: Hold::AtTheDoor,
            attempt: move |visit: Visit| async move {
                let files = files(&visit);
                match (asked.interface.name, asked.method.name) {
                    ("PackageFs", "stat") => {
                        Pending::new(files.clone(), visit.send(|| files.stat("a.txt", false)))
                    }
                    ("PackageFs", "list") => {
                        Pending::new(files.clone(), visit.send(|| files.list("", b"", 10)))
                    }
                    ("PackageFs", "open") => {
                        let call = visit.send(|| files.open("a.txt")).into_future();
                        Pending::new(files, call)
                    }
                    ("PackageFs", _) => {
                        let call = visit.send(|| files.read_small("a.txt", 1)).into_future();
                        Pending::new(files, call)
                    }
                    (_, name) => {
                        let file = files.open("a.txt").await.unwrap().file;
                        if name == "stat" {
                            Pending::new(file.clone(), visit.send(|| file.stat()))
                        } else {
                            Pending::new(file.clone(), visit.send(|| file.read(0, 10)))
                        }
                    }
                }
            },
            aftermath: serves_on,
        }));
    }
    claims.extend(interrupted(Interrupted {
        asked: FILE_STREAM,
        scene: Scene::Directory,
        hold: Hold::Nowhere,
        attempt: |visit: Visit| async move {
            visit.stage.hold(sink::WRITE.held());
            let (file, (sink, _)) = (open(&visit, "big").await, sink(&visit));
            Pending::new((file.clone(), sink.clone()), visit.send(|| stream(&file, &sink)))
        },
        aftermath: serves_on,
    }));
    claims
}

/// The calls that the service makes.
fn of_sinks() -> Vec<Claim> {
    let mut claims = Vec::new();
    for asked in [sink::WRITE, sink::END] {
        let whole = good(asked, Scene::Directory, |visit| async move {
            let (sink, written) = sink(&visit);
            stream(&open(&visit, "a.txt").await, &sink).await.unwrap();
            assert_eq!(written.whole().unwrap(), b"content of a");
        });
        claims.push(Claim { here: true, ..whole });
        claims.extend(interrupted(Interrupted {
            asked,
            scene: Scene::Directory,
            hold: Hold::AtTheCallersDoor,
            attempt: |visit: Visit| async move {
                let (file, (sink, _)) = (open(&visit, "big").await, sink(&visit));
                Pending::new((file.clone(), sink.clone()), visit.send(|| stream(&file, &sink)))
            },
            aftermath: serves_on,
        }));
    }
    claims
}
