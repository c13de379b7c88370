//! `vatmux new`: the crate that it makes builds, and its tests pass, with nothing but cargo and without a network.

#![cfg(unix)]

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn vatmux<I: AsRef<OsStr>>(directory: &Path, words: impl IntoIterator<Item = I>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vatmux")).args(words).current_dir(directory).output().unwrap()
}

/// Makes a crate from this checkout.
fn made(name: &str) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let output =
        vatmux(directory.path(), ["new".as_ref(), name.as_ref(), "--path".as_ref(), checkout().as_os_str()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    directory
}

/// Cargo, without a network, and where no schema compiler can be found: the path of `bare` leads to everything but that.
fn cargo(crate_directory: &Path, bare: &BarePath, words: &[&str]) -> Output {
    // What was built before is built again only where it has changed; the crate itself is made anew each time.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("template");
    Command::new(env!("CARGO"))
        .args(words)
        .args(["--offline", "--quiet", "--config", "net.offline=true"])
        .current_dir(crate_directory)
        .env("CARGO_TARGET_DIR", target)
        .env("PATH", &bare.path)
        .output()
        .unwrap()
}

#[test]
fn a_new_crate_builds_without_a_warning_and_passes_its_own_tests() {
    let directory = made("hello-again");
    let crate_directory = directory.path().join("hello-again");
    let test = cargo(&crate_directory, &BarePath::new(), &["test"]);
    let said = String::from_utf8_lossy(&test.stdout);
    let complaints = String::from_utf8_lossy(&test.stderr);
    assert!(test.status.success(), "{said}{complaints}");
    assert!(said.contains("4 passed"), "{said}");
    assert!(
        !complaints.contains("hello-again"),
        "its warnings are the first thing that somebody sees of it: {complaints}"
    );
}

/// What `PATH` leads to, without the C++ tool and its plug-ins.
struct BarePath {
    path: OsString,
    /// Links to what else is in the directories that have the tool.
    _links: TempDir,
}

impl BarePath {
    fn new() -> Self {
        let links = tempfile::tempdir().unwrap();
        let mut directories = Vec::new();
        for directory in env::split_paths(&env::var_os("PATH").unwrap_or_default()) {
            let programs: Vec<_> =
                fs::read_dir(&directory).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
            if !programs.iter().any(|program| is_of_capnp(program)) {
                directories.push(directory);
                continue;
            }
            let replacement = links.path().join(directories.len().to_string());
            fs::create_dir(&replacement).unwrap();
            for program in programs.iter().filter(|program| !is_of_capnp(program)) {
                symlink(program, replacement.join(program.file_name().unwrap())).unwrap();
            }
            directories.push(replacement);
        }
        let path = env::join_paths(&directories).unwrap();
        for directory in directories {
            assert!(
                !directory.join("capnp").exists() && !directory.join("capnpc").exists(),
                "{}",
                directory.display()
            );
        }
        let found = Command::new("capnp").arg("--version").env("PATH", &path).output();
        assert_eq!(found.map_err(|error| error.kind()).err(), Some(ErrorKind::NotFound));
        Self { path, _links: links }
    }
}

fn is_of_capnp(program: &Path) -> bool {
    program.file_name().and_then(OsStr::to_str).is_some_and(|name| name.starts_with("capnp"))
}

#[test]
fn a_new_crate_is_laid_out_whatever_its_name_is() {
    let longest = "m".repeat(40);
    let names = [
        "a", "b7", "g-reeter", "greeter", "greeting", "result", "status", "vatmuy", "w", "zebra", "zz-z",
        &longest,
    ];
    for name in names {
        let directory = made(name);
        let format = Command::new(env!("CARGO"))
            .args(["fmt", "--check"])
            .current_dir(directory.path().join(name))
            .output()
            .unwrap();
        assert!(format.status.success(), "{name}: {}", String::from_utf8_lossy(&format.stdout));
    }
}

#[test]
fn new_crates_with_unlucky_names_build_without_a_warning() {
    // The longest, the shortest, and those whose interfaces have names that mean something else.
    let longest = format!("m{}", "-mm1".repeat(9));
    let names = ["a", &longest, "call", "default", "error", "greet", "main", "node", "ok", "result", "text"];
    let directory = tempfile::tempdir().unwrap();
    for name in names {
        let output = vatmux(
            directory.path(),
            ["new".as_ref(), name.as_ref(), "--path".as_ref(), checkout().as_os_str()],
        );
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        // What each has is that of the workspace here.
        let manifest = directory.path().join(name).join("Cargo.toml");
        let text = fs::read_to_string(&manifest).unwrap();
        fs::write(&manifest, text.split("# A handshake's").next().unwrap()).unwrap();
    }
    let profile = "[profile.dev.package.curve25519-dalek]\nopt-level = 3\n";
    let workspace = format!("[workspace]\nmembers = [\"*\"]\nresolver = \"3\"\n\n{profile}");
    fs::write(directory.path().join("Cargo.toml"), workspace).unwrap();
    fs::copy(checkout().join("Cargo.lock"), directory.path().join("Cargo.lock")).unwrap();
    let check = cargo(directory.path(), &BarePath::new(), &["check", "--workspace", "--all-targets"]);
    let complaints = String::from_utf8_lossy(&check.stderr);
    assert!(check.status.success() && complaints.is_empty(), "{complaints}");
}

#[test]
fn a_name_that_no_crate_or_service_can_have_is_refused_and_nothing_is_made() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["Hello", "1st", "a--b", "a-1", "-a", "a-", "a_b", "a b", "ä", "..", &"x".repeat(41)] {
        let output = vatmux(directory.path(), ["new", "--", name]);
        assert_eq!(output.status.code(), Some(2), "{name}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.lines().count() == 1 && said.contains("words of lower-case letters and digits"),
            "{said}"
        );
    }
    for name in ["type", "self", "schema", "vatmux", "keys", "str", "u8", "build", "core", "con"] {
        let output = vatmux(directory.path(), ["new", "--", name]);
        assert_eq!(output.status.code(), Some(2), "{name}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.lines().count() == 1 && said.contains("is taken"), "{said}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn what_is_there_already_is_left_alone() {
    let directory = made("hello");
    let file = directory.path().join("hello/src/lib.rs");
    fs::write(&file, "mine").unwrap();
    let output = vatmux(directory.path(), ["new", "hello"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot create `hello`"), "{output:?}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
}

#[test]
fn a_path_that_is_no_checkout_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let output = vatmux(directory.path(), ["new", "hello", "--path", "."]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no checkout of vatmux"), "{output:?}");
    assert!(!directory.path().join("hello").exists());
}

#[test]
fn without_a_checkout_the_crate_uses_the_version_that_made_it() {
    let directory = tempfile::tempdir().unwrap();
    let output = vatmux(directory.path(), ["new", "hello", "--json"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), r#"{"directory":"hello","name":"hello"}"#);
    let manifest = fs::read_to_string(directory.path().join("hello/Cargo.toml")).unwrap();
    assert!(manifest.contains(concat!("vatmux = \"", env!("CARGO_PKG_VERSION"), "\"")), "{manifest}");
}

#[test]
fn the_guide_shows_the_files_that_are_made() {
    let directory = made("hello");
    let guide = fs::read_to_string(checkout().join("docs/guide/first-service.md")).unwrap();
    let mut shown = 0;
    let mut lines = guide.lines();
    while let Some(line) = lines.next() {
        let Some(file) = line.strip_prefix('`').and_then(|line| line.strip_suffix("`:")) else { continue };
        let snippet: Vec<_> = lines
            .by_ref()
            .skip_while(|line| !line.starts_with("```"))
            .skip(1)
            .take_while(|line| *line != "```")
            .collect();
        let made = fs::read_to_string(directory.path().join("hello").join(file)).unwrap();
        assert_eq!(
            without_what_differs(snippet.iter().copied()),
            without_what_differs(made.lines()),
            "{file}"
        );
        shown += 1;
    }
    assert_eq!(shown, 6);
}

/// The lines of a file, but for its random id and where its dependencies are.
fn without_what_differs<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    lines.filter(|line| !line.starts_with("@0x") && !line.starts_with("vatmux")).collect()
}
