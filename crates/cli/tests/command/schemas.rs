//! `vatmux schema`, and this program called `capnp`.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use capnp::message::ReaderOptions;
use capnp::schema_capnp::code_generator_request;
use capnp::serialize;
use serde_json::Value;

use crate::harness::{Outcome, World, finish};

const SCHEMA: &str = r#"@0xbf5147cbbecf40c1;
annotation service(interface) :Service;
annotation deadline(method) :UInt32;
annotation idempotent(method) :Void;
struct Service { name @0 :Text; priority @1 :UInt8 = 7; limits @2 :List(Limit); kind @3 :Kind; scale @4 :Float32 = 1; }
struct Limit { union { calls @0 :UInt32; none @1 :Void; } }
enum Kind { plain @0; special @1; }
struct Entry { name @0 :Text; }
interface Closable { close @0 (); }
interface Store(T) extends(Closable) $service(name = "org.example.store", limits = [(calls = 3), (none = void)], kind = special) {
  # Keeps things.
  #
  # For a while.
  get @0 (key :Text, revision :Int64 = -1) -> (value :T) $deadline(500) $idempotent;
  # Reads one.
  list @1 Entry -> (names :List(Entry), more :List(List(Bool)) = [[true], []]);
  write @2 [X] (chunk :Data = 0x"00ff", hint :X) -> stream;
  interface Inner {}
}
"#;

/// A world with a schema in it.
fn world() -> World {
    let world = World::new();
    fs::write(world.here().join("store.capnp"), SCHEMA).unwrap();
    world
}

/// A plugin that says where it is and what it was given.
fn plugin(directory: &Path, name: &str, script: &str) {
    let path = directory.join(name);
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

fn capnp<const N: usize>(world: &World, words: [&str; N]) -> Command {
    let link = world.path("capnp");
    if !link.exists() {
        symlink(env!("CARGO_BIN_EXE_vatmux"), &link).unwrap();
    }
    let mut command = Command::new(link);
    command.args(words).current_dir(world.here()).stdin(Stdio::null());
    command
}

/// The names of the files that a request asks for.
#[track_caller]
fn requested(mut request: &[u8]) -> Vec<String> {
    let message = serialize::read_message_from_flat_slice(&mut request, ReaderOptions::new()).unwrap();
    let request: code_generator_request::Reader = message.get_root().unwrap();
    let files = request.get_requested_files().unwrap();
    files.iter().map(|file| file.get_filename().unwrap().to_string().unwrap()).collect()
}

fn with_path(mut command: Command, directory: &Path) -> Command {
    let path = format!("{}:{}", directory.display(), std::env::var("PATH").unwrap());
    command.env("PATH", path);
    command
}

#[test]
fn the_request_goes_to_standard_output() {
    let world = world();
    let outcome = finish(world.vatmux(["schema", "compile", "-o-", "store.capnp"]));
    assert!(outcome.status.success() && outcome.stderr.is_empty(), "{outcome:?}");
    assert_eq!(requested(&outcome.stdout), ["store.capnp"]);
}

#[test]
fn a_prefix_is_taken_off_the_names() {
    let world = world();
    fs::create_dir(world.here().join("below")).unwrap();
    fs::write(world.here().join("below/a.capnp"), "@0xbf5147cbbecf40c2;").unwrap();
    let words = ["schema", "compile", "-o-", "--src-prefix=below", "below/a.capnp", "store.capnp"];
    let outcome = finish(world.vatmux(words));
    assert_eq!(requested(&outcome.stdout), ["a.capnp", "store.capnp"], "{outcome:?}");
}

#[test]
fn imports_are_looked_for_where_it_is_said() {
    let world = world();
    fs::create_dir(world.path("include")).unwrap();
    fs::write(world.path("include/other.capnp"), "@0xbf5147cbbecf40c3; struct Other {}").unwrap();
    let text = "@0xbf5147cbbecf40c4; struct A { a @0 :import \"/other.capnp\".Other; }";
    fs::write(world.here().join("a.capnp"), text).unwrap();
    let include = format!("-I{}", world.path("include").display());
    let outcome = finish(world.vatmux(["schema", "compile", "-o-", &include, "a.capnp"]));
    assert!(outcome.status.success(), "{outcome:?}");
    let outcome = finish(world.vatmux(["schema", "compile", "-o-", "a.capnp"]));
    assert!(outcome.status.code() == Some(1) && outcome.stderr.contains("other.capnp"), "{outcome:?}");
}

#[test]
fn what_is_built_in_can_be_left_out() {
    let world = world();
    fs::write(
        world.here().join("a.capnp"),
        "@0xbf5147cbbecf40c4; using import \"/capnp/c++.capnp\".namespace;",
    )
    .unwrap();
    let compile = |more: &[&str]| {
        finish(world.vatmux(["schema", "compile", "-o-", "a.capnp"].iter().chain(more))).status.code()
    };
    assert_eq!(compile(&[]), Some(0));
    assert_eq!(compile(&["--no-standard-import"]), Some(1));
}

#[test]
fn a_plugin_of_the_path_gets_the_request_where_it_is_to_write() {
    let world = world();
    let programs = world.path("programs");
    fs::create_dir(&programs).unwrap();
    fs::create_dir(world.here().join("out")).unwrap();
    plugin(&programs, "capnpc-note", "cat > request; printf %s \"$PWD\" > place");
    let command = world.vatmux(["schema", "compile", "-onote:out", "-onote", "store.capnp"]);
    finish(with_path(command, &programs)).succeeded();
    for directory in [world.here().join("out"), world.here()] {
        assert_eq!(requested(&fs::read(directory.join("request")).unwrap()), ["store.capnp"]);
        let place = fs::read_to_string(directory.join("place")).unwrap();
        assert_eq!(Path::new(&place).canonicalize().unwrap(), directory.canonicalize().unwrap());
    }
}

#[test]
fn a_plugin_with_a_slash_in_it_is_a_program_of_here() {
    let world = world();
    fs::create_dir(world.here().join("out")).unwrap();
    plugin(&world.here(), "generate", "cat > request");
    finish(world.vatmux(["schema", "compile", "-o./generate:out", "store.capnp"])).succeeded();
    assert!(world.here().join("out/request").exists());
}

#[test]
fn a_plugin_that_does_not_read_is_none_the_worse() {
    let world = world();
    plugin(&world.here(), "generate", "exec <&-; sleep 0");
    finish(world.vatmux(["schema", "compile", "-o./generate", "store.capnp"])).succeeded();
}

#[test]
fn a_plugin_that_is_missing_or_fails_is_named() {
    let world = world();
    plugin(&world.here(), "generate", "cat > /dev/null; exit 3");
    let compile = |output: &str| finish(world.vatmux(["schema", "compile", output, "store.capnp"]));
    compile("-onone").failed(1, &["no plugin `none`", "capnpc-none", "PATH"]);
    compile("-o./none").failed(1, &["no plugin at `./none`"]);
    compile("-o./generate").failed(1, &["generate", "exit status: 3"]);
    compile("-o./generate:nowhere").failed(1, &["cannot write to", "nowhere"]);
    compile("-o./generate:store.capnp").failed(1, &["cannot write to", "store.capnp", "directory"]);
    assert_eq!(world.names_here(), ["generate", "store.capnp"]);
}

#[test]
fn all_that_is_wrong_with_a_schema_is_told_at_its_place() {
    let world = world();
    let text = "@0xbf5147cbbecf40c4;\nstruct A {\n  a @0 :Nothing;\n  b @2 :Text;\n}\n";
    fs::write(world.here().join("a.capnp"), text).unwrap();
    let outcome = finish(world.vatmux(["schema", "compile", "-o-", "a.capnp"]));
    assert!(outcome.status.code() == Some(1) && outcome.stdout.is_empty(), "{outcome:?}");
    for place in
        ["a.capnp:3:", "a.capnp:4:", "Nothing", "vatmux: cannot compile: 2 things are wrong (told above)\n"]
    {
        assert!(outcome.stderr.contains(place), "no {place:?} in {}", outcome.stderr);
    }
    let outcome = finish(world.vatmux(["--json", "schema", "compile", "-o-", "a.capnp"]));
    let lines: Vec<Value> = outcome.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&lines[0]["file"], &lines[0]["line"]), (&"a.capnp".into(), &3.into()), "{outcome:?}");
    assert_eq!(lines[1]["line"], 4, "{outcome:?}");
    assert_eq!(lines[2]["exit_code"], 1, "{outcome:?}");
}

#[test]
fn what_a_schema_says_cannot_command_the_terminal() {
    let world = world();
    fs::write(world.here().join("a.capnp"), "@0xbf5147cbbecf40c4;\nstruct A { \u{1b}[31m }\n").unwrap();
    let outcome = finish(world.vatmux(["schema", "compile", "-o-", "a.capnp"]));
    assert!(outcome.status.code() == Some(1) && !outcome.stderr.contains('\u{1b}'), "{outcome:?}");
}

#[test]
fn a_schema_that_is_not_there_is_named() {
    let world = world();
    let outcome = finish(world.vatmux(["schema", "compile", "-o-", "gone.capnp"]));
    assert!(outcome.status.code() == Some(1) && outcome.stderr.contains("gone.capnp"), "{outcome:?}");
}

#[test]
fn the_services_of_a_schema_are_described() {
    let world = world();
    let outcome = finish(world.vatmux(["schema", "describe", "store.capnp"]));
    let expected = "\
store.capnp: interface Closable @ID
  close @0 () -> ()
store.capnp: interface Store @ID (T) extends(Closable) $service(name = \"org.example.store\", limits = [(calls = 3), (none = void)], kind = special)
    Keeps things.

    For a while.
  get @0 (key :Text, revision :Int64 = -1) -> (value :T) $deadline(500) $idempotent
      Reads one.
  list @1 Entry -> (names :List(Entry), more :List(List(Bool)) = [[true], []])
  write @2 [X] (chunk :Data = 0x\"00ff\", hint :X) -> stream
store.capnp: interface Store.Inner @ID
";
    assert_eq!(without_ids(outcome.succeeded()), expected);
}

/// Ids that follow from names say nothing to a person.
fn without_ids(text: &str) -> String {
    let mut lines = String::new();
    for line in text.lines() {
        let words: Vec<_> =
            line.split(' ').map(|word| if word.starts_with("@0x") { "@ID" } else { word }).collect();
        lines.push_str(&words.join(" "));
        lines.push('\n');
    }
    lines
}

#[test]
fn services_are_described_to_programs() {
    let world = world();
    let outcome = finish(world.vatmux(["--json", "schema", "describe", "store.capnp"]));
    let interfaces: Vec<Value> =
        outcome.succeeded().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(interfaces.len(), 3);
    let store = &interfaces[1];
    assert_eq!(store["interface"], "Store");
    assert_eq!(store["doc"], "Keeps things.\n\nFor a while.\n");
    assert_eq!(store["extends"], serde_json::json!(["Closable"]));
    assert_eq!(store["annotations"][0]["name"], "service");
    let get = &store["methods"][0];
    assert_eq!(get["annotations"][1], serde_json::json!({ "name": "idempotent", "value": null }));
    assert_eq!(get["parameters"][1]["default"], "-1");
    assert_eq!(store["methods"][1]["parameters"], "Entry");
    assert_eq!(store["methods"][2]["results"], "stream");
}

#[test]
fn called_capnp_it_takes_the_place_of_the_other_compiler() {
    let world = world();
    let version = finish(capnp(&world, ["--version"]));
    assert!(version.succeeded().starts_with("Cap'n Proto version "), "{version:?}");
    let request = finish(capnp(&world, ["compile", "-o", "-", "-I.", "--src-prefix=.", "store.capnp"]));
    assert_eq!(requested(&request.stdout), ["store.capnp"], "{request:?}");
    let id = finish(capnp(&world, ["id"]));
    let id = u64::from_str_radix(id.succeeded().trim().strip_prefix("@0x").unwrap(), 16).unwrap();
    assert!(id >> 63 == 1);
    for words in [["compile", "store.capnp"], ["compile", "-o-"], ["eval", "store.capnp"]] {
        let outcome: Outcome = finish(capnp(&world, words));
        outcome.failed(1, &["see: capnp --help"]);
    }
}
