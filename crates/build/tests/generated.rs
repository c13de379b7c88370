//! What comes of schemas that are right, and what is said of those that are not.

use std::fs;

use tempfile::TempDir;
use vatmux_build::{Build, Error};

/// Compiles schemas into a directory of their own.
fn compile(schemas: &[(&str, &str)], build: impl FnOnce(Build) -> Build) -> (TempDir, Result<(), Error>) {
    let directory = tempfile::tempdir().unwrap();
    let paths: Vec<_> = schemas
        .iter()
        .map(|(name, text)| {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let id = name.bytes().fold(7_u64, |id, byte| id.wrapping_mul(31) + u64::from(byte)) | 1 << 63;
            fs::write(&path, format!("@{id:#018x};\nusing V = import \"/vatmux/vatmux.capnp\";\n{text}"))
                .unwrap();
            path
        })
        .collect();
    let outcome = build(Build::new()).out_dir(directory.path()).compile(&paths);
    (directory, outcome)
}

/// The services' file that comes of a schema.
fn generated(text: &str) -> String {
    let (directory, outcome) = compile(&[("a.capnp", text)], |build| build);
    outcome.unwrap();
    fs::read_to_string(directory.path().join("a.rs")).unwrap()
}

/// What is said of a schema.
fn complaint(text: &str) -> String {
    let (directory, outcome) = compile(&[("a.capnp", text)], |build| build);
    let complaint = outcome.unwrap_err().to_string();
    assert!(!directory.path().join("a.rs").exists(), "nothing is written");
    complaint
}

/// The digest in a service's descriptor.
fn digest(text: &str) -> String {
    let generated = generated(text);
    let digest = generated.split("digest: ").nth(1).unwrap();
    digest.split_inclusive(']').next().unwrap().to_owned()
}

const SERVICE: &str = "interface S @0xd0e1f2a3b4c5d6e7 $V.service(name = \"s\") {\n  f @0 (a :Arg) -> (b :UInt8 = 1);\n}\n\
                       struct Arg { x @0 :UInt8; y @1 :Word; }\nenum Word { one @0; two @1; }\nstruct Apart { z @0 :Text; }\n";

#[test]
fn the_digest_is_that_of_what_the_service_reaches() {
    let digest_of_service = digest(SERVICE);
    for (what, from, to) in [
        ("a comment", "struct Arg {", "# An argument.\nstruct Arg {"),
        ("an annotation", "-> (b :UInt8 = 1);", "-> (b :UInt8 = 1) $V.idempotent;"),
        ("what it does not reach", "z @0 :Text;", "z @0 :Data;"),
    ] {
        assert_eq!(digest(&SERVICE.replace(from, to)), digest_of_service, "{what} is not in it");
    }
    for (what, from, to) in [
        ("a default", "= 1", "= 2"),
        ("a field's type", "x @0 :UInt8", "x @0 :Int8"),
        ("a field's name", "x @0", "w @0"),
        ("a new field", "y @1 :Word;", "y @1 :Word; z @2 :Bool;"),
        ("a word", "two @1", "zwei @1"),
        ("a new word", "two @1;", "two @1; three @2;"),
        ("a method's name", "f @0", "g @0"),
        ("a new method", "= 1);", "= 1);\n  g @1 ();"),
    ] {
        assert_ne!(digest(&SERVICE.replace(from, to)), digest_of_service, "{what} is in it");
    }
}

#[test]
fn the_same_schema_has_the_same_code_wherever_it_is() {
    let (one, first) = compile(&[("a.capnp", SERVICE)], |build| build);
    let (other, second) = compile(&[("deep/in/a.capnp", SERVICE)], |build| build);
    first.and(second).unwrap();
    let read = |directory: &TempDir| fs::read_to_string(directory.path().join("a.rs")).unwrap();
    // The file's id differs, because its name in the test does; what is in it has ids of its own or under the file's.
    let without_ids = |text: String| {
        text.lines().filter(|line| !line.contains("0x")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(without_ids(read(&one)), without_ids(read(&other)));
}

#[test]
fn doubles_and_services_are_left_out_on_request() {
    let (directory, outcome) = compile(&[("a.capnp", SERVICE)], |build| build.doubles(false));
    outcome.unwrap();
    let text = fs::read_to_string(directory.path().join("a.rs")).unwrap();
    assert!(text.contains("trait SServer") && !text.contains("Double"));

    let (directory, outcome) = compile(&[("a.capnp", SERVICE)], |build| build.services(false));
    outcome.unwrap();
    assert!(directory.path().join("a_capnp.rs").exists() && !directory.path().join("a.rs").exists());
}

#[test]
fn the_module_and_the_crate_are_those_that_were_said() {
    let (directory, outcome) =
        compile(&[("a.capnp", SERVICE)], |build| build.module("api::wire").runtime("::elsewhere"));
    outcome.unwrap();
    assert!(fs::read_to_string(directory.path().join("wire.rs")).unwrap().contains("pub mod a {"));
    let text = fs::read_to_string(directory.path().join("a.rs")).unwrap();
    assert!(text.contains("use ::elsewhere::{capnp, capnp_rpc, service};"), "{text}");
    let capnpc = fs::read_to_string(directory.path().join("a_capnp.rs")).unwrap();
    assert!(capnpc.contains("crate::api::wire::a_capnp::") && capnpc.contains("::elsewhere::capnp::"));
}

#[test]
fn names_that_rust_keeps_for_itself_are_refused_by_name() {
    for (schema, name, word) in [
        ("interface S { gen @0 () -> (); }", "S.gen", "gen"),
        ("interface S { f @0 () -> (); try @1 () -> stream; }", "S.try", "try"),
        ("struct Outer { struct Async { x @0 :Bool; } }", "Outer.Async", "async"),
        ("struct S { dyn :group { x @0 :Bool; } }", "S.dyn", "dyn"),
    ] {
        let complaint = complaint(schema);
        assert!(complaint.starts_with(&format!("{name}: `{word}`")), "{complaint}");
    }
    let (_directory, outcome) = compile(&[("await.capnp", "struct S {}")], |build| build);
    assert!(outcome.unwrap_err().to_string().contains("await.capnp: `await`"));
    // capnpc renames these, and never uses those by themselves.
    let text = generated(
        "interface S { type @0 (async :Bool) -> (gen :Text); }\nenum Try { await @0; }\nconst dyn :Bool = true;",
    );
    assert!(text.contains("fn type_(&self, async_: bool)"), "{text}");
}

#[test]
fn interfaces_that_are_generic_have_no_stubs_and_those_beside_them_have() {
    let text = generated(
        "interface Box(T) { get @0 () -> (value :T); }\ninterface Plain { f @0 [T] (x :T) -> (); }\n\
         interface Keeps { keep @0 (box :Box(Text)) -> (); }\n",
    );
    assert!(!text.contains("struct Box") && !text.contains("struct Plain"));
    assert!(
        text.contains("pub fn keep(") && text.contains("write: impl FnOnce("),
        "what has no stub is written in place"
    );
}

#[test]
fn structs_that_hold_themselves_are_no_values() {
    let text = generated(
        "struct Tree { left @0 :Tree; }\nstruct Deep { trees @0 :List(Tree); }\nstruct Flat { x @0 :Int8; }\n",
    );
    assert!(
        text.contains("pub struct Flat")
            && !text.contains("pub struct Tree")
            && !text.contains("pub struct Deep")
    );
}

#[test]
fn annotations_that_make_no_sense_are_refused() {
    for (text, words) in [
        ("interface S $V.service(name = \"two words\") {}", "a service's name is 1 to 64 bytes"),
        ("interface S $V.service(priority = 1) {}", "a service's name is 1 to 64 bytes"),
        ("interface S $V.service(name = \"s\", priority = 8) {}", "a service's priority is 0 (first) to 7"),
        ("interface S(T) $V.service(name = \"s\") {}", "a generic interface"),
        (
            "interface S { f @0 () $V.deadline(seconds = 0); }",
            "a.capnp:S.f: a deadline is at least a millisecond",
        ),
        (
            "enum E $V.status { ok @0; a @1 $V.malformed; b @2 $V.malformed; }",
            "a.capnp:E: `a` is not its only word",
        ),
    ] {
        let complaint = complaint(text);
        assert!(complaint.contains(words), "{text}: {complaint}");
    }
}

#[test]
fn names_that_would_be_one_in_rust_are_refused() {
    let complaint = complaint("interface Foo {}\ninterface FooServer {}\n");
    assert_eq!(
        complaint,
        "a.capnp: the server of Foo and FooServer would both be called FooServer in Rust; rename one of them"
    );
    let (_directory, outcome) = compile(&[("a.capnp", ""), ("in/a.capnp", "")], |build| build);
    assert!(outcome.unwrap_err().to_string().starts_with("two schemas are named a;"));
}

#[test]
fn a_schema_that_does_not_compile_is_shown_with_its_place() {
    let complaint = complaint("struct A { x @0 :Txet; }\n");
    assert!(complaint.contains("a.capnp:3") && complaint.contains("Txet"), "{complaint}");
    assert_eq!(
        format!("{:?}", compile(&[("a.capnp", "}")], |build| build).1.unwrap_err()).lines().next(),
        Some("the schema does not compile")
    );
}

#[test]
fn bytes_that_are_no_request_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    for bytes in [&b""[..], b"rubbish", &[0xff; 64], &[0; 16]] {
        let outcome = Build::new().out_dir(directory.path()).generate(bytes);
        assert!(matches!(outcome, Err(Error::Request(_))), "{bytes:?}");
    }
}
