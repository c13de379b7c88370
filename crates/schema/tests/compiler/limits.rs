//! Input that is made to hurt: it ends in errors, soon, on a small stack.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use vatmux_schema::{Kind, Options, compile_from, limits};

use crate::common::{ID, Memory, error, errors, try_compile};

/// Runs on the stack that a thread has by default, which is smaller than that of a process.
fn on_a_small_stack(run: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap().join().unwrap();
}

/// What `write` makes of each number below `count`.
fn each(count: usize, write: impl Fn(usize) -> String) -> String {
    (0..count).map(write).collect::<Vec<_>>().concat()
}

fn limited(body: &str) {
    let errors = errors(body);
    assert!(
        errors.iter().any(|(kind, _, message)| *kind == Kind::Limit || message.contains("deeper")),
        "{errors:?}"
    );
}

#[test]
fn deep_nesting_is_refused() {
    on_a_small_stack(|| {
        for (open, close) in [("[", "]"), ("(a = ", ")"), ("(", ")"), ("List(", ")"), ("-", "")] {
            for depth in [limits::EXPRESSION_DEPTH + 1, 100_000] {
                let body = format!("const c :Text = {}1{};", open.repeat(depth), close.repeat(depth));
                assert!(try_compile(&body).is_err());
            }
        }
        for depth in [limits::SCOPE_DEPTH + 1, 100_000] {
            let mut body =
                (0..depth).map(|index| format!("struct S{index} {{ ")).collect::<Vec<_>>().concat();
            body.push_str(&"}".repeat(depth));
            assert!(try_compile(&body).is_err());
            let body = format!("const c :Text = a{};", ".b".repeat(depth));
            assert!(try_compile(&body).is_err());
        }
    });
}

#[test]
fn what_is_as_deep_as_allowed_compiles() {
    on_a_small_stack(|| {
        let depth = limits::SCOPE_DEPTH - 1;
        let mut body = (0..depth).map(|index| format!("struct S{index} {{ ")).collect::<Vec<_>>().concat();
        body.push_str(&"}".repeat(depth));
        try_compile(&body).unwrap();
        let depth = limits::EXPRESSION_DEPTH - 2;
        let (open, close) = ("List(".repeat(depth), ")".repeat(depth));
        let (values, ends) = ("[".repeat(depth), "]".repeat(depth));
        try_compile(&format!("const c :{open}Int8{close} = {values}1{ends};")).unwrap();
        let groups = (0..depth - 4).map(|index| format!("g{index} :group {{ ")).collect::<Vec<_>>().concat();
        let ends = "}".repeat(depth - 4);
        try_compile(&format!("struct S {{ {groups} a @0 :Text; {ends} }}")).unwrap();
    });
}

#[test]
fn long_chains_are_refused_not_followed_to_the_end_of_the_stack() {
    on_a_small_stack(|| {
        let aliases = (0..10_000)
            .map(|index| format!("using A{index} = A{};\n", index + 1))
            .collect::<Vec<_>>()
            .concat();
        limited(&format!("{aliases} using A10000 = Text; struct S {{ a @0 :A0; }}"));
        let constants = (0..10_000)
            .map(|index| format!("const c{index} :Int8 = .c{};\n", index + 1))
            .collect::<Vec<_>>()
            .concat();
        limited(&format!("{constants} const c10000 :Int8 = 1;"));
        let lists = (0..1_000)
            .map(|index| format!("const c{index} :AnyPointer = .c{};\n", index + 1))
            .collect::<Vec<_>>()
            .concat();
        limited(&format!("{lists} const c1000 :List(Int8) = [];"));
    });
}

#[test]
fn what_doubles_at_each_step_is_refused_soon() {
    let started = Instant::now();
    on_a_small_stack(|| {
        let aliases =
            (1..60).map(|n| format!("using A{n} = P(A{0}, A{0});\n", n - 1)).collect::<Vec<_>>().concat();
        limited(&format!(
            "struct P(T, U) {{}} using A0 = P(Text, Text); {aliases} struct S {{ a @0 :A59; }}"
        ));
        let members =
            (1..60).map(|n| format!("using A{n} = G(A{}).Twice;\n", n - 1)).collect::<Vec<_>>().concat();
        let body = "struct P(T, U) {} struct G(T) { using Twice = P(T, T); } using A0 = Text;";
        limited(&format!("{body} {members} struct S {{ a @0 :A59; b @1 :A59; }}"));
        let constants = (1..60)
            .map(|n| format!("const c{n} :List(AnyList) = [.c{0}, .c{0}];\n", n - 1))
            .collect::<Vec<_>>()
            .concat();
        limited(&format!("const c0 :List(Int8) = [1]; {constants}"));
    });
    assert!(started.elapsed() < Duration::from_mins(1));
}

#[test]
fn a_list_of_large_structs_is_counted_by_its_words() {
    let fields = (0..2_000).map(|index| format!("f{index} @{index} :UInt64;")).collect::<Vec<_>>().concat();
    let values = "(), ".repeat(20_000);
    limited(&format!("struct S {{ {fields} }} const c :List(S) = [{values}];"));
}

#[test]
fn files_have_a_greatest_size() {
    let files = Memory::default().with("test.capnp", vec![b' '; limits::FILE_BYTES + 1]);
    let errors = compile_from(&files, &["test.capnp"], &Options::default()).unwrap_err();
    assert_eq!(errors.iter().map(|error| error.kind).collect::<Vec<_>>(), [Kind::File]);
    let files = Memory::default()
        .with("test.capnp", format!("{ID}const c :Data = embed \"large\";"))
        .with("large", vec![0; limits::EMBED_BYTES + 1]);
    let errors = compile_from(&files, &["test.capnp"], &Options::default()).unwrap_err();
    assert_eq!(errors.iter().map(|error| error.kind).collect::<Vec<_>>(), [Kind::File]);
}

#[test]
fn a_struct_that_is_too_large_is_refused() {
    // Each field opens a word of its own, and each union one for its discriminant.
    let unions = (0..32_700_u32)
        .map(|index| format!("u{index} :union {{ a @{} :UInt64; b @{} :UInt64; }}", index * 2, index * 2 + 1))
        .collect::<Vec<_>>()
        .concat();
    let fields = "x @65400 :Text;";
    try_compile(&format!("struct S {{ {unions} {fields} }}")).unwrap();
}

#[test]
fn errors_are_counted_after_the_first_few_hundred() {
    let body = (0..limits::ERRORS + 50)
        .map(|index| format!("struct S{index} {{ a @0 :Nope; }}\n"))
        .collect::<Vec<_>>()
        .concat();
    let errors = try_compile(&body).unwrap_err();
    assert_eq!(errors.iter().count(), limits::ERRORS);
    assert!(errors.to_string().contains("and 50 more"));
}

#[test]
fn every_prefix_of_a_schema_ends_without_a_panic() {
    let schema = include_str!("../schemas/values.capnp");
    for end in (0..schema.len()).step_by(7).filter(|end| schema.is_char_boundary(*end)) {
        let files = Memory::default().with("test.capnp", &schema[..end]);
        if let Err(errors) = compile_from(&files, &["test.capnp"], &Options::default()) {
            assert!(errors.iter().count() > 0);
            errors.to_string();
        }
    }
}

#[test]
fn bytes_that_are_no_text_are_refused_or_skipped_without_a_panic() {
    for bytes in [
        &b"\xff\xfe"[..],
        b"\0",
        b"# \xff\n",
        b"const c :Text = \"\xff\";",
        b"\xef\xbb\xbf",
        b"\"",
        b"0x\"",
        b"\\",
    ] {
        let text = [ID.as_bytes(), bytes].concat();
        let files = Memory::default().with("test.capnp", text);
        if let Err(errors) = compile_from(&files, &["test.capnp"], &Options::default()) {
            errors.to_string();
        }
    }
}

#[test]
fn what_was_meant_is_looked_for_among_so_many_names_and_no_more() {
    const STRUCTS: usize = limits::SIMILAR_NAMES / 64 - 1;
    let right = each(STRUCTS, |index| format!("struct Right{index} {{}}\n"));
    let wrong = each(100, |index| format!("w{index} @{index} :Rihgt{index};"));
    let Err(errors) = try_compile(&format!("{right} struct Wrong {{ {wrong} }}")) else { panic!("compiled") };
    let with_help = errors.iter().take_while(|error| error.help.is_some()).count();
    // Each error looks at all that is declared, the struct with the fields among it.
    assert_eq!((with_help, errors.iter().count()), (64, 100));
    assert!(errors.iter().skip(with_help).all(|error| error.help.is_none()));
}

#[test]
fn many_errors_in_a_large_file_are_shown_by_the_lines_that_they_are_in() {
    let comments = "# Behind this nothing is wrong, and nothing of it is shown.\n".repeat(200_000);
    let wrong = each(1_000, |index| format!("struct s{index} {{}}\n"));
    let Err(errors) = try_compile(&format!("{comments}{wrong}")) else { panic!("compiled") };
    let shown = errors.to_string();
    assert!(shown.contains("--> test.capnp:200002:8") && shown.contains("200002 | struct s0 {}"), "{shown}");
    assert!(shown.ends_with("error: and 800 more\n") && shown.len() < 200 * 300, "{}", shown.len());
}

#[test]
fn names_have_a_greatest_length() {
    let name = |bytes| format!("struct {} {{}}", "S".repeat(bytes));
    try_compile(&name(limits::NAME_BYTES)).unwrap();
    let (kind, _, message) = error(&name(limits::NAME_BYTES + 1));
    assert_eq!((kind, &*message), (Kind::Syntax, "this name is longer than 1000 bytes"));
}

#[test]
fn the_names_of_all_nodes_have_a_greatest_length_together() {
    let around = format!("struct {} {{\n", "S".repeat(1_000)).repeat(60);
    let ends = "}".repeat(60);
    let structs = |count| each(count, |index| format!("struct A{index} {{}}\n"));
    try_compile(&format!("{around}{}{ends}", structs(1_000))).unwrap();
    limited(&format!("{around}{}{ends}", structs(1_200)));
    let groups = each(1_200, |index| format!("g{index} :group {{ f{index} @{index} :Text; }}"));
    limited(&format!("{around}{groups}{ends}"));
    let methods = each(600, |index| format!("m{index} @{index} () -> ();"));
    limited(&format!("{around} interface I {{ {methods} }} {ends}"));
}

#[test]
fn unions_that_take_too_long_to_lay_out_are_refused() {
    // Each place of the inner unions is asked, for each field, whether it can be made wider.
    let mut number = 0;
    let mut side = |name: char, types: [&str; 2]| {
        let mut members = [String::new(), String::new()];
        for _ in 0..8_000 {
            for (member, ty) in members.iter_mut().zip(types) {
                write!(member, "{name}{number} @{number} :{ty};").unwrap();
                number += 1;
            }
        }
        let [first, second] = members;
        format!("{name} :group {{ union {{ {name}x :group {{ {first} }} {name}y :group {{ {second} }} }} }}")
    };
    let (a, b) = (side('a', ["UInt8", "UInt16"]), side('b', ["UInt16", "UInt8"]));
    limited(&format!("struct S {{ union {{ {a} {b} }} }}"));
}
