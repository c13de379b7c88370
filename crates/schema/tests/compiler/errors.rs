//! What is wrong with a schema, each with its kind and the text that it points at.

use vatmux_schema::Kind;

use crate::common::{error, errors, try_compile};

/// `body` has one error, of `kind`, and it points at `place`.
#[track_caller]
fn refused(body: &str, kind: Kind, place: &str) {
    let (found, at, message) = error(body);
    assert_eq!((found, &*at), (kind, place), "{body}\n{message}");
}

#[test]
fn ordinals_are_each_given_once_and_none_is_left_out() {
    refused("struct A { a @1 :Text; }", Kind::Ordinal, "@1");
    refused("struct A { a @0 :Text; b @0 :Text; }", Kind::Ordinal, "@0");
    refused("struct A { a @0 :Text; b @2 :Text; }", Kind::Ordinal, "@2");
    refused("enum A { a @0; b @0; }", Kind::Ordinal, "@0");
    refused("enum A { a @3; }", Kind::Ordinal, "@3");
    refused("interface A { a @0 (); b @2 (); }", Kind::Ordinal, "@2");
    refused("struct A { a @70000 :Text; }", Kind::Ordinal, "@70000");
    refused("struct A { u @1 :union { a @0 :Void; b @2 :Void; } }", Kind::Syntax, "@1");
    refused("struct A { u @2! :union { a @0 :Void; b @1 :Void; } }", Kind::Ordinal, "@2");
    refused("struct A { g @0 :group { a @1 :Void; } }", Kind::Syntax, "@0");
}

#[test]
fn names_are_given_once_in_a_scope() {
    refused("struct A { a @0 :Text; a @1 :Text; }", Kind::Duplicate, "a");
    refused("struct A { a @0 :Text; union { a @1 :Text; b @2 :Text; } }", Kind::Duplicate, "a");
    refused("struct A {} enum A {}", Kind::Duplicate, "A");
    refused(
        "struct A { union { a @0 :Void; b @1 :Void; } union { c @2 :Void; d @3 :Void; } }",
        Kind::Duplicate,
        "union",
    );
    try_compile("struct A { a @0 :Text; g :group { a @1 :Text; } }").unwrap();
}

#[test]
fn names_are_written_in_their_style() {
    refused("struct a {}", Kind::NameStyle, "a");
    refused("struct A { B @0 :Text; }", Kind::NameStyle, "B");
    refused("struct A { a_b @0 :Text; }", Kind::NameStyle, "a_b");
    refused("struct A_B {}", Kind::NameStyle, "A_B");
    refused("enum A { B @0; }", Kind::NameStyle, "B");
    refused("const A :Text = \"\";", Kind::NameStyle, "A");
    refused("annotation A(*) :Text;", Kind::NameStyle, "A");
    refused("interface A { B @0 (); }", Kind::NameStyle, "B");
    refused("using a = Text;", Kind::NameStyle, "a");
}

#[test]
fn ids_are_ids_and_each_is_used_once() {
    refused(
        "struct A @0xbf5147cbbecf40c2 {} struct B @0xbf5147cbbecf40c2 {}",
        Kind::Id,
        "@0xbf5147cbbecf40c2",
    );
    refused("struct A @0x1234 {}", Kind::Syntax, "@0x1234");
    refused("@0xbf5147cbbecf40c7;", Kind::Syntax, "@0xbf5147cbbecf40c7");
    refused("struct A @0xbf5147cbbecf40c1 {}", Kind::Id, "@0xbf5147cbbecf40c1");
}

#[test]
fn ids_that_follow_from_what_is_there_twice_are_no_news() {
    let found = |body: &str| errors(body).into_iter().map(|(kind, ..)| kind).collect::<Vec<_>>();
    assert_eq!(
        found("struct A { struct B { enum C {} } } struct A { struct B { enum C {} } }"),
        [Kind::Duplicate]
    );
    let id = "@0xbf5147cbbecf40c2";
    assert_eq!(
        found(&format!("struct A {id} {{ struct B {{}} }} struct C {id} {{ struct B {{}} }}")),
        [Kind::Id]
    );
    // What was written has not been derived of anything.
    let inner = format!("struct B {id} {{}}");
    assert_eq!(found(&format!("struct A {{ {inner} }} struct A {{ {inner} }}")), [Kind::Duplicate, Kind::Id]);
}

#[test]
fn a_file_without_an_id_is_given_one_to_write() {
    let files = crate::common::Memory::default().with("a.capnp", "struct A {}");
    let errors =
        vatmux_schema::compile_from(&files, &["a.capnp"], &vatmux_schema::Options::default()).unwrap_err();
    let error = errors.iter().next().unwrap();
    assert_eq!(error.kind, Kind::Id);
    assert!(error.help.as_ref().unwrap().contains("@0x"));
}

#[test]
fn unknown_names_are_pointed_at() {
    refused("struct A { a @0 :Nope; }", Kind::Unknown, "Nope");
    refused("struct A { a @0 :List(Nope); }", Kind::Unknown, "Nope");
    refused("struct A { a @0 : .Nope; }", Kind::Unknown, ".Nope");
    refused("struct A { a @0 :A.Nope; }", Kind::Unknown, "Nope");
    refused("struct A $nope(1) {}", Kind::Unknown, "nope");
    refused("using B = Nope;", Kind::Unknown, "Nope");
    refused("const a :E = nope; enum E { a @0; }", Kind::Unknown, "nope");
    refused("struct S {} const a :S = (nope = 1);", Kind::Unknown, "nope");
    refused("const a :Text = nope;", Kind::Unknown, "nope");
}

#[test]
fn what_was_meant_is_guessed() {
    let help =
        |body: &str| try_compile(body).unwrap_err().iter().next().unwrap().help.clone().unwrap_or_default();
    assert_eq!(help("struct A { a @0 :Txet; }"), "did you mean `Text`?");
    assert_eq!(help("struct A { a @0 :String; }"), "did you mean `Text`?");
    assert_eq!(help("struct Person {} struct A { a @0 :Persom; }"), "did you mean `Person`?");
    assert_eq!(help("enum E { green @0; } const c :E = gren;"), "did you mean `green`?");
    assert_eq!(help("stuct A {}"), "did you mean `struct`?");
    assert_eq!(help("struct A { struct B {} } struct C { b @0 :B; }"), "write `A.B`, where it is declared");
}

#[test]
fn things_that_are_no_types_are_told_so() {
    refused("const c :Int8 = 1; struct A { a @0 :c; }", Kind::Mismatch, "c");
    refused("annotation c(*) :Int8; struct A { a @0 :c; }", Kind::Mismatch, "c");
    refused("struct S {} interface I extends(S) {}", Kind::Mismatch, "S");
    refused("interface I { m @0 Int8; }", Kind::Mismatch, "Int8");
    refused("struct S {} struct A $S {}", Kind::Mismatch, "S");
    refused("struct S {} const c :Text = .S;", Kind::Mismatch, ".S");
    refused("struct A { a @0 :3; }", Kind::Mismatch, "3");
}

#[test]
fn generic_parameters_are_pointers_and_as_many_as_declared() {
    refused("struct G(T) {} struct A { a @0 :G(Int8); }", Kind::Generic, "Int8");
    refused("struct G(T) {} struct A { a @0 :G(Text, Text); }", Kind::Generic, "G(Text, Text)");
    refused("struct G(T, U) {} struct A { a @0 :G(Text); }", Kind::Generic, "G(Text)");
    refused("struct G {} struct A { a @0 :G(Text); }", Kind::Generic, "G(Text)");
    refused("struct A { a @0 :Text(Text); }", Kind::Generic, "Text(Text)");
    refused("struct A { a @0 :List; }", Kind::Generic, "List");
    refused("struct A { a @0 :List(Text, Text); }", Kind::Generic, "List(Text, Text)");
    refused("struct A { a @0 :List(AnyPointer); }", Kind::Generic, "List(AnyPointer)");
    refused("struct A(T) { a @0 :List(T); }", Kind::Generic, "List(T)");
    refused("struct G(T) {} struct A { a @0 :G(Text)(Text); }", Kind::Generic, "G(Text)(Text)");
    refused("struct G(T) {} struct A { a @0 :G(T = Text); }", Kind::Generic, "T");
    refused("struct G(T) { a @0 :T = \"x\"; }", Kind::Generic, "\"x\"");
    refused("interface I { m @0 [T] T -> (); }", Kind::Generic, "T");
}

#[test]
fn values_are_of_their_types() {
    refused("const c :Text = 3;", Kind::Value, "3");
    refused("const c :Data = 3;", Kind::Value, "3");
    refused("const c :Text = 0x\"00\";", Kind::Value, "0x\"00\"");
    refused("const c :Bool = 1;", Kind::Value, "1");
    refused("const c :Void = 1;", Kind::Value, "1");
    refused("const c :Int8 = 1.5;", Kind::Value, "1.5");
    refused("const c :Int8 = true;", Kind::Value, "true");
    refused("const c :Float32 = \"\";", Kind::Value, "\"\"");
    refused("const c :List(Int8) = [1, \"\"];", Kind::Value, "\"\"");
    refused("const c :List(Int8) = (a = 1);", Kind::Value, "(a = 1)");
    refused("const c :Int8 = [1];", Kind::Value, "[1]");
    refused("struct S { a @0 :Int8; } const c :S = (a = 1, 2);", Kind::Value, "2");
    refused("struct S { g :group { a @0 :Int8; } } const c :S = (g = 1);", Kind::Value, "1");
    refused("enum E { a @0; } const c :E = 1;", Kind::Value, "1");
    refused("const c :AnyPointer = \"\";", Kind::Value, "\"\"");
    refused("interface I {} struct A { a @0 :I = void; }", Kind::Value, "void");
    refused("interface I { m @0 (a :Int8 = null); }", Kind::Value, "null");
    refused("const b :Text = \"\"; const c :Data = .b;", Kind::Value, ".b");
    refused("const b :Int8 = 1; const c :Int8 = b;", Kind::Value, "b");
}

#[test]
fn annotations_go_where_they_may_with_what_they_need() {
    refused("annotation a(struct) :Void; enum E $a {}", Kind::Annotation, "a");
    refused("annotation a(struct) :Text; struct S $a {}", Kind::Annotation, "a");
    refused("annotation a(struct) :Text; struct S $a(1) {}", Kind::Value, "1");
    refused("annotation a(field) :Void; interface I { m @0 (p :Text $a); }", Kind::Annotation, "a");
    refused("annotation a(struct) :Void; struct S { g :group $a { f @0 :Void; } }", Kind::Annotation, "a");
    refused("annotation a(nope) :Void;", Kind::Syntax, "nope");
    refused("annotation a(struct, struct) :Void;", Kind::Syntax, "struct");
}

#[test]
fn nothing_may_depend_on_itself() {
    refused("const a :Int8 = .a;", Kind::Cycle, ".a");
    refused("const a :Int8 = .b; const b :Int8 = .c; const c :Int8 = .a;", Kind::Cycle, ".a");
    refused("const a :List(Int8) = [.b]; const b :Int8 = .b;", Kind::Cycle, ".b");
    refused("interface I extends(I) {}", Kind::Cycle, "I");
    assert!(errors("using A = B; using B = A;").iter().all(|(kind, ..)| *kind == Kind::Cycle));
    assert!(errors("struct S { x @0 :A; using A = A.B; }").iter().all(|(kind, ..)| *kind == Kind::Cycle));
}

#[test]
fn groups_and_unions_have_members() {
    refused("struct A { union { a @0 :Void; } }", Kind::Members, "union");
    refused("struct A { u :union {} }", Kind::Members, "u :union");
    refused("struct A { g :group {} }", Kind::Members, "g :group");
    refused(
        "struct A { u :union { union { a @0 :Void; b @1 :Void; } c @2 :Void; } }",
        Kind::Members,
        "union",
    );
}

#[test]
fn one_run_finds_what_is_wrong_with_each_statement() {
    let body =
        "struct A { a @0 Text; b @1 :Nope; c @2 :Int8 = 300 }\nstruct B { a :Text; }\nenum c { d @1; }";
    let found: Vec<_> = errors(body).into_iter().map(|(kind, place, _)| (kind, place)).collect();
    let expected = [
        (Kind::Syntax, "Text"),
        (Kind::Unknown, "Nope"),
        (Kind::Value, "300"),
        (Kind::Syntax, ""),
        (Kind::Syntax, ""),
        (Kind::NameStyle, "c"),
        (Kind::Ordinal, "@1"),
    ];
    assert_eq!(found, expected.map(|(kind, place)| (kind, place.to_owned())));
}

#[test]
fn what_follows_a_broken_statement_is_looked_at() {
    let found =
        |body: &str| errors(body).into_iter().map(|(kind, place, _)| (kind, place)).collect::<Vec<_>>();
    let expected = [(Kind::Syntax, "stuct".to_owned()), (Kind::NameStyle, "b".to_owned())];
    assert_eq!(found("stuct A { x @0 :Text; y { z; } } struct b {}"), expected);
    let expected = [(Kind::Syntax, String::new()), (Kind::Unknown, "Nope".to_owned())];
    assert_eq!(found("const b :Text = \"x\"\nconst c :Nope = 1;"), expected);
}

#[test]
fn what_could_not_be_parsed_is_not_missed_twice() {
    // Without the first field, the second one's number has a gap before it.
    refused("struct A { a @0 ?Text; b @1 :Text; }", Kind::Syntax, "?");
    refused("enum A { a @0 b; c @1; }", Kind::Syntax, "b");
    // And a field without a type has no default of a wrong one.
    refused("struct A { a @0 :Nope = 3; }", Kind::Unknown, "Nope");
}

#[test]
fn broken_syntax_is_pointed_at() {
    refused("struct A { a @0 :Text; ", Kind::Syntax, "{");
    refused("struct A {} }", Kind::Syntax, "}");
    refused("const c :Text = \"abc;", Kind::Syntax, "\"abc;");
    refused("const c :Text = \"\\q\";", Kind::Syntax, "\\q");
    refused("const c :Text = 'abc';", Kind::Syntax, "'abc'");
    refused("const c :Data = 0x\"abc\";", Kind::Syntax, "c");
    refused("const c :Int8 = 08;", Kind::Syntax, "08");
    refused("struct A { a @0 :.A; }", Kind::Syntax, ":.");
    refused("struct A;", Kind::Syntax, "");
    refused("struct A(T) @0xbf5147cbbecf40c5 {}", Kind::Syntax, "@");
    refused("struct A { a @0 :Text { } }", Kind::Syntax, "");
    refused("using import \"/capnp/rpc.capnp\";", Kind::Syntax, "import \"/capnp/rpc.capnp\"");
    refused("const ü :Text = \"\";", Kind::Syntax, "ü");
    refused("struct A { g :group { struct B {} a @0 :Text; } }", Kind::Syntax, "struct B");
}

#[test]
fn an_error_reads_like_one_of_rustcs() {
    let errors = try_compile("struct Person {\n  name @0 :Txt;\n}").unwrap_err();
    let expected = "\
error: `Txt` is not defined
 --> test.capnp:3:12
  |
3 |   name @0 :Txt;
  |            ^^^ not defined in this scope or one around it
  |
  = help: did you mean `Text`?
";
    assert_eq!(errors.to_string().trim_end(), expected.trim_end());
}
