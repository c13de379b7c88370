//! Files that import each other, and how they are named.

use std::path::PathBuf;

use vatmux_schema::{Kind, Options, compile_from};

use crate::common::{ID, Memory, names};

const TYPES: &str = "@0xbf5147cbbecf40c2; struct Used { more @0 :Needed; } struct Needed {} struct Unused {}";

#[test]
fn only_what_is_used_of_an_import_is_in_the_request() {
    let files = Memory::default()
        .with("test.capnp", format!("{ID}struct A {{ used @0 :import \"types.capnp\".Used; }}"))
        .with("types.capnp", TYPES);
    let compiled = compile_from(&files, &["test.capnp"], &Options::default()).unwrap();
    let expected = ["test.capnp", "test.capnp:A", "types.capnp", "types.capnp:Needed", "types.capnp:Used"];
    assert_eq!(names(compiled.request().unwrap()), expected);
}

#[test]
fn a_path_counts_from_the_file_that_imports_it() {
    let files = Memory::default()
        .with(
            "a/b/test.capnp",
            format!("{ID}using T = import \"../types.capnp\"; struct A {{ a @0 :T.Used; }}"),
        )
        .with("a/types.capnp", TYPES);
    let compiled = compile_from(&files, &["a/b/test.capnp"], &Options::default()).unwrap();
    let request = compiled.request().unwrap();
    assert!(names(request).contains(&"a/types.capnp:Used".to_owned()));
    let file = request.get_requested_files().unwrap().get(0);
    assert_eq!(file.get_imports().unwrap().get(0).get_name().unwrap(), "../types.capnp");
    assert_eq!(compiled.files(), [PathBuf::from("a/b/test.capnp"), PathBuf::from("a/types.capnp")]);
}

#[test]
fn a_path_with_a_slash_is_looked_for_in_the_import_paths_the_first_first() {
    let files = Memory::default()
        .with(
            "test.capnp",
            format!("{ID}using T = import \"/lib/types.capnp\"; struct A {{ a @0 :T.Used; }}"),
        )
        .with("second/lib/types.capnp", "broken")
        .with("first/lib/types.capnp", TYPES);
    let options = Options::default().import_path("none").import_path("first").import_path("second");
    let compiled = compile_from(&files, &["test.capnp"], &options).unwrap();
    assert!(names(compiled.request().unwrap()).contains(&"lib/types.capnp:Used".to_owned()));
}

#[test]
fn the_standard_files_are_there_unless_they_are_turned_off() {
    let body =
        format!("{ID}$import \"/capnp/c++.capnp\".namespace(\"x\"); interface I {{ m @0 () -> stream; }}");
    let files = Memory::default().with("test.capnp", body);
    let compiled = compile_from(&files, &["test.capnp"], &Options::default()).unwrap();
    assert!(names(compiled.request().unwrap()).contains(&"capnp/stream.capnp:StreamResult".to_owned()));
    assert_eq!(compiled.files(), [PathBuf::from("test.capnp")]);
    let errors =
        compile_from(&files, &["test.capnp"], &Options::default().standard_imports(false)).unwrap_err();
    assert!(errors.iter().all(|error| error.kind == Kind::File));
}

#[test]
fn an_import_path_goes_before_what_is_built_in() {
    let own = "@0xbdf87d7bb8304e81; annotation own(file) :Text;";
    let files = Memory::default()
        .with("test.capnp", format!("{ID}$import \"/capnp/c++.capnp\".own(\"x\");"))
        .with("lib/capnp/c++.capnp", own);
    compile_from(&files, &["test.capnp"], &Options::default().import_path("lib")).unwrap();
    let files = Memory::default().with("test.capnp", format!("{ID}$import \"/x/y.capnp\".own(\"x\");"));
    compile_from(&files, &["test.capnp"], &Options::default().built_in("/x/y.capnp", own)).unwrap();
}

#[test]
fn every_standard_file_compiles() {
    for name in ["c++", "compat/json", "persistent", "rpc", "rpc-twoparty", "schema", "stream"] {
        let files =
            Memory::default().with("test.capnp", format!("{ID}using X = import \"/capnp/{name}.capnp\";"));
        compile_from(&files, &["test.capnp"], &Options::default()).unwrap();
    }
}

#[test]
fn files_may_import_each_other() {
    let files = Memory::default()
        .with("a.capnp", "@0xbf5147cbbecf40c1; struct A { b @0 :import \"b.capnp\".B; }")
        .with("b.capnp", "@0xbf5147cbbecf40c2; struct B { a @0 :import \"./a.capnp\".A; }");
    let compiled = compile_from(&files, &["a.capnp", "b.capnp"], &Options::default()).unwrap();
    assert_eq!(names(compiled.request().unwrap()), ["a.capnp", "a.capnp:A", "b.capnp", "b.capnp:B"]);
}

#[test]
fn a_source_prefix_is_taken_off_the_name_the_longest_first() {
    let files = Memory::default().with("src/schema/test.capnp", ID);
    let options = Options::default().source_prefix("src").source_prefix("src/schema");
    let compiled = compile_from(&files, &["src/schema/test.capnp"], &options).unwrap();
    assert_eq!(names(compiled.request().unwrap()), ["test.capnp"]);
}

#[test]
fn a_missing_file_is_named() {
    let errors = compile_from(&Memory::default(), &["missing.capnp"], &Options::default()).unwrap_err();
    assert!(errors.to_string().contains("missing.capnp"), "{errors}");
    let files =
        Memory::default().with("test.capnp", format!("{ID}struct A {{ a @0 :import \"no.capnp\".A; }}"));
    let errors = compile_from(&files, &["test.capnp"], &Options::default()).unwrap_err();
    let error = errors.iter().next().unwrap();
    assert_eq!((error.kind, error.span.line, error.span.column), (Kind::File, 2, 18));
}

#[test]
fn an_error_in_an_import_is_shown_in_its_own_file() {
    let files = Memory::default()
        .with("test.capnp", format!("{ID}struct A {{ a @0 :import \"types.capnp\".Used; }}"))
        .with("types.capnp", "@0xbf5147cbbecf40c2; struct Used {\n  a @1 :Text;\n}");
    let errors = compile_from(&files, &["test.capnp"], &Options::default()).unwrap_err();
    let error = errors.iter().next().unwrap();
    assert_eq!(
        (error.kind, error.file.as_path(), error.span.line),
        (Kind::Ordinal, "types.capnp".as_ref(), 2)
    );
}

#[test]
fn one_id_in_two_files_is_an_error_that_shows_both() {
    let files = Memory::default().with("a.capnp", ID).with("b.capnp", ID);
    let errors = compile_from(&files, &["a.capnp", "b.capnp"], &Options::default()).unwrap_err();
    let text = errors.to_string();
    assert!(text.contains("a.capnp:1") && text.contains("b.capnp:1"), "{text}");
}
