//! Each thing that the C++ tool refuses, we refuse as well, on the same line.

use vatmux_schema::compile_from;
use vatmux_schema_reference::Memory;

use crate::common::{options, theirs};

/// What the C++ tool says, in part, and a schema that makes it say so. The second line is the first after the id.
const CASES: &[(&str, &str)] = &[
    // The grammar.
    ("Parse error", "struct A {\n  a @0 Text;\n}"),
    ("Parse error", "struct A {\n  a @0 :;\n}"),
    ("Parse error", "struct A {\n  @0 :Text;\n}"),
    ("Parse error", "struct {\n}"),
    ("Parse error", "struct A {\n  a @0 :.B;\n}"),
    ("Parse error", "const a :Data =\n  0x\"\";"),
    ("Parse error", "const a :Data =\n  0x\"0\";"),
    ("Parse error", "const a :Text =\n  \"open;"),
    ("Parse error", "const a :Text =\n  \"\\y\";"),
    ("Parse error", "struct A {\n  union @0 { a @1 :Text; b @2 :Text; }\n}"),
    ("Parse error", "struct A (T { }"),
    ("Parse error", "}\nstruct A {}"),
    ("Parse error", "const a :Int8 =\n  `1`;"),
    ("Parse error: Empty list item", "const a :List(Int8) =\n  [1,,2];"),
    ("This statement should end with a semicolon, not a block", "const a :Int8 = 3 {\n}"),
    ("This statement should end with a block, not a semicolon", "struct A;"),
    (
        "union' keyword should be prefixed with a colon",
        "struct A {\n  u @0 union { a @1 :Text; b @2 :Text; }\n}",
    ),
    (
        "no longer necessary to assign numbers to unions",
        "struct A {\n  u @0 :union { a @1 :Text; b @2 :Text; }\n}",
    ),
    ("Missing field name", "struct A { a @0 :Text; }\nconst b :A =\n  (\"x\", a = \"y\");"),
    ("Type mismatch; expected A", "struct A { a @0 :Text; }\nconst b :A =\n  (\"x\");"),
    ("Named parameter not allowed here", "struct A(T) {}\nstruct B {\n  a @0 :A(T = Text);\n}"),
    // Where a declaration can stand.
    ("Parse error", "a @0 :Text;"),
    ("Parse error", "interface A {\n  a :group { b @0 :Text; }\n}"),
    ("Parse error", "struct A {\n  a @0;\n}"),
    ("Parse error", "struct A {\n  a @0 () -> ();\n}"),
    ("Parse error", "enum A {\n  a @0;\n  struct B {}\n}"),
    // Ids.
    ("File can only have one ID", "@0xbf5147cbbecf40c9;"),
    ("Invalid ID", "struct A\n  @0x1 {}"),
    ("Duplicate ID", "struct A @0xbf5147cbbecf40d0 {}\nstruct B @0xbf5147cbbecf40d0 {}"),
    // Ordinals.
    ("Duplicate ordinal number", "struct A {\n  a @0 :Text;\n  b @0 :Text;\n}"),
    ("Duplicate ordinal number", "enum A {\n  a @0;\n  b @0;\n}"),
    ("Duplicate ordinal number", "interface A {\n  a @0 ();\n  b @0 ();\n}"),
    ("Skipped ordinal @1", "struct A {\n  a @0 :Text;\n  b @2 :Text;\n}"),
    ("Skipped ordinal @0", "enum A {\n  a @1;\n}"),
    ("Skipped ordinal @0", "interface A {\n  a @1 ();\n}"),
    ("Ordinals cannot be greater than 65535", "struct A {\n  a @65536 :Text;\n}"),
    (
        "must be greater than no more than one of its member ordinals",
        "struct A {\n  u @2! :union { a @0 :Text; b @1 :Text; }\n}",
    ),
    // Groups and unions.
    ("Group must have at least one member", "struct A {\n  a :group {}\n}"),
    ("Union must have at least two members", "struct A {\n  union { a @0 :Text; }\n}"),
    ("Union must have at least two members", "struct A {\n  a :union { b @0 :Text; }\n}"),
    (
        "An unnamed union is already defined in this scope",
        "struct A {\n  union { a @0 :Text; b @1 :Text; }\n  union { c @2 :Text; d @3 :Text; }\n}",
    ),
    (
        "Unions cannot contain unnamed unions",
        "struct A {\n  union {\n    a @0 :Text;\n    union { b @1 :Text; c @2 :Text; }\n  }\n}",
    ),
    // Names.
    ("must not contain underscores", "struct A {\n  a_b @0 :Text;\n}"),
    ("must not contain underscores", "struct A_B {}"),
    ("Type names must begin with a capital letter", "struct a {}"),
    ("Type names must begin with a capital letter", "enum a { b @0; }"),
    ("Type names must begin with a capital letter", "using a = Text;"),
    ("Non-type names must begin with a lower-case letter", "struct A {\n  B @0 :Text;\n}"),
    ("Non-type names must begin with a lower-case letter", "enum A {\n  B @0;\n}"),
    ("Non-type names must begin with a lower-case letter", "const A :Text = \"\";"),
    ("Non-type names must begin with a lower-case letter", "annotation A(*) :Text;"),
    ("Non-type names must begin with a lower-case letter", "interface A {\n  B @0 ();\n}"),
    ("'a' is already defined in this scope", "struct A {\n  a @0 :Text;\n  a @1 :Text;\n}"),
    ("'A' is already defined in this scope", "struct A {}\nstruct A {}"),
    (
        "'a' is already defined in this scope",
        "struct A {\n  a @0 :Text;\n  union { a @1 :Text; b @2 :Text; }\n}",
    ),
    ("'a' is already defined in this scope", "enum A {\n  a @0;\n  a @1;\n}"),
    ("Not defined: B", "struct A {\n  a @0 :B;\n}"),
    ("Not defined: b", "const a :Int8 =\n  b.c;"),
    ("Not defined: m", "struct A\n  $m {}"),
    ("has no member named 'B'", "struct A {\n  a @0 :A.B;\n}"),
    ("has no member named 'B'", "struct A {\n  a @0 :import \"/capnp/c++.capnp\".B;\n}"),
    ("must specify a named declaration from a different scope", "using Text;"),
    ("Import failed: /capnp/none.capnp", "using A = import \"/capnp/none.capnp\";"),
    ("Import failed: none.capnp", "struct A {\n  a @0 :import \"none.capnp\".B;\n}"),
    // What a name stands for.
    ("'a' is not a type", "const a :Text = \"\";\nstruct A {\n  b @0 :a;\n}"),
    ("is not an annotation", "struct B {}\nstruct A\n  $B {}"),
    ("is not an interface", "struct A {}\ninterface B\n  extends(A) {}"),
    ("is not a struct type", "interface A {\n  a @0 Text -> ();\n}"),
    ("does not refer to a constant", "struct A {}\nconst a :Int8 =\n  .A;"),
    ("Constant names must be qualified", "const a :Int8 = 1;\nconst b :Int8 =\n  a;"),
    // Circles.
    ("Declaration recursively depends on itself", "const a :Int8 = .a;"),
    ("Not defined: A", "using A = B;\nusing B = A;\nstruct C { c @0 :A; }"),
    // Annotations.
    ("cannot be applied to this kind of declaration", "annotation a(enum) :Void;\nstruct A\n  $a {}"),
    ("cannot be applied to this kind of declaration", "annotation a(field) :Void;\n$a;"),
    ("'a' requires a value", "annotation a(*) :Text;\nstruct A\n  $a {}"),
    ("Not a valid annotation target", "annotation a(\n  parameter) :Void;"),
    ("Duplicate target specification", "annotation a(struct,\n  struct) :Void;"),
    ("Wildcard should not be specified together with other targets", "annotation a(struct,\n  *) :Void;"),
    ("Type mismatch; expected Text", "annotation a(*) :Text;\nstruct A\n  $a(3) {}"),
    // Types.
    ("'List' requires exactly one parameter", "struct A {\n  a @0 :List;\n}"),
    ("'List' requires exactly one parameter", "struct A {\n  a @0 :List(Text, Text);\n}"),
    ("'List(AnyPointer)' is not supported", "struct A {\n  a @0 :List(AnyPointer);\n}"),
    ("'List(AnyPointer)' is not supported", "struct A(T) {\n  a @0 :List(T);\n}"),
    ("'List(AnyStruct)' is not supported", "struct A {\n  a @0 :List(AnyStruct);\n}"),
    ("'Object' has been renamed to 'AnyPointer'", "struct A {\n  a @0 :Object;\n}"),
    ("Declaration does not accept generic parameters", "struct A {\n  a @0 :Text(Text);\n}"),
    ("Declaration does not accept generic parameters", "struct B {}\nstruct A {\n  a @0 :B(Text);\n}"),
    ("Not enough generic parameters", "struct B(T, U) {}\nstruct A {\n  a @0 :B(Text);\n}"),
    ("Too many generic parameters", "struct B(T) {}\nstruct A {\n  a @0 :B(Text, Text);\n}"),
    ("Double-application of generic parameters", "struct B(T) {}\nstruct A {\n  a @0 :B(Text)(Text);\n}"),
    (
        "only pointer types can be used as generic parameters",
        "struct B(T) {}\nstruct A {\n  a @0 :B(Int8);\n}",
    ),
    (
        "only pointer types can be used as generic parameters",
        "struct B(T) {}\nstruct A {\n  a @0 :B(AnyStruct);\n}",
    ),
    ("is an unbound generic parameter", "interface A(T)\n  extends(T) {}"),
    ("Cannot use generic parameter as whole input or output", "interface A(T) {\n  a @0 T -> ();\n}"),
    ("'stream' can only appear after '->'", "interface A {\n  a @0 stream -> ();\n}"),
    // Values.
    ("Type mismatch; expected Int8", "const a :Int8 =\n  \"x\";"),
    ("Type mismatch; expected Int8", "const a :Int8 =\n  1.5;"),
    ("Type mismatch; expected Text", "const a :Text =\n  1;"),
    ("Type mismatch; expected Text", "const a :Text =\n  0x\"00\";"),
    ("Type mismatch; expected Bool", "const a :Bool =\n  1;"),
    ("Type mismatch; expected Void", "const a :Void =\n  1;"),
    ("Type mismatch; expected Float32", "const a :Float32 =\n  \"1\";"),
    ("Type mismatch; expected List(Int8)", "const a :List(Int8) =\n  3;"),
    ("Type mismatch; expected Int8", "const a :List(Int8) = [1,\n  \"x\"];"),
    ("Type mismatch; expected A", "struct A {}\nconst a :A =\n  [];"),
    ("Type mismatch; expected group", "struct A { a :group { b @0 :Text; } }\nconst a :A = (a =\n  3);"),
    ("Type mismatch", "const a :Text = \"\";\nconst b :Int8 =\n  .a;"),
    ("Integer value out of range", "const a :Int8 =\n  128;"),
    ("Integer value out of range", "const a :Int8 =\n  -129;"),
    ("Integer value out of range", "const a :UInt16 =\n  65536;"),
    ("Integer value out of range", "const a :UInt8 =\n  -1;"),
    ("Integer value out of range", "struct A {\n  a @0 :Int32 = 0x80000000;\n}"),
    ("Integer is too big to be negative", "const a :Int64 =\n  -9223372036854775809;"),
    ("Struct has no field named 'b'", "struct A { a @0 :Text; }\nconst a :A =\n  (b = 1);"),
    ("Not defined: b", "enum E { a @0; }\nconst a :E =\n  b;"),
    ("Type mismatch; expected AnyPointer", "struct A {\n  a @0 :AnyPointer = 3;\n}"),
    ("Type mismatch; expected I", "interface I {}\nstruct A {\n  a @0 :I = 3;\n}"),
    ("which is not yet bound", "struct A(T) {\n  a @0 :T = \"x\";\n}"),
    (
        "Only pointer parameters can declare their default as 'null'",
        "interface A {\n  a @0 (b :Int8 = null);\n}",
    ),
    ("Couldn't read file for embed", "const a :Text =\n  embed \"none\";"),
    (
        "Embeds can only be used when Text, Data, or a struct is expected",
        "const a :Int8 =\n  embed \"case.capnp\";",
    ),
    (
        "Embedded file is not a valid Cap'n Proto message",
        "struct A {}\nconst a :A =\n  embed \"case.capnp\";",
    ),
];

/// Where we say another line than the C++ tool, each with ours.
const ELSEWHERE: &[(&str, &str, usize)] = &[
    // It says where the file ends, we say which block is open.
    ("Parse error", "struct A {\n  struct B {}\n\n", 2),
    // It says where a token was not expected, we say behind what something is missing.
    ("Parse error", "struct A (T\n{ }", 2),
    // It says which declaration leads to itself, we say in which step.
    ("Declaration recursively depends on itself", "const a :Int8 = .b;\nconst b :Int8 = .a;", 3),
    // It says which declaration has the id, we say where it has it.
    ("Duplicate ID", "struct A @0xbf5147cbbecf40d0 {}\nstruct B\n  @0xbf5147cbbecf40d0 {}", 4),
];

const ID: &str = "@0xbf5147cbbecf40c1;\n";

/// Our complaints about a file: lines and messages.
fn our_complaints(text: &str) -> Vec<(usize, String)> {
    let files: Memory = [("case.capnp", text)].into_iter().collect();
    match compile_from(&files, &["case.capnp"], &options()) {
        Ok(_) => Vec::new(),
        Err(found) => found.iter().map(|found| (found.span.line, found.message.clone())).collect(),
    }
}

#[test]
#[ignore = "needs the C++ tool: cargo xtask test reference"]
fn what_the_reference_refuses_we_refuse_on_the_same_line() {
    let mut found = Vec::new();
    let same = CASES.iter().map(|(kind, text)| (kind, text, None));
    let elsewhere = ELSEWHERE.iter().map(|(kind, text, line)| (kind, text, Some(*line)));
    for (kind, text, our_line) in same.chain(elsewhere) {
        let text = format!("{ID}{text}\n");
        let Err(refusal) = theirs(&[("case.capnp".to_owned(), text.clone())]) else {
            found.push(format!("the C++ tool takes what should be {kind:?}:\n{text}"));
            continue;
        };
        let Some(complaint) = refusal.complaints.iter().find(|complaint| complaint.message.contains(kind))
        else {
            found.push(format!("not {kind:?} but {refusal}:\n{text}"));
            continue;
        };
        let ours = our_complaints(&text);
        let expected = our_line.unwrap_or(complaint.line);
        if !ours.iter().any(|(line, _)| *line == expected) {
            found.push(format!("line {expected}: {}; ours: {ours:?}:\n{text}", complaint.message));
        }
    }
    assert!(found.is_empty(), "{} of {}:\n{}", found.len(), CASES.len(), found.join("\n"));
}
