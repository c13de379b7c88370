//! Every command that reads, against a served directory, over TCP and over a Unix socket.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};

use rustix::process::Signal;

use crate::harness::{Running, World, finish};
use crate::tree::{bytes, everything_in, plant_oddities};

/// Runs `check` once over TCP and once over a Unix socket.
fn over_both_transports(plant: impl Fn(&World), check: impl Fn(&World, &crate::harness::Serving)) {
    for transport in ["tcp", "unix"] {
        let world = World::new();
        plant(&world);
        let endpoint = match transport {
            "tcp" => "127.0.0.1:0".to_owned(),
            _ => format!("unix:{}", world.path("a socket").display()),
        };
        let serving = world.serve_on(&endpoint);
        let scheme = if transport == "tcp" { "vat://vat1" } else { "vat+unix://vat1" };
        assert!(serving.line().starts_with(scheme), "{}", serving.line());
        check(&world, &serving);
        assert!(serving.stop(Signal::TERM).status.success());
        assert!(!world.path("a socket").exists());
    }
}

#[test]
fn ls_names_what_is_in_a_directory_in_order() {
    over_both_transports(
        |world| {
            fs::create_dir_all(world.tree().join("b/deep")).unwrap();
            fs::write(world.tree().join("a file"), "five!").unwrap();
            symlink("b", world.tree().join("c")).unwrap();
        },
        |world, serving| {
            assert_eq!(finish(world.vatmux(["ls", &serving.at("")])).succeeded(), "a file\nb/\nc\n");
            assert_eq!(finish(world.vatmux(["ls", &serving.at("b")])).succeeded(), "deep/\n");
            assert_eq!(finish(world.vatmux(["ls", &serving.at("b/")])).succeeded(), "deep/\n");
            assert_eq!(finish(world.vatmux(["ls", &serving.at("c")])).succeeded(), "deep/\n");
            assert_eq!(finish(world.vatmux(["ls", &serving.at("b/deep")])).succeeded(), "");
            assert_eq!(finish(world.vatmux(["ls", &serving.at("a%20file")])).succeeded(), "a file\n");
        },
    );
}

#[test]
fn ls_l_shows_kinds_modes_sizes_and_times() {
    over_both_transports(
        |world| {
            let file = world.tree().join("run.sh");
            fs::write(&file, vec![b'x'; 12_345]).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o750)).unwrap();
            let modified = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
            fs::File::options().write(true).open(&file).unwrap().set_modified(modified).unwrap();
            symlink("run.sh", world.tree().join("to-it")).unwrap();
        },
        |world, serving| {
            let listed = finish(world.vatmux(["ls", "-l", &serving.at("")]));
            let lines: Vec<_> = listed.succeeded().lines().collect();
            assert_eq!(lines[0], "-rwxr-x--- 12345 2023-11-14 22:13:20 run.sh");
            assert!(lines[1].starts_with("lrwxrwxrwx     0 20") && lines[1].ends_with(" to-it -> run.sh"));
            assert_eq!(lines.len(), 2);
        },
    );
}

#[test]
fn stat_describes_a_path_and_what_a_link_leads_to() {
    over_both_transports(
        |world| {
            fs::write(world.tree().join("file"), "0123456789").unwrap();
            symlink("file", world.tree().join("link")).unwrap();
        },
        |world, serving| {
            let stat = |words: &[&str]| finish(world.vatmux(words)).succeeded().to_owned();
            let link = stat(&["stat", &serving.at("link")]);
            assert!(link.contains("kind      symlink\n") && link.contains("target    file\n"), "{link}");
            let file = stat(&["stat", "-L", &serving.at("link")]);
            assert!(file.contains("kind      file\n") && file.contains("size      10 bytes\n"), "{file}");
            let root = stat(&["stat", "--files", &serving.at("")]);
            assert!(root.starts_with("path      /\nkind      directory\n"), "{root}");
        },
    );
}

#[test]
fn cat_writes_any_bytes_as_they_are() {
    for size in [0, 1, 65_536, 65_537, 5_000_000] {
        over_both_transports(
            |world| fs::write(world.tree().join("file"), bytes(size)).unwrap(),
            |world, serving| {
                let outcome = finish(world.vatmux(["cat", &serving.at("file")]));
                assert!(outcome.status.success() && outcome.stderr.is_empty(), "{}", outcome.stderr);
                assert!(outcome.stdout == bytes(size), "{size} bytes");
            },
        );
    }
}

#[test]
fn ping_measures_as_often_as_it_is_told() {
    over_both_transports(
        |_| {},
        |world, serving| {
            let outcome = finish(world.vatmux(["ping", "-c", "5", "-i", "0", &serving.at("")]));
            let lines: Vec<_> = outcome.succeeded().lines().collect();
            assert_eq!(lines.len(), 6);
            assert!(lines[4].contains("answer 5 in "), "{lines:?}");
            assert!(lines[5].starts_with("5 answers; dialing took "), "{lines:?}");
            for figure in ["min", "median", "p99", "max"] {
                assert!(lines[5].contains(figure), "{lines:?}");
            }
        },
    );
}

#[test]
fn get_r_makes_an_exact_copy_of_odd_names_and_sizes() {
    over_both_transports(
        |world| plant_oddities(&world.tree()),
        |world, serving| {
            let outcome = finish(world.vatmux(["get", "-r", &serving.at(""), "copy"]));
            assert!(outcome.succeeded().starts_with("fetched 20 files (3."), "{outcome:?}");
            assert!(everything_in(&world.here().join("copy")) == everything_in(&world.tree()));
            assert_eq!(world.names_here(), ["copy"]);
        },
    );
}

#[test]
fn get_fetches_one_file_under_its_own_name_or_another() {
    over_both_transports(
        |world| {
            fs::create_dir(world.tree().join("d")).unwrap();
            fs::write(world.tree().join("d/file"), bytes(100_000)).unwrap();
            fs::set_permissions(world.tree().join("d/file"), fs::Permissions::from_mode(0o755)).unwrap();
        },
        |world, serving| {
            fs::create_dir(world.here().join("into")).unwrap();
            for (dest, made) in [(None, "file"), (Some("other"), "other"), (Some("into"), "into/file")] {
                let words = ["get".to_owned(), serving.at("d/file")];
                finish(world.vatmux(words.into_iter().chain(dest.map(str::to_owned)))).succeeded();
                let made = world.here().join(made);
                assert!(fs::read(&made).unwrap() == bytes(100_000));
                assert_ne!(fs::metadata(&made).unwrap().permissions().mode() & 0o100, 0);
            }
            assert_eq!(world.names_here(), ["file", "into", "other"]);
        },
    );
}

#[test]
fn a_reader_that_stops_early_is_no_error_worth_a_word() {
    let world = World::new();
    fs::write(world.tree().join("large"), bytes(20_000_000)).unwrap();
    let serving = world.serve();
    let mut running = Running::start(world.vatmux(["cat", &serving.at("large")]));
    let mut first = [0; 1000];
    running.stdout().read_exact(&mut first).unwrap();
    let outcome = running.wait();
    assert_eq!(first[..], bytes(20_000_000)[..1000]);
    assert_eq!((outcome.status.code(), outcome.stderr.as_str()), (Some(141), ""));
}

#[test]
fn a_full_device_behind_standard_output_is_an_error() {
    let world = World::new();
    fs::write(world.tree().join("file"), bytes(1_000_000)).unwrap();
    let serving = world.serve();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = world.vatmux(["cat", &serving.at("file")]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.starts_with("vatmux: cannot write to standard output: No space left"), "{error}");
}

#[test]
fn a_name_that_a_terminal_would_obey_is_written_out() {
    let world = World::new();
    fs::write(world.tree().join("\u{1b}[2J\n\u{202e}txt"), "").unwrap();
    symlink("\u{7}bell", world.tree().join("link")).unwrap();
    let serving = world.serve();
    let names = finish(world.vatmux(["ls", &serving.at("")]));
    assert_eq!(names.succeeded(), "\\u{1b}[2J\\n\\u{202e}txt\nlink\n");
    let long = finish(world.vatmux(["ls", "-l", &serving.at("")]));
    assert!(long.succeeded().ends_with(" link -> \\u{7}bell\n"), "{long:?}");
    let stat = finish(world.vatmux(["stat", &serving.at("link")]));
    assert!(stat.succeeded().contains("target    \\u{7}bell\n"), "{stat:?}");
    finish(world.vatmux(["cat", &serving.at("%1b[31m%0amissing")])).failed(1, &["\\u{1b}[31m\\nmissing"]);
}
