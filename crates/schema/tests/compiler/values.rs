//! Literals, constants and defaults.

use capnp::schema_capnp::{node, value};
use vatmux_schema::{Kind, Options, compile_from};

use crate::common::{ID, Memory, compile, error, node};

fn constant(body: &str, check: impl FnOnce(value::Reader<'_>)) {
    let compiled = compile(body);
    let node::Const(constant) = node(compiled.request().unwrap(), "test.capnp:c").which().unwrap() else {
        panic!("c is no constant")
    };
    check(constant.get_value().unwrap());
}

fn text(literal: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    constant(&format!("const c :Text = {literal};"), |value| match value.which().unwrap() {
        value::Text(text) => bytes = text.unwrap().as_bytes().to_vec(),
        _ => panic!("no text"),
    });
    bytes
}

fn unsigned(literal: &str) -> u64 {
    let mut number = 0;
    constant(&format!("const c :UInt64 = {literal};"), |value| match value.which().unwrap() {
        value::Uint64(value) => number = value,
        _ => panic!("no number"),
    });
    number
}

fn float(literal: &str) -> f64 {
    let mut number = 0.0;
    constant(&format!("const c :Float64 = {literal};"), |value| match value.which().unwrap() {
        value::Float64(value) => number = value,
        _ => panic!("no number"),
    });
    number
}

#[test]
fn escapes_in_text_stand_for_their_bytes() {
    assert_eq!(text(r#""\a\b\f\n\r\t\v\\\"\'\?\x41\101\0\400""#), b"\x07\x08\x0c\n\r\t\x0b\\\"'?AA\0\0");
}

#[test]
fn texts_side_by_side_are_one() {
    assert_eq!(text("\"a\"  \"b\"\n\"c\""), b"abc");
}

#[test]
fn integers_are_decimal_hexadecimal_or_octal() {
    assert_eq!([unsigned("0"), unsigned("19"), unsigned("0x1F"), unsigned("017")], [0, 19, 31, 15]);
    assert_eq!(unsigned("18446744073709551615"), u64::MAX);
}

#[test]
fn floats_have_infinities_and_no_number() {
    for (literal, value) in [
        ("1.5e3", 1500.0),
        ("3", 3.0),
        ("-inf", f64::NEG_INFINITY),
        ("1.e3", 1000.0),
        ("18446744073709551616", 18_446_744_073_709_551_616.0),
    ] {
        assert_eq!(float(literal).to_bits(), f64::to_bits(value));
    }
    assert!(float("nan").is_nan());
    assert!(float("-0.0").is_sign_negative());
}

#[test]
fn each_integer_type_takes_its_range_and_not_one_more() {
    for bits in [8, 16, 32, 64_u32] {
        let (low, high) = (-(1_i128 << (bits - 1)), (1_i128 << (bits - 1)) - 1);
        compile(&format!("const c :List(Int{bits}) = [{low}, {high}];"));
        for beyond in [low - 1, high + 1] {
            assert_eq!(error(&format!("const c :Int{bits} = {beyond};")).0, Kind::Value);
        }
        compile(&format!("const c :List(UInt{bits}) = [0, {}];", (1_i128 << bits) - 1));
        assert_eq!(error(&format!("const c :UInt{bits} = -1;")).0, Kind::Value);
    }
    assert_eq!(error("const c :UInt32 = 4294967296;").0, Kind::Value);
    assert_eq!(error("const c :UInt64 = 18446744073709551616;").0, Kind::Value);
    assert_eq!(error("const c :UInt64 = 0x10000000000000000;").0, Kind::Value);
}

#[test]
fn a_constant_can_be_another_as_a_different_number() {
    constant("const b :Int8 = 7; const c :Float64 = .b;", |value| {
        assert!(matches!(value.which(), Ok(value::Float64(value)) if (value - 7.0).abs() < f64::EPSILON));
    });
    let (kind, place, _) = error("const b :Int16 = 700; const c :Int8 = .b;");
    assert_eq!((kind, &*place), (Kind::Value, ".b"));
}

#[test]
fn a_struct_is_stored_as_the_difference_to_its_defaults() {
    let body = "struct S { a @0 :UInt16 = 5; b @1 :Bool = true; c @2 :Text = \"x\"; } const c :S = (a = 7, b = false);";
    constant(body, |value| {
        let value::Struct(value) = value.which().unwrap() else { panic!("no struct") };
        let mut copy = capnp::message::Builder::new_default();
        copy.set_root::<capnp::any_pointer::Owned>(value).unwrap();
        let segments = copy.get_segments_for_output();
        // A pointer to one word of data and one pointer; both numbers are stored as what differs; the text is null.
        assert_eq!(
            segments.concat(),
            [0, 0, 0, 0, 1, 0, 1, 0, 7 ^ 5, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        );
    });
}

#[test]
fn an_embedded_file_becomes_the_value() {
    let files = Memory::default()
        .with("dir/test.capnp", format!("{ID}const c :Data = embed \"../bytes\";"))
        .with("bytes", [1, 2, 3]);
    let compiled = compile_from(&files, &["dir/test.capnp"], &Options::default()).unwrap();
    let node::Const(constant) = node(compiled.request().unwrap(), "dir/test.capnp:c").which().unwrap() else {
        panic!()
    };
    assert!(matches!(constant.get_value().unwrap().which(), Ok(value::Data(Ok([1, 2, 3])))));
    assert!(compiled.files().iter().any(|path| path.ends_with("bytes")));
}

#[test]
fn an_embedded_message_becomes_a_struct() {
    let mut message = capnp::message::Builder::new_default();
    message.set_root::<capnp::text_list::Owned>(&["a", "b"][..]).unwrap();
    let list = capnp::serialize::write_message_to_words(&message);
    let source = compile("struct S { a @0 :UInt64; b @1 :Text; l @2 :List(S); }");
    // Any struct serves: a request is one.
    let files = Memory::default()
        .with("test.capnp", format!("{ID}struct S {{ a @0 :UInt64; }} const c :S = embed \"message\"; const d :List(S) = [(a = 1), embed \"message\"];"))
        .with("message", source.to_bytes());
    let compiled = compile_from(&files, &["test.capnp"], &Options::default()).unwrap();
    let node::Const(constant) = node(compiled.request().unwrap(), "test.capnp:c").which().unwrap() else {
        panic!()
    };
    let value::Struct(value) = constant.get_value().unwrap().which().unwrap() else { panic!("no struct") };
    let request: capnp::schema_capnp::code_generator_request::Reader<'_> = value.get_as().unwrap();
    assert_eq!(crate::common::names(request), crate::common::names(source.request().unwrap()));

    for broken in [&list[..], b"no message", b"", &source.to_bytes()[..40]] {
        let files = Memory::default()
            .with("test.capnp", format!("{ID}struct S {{ a @0 :UInt64; }} const c :S = embed \"message\";"))
            .with("message", broken);
        let errors = compile_from(&files, &["test.capnp"], &Options::default()).unwrap_err();
        assert_eq!(errors.iter().map(|error| error.kind).collect::<Vec<_>>(), [Kind::File]);
    }
}

#[test]
fn a_default_that_is_stated_is_told_from_one_that_is_not() {
    let compiled = compile("struct A { a @0 :Text; b @1 :Text = \"\"; }");
    let node::Struct(this) = node(compiled.request().unwrap(), "test.capnp:A").which().unwrap() else {
        panic!()
    };
    let stated: Vec<_> = this
        .get_fields()
        .unwrap()
        .iter()
        .map(|field| match field.which().unwrap() {
            capnp::schema_capnp::field::Slot(slot) => slot.get_had_explicit_default(),
            capnp::schema_capnp::field::Group(_) => panic!("a group"),
        })
        .collect();
    assert_eq!(stated, [false, true]);
}

#[test]
fn a_struct_without_fields_is_told_from_none() {
    constant("struct Nothing {} const c :Nothing = ();", |value| match value.which().unwrap() {
        value::Struct(value) => assert!(!value.is_null()),
        _ => panic!("no struct"),
    });
}
